//! The client of a bench: HTTP/1.1 connections kept alive, either straight to the simulated
//! provider or through the hub's users' door.
//!
//! Both ways run the same code, so that its own cost cancels out of every difference; only the
//! second one has TLS, as users have. A connection carries one request at a time.

use super::script::{Follower, Script};
use crate::provider::CONTROL_HEADER;
use anyhow::Context;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde::Serialize;
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

/// Where the dialect of the benches is spoken.
pub(crate) const CHAT: &str = "/v1/chat/completions";
/// A route that the hub answers at its door, without an exchange.
pub(crate) const DOOR: &str = "/health/liveness";
/// The hub's name in its certificate.
const HUB_NAME: &str = "localhost";
/// The longest answer that is kept, in bytes.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// For requests that ask the simulated provider for nothing in particular.
const NO_CONTROL: HeaderValue = HeaderValue::from_static("");
/// What one exchange may take before the bench gives up.
const EXCHANGE_MAX: Duration = Duration::from_secs(30);

/// The two ways that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Way {
    /// Straight to the simulated provider, as an agent calls it.
    Direct,
    /// Through the hub and an agent.
    Mesh,
}

impl Way {
    /// Both, in the order in which they take turns.
    pub(crate) const BOTH: [Self; 2] = [Self::Direct, Self::Mesh];
}

/// Opens connections either way.
#[derive(Clone)]
pub(crate) struct Client {
    provider: SocketAddr,
    hub: SocketAddr,
    tls: TlsConnector,
    bearer: HeaderValue,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("provider", &self.provider)
            .field("hub", &self.hub)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// A client of the provider at `provider` and of the hub at `hub`, which the PEM file `ca`
    /// vouches for and where `key` is a user's.
    ///
    /// # Errors
    /// Where the file or the key cannot be used.
    pub(crate) fn new(
        provider: SocketAddr,
        hub: SocketAddr,
        ca: &Path,
        key: &str,
    ) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(ca)? {
            roots.add(certificate?)?;
        }
        let crypto = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut tls = ClientConfig::builder_with_provider(crypto)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let mut bearer = HeaderValue::try_from(format!("Bearer {key}"))?;
        bearer.set_sensitive(true);
        Ok(Self { provider, hub, tls: TlsConnector::from(Arc::new(tls)), bearer })
    }

    /// The user's key as a header's value.
    pub(crate) fn bearer(&self) -> HeaderValue {
        self.bearer.clone()
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// Where the other end cannot be reached or does not prove itself.
    ///
    /// # Cancel safety
    /// A dropped call closes what was opened.
    pub(crate) async fn connect(&self, way: Way) -> anyhow::Result<Line> {
        let address = match way {
            Way::Direct => self.provider,
            Way::Mesh => self.hub,
        };
        let stream = TcpStream::connect(address).await.with_context(|| format!("{address}"))?;
        stream.set_nodelay(true)?;
        let mut driver = JoinSet::new();
        let sender = match way {
            Way::Direct => {
                let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
                driver.spawn(async move { drop(connection.await) });
                sender
            }
            Way::Mesh => {
                let stream = self.tls.connect(ServerName::try_from(HUB_NAME)?, stream).await?;
                let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
                driver.spawn(async move { drop(connection.await) });
                sender
            }
        };
        let host = HeaderValue::try_from(format!("{HUB_NAME}:{}", address.port()))?;
        let bearer = match way {
            Way::Direct => HeaderValue::from_static("Bearer simulated"),
            Way::Mesh => self.bearer.clone(),
        };
        Ok(Line { way, sender, host, bearer, driver })
    }
}

/// When things of one exchange came, from the moment at which its request was handed over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    /// The first byte of the answer's body.
    pub(crate) first: Duration,
    /// Its end.
    pub(crate) whole: Duration,
    /// Frames that did not arrive as they should.
    pub(crate) missing: u64,
}

/// One connection, with the task that drives it. Dropping it closes it, whatever runs on it.
#[derive(Debug)]
pub(crate) struct Line {
    way: Way,
    sender: SendRequest<Full<Bytes>>,
    host: HeaderValue,
    bearer: HeaderValue,
    driver: JoinSet<()>,
}

