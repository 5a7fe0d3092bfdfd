//! What an operator does to the file itself: looks at it, and takes a consistent copy of it.
//!
//! Both work beside a running hub, by SQLite's own locks, and neither changes the file: a look reads
//! it, a copy is written from one snapshot into a file that did not exist.

use super::SQLITE_VERSION_MIN;
use super::open::{MIGRATIONS, is_safe};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;
use weft_proto::time::Timestamp;

/// How long a look or a copy waits for a lock of the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// What was found in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examined {
    /// The version of the SQLite library in this program, and whether it is safe to write with.
    pub sqlite: (String, bool),
    /// What `PRAGMA quick_check` complains of, ten lines at most; empty where the file is sound.
    pub faults: Vec<String>,
    /// The number of the newest migration that the file has had; 0 for none.
    pub migrated_to: i64,
    /// The number of the newest migration that this program has.
    pub newest: i64,
    /// Whether the file has had a migration that this program does not know, or an altered one.
    pub from_elsewhere: bool,
    /// The time of the newest outcome or of the last word of an agent, whichever is later.
    pub newest_row_at: Option<Timestamp>,
}

/// Why the file could not be looked at or copied.
#[derive(Debug, thiserror::Error)]
pub enum UpkeepError {
    /// There is no such file.
    #[error("{} does not exist", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// There is a file where the copy should go.
    #[error("{} exists already", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The path of the copy cannot be given to SQLite.
    #[error("{} is not a path that SQLite takes", path.display())]
    Path {
        /// The file.
        path: PathBuf,
    },
    /// SQLite refuses.
    #[error("the database {} cannot be {action}", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// SQLite's reason.
        #[source]
        source: sqlx::Error,
    },
}

/// Looks at the database at `path`: whether it is sound, and how far its tables are.
///
/// # Errors
/// [`UpkeepError`] where there is none, or it is no database at all.
///
/// # Cancel safety
/// Cancel safe: nothing is changed.
pub async fn examine(path: &Path) -> Result<Examined, UpkeepError> {
    let mut connection = connect(path, "read").await?;
    let looked = look(&mut connection).await;
    drop(connection.close().await);
    looked.map_err(|source| UpkeepError::Refused { path: path.to_owned(), action: "read", source })
}

/// Copies the database at `path`, as it is at one moment, into the new file `into`, which must not
/// exist.
///
/// # Errors
/// [`UpkeepError`] with the reason; what was written of the copy is then removed.
///
/// # Cancel safety
/// A dropped call may leave a part of the copy behind.
pub async fn copy(path: &Path, into: &Path) -> Result<(), UpkeepError> {
    if into.try_exists().unwrap_or(true) {
        return Err(UpkeepError::Exists { path: into.to_owned() });
    }
    let Some(target) = into.to_str() else {
        return Err(UpkeepError::Path { path: into.to_owned() });
    };
    let mut connection = connect(path, "copied").await?;
    // SQLite takes an empty file for none, and leaves it the mode with which it was made.
    super::open::make_private(into).await.map_err(|source| UpkeepError::Refused {
        path: into.to_owned(),
        action: "made",
        source: sqlx::Error::Io(source),
    })?;
    let copied = sqlx::query("VACUUM INTO ?1").bind(target).execute(&mut connection).await;
    drop(connection.close().await);
    copied.map(drop).map_err(|source| {
        // The first failure is the one to report.
        drop(std::fs::remove_file(into));
        UpkeepError::Refused { path: path.to_owned(), action: "copied", source }
    })
}

async fn connect(path: &Path, action: &'static str) -> Result<SqliteConnection, UpkeepError> {
    if !path.try_exists().unwrap_or(true) {
        return Err(UpkeepError::Missing { path: path.to_owned() });
    }
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging()
        .connect()
        .await
        .map_err(|source| UpkeepError::Refused { path: path.to_owned(), action, source })
}

