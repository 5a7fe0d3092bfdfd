//! How long a million entries take to verify: a figure for release builds.

use crate::chain::Chain;
use weft_proto::ledger::verify::{Trust, Verifier};
use weft_proto::ledger::{Body, Verdict};

/// Closes under one signature of the hub, as they come while work goes on.
const CLOSES_PER_BATCH: usize = 32;
/// Entries under one checkpoint.
const ENTRIES_PER_CHECKPOINT: usize = 1_024;

#[test]
#[ignore = "a figure: run it with --release"]
fn a_million_entries_are_verified() {
    let mut chain = Chain::new();
    while chain.entries.len() < 1_000_000 {
        let served: Vec<_> = (0..CLOSES_PER_BATCH).map(|_| chain.served()).collect();
        let words: Vec<_> =
            served.iter().map(|(at, close)| (*at, close, Verdict::Paid, 4_000)).collect();
        let acks = chain.acks(&words);
        chain.put(Body::Acks(acks));
        if chain.entries.len() % ENTRIES_PER_CHECKPOINT < 2 * CLOSES_PER_BATCH + 1 {
            let statement = chain.checkpoint();
            let cosigned = chain.cosigned(&statement);
            chain.put(Body::Cosigned(cosigned));
        }
    }
    let began = machine_now();
    let mut verifier = Verifier::new(Trust::default());
    for entry in &chain.entries {
        verifier.push(entry).expect("an entry");
    }
    verifier.finish(true);
    let took = began.elapsed();
    assert_eq!(verifier.findings(), []);
    println!("{} entries in {took:?}", chain.entries.len());
    // The budget is ten seconds; a build without optimization has no budget.
    assert!(cfg!(debug_assertions) || took.as_secs() < 10, "{took:?}");
}

#[expect(clippy::disallowed_methods, reason = "the figure is of this machine's time")]
fn machine_now() -> std::time::Instant {
    std::time::Instant::now()
}
