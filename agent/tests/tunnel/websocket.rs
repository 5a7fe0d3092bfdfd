//! A provider that switches: the handshake through the agent, raw bytes, and honest ends.

use crate::world::{Called, SECRET, World, read, soon};
use http::{HeaderValue, Method};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use weft_proto::codes::AbortCode;
use weft_proto::wire::head::RequestHead;
use weft_transport::exchange::{AnswerReader, Answered, BodyReader, Piece, RequestWriter};
use weft_transport::stream::StreamError;

const SWITCHED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\n\
    upgrade: WebSocket\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
    sec-websocket-protocol: realtime\r\nset-cookie: a=b\r\nx-request-id: req-1\r\n\r\n";

/// A text frame as a server writes it.
const HI: &[u8] = b"\x81\x02hi";

fn realtime(world: &World) -> RequestHead {
    let mut head = world.request();
    head.method = Method::GET;
    head.target = "/v1/realtime?model=gpt-realtime".into();
    head.upgrade = true;
    head.headers.clear();
    for (name, value) in [
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-version", "13"),
        ("sec-websocket-protocol", "realtime, openai-insecure-api-key.wk-user, openai-project.p"),
        ("connection", "upgrade, sec-websocket-key-of-mine"),
        ("upgrade", "h2c"),
    ] {
        head.headers.append(name, HeaderValue::from_static(value));
    }
    head
}

async fn opened(world: &World) -> (RequestWriter, BodyReader, Called) {
    let (writer, mut answer) = world.tunnel.open(&realtime(world)).await;
    let mut called = world.provider.called().await;
    called.write(&[SWITCHED, HI].concat()).await;
    let Ok(Answered::Switched(head)) = soon(answer.head_or_switch()).await else {
        panic!("it did not switch");
    };
    assert_eq!(head.headers["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!(head.headers["sec-websocket-protocol"], "realtime");
    assert_eq!(head.headers["x-request-id"], "req-1");
    for dropped in ["connection", "upgrade", "set-cookie"] {
        assert!(!head.headers.contains_key(dropped), "{dropped}");
    }
    let mut raw = answer.into_raw();
    assert_eq!(soon(raw.next()).await, Ok(Some(Piece::Data(HI.into()))));
    (writer, raw, called)
}

#[tokio::test]
async fn the_handshake_goes_on_with_the_owner_s_key_and_bytes_cross_both_ways() {
    let world = World::new().await;
    let (mut writer, mut raw, mut called) = opened(&world).await;
    assert!(called.head.starts_with("GET /v1/realtime?model=gpt-realtime HTTP/1.1\r\n"));
    for line in [
        "connection: upgrade\r\n",
        "upgrade: websocket\r\n",
        "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        "sec-websocket-version: 13\r\n",
        "sec-websocket-protocol: realtime\r\n",
        "via: 1.1 weft\r\n",
        &format!("authorization: Bearer {SECRET}\r\n"),
    ] {
        assert!(called.head.contains(line), "{line:?} in {}", called.head);
    }
    assert!(!called.head.contains("wk-user") && !called.head.contains("h2c"));

    soon(writer.send("from the user".into())).await.expect("send");
    let mut came = [0; 13];
    soon(called.stream.read_exact(&mut came)).await.expect("read");
    assert_eq!(&came, b"from the user");
    // The user's direction ends, and only that one.
    writer.finish().expect("finish");
    assert_eq!(soon(called.stream.read(&mut came)).await.expect("an end"), 0);
    called.write(HI).await;
    assert_eq!(soon(raw.next()).await, Ok(Some(Piece::Data(HI.into()))));
    called.stream.shutdown().await.expect("an end");
    assert_eq!(soon(raw.next()).await, Ok(None));
}

#[tokio::test]
async fn a_provider_that_ends_inside_a_frame_is_truncated_and_one_between_frames_is_not() {
    let world = World::new().await;
    for (bytes, whole) in [(&HI[..3], false), (HI, true), (b"\x88\x02\x03\xe8", true)] {
        let (_writer, mut raw, mut called) = opened(&world).await;
        called.write(bytes).await;
        assert_eq!(soon(raw.next()).await, Ok(Some(Piece::Data(bytes.into()))));
        called.stream.shutdown().await.expect("an end");
        let end = soon(raw.next()).await;
        let cut = Err(StreamError::Aborted(AbortCode::UpstreamTruncated));
        assert_eq!(end, if whole { Ok(None) } else { cut }, "{bytes:?}");
    }
}

#[tokio::test]
async fn a_hub_that_drops_a_websocket_closes_the_provider_s() {
    let world = World::new().await;
    let (writer, raw, mut called) = opened(&world).await;
    drop((writer, raw));
    assert!(called.is_closed().await);
}

#[tokio::test]
async fn a_101_to_something_else_and_a_101_unasked_are_no_answers() {
    let world = World::new().await;
    let other = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n";
    let (_writer, answer) = world.tunnel.open(&realtime(&world)).await;
    let mut called = world.provider.called().await;
    called.write(other).await;
    assert_eq!(refused(answer).await, AbortCode::UpstreamUnreachable);

    let answer = world.tunnel.send(&world.request(), b"{}").await;
    let mut called = world.provider.called().await;
    called.write(SWITCHED).await;
    let (head, ..) = read(answer).await;
    assert!(head.is_err(), "{head:?}");
}

#[tokio::test]
async fn an_upgrade_passes_only_where_the_route_has_one() {
    let world = World::new().await;
    let mut unasked = realtime(&world);
    unasked.upgrade = false;
    let mut elsewhere = world.request();
    elsewhere.upgrade = true;
    let mut twice = realtime(&world);
    twice.target = "/v1/realtime?model=a&model=b".into();
    let mut foreign = realtime(&world);
    foreign.target = "/v1/realtime?model=a&call_id=rtc_1".into();
    for head in [unasked, elsewhere, twice, foreign] {
        let (_writer, answer) = world.tunnel.open(&head).await;
        assert_eq!(refused(answer).await, AbortCode::NotSent, "{}", head.target);
    }
    assert!(world.provider.is_quiet().await);
}

#[tokio::test]
async fn a_provider_that_does_not_switch_answers_as_ever() {
    let world = World::new().await;
    let (mut writer, mut answer) = world.tunnel.open(&realtime(&world)).await;
    let mut called = world.provider.called().await;
    called
        .write(
            b"HTTP/1.1 400 Bad Request\r\nsec-websocket-version: 13\r\ncontent-length: 2\r\n\r\n{}",
        )
        .await;
    let Ok(Answered::Final(head)) = soon(answer.head_or_switch()).await else {
        panic!("it switched");
    };
    writer.finish().unwrap_or_default();
    assert_eq!(head.status, 400);
    assert!(!head.headers.contains_key("sec-websocket-version"));
    let mut body = answer.into_body(&head);
    assert_eq!(soon(body.next()).await, Ok(Some(Piece::Data("{}".into()))));
    assert_eq!(soon(body.next()).await, Ok(None));
}

async fn refused(mut answer: AnswerReader) -> AbortCode {
    match soon(answer.head_or_switch()).await {
        Err(StreamError::Aborted(code)) => code,
        other => panic!("not refused: {other:?}"),
    }
}
