//! A look at the hub over UDP that disturbs nobody: a handshake, a round trip, the path's MTU.
//!
//! It opens no stream. With `weft-join/1` it shows no identity, and with the agent's own it begins
//! no session, so that a running agent keeps its tunnel either way.

use super::identity::HubRecord;
use super::net::HubNet;
use super::tunnel::{ConnectError, Tunnel, connect};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use weft_certs::{AgentIdentity, HubAddress, join_tls, tunnel_tls};
use weft_proto::codes::CloseCode;
use weft_proto::entropy::Entropy;
use weft_proto::time::Clock;

/// The MTU that every path is taken to have, in bytes; what is above it has to be found.
pub const MTU_FLOOR: u16 = 1_200;
/// The largest MTU that is looked for, in bytes.
pub const MTU_CEILING: u16 = 1_452;
/// How long the search for the path's MTU is waited for.
const MTU_WAIT: Duration = Duration::from_secs(3);
/// How often it is looked at.
const MTU_LOOK: Duration = Duration::from_millis(50);
/// How long a hub that does not want this agent may take to say so, on top of the round trips.
const VERDICT_WAIT: Duration = Duration::from_millis(500);

/// What was seen of a path to the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// How long resolving and the handshake took.
    pub handshake: Duration,
    /// The round trip.
    pub round_trip: Duration,
    /// The largest datagram that the path is known to carry, in bytes.
    pub mtu: u16,
}

/// Shakes hands with the hub at `address`, as one who wants to join, and looks at the path.
///
/// # Errors
/// [`ConnectError`]: nobody there, or not the hub that is pinned.
///
/// # Cancel safety
/// Dropping it closes the connection.
pub async fn probe(
    record: &HubRecord,
    address: &HubAddress,
    net: &dyn HubNet,
    clock: Arc<dyn Clock>,
    entropy: &dyn Entropy,
) -> Result<Seen, ConnectError> {
    let tls = join_tls(record.pins, record.hub, clock).map_err(ConnectError::Tls)?;
    let began = Instant::now();
    let tunnel = at(record, address, tls, net, entropy).await?;
    let handshake = began.elapsed();
    let deadline = Instant::now() + MTU_WAIT;
    let mtu = |tunnel: &Tunnel| tunnel.connection().stats().path.current_mtu;
    while mtu(&tunnel) < MTU_CEILING && Instant::now() < deadline {
        tokio::time::sleep(MTU_LOOK).await;
    }
    let seen = Seen { handshake, round_trip: tunnel.connection().rtt(), mtu: mtu(&tunnel) };
    tunnel.close(CloseCode::Done).await;
    Ok(seen)
}

/// Shows the agent's certificate to the hub at `address`, and begins no session. `None` where the
/// hub lets it stand, otherwise why it does not.
///
/// # Errors
/// [`ConnectError`], as [`probe`].
///
/// # Cancel safety
/// Dropping it closes the connection.
pub async fn show(
    record: &HubRecord,
    address: &HubAddress,
    identity: &AgentIdentity,
    net: &dyn HubNet,
    clock: Arc<dyn Clock>,
    entropy: &dyn Entropy,
) -> Result<Option<String>, ConnectError> {
    let tls = tunnel_tls(record.pins, record.hub, identity, clock).map_err(ConnectError::Tls)?;
    let tunnel = at(record, address, tls, net, entropy).await?;
    // The client's end of a TLS 1.3 handshake is done before the hub has seen its certificate.
    let wait = VERDICT_WAIT + tunnel.connection().rtt() * 4;
    let closed = tokio::time::timeout(wait, tunnel.connection().closed()).await;
    let refused = closed.ok().map(|why| weft_transport::stream::Lost::from(why).to_string());
    tunnel.close(CloseCode::Done).await;
    Ok(refused)
}

async fn at(
    record: &HubRecord,
    address: &HubAddress,
    tls: rustls::ClientConfig,
    net: &dyn HubNet,
    entropy: &dyn Entropy,
) -> Result<Tunnel, ConnectError> {
    let one = HubRecord { addresses: vec![address.clone()], ..record.clone() };
    connect(&one, tls, net, entropy).await
}
