//! A UDP socket that can be cut off: what is sent from then on goes nowhere, what arrives is not
//! seen. The other end hears nothing of it, as when a machine loses its network.

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, Runtime, TokioRuntime, UdpPoller};
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use weft_transport::endpoint::Udp;

/// Cuts off the sockets that were made with it.
#[derive(Debug, Clone, Default)]
pub(super) struct Cut(Arc<AtomicBool>);

impl Cut {
    /// From now on they carry nothing.
    pub(super) fn off(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn is_off(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Puts `socket` under this cut.
    pub(super) fn over(&self, socket: std::net::UdpSocket) -> io::Result<Udp> {
        let socket = TokioRuntime.wrap_udp_socket(socket)?;
        Ok(Udp::Abstract(Arc::new(CutSocket { socket, cut: self.clone() })))
    }
}

#[derive(Debug)]
struct CutSocket {
    socket: Arc<dyn AsyncUdpSocket>,
    cut: Cut,
}

impl AsyncUdpSocket for CutSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.socket).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        if self.cut.is_off() { Ok(()) } else { self.socket.try_send(transmit) }
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        loop {
            let received = std::task::ready!(self.socket.poll_recv(cx, bufs, meta));
            if received.is_err() || !self.cut.is_off() {
                return Poll::Ready(received);
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn max_receive_segments(&self) -> usize {
        self.socket.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.socket.may_fragment()
    }
}
