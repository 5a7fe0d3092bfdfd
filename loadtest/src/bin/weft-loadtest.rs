//! `weft-loadtest`: tries Weft from outside.
//!
//! Each subcommand lives in its own module of the library as an `Args` struct with a `run`
//! function; this file only names them. It never holds logic of its own.

use clap::{Parser, Subcommand};
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;
use weft_loadtest::{agents, bench, demo, identity, link, meter, provider, quic, run, sim, users};

/// Simulated providers, load and scenarios for Weft.
#[derive(Debug, Parser)]
#[command(name = "weft-loadtest", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs a simulated provider: four dialects, streamed or not, with faults on demand.
    Provider(provider::command::Args),
    /// Shows a completion crossing a mesh on this machine, and stays up to be used.
    Demo(demo::Args),
    /// Measures the mesh beside the simulated provider alone: latency, frames, memory.
    Bench(bench::Args),
    /// Plays drawn exchanges over a mesh and compares both ends to the byte.
    Identity(identity::command::Args),
    /// Joins network namespaces by links with delay, rate and loss, and runs commands in them.
    Link(link::command::Args),
    /// Lets tens of thousands of light agents loose on a hub: idle, storm, flapping, slow, hostile.
    Agents(agents::command::Args),
    /// Measures the bare transport: handshakes, streams, round trips, bytes, idle memory.
    Quic(quic::command::Args),
    /// Sends users' traffic to a base URL: open or closed loop, HTTP/1.1 to HTTP/3.
    Users(users::command::Args),
    /// Plays scenarios with Weft, the floor and its rivals side by side: a report, plots.
    Run(run::Args),
    /// Says what changed between two reports of `run`, beyond noise.
    Compare(run::compare::Args),
    /// Replays worlds of the deterministic simulation.
    Sim(sim::command::Args),
    /// Meters one answer on standard input and prints what it took.
    Meter(meter::Args),
    /// Checks the meters against a folder of recorded answers.
    Corpus(meter::corpus::Args),
}

impl Command {
    async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Provider(args) => provider::command::run(args).await,
            Self::Demo(args) => demo::run(args).await,
            Self::Bench(args) => bench::run(args).await,
            Self::Identity(args) => identity::command::execute(args).await,
            Self::Link(args) => link::command::run(args).await,
            Self::Agents(args) => agents::command::run(args).await,
            Self::Quic(args) => quic::command::run(args).await,
            Self::Users(args) => users::command::run(args).await,
            Self::Run(args) => run::run(args).await,
            Self::Compare(args) => run::compare::run(&args),
            Self::Sim(args) => sim::command::run(args).await,
            Self::Meter(args) => meter::run(&args),
            Self::Corpus(args) => meter::corpus::run(&args),
        }
    }
}

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(
            EnvFilter::try_from_env("WEFT_LOG").unwrap_or_else(|_| EnvFilter::new("info")),
        )
        .with_writer(std::io::stderr)
        .init();
    let command = Cli::parse().command;
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "the runtime did not start");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(command.run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
