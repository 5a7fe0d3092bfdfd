//! Enrolment: what an agent asks for, what it gets, and what its certificate says.
//!
//! Of a request only the public key is taken, and only when the request is signed with it. The
//! name comes from the hub. An [`AgentIdentity`] exists only where key and certificate belong
//! together.

use crate::disk::{self, FileError};
use crate::key::{AgentKey, PrivateKey};
use crate::leaf::{self, AGENT_LIFETIME, Making};
use crate::names::parse_agent_uri;
use crate::pin::SpkiHash;
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use rcgen::{CertificateParams, Issuer, PublicKeyData, SignatureAlgorithm};
use rustls_pki_types::CertificateDer;
use std::path::Path;
use weft_proto::ids::AgentId;
use weft_proto::time::Timestamp;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::GeneralName;
use x509_parser::oid_registry::OID_SIG_ED25519;
use x509_parser::prelude::FromDer as _;

/// The longest certificate signing request that is read, in bytes.
pub const MAX_CSR_LEN: usize = 4 * 1024;

/// The longest certificate of an agent that is read, in bytes.
pub const MAX_AGENT_CERT_LEN: usize = 4 * 1024;

/// The most certificates in an agent's chain.
pub const MAX_AGENT_CHAIN_CERTS: usize = 4;

/// Bytes of an Ed25519 public key.
const ED25519_PUBLIC_LEN: usize = 32;

/// What stands between the signed part of a request and its 64 signature bytes: Ed25519, and the
/// head of a bit string. Exact bytes, because the parser is lax here and the signature covers
/// none of them.
const ED25519_SIGNATURE_HEAD: [u8; 10] =
    [0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x41, 0x00];

/// A certificate signing request that is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CsrError {
    /// Longer than [`MAX_CSR_LEN`].
    #[error("the signing request is longer than {MAX_CSR_LEN} bytes")]
    TooLong,
    /// Not a DER signing request.
    #[error("the signing request is malformed")]
    Malformed,
    /// Its key is not Ed25519.
    #[error("the signing request's key is not Ed25519")]
    WrongKey,
    /// Not signed with the key it carries.
    #[error("the signing request is not signed with its own key")]
    NotProven,
}

/// A certificate that is not an agent's, or not this agent's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// No certificate, or more than [`MAX_AGENT_CHAIN_CERTS`].
    #[error("an agent's chain has 1 to {MAX_AGENT_CHAIN_CERTS} certificates")]
    ChainLength,
    /// A certificate is malformed or longer than [`MAX_AGENT_CERT_LEN`].
    #[error("the agent's certificate is malformed")]
    Malformed,
    /// The certificate does not name exactly one agent and nothing else.
    #[error("the certificate does not name exactly one agent")]
    NotAnAgent,
    /// The certificate is for another key.
    #[error("the certificate does not belong to the agent's key")]
    WrongKey,
}

/// The public half of a key that proved itself in a signing request.
#[derive(Debug, Clone)]
pub struct ProvenKey([u8; ED25519_PUBLIC_LEN]);

impl ProvenKey {
    /// Reads a DER signing request (PKCS#10) and verifies that its sender has the key.
    ///
    /// # Errors
    /// [`CsrError`] for each way in which the request is not acceptable.
    pub fn from_csr(csr_der: &[u8]) -> Result<Self, CsrError> {
        if csr_der.len() > MAX_CSR_LEN {
            return Err(CsrError::TooLong);
        }
        let (rest, csr) =
            X509CertificationRequest::from_der(csr_der).map_err(|_| CsrError::Malformed)?;
        if !rest.is_empty() {
            return Err(CsrError::Malformed);
        }
        let info = &csr.certification_request_info;
        if info.subject_pki.algorithm.algorithm != OID_SIG_ED25519
            || csr.signature_algorithm.algorithm != OID_SIG_ED25519
        {
            return Err(CsrError::WrongKey);
        }
        let public: [u8; ED25519_PUBLIC_LEN] = info
            .subject_pki
            .subject_public_key
            .data
            .as_ref()
            .try_into()
            .map_err(|_| CsrError::WrongKey)?;
        let signature = csr.signature_value.data.as_ref();
        let head = csr_der.strip_suffix(signature).ok_or(CsrError::Malformed)?;
        if !head.ends_with(&ED25519_SIGNATURE_HEAD) {
            return Err(CsrError::Malformed);
        }
        UnparsedPublicKey::new(&ED25519, public)
            .verify(info.raw, signature)
            .map_err(|_| CsrError::NotProven)?;
        Ok(Self(public))
    }

    /// The hash by which the hub knows the key.
    #[must_use]
    pub fn spki_hash(&self) -> SpkiHash {
        SpkiHash::of_spki(&self.subject_public_key_info())
    }
}

impl PublicKeyData for ProvenKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_ED25519
    }
}

impl AgentKey {
    /// A signing request (DER PKCS#10) for this key, signed with it; it names nobody.
    #[must_use]
    #[expect(clippy::expect_used, reason = "an empty request holds nothing that can be refused")]
    pub fn csr_der(&self) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .serialize_request(self.private())
            .expect("an empty request can be signed")
            .der()
            .to_vec()
    }
}

/// Issues the certificate of `agent` for `key`.
pub(crate) fn sign(
    key: &ProvenKey,
    agent: AgentId,
    issuer: &Issuer<'_, &PrivateKey>,
    making: Making<'_>,
) -> Result<AgentChain, rcgen::Error> {
    // The hub's end holds the issuer itself, so the leaf alone is a whole chain.
    Ok(AgentChain(vec![leaf::agent(agent, key, issuer, making)?]))
}

