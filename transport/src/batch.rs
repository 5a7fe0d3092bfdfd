//! How many datagrams one connection hands to the system at a time.
//!
//! quinn builds up to ten datagrams in one buffer and keeps that buffer for as long as the
//! connection lives: 12 to 15 KiB, which a handshake's few datagrams make every idle tunnel pay
//! for. Here a connection sends its datagrams one by one until it has several times had many to send
//! in one go; from then on it sends in batches, for it is one that carries bulk.
//!
//! ```text
//!  [`Batching`] runs each task of quinn with a [`Batch`] of its own
//!  [`BatchingSocket`] asks the batch of the task that runs: how many at a time? and tells it of each
//!  datagram that goes
//! ```
//! It never holds a datagram back.

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncTimer, AsyncUdpSocket, Runtime, TokioRuntime, UdpPoller};
use std::cell::Cell;
use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

/// Datagrams in one go from which on they count as bulk.
const MANY_DATAGRAMS: usize = 6;

/// Such datagrams of a connection from which on it sends in batches: far more than the flights of a
/// handshake and a price book have.
const BULK_DATAGRAMS: usize = 64;

tokio::task_local! {
    /// The batch of the task of quinn that runs.
    static BATCH: Batch;
}

/// What is known of one connection.
#[derive(Debug, Default)]
struct Batch {
    /// Datagrams since it was last asked how many may go at a time.
    sent: Cell<usize>,
    /// Those of them that went with many others.
    bulk: Cell<usize>,
}

impl Batch {
    /// How many datagrams the connection may build at a time, where the socket takes `max`. quinn
    /// asks each time it begins to send.
    fn at_a_time(&self, max: usize) -> usize {
        let sent = self.sent.take();
        if sent >= MANY_DATAGRAMS {
            self.bulk.set(self.bulk.get().saturating_add(sent));
        }
        if self.bulk.get() >= BULK_DATAGRAMS { max } else { 1 }
    }

    fn sent(&self, datagrams: usize) {
        self.sent.set(self.sent.get().saturating_add(datagrams));
    }
}

/// tokio, with a batch for each task of quinn.
#[derive(Debug)]
pub(crate) struct Batching;

impl Runtime for Batching {
    fn new_timer(&self, at: Instant) -> Pin<Box<dyn AsyncTimer>> {
        TokioRuntime.new_timer(at)
    }

    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        TokioRuntime.spawn(Box::pin(BATCH.scope(Batch::default(), future)));
    }

    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        Ok(Arc::new(BatchingSocket(TokioRuntime.wrap_udp_socket(socket)?)))
    }

    fn now(&self) -> Instant {
        TokioRuntime.now()
    }
}

/// A socket of the system whose batches depend on who sends.
#[derive(Debug)]
struct BatchingSocket(Arc<dyn AsyncUdpSocket>);

impl AsyncUdpSocket for BatchingSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.0).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.0.try_send(transmit)?;
        let size = transmit.segment_size.unwrap_or(transmit.contents.len()).max(1);
        // A task that is none of quinn's own has no batch, and needs none.
        BATCH.try_with(|batch| batch.sent(transmit.contents.len().div_ceil(size))).unwrap_or(());
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_recv(cx, bufs, meta)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        let max = self.0.max_transmit_segments();
        BATCH.try_with(|batch| batch.at_a_time(max)).unwrap_or(max)
    }

    fn max_receive_segments(&self) -> usize {
        self.0.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.0.may_fragment()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_sends_in_batches_once_it_has_carried_bulk() {
        let batch = Batch::default();
        for _ in 0..100 {
            assert_eq!(batch.at_a_time(10), 1);
            batch.sent(MANY_DATAGRAMS - 1);
        }
        for sent in (0..BULK_DATAGRAMS).step_by(MANY_DATAGRAMS) {
            assert_eq!(batch.at_a_time(10), 1, "after {sent}");
            (0..MANY_DATAGRAMS).for_each(|_| batch.sent(1));
        }
        assert_eq!(batch.at_a_time(10), 10);
        assert_eq!(batch.at_a_time(10), 10, "it stays one that carries bulk");
    }

    #[tokio::test]
    async fn a_socket_without_a_task_of_quinn_keeps_to_the_systems_batches() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket.set_nonblocking(true).expect("a socket");
        let bare = TokioRuntime.wrap_udp_socket(socket.try_clone().expect("twice")).expect("tokio");
        let socket = Batching.wrap_udp_socket(socket).expect("tokio");
        assert_eq!(socket.max_transmit_segments(), bare.max_transmit_segments());
        let inside = BATCH.sync_scope(Batch::default(), || socket.max_transmit_segments());
        assert_eq!(inside, 1);
    }
}
