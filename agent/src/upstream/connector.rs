//! From an origin to a ready connection: dial, the proxy's tunnel, TLS, checked ALPN, all inside
//! one deadline.

use super::dial::{Dial, Io};
use super::proxy;
use super::reach::{ReachError, Step};
use super::version::HttpVersion;
use crate::account::ProxyKind;
use crate::vault::Way;
use http::Uri;
use http::uri::Scheme;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

/// The limit on connecting, which a reload may change for connections to come. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct ConnectLimit(Arc<AtomicU64>);

impl ConnectLimit {
    pub(super) fn new(limit: Duration) -> Self {
        let this = Self(Arc::default());
        this.set(limit);
        this
    }

    pub(super) fn set(&self, limit: Duration) {
        let millis = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        self.0.store(millis, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

/// How a connector's connections leave.
#[derive(Debug, Clone)]
pub(super) enum Leaves {
    /// Over the machine's own network.
    Directly,
    /// Through a proxy. The accounts that use it keep it alive, and the calls under way.
    By(Weak<Way>),
}

/// Opens connections for a pool. Which origin is asked for was decided by the compiled table.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    pub(super) dial: Arc<dyn Dial>,
    pub(super) tls: Arc<ClientConfig>,
    /// TLS with a proxy that wants it.
    pub(super) proxy_tls: Arc<ClientConfig>,
    pub(super) version: HttpVersion,
    pub(super) limit: ConnectLimit,
    pub(super) leaves: Leaves,
}

/// One deadline over several steps.
#[derive(Clone, Copy)]
struct Within {
    limit: Duration,
    deadline: Instant,
}

impl Within {
    async fn step<T>(self, step: Step, work: impl Future<Output = T>) -> Result<T, ReachError> {
        tokio::time::timeout_at(self.deadline, work)
            .await
            .map_err(|_| ReachError::TimedOut { step, limit: self.limit })
    }
}

impl Connector {
    /// Opens a connection to the host of `uri`.
    ///
    /// # Errors
    /// [`ReachError`]; nothing of a request was sent.
    ///
    /// # Cancel safety
    /// Dropping it abandons the attempt.
    pub(super) async fn connect(self, uri: Uri) -> Result<TokioIo<UpstreamIo>, ReachError> {
        let limit = self.limit.get();
        let within = Within { limit, deadline: Instant::now() + limit };
        let host = uri.host().ok_or(ReachError::Origin("it has no name"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let secure = uri.scheme() == Some(&Scheme::HTTPS);
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let io = match &self.leaves {
            Leaves::Directly => self.dial(within, &host, port).await?,
            Leaves::By(way) => {
                let way = way.upgrade().ok_or(ReachError::Gone)?;
                self.tunnel(within, &way, &host, port).await?
            }
        };
        let http2 = self.version == HttpVersion::H2;
        if !secure {
            return Ok(TokioIo::new(UpstreamIo { io, http2 }));
        }
        let stream = secured(within, Step::Tls, &self.tls, &host, io).await?;
        let negotiated = stream.get_ref().1.alpn_protocol();
        if http2 && negotiated != Some(HttpVersion::H2.alpn()) {
            return Err(ReachError::NoHttp2);
        }
        Ok(TokioIo::new(UpstreamIo { io: Box::new(stream), http2 }))
    }

    async fn dial(&self, within: Within, host: &str, port: u16) -> Result<Box<dyn Io>, ReachError> {
        let dialled = within.step(Step::Dial, self.dial.dial(host, port)).await?;
        dialled.map_err(|source| ReachError::Dial { place: format!("{host} port {port}"), source })
    }

    /// A tunnel to `host` through the proxy of `way`. This machine does not resolve `host`.
    async fn tunnel(
        &self,
        within: Within,
        way: &Way,
        host: &str,
        port: u16,
    ) -> Result<Box<dyn Io>, ReachError> {
        let proxy = way.proxy();
        let io = self.dial(within, proxy.host(), proxy.port()).await?;
        let io: Box<dyn Io> = match proxy.kind() {
            ProxyKind::Http | ProxyKind::Socks5 => io,
            ProxyKind::Https => {
                Box::new(secured(within, Step::ProxyTls, &self.proxy_tls, proxy.host(), io).await?)
            }
        };
        let opened = within.step(Step::Proxy, proxy::open(io, way, host, port)).await?;
        opened.map_err(|source| ReachError::Proxy { place: proxy.place(), source })
    }
}

/// TLS over `io` with whoever can prove to be `host`.
async fn secured(
    within: Within,
    step: Step,
    config: &Arc<ClientConfig>,
    host: &str,
    io: Box<dyn Io>,
) -> Result<tokio_rustls::client::TlsStream<Box<dyn Io>>, ReachError> {
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| ReachError::Origin("its name cannot be verified"))?;
    let connecting = TlsConnector::from(Arc::clone(config)).connect(name, io);
    within.step(step, connecting).await?.map_err(|source| ReachError::Tls { step, source })
}

impl tower::Service<Uri> for Connector {
    type Response = TokioIo<UpstreamIo>;
    type Error = ReachError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ReachError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ReachError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri))
    }
}

/// A connection to a provider.
pub(super) struct UpstreamIo {
    io: Box<dyn Io>,
    http2: bool,
}

impl Connection for UpstreamIo {
    fn connected(&self) -> Connected {
        if self.http2 { Connected::new().negotiated_h2() } else { Connected::new() }
    }
}

impl AsyncRead for UpstreamIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for UpstreamIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io).poll_shutdown(cx)
    }
}
