//! Starts the ends, has them work in turns, and prints what they say.

use super::Settings;
use super::table::{Row, Sum, head};
use super::talk::{Answer, Ask, End};
use super::work::Kind;
use super::{agents, hub};
use anyhow::Context;
use clap::ValueEnum;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tokio::time::timeout;
use weft_certs::Authority;
use weft_proto::entropy::OsEntropy;
use weft_proto::ids::HubId;
use weft_proto::time::SystemClock;

/// Handshakes under way at a time while they are counted.
const HANDSHAKES_AT_ONCE: usize = 8;
/// How long processes rest before their memory is read.
const REST: Duration = Duration::from_secs(2);
/// The name that the certificates of a run are made out to, beside the hub's own.
const NAME: &str = "localhost";
/// The work, in its order.
const KINDS: [Kind; 5] = [Kind::Streams, Kind::ManyStreams, Kind::RoundTrips, Kind::Down, Kind::Up];

/// Measures the bare transport between two processes on loopback: handshakes, streams, round
/// trips, bytes, memory of idle connections; with Weft's settings and with quinn's own in turns.
///
/// Figures of a debug build say nothing: build for release.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  weft-loadtest quic --quick\n  \
    weft-loadtest quic --seconds 10 --rounds 3 --connections 10000 --json quic.json")]
pub struct Args {
    /// One short round of each, and 200 idle connections
    #[arg(long)]
    quick: bool,
    /// Seconds of each kind of work in a round
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Rounds of each kind of work
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=100))]
    rounds: u64,
    /// Idle connections whose memory is measured
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=50_000))]
    connections: u32,
    /// Write every figure to this file as JSON, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// What this process is; the command starts both ends itself
    #[arg(long, hide = true, requires = "certs")]
    end: Option<Which>,
    /// The folder with the certificates of the run
    #[arg(long, hide = true)]
    certs: Option<PathBuf>,
    /// Where the hub's end is
    #[arg(long, hide = true)]
    hub: Option<SocketAddr>,
    /// Whose settings
    #[arg(long, hide = true, default_value = "weft")]
    with: Settings,
}

/// Which end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Which {
    /// The one that listens, and opens streams.
    Hub,
    /// The one that dials, and serves them.
    Agents,
}

impl Which {
    const fn name(self) -> &'static str {
        match self {
            Self::Hub => "hub",
            Self::Agents => "agents",
        }
    }
}

/// How much of everything.
#[derive(Debug, Clone, Copy)]
struct Plan {
    each: Duration,
    rounds: u64,
    connections: usize,
}

impl Plan {
    fn of(args: &Args) -> Self {
        if args.quick {
            return Self { each: Duration::from_millis(1_500), rounds: 1, connections: 200 };
        }
        Self {
            each: Duration::from_secs(args.seconds),
            rounds: args.rounds,
            connections: args.connections as usize,
        }
    }

    /// Thrice what it should take: six kinds with both settings, and handshakes, one a
    /// millisecond, with both settings again.
    fn at_most(self) -> Duration {
        let work = self.each * 12 * u32::try_from(self.rounds).unwrap_or(u32::MAX);
        let idle = Duration::from_millis(2 * self.connections as u64) + 4 * REST;
        3 * (work + idle) + Duration::from_secs(30)
    }
}

