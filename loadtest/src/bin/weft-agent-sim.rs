//! `weft-agent-sim`: the agent's own library and command line, before simulated providers.
//!
//! It differs from `weft-agent` in its host table alone: loopback addresses that `--simulate`
//! names, and no official host. It says so in its version and in the log of every run.

use clap::Parser;
use std::process::ExitCode;
use weft_agent::cli::Command;
use weft_loadtest::sim_agent::{SIMULATED_BUILD, Simulated, host_table};

/// An agent for tests and demonstrations: it calls simulated providers on this machine.
#[derive(Debug, Parser)]
#[command(
    name = "weft-agent-sim",
    version = SIMULATED_BUILD,
    after_help = "Example:\n  weft-agent-sim join weft-invite-1.AZq… --data DIR\n  \
        weft-agent-sim account add --provider openai --label main --data DIR\n  \
        weft-agent-sim run --data DIR --simulate openai=http://127.0.0.1:4010"
)]
struct Cli {
    /// A provider and where it is simulated: a loopback address; may be given several times
    #[arg(long, global = true, value_name = "PROVIDER=URL")]
    simulate: Vec<Simulated>,
    #[command(subcommand)]
    command: Command,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Cli { simulate, command } = Cli::parse();
    if matches!(command, Command::Run(_)) && simulate.is_empty() {
        eprintln!("weft-agent-sim: run needs --simulate PROVIDER=URL: it calls no official host");
        return ExitCode::FAILURE;
    }
    let done = match host_table(simulate) {
        Ok(hosts) => command.execute(hosts).await.map_err(anyhow::Error::from),
        Err(refused) => Err(refused.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("weft-agent-sim: {error:#}");
            ExitCode::FAILURE
        }
    }
}
