//! quinn's settings for both ends, each with the reason why it stands there.

use crate::congestion::Discerning;
use quinn::{IdleTimeout, TransportConfig, VarInt};
use quinn_proto::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use std::sync::Arc;
use std::time::Duration;
use weft_proto::entropy::Entropy;
use weft_proto::limits::{
    AGENT_BIDI_STREAMS, EXCHANGE_STREAMS, IDLE_MAX, KEEP_ALIVE, KEEP_ALIVE_JITTER_PERCENT,
    STREAM_WINDOW_BYTES, TUNNEL_WINDOW_BYTES, UNI_STREAMS,
};

/// A TLS configuration that QUIC cannot use: no TLS 1.3 cipher suite for its first packets.
#[derive(Debug, thiserror::Error)]
#[error("the TLS configuration has no initial cipher suite for QUIC")]
pub struct NoInitialCipherSuite(#[from] quinn_proto::crypto::rustls::NoInitialCipherSuite);

/// Largest number of connections that wait to be accepted; more are refused by the transport.
const INCOMING_MAX: usize = 1_024;

/// What both ends share.
fn shared() -> TransportConfig {
    let mut config = TransportConfig::default();
    config
        // What noise loses is not taken for congestion.
        .congestion_controller_factory(Arc::<Discerning>::default())
        // No stalled set of streams may block a sibling or the control stream, in either
        // direction: the connection's windows hold every granted stream's.
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u64(TUNNEL_WINDOW_BYTES).unwrap_or(VarInt::MAX))
        .send_window(TUNNEL_WINDOW_BYTES)
        .max_concurrent_uni_streams(VarInt::from_u32(UNI_STREAMS))
        .max_idle_timeout(IdleTimeout::try_from(IDLE_MAX).ok())
        // Nothing here is sent unreliably, and the buffers would be paid for by idle tunnels.
        .datagram_receive_buffer_size(None)
        .datagram_send_buffer_size(0)
        // The spin bit would tell the path's observers the round trip.
        .allow_spin(false);
    config
}

/// Settings of the hub's end.
///
/// # Errors
/// [`NoInitialCipherSuite`] where `tls` is not fit for QUIC.
pub fn hub(tls: Arc<rustls::ServerConfig>) -> Result<quinn::ServerConfig, NoInitialCipherSuite> {
    let mut transport = shared();
    // A handful: each granted stream costs memory in every idle tunnel. No keep-alive either: the
    // agent keeps its NAT's mapping alive, and ten thousand timers here would be for nothing.
    transport.max_concurrent_bidi_streams(VarInt::from_u32(AGENT_BIDI_STREAMS));
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls)?));
    config.transport_config(Arc::new(transport)).max_incoming(INCOMING_MAX);
    // A tunnel follows its agent through NAT rebinding.
    config.migration(true);
    Ok(config)
}

/// Settings of the agent's end.
///
/// # Errors
/// [`NoInitialCipherSuite`] where `tls` is not fit for QUIC.
pub fn agent(
    tls: Arc<rustls::ClientConfig>,
    entropy: &dyn Entropy,
) -> Result<quinn::ClientConfig, NoInitialCipherSuite> {
    let mut transport = shared();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(EXCHANGE_STREAMS))
        .keep_alive_interval(Some(keep_alive(entropy)));
    let mut config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
    config.transport_config(Arc::new(transport));
    Ok(config)
}

/// [`KEEP_ALIVE`] with its jitter, so that agents of one restart do not beat in step.
fn keep_alive(entropy: &dyn Entropy) -> Duration {
    let spread = KEEP_ALIVE * KEEP_ALIVE_JITTER_PERCENT / 100;
    KEEP_ALIVE - spread + entropy.duration_below(spread * 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_proto::entropy::SeededEntropy;

    #[test]
    fn no_end_spins_or_takes_datagrams_and_windows_hold_every_granted_stream() {
        // quinn shows its settings in no other way.
        let shown = format!("{:?}", shared());
        for wanted in [
            "allow_spin: false",
            "datagram_receive_buffer_size: None",
            "datagram_send_buffer_size: 0",
            &format!("send_window: {TUNNEL_WINDOW_BYTES}"),
        ] {
            assert!(shown.contains(wanted), "{wanted} is not in {shown}");
        }
        let streams = u64::from(EXCHANGE_STREAMS + AGENT_BIDI_STREAMS + UNI_STREAMS);
        assert!(TUNNEL_WINDOW_BYTES >= streams * u64::from(STREAM_WINDOW_BYTES));
    }

    #[test]
    fn keep_alives_lie_between_14_and_21_seconds_and_differ() {
        let entropy = SeededEntropy::new(11);
        let intervals: Vec<_> = (0..100).map(|_| keep_alive(&entropy)).collect();
        assert!(intervals.iter().all(|interval| {
            (14_000..=21_000).contains(&u64::try_from(interval.as_millis()).unwrap())
        }));
        assert!(intervals.windows(2).any(|pair| pair[0] != pair[1]));
    }
}