/// Measures, or is one of the ends.
///
/// # Errors
/// Where an end fails, a byte is missing, or the run takes far longer than it should.
pub async fn run(args: Args) -> anyhow::Result<()> {
    if let (Some(which), Some(certs)) = (args.end, &args.certs) {
        return match which {
            Which::Hub => hub::run(certs, args.with).await,
            Which::Agents => agents::run(certs, args.hub.context("--hub")?, args.with).await,
        };
    }
    let plan = Plan::of(&args);
    let folder = tempfile::tempdir()?;
    let certs = folder.path().join("certs");
    let id = HubId::generate(&SystemClock, &OsEntropy);
    drop(Authority::create(&certs, id, &[NAME.to_owned()], &SystemClock, &OsEntropy)?);
    let rows = timeout(plan.at_most(), measure(&certs, plan))
        .await
        .with_context(|| format!("not done after {:?}", plan.at_most()))??;
    println!("{}", head());
    for row in &rows {
        println!("{}", row.line());
    }
    if let Some(path) = &args.json {
        std::fs::write(path, serde_json::to_vec_pretty(&rows)?)
            .with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

async fn measure(certs: &Path, plan: Plan) -> anyhow::Result<Vec<Row>> {
    let memory = memory(certs, plan.connections).await?;
    let mut pairs =
        [Pair::start(certs, Settings::Weft).await?, Pair::start(certs, Settings::Quinn).await?];
    let mut handshakes = [Sum::default(); 2];
    for round in 0..plan.rounds {
        for (pair, sum) in pairs.iter_mut().zip(&mut handshakes) {
            eprintln!("quic: handshakes, {}, round {}", pair.settings.name(), round + 1);
            pair.handshakes(plan.each, sum).await?;
        }
    }
    for pair in &mut pairs {
        pair.open(1).await?;
    }
    let mut sums = [[Sum::default(); 2]; KINDS.len()];
    for (kind, sums) in KINDS.into_iter().zip(&mut sums) {
        for round in 0..plan.rounds {
            for (pair, sum) in pairs.iter_mut().zip(sums.iter_mut()) {
                eprintln!("quic: {kind:?}, {}, round {}", pair.settings.name(), round + 1);
                pair.work(kind, plan.each, sum).await?;
            }
        }
    }
    let [one, many, trips, down, up] = sums;
    let row = |name: &str, unit, sums: [Sum; 2], figure: fn(&Sum) -> f64| {
        Row::new(name, unit, [figure(&sums[0]), figure(&sums[1])])
    };
    let mut rows = vec![
        row("handshakes, 8 at a time", "/s", handshakes, Sum::a_second),
        row("  one of them, p50", "µs", handshakes, Sum::p50),
        row("  one of them, p99", "µs", handshakes, Sum::p99),
        row("  CPU of the hub's end each", "µs", handshakes, Sum::hub_each),
        row("  CPU of the agents' end each", "µs", handshakes, Sum::agents_each),
        row("streams, one at a time", "/s", one, Sum::a_second),
        row("  opened, 64 B there and back, ended: p50", "µs", one, Sum::p50),
        row("  p99", "µs", one, Sum::p99),
        row("streams, 64 at a time", "/s", many, Sum::a_second),
        row("  CPU of the hub's end each", "µs", many, Sum::hub_each),
        row("  CPU of the agents' end each", "µs", many, Sum::agents_each),
        row("64 B there and back on one stream, p50", "µs", trips, Sum::p50),
        row("  p99", "µs", trips, Sum::p99),
        row("bodies of 64 MiB, hub to agent", "MiB/s", down, Sum::mib_a_second),
        row("  CPU of both ends", "ms/MiB", down, Sum::both_a_mib),
        row("bodies of 64 MiB, agent to hub", "MiB/s", up, Sum::mib_a_second),
        row("  CPU of both ends", "ms/MiB", up, Sum::both_a_mib),
    ];
    rows.extend(memory);
    Ok(rows)
}

/// What idle connections hold, in processes that have done nothing else.
async fn memory(certs: &Path, count: usize) -> anyhow::Result<[Row; 2]> {
    let (mut hub, mut agents) = ([0.0; 2], [0.0; 2]);
    for (index, settings) in Settings::ALL.into_iter().enumerate() {
        eprintln!("quic: {count} idle connections, {}", settings.name());
        let mut pair = Pair::start(certs, settings).await?;
        let before = [pair.hub.usage().await?, pair.agents.usage().await?];
        pair.open(count).await?;
        tokio::time::sleep(REST).await;
        let after = [pair.hub.usage().await?, pair.agents.usage().await?];
        let each =
            |end: usize| (after[end].rss_kib as f64 - before[end].rss_kib as f64) / count as f64;
        (hub[index], agents[index]) = (each(0), each(1));
    }
    let name = |end: &str| format!("memory of an idle connection of {count}, {end} end");
    Ok([Row::new(name("hub's"), "KiB", hub), Row::new(name("agents'"), "KiB", agents)])
}

/// Both ends with the same settings.
struct Pair {
    settings: Settings,
    hub: End,
    agents: End,
}

impl Pair {
    async fn start(certs: &Path, settings: Settings) -> anyhow::Result<Self> {
        let mut hub = End::start(end(Which::Hub, certs, settings)?)?;
        let mut command = end(Which::Agents, certs, settings)?;
        command.arg("--hub").arg(hub.address().await?.to_string());
        Ok(Self { settings, hub, agents: End::start(command)? })
    }

    async fn open(&mut self, connections: usize) -> anyhow::Result<()> {
        done(self.agents.ask(Ask::Open { connections }).await?)?;
        done(self.hub.ask(Ask::Await { connections }).await?)
    }

    async fn handshakes(&mut self, each: Duration, sum: &mut Sum) -> anyhow::Result<()> {
        let before = [self.hub.usage().await?, self.agents.usage().await?];
        let (millis, at_once) = (millis(each), HANDSHAKES_AT_ONCE);
        let figures = self.agents.figures(Ask::Handshakes { millis, at_once }).await?;
        let after = [self.hub.usage().await?, self.agents.usage().await?];
        sum.add(figures, [before[0], after[0]], [before[1], after[1]]);
        Ok(())
    }

    async fn work(&mut self, kind: Kind, each: Duration, sum: &mut Sum) -> anyhow::Result<()> {
        let before = [self.hub.usage().await?, self.agents.usage().await?];
        let figures = self.hub.figures(Ask::Work { kind, millis: millis(each) }).await?;
        let after = [self.hub.usage().await?, self.agents.usage().await?];
        sum.add(figures, [before[0], after[0]], [before[1], after[1]]);
        Ok(())
    }
}

fn done(answer: Answer) -> anyhow::Result<()> {
    anyhow::ensure!(matches!(answer, Answer::Done), "not done but {answer:?}");
    Ok(())
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn end(which: Which, certs: &Path, settings: Settings) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("where is this program?")?);
    command.args(["quic", "--end", which.name(), "--with", settings.name(), "--certs"]).arg(certs);
    Ok(command)
}
