//! The document of a run: settings, counts, distributions, and what to beware of.

use super::fault::Fault;
use super::follow::Frames;
use super::histogram::Distribution;
use super::learn::Level;
use super::run::{KindFacts, Outcome};
use super::settings::{Load, Settings};
use super::tally::{KindTally, Second};
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// From this share of a core on an event loop is no honest clock any more.
const BUSY_MAX: f64 = 0.85;
/// And from this lag at the 99th percentile on.
const LAG_P99_US_MAX: f64 = 5_000.0;

/// All that a run found.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Document {
    pub(super) what: &'static str,
    pub(super) version: &'static str,
    pub(super) profile: &'static str,
    pub(super) interrupted: bool,
    pub(super) settings: Told,
    pub(super) window_seconds: f64,
    /// Milliseconds since 1970 at the window's edges.
    pub(super) measured_from_ms: u64,
    pub(super) measured_until_ms: u64,
    pub(super) warnings: Vec<String>,
    pub(super) generator: Generator,
    pub(super) kinds: BTreeMap<&'static str, Measured>,
    pub(super) total: Measured,
    pub(super) timeline: Vec<Second>,
}

/// The settings, with what makes the run again.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Told {
    #[serde(flatten)]
    pub(super) settings: Settings,
    pub(super) addresses: Vec<SocketAddr>,
    /// The words of the command line, its program left out.
    pub(super) argv: Vec<String>,
}

/// What the generator itself was like.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Generator {
    pub(super) threads: u32,
    pub(super) cpu_seconds: f64,
    pub(super) busy: f64,
    pub(super) cpu_us_per_request: Option<f64>,
    pub(super) saturated: bool,
    pub(super) lag: Option<Distribution>,
    pub(super) late: Option<Distribution>,
}

