//! `weft-certs`: shows certificates, pins and invites. Reads only, and never shows a secret.

mod cli;

use clap::Parser as _;

fn main() -> anyhow::Result<()> {
    cli::Cli::parse().run(&mut std::io::stdout().lock())
}
