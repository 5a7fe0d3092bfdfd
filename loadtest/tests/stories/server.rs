//! A hub whose state lies on a database server: a real MariaDB of the story's own.
//!
//! A server whose disk is full needs no mount here: all tables lie in one file that may not grow
//! beyond a limit, and the server says what it says of a full disk.

#[path = "../../../hub/store/tests/support/mariadb.rs"]
mod mariadb;

use crate::money::books::agreed;
use crate::talk::*;
use http::Method;
use mariadb::{Home, PASSWORD};
use serde_json::Value;
use sqlx::mysql::{MySqlConnection, MySqlDatabaseError};
use sqlx::{AssertSqlSafe, Connection};
use std::time::Duration;
use tokio::time::Instant;
use weft_loadtest::mesh::Version;
use weft_loadtest::mesh::process::{answer, command};
use weft_loadtest::mesh::world::{Plan, USER, World};

/// The setting that leads the hub to its server.
const SETTING: &str = "WEFT_STORE__URL";

/// One word of the command line on the hub's directory, told of the server as the hub is.
fn say(world: &World, url: &str, words: &[&str]) -> Value {
    let mut said = command(&world.binaries().hub());
    said.args(words).arg("--json").arg("--data").arg(world.hub.data()).env(SETTING, url);
    let text = answer(said, "").unwrap();
    assert!(!text.contains(PASSWORD), "{words:?} tells the password");
    serde_json::from_str(&text).unwrap()
}

