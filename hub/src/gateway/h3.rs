//! HTTP/3 at the users' door: QUIC on the UDP port of the same number, and the same handlers.
//!
//! What h1 and h2 are held to holds here too: the door's places, the limits of one connection, the
//! certificate in force. Beyond that an address proves itself by a Retry when many handshakes are
//! under way, and a place of an address is taken only after the handshake has proved it, so that
//! nobody can use up another's. QUIC itself sends an unproven address at most three times what came
//! from it.
//!
//! Never taken: requests before the end of the handshake (0-RTT), which could be replayed.

mod connection;
mod frames;
mod quic;
mod request;
mod upload;

use super::door::Server;
use crate::config::Limits;
use crate::gateway::connection::Requests;
use crate::lifecycle::Stage;
use aws_lc_rs::hmac;
use quinn::crypto::rustls::{NoInitialCipherSuite, QuicServerConfig};
use quinn::{Endpoint, IdleTimeout, Incoming, TransportConfig, VarInt};
use request::Shared;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use weft_proto::entropy::Entropy;
use weft_transport::endpoint;

/// What HTTP/3 calls itself in the handshake.
const ALPN: &[u8] = b"h3";

/// How long users may remember that the door speaks HTTP/3, seconds.
const ALT_SVC_SECONDS: u32 = 3_600;

/// Handshakes under way from which on an address must prove itself by a Retry first.
const UNPROVEN_HANDSHAKES_MAX: usize = 64;

/// Handshakes under way from which on further connections are refused.
const HANDSHAKES_MAX: usize = 1_024;

/// Connections that wait to be accepted; more are refused by the transport.
const INCOMING_MAX: usize = 1_024;

/// What is kept of one connection, and of all, before they are accepted, bytes.
const INCOMING_BYTES_MAX: u64 = 16 * 1024;
const INCOMING_BYTES_TOTAL_MAX: u64 = 4 * 1024 * 1024;

/// Flow control that one stream may use for its upload, bytes.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;

/// Flow control that one connection may use for uploads, bytes: that of many streams, so that a few
/// stalled uploads do not block the others.
const CONNECTION_WINDOW_BYTES: u32 = 64 * STREAM_WINDOW_BYTES;

/// What one connection may hold of answers that its user has not acknowledged, bytes.
const SEND_WINDOW_BYTES: u64 = 512 * 1024;

/// Unidirectional streams that a user may have open: control and QPACK take three.
const UNI_STREAMS_MAX: u32 = 16;

/// Silence after which a user is gone. Shorter than the time for which a model may think, so:
const SILENCE_MAX: Duration = Duration::from_secs(45);

/// How often a silent user is asked whether it lives, which also keeps its own patience.
const KEEP_ALIVE: Duration = Duration::from_secs(12);

/// Codes of HTTP/3 for connections that are not served (RFC 9114 section 8.1).
const H3_NO_ERROR: VarInt = VarInt::from_u32(0x100);
const H3_EXCESSIVE_LOAD: VarInt = VarInt::from_u32(0x107);

/// What HTTP/3 needs beyond an address.
#[derive(Clone)]
pub struct Quic {
    crypto: Arc<QuicServerConfig>,
    reset_key: [u8; 32],
    entropy: Arc<dyn Entropy>,
}

impl fmt::Debug for Quic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Quic").finish_non_exhaustive()
    }
}

impl Quic {
    /// QUIC under the certificate of `tls`. `reset_key` is the hub's, and the same after a restart:
    /// each door derives its own.
    ///
    /// # Errors
    /// [`NoInitialCipherSuite`] where `tls` is not fit for QUIC.
    pub fn new(
        tls: &rustls::ServerConfig,
        reset_key: [u8; 32],
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, NoInitialCipherSuite> {
        let mut tls = tls.clone();
        tls.alpn_protocols = vec![ALPN.to_vec()];
        tls.max_early_data_size = 0;
        let crypto = Arc::new(QuicServerConfig::try_from(tls)?);
        Ok(Self { crypto, reset_key, entropy })
    }

    /// Binds the door's UDP side.
    pub(super) fn bind(&self, address: SocketAddr) -> io::Result<Endpoint> {
        let (udp, buffers) = endpoint::bind_udp(address)?;
        tracing::info!(%address, receive = buffers.receive, send = buffers.send, "UDP buffers");
        // Another key than any other door's: who may ask one for the resets of its connections
        // must not get those of another's.
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.reset_key);
        let tag = hmac::sign(&key, format!("users' door {address}").as_bytes());
        let mut own = [0; 32];
        own.copy_from_slice(tag.as_ref());
        let config = self.settings(&Limits::default());
        endpoint::hub(udp, config, &own, &*self.entropy)
    }

