//! Receipts: what agents say they have earned, and what the hub says, to the nano-dollar, over kills
//! of either.

use crate::talk::*;
use rustix::process::Signal;
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;
use weft_loadtest::mesh::process::{Process, answer, command};
use weft_loadtest::mesh::world::World;
use weft_loadtest::mesh::{Connection, Version};
use weft_loadtest::provider::Record;

/// What the agent's own ledger says, read offline beside the running agent.
fn agent(world: &World, word: &str) -> Value {
    let mut said = command(&world.binaries().agent());
    said.args(["ledger", word, "--json", "--data"]).arg(world.agents[0].agent.data());
    serde_json::from_str(&answer(said, "").expect("a ledger that holds")).expect("JSON")
}

/// The owners' vesting incomes at the hub, in nano-USD.
fn vesting(world: &World) -> i64 {
    let listed = world.hub.ask(&["ledger", "balance"]).expect("balances");
    let rows = listed.as_array().expect("a list").iter();
    let vesting =
        rows.filter(|row| row["account"].as_str().is_some_and(|a| a.starts_with("vesting")));
    vesting.map(|row| nanos(row["balance"].as_str().expect("an amount"))).sum()
}

/// Decimal USD, not negative, as nano-USD.
fn nanos(usd: &str) -> i64 {
    let (whole, part) = usd.split_once('.').unwrap_or((usd, ""));
    let part: i64 = format!("{part:0<9}").parse().expect("decimals");
    whole.parse::<i64>().expect("USD") * 1_000_000_000 + part
}

/// One answer that comes whole.
async fn chat(world: &World) {
    Ask::chat(world, true, "").over(world, Version::H1).await.whole(200);
}

/// An answer that is under way, its first words with the user already; it ends as it may.
async fn under_way(world: &World) -> (Reading, Connection) {
    let running = |records: &[Record]| records.iter().filter(|record| record.events > 2).count();
    let before = running(&world.provider.received());
    let ask = Ask::chat(world, true, "pace=100ms,deltas=600");
    let mut connection = connect(world, Version::H1).await;
    let answer = Reading::of(&ask, &mut connection);
    let begun = world.provider.wait_for(|records| (running(records) > before).then_some(()));
    tokio::time::timeout(LIMIT, begun).await.expect("it runs");
    (answer, connection)
}

/// It was cut, and the user was told.
async fn cut((answer, connection): (Reading, Connection)) {
    let answer = answer.end().await;
    drop(connection);
    assert!(!answer.text().contains("[DONE]"), "{}", answer.text());
}

/// The session of the agent that is in force at the hub.
fn session(world: &World) -> Option<String> {
    let listed = world.hub.ask(&["agent", "list"]).expect("agents");
    listed[0]["tunnels"][0]["session"].as_str().map(str::to_owned)
}

/// Waits until the hub has the agent on another session than `before`.
async fn back(world: &mut World, before: Option<String>) {
    let began = Instant::now();
    while session(world).is_none_or(|session| Some(session) == before) {
        assert!(began.elapsed() < LIMIT, "the agent does not come back");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    world.hub.offers(4).await.expect("its accounts are back");
}

/// Asks a process to end, and sees that it does by itself and is content.
async fn ends(process: &mut Process) {
    process.signal(Signal::TERM).expect("told");
    let status = process.wait(LIMIT).await.expect("it ends by itself");
    assert!(status.success(), "{status}: {}", process.tail());
}

/// Waits until every close has its final word, and both sides have the same sum.
async fn settled(world: &World, exchanges: u64) {
    let began = Instant::now();
    loop {
        let total = agent(world, "statement")["total"].clone();
        let income: i64 = total["income_nanos"].as_str().expect("nanos").parse().expect("a number");
        let ours = vesting(world);
        if total["exchanges"].as_u64() >= Some(exchanges) && total["waiting"] == 0 && income == ours
        {
            assert!(income > 0, "nothing was earned: {total}");
            assert_eq!(total["refused"], 0, "{total}");
            assert_eq!(total["disputed"], 0, "{total}");
            return;
        }
        assert!(
            began.elapsed() < LIMIT,
            "the agent says {total}, the hub has {ours} nano-USD for its owner"
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_ledgers_have_the_same_sum_over_kills_of_the_hub_and_the_agent() {
    let mut world = world().await;
    for _ in 0..3 {
        chat(&world).await;
    }
    settled(&world, 3).await;

    // The hub is killed in the middle of an answer and comes back: the agent goes on where the
    // hub's store stands, and what was under way is settled by its claim.
    let answer = under_way(&world).await;
    world.restart_hub().await.expect("the hub comes back");
    back(&mut world, None).await;
    cut(answer).await;
    chat(&world).await;
    settled(&world, 5).await;

    // The agent is killed in the middle of another and comes back: its log goes on, and it is paid
    // what the hub has metered.
    let answer = under_way(&world).await;
    let before = session(&world);
    world.restart_agent(0).expect("the agent comes back");
    back(&mut world, before).await;
    cut(answer).await;
    chat(&world).await;
    settled(&world, 7).await;

    // The agent signs a checkpoint every few seconds, where there is news.
    let began = Instant::now();
    let verified = loop {
        let verified = agent(&world, "verify");
        if !verified["cosigned"].is_null() {
            break verified;
        }
        assert!(began.elapsed() < LIMIT, "no checkpoint is cosigned: {verified}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    assert_eq!(verified["ok"], true, "{verified}");
    // Over a kill of the hub and one of the agent, the hub's journal was shown as one.
    assert!(verified["hub_journal"].as_u64() > Some(0), "{verified}");
    assert_eq!(verified["hub_restored"], serde_json::json!([]), "{verified}");
    assert_eq!(verified["hub_findings"], serde_json::json!([]), "{verified}");
    let verified = world.hub.ask(&["ledger", "verify"]).expect("a ledger that agrees");
    assert_eq!(verified["agrees"], true, "{verified}");

    ends(&mut world.agents[0].process).await;
    ends(world.hub.process()).await;
    let verified = agent(&world, "verify");
    assert_eq!((&verified["ok"], &verified["running"]), (&true.into(), &false.into()));
    world.end().await.expect("nothing is left");
}