/// Waits until the hub says that it is ready, or that it is not.
async fn ready(world: &World, wanted: bool) {
    let began = Instant::now();
    loop {
        let asked = Ask::bare(Method::GET, "/health/readiness", "").over(world, Version::H1).await;
        if (asked.status == 200) == wanted {
            return;
        }
        assert!(began.elapsed() < LIMIT, "readiness is {} for too long", asked.status);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_on_a_database_server_serves_and_outlives_restarts_of_both() {
    let home = Home::new();
    let server = home.start();
    let url = server.url("weft");
    // Settings of a plan live as long as the program.
    let setting: &'static str = Box::leak(url.clone().into_boxed_str());
    let mut world = begin(Plan { hub: vec![(SETTING, setting)], ..Plan::default() }).await;
    Ask::chat(&world, true, "").over(&world, Version::H2).await.whole(200);
    Ask::message(&world, false, "").over(&world, Version::H1).await.whole(200);
    let before = rows_when(&world, 2).await;
    assert!(!world.hub.data().join("hub.sqlite").exists(), "there is a second database");

    // The hub goes without a word, and finds all of it again.
    world.restart_hub().await.unwrap();
    world.hub.offers(4).await.unwrap();
    assert_eq!(rows_when(&world, 2).await, before);
    Ask::chat(&world, true, "").over(&world, Version::H2).await.whole(200);
    rows_when(&world, 3).await;

    // The server goes without a word: the hub says so, and goes on when it is back.
    let port = server.port;
    drop(server);
    ready(&world, false).await;
    let server = home.start_on(port).unwrap();
    ready(&world, true).await;
    Ask::chat(&world, true, "").over(&world, Version::H2).await.whole(200);
    rows_when(&world, 4).await;

    // Who looks after it is told what is looked after elsewhere.
    let found = say(&world, &url, &["doctor"]).to_string();
    assert!(found.contains("MariaDB") && found.contains(&format!("weft@127.0.0.1:{port}/weft")));
    let file = world.dir().join("hub.tar");
    let made = say(&world, &url, &["backup", "--to", file.to_str().unwrap()]);
    assert_eq!(made["database_inside"], false, "{made}");
    let held = std::fs::read_to_string(world.hub_log()).unwrap();
    assert!(!held.contains(PASSWORD), "the log tells the password");
    world.end().await.unwrap();
    drop(server);
}

/// The whole disk of a server, one file for all tables; and a larger disk.
const DISK: &str = "--innodb-data-file-path=ibdata1:12M:autoextend:max:32M";
const LARGER_DISK: &str = "--innodb-data-file-path=ibdata1:12M:autoextend:max:64M";
/// What the server says where nothing can be added to a table.
const TABLE_IS_FULL: u16 = 1114;
/// Requests that are asked at a time while the disk is full.
const AT_ONCE: usize = 10;
/// How often they are asked: rows may find place in pages that are there already.
const TURNS_MAX: usize = 40;

/// Takes all space of the server's disk, down to what a small row needs.
async fn fill(server: &mut MySqlConnection) {
    let table = "CREATE TABLE filler (id BIGINT PRIMARY KEY AUTO_INCREMENT, bytes LONGBLOB)";
    sqlx::query(table).execute(&mut *server).await.expect("a table");
    for bytes in [1 << 20, 1 << 16, 1 << 13, 1 << 10] {
        loop {
            let row = format!("INSERT INTO filler (bytes) VALUES (REPEAT('x', {bytes}))");
            let Err(error) = sqlx::query(AssertSqlSafe(row)).execute(&mut *server).await else {
                continue;
            };
            let refusal = error.as_database_error().expect("an answer of the server");
            let refusal = refusal.downcast_ref::<MySqlDatabaseError>();
            assert_eq!(refusal.number(), TABLE_IS_FULL, "{error}");
            break;
        }
    }
}

async fn settlements(server: &mut MySqlConnection) -> usize {
    let counted = sqlx::query_scalar("SELECT COUNT(*) FROM settlements");
    let counted: i64 = counted.fetch_one(server).await.expect("a count");
    usize::try_from(counted).expect("a count")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_full_database_does_not_take_waits_in_the_journal_and_is_settled_once() {
    let mut home = Home::new();
    home.words = vec!["--innodb-file-per-table=OFF".to_owned(), DISK.to_owned()];
    let server = home.start();
    let url = server.url("weft");
    let setting: &'static str = Box::leak(url.clone().into_boxed_str());
    let mut world = begin(Plan { hub: vec![(SETTING, setting)], ..Plan::default() }).await;
    Ask::chat(&world, true, "").over(&world, Version::H2).await.whole(200);
    let before = agreed(&world, &[USER]).await;
    assert_eq!(before.settled.len(), 1);
    let mut database = MySqlConnection::connect(&url).await.expect("connected");
    fill(&mut database).await;

    // Whoever has credit is served, until the journal has what the database does not take.
    let refused = |world: &World| {
        let log = std::fs::read_to_string(world.hub_log()).unwrap_or_default();
        log.contains("outcomes cannot be written")
    };
    let mut served = 1;
    let mut turns = 0;
    while !refused(&world) {
        assert!(turns < TURNS_MAX, "{served} exchanges are settled on a full disk");
        turns += 1;
        let mut connection = connect(&world, Version::H2).await;
        let ask = Ask::chat(&world, true, "deltas=3");
        let asked: Vec<_> = (0..AT_ONCE).map(|_| Reading::of(&ask, &mut connection)).collect();
        for reading in asked {
            reading.end().await.whole(200);
            served += 1;
        }
    }
    for version in VERSIONS {
        Ask::message(&world, false, "").over(&world, version).await.whole(200);
        served += 1;
    }
    let settled = settlements(&mut database).await;
    println!("disk full after {served} exchanges: {settled} of them settled");
    assert!(settled < served, "all {served} are settled on a full disk");

    // Nor is it lost with the process, and the next one posts it once there is space: not even a
    // table can be dropped where there is none.
    world.hub.process().kill();
    let port = server.port;
    drop((database, server));
    home.words[1] = LARGER_DISK.to_owned();
    let server = home.start_on(port).unwrap();
    world.restart_hub().await.unwrap();
    world.hub.offers(4).await.unwrap();
    let log = std::fs::read_to_string(world.hub_log()).unwrap();
    assert!(log.contains("posting what the process before had settled"), "nothing was posted");
    Ask::chat(&world, true, "").over(&world, Version::H1).await.whole(200);
    let after = agreed(&world, &[USER]).await;
    assert_eq!(after.settled.len(), served + 1, "each exchange is settled once");
    assert!(after.settled.values().all(|settled| settled.charge > 0), "{after:?}");
    world.end().await.unwrap();
    drop(server);
}