/// An agent's certificates, its own first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentChain(Vec<CertificateDer<'static>>);

impl AgentChain {
    /// Takes certificates as they came over the wire (DER), the agent's own first.
    ///
    /// # Errors
    /// [`IdentityError`] unless there are 1 to 4 of bounded length and the first is an agent's.
    pub fn from_ders(ders: Vec<Vec<u8>>) -> Result<Self, IdentityError> {
        let certs: Vec<_> = ders.into_iter().map(CertificateDer::from).collect();
        agent_of(&certs)?;
        Ok(Self(certs))
    }

    /// The certificates, the agent's own first.
    #[must_use]
    pub fn certs(&self) -> &[CertificateDer<'static>] {
        &self.0
    }

    /// The certificates as bytes for the wire, the agent's own first.
    pub fn ders(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(AsRef::as_ref)
    }

    /// Reads a chain that [`AgentChain::save`] wrote. Blocks.
    ///
    /// # Errors
    /// [`FileError`] where the file cannot be read or holds no agent's chain.
    pub fn load(path: &Path) -> Result<Self, FileError> {
        let certs = disk::read_certs(path)?;
        agent_of(&certs)
            .map_err(|_| FileError::damaged(path, "it does not hold an agent's certificate"))?;
        Ok(Self(certs))
    }

    /// Writes the chain as PEM, whole or not at all. Blocks.
    ///
    /// # Errors
    /// [`FileError`] where the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), FileError> {
        disk::write_certs(path, &self.0)
    }
}

/// Who an agent is: its key, the certificate for that key, and the id in it.
#[derive(Debug)]
pub struct AgentIdentity {
    key: AgentKey,
    chain: AgentChain,
    peer: PeerAgent,
}

impl AgentIdentity {
    /// Joins a key and the chain that was issued for it.
    ///
    /// # Errors
    /// [`IdentityError`] where the chain is another key's or no agent's.
    pub fn new(key: AgentKey, chain: AgentChain) -> Result<Self, IdentityError> {
        let peer = agent_of(&chain.0)?;
        if peer.spki != key.spki_hash() {
            return Err(IdentityError::WrongKey);
        }
        Ok(Self { key, chain, peer })
    }

    /// The key.
    #[must_use]
    pub const fn key(&self) -> &AgentKey {
        &self.key
    }

    /// The certificates.
    #[must_use]
    pub const fn chain(&self) -> &AgentChain {
        &self.chain
    }

    /// The id that the hub gave.
    #[must_use]
    pub const fn agent(&self) -> AgentId {
        self.peer.agent
    }

    /// When the certificate runs out.
    #[must_use]
    pub const fn not_after(&self) -> Timestamp {
        self.peer.not_after
    }

    /// Whether less than a third of a certificate's life is left at `now`: time to renew.
    #[must_use]
    pub fn renewal_due(&self, now: Timestamp) -> bool {
        self.peer.not_after.since(now) < AGENT_LIFETIME / 3
    }

    /// Replaces the chain by a renewed one for the same key and the same agent.
    ///
    /// # Errors
    /// [`IdentityError`] where the chain is another key's or another agent's; nothing changes.
    pub fn renew(&mut self, chain: AgentChain) -> Result<(), IdentityError> {
        let peer = agent_of(&chain.0)?;
        if peer.spki != self.peer.spki {
            return Err(IdentityError::WrongKey);
        }
        if peer.agent != self.peer.agent {
            return Err(IdentityError::NotAnAgent);
        }
        self.chain = chain;
        self.peer = peer;
        Ok(())
    }
}

/// What an agent's certificate says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerAgent {
    /// The agent's id.
    pub agent: AgentId,
    /// The hash of its public key.
    pub spki: SpkiHash,
    /// When the certificate runs out, in whole seconds.
    pub not_after: Timestamp,
}

/// Reads who the first of `certs` names. Verifies nothing: call it on what TLS has verified.
///
/// # Errors
/// [`IdentityError`] where there are too few or too many certificates, or the first is no agent's.
pub fn agent_of(certs: &[CertificateDer<'_>]) -> Result<PeerAgent, IdentityError> {
    if certs.len() > MAX_AGENT_CHAIN_CERTS {
        return Err(IdentityError::ChainLength);
    }
    let cert = certs.first().ok_or(IdentityError::ChainLength)?;
    if certs.iter().any(|cert| cert.len() > MAX_AGENT_CERT_LEN) {
        return Err(IdentityError::Malformed);
    }
    let (rest, parsed) =
        x509_parser::parse_x509_certificate(cert).map_err(|_| IdentityError::Malformed)?;
    if !rest.is_empty() {
        return Err(IdentityError::Malformed);
    }
    let names = parsed
        .subject_alternative_name()
        .map_err(|_| IdentityError::Malformed)?
        .ok_or(IdentityError::NotAnAgent)?;
    let [GeneralName::URI(uri)] = names.value.general_names.as_slice() else {
        return Err(IdentityError::NotAnAgent);
    };
    let not_after = u64::try_from(parsed.validity().not_after.timestamp())
        .map_err(|_| IdentityError::Malformed)?;
    Ok(PeerAgent {
        agent: parse_agent_uri(uri).ok_or(IdentityError::NotAnAgent)?,
        spki: SpkiHash::of_spki(parsed.public_key().raw),
        not_after: Timestamp::from_secs(not_after),
    })
}
