//! The store in one SQLite file.
//!
//! ```text
//!  a read   ──▶ one of several read-only connections
//!  a write  ──▶ a task of the store's own ──▶ the one writing connection: BEGIN IMMEDIATE … COMMIT
//! ```
//! The file is in WAL mode with `synchronous=FULL`: what a call acknowledged survives a power cut,
//! and readers never wait for the writer. Other processes may use the file at the same time (the
//! command line beside the server); they take turns by SQLite's own locks.
//!
//! # Invariants
//! - **Cancel safety.** A write is carried through once its future has been polled, although the
//!   future is dropped: it runs in a task that the store owns, and [`Store::close`] waits for it.
//!   So no connection can be left inside a half-done transaction by a caller that went away. A
//!   connection that comes back to its pool inside one all the same is rolled back and closed.
//! - At most [`WRITES_WAITING_MAX`] writes wait; more are refused as [`StoreError::Unavailable`].
//! - SQLite older than [`SQLITE_VERSION_MIN`] is refused: it can lose acknowledged writes
//!   (<https://sqlite.org/wal.html>, the WAL-reset bug).
//! - A file that a newer version has migrated is refused, never changed.

/// A `SELECT` whose rows nobody else may change until the transaction ends: here every transaction
/// that writes has the file for itself.
macro_rules! lock {
    ($statement:expr) => {
        $statement
    };
}

mod open;
#[path = "sqlite/tables.rs"]
mod tables;
pub mod upkeep;

pub use open::OpenError;

use crate::store::repositories;
use crate::{Store, StoreError};
use async_trait::async_trait;
use futures_util::future::BoxFuture;
use sqlx::sqlite::{SqliteConnection, SqlitePool, SqliteQueryResult, SqliteRow};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tables::fault;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

/// The oldest SQLite that is safe: major, minor, patch.
pub const SQLITE_VERSION_MIN: (u32, u32, u32) = (3, 51, 3);

/// How many connections read at the same time.
pub const READERS_MAX: u32 = 4;

/// How many writes may wait for the one writing connection, the one at work included.
pub const WRITES_WAITING_MAX: usize = 1_024;

/// How long a statement waits for another process that holds the file's lock.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a call waits for a connection of its pool.
pub const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// What the statements are bound for; see [`tables`].
type Engine = sqlx::Sqlite;
type Connection = SqliteConnection;
type Row = SqliteRow;
type Done = SqliteQueryResult;

/// Whether one `UPDATE` can take what it writes from a list of rows.
const UPDATES_FROM_ROWS: bool = true;

/// A [`Store`] in one file.
#[derive(Debug)]
pub struct SqliteStore(Arc<Db>);

impl SqliteStore {
    /// Opens the store in the file at `path`, readable for its owner alone where it is made, and
    /// brings its tables up to date.
    ///
    /// # Errors
    /// [`OpenError`] where the file cannot be opened, SQLite is too old, or the tables cannot be
    /// brought up to date.
    ///
    /// # Cancel safety
    /// A dropped call leaves a file that can be opened again.
    pub async fn open(path: &Path) -> Result<Self, OpenError> {
        let (writer, readers) = open::open(path).await?;
        let writes = Arc::new(Semaphore::new(WRITES_WAITING_MAX));
        Ok(Self(Arc::new(Db { writer, readers, writes, tasks: TaskTracker::new() })))
    }
}

/// The pools and the tasks; implements every repository.
#[derive(Debug)]
struct Db {
    /// Has one connection.
    writer: SqlitePool,
    /// Have read-only connections.
    readers: SqlitePool,
    /// One permit for each write that waits or is at work; closed with the store.
    writes: Arc<Semaphore>,
    /// Every write that has begun.
    tasks: TaskTracker,
}

impl Db {
    /// Runs `work` in one transaction, in a task of the store's own. An error of `work` rolls back.
    ///
    /// # Cancel safety
    /// A dropped call that has been polled is carried through.
    async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, StoreError>>
            + Send
            + 'static,
    {
        let permit =
            Arc::clone(&self.writes).try_acquire_owned().map_err(StoreError::unavailable)?;
        let writer = self.writer.clone();
        let task = self.tasks.spawn(async move {
            let _held_to_the_end = permit;
            // IMMEDIATE: a transaction that reads first and writes then would otherwise fail, not
            // wait, where another process wrote in between.
            let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await.map_err(fault)?;
            match work(&mut transaction).await {
                Ok(value) => transaction.commit().await.map(|()| value).map_err(fault),
                Err(error) => {
                    transaction.rollback().await.map_err(fault)?;
                    Err(error)
                }
            }
        });
        task.await.map_err(StoreError::unavailable)?
    }

    /// Runs `work`, which only reads, on one connection: all that it reads is of one moment. In a
    /// task, lest a dropped call leaves a connection at that moment for ever.
    ///
    /// # Cancel safety
    /// Cancel safe.
    async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, StoreError>>
            + Send
            + 'static,
    {
        let readers = self.readers.clone();
        let task = self.tasks.spawn(async move {
            let mut moment = readers.begin().await.map_err(fault)?;
            let read = work(&mut moment).await;
            moment.rollback().await.map_err(fault)?;
            read
        });
        task.await.map_err(StoreError::unavailable)?
    }
}

#[async_trait]
impl Store for SqliteStore {
    repositories!(Db);

    async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1").execute(&self.0.readers).await.map(drop).map_err(fault)
    }

    async fn close(&self) {
        // In this order: no new write, the begun ones done, then the connections. The writer is
        // the last to go, because SQLite tidies its log away with the last connection, and a
        // reader may not write.
        self.0.writes.close();
        self.0.tasks.close();
        self.0.tasks.wait().await;
        self.0.readers.close().await;
        self.0.writer.close().await;
    }
}

#[cfg(test)]
mod tests;
