//! How a hub stops while a user is in the middle of something.

use crate::operator::Hub;
use serde_json::Value;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// How long things may take that should take moments.
const PATIENCE: Duration = Duration::from_secs(30);

/// An upload that has begun and does not go on, as the hub sees it: admitted, its outcome open.
async fn half_an_upload(hub: &Hub) -> TlsStream<TcpStream> {
    hub.cli(&["user", "add", "alice"]);
    let secret = hub.cli(&["key", "add", "--user", "alice"]);
    let mut upload = hub.users_stream().await;
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: hub\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: 1000\r\n\r\n{{\"mess",
        secret.trim()
    );
    upload.write_all(head.as_bytes()).await.expect("written");
    upload.flush().await.expect("flushed");
    let admitted = async {
        while !hub.figures().await.contains("weft_hub_exchanges_in_flight 1\n") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, admitted).await.expect("admitted");
    upload
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draining_hub_is_not_ready_and_a_second_signal_cuts_it_off_with_the_outcome_kept() {
    let mut hub = Hub::start().await;
    let upload = half_an_upload(&hub).await;

    hub.signal("-TERM");
    let unready = async {
        while hub.admin("GET", "/health/readiness", None, None).await.status != 503 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, unready).await.expect("not ready while it drains");
    assert!(hub.runs(), "it waits for the upload");

    hub.signal("-TERM");
    assert!(hub.ended().await.success(), "an operator's second signal is no failure");
    drop(upload);

    // What was cut off has its row.
    hub.restart().await;
    let exchanges = hub.cli_json(&["exchange", "list"]);
    assert_eq!(exchanges.as_array().map(Vec::len), Some(1), "{exchanges}");
    assert_eq!(exchanges[0]["attempts"], 0);
    assert_ne!(exchanges[0]["end"], "complete");
    let id = exchanges[0]["id"].as_str().expect("an id");
    assert_eq!(hub.cli_json(&["exchange", "show", id])[0], exchanges[0]);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_hub_comes_up_again_with_what_it_knew() {
    let mut hub = Hub::start().await;
    hub.cli(&["user", "add", "alice"]);
    hub.signal("-KILL");
    assert!(!hub.ended().await.success());
    let silent = hub.data.run(&["user", "list"]);
    assert!(String::from_utf8_lossy(&silent.stderr).contains("no hub runs on"));
    hub.restart().await;
    let users: Value = hub.cli_json(&["user", "list"]);
    assert_eq!(users[0]["name"], "alice");
    hub.stop().await;
}
