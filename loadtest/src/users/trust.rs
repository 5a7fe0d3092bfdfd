//! What makes the other end's certificate good: a CA of one's own, a pinned key, or the web's
//! authorities.

use anyhow::Context;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use std::path::PathBuf;
use std::sync::Arc;
use weft_certs::SpkiHash;

/// Whom to trust.
#[derive(Debug, Clone)]
pub(super) enum Trust {
    /// The web's authorities.
    Web,
    /// The certificates in this PEM file.
    Ca(PathBuf),
    /// Whoever has this key, whatever the certificate says.
    Pin(SpkiHash),
}

impl Trust {
    /// The settings of TLS, offering the protocol `alpn`.
    ///
    /// # Errors
    /// Where a file cannot be used.
    pub(super) fn config(&self, alpn: &[u8]) -> anyhow::Result<ClientConfig> {
        let crypto = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&crypto));
        let builder = builder.with_safe_default_protocol_versions()?;
        let mut config = match self {
            Self::Web => {
                let roots = webpki_roots::TLS_SERVER_ROOTS.to_vec();
                builder.with_root_certificates(RootCertStore { roots }).with_no_client_auth()
            }
            Self::Ca(file) => {
                let said = || format!("the CA in {}", file.display());
                let mut roots = RootCertStore::empty();
                for certificate in CertificateDer::pem_file_iter(file).with_context(said)? {
                    roots.add(certificate.with_context(said)?).with_context(said)?;
                }
                anyhow::ensure!(!roots.is_empty(), "{} holds no certificate", file.display());
                builder.with_root_certificates(roots).with_no_client_auth()
            }
            Self::Pin(pin) => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Pinned { pin: *pin, crypto }))
                .with_no_client_auth(),
        };
        config.alpn_protocols = vec![alpn.to_vec()];
        Ok(config)
    }
}

/// Takes one public key, and whoever proves to hold it.
#[derive(Debug)]
struct Pinned {
    pin: SpkiHash,
    crypto: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let refused = |why| Error::InvalidCertificate(why);
        let key =
            SpkiHash::of_cert(end_entity).map_err(|_| refused(CertificateError::BadEncoding))?;
        if key != self.pin {
            return Err(refused(CertificateError::ApplicationVerificationFailure));
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.crypto.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.crypto.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.crypto.signature_verification_algorithms.supported_schemes()
    }
}
