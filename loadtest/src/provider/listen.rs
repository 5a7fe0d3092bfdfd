//! The listener: loopback TCP, one owned task per connection, and the two rude ways to end one.
//!
//! A connection's own faults (reset, close without an answer) go through its [`Abort`], which the
//! connection's task watches beside the protocol. No task outlives the tracker.

use super::config::{CONNECTIONS_MAX, H2_STREAMS_MAX, HEAD_BYTES_MAX, Protocols};
use super::serve::Server;
use hyper::rt::Executor;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The pause after a failed accept (too many open files, for one), so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Ends one connection without asking its protocol.
#[derive(Debug, Default)]
pub(crate) struct Abort {
    token: CancellationToken,
    reset: AtomicBool,
}

impl Abort {
    /// Ends the connection with a TCP reset.
    pub(crate) fn reset(&self) {
        self.reset.store(true, Ordering::Relaxed);
        self.token.cancel();
    }

    /// Ends the connection with an ordinary close.
    pub(crate) fn close(&self) {
        self.token.cancel();
    }
}

/// A connection's socket. Dropped after [`Abort::reset`], it sends RST in place of FIN.
#[derive(Debug)]
struct Leg {
    stream: TcpStream,
    abort: Arc<Abort>,
}

impl Drop for Leg {
    fn drop(&mut self) {
        if self.abort.reset.load(Ordering::Relaxed)
            && let Err(error) = self.stream.set_zero_linger()
        {
            tracing::warn!(%error, "a connection closes where it should reset");
        }
    }
}

impl AsyncRead for Leg {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Leg {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// Runs HTTP/2's stream tasks under the tracker.
#[derive(Debug, Clone)]
struct Tracked(TaskTracker);

impl<F> Executor<F> for Tracked
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        drop(self.0.spawn(future));
    }
}

/// Accepts until `stop`, at most [`CONNECTIONS_MAX`] connections at once.
pub(crate) async fn accept(
    listener: TcpListener,
    protocols: Protocols,
    server: Arc<Server>,
    tracker: TaskTracker,
    stop: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut number = 0;
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            accepted = async {
                let place = Arc::clone(&places).acquire_owned().await.ok()?;
                Some((place, listener.accept().await))
            } => accepted,
        };
        let Some((place, accepted)) = accepted else {
            return;
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "no connection accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        number += 1;
        let (server, stop, tasks) = (Arc::clone(&server), stop.clone(), tracker.clone());
        drop(tracker.spawn(async move {
            connection(stream, number, protocols, server, tasks, stop).await;
            drop(place);
        }));
    }
}

async fn connection(
    stream: TcpStream,
    number: u64,
    protocols: Protocols,
    server: Arc<Server>,
    tracker: TaskTracker,
    stop: CancellationToken,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection was gone before it began");
        return;
    }
    server.recorder.connection_opened();
    let abort = Arc::new(Abort::default());
    let leg = Leg { stream, abort: Arc::clone(&abort) };
    let mut builder = auto::Builder::new(Tracked(tracker));
    builder.http1().max_buf_size(HEAD_BYTES_MAX).header_read_timeout(None);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(H2_STREAMS_MAX)
        .max_header_list_size(HEAD_BYTES_MAX as u32);
    let builder = match protocols {
        Protocols::Both => builder,
        Protocols::H2Only => builder.http2_only(),
    };
    let recorder = Arc::clone(&server.recorder);
    let watched = Arc::clone(&abort);
    let service = service_fn(move |request| {
        let (server, abort) = (Arc::clone(&server), Arc::clone(&abort));
        async move { server.serve(request, number, abort).await }
    });
    let served = builder.serve_connection_with_upgrades(TokioIo::new(leg), service);
    tokio::select! {
        biased;
        () = watched.token.cancelled() => {}
        () = stop.cancelled() => {}
        ended = served => {
            if let Err(error) = ended {
                tracing::debug!(error, number, "a connection ended early");
            }
        }
    }
    recorder.connection_closed();
}
