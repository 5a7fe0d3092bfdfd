//! Accepts users' connections: TLS, then h1 or h2, each within its limits; beside it h3.

use super::Gateway;
use super::connection::{CountedBody, Patient, Peers, Requests, WorkExecutor, linger};
use super::h3::{self, Quic};
use crate::config::{H2_SEND_BUFFER_BYTES, LiveLimits};
use crate::exchange::switch::{Farewell, Slot};
use crate::lifecycle::{Stage, Tasks};
use axum::body::Body;
use http::header::ALT_SVC;
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use weft_proto::limits::HEADER_LINES_MAX;
use weft_transport::Endpoint;

/// How long the door rests when the system gives it no connection (no descriptors left, say).
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// How long a connection may go without a request.
const IDLE_MAX: Duration = Duration::from_secs(75);

/// How long an idle h2 connection gets to close.
const H2_GOODBYE_MAX: Duration = Duration::from_secs(5);

/// How often an h2 connection that carries nothing is asked whether it lives.
const H2_KEEP_ALIVE: Duration = Duration::from_secs(30);

/// Largest read of one HTTP/1 connection, in bytes: also the longest head it can hold.
const H1_BUFFER_BYTES: usize = 64 * 1024;

/// Flow control that one user's h2 connection may use for uploads, in bytes: that of many streams,
/// so that a few stalled uploads do not block the others.
const H2_CONNECTION_WINDOW_BYTES: u32 = 64 * H2_STREAM_WINDOW_BYTES;

/// Flow control that one h2 stream may use for its upload, in bytes.
const H2_STREAM_WINDOW_BYTES: u32 = 256 * 1024;

/// How often a port that the system chose for TCP is tried for UDP too, before another is asked for.
const PORT_PAIRS_MAX: usize = 16;

/// A users' door that is bound and does nothing yet.
#[derive(Debug)]
pub struct UsersDoor {
    listener: TcpListener,
    address: SocketAddr,
    h3: Option<(Endpoint, Quic)>,
}

impl UsersDoor {
    /// Binds the door: to TCP, and with `quic` to the UDP port of the same number.
    ///
    /// # Errors
    /// Those of the operating system.
    pub async fn bind(address: SocketAddr, quic: Option<&Quic>) -> io::Result<Self> {
        let mut tries = PORT_PAIRS_MAX;
        loop {
            let listener = TcpListener::bind(address).await?;
            let bound = listener.local_addr()?;
            let h3 = match quic.map(|quic| (quic.bind(bound), quic)) {
                None => None,
                Some((Ok(endpoint), quic)) => Some((endpoint, quic.clone())),
                // Only where the system chose the number may another one do.
                Some((Err(_), _)) if address.port() == 0 && tries > 0 => {
                    tries -= 1;
                    continue;
                }
                Some((Err(error), _)) => return Err(error),
            };
            return Ok(Self { listener, address: bound, h3 });
        }
    }

    /// Where the door is: the port that the system chose, where 0 was asked for.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the door speaks HTTP/3, over UDP; `None` where it does not.
    #[must_use]
    pub fn h3_address(&self) -> Option<SocketAddr> {
        self.h3.as_ref().map(|_| self.address)
    }

    /// Accepts until the hub is asked to stop. Connections that stand then finish the requests they
    /// have, as tasks of [`Stage::Work`]. Answers over TCP name HTTP/3 at `h3_port`, or at the port
    /// of the door, where it is spoken.
    pub async fn serve(
        self,
        gateway: Gateway,
        tls: Arc<rustls::ServerConfig>,
        limits: LiveLimits,
        tasks: Tasks,
        h3_port: Option<NonZeroU16>,
    ) {
        let stopping = tasks.stopping(Stage::Work);
        let first = limits.now();
        let port = h3_port.map_or_else(|| self.address.port(), NonZeroU16::get);
        let alt_svc = self.h3.as_ref().and_then(|_| HeaderValue::try_from(h3::alt_svc(port)).ok());
        let server = Arc::new(Server {
            gateway,
            tls: TlsAcceptor::from(tls),
            room: Arc::new(Semaphore::new(first.connections_max)),
            peers: Peers::new(first.connections_per_address_max),
            alt_svc,
            limits,
            tasks,
            stopping,
        });
        match self.h3 {
            None => accept(server, self.listener).await,
            Some((endpoint, quic)) => {
                let over_udp = h3::serve(Arc::clone(&server), endpoint, quic);
                tokio::join!(accept(server, self.listener), over_udp);
            }
        }
    }
}

/// Accepts connections over TCP until the hub is asked to stop.
async fn accept(server: Arc<Server>, listener: TcpListener) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = server.stopping.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "no connection accepted on the users' door");
                tokio::time::sleep(ACCEPT_REST).await;
                continue;
            }
        };
        // A full door closes what knocks: whoever waits in a queue of unread connections
        // learns nothing.
        let (Some(permit), Some(place)) = (server.place(), server.peers.enter(peer.ip())) else {
            server.gateway.0.metrics.refused("connections_full");
            continue;
        };
        let of_one = Arc::clone(&server);
        server.tasks.spawn(Stage::Work, "user connection", async move {
            of_one.serve(stream, peer).await;
            drop((permit, place));
        });
    }
}

/// What all connections of one door share, whatever they speak.
pub(super) struct Server {
    pub(super) gateway: Gateway,
    tls: TlsAcceptor,
    room: Arc<Semaphore>,
    pub(super) peers: Peers,
    /// Names HTTP/3 to those who do not speak it yet.
    alt_svc: Option<HeaderValue>,
    pub(super) limits: LiveLimits,
    pub(super) tasks: Tasks,
    pub(super) stopping: CancellationToken,
}

