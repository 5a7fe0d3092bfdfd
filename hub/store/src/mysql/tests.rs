//! What cannot be seen through the repositories, on a real server.

#[path = "../../tests/support/mariadb.rs"]
mod mariadb;

use super::*;
use crate::{Name, Page, User};
use futures_util::future::join_all;
use mariadb::{Home, Server};
use std::future::Future;
use std::pin::pin;
use std::task::Poll;
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

/// A store on a server of its own, and a connection that has no state of the store's.
async fn store() -> (Home, Server, MysqlStore, MySqlConnection) {
    let home = Home::new();
    let server = home.start();
    let other = MySqlConnection::connect(&server.url("weft")).await.expect("connected");
    let url: MysqlUrl = server.url("weft").parse().expect("a URL");
    let store = MysqlStore::open(&url).await.unwrap_or_else(|error| panic!("{server}: {error:?}"));
    (home, server, store, other)
}

async fn counted(connection: &mut MySqlConnection, statement: &'static str) -> i64 {
    sqlx::query_scalar(statement).fetch_one(connection).await.expect("counted")
}

#[tokio::test]
async fn every_session_has_the_settings_that_correctness_rests_on() {
    let (_home, _server, store, _other) = store().await;
    let settings = "SELECT @@tx_isolation, CAST(@@tx_read_only AS SIGNED), @@sql_mode, CAST(@@innodb_lock_wait_timeout AS SIGNED), \
                    @@character_set_connection";
    for (pool, reads_alone) in [(&store.0.writers, false), (&store.0.readers.0, true)] {
        let (isolation, read_only, mode, patience, characters): (String, i64, String, i64, String) =
            sqlx::query_as(settings).fetch_one(pool).await.expect("settings");
        assert_eq!((isolation.as_str(), read_only), ("READ-COMMITTED", i64::from(reads_alone)));
        assert!(mode.contains("STRICT_ALL_TABLES"), "{mode}");
        assert_eq!((patience, characters.as_str()), (i64::from(LOCK_WAIT_SECONDS), "utf8mb4"));
    }
    let refused = sqlx::query("DELETE FROM users").execute(&store.0.readers).await;
    assert!(refused.is_err(), "a reader can write");
    store.close().await;
}

#[tokio::test]
async fn futures_dropped_inside_begin_poison_no_session_and_lose_no_row() {
    let (_home, _server, store, mut other) = store().await;
    let mut inside = 0;
    for seed in 0..100 {
        // What a repository would do that ran in its caller's future: the driver, without a task.
        for polls in 1..8 {
            inside += u32::from(polled(polls, store.0.writers.begin()).await.is_none());
        }
        // The next one on that connection: a single statement that counts on being a transaction
        // of its own, then a repository's.
        sqlx::query("INSERT INTO owners (id, name, created_at) VALUES (?, ?, 1)")
            .bind([u8::try_from(seed).expect("small"); 16].as_slice())
            .bind(format!("owner {seed}"))
            .execute(&store.0.writers)
            .await
            .expect("acknowledged");
        // Through another connection: what only the session sees that wrote it is not committed.
        let kept = counted(&mut other, "SELECT COUNT(*) FROM owners").await;
        assert_eq!(kept, seed as i64 + 1, "an acknowledged row is in somebody's open transaction");
        store.users().create(&user(seed)).await.expect("acknowledged");
    }
    assert_eq!(counted(&mut other, "SELECT COUNT(*) FROM users").await, 100);
    store.close().await;
    let open = "SELECT COUNT(*) FROM information_schema.innodb_trx";
    assert_eq!(counted(&mut other, open).await, 0, "a transaction was left open");
    assert!(inside > 100, "only {inside} were dropped inside");
}

/// Polls `future` `times` times, and drops it then; its output where it was done before.
async fn polled<T>(times: u64, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    for _ in 0..times {
        if let Poll::Ready(value) = futures_util::poll!(&mut future) {
            return Some(value);
        }
        tokio::task::yield_now().await;
    }
    None
}

#[tokio::test]
async fn a_read_that_is_dropped_leaves_its_answer_to_nobody() {
    let (_home, _server, store, _other) = store().await;
    let mut dropped = 0;
    for number in 0..600_i64 {
        // A statement that no connection knows: it is prepared first, in several packets.
        let fresh = format!("SELECT CAST({number} AS SIGNED) AS a, ? AS b, ? AS c, ? AS d");
        let asked = sqlx::query(sqlx::AssertSqlSafe(fresh)).bind(1_i64).bind(2_i64).bind(3_i64);
        let read = asked.fetch_one(&store.0.readers);
        dropped += u32::from(polled(number.unsigned_abs() % 24, read).await.is_none());
        let next: i64 = sqlx::query_scalar("SELECT CAST(? AS SIGNED)")
            .bind(number)
            .fetch_one(&store.0.readers)
            .await
            .unwrap_or_else(|error| panic!("after {dropped}: {error}"));
        assert_eq!(next, number, "somebody else's answer, after {dropped}");
    }
    assert!(dropped > 100, "only {dropped} were dropped in the middle");
    store.close().await;
}

