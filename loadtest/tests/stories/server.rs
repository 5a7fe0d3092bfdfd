//! A hub whose state lies on a database server: a real MariaDB of the story's own.

#[path = "../../../hub/store/tests/support/mariadb.rs"]
mod mariadb;

use crate::talk::*;
use http::Method;
use mariadb::{Home, PASSWORD};
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;
use weft_loadtest::mesh::Version;
use weft_loadtest::mesh::process::{answer, command};
use weft_loadtest::mesh::world::{Plan, World};

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
