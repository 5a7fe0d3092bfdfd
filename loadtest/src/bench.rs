//! `weft-loadtest bench`: what the mesh adds to a call, beside the same call without it.
//!
//! One run starts the real hub, agent and simulated provider, sends the same requests straight to
//! the provider and through the mesh in turns, and prints the difference. `docs/bench.md` says what
//! every figure means. A lost, altered or reordered frame is a failure of the run; a missed aim is
//! only reported.

mod aborts;
mod agent_log;
mod client;
pub(crate) mod figure;
mod frames;
mod ground;
mod idle;
mod latency;
mod light;
mod meter;
mod money;
pub(crate) mod process;
mod progress;
mod readers;
mod report;
mod script;
mod settle;
mod till;
mod verify;

use anyhow::Context;
use clap::ValueEnum;
use figure::{Aim, Row, Section};
use ground::{Ground, Held};
use progress::Progress;
use report::{Report, Setting};
use std::io::Write;
use std::num::NonZero;
use std::path::PathBuf;
use std::time::Duration;

/// Streams of the phase that shows memory under load.
const MANY_STREAMS: usize = 512;
/// Streams of the phase that shows gaps without much load.
const FEW_STREAMS: usize = 16;
/// How long processes rest before their idle memory is read.
const REST: Duration = Duration::from_secs(1);

/// Measures the mesh beside the simulated provider alone: latency, gaps between frames, throughput,
/// memory.
///
/// Starts weft-hub, weft-agent-sim and a simulated provider as processes of their own, and ends
/// them. Figures of a debug build say nothing: `make bench` builds for release.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  weft-loadtest bench --quick\n  \
    weft-loadtest bench --json bench.json\n  weft-loadtest bench --only latency,frames")]
pub struct Args {
    /// Shorter phases: three minutes at most in place of fifteen, 200 idle agents, 10000 aborted
    /// streams, 2000 slow readers, 200000 entries to verify
    #[arg(long)]
    quick: bool,
    /// Write every figure to this file as JSON, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Run these phases alone
    #[arg(long, value_name = "PHASE,…", value_delimiter = ',')]
    only: Vec<Phase>,
    /// How many idle agents, in place of 1000
    #[arg(long, value_name = "N")]
    agents: Option<usize>,
    /// How many aborted streams, in place of 100000
    #[arg(long, value_name = "N")]
    aborts: Option<u64>,
    /// How many slow readers, in place of 10000
    #[arg(long, value_name = "N")]
    readers: Option<usize>,
}

/// A part of a bench.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Phase {
    /// Memory per idle agent
    Agents,
    /// One request at a time: whole answers and first bytes
    Latency,
    /// Gaps between the frames of paced streams
    Frames,
    /// 512 paced streams at once, and the memory they hold
    Streams,
    /// 64 connections at once, and requests per CPU-second
    Crowd,
    /// Memory over aborted streams
    Aborts,
    /// Memory with slow readers and a large upload, beside the hub's budget
    Readers,
    /// How fast an answer is metered
    Meter,
    /// What charging adds, and the agent's OPEN on the disk
    Money,
    /// Exchanges settled a second, on SQLite and on MariaDB
    Settle,
    /// How long it takes to prove a ledger
    Verify,
}

/// How much of everything.
#[derive(Debug, Clone, Copy)]
struct Plan {
    agents: usize,
    single: Duration,
    first_byte: Duration,
    few_rounds: usize,
    many_rounds: usize,
    crowd_rounds: usize,
    crowd_block: Duration,
    aborts: u64,
    aborts_last: Duration,
    readers: readers::Load,
    money: money::Load,
    settlements: usize,
    proved: verify::Load,
    at_most: Duration,
}

impl Plan {
    const QUICK: Self = Self {
        agents: 200,
        single: Duration::from_secs(6),
        first_byte: Duration::from_secs(4),
        few_rounds: 2,
        many_rounds: 1,
        crowd_rounds: 2,
        crowd_block: Duration::from_millis(1_500),
        aborts: 10_000,
        aborts_last: Duration::from_secs(12),
        readers: readers::Load { readers: 2_000, upload: 64 * 1_024 * 1_024 },
        money: money::Load {
            single: Duration::from_secs(6),
            rounds: 3,
            block: Duration::from_millis(1_500),
            opening: Duration::from_secs(2),
        },
        settlements: 20_000,
        proved: verify::Load { entries: 200_000, settlements: 10_000 },
        at_most: Duration::from_secs(180),
    };

