//! The suite on a real MariaDB, and what only a store behind a network can get wrong: callers that go
//! away, a server that dies or stands still, transactions that meet.

#[path = "../support/mariadb.rs"]
mod mariadb;

use crate::cancelled::{self, polled};
use crate::fixture::World;
use crate::ledger::{Till, USD, draw, outlay};
use crate::objects;
use futures_util::future::{BoxFuture, join_all};
use mariadb::{Home, PASSWORD, Server};
use sqlx::mysql::MySqlConnection;
use sqlx::{AssertSqlSafe, Connection};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;
use weft_proto::causes::causes;
use weft_store::mysql::{OpenError, READ_TIMEOUT, WRITE_TIMEOUT};
use weft_store::{House, MysqlStore, MysqlUrl, Object, Outcome, Page, Settled, Store, StoreError};

/// One test of the suite, by its name.
pub(crate) type Case = (&'static str, fn(Arc<dyn Store>) -> BoxFuture<'static, ()>);

/// How many tests run at the same time, each on a database of its own.
const AT_ONCE: usize = 4;

/// What a call may take beyond its limit: the machine does other things too.
const SLACK: Duration = Duration::from_secs(10);

/// Runs every case on a store in a fresh database of one server, and names those that failed.
pub(crate) fn run(cases: &'static [Case]) {
    let mut home = Home::new();
    // Tables are made anew for each test: waiting for the disk each time is all that takes long. What
    // must outlive a crash is tried by the tests below, on servers that wait.
    home.words = vec!["--innodb-flush-log-at-trx-commit=0".to_owned()];
    let server = home.start();
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(&(name, case)) = cases.get(index) else { break };
            let url = server.url(&format!("case_{index}"));
            // A thread of its own: its name is in what a panic says.
            let alone = std::thread::Builder::new().name(name.to_owned());
            let tried = alone.spawn(move || one(&url, case)).expect("a thread");
            if tried.join().is_err() {
                failed.lock().expect("no panic under it").push(name);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(work);
        }
    });
    let failed = failed.into_inner().expect("no panic under it");
    let amount = cases.len();
    assert!(failed.is_empty(), "{} of {amount} failed on {server}: {failed:#?}", failed.len());
}

fn one(url: &str, case: fn(Arc<dyn Store>) -> BoxFuture<'static, ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        create(url).await;
        let store = open(url).await;
        assert!(!format!("{store:?}").contains(PASSWORD), "{store:?}");
        case(Arc::clone(&store)).await;
        store.close().await;
    });
}

/// Makes the database that `url` names.
async fn create(url: &str) {
    let (server, database) = url.rsplit_once('/').expect("a URL");
    let mut connection = MySqlConnection::connect(server).await.expect("connected");
    let statement = AssertSqlSafe(format!("CREATE DATABASE {database}"));
    sqlx::raw_sql(statement).execute(&mut connection).await.expect("a database");
    connection.close().await.expect("closed");
}

async fn open(url: &str) -> Arc<dyn Store> {
    let url: MysqlUrl = url.parse().expect("a URL");
    Arc::new(MysqlStore::open(&url).await.expect("the store opens"))
}

/// A server, and the URL of the empty database on it.
fn fresh() -> (Home, Server, String) {
    let home = Home::new();
    let server = home.start();
    let url = server.url("weft");
    (home, server, url)
}

