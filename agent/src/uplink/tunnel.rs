//! One connection to the hub, with the socket it runs on: how it comes about and how it ends.

use super::identity::HubRecord;
use super::net::HubNet;
use quinn::{Connection, Endpoint};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use weft_certs::server_name;
use weft_proto::codes::CloseCode;
use weft_proto::entropy::Entropy;
use weft_transport::close;
use weft_transport::config::{self, NoInitialCipherSuite};
use weft_transport::endpoint;
use weft_transport::stream::Lost;

/// Limit on one QUIC handshake.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// How long a closing connection may take to say so.
const GOODBYE_MAX: Duration = Duration::from_millis(500);

/// Why no connection to the hub came about.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// This end's TLS cannot be configured.
    #[error("TLS: {0}")]
    Tls(rustls::Error),
    /// This end's TLS is not fit for QUIC.
    #[error(transparent)]
    Quic(#[from] NoInitialCipherSuite),
    /// A name has no address, or no socket could be had.
    #[error("{address}: {source}")]
    Network {
        /// Whose.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// The handshake failed: nobody there, or not the hub that is pinned.
    #[error("{address}: {lost}")]
    Handshake {
        /// With whom.
        address: String,
        /// How it failed.
        lost: Lost,
    },
}

/// A connection with its endpoint. Dropped without [`Tunnel::close`] (by a panic or a cancelled
/// task), it is closed at once as an internal fault, so that the hub sends its requests elsewhere.
#[derive(Debug)]
pub(super) struct Tunnel {
    connection: Connection,
    endpoint: Endpoint,
    closed: bool,
}

impl Tunnel {
    pub(super) const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Closes the connection and waits a moment for the news to leave.
    pub(super) async fn close(mut self, code: CloseCode) {
        self.close_now(code);
        drop(tokio::time::timeout(GOODBYE_MAX, self.endpoint.wait_idle()).await);
    }

    fn close_now(&mut self, code: CloseCode) {
        if !std::mem::replace(&mut self.closed, true) {
            close::connection(&self.connection, code);
        }
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.close_now(CloseCode::Internal);
    }
}

/// Connects to the first address of the hub that completes the handshake.
///
/// # Errors
/// [`ConnectError`] of the last address.
pub(super) async fn connect(
    record: &HubRecord,
    tls: rustls::ClientConfig,
    net: &dyn HubNet,
    entropy: &dyn Entropy,
) -> Result<Tunnel, ConnectError> {
    let config = config::agent(Arc::new(tls), entropy)?;
    let name = server_name(record.hub);
    let mut last = None;
    for address in &record.addresses {
        let network = |source| ConnectError::Network { address: address.to_string(), source };
        let candidates = match net.resolve(address.host(), address.port()).await {
            Ok(candidates) => candidates,
            Err(source) => {
                last = Some(network(source));
                continue;
            }
        };
        for candidate in candidates {
            let handshake = |lost| ConnectError::Handshake { address: candidate.to_string(), lost };
            let endpoint = match net.bind(candidate).and_then(|udp| endpoint::agent(udp, entropy)) {
                Ok(endpoint) => endpoint,
                Err(source) => {
                    last = Some(network(source));
                    continue;
                }
            };
            let connecting = match endpoint.connect_with(config.clone(), candidate, &name.to_str())
            {
                Ok(connecting) => connecting,
                Err(error) => {
                    last = Some(handshake(Lost::Failed(error.to_string())));
                    continue;
                }
            };
            match tokio::time::timeout(HANDSHAKE_MAX, connecting).await {
                Ok(Ok(connection)) => {
                    return Ok(Tunnel { connection, endpoint, closed: false });
                }
                Ok(Err(error)) => last = Some(handshake(error.into())),
                Err(_) => last = Some(handshake(Lost::TimedOut)),
            }
        }
    }
    Err(last.unwrap_or_else(|| ConnectError::Network {
        address: record.hub.to_string(),
        source: io::Error::new(io::ErrorKind::NotFound, "the hub has no address"),
    }))
}
