//! The operator's own certificate of the users' door, read again on SIGHUP.
//!
//! Handshakes under way finish with the certificate they began with. One that cannot be read leaves
//! the old one in force.

use crate::config::OwnCertificate;
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use weft_certs::{DoorError, users_door_from_pem};

/// A chain and its key, as read from the operator's files.
#[derive(Debug)]
pub(super) struct OwnChain {
    chain: PathBuf,
    key: PathBuf,
    tls: ServerConfig,
}

/// Gives out the certificate in force.
#[derive(Debug)]
struct InForce(RwLock<Arc<dyn ResolvesServerCert>>);

impl ResolvesServerCert for InForce {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let resolver = Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner));
        resolver.resolve(hello)
    }
}

impl OwnChain {
    /// Reads the files; relative paths start at the data directory.
    pub(super) fn read(data: &Path, own: &OwnCertificate) -> Result<Self, DoorError> {
        let (chain, key) = (data.join(&own.chain), data.join(&own.key));
        let tls = users_door_from_pem(&chain, &key)?;
        Ok(Self { chain, key, tls })
    }

    /// The settings of the door, and what reads their certificate again.
    pub(super) fn reloadable(self) -> (ServerConfig, Box<dyn Fn() + Send>) {
        let Self { chain, key, mut tls } = self;
        let in_force = Arc::new(InForce(RwLock::new(Arc::clone(&tls.cert_resolver))));
        tls.cert_resolver = Arc::<InForce>::clone(&in_force);
        let reload = move || match users_door_from_pem(&chain, &key) {
            Ok(fresh) => {
                let fresh = Arc::clone(&fresh.cert_resolver);
                *in_force.0.write().unwrap_or_else(PoisonError::into_inner) = fresh;
                tracing::info!(chain = %chain.display(), "certificate read again");
            }
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "certificate unchanged")
            }
        };
        (tls, Box::new(reload))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, ServerName};
    use tokio_rustls::{TlsAcceptor, TlsConnector};
    use weft_certs::Authority;
    use weft_proto::entropy::SeededEntropy;
    use weft_proto::ids::HubId;
    use weft_proto::time::SystemClock;

    /// A new authority's certificate for localhost, put where the operator's own lies.
    fn install(data: &Path, seed: u64) -> CertificateDer<'static> {
        let certs = tempfile::tempdir().unwrap();
        let entropy = SeededEntropy::new(seed);
        let hub = HubId::generate(&SystemClock, &entropy);
        let authority = Authority::create(certs.path(), hub, &[], &SystemClock, &entropy).unwrap();
        for (from, to) in [("users.pem", "chain.pem"), ("users.key", "key.pem")] {
            std::fs::copy(certs.path().join(from), data.join(to)).unwrap();
        }
        CertificateDer::from_pem_slice(authority.users_ca_pem().as_bytes()).unwrap()
    }

    /// Whether who trusts `ca` alone gets through the door.
    async fn trusted_by(tls: &Arc<ServerConfig>, ca: &CertificateDer<'static>) -> bool {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(ca.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let client = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let (near, far) = tokio::io::duplex(64 * 1024);
        let connector = TlsConnector::from(Arc::new(client));
        let name = ServerName::try_from("localhost").unwrap();
        let acceptor = TlsAcceptor::from(Arc::clone(tls));
        let (client, _server) = tokio::join!(connector.connect(name, near), acceptor.accept(far));
        client.is_ok()
    }

    #[tokio::test]
    async fn a_new_certificate_is_in_force_after_a_reload_and_a_damaged_one_is_not() {
        let data = tempfile::tempdir().unwrap();
        let first = install(data.path(), 1);
        let own = OwnCertificate { chain: "chain.pem".into(), key: "key.pem".into() };
        let (tls, reload) = OwnChain::read(data.path(), &own).unwrap().reloadable();
        let tls = Arc::new(tls);
        assert!(trusted_by(&tls, &first).await);

        let second = install(data.path(), 2);
        assert!(!trusted_by(&tls, &second).await, "nothing is read before it is asked for");
        reload();
        assert!(trusted_by(&tls, &second).await);
        assert!(!trusted_by(&tls, &first).await);

        std::fs::write(data.path().join("chain.pem"), "torn").unwrap();
        reload();
        assert!(trusted_by(&tls, &second).await, "the old one stays");
    }
}
