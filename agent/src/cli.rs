//! The command line: what an owner types, and what a script reads.
//!
//! A [`Command`] is carried out with a host table that the binary brings along; no flag names a
//! host. No secret is ever an argument: a provider key comes from standard input or is typed
//! without echo. With `--json` one JSON value goes to standard output and nothing else does.

pub mod account;
pub mod join;
pub mod run;
pub mod status;

use crate::account::AccountRefused;
use crate::app::{RunError, StartError};
use crate::config::ConfigError;
use crate::datadir::{DataDir, DataDirError};
use crate::status::StatusError;
use crate::telemetry::TelemetryError;
use crate::uplink::{IdentityFilesError, JoinError};
use crate::vault::VaultError;
use clap::{Args, Subcommand};
use serde::Serialize;
use std::io::{self, Write};
use std::path::PathBuf;
use weft_certs::InviteError;
use weft_proto::tables::hosts::HostTable;

/// What an agent can be told to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Join a hub with the invite that its operator gave you
    #[command(
        after_help = "Example:\n  weft-agent join weft-invite-1.AZq… --data /var/lib/weft-agent"
    )]
    Join(join::Join),
    /// Manage provider accounts and their keys
    #[command(
        subcommand,
        after_help = "Example:\n  weft-agent account add --provider openai --label main < key.txt"
    )]
    Account(account::Account),
    /// Connect to the hub and serve, until a signal
    #[command(
        after_help = "Example:\n  weft-agent run --data /var/lib/weft-agent --log-format json"
    )]
    Run(run::Run),
    /// Show what the agent on this machine is doing
    #[command(after_help = "Example:\n  weft-agent status --json | jq -r .state")]
    Status(status::Status),
}

/// Where the agent's files are.
#[derive(Debug, Clone, Args)]
pub struct DataArg {
    /// Data directory: identity, vault, settings [default: ~/.local/share/weft-agent]
    #[arg(long = "data", value_name = "DIR", env = "WEFT_DATA")]
    data: Option<PathBuf>,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// No directory was named and there is no home to put one in.
    #[error("name a data directory: --data DIR")]
    NoDataDir,
    /// Standard input or output failed.
    #[error("standard input or output failed")]
    Io(#[from] io::Error),
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The settings cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The logs cannot be set up.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// The invite is none.
    #[error(transparent)]
    Invite(#[from] InviteError),
    /// Joining failed.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// The identity's files cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityFilesError),
    /// The vault refused.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The account's declaration was refused.
    #[error(transparent)]
    Account(#[from] AccountRefused),
    /// No account, or more than one, is called so.
    #[error("{found} accounts are called {name:?}: give the id that `account list` shows")]
    Which {
        /// What was asked for.
        name: String,
        /// How many there are.
        found: usize,
    },
    /// The agent did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The run ended badly.
    #[error(transparent)]
    Run(#[from] RunError),
    /// There is no status.
    #[error(transparent)]
    Status(#[from] StatusError),
}

impl DataArg {
    fn open(&self) -> Result<DataDir, CliError> {
        let path = match &self.data {
            Some(path) => path.clone(),
            None => std::env::home_dir()
                .filter(|home| home.is_absolute())
                .ok_or(CliError::NoDataDir)?
                .join(".local/share/weft-agent"),
        };
        Ok(DataDir::open(path)?)
    }
}

impl Command {
    /// Carries the command out. An agent that it runs may go to the hosts of `hosts` and to no
    /// others.
    ///
    /// # Errors
    /// [`CliError`], to be shown to the person who typed it.
    pub async fn execute(self, hosts: HostTable) -> Result<(), CliError> {
        match self {
            Self::Join(join) => join.execute().await,
            Self::Account(account) => account.execute(),
            Self::Run(run) => run.execute(hosts).await,
            Self::Status(status) => status.execute(),
        }
    }
}

/// Writes one JSON value and a line end to standard output.
fn print_json(value: &impl Serialize) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, value).map_err(io::Error::from)?;
    writeln!(out)?;
    Ok(())
}

/// Writes one line to standard output.
fn print_line(line: &str) -> Result<(), CliError> {
    writeln!(io::stdout().lock(), "{line}")?;
    Ok(())
}
