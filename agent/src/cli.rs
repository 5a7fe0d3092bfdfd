//! The command line: what an owner types, and what a script reads.
//!
//! A [`Command`] is carried out with a host table that the binary brings along; no flag names a
//! host. No secret is ever an argument: a provider key comes from standard input or is typed
//! without echo. With `--json` one JSON value goes to standard output and nothing else does.

pub mod account;
pub mod backup;
pub mod doctor;
mod input;
pub mod join;
pub mod ledger;
pub mod run;
pub mod status;

use crate::account::{AccountRefused, EgressRefused};
use crate::app::{RunError, StartError};
use crate::backup::BackupError;
use crate::config::ConfigError;
use crate::datadir::{DataDir, DataDirError};
use crate::ledger::LedgerError;
use crate::ledger::evidence::BadEvidence;
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
    /// Look at everything that an agent needs, and say what to do where something is wrong
    #[command(after_help = "Examples:\n  weft-agent doctor --data /var/lib/weft-agent\n  \
        weft-agent doctor --json | jq -r '.findings[] | select(.level != \"ok\")'\n\n\
        No request and no key is sent to a provider, and a running agent is not disturbed. The \
        exit code is 0 where nothing failed.")]
    Doctor(doctor::Doctor),
    /// Prove, sum up or export the ledger, offline
    #[command(
        subcommand,
        after_help = "Example:\n  weft-agent ledger verify --data /var/lib/weft-agent"
    )]
    Ledger(ledger::Ledger),
    /// Write identity, vault, ledger and settings into one file, also while the agent runs
    #[command(
        after_help = "Example:\n  weft-agent backup --to agent.backup --data /var/lib/weft-agent\n\n\
        The file holds the provider keys AND the key that opens them: whoever has it has them. It \
        is made readable by you alone; keep it so, and encrypt it before it leaves the machine."
    )]
    Backup(backup::Backup),
    /// Make a data directory from a backup
    #[command(
        after_help = "Example:\n  weft-agent restore --from agent.backup --data /var/lib/weft-agent\n\n\
        The directory must be new or empty. The restored agent has the SAME identity: never run it \
        while the old one runs, or the hub parks both. To double an agent, join another one."
    )]
    Restore(backup::Restore),
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
    /// The egress is none.
    #[error(transparent)]
    Egress(#[from] EgressRefused),
    /// No account, or more than one, is called so.
    #[error(
        "{} called {name:?}: give the label or the id that `account list` shows",
        if *found == 0 { "no account is".to_owned() } else { format!("{found} accounts are") }
    )]
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
    /// The backup was not made or not restored.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// The ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The ledger does not hold.
    #[error("the ledger does not hold: {found} rules are broken")]
    LedgerUnsound {
        /// How many.
        found: u64,
    },
    /// A file of another agent's evidence cannot be used.
    #[error("{} cannot be compared with", path.display())]
    Evidence {
        /// The file.
        path: PathBuf,
        /// Why.
        source: BadEvidence,
    },
    /// The ledger is empty.
    #[error("the hub has shown nothing yet: the ledger is empty")]
    NothingShown,
    /// The hub has signed what contradicts its own words.
    #[error("the hub broke its word: {checks}")]
    HubBroke {
        /// The names of the checks that failed.
        checks: String,
    },
    /// The doctor found something that does not work.
    #[error("{failed} of {checks} checks failed")]
    Unwell {
        /// How many failed.
        failed: usize,
        /// How many there were.
        checks: usize,
    },
}

impl CliError {
    /// The exit code of a process that ends with it: 3 where the hub is proven to have broken its
    /// word, 1 for everything else. (2 is a command line that cannot be read.)
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        if matches!(self, Self::HubBroke { .. }) { 3 } else { 1 }
    }
}

impl DataArg {
    fn path(&self) -> Result<PathBuf, CliError> {
        match &self.data {
            Some(path) => Ok(path.clone()),
            None => Ok(std::env::home_dir()
                .filter(|home| home.is_absolute())
                .ok_or(CliError::NoDataDir)?
                .join(".local/share/weft-agent")),
        }
    }

    fn open(&self) -> Result<DataDir, CliError> {
        Ok(DataDir::open(self.path()?)?)
    }

    /// For what only looks: a path that was mistyped is no new directory.
    fn existing(&self) -> Result<DataDir, CliError> {
        Ok(DataDir::existing(self.path()?)?)
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
            Self::Doctor(doctor) => doctor.execute(hosts).await,
            Self::Ledger(ledger) => ledger.execute(),
            Self::Backup(backup) => backup.execute(),
            Self::Restore(restore) => restore.execute(),
        }
    }
}

/// Writes one JSON value and a line end to standard output.
fn print_json(value: &impl Serialize) -> Result<(), CliError> {
    let mut json = serde_json::to_vec_pretty(value).map_err(io::Error::from)?;
    json.push(b'\n');
    print(&json)
}

/// Writes one line to standard output.
fn print_line(line: &str) -> Result<(), CliError> {
    print(format!("{line}\n").as_bytes())
}

/// Writes to standard output. A reader that has seen enough (`| head`) is no failure.
fn print(bytes: &[u8]) -> Result<(), CliError> {
    match io::stdout().lock().write_all(bytes) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(error.into()),
    }
}
