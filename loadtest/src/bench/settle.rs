//! How many exchanges a second the hub's ledger settles, all rows included, on either database.
//!
//! The store is called as the hub's settler does: one batch after the other, each a transaction.
//! SQLite is the bundled one; MariaDB is the machine's, on a private port and directory, and waits
//! for its disk at each commit. Where the machine has none, that is said.

#[path = "../../../hub/store/tests/support/mariadb.rs"]
mod mariadb;

use super::figure::{Aim, Row, Section};
use super::latency::micros_each;
use super::progress::Progress;
use super::till::Till;
use anyhow::Context;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use weft_store::{MysqlStore, SqliteStore, Store};

/// Microseconds for each exchange at 10,000 a second: the aim on SQLite.
const SQLITE_MICROS_AT_MOST: f64 = 100.0;
/// The same at 5,000 a second: the aim on MariaDB.
const MARIADB_MICROS_AT_MOST: f64 = 200.0;
/// Where servers live that are not on everybody's `PATH`.
const FOLDERS: [&str; 4] = ["/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/usr/libexec"];

/// Settles `count` exchanges on each database.
///
/// # Errors
/// Where a store fails, or its ledger does not add up afterwards.
///
/// # Cancel safety
/// A dropped call ends the server that was started.
pub(super) async fn settled(
    count: usize,
    progress: &Progress,
) -> anyhow::Result<(Section, Vec<Aim>)> {
    let mut section = Section::new(
        "settle",
        format!(
            "Exchanges settled, {} to a transaction, one transaction after the other",
            weft_store::SETTLEMENTS_PER_CALL_MAX
        ),
        ["exchanges/s", "us each"],
    );
    let mut aims = Vec::new();
    progress.say(&format!("settling {count} exchanges on SQLite"));
    let folder = tempfile::Builder::new().prefix("weft-bench-").tempdir()?;
    let store: Arc<dyn Store> =
        Arc::new(SqliteStore::open(&folder.path().join("weft.sqlite")).await?);
    let took = timed(&store, count).await?;
    store.close().await;
    took.rows(&mut section, "SQLite");
    aims.push(took.aim("time to settle an exchange, SQLite (10000/s)", SQLITE_MICROS_AT_MOST));
    if has_mariadb() {
        progress.say(&format!("settling {count} exchanges on MariaDB"));
        let started = tokio::task::spawn_blocking(|| {
            let home = mariadb::Home::new();
            let server = home.start();
            (home, server)
        });
        let (home, server) = started.await.context("MariaDB does not start")?;
        let store: Arc<dyn Store> = Arc::new(MysqlStore::open(&server.url("weft").parse()?).await?);
        let took = timed(&store, count).await?;
        store.close().await;
        drop((server, home));
        took.rows(&mut section, "MariaDB");
        aims.push(took.aim("time to settle an exchange, MariaDB (5000/s)", MARIADB_MICROS_AT_MOST));
    } else {
        section.notes.push("MariaDB: NOT RUN, this machine has no mariadbd".to_owned());
    }
    section.notes.push(
        "a user leg is one settlement, three transfers, a lease and up to four balances; an agent \
         leg is one transfer, two balances and the settlement's state"
            .to_owned(),
    );
    Ok((section, aims))
}

/// What the legs of all exchanges took.
struct Took {
    count: usize,
    user: Duration,
    agent: Duration,
}

impl Took {
    fn rows(&self, section: &mut Section, database: &str) {
        let legs = [
            ("user leg", self.user),
            ("agent leg", self.agent),
            ("both legs", self.user + self.agent),
        ];
        for (leg, took) in legs {
            let each = micros_each(took, self.count as u64);
            let values = [1e6 / each.max(f64::EPSILON), each];
            let what = format!("{database}, {leg}");
            section.rows.push(Row::new(what, values, "", self.count as u64));
        }
    }

    fn aim(&self, what: &'static str, at_most: f64) -> Aim {
        let measured = micros_each(self.user, self.count as u64);
        Aim { what, measured, at_most, unit: "us" }
    }
}

async fn timed(store: &Arc<dyn Store>, count: usize) -> anyhow::Result<Took> {
    let till = Till::open(store.as_ref()).await?;
    let batches = till.postings(count)?;
    let began = Instant::now();
    for batch in &batches {
        till.settle(batch).await?;
    }
    let user = began.elapsed();
    let answers: Vec<_> = batches.iter().map(|batch| Till::answers(batch)).collect();
    let began = Instant::now();
    for batch in &answers {
        till.pay(batch).await?;
    }
    let agent = began.elapsed();
    till.agrees().await?;
    Ok(Took { count, user, agent })
}

/// Whether the server can be started here.
fn has_mariadb() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(FOLDERS.map(Into::into));
    let has = |at: &Path| ["mariadbd", "mysqld"].iter().any(|name| at.join(name).is_file());
    folders.into_iter().any(|at| has(&at))
}
