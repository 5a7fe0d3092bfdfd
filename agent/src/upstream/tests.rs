//! The upstream client against raw TCP servers that behave and misbehave.

use super::*;
use crate::account::AccountDraft;
use crate::account::Egress;
use crate::datadir::DataDir;
use crate::vault::{LentKey, Secret, Vault};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method};
use http_body_util::BodyExt;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use weft_proto::entropy::OsEntropy;
use weft_proto::ids::AccountId;
use weft_proto::model::ModelPatterns;
use weft_proto::provider::Provider;
use weft_proto::tables::hosts::{HostTable, Origin, Site};
use weft_proto::tables::target::Target;
use weft_proto::time::SystemClock;

/// Far longer than anything here takes; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(10);

struct Rig {
    upstream: Upstream,
    vault: Vault,
    account: AccountId,
    listener: TcpListener,
    origin: Origin,
    _dir: tempfile::TempDir,
}

impl Rig {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let url = format!("http://{}/base", listener.local_addr().expect("address"));
        let table = HostTable::simulated([(Provider::OpenAi, url)]).expect("table");
        let origin = table.origin(Provider::OpenAi, &Site::Default).expect("origin");
        let dir = tempfile::tempdir().expect("temporary directory");
        let vault = Vault::open(&DataDir::open(dir.path()).expect("data")).expect("vault");
        let account = AccountId::generate(&SystemClock, &OsEntropy);
        let draft = AccountDraft {
            provider: Provider::OpenAi,
            label: "main".into(),
            site: String::new(),
            models: ModelPatterns::any(),
            deployments: BTreeMap::new(),
            max_concurrency: 1,
            permitted_use: "own".into(),
            place: String::new(),
            http2: false,
            egress: Egress::Direct,
        };
        let secret = Secret::parse(b"sk-owner".to_vec().into()).expect("secret");
        vault.add(account, draft, secret, &OsEntropy).expect("add");
        let upstream = Upstream::new(
            Arc::new(SystemDial),
            official_roots(),
            UpstreamSettings::default(),
            TaskTracker::new(),
        )
        .expect("upstream");
        Self { upstream, vault, account, listener, origin, _dir: dir }
    }

    fn key(&self) -> LentKey {
        self.vault.lend(self.account).expect("lend")
    }

    fn call(&self, method: Method, headers: HeaderMap, body: RequestBody) -> Call {
        Call {
            origin: self.origin.clone(),
            version: HttpVersion::H1,
            method,
            target: Target::parse("/v1/chat/completions?a=%20b").expect("target"),
            headers,
            key: self.key(),
            body,
        }
    }

    /// Makes a GET whose answer the server writes as `answer` and then closes.
    async fn answered(&self, answer: &'static [u8]) -> Result<Answer, CallError> {
        let serve = async {
            let (mut peer, _) = self.listener.accept().await.expect("accept");
            read_head(&mut peer).await;
            peer.write_all(answer).await.expect("write");
            peer.shutdown().await.expect("shutdown");
        };
        let call = self.call(Method::GET, HeaderMap::new(), RequestBody::empty());
        tokio::join!(self.upstream.call(call), serve).0
    }
}

/// Reads to the end of a head; what came behind it stays unread in the string.
async fn read_head(peer: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        let mut byte = [0; 1];
        timeout(PATIENCE, peer.read_exact(&mut byte)).await.expect("in time").expect("read");
        head.extend_from_slice(&byte);
    }
    String::from_utf8(head).expect("text")
}

/// Whether the peer closes (cleanly or by reset) within the patience of a test.
async fn is_closed(peer: &mut TcpStream) -> bool {
    let mut rest = [0; 64];
    loop {
        match timeout(PATIENCE, peer.read(&mut rest)).await {
            Ok(Ok(0) | Err(_)) => return true,
            Ok(Ok(_)) => {}
            Err(_) => return false,
        }
    }
}

