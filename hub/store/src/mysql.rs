//! The store in a MySQL-compatible database: MariaDB, MySQL, or a cluster that speaks like them.
//!
//! ```text
//!  a read   ──▶ a connection that may only read ──▶ back to its pool, if it was read to the end
//!  a write  ──▶ a task of the store's own ──▶ START TRANSACTION … COMMIT, again after a deadlock
//! ```
//! The repositories are the text that SQLite has too (`sqlite/tables.rs`). What differs is here: many
//! transactions at once, a network in between, and a driver that a dropped future leaves anywhere.
//!
//! # Invariants
//! - **Cancel safety.** A write is carried through once its future has been polled, although the
//!   future is dropped: it runs in a task that the store owns, and [`Store::close`] waits for it.
//! - A connection goes back to its pool only when what was asked of it was answered whole; otherwise
//!   it is closed. The driver keeps no exact count of what a dropped future had asked for, so what the
//!   server says next on such a connection may be somebody else's answer. Those that write are rolled
//!   back as well before they are used again: a `BEGIN` that was given up half-way is begun all the
//!   same, and whatever the next caller wrote into it would be acknowledged and lost.
//! - Every call ends: [`READ_TIMEOUT`] and [`WRITE_TIMEOUT`] bound it, whatever has become of the
//!   server. A write that timed out, or whose server died, may have happened; calls of repositories
//!   may be repeated.
//! - READ COMMITTED: what is read in order to be changed is read `FOR UPDATE`, or the change says
//!   what must still hold. A transaction that the server ends because of a deadlock is run again, at
//!   most [`TRIES_MAX`] times.
//! - A value that does not fit its column is refused, never cut.
//! - A database that a newer version has migrated is refused, never changed.

/// A `SELECT` whose rows nobody else may change until the transaction ends.
macro_rules! lock {
    ($($statement:tt)*) => {
        concat!($($statement)*, " FOR UPDATE")
    };
}

mod lent;
mod open;
#[path = "sqlite/tables.rs"]
#[expect(clippy::duplicate_mod, reason = "one text for two databases, compiled against each")]
mod tables;
pub mod upkeep;
mod url;

pub use open::OpenError;
pub use url::{InvalidMysqlUrl, MysqlUrl, SCHEME};

use crate::store::repositories;
use crate::{Store, StoreError};
use async_trait::async_trait;
use futures_util::future::BoxFuture;
use lent::{Lent, Readers};
use sqlx::mysql::{MySqlConnection, MySqlPool, MySqlQueryResult, MySqlRow};
use sqlx::{Connection as _, MySql};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tables::fault;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

/// The oldest MariaDB that is known to do: major, minor, patch.
pub const MARIADB_VERSION_MIN: (u32, u32, u32) = (10, 6, 0);

/// The oldest MySQL that checks what the tables say must hold: major, minor, patch.
pub const MYSQL_VERSION_MIN: (u32, u32, u32) = (8, 0, 16);

/// How many connections read at the same time.
pub const READERS_MAX: u32 = 16;

/// How many connections write at the same time.
pub const WRITERS_MAX: u32 = 8;

/// How many writes may wait for a connection, those at work included.
pub const WRITES_WAITING_MAX: usize = 1_024;

/// How long a read takes at most, with the wait for a connection.
pub const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a write takes at most, with the wait for a connection and all tries.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a read of one moment takes at most, which may be of whole tables.
pub const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(120);

/// How long a call waits for a connection of its pool, a new one included.
pub const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a statement waits for a row that another transaction holds, seconds.
pub const LOCK_WAIT_SECONDS: u32 = 5;

/// How often a transaction is run that the server ends because of another one.
pub const TRIES_MAX: u32 = 12;

/// How long a transaction that must be run again waits first; twice as long each time.
const RETRY_AFTER: Duration = Duration::from_millis(1);

/// How long it waits at most.
const RETRY_AFTER_MAX: Duration = Duration::from_millis(64);

/// Waits differ by up to so many times, from write to write, lest those that met meet again.
const RETRY_SPREAD: u32 = 5;

/// What the statements are bound for; see [`tables`].
type Engine = MySql;
type Connection = MySqlConnection;
type Row = MySqlRow;
type Done = MySqlQueryResult;

/// Whether one `UPDATE` can take what it writes from a list of rows: MariaDB and MySQL do not write
/// such a list alike.
const UPDATES_FROM_ROWS: bool = false;

/// A [`Store`] in one database of a server.
#[derive(Debug)]
pub struct MysqlStore(Arc<Db>);

impl MysqlStore {
    /// Connects to the database at `url`, which must exist, and brings its tables up to date.
    ///
    /// # Errors
    /// [`OpenError`] where the server cannot be reached or is too old, or the tables cannot be
    /// brought up to date.
    ///
    /// # Cancel safety
    /// A dropped call may leave a migration half done where it was in the middle of one: the next
    /// call says so.
    pub async fn open(url: &MysqlUrl) -> Result<Self, OpenError> {
        let (writers, readers) = open::open(url).await?;
        let writes = Arc::new(Semaphore::new(WRITES_WAITING_MAX));
        Ok(Self(Arc::new(Db {
            writers,
            readers,
            writes,
            tasks: TaskTracker::new(),
            turns: AtomicU32::new(0),
        })))
    }
}

/// The pools and the tasks; implements every repository.
#[derive(Debug)]
struct Db {
    /// Connections of transactions that write.
    writers: MySqlPool,
    /// Connections that the server lets read alone.
    readers: Readers,
    /// One permit for each write that waits or is at work; closed with the store.
    writes: Arc<Semaphore>,
    /// Every write that has begun.
    tasks: TaskTracker,
    /// How many writes there were.
    turns: AtomicU32,
}

