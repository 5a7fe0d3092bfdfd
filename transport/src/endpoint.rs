//! UDP sockets and QUIC endpoints, over the system's network or a simulated one.

use crate::batch::Batching;
use crate::ids::HubIds;
use aws_lc_rs::hmac;
use quinn::{AsyncUdpSocket, Endpoint, EndpointConfig, Runtime};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use weft_proto::entropy::Entropy;

/// Size asked for both buffers of a UDP socket, in bytes. The system may give less.
const UDP_BUFFER_BYTES: usize = 8 * 1024 * 1024;

/// Shortest time between two stateless resets: none. A restarted hub owes one to each of its agents,
/// and quinn gives all packets that it reads in one turn the same moment, so that any interval would
/// leave all but the first of a turn without an answer. Each reset is shorter than the packet it
/// answers, which must bear one of the hub's own ids: nothing can be amplified, or go round, by them.
const RESET_INTERVAL_MIN: Duration = Duration::ZERO;

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
    let ids = HubIds::new(&key, entropy);
    let mut endpoint = EndpointConfig::new(Arc::new(key));
    endpoint.cid_generator(move || Box::new(ids.clone())).min_reset_interval(RESET_INTERVAL_MIN);
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

#[cfg(test)]
mod tests {
    use super::*;
    use quinn_proto::ConnectionIdGenerator;
    use std::net::Ipv4Addr;
    use weft_certs::{AgentTrust, Authority, SpkiHash, Verdict};
    use weft_proto::entropy::OsEntropy;
    use weft_proto::ids::{AgentId, HubId};
    use weft_proto::time::SystemClock;

    /// As many packets lie in the new socket before anybody reads it.
    const PACKETS: usize = 12;
    /// Size of each: more than the shortest that is answered.
    const PACKET_BYTES: usize = 40;
    const KEY: [u8; 32] = [7; 32];

    #[derive(Debug)]
    struct Nobody;

    impl AgentTrust for Nobody {
        fn verdict(&self, _: AgentId, _: SpkiHash) -> Verdict {
            Verdict::Revoked
        }
    }

    fn server() -> quinn::ServerConfig {
        let folder = tempfile::tempdir().unwrap();
        let hub = HubId::generate(&SystemClock, &OsEntropy);
        let names = ["hub.example".to_owned()];
        let dir = folder.path().join("certs");
        let authority = Authority::create(&dir, hub, &names, &SystemClock, &OsEntropy).unwrap();
        let tls = authority.agents_door(Arc::new(Nobody), Arc::new(SystemClock)).unwrap();
        crate::config::hub(Arc::new(tls)).unwrap()
    }

    /// What an agent sends that does not know yet that its hub has died.
    fn stray() -> [u8; PACKET_BYTES] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &KEY);
        let id = HubIds::new(&key, &OsEntropy).generate_cid();
        let mut packet = [0; PACKET_BYTES];
        packet[0] = 0b0100_0000;
        packet[1..=id.len()].copy_from_slice(&id);
        packet
    }

    #[tokio::test]
    async fn a_restarted_hub_resets_whatever_it_finds_in_its_socket_in_one_turn() {
        let server = server();
        let (udp, _) = bind_udp(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let Udp::System(socket) = &udp else { unreachable!("a system's socket was bound") };
        let hub = socket.local_addr().unwrap();
        let agents = tokio::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        for _ in 0..PACKETS {
            assert_eq!(agents.send_to(&stray(), hub).await.unwrap(), PACKET_BYTES);
        }
        let endpoint = super::hub(udp, server, &KEY, &OsEntropy).unwrap();
        let mut answer = [0; PACKET_BYTES];
        for which in 0..PACKETS {
            let came = tokio::time::timeout(Duration::from_secs(30), agents.recv(&mut answer));
            let bytes = came.await.unwrap_or_else(|_| panic!("no reset {which}")).unwrap();
            assert!(bytes < PACKET_BYTES, "an answer is shorter than what it answers");
        }
        drop(endpoint);
    }
}
