//! A hub that wants what it may not have: an agent trusts it no further than it must.

use crate::world::*;
use http::{HeaderValue, Method};
use tokio::io::AsyncReadExt;
use weft_proto::codes::{AbortCode, CloseCode};
use weft_proto::entropy::OsEntropy;
use weft_proto::ids::{NodeId, SessionId};
use weft_proto::provider::Provider;
use weft_proto::time::SystemClock;
use weft_proto::wire::control::{Features, HubMessage, Refuse, RefuseCause, Welcome};
use weft_transport::stream::{Lost, StreamError};

/// The agent still serves, on the same tunnel.
async fn still_serves(world: &World) {
    let answer = world.tunnel.send(&world.request(), b"{}").await;
    let mut called = world.provider.called().await;
    called.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok").await;
    assert_eq!(read(answer).await.1, b"ok");
}

#[tokio::test]
async fn a_hub_cannot_name_another_host_path_or_method() {
    let world = World::new().await;
    for target in [
        "/",
        "/v1/files/../organization/users",
        "/v1//chat/completions",
        "/v1/chat/completions/",
        "/v1/%63hat/completions",
        "/v1/chat%2fcompletions",
        "/v1/chat\\completions",
        "/v1/chat/completions#x",
        "/v1/chat/completions?api_key=sk-x",
        "/v1/fine_tuning/jobs",
        "/v1/organization/admin_api_keys",
        "/v1/realtime/client_secrets",
    ] {
        let mut head = world.request();
        head.target = target.into();
        let error = world.tunnel.refusal(&head).await;
        assert_eq!(error, StreamError::Aborted(AbortCode::NotSent), "{target}");
    }
    for method in [Method::CONNECT, Method::TRACE, Method::PUT, Method::from_bytes(b"X").unwrap()] {
        let mut head = world.request();
        head.method = method.clone();
        let error = world.tunnel.refusal(&head).await;
        assert_eq!(error, StreamError::Aborted(AbortCode::NotSent), "{method}");
    }
    for provider in Provider::ALL.into_iter().filter(|other| *other != Provider::OpenAi) {
        let mut head = world.request();
        head.provider = provider;
        let error = world.tunnel.refusal(&head).await;
        assert_eq!(error, StreamError::Aborted(AbortCode::NotSent), "{provider}");
    }
    assert!(world.provider.is_quiet().await, "the provider was called");
    still_serves(&world).await;
}

#[tokio::test]
async fn a_hub_cannot_set_the_credential_the_host_or_the_framing() {
    let world = World::new().await;
    let mut head = world.request();
    for (name, value) in [
        ("host", "evil.example"),
        ("authorization", "Bearer sk-of-the-hub"),
        ("api-key", "sk-of-the-hub"),
        ("x-api-key", "sk-of-the-hub"),
        ("openai-organization", "org-of-another"),
        ("openai-project", "project-of-another"),
        ("proxy-authorization", "Basic eA=="),
        ("cookie", "session=1"),
        ("transfer-encoding", "chunked"),
        ("connection", "authorization, x-mine"),
        ("x-mine", "1"),
        ("upgrade", "h2c"),
        ("expect", "100-continue"),
        ("x-forwarded-host", "evil.example"),
        ("forwarded", "host=evil.example"),
        ("via", "1.1 evil"),
    ] {
        head.headers.append(name, HeaderValue::from_static(value));
    }
    let answer = world.tunnel.send(&head, b"{}").await;
    let mut called = world.provider.called().await;
    let told = called.head.to_lowercase();
    for word in
        ["evil", "of-the-hub", "of-another", "session=1", "x-mine", "h2c", "expect", "forwarded"]
    {
        assert!(!told.contains(word), "{word} reached the provider: {told}");
    }
    assert_eq!(told.matches("authorization:").count(), 1, "{told}");
    assert_eq!(told.matches("host:").count(), 1, "{told}");
    assert!(told.contains(SECRET), "{told}");
    let lengths =
        told.matches("content-length:").count() + told.matches("transfer-encoding:").count();
    assert_eq!(lengths, 1, "{told}");
    called.write(b"HTTP/1.1 204 No Content\r\n\r\n").await;
    drop(answer);
}

