//! Opens the file: settings, version, migrations.

use super::{ACQUIRE_TIMEOUT, BUSY_TIMEOUT, READERS_MAX, SQLITE_VERSION_MIN};
use futures_util::future::BoxFuture;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection};
use std::path::Path;

/// What the writer keeps of the file in memory, as the pragma says it: 16 MiB. An index of random
/// ids touches pages all over the file.
const WRITER_CACHE: &str = "-16384";

/// How many pages the log beside the file has before they are written into it: a page that many
/// batches change is written once for all of them. The log is 16 MiB then, and no less durable.
const CHECKPOINT_PAGES: &str = "4000";

/// Every migration there ever was, in order.
pub(super) static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// Why the file could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file cannot be made, or is not accessible.
    #[error("the database file cannot be made or read")]
    File(#[source] std::io::Error),
    /// SQLite refused the file or a setting.
    #[error("the database cannot be opened")]
    Connect(#[source] sqlx::Error),
    /// The SQLite library in this program can lose acknowledged writes.
    #[error(
        "SQLite {found} can lose acknowledged writes (sqlite.org/wal.html): {}.{}.{} or newer is needed",
        SQLITE_VERSION_MIN.0, SQLITE_VERSION_MIN.1, SQLITE_VERSION_MIN.2
    )]
    SqliteTooOld {
        /// Its version.
        found: String,
    },
    /// The tables could not be brought up to date, or are those of a newer version.
    #[error("the database's tables do not fit this version")]
    Migrate(#[source] MigrateError),
}

/// Opens the file at `path`: the pool that writes, and the pool that reads.
pub(super) async fn open(path: &Path) -> Result<(SqlitePool, SqlitePool), OpenError> {
    make_private(path).await.map_err(OpenError::File)?;
    let options = SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging();
    // A statement that inserts many rows keeps what it may have to take back: in memory, not in a
    // file of its own.
    let writer = pool(1)
        .after_release(|connection, _| leave_no_transaction(connection))
        .connect_with(
            options
                .clone()
                .pragma("temp_store", "MEMORY")
                .pragma("cache_size", WRITER_CACHE)
                .pragma("wal_autocheckpoint", CHECKPOINT_PAGES),
        )
        .await
        .map_err(OpenError::Connect)?;
    let found: String = sqlx::query_scalar("SELECT sqlite_version()")
        .fetch_one(&writer)
        .await
        .map_err(OpenError::Connect)?;
    if !is_safe(&found) {
        return Err(OpenError::SqliteTooOld { found });
    }
    migrate(&writer).await?;
    let readers = pool(READERS_MAX)
        .connect_with(options.pragma("query_only", "ON"))
        .await
        .map_err(OpenError::Connect)?;
    Ok((writer, readers))
}

/// Brings the tables up to date in one transaction, which also keeps a second process out that
/// opens the same new file; the migrations' own transactions become savepoints in it.
async fn migrate(writer: &SqlitePool) -> Result<(), OpenError> {
    let mut all = writer.begin_with("BEGIN IMMEDIATE").await.map_err(OpenError::Connect)?;
    MIGRATIONS.run(&mut *all).await.map_err(OpenError::Migrate)?;
    all.commit().await.map_err(OpenError::Connect)
}

fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        // A file does not go away: connections stay until the store closes.
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
}

/// Rolls back what a connection may have been left in. Says `false`, close it, where there was
/// something: the driver's own count of open transactions is wrong then.
fn leave_no_transaction(
    connection: &mut SqliteConnection,
) -> BoxFuture<'_, Result<bool, sqlx::Error>> {
    Box::pin(async move {
        match sqlx::query("ROLLBACK").execute(&mut *connection).await {
            Ok(_) => {
                tracing::error!("a connection came back inside a transaction; rolled back, closed");
                Ok(false)
            }
            // The usual case: SQLite has no statement that asks, only one that complains. But where
            // SQLite itself has rolled back (a full disk), the driver still counts a transaction,
            // and would begin none on this connection ever again.
            Err(sqlx::Error::Database(error)) if error.message().contains("no transaction") => {
                Ok(!connection.is_in_transaction())
            }
            Err(error) => Err(error),
        }
    })
}

/// Whether the version is at least [`SQLITE_VERSION_MIN`]; what cannot be read is not.
pub(super) fn is_safe(version: &str) -> bool {
    let mut parts = version.split('.').map(|part| part.parse::<u32>().ok());
    let mut next = || parts.next().flatten();
    match (next(), next(), next()) {
        (Some(major), Some(minor), Some(patch)) => (major, minor, patch) >= SQLITE_VERSION_MIN,
        (_, _, _) => false,
    }
}

/// Makes the file, where there is none, for its owner's eyes alone: SQLite would leave that to the
/// process's umask. The log beside it takes the mode of the file.
pub(super) async fn make_private(path: &Path) -> std::io::Result<()> {
    let mut options = tokio::fs::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    options.mode(0o600);
    options.open(path).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_that_can_lose_writes_are_refused() {
        for old in ["3.51.2", "3.7.0", "2.99.99", "3.51", "", "next"] {
            assert!(!is_safe(old), "{old:?}");
        }
        for safe in ["3.51.3", "3.52.0", "4.0.0"] {
            assert!(is_safe(safe), "{safe:?}");
        }
    }
}
