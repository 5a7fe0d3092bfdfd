//! Agents and hubs that go away: killed, drained, restarted.

use crate::talk::*;
use rustix::process::Signal;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;
use weft_loadtest::mesh::world::{Plan, World};
use weft_loadtest::mesh::{Caller, Version};

const STREAMS: usize = 200;
const CONNECTIONS: usize = 4;

/// How often the provider was called with each `idempotency-key`.
fn calls(world: &World) -> BTreeMap<String, usize> {
    let mut calls = BTreeMap::new();
    for record in world.provider.received() {
        if let Some(id) = received(&record, "idempotency-key") {
            *calls.entry(id.to_owned()).or_default() += 1;
        }
    }
    calls
}

fn named(ask: Ask, name: &str) -> Ask {
    ask.with("idempotency-key", name)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_agent_takes_its_own_streams_and_nothing_else() {
    let mut world = begin(Plan { agents: 2, ..Plan::default() }).await;
    let mut streams = JoinSet::new();
    let mut connections = Vec::new();
    for connection in 0..CONNECTIONS {
        let mut open = connect(&world, Version::H2).await;
        for stream in 0..STREAMS / CONNECTIONS {
            let name = format!("s-{connection}-{stream}");
            let ask = named(Ask::chat(&world, true, "pace=100ms,deltas=60"), &name);
            let answer = open.start(ask.request()).unwrap();
            streams.spawn(async move {
                let began = Instant::now();
                (name, Answer::read(answer.await.unwrap(), began).await)
            });
        }
        connections.push(open);
    }
    let began = tokio::time::timeout(
        LIMIT,
        world.provider.wait_for(|records| {
            (records.iter().filter(|record| record.events > 0).count() == STREAMS).then_some(())
        }),
    );
    began.await.expect("all streams run");

    let dead = world.agents[0].id.clone();
    let killed = Instant::now();
    world.agents[0].process.kill();
    // What new users see from that moment on, each on a connection of their own.
    let mut probing = JoinSet::new();
    for probe in 0..60 {
        let (sent, ask) =
            (killed.elapsed(), named(Ask::chat(&world, false, ""), &format!("p-{probe}")));
        let caller = world.caller().clone();
        probing.spawn(async move {
            let mut connection = caller.connect(Version::H1).await.unwrap();
            (sent, ask.on(&mut connection).await.status)
        });
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    let probes = probing.len();
    let probed = probing.join_all().await;
    let failed: Vec<_> = probed.iter().filter(|(_, status)| *status != 200).collect();
    let last_failure = failed.iter().map(|(sent, _)| *sent).max().unwrap_or_default();
    println!(
        "SIGKILL: {} of {probes} new requests failed, the last one sent after {last_failure:?}",
        failed.len()
    );
    assert!(last_failure < Duration::from_secs(2), "{failed:?}");

    let answers: Vec<_> = streams.join_all().await;
    let rows = rows_when(&world, STREAMS + probes).await;
    let agents: BTreeMap<&str, &str> = rows
        .iter()
        .map(|row| (row["id"].as_str().unwrap(), row["agent"].as_str().unwrap_or("none")))
        .collect();
    let records = world.provider.received();
    let (mut lost, mut latest) = (0, Duration::ZERO);
    for (name, answer) in &answers {
        let id = answer.header("weft-request-id").unwrap();
        if agents[id] == dead {
            lost += 1;
            let (row, end) =
                (rows.iter().find(|row| row["id"] == *id).unwrap(), answer.text().len());
            let tail = &answer.text()[end.saturating_sub(300)..];
            let told = answer.status == 502 || answer.broken.is_some();
            assert!(told, "{name} ended cleanly: {row} …{tail}");
            assert!(!answer.text().contains("[DONE]"), "{name}");
            assert!(answer.text().contains("\"error\""), "{name} tells nothing");
            latest = latest.max(answer.frames.last().unwrap().1);
        } else {
            answer.whole(200);
            let mut found =
                records.iter().filter(|record| received(record, "idempotency-key") == Some(name));
            let record = found.next().unwrap();
            assert_eq!(record.answer_sha256.as_deref(), Some(&*sha256(&answer.body)), "{name}");
        }
    }
    println!("{lost} streams of the dead agent, {} survivors; told at {latest:?}", STREAMS - lost);
    assert!((20..=180).contains(&lost), "the load was not spread: {lost}");
    assert!(calls(&world).values().all(|count| *count == 1), "a request was called twice");
    let ends: BTreeSet<_> = rows
        .iter()
        .filter(|row| row["agent"] == *dead && row["status"] == 200)
        .map(|row| row["end"].as_str().unwrap())
        .collect();
    assert!(ends.iter().all(|end| ["tunnel_lost", "complete"].contains(end)), "{ends:?}");
    world.end().await.unwrap();
}

/// Keeps asking until told to stop; what failed.
async fn load(
    caller: Caller,
    ask: Ask,
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
) -> Vec<String> {
    let mut failures = Vec::new();
    let mut connection = caller.connect(Version::H1).await.unwrap();
    while !stop.load(Ordering::Relaxed) {
        let answer = ask.on(&mut connection).await;
        if answer.status != 200 || answer.broken.is_some() {
            failures.push(format!("{} {:?} {}", answer.status, answer.broken, answer.text()));
        }
        done.fetch_add(1, Ordering::Relaxed);
    }
    failures
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_drains_fails_nobody() {
    let mut world = begin(Plan { agents: 2, ..Plan::default() }).await;
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut workers = JoinSet::new();
    for _ in 0..20 {
        let ask = Ask::chat(&world, true, "pace=20ms,deltas=10");
        workers.spawn(load(world.caller().clone(), ask, Arc::clone(&stop), Arc::clone(&done)));
    }
    tokio::time::sleep(Duration::from_millis(1_000)).await;
    let (drained, asked) = (world.agents[0].id.clone(), Instant::now());
    world.agents[0].process.signal(Signal::TERM).unwrap();
    let status = world.agents[0].process.wait(Duration::from_secs(20)).await.unwrap();
    println!("SIGTERM: the agent ended after {:?} ({status})", asked.elapsed());
    assert!(status.success(), "{}", world.agents[0].process.tail());
    let before = done.load(Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    stop.store(true, Ordering::Relaxed);
    let failures: Vec<_> = workers.join_all().await.into_iter().flatten().collect();
    let all = done.load(Ordering::Relaxed);
    println!("{all} requests, {} of them after the agent had gone", all - before);
    assert!(failures.is_empty(), "{failures:?}");
    assert!(all > before + 20);
    let rows = rows_when(&world, all).await;
    assert!(rows.iter().any(|row| row["agent"] == *drained));
    assert!(rows.iter().all(|row| row["end"] == "complete"));
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_is_asked_to_stop_lets_its_streams_finish() {
    let mut world = world().await;
    let mut connection = connect(&world, Version::H1).await;
    let ask = Ask::chat(&world, true, "pace=20ms,deltas=100");
    let streaming = Reading::of(&ask, &mut connection);
    let running = world
        .provider
        .wait_for(|records| records.iter().any(|record| record.events > 3).then_some(()));
    tokio::time::timeout(LIMIT, running).await.unwrap();
    world.hub.process().signal(Signal::TERM).unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let ready = Ask::bare(http::Method::GET, "/health/readiness", "");
    match world.connect(Version::H1).await {
        Ok(mut connection) => {
            if let Ok(answer) = connection.send(ready.request()).await {
                assert_eq!(answer.status(), 503, "still ready");
            }
        }
        Err(_) => println!("the door is closed"),
    }
    let answer = streaming.end().await;
    same_at_both_ends(&ask, answer.whole(200), &last(&world).await);
    assert!(answer.text().ends_with("data: [DONE]\n\n"));
    drop(connection);
    let status = world.hub.process().wait(Duration::from_secs(20)).await.unwrap();
    assert!(status.success(), "{}", world.hub.process().tail());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_a_hub_at_once_and_no_stream_cleanly() {
    let mut world = world().await;
    let mut connection = connect(&world, Version::H1).await;
    let ask = Ask::chat(&world, true, "pace=20ms,deltas=10000");
    let streaming = Reading::of(&ask, &mut connection);
    let running = world
        .provider
        .wait_for(|records| records.iter().any(|record| record.events > 3).then_some(()));
    tokio::time::timeout(LIMIT, running).await.unwrap();
    world.hub.process().signal(Signal::TERM).unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let forced = Instant::now();
    world.hub.process().signal(Signal::TERM).unwrap();
    world.hub.process().wait(Duration::from_secs(15)).await.unwrap();
    println!("the second signal: ended after {:?}", forced.elapsed());
    let answer = streaming.end().await;
    assert!(answer.broken.is_some() && !answer.text().contains("[DONE]"), "a clean end");
    // What was cut is written down.
    world.restart_hub().await.unwrap();
    let rows = rows_when(&world, 1).await;
    assert_eq!(rows[0]["end"], "shutdown", "{rows:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_come_back_to_a_hub_that_was_killed() {
    let mut world = world().await;
    Ask::chat(&world, true, "").over(&world, Version::H2).await.whole(200);
    world.restart_hub().await.unwrap();
    let up = Instant::now();
    world.hub.offers(4).await.unwrap();
    println!("the agent was back {:?} after the hub", up.elapsed());
    let ask = Ask::chat(&world, true, "");
    same_at_both_ends(&ask, ask.over(&world, Version::H2).await.whole(200), &last(&world).await);
    world.end().await.unwrap();
}
