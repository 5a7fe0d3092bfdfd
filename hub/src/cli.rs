//! The words of `weft-hub`: one file for each.
//!
//! `init`, `serve`, `backup`, `restore`, `certs` and `doctor` work on the data directory; every other
//! word asks the running hub through its admin door, with the token that lies in the same directory. Answers go to standard output, as
//! JSON where `--json` is given; everything else goes to standard error. No secret is ever taken as
//! an argument.

mod account;
mod agent;
mod archive;
mod backup;
mod certs;
mod client;
mod credit;
mod disputes;
mod doctor;
mod exchange;
mod init;
mod invite;
mod key;
mod ledger;
mod output;
mod owner;
mod payout;
mod prices;
mod reload;
mod restore;
mod serve;
mod span;
#[cfg(test)]
mod tests;
mod user;
mod zone;

use anyhow::Context;
use clap::{Parser, Subcommand};
use client::AdminClient;
use output::Output;
use std::path::PathBuf;
use std::process::ExitCode;

/// The data directory where nothing else is said.
const DATA_DEFAULT: &str = "./weft-hub";

/// The hub of a Weft mesh.
#[derive(Debug, Parser)]
#[command(
    name = "weft-hub",
    version,
    after_help = "Example:\n  weft-hub init --data ./weft-hub && weft-hub serve --data ./weft-hub"
)]
pub(crate) struct Cli {
    /// The data directory of the hub
    #[arg(long, global = true, value_name = "DIR", env = "WEFT_DATA", default_value = DATA_DEFAULT)]
    data: PathBuf,
    /// Print the answer as JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    word: Word,
}

#[derive(Debug, Subcommand)]
enum Word {
    /// Make the data directory of a new hub
    Init(init::Init),
    /// Run the hub
    Serve(serve::Serve),
    /// Look at a hub and all it stands on
    ///
    /// The data directory, the machine and, where the hub runs, its doors, tried as users and agents
    /// try them. What is not as it should be has a remedy. Nothing is changed. The exit code is 1
    /// where something fails.
    Doctor(doctor::Doctor),
    /// Write the whole hub into one file
    ///
    /// Settings, authorities, tokens and the database; while the hub runs or not. The file holds
    /// every secret of the hub: keep it like a key.
    Backup(backup::Backup),
    /// Make a data directory out of a backup
    ///
    /// Into a new or empty directory only; everything is verified before it is written. Whatever
    /// happened after the backup was taken is missing afterwards, revocations included.
    Restore(restore::Restore),
    /// Change the authorities of a hub that does not run
    #[command(subcommand, after_help = "Example:\n  weft-hub certs rotate")]
    Certs(certs::Certs),
    #[command(flatten)]
    Asked(Asked),
}

/// The words that the running hub is asked.
#[derive(Debug, Subcommand)]
enum Asked {
    /// Add, list, disable or enable users
    #[command(subcommand, after_help = "Example:\n  weft-hub user add alice")]
    User(user::User),
    /// Add, list or revoke keys
    #[command(subcommand, after_help = "Example:\n  weft-hub key add --user alice")]
    Key(key::Key),
    /// Set or list price zones
    #[command(subcommand, after_help = "Example:\n  weft-hub zone set discount 0.9")]
    Zone(zone::Zone),
    /// Give or correct users' money, and make codes that give it
    #[command(subcommand, after_help = "Example:\n  weft-hub credit add alice 10.00")]
    Credit(credit::Credit),
    /// List owners and set what they earn
    #[command(subcommand, after_help = "Example:\n  weft-hub owner set-tier bob 0.8")]
    Owner(owner::Owner),
    /// Pay owners out
    #[command(subcommand, after_help = "Example:\n  weft-hub payout request bob 25.00")]
    Payout(payout::Payout),
    /// Show balances and statements, and hold the ledger against itself
    #[command(subcommand, after_help = "Example:\n  weft-hub ledger verify")]
    Ledger(ledger::Ledger),
    /// Write an invite for an agent of an owner
    Invite(invite::Invite),
    /// List or revoke agents
    #[command(subcommand, after_help = "Example:\n  weft-hub agent list")]
    Agent(agent::Agent),
    /// List the accounts that connected agents offer
    #[command(subcommand, after_help = "Example:\n  weft-hub account list")]
    Account(account::Account),
    /// Import, list, show, compare or activate price books
    #[command(subcommand, after_help = "Example:\n  weft-hub prices show --model gpt-5.4")]
    Prices(prices::Prices),
    /// Read settings and certificate again
    ///
    /// The running hub reads hub.toml and the certificate of its users' door. Nothing that runs is
    /// cut off, and a mistake in any of it changes nothing. The answer says what changed, and what
    /// wants a restart.
    Reload(reload::Reload),
    /// List or show ended exchanges
    #[command(subcommand, after_help = "Example:\n  weft-hub exchange list --limit 5")]
    Exchange(exchange::Exchange),
}

impl Cli {
    /// Does what was asked, and returns the code for the shell.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let mut out = Output::new(self.json);
        match self.word {
            Word::Init(init) => init.run(&self.data, &mut out)?,
            Word::Serve(serve) => return serve.run(&self.data, &mut out),
            Word::Doctor(doctor) => return wait(doctor.run(&self.data, &mut out)),
            Word::Backup(backup) => wait(backup.run(&self.data, &mut out))?,
            Word::Restore(restore) => wait(restore.run(&self.data, &mut out))?,
            Word::Certs(certs) => certs.run(&self.data, &mut out)?,
            // Evidence is judged without a hub.
            Word::Asked(Asked::Ledger(ledger::Ledger::Verify { evidence: Some(file), .. })) => {
                return disputes::judge(&self.data, &file, &mut out);
            }
            // Part of it lies in the data directory.
            Word::Asked(Asked::Ledger(ledger::Ledger::Verify { tickets, csv, .. })) => {
                let client = if tickets { None } else { Some(AdminClient::open(&self.data)?) };
                return wait(ledger::verify(&self.data, client.as_ref(), &mut out, csv));
            }
            Word::Asked(Asked::Ledger(ledger::Ledger::RotateKey)) => {
                ledger::rotate_key(&self.data, &mut out)?;
            }
            Word::Asked(word) => {
                let client = AdminClient::open(&self.data)?;
                return wait(word.ask(&client, &mut out));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Runs a word to its end. What blocks in the background is not waited for.
fn wait<T>(word: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the runtime does not start")?;
    let ended = runtime.block_on(word);
    runtime.shutdown_background();
    ended
}

impl Asked {
    async fn ask(self, hub: &AdminClient, out: &mut Output) -> anyhow::Result<ExitCode> {
        let said = match self {
            Self::Ledger(word) => return word.run(hub, out).await,
            Self::Zone(word) => word.run(hub, out).await,
            Self::Credit(word) => word.run(hub, out).await,
            Self::Owner(word) => word.run(hub, out).await,
            Self::Payout(word) => word.run(hub, out).await,
            Self::User(word) => word.run(hub, out).await,
            Self::Key(word) => word.run(hub, out).await,
            Self::Invite(word) => word.run(hub, out).await,
            Self::Agent(word) => word.run(hub, out).await,
            Self::Account(word) => word.run(hub, out).await,
            Self::Prices(word) => word.run(hub, out).await,
            Self::Reload(word) => word.run(hub, out).await,
            Self::Exchange(word) => word.run(hub, out).await,
        };
        said.map(|()| ExitCode::SUCCESS)
    }
}
