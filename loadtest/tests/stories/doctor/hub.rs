//! `weft-hub doctor` finds what is wrong with a hub, and nothing with one that is well.

use crate::talk::*;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;
use weft_loadtest::mesh::process::command;
use weft_loadtest::mesh::{Hub, World};

/// What the doctor says of `data`, and whether it was content.
fn doctor(world: &World, data: &Path, environment: &[(&str, &str)]) -> (bool, Vec<Value>) {
    let mut doctor = command(&world.binaries().hub());
    doctor.args(["doctor", "--json", "--data"]).arg(data).envs(environment.iter().copied());
    let output = doctor.output().expect("the doctor runs");
    let told: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    let findings = told["findings"].as_array().expect("findings").clone();
    for finding in &findings {
        let well = finding["level"] == "ok";
        assert_eq!(well, finding["remedy"].is_null(), "a remedy for each trouble: {finding}");
    }
    (output.status.success(), findings)
}

/// The finding of `check` that saw `words`; fails where there is none.
#[track_caller]
fn saw<'a>(findings: &'a [Value], check: &str, words: &str) -> &'a Value {
    let mut found = findings.iter().filter(|finding| {
        finding["check"] == check && finding["saw"].as_str().is_some_and(|saw| saw.contains(words))
    });
    found.next().unwrap_or_else(|| panic!("{check} has not seen {words:?}: {findings:#?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_is_well_fails_no_check_and_its_doors_are_really_tried() {
    let world = world().await;
    let (well, findings) = doctor(&world, world.hub.data(), &[]);
    let bad: Vec<_> = findings.iter().filter(|finding| finding["level"] == "fail").collect();
    assert!(well && bad.is_empty(), "{bad:#?}");
    for (check, words) in [
        ("directory", "runs on it"),
        ("disk", "MiB free"),
        ("disk", "written and synced"),
        ("settings", "understood"),
        ("database", "is sound"),
        ("certificates", "node.pem"),
        ("certificates", "pins: current"),
        ("clock", "newest record"),
        ("descriptors", "the running hub may open"),
        ("UDP buffers", "to receive"),
        ("memory", "MiB of buffers"),
        ("ports", "held by the running hub"),
        ("users' door", "/health/readiness"),
        ("agents' door", "path MTU"),
        ("admin door", "takes the token"),
    ] {
        saw(&findings, check, words);
    }
    // The next authority's key is still where init left it: worth a word, and no failure.
    assert_eq!(saw(&findings, "certificates", "next-node-ca.key")["level"], "warn");

    // For people it is a table.
    let mut table = command(&world.binaries().hub());
    table.args(["doctor", "--data"]).arg(world.hub.data());
    let table = String::from_utf8(table.output().unwrap().stdout).unwrap();
    assert!(table.starts_with("LEVEL") && table.lines().count() > 15, "{table}");
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_trouble_of_a_running_hub_is_found_with_its_remedy() {
    let mut world = world().await;
    let data = world.hub.data().to_owned();

    // Settings, modes and files that went bad under the running hub.
    std::fs::write(data.join("hub.toml"), "[limits]\nexchange_secs = 1\n").unwrap();
    let (well, findings) = doctor(&world, &data, &[]);
    assert!(!well);
    saw(&findings, "settings", "limits.exchange_secs");

    std::fs::write(data.join("hub.toml"), "[agents]\npublic = [\"127.0.0.1:9\"]\n").unwrap();
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o755)).unwrap();
    let token = std::fs::read_to_string(data.join("admin.token")).unwrap();
    std::fs::write(data.join("admin.token"), token.chars().rev().collect::<String>()).unwrap();
    let (well, findings) = doctor(&world, &data, &[("WEFT_LIMITS__CONNECTIONS_MAX", "90000000")]);
    assert!(!well);
    saw(&findings, "agents' door", "127.0.0.1:9");
    saw(&findings, "agents' door", "path MTU");
    saw(&findings, "directory", "can be reached by other users");
    saw(&findings, "admin door", "");
    assert_eq!(saw(&findings, "descriptors", "connections_max")["level"], "warn");

    // A door that shows another certificate than the files say.
    let other = world.dir().join("other");
    Hub::init(&world.binaries().hub(), &other).unwrap();
    for kind in ["pem", "key"] {
        let from = other.join("certs").join(format!("users.{kind}"));
        std::fs::copy(from, data.join(format!("own.{kind}"))).unwrap();
    }
    let own = "[users]\ncertificate = { chain = \"own.pem\", key = \"own.key\" }\n";
    std::fs::write(data.join("hub.toml"), own).unwrap();
    let (well, findings) = doctor(&world, &data, &[]);
    assert!(!well);
    let shown = saw(&findings, "users' door", "");
    assert!(shown["remedy"].as_str().unwrap().contains("reload"), "{shown}");
    world.hub.process().end(Duration::from_secs(20)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_trouble_of_a_hub_that_is_down_is_found_with_its_remedy() {
    let mut world = world().await;
    let data = world.hub.data().to_owned();
    Ask::chat(&world, false, "").over(&world, weft_loadtest::mesh::Version::H1).await.whole(200);
    rows_when(&world, 1).await;
    world.hub.process().end(Duration::from_secs(20)).await.unwrap();
    let (_, findings) = doctor(&world, &data, &[]);
    saw(&findings, "directory", "no hub runs");
    saw(&findings, "agents' door", "not tried");

    // A port that somebody else holds.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (well, findings) = doctor(&world, &data, &[("WEFT_USERS__ADDRESSES", &address)]);
    assert!(!well);
    saw(&findings, "ports", &address);
    let (well, findings) =
        doctor(&world, &data, &[("WEFT_LIMITS__MEMORY_BYTES_MAX", "9000000000000000")]);
    assert!(!well);
    assert_eq!(saw(&findings, "memory", "MiB of buffers")["level"], "fail");

    // A foreign key, a certificate that is gone, a database that is none.
    let other = world.dir().join("other");
    Hub::init(&world.binaries().hub(), &other).unwrap();
    std::fs::copy(other.join("certs/agent-ca.key"), data.join("certs/agent-ca.key")).unwrap();
    std::fs::remove_file(data.join("certs/node.pem")).unwrap();
    std::fs::write(data.join("hub.sqlite"), vec![7; 20_000]).unwrap();
    let (well, findings) = doctor(&world, &data, &[]);
    assert!(!well);
    assert_eq!(saw(&findings, "certificates", "agent-ca.pem")["level"], "fail");
    assert_eq!(saw(&findings, "certificates", "node.pem")["level"], "warn", "made at a start");
    assert_eq!(saw(&findings, "database", "hub.sqlite")["level"], "fail");

    // Nothing there at all.
    let (well, findings) = doctor(&world, &world.dir().join("nowhere"), &[]);
    assert!(!well);
    let nothing = saw(&findings, "directory", "nowhere");
    assert!(nothing["remedy"].as_str().unwrap().contains("weft-hub init"), "{nothing}");
}
