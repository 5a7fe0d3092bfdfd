//! Exchanges that switch: raw bytes both ways, each direction with an end of its own.

use crate::world::{World, answer_head, bytes, request_head};
use http::HeaderMap;
use weft_proto::codes::AbortCode;
use weft_proto::wire::Malformed;
use weft_proto::wire::head::{RequestHead, SwitchedHead};
use weft_transport::exchange::{Answered, Incoming, Piece};
use weft_transport::stream::StreamError;

fn upgrade() -> RequestHead {
    RequestHead { upgrade: true, ..request_head() }
}

fn switched() -> SwitchedHead {
    let mut headers = HeaderMap::new();
    headers.append("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".parse().unwrap());
    SwitchedHead { headers }
}

#[tokio::test]
async fn bytes_go_both_ways_after_a_switch_and_each_direction_ends_by_itself() {
    let tunnel = World::new().tunnel().await;
    let (mut writer, mut reader, incoming) = tunnel.exchange_of(upgrade()).await;
    let Incoming { head, mut body, mut answer } = incoming;
    assert!(head.upgrade);
    answer.switched(&switched()).await.unwrap();
    assert_eq!(reader.head_or_switch().await, Ok(Answered::Switched(switched())));
    let mut raw = reader.into_raw();
    for word in ["a", "bc"] {
        answer.send(word.into()).await.unwrap();
        assert_eq!(raw.next().await, Ok(Some(Piece::Data(word.into()))));
        writer.send(word.into()).await.unwrap();
        assert_eq!(body.next().await, Ok(Some(word.into())));
    }
    // The agent's direction ends; the hub's goes on, however long it grows.
    answer.finish(None).await.unwrap();
    assert_eq!(raw.next().await, Ok(None));
    let long = bytes(400_000);
    let hub = async {
        writer.send(long.clone()).await.unwrap();
        writer.finish().unwrap();
    };
    let agent = async {
        let mut read = Vec::new();
        while let Some(bytes) = body.next().await.unwrap() {
            read.extend_from_slice(&bytes);
        }
        read
    };
    let ((), read) = tokio::join!(hub, agent);
    assert_eq!(read, long.to_vec());
}

#[tokio::test]
async fn a_request_that_asked_for_a_websocket_may_get_a_final_answer() {
    let tunnel = World::new().tunnel().await;
    let (mut writer, mut reader, incoming) = tunnel.exchange_of(upgrade()).await;
    let Incoming { body, mut answer, .. } = incoming;
    answer.head(&answer_head(429)).await.unwrap();
    answer.finish(None).await.unwrap();
    assert_eq!(reader.head_or_switch().await, Ok(Answered::Final(answer_head(429))));
    writer.finish().unwrap_or_default();
    drop(body);
    assert_eq!(reader.into_body(&answer_head(429)).next().await, Ok(None));
}

#[tokio::test]
async fn an_answer_that_switches_unasked_is_malformed() {
    let tunnel = World::new().tunnel().await;
    let (_writer, mut reader, incoming) = tunnel.exchange().await;
    let Incoming { mut answer, .. } = incoming;
    answer.switched(&switched()).await.unwrap();
    let refused = StreamError::from(Malformed("answer kind"));
    assert_eq!(reader.head().await, Err(refused));
}

#[tokio::test]
async fn a_switched_direction_that_is_dropped_never_looks_ended() {
    let tunnel = World::new().tunnel().await;
    let (writer, mut reader, incoming) = tunnel.exchange_of(upgrade()).await;
    let Incoming { mut body, mut answer, .. } = incoming;
    answer.switched(&switched()).await.unwrap();
    answer.send("half".into()).await.unwrap();
    reader.head_or_switch().await.unwrap();
    let mut raw = reader.into_raw();
    assert_eq!(raw.next().await, Ok(Some(Piece::Data("half".into()))));
    drop(answer);
    assert_eq!(raw.next().await, Err(StreamError::Aborted(AbortCode::Internal)));
    drop(writer);
    assert_eq!(body.next().await, Err(StreamError::Aborted(AbortCode::UserAbort)));
}
