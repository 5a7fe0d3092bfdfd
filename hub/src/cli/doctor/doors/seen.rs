//! Which certificate the users' door is expected to show, and a client that insists on it.

use anyhow::Context;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use std::path::Path;
use std::sync::Arc;
use weft_certs::summaries;
use weft_hub::app::CERTS_DIR;
use weft_hub::config::OwnCertificate;

/// The certificate of the users' authority, inside its folder.
const CA_FILE: &str = "ca.pem";
/// The name under which a hub's own certificate is always reached.
const LOCAL_NAME: &str = "localhost";

/// What the door should show.
pub(super) enum Expected {
    /// A certificate of the hub's own authority.
    OfAuthority(CertificateDer<'static>),
    /// Exactly the operator's own, whoever issued it.
    Exactly(CertificateDer<'static>, String),
}

impl Expected {
    /// What the files of the data directory say.
    pub(super) fn of(data: &Path, own: Option<&OwnCertificate>) -> anyhow::Result<Self> {
        let Some(own) = own else {
            let ca = data.join(CERTS_DIR).join(CA_FILE);
            let ca =
                CertificateDer::from_pem_file(&ca).with_context(|| ca.display().to_string())?;
            return Ok(Self::OfAuthority(ca));
        };
        let chain = data.join(&own.chain);
        let leaf =
            CertificateDer::from_pem_file(&chain).with_context(|| chain.display().to_string())?;
        let names =
            summaries(&chain)?.into_iter().next().map(|leaf| leaf.names).unwrap_or_default();
        let dns = names.iter().find_map(|name| name.strip_prefix("dns:"));
        // A wildcard stands for any one label.
        let name = dns.map_or_else(|| LOCAL_NAME.to_owned(), |name| name.replacen('*', "hub", 1));
        Ok(Self::Exactly(leaf, name))
    }

    /// The name to ask for.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::OfAuthority(_) => LOCAL_NAME,
            Self::Exactly(_, name) => name,
        }
    }

    /// TLS that accepts nothing else.
    pub(super) fn client(&self) -> anyhow::Result<Arc<ClientConfig>> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?;
        let builder = match self {
            Self::OfAuthority(ca) => {
                let mut roots = rustls::RootCertStore::empty();
                roots.add(ca.clone())?;
                builder.with_root_certificates(roots)
            }
            Self::Exactly(leaf, _) => {
                let only = Only { leaf: leaf.clone(), provider };
                builder.dangerous().with_custom_certificate_verifier(Arc::new(only))
            }
        };
        Ok(Arc::new(builder.with_no_client_auth()))
    }
}

/// Accepts one certificate: the door is this machine's own, and the question is which it shows.
#[derive(Debug)]
struct Only {
    leaf: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Only {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if *end_entity == self.leaf {
            return Ok(ServerCertVerified::assertion());
        }
        Err(CertificateError::ApplicationVerificationFailure.into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
