//! What an operator wants to know of the database, asked beside a running hub. Nothing is changed.
//!
//! Copies are not taken here: a server has its own way to be backed up.

use super::open::{MIGRATIONS, is_new_enough, options, prepare};
use super::{ACQUIRE_TIMEOUT, MysqlUrl, READ_TIMEOUT};
use sqlx::mysql::MySqlConnection;
use sqlx::{ConnectOptions, Connection};
use std::collections::BTreeSet;
use weft_proto::time::Timestamp;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examined {
    /// The version of the server, and whether it is one that this was made for.
    pub server: (String, bool),
    /// Whether the server writes each commit to its disk before it says so.
    pub durable: bool,
    /// The number of the newest migration that the database has had; 0 for none.
    pub migrated_to: i64,
    /// The number of the newest migration that this program has.
    pub newest: i64,
    /// A migration that was begun and not ended.
    pub half_done: Option<i64>,
    /// Whether there was a migration that this program does not know, or an altered one.
    pub from_elsewhere: bool,
    /// The time of the newest outcome or of the last word of an agent, whichever is later.
    pub newest_row_at: Option<Timestamp>,
}

/// Why the database could not be looked at.
#[derive(Debug, thiserror::Error)]
#[error("the database {url} cannot be read")]
pub struct UpkeepError {
    url: String,
    #[source]
    source: Box<dyn std::error::Error + Send + Sync>,
}

/// Looks at the database: what serves it, and how far its tables are.
///
/// # Errors
/// [`UpkeepError`] where the server cannot be reached or refuses.
///
/// # Cancel safety
/// Cancel safe: nothing is changed.
pub async fn examine(url: &MysqlUrl) -> Result<Examined, UpkeepError> {
    let failed = |source| UpkeepError { url: url.to_string(), source };
    let looking = async {
        let mut connection = options(url).connect().await?;
        prepare(&mut connection, true).await?;
        let examined = look(&mut connection).await;
        drop(connection.close().await);
        examined
    };
    tokio::time::timeout(ACQUIRE_TIMEOUT + READ_TIMEOUT, looking)
        .await
        .map_err(|late| failed(late.into()))?
        .map_err(|error: sqlx::Error| failed(error.into()))
}

async fn look(connection: &mut MySqlConnection) -> Result<Examined, sqlx::Error> {
    let (version, at_commit): (String, i64) =
        sqlx::query_as("SELECT VERSION(), CAST(@@GLOBAL.innodb_flush_log_at_trx_commit AS SIGNED)")
            .fetch_one(&mut *connection)
            .await?;
    let mut had: Vec<(i64, Vec<u8>, bool)> = Vec::new();
    if has(connection, "_sqlx_migrations").await? {
        let rows = "SELECT version, checksum, success FROM _sqlx_migrations ORDER BY version";
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
        if has(connection, name).await? {
            let found: Option<Option<i64>> =
                sqlx::query_scalar(newest).fetch_optional(&mut *connection).await?;
            newest_row_us = newest_row_us.max(found.flatten());
        }
    }
    let new_enough = is_new_enough(&version);
    Ok(Examined {
        server: (version, new_enough),
        durable: at_commit == 1,
        migrated_to: had.iter().rfind(|one| one.2).map_or(0, |one| one.0),
        newest: known.last().map_or(0, |(version, _)| *version),
        half_done: had.iter().find(|one| !one.2).map(|one| one.0),
        from_elsewhere: had
            .iter()
            .any(|(version, sum, _)| !known.contains(&(*version, sum.clone()))),
        newest_row_at: newest_row_us
            .and_then(|micros| u64::try_from(micros).ok())
            .map(Timestamp::from_micros),
    })
}

async fn has(connection: &mut MySqlConnection, table: &str) -> Result<bool, sqlx::Error> {
    let found: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM information_schema.tables \
         WHERE table_schema = DATABASE() AND table_name = ?",
    )
    .bind(table)
    .fetch_one(connection)
    .await?;
    Ok(found > 0)
}
