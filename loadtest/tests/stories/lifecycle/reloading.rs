//! Reload while streams run: by the command, by the API, by SIGHUP.

use super::*;
use rustix::process::Signal;
use serde_json::Value;
use std::path::Path;
use weft_certs::Authority;
use weft_loadtest::mesh::Caller;
use weft_proto::entropy::OsEntropy;
use weft_proto::ids::HubId;
use weft_proto::time::SystemClock;

const STREAMS: usize = 50;

/// Puts another authority's certificate for this machine into the data directory as `name.pem` and
/// `name.key`; returns where its CA lies.
fn certificate(world: &World, name: &str) -> std::path::PathBuf {
    let folder = world.dir().join(format!("{name}-ca"));
    let hub = HubId::generate(&SystemClock, &OsEntropy);
    let authority = Authority::create(&folder, hub, &[], &SystemClock, &OsEntropy).unwrap();
    for kind in ["pem", "key"] {
        let from = folder.join(format!("users.{kind}"));
        std::fs::copy(from, world.hub.data().join(format!("{name}.{kind}"))).unwrap();
    }
    authority.users_ca_path()
}

fn settings(world: &World, text: &str) {
    std::fs::write(world.hub.data().join("hub.toml"), text).unwrap();
}

fn keys(changes: &Value) -> Vec<&str> {
    changes.as_array().unwrap().iter().map(|change| change["key"].as_str().unwrap()).collect()
}

/// Whether who trusts `ca` alone gets an answer.
async fn trusted_by(world: &World, ca: &Path) -> bool {
    let caller = Caller::new(world.hub.users(), ca).unwrap();
    match caller.connect(Version::H1).await {
        Ok(mut connection) => {
            let ready = Ask::bare(Method::GET, "/health/readiness", "");
            connection.send(ready.request()).await.is_ok_and(|answer| answer.status() == 200)
        }
        Err(_) => false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_under_load_swaps_certificate_and_limits_and_drops_nothing() {
    let mut world = world().await;
    let hubs_own = world.hub.ca();
    let streams = Streams::start(&world, STREAMS, 5, "pace=50ms,deltas=100").await;
    let mut standing = connect(&world, Version::H1).await;

    let ca = certificate(&world, "own");
    settings(
        &world,
        "[users]\ncertificate = { chain = \"own.pem\", key = \"own.key\" }\n\
         [limits]\nbody_bytes_max = 2000\nconnections_max = 77\n[log]\nlevel = \"info,weft_hub=debug\"\n",
    );
    let reloaded = world.hub.ask(&["reload"]).unwrap();
    assert_eq!(
        keys(&reloaded["changed"]),
        ["limits.body_bytes_max", "log.level", "users.certificate"]
    );
    assert_eq!(keys(&reloaded["restart"]), ["limits.connections_max"]);
    assert!(reloaded["users_certificate_until"].is_string());
    assert!(trusted_by(&world, &ca).await, "new connections see the new certificate");
    assert!(!trusted_by(&world, &hubs_own).await);
    // The new limit holds on a connection that stood before.
    let mut large = Ask::chat(&world, false, "");
    large.body = format!("{}{}", String::from_utf8_lossy(&large.body), " ".repeat(3_000)).into();
    assert_eq!(large.on(&mut standing).await.status, 413);

    // A mistake anywhere changes nothing, and is named.
    settings(&world, "[limits]\nbody_bytes_max = 4000\nexchange_secs = 1\n");
    let refused = world.hub.ask(&["reload"]).unwrap_err().to_string();
    assert!(refused.contains("limits.exchange_secs") && refused.contains("nothing"), "{refused}");
    settings(
        &world,
        "[users]\ncertificate = { chain = \"own.pem\", key = \"gone.key\" }\n\
         [limits]\nbody_bytes_max = 4000\n",
    );
    let refused = world.hub.ask(&["reload"]).unwrap_err().to_string();
    assert!(refused.contains("gone.key"), "{refused}");
    assert_eq!(large.over_as(&world, &ca).await, 413);

    // SIGHUP does the same, without an answer.
    settings(&world, "");
    world.hub.process().signal(Signal::HUP).unwrap();
    until("the hub's own certificate", LIMIT, async || {
        trusted_by(&world, &hubs_own).await.then_some(())
    })
    .await;
    assert!(!trusted_by(&world, &ca).await);
    large.over(&world, Version::H2).await.whole(200);

    let answers = streams.end().await;
    assert_eq!(answers.len(), STREAMS);
    for answer in answers {
        answer.whole(200);
        assert!(answer.text().ends_with("data: [DONE]\n\n"));
    }
    println!("{STREAMS} streams ran through two reloads and two refused ones");
    world.end().await.unwrap();
}

impl Ask {
    /// The status that a user who trusts `ca` gets.
    async fn over_as(&self, world: &World, ca: &Path) -> u16 {
        let caller = Caller::new(world.hub.users(), ca).unwrap();
        let mut connection = caller.connect(Version::H1).await.unwrap();
        self.on(&mut connection).await.status
    }
}