impl Db {
    /// Runs `work` in one transaction, in a task of the store's own. An error of `work` rolls back.
    /// Where the server ends the transaction because of another one, `work` is run again from the
    /// start.
    ///
    /// # Cancel safety
    /// A dropped call that has been polled is carried through.
    async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut MySqlConnection) -> BoxFuture<'c, Result<T, StoreError>>
            + Clone
            + Send
            + 'static,
    {
        let permit =
            Arc::clone(&self.writes).try_acquire_owned().map_err(StoreError::unavailable)?;
        let writers = self.writers.clone();
        let spread = self.turns.fetch_add(1, Ordering::Relaxed) % RETRY_SPREAD + 1;
        let task = self.tasks.spawn(async move {
            let _held_to_the_end = permit;
            tokio::time::timeout(WRITE_TIMEOUT, transact_with_retries(&writers, spread, work))
                .await
                .unwrap_or_else(|late| Err(StoreError::unavailable(late)))
        });
        task.await.map_err(StoreError::unavailable)?
    }

    /// Runs `work`, which only reads, on one connection: all that it reads is of one moment. It may
    /// walk through a whole table, so it has more time: [`SNAPSHOT_TIMEOUT`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut MySqlConnection) -> BoxFuture<'c, Result<T, StoreError>>
            + Send
            + 'static,
    {
        let readers = self.readers.0.clone();
        let task = self.tasks.spawn(async move {
            tokio::time::timeout(SNAPSHOT_TIMEOUT, at_one_moment(&readers, work))
                .await
                .unwrap_or_else(|late| Err(StoreError::unavailable(late)))
        });
        task.await.map_err(StoreError::unavailable)?
    }
}

async fn at_one_moment<T, F>(readers: &MySqlPool, work: F) -> Result<T, StoreError>
where
    F: for<'c> FnOnce(&'c mut MySqlConnection) -> BoxFuture<'c, Result<T, StoreError>>,
{
    // For the next transaction alone: the session stays at READ COMMITTED.
    const BEGIN: &str = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY; \
                         START TRANSACTION WITH CONSISTENT SNAPSHOT";
    let mut lent = Lent::of(readers).await.map_err(fault)?;
    sqlx::raw_sql(BEGIN).execute(&mut *lent).await.map_err(fault)?;
    let read = work(&mut lent).await;
    sqlx::raw_sql("ROLLBACK").execute(&mut *lent).await.map_err(fault)?;
    if read.as_ref().err().is_none_or(answered) {
        lent.give_back();
    }
    read
}

async fn transact_with_retries<T, F>(
    writers: &MySqlPool,
    spread: u32,
    work: F,
) -> Result<T, StoreError>
where
    F: for<'c> FnOnce(&'c mut MySqlConnection) -> BoxFuture<'c, Result<T, StoreError>> + Clone,
{
    let mut wait = RETRY_AFTER;
    for _ in 1..TRIES_MAX {
        match transact(writers, work.clone()).await {
            Err(error) if lost_to_another(&error) => {
                tracing::debug!(%error, "a transaction met another one; run again");
                tokio::time::sleep(wait * spread).await;
                wait = (wait * 2).min(RETRY_AFTER_MAX);
            }
            done => return done,
        }
    }
    transact(writers, work).await
}

async fn transact<T, F>(writers: &MySqlPool, work: F) -> Result<T, StoreError>
where
    F: for<'c> FnOnce(&'c mut MySqlConnection) -> BoxFuture<'c, Result<T, StoreError>>,
{
    let mut lent = Lent::of(writers).await.map_err(fault)?;
    let mut transaction = lent.begin().await.map_err(fault)?;
    let done = match work(&mut transaction).await {
        Ok(value) => transaction.commit().await.map(|()| value).map_err(fault),
        Err(error) => {
            transaction.rollback().await.map_err(fault)?;
            Err(error)
        }
    };
    if done.as_ref().err().is_none_or(answered) {
        lent.give_back();
    }
    done
}

/// Whether the server has answered, if only with a refusal: its connection is as it should be.
fn answered(error: &StoreError) -> bool {
    let StoreError::Unavailable(source) = error else { return true };
    matches!(source.downcast_ref(), Some(sqlx::Error::Database(_)))
}

/// Whether the transaction failed only because another one was there: a deadlock that the server
/// resolved, a row that was locked for too long, a cluster's certification that another node won, or
/// a row that was not there when it was looked for and is there now. (What must be unique by a rule
/// is a [`StoreError::Conflict`].)
fn lost_to_another(error: &StoreError) -> bool {
    const DEADLOCK: u16 = 1213;
    const LOCK_WAIT_TIMEOUT: u16 = 1205;
    const CHANGED_SINCE_READ: u16 = 1020;
    const DUPLICATE_ENTRY: u16 = 1062;
    let StoreError::Unavailable(source) = error else { return false };
    let Some(sqlx::Error::Database(refusal)) = source.downcast_ref() else { return false };
    let number = refusal
        .try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>()
        .map_or(0, sqlx::mysql::MySqlDatabaseError::number);
    [DEADLOCK, LOCK_WAIT_TIMEOUT, CHANGED_SINCE_READ, DUPLICATE_ENTRY].contains(&number)
}

#[async_trait]
impl Store for MysqlStore {
    repositories!(Db);

    async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1").fetch_one(&self.0.readers).await.map(drop).map_err(fault)
    }

    async fn close(&self) {
        // In this order: no new write, the begun ones done, then the connections.
        self.0.writes.close();
        self.0.tasks.close();
        self.0.tasks.wait().await;
        self.0.readers.close().await;
        self.0.writers.close().await;
    }
}

#[cfg(test)]
mod tests;