    const FULL: Self = Self {
        agents: 1_000,
        single: Duration::from_secs(30),
        first_byte: Duration::from_secs(20),
        few_rounds: 6,
        many_rounds: 4,
        crowd_rounds: 6,
        crowd_block: Duration::from_secs(3),
        aborts: 100_000,
        aborts_last: Duration::from_secs(150),
        readers: readers::Load { readers: 10_000, upload: 512 * 1_024 * 1_024 },
        money: money::Load {
            single: Duration::from_secs(30),
            rounds: 6,
            block: Duration::from_secs(3),
            opening: Duration::from_secs(5),
        },
        settlements: 100_000,
        proved: verify::Load { entries: 1_000_000, settlements: 100_000 },
        at_most: Duration::from_secs(900),
    };
}

impl Args {
    fn plan(&self) -> Plan {
        let plan = if self.quick { Plan::QUICK } else { Plan::FULL };
        Plan {
            agents: self.agents.unwrap_or(plan.agents),
            aborts: self.aborts.unwrap_or(plan.aborts),
            readers: readers::Load {
                readers: self.readers.unwrap_or(plan.readers.readers),
                ..plan.readers
            },
            ..plan
        }
    }

    fn wants(&self, phase: Phase) -> bool {
        self.only.is_empty() || self.only.contains(&phase)
    }
}

/// Runs the bench and prints its report.
///
/// # Errors
/// Where the mesh does not come up, an exchange fails, the time is up, or a frame was lost.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let json = args.json.clone();
    // One thread for the client: it must not take more of the machine than it needs.
    let bench = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let at_most = args.plan().at_most;
        runtime.block_on(async {
            tokio::time::timeout(at_most, bench(&args)).await.with_context(|| {
                format!("the bench took longer than {} s and was ended", at_most.as_secs())
            })?
        })
    });
    let report = bench.await.context("the bench broke off")??;
    write!(std::io::stdout().lock(), "{report}")?;
    if let Some(path) = json {
        std::fs::write(&path, serde_json::to_vec_pretty(&report)?)
            .with_context(|| path.display().to_string())?;
    }
    anyhow::ensure!(report.frames_lost == 0, "{} frames were lost", report.frames_lost);
    Ok(())
}

async fn bench(args: &Args) -> anyhow::Result<Report> {
    let (plan, progress) = (args.plan(), Progress::start());
    let load_average = process::load_average()?;
    let mut results = Results::default();
    if args.wants(Phase::Agents) {
        progress.say("starting a mesh for the idle agents");
        // Of its own: what other phases leave in the hub's heap would be taken for the agents'.
        let mut ground = Ground::start().await?;
        let (section, each) = idle::idle_agents(&mut ground, plan.agents, &progress).await?;
        results.sections.push(section);
        results.aims.push(Aim {
            what: "hub memory per idle agent",
            measured: each,
            at_most: 40.0,
            unit: "KiB",
        });
    }
    if args.wants(Phase::Readers) {
        let (section, aim) = readers::slow(plan.readers, &progress).await?;
        results.sections.push(section);
        results.aims.push(aim);
    }
    if args.wants(Phase::Meter) {
        let (section, aims) = meter::metered(&progress)?;
        results.sections.push(section);
        results.aims.extend(aims);
    }
    if args.wants(Phase::Settle) {
        let (section, aims) = settle::settled(plan.settlements, &progress).await?;
        results.sections.push(section);
        results.aims.extend(aims);
    }
    if args.wants(Phase::Verify) {
        let (section, aim) = verify::proved(plan.proved, &progress).await?;
        results.sections.push(section);
        results.aims.push(aim);
    }
    if args.wants(Phase::Money) {
        let money::Charged { sections, aims, missing } =
            money::charged(plan.money, &progress).await?;
        results.sections.extend(sections);
        results.aims.extend(aims);
        results.missing += missing;
    }
    let apart =
        [Phase::Agents, Phase::Readers, Phase::Meter, Phase::Settle, Phase::Verify, Phase::Money];
    if args.only.iter().any(|phase| !apart.contains(phase)) || args.only.is_empty() {
        progress.say("starting a mesh");
        let mut ground = Ground::start().await?;
        loaded(args, plan, &mut ground, &mut results, &progress).await?;
        ground.check()?;
    }
    let setting = Setting {
        version: env!("CARGO_PKG_VERSION"),
        profile: if cfg!(debug_assertions) { "debug" } else { "release" },
        cores: std::thread::available_parallelism().map_or(1, NonZero::get),
        load_average,
        lasted_seconds: progress.elapsed().as_secs_f64(),
    };
    let Results { sections, mut aims, missing } = results;
    let frames_lost = missing;
    aims.push(Aim {
        what: "frames lost, altered or out of order",
        measured: frames_lost as f64,
        at_most: 0.0,
        unit: "",
    });
    Ok(Report { setting, sections, aims, frames_lost })
}

