//! `weft-hub`: the hub of a Weft mesh, and the commands of its operator.

mod cli;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::Cli::parse().run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("weft-hub: {error:#}");
            ExitCode::FAILURE
        }
    }
}
