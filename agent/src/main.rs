//! `weft-agent`: an agent that calls the official hosts of the compiled table, and no others.

use clap::Parser;
use std::process::ExitCode;
use weft_agent::cli::Command;
use weft_proto::tables::hosts::HostTable;

/// The agent of a Weft mesh: keeps provider keys at their owner, dials out, never listens.
#[derive(Debug, Parser)]
#[command(
    name = "weft-agent",
    version,
    after_help = "Example:\n  weft-agent join weft-invite-1.AZq… --data DIR\n  \
        weft-agent account add --provider openai --label main --data DIR\n  \
        weft-agent run --data DIR"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Cli { command } = Cli::parse();
    match command.execute(HostTable::official()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let code = ExitCode::from(error.exit_code());
            let error = anyhow::Error::from(error);
            eprintln!("weft-agent: {error:#}");
            code
        }
    }
}
