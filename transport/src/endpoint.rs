//! UDP sockets and QUIC endpoints, over the system's network or a simulated one.

use crate::batch::Batching;
use aws_lc_rs::hmac;
use quinn::{AsyncUdpSocket, Endpoint, EndpointConfig, Runtime};
use quinn_proto::HashedConnectionIdGenerator;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use weft_proto::entropy::Entropy;

/// Size asked for both buffers of a UDP socket, in bytes. The system may give less.
const UDP_BUFFER_BYTES: usize = 8 * 1024 * 1024;

/// Shortest time between two stateless resets. A restarted hub owes one to each of its agents, and
/// each is shorter than the packet it answers: nothing can be amplified by them.
const RESET_INTERVAL_MIN: Duration = Duration::from_millis(1);

/// What the key of the connection ids is derived for, from the reset key.
const CONNECTION_IDS: &[u8] = b"weft connection ids";

/// A UDP socket to build an endpoint on.
#[derive(Debug)]
pub enum Udp {
    /// A socket of the operating system.
    System(std::net::UdpSocket),
    /// Any other network; a simulation's.
    Abstract(Arc<dyn AsyncUdpSocket>),
}

/// What the operating system gave for the buffers asked, in bytes; to be reported once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UdpBuffers {
    /// Of the receiving side.
    pub receive: usize,
    /// Of the sending side.
    pub send: usize,
}

/// Binds a UDP socket and asks for large buffers. Getting smaller ones is no error.
///
/// # Errors
/// Those of the operating system: the address is taken, or not this machine's.
pub fn bind_udp(addr: SocketAddr) -> io::Result<(Udp, UdpBuffers)> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    // Refused sizes are clamped by most systems and an error on some; either way the size that is
    // in force is what counts.
    socket.set_recv_buffer_size(UDP_BUFFER_BYTES).unwrap_or_default();
    socket.set_send_buffer_size(UDP_BUFFER_BYTES).unwrap_or_default();
    socket.bind(&addr.into())?;
    let buffers =
        UdpBuffers { receive: socket.recv_buffer_size()?, send: socket.send_buffer_size()? };
    Ok((Udp::System(socket.into()), buffers))
}

/// Opens the hub's endpoint. `reset_key` must be the same after a restart: then an agent whose
/// packets arrive at the new process is told at once that its tunnel is gone.
///
/// # Errors
/// Those of the operating system.
pub fn hub(
    udp: Udp,
    config: quinn::ServerConfig,
    reset_key: &[u8; 32],
    entropy: &dyn Entropy,
) -> io::Result<Endpoint> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, reset_key);
    // A packet is answered by a stateless reset only where its connection id is one of this hub's:
    // the ids need a key that survives the restart just as the resets do.
    let id_key = hmac::sign(&key, CONNECTION_IDS)
        .as_ref()
        .iter()
        .take(8)
        .fold(0, |key, byte| key << 8 | u64::from(*byte));
    let mut endpoint = EndpointConfig::new(Arc::new(key));
    endpoint
        .cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(id_key)))
        .min_reset_interval(RESET_INTERVAL_MIN);
    seed(&mut endpoint, entropy);
    open(udp, endpoint, Some(config))
}

/// Opens an agent's endpoint, which accepts nothing.
///
/// # Errors
/// Those of the operating system.
pub fn agent(udp: Udp, entropy: &dyn Entropy) -> io::Result<Endpoint> {
    let mut reset_key = [0; 32];
    entropy.fill(&mut reset_key);
    let mut endpoint = EndpointConfig::new(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &reset_key)));
    seed(&mut endpoint, entropy);
    open(udp, endpoint, None)
}

fn seed(endpoint: &mut EndpointConfig, entropy: &dyn Entropy) {
    let mut seed = [0; 32];
    entropy.fill(&mut seed);
    endpoint.rng_seed(Some(seed));
}

fn open(
    udp: Udp,
    endpoint: EndpointConfig,
    server: Option<quinn::ServerConfig>,
) -> io::Result<Endpoint> {
    let runtime: Arc<dyn Runtime> = Arc::new(Batching);
    let socket = match udp {
        Udp::System(socket) => runtime.wrap_udp_socket(socket)?,
        Udp::Abstract(socket) => socket,
    };
    Endpoint::new_with_abstract_socket(endpoint, server, socket, runtime)
}
