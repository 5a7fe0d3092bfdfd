//! The deterministic simulation: hub and agents over the real quinn, in simulated time.
//!
//! A seed stands for a world: agents with accounts of four providers, users with requests of all
//! sizes, and faults (partitions, lost, doubled and late datagrams, crashes and orderly stops of
//! agents, hub and providers, users that go away, answers that are cut or fall silent). The world
//! runs on turmoil: one thread, simulated time, simulated UDP and TCP. Hub and agents are the real
//! ones from the gateway to the vault; only sockets, clock and chance are the simulation's, users
//! call the gateway without HTTPS before it, and providers are spoken to without TLS.
//!
//! Money is on: each answer says what it took, or does not, and the price list is the tests' own. A
//! process that dies has no last word: its disk is what it was at that moment, and where the power
//! goes, without some of what was written and not synced.
//!
//! # What must hold
//! - Every dispatched exchange is settled once, as the table of ends and the price list want it for
//!   what its provider really did; debits equal credits, every balance is the sum of its transfers,
//!   nothing is held and nothing is left in suspense when all is over.
//! - Every agent's chain verifies, every claim in it has the hub's final word, and the words' sum is
//!   what the hub has paid its owner. No finding accuses anybody; only a process that died has lost
//!   the thread of an exchange.
//! - What a hub's journal lost with the power is settled by what agents prove: nothing that an agent
//!   can prove is lost, and nobody pays more than was used.
//! - Every admitted exchange leaves exactly one outcome; only those that run while the hub's
//!   process dies may leave none.
//! - An answer that ended properly for its user is the provider's, byte for byte, and its outcome
//!   says complete; one that did not end properly never looks whole.
//! - No request reaches a provider twice; none is whole there before its user has sent all of it.
//! - Some time after everything is mended all agents are connected and every provider serves, no
//!   exchange is counted as running, and all processes stop in order when they are asked to.
//! - Nothing panics, and the same seed gives the same trace of events, lengths and times.

mod agent;
mod books;
mod clock;
pub mod command;
mod dice;
mod hub;
mod machine;
mod net;
mod plan;
mod power;
mod seen;
mod shape;
mod steady;
mod till;
mod trace;
mod upstream;
mod user;
mod verdict;
mod world;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Once;
use trace::Trace;
use world::World;

/// What became of one seed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// What did not hold; nothing where all did.
    pub wrong: Vec<String>,
    /// How often each thing happened: ends of exchanges by their stored names, `retried` ones,
    /// and answers `cut` after they had begun.
    pub tally: BTreeMap<&'static str, u64>,
    /// Events in the trace.
    pub events: u64,
    /// SHA-256 over the trace, in hexadecimal.
    pub hash: String,
    /// The trace itself, where it was asked for.
    pub lines: Vec<String>,
}

impl Report {
    /// Whether everything held.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.wrong.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for wrong in &self.wrong {
            writeln!(f, "seed {}: {wrong}", self.seed)?;
        }
        let tally: Vec<_> =
            self.tally.iter().map(|(what, count)| format!("{count} {what}")).collect();
        write!(
            f,
            "seed {}: {}; {} events, trace {}",
            self.seed,
            tally.join(", "),
            self.events,
            self.hash
        )
    }
}

/// Runs the world of `seed`; `keep` keeps the lines of its trace. Blocks until the world has ended.
///
/// # Errors
/// Only what keeps the world from being built: a temporary directory that cannot be written.
pub fn run(seed: u64, keep: bool) -> anyhow::Result<Report> {
    count_panics();
    let panics = PANICS.get();
    let root = tempfile::tempdir()?;
    let trace = Trace::new(keep);
    let (mut wrong, tally) = World::build(seed, root.path(), trace.clone())?.live();
    let panicked = PANICS.get() - panics;
    if panicked > 0 {
        wrong.push(format!("{panicked} panics"));
    }
    let (events, hash, lines) = trace.read();
    Ok(Report { seed, wrong, tally, events, hash, lines })
}

thread_local! {
    /// Panics on this thread, on which one world at a time runs.
    static PANICS: Cell<u64> = const { Cell::new(0) };
}

/// Counts panics from now on: a task's panic is caught by its owner and would go unnoticed.
fn count_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICS.set(PANICS.get() + 1);
            before(panic);
        }));
    });
}
