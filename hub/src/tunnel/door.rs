//! Accepts connections on the agents' door and sends each where its protocol says.

use super::Tunnels;
use crate::lifecycle::Stage;
use rustls::pki_types::CertificateDer;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Notify;
use weft_certs::{ALPN_JOIN, ALPN_TUNNEL, PeerAgent, agent_of};
use weft_proto::codes::CloseCode;
use weft_proto::limits::SESSION_HANDSHAKE_MAX;
use weft_transport::{Connection, Endpoint, close};

/// Handshakes under way from which on an address must prove itself by a Retry first.
const UNPROVEN_HANDSHAKES_MAX: usize = 256;

/// Handshakes under way, a first message included, from which on further connections wait. So few
/// that all of them end within their time on a slow machine: what is begun in a storm and given up
/// half-way is work for nothing, and more of it the more is begun. The transport keeps as many more
/// waiting as may wait there and refuses the rest, which costs next to nothing: their agents back
/// off.
const HANDSHAKES_MAX: usize = 1_024;

/// Accepts for as long as it is run.
#[derive(Debug)]
pub struct Doorkeeper {
    tunnels: Tunnels,
    endpoint: Endpoint,
    handshakes: Arc<Handshakes>,
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
                incoming = self.next() => incoming,
            };
            let Some(incoming) = incoming else { break };
            let under_way = self.handshakes.under_way.load(Ordering::Acquire);
            if under_way >= UNPROVEN_HANDSHAKES_MAX && !incoming.remote_address_validated() {
                // An address that cannot answer a Retry costs no handshake.
                if let Err(error) = incoming.retry() {
                    error.into_incoming().refuse();
                }
                continue;
            }
            let handshake = Handshake::begin(&self.handshakes);
            let tunnels = self.tunnels.clone();
            // Boxed: a task that wraps a future holds room for it several times over, and one whose
            // future goes through a handshake holds room for that. An idle tunnel pays for its task.
            let remote = incoming.remote_address();
            let shaken: Shaken = Box::pin(shake(incoming));
            let received =
                Box::pin(async move { tunnels.receive(remote, shaken, handshake).await });
            tasks.spawn(Stage::Carriers, "tunnel", received);
        }
        close::endpoint(&self.endpoint, CloseCode::Done);
        self.endpoint.wait_idle().await;
    }

    /// The next connection, once there is a place for its handshake.
    async fn next(&self) -> Option<quinn::Incoming> {
        while self.handshakes.under_way.load(Ordering::Acquire) >= HANDSHAKES_MAX {
            self.handshakes.ended.notified().await;
        }
        self.endpoint.accept().await
    }
}

/// Handshakes under way.
#[derive(Debug, Default)]
struct Handshakes {
    under_way: AtomicUsize,
    /// One of them has ended.
    ended: Notify,
}

/// One handshake under way.
struct Handshake(Arc<Handshakes>);

impl Handshake {
    fn begin(all: &Arc<Handshakes>) -> Self {
        all.under_way.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(all))
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::AcqRel);
        // A word that nobody waits for is kept for the next who does.
        self.0.ended.notify_one();
    }
}

/// A handshake, on its way to a connection.
type Shaken = Pin<Box<dyn Future<Output = Option<Connection>> + Send>>;

async fn shake(incoming: quinn::Incoming) -> Option<Connection> {
    let remote = incoming.remote_address();
    match tokio::time::timeout(SESSION_HANDSHAKE_MAX, incoming).await {
        Ok(Ok(connection)) => Some(connection),
        Ok(Err(error)) => {
            tracing::info!(%remote, %error, "handshake failed on the agents' door");
            None
        }
        Err(_) => {
            tracing::info!(%remote, "handshake too slow on the agents' door");
            None
        }
    }
}

/// What a connection's handshake settled.
enum Peer {
    Tunnel(PeerAgent),
    Joining,
    Nobody,
}

impl Tunnels {
    async fn receive(&self, remote: SocketAddr, shaken: Shaken, handshake: Handshake) {
        let Some(connection) = shaken.await else { return };
        match peer_of(&connection) {
            Peer::Joining => Box::pin(self.join(connection)).await,
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
