//! The command: what it is asked for, the run from its first invite to its last figure, and how it
//! ends.

use super::clients::{Clients, STREAM_BYTES};
use super::crowd::{Crowd, Lane};
use super::desk::Desk;
use super::life::Flaps;
use super::relay::{self, Way};
use super::report::{End, Figures, Opened, Own, Percentiles, Report, TOOL, VERSION, millis};
use super::settings::Common;
use super::watch::{Bar, HubWatch, free_kib, own};
use super::{flapping, hostile, identities, idle, slow, storm, table};
use crate::bench::process::Who;
use anyhow::Context;
use serde::Serialize;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use weft_proto::time::{Clock, SystemClock};

/// How long the hub may rest before its memory is read.
const REST: Duration = Duration::from_secs(2);
/// What no steady agent offers.
const HOSTILE_MODELS: &str = "hostile-*";

/// Lets tens of thousands of light agents loose on a hub from this one process.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    weft-loadtest agents idle --hub-data /var/lib/weft --count 10000 --hub-pid 4711 --hold 60\n  \
    weft-loadtest agents storm --hub-data /var/lib/weft --count 10000 --drop-all --json storm.json\n  \
    weft-loadtest agents hostile --hub-data /var/lib/weft --count 200 --hold 30")]
pub struct Args {
    #[command(subcommand)]
    mode: Mode,
}

/// What they do.
#[derive(Debug, clap::Subcommand, Serialize)]
#[serde(untagged)]
enum Mode {
    /// They do nothing: memory and CPU time of the hub, keep-alives
    Idle(IdleArgs),
    /// All lose their tunnels at once, and come back
    Storm(StormArgs),
    /// A share loses its tunnels again and again
    Flapping(FlappingArgs),
    /// A share is slow in everything
    Slow(SlowArgs),
    /// Beside them, the agents' door is attacked
    Hostile(HostileArgs),
}

#[derive(Debug, clap::Args, Serialize)]
struct IdleArgs {
    #[command(flatten)]
    #[serde(flatten)]
    common: Common,
    /// How long they are held
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = seconds())]
    hold: u64,
}

#[derive(Debug, clap::Args, Serialize)]
struct StormArgs {
    #[command(flatten)]
    #[serde(flatten)]
    common: Common,
    /// Drop all connections here; otherwise whoever started this restarts the hub
    #[arg(long)]
    drop_all: bool,
    /// How long the hub's restart is waited for
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = seconds())]
    await_loss: u64,
    /// How long all must then stay in service
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = seconds())]
    settle: u64,
}

#[derive(Debug, clap::Args, Serialize)]
struct FlappingArgs {
    #[command(flatten)]
    #[serde(flatten)]
    common: Common,
    /// The share of the agents that flaps
    #[arg(long, value_name = "0..1", default_value_t = 0.2, value_parser = share)]
    share: f64,
    /// The mean time between two losses of one of them
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = seconds())]
    every: u64,
    /// How long they flap
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = seconds())]
    hold: u64,
}

#[derive(Debug, clap::Args, Serialize)]
struct SlowArgs {
    #[command(flatten)]
    #[serde(flatten)]
    common: Common,
    /// The share of the agents that is slow
    #[arg(long, value_name = "0..1", default_value_t = 0.5, value_parser = share)]
    share: f64,
    /// How long they are held
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = seconds())]
    hold: u64,
}

#[derive(Debug, clap::Args, Serialize)]
struct HostileArgs {
    #[command(flatten)]
    #[serde(flatten)]
    common: Common,
    /// Attackers of each kind
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=256))]
    attackers: u32,
    /// How long they attack
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = seconds())]
    hold: u64,
}

fn seconds() -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(1..=86_400)
}

fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| "a number between 0 and 1".to_owned())?;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err("between 0 and 1".to_owned()) }
}

impl Mode {
    const fn common(&self) -> &Common {
        match self {
            Self::Idle(args) => &args.common,
            Self::Storm(args) => &args.common,
            Self::Flapping(args) => &args.common,
            Self::Slow(args) => &args.common,
            Self::Hostile(args) => &args.common,
        }
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::Idle(_) => "idle",
            Self::Storm(_) => "storm",
            Self::Flapping(_) => "flapping",
            Self::Slow(_) => "slow",
            Self::Hostile(_) => "hostile",
        }
    }

    /// What it takes by itself, beside joining and opening.
    fn takes(&self) -> Duration {
        Duration::from_secs(match self {
            Self::Idle(args) => args.hold,
            Self::Storm(args) => args.await_loss + args.settle + 60,
            Self::Flapping(args) => args.hold,
            Self::Slow(args) => args.hold,
            Self::Hostile(args) => args.hold,
        })
    }

    /// How many of the agents are not steady: they have the highest numbers.
    fn others(&self) -> usize {
        let of = |share: f64| (f64::from(self.common().count) * share).round() as usize;
        match self {
            Self::Flapping(args) => of(args.share),
            Self::Slow(args) => of(args.share),
            Self::Idle(_) | Self::Storm(_) | Self::Hostile(_) => 0,
        }
    }

    /// Identities beside the agents' own.
    const fn more(&self) -> usize {
        match self {
            Self::Hostile(args) => 2 * args.attackers as usize,
            Self::Idle(_) | Self::Storm(_) | Self::Flapping(_) | Self::Slow(_) => 0,
        }
    }
}

