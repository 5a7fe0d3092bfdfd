//! Each of the three walls between the kinds of certificate, with the other two taken away.

use super::*;
use crate::key::PrivateKey;
use crate::leaf::{self, Ca, Making};
use rcgen::Issuer;
use weft_proto::entropy::SeededEntropy;
use weft_proto::time::{SystemClock, Timestamp};

#[derive(Debug)]
struct TrustAll;

impl AgentTrust for TrustAll {
    fn verdict(&self, _agent: AgentId, _spki: SpkiHash) -> Verdict {
        Verdict::Trusted
    }
}

struct Mesh {
    entropy: SeededEntropy,
    hub: HubId,
    agent: AgentId,
    node_ca: (CertificateDer<'static>, PrivateKey),
    agent_ca: (CertificateDer<'static>, PrivateKey),
    leaf_key: PrivateKey,
}

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

fn unix_now() -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(NOW.as_secs()))
}

impl Mesh {
    fn new() -> Self {
        let entropy = SeededEntropy::new(5);
        let hub = HubId::generate(&SystemClock, &entropy);
        let agent = AgentId::generate(&SystemClock, &entropy);
        let making = Making { now: NOW, entropy: &entropy };
        let make = |kind| {
            let key = PrivateKey::generate_ed25519(&entropy);
            (leaf::authority(kind, &key, making).unwrap(), key)
        };
        let (node_ca, agent_ca) = (make(Ca::Node(hub)), make(Ca::Agent(hub)));
        let leaf_key = PrivateKey::generate_ed25519(&entropy);
        Self { entropy, hub, agent, node_ca, agent_ca, leaf_key }
    }