impl Line {
    /// Sends the request of `script`, follows the answer to its end, and calls `frame` with the
    /// number and the time of each frame's arrival. Frames that came in one piece have one time.
    ///
    /// # Errors
    /// Where the exchange fails, is refused, or takes longer than [`EXCHANGE_MAX`].
    ///
    /// # Cancel safety
    /// The connection is of no use after a dropped call.
    pub(crate) async fn exchange(
        &mut self,
        script: &Script,
        frame: impl FnMut(usize, Instant),
    ) -> anyhow::Result<Timing> {
        tokio::time::timeout(EXCHANGE_MAX, self.follow(script, frame))
            .await
            .context("an exchange took too long")?
    }

    async fn follow(
        &mut self,
        script: &Script,
        mut frame: impl FnMut(usize, Instant),
    ) -> anyhow::Result<Timing> {
        self.ready().await?;
        let request = self.request(Method::POST, CHAT, script.body(), script.control())?;
        let began = Instant::now();
        let mut response = self.sender.send_request(request).await?;
        if response.status() != StatusCode::OK {
            return Err(refused(response).await);
        }
        let mut follower = Follower::new(script);
        let mut first = None;
        while let Some(piece) = response.frame().await {
            let Ok(bytes) = piece?.into_data() else { continue };
            let now = Instant::now();
            first.get_or_insert(now);
            for number in follower.take(&bytes) {
                frame(number, now);
            }
        }
        let whole = began.elapsed();
        let first = first.map_or(whole, |first| first - began);
        Ok(Timing { first, whole, missing: follower.missing() })
    }

    /// Asks the hub's door alone, and returns the time to the answer's end.
    ///
    /// # Errors
    /// Where the door does not answer well.
    pub(crate) async fn knock(&mut self) -> anyhow::Result<Duration> {
        self.ready().await?;
        let request = self.request(Method::GET, DOOR, Bytes::new(), NO_CONTROL)?;
        let began = Instant::now();
        let response = self.sender.send_request(request).await?;
        anyhow::ensure!(response.status() == StatusCode::OK, "{DOOR}: {}", response.status());
        drop(Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await);
        Ok(began.elapsed())
    }

    /// Sends `body` with `control` and returns the whole answer.
    ///
    /// # Errors
    /// Where the exchange fails or is refused.
    pub(crate) async fn ask(
        &mut self,
        path: &str,
        body: Bytes,
        control: HeaderValue,
    ) -> anyhow::Result<Bytes> {
        self.collect(self.request(Method::POST, path, body, control)?).await
    }

    /// Gets what is at `path`.
    ///
    /// # Errors
    /// Where the exchange fails or is refused.
    pub(crate) async fn get(&mut self, path: &str) -> anyhow::Result<Bytes> {
        self.collect(self.request(Method::GET, path, Bytes::new(), NO_CONTROL)?).await
    }

    async fn collect(&mut self, request: Request<Full<Bytes>>) -> anyhow::Result<Bytes> {
        self.ready().await?;
        let response = self.sender.send_request(request).await?;
        if !response.status().is_success() {
            return Err(refused(response).await);
        }
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        Ok(body.map_err(|error| anyhow::anyhow!("the answer broke off: {error}"))?.to_bytes())
    }

    /// Sends `body` as a user who leaves does: the answer is not waited for longer than `patience`,
    /// and the connection is closed.
    ///
    /// # Errors
    /// Where the request cannot be made.
    pub(crate) async fn leave(
        mut self,
        body: Bytes,
        control: HeaderValue,
        patience: Duration,
    ) -> anyhow::Result<()> {
        let request = self.request(Method::POST, CHAT, body, control)?;
        let answer = async {
            let mut response = self.sender.send_request(request).await?;
            while let Some(piece) = response.frame().await {
                drop(piece?);
            }
            Ok::<_, hyper::Error>(())
        };
        drop(tokio::time::timeout(patience, answer).await);
        self.driver.abort_all();
        Ok(())
    }

    /// Waits until the connection takes a request: it must be kept alive after each answer.
    async fn ready(&mut self) -> anyhow::Result<()> {
        let ready = self.sender.ready().await;
        ready.with_context(|| format!("a connection ({:?}) was closed between requests", self.way))
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        control: HeaderValue,
    ) -> Result<Request<Full<Bytes>>, http::Error> {
        Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, &self.host)
            .header(AUTHORIZATION, &self.bearer)
            .header(CONTENT_TYPE, "application/json")
            .header(CONTROL_HEADER, control)
            .body(Full::new(body))
    }
}

async fn refused(response: Response<Incoming>) -> anyhow::Error {
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
    let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let said = String::from_utf8_lossy(&body[..body.len().min(300)]).into_owned();
    anyhow::anyhow!("refused with {status}: {said}")
}