/// The figures of one kind, or of all.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Measured {
    pub(super) weight: u32,
    pub(super) check: Level,
    pub(super) pace_ms: Option<f64>,
    pub(super) counts: Counts,
    pub(super) throughput: Throughput,
    pub(super) bytes: UpDown<u64>,
    pub(super) frames: FramesTold,
    pub(super) errors: Errors,
    pub(super) aborts: Aborts,
    pub(super) connect: Option<Distribution>,
    pub(super) head: Option<Distribution>,
    pub(super) first_byte: Option<Distribution>,
    pub(super) total: Option<Distribution>,
    pub(super) gap: Option<Distribution>,
    pub(super) behind: Option<Distribution>,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Counts {
    pub(super) started: u64,
    pub(super) done: u64,
    pub(super) aborted: u64,
    pub(super) failed: u64,
    pub(super) unfinished: u64,
    pub(super) shed: u64,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Throughput {
    pub(super) requests_per_second: f64,
    pub(super) frames_per_second: f64,
    pub(super) bytes_down_per_second: f64,
    pub(super) bytes_up_per_second: f64,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct UpDown<T> {
    pub(super) up: T,
    pub(super) down: T,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct FramesTold {
    #[serde(flatten)]
    pub(super) frames: Frames,
    pub(super) stalls: u64,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct Errors {
    #[serde(flatten)]
    pub(super) named: BTreeMap<&'static str, u64>,
    pub(super) status: BTreeMap<String, u64>,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Aborts {
    pub(super) before_head: u64,
    pub(super) in_body: u64,
}

/// The document of `outcome`.
///
/// # Errors
/// Never; the histogram's own.
pub(super) fn document(
    settings: Settings,
    addresses: &[SocketAddr],
    outcome: &Outcome,
    buckets: bool,
) -> anyhow::Result<Document> {
    let total = outcome.tally.total()?;
    let seconds = outcome.lasted.as_secs_f64();
    let measure = |tally: &KindTally, weight, facts: &KindFacts| {
        measured(tally, weight, facts, seconds, buckets)
    };
    let kinds = settings.kinds.iter().zip(&outcome.tally.kinds).zip(&outcome.kinds);
    let kinds: BTreeMap<_, _> = kinds
        .map(|((kind, tally), facts)| (kind.name, measure(tally, kind.weight, facts)))
        .collect();
    let weight = settings.kinds.iter().map(|kind| kind.weight).sum();
    let total = measure(&total, weight, &together(&outcome.kinds));
    let generator = generator(&settings, outcome, &total, buckets);
    let warnings = warnings(&settings, outcome, &total, &generator);
    let lasted_ms = u64::try_from(outcome.lasted.as_millis()).unwrap_or(u64::MAX);
    Ok(Document {
        what: "users",
        version: env!("CARGO_PKG_VERSION"),
        profile: if cfg!(debug_assertions) { "debug" } else { "release" },
        interrupted: outcome.interrupted,
        settings: Told {
            settings,
            addresses: addresses.to_vec(),
            argv: std::env::args().skip(1).collect(),
        },
        window_seconds: seconds,
        measured_from_ms: outcome.from_ms,
        measured_until_ms: outcome.from_ms.saturating_add(lasted_ms),
        warnings,
        generator,
        kinds,
        total,
        timeline: outcome.tally.timeline.clone(),
    })
}

/// What all kinds have in common.
fn together(kinds: &[KindFacts]) -> KindFacts {
    let level = match kinds {
        [first, rest @ ..] if rest.iter().all(|kind| kind.level == first.level) => first.level,
        _ => Level::Mixed,
    };
    let pace = match kinds {
        [one] => one.pace,
        _ => None,
    };
    KindFacts { level, pace }
}

fn measured(
    tally: &KindTally,
    weight: u32,
    facts: &KindFacts,
    seconds: f64,
    buckets: bool,
) -> Measured {
    let a_second = |count: u64| if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
    let of = |samples| Distribution::of(samples, buckets);
    let count = |fault| tally.faults.get(&fault).copied().unwrap_or_default();
    let mut status = BTreeMap::new();
    for (fault, count) in &tally.faults {
        if let Fault::Status(code) = fault {
            status.insert(code.to_string(), *count);
        }
    }
    let inside = tally.inside;
    Measured {
        weight,
        check: facts.level,
        pace_ms: facts.pace.map(|pace| pace.as_secs_f64() * 1e3),
        counts: Counts {
            started: tally.started,
            done: tally.done,
            aborted: tally.aborted(),
            failed: tally.failed,
            unfinished: tally.unfinished(),
            shed: tally.shed,
        },
        throughput: Throughput {
            requests_per_second: a_second(inside.requests),
            frames_per_second: a_second(inside.frames),
            bytes_down_per_second: a_second(inside.down),
            bytes_up_per_second: a_second(inside.up),
        },
        bytes: UpDown { up: tally.up, down: tally.down },
        frames: FramesTold { frames: tally.frames, stalls: tally.stalls },
        errors: Errors {
            named: Fault::NAMED.into_iter().map(|(name, fault)| (name, count(fault))).collect(),
            status,
        },
        aborts: Aborts { before_head: tally.aborted_before_head, in_body: tally.aborted_in_body },
        connect: of(&tally.connect),
        head: of(&tally.head),
        first_byte: of(&tally.first),
        total: of(&tally.total),
        gap: of(&tally.gap),
        behind: of(&tally.behind),
    }
}

fn generator(settings: &Settings, outcome: &Outcome, total: &Measured, buckets: bool) -> Generator {
    let lag = Distribution::of(&outcome.tally.lag, buckets);
    let late = match settings.load {
        Load::Open { .. } => Distribution::of(&outcome.tally.late, buckets),
        Load::Closed { .. } => None,
    };
    let lag_p99 = lag.as_ref().map_or(0.0, |lag| lag.p99_us);
    let inside = total.throughput.requests_per_second * outcome.lasted.as_secs_f64();
    let per_request = micros(outcome.cpu) / inside;
    Generator {
        threads: settings.threads,
        cpu_seconds: outcome.cpu.as_secs_f64(),
        busy: outcome.busy,
        cpu_us_per_request: per_request.is_finite().then_some(per_request),
        saturated: outcome.busy > BUSY_MAX || lag_p99 > LAG_P99_US_MAX,
        lag,
        late,
    }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn warnings(
    settings: &Settings,
    outcome: &Outcome,
    total: &Measured,
    generator: &Generator,
) -> Vec<String> {
    let mut warnings = Vec::new();
    if cfg!(debug_assertions) {
        warnings.push("a debug build: its times say nothing".to_owned());
    }
    if outcome.interrupted {
        warnings.push("interrupted: the window was cut short".to_owned());
    }
    if generator.saturated {
        let lag = generator.lag.as_ref().map_or(0.0, |lag| lag.p99_us / 1e3);
        warnings.push(format!(
            "the generator was saturated, or short of a core (busiest event loop {:.0} % of one, \
             lag at p99 {lag:.1} ms): times hold its own delay; give it more --threads, or less to do",
            generator.busy * 100.0
        ));
    }
    let Counts { shed, unfinished, started, .. } = total.counts;
    if shed > 0 {
        warnings.push(format!(
            "{shed} arrivals were shed because --max-in-flight were under way: what they would \
             have waited is in no figure"
        ));
    }
    if unfinished > 0 {
        warnings.push(format!("{unfinished} requests had no end when the run was over"));
    }
    if started == 0 {
        warnings.push("nothing was sent inside the window".to_owned());
    }
    if !total.frames.frames.are_sound() {
        warnings.push("frames did not arrive as they should".to_owned());
    }
    if settings.threads as usize > std::thread::available_parallelism().map_or(1, usize::from) {
        warnings.push("there are more event loops than cores".to_owned());
    }
    warnings
}
