//! The simulated network: quinn's UDP and the agents' TCP over turmoil's.
//!
//! UDP datagrams are lost, doubled and delayed by the seed's own draws; latency and partitions are
//! turmoil's. TCP is left to turmoil, whose TCP has no retransmission to repair a loss with.

use super::dice::Dice;
use super::trace::Trace;
use futures_util::FutureExt;
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};
use std::fmt;
use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio_util::task::TaskTracker;
use weft_agent::uplink::{HubNet, ResolveFuture};
use weft_agent::upstream::{Dial, DialFuture, Io};
use weft_transport::endpoint::Udp;

/// Name of the hub's host.
pub(super) const HUB: &str = "hub";
/// UDP port of the agents' door.
pub(super) const HUB_PORT: u16 = 7443;
/// Name of the host of all providers.
pub(super) const PROVIDER: &str = "provider";

/// How late a late datagram is, milliseconds.
const LATE_MS: std::ops::Range<u64> = 1..150;

/// How bad the network is, in parts per thousand.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sky {
    /// Datagrams that are lost.
    pub(super) lost: u64,
    /// Datagrams that come twice.
    pub(super) doubled: u64,
    /// Datagrams that others overtake.
    pub(super) late: u64,
    /// Connections to providers that are refused.
    pub(super) refused: u64,
}

/// The network's state at the moment. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Weather(Arc<Mutex<Sky>>);

impl Weather {
    /// Changes it.
    pub(super) fn set(&self, sky: Sky) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = sky;
    }

    fn now(&self) -> Sky {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One host's way to the network.
#[derive(Debug, Clone)]
pub(super) struct HostNet {
    host: String,
    dice: Arc<Dice>,
    weather: Weather,
    trace: Trace,
}

impl HostNet {
    /// The network as `host` sees it in its `life`th life.
    pub(super) fn new(seed: u64, host: &str, life: u64, weather: Weather, trace: Trace) -> Self {
        Self {
            host: host.to_owned(),
            dice: Arc::new(Dice::new(seed, &format!("{host}/{life}/net"))),
            weather,
            trace,
        }
    }

    /// Binds a UDP socket. Must be called inside the simulated host.
    pub(super) fn bind(&self, port: u16) -> io::Result<Udp> {
        let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        // turmoil's `bind` is async for likeness only: it never waits.
        let socket = turmoil::net::UdpSocket::bind(address)
            .now_or_never()
            .ok_or_else(|| io::Error::other("the simulated bind waited"))??;
        Ok(Udp::Abstract(Arc::new(SimSocket {
            socket: Arc::new(socket),
            readable: Mutex::new(None),
            net: self.clone(),
            late: TaskTracker::new(),
        })))
    }
}

impl HubNet for HostNet {
    fn resolve(&self, host: &str, port: u16) -> ResolveFuture {
        let address: IpAddr = turmoil::lookup(host);
        Box::pin(async move { Ok(vec![SocketAddr::from((address, port))]) })
    }

    fn bind(&self, _towards: SocketAddr) -> io::Result<Udp> {
        Self::bind(self, 0)
    }
}

/// Dials the host of all providers, whatever loopback address the simulated table names: the port
/// says which of them is meant.
#[derive(Debug, Clone)]
pub(super) struct ProviderDial(pub(super) HostNet);

impl Dial for ProviderDial {
    fn dial(&self, _host: &str, port: u16) -> DialFuture {
        let HostNet { host, dice, weather, trace } = &self.0;
        let refused = dice.within(0..1_000) < weather.now().refused;
        trace.event(host, format_args!("dials {port}, refused: {refused}"));
        Box::pin(async move {
            if refused {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            let stream = turmoil::net::TcpStream::connect((PROVIDER, port)).await?;
            Ok(Box::new(stream) as Box<dyn Io>)
        })
    }
}

type Readable = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

/// A UDP socket for quinn.
struct SimSocket {
    socket: Arc<turmoil::net::UdpSocket>,
    /// The wait for the next datagram, while there is one.
    readable: Mutex<Option<Readable>>,
    net: HostNet,
    /// Datagrams that are late.
    late: TaskTracker,
}

impl fmt::Debug for SimSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimSocket").field("host", &self.net.host).finish_non_exhaustive()
    }
}

impl SimSocket {
    fn send_late(&self, contents: &[u8], to: SocketAddr) {
        let (socket, contents) = (Arc::clone(&self.socket), contents.to_vec());
        let after = self.net.dice.millis(LATE_MS);
        drop(self.late.spawn(async move {
            tokio::time::sleep(after).await;
            // A network that loses what it cannot carry tells nobody.
            drop(socket.try_send_to(&contents, to));
        }));
    }
}

impl AsyncUdpSocket for SimSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(AlwaysWritable)
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let Sky { lost, doubled, late, .. } = self.net.weather.now();
        let (fate, to) = (self.net.dice.within(0..1_000), transmit.destination);
        let bytes = transmit.contents.len();
        let fell = |fate_is: &str| {
            self.net.trace.event(&self.net.host, format_args!("udp {to} {bytes} {fate_is}"));
        };
        if fate < lost {
            fell("lost");
            return Ok(());
        }
        if fate < lost + late {
            fell("late");
            self.send_late(transmit.contents, to);
            return Ok(());
        }
        if fate < lost + late + doubled {
            fell("doubled");
            self.send_late(transmit.contents, to);
        } else {
            fell("sent");
        }
        // Errors of a single datagram are the network's, not the socket's.
        drop(self.socket.try_send_to(transmit.contents, to));
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let (Some(buf), Some(meta)) = (bufs.first_mut(), meta.first_mut()) else {
            return Poll::Ready(Ok(0));
        };
        let mut readable = self.readable.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let waiting = readable.get_or_insert_with(|| {
                let socket = Arc::clone(&self.socket);
                Box::pin(async move { socket.readable().await })
            });
            std::task::ready!(waiting.as_mut().poll(cx))?;
            *readable = None;
            match self.socket.try_recv_from(buf) {
                Ok((len, addr)) => {
                    *meta = RecvMeta { addr, len, stride: len, ecn: None, dst_ip: None };
                    return Poll::Ready(Ok(1));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn may_fragment(&self) -> bool {
        false
    }
}

/// The simulated network takes every datagram at once.
#[derive(Debug)]
struct AlwaysWritable;

impl UdpPoller for AlwaysWritable {
    fn poll_writable(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Latency of every link: least and most.
pub(super) const LATENCY: (Duration, Duration) =
    (Duration::from_millis(2), Duration::from_millis(40));
