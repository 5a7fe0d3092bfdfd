//! Backups of yesterday: a hub that is restored learns from its agents what it had paid, and an
//! agent that is restored begins a new epoch. Neither is paid twice.

use super::books::{Books, agent_says, agreed, complaints, verified};
use super::prices::activate;
use crate::talk::*;
use serde_json::Value;
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;
use weft_loadtest::mesh::process::{answer, command};
use weft_loadtest::mesh::world::{Plan, USER, World};
use weft_loadtest::mesh::{Doors, Hub, Version};
use weft_proto::provider::Provider;

async fn served(world: &World, count: usize) {
    for turn in 0..count {
        let sim = format!("input={},output=9", 100 + turn);
        Ask::chat(world, false, &sim).over(world, Version::H2).await.whole(200);
        Ask::message(world, true, &sim).over(world, Version::H1).await.whole(200);
    }
}

/// One word of a program's command line on `data`.
fn say(program: &Path, data: &Path, words: &[&str]) {
    let mut said = command(program);
    said.args(words).arg("--data").arg(data);
    answer(said, "").expect("the command is content");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_of_yesterday_learns_from_its_agents_what_it_has_paid() {
    let mut world = world().await;
    activate(&world);
    served(&world, 2).await;
    let yesterday = agreed(&world, &[USER]).await;
    let file = world.dir().join("yesterday.tar");
    let (program, data) = (world.binaries().hub(), world.hub.data().to_owned());
    say(&program, &data, &["backup", "--to", &file.display().to_string()]);
    served(&world, 3).await;
    let today = agreed(&world, &[USER]).await;
    assert!(today.income > yesterday.income);

    let doors = Doors {
        users: world.hub.users(),
        agents: world.hub.agents(),
        admin: world.hub.addresses().admin,
    };
    world.hub.process().kill();
    let restored = world.dir().join("restored");
    say(&program, &restored, &["restore", "--from", &file.display().to_string()]);
    let log = world.hub_log();
    world.hub = Hub::serve(&program, &restored, doors, &[], &log).await.unwrap();
    world.hub.offers(Provider::ALL.len()).await.unwrap();

    // What agents were told is theirs; the hub knows it again, and says what it had forgotten.
    let repaired = restored_to(&world, today.income).await;
    let sums = (repaired.income, repaired.owned);
    assert_eq!(sums, (today.income, today.income), "{}", complaints(&world));
    let log = std::fs::read_to_string(world.hub_log()).unwrap();
    assert!(log.contains("hub_restored"), "the operator is told");
    verified(&world);
    // What users had paid after the backup is what the backup cannot know.
    assert_eq!(repaired.left, yesterday.left);

    served(&world, 1).await;
    let on = agreed(&world, &[USER]).await;
    assert!(on.income > today.income && on.income == on.owned);
    world.end().await.unwrap();
}

/// Waits until the hub has the owner's income again.
async fn restored_to(world: &World, income: i128) -> Books {
    let began = Instant::now();
    loop {
        let books = Books::read(world, &[USER]);
        if books.owned == income || began.elapsed() > LIMIT / 2 {
            return books;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_of_yesterday_begins_a_new_epoch_and_is_paid_nothing_twice() {
    let mut world = world().await;
    activate(&world);
    served(&world, 2).await;
    let yesterday = agreed(&world, &[USER]).await;
    let file = world.dir().join("yesterday.tar");
    let (program, data) = (world.binaries().agent_sim(), world.agents[0].agent.data().to_owned());
    say(&program, &data, &["backup", "--to", &file.display().to_string()]);
    served(&world, 3).await;
    let today = agreed(&world, &[USER]).await;

    world.agents[0].process.end(Duration::from_secs(10)).await.unwrap();
    std::fs::rename(&data, world.dir().join("today")).unwrap();
    say(&program, &data, &["restore", "--from", &file.display().to_string()]);
    world.restart_agent(0).unwrap();
    world.hub.offers(Provider::ALL.len()).await.unwrap();
    served(&world, 2).await;
    // The hub's word stands, whatever the copy has forgotten of it.
    let began = Instant::now();
    let books = loop {
        let books = Books::read(&world, &[USER]);
        let decided = books.waiting().next().is_none()
            && books.settled.values().all(|settled| settled.leg != "open");
        if decided && books.settled.len() == today.settled.len() + 4 {
            break books;
        }
        assert!(began.elapsed() < LIMIT / 2, "not decided: {books:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    verified(&world);
    for (id, paid) in &today.paid {
        assert_eq!(books.paid.get(id), Some(paid), "{id}");
    }
    let new = books.owned - today.owned;
    assert!(new > 0);
    assert_eq!(books.income - yesterday.income, new, "what came since is told by both");
    let (_, text, _) = agent_says(&world, 0, &["ledger", "verify"]);
    let verdict: Value = serde_json::from_str(&text).unwrap();
    assert!(verdict["epoch"].as_u64() > Some(1), "{verdict}");
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_claimed_while_nobody_listened_is_paid_when_somebody_does() {
    let mut world = begin(Plan { agents: 2, ..Plan::default() }).await;
    activate(&world);
    served(&world, 4).await;
    // Whatever was not said yet is said by an agent that comes back after days, as it were.
    for turn in 0..2 {
        world.agents[turn].process.kill();
    }
    world.restart_hub().await.unwrap();
    for turn in 0..2 {
        world.restart_agent(turn).unwrap();
    }
    world.hub.offers(2 * Provider::ALL.len()).await.unwrap();
    let books = agreed(&world, &[USER]).await;
    assert_eq!(books.settled.len(), 8);
    assert!(books.income > 0);
    world.end().await.unwrap();
}