#[tokio::test]
async fn a_request_carries_the_table_s_host_the_lent_key_the_via_and_nothing_of_its_own() {
    let rig = Rig::new().await;
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("host", "evil.example"),
        ("authorization", "Bearer wk-user"),
        ("cookie", "a=b"),
        ("x-forwarded-for", "192.0.2.1"),
        ("content-type", "application/json"),
        ("x-custom", "kept"),
        ("content-length", "5"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let (mut sender, body) = RequestBody::channel(Some(5));
    let call = rig.call(Method::POST, headers, body);
    let serve = async {
        let (mut peer, _) = rig.listener.accept().await.expect("accept");
        let head = read_head(&mut peer).await;
        let mut body = [0; 5];
        peer.read_exact(&mut body).await.expect("body");
        peer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.expect("write");
        (head, body)
    };
    let send = async {
        sender.send(Bytes::from_static(b"hel")).await.expect("send");
        sender.send(Bytes::from_static(b"lo")).await.expect("send");
        sender.finish(None).await.expect("finish");
    };
    let (answer, (head, body), ()) = tokio::join!(rig.upstream.call(call), serve, send);
    let answer = answer.expect("answer");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body.collect().await.expect("body").to_bytes(), "ok");
    assert_eq!(&body, b"hello");
    let mut lines: Vec<&str> = head.trim_end().split("\r\n").collect();
    assert_eq!(lines.remove(0), "POST /base/v1/chat/completions?a=%20b HTTP/1.1");
    lines.sort_unstable();
    let host = format!("host: {}", rig.origin.authority());
    let mut wanted = vec![
        "authorization: Bearer sk-owner",
        "content-length: 5",
        "content-type: application/json",
        host.as_str(),
        "via: 1.1 weft",
        "x-custom: kept",
    ];
    wanted.sort_unstable();
    assert_eq!(lines, wanted);
}

#[tokio::test]
async fn nobody_there_means_not_sent() {
    let rig = Rig::new().await;
    let Rig { upstream, vault, account, listener, origin, _dir } = rig;
    drop(listener);
    let call = Call {
        origin,
        version: HttpVersion::H1,
        method: Method::GET,
        target: Target::parse("/v1/models").expect("target"),
        headers: HeaderMap::new(),
        key: vault.lend(account).expect("lend"),
        body: RequestBody::empty(),
    };
    let error = upstream.call(call).await.expect_err("nobody listens");
    assert!(matches!(error, CallError::NotSent(_)), "{error:?}");
}

#[tokio::test]
async fn a_close_before_the_answer_means_it_may_have_been_sent() {
    let rig = Rig::new().await;
    let error = rig.answered(b"").await.expect_err("closed");
    assert!(matches!(error, CallError::Unreachable(_)), "{error:?}");
    let error = rig.answered(b"HTTP/1.1 200 OK\r\ncontent-le").await.expect_err("cut head");
    assert!(matches!(error, CallError::Unreachable(_)), "{error:?}");
}

#[tokio::test]
async fn a_cut_answer_is_an_error_and_a_whole_one_is_an_end() {
    let rig = Rig::new().await;
    let cut: [&[u8]; 3] = [
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nabc",
    ];
    for answer in cut {
        let answer = rig.answered(answer).await.expect("head");
        assert!(answer.body.collect().await.is_err());
    }
    let whole: [&[u8]; 2] = [
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ];
    for answer in whole {
        let answer = rig.answered(answer).await.expect("head");
        assert_eq!(answer.body.collect().await.expect("whole").to_bytes(), "abc");
    }
}

#[tokio::test]
async fn a_redirect_is_an_answer_like_any_other() {
    let rig = Rig::new().await;
    let answer = rig
        .answered(b"HTTP/1.1 307 X\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n")
        .await
        .expect("answer");
    assert_eq!(answer.status, 307);
}

#[tokio::test]
async fn dropping_a_call_closes_the_connection_while_the_provider_is_silent() {
    let rig = Rig::new().await;
    let call = rig.call(Method::GET, HeaderMap::new(), RequestBody::empty());
    let mut pending = Box::pin(rig.upstream.call(call));
    let mut peer = tokio::select! {
        biased;
        answer = &mut pending => panic!("no answer was sent: {answer:?}"),
        peer = async {
            let (mut peer, _) = rig.listener.accept().await.expect("accept");
            read_head(&mut peer).await;
            peer
        } => peer,
    };
    drop(pending);
    assert!(is_closed(&mut peer).await);
}

