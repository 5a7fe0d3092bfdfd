//! One call to a provider, through the pool of its account's way out, and what it can come to.

use super::body::{RequestBody, UpstreamBodyError};
use super::connector::ConnectLimit;
use super::dial::Dial;
use super::pools::Pools;
use super::reach::ReachError;
use super::tls::TlsSetupError;
use super::version::HttpVersion;
use crate::vault::Way;
use http::header::{CONNECTION, HOST, UPGRADE};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::client::legacy::{Builder, Client};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::RootCertStore;
use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::task::TaskTracker;
use weft_proto::tables::headers::{VIA, request_headers, upgrade_request_headers};
use weft_proto::tables::hosts::{self, Origin};
use weft_proto::tables::target::Target;
use weft_proto::websocket::handshake;

/// Idle connections kept per provider host.
const IDLE_PER_HOST_MAX: usize = 64;
/// How long an idle connection is kept. Below the idle limits of providers' front ends, so that a
/// request seldom meets a connection that is just being closed.
const IDLE_KEPT: Duration = Duration::from_secs(50);
/// Longest answer head, and longest single read of an HTTP/1.1 answer, in bytes.
const ANSWER_HEAD_BYTES_MAX: usize = 64 * 1024;
/// Most header lines in an answer.
const ANSWER_HEADER_LINES_MAX: usize = weft_proto::limits::HEADER_LINES_MAX;
/// Receive window of one HTTP/2 stream, in bytes.
const H2_STREAM_WINDOW_BYTES: u32 = 256 * 1024;
/// Receive window of one HTTP/2 connection, in bytes: room for stalled siblings.
const H2_CONNECTION_WINDOW_BYTES: u32 = 16 * 1024 * 1024;
/// Bytes of one request buffered for sending on an HTTP/2 stream.
const H2_SEND_BUFFER_BYTES: usize = 256 * 1024;

/// What the owner may set.
#[derive(Debug, Clone, Copy)]
pub struct UpstreamSettings {
    /// Limit on resolving, connecting, a proxy's answer and the TLS handshake together.
    pub connect_timeout: Duration,
}

impl Default for UpstreamSettings {
    fn default() -> Self {
        Self { connect_timeout: Duration::from_secs(10) }
    }
}

/// One request, ready to go out.
#[derive(Debug)]
pub struct Call {
    /// Where to. Only the compiled table makes one.
    pub origin: Origin,
    /// Over which version.
    pub version: HttpVersion,
    /// The method.
    pub method: Method,
    /// Path and query, verbatim.
    pub target: Target,
    /// The user's headers: they are filtered here once more.
    pub headers: HeaderMap,
    /// The account's credential.
    pub key: crate::vault::LentKey,
    /// The body.
    pub body: RequestBody,
}

/// The head of a provider's answer, and its body as it comes.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers, as the provider sent them: not filtered yet.
    pub headers: HeaderMap,
    /// The body. An `Err` from it means that the answer was cut; its `None` is a proper end.
    pub body: Incoming,
}

/// What a provider said to the wish for a WebSocket.
pub enum Opened {
    /// It switched.
    Switched {
        /// The headers of its 101, as it sent them: not filtered yet.
        headers: HeaderMap,
        /// The connection, from the first byte behind them on. Dropped, it closes at once.
        io: TokioIo<Upgraded>,
    },
    /// It answered as it answers other requests.
    Answered(Answer),
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Switched { headers, .. } => {
                f.debug_struct("Switched").field("headers", headers).finish_non_exhaustive()
            }
            Self::Answered(answer) => f.debug_tuple("Answered").field(answer).finish(),
        }
    }
}

