//! Accepts the operator's connections and serves the routes on them, HTTP/1.1 over TLS.

use super::Problem;
use crate::lifecycle::{Stage, Tasks};
use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

/// Connections open at once; further ones wait to be accepted.
const CONNECTIONS_MAX: usize = 64;
/// TLS handshake, seconds.
const HANDSHAKE_SECONDS: u64 = 5;
/// Head of a request, seconds; an idle connection is closed after as long.
const HEAD_SECONDS: u64 = 30;
/// One request from head to answer, seconds.
const REQUEST_SECONDS: u64 = 30;
/// Wait after the operating system had no connection to give (no descriptors), milliseconds.
const ACCEPT_PAUSE_MS: u64 = 100;
/// The only protocol of this door.
const HTTP_1_1: &[u8] = b"http/1.1";

/// The bound admin door.
pub struct AdminDoor {
    listener: TcpListener,
    tls: TlsAcceptor,
    address: SocketAddr,
}

impl fmt::Debug for AdminDoor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminDoor").field("address", &self.address).finish_non_exhaustive()
    }
}

impl AdminDoor {
    /// Binds the door; connections wait until it is served.
    ///
    /// # Errors
    /// Those of the operating system: the address is taken, or not this machine's.
    pub async fn bind(address: SocketAddr, mut tls: rustls::ServerConfig) -> io::Result<Self> {
        tls.alpn_protocols = vec![HTTP_1_1.to_vec()];
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, tls: TlsAcceptor::from(Arc::new(tls)), address })
    }

    /// Where the door is.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves `routes` until the carriers are asked to stop: while work drains, the operator still
    /// sees it, and a balancer that the hub is not ready.
    pub async fn serve(self, routes: Router, tasks: Tasks) {
        let stop = tasks.stopping(Stage::Carriers);
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let accepted = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                accepted = accept(&self.listener, &places) => accepted,
            };
            match accepted {
                Ok((stream, peer, place)) => {
                    let (tls, routes, stop) = (self.tls.clone(), routes.clone(), stop.clone());
                    tasks.spawn(Stage::Carriers, "admin connection", async move {
                        let served = serve_connection(stream, peer, tls, routes, stop).await;
                        if let Err(error) = served {
                            tracing::debug!(%peer, %error, "admin connection ended");
                        }
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "admin door cannot accept");
                    tokio::time::sleep(Duration::from_millis(ACCEPT_PAUSE_MS)).await;
                }
            }
        }
    }
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, place))
}

async fn serve_connection(
    stream: TcpStream,
    peer: SocketAddr,
    tls: TlsAcceptor,
    routes: Router,
    stop: tokio_util::sync::CancellationToken,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    stream.set_nodelay(true)?;
    let handshake = Duration::from_secs(HANDSHAKE_SECONDS);
    let stream = tokio::time::timeout(handshake, tls.accept(stream)).await??;
    let service = hyper::service::service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        let routes = routes.clone();
        async move {
            let limit = Duration::from_secs(REQUEST_SECONDS);
            let answer = routes.oneshot(request.map(axum::body::Body::new) as Request);
            match tokio::time::timeout(limit, answer).await {
                Ok(answer) => answer,
                Err(_) => Ok(Problem::plain(StatusCode::GATEWAY_TIMEOUT).into_response()),
            }
        }
    });
    let mut connection = std::pin::pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_secs(HEAD_SECONDS))
            .serve_connection(TokioIo::new(stream), service)
    );
    tokio::select! {
        biased;
        ended = connection.as_mut() => return Ok(ended?),
        () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    Ok(connection.await?)
}