/// What has been found so far.
#[derive(Debug, Default)]
struct Results {
    sections: Vec<Section>,
    aims: Vec<Aim>,
    missing: u64,
}

impl Results {
    fn take(&mut self, measured: latency::Measured) {
        self.missing += measured.missing;
        self.sections.push(measured.section);
    }

    fn aim(&mut self, what: &'static str, measured: f64, at_most: f64, unit: &'static str) {
        self.aims.push(Aim { what, measured, at_most, unit });
    }
}

/// The phases that share one mesh. Memory comes before the phases that fill heaps.
async fn loaded(
    args: &Args,
    plan: Plan,
    ground: &mut Ground,
    results: &mut Results,
    progress: &Progress,
) -> anyhow::Result<()> {
    tokio::time::sleep(REST).await;
    let idle = ground.pids().memory()?;
    if args.wants(Phase::Latency) {
        let (measured, [p50, p99]) = latency::single(ground, plan.single, progress).await?;
        results.take(measured);
        results.aim("added latency p50, concurrency 1", p50, 0.5, "ms");
        results.aim("added latency p99, concurrency 1", p99, 2.0, "ms");
        results.take(latency::first_byte(ground, plan.first_byte, progress).await?);
    }
    if args.wants(Phase::Frames) {
        let waves = frames::waves(ground, "frames_16", FEW_STREAMS, plan.few_rounds, progress);
        results.take(waves.await?.measured);
    }
    if args.wants(Phase::Streams) {
        let waves = frames::waves(ground, "frames_512", MANY_STREAMS, plan.many_rounds, progress);
        let waves = waves.await?;
        results.take(waves.measured);
        results.sections.push(memory_section(idle, waves.most, waves.looks));
    }
    if args.wants(Phase::Crowd) {
        let (rounds, block) = (plan.crowd_rounds, plan.crowd_block);
        results.take(latency::crowd(ground, rounds, block, progress).await?);
    }
    if args.wants(Phase::Aborts) {
        let (section, [hub, agent]) =
            aborts::aborted(ground, plan.aborts, plan.aborts_last, progress).await?;
        results.sections.push(section);
        results.aim("hub growth, second half of aborted streams", hub, aborts::FLAT_KIB, "KiB");
        results.aim("agent growth, second half of aborted streams", agent, aborts::FLAT_KIB, "KiB");
    }
    Ok(())
}

/// Memory of a fresh mesh, and with many streams.
fn memory_section(idle: Held, most: Option<Held>, looks: u64) -> Section {
    let mut section = Section::new(
        "memory",
        format!("Resident memory: idle after the start, and with {MANY_STREAMS} paced streams"),
        ["hub RSS", "hub PSS", "agent RSS", "agent PSS"],
    );
    let all = |held: Held| {
        [held.hub.rss_kib, held.hub.pss_kib, held.agent.rss_kib, held.agent.pss_kib]
            .map(|kib| kib as f64 / 1_024.0)
    };
    section.rows.push(Row::new("idle", all(idle), "MiB", 1));
    if let Some(most) = most {
        section.rows.push(Row::new("most seen with the streams", all(most), "MiB", looks));
        let (before, with) = (all(idle), all(most));
        let each = (0..4).map(|at| (with[at] - before[at]) * 1_024.0 / MANY_STREAMS as f64);
        section.rows.push(Row::new("more than idle, per stream", each, "KiB", looks));
    }
    section
}
