//! A request that meets a gap between an agent's loss and its return waits for it, and no longer
//! than it was told.

use crate::talk::*;
use rustix::process::Signal;
use std::time::Duration;
use weft_loadtest::mesh::world::{Plan, World};
use weft_loadtest::mesh::{Connection, Version};

/// Shorter than an agent is expected for: whoever is told later has waited in vain.
const PROMPTLY: Duration = Duration::from_secs(20);

async fn waits(agent_wait: &'static str) -> World {
    let hub = vec![("WEFT_LIMITS__AGENT_WAIT_SECONDS", agent_wait)];
    begin(Plan { hub, ..Plan::default() }).await
}

/// A request over a connection of its own, whose answer is read while the story goes on.
struct Asked {
    reading: Reading,
    /// Dropped, its user has left.
    _connection: Connection,
}

impl Asked {
    async fn over(world: &World, version: Version) -> Self {
        let mut connection = connect(world, version).await;
        let reading = Reading::of(&Ask::chat(world, true, ""), &mut connection);
        Self { reading, _connection: connection }
    }

    async fn end(self, within: Duration) -> Answer {
        let Self { reading, _connection } = self;
        tokio::time::timeout(within, reading.end()).await.expect("an answer in time")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_right_after_a_hubs_start_wait_for_their_agent() {
    let mut world = waits("30").await;
    world.restart_hub().await.unwrap();
    let accounts = world.hub.ask(&["account", "list"]).unwrap();
    assert!(accounts.as_array().unwrap().is_empty(), "no gap to wait in: {accounts}");
    for version in VERSIONS {
        Asked::over(&world, version).await.end(LIMIT).await.whole(200);
    }
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_waits_for_an_agent_that_was_lost_and_not_for_one_that_was_revoked() {
    let mut world = waits("30").await;
    world.agents[0].process.end(LIMIT).await.unwrap();
    world.hub.offers(0).await.unwrap();
    let waiting = Asked::over(&world, Version::H2).await;
    let leaver = Asked::over(&world, Version::H1).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(world.provider.received().is_empty());
    drop(leaver);
    world.restart_agent(0).unwrap();
    waiting.end(LIMIT).await.whole(200);
    let rows = rows_when(&world, 2).await;
    let mut ends: Vec<_> = rows.iter().map(|row| row["end"].as_str().unwrap()).collect();
    ends.sort_unstable();
    assert_eq!(ends, ["complete", "user_abort"]);

    // Nobody is expected any more.
    let id = world.agents[0].id.clone();
    world.hub.ask(&["agent", "revoke", &id]).unwrap();
    world.hub.offers(0).await.unwrap();
    let refused = Asked::over(&world, Version::H1).await.end(PROMPTLY).await;
    assert_eq!(refused.whole(503).header("retry-after"), Some("2"));
    // The agent's process ends with an error, as it should: there is no graceful end to wait for.
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_ends_when_its_time_is_over_and_when_the_hub_stops() {
    let mut world = waits("1").await;
    world.agents[0].process.end(LIMIT).await.unwrap();
    world.hub.offers(0).await.unwrap();
    let refused = Asked::over(&world, Version::H2).await.end(PROMPTLY).await;
    assert_eq!(refused.whole(503).header("retry-after"), Some("2"));
    assert_eq!(refused.json()["error"]["code"], "no_agent", "{}", refused.text());
    world.end().await.unwrap();

    let mut world = waits("600").await;
    world.agents[0].process.end(LIMIT).await.unwrap();
    world.hub.offers(0).await.unwrap();
    let waiting = Asked::over(&world, Version::H1).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    world.hub.process().signal(Signal::TERM).unwrap();
    waiting.end(PROMPTLY).await.whole(503);
    world.hub.process().wait(LIMIT).await.unwrap();
}