/// Runs, and tells the figures.
///
/// # Errors
/// Where a setting is impossible, the run was interrupted or took too long, or an agent is not in
/// service at its end.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let mode = args.mode;
    let common = mode.common();
    common.check(Who::Own.open_files_max()?, free_kib())?;
    let began = Instant::now();
    let mut run = Run {
        bar: Bar::new(),
        hub: common.hub_pid.map(HubWatch::begin).transpose()?,
        lives: JoinSet::new(),
        lanes: JoinSet::new(),
        crowd: None,
        report: Report {
            tool: TOOL,
            version: VERSION,
            mode: mode.name(),
            seed: common.seed,
            settings: serde_json::to_value(&mode)?,
            began_at_ms: SystemClock.now().as_millis(),
            took_ms: 0.0,
            interrupted: false,
            failed: None,
            join: None,
            opened: None,
            end: End::default(),
            exchanges: super::report::Exchanges::default(),
            hub: None,
            own: Own::default(),
            figures: None,
        },
    };
    let at_most = common.at_most(mode.takes());
    let ended = tokio::select! {
        biased;
        () = asked_to_end() => {
            run.report.interrupted = true;
            Err(anyhow::anyhow!("interrupted"))
        }
        ended = tokio::time::timeout(at_most, run.go(&mode)) => match ended {
            Ok(ended) => ended,
            Err(_) => Err(anyhow::anyhow!("not done after {} s", at_most.as_secs())),
        },
    };
    run.bar.end();
    let mut report = run.end().await;
    report.took_ms = millis(began.elapsed());
    report.failed = ended.as_ref().err().map(|error| format!("{error:#}"));
    tell(&report, common.json.as_deref())?;
    ended
}

