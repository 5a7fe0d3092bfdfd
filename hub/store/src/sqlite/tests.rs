//! What cannot be seen through the repositories.

use super::*;
use crate::{Name, Page, User};
use sqlx::Connection;
use sqlx::sqlite::SqliteConnectOptions;
use weft_proto::entropy::SeededEntropy;
use weft_proto::ids::UserId;
use weft_proto::time::{ManualClock, Timestamp};

fn user(seed: u64) -> User {
    let clock = ManualClock::new(Timestamp::from_secs(1_700_000_000));
    User {
        id: UserId::generate(&clock, &SeededEntropy::new(seed)),
        name: Name::parse(&format!("user {seed}")).expect("a name"),
        owner: None,
        zone: None,
        created_at: Timestamp::from_secs(1),
        disabled: false,
    }
}

async fn store() -> (tempfile::TempDir, SqliteStore) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = SqliteStore::open(&folder.path().join("weft.sqlite")).await.expect("it opens");
    (folder, store)
}

async fn pragma(pool: &SqlitePool, statement: &'static str) -> String {
    let row = sqlx::query(statement).fetch_one(pool).await.expect("a row");
    sqlx::Row::try_get_unchecked(&row, 0)
        .or_else(|_| {
            sqlx::Row::try_get_unchecked::<i64, _>(&row, 0).map(|number| number.to_string())
        })
        .expect("a value")
}

#[tokio::test]
async fn every_connection_has_the_settings_that_durability_rests_on() {
    let (_folder, store) = store().await;
    for pool in [&store.0.writer, &store.0.readers] {
        assert_eq!(pragma(pool, "PRAGMA journal_mode").await, "wal");
        assert_eq!(pragma(pool, "PRAGMA synchronous").await, "2", "FULL");
        assert_eq!(pragma(pool, "PRAGMA foreign_keys").await, "1");
        assert_eq!(pragma(pool, "PRAGMA busy_timeout").await, BUSY_TIMEOUT.as_millis().to_string());
    }
    let refused = sqlx::query("DELETE FROM users").execute(&store.0.readers).await;
    assert!(refused.is_err(), "a reader can write");
    store.close().await;
}

#[tokio::test]
async fn a_connection_left_inside_a_transaction_loses_nobody_elses_rows() {
    let (folder, store) = store().await;
    // What a driver that is not cancel-safe leaves behind.
    let mut left = store.0.writer.acquire().await.expect("a connection");
    sqlx::query("BEGIN").execute(&mut *left).await.expect("begun");
    sqlx::query("INSERT INTO owners (id, name, created_at) VALUES (?, 'half', 1)")
        .bind([7u8; 16].as_slice())
        .execute(&mut *left)
        .await
        .expect("inserted");
    drop(left);
    store.users().create(&user(1)).await.expect("kept");
    // Another connection, without any state of this store's.
    let options = SqliteConnectOptions::new().filename(folder.path().join("weft.sqlite"));
    let mut other = SqliteConnection::connect_with(&options).await.expect("connected");
    let count: (i64, i64) =
        sqlx::query_as("SELECT (SELECT COUNT(*) FROM users), (SELECT COUNT(*) FROM owners)")
            .fetch_one(&mut other)
            .await
            .expect("counted");
    assert_eq!(count, (1, 0), "users kept, half-made owners");
    store.close().await;
}

#[tokio::test]
async fn an_error_inside_a_transaction_undoes_all_of_it() {
    let (_folder, store) = store().await;
    let failed: Result<(), _> = store
        .0
        .write(|connection| {
            Box::pin(async move {
                sqlx::query("INSERT INTO owners (id, name, created_at) VALUES (?, 'half', 1)")
                    .bind([7u8; 16].as_slice())
                    .execute(connection)
                    .await
                    .map_err(fault)?;
                Err(StoreError::NotFound { what: "other half" })
            })
        })
        .await;
    assert!(matches!(failed, Err(StoreError::NotFound { what: "other half" })), "{failed:?}");
    assert!(store.owners().list(Page::first()).await.expect("listed").is_empty());
    store.close().await;
}

#[tokio::test]
async fn a_panic_inside_a_transaction_is_one_callers_error_alone() {
    let (_folder, store) = store().await;
    let failed: Result<(), _> =
        store.0.write(|_| Box::pin(async { panic!("a bug in one repository") })).await;
    assert!(matches!(failed, Err(StoreError::Unavailable(_))), "{failed:?}");
    store.users().create(&user(1)).await.expect("kept");
    assert_eq!(store.users().list(Page::first()).await.expect("listed"), [user(1)]);
    store.close().await;
}

#[tokio::test]
async fn writes_beyond_the_limit_are_refused_and_the_others_are_kept() {
    let (_folder, store) = store().await;
    let users = store.users();
    let candidates: Vec<_> = (0..=WRITES_WAITING_MAX as u64).map(user).collect();
    let writes = candidates.iter().map(|user| users.create(user));
    let answers = futures_util::future::join_all(writes).await;
    let refused =
        answers.iter().filter(|answer| matches!(answer, Err(StoreError::Unavailable(_)))).count();
    let kept = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!((refused, kept), (1, WRITES_WAITING_MAX));
    store.close().await;
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_corrupt_and_says_where() {
    let (_folder, store) = store().await;
    store.users().create(&user(1)).await.expect("kept");
    for (statement, column) in [
        ("UPDATE users SET created_at = -1", "created_at"),
        ("UPDATE users SET created_at = 1, name = ' '", "name"),
    ] {
        sqlx::query(statement).execute(&store.0.writer).await.expect("updated");
        let answer = store.users().list(Page::first()).await;
        assert!(
            matches!(&answer, Err(StoreError::Corrupt { what }) if what.starts_with(column)),
            "{answer:?}"
        );
    }
    store.close().await;
}

#[tokio::test]
async fn tables_of_a_newer_version_are_refused() {
    let (folder, store) = store().await;
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (9999, 'of a later version', TRUE, ?, 1)",
    )
    .bind([0u8; 48].as_slice())
    .execute(&store.0.writer)
    .await
    .expect("inserted");
    store.close().await;
    let refused = SqliteStore::open(&folder.path().join("weft.sqlite")).await;
    assert!(matches!(refused, Err(OpenError::Migrate(_))), "{refused:?}");
}

#[tokio::test]
async fn a_file_that_was_full_is_written_again_once_there_is_room() {
    let (_folder, store) = store().await;
    // As a full disk: SQLite fails the statement and rolls back by itself.
    let pages = pragma(&store.0.writer, "PRAGMA page_count").await;
    let limit = sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {pages}"));
    sqlx::query(limit).execute(&store.0.writer).await.expect("a limit");
    let (mut kept, mut refused) = (0, false);
    for seed in 0..2_000 {
        match store.users().create(&user(seed)).await {
            Ok(()) => kept += 1,
            Err(StoreError::Unavailable(_)) => {
                refused = true;
                break;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(refused, "{kept} users found room");
    // The limit went with the connection that met it; whatever took it away, writes go on.
    let limit = "PRAGMA max_page_count = 1000000";
    sqlx::query(limit).execute(&store.0.writer).await.expect("room");
    store.users().create(&user(9_999)).await.expect("written");
    let all = Page { after: None, size: crate::PageSize::clamped(crate::PAGE_ROWS_MAX) };
    assert_eq!(store.users().list(all).await.expect("rows").len(), kept + 1);
    store.close().await;
}
