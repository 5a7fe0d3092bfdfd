//! Accepts connections on the agents' door and sends each where its protocol says.

use super::Tunnels;
use crate::lifecycle::Stage;
use rustls::pki_types::CertificateDer;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use weft_certs::{ALPN_JOIN, ALPN_TUNNEL, PeerAgent, agent_of};
use weft_proto::codes::CloseCode;
use weft_proto::limits::SESSION_HANDSHAKE_MAX;
use weft_transport::{Connection, Endpoint, close};

/// Handshakes under way from which on an address must prove itself by a Retry first.
const UNPROVEN_HANDSHAKES_MAX: usize = 256;

/// Handshakes under way from which on further connections are refused.
const HANDSHAKES_MAX: usize = 4_096;

/// Accepts for as long as it is run.
#[derive(Debug)]
pub struct Doorkeeper {
    tunnels: Tunnels,
    endpoint: Endpoint,
    handshakes: Arc<AtomicUsize>,
}

impl Doorkeeper {
    /// Watches the door that `endpoint` is.
    #[must_use]
    pub fn new(tunnels: Tunnels, endpoint: Endpoint) -> Self {
        Self { tunnels, endpoint, handshakes: Arc::default() }
    }

    /// Accepts until the carriers are to stop; then closes every tunnel and waits until the
    /// agents can have heard of it.
    pub async fn run(self) {
        let tasks = &self.tunnels.0.needs.tasks;
        let stopping = tasks.stopping(Stage::Carriers);
        loop {
            let incoming = tokio::select! {
                biased;
                () = stopping.cancelled() => break,
                incoming = self.endpoint.accept() => incoming,
            };
            let Some(incoming) = incoming else { break };
            let under_way = self.handshakes.load(Ordering::Relaxed);
            if under_way >= HANDSHAKES_MAX {
                incoming.refuse();
                continue;
            }
            if under_way >= UNPROVEN_HANDSHAKES_MAX && !incoming.remote_address_validated() {
                // An address that cannot answer a Retry costs no handshake.
                if let Err(error) = incoming.retry() {
                    error.into_incoming().refuse();
                }
                continue;
            }
            let handshake = Handshake::begin(&self.handshakes);
            let tunnels = self.tunnels.clone();
            tasks.spawn(Stage::Carriers, "tunnel", async move {
                tunnels.receive(incoming, handshake).await;
            });
        }
        close::endpoint(&self.endpoint, CloseCode::Done);
        self.endpoint.wait_idle().await;
    }
}

/// One handshake under way.
struct Handshake(Arc<AtomicUsize>);

impl Handshake {
    fn begin(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a connection's handshake settled.
enum Peer {
    Tunnel(PeerAgent),
    Joining,
    Nobody,
}

impl Tunnels {
    async fn receive(&self, incoming: quinn::Incoming, handshake: Handshake) {
        let remote = incoming.remote_address();
        let connection = match tokio::time::timeout(SESSION_HANDSHAKE_MAX, incoming).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => {
                tracing::info!(%remote, %error, "handshake failed on the agents' door");
                return;
            }
            Err(_) => {
                tracing::info!(%remote, "handshake too slow on the agents' door");
                return;
            }
        };
        match peer_of(&connection) {
            Peer::Joining => self.join(connection).await,
            Peer::Tunnel(peer) => self.serve(connection, peer, || drop(handshake)).await,
            Peer::Nobody => {
                tracing::info!(%remote, "no client certificate on weft/1");
                close::connection(&connection, CloseCode::NoCertificate);
            }
        }
    }
}

/// Reads the protocol and the certificate of a connection. The certificate was verified in the
/// handshake, trust included; one is only missing where none was offered.
fn peer_of(connection: &Connection) -> Peer {
    let protocol = connection
        .handshake_data()
        .and_then(|data| data.downcast::<quinn::crypto::rustls::HandshakeData>().ok())
        .and_then(|data| data.protocol);
    match protocol.as_deref() {
        Some(protocol) if protocol == ALPN_JOIN => return Peer::Joining,
        Some(protocol) if protocol == ALPN_TUNNEL => {}
        Some(_) | None => return Peer::Nobody,
    }
    connection
        .peer_identity()
        .and_then(|identity| identity.downcast::<Vec<CertificateDer<'static>>>().ok())
        .and_then(|chain| agent_of(&chain).ok())
        .map_or(Peer::Nobody, Peer::Tunnel)
}
