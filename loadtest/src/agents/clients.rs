//! The few sockets over which all agents of a run go, and the settings of their connections.

use super::cut::Cut;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Endpoint, IdleTimeout, TransportConfig, VarInt};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use weft_proto::codes::CloseCode;
use weft_proto::entropy::{Entropy, OsEntropy};
use weft_proto::limits::{IDLE_MAX, KEEP_ALIVE, KEEP_ALIVE_JITTER_PERCENT, UNI_STREAMS};
use weft_transport::{close, endpoint};

/// How long closed connections may take to say so.
const GOODBYE_MAX: Duration = Duration::from_secs(3);

/// Receive window of a stream of an agent that is not slow, in bytes.
pub(super) const STREAM_BYTES: u32 = 64 * 1_024;

/// The sockets of a run.
#[derive(Debug)]
pub(super) struct Clients {
    sockets: usize,
    from: IpAddr,
    set: Mutex<Set>,
}

#[derive(Debug)]
struct Set {
    endpoints: Vec<Endpoint>,
    cut: Cut,
}

impl Set {
    fn bind(sockets: usize, from: IpAddr) -> io::Result<Self> {
        let cut = Cut::default();
        let endpoints = (0..sockets)
            .map(|_| match endpoint::bind_udp(SocketAddr::new(from, 0))?.0 {
                endpoint::Udp::System(socket) => endpoint::agent(cut.over(socket)?, &OsEntropy),
                udp @ endpoint::Udp::Abstract(_) => endpoint::agent(udp, &OsEntropy),
            })
            .collect::<io::Result<_>>()?;
        Ok(Self { endpoints, cut })
    }
}

/// The address of this machine from which `hub` can be reached.
pub(super) fn here(hub: SocketAddr) -> IpAddr {
    match (hub.ip(), hub.ip().is_loopback()) {
        (IpAddr::V4(_), true) => Ipv4Addr::LOCALHOST.into(),
        (IpAddr::V4(_), false) => Ipv4Addr::UNSPECIFIED.into(),
        (IpAddr::V6(_), true) => Ipv6Addr::LOCALHOST.into(),
        (IpAddr::V6(_), false) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

impl Clients {
    /// Binds so many sockets, from which `hub` can be reached.
    ///
    /// # Errors
    /// Those of the operating system.
    pub(super) fn bind(sockets: usize, hub: SocketAddr) -> io::Result<Self> {
        let from = here(hub);
        Ok(Self { sockets, from, set: Mutex::new(Set::bind(sockets, from)?) })
    }

    /// Where the agent with this number dials from.
    ///
    /// # Errors
    /// Never, for there is at least one socket; said as an error rather than a panic.
    pub(super) fn endpoint(&self, number: usize) -> io::Result<Endpoint> {
        let set = self.set.lock().unwrap_or_else(PoisonError::into_inner);
        let at = number.checked_rem(set.endpoints.len()).unwrap_or(0);
        set.endpoints.get(at).cloned().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// All connections are lost at once, and the hub hears nothing of it. New ones go from other
    /// sockets.
    ///
    /// # Errors
    /// Those of the operating system: nothing was cut then.
    pub(super) fn cut_off(&self) -> io::Result<()> {
        let fresh = Set::bind(self.sockets, self.from)?;
        let old = {
            let mut set = self.set.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *set, fresh)
        };
        old.cut.off();
        for endpoint in &old.endpoints {
            close::endpoint(endpoint, CloseCode::Internal);
        }
        Ok(())
    }

    /// Closes all connections, and waits a moment until the hub can have heard of it.
    pub(super) async fn close(&self) {
        let endpoints = {
            let set = self.set.lock().unwrap_or_else(PoisonError::into_inner);
            set.endpoints.clone()
        };
        for endpoint in &endpoints {
            close::endpoint(endpoint, CloseCode::Done);
        }
        let idle = async {
            for endpoint in &endpoints {
                endpoint.wait_idle().await;
            }
        };
        drop(tokio::time::timeout(GOODBYE_MAX, idle).await);
    }
}

/// quinn's settings for a light agent: those of an agent, but for the windows and streams that it
/// grants, which cost memory here. They make no difference to what an idle hub holds.
///
/// # Errors
/// Where `tls` is not fit for QUIC.
pub(super) fn light(
    tls: rustls::ClientConfig,
    streams: u32,
    stream_bytes: u32,
    entropy: &dyn Entropy,
) -> Result<ClientConfig, quinn::crypto::rustls::NoInitialCipherSuite> {
    let spread = KEEP_ALIVE * KEEP_ALIVE_JITTER_PERCENT / 100;
    let keep_alive = KEEP_ALIVE - spread + entropy.duration_below(spread * 2);
    let window = u64::from(streams + 2 * UNI_STREAMS) * u64::from(stream_bytes);
    let mut transport = TransportConfig::default();
    transport
        .stream_receive_window(VarInt::from_u32(stream_bytes))
        .receive_window(VarInt::from_u64(window).unwrap_or(VarInt::MAX))
        .max_concurrent_bidi_streams(VarInt::from_u32(streams))
        .max_concurrent_uni_streams(VarInt::from_u32(UNI_STREAMS))
        .max_idle_timeout(IdleTimeout::try_from(IDLE_MAX).ok())
        .keep_alive_interval(Some(keep_alive))
        .datagram_receive_buffer_size(None)
        .datagram_send_buffer_size(0)
        .allow_spin(false);
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
    config.transport_config(Arc::new(transport));
    Ok(config)
}
