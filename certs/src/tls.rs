//! TLS configurations of both doors and of the agent's end.
//!
//! Everything runs on one explicit provider (aws-lc-rs). On the agents' side there is TLS 1.3 and
//! nothing that would skip a verifier: no tickets, no session storage, no resumption, no early
//! data. The users' door is an ordinary web server.

use crate::ca::{Authority, Shown};
use crate::disk::{self, FileError};
use crate::enroll::AgentIdentity;
use crate::pin::Pins;
use crate::trust::{AgentTrust, AgentVerifier, ClockTime, HubVerifier};
use rustls::client::Resumption;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::TLS13;
use rustls::{ClientConfig, ConfigBuilder, Error, ServerConfig, WantsVerifier};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;
use std::path::Path;
use std::sync::Arc;
use weft_proto::ids::HubId;
use weft_proto::time::Clock;

/// The ALPN id of tunnels. A connection under it must have shown a client certificate.
pub const ALPN_TUNNEL: &[u8] = b"weft/1";

/// The ALPN id of joining and late renewal, without a client certificate.
pub const ALPN_JOIN: &[u8] = b"weft-join/1";

/// The ALPN ids of the users' door, best first.
pub const ALPN_USERS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// An operator's certificate that cannot serve the users' door.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// A file is unreadable or damaged.
    #[error(transparent)]
    File(#[from] FileError),
    /// The chain and the key do not belong together, or TLS cannot use them.
    #[error("{chain} and {key} cannot be used together")]
    Unusable {
        /// The file of the chain.
        chain: String,
        /// The file of the key.
        key: String,
        /// The TLS library's reason.
        source: Error,
    },
    /// The TLS library refuses the configuration.
    #[error("the TLS library refuses the configuration")]
    Tls(#[from] Error),
}

impl Authority {
    /// The agents' door: [`ALPN_TUNNEL`] and [`ALPN_JOIN`], TLS 1.3 only.
    ///
    /// A client certificate is asked for and may be missing; one that is shown must be an agent's
    /// that `trust` trusts at this moment. The caller closes a connection under [`ALPN_TUNNEL`]
    /// that shows none, before any byte, and sends nothing before the handshake is complete.
    ///
    /// # Errors
    /// The TLS library's reason where it refuses the configuration.
    pub fn agents_door(
        &self,
        trust: Arc<dyn AgentTrust>,
        clock: Arc<dyn Clock>,
    ) -> Result<ServerConfig, Error> {
        let verifier = AgentVerifier::new(&self.agent_ca, trust)?;
        let mut config = ServerConfig::builder_with_details(provider(), Arc::new(ClockTime(clock)))
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(Arc::new(verifier))
            .with_cert_resolver(Arc::<Shown>::clone(&self.node));
        config.alpn_protocols = vec![ALPN_TUNNEL.to_vec(), ALPN_JOIN.to_vec()];
        // rustls restores a resumed client's certificate without asking the verifier: a revoked
        // agent would come back in. So nothing is ever given out that could be resumed.
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.max_early_data_size = 0;
        Ok(config)
    }

    /// The users' door under the authority's own certificate: h2 and HTTP/1.1, TLS 1.2 and 1.3.
    /// Like the agents' door, it shows what [`Authority::renew`] makes without being built again.
    ///
    /// # Errors
    /// The TLS library's reason where it refuses the configuration.
    pub fn users_door(&self) -> Result<ServerConfig, Error> {
        web_server(Arc::<Shown>::clone(&self.users))
    }
}

/// The users' door under the operator's own certificate (PEM chain, its own first, and PEM key).
/// Blocks.
///
/// # Errors
/// [`DoorError`], naming the file, where one cannot be read or the two do not belong together.
pub fn users_door_from_pem(chain: &Path, key: &Path) -> Result<ServerConfig, DoorError> {
    let certs = disk::read_certs(chain)?;
    let text = disk::read_foreign_private(key)?;
    let der = PrivateKeyDer::from_pem_slice(&text)
        .map_err(|_| FileError::damaged(key, "it holds no PEM private key"))?;
    let certified = CertifiedKey::from_der(certs, der, &provider()).map_err(|source| {
        let (chain, key) = (chain.display().to_string(), key.display().to_string());
        DoorError::Unusable { chain, key, source }
    })?;
    Ok(web_server(Arc::new(SingleCertAndKey::from(certified)))?)
}

/// The agent's end of a tunnel to `hub`: [`ALPN_TUNNEL`] with the agent's certificate.
///
/// # Errors
/// The TLS library's reason where it refuses the identity.
pub fn tunnel_tls(
    pins: Pins,
    hub: HubId,
    identity: &AgentIdentity,
    clock: Arc<dyn Clock>,
) -> Result<ClientConfig, Error> {
    let certified =
        CertifiedKey::new(identity.chain().certs().to_vec(), identity.key().private().tls()?);
    let config = hub_client(pins, hub, clock)?
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    Ok(hardened(config, ALPN_TUNNEL))
}

/// The agent's end while it joins `hub`: [`ALPN_JOIN`] without a certificate.
///
/// # Errors
/// The TLS library's reason where it refuses the configuration.
pub fn join_tls(pins: Pins, hub: HubId, clock: Arc<dyn Clock>) -> Result<ClientConfig, Error> {
    Ok(hardened(hub_client(pins, hub, clock)?.with_no_client_auth(), ALPN_JOIN))
}

type ClientWithVerifier = ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>;

fn hub_client(pins: Pins, hub: HubId, clock: Arc<dyn Clock>) -> Result<ClientWithVerifier, Error> {
    let verifier: Arc<dyn ServerCertVerifier> = Arc::new(HubVerifier::new(pins, hub));
    let builder: ConfigBuilder<ClientConfig, WantsVerifier> =
        ClientConfig::builder_with_details(provider(), Arc::new(ClockTime(clock)))
            .with_protocol_versions(&[&TLS13])?;
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier))
}

fn hardened(mut config: ClientConfig, alpn: &[u8]) -> ClientConfig {
    config.alpn_protocols = vec![alpn.to_vec()];
    // A resumed handshake would not show the hub's certificate to the pins again.
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    config
}

fn web_server(certificate: Arc<dyn ResolvesServerCert>) -> Result<ServerConfig, Error> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    config.alpn_protocols = ALPN_USERS.iter().map(|id| id.to_vec()).collect();
    Ok(config)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}