#[tokio::test]
async fn dropping_an_answer_closes_the_connection_while_the_provider_is_silent() {
    let rig = Rig::new().await;
    let call = rig.call(Method::GET, HeaderMap::new(), RequestBody::empty());
    let serve = async {
        let (mut peer, _) = rig.listener.accept().await.expect("accept");
        read_head(&mut peer).await;
        peer.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")
            .await
            .expect("write");
        peer
    };
    let (answer, mut peer) = tokio::join!(rig.upstream.call(call), serve);
    let mut body = answer.expect("answer").body;
    assert!(body.frame().await.expect("frame").is_ok());
    drop(body);
    assert!(is_closed(&mut peer).await);
}

#[tokio::test]
async fn a_request_that_breaks_off_never_becomes_whole_at_the_provider() {
    for length in [None, Some(6)] {
        let rig = Rig::new().await;
        let mut headers = HeaderMap::new();
        if let Some(length) = length {
            headers.insert("content-length", HeaderValue::from(length));
        }
        let (mut sender, body) = RequestBody::channel(length);
        let call = rig.call(Method::POST, headers, body);
        let serve = async {
            let (mut peer, _) = rig.listener.accept().await.expect("accept");
            let mut all = Vec::new();
            drop(timeout(PATIENCE, peer.read_to_end(&mut all)).await.expect("in time"));
            String::from_utf8(all).expect("text")
        };
        let send = async {
            sender.send(Bytes::from_static(b"abc")).await.expect("send");
            sender.send(Bytes::from_static(b"def")).await.expect("send");
            drop(sender);
        };
        let (answer, seen, ()) = tokio::join!(rig.upstream.call(call), serve, send);
        let error = answer.expect_err("aborted");
        assert!(
            matches!(error, CallError::RequestBroken(UpstreamBodyError::BrokenOff)),
            "{error:?}"
        );
        assert!(!seen.ends_with("0\r\n\r\n"));
        assert!(length.is_none() || !seen.contains("def"), "the completing read is held back");
    }
}

#[tokio::test]
async fn an_answer_before_the_request_was_read_comes_through_and_cuts_the_upload() {
    let rig = Rig::new().await;
    let (mut sender, body) = RequestBody::channel(None);
    let call = rig.call(Method::POST, HeaderMap::new(), body);
    let serve = async {
        let (mut peer, _) = rig.listener.accept().await.expect("accept");
        read_head(&mut peer).await;
        peer.write_all(b"HTTP/1.1 413 X\r\ncontent-length: 3\r\n\r\nbig").await.expect("write");
        peer
    };
    let (answer, mut peer) = tokio::join!(rig.upstream.call(call), serve);
    let answer = answer.expect("answer");
    assert_eq!(answer.status, 413);
    assert_eq!(answer.body.collect().await.expect("body").to_bytes(), "big");
    // The exchange is over; dropping its sender must not leave a half-sent request alive.
    sender.send(Bytes::from_static(b"more")).await.unwrap_or_default();
    drop(sender);
    assert!(is_closed(&mut peer).await);
}

#[tokio::test]
async fn an_answer_s_connection_is_used_again_when_it_ended_properly() {
    let rig = Rig::new().await;
    let serve = async {
        let (mut peer, _) = rig.listener.accept().await.expect("accept");
        for _ in 0..2 {
            read_head(&mut peer).await;
            peer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.expect("write");
        }
    };
    let calls = async {
        for _ in 0..2 {
            let call = rig.call(Method::GET, HeaderMap::new(), RequestBody::empty());
            let answer = rig.upstream.call(call).await.expect("answer");
            assert_eq!(answer.body.collect().await.expect("body").to_bytes(), "ok");
        }
    };
    timeout(PATIENCE, async { tokio::join!(serve, calls) }).await.expect("one connection serves");
}

