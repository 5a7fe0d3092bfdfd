//! TLS towards providers: the compiled public roots, versions 1.2 and 1.3, no client certificate.
//!
//! The one crypto provider is named here and not taken from the process, so that no other part can
//! change what verifies a provider.

use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;

/// TLS towards providers could not be set up: a fault of the build.
#[derive(Debug, thiserror::Error)]
#[error("TLS towards providers cannot be set up")]
pub struct TlsSetupError(#[from] rustls::Error);

/// The public roots compiled into this build.
#[must_use]
pub fn official_roots() -> RootCertStore {
    RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }
}

/// A client configuration that speaks `alpn` and nothing else.
pub(super) fn client_config(
    roots: RootCertStore,
    alpn: &[u8],
) -> Result<Arc<ClientConfig>, TlsSetupError> {
    let crypto = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(crypto)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    Ok(Arc::new(config))
}
