//! The doctor of an agent, on a mesh that is well and on one that is not.

use crate::egress::say;
use crate::talk::*;
use serde_json::Value;
use std::io::Read;
use std::process::Stdio;
use weft_loadtest::egress::{EgressProxy, Speaks};
use weft_loadtest::mesh::World;
use weft_loadtest::mesh::process::command;
use weft_proto::provider::Provider;

/// What the doctor prints of agent 0, and whether it is content.
async fn examine(world: &World) -> (bool, Vec<Value>) {
    let mut doctor = command(&world.binaries().agent_sim());
    doctor.args(["doctor", "--json", "--data"]).arg(world.agents[0].agent.data());
    for provider in Provider::ALL {
        doctor.args(["--simulate", &format!("{}={}", provider.name(), world.provider.url())]);
    }
    let running = tokio::task::spawn_blocking(move || doctor.stdin(Stdio::null()).output());
    let output = tokio::time::timeout(LIMIT, running).await.expect("bounded").expect("no panic");
    let output = output.expect("it runs");
    let value: Value = serde_json::from_slice(&output.stdout).expect("json");
    assert_eq!(value["ok"], output.status.success());
    assert_eq!(output.status.code(), Some(i32::from(value["ok"] == false)));
    (output.status.success(), value["findings"].as_array().expect("findings").clone())
}

fn found<'a>(findings: &'a [Value], check: &str) -> &'a Value {
    let mut named = findings
        .iter()
        .filter(|one| one["check"].as_str().is_some_and(|name| name.starts_with(check)));
    named.next().unwrap_or_else(|| panic!("no {check}: {findings:#?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_is_content_with_a_mesh_that_works_and_disturbs_no_running_agent() {
    let mut world = world().await;
    let before = world.agents[0].agent.status().expect("status");
    let (well, findings) = examine(&world).await;
    assert!(well, "{findings:#?}");
    for check in [
        "UDP buffers",
        "permissions",
        "data directory",
        "disk",
        "lock",
        "settings",
        "identity",
        "certificate",
        "clock",
        "vault",
        "hub ",
        "path MTU",
        "provider ",
    ] {
        let finding = found(&findings, check);
        assert_ne!(finding["level"], "fail", "{finding}");
        assert_eq!(finding["level"] != "ok", finding["remedy"].is_string(), "{finding}");
    }
    assert!(found(&findings, "lock")["saw"].as_str().unwrap().contains("an agent runs"));
    let mtu: u32 = found(&findings, "path MTU")["saw"]
        .as_str()
        .unwrap()
        .split(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    assert!(mtu > 1_200, "loopback carries more: {mtu}");
    // The tunnel is the one that it was, and serves.
    let after = world.agents[0].agent.status().expect("status");
    assert_eq!((&before["session"], &after["state"]), (&after["session"], &"connected".into()));
    Ask::chat(&world, true, "").over(&world, weft_loadtest::mesh::Version::H2).await.whole(200);

    // Without a running agent the hub is shown its certificate, and lets it stand until it is revoked.
    world.agents[0].process.end(LIMIT).await.expect("stopped");
    let (well, findings) = examine(&world).await;
    assert!(well, "{findings:#?}");
    assert_eq!(found(&findings, "certificate at the hub")["level"], "ok");
    let id = world.agents[0].id.clone();
    world.hub.ask(&["agent", "revoke", &id]).expect("revoked");
    let (well, findings) = examine(&world).await;
    assert!(!well, "{findings:#?}");
    let refused = found(&findings, "certificate at the hub");
    assert_eq!(refused["level"], "fail");
    assert!(refused["remedy"].as_str().unwrap().contains("invite"), "{refused}");
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_names_what_is_broken_and_what_to_do() {
    let mut world = world().await;
    let dead = EgressProxy::bind(Speaks::Socks5, None).await.expect("proxy");
    let egress = dead.egress();
    dead.shutdown().await;
    let words = ["account", "set", "openai", "--egress", &egress];
    say(&world, &world.agents[0], &words, "").expect("set");
    let settings = world.agents[0].agent.data().join("agent.toml");
    std::fs::write(&settings, "drain_seconds = \"soon\"\n").expect("write");
    world.hub.process().kill();
    let (well, findings) = examine(&world).await;
    assert!(!well);
    let broken: Vec<&Value> = findings.iter().filter(|one| one["level"] == "fail").collect();
    for check in ["settings", "hub ", "provider "] {
        let named = broken.iter().filter(|one| one["check"].as_str().unwrap().starts_with(check));
        let remedies: Vec<_> = named.map(|one| one["remedy"].as_str().expect("a remedy")).collect();
        assert_eq!(remedies.len(), 1, "{check}: {broken:#?}");
    }
    // The three accounts that leave directly are tried once, and are well.
    let direct =
        findings.iter().filter(|one| one["saw"].as_str().unwrap().contains("egress direct"));
    assert_eq!(direct.count(), 1, "{findings:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_has_seen_enough_is_no_error() {
    let world = world().await;
    for words in [
        &["status"][..],
        &["status", "--json"],
        &["account", "list"],
        &["account", "list", "--json"],
        &["doctor"],
    ] {
        let mut say = command(&world.binaries().agent_sim());
        say.args(words).arg("--data").arg(world.agents[0].agent.data());
        for provider in Provider::ALL {
            say.args(["--simulate", &format!("{}={}", provider.name(), world.provider.url())]);
        }
        let mut child = say.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("start");
        drop(child.stdout.take());
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).expect("read");
        let status = child.wait().expect("wait");
        assert!(status.success() && said.is_empty(), "{words:?}: {status} {said}");
    }
    world.end().await.unwrap();
}
