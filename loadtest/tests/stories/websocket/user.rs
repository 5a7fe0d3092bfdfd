//! A user's WebSocket, byte by byte: its handshake, its frames, its end.
//!
//! It hides nothing: what the hub's head says, which bytes came, and whether the connection ended
//! properly, by a reset, or by an end that TLS never announced.

use crate::talk::LIMIT;
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use sha2::{Digest, Sha256};
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use weft_loadtest::mesh::World;
use weft_loadtest::provider::websocket::accept;
use weft_loadtest::provider::websocket::frame::{Frame, opcode};

/// The key of every handshake here.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// The masking key of every frame here.
const MASK: [u8; 4] = [0x1f, 0x80, 0x00, 0xa5];

/// What a user's client says to open a WebSocket.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
}

impl Wish {
    /// A handshake for `target` in due form, without a key of the hub's.
    pub(crate) fn bare(target: &str) -> Self {
        let headers = [
            ("host", "localhost"),
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", KEY),
        ];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self { target: target.to_owned(), headers: headers.to_vec() }
    }

    /// The same with the world's key as a bearer token.
    pub(crate) fn of(world: &World, target: &str) -> Self {
        let bearer = format!("Bearer {}", world.key.secret);
        Self::bare(target).with("authorization", &bearer)
    }

    /// The realtime endpoint, with a model that the world's accounts serve.
    pub(crate) fn realtime(world: &World) -> Self {
        Self::of(world, "/v1/realtime?model=gpt-realtime")
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let mut head = format!("GET {} HTTP/1.1\r\n", self.target);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    /// Asks, and reads the answer's head.
    pub(crate) async fn ask(&self, world: &World) -> User {
        self.ask_with(world, &[]).await
    }

    /// The same with frames sent before anybody has agreed to them.
    pub(crate) async fn ask_with(&self, world: &World, early: &[Frame]) -> User {
        let mut stream = connect(world).await;
        let mut sent = Sha256::new();
        let mut bytes = self.bytes();
        for frame in early {
            let frame = frame.bytes(Some(MASK));
            sent.update(&frame);
            bytes.extend_from_slice(&frame);
        }
        stream.write_all(&bytes).await.expect("a request");
        let (status, headers) = timeout(LIMIT, head(&mut stream)).await.expect("in time");
        let (from, to) = tokio::io::split(stream);
        User { from, to, status, headers, sent, came: Sha256::new(), sent_bytes: 0, came_bytes: 0 }
    }

    /// Asks for a WebSocket, and fails where it is not opened by the provider's own accept.
    pub(crate) async fn open(&self, world: &World) -> User {
        let mut user = self.ask(world).await;
        if user.status != 101 {
            let text = user.rest().await;
            panic!("{}: {text}", user.status);
        }
        assert_eq!(user.headers["sec-websocket-accept"], accept(KEY));
        assert_eq!(user.headers["upgrade"], "websocket");
        assert!(user.headers.contains_key("weft-request-id"));
        let created = user.next().await;
        let text = String::from_utf8_lossy(&created.payload).into_owned();
        assert!(text.contains("\"session.created\""), "{text}");
        user
    }
}

async fn connect(world: &World) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(world.hub.ca()).expect("the hub's CA") {
        roots.add(certificate.expect("a certificate")).expect("a root");
    }
    let crypto = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(crypto)
        .with_safe_default_protocol_versions()
        .expect("versions of TLS")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(world.hub.users()).await.expect("the users' door");
    stream.set_nodelay(true).expect("an open socket");
    let name = ServerName::try_from("localhost").expect("a name");
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("TLS")
}

async fn head(stream: &mut TlsStream<TcpStream>) -> (u16, HeaderMap) {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        let byte = stream.read_u8().await.expect("a whole head");
        text.push(byte);
    }
    let text = String::from_utf8(text).expect("a head of text");
    let mut lines = text.trim_end().split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a status");
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        let name = HeaderName::try_from(name).expect("a name");
        headers.append(name, HeaderValue::try_from(value).expect("a value"));
    }
    (status.parse().expect("a status"), headers)
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// By the end of TLS.
    Properly,
    /// Otherwise.
    Broken,
}

