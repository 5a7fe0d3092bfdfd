//! What an exchange leaves in the agent's ledger, seen from the files while the agent runs.

use crate::world::{PATIENCE, World, read, soon};
use http::HeaderValue;
use std::time::Duration;
use weft_agent::ledger::read::read as read_ledger;
use weft_proto::codes::AbortCode;
use weft_proto::ledger::verify::Trust;
use weft_proto::ledger::{Body, Close, End};
use weft_proto::money::NanoUsd;
use weft_proto::usage::{Basis, Class};

const REQUEST: &[u8] = br#"{"messages":[{"role":"user","content":"hello"}],"model":"m"}"#;

/// The opens and closes that are durable now.
fn written(world: &World) -> (usize, Vec<Close>) {
    let (mut opens, mut closes) = (0, Vec::new());
    let reading = read_ledger(&world.data, Trust::default(), false, |entry| match &entry.body {
        Body::Open(_) => opens += 1,
        Body::Close(close) => closes.push(close.clone()),
        Body::Epoch(_) | Body::Acks(_) | Body::Checkpoint(_) | Body::Cosigned(_) => {}
    });
    assert!(reading.expect("a ledger").verifier.findings().is_empty());
    (opens, closes)
}

/// Waits for so many closes.
async fn closed(world: &World, count: usize) -> Vec<Close> {
    let waiting = async {
        loop {
            let (_, closes) = written(world);
            if closes.len() >= count {
                return closes;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("closed in time")
}

#[tokio::test]
async fn an_open_is_durable_before_the_provider_is_called_and_a_close_after_the_end() {
    let world = World::new().await;
    let answer = world.tunnel.send(&world.request(), REQUEST).await;
    let mut called = world.provider.called().await;
    assert_eq!((written(&world).0, written(&world).1.len()), (1, 0));
    let body = r#"{"model":"m","usage":{"prompt_tokens":12,"completion_tokens":3}}"#;
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ";
    called.write(format!("{head}{}\r\n\r\n{body}", body.len()).as_bytes()).await;
    let (_, bytes, end) = read(answer).await;
    assert_eq!((bytes.as_slice(), end), (body.as_bytes(), Ok(())));
    let close = closed(&world, 1).await.remove(0);
    assert_eq!((close.end, close.status, close.basis), (End::Proper, 200, Basis::Reported));
    assert_eq!((close.usage.get(Class::Input), close.usage.get(Class::Output)), (12, 3));
    assert_eq!((close.bytes_up, close.bytes_down), (REQUEST.len() as u64, body.len() as u64));
    // A ticket without terms earns nothing.
    assert_eq!((close.list, close.income), (None, NanoUsd::ZERO));
}

#[tokio::test]
async fn a_stop_of_the_hub_closes_the_provider_at_once_and_the_exchange_as_cut() {
    let world = World::new().await;
    let mut answer = world.tunnel.send(&world.request(), REQUEST).await;
    let mut called = world.provider.called().await;
    called
        .write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: {\"choices\":[{\
               \"index\":0,\"delta\":{\"content\":\"hello world\"}}]}\n\n",
        )
        .await;
    let head = soon(answer.head()).await.expect("head");
    let mut body = answer.into_body(&head);
    soon(body.next()).await.expect("piece").expect("data");
    drop(body);
    assert!(called.is_closed().await);
    let close = closed(&world, 1).await.remove(0);
    assert!(matches!(close.end, End::Cut { .. }), "{:?}", close.end);
    assert_eq!((close.usage.get(Class::Output), close.basis), (2, Basis::Estimated));
    assert!(close.usage.get(Class::Input) > 0);
}

#[tokio::test]
async fn a_cut_upstream_and_a_refused_call_are_closed_with_what_they_were() {
    let world = World::new().await;
    let answer = world.tunnel.send(&world.request(), REQUEST).await;
    let mut called = world.provider.called().await;
    called
        .write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{")
        .await;
    drop(called);
    drop(read(answer).await);
    let close = closed(&world, 1).await.remove(0);
    assert_eq!(close.end, End::cut(AbortCode::UpstreamTruncated));
    assert_eq!(close.basis, Basis::Estimated);

    let answer = world.tunnel.send(&world.request(), REQUEST).await;
    let mut called = world.provider.called().await;
    called.write(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n").await;
    drop(read(answer).await);
    let close = closed(&world, 2).await.remove(1);
    assert_eq!((close.end, close.status), (End::Proper, 401));
    assert!(close.usage.is_none());
}

#[tokio::test]
async fn what_is_refused_before_the_call_leaves_no_open() {
    let world = World::new().await;
    let mut head = world.request();
    head.headers.insert("content-length", HeaderValue::from_static("x"));
    drop(world.tunnel.refusal(&head).await);
    assert_eq!(written(&world).0, 0);
    assert!(world.provider.is_quiet().await);
}
