//! The scenarios: each a file of its own, with its own settings for every level.

mod abort;
mod bulk;
mod idle;
mod overhead;
mod paced;
mod roam;
mod saturate;
mod sibling;
mod soak;
mod storm;
mod turns;

use super::figure::Played;
use super::level::Level;
use super::stage::Stage;
use clap::ValueEnum;
use std::time::Duration;

/// What can be played.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// What each contestant adds to a call, over concurrency
    Overhead,
    /// How many paced streams come through clean, and the CPU of a frame
    Paced,
    /// Requests per CPU-second while p99 keeps a bound
    Saturate,
    /// Token streams beside large uploads, on links with names
    Sibling,
    /// How soon the provider is closed after its user left
    Abort,
    /// Memory and CPU of idle agents
    Idle,
    /// The hub restarted under its agents
    Storm,
    /// The throughput of one agent's link
    Bulk,
    /// An agent's address changes in the middle of streams
    Roam,
    /// Mixed traffic with faults for a long time: memory, leaks
    Soak,
}

impl Scenario {
    /// Those that `run all` plays: soak apart, which is a matter of half an hour for itself.
    pub(crate) const ALL: [Self; 9] = [
        Self::Overhead,
        Self::Paced,
        Self::Saturate,
        Self::Sibling,
        Self::Abort,
        Self::Idle,
        Self::Storm,
        Self::Bulk,
        Self::Roam,
    ];

    /// As it is written.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Overhead => "overhead",
            Self::Paced => "paced",
            Self::Saturate => "saturate",
            Self::Sibling => "sibling",
            Self::Abort => "abort",
            Self::Idle => "idle",
            Self::Storm => "storm",
            Self::Bulk => "bulk",
            Self::Roam => "roam",
            Self::Soak => "soak",
        }
    }

    /// The longest that it may take; then it is broken off.
    pub(crate) const fn at_most(self, level: Level) -> Duration {
        let seconds = match self {
            Self::Overhead => level.of(180, 300, 1_300),
            Self::Paced => level.of(180, 240, 1_400),
            Self::Saturate => level.of(180, 240, 800),
            Self::Sibling => level.of(180, 240, 1_800),
            Self::Abort => level.of(120, 120, 300),
            Self::Idle => level.of(120, 120, 750),
            Self::Storm | Self::Roam => level.of(120, 120, 250),
            Self::Bulk => level.of(120, 120, 350),
            Self::Soak => level.of(180, 600, 3_600),
        };
        Duration::from_secs(seconds)
    }

    /// Plays it. What was measured before something failed stays in `played`.
    ///
    /// # Errors
    /// Where it could not be played to its end.
    ///
    /// # Cancel safety
    /// Dropped, it ends what it started.
    pub(crate) async fn play(self, stage: &Stage, played: &mut Played) -> anyhow::Result<()> {
        match self {
            Self::Overhead => overhead::play(stage, played).await,
            Self::Paced => paced::play(stage, played).await,
            Self::Saturate => saturate::play(stage, played).await,
            Self::Sibling => sibling::play(stage, played).await,
            Self::Abort => abort::play(stage, played).await,
            Self::Idle => idle::play(stage, played).await,
            Self::Storm => storm::play(stage, played).await,
            Self::Bulk => bulk::play(stage, played).await,
            Self::Roam => roam::play(stage, played).await,
            Self::Soak => soak::play(stage, played).await,
        }
    }

    /// What is done, in a sentence or two.
    pub(crate) const fn what(self) -> &'static str {
        match self {
            Self::Overhead => overhead::WHAT,
            Self::Paced => paced::WHAT,
            Self::Saturate => saturate::WHAT,
            Self::Sibling => sibling::WHAT,
            Self::Abort => abort::WHAT,
            Self::Idle => idle::WHAT,
            Self::Storm => storm::WHAT,
            Self::Bulk => bulk::WHAT,
            Self::Roam => roam::WHAT,
            Self::Soak => soak::WHAT,
        }
    }
}
