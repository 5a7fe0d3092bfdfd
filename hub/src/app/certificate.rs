//! The certificate of the users' door: the hub's own, or the operator's, read again on a reload.
//!
//! Handshakes under way finish with the certificate they began with. One that cannot be read leaves
//! the old one in force. The hub's own renews itself without a reload.

use crate::config::HubConfig;
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use weft_certs::{Authority, DoorError, summaries, users_door_from_pem};

/// Gives the users' door the certificate that is in force.
#[derive(Debug)]
pub(super) struct UsersCertificate {
    authority: Arc<Authority>,
    in_force: Arc<InForce>,
}

/// A certificate that was read and can be put in force.
#[derive(Debug)]
pub(super) struct ReadCertificate {
    resolver: Arc<dyn ResolvesServerCert>,
    until: Option<String>,
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

impl ReadCertificate {
    /// Until when it is valid, in RFC 3339; `None` for what renews itself.
    pub(super) fn until(&self) -> Option<String> {
        self.until.clone()
    }
}

impl UsersCertificate {
    /// The certificate that `config` names, in force from the start.
    pub(super) fn new(authority: Arc<Authority>, config: &HubConfig) -> Result<Self, DoorError> {
        let first = read(&authority, config)?;
        Ok(Self { authority, in_force: Arc::new(InForce(RwLock::new(first.resolver))) })
    }

    /// The TLS settings of the door, which asks for the certificate at each handshake.
    pub(super) fn door(&self) -> Result<ServerConfig, DoorError> {
        let mut tls = self.authority.users_door()?;
        tls.cert_resolver = Arc::<InForce>::clone(&self.in_force);
        Ok(tls)
    }

    /// Reads the certificate that `config` names, whose relative paths start at the data directory.
    /// Changes nothing.
    pub(super) fn read(&self, config: &HubConfig) -> Result<ReadCertificate, DoorError> {
        read(&self.authority, config)
    }

    /// Shows `certificate` from the next handshake on.
    pub(super) fn put_in_force(&self, certificate: ReadCertificate) {
        *self.in_force.0.write().unwrap_or_else(PoisonError::into_inner) = certificate.resolver;
    }
}

fn read(authority: &Authority, config: &HubConfig) -> Result<ReadCertificate, DoorError> {
    let Some(own) = &config.users.certificate else {
        return Ok(ReadCertificate {
            resolver: authority.users_door()?.cert_resolver,
            until: None,
        });
    };
    let data: &Path = &config.data;
    let (chain, key) = (data.join(&own.chain), data.join(&own.key));
    let tls = users_door_from_pem(&chain, &key)?;
    let until = summaries(&chain)?.into_iter().next().map(|leaf| leaf.not_after);
    Ok(ReadCertificate { resolver: tls.cert_resolver, until })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::OwnCertificate;
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
        let certs = tempfile::tempdir().unwrap();
        let entropy = SeededEntropy::new(3);
        let hub = HubId::generate(&SystemClock, &entropy);
        let authority = Authority::create(certs.path(), hub, &[], &SystemClock, &entropy).unwrap();
        let hubs = CertificateDer::from_pem_slice(authority.users_ca_pem().as_bytes()).unwrap();
        let mut config = HubConfig { data: data.path().to_owned(), ..HubConfig::default() };
        config.users.certificate =
            Some(OwnCertificate { chain: "chain.pem".into(), key: "key.pem".into() });
        let certificate = UsersCertificate::new(Arc::new(authority), &config).unwrap();
        let reload = |config: &HubConfig| {
            certificate.read(config).map(|read| certificate.put_in_force(read))
        };
        let tls = certificate.door().unwrap();
        let tls = Arc::new(tls);
        assert!(trusted_by(&tls, &first).await);

        let second = install(data.path(), 2);
        assert!(!trusted_by(&tls, &second).await, "nothing is read before it is asked for");
        reload(&config).unwrap();
        assert!(trusted_by(&tls, &second).await);
        assert!(!trusted_by(&tls, &first).await);

        std::fs::write(data.path().join("chain.pem"), "torn").unwrap();
        assert!(reload(&config).is_err());
        assert!(trusted_by(&tls, &second).await, "the old one stays");

        config.users.certificate = None;
        reload(&config).unwrap();
        assert!(trusted_by(&tls, &hubs).await, "the hub's own again");
    }
}