#[tokio::test]
async fn a_body_that_is_not_as_long_as_its_head_says_never_becomes_whole() {
    let world = World::new().await;
    for (length, body) in [("2", &b"{}{}"[..]), ("4000", b"{}")] {
        let mut head = world.request();
        head.headers.insert("content-length", HeaderValue::from_static(length));
        let mut answer = world.tunnel.send(&head, body).await;
        let (mut stream, _) = soon(world.provider.0.accept()).await.expect("accept");
        let mut told = Vec::new();
        // A reset ends the connection as well.
        drop(soon(stream.read_to_end(&mut told)).await);
        let head_end = told.windows(4).position(|end| end == b"\r\n\r\n");
        let came = head_end.map_or(0, |at| told.len() - at - 4);
        assert!(came < length.parse().unwrap(), "{length}: a whole request: {came} bytes");
        let error = soon(answer.head()).await.expect_err("no answer");
        assert!(matches!(error, StreamError::Aborted(_)), "{length}: {error:?}");
    }
    still_serves(&world).await;
}

#[tokio::test]
async fn streams_that_are_no_exchange_are_reset_and_harm_no_other() {
    let world = World::new().await;
    let connection = &world.tunnel.connection;
    let shapes: [&[u8]; 7] = [
        b"",
        &[0x01, 0x00],
        &[0x03, 0x00],
        &[0x7f],
        &[0x02, 0x03, 0xff, 0xff, 0xff],
        &[0x02, 0x80, 0x01, 0x00, 0x01],
        &[0x02, 0x05, 0x0a],
    ];
    for shape in shapes {
        let (mut send, mut recv) = connection.open_bi().await.expect("open");
        send.write_all(shape).await.expect("write");
        drop(send.finish());
        let end = soon(recv.read_chunk(64, true)).await;
        assert!(!matches!(end, Ok(Some(_))), "{shape:?}: an answer");
        assert!(!matches!(end, Ok(None)), "{shape:?}: a clean end");
    }
    // Heads that begin and never end: as many as the agent grants, and one more exchange.
    let mut begun = Vec::new();
    for _ in 0..200 {
        let (mut send, recv) = connection.open_bi().await.expect("open");
        send.write_all(&[0x02, 0x40, 0x40, 0x0a]).await.expect("write");
        begun.push((send, recv));
    }
    // A unidirectional stream has no meaning here.
    let mut uni = soon(connection.open_uni()).await.expect("open");
    uni.write_all(&[0xaa; 4_000]).await.expect("write");
    still_serves(&world).await;
    assert!(connection.close_reason().is_none(), "the tunnel is gone");
}

#[tokio::test]
async fn a_control_stream_that_breaks_the_rules_is_closed_and_dialled_again() {
    let mut world = World::new().await;
    // As many PINGs as it likes are answered, and messages of a later version skipped.
    for nonce in 0..2_000 {
        world.tunnel.sender.send(&HubMessage::Ping(nonce)).await.expect("ping");
    }
    still_serves(&world).await;
    let welcome = || {
        HubMessage::Welcome(Welcome {
            node: NodeId::generate(&SystemClock, &OsEntropy),
            session: SessionId::generate(&SystemClock, &OsEntropy),
            features: Features::default(),
            build: "test".into(),
        })
    };
    let refuse = || {
        HubMessage::Refuse(Refuse {
            cause: RefuseCause::Busy,
            retry_after: std::time::Duration::ZERO,
            permanent: false,
        })
    };
    for message in [welcome(), refuse()] {
        world.tunnel.sender.send(&message).await.expect("send");
        let lost: Lost = soon(world.tunnel.connection.closed()).await.into();
        assert_eq!(lost, Lost::ClosedByPeer(CloseCode::Malformed), "{message:?}");
        world.tunnel = world.hub.greet(world.agent).await;
    }
    still_serves(&world).await;
}
