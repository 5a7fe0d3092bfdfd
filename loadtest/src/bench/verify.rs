//! How long it takes to prove a ledger: an agent's from its files, and the hub's from its database.
//!
//! Both are proved by the commands that people use, each a process of its own, the time of its start
//! included. What is proved was written before by the same code that runs in production.

use super::agent_log::{AgentLog, Disk};
use super::figure::{Aim, Row, Section};
use super::ground::QUIET;
use super::progress::Progress;
use super::till::Till;
use crate::mesh::process::{answer, command};
use crate::mesh::{Binaries, Doors, Hub};
use anyhow::Context;
use serde_json::Value;
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;
use weft_store::{SqliteStore, Store};

/// How often each is proved.
const ROUNDS: usize = 2;
/// Seconds for a million entries of an agent's: the aim.
const SECONDS_A_MILLION_AT_MOST: f64 = 10.0;

/// How much is proved.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    /// Entries of the agent's ledger.
    pub(super) entries: u64,
    /// Exchanges in the hub's ledger.
    pub(super) settlements: usize,
}

/// Writes both ledgers and has them proved.
///
/// # Errors
/// Where one cannot be written, or does not hold.
///
/// # Cancel safety
/// A dropped call ends what was started.
pub(super) async fn proved(load: Load, progress: &Progress) -> anyhow::Result<(Section, Aim)> {
    let mut section = Section::new(
        "verify",
        "A whole ledger proved by the command, the start of its process included",
        ["seconds", "rows/s"],
    );
    let (agents, bytes) = agents(load.entries, progress).await?;
    let rate = load.entries as f64 / agents.as_secs_f64();
    let what = format!("weft-agent ledger verify, {} entries", load.entries);
    section.rows.push(Row::new(what, [agents.as_secs_f64(), rate], "", ROUNDS as u64));
    section.notes.push(format!(
        "the agent's log: {:.0} MB in {} entries: OPEN, CLOSE, acknowledgements by 200, checkpoints",
        bytes as f64 / 1e6,
        load.entries
    ));
    let hubs = hubs(load.settlements, progress).await?;
    let rate = load.settlements as f64 / hubs.as_secs_f64();
    let what = format!("weft-hub ledger verify, {} exchanges", load.settlements);
    section.rows.push(Row::new(what, [hubs.as_secs_f64(), rate], "", ROUNDS as u64));
    let aim = Aim {
        what: "time to verify a million entries of an agent",
        measured: agents.as_secs_f64() * 1e6 / load.entries as f64,
        at_most: SECONDS_A_MILLION_AT_MOST,
        unit: "s",
    };
    Ok((section, aim))
}

/// The best time for an agent's ledger, and its bytes.
async fn agents(entries: u64, progress: &Progress) -> anyhow::Result<(Duration, u64)> {
    progress.say(&format!("an agent's ledger of {entries} entries: writing"));
    let own = std::env::current_exe().context("where is this program?")?;
    let program = Binaries::beside(&own)?.agent();
    let folder = tempfile::Builder::new().prefix("weft-bench-").tempdir()?;
    let root = folder.path().join("agent");
    let log = AgentLog::make(&root, Disk::Unwaited)?;
    log.fill(entries).await?;
    drop(log);
    let mut best = Duration::MAX;
    for round in 1..=ROUNDS {
        progress.say(&format!("an agent's ledger of {entries} entries: proof {round}"));
        let mut verify = command(&program);
        verify.args(["ledger", "verify", "--json", "--data"]).arg(&root);
        let began = Instant::now();
        let said = answer(verify, "")?;
        best = best.min(began.elapsed());
        let said: Value = serde_json::from_str(&said)?;
        let whole = said["ok"] == true && said["entries"] == entries;
        anyhow::ensure!(whole, "the agent's ledger does not hold: {said}");
    }
    Ok((best, bytes_in(&root.join("ledger"))?))
}

fn bytes_in(folder: &Path) -> std::io::Result<u64> {
    let files = std::fs::read_dir(folder)?;
    files.map(|file| Ok(file?.metadata()?.len())).sum()
}

/// The best time for a hub's ledger.
async fn hubs(settlements: usize, progress: &Progress) -> anyhow::Result<Duration> {
    progress.say(&format!("a hub's ledger of {settlements} exchanges: writing"));
    let own = std::env::current_exe().context("where is this program?")?;
    let program = Binaries::beside(&own)?.hub();
    let dir = tempfile::Builder::new().prefix("weft-bench-").tempdir()?;
    let (data, log) = (dir.path().join("hub"), dir.path().join("hub.log"));
    Hub::init(&program, &data)?;
    let store = SqliteStore::open(&data.join("hub.sqlite")).await?;
    let till = Till::open(&store).await?;
    for batch in till.postings(settlements)? {
        till.settle(&batch).await?;
        till.pay(&Till::answers(&batch)).await?;
    }
    store.close().await;
    let mut hub = Hub::serve(&program, &data, Doors::default(), &[QUIET], &log).await?;
    let mut best = Duration::MAX;
    for round in 1..=ROUNDS {
        progress.say(&format!("a hub's ledger of {settlements} exchanges: proof {round}"));
        let began = Instant::now();
        let said = hub.ask(&["ledger", "verify"])?;
        best = best.min(began.elapsed());
        let whole = said["agrees"] == true && said["exchanges"] == settlements;
        anyhow::ensure!(whole, "the hub's ledger does not hold: {said}");
    }
    hub.process().check()?;
    Ok(best)
}
