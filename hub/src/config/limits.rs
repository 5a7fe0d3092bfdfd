//! What the hub spends at most: connections, memory, patience. Each default has a name here.

use super::ConfigError;
use serde::{Deserialize, Deserializer};
use std::time::Duration;
use weft_proto::limits::{REPLAY_BYTES_MAX, STREAM_WINDOW_BYTES};

/// Users' connections open at once.
const CONNECTIONS_MAX: usize = 8_192;
/// Users' connections open at once from one address.
const CONNECTIONS_PER_ADDRESS_MAX: usize = 2_048;
/// Exchanges running at once.
const EXCHANGES_MAX: usize = 4_096;
/// HTTP/2 streams that one users' connection may have open at once.
const H2_STREAMS_MAX: u32 = 256;
/// HTTP/2 streams reset by a user that may wait to be forgotten on one connection.
const H2_RESETS_MAX: usize = 64;
/// Tunnels open at once.
const TUNNELS_MAX: usize = 16_384;
/// Bytes that all exchanges together may hold in buffers.
const MEMORY_BYTES_MAX: u64 = 1280 * 1024 * 1024;
/// What one exchange may hold at most, bytes: the window of its answer, what is kept of its body
/// for another attempt, and the window of its upload.
pub const EXCHANGE_BYTES_MAX: u64 = 2 * STREAM_WINDOW_BYTES as u64 + REPLAY_BYTES_MAX as u64;
/// Wrong keys that one address may present in a minute.
const FAILED_KEYS_PER_MINUTE_MAX: u32 = 30;
/// Head of a request, bytes (DESIGN: 48 KiB).
const HEAD_BYTES_MAX: usize = 48 * 1024;
/// Body of a request, bytes: the largest file that a provider takes.
const BODY_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// TLS handshake of a users' connection, seconds.
const HANDSHAKE_SECONDS: u64 = 5;
/// Head of a request, seconds from its first byte.
const HEAD_SECONDS: u64 = 10;
/// Silence inside a request's body, seconds.
const BODY_IDLE_SECONDS: u64 = 30;
/// From the end of a request to the head of its answer, seconds: models think for minutes.
const ANSWER_HEAD_SECONDS: u64 = 900;
/// Silence inside an answer, seconds.
const ANSWER_IDLE_SECONDS: u64 = 900;
/// A reader that takes nothing, seconds, before its exchange is cut.
const STALL_SECONDS: u64 = 60;
/// A whole exchange, seconds.
const EXCHANGE_SECONDS: u64 = 3_600;
/// How long running exchanges may go on after a request to stop, seconds.
const DRAIN_SECONDS: u64 = 30;

/// What the hub spends at most.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Users' connections open at once.
    pub connections_max: usize,
    /// Users' connections open at once from one address.
    pub connections_per_address_max: usize,
    /// Exchanges running at once; more are refused with 503.
    pub exchanges_max: usize,
    /// HTTP/2 streams that one users' connection may have open at once.
    pub h2_streams_max: u32,
    /// HTTP/2 streams reset by a user that may wait to be forgotten on one connection.
    pub h2_resets_max: usize,
    /// Tunnels open at once.
    pub tunnels_max: usize,
    /// Bytes that all exchanges together may hold in buffers.
    pub memory_bytes_max: u64,
    /// Wrong keys that one address may present in a minute; more are refused with 429.
    pub failed_keys_per_minute_max: u32,
    /// Head of a request, bytes.
    pub head_bytes_max: usize,
    /// Body of a request, bytes; more is refused with 413.
    pub body_bytes_max: u64,
    /// TLS handshake of a users' connection.
    #[serde(rename = "handshake_seconds", deserialize_with = "seconds")]
    pub handshake: Duration,
    /// Head of a request, from its first byte.
    #[serde(rename = "head_seconds", deserialize_with = "seconds")]
    pub head: Duration,
    /// Silence inside a request's body.
    #[serde(rename = "body_idle_seconds", deserialize_with = "seconds")]
    pub body_idle: Duration,
    /// From the end of a request to the head of its answer.
    #[serde(rename = "answer_head_seconds", deserialize_with = "seconds")]
    pub answer_head: Duration,
    /// Silence inside an answer.
    #[serde(rename = "answer_idle_seconds", deserialize_with = "seconds")]
    pub answer_idle: Duration,
    /// A reader that takes nothing, before its exchange is cut.
    #[serde(rename = "stall_seconds", deserialize_with = "seconds")]
    pub stall: Duration,
    /// A whole exchange.
    #[serde(rename = "exchange_seconds", deserialize_with = "seconds")]
    pub exchange: Duration,
    /// How long running exchanges may go on after a request to stop.
    #[serde(rename = "drain_seconds", deserialize_with = "seconds")]
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: CONNECTIONS_MAX,
            connections_per_address_max: CONNECTIONS_PER_ADDRESS_MAX,
            exchanges_max: EXCHANGES_MAX,
            h2_streams_max: H2_STREAMS_MAX,
            h2_resets_max: H2_RESETS_MAX,
            tunnels_max: TUNNELS_MAX,
            memory_bytes_max: MEMORY_BYTES_MAX,
            failed_keys_per_minute_max: FAILED_KEYS_PER_MINUTE_MAX,
            head_bytes_max: HEAD_BYTES_MAX,
            body_bytes_max: BODY_BYTES_MAX,
            handshake: Duration::from_secs(HANDSHAKE_SECONDS),
            head: Duration::from_secs(HEAD_SECONDS),
            body_idle: Duration::from_secs(BODY_IDLE_SECONDS),
            answer_head: Duration::from_secs(ANSWER_HEAD_SECONDS),
            answer_idle: Duration::from_secs(ANSWER_IDLE_SECONDS),
            stall: Duration::from_secs(STALL_SECONDS),
            exchange: Duration::from_secs(EXCHANGE_SECONDS),
            drain: Duration::from_secs(DRAIN_SECONDS),
        }
    }
}

impl Limits {
    /// Refuses limits that would refuse everything.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let positive = [
            ("connections_max", self.connections_max),
            ("connections_per_address_max", self.connections_per_address_max),
            ("exchanges_max", self.exchanges_max),
            ("h2_streams_max", self.h2_streams_max as usize),
            ("tunnels_max", self.tunnels_max),
            ("failed_keys_per_minute_max", self.failed_keys_per_minute_max as usize),
            ("head_bytes_max", self.head_bytes_max),
            ("body_bytes_max", usize::from(self.body_bytes_max > 0)),
        ];
        if self.memory_bytes_max < EXCHANGE_BYTES_MAX {
            return Err(ConfigError::Setting {
                key: "limits.memory_bytes_max".to_owned(),
                reason: format!("not one exchange would fit: want at least {EXCHANGE_BYTES_MAX}"),
            });
        }
        match positive.into_iter().find(|(_, value)| *value == 0) {
            None => Ok(()),
            Some((key, _)) => Err(ConfigError::Setting {
                key: format!("limits.{key}"),
                reason: "nothing would pass: want at least 1".to_owned(),
            }),
        }
    }
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_secs)
}
