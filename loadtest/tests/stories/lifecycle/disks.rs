//! Disks that are full or read-only.
//!
//! A real full disk needs a file system of its own, and so a mount. `unshare` gives one to whoever
//! may make user namespaces. Where it does not, the story says so aloud and the same is told by a
//! limit on the size of files (`prlimit`), which every machine has.

use super::*;
use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use weft_loadtest::mesh::process::{answer, command};
use weft_loadtest::mesh::{Doors, Hub};

/// Outcomes that may wait in memory: few, so that the story sees the last place taken.
const PLACES: usize = 20;

/// Whether this machine lets a process have mounts of its own.
fn may_mount() -> bool {
    let tried = Command::new("unshare")
        .args(["-rm", "sh", "-c", "mount -t tmpfs -o size=64k tmpfs /mnt"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let may = tried.is_ok_and(|status| status.success());
    if !may {
        eprintln!("NOT RUN WITH A MOUNT: this machine gives no user namespaces (unshare -rm)");
    }
    may
}

/// A program that does `before` and then becomes `weft-hub`, in mounts of its own where asked.
fn wrapped(world: &World, name: &str, before: &str, mounts: bool) -> PathBuf {
    let path = world.dir().join(name);
    let hub = world.binaries().hub();
    let hub = hub.display();
    let script = if mounts {
        format!("#!/bin/sh\nexec unshare -rm sh -ec '{before}\nexec \"{hub}\" \"$@\"' sh \"$@\"\n")
    } else {
        format!("#!/bin/sh\n{before}\nexec \"{hub}\" \"$@\"\n")
    };
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
    path
}

/// Starts the world's hub again, out of `program` and with its database at `database`.
async fn serve_by(world: &mut World, program: &Path, database: &str) {
    let doors = Doors {
        users: world.hub.users(),
        agents: world.hub.agents(),
        admin: world.hub.addresses().admin,
    };
    let (data, log) = (world.hub.data().to_owned(), world.hub_log());
    world.hub.process().end(Duration::from_secs(20)).await.unwrap();
    // The database moves with the settings, for the commands are told nothing of it.
    std::fs::write(data.join("hub.toml"), format!("[store]\npath = \"{database}\"\n")).unwrap();
    let places = PLACES.to_string();
    let settings = [("WEFT_LIMITS__OUTCOMES_WAITING_MAX", places.as_str())];
    world.hub = Hub::serve(program, &data, doors, &settings, &log).await.unwrap();
    world.hub.offers(4).await.unwrap();
}

/// Serves while nothing can be recorded, then has space again and records it all.
async fn serves_without_space_and_forgets_nothing(
    world: &mut World,
    fill: impl FnOnce(&mut World),
    free: impl FnOnce(&mut World),
) {
    Ask::chat(world, true, "").over(world, Version::H2).await.whole(200);
    let before = rows_when(world, 1).await.len();
    fill(world);

    let (mut served, mut refused_for_space) = (0, 0);
    for _ in 0..30 {
        let answer = Ask::chat(world, true, "deltas=3").over(world, Version::H2).await;
        // Where a record finds no place any more, the answer is 503; until then it waits in memory.
        match answer.status {
            200 => served += usize::from(answer.whole(200).text().contains("[DONE]")),
            503 => {
                assert!(answer.header("retry-after").is_some(), "{}", answer.text());
                assert_eq!(answer.json()["error"]["code"], "hub_full", "{}", answer.text());
                refused_for_space += 1;
            }
            _ => panic!("{} {}", answer.status, answer.text()),
        }
    }
    // A command that would have to write says so, and does not hang.
    let refused = world.hub.ask(&["user", "add", "too-late"]).unwrap_err().to_string();
    assert!(refused.contains("not available"), "{refused}");
    let during = world.hub.ask(&["exchange", "list", "--limit", "1000"]).unwrap();
    let during = during.as_array().unwrap().len();
    assert!(during < before + served, "the disk was not full: {during} rows");
    let kept = before + served - during;
    println!("no space: {served} of 30 served, {kept} rows of them kept in memory");
    assert!(served >= PLACES, "{served} served");
    assert!(kept <= PLACES, "more is kept in memory than has a place");
    assert!(refused_for_space > 0, "nobody was refused though no record can be kept");
    free(world);
    let rows = until("every outcome", LIMIT, async || {
        let rows = world.hub.ask(&["exchange", "list", "--limit", "1000"]).ok()?;
        let rows = rows.as_array()?.clone();
        let whole = rows.iter().filter(|row| row["end"] == "complete").count();
        (whole == before + served).then_some(rows)
    })
    .await;
    // What was admitted, and then found no place for its charge, has a row too.
    let refused = rows.len() - before - served;
    assert!(refused <= refused_for_space, "{refused} of {refused_for_space}: {rows:?}");
    world.hub.ask(&["user", "add", "in-time"]).unwrap();
    Ask::chat(world, true, "").over(world, Version::H2).await.whole(200);
    // And a restart finds what was recorded.
    world.hub.process().signal(Signal::TERM).unwrap();
    let status = world.hub.process().wait(Duration::from_secs(30)).await.unwrap();
    assert!(status.success(), "{}", world.hub.process().tail());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_keeps_outcomes_in_memory_until_there_is_space_again() {
    if !may_mount() {
        return;
    }
    let mut world = crate::talk::world().await;
    let tiny = world.dir().join("tiny");
    std::fs::create_dir(&tiny).unwrap();
    let database = tiny.join("hub.sqlite");
    // The rows of the world's beginning come along, on the tiny disk.
    let old = world.hub.data().join("hub.sqlite");
    let mount = format!(
        "mount -t tmpfs -o size=2m tmpfs \"{}\"\ncp \"{}\" \"{}\"",
        tiny.display(),
        old.display(),
        database.display()
    );
    let program = wrapped(&world, "on-a-tiny-disk", &mount, true);
    serve_by(&mut world, &program, database.to_str().unwrap()).await;

    // Seen through the process's own eyes: nobody else has the mount.
    let filler = |world: &mut World| {
        let root = PathBuf::from(format!("/proc/{}/root", world.hub.process().id()));
        root.join(tiny.strip_prefix("/").unwrap()).join("filler")
    };
    serves_without_space_and_forgets_nothing(
        &mut world,
        |world| {
            let mut file =
                OpenOptions::new().create_new(true).write(true).open(filler(world)).unwrap();
            let full = loop {
                match file.write_all(&[7; 1_024]) {
                    Ok(()) => {}
                    Err(error) => break error,
                }
            };
            assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
        },
        |world| std::fs::remove_file(filler(world)).unwrap(),
    )
    .await;
    let log = std::fs::read_to_string(world.hub_log()).unwrap();
    assert!(log.contains("outcomes cannot be written"), "the operator is told");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_cannot_grow_keeps_outcomes_in_memory_until_it_can() {
    let mut world = crate::talk::world().await;
    // Without this a write past the limit would be a signal that ends the process.
    let program = wrapped(&world, "with-a-limit", "trap '' XFSZ", false);
    serve_by(&mut world, &program, "hub.sqlite").await;
    let limit = |world: &mut World, bytes: Option<u64>| {
        let process = Pid::from_raw(i32::try_from(world.hub.process().id()).unwrap());
        // Any file: log lines fail as well, and must not take anything with them.
        let limit = Rlimit { current: bytes, maximum: None };
        prlimit(process, Resource::Fsize, limit).unwrap();
    };
    serves_without_space_and_forgets_nothing(
        &mut world,
        |world| {
            let log = world.hub.data().join("hub.sqlite-wal");
            let now = std::fs::metadata(log).unwrap().len();
            limit(world, Some(now));
        },
        |world| limit(world, None),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_whose_directory_cannot_be_written_says_so_at_its_start() {
    let world = world().await;
    let data = world.dir().join("other");
    Hub::init(&world.binaries().hub(), &data).unwrap();
    let serve = |program: &Path| {
        let mut serve = command(program);
        serve.arg("serve").arg("--data").arg(&data);
        for flag in ["--users", "--agents", "--admin"] {
            serve.args([flag, "127.0.0.1:0"]);
        }
        answer(serve, "").unwrap_err().to_string()
    };
    // Whatever the machine permits: something is where a file should be.
    let hub = world.binaries().hub();
    for name in ["hub.lock", "hub.sqlite", "hub.addresses.json"] {
        let path = data.join(name);
        drop(std::fs::remove_file(&path));
        std::fs::create_dir(&path).unwrap();
        let said = serve(&hub);
        assert!(said.contains(name) && !said.contains("panicked"), "{said}");
        std::fs::remove_dir(&path).unwrap();
    }
    if may_mount() {
        let shown = data.display();
        let before =
            format!("mount --bind \"{shown}\" \"{shown}\"\nmount -o remount,bind,ro \"{shown}\"");
        let program = wrapped(&world, "on-a-read-only-disk", &before, true);
        let said = serve(&program);
        assert!(said.contains("hub.lock") && said.contains("Read-only file system"), "{said}");
        // The doctor sees the same, and says what to do.
        let mut doctor = command(&program);
        doctor.args(["doctor", "--json", "--data"]).arg(&data);
        let output = doctor.output().unwrap();
        assert!(!output.status.success());
        let told = String::from_utf8(output.stdout).unwrap();
        assert!(told.contains("mounted read-only"), "{told}");
    }
    world.end().await.unwrap();
}
