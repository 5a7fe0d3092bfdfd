//! Real TLS handshakes in memory: who gets in at the agents' door, and which hub an agent accepts.

use crate::world::{Meeting, World, cert_error, pem_server};
use rustls::client::Resumption;
use rustls::{AlertDescription, CertificateError, Error, HandshakeKind, ProtocolVersion};
use std::time::Duration;
use weft_certs::{
    AGENT_LIFETIME, ALPN_JOIN, ALPN_TUNNEL, Authority, BACKDATE, HUB_LEAF_LIFETIME, Pins, SpkiHash,
    Verdict, agent_of, join_tls, server_name, tunnel_tls,
};
use weft_proto::entropy::OsEntropy;
use weft_proto::ids::HubId;

#[test]
fn a_trusted_agent_and_its_hub_meet_on_tls13_under_the_tunnel_protocol() {
    let world = World::new();
    let met = world.dial(world.tunnel()).both();
    assert_eq!(met.server.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    assert_eq!(met.server.alpn_protocol(), Some(ALPN_TUNNEL));
    assert_eq!(met.client.alpn_protocol(), Some(ALPN_TUNNEL));
    let peer = agent_of(met.server.peer_certificates().unwrap()).unwrap();
    assert_eq!(peer.agent, world.identity.agent());
    assert_eq!(peer.spki, world.identity.key().spki_hash());
    assert_eq!(peer.not_after, world.identity.not_after());
}

#[test]
fn joining_needs_no_certificate() {
    let world = World::new();
    let met = world.dial(world.join()).both();
    assert_eq!(met.server.alpn_protocol(), Some(ALPN_JOIN));
    assert!(met.server.peer_certificates().is_none());
}

#[test]
fn a_hub_with_another_authority_is_refused_and_nothing_was_sent() {
    let (world, other) = (World::new(), World::new());
    let wrong = tunnel_tls(other.authority.pins(), world.hub(), &world.identity, world.clock());
    let met = world.dial(wrong.unwrap());
    assert_eq!(cert_error(met.client), CertificateError::UnknownIssuer);
    assert_eq!(met.server.unwrap_err(), Error::AlertReceived(AlertDescription::UnknownCA));
    let wrong = join_tls(other.authority.pins(), world.hub(), world.clock()).unwrap();
    assert_eq!(cert_error(world.dial(wrong).client), CertificateError::UnknownIssuer);
}

#[test]
fn either_pin_alone_is_enough() {
    let world = World::new();
    let stranger = SpkiHash::from_bytes([1; 32]);
    let real = world.authority.pins().current;
    for pins in [Pins { current: real, next: stranger }, Pins { current: stranger, next: real }] {
        let client = tunnel_tls(pins, world.hub(), &world.identity, world.clock()).unwrap();
        world.dial(client).both();
    }
}

#[test]
fn agents_with_old_pins_stay_connected_through_one_change_of_authority_and_not_two() {
    let mut world = World::new();
    let old = world.authority.pins();
    let rotate = |world: &World| {
        Authority::rotate_node_ca(&world.dir(), &*world.clock(), &OsEntropy).unwrap()
    };
    world.authority = rotate(&world);
    assert_eq!(world.authority.pins().current, old.next);
    assert!(!old.contains(&world.authority.pins().next));
    let client = || tunnel_tls(old, world.hub(), &world.identity, world.clock()).unwrap();
    world.dial(client()).both();
    let client = client();
    world.authority = rotate(&world);
    assert_eq!(cert_error(world.dial(client).client), CertificateError::UnknownIssuer);
}

#[test]
fn a_hub_under_another_id_is_refused() {
    let world = World::new();
    let other = HubId::generate(&*world.clock(), &OsEntropy);
    let client = || tunnel_tls(world.authority.pins(), other, &world.identity, world.clock());
    let met = world.dial_name(client().unwrap(), server_name(other));
    assert_eq!(cert_error(met.client), CertificateError::NotValidForName);
    // Dialling under the right name does not help: the configuration knows which hub it is for.
    let met = world.dial_name(client().unwrap(), server_name(world.hub()));
    assert_eq!(cert_error(met.client), CertificateError::NotValidForName);
}

#[test]
fn an_agent_cannot_pose_as_a_hub() {
    let world = World::new();
    let key = world.dir().join("agent.key");
    world.identity.key().save(&key).unwrap();
    // It shows its own certificate, alone, with its issuer, and with the pinned authority.
    for issuers in [&[][..], &["agent-ca.pem"], &["node-ca.pem"], &["agent-ca.pem", "node-ca.pem"]]
    {
        let chain = world.agent_chain_file(issuers);
        let met = Meeting::of(world.tunnel(), pem_server(&chain, &key), server_name(world.hub()));
        // Usage comes first; that issuer and name alone would do is proven beside the verifier.
        assert_eq!(cert_error(met.client), CertificateError::InvalidPurpose, "{issuers:?}");
    }
}

#[test]
fn a_node_cannot_pose_as_an_agent() {
    let world = World::new();
    let client = world.tunnel_with_pem("node.pem", "node.key");
    let met = world.dial(client);
    assert_eq!(cert_error(met.server), CertificateError::InvalidPurpose);
}

#[test]
fn a_revoked_an_unknown_and_a_rekeyed_agent_get_nothing() {
    let world = World::new();
    world.table.set(world.identity.agent(), world.identity.key().spki_hash(), Verdict::Revoked);
    assert_eq!(cert_error(world.dial(world.tunnel()).server), CertificateError::Revoked);
    world.table.set(world.identity.agent(), SpkiHash::from_bytes([9; 32]), Verdict::Trusted);
    let refused = CertificateError::ApplicationVerificationFailure;
    assert_eq!(cert_error(world.dial(world.tunnel()).server), refused);
    world.table.clear();
    assert_eq!(cert_error(world.dial(world.tunnel()).server), refused);
}

#[test]
fn an_agent_of_another_hub_is_refused_though_the_table_knows_its_name() {
    let (world, other) = (World::new(), World::new());
    world.table.set(other.identity.agent(), other.identity.key().spki_hash(), Verdict::Trusted);
    let client =
        tunnel_tls(world.authority.pins(), world.hub(), &other.identity, world.clock()).unwrap();
    assert_eq!(cert_error(world.dial(client).server), CertificateError::UnknownIssuer);
}

#[test]
fn an_agent_comes_in_until_its_certificate_ends_by_the_hubs_clock() {
    let world = World::new();
    world.clock.advance(AGENT_LIFETIME - Duration::from_secs(1));
    world.dial(world.tunnel()).both();
    assert!(world.identity.renewal_due(world.now()));
    world.clock.advance(Duration::from_secs(2));
    assert_eq!(cert_error(world.dial(world.tunnel()).server), CertificateError::Expired);
    // It may still knock at the joining door, without a certificate.
    world.dial(world.join()).both();
}

#[test]
fn an_expired_or_future_node_is_refused_by_the_agents_clock() {
    let world = World::new();
    world.clock.advance(HUB_LEAF_LIFETIME + Duration::from_secs(1));
    assert_eq!(cert_error(world.dial(world.join()).client), CertificateError::Expired);
    world.clock.set(world.started);
    world.dial(world.join()).both();
    world.clock.set(weft_proto::time::Timestamp::from_secs(
        world.started.as_secs() - BACKDATE.as_secs() - 1,
    ));
    assert_eq!(cert_error(world.dial(world.join()).client), CertificateError::NotValidYet);
}

#[test]
fn nothing_is_ever_given_out_that_could_be_resumed() {
    let world = World::new();
    let mut greedy = world.tunnel();
    greedy.resumption = Resumption::in_memory_sessions(8);
    greedy.enable_early_data = true;
    for _ in 0..3 {
        let mut met = world.dial(greedy.clone()).both();
        met.exchange(b"a byte each way, so that tickets would have come");
        assert_eq!(met.client.tls13_tickets_received(), 0);
        assert_eq!(met.client.handshake_kind(), Some(HandshakeKind::Full));
        assert_eq!(met.server.handshake_kind(), Some(HandshakeKind::Full));
        assert!(!met.client.is_early_data_accepted());
    }
    // A revocation between two connections of one client therefore always bites.
    world.table.set(world.identity.agent(), world.identity.key().spki_hash(), Verdict::Revoked);
    assert_eq!(cert_error(world.dial(greedy).server), CertificateError::Revoked);
}

#[test]
fn a_stranger_protocol_is_refused() {
    let world = World::new();
    let mut client = world.tunnel();
    client.alpn_protocols = vec![b"weft/999".to_vec()];
    let met = world.dial(client);
    assert_eq!(
        met.client.unwrap_err(),
        Error::AlertReceived(AlertDescription::NoApplicationProtocol)
    );
}