    fn making(&self) -> Making<'_> {
        Making { now: NOW, entropy: &self.entropy }
    }

    /// A node's certificate, issued by whichever authority.
    fn node(&self, (cert, key): &(CertificateDer<'static>, PrivateKey)) -> CertificateDer<'static> {
        let issuer = Issuer::from_ca_cert_der(cert, key).unwrap();
        leaf::node(self.hub, &self.leaf_key, &issuer, self.making()).unwrap()
    }

    /// An agent's certificate, issued by whichever authority.
    fn agent(
        &self,
        (cert, key): &(CertificateDer<'static>, PrivateKey),
    ) -> CertificateDer<'static> {
        let issuer = Issuer::from_ca_cert_der(cert, key).unwrap();
        leaf::agent(self.agent, &self.leaf_key, &issuer, self.making()).unwrap()
    }

    fn hub_accepts(&self, cert: &CertificateDer<'_>) -> Result<ClientCertVerified, Error> {
        AgentVerifier::new(&self.agent_ca.0, Arc::new(TrustAll)).unwrap().verify_client_cert(
            cert,
            &[],
            unix_now(),
        )
    }

    fn agent_accepts(
        &self,
        cert: &CertificateDer<'_>,
        issuer: &CertificateDer<'static>,
        pinned: &CertificateDer<'_>,
    ) -> Result<ServerCertVerified, Error> {
        let pin = SpkiHash::of_cert(pinned).unwrap();
        HubVerifier::new(Pins { current: pin, next: pin }, self.hub).verify_server_cert(
            cert,
            std::slice::from_ref(issuer),
            &server_name(self.hub),
            &[],
            unix_now(),
        )
    }
}

fn cause<T>(result: Result<T, Error>) -> CertificateError {
    match result.map(drop) {
        Err(Error::InvalidCertificate(cause)) => cause,
        other => panic!("wanted a refused certificate, got {other:?}"),
    }
}

#[test]
fn each_kind_passes_at_its_own_door() {
    let mesh = Mesh::new();
    mesh.hub_accepts(&mesh.agent(&mesh.agent_ca)).unwrap();
    mesh.agent_accepts(&mesh.node(&mesh.node_ca), &mesh.node_ca.0, &mesh.node_ca.0).unwrap();
}

#[test]
fn another_authority_is_refused_though_usage_and_name_fit() {
    let mesh = Mesh::new();
    let foreign = Mesh { entropy: SeededEntropy::new(6), ..Mesh::new() };
    let key = PrivateKey::generate_ed25519(&foreign.entropy);
    let other = (leaf::authority(Ca::Agent(mesh.hub), &key, foreign.making()).unwrap(), key);
    let reason = cause(mesh.hub_accepts(&mesh.agent(&other)));
    assert!(
        matches!(reason, CertificateError::BadSignature | CertificateError::UnknownIssuer),
        "{reason:?}"
    );
    let reason = cause(mesh.agent_accepts(&mesh.node(&mesh.node_ca), &mesh.node_ca.0, &other.0));
    assert_eq!(reason, CertificateError::UnknownIssuer);
}

#[test]
fn a_copied_authority_certificate_does_not_lend_its_pin_to_another_key() {
    let mesh = Mesh::new();
    let forger = PrivateKey::generate_ed25519(&SeededEntropy::new(99));
    let forged = mesh.node(&(mesh.node_ca.0.clone(), forger));
    let reason = cause(mesh.agent_accepts(&forged, &mesh.node_ca.0, &mesh.node_ca.0));
    assert_eq!(reason, CertificateError::BadSignature);
}

#[test]
fn another_usage_is_refused_though_the_authority_is_trusted() {
    let mesh = Mesh::new();
    // A node authority without constraints would issue this; usage alone must refuse it.
    let agent_by_node_ca = mesh.agent(&mesh.node_ca);
    let reason = cause(mesh.agent_accepts(&agent_by_node_ca, &mesh.node_ca.0, &mesh.node_ca.0));
    assert_eq!(reason, CertificateError::InvalidPurpose);
    let node_by_agent_ca = mesh.node(&mesh.agent_ca);
    let reason = cause(mesh.hub_accepts(&node_by_agent_ca));
    assert_eq!(reason, CertificateError::InvalidPurpose);
}

#[test]
fn an_agent_authority_can_name_no_host_even_with_the_right_usage() {
    let mesh = Mesh::new();
    let leaf = mesh.node(&mesh.agent_ca);
    let reason = cause(mesh.agent_accepts(&leaf, &mesh.agent_ca.0, &mesh.agent_ca.0));
    assert_eq!(reason, CertificateError::NotValidForName);
}

#[test]
fn another_hub_of_the_same_authority_is_refused_by_name() {
    let mesh = Mesh::new();
    let other = HubId::generate(&SystemClock, &SeededEntropy::new(8));
    let issuer = Issuer::from_ca_cert_der(&mesh.node_ca.0, &mesh.node_ca.1).unwrap();
    let leaf = leaf::node(other, &mesh.leaf_key, &issuer, mesh.making()).unwrap();
    let reason = cause(mesh.agent_accepts(&leaf, &mesh.node_ca.0, &mesh.node_ca.0));
    assert_eq!(reason, CertificateError::NotValidForName);
}

#[test]
fn an_authority_itself_and_a_pile_of_certificates_are_refused() {
    let mesh = Mesh::new();
    let ca = &mesh.node_ca.0;
    assert_eq!(cause(mesh.agent_accepts(ca, ca, ca)), CertificateError::UnknownIssuer);
    let leaf = mesh.agent(&mesh.agent_ca);
    let pile = vec![mesh.agent_ca.0.clone(); MAX_PEER_INTERMEDIATES + 1];
    let verifier = AgentVerifier::new(&mesh.agent_ca.0, Arc::new(TrustAll)).unwrap();
    let reason = cause(verifier.verify_client_cert(&leaf, &pile, unix_now()));
    assert_eq!(reason, CertificateError::BadEncoding);
}

#[test]
fn no_flipped_byte_of_a_certificate_passes() {
    let mesh = Mesh::new();
    let good = mesh.agent(&mesh.agent_ca);
    for place in 0..good.len() {
        let mut bytes = good.to_vec();
        bytes[place] ^= 0x01;
        assert!(mesh.hub_accepts(&bytes.into()).is_err(), "byte {place}");
    }
}
