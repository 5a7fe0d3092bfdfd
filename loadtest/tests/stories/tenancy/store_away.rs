//! A store that takes no row: what cannot be recorded is not told, and what was is not forgotten.

use super::cause;
use super::tenant::{Api, Kind, Tenant};
use crate::talk::*;
use http::Method;
use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};
use std::time::Duration;
use weft_loadtest::mesh::World;

/// The lock of a process that writes and does not come to an end: rows can be read and not written.
async fn lock(world: &World) -> SqliteConnection {
    let options = SqliteConnectOptions::new()
        .filename(world.hub.data().join("hub.sqlite"))
        .busy_timeout(Duration::from_secs(30));
    let mut connection = options.connect().await.expect("the hub's database");
    sqlx::query("BEGIN IMMEDIATE").execute(&mut connection).await.expect("the lock");
    connection
}

async fn unlock(mut connection: SqliteConnection) {
    sqlx::query("ROLLBACK").execute(&mut connection).await.expect("unlocked");
    connection.close().await.expect("closed");
}

/// The ids that the hub lists.
async fn listed(user: Tenant<'_>, tail: &str) -> Vec<String> {
    let list = user.say(&user.ask(Method::GET, tail, None)).await.whole(200).json();
    let data = list["data"].as_array().expect("a list");
    data.iter().map(|entry| entry["id"].as_str().expect("an id").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_recorded_is_not_told() {
    let world = world().await;
    let user = Tenant { world: &world, key: &world.key.secret, api: Api::OpenAi };
    let before = user.make(Kind::Container).await;

    let held = lock(&world).await;
    let container = user.ask(Method::POST, "containers", Some(&json!({"name": "loom"})));
    let response = json!({"model": "gpt-4o", "input": "Weave.", "stream": true});
    let response = user.ask(Method::POST, "responses", Some(&response)).sim("deltas=3");
    let (cut, stream) = tokio::join!(user.say(&container), user.say(&response));
    assert!(cut.broken.is_some() && cut.body.is_empty(), "{}: {}", cut.status, cut.text());
    assert!(stream.broken.is_some(), "a whole answer: {}", stream.text());
    assert!(!stream.text().contains("resp_"), "an id went out: {}", stream.text());
    // Before it may stand what came ahead of the id, where the network parted the event there.
    let text = stream.text();
    let event = text.lines().filter_map(|line| line.strip_prefix("data: ")).next_back();
    let event: Value = serde_json::from_str(event.expect("an event")).expect("json");
    assert_eq!(event["error"]["code"], "interrupted", "{event}");

    // Reading goes on, and what needs no row is served.
    assert_eq!(listed(user, "containers").await, std::slice::from_ref(&before));
    let known = user.ask(Method::GET, &format!("containers/{before}"), None);
    user.say(&known).await.whole(200);
    unlock(held).await;

    assert_eq!(listed(user, "containers").await, std::slice::from_ref(&before));
    user.make(Kind::Container).await;
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_cannot_be_followed_is_told_as_a_failure_and_can_be_repeated() {
    let world = world().await;
    let user = Tenant { world: &world, key: &world.key.secret, api: Api::OpenAi };
    let file = user.make(Kind::File).await;
    let delete = user.ends(Kind::File, &file).expect("a deletion");

    let held = lock(&world).await;
    let failed = user.say(&delete).await;
    assert_eq!((failed.status, cause(&failed).as_str()), (503, "object_store"));
    assert!(failed.header("retry-after").is_some());
    unlock(held).await;

    assert_eq!(listed(user, "files").await, std::slice::from_ref(&file));
    let again = user.say(&delete).await;
    assert_ne!(cause(&again), "object_not_found", "the provider's own word: {}", again.text());
    assert_eq!(again.status, 404);
    assert!(listed(user, "files").await.is_empty());
    assert_eq!(cause(&user.say(&delete).await), "object_not_found");
    world.end().await.unwrap();
}
