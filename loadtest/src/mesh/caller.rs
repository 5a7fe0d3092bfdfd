//! A user's side of HTTPS: connections to a hub over HTTP/1.1 or HTTP/2, trusting its CA alone.
//!
//! It adds no header of its own but `host`, and changes no byte, so that a test knows what it sent.
//! Dropping a connection closes it at once, which is how a user leaves.

use super::MeshError;
use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

/// The name of the users' door in its certificate.
const DOOR_NAME: &str = "localhost";

/// Header lines of an answer that are taken: more than a hub passes on.
const HEADER_LINES_MAX: usize = 512;
/// Bytes of an answer's head that are taken, likewise.
const HEAD_BYTES_MAX: u32 = 128 * 1_024;

/// A request's body.
pub type Body = BoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// The version of HTTP that is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.1.
    H1,
    /// HTTP/2.
    H2,
}

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No connection, or TLS failed.
    #[error("the users' door cannot be reached")]
    Connect(#[from] io::Error),
    /// HTTP failed.
    #[error(transparent)]
    Http(#[from] hyper::Error),
    /// The request cannot be addressed.
    #[error("the request's target cannot be used")]
    Target(#[from] http::uri::InvalidUri),
}

/// Who connects to a users' door.
#[derive(Clone)]
pub struct Caller {
    address: SocketAddr,
    h1: TlsConnector,
    h2: TlsConnector,
}

impl std::fmt::Debug for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Caller").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Caller {
    /// A caller of the door at `address` whose certificates the PEM file `ca` vouches for.
    ///
    /// # Errors
    /// [`MeshError::System`] where the file cannot be used.
    pub fn new(address: SocketAddr, ca: &Path) -> Result<Self, MeshError> {
        let failed = || MeshError::system(ca.display().to_string());
        let mut roots = RootCertStore::empty();
        let certificates = CertificateDer::pem_file_iter(ca)
            .map_err(|error| failed()(io::Error::other(error.to_string())))?;
        for certificate in certificates {
            certificate
                .map_err(|error| io::Error::other(error.to_string()))
                .and_then(|certificate| roots.add(certificate).map_err(io::Error::other))
                .map_err(failed())?;
        }
        let config = |alpn: &[u8]| -> Result<TlsConnector, rustls::Error> {
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let mut config = ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()?
                .with_root_certificates(roots.clone())
                .with_no_client_auth();
            config.alpn_protocols = vec![alpn.to_vec()];
            Ok(TlsConnector::from(Arc::new(config)))
        };
        let refused = |error: rustls::Error| failed()(io::Error::other(error));
        Ok(Self {
            address,
            h1: config(b"http/1.1").map_err(refused)?,
            h2: config(b"h2").map_err(refused)?,
        })
    }

    /// The door's address.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// [`CallError`].
    ///
    /// # Cancel safety
    /// A dropped call closes what was opened.
    pub async fn connect(&self, version: Version) -> Result<Connection, CallError> {
        self.open(version, None).await
    }

    /// Opens a connection of HTTP/2 whose streams take `window` bytes ahead of their reader.
    ///
    /// # Errors
    /// [`CallError`].
    ///
    /// # Cancel safety
    /// A dropped call closes what was opened.
    pub async fn connect_narrow(&self, window: u32) -> Result<Connection, CallError> {
        self.open(Version::H2, Some(window)).await
    }

    async fn open(&self, version: Version, window: Option<u32>) -> Result<Connection, CallError> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let tls = match version {
            Version::H1 => &self.h1,
            Version::H2 => &self.h2,
        };
        let name = ServerName::try_from(DOOR_NAME).map_err(io::Error::other)?;
        let stream = TokioIo::new(tls.connect(name, stream).await?);
        let mut driver = JoinSet::new();
        let sender = match version {
            Version::H1 => {
                let mut builder = http1::Builder::new();
                builder.max_headers(HEADER_LINES_MAX);
                let (sender, connection) = builder.handshake(stream).await?;
                driver.spawn(async move { drop(connection.await) });
                Sender::H1(sender)
            }
            Version::H2 => {
                let mut builder = http2::Builder::new(TokioExecutor::new());
                builder.max_header_list_size(HEAD_BYTES_MAX);
                if let Some(window) = window {
                    builder.initial_stream_window_size(window);
                }
                let (sender, connection) = builder.handshake(stream).await?;
                driver.spawn(async move { drop(connection.await) });
                Sender::H2(sender)
            }
        };
        Ok(Connection { authority: format!("{DOOR_NAME}:{}", self.address.port()), sender, driver })
    }
}

enum Sender {
    H1(http1::SendRequest<Body>),
    H2(http2::SendRequest<Body>),
}

/// One connection to the hub. Dropping it closes it, whatever runs on it.
pub struct Connection {
    authority: String,
    sender: Sender,
    driver: JoinSet<()>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("authority", &self.authority)
            .field("driven", &!self.driver.is_empty())
            .finish_non_exhaustive()
    }
}

impl Connection {
    /// Whether it is closed, as far as is known.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        match &self.sender {
            Sender::H1(sender) => sender.is_closed(),
            Sender::H2(sender) => sender.is_closed(),
        }
    }

    /// Waits until it takes a request.
    ///
    /// # Errors
    /// [`CallError::Http`] where it never will.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn ready(&mut self) -> Result<(), CallError> {
        match &mut self.sender {
            Sender::H1(sender) => Ok(sender.ready().await?),
            Sender::H2(sender) => Ok(sender.ready().await?),
        }
    }

    /// Sends `request`, whose URI is a path with its query, and returns the head of the answer.
    ///
    /// # Errors
    /// [`CallError`].
    ///
    /// # Cancel safety
    /// A dropped call gives the request up: over HTTP/2 its stream is reset, over HTTP/1.1 the
    /// connection goes.
    pub async fn send(&mut self, request: Request<Body>) -> Result<Response<Incoming>, CallError> {
        self.ready().await?;
        Ok(self.start(request)?.await?)
    }

    /// The same in two steps: several requests may be under way on one HTTP/2 connection. A
    /// connection of HTTP/1.1 must have finished the request before.
    ///
    /// # Errors
    /// [`CallError::Target`].
    pub fn start(
        &mut self,
        mut request: Request<Body>,
    ) -> Result<impl Future<Output = hyper::Result<Response<Incoming>>> + Send + use<>, CallError>
    {
        use futures_util::future::Either;
        match &mut self.sender {
            Sender::H1(sender) => {
                if let Ok(host) = HeaderValue::try_from(&self.authority) {
                    request.headers_mut().insert(HOST, host);
                }
                let answer = sender.send_request(request);
                Ok(Either::Left(answer))
            }
            Sender::H2(sender) => {
                let target = request.uri().path_and_query().map_or("/", |path| path.as_str());
                *request.uri_mut() =
                    format!("https://{}{target}", self.authority).parse::<Uri>()?;
                let mut sender = sender.clone();
                Ok(Either::Right(async move {
                    sender.ready().await?;
                    sender.send_request(request).await
                }))
            }
        }
    }
}

/// No body.
#[must_use]
pub fn empty() -> Body {
    Empty::new().map_err(never).boxed()
}

/// A body at hand, sent with its length.
#[must_use]
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(never).boxed()
}

fn never(never: Infallible) -> Box<dyn std::error::Error + Send + Sync> {
    match never {}
}
