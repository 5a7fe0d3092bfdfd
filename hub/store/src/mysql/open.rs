//! Connects: version, settings of each session, migrations.

use super::{
    ACQUIRE_TIMEOUT, LOCK_WAIT_SECONDS, MARIADB_VERSION_MIN, MYSQL_VERSION_MIN, MysqlUrl,
    READERS_MAX, Readers, WRITERS_MAX,
};
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlPool, MySqlPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use std::time::Duration;

/// Every migration there ever was, in order; numbered as SQLite's, which say the same.
pub(super) static MIGRATIONS: Migrator = sqlx::migrate!("./migrations/mysql");

/// How long another hub may take that migrates the same database, seconds.
const MIGRATION_LOCK_SECONDS: i64 = 60;

/// A connection that lay idle for longer is asked whether it still stands before it is used. No server
/// ends and begins again in less.
const IDLE_UNASKED: Duration = Duration::from_millis(100);

/// Prepared statements that a connection keeps: more than the repositories have.
const STATEMENTS_MAX: usize = 256;

/// Why the database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The server cannot be reached, or refuses.
    #[error("the database server cannot be reached, or refuses")]
    Connect(#[source] sqlx::Error),
    /// The server is older than what this was made for.
    #[error(
        "the server is {found}: MariaDB {}.{} or MySQL {}.{}.{} or newer is needed",
        MARIADB_VERSION_MIN.0, MARIADB_VERSION_MIN.1,
        MYSQL_VERSION_MIN.0, MYSQL_VERSION_MIN.1, MYSQL_VERSION_MIN.2
    )]
    TooOld {
        /// What it says of itself.
        found: String,
    },
    /// Another hub has been changing the tables for too long.
    #[error("another hub is bringing the tables up to date, and does not come to an end")]
    Locked,
    /// The tables could not be brought up to date, or are those of a newer version.
    #[error("the database's tables do not fit this version")]
    Migrate(#[source] MigrateError),
}

/// Connects to the database: the pool that writes, and the pool that reads.
pub(super) async fn open(url: &MysqlUrl) -> Result<(MySqlPool, Readers), OpenError> {
    let options = options(url);
    // On its own: a connection that has migrated must not be pooled, whatever state that left.
    let mut connection = options.connect().await.map_err(OpenError::Connect)?;
    prepare(&mut connection, false).await.map_err(OpenError::Connect)?;
    let found: String = sqlx::query_scalar("SELECT VERSION()")
        .fetch_one(&mut connection)
        .await
        .map_err(OpenError::Connect)?;
    if !is_new_enough(&found) {
        return Err(OpenError::TooOld { found });
    }
    let migrated = migrate(&mut connection, url.database()).await;
    // Closing is a courtesy; what matters is whether the migration went through.
    drop(connection.close().await);
    migrated?;
    let writers = pool(WRITERS_MAX)
        .after_connect(|connection, _| Box::pin(prepare(connection, false)))
        .after_release(|connection, _| {
            Box::pin(
                async move { sqlx::raw_sql("ROLLBACK").execute(connection).await.map(|_| true) },
            )
        })
        .connect_with(options.clone())
        .await
        .map_err(OpenError::Connect)?;
    let readers = pool(READERS_MAX)
        .after_connect(|connection, _| Box::pin(prepare(connection, true)))
        .connect_with(options)
        .await
        .map_err(OpenError::Connect)?;
    Ok((writers, Readers(readers)))
}

/// What the driver is told; the settings of the session are [`prepare`]'s.
pub(super) fn options(url: &MysqlUrl) -> MySqlConnectOptions {
    url.options()
        .charset("utf8mb4")
        .pipes_as_concat(false)
        .no_engine_substitution(false)
        .statement_cache_capacity(STATEMENTS_MAX)
        .disable_statement_logging()
}

/// Sets what correctness rests on, whatever the server's own defaults are.
pub(super) async fn prepare(
    connection: &mut MySqlConnection,
    reads_alone: bool,
) -> Result<(), sqlx::Error> {
    let access = if reads_alone { "READ ONLY" } else { "READ WRITE" };
    let settings = format!(
        "SET SESSION sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION', \
         autocommit = 1, foreign_key_checks = 1, unique_checks = 1, \
         innodb_lock_wait_timeout = {LOCK_WAIT_SECONDS}; \
         SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; \
         SET SESSION TRANSACTION {access}"
    );
    // Nothing from outside is in it.
    sqlx::raw_sql(AssertSqlSafe(settings)).execute(connection).await.map(drop)
}

/// Brings the tables up to date, one hub at a time.
async fn migrate(connection: &mut MySqlConnection, database: &str) -> Result<(), OpenError> {
    // Names of locks are the whole server's, and no longer than 64 characters.
    let name: String = format!("weft migration {database}").chars().take(64).collect();
    let taken: Option<i64> = sqlx::query_scalar("SELECT GET_LOCK(?, ?)")
        .bind(&name)
        .bind(MIGRATION_LOCK_SECONDS)
        .fetch_one(&mut *connection)
        .await
        .map_err(OpenError::Connect)?;
    if taken != Some(1) {
        return Err(OpenError::Locked);
    }
    let migrated = MIGRATIONS.run(&mut *connection).await;
    // It goes with the connection, at the latest.
    drop(sqlx::query("SELECT RELEASE_LOCK(?)").bind(&name).execute(connection).await);
    migrated.map_err(OpenError::Migrate)
}

fn pool(connections: u32) -> MySqlPoolOptions {
    MySqlPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .before_acquire(|connection, about| {
            Box::pin(async move {
                // Servers are restarted, and proxies forget: better found out before than by a call.
                if about.idle_for > IDLE_UNASKED {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
}

/// Whether the server's version is one of those that this was made for; what cannot be read is not.
pub(super) fn is_new_enough(version: &str) -> bool {
    // Some MariaDB servers put "5.5.5-" before their version, for very old clients.
    let bare = version.strip_prefix("5.5.5-").unwrap_or(version);
    let numbers = bare.split(|character: char| !character.is_ascii_digit() && character != '.');
    let mut parts = numbers.map(|text| text.split('.')).next().into_iter().flatten();
    let mut next = || parts.next().and_then(|part| part.parse::<u32>().ok());
    let least = if bare.contains("MariaDB") { MARIADB_VERSION_MIN } else { MYSQL_VERSION_MIN };
    match (next(), next(), next()) {
        (Some(major), Some(minor), Some(patch)) => (major, minor, patch) >= least,
        (_, _, _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    #[test]
    fn every_migration_has_its_twin_under_the_same_name() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
        let names = |folder: &Path| -> BTreeSet<_> {
            let entries = std::fs::read_dir(folder).expect("a folder").map(|one| one.expect("one"));
            let files = entries.filter(|one| one.path().extension().is_some());
            files.map(|one| one.file_name().into_string().expect("a name")).collect()
        };
        assert_eq!(names(&folder), names(&folder.join("mysql")), "SQLite's, MySQL's");
    }

    #[test]
    fn servers_that_are_too_old_are_told_from_those_that_will_do() {
        for old in ["10.5.29-MariaDB", "5.5.5-10.3.1-MariaDB-log", "8.0.15", "5.7.44-log", "", "x"]
        {
            assert!(!is_new_enough(old), "{old:?}");
        }
        for safe in [
            "10.11.19-MariaDB-0+deb12u1",
            "5.5.5-10.6.0-MariaDB",
            "11.4.2-MariaDB",
            "8.0.16",
            "8.4.3",
        ] {
            assert!(is_new_enough(safe), "{safe:?}");
        }
    }
}
