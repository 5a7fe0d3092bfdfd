//! `weft-loadtest run` and `compare`: Weft, the floor and its rivals in one run, and what came of it.
//!
//! A scenario lines up contestants, each brought up as real processes, and has users or agents work
//! at them in turns. What is measured goes into `report.json`; the terminal's table and the page are
//! made of that alone. `docs/run.md` says what each figure means.
//!
//! Invariants: everything is on this machine; every run is bounded in time; who cannot be measured
//! is named; nothing outlives the run, not even its crash.

mod agents;
pub mod compare;
mod contestant;
mod figure;
mod kernel;
mod level;
mod load;
mod machine;
mod page;
mod peers;
mod plot;
mod progress;
mod reaper;
mod report;
mod scenario;
mod site;
mod stage;
mod stats;
mod table;
mod watch;

use anyhow::Context;
use clap::ValueEnum;
use contestant::Name;
use figure::{Missing, Played};
use level::Level;
use machine::Machine;
use peers::{Peer, Peers};
use progress::Progress;
use reaper::Reaper;
use report::{FORMAT, Report};
use scenario::Scenario;
use stage::Stage;
use std::path::{Path, PathBuf};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, timeout};
use weft_proto::time::{Clock, SystemClock};

/// What directories of runs begin with.
pub(crate) const DIR_PREFIX: &str = "weft-run-";
/// Rounds that can be asked for.
const ROUNDS_MAX: u64 = 100;
/// Open files that the processes of a run may need.
const OPEN_FILES_MIN: u64 = 4_096;

/// Plays scenarios with Weft, the floor and its rivals side by side, and draws what came of it.
///
/// Starts a simulated provider, weft-hub, weft-agent-sim and whatever peers are installed
/// (loadtest/peers/install), and ends them. Everything is on this machine. Figures of a debug
/// build say nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  weft-loadtest run all --quick\n  \
    weft-loadtest run overhead paced --only direct,nginx2,weft --out figures\n  \
    weft-loadtest run sibling --seed 7 --rounds 3")]
pub struct Args {
    /// What to play: names, or `all` (soak apart)
    #[arg(value_name = "SCENARIO", required_unless_present = "reap", value_parser = Choice::parse)]
    scenarios: Vec<Choice>,
    /// Ten minutes for all
    #[arg(long, conflicts_with = "smoke")]
    quick: bool,
    /// Seconds each, and only what is exact is judged: counts, bytes, order, leaks
    #[arg(long)]
    smoke: bool,
    /// Of all chance
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Rounds, in place of each scenario's own
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=ROUNDS_MAX))]
    rounds: Option<u64>,
    /// Line up these alone
    #[arg(long, value_enum, value_name = "CONTESTANT,…", value_delimiter = ',')]
    only: Vec<Name>,
    /// Where report.json and index.html go
    #[arg(long, value_name = "DIR", default_value = "weft-report")]
    out: PathBuf,
    /// Waits until its input closes, then ends what is left of a run
    #[arg(long, hide = true, value_name = "OWNER")]
    reap: Option<String>,
    /// A directory of a run, removed then
    #[arg(long, hide = true, requires = "reap", value_name = "DIR")]
    reap_dir: Option<PathBuf>,
}

/// A scenario, or all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Choice(Option<Scenario>);

impl Choice {
    fn parse(text: &str) -> Result<Self, String> {
        if text == "all" {
            return Ok(Self(None));
        }
        Scenario::from_str(text, false).map(|scenario| Self(Some(scenario))).map_err(|_| {
            let known: Vec<&str> =
                Scenario::value_variants().iter().map(|scenario| scenario.word()).collect();
            format!("no such scenario; there are: all, {}", known.join(", "))
        })
    }
}

impl Args {
    const fn level(&self) -> Level {
        match (self.smoke, self.quick) {
            (true, _) => Level::Smoke,
            (false, true) => Level::Quick,
            (false, false) => Level::Full,
        }
    }

    /// The scenarios, each once, in the order in which they were named.
    fn chosen(&self) -> Vec<Scenario> {
        let mut chosen = Vec::new();
        for Choice(choice) in &self.scenarios {
            let these = choice.map_or_else(|| Scenario::ALL.to_vec(), |one| vec![one]);
            chosen.extend(these);
        }
        let mut seen = Vec::new();
        chosen.retain(|scenario| {
            let new = !seen.contains(scenario);
            seen.push(*scenario);
            new
        });
        chosen
    }

    /// The command that does the same again.
    fn command(&self) -> String {
        let mut words = vec!["weft-loadtest".to_owned(), "run".to_owned()];
        words.extend(self.scenarios.iter().map(|choice| {
            choice.0.map_or_else(|| "all".to_owned(), |scenario| scenario.word().to_owned())
        }));
        match self.level() {
            Level::Smoke => words.push("--smoke".to_owned()),
            Level::Quick => words.push("--quick".to_owned()),
            Level::Full => {}
        }
        words.push(format!("--seed {}", self.seed));
        words.extend(self.rounds.map(|rounds| format!("--rounds {rounds}")));
        if !self.only.is_empty() {
            let names: Vec<&str> = self.only.iter().map(|name| name.word()).collect();
            words.push(format!("--only {}", names.join(",")));
        }
        words.join(" ")
    }
}

