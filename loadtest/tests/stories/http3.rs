//! The users' door over HTTP/3, asked by clients that others wrote: aioquic, libcurl and Chromium.

#[path = "http3/browser.rs"]
mod browser;
#[path = "http3/driver.rs"]
mod driver;

use crate::talk::*;
use driver::Driver;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::timeout;
use weft_loadtest::mesh::{Version, World};
use weft_loadtest::provider::{Ending, Record};

/// Nothing may take longer on loopback.
const GONE_MAX: Duration = Duration::from_secs(2);

/// Fails unless client and provider saw the same bytes, both ways.
#[track_caller]
fn same(line: &Value, record: &Record) {
    assert_eq!(line["status"], 200, "{line}");
    assert_eq!(line["ended"], true, "{line}");
    assert_eq!(line["request_sha256"].as_str(), record.body_sha256.as_deref(), "{line}");
    assert_eq!(line["request_bytes"], record.body_bytes, "{line}");
    assert_eq!(line["response_sha256"].as_str(), record.answer_sha256.as_deref(), "{line}");
    assert_eq!(line["response_bytes"], record.answer_bytes, "{line}");
    assert!(line["headers"]["weft-request-id"].is_string(), "{line}");
}

/// What both clients ask alike; gives back how many exchanges it were.
async fn answered_byte_for_byte(world: &World, client: &str) -> usize {
    let relayed = ["chat", "chat-stream", "upload"];
    let mut driver = Driver::start(world, client, "liveness,models,unknown,websocket");
    let (liveness, models) = (driver.next().await, driver.next().await);
    assert_eq!((&liveness["status"], &liveness["response_bytes"]), (&json!(200), &json!(3)));
    assert_eq!(models["status"], 200, "{models}");
    assert_eq!(models["headers"]["content-type"], "application/json", "{models}");
    assert_eq!(models["headers"]["content-length"], models["response_bytes"].to_string());
    assert!(models["headers"]["date"].is_string(), "{models}");
    let unknown = driver.next().await;
    assert_eq!((&unknown["status"], &unknown["ended"]), (&json!(404), &json!(true)), "{unknown}");
    let websocket = driver.next().await;
    assert_eq!(websocket["status"], 426, "{websocket}");
    assert!(websocket["headers"]["upgrade"].is_null(), "{websocket}");
    driver.end().await;

    let mut driver = Driver::start(world, client, &relayed.join(","));
    for case in relayed {
        let line = driver.next().await;
        let record = last(world).await;
        println!("{client} {case}: {} bytes up, {} down", record.body_bytes, record.answer_bytes);
        same(&line, &record);
        assert!(record.version.starts_with("HTTP/1"), "to the provider as ever: {record:?}");
    }
    driver.end().await;
    relayed.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_clients_of_http3_are_answered_byte_for_byte_and_end_what_they_leave() {
    let world = world().await;
    let mut exchanges = answered_byte_for_byte(&world, "aioquic").await;
    exchanges += answered_byte_for_byte(&world, "pycurl").await;

    // A provider that breaks off, and users who leave.
    let mut left = 0;
    for (client, cases) in [
        ("aioquic", "broken,leave-silence,leave-stream,chat,leave-stall"),
        ("pycurl", "broken,leave-silence,leave-stream"),
    ] {
        let mut driver = Driver::start(&world, client, cases);
        for case in cases.split(',') {
            let line = driver.next().await;
            exchanges += 1;
            if case.starts_with("leave") {
                // The client keeps its connection meanwhile: the stream alone is left.
                let gone = world.provider.wait_for(|records| {
                    let record = records.last()?;
                    record.ending.map(|ending| (ending, record.answer_bytes))
                });
                let (ending, bytes) = timeout(GONE_MAX, gone).await.expect("in time");
                assert_eq!(ending, Ending::ClientGone, "{client} {case}");
                println!("{client} {case}: the provider was left after {bytes} bytes");
                left += 1;
            } else if case == "broken" {
                assert_ne!(line["ended"], true, "{client}: a cut answer looks whole: {line}");
                assert!(line["response_bytes"].as_u64() > Some(0), "{line}");
                if client == "aioquic" {
                    assert_eq!(line["reset"], 0x102, "{line}");
                }
            } else {
                same(&line, &last(&world).await);
            }
        }
        driver.end().await;
    }
    let rows = rows_when(&world, exchanges).await;
    let gone = rows.iter().filter(|row| row["end"] == "user_abort").count();
    assert_eq!(gone, left, "{rows:?}");
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn http3_is_named_to_those_who_come_over_tcp_and_refuses_a_large_head_whole() {
    let world = world().await;
    let port = world.hub.users().port();
    assert_eq!(world.hub.addresses().users_h3, world.hub.addresses().users);
    for version in VERSIONS {
        for target in ["/health/liveness", "/v1/models", "/v1/none"] {
            let answer = Ask::bare(http::Method::GET, target, "").over(&world, version).await;
            let told = format!("h3=\":{port}\"; ma=3600");
            assert_eq!(answer.header("alt-svc"), Some(&*told), "{version:?} {target}");
        }
    }
    // A head beyond the limit, which the settings tell, is refused whole.
    let mut driver = Driver::start(&world, "aioquic", "large-head,liveness");
    let large = driver.next().await;
    assert_eq!((&large["status"], &large["ended"]), (&json!(431), &json!(true)), "{large}");
    assert_eq!(large["field_section_max"], 48 * 1024, "{large}");
    assert_eq!(driver.next().await["status"], 200);
    driver.end().await;
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_door_without_http3_does_not_name_it_and_listens_to_no_udp() {
    let plan = weft_loadtest::mesh::world::Plan {
        hub: vec![("WEFT_USERS__H3", "false")],
        ..Default::default()
    };
    let world = begin(plan).await;
    assert!(world.hub.addresses().users_h3.is_empty());
    let answer =
        Ask::bare(http::Method::GET, "/health/liveness", "").over(&world, Version::H2).await;
    assert_eq!(answer.whole(200).header("alt-svc"), None);
    // Nobody has the port: it can be had.
    drop(std::net::UdpSocket::bind(world.hub.users()).expect("a free port"));
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_stops_says_farewell_over_http3_and_cuts_nothing() {
    let mut world = world().await;
    let mut driver = Driver::start(&world, "aioquic", "farewell");
    assert_eq!(driver.next().await["case"], "begun");
    world.hub.process().signal(Signal::TERM).unwrap();
    let line = driver.next().await;
    same(&line, &last(&world).await);
    let stream = line["stream"].as_u64().unwrap();
    assert_eq!(line["farewells"], json!([stream + 4]), "the first that is not served: {line}");
    assert_eq!(line["closed"], 0x100, "{line}");
    driver.end().await;
    let status = world.hub.process().wait(Duration::from_secs(20)).await.unwrap();
    assert!(status.success(), "{}", world.hub.process().tail());
}