/// A 101 that names no WebSocket, where one was asked for.
#[derive(Debug, thiserror::Error)]
#[error("the provider switched to something else than a WebSocket")]
struct OtherProtocol;

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No byte of the request was sent: it is safe to try elsewhere.
    #[error("the provider was not called")]
    NotSent(#[source] Box<dyn StdError + Send + Sync>),
    /// The connection failed after the request may have been sent.
    #[error("the provider did not answer")]
    Unreachable(#[source] Box<dyn StdError + Send + Sync>),
    /// The request's own body broke off or missed its length; the provider has no whole request.
    #[error("the request was aborted")]
    RequestBroken(#[source] UpstreamBodyError),
}

/// The way to all providers. Clones share the connections.
#[derive(Clone)]
pub struct Upstream {
    pools: Pools,
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream").finish_non_exhaustive()
    }
}

/// Runs connections as tasks of their owner.
#[derive(Debug, Clone)]
struct TrackedTasks(TaskTracker);

impl<F> hyper::rt::Executor<F> for TrackedTasks
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, task: F) {
        drop(self.0.spawn(task));
    }
}

impl Upstream {
    /// Makes the client. `roots` verify every https origin; `tasks` owns the connections.
    ///
    /// # Errors
    /// [`TlsSetupError`] when the build's TLS cannot be configured.
    pub fn new(
        dial: Arc<dyn Dial>,
        roots: RootCertStore,
        settings: UpstreamSettings,
        tasks: TaskTracker,
    ) -> Result<Self, TlsSetupError> {
        let limit = ConnectLimit::new(settings.connect_timeout);
        Ok(Self { pools: Pools::new(dial, roots, limit, tasks)? })
    }

    /// Changes the limit on connecting, for connections to come.
    pub fn set_connect_timeout(&self, limit: Duration) {
        self.pools.limit().set(limit);
    }

    /// Drops the pools of proxies that no account uses any more. Calls under way go on.
    pub fn forget_unused(&self) {
        self.pools.forget_unused();
    }

    #[cfg(test)]
    pub(super) fn pools_by_proxy(&self) -> usize {
        self.pools.proxied()
    }

    /// Opens a connection to `origin` as a call would, outside every pool, sends nothing on it and
    /// closes it. Returns how long it took.
    ///
    /// # Errors
    /// [`ReachError`] says which step failed.
    ///
    /// # Cancel safety
    /// Dropping it abandons the attempt.
    pub async fn probe(
        &self,
        origin: &Origin,
        version: HttpVersion,
        way: Option<&Arc<Way>>,
    ) -> Result<Duration, ReachError> {
        let root = Target::parse("/").map_err(|_| ReachError::Origin("it has no path"))?;
        let uri = uri(origin, &root).map_err(|_| ReachError::Origin("it is no URI"))?;
        let began = tokio::time::Instant::now();
        drop(self.pools.connector(version, way).connect(uri).await?);
        Ok(began.elapsed())
    }

    /// Calls a provider and waits for the head of its answer.
    ///
    /// # Errors
    /// [`CallError`] says whether the provider may have been called.
    ///
    /// # Cancel safety
    /// Dropping the future, or the answer's body, closes the connection or resets the stream.
    pub async fn call(&self, call: Call) -> Result<Answer, CallError> {
        let version = call.version;
        // Kept until the head is there: an account that is removed meanwhile ends no call.
        let way = call.key.way().cloned();
        let request = request(call, request_headers)?;
        let clients = self.pools.of(way.as_ref());
        match clients.of(version).request(request).await {
            Ok(response) => {
                let (head, body) = Response::into_parts(response);
                Ok(Answer { status: head.status, headers: head.headers, body })
            }
            Err(error) => Err(classify(error)),
        }
    }

