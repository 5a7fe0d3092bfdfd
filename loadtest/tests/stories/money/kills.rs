//! Processes that are killed under load: what was settled is settled once, and what one end calls
//! income the other does.

use super::books::{Books, agreed_within, complaints, verified};
use super::prices::{activate, worth};
use crate::talk::*;
use http_body_util::BodyExt;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use weft_loadtest::mesh::world::{Plan, USER, World};
use weft_loadtest::mesh::{Caller, Version};
use weft_loadtest::provider::Provider as Simulated;
use weft_proto::provider::Provider;
use weft_proto::usage::{Class, Usage};

/// Users at a time.
const WORKERS: usize = 8;
/// The shortest window in which holds wait for their proof.
const WINDOW_SECONDS: &str = "60";
const WINDOW: Duration = Duration::from_secs(60);
/// Kills between two lines that say how far a run is.
const TOLD_EVERY: usize = 25;
/// A ledger of a thousand kills takes longer to read than one of nine.
const READ_A_KILL: Duration = Duration::from_millis(300);
/// What every answer costs that comes whole.
const SIM: &str = "pace=4ms,deltas=16,input=100,output=16";

/// What a worker saw: exchanges whose answer came whole, and how many did not.
#[derive(Debug, Default)]
struct Seen {
    whole: Vec<String>,
    broken: usize,
}

/// Asks again and again until told to stop, whatever becomes of it.
async fn load(caller: Caller, asks: Vec<Ask>, stop: Arc<AtomicBool>) -> Seen {
    let mut seen = Seen::default();
    let mut turn = 0;
    'connect: while !stop.load(Ordering::Relaxed) {
        let connected = timeout(Duration::from_secs(3), caller.connect(Version::H1)).await;
        let Ok(Ok(mut connection)) = connected else {
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        while !stop.load(Ordering::Relaxed) {
            let ask = &asks[turn % asks.len()];
            turn += 1;
            let sent = timeout(LIMIT, connection.send(ask.request())).await;
            let Ok(mut response) = sent.expect("an answer in time") else {
                seen.broken += 1;
                continue 'connect;
            };
            let id = response.headers().get("weft-request-id").cloned();
            let mut whole = response.status() == 200;
            let mut text = Vec::new();
            while let Some(frame) = timeout(LIMIT, response.frame()).await.expect("in time") {
                match frame {
                    Ok(frame) => text.extend(frame.into_data().unwrap_or_default()),
                    Err(_) => {
                        whole = false;
                        break;
                    }
                }
            }
            whole &= !String::from_utf8_lossy(&text).contains("\"error\"");
            match id.filter(|_| whole) {
                Some(id) => seen.whole.push(id.to_str().unwrap().to_owned()),
                None => {
                    seen.broken += 1;
                    // A hub without an agent says so at once: not to be asked a thousand times.
                    sleep(Duration::from_millis(20)).await;
                }
            }
        }
    }
    seen
}

/// Kills now the one, now the other, now both, `kills` times, and starts again what was killed.
async fn kill(world: &mut World, kills: usize) {
    let began = Instant::now();
    for turn in 0..kills {
        if turn > 0 && turn % TOLD_EVERY == 0 {
            let (called, seconds) = (world.provider.stats().total, began.elapsed().as_secs());
            println!("{turn} of {kills} kills in {seconds} s, {called} calls");
        }
        // No two pauses alike: the blow falls anywhere in an exchange.
        sleep(Duration::from_millis(150 + (turn as u64 * 73) % 240)).await;
        let (hub, agent) = (turn % 3 != 0, turn % 3 != 1);
        if agent {
            world.agents[0].process.kill();
        }
        if hub {
            // Kills it first.
            world.restart_hub().await.unwrap();
        }
        if agent {
            world.restart_agent(0).unwrap();
        }
        world.hub.offers(Provider::ALL.len()).await.unwrap();
    }
}

/// What every whole answer costs, and earns.
fn price() -> (i128, i128) {
    worth(&Usage::NONE.with(Class::Input, 100).with(Class::Output, 16), 100)
}

