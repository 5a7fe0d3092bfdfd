//! What becomes of one exchange: whole, refused, cut, aborted, or about the account.

use crate::world::{SECRET, World, files_of, read, request, soon};
use http::{HeaderValue, Method};
use tokio::io::AsyncReadExt;
use weft_proto::codes::AbortCode;
use weft_proto::entropy::OsEntropy;
use weft_proto::ids::{AccountId, LeaseId};
use weft_proto::money::{NanoUsd, Ratio};
use weft_proto::prices::BookHash;
use weft_proto::provider::Provider;
use weft_proto::time::SystemClock;
use weft_proto::wire::ticket::Terms;
use weft_transport::exchange::Piece;
use weft_transport::stream::StreamError;

const SSE: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nset-cookie: a=b\r\n\
      openai-organization: org-owner\r\nx-request-id: req-1\r\ntransfer-encoding: chunked\r\n\r\n";

#[tokio::test]
async fn a_streamed_answer_crosses_read_by_read_and_ends_properly() {
    let world = World::new().await;
    let mut head = world.request();
    head.headers.insert("content-length", HeaderValue::from_static("15"));
    let mut answer = world.tunnel.send(&head, br#"{"stream":true}"#).await;
    let mut called = world.provider.called().await;
    let mut body = [0; 15];
    soon(called.stream.read_exact(&mut body)).await.expect("body");
    assert_eq!(&body, br#"{"stream":true}"#);
    assert!(called.head.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"));
    assert!(called.head.contains(&format!("authorization: Bearer {SECRET}\r\n")));
    assert!(called.head.contains("via: 1.1 weft\r\n"));
    assert!(!called.head.contains("wk-user"));

    called.write(SSE).await;
    let answer_head = soon(answer.head()).await.expect("head");
    assert_eq!(answer_head.status, 200);
    assert_eq!(answer_head.headers["x-request-id"], "req-1");
    assert!(!answer_head.account_fault);
    for dropped in ["set-cookie", "openai-organization", "transfer-encoding"] {
        assert!(!answer_head.headers.contains_key(dropped), "{dropped}");
    }
    let mut body = answer.into_body(&answer_head);
    for event in ["data: one\n\n", "data: two\n\n"] {
        called.write(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes()).await;
        let piece = soon(body.next()).await.expect("piece").expect("data");
        assert_eq!(piece, Piece::Data(event.into()));
    }
    called.write(b"0\r\n\r\n").await;
    assert_eq!(soon(body.next()).await, Ok(None));
    for path in files_of(&world.data) {
        let bytes = std::fs::read(&path).expect("read");
        let found = bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
        assert!(!found, "{}", path.display());
    }
}

#[tokio::test]
async fn a_cut_upstream_is_a_reset_and_never_an_end() {
    let world = World::new().await;
    let mut answer = world.tunnel.send(&world.request(), b"{}").await;
    let mut called = world.provider.called().await;
    called.write(SSE).await;
    called.write(b"5\r\nhello\r\n").await;
    let head = soon(answer.head()).await.expect("head");
    assert_eq!(head.status, 200);
    let mut body = answer.into_body(&head);
    assert_eq!(soon(body.next()).await, Ok(Some(Piece::Data("hello".into()))));
    drop(called);
    assert_eq!(soon(body.next()).await, Err(StreamError::Aborted(AbortCode::UpstreamTruncated)));
}

#[tokio::test]
async fn a_provider_that_goes_away_before_its_answer_may_have_been_called() {
    let world = World::new().await;
    let mut answer = world.tunnel.send(&world.request(), b"{}").await;
    drop(world.provider.called().await);
    let error = soon(answer.head()).await.expect_err("gone");
    assert_eq!(error, StreamError::Aborted(AbortCode::UpstreamUnreachable));
}

#[tokio::test]
async fn nobody_at_the_provider_s_address_proves_that_nothing_was_sent() {
    let mut world = World::new().await;
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
    world.provider = crate::world::ProviderEnd(gone);
    let error = world.tunnel.refusal(&world.request()).await;
    assert_eq!(error, StreamError::Aborted(AbortCode::NotSent));
}

#[tokio::test]
async fn a_hub_that_stops_the_answer_closes_the_provider_in_every_phase() {
    let world = World::new().await;
    // Silent provider, whole request.
    let answer = world.tunnel.send(&world.request(), b"{}").await;
    let mut called = world.provider.called().await;
    drop(answer);
    assert!(called.is_closed().await);
    // Silent provider, request still on its way.
    let (mut writer, answer) = world.tunnel.open(&world.request()).await;
    soon(writer.send("part".into())).await.expect("send");
    let mut called = world.provider.called().await;
    writer.abort(AbortCode::UserAbort);
    drop(answer);
    assert!(called.is_closed().await);
    // In the middle of an answer, provider silent again.
    let mut answer = world.tunnel.send(&world.request(), b"{}").await;
    let mut called = world.provider.called().await;
    called.write(SSE).await;
    let head = soon(answer.head()).await.expect("head");
    drop(answer.into_body(&head));
    assert!(called.is_closed().await);
}

#[tokio::test]
async fn a_request_that_breaks_off_never_becomes_whole_at_the_provider() {
    let world = World::new().await;
    let mut head = world.request();
    head.headers.insert("content-length", HeaderValue::from_static("6"));
    let (mut writer, _answer) = world.tunnel.open(&head).await;
    soon(writer.send("abc".into())).await.expect("send");
    let mut called = world.provider.called().await;
    soon(writer.send("def".into())).await.expect("send");
    writer.abort(AbortCode::Gate);
    let mut seen = Vec::new();
    drop(soon(called.stream.read_to_end(&mut seen)).await);
    assert!(b"abc".starts_with(&seen), "{seen:?}");
}

#[tokio::test]
async fn what_the_agent_s_own_tables_refuse_is_not_sent() {
    let world = World::new().await;
    let mut refused = vec![request(AccountId::generate(&SystemClock, &OsEntropy))];
    let mut head = world.request();
    head.provider = Provider::Anthropic;
    refused.push(head);
    for target in [
        "/v1/organization/users",
        "/v1/fine_tuning/jobs",
        "/v1/chat/../organization/users",
        "/v1/chat/completions?api-key=sk-x",
        "//evil.example/v1/chat/completions",
        "/v1/models",
    ] {
        let mut head = world.request();
        head.target = target.into();
        refused.push(head);
    }
    let mut head = world.request();
    head.method = Method::DELETE;
    refused.push(head);
    let mut head = world.request();
    head.headers.insert("content-length", HeaderValue::from_static("x"));
    refused.push(head);
    let mut head = world.request();
    head.ticket.terms = Some(Terms {
        lease: LeaseId::generate(&SystemClock, &OsEntropy),
        counter: 1,
        book: BookHash::from_bytes([5; 32]),
        model: "gpt-x".to_owned(),
        // The account is at the global host.
        place: "eu".parse().ok(),
        tier: Ratio::ONE,
        cap: NanoUsd::ZERO,
    });
    refused.push(head);
    for head in refused {
        let error = world.tunnel.refusal(&head).await;
        let why = format!("{} {}", head.method, head.target);
        assert_eq!(error, StreamError::Aborted(AbortCode::NotSent), "{why}");
    }
    assert!(world.provider.is_quiet().await);
}

#[tokio::test]
async fn a_full_account_refuses_and_serves_again_when_there_is_room() {
    let world = World::with_concurrency(1).await;
    let first = world.tunnel.send(&world.request(), b"{}").await;
    let mut called = world.provider.called().await;
    let error = world.tunnel.refusal(&world.request()).await;
    assert_eq!(error, StreamError::Aborted(AbortCode::RefusedBusy));
    called.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok").await;
    assert_eq!(read(first).await.1, b"ok");
    let mut again = world.tunnel.send(&world.request(), b"{}").await;
    let mut called = world.provider.called().await;
    called.write(b"HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!(soon(again.head()).await.expect("head").status, 204);
}

#[tokio::test]
async fn an_answer_about_the_account_keeps_its_body_here_and_three_pause_the_account() {
    let mut world = World::new().await;
    let faults: [&[u8]; 3] = [
        b"HTTP/1.1 401 X\r\nx-request-id: r1\r\nwww-authenticate: Bearer realm=owner\r\n\
          content-length: 12\r\n\r\nsk-ow***cret",
        b"HTTP/1.1 402 X\r\ncontent-length: 5\r\n\r\nowner",
        b"HTTP/1.1 429 X\r\ncontent-length: 49\r\n\r\n\
          {\"error\":{\"code\":\"insufficient_quota\",\"o\":\"own\"}}",
    ];
    for fault in faults {
        let answer = world.tunnel.send(&world.request(), b"{}").await;
        let mut called = world.provider.called().await;
        called.write(fault).await;
        let (head, bytes, end) = read(answer).await;
        let head = head.expect("head");
        assert!(head.account_fault);
        assert!(head.headers.keys().all(|name| name == "x-request-id"), "{:?}", head.headers);
        assert_eq!((bytes.len(), end), (0, Ok(())));
    }
    let health = world.tunnel.health().await;
    assert_eq!(health.account, world.account);
    assert!(!health.paused_for.is_zero());
    let error = world.tunnel.refusal(&world.request()).await;
    assert_eq!(error, StreamError::Aborted(AbortCode::NotSent));
}

#[tokio::test]
async fn a_rate_limit_passes_unchanged() {
    let world = World::new().await;
    let answer = world.tunnel.send(&world.request(), b"{}").await;
    let mut called = world.provider.called().await;
    let body = br#"{"error":{"type":"tokens","code":"rate_limit_exceeded"}}"#;
    let head =
        format!("HTTP/1.1 429 X\r\nretry-after: 2\r\ncontent-length: {}\r\n\r\n", body.len());
    called.write(head.as_bytes()).await;
    called.write(body).await;
    let (head, bytes, end) = read(answer).await;
    let head = head.expect("head");
    assert!(!head.account_fault);
    assert_eq!(head.headers["retry-after"], "2");
    assert_eq!((bytes.as_slice(), end), (&body[..], Ok(())));
}

#[tokio::test]
async fn an_answer_before_the_upload_was_read_stops_the_upload_with_enough() {
    let world = World::new().await;
    let (mut writer, answer) = world.tunnel.open(&world.request()).await;
    soon(writer.send("begin".into())).await.expect("send");
    let mut called = world.provider.called().await;
    called.write(b"HTTP/1.1 413 X\r\ncontent-length: 3\r\n\r\nbig").await;
    let (head, bytes, end) = read(answer).await;
    assert_eq!(head.expect("head").status, 413);
    assert_eq!((bytes.as_slice(), end), (&b"big"[..], Ok(())));
    let stopped = soon(async {
        loop {
            if let Err(error) = writer.send(vec![0; 1024].into()).await {
                break error;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(stopped, StreamError::Aborted(AbortCode::Enough));
    assert!(called.is_closed().await);
}