impl Server {
    /// A place for one more connection, where there is one.
    pub(super) fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.room).try_acquire_owned().ok()
    }

    async fn serve(&self, stream: TcpStream, peer: SocketAddr) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, %error, "TCP_NODELAY refused");
        }
        // A connection keeps to the limits that it began with.
        let limits = self.limits.now();
        let accepted = tokio::time::timeout(limits.handshake, self.tls.accept(stream)).await;
        let stream = match accepted {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                tracing::debug!(%peer, %error, "TLS handshake failed on the users' door");
                return;
            }
            Err(_) => {
                tracing::debug!(%peer, "TLS handshake too slow on the users' door");
                return;
            }
        };
        let metrics = &self.gateway.0.metrics;
        metrics.connection_opened();
        let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let requests = Requests::default();
        let stream = Patient::new(stream, limits.stall);
        let ended = if h2 {
            self.h2(stream, peer, requests).await
        } else {
            let stream = stream.with_heads(requests.clone(), limits.head);
            self.h1(stream, peer, requests).await
        };
        metrics.connection_closed();
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "user connection ended improperly");
        }
    }

    async fn h1(
        &self,
        io: Patient<TlsStream<TcpStream>>,
        peer: SocketAddr,
        requests: Requests,
    ) -> Result<(), hyper::Error> {
        let slot = Slot::default();
        let service = service_fn(|mut request: Request<Incoming>| {
            request.extensions_mut().insert(slot.clone());
            Box::pin(self.answer(request, peer, &requests))
        });
        let mut connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            // hyper counts this from the end of the answer before: it bounds the idle connection.
            // A head that has begun is bounded by the stream itself.
            .header_read_timeout(IDLE_MAX)
            .max_buf_size(H1_BUFFER_BYTES)
            .max_headers(HEADER_LINES_MAX)
            .serve_connection(TokioIo::new(io), service);
        let mut stopping = std::pin::pin!(self.stopping.cancelled());
        let mut asked = false;
        let ended = std::future::poll_fn(|context| {
            if !asked && stopping.as_mut().poll(context).is_ready() {
                asked = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
            connection.poll_without_shutdown(context)
        })
        .await;
        if ended.is_ok() {
            let parts = connection.into_parts();
            let mut stream = parts.io.into_inner();
            if let Some(switched) = slot.take() {
                // The 101 is written: from here on the connection is the exchange's.
                stream.forget_heads();
                match switched.run(&mut stream, parts.read_buf).await {
                    Farewell::Proper => {}
                    Farewell::Reset => {
                        if let Err(error) = stream.get_ref().get_ref().0.set_zero_linger() {
                            tracing::debug!(%peer, %error, "a connection closes unreset");
                        }
                        return ended;
                    }
                }
            }
            linger(&mut stream).await;
        }
        ended
    }

    async fn h2<I>(&self, io: I, peer: SocketAddr, requests: Requests) -> Result<(), hyper::Error>
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let limits = self.limits.now();
        let (gateway, counted) = (self.gateway.clone(), requests.clone());
        let (tasks, alt_svc) = (self.tasks.clone(), self.alt_svc.clone());
        let service = service_fn(move |request: Request<Incoming>| {
            let (gateway, running, tasks) = (gateway.clone(), counted.begin(), tasks.clone());
            let alt_svc = alt_svc.clone();
            async move {
                let mut answer = gateway.answer(request.map(Body::new), peer.ip()).await;
                name_h3(&mut answer, alt_svc);
                Ok::<_, Infallible>(CountedBody::of(answer, running, &tasks))
            }
        });
        let head_bytes_max = u32::try_from(limits.head_bytes_max).unwrap_or(u32::MAX);
        let executor = WorkExecutor::new(self.tasks.clone(), limits.stall, "h2 stream");
        let connection = hyper::server::conn::http2::Builder::new(executor)
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.h2_streams_max)
            .max_pending_accept_reset_streams(limits.h2_resets_max)
            .max_header_list_size(head_bytes_max)
            .initial_connection_window_size(H2_CONNECTION_WINDOW_BYTES)
            .initial_stream_window_size(H2_STREAM_WINDOW_BYTES)
            .max_send_buf_size(H2_SEND_BUFFER_BYTES)
            .keep_alive_interval(H2_KEEP_ALIVE)
            .serve_connection(TokioIo::new(io), service);
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            biased;
            ended = connection.as_mut() => return ended,
            () = self.stopping.cancelled() => connection.as_mut().graceful_shutdown(),
            // Neither a peer that never asks, nor one that only answers pings, may keep a place.
            () = requests.idle(limits.head, IDLE_MAX) => {
                connection.as_mut().graceful_shutdown();
                return tokio::time::timeout(H2_GOODBYE_MAX, connection).await.unwrap_or(Ok(()));
            }
        }
        tokio::select! {
            biased;
            ended = connection => ended,
            // Nor may a peer that does not answer the farewell hold up a stop.
            () = requests.idle(H2_GOODBYE_MAX, H2_GOODBYE_MAX) => Ok(()),
        }
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
        requests: &Requests,
    ) -> Result<Response<CountedBody>, Infallible> {
        let running = requests.begin();
        let mut answer = self.gateway.answer(request.map(Body::new), peer.ip()).await;
        name_h3(&mut answer, self.alt_svc.clone());
        Ok(CountedBody::of(answer, running, &self.tasks))
    }
}

/// Says in `answer` where the door speaks HTTP/3; a WebSocket has nothing from it.
fn name_h3(answer: &mut Response<Body>, alt_svc: Option<HeaderValue>) {
    if let Some(alt_svc) = alt_svc
        && answer.status() != StatusCode::SWITCHING_PROTOCOLS
    {
        answer.headers_mut().insert(ALT_SVC, alt_svc);
    }
}