/// A user's end of a connection that asked for a WebSocket.
pub(crate) struct User {
    from: ReadHalf<TlsStream<TcpStream>>,
    to: WriteHalf<TlsStream<TcpStream>>,
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    sent: Sha256,
    came: Sha256,
    pub(crate) sent_bytes: u64,
    pub(crate) came_bytes: u64,
}

impl User {
    pub(crate) async fn send(&mut self, frame: &Frame) {
        self.raw(&frame.bytes(Some(MASK))).await.expect("the hub takes it");
    }

    pub(crate) async fn text(&mut self, text: &str) {
        self.send(&Frame::whole(opcode::TEXT, text)).await;
    }

    pub(crate) async fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sent.update(bytes);
        self.sent_bytes += bytes.len() as u64;
        timeout(LIMIT, self.to.write_all(bytes)).await.expect("written in time")?;
        self.to.flush().await
    }

    /// The next frame; its bytes are the server's, so never masked and counted again as written.
    pub(crate) async fn frame(&mut self) -> io::Result<Option<Frame>> {
        let frame = timeout(LIMIT, Frame::read(&mut self.from)).await.expect("a frame in time")?;
        if let Some(frame) = &frame {
            let bytes = frame.bytes(None);
            self.came.update(&bytes);
            self.came_bytes += bytes.len() as u64;
        }
        Ok(frame)
    }

    pub(crate) async fn next(&mut self) -> Frame {
        self.frame().await.expect("a whole frame").expect("a frame, not an end")
    }

    /// Sends a message and fails unless the same comes back.
    pub(crate) async fn echo(&mut self, frame: &Frame) {
        self.send(frame).await;
        let back = self.next().await;
        assert_eq!(back.first, frame.first);
        assert!(back.payload == frame.payload, "{} bytes came back", back.payload.len());
    }

    /// Ends this user's direction, as TLS does, and keeps the other one.
    pub(crate) async fn end(&mut self) {
        self.to.shutdown().await.expect("an end");
    }

    /// Reads on to the end; says how it ended, and every frame on the way.
    pub(crate) async fn until_end(&mut self) -> (Vec<Frame>, Ended) {
        let mut frames = Vec::new();
        loop {
            match self.frame().await {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => return (frames, Ended::Properly),
                Err(_) => return (frames, Ended::Broken),
            }
        }
    }

    /// Reads so many bytes, whatever they are.
    pub(crate) async fn bytes(&mut self, count: usize) {
        let mut bytes = vec![0; count];
        timeout(LIMIT, self.from.read_exact(&mut bytes)).await.expect("in time").expect("bytes");
    }

    /// How it ends behind bytes that are no whole frame.
    pub(crate) async fn bare_end(&mut self) -> Ended {
        match timeout(LIMIT, self.from.read(&mut [0])).await.expect("an end in time") {
            Ok(0) => Ended::Properly,
            Ok(_) => panic!("more bytes"),
            Err(_) => Ended::Broken,
        }
    }

    /// What follows a head that opened nothing, as text.
    pub(crate) async fn rest(&mut self) -> String {
        let length = self.headers.get("content-length").and_then(|value| value.to_str().ok());
        let mut text = vec![0; length.and_then(|text| text.parse().ok()).unwrap_or(0)];
        timeout(LIMIT, self.from.read_exact(&mut text)).await.expect("in time").expect("a body");
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Digests of what was sent and what came, behind the heads.
    pub(crate) fn digests(&self) -> (String, String) {
        let hex = |hash: &Sha256| -> String {
            hash.clone().finalize().iter().map(|byte| format!("{byte:02x}")).collect()
        };
        (hex(&self.sent), hex(&self.came))
    }
}
