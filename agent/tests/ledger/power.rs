//! Power cuts, full disks and failed syncs at every operation of the disk.
//!
//! A seeded script of an agent's life runs until the fault strikes; what was told to be durable is
//! remembered. Then the machine comes back, sometimes only to fail again while it recovers, and the
//! log must hold every remembered entry at its place, nothing that nobody wrote, and go on.

use crate::disk::{Fault, FaultyDisk};
use crate::world::{World, all, kind, more, verify};
use std::sync::Arc;
use weft_agent::ledger::{Ledger, LedgerError};
use weft_proto::entropy::{Entropy as _, SeededEntropy};

/// Points in `make test`; `WEFT_POWER_CUTS` says another number.
const POINTS_IN_TEST: u64 = 400;
/// Points in `make soak`.
const POINTS_IN_SOAK: u64 = 10_000;
/// What one life does at most.
const ACTIONS_MAX: u64 = 60;

/// What has been told to be durable: the longest chain seen while the ledger worked.
#[derive(Debug, Default)]
struct Told(Vec<Vec<u8>>);

/// Lives until the fault strikes, or all is done. Returns whether it struck.
async fn live(world: &World, ledger: &Ledger, told: &mut Told) -> bool {
    let mut open = Vec::new();
    for _ in 0..ACTIONS_MAX {
        let went = world.act(ledger, &mut open).await;
        // Only what the ledger itself calls durable counts.
        more(ledger, &mut told.0).await;
        if went.is_err() {
            open.into_iter().for_each(std::mem::forget);
            return true;
        }
    }
    // As a kill: nobody closes what is open.
    open.into_iter().for_each(std::mem::forget);
    false
}

/// What went wrong with a seed.
#[derive(Debug, PartialEq, Eq)]
enum Wrong {
    /// Entries that were durable are gone or others.
    Lost,
    /// There are entries that nobody asked for.
    Invented,
    /// A fault was taken for corruption.
    Mistaken,
}

async fn one(seed: u64, disk: &Arc<FaultyDisk>) -> Result<(), Wrong> {
    let entropy = SeededEntropy::new(seed);
    let world = World::new(seed);
    let mut told = Told::default();
    let (mut faults, mut cuts) = (0, 0);
    for life in 0..6 {
        let last = life == 5;
        if !last {
            let fault = match entropy.next_u64() % 6 {
                0..3 => Fault::Power,
                3 => Fault::Eio,
                4 => Fault::Enospc,
                _ => Fault::Sync,
            };
            // Often soon, so that recovery itself is struck.
            let within = if entropy.next_u64().is_multiple_of(3) { 8 } else { 120 };
            let at = disk.operations() + 1 + entropy.next_u64() % within;
            disk.fail_at(at, fault);
            cuts += u64::from(fault == Fault::Power);
        }
        match world.open(disk) {
            Ok(ledger) => {
                let now = all(&ledger).await;
                if now.get(..told.0.len()) != Some(&told.0[..]) {
                    return Err(Wrong::Lost);
                }
                // One request was on its way, and the start closes what was left open; an entry more
                // would be one that nobody asked for.
                let more = now[told.0.len()..].iter().filter(|entry| kind(entry) != "close");
                if more.count() > 1 {
                    return Err(Wrong::Invented);
                }
                let verifier = verify(&now);
                assert_eq!(verifier.head(), ledger.head(), "seed {seed}");
                assert_eq!(verifier.unclosed().count(), 0, "seed {seed}: all is closed at a start");
                told.0 = now;
                faults += u64::from(live(&world, &ledger, &mut told).await);
            }
            Err(LedgerError::Corrupt(_)) => return Err(Wrong::Mistaken),
            // The fault struck while it was opened.
            Err(error) => {
                assert!(!last, "seed {seed}: {error}");
                faults += 1;
            }
        }
        disk.restart();
    }
    assert!(faults > 0 || cuts < 5, "seed {seed}: nothing ever failed");
    let epochs = verify(&told.0).totals().epochs;
    assert_eq!(epochs, 1, "seed {seed}: no power cut looks like a restored backup");
    Ok(())
}

/// The disk of a seed: with old sectors or new ones.
fn disk(seed: u64) -> Arc<FaultyDisk> {
    let sector = if seed.is_multiple_of(2) { 512 } else { 4_096 };
    Arc::new(FaultyDisk::new(seed, sector))
}

/// Seeds between two lines that say how far a long run is.
const TOLD_EVERY: u64 = 100;

async fn points(from: u64, count: u64) {
    for seed in from..from + count {
        let done = seed - from;
        if done > 0 && done.is_multiple_of(TOLD_EVERY) {
            println!("{} of {} points", done * 5, count * 5);
        }
        let outcome = one(seed, &disk(seed)).await;
        assert_eq!(outcome, Ok(()), "seed {seed}");
    }
}

fn wanted(usual: u64) -> u64 {
    std::env::var("WEFT_POWER_CUTS").ok().and_then(|count| count.parse().ok()).unwrap_or(usual)
}

#[tokio::test]
async fn no_power_cut_full_disk_or_failed_sync_loses_what_was_durable_or_invents_anything() {
    // Each seed is five faults.
    points(0, POINTS_IN_TEST.min(wanted(POINTS_IN_TEST)).div_ceil(5)).await;
}

#[tokio::test]
async fn a_disk_that_lies_about_its_syncs_is_found_out() {
    // What these tests look for is there to be found.
    let mut lost = 0;
    for seed in 0..20 {
        let disk = disk(seed);
        disk.lie();
        lost += u64::from(one(seed, &disk).await.is_err());
    }
    assert!(lost > 10, "{lost}");
}

#[tokio::test]
#[ignore = "ten thousand points: make soak"]
async fn ten_thousand_power_cuts_lose_nothing_and_invent_nothing() {
    points(1_000_000, wanted(POINTS_IN_SOAK).div_ceil(5)).await;
}