/// Fails unless what came whole is charged at its price or, where both ends forgot it in the same
/// moment, not at all; and nothing that is charged was never called.
fn all_is_charged_once(books: &Books, seen: &[Seen], provider: &Simulated) -> usize {
    let (charge, income) = price();
    let mut forgotten = 0;
    for id in seen.iter().flat_map(|seen| &seen.whole) {
        match books.settled.get(id) {
            Some(settled) if settled.charge == charge => {}
            // The hub had died: its agent's word says what it was worth, as far as it knew.
            Some(settled) => assert!(
                settled.charge <= charge && settled.basis != "reported",
                "{id}: {settled:?}, {:?}",
                books.closes(id).collect::<Vec<_>>()
            ),
            None => forgotten += 1,
        }
    }
    // Only the newest records are kept; all of them are counted.
    let called = provider.stats().total;
    let settled = books.settled.values().filter(|settled| settled.charge > 0).count() as u64;
    assert!(settled <= called, "{settled} charged, {called} called");
    for (id, paid) in &books.paid {
        // What was cut is counted here, by a tokenizer that is not the model's.
        let most = if books.settled[id].basis == "reported" { income } else { income * 3 / 2 };
        let known =
            || format!("{:?} {:?}", books.settled[id], books.closes(id).collect::<Vec<_>>());
        assert!(*paid <= most, "more than the most, {most}, is paid: {paid} for {}", known());
    }
    forgotten
}

/// Waits until the claim window has decided what nobody knew, and returned what was held for it.
async fn window_over(world: &World) -> Books {
    let began = Instant::now();
    loop {
        let books = Books::read(world, &[USER]);
        if books.waiting().next().is_none() && books.held == 0 {
            return books;
        }
        let waiting = books.waiting().count();
        assert!(
            began.elapsed() < WINDOW * 4,
            "{waiting} claims wait, {} is held\n{}",
            books.held,
            complaints(world)
        );
        sleep(Duration::from_secs(1)).await;
    }
}

async fn under_load(kills: usize, whole_window: bool) {
    let mut world = begin(Plan {
        hub: vec![("WEFT_MONEY__CLAIM_WINDOW_SECONDS", WINDOW_SECONDS)],
        ..Plan::default()
    })
    .await;
    activate(&world);
    let asks = vec![Ask::chat(&world, false, SIM), Ask::message(&world, true, SIM)];
    let stop = Arc::new(AtomicBool::new(false));
    let mut workers = JoinSet::new();
    for _ in 0..WORKERS {
        workers.spawn(load(world.caller().clone(), asks.clone(), Arc::clone(&stop)));
    }
    kill(&mut world, kills).await;
    sleep(Duration::from_millis(500)).await;
    stop.store(true, Ordering::Relaxed);
    let seen = workers.join_all().await;
    let within = LIMIT / 2 + READ_A_KILL * u32::try_from(kills).unwrap();
    let mut books = agreed_within(&world, &[USER], within).await;
    let forgotten = all_is_charged_once(&books, &seen, &world.provider);
    let count = |of: fn(&Seen) -> usize| seen.iter().map(of).sum::<usize>();
    let mut ends: BTreeMap<&str, usize> = BTreeMap::new();
    for close in &books.closed {
        *ends.entry(&close.end).or_default() += 1;
    }
    println!(
        "{kills} kills: {} answers came whole, {} did not; {} settled, {} paid, {forgotten} whole \
         ones charged nothing, {} claims that nobody can decide yet; closes {ends:?}",
        count(|seen| seen.whole.len()),
        count(|seen| seen.broken),
        books.settled.len(),
        books.paid.len(),
        books.waiting().count(),
    );
    assert!(count(|seen| seen.whole.len()) > kills, "there was load");
    if whole_window {
        let before = books.income;
        books = window_over(&world).await;
        assert_eq!((books.income, books.owned), (before, before), "nothing proves them");
    }
    // A graceful end and a new start change nothing.
    world.agents[0].process.end(Duration::from_secs(10)).await.unwrap();
    world.restart_hub().await.unwrap();
    world.restart_agent(0).unwrap();
    world.hub.offers(Provider::ALL.len()).await.unwrap();
    let again = Books::read(&world, &[USER]);
    assert_eq!((again.left, again.income, again.owned), (books.left, books.income, books.owned));
    verified(&world);
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_killed_under_load_nothing_is_lost_and_nothing_doubled() {
    under_load(9, false).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: for `make soak`; `WEFT_KILLS` says how many"]
async fn a_thousand_kills_lose_nothing_and_double_nothing() {
    let kills = std::env::var("WEFT_KILLS").ok().and_then(|text| text.parse().ok());
    under_load(kills.unwrap_or(1_000), true).await;
}
