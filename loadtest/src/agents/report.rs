//! The figures of a run, as they are written for a script.
//!
//! Times are milliseconds with fractions unless their names say otherwise; `…_at_ms` are UNIX time.

use crate::bench::process::Memory;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// What the document says of itself.
pub(super) const TOOL: &str = "weft-loadtest agents";
/// Grows when a field changes its meaning.
pub(super) const VERSION: u32 = 1;

/// A whole run.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) tool: &'static str,
    pub(super) version: u32,
    pub(super) mode: &'static str,
    pub(super) seed: u64,
    pub(super) settings: serde_json::Value,
    pub(super) began_at_ms: u64,
    pub(super) took_ms: f64,
    pub(super) interrupted: bool,
    pub(super) failed: Option<String>,
    pub(super) join: Option<Joining>,
    pub(super) opened: Option<Opened>,
    pub(super) end: End,
    pub(super) exchanges: Exchanges,
    pub(super) hub: Option<HubFigures>,
    pub(super) own: Own,
    #[serde(flatten)]
    pub(super) figures: Option<Figures>,
}

/// What a mode came to, under the mode's name.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Figures {
    Idle(Idle),
    Storm(Storm),
    Flapping(Flapping),
    Slow(Slow),
    Hostile(Hostile),
}

/// How the agents came to their identities.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct Joining {
    pub(super) joined: usize,
    pub(super) reused: usize,
    pub(super) took_ms: f64,
}

/// How their tunnels were opened the first time.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Opened {
    pub(super) in_service: usize,
    pub(super) took_ms: f64,
    pub(super) failures: u64,
    pub(super) refused: u64,
    /// From the first packet to WELCOME and the accounts' announcement.
    pub(super) each_ms: Percentiles,
}

/// How things stood when the mode was done.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct End {
    pub(super) in_service: usize,
}

/// Exchanges that the light agents answered.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct Exchanges {
    pub(super) served: u64,
    pub(super) broken: u64,
}

/// What the kernel says of the hub.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct HubFigures {
    pub(super) pid: u32,
    pub(super) before: Memory,
    pub(super) with_agents: Option<Memory>,
    pub(super) at_end: Option<Memory>,
    pub(super) kib_per_agent: Option<f64>,
    pub(super) open_cpu_ms: Option<f64>,
    pub(super) hold_cpu_ms: Option<f64>,
}

/// What the kernel says of this process.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct Own {
    pub(super) rss_kib: u64,
    pub(super) cpu_ms: f64,
    pub(super) open_files: usize,
}

/// Mode idle.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Idle {
    pub(super) hold_ms: f64,
    pub(super) lost: u64,
    pub(super) keep_alives: u64,
    pub(super) keep_alives_per_second: f64,
    pub(super) hub_cpu_percent_of_a_core: Option<f64>,
    pub(super) hub_cpu_percent_per_2000_agents: Option<f64>,
}

/// Mode storm.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Storm {
    /// Whether this process dropped the connections itself.
    pub(super) dropped: bool,
    pub(super) lost: usize,
    pub(super) lost_first_at_ms: Option<u64>,
    pub(super) lost_last_at_ms: Option<u64>,
    pub(super) back_first_at_ms: Option<u64>,
    pub(super) back_last_at_ms: Option<u64>,
    /// Since the first loss.
    pub(super) lost_after_ms: Percentiles,
    /// Since the first loss.
    pub(super) back_after_ms: Percentiles,
    /// Each agent's own.
    pub(super) away_ms: Percentiles,
    pub(super) attempts: u64,
    pub(super) handshake_failures: u64,
    pub(super) refused: BTreeMap<&'static str, u64>,
    pub(super) lost_again: u64,
}

/// Mode flapping.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Flapping {
    pub(super) flapping: usize,
    pub(super) losses_made: u64,
    pub(super) reconnected: u64,
    pub(super) failures: u64,
    pub(super) refused: BTreeMap<&'static str, u64>,
    pub(super) away_ms: Percentiles,
    pub(super) steady_lost: u64,
}

/// Mode slow.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Slow {
    pub(super) slow: usize,
    pub(super) handshake_ms: Percentiles,
    pub(super) steady_lost: u64,
    pub(super) slow_lost: u64,
}

/// Mode hostile.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Hostile {
    pub(super) steady_lost: u64,
    pub(super) kinds: BTreeMap<&'static str, Attempts>,
}

/// What became of one kind of hostility.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub(super) struct Attempts {
    pub(super) tried: u64,
    pub(super) as_expected: u64,
    pub(super) otherwise: u64,
}

/// Of so many samples, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub(super) struct Percentiles {
    pub(super) samples: usize,
    pub(super) p50: f64,
    pub(super) p90: f64,
    pub(super) p99: f64,
    pub(super) max: f64,
}

impl Percentiles {
    /// Of all of `samples`, exactly: they are few enough to be sorted.
    pub(super) fn of(mut samples: Vec<Duration>) -> Self {
        samples.sort_unstable();
        let at = |percent: usize| {
            let rank = (samples.len() * percent).div_ceil(100).max(1) - 1;
            samples.get(rank).map_or(0.0, |time| millis(*time))
        };
        Self { samples: samples.len(), p50: at(50), p90: at(90), p99: at(99), max: at(100) }
    }
}

/// A duration in milliseconds.
pub(super) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}
