//! Trust: the two checks of a tunnel's handshake.
//!
//! A hub accepts an agent whose certificate its own agent authority issued, for `clientAuth`, in
//! time, and whom the hub's table trusts now. An agent accepts a node whose certificate was issued
//! by one of two pinned authorities, for `serverAuth`, in time, under the hub's id. Both take
//! Ed25519 and TLS 1.3 only, and neither builds paths: a leaf is issued by its authority directly.

use crate::enroll::agent_of;
use crate::names::server_name;
use crate::pin::{Pins, SpkiHash};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError,
    PeerIncompatible, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use webpki::{EndEntityCert, KeyUsage};
use weft_proto::ids::{AgentId, HubId};
use weft_proto::time::Clock;

/// The most certificates that a peer may send beside its own.
pub const MAX_PEER_INTERMEDIATES: usize = 3;

/// `id-kp-serverAuth`, as DER content.
const SERVER_AUTH: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];

/// `id-kp-clientAuth`, as DER content.
const CLIENT_AUTH: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02];

/// Ed25519 and nothing else.
const ALGORITHMS: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[webpki::aws_lc_rs::ED25519],
    mapping: &[(SignatureScheme::ED25519, &[webpki::aws_lc_rs::ED25519])],
};

/// What a hub says of an agent that shows a valid certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The agent may come in with this key.
    Trusted,
    /// The hub has no such agent, or knows it by another key.
    Unknown,
    /// The agent was sent away.
    Revoked,
}

/// The hub's table of agents, as the handshake sees it.
pub trait AgentTrust: fmt::Debug + Send + Sync {
    /// Judges the agent. Called inside the handshake: answers from memory and never blocks.
    fn verdict(&self, agent: AgentId, spki: SpkiHash) -> Verdict;
}

/// Wall-clock time of a [`Clock`] for rustls.
#[derive(Debug)]
pub(crate) struct ClockTime(pub(crate) Arc<dyn Clock>);

impl rustls::time_provider::TimeProvider for ClockTime {
    fn current_time(&self) -> Option<UnixTime> {
        let now = Duration::from_secs(self.0.now().as_secs());
        Some(UnixTime::since_unix_epoch(now))
    }
}

/// Checks the certificates of agents, for the agents' door.
#[derive(Debug)]
pub(crate) struct AgentVerifier {
    issuer: TrustAnchor<'static>,
    trust: Arc<dyn AgentTrust>,
}

impl AgentVerifier {
    pub(crate) fn new(
        issuer: &CertificateDer<'_>,
        trust: Arc<dyn AgentTrust>,
    ) -> Result<Self, Error> {
        let issuer = webpki::anchor_from_trusted_cert(issuer).map_err(refusal)?.to_owned();
        Ok(Self { issuer, trust })
    }
}

impl ClientCertVerifier for AgentVerifier {
    /// Joining has no certificate yet; that `weft/1` needs one is the door's rule by ALPN.
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if intermediates.len() > MAX_PEER_INTERMEDIATES {
            return Err(CertificateError::BadEncoding.into());
        }
        let issuer = std::slice::from_ref(&self.issuer);
        verify_issued(end_entity, issuer, KeyUsage::required(CLIENT_AUTH), now)?;
        let peer = agent_of(std::slice::from_ref(end_entity))
            .map_err(|reason| CertificateError::Other(OtherError(Arc::new(reason))))?;
        match self.trust.verdict(peer.agent, peer.spki) {
            Verdict::Trusted => Ok(ClientCertVerified::assertion()),
            Verdict::Unknown => Err(CertificateError::ApplicationVerificationFailure.into()),
            Verdict::Revoked => Err(CertificateError::Revoked.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls13RequiredForQuic.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &ALGORITHMS)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ALGORITHMS.supported_schemes()
    }
}

/// Checks the certificate of a hub's node, for an agent.
#[derive(Debug)]
pub(crate) struct HubVerifier {
    pins: Pins,
    name: ServerName<'static>,
}

impl HubVerifier {
    pub(crate) fn new(pins: Pins, hub: HubId) -> Self {
        Self { pins, name: server_name(hub) }
    }
}

impl ServerCertVerifier for HubVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if intermediates.len() > MAX_PEER_INTERMEDIATES {
            return Err(CertificateError::BadEncoding.into());
        }
        // The name to check is the hub's of this configuration, whatever was dialled.
        if *server_name != self.name {
            return Err(CertificateError::NotValidForName.into());
        }
        let mut pinned = Vec::with_capacity(intermediates.len());
        for cert in intermediates {
            let issuer = webpki::anchor_from_trusted_cert(cert).map_err(refusal)?;
            if self.pins.contains(&SpkiHash::of_spki(&webpki::spki_for_anchor(&issuer))) {
                pinned.push(issuer);
            }
        }
        let leaf = verify_issued(end_entity, &pinned, KeyUsage::required(SERVER_AUTH), now)?;
        leaf.verify_is_valid_for_subject_name(&self.name).map_err(refusal)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls13RequiredForQuic.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &ALGORITHMS)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ALGORITHMS.supported_schemes()
    }
}

/// Verifies that one of `issuers` signed `cert` itself, for `usage`, and that it is valid `now`.
fn verify_issued<'a>(
    cert: &'a CertificateDer<'a>,
    issuers: &[TrustAnchor<'_>],
    usage: KeyUsage,
    now: UnixTime,
) -> Result<EndEntityCert<'a>, Error> {
    let leaf = EndEntityCert::try_from(cert).map_err(refusal)?;
    leaf.verify_for_usage(ALGORITHMS.all, issuers, &[], now, usage, None, None)
        .map_err(refusal)
        .map(drop)?;
    Ok(leaf)
}

/// Says why a certificate was refused in the words of TLS, so that the peer gets the right alert.
fn refusal(reason: webpki::Error) -> Error {
    use webpki::Error as E;
    let cause = if matches!(reason, E::CertExpired { .. }) {
        CertificateError::Expired
    } else if matches!(reason, E::CertNotValidYet { .. }) {
        CertificateError::NotValidYet
    } else if matches!(reason, E::UnknownIssuer | E::CaUsedAsEndEntity) {
        CertificateError::UnknownIssuer
    } else if matches!(reason, E::CertNotValidForName(_) | E::NameConstraintViolation) {
        CertificateError::NotValidForName
    } else if matches!(reason, E::RequiredEkuNotFoundContext(_)) {
        CertificateError::InvalidPurpose
    } else if matches!(reason, E::InvalidSignatureForPublicKey) {
        CertificateError::BadSignature
    } else if matches!(reason, E::BadDer | E::BadDerTime | E::TrailingData(_)) {
        CertificateError::BadEncoding
    } else {
        CertificateError::Other(OtherError(Arc::new(reason)))
    };
    cause.into()
}

#[cfg(test)]
mod tests;
