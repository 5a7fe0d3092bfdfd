//! What each certificate of a mesh says: one function per kind, and every lifetime.
//!
//! Three things keep the kinds apart, and each alone is enough: they come from different
//! authorities, they carry exactly one extended key usage, and their names live in different
//! forms (a hub id under `hub.weft`, an agent URI, host names). Authorities issue leaves only
//! (path length 0) and are bound to the names that they are for. Nothing here touches a file.

use crate::key::PrivateKey;
use crate::names::{HostName, agent_uri, node_dns_name};
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyUsagePurpose, NameConstraints,
    PublicKeyData, SanType, SerialNumber,
};
use rustls_pki_types::CertificateDer;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;
use weft_proto::entropy::Entropy;
use weft_proto::ids::{AgentId, HubId};
use weft_proto::time::Timestamp;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long an authority's own certificate lives: ten years.
pub const CA_LIFETIME: Duration = DAY.saturating_mul(3_652);

/// How long the certificates of a node and of the users' door live: one year.
pub const HUB_LEAF_LIFETIME: Duration = DAY.saturating_mul(365);

/// How long an agent's certificate lives: fourteen days.
pub const AGENT_LIFETIME: Duration = DAY.saturating_mul(14);

/// How far before its making a certificate is already valid, for clocks that are behind: one hour.
pub const BACKDATE: Duration = Duration::from_secs(60 * 60);

/// Bytes of a serial number; constant, so that certificates of one kind have one length.
const SERIAL_LEN: usize = 16;

/// The last second that a certificate can name: 9999-12-31T23:59:59Z.
const LAST_SECOND: u64 = 253_402_300_799;

/// The kinds of authority.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ca<'a> {
    /// Issues node certificates of one hub.
    Node(HubId),
    /// Issues agent certificates of one hub.
    Agent(HubId),
    /// Issues certificates of the users' door for these names.
    Users(HubId, &'a [HostName]),
}

/// When and with what chance a certificate is made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Making<'a> {
    pub(crate) now: Timestamp,
    pub(crate) entropy: &'a dyn Entropy,
}

/// Makes the self-signed certificate of an authority.
pub(crate) fn authority(
    kind: Ca<'_>,
    key: &PrivateKey,
    making: Making<'_>,
) -> Result<CertificateDer<'static>, rcgen::Error> {
    let (name, hub, usage, constraints) = match kind {
        Ca::Node(hub) => (
            "Weft node CA",
            hub,
            ExtendedKeyUsagePurpose::ServerAuth,
            NameConstraints {
                permitted_subtrees: vec![GeneralSubtree::DnsName(node_dns_name(hub))],
                excluded_subtrees: every_address(),
            },
        ),
        Ca::Agent(hub) => {
            // An agent has no host name at all: the empty subtree is every name.
            let mut excluded_subtrees = every_address();
            excluded_subtrees.push(GeneralSubtree::DnsName(String::new()));
            (
                "Weft agent CA",
                hub,
                ExtendedKeyUsagePurpose::ClientAuth,
                NameConstraints { permitted_subtrees: Vec::new(), excluded_subtrees },
            )
        }
        Ca::Users(hub, names) => (
            "Weft users CA",
            hub,
            ExtendedKeyUsagePurpose::ServerAuth,
            NameConstraints {
                permitted_subtrees: names.iter().filter_map(HostName::subtree).collect(),
                excluded_subtrees: Vec::new(),
            },
        ),
    };
    let mut params = params(&format!("{name} {hub}"), CA_LIFETIME, making);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.extended_key_usages = vec![usage];
    params.name_constraints = Some(constraints);
    Ok(params.self_signed(key)?.into())
}

/// Makes a node's certificate: `serverAuth`, named by the hub's id.
pub(crate) fn node(
    hub: HubId,
    key: &PrivateKey,
    issuer: &Issuer<'_, &PrivateKey>,
    making: Making<'_>,
) -> Result<CertificateDer<'static>, rcgen::Error> {
    let mut params = leaf("Weft node", HUB_LEAF_LIFETIME, making);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.subject_alt_names = vec![SanType::DnsName(node_dns_name(hub).try_into()?)];
    Ok(params.signed_by(key, issuer)?.into())
}

/// Makes the users' door's certificate: `serverAuth`, named by hosts and addresses.
pub(crate) fn users(
    names: &[HostName],
    key: &PrivateKey,
    issuer: &Issuer<'_, &PrivateKey>,
    making: Making<'_>,
) -> Result<CertificateDer<'static>, rcgen::Error> {
    let mut params = leaf("Weft users door", HUB_LEAF_LIFETIME, making);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.subject_alt_names =
        names.iter().map(HostName::subject_alt_name).collect::<Result<_, _>>()?;
    Ok(params.signed_by(key, issuer)?.into())
}

/// Makes an agent's certificate: `clientAuth`, named by the agent's URI.
pub(crate) fn agent(
    agent: AgentId,
    key: &impl PublicKeyData,
    issuer: &Issuer<'_, &PrivateKey>,
    making: Making<'_>,
) -> Result<CertificateDer<'static>, rcgen::Error> {
    let mut params = leaf("Weft agent", AGENT_LIFETIME, making);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.subject_alt_names = vec![SanType::URI(agent_uri(agent).try_into()?)];
    Ok(params.signed_by(key, issuer)?.into())
}

fn leaf(name: &str, lifetime: Duration, making: Making<'_>) -> CertificateParams {
    let mut params = params(name, lifetime, making);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    // Strict checkers (Python 3.13 and later) refuse a leaf without it.
    params.use_authority_key_identifier_extension = true;
    params
}

fn params(name: &str, lifetime: Duration, making: Making<'_>) -> CertificateParams {
    let mut serial = [0u8; SERIAL_LEN];
    making.entropy.fill(&mut serial);
    // Positive and of full length in DER, whatever chance gave.
    serial[0] = (serial[0] & 0x3f) | 0x40;
    let now_s = making.now.as_secs();
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let second = |secs: u64| epoch + Duration::from_secs(secs.min(LAST_SECOND));
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.not_before = second(now_s.saturating_sub(BACKDATE.as_secs()));
    params.not_after = second(now_s.saturating_add(lifetime.as_secs()));
    params
}

fn every_address() -> Vec<GeneralSubtree> {
    [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)]
        .map(|address| GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(address, 0)))
        .to_vec()
}
