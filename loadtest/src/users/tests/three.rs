//! HTTP/3 against a small server of its own: streams, bodies of MiB, users who leave, other keys.

use super::super::key::Key;
use super::super::report::{Document, document};
use super::super::run::run;
use super::settings;
use bytes::{Buf, Bytes};
use h3::server::RequestStream;
use http::Response;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Endpoint, ServerConfig};
use rustls::pki_types::PrivateKeyDer;
use sha2::{Digest, Sha256};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use weft_certs::SpkiHash;

/// Deltas of a streamed answer.
const DELTAS: u32 = 8;
/// Nothing here may take longer.
const LIMIT: Duration = Duration::from_secs(60);

/// What the server saw.
#[derive(Debug, Default)]
struct Seen {
    answered: AtomicU64,
    gone: AtomicU64,
}

/// A server of HTTP/3 on loopback.
struct Server {
    address: SocketAddr,
    pin: SpkiHash,
    seen: Arc<Seen>,
    _serving: JoinSet<()>,
}

impl Server {
    fn start() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
        let certificate = made.cert.der().clone();
        let pin = SpkiHash::of_cert(&certificate).expect("a certificate");
        let crypto = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut tls = rustls::ServerConfig::builder_with_provider(crypto)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .expect("a certificate");
        tls.alpn_protocols = vec![b"h3".to_vec()];
        let tls = QuicServerConfig::try_from(tls).expect("QUIC's ciphers");
        let config = ServerConfig::with_crypto(Arc::new(tls));
        let endpoint = Endpoint::server(config, (Ipv4Addr::LOCALHOST, 0).into()).expect("a port");
        let address = endpoint.local_addr().expect("an address");
        let seen = Arc::new(Seen::default());
        let mut serving = JoinSet::new();
        serving.spawn(accept(endpoint, Arc::clone(&seen)));
        Self { address, pin, seen, _serving: serving }
    }

    /// The document of a run with these words, split at spaces.
    async fn run(&self, words: &str) -> anyhow::Result<Document> {
        self.run_with(&self.pin.to_string(), words).await
    }

    async fn run_with(&self, pin: &str, words: &str) -> anyhow::Result<Document> {
        let url = format!("https://{}", self.address);
        let mut all = vec![&*url, "--http", "h3", "--pin", pin, "--warm-up", "0"];
        all.extend(words.split_whitespace());
        let settings = settings(&all).expect("settings");
        let key = Key::simulated()?;
        let addresses = [self.address];
        let running = run(&settings, &addresses, &key, false, false);
        let outcome = tokio::time::timeout(LIMIT, running).await.expect("in time")?;
        document(settings, &addresses, &outcome, false)
    }
}

async fn accept(endpoint: Endpoint, seen: Arc<Seen>) {
    let mut connections = JoinSet::new();
    while let Some(incoming) = endpoint.accept().await {
        let seen = Arc::clone(&seen);
        connections.spawn(async move {
            let Ok(connection) = incoming.await else { return };
            drop(serve(connection, &seen).await);
        });
    }
}

async fn serve(connection: quinn::Connection, seen: &Arc<Seen>) -> anyhow::Result<()> {
    let connection = h3_quinn::Connection::new(connection);
    let mut connection = h3::server::builder().build::<_, Bytes>(connection).await?;
    let mut requests = JoinSet::new();
    while let Some(resolver) = connection.accept().await? {
        let seen = Arc::clone(seen);
        requests.spawn(async move {
            let Ok((_, stream)) = resolver.resolve_request().await else { return };
            let counter = match answer(stream).await {
                Ok(()) => &seen.answered,
                Err(_) => &seen.gone,
            };
            counter.fetch_add(1, Ordering::Relaxed);
        });
    }
    Ok(())
}

/// Streams what asks for a stream; tells length and digest of anything else.
async fn answer(
    mut stream: RequestStream<h3_quinn::BidiStream<Bytes>, Bytes>,
) -> anyhow::Result<()> {
    let mut body = Vec::new();
    while let Some(mut data) = stream.recv_data().await? {
        body.extend_from_slice(&data.copy_to_bytes(data.remaining()));
    }
    stream.send_response(Response::new(())).await?;
    if body.windows(13).any(|window| window == b"\"stream\":true") {
        for delta in 0..DELTAS {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let text = format!("data: {{\"delta\":{{\"content\":\"word {delta}\"}}}}\n\n");
            stream.send_data(text.into()).await?;
        }
        stream.send_data(Bytes::from_static(b"data: [DONE]\n\n")).await?;
    } else {
        let digest = crate::provider::hex(&Sha256::digest(&body));
        stream.send_data(format!("{{\"{digest}\":{}}}", body.len()).into()).await?;
    }
    stream.finish().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_and_long_bodies_come_whole_over_shared_connections() {
    let server = Server::start();
    let mix = "--kind stream,weight=3,deltas=8,pace=5ms --kind upload,size=1MiB..3MiB,variants=2";
    for load in ["--concurrency 6 --connections 2", "--rate 200 --threads 2 --connections 2"] {
        let told = server.run(&format!("{mix} {load} --requests 24")).await.expect("a run");
        let (counts, frames) = (&told.total.counts, &told.total.frames.frames);
        assert_eq!((counts.started, counts.done, counts.failed), (24, 24, 0), "{load}: {told:?}");
        assert!(frames.are_sound(), "{frames:?}");
        assert_eq!((frames.expected, frames.arrived), (18 * 9 + 6, 18 * 9 + 6), "{load}");
        assert!(told.total.bytes.up > 6 << 20, "{load}");
    }
    // Two probes of each kind, and one of the second upload's size.
    assert_eq!(server.seen.answered.load(Ordering::Relaxed), 2 * (24 + 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn users_who_leave_are_counted_and_the_other_end_sees_them_go() {
    let server = Server::start();
    let words =
        "--kind stream,deltas=8,pace=5ms --concurrency 4 --requests 40 --abort 60% --check frames";
    let told = server.run(words).await.expect("a run");
    let counts = &told.total.counts;
    assert_eq!((counts.started, counts.done + counts.aborted, counts.failed), (40, 40, 0));
    assert!(counts.aborted > 5, "{counts:?}");
    assert_eq!(told.total.frames.frames.lost, 0);
    let in_body = told.total.aborts.in_body;
    let seen = async {
        while server.seen.gone.load(Ordering::Relaxed) < in_body {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    // What was given up near its end may have been sent already: at least most are seen.
    let all = tokio::time::timeout(Duration::from_secs(5), seen).await;
    let gone = server.seen.gone.load(Ordering::Relaxed);
    assert!(all.is_ok() || gone * 2 > in_body, "{gone} of {in_body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_key_than_the_pinned_one_is_refused_before_anything_is_sent() {
    let server = Server::start();
    let other = SpkiHash::from_bytes([7; 32]).to_string();
    let refused = server.run_with(&other, "--concurrency 1 --requests 1").await;
    let said = format!("{:#}", refused.expect_err("another key"));
    assert!(said.contains("TLS"), "{said}");
    assert_eq!(server.seen.answered.load(Ordering::Relaxed), 0);
}
