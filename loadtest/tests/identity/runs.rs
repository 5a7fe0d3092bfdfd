//! Drawn exchanges: some in every run, a thousand of each dialect and class in `make soak`.

use crate::world;
use weft_loadtest::identity::draw::Exchange;
use weft_loadtest::identity::place::{Class, Upstream};
use weft_loadtest::identity::{LARGE_BYTES, Plan, run};

/// The seed of an ordinary run: the same exchanges each time. `WEFT_IDENTITY_SEED` names another.
const SEED: u64 = 1;
/// Bytes that one run may move; there are two.
const BYTES_MAX: u64 = 1 << 30;
/// Exchanges at once.
const AT_ONCE: usize = 6;
/// Exchanges of each dialect whose sizes are drawn from the whole range.
const ANY: u64 = 16;
/// Exchanges of each dialect with a body of 16 MiB or more.
const LARGE: u64 = 2;
/// Exchanges of each dialect and class in a long run, where `WEFT_IDENTITY_EXCHANGES` says nothing.
const LONG: u64 = 1_000;
/// Exchanges of one dialect and class that a long run plays in one world.
const LONG_STEP: u64 = 20;

fn setting(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")),
        Err(_) => default,
    }
}

async fn ordinary(upstream: Upstream) {
    let seed = setting("WEFT_IDENTITY_SEED", SEED);
    let classes = [(Class::MiB64, LARGE), (Class::Any, ANY)];
    let plan = Plan::of(seed, upstream, &classes, AT_ONCE).within(BYTES_MAX);
    let world = world(upstream).await;
    let report = run(&world, &plan).await;
    println!("{report}");
    world.end().await.expect("the world ends");
    assert!(report.failures.is_empty(), "{report}");
    assert!(report.bytes <= BYTES_MAX, "{} bytes were moved", report.bytes);
    assert!(report.large >= 5, "{} bodies of {LARGE_BYTES} bytes or more", report.large);
    assert!(report.reached * 10 >= report.exchanges * 9, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn drawn_exchanges_are_the_same_at_both_ends_over_http_1_to_the_provider() {
    ordinary(Upstream::H1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn drawn_exchanges_are_the_same_at_both_ends_over_http_2_to_the_provider() {
    ordinary(Upstream::H2).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: part of make soak"]
async fn a_thousand_exchanges_of_each_dialect_and_class_are_the_same_at_both_ends() {
    let seed = setting("WEFT_IDENTITY_SEED", SEED);
    let count = setting("WEFT_IDENTITY_EXCHANGES", LONG);
    let mut differ = 0;
    let classes = &Class::ALL[1..];
    for begin in (0..count).step_by(LONG_STEP as usize) {
        // Half of them over either version: the number's parity says which.
        for upstream in crate::UPSTREAMS {
            let world = world(upstream).await;
            for class in classes {
                let mut plan = Plan::of(seed, upstream, &[(*class, count)], AT_ONCE);
                let step = begin..(begin + LONG_STEP).min(count);
                let parity = upstream as u64;
                plan.places
                    .retain(|place| step.contains(&place.number) && place.number % 2 == parity);
                let report = run(&world, &plan).await;
                println!("{class:?} over {upstream:?}, {step:?}: {report}");
                differ += report.failures.len();
            }
            world.end().await.expect("the world ends");
        }
    }
    assert_eq!(differ, 0, "exchanges differ");
}

/// The plan itself: what an ordinary run is said to cover, it draws.
#[test]
fn an_ordinary_run_draws_every_shape() {
    let mut shapes = std::collections::BTreeSet::new();
    let seed = setting("WEFT_IDENTITY_SEED", SEED);
    for upstream in crate::UPSTREAMS {
        let classes = [(Class::MiB64, LARGE), (Class::Any, ANY)];
        let plan = Plan::of(seed, upstream, &classes, AT_ONCE).within(BYTES_MAX);
        for place in plan.places {
            let exchange = Exchange::draw(seed, place);
            let (request, answer) = (&exchange.request, &exchange.answer);
            shapes.insert(format!("{:?}", place.dialect));
            shapes.insert(format!("user {:?}", exchange.caller));
            shapes.insert(format!("coding {:?}", answer.coding.0));
            shapes.insert(format!("framing {:?}", answer.framing));
            shapes.insert(format!("when {:?}", answer.when));
            shapes.insert(format!("status {}", answer.status.as_u16() / 100));
            shapes.insert(format!("split {:?}", request.split.0));
            shapes.insert(format!("expects {}", request.expects));
            shapes.insert(format!("declared {}", request.declared));
            shapes.insert(format!("trailers {}", answer.trailers.is_some()));
            let end = format!("{:?}", answer.end);
            shapes.insert(format!("end {}", end.split('(').next().unwrap_or_default()));
            if let Some(leaving) = request.leaving {
                let leaving = format!("{leaving:?}");
                shapes.insert(format!("leaving {}", leaving.split('(').next().unwrap_or_default()));
            }
            if answer.status.as_u16() == 204 || answer.status.as_u16() == 304 {
                shapes.insert(format!("status {}", answer.status.as_u16()));
            }
        }
    }
    for shape in [
        "Chat",
        "Responses",
        "Azure",
        "Anthropic",
        "DeepSeek",
        "Form",
        "Speech",
        "user H1",
        "user H2",
        "coding Identity",
        "coding Gzip",
        "coding Deflate",
        "coding Brotli",
        "coding Zstd",
        "framing Length",
        "framing Chunked",
        "when Read",
        "when AtOnce",
        "when Unread",
        "when Duplex",
        "when Never",
        "status 2",
        "status 3",
        "status 4",
        "status 5",
        "status 204",
        "status 304",
        "split Pieces",
        "split Dribble",
        "expects true",
        "declared true",
        "declared false",
        "trailers true",
        "end Proper",
        "end Cut",
        "end Reset",
        "end Short",
        "end Silence",
        "leaving Uploading",
        "leaving Reached",
        "leaving Waiting",
        "leaving Reading",
    ] {
        assert!(shapes.contains(shape), "no exchange with {shape}: {shapes:?}");
    }
}
