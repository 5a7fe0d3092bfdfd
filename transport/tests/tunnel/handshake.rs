//! Who gets a tunnel, and what a connection that gets none learns.

use crate::world::{World, closed};
use rustls::client::Resumption;
use std::time::Duration;
use weft_certs::{ALPN_JOIN, ALPN_TUNNEL, agent_of};
use weft_proto::codes::CloseCode;
use weft_transport::Connection;
use weft_transport::stream::Lost;

fn protocol(connection: &Connection) -> Vec<u8> {
    connection
        .handshake_data()
        .and_then(|data| data.downcast::<quinn::crypto::rustls::HandshakeData>().ok())
        .and_then(|data| data.protocol)
        .unwrap()
}

fn chain(connection: &Connection) -> Option<Vec<rustls::pki_types::CertificateDer<'static>>> {
    let identity = connection.peer_identity()?;
    Some(*identity.downcast().unwrap())
}

#[tokio::test]
async fn an_agent_is_known_by_its_certificate() {
    let world = World::new();
    let tunnel = world.tunnel().await;
    assert_eq!(protocol(&tunnel.hub), ALPN_TUNNEL);
    assert_eq!(protocol(&tunnel.agent), ALPN_TUNNEL);
    let peer = agent_of(&chain(&tunnel.hub).unwrap()).unwrap();
    assert_eq!(peer.agent, world.identity.agent());
}

/// A resumed session would bring the certificate back without asking whether it is revoked.
#[tokio::test]
async fn every_connection_asks_the_verifier_again_and_none_sends_early_data() {
    let world = World::new();
    let hub = world.hub_at(0, [7; 32]).unwrap();
    let agent = World::agent_endpoint();
    let mut greedy = world.agent_tls();
    greedy.resumption = Resumption::in_memory_sessions(8);
    greedy.enable_early_data = true;
    for round in 1..=3 {
        let dialled = world.dial(&agent, hub.local_addr().unwrap(), greedy.clone());
        let Err(dialled) = dialled.into_0rtt() else {
            panic!("connection {round} could send early data");
        };
        let accepted = async { hub.accept().await.unwrap().await.unwrap() };
        let (dialled, accepted) = tokio::join!(dialled, accepted);
        let dialled = dialled.unwrap();
        assert_eq!(world.census.asked(), round, "the verifier was not asked");
        // A round trip of bytes, so that a ticket would have come.
        let (mut send, mut recv) = dialled.open_bi().await.unwrap();
        send.write_all(b"!").await.unwrap();
        let (mut back, mut came) = accepted.accept_bi().await.unwrap();
        came.read_exact(&mut [0]).await.unwrap();
        back.write_all(b"!").await.unwrap();
        recv.read_exact(&mut [0]).await.unwrap();
    }
}

#[tokio::test]
async fn a_hub_of_another_authority_is_refused_before_any_byte() {
    let (world, other) = (World::new(), World::new());
    let hub = world.hub_at(0, [7; 32]).unwrap();
    let agent = World::agent_endpoint();
    // The right hub id, but another's pins.
    let clock: std::sync::Arc<dyn weft_proto::time::Clock> =
        std::sync::Arc::new(weft_proto::time::SystemClock);
    let pins = other.authority.pins();
    let tls = weft_certs::tunnel_tls(pins, world.authority.hub(), &world.identity, clock).unwrap();
    let dialled = world.dial(&agent, hub.local_addr().unwrap(), tls);
    let accepted = async { hub.accept().await.unwrap().await };
    let (dialled, accepted) = tokio::join!(dialled, accepted);
    assert!(matches!(Lost::from(dialled.unwrap_err()), Lost::Failed(_)));
    assert!(accepted.is_err(), "a connection came about");
    assert_eq!(world.census.asked(), 0, "the agent showed its certificate");
}

/// The door closes such a connection at once; what it is told is a code, and that is all.
#[tokio::test]
async fn who_shows_no_certificate_on_the_tunnel_protocol_is_told_a_code_and_nothing_else() {
    let world = World::new();
    let mut tls = world.joining_tls();
    tls.alpn_protocols = vec![ALPN_TUNNEL.to_vec()];
    let tunnel = world.connect(tls).await;
    assert_eq!(protocol(&tunnel.hub), ALPN_TUNNEL);
    assert_eq!(chain(&tunnel.hub), None, "who is this");
    close(&tunnel.hub, CloseCode::NoCertificate);
    let code = Lost::ClosedByPeer(CloseCode::NoCertificate);
    assert_eq!(closed(&tunnel.agent).await, code);
    assert!(tunnel.agent.accept_bi().await.is_err() && tunnel.agent.accept_uni().await.is_err());
}

#[tokio::test]
async fn who_joins_speaks_the_joining_protocol_without_a_certificate() {
    let world = World::new();
    let tunnel = world.connect(world.joining_tls()).await;
    assert_eq!(protocol(&tunnel.hub), ALPN_JOIN);
    assert_eq!((chain(&tunnel.hub), world.census.asked()), (None, 0));
}

fn close(connection: &Connection, code: CloseCode) {
    let number = quinn::VarInt::from_u32(code.number());
    connection.close(number, code.reason().as_bytes());
}

#[tokio::test]
async fn every_close_code_arrives_whoever_closes() {
    let world = World::new();
    for code in CloseCode::ALL {
        for hub_closes in [true, false] {
            let tunnel = world.tunnel().await;
            let (closes, hears) = if hub_closes {
                (&tunnel.hub, &tunnel.agent)
            } else {
                (&tunnel.agent, &tunnel.hub)
            };
            close(closes, code);
            assert_eq!(closed(hears).await, Lost::ClosedByPeer(code));
            assert_eq!(closed(closes).await, Lost::ClosedHere);
        }
    }
}

#[tokio::test]
async fn nobody_can_dial_an_agent() {
    let world = World::new();
    let agent = World::agent_endpoint();
    let stranger = World::agent_endpoint();
    let dialled = world.dial(&stranger, agent.local_addr().unwrap(), world.agent_tls());
    let meeting = async { tokio::join!(dialled, agent.accept()) };
    let met = tokio::time::timeout(Duration::from_secs(1), meeting).await;
    assert!(met.is_err(), "an agent answered");
    assert_eq!(agent.open_connections(), 0);
}