/// A prior-knowledge HTTP/2 server: every answer is one chunk and then silence. Says over the
/// channel when a stream was reset.
async fn serve_h2(listener: &TcpListener, reset: tokio::sync::mpsc::Sender<http::Version>) {
    let (stream, _) = listener.accept().await.expect("accept");
    let service = hyper::service::service_fn(move |request: http::Request<_>| {
        drop::<http::Request<hyper::body::Incoming>>(request);
        let reset = reset.clone();
        async move {
            let (sender, body) = tokio::sync::mpsc::channel(1);
            sender.send(Bytes::from_static(b"one")).await.expect("room");
            Ok::<_, std::convert::Infallible>(http::Response::new(Held {
                body,
                _sender: sender,
                reset,
            }))
        }
    });
    let served = hyper::server::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new())
        .serve_connection(hyper_util::rt::TokioIo::new(stream), service)
        .await;
    drop(served);
}

/// An answer's body that never ends and tells when it is dropped.
struct Held {
    body: tokio::sync::mpsc::Receiver<Bytes>,
    _sender: tokio::sync::mpsc::Sender<Bytes>,
    reset: tokio::sync::mpsc::Sender<http::Version>,
}

impl http_body::Body for Held {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        self.body.poll_recv(cx).map(|read| read.map(|read| Ok(http_body::Frame::data(read))))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.reset.try_send(http::Version::HTTP_2).unwrap_or_default();
    }
}

#[tokio::test]
async fn over_http2_a_dropped_answer_resets_its_stream_and_its_sibling_goes_on() {
    let rig = Rig::new().await;
    let (reset, mut resets) = tokio::sync::mpsc::channel(4);
    let calls = async {
        let mut bodies = Vec::new();
        for _ in 0..2 {
            let mut call = rig.call(Method::GET, HeaderMap::new(), RequestBody::empty());
            call.version = HttpVersion::H2;
            let mut body = rig.upstream.call(call).await.expect("answer").body;
            let frame = body.frame().await.expect("frame").expect("whole");
            assert_eq!(frame.into_data().expect("data"), "one");
            bodies.push(body);
        }
        drop(bodies.pop());
        assert_eq!(resets.recv().await, Some(http::Version::HTTP_2));
        assert!(resets.try_recv().is_err(), "the sibling goes on");
    };
    timeout(PATIENCE, async {
        tokio::select! {
            biased;
            () = calls => {}
            () = serve_h2(&rig.listener, reset) => panic!("one connection serves both"),
        }
    })
    .await
    .expect("in time");
}

#[tokio::test]
async fn a_provider_that_no_root_vouches_for_is_never_sent_a_byte() {
    let authority_dir = tempfile::tempdir().expect("temporary directory");
    let authority = weft_certs::Authority::create(
        &authority_dir.path().join("ca"),
        weft_proto::ids::HubId::generate(&SystemClock, &OsEntropy),
        &[],
        &SystemClock,
        &OsEntropy,
    )
    .expect("authority");
    let tls = Arc::new(authority.users_door().expect("door"));
    let rig = Rig::new().await;
    let url = format!("https://{}", rig.listener.local_addr().expect("address"));
    let table = HostTable::simulated([(Provider::OpenAi, url)]).expect("table");
    let mut call = rig.call(Method::GET, HeaderMap::new(), RequestBody::empty());
    call.origin = table.origin(Provider::OpenAi, &Site::Default).expect("origin");
    let serve = async {
        let (stream, _) = rig.listener.accept().await.expect("accept");
        let accepted = tokio_rustls::TlsAcceptor::from(tls).accept(stream).await;
        match accepted {
            Ok(mut stream) => {
                let mut seen = Vec::new();
                drop(stream.read_to_end(&mut seen).await);
                seen
            }
            Err(_) => Vec::new(),
        }
    };
    let (answer, seen) = tokio::join!(rig.upstream.call(call), serve);
    let error = answer.expect_err("not trusted");
    assert!(matches!(error, CallError::NotSent(_)), "{error:?}");
    assert!(seen.is_empty());
}
