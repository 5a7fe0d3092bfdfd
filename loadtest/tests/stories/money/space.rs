//! An agent whose disk is full: what cannot be written down is not called.
//!
//! A real full disk needs a mount of its own, which `unshare` gives to whoever may make user
//! namespaces; otherwise a limit on the size of files stands for it, which every machine has.

use super::books::agreed;
use super::prices::activate;
use crate::talk::*;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;
use weft_loadtest::mesh::process::command;
use weft_loadtest::mesh::world::USER;
use weft_loadtest::mesh::{Process, Version};
use weft_proto::provider::Provider;

#[tokio::test(flavor = "multi_thread")]
async fn what_an_agent_cannot_write_down_it_does_not_call() {
    let mut world = world().await;
    activate(&world);
    Ask::chat(&world, true, "").over(&world, Version::H2).await.whole(200);
    agreed(&world, &[USER]).await;

    // The same agent, whose writes may fail without a signal that ends it.
    world.agents[0].process.end(Duration::from_secs(10)).await.unwrap();
    let program = world.dir().join("with-a-limit");
    let agent = world.binaries().agent_sim();
    let script = format!("#!/bin/sh\ntrap '' XFSZ\nexec \"{}\" \"$@\"\n", agent.display());
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
    let data = world.agents[0].agent.data().to_owned();
    let mut run = command(&program);
    run.arg("run").arg("--data").arg(&data);
    for provider in Provider::ALL {
        run.arg("--simulate").arg(format!("{}={}", provider.name(), world.provider.url()));
    }
    let log = world.dir().join("limited.log");
    world.agents[0].process = Process::start("limited", run, &log).unwrap();
    world.hub.offers(Provider::ALL.len()).await.unwrap();
    Ask::chat(&world, true, "").over(&world, Version::H2).await.whole(200);
    let before = agreed(&world, &[USER]).await;
    let called = world.provider.received().len();

    // As long as it is now, the log may be; and no longer.
    let names = std::fs::read_dir(data.join("ledger")).unwrap();
    let sizes = names
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("log-"));
    let longest = sizes.map(|entry| entry.metadata().unwrap().len()).max().unwrap();
    let process = Pid::from_raw(i32::try_from(world.agents[0].process.id()).unwrap());
    let limit = Rlimit { current: Some(longest), maximum: None };
    prlimit(process, Resource::Fsize, limit).unwrap();
    for version in VERSIONS {
        for (ask, kind) in
            [(Ask::chat(&world, true, ""), "message"), (Ask::message(&world, false, ""), "message")]
        {
            let answer = ask.over(&world, version).await;
            assert!((500..600).contains(&answer.status), "{} {}", answer.status, answer.text());
            let error = &answer.json()["error"];
            assert!(error[kind].as_str().is_some_and(|text| !text.is_empty()), "{error}");
        }
    }
    assert_eq!(world.provider.received().len(), called, "the provider was called");
    // The agent says why, and ends rather than guess what is on its disk.
    let ended = world.agents[0].process.wait(Duration::from_secs(20)).await.unwrap();
    assert!(!ended.success(), "{ended}");

    // With space again it goes on, and nobody has paid for what was not called.
    world.restart_agent(0).unwrap();
    world.hub.offers(Provider::ALL.len()).await.unwrap();
    Ask::chat(&world, true, "").over(&world, Version::H2).await.whole(200);
    let after = agreed(&world, &[USER]).await;
    let charged = |books: &super::books::Books| {
        books.settled.values().filter(|settled| settled.charge > 0).count()
    };
    assert_eq!(charged(&after), charged(&before) + 1);
    world.end().await.unwrap();
}