async fn look(connection: &mut SqliteConnection) -> Result<Examined, sqlx::Error> {
    let version: String =
        sqlx::query_scalar("SELECT sqlite_version()").fetch_one(&mut *connection).await?;
    let checked: Vec<String> =
        sqlx::query_scalar("PRAGMA quick_check(10)").fetch_all(&mut *connection).await?;
    let faults = checked.into_iter().filter(|line| line != "ok").collect();
    let mut had: Vec<(i64, Vec<u8>)> = Vec::new();
    if table(connection, "_sqlx_migrations").await? {
        let rows = "SELECT version, checksum FROM _sqlx_migrations WHERE success ORDER BY 1";
        had = sqlx::query_as(rows).fetch_all(&mut *connection).await?;
    }
    let known: BTreeSet<_> =
        MIGRATIONS.iter().map(|one| (one.version, one.checksum.to_vec())).collect();
    let mut newest_row_us: Option<i64> = None;
    for (name, newest) in [
        // Ids of exchanges sort by the time of their admission: no walk through the whole table.
        ("outcomes", "SELECT admitted_at FROM outcomes ORDER BY exchange_id DESC LIMIT 1"),
        ("agents", "SELECT max(last_seen_at) FROM agents"),
    ] {
        if table(connection, name).await? {
            let found: Option<Option<i64>> =
                sqlx::query_scalar(newest).fetch_optional(&mut *connection).await?;
            newest_row_us = newest_row_us.max(found.flatten());
        }
    }
    let safe = is_safe(&version);
    Ok(Examined {
        sqlite: (version, safe),
        faults,
        migrated_to: had.last().map_or(0, |(version, _)| *version),
        newest: known.last().map_or(0, |(version, _)| *version),
        from_elsewhere: had.iter().any(|one| !known.contains(one)),
        newest_row_at: newest_row_us
            .and_then(|micros| u64::try_from(micros).ok())
            .map(Timestamp::from_micros),
    })
}

async fn table(connection: &mut SqliteConnection, name: &str) -> Result<bool, sqlx::Error> {
    let found: i64 =
        sqlx::query_scalar("SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?1")
            .bind(name)
            .fetch_one(connection)
            .await?;
    Ok(found > 0)
}

impl Examined {
    /// The oldest SQLite that is safe, as text.
    #[must_use]
    pub fn sqlite_min() -> String {
        let (major, minor, patch) = SQLITE_VERSION_MIN;
        format!("{major}.{minor}.{patch}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SqliteStore, Store};

    #[tokio::test]
    async fn a_copy_taken_beside_an_open_store_is_a_whole_database_and_replaces_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (path, into) = (dir.path().join("hub.sqlite"), dir.path().join("copy.sqlite"));
        assert!(matches!(copy(&path, &into).await, Err(UpkeepError::Missing { .. })));
        let store = SqliteStore::open(&path).await.unwrap();
        copy(&path, &into).await.unwrap();
        assert!(matches!(copy(&path, &into).await, Err(UpkeepError::Exists { .. })));
        store.close().await;
        let (one, other) = (examine(&path).await.unwrap(), examine(&into).await.unwrap());
        assert_eq!(one, other);
        assert_eq!((one.migrated_to, one.from_elsewhere), (one.newest, false));
        assert!(one.faults.is_empty() && one.sqlite.1, "{one:?}");
        SqliteStore::open(&into).await.unwrap().close().await;
    }

    #[tokio::test]
    async fn what_is_no_database_and_what_a_newer_program_made_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let junk = dir.path().join("junk");
        std::fs::write(&junk, vec![7; 9_000]).unwrap();
        assert!(matches!(examine(&junk).await, Err(UpkeepError::Refused { .. })));
        let path = dir.path().join("hub.sqlite");
        SqliteStore::open(&path).await.unwrap().close().await;
        let mut connection = connect(&path, "read").await.unwrap();
        let newer = "INSERT INTO _sqlx_migrations VALUES (9999, 'x', 0, 1, x'00', 0)";
        sqlx::query(newer).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        let examined = examine(&path).await.unwrap();
        assert!(examined.from_elsewhere && examined.migrated_to == 9_999, "{examined:?}");
    }
}
