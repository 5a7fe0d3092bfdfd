//! Two hundred worlds, and the proof that a seed is one world and not a family of them.
//!
//! `WEFT_SIM_SEEDS=1000` runs more of them, `WEFT_SIM_SEED=17` one alone.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use weft_loadtest::sim;

/// Worlds that run at the same time, each on a thread of its own.
const THREADS: usize = 2;
/// Worlds of a usual run.
const SEEDS: u64 = 200;
/// Worlds that run twice.
const SEEDS_TWICE: u64 = 10;
/// Worlds between two lines that say how far a long run is.
const TOLD_EVERY: u64 = 100;
/// From so many worlds on, everything below must have happened in some of them.
const SEEDS_TO_SEE_ALL: u64 = 100;
/// What the worlds are there to bring about.
const MUST_HAPPEN: [&str; 24] = [
    "account_fault",
    "charged_as_estimated",
    "charged_as_reported",
    "charged_nothing",
    "complete",
    "cut",
    "deadline",
    "forgotten_and_settled",
    "leg_cut",
    "leg_expired",
    "leg_interrupted",
    "leg_proper",
    "node_lost",
    "orphan_claimed",
    "power_cut",
    "refused",
    "retried",
    "slow_reader",
    "torn",
    "tunnel_lost",
    "upstream_truncated",
    "upstream_unreachable",
    "user_abort",
    "vested",
];

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text:?}")))
}

#[test]
fn two_hundred_seeds_hold() {
    let (first, count) = match number("WEFT_SIM_SEED") {
        Some(seed) => (seed, 1),
        None => (0, number("WEFT_SIM_SEEDS").unwrap_or(SEEDS)),
    };
    let next = AtomicU64::new(first);
    let reports = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count {
                        return;
                    }
                    if seed > first && (seed - first).is_multiple_of(TOLD_EVERY) {
                        println!("{} of {count} worlds have begun", seed - first);
                    }
                    let report = sim::run(seed, false).expect("a world");
                    if !report.holds() {
                        eprintln!("{report}");
                    }
                    reports.lock().expect("lock").push(report);
                }
            });
        }
    });
    let reports = reports.into_inner().expect("lock");
    let mut failed: Vec<u64> =
        reports.iter().filter(|report| !report.holds()).map(|report| report.seed).collect();
    failed.sort_unstable();
    if let Some(seed) = failed.first() {
        panic!(
            "{} of {count} seeds do not hold: {failed:?}; replay one of them by\n  \
             WEFT_LOG=debug cargo run -p weft-loadtest -- sim --seed {seed} --trace",
            failed.len()
        );
    }
    let mut tally: BTreeMap<&str, u64> = BTreeMap::new();
    for (what, times) in reports.iter().flat_map(|report| &report.tally) {
        *tally.entry(what).or_default() += times;
    }
    println!("{tally:?}");
    if count >= SEEDS_TO_SEE_ALL {
        for what in MUST_HAPPEN {
            assert!(tally.contains_key(what), "no {what} in {count} worlds: {tally:?}");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let first = number("WEFT_SIM_SEED").unwrap_or(0);
    for seed in first..first + SEEDS_TWICE {
        // At the same time, so that neither finds the process as the other did.
        let (once, again) = std::thread::scope(|scope| {
            let again = scope.spawn(|| sim::run(seed, true).expect("a world"));
            (sim::run(seed, true).expect("a world"), again.join().expect("no panic"))
        });
        let parts = once.lines.iter().zip(&again.lines).position(|(one, other)| one != other);
        if let Some(line) = parts {
            let from = line.saturating_sub(5);
            panic!(
                "seed {seed} parts at line {line}:\n{}\n--\n{}",
                once.lines[from..once.lines.len().min(line + 3)].join("\n"),
                again.lines[from..again.lines.len().min(line + 3)].join("\n"),
            );
        }
        assert_eq!(once, again);
        assert!(once.events > 100, "a world in which nothing happens proves nothing");
    }
}

#[test]
fn another_seed_is_another_world() {
    let one = sim::run(1, false).expect("a world");
    let other = sim::run(2, false).expect("a world");
    assert_ne!(one.hash, other.hash);
}
