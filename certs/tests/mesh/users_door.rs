//! The users' door: an ordinary web server under the mesh's own or the operator's certificate.

use crate::world::{Meeting, World, cert_error, pem_server, read_chain};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::version::{TLS12, TLS13};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, Error, ProtocolVersion, RootCertStore,
    SupportedProtocolVersion,
};
use rustls_pki_types::ServerName;
use std::path::Path;
use std::sync::Arc;
use weft_certs::{DoorError, HUB_LEAF_LIFETIME, Renewed, users_door_from_pem};
use weft_proto::time::ManualClock;

/// A user's client that trusts the authority in one file.
fn user(ca: &Path, version: &'static SupportedProtocolVersion) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(read_chain(ca).swap_remove(0)).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

fn name(text: &'static str) -> ServerName<'static> {
    ServerName::try_from(text).unwrap()
}

#[test]
fn users_with_the_ca_file_reach_every_name_over_both_versions() {
    let world = World::new();
    let ca = world.authority.users_ca_path();
    assert_eq!(std::fs::read_to_string(&ca).unwrap(), world.authority.users_ca_pem());
    for host in ["localhost", "127.0.0.1", "::1", "hub.example", "192.0.2.7"] {
        for version in [&TLS12, &TLS13] {
            let door = world.authority.users_door().unwrap();
            let met = Meeting::of(user(&ca, version), door, name(host)).both();
            assert_eq!(met.client.alpn_protocol(), Some(&b"http/1.1"[..]), "{host}");
        }
    }
}

#[test]
fn the_ca_file_binds_host_names_and_leaves_addresses_to_clients_that_refuse_such_a_bond() {
    let world = World::new();
    let ca = read_chain(&world.authority.users_ca_path()).swap_remove(0);
    let (_, ca) = x509_parser::parse_x509_certificate(&ca).unwrap();
    let bond = ca.name_constraints().unwrap().expect("bound to names");
    assert!(bond.critical && bond.value.excluded_subtrees.is_none());
    let permitted = bond.value.permitted_subtrees.clone().unwrap();
    assert!(!permitted.is_empty());
    for subtree in permitted {
        assert!(
            matches!(subtree.base, x509_parser::extensions::GeneralName::DNSName(_)),
            "{:?}",
            subtree.base
        );
    }
}

#[test]
fn doors_that_stand_show_a_renewed_certificate_from_the_next_handshake_on() {
    let world = World::new();
    let ca = world.authority.users_ca_path();
    let shown = |door: &rustls::ServerConfig| {
        let met = Meeting::of(user(&ca, &TLS13), door.clone(), name("localhost")).both();
        met.client.peer_certificates().unwrap()[0].to_vec()
    };
    let users = world.authority.users_door().unwrap();
    let node = || world.dial(world.tunnel()).both().client.peer_certificates().unwrap()[0].to_vec();
    let (first_users, first_node) = (shown(&users), node());
    let mut standing = Meeting::of(user(&ca, &TLS13), users.clone(), name("localhost")).both();

    assert_eq!(
        world.authority.renew(&*world.clock).unwrap(),
        Renewed { node: false, users: false }
    );
    assert_eq!((shown(&users), node()), (first_users.clone(), first_node.clone()));
    // What a clock that is ahead has made is made again when the clock is right.
    let ahead = ManualClock::new(world.now().after(HUB_LEAF_LIFETIME / 3 * 2));
    assert_eq!(world.authority.renew(&ahead).unwrap(), Renewed { node: true, users: true });
    assert_eq!(world.authority.renew(&*world.clock).unwrap(), Renewed { node: true, users: true });
    assert_ne!(shown(&users), first_users);
    assert_ne!(node(), first_node);
    // A connection keeps what it began with.
    standing.exchange(b"still here");

    // What cannot be made anew leaves what was shown.
    std::fs::write(world.dir().join("users-ca.key"), "junk").unwrap();
    let before = shown(&users);
    let later = ManualClock::new(world.now().after(HUB_LEAF_LIFETIME / 3 * 2));
    assert!(world.authority.renew(&later).unwrap_err().to_string().contains("users-ca.key"));
    assert_eq!(shown(&users), before);
}

#[test]
fn h2_is_preferred() {
    let world = World::new();
    let mut client = user(&world.authority.users_ca_path(), &TLS13);
    client.alpn_protocols = vec![b"http/1.1".to_vec(), b"h2".to_vec()];
    let met = Meeting::of(client, world.authority.users_door().unwrap(), name("localhost")).both();
    assert_eq!(met.client.alpn_protocol(), Some(&b"h2"[..]));
    assert_eq!(met.client.protocol_version(), Some(ProtocolVersion::TLSv1_3));
}

#[test]
fn another_host_name_is_refused() {
    let world = World::new();
    let client = user(&world.authority.users_ca_path(), &TLS13);
    let met = Meeting::of(client, world.authority.users_door().unwrap(), name("api.openai.com"));
    assert_eq!(cert_error(met.client), CertificateError::NotValidForName);
}

#[test]
fn neither_an_agent_nor_a_node_can_pose_as_the_users_door() {
    let world = World::new();
    let agent_key = world.dir().join("agent.key");
    world.identity.key().save(&agent_key).unwrap();
    let agent_chain = world.agent_chain_file(&["agent-ca.pem", "ca.pem"]);
    let (node_chain, node_key) = (world.dir().join("node.pem"), world.dir().join("node.key"));
    for (chain, key, refused) in [
        (&agent_chain, &agent_key, CertificateError::InvalidPurpose),
        (&node_chain, &node_key, CertificateError::UnknownIssuer),
    ] {
        let client = user(&world.authority.users_ca_path(), &TLS13);
        let met = Meeting::of(client, pem_server(chain, key), name("localhost"));
        assert_eq!(cert_error(met.client), refused, "{chain:?}");
    }
    // Even a user who by mistake trusts the agents' authority is not fooled.
    let client = user(&world.dir().join("agent-ca.pem"), &TLS13);
    let met = Meeting::of(client, pem_server(&agent_chain, &agent_key), name("localhost"));
    assert_eq!(cert_error(met.client), CertificateError::InvalidPurpose);
}

#[test]
fn the_users_door_cannot_pose_as_a_node() {
    let world = World::new();
    let door = pem_server(&world.dir().join("users.pem"), &world.dir().join("users.key"));
    let met = Meeting::of(world.join(), door, weft_certs::server_name(world.hub()));
    // Agents take Ed25519 only, so the door cannot even show its certificate.
    assert_eq!(met.client.unwrap_err(), Error::AlertReceived(AlertDescription::HandshakeFailure));
}

#[test]
fn the_operators_own_chain_and_key_are_served() {
    let (world, operator) = (World::new(), World::new());
    let (chain, key) = (operator.dir().join("users.pem"), operator.dir().join("users.key"));
    let client = user(&operator.authority.users_ca_path(), &TLS13);
    Meeting::of(client, users_door_from_pem(&chain, &key).unwrap(), name("hub.example")).both();
    // The hub's own authority has no part in it.
    let client = user(&world.authority.users_ca_path(), &TLS13);
    let met = Meeting::of(client, users_door_from_pem(&chain, &key).unwrap(), name("localhost"));
    assert!(met.client.is_err());
}

#[test]
fn what_the_operator_mixed_up_is_named() {
    let (world, other) = (World::new(), World::new());
    let (chain, key) = (world.dir().join("users.pem"), other.dir().join("users.key"));
    let error = users_door_from_pem(&chain, &key).unwrap_err();
    assert!(matches!(error, DoorError::Unusable { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("users.pem") && text.contains("users.key"), "{text}");
    // The two files swapped.
    let (key, swapped) = (world.dir().join("users.key"), users_door_from_pem(&key, &chain));
    let text = swapped.unwrap_err().to_string();
    assert!(text.contains("users.key") && text.contains("no PEM certificate"), "{text} {key:?}");
}