#[tokio::test]
async fn an_error_or_a_panic_inside_a_transaction_undoes_all_of_it() {
    let (_home, _server, store, mut other) = store().await;
    const HALF: &str = "INSERT INTO owners (id, name, created_at) VALUES (0x01, 'half', 1)";
    let failed: Result<(), _> = store
        .0
        .write(|connection| {
            Box::pin(async move {
                sqlx::query(HALF).execute(connection).await.map_err(fault)?;
                Err(StoreError::NotFound { what: "other half" })
            })
        })
        .await;
    assert!(matches!(failed, Err(StoreError::NotFound { what: "other half" })), "{failed:?}");
    let failed: Result<(), _> = store
        .0
        .write(|connection| {
            Box::pin(async move {
                sqlx::query(HALF).execute(connection).await.map_err(fault)?;
                panic!("a bug in one repository")
            })
        })
        .await;
    assert!(matches!(failed, Err(StoreError::Unavailable(_))), "{failed:?}");
    store.users().create(&user(1)).await.expect("kept");
    assert_eq!(store.users().list(Page::first()).await.expect("listed"), [user(1)]);
    assert_eq!(counted(&mut other, "SELECT COUNT(*) FROM owners").await, 0);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadlock_is_run_again_and_a_lost_cause_is_given_up() {
    let (_home, _server, store, mut other) = store().await;
    sqlx::raw_sql(
        "CREATE TABLE pair (id BIGINT PRIMARY KEY, value BIGINT NOT NULL) ENGINE=InnoDB; \
                   INSERT INTO pair VALUES (1, 0), (2, 0)",
    )
    .execute(&mut other)
    .await
    .expect("a table");
    let both = |first: i64, second: i64| {
        store.0.write(move |connection| {
            Box::pin(async move {
                for id in [first, second] {
                    sqlx::query("UPDATE pair SET value = value + 1 WHERE id = ?")
                        .bind(id)
                        .execute(&mut *connection)
                        .await
                        .map_err(fault)?;
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                Ok(())
            })
        })
    };
    // Opposite orders, so that most of them meet.
    let writes = (0..40).map(|turn| if turn % 2 == 0 { both(1, 2) } else { both(2, 1) });
    for answer in join_all(writes).await {
        answer.expect("run again until it came through");
    }
    assert_eq!(counted(&mut other, "SELECT MIN(value) FROM pair").await, 40);
    // Somebody else holds the row for good: the call ends all the same.
    sqlx::raw_sql("START TRANSACTION; UPDATE pair SET value = 0 WHERE id = 1")
        .execute(&mut other)
        .await
        .expect("held");
    let begun = tokio::time::Instant::now();
    let given_up = both(1, 2).await;
    assert!(matches!(given_up, Err(StoreError::Unavailable(_))), "{given_up:?}");
    assert!(begun.elapsed() < WRITE_TIMEOUT + Duration::from_secs(10), "{:?}", begun.elapsed());
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.expect("let go");
    both(1, 2).await.expect("free again");
    store.close().await;
}

#[tokio::test]
async fn a_read_of_one_moment_does_not_see_what_came_after_its_beginning() {
    let (_home, _server, store, mut other) = store().await;
    store.users().create(&user(1)).await.expect("kept");
    let (seen_tx, seen_rx) = tokio::sync::oneshot::channel();
    let (go_tx, go_rx) = tokio::sync::oneshot::channel();
    let reading = store.0.read(move |connection| {
        Box::pin(async move {
            let before = counted(&mut *connection, "SELECT COUNT(*) FROM users").await;
            seen_tx.send(()).expect("somebody waits");
            go_rx.await.expect("told to go on");
            Ok((before, counted(connection, "SELECT COUNT(*) FROM users").await))
        })
    });
    let writing = async {
        seen_rx.await.expect("it looked");
        store.users().create(&user(2)).await.expect("kept");
        go_tx.send(()).expect("it waits");
    };
    let (read, ()) = tokio::join!(reading, writing);
    assert_eq!(read.expect("read"), (1, 1));
    assert_eq!(counted(&mut other, "SELECT COUNT(*) FROM users").await, 2);
    store.close().await;
}

#[tokio::test]
async fn a_value_that_does_not_fit_is_refused_and_never_cut() {
    let (_home, _server, store, mut other) = store().await;
    let long = "x".repeat(65);
    let refused = sqlx::query("INSERT INTO owners (id, name, created_at) VALUES (0x01, ?, 1)")
        .bind(&long)
        .execute(&store.0.writers)
        .await;
    assert!(refused.is_err(), "{refused:?}");
    assert_eq!(counted(&mut other, "SELECT COUNT(*) FROM owners").await, 0);
    store.close().await;
}
