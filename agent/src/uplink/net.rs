//! The network towards the hub: the seam that a simulation replaces.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Once;
use weft_transport::endpoint::{self, Udp};

/// Addresses on their way.
pub type ResolveFuture = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// Smallest UDP buffer that goes unmentioned, in bytes.
const BUFFER_UNMENTIONED: usize = 1024 * 1024;

/// Resolves hubs and binds UDP sockets towards them.
pub trait HubNet: fmt::Debug + Send + Sync {
    /// The addresses of a hub, best first.
    fn resolve(&self, host: &str, port: u16) -> ResolveFuture;

    /// A fresh socket from which `towards` can be reached.
    ///
    /// # Errors
    /// What the system said.
    fn bind(&self, towards: SocketAddr) -> io::Result<Udp>;
}

/// The machine's own network.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemNet;

impl HubNet for SystemNet {
    fn resolve(&self, host: &str, port: u16) -> ResolveFuture {
        let host = host.to_owned();
        Box::pin(async move { Ok(tokio::net::lookup_host((host.as_str(), port)).await?.collect()) })
    }

    fn bind(&self, towards: SocketAddr) -> io::Result<Udp> {
        static REPORT: Once = Once::new();
        let local: SocketAddr = if towards.is_ipv6() {
            (Ipv6Addr::UNSPECIFIED, 0).into()
        } else {
            (Ipv4Addr::UNSPECIFIED, 0).into()
        };
        let (udp, buffers) = endpoint::bind_udp(local)?;
        REPORT.call_once(|| {
            if buffers.receive.min(buffers.send) < BUFFER_UNMENTIONED {
                tracing::info!(
                    receive_bytes = buffers.receive,
                    send_bytes = buffers.send,
                    "the system gave small UDP buffers"
                );
            }
        });
        Ok(udp)
    }
}