fn signal(server: &Server, name: &str) {
    let sent = Command::new("kill").args([name, &server.pid.to_string()]).status();
    assert!(sent.expect("kill runs").success(), "{name} to {server}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_that_go_away_in_the_middle_lose_nothing_and_leave_nothing_behind() {
    let (_home, _server, url) = fresh();
    for seed in 0..2 {
        cancelled::writes_that_have_begun_are_kept(seed, async || open(&url).await).await;
    }
    let (_home, _server, url) = fresh();
    cancelled::a_join_is_whole_or_absent(5, async || open(&url).await).await;
}

#[tokio::test]
async fn a_read_that_is_dropped_gives_the_next_one_no_foreign_row() {
    let (_home, _server, url) = fresh();
    let store = open(&url).await;
    let world = World::new(1);
    let mut kept = Vec::new();
    for index in 0..20 {
        let user = world.user(&format!("user {index}"));
        store.users().create(&user).await.expect("created");
        let key = world.key(&user);
        store.keys().create(&key).await.expect("created");
        kept.push((key, user));
    }
    let mut abandoned = 0;
    for index in 0..400 {
        // Each a statement of its own, so that some are dropped while they are being prepared.
        let (other, _) = &kept[(index * 7) % kept.len()];
        let times = world.below(12) + 1;
        let dropped = match index % 3 {
            0 => polled(times, store.keys().find_by_hash(&other.hash)).await.is_none(),
            1 => polled(times, store.users().list(Page::first())).await.is_none(),
            _ => polled(times, store.outcomes().count()).await.is_none(),
        };
        abandoned += u32::from(dropped);
        let wanted = &kept[index % kept.len()];
        let found = store.keys().find_by_hash(&wanted.0.hash).await.expect("found");
        assert_eq!(found.as_ref(), Some(wanted));
        assert_eq!(store.outcomes().count().await.expect("counted"), 0);
    }
    assert!(abandoned >= 100, "only {abandoned} reads were dropped in the middle");
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_before_the_server_died_is_there_and_the_store_comes_back() {
    let (home, mut server, url) = fresh();
    let store = open(&url).await;
    let mut acknowledged: Vec<Outcome> = Vec::new();
    for round in 0..3 {
        // Many writers at once, so that some are at their commit when the server dies.
        let writers = (0..8).map(|writer| {
            let (outcomes, world) = (store.outcomes(), World::new(100 * round + writer + 1));
            async move {
                let (mut kept, mut refused) = (Vec::new(), false);
                while !refused {
                    let outcome = world.outcome();
                    match outcomes.append(std::slice::from_ref(&outcome)).await {
                        Ok(fresh) => {
                            assert_eq!(fresh, 1);
                            kept.push(outcome);
                        }
                        Err(StoreError::Unavailable(_)) => refused = true,
                        Err(other) => panic!("{other}"),
                    }
                }
                kept
            }
        });
        let port = server.port;
        let dying = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            drop(server);
        };
        let (kept, ()) = tokio::join!(join_all(writers), dying);
        acknowledged.extend(kept.into_iter().flatten());
        assert!(matches!(store.ping().await, Err(StoreError::Unavailable(_))));
        server = home.start_on(port).expect("it starts again");
        store.ping().await.expect("the store is back");
    }
    assert!(acknowledged.len() > 50, "only {} were acknowledged", acknowledged.len());
    for outcome in acknowledged {
        let found = store.outcomes().find(outcome.exchange).await.expect("found");
        assert_eq!(found, Some(outcome), "an acknowledged row was lost");
    }
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stands_still_is_unavailable_in_time_and_then_back() {
    let (_home, server, url) = fresh();
    let store = open(&url).await;
    let world = World::new(1);
    signal(&server, "-STOP");
    let begun = Instant::now();
    let (users, first, second) = (store.users(), world.user("first"), world.user("second"));
    let (read, write, other) =
        tokio::join!(users.list(Page::first()), users.create(&first), users.create(&second));
    let took = begun.elapsed();
    for answer in [read.map(drop), write, other] {
        assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    }
    let limit = READ_TIMEOUT.max(WRITE_TIMEOUT) + SLACK;
    assert!(took < limit, "it took {took:?}");
    signal(&server, "-CONT");
    // What had been asked may have happened, and may be asked again.
    let again = store.users().create(&first).await;
    assert!(matches!(again, Ok(()) | Err(StoreError::Conflict { .. })), "{again:?}");
    let after = world.user("after");
    store.users().create(&after).await.expect("the store is back");
    let names = store.users().list(Page::first()).await.expect("listed");
    assert!(names.contains(&first) && names.contains(&after), "{names:?}");
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_that_meet_all_come_through_and_none_is_lost() {
    let (_home, _server, url) = fresh();
    // Two hubs on one new database: both bring its tables up to date.
    let (store, other) = tokio::join!(open(&url), open(&url));
    let world = World::new(1);
    // The same rows in opposite orders: each would wait for the other for ever.
    let rows: Vec<Outcome> = (0..200).map(|_| world.outcome()).collect();
    let reversed: Vec<Outcome> = rows.iter().rev().cloned().collect();
    for round in 0..6 {
        let at = round * 20;
        let (forth, back) = (&rows[at..at + 80], &reversed[200 - at - 80..200 - at]);
        let appends = [(&store, forth), (&other, back), (&store, back), (&other, forth)];
        let appends = appends.map(|(store, batch)| {
            let outcomes = store.outcomes();
            async move { outcomes.append(batch).await.expect("appended") }
        });
        join_all(appends).await;
    }
    assert_eq!(store.outcomes().count().await.expect("counted"), 180);
    // A key that shows two tokens at the same time is one agent.
    let (one, two) = (world.kept_invite(&store).await, world.kept_invite(&store).await);
    let first = world.redemption(&one);
    let second = weft_store::Redemption { spki: first.spki, ..world.redemption(&two) };
    let (hubs, others) = (store.invites(), other.invites());
    let answers = tokio::join!(hubs.redeem(&first), others.redeem(&second));
    let (answers, agents) = (
        [answers.0.expect("an answer"), answers.1.expect("an answer")],
        store.agents().list(Page::first()).await.expect("listed"),
    );
    assert_eq!(agents.len(), 1, "{answers:?}");
    // What each learns of an object is kept, whoever comes first.
    let object = objects::file(&world, world.user_id(), objects::home(&world), "file-1");
    let learnt = [
        Object { bytes: None, ..object.clone() },
        Object { bytes: Some(7), ..object.clone() },
        Object { parent: None, bytes: None, ..object.clone() },
    ];
    let records = (0..30).map(|index| {
        let objects = if index % 2 == 0 { store.objects() } else { other.objects() };
        let one = learnt[index % 3].clone();
        async move { objects.record(&[one]).await.expect("recorded") }
    });
    assert_eq!(join_all(records).await.into_iter().sum::<usize>(), 0, "all are the same user's");
    let found =
        store.objects().find(object.user, object.provider, std::slice::from_ref(&object.id)).await;
    assert_eq!(found.expect("found")[0].bytes, Some(7));
    store.close().await;
    other.close().await;
}

#[tokio::test]
async fn what_cannot_be_opened_says_why_and_never_the_password() {
    let (_home, server, url) = fresh();
    let refused = async |url: &str| {
        let url: MysqlUrl = url.parse().expect("a URL");
        let error = MysqlStore::open(&url).await.expect_err("refused");
        let shown = format!("{error:?} {}", causes(&error));
        assert!(!shown.contains(PASSWORD), "{shown}");
        error
    };
    let stranger = format!("mysql://stranger:{PASSWORD}@127.0.0.1:{}/weft", server.port);
    assert!(matches!(refused(&stranger).await, OpenError::Connect(_)));
    assert!(matches!(refused(&server.url("nowhere")).await, OpenError::Connect(_)));
    open(&url).await.close().await;
    let mut connection = MySqlConnection::connect(&url).await.expect("connected");
    let newer = "INSERT INTO _sqlx_migrations \
                 (version, description, success, checksum, execution_time) \
                 VALUES (9999, 'of a later version', TRUE, 'x', 1)";
    sqlx::raw_sql(newer).execute(&mut connection).await.expect("inserted");
    assert!(matches!(refused(&url).await, OpenError::Migrate(_)));
    drop(server);
    assert!(matches!(refused(&url).await, OpenError::Connect(_)));
}

#[tokio::test]
async fn a_server_that_must_show_its_certificate_is_believed_by_that_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let mut home = Home::new();
    for name in ["server", "other"] {
        let names = vec!["127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
        std::fs::write(path(&format!("{name}.pem")), made.cert.pem()).expect("written");
        let key = made.signing_key.serialize_pem();
        std::fs::write(path(&format!("{name}.key")), key).expect("written");
    }
    home.words = vec![
        format!("--ssl-cert={}", path("server.pem")),
        format!("--ssl-key={}", path("server.key")),
        "--require-secure-transport=ON".to_owned(),
    ];
    let server = home.start();
    let url = |more: &str| format!("{}?ssl-mode={more}", server.url("weft"));
    let right = url(&format!("verify_identity&ssl-ca={}", path("server.pem")));
    open(&right).await.close().await;
    let mut connection = MySqlConnection::connect(&right).await.expect("connected");
    let (_, version): (String, String) = sqlx::query_as("SHOW STATUS LIKE 'Ssl_version'")
        .fetch_one(&mut connection)
        .await
        .expect("a status");
    assert_eq!(version, "TLSv1.3");
    for wrong in [
        url(&format!("verify_identity&ssl-ca={}", path("other.pem"))),
        url("verify_identity"),
        url("disabled"),
    ] {
        let refused = MysqlStore::open(&wrong.parse().expect("a URL")).await;
        assert!(matches!(refused, Err(OpenError::Connect(_))), "{refused:?}");
    }
    open(&url("preferred")).await.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hubs_that_settle_at_once_lose_and_double_no_nano_though_the_server_dies() {
    let (home, mut server, url) = fresh();
    let hubs = [open(&url).await, open(&url).await];
    let tills = [Till::new(1, &hubs[0]), Till::new(2, &hubs[1])];
    let mut postings = Vec::new();
    for index in 0..6 {
        let till = &tills[index % 2];
        let user = till.user(USD).await;
        let lease = till.leased(user, USD / 2).await;
        for turn in 0..40 {
            // Most draw from the lease; some have none, and take of the balance itself.
            let draws = if turn % 8 == 0 { Vec::new() } else { vec![draw(&lease, 1_000)] };
            postings.push(till.posting(user, outlay(1_000, 800, 0), draws));
        }
    }
    let port = server.port;
    let mut fresh_answers = 0;
    for round in 0..3 {
        // Both hubs are given all of it, in batches and in opposite orders.
        let settle = |hub: usize| {
            let (ledger, mut mine) = (hubs[hub].ledger(), postings.clone());
            if (hub + round) % 2 == 1 {
                mine.reverse();
            }
            async move {
                let (mut fresh, mut refused) = (0, 0);
                for batch in mine.chunks(16) {
                    match ledger.settle(batch).await {
                        Ok(answers) => {
                            let new = |one: &&Settled| matches!(one, Settled::Fresh { .. });
                            assert!(!answers.contains(&Settled::Conflict), "{answers:?}");
                            fresh += answers.iter().filter(new).count();
                        }
                        Err(StoreError::Unavailable(_)) => refused += 1,
                        Err(other) => panic!("{other}"),
                    }
                }
                (fresh, refused)
            }
        };
        let dying = async {
            if round > 0 {
                return server;
            }
            tokio::time::sleep(Duration::from_millis(40)).await;
            drop(server);
            home.start_on(port).expect("it starts again")
        };
        let (one, other, back) = tokio::join!(settle(0), settle(1), dying);
        server = back;
        fresh_answers += one.0 + other.0;
        if round > 0 {
            assert_eq!((one.1, other.1), (0, 0), "refused by a server that is there");
        }
    }
    // An answer may have been lost with the server, never a row, and no exchange is settled twice.
    assert!(fresh_answers <= postings.len(), "{fresh_answers} of {}", postings.len());
    for posting in &postings {
        let agreed = tills[0].agreed(posting).await;
        assert_eq!(agreed.settlement, posting.settlement);
    }
    for till in &tills {
        till.agrees().await;
    }
    let income = 800 * i64::try_from(postings.len()).expect("few");
    assert_eq!(tills[0].house(House::Suspense).await, income);
    for hub in &hubs {
        hub.close().await;
    }
}