    /// The settings of a connection that begins under `limits`.
    pub(super) fn settings(&self, limits: &Limits) -> quinn::ServerConfig {
        let mut transport = TransportConfig::default();
        transport
            .max_concurrent_bidi_streams(VarInt::from_u32(limits.h3_streams_max))
            .max_concurrent_uni_streams(VarInt::from_u32(UNI_STREAMS_MAX))
            .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
            .receive_window(VarInt::from_u32(CONNECTION_WINDOW_BYTES))
            .send_window(SEND_WINDOW_BYTES)
            .max_idle_timeout(IdleTimeout::try_from(SILENCE_MAX).ok())
            .keep_alive_interval(Some(KEEP_ALIVE))
            .datagram_receive_buffer_size(None)
            .datagram_send_buffer_size(0)
            // The spin bit would tell the path's observers the round trip.
            .allow_spin(false);
        let mut config =
            quinn::ServerConfig::with_crypto(Arc::<QuicServerConfig>::clone(&self.crypto));
        config
            .transport_config(Arc::new(transport))
            .max_incoming(INCOMING_MAX)
            .incoming_buffer_size(INCOMING_BYTES_MAX)
            .incoming_buffer_size_total(INCOMING_BYTES_TOTAL_MAX)
            // An answer follows its user through NAT rebinding.
            .migration(true);
        config
    }
}

/// The value of `alt-svc` that names HTTP/3 at `port`.
pub(super) fn alt_svc(port: u16) -> String {
    format!("h3=\":{port}\"; ma={ALT_SVC_SECONDS}")
}

/// Accepts on `endpoint` until the hub is asked to stop; then refuses, until what stands is over.
pub(super) async fn serve(server: Arc<Server>, endpoint: Endpoint, quic: Quic) {
    let handshakes = Arc::new(AtomicUsize::new(0));
    loop {
        let incoming = tokio::select! {
            biased;
            () = server.stopping.cancelled() => break,
            incoming = endpoint.accept() => incoming,
        };
        let Some(incoming) = incoming else { break };
        let under_way = handshakes.load(Ordering::Relaxed);
        if under_way >= UNPROVEN_HANDSHAKES_MAX && !incoming.remote_address_validated() {
            // An address that cannot answer a Retry costs no handshake, and no place.
            if let Err(error) = incoming.retry() {
                error.into_incoming().refuse();
            }
            continue;
        }
        let place = server.place();
        let (Some(permit), true) = (place, under_way < HANDSHAKES_MAX) else {
            server.gateway.0.metrics.refused("connections_full");
            incoming.refuse();
            continue;
        };
        let handshake = Handshake::begin(&handshakes);
        let settings = Arc::new(quic.settings(&server.limits.now()));
        let of_one = Arc::clone(&server);
        server.tasks.spawn(Stage::Work, "user connection", async move {
            of_one.h3(incoming, settings, handshake).await;
            drop(permit);
        });
    }
    let refusing = async {
        while let Some(incoming) = endpoint.accept().await {
            incoming.refuse();
        }
    };
    tokio::select! {
        biased;
        () = endpoint.wait_idle() => {}
        () = refusing => {}
    }
}

impl Server {
    async fn h3(
        &self,
        incoming: Incoming,
        settings: Arc<quinn::ServerConfig>,
        handshake: Handshake,
    ) {
        let peer = incoming.remote_address();
        // A connection keeps to the limits that it began with.
        let limits = self.limits.now();
        let shaking = async { incoming.accept_with(settings)?.await };
        let connection = match tokio::time::timeout(limits.handshake, shaking).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => {
                tracing::debug!(%peer, %error, "QUIC handshake failed on the users' door");
                return;
            }
            Err(_) => {
                tracing::debug!(%peer, "QUIC handshake too slow on the users' door");
                return;
            }
        };
        drop(handshake);
        let metrics = &self.gateway.0.metrics;
        let Some(place) = self.peers.enter(peer.ip()) else {
            metrics.refused("connections_full");
            connection.close(H3_EXCESSIVE_LOAD, b"too many connections of this address");
            return;
        };
        metrics.connection_opened();
        let shared = Shared {
            answers: Arc::new(self.gateway.clone()),
            tasks: self.tasks.clone(),
            requests: Requests::default(),
            limits,
            peer: peer.ip(),
        };
        let ended = connection::serve(connection.clone(), shared, self.stopping.clone()).await;
        connection.close(H3_NO_ERROR, b"");
        metrics.connection_closed();
        drop(place);
        if let Err(error) = ended
            && !error.is_h3_no_error()
        {
            tracing::debug!(%peer, %error, "user connection ended improperly");
        }
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

#[cfg(test)]
mod tests;