/// Plays what was asked for and writes the report.
///
/// # Errors
/// Where a setting cannot be, something was lost that must never be, or the run was broken off.
pub async fn run(args: Args) -> anyhow::Result<()> {
    if let Some(owner) = &args.reap {
        let (owner, dir) = (owner.clone(), args.reap_dir);
        return Ok(tokio::task::spawn_blocking(move || reaper::reap(&owner, dir)).await?);
    }
    check_files()?;
    std::fs::create_dir_all(&args.out).with_context(|| format!("--out {}", args.out.display()))?;
    let mut interrupted = Interrupts::listen()?;
    let program = std::env::current_exe().context("where is this program?")?;
    let dir = tempfile::Builder::new().prefix(DIR_PREFIX).tempdir()?;
    let stage = Stage {
        level: args.level(),
        seed: args.seed,
        rounds: args.rounds.map(|rounds| usize::try_from(rounds).unwrap_or(1)),
        only: args.only.clone(),
        dir: dir.path().to_owned(),
        binaries: crate::mesh::Binaries::beside(&program)?,
        reaper: Reaper::start(&program, dir.path())?,
        program,
        peers: Peers::of_user(),
        progress: Progress::begin(),
    };
    let mut report = Report {
        format: FORMAT,
        command: args.command(),
        began: now_utc(),
        lasted_seconds: 0.0,
        level: stage.level,
        seed: stage.seed,
        machine: Machine::look(&stage.peers),
        scenarios: Vec::new(),
        missing: not_installed(&stage.peers),
    };
    let began = Instant::now();
    let mut broken = None;
    for scenario in args.chosen() {
        let mut played = Played::new(scenario.word(), scenario.what());
        let started = Instant::now();
        let outcome = tokio::select! {
            biased;
            () = interrupted.next() => Err(anyhow::anyhow!("interrupted")),
            outcome = timeout(scenario.at_most(stage.level), scenario.play(&stage, &mut played)) => {
                outcome.unwrap_or_else(|_| {
                    let seconds = scenario.at_most(stage.level).as_secs();
                    Err(anyhow::anyhow!("broken off after {seconds} s"))
                })
            }
        };
        played.lasted_seconds = started.elapsed().as_secs_f64();
        let interrupted = matches!(&outcome, Err(error) if error.to_string() == "interrupted");
        if let Err(error) = outcome {
            played.miss(scenario.word(), format!("not played to its end: {error:#}"));
            broken.get_or_insert_with(|| format!("{}: {error:#}", scenario.word()));
        }
        report.scenarios.push(played);
        report.lasted_seconds = began.elapsed().as_secs_f64();
        // After each: a run that is broken off later keeps what it has.
        write(&report, &args.out)?;
        if interrupted {
            break;
        }
    }
    stage.progress.end();
    print!("{}", table::table(&report));
    println!("\n{}", args.out.join("index.html").display());
    let faults = report.faults().count();
    anyhow::ensure!(faults == 0, "{faults} things happened that must never happen; see above");
    match broken {
        None => Ok(()),
        Some(why) => anyhow::bail!("not everything was played to its end: {why}"),
    }
}

fn write(report: &Report, out: &Path) -> anyhow::Result<()> {
    report.write(&out.join("report.json"))?;
    let path = out.join("index.html");
    std::fs::write(&path, page::page(report)?).with_context(|| format!("{}", path.display()))
}

fn not_installed(peers: &Peers) -> Vec<Missing> {
    let missing = Peer::ALL.into_iter().filter_map(|peer| {
        let why = peers.program(peer).err()?;
        Some(Missing { name: peer.word().to_owned(), why: why.to_string() })
    });
    missing.collect()
}

/// The time, as people write it.
fn now_utc() -> String {
    let seconds = i64::try_from(SystemClock.now().as_secs()).unwrap_or(0);
    jiff::Timestamp::from_second(seconds).map(|time| time.to_string()).unwrap_or_default()
}

/// Every stream is a descriptor in several processes, which inherit this one's limit.
fn check_files() -> anyhow::Result<()> {
    let limits = std::fs::read_to_string("/proc/self/limits")?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next());
    let files: u64 = soft.and_then(|soft| soft.parse().ok()).unwrap_or(u64::MAX);
    anyhow::ensure!(
        files >= OPEN_FILES_MIN,
        "{files} open files are too few for a run: `ulimit -n {OPEN_FILES_MIN}` first"
    );
    Ok(())
}

/// SIGINT, SIGTERM and SIGHUP.
struct Interrupts([tokio::signal::unix::Signal; 3]);

impl Interrupts {
    fn listen() -> anyhow::Result<Self> {
        let [interrupt, terminate, hangup] =
            [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
        Ok(Self([interrupt?, terminate?, hangup?]))
    }

    /// Cancel safe.
    async fn next(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            biased;
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests;