/// Until somebody wants an end.
async fn asked_to_end() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        drop(tokio::signal::ctrl_c().await);
        return;
    };
    tokio::select! {
        biased;
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

fn tell(report: &Report, json: Option<&Path>) -> anyhow::Result<()> {
    let document = serde_json::to_string_pretty(report)?;
    match json {
        Some(path) if path == Path::new("-") => println!("{document}"),
        Some(path) => {
            std::fs::write(path, document)
                .with_context(|| format!("writing {}", path.display()))?;
            table::print(report);
        }
        None => table::print(report),
    }
    Ok(())
}

/// A run under way.
struct Run {
    bar: Bar,
    hub: Option<HubWatch>,
    lives: JoinSet<()>,
    /// Ways that are not straight.
    lanes: JoinSet<()>,
    crowd: Option<(Arc<Crowd>, Vec<Arc<Clients>>)>,
    report: Report,
}

impl Run {
    async fn go(&mut self, mode: &Mode) -> anyhow::Result<()> {
        let common = mode.common();
        let count = common.count as usize;
        let mut desk = Desk::open(common).await?;
        let (hub, mut all, joining) =
            identities::all(common, &mut desk, mode.more(), &self.bar).await?;
        self.report.join = Some(joining);
        let trusted = all.split_off(count);
        if let Some(pid) = common.hub_pid {
            tokio::time::sleep(REST).await;
            self.hub = Some(HubWatch::begin(pid)?);
        }
        let crowd = Crowd::new(common, hub)?;
        let clients = Arc::new(Clients::bind(common.sockets as usize, hub.address)?);
        self.crowd = Some((Arc::clone(&crowd), vec![Arc::clone(&clients)]));
        let straight = Arc::new(Lane {
            clients: Arc::clone(&clients),
            towards: hub.address,
            stream_bytes: STREAM_BYTES,
            pause: Duration::ZERO,
        });
        let steady = count - mode.others();
        let (steady_ones, others) = all.split_at(steady);
        let began = Instant::now();
        self.bar.begin("opening", count);
        crowd.begin(&mut self.lives, 0, steady_ones, &straight, None);
        let mut flaps = None;
        match mode {
            Mode::Idle(_) | Mode::Storm(_) | Mode::Hostile(_) => {}
            Mode::Flapping(args) => {
                let every = Duration::from_secs(args.every);
                let fresh = Arc::new(Flaps { every, enough: CancellationToken::new() });
                self.opened(&crowd, steady, began, false).await?;
                crowd.begin(&mut self.lives, steady, others, &straight, Some(&fresh));
                flaps = Some(fresh);
            }
            Mode::Slow(_) => {
                let around =
                    relay::open(hub.address, Way::Long(slow::DELAY), &mut self.lanes).await?;
                let narrow = Arc::new(Clients::bind(1, hub.address)?);
                if let Some((_, all)) = &mut self.crowd {
                    all.push(Arc::clone(&narrow));
                }
                let lane = Lane {
                    clients: narrow,
                    towards: around,
                    stream_bytes: slow::STREAM_BYTES,
                    pause: slow::PAUSE,
                };
                self.opened(&crowd, steady, began, false).await?;
                crowd.begin(&mut self.lives, steady, others, &Arc::new(lane), None);
            }
        }
        let opening = match &flaps {
            // Those that flap are never all there: the hold counts them.
            Some(_) => Vec::new(),
            None => self.opened(&crowd, count, began, true).await?,
        };
        if let Some(path) = &common.ready {
            std::fs::write(path, format!("in service {}\n", crowd.in_service()))
                .with_context(|| format!("writing {}", path.display()))?;
        }
        let figures = match mode {
            Mode::Idle(args) => Figures::Idle(
                idle::hold(&crowd, self.hub.as_mut(), Duration::from_secs(args.hold)).await?,
            ),
            Mode::Storm(args) => {
                let plan = storm::Plan {
                    drop_all: args.drop_all,
                    await_loss: Duration::from_secs(args.await_loss),
                    settle: Duration::from_secs(args.settle),
                };
                Figures::Storm(storm::ride(&crowd, &clients, plan, &self.bar).await?)
            }
            Mode::Flapping(args) => {
                let flaps = flaps.context("nobody flaps")?;
                let hold = Duration::from_secs(args.hold);
                let held = flapping::hold(&crowd, &flaps, steady, count, hold).await;
                Figures::Flapping(held)
            }
            Mode::Slow(args) => {
                // The steady ones came first.
                let slow_opening = opening.into_iter().skip(steady).collect();
                let hold = Duration::from_secs(args.hold);
                Figures::Slow(slow::hold(&crowd, steady, others.len(), slow_opening, hold).await)
            }
            Mode::Hostile(args) => {
                let hostile = Common { models: HOSTILE_MODELS.to_owned(), ..common.clone() };
                let attackers = hostile::Attackers {
                    crowd: Crowd::new(&hostile, hub)?,
                    clients: Arc::new(Clients::bind(1, hub.address)?),
                    each: args.attackers as usize,
                    trusted,
                };
                let hold = Duration::from_secs(args.hold);
                Figures::Hostile(hostile::hold(&crowd, attackers, hold).await?)
            }
        };
        self.report.figures = Some(figures);
        let in_service = crowd.in_service();
        anyhow::ensure!(in_service == count, "{in_service} of {count} agents are in service");
        Ok(())
    }

    /// Waits until `count` are in service, and looks at what that cost.
    async fn opened(
        &mut self,
        crowd: &Crowd,
        count: usize,
        began: Instant,
        all: bool,
    ) -> anyhow::Result<Vec<Duration>> {
        let mut changes = crowd.changes();
        loop {
            let now = *changes.borrow_and_update();
            self.bar.at(now);
            if now >= count {
                break;
            }
            anyhow::ensure!(
                !self.lives.is_empty(),
                "the hub refused the agents for good: {:?}",
                crowd.take_refusals()
            );
            drop(tokio::time::timeout(Duration::from_secs(1), changes.changed()).await);
            while self.lives.try_join_next().is_some() {}
        }
        let took = began.elapsed();
        let opening = if all { crowd.take_events().opening } else { Vec::new() };
        self.report.opened = Some(Opened {
            in_service: count,
            took_ms: millis(took),
            failures: super::crowd::read(&crowd.counts.failures),
            refused: if all { crowd.take_refusals().values().sum() } else { 0 },
            each_ms: Percentiles::of(opening.clone()),
        });
        if let Some(hub) = &mut self.hub {
            tokio::time::sleep(REST).await;
            hub.with_agents(count)?;
        }
        Ok(opening)
    }

    /// Ends whatever runs; the figures so far.
    async fn end(mut self) -> Report {
        self.report.own = own();
        self.report.hub = self.hub.as_ref().map(HubWatch::figures);
        if let Some((crowd, clients)) = &self.crowd {
            self.report.end = End { in_service: crowd.in_service() };
            self.report.exchanges = crowd.exchanges();
            crowd.over.cancel();
            while self.lives.join_next().await.is_some() {}
            for clients in clients {
                clients.close().await;
            }
        }
        self.lanes.shutdown().await;
        self.report
    }
}