    /// Asks a provider for a WebSocket, over HTTP/1.1 whatever the account prefers, and waits for
    /// the head of its answer.
    ///
    /// # Errors
    /// [`CallError`] says whether the provider may have been called.
    ///
    /// # Cancel safety
    /// Dropping the future, or what it gave, closes the connection.
    pub async fn open(&self, call: Call) -> Result<Opened, CallError> {
        let way = call.key.way().cloned();
        let call = Call { version: HttpVersion::H1, ..call };
        let mut request = request(call, upgrade_request_headers)?;
        let fields = request.headers_mut();
        fields.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        fields.insert(UPGRADE, HeaderValue::from_static(handshake::WEBSOCKET));
        let clients = self.pools.of(way.as_ref());
        let mut response = clients.of(HttpVersion::H1).request(request).await.map_err(classify)?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            let (head, body) = Response::into_parts(response);
            let answer = Answer { status: head.status, headers: head.headers, body };
            return Ok(Opened::Answered(answer));
        }
        if !handshake::names_upgrade(response.headers()) {
            return Err(CallError::Unreachable(OtherProtocol.into()));
        }
        let upgraded = hyper::upgrade::on(&mut response)
            .await
            .map_err(|error| CallError::Unreachable(error.into()))?;
        let headers = std::mem::take(response.headers_mut());
        Ok(Opened::Switched { headers, io: TokioIo::new(upgraded) })
    }
}

/// The settings of every client.
pub(super) fn builder(tasks: TaskTracker, version: HttpVersion) -> Builder {
    let mut builder = Client::builder(TrackedTasks(tasks));
    builder
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_KEPT)
        .pool_max_idle_per_host(IDLE_PER_HOST_MAX)
        .http1_max_buf_size(ANSWER_HEAD_BYTES_MAX)
        .http1_max_headers(ANSWER_HEADER_LINES_MAX);
    match version {
        HttpVersion::H1 => {}
        HttpVersion::H2 => h2_settings(&mut builder),
    }
    builder
}

fn h2_settings(builder: &mut Builder) {
    builder
        .http2_only(true)
        .http2_initial_stream_window_size(H2_STREAM_WINDOW_BYTES)
        .http2_initial_connection_window_size(H2_CONNECTION_WINDOW_BYTES)
        .http2_max_header_list_size(ANSWER_HEAD_BYTES_MAX as u32)
        .http2_max_send_buf_size(H2_SEND_BUFFER_BYTES);
}

/// Builds the request as the provider will see it: filtered headers, the table's host, the honest
/// `via`, the lent credential.
fn request(
    call: Call,
    filtered: fn(&HeaderMap) -> HeaderMap,
) -> Result<Request<RequestBody>, CallError> {
    let Call { origin, version, method, target, headers, key, body } = call;
    let mut headers = filtered(&headers);
    // The client writes the host of the URI; nobody else's may stand in its place.
    headers.remove(HOST);
    headers.insert(http::header::VIA, HeaderValue::from_static(VIA));
    key.place(&mut headers);
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = uri(&origin, &target).map_err(|error| CallError::NotSent(error.into()))?;
    *request.version_mut() = match version {
        HttpVersion::H1 => http::Version::HTTP_11,
        HttpVersion::H2 => http::Version::HTTP_2,
    };
    *request.headers_mut() = headers;
    Ok(request)
}

fn uri(origin: &Origin, target: &Target) -> Result<Uri, http::Error> {
    let scheme = match origin.scheme() {
        hosts::Scheme::Https => Scheme::HTTPS,
        hosts::Scheme::Http => Scheme::HTTP,
    };
    let path = PathAndQuery::try_from(origin.path_and_query(target))?;
    Uri::builder()
        .scheme(scheme)
        .authority(Authority::try_from(origin.authority())?)
        .path_and_query(path)
        .build()
}

/// Says what a failed call means. In doubt the provider may have been called.
fn classify(error: hyper_util::client::legacy::Error) -> CallError {
    if error.is_connect() {
        return CallError::NotSent(error.into());
    }
    let mut cause: Option<&(dyn StdError + 'static)> = Some(&error);
    while let Some(this) = cause {
        if let Some(body) = this.downcast_ref::<UpstreamBodyError>() {
            return CallError::RequestBroken(*body);
        }
        // hyper says "canceled" only of a request that it still had whole in its queue.
        if this.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled) {
            return CallError::NotSent(error.into());
        }
        cause = this.source();
    }
    CallError::Unreachable(error.into())
}
