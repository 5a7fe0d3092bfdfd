//! From an origin to a ready connection: dial, TLS, checked ALPN, all inside one deadline.

use super::dial::{Dial, Io};
use super::version::HttpVersion;
use http::Uri;
use http::uri::Scheme;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsConnector;

/// Opens connections for the pool. Which origin is asked for was decided by the compiled table.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    pub(super) dial: Arc<dyn Dial>,
    pub(super) tls: Arc<ClientConfig>,
    pub(super) version: HttpVersion,
    pub(super) deadline: Duration,
}

impl Connector {
    async fn connect(self, uri: Uri) -> io::Result<TokioIo<UpstreamIo>> {
        let deadline = self.deadline;
        tokio::time::timeout(deadline, self.connect_untimed(uri))
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "connecting took too long"))?
    }

    async fn connect_untimed(self, uri: Uri) -> io::Result<TokioIo<UpstreamIo>> {
        let invalid = |what: &'static str| io::Error::new(io::ErrorKind::InvalidInput, what);
        let host = uri.host().ok_or_else(|| invalid("an origin without a host"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let secure = uri.scheme() == Some(&Scheme::HTTPS);
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let io = self.dial.dial(&host, port).await?;
        if !secure {
            return Ok(TokioIo::new(UpstreamIo { io, http2: self.version == HttpVersion::H2 }));
        }
        let name = ServerName::try_from(host).map_err(|_| invalid("not a name to verify"))?;
        let stream = TlsConnector::from(Arc::clone(&self.tls)).connect(name, io).await?;
        let negotiated = stream.get_ref().1.alpn_protocol();
        if self.version == HttpVersion::H2 && negotiated != Some(HttpVersion::H2.alpn()) {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "the provider does not speak HTTP/2: turn it off for this account",
            ));
        }
        Ok(TokioIo::new(UpstreamIo {
            io: Box::new(stream),
            http2: self.version == HttpVersion::H2,
        }))
    }
}

impl tower::Service<Uri> for Connector {
    type Response = TokioIo<UpstreamIo>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
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
