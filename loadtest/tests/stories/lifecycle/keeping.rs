//! What is kept: one hub on one directory, backups, restores, rotated authorities.

use super::*;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use weft_loadtest::mesh::process::{answer, command};
use weft_loadtest::mesh::{Doors, Hub};

/// One word of the command line on `data`; the answer as JSON, or what it complains of.
fn say(world: &World, data: &Path, words: &[&str]) -> Result<Value, String> {
    let mut said = command(&world.binaries().hub());
    said.args(words).arg("--json").arg("--data").arg(data);
    let text = answer(said, "").map_err(|error| error.to_string())?;
    Ok(serde_json::from_str(&text).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hubs_on_one_data_directory_are_one_too_many() {
    let mut world = world().await;
    let process = world.hub.process().id().to_string();
    let mut second = command(&world.binaries().hub());
    second.arg("serve").arg("--data").arg(world.hub.data());
    for flag in ["--users", "--agents", "--admin"] {
        second.args([flag, "127.0.0.1:0"]);
    }
    let refused = answer(second, "").unwrap_err().to_string();
    assert!(refused.contains("is in use") && refused.contains(&process), "{refused}");
    // Nor may anything else work on the directory that wants it for itself.
    let data = world.hub.data().to_owned();
    let refused = say(&world, &data, &["certs", "rotate"]).unwrap_err();
    assert!(refused.contains("is in use"), "{refused}");
    // The first one has noticed nothing.
    Ask::chat(&world, true, "").over(&world, Version::H2).await.whole(200);
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_taken_under_load_is_restored_into_a_hub_that_serves_the_same_users_and_agents() {
    let mut world = world().await;
    let streams = Streams::start(&world, 20, 2, "pace=20ms,deltas=50").await;
    Ask::chat(&world, false, "").over(&world, Version::H1).await.whole(200);
    let file = world.dir().join("hub.tar");
    let data = world.hub.data().to_owned();
    let to = file.to_str().unwrap().to_owned();
    let made = say(&world, &data, &["backup", "--to", &to]).unwrap();
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let files: Vec<_> = made["files"].as_array().unwrap().iter().map(|one| one.as_str()).collect();
    let wanted = ["hub.sqlite", "hub.toml", "admin.token", "reset.key", "certs/node-ca.key"];
    for name in wanted.into_iter().chain(["ledger.key", "ticket.key", "ledger/node.id"]) {
        assert!(files.contains(&Some(name)), "{name} not in {files:?}");
    }
    let refused = say(&world, &data, &["backup", "--to", &to]).unwrap_err();
    assert!(refused.contains("exists"), "{refused}");
    let beside = std::fs::read_dir(world.dir()).unwrap();
    let left = beside.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(left.filter(|name| name.starts_with('.')).count(), 0, "scratch files are left");
    for answer in streams.end().await {
        answer.whole(200);
    }
    // Made after the backup: the restored hub does not know it.
    let later = world.hub.add_key(weft_loadtest::mesh::world::USER, &[]).unwrap();

    let restored = world.dir().join("restored");
    let refused = say(&world, &data, &["restore", "--from", &to]).unwrap_err();
    assert!(refused.contains("not empty"), "{refused}");
    damaged_backups_write_nothing(&world, &file, &restored);
    let mut told = command(&world.binaries().hub());
    told.args(["restore", "--from", &to]).arg("--data").arg(&restored);
    let told = answer(told, "").unwrap();
    assert!(told.contains("missing") && told.contains("revoke again"), "{told}");

    // The hub of the backup goes, the restored one takes its doors: agents come by themselves.
    let doors = Doors {
        users: world.hub.users(),
        agents: world.hub.agents(),
        admin: world.hub.addresses().admin,
    };
    world.hub.process().kill();
    let log = world.hub_log();
    world.hub = Hub::serve(&world.binaries().hub(), &restored, doors, &[], &log).await.unwrap();
    world.hub.offers(4).await.unwrap();
    Ask::chat(&world, true, "").over(&world, Version::H2).await.whole(200);
    let unknown = chat(&later.secret, false, "").over(&world, Version::H1).await;
    assert_eq!(unknown.status, 401, "what came after the backup is missing");
    world.end().await.unwrap();
}

/// A backup that is cut or altered is refused, and leaves nothing behind.
fn damaged_backups_write_nothing(world: &World, file: &Path, restored: &Path) {
    let whole = std::fs::read(file).unwrap();
    let bad = world.dir().join("bad.tar");
    let mut altered = whole.clone();
    let middle = altered.len() / 2;
    altered[middle] ^= 1;
    for bytes in [&whole[..whole.len() / 2], &altered, b"", b"no backup"] {
        std::fs::write(&bad, bytes).unwrap();
        let from = bad.to_str().unwrap();
        let refused = say(world, restored, &["restore", "--from", from]).unwrap_err();
        assert!(refused.contains("was not restored"), "{refused}");
        assert!(!restored.exists(), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_with_old_pins_come_back_after_a_rotation_of_the_node_authority() {
    let mut world = world().await;
    let data = world.hub.data().to_owned();
    let invite: weft_certs::Invite = world.hub.invite("owner").unwrap().parse().unwrap();
    world.hub.process().end(Duration::from_secs(20)).await.unwrap();
    let key = data.join("certs/next-node-ca.key");
    let away = world.dir().join("offline.key");
    std::fs::rename(&key, &away).unwrap();
    let refused = say(&world, &data, &["certs", "rotate"]).unwrap_err();
    assert!(refused.contains("next-node-ca.key"), "{refused}");
    std::fs::rename(&away, &key).unwrap();
    let rotated = say(&world, &data, &["certs", "rotate"]).unwrap();
    assert_eq!(rotated["current"], invite.pins().next.to_string());
    world.restart_hub().await.unwrap();
    world.hub.offers(4).await.unwrap();
    Ask::chat(&world, true, "").over(&world, Version::H2).await.whole(200);
    world.end().await.unwrap();
}
