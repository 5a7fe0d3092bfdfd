//! The hub's ledger key is replaced, twice: an agent that is connected follows at its next
//! connection, one that was away follows both at once, and what was signed before holds.

use super::books::{agent_says, agreed};
use super::prices::activate;
use crate::talk::*;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;
use weft_loadtest::mesh::process::{answer, command};
use weft_loadtest::mesh::world::{Plan, USER, World};
use weft_loadtest::mesh::{MeshError, Version};
use weft_proto::provider::Provider;

/// What a word of the hub's command line says, beside a running hub or without one.
fn hub_says(world: &World, words: &[&str]) -> Result<Value, MeshError> {
    let mut said = command(&world.binaries().hub());
    said.args(words).arg("--json").arg("--data").arg(world.hub.data());
    answer(said, "").map(|text| serde_json::from_str(&text).expect("JSON"))
}

/// What an agent was shown of the hub's journal until now, in a file.
fn evidence(world: &World, agent: usize, name: &str) -> PathBuf {
    let mut said = command(&world.binaries().agent_sim());
    said.args(["ledger", "evidence", "--data"]).arg(world.agents[agent].agent.data());
    let file = world.dir().join(name);
    std::fs::write(&file, answer(said, "").expect("evidence")).unwrap();
    file
}

/// Fails unless an agent's ledger holds, and the hub has shown it what it showed another.
#[track_caller]
fn holds_against(world: &World, agent: usize, file: &Path) {
    let file = file.display().to_string();
    let (content, text, error) =
        agent_says(world, agent, &["ledger", "verify", "--against", &file]);
    assert!(content, "{text}{error}");
    let verdict: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&verdict["ok"], &verdict["hub_findings"]), (&true.into(), &Value::Array(vec![])));
}

/// Replaces the key while the hub does not run: the new one.
async fn rotated(world: &mut World, before: usize) -> String {
    let refused = hub_says(world, &["ledger", "rotate-key"]);
    assert!(refused.is_err(), "a hub that runs would go on with the old key");
    world.hub.process().end(Duration::from_secs(10)).await.unwrap();
    let said = hub_says(world, &["ledger", "rotate-key"]).unwrap();
    assert_eq!(said["before"].as_array().unwrap().len(), before);
    // What the old keys have signed of the journal of tickets holds.
    let tickets = hub_says(world, &["ledger", "verify", "--tickets"]).unwrap();
    assert_eq!(tickets["agrees"], true, "{tickets}");
    assert!(tickets["tickets"]["checkpoints"].as_u64() > Some(0), "{tickets}");
    assert_eq!(tickets["tickets"]["unsigned"], 0, "{tickets}");
    world.restart_hub().await.unwrap();
    said["key"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_follow_a_ledger_key_that_is_replaced_and_what_the_old_one_signed_holds() {
    let mut world = begin(Plan { agents: 2, ..Plan::default() }).await;
    activate(&world);
    let served = async |world: &World| {
        for _ in 0..4 {
            Ask::chat(world, false, "input=100,output=9").over(world, Version::H2).await.whole(200);
        }
    };
    served(&world).await;
    let first = agreed(&world, &[USER]).await;
    let before = [evidence(&world, 0, "0-before"), evidence(&world, 1, "1-before")];

    world.agents[1].process.end(Duration::from_secs(10)).await.unwrap();
    let one = rotated(&mut world, 1).await;
    world.hub.offers(Provider::ALL.len()).await.unwrap();
    served(&world).await;
    let two = rotated(&mut world, 2).await;
    assert_ne!(one, two);
    world.restart_agent(1).unwrap();
    world.hub.offers(2 * Provider::ALL.len()).await.unwrap();
    served(&world).await;

    let last = agreed(&world, &[USER]).await;
    assert!(last.income > first.income && last.settled.len() == first.settled.len() + 8);
    let after = [evidence(&world, 0, "0-after"), evidence(&world, 1, "1-after")];
    for (agent, other) in [(0, 1), (1, 0)] {
        for file in [&before[other], &after[other], &before[agent]] {
            holds_against(&world, agent, file);
        }
    }
    world.end().await.unwrap();
}
