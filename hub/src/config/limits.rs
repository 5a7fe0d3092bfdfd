//! What the hub spends at most: connections, memory, patience. Each default has a name here.

use super::ConfigError;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
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
/// HTTP/3 streams that one users' connection may have open at once. Each costs memory whether it is
/// open or not.
const H3_STREAMS_MAX: u32 = 128;
/// Tunnels open at once.
const TUNNELS_MAX: usize = 16_384;
/// Bytes that all exchanges together may hold in buffers.
const MEMORY_BYTES_MAX: u64 = 1536 * 1024 * 1024;
/// What the users' door takes of one HTTP/2 answer ahead of its reader, bytes.
pub const H2_SEND_BUFFER_BYTES: usize = 64 * 1024;
/// What a running exchange takes beside its buffers, bytes: heads, records, the state of two
/// streams. Measured at 9 to 10 KiB (`make bench`, slow readers).
const EXCHANGE_OWN_BYTES: u64 = 16 * 1024;
/// What one exchange may hold for its answer, bytes: its own part, the window of the answer, and
/// what the users' door takes ahead of a slow reader.
pub const ANSWER_BYTES_MAX: u64 =
    EXCHANGE_OWN_BYTES + STREAM_WINDOW_BYTES as u64 + H2_SEND_BUFFER_BYTES as u64;
/// What one exchange may hold at most, bytes: that of its answer, what is kept of its body for
/// another attempt, and the window of its upload.
pub const EXCHANGE_BYTES_MAX: u64 =
    ANSWER_BYTES_MAX + STREAM_WINDOW_BYTES as u64 + REPLAY_BYTES_MAX as u64;
/// Outcomes that may wait for the store, those of running exchanges counted.
const OUTCOMES_WAITING_MAX: usize = 65_536;
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
/// Wait for an agent that is away and expected back, seconds: longer than an idle agent takes to
/// learn, by its next keep-alive, that its hub was killed.
const AGENT_WAIT_SECONDS: u64 = 25;
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
/// The most that any of these times may be set to, seconds: thirty days. Far beyond it a moment in
/// the future is none that a clock can hold.
const SECONDS_MAX: u64 = 30 * 86_400;

/// What the hub spends at most.
#[derive(Debug, Clone, Serialize, Deserialize)]
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
    /// HTTP/3 streams that one users' connection may have open at once.
    pub h3_streams_max: u32,
    /// Tunnels open at once.
    pub tunnels_max: usize,
    /// Bytes that all exchanges together may hold in buffers.
    pub memory_bytes_max: u64,
    /// Outcomes that wait for a store that is away; further exchanges are refused.
    pub outcomes_waiting_max: usize,
    /// Wrong keys that one address may present in a minute; more are refused with 429.
    pub failed_keys_per_minute_max: u32,
    /// Head of a request, bytes.
    pub head_bytes_max: usize,
    /// Body of a request, bytes; more is refused with 413.
    pub body_bytes_max: u64,
    /// TLS handshake of a users' connection.
    #[serde(
        rename = "handshake_seconds",
        deserialize_with = "seconds",
        serialize_with = "as_seconds"
    )]
    pub handshake: Duration,
    /// Head of a request, from its first byte.
    #[serde(rename = "head_seconds", deserialize_with = "seconds", serialize_with = "as_seconds")]
    pub head: Duration,
    /// Silence inside a request's body.
    #[serde(
        rename = "body_idle_seconds",
        deserialize_with = "seconds",
        serialize_with = "as_seconds"
    )]
    pub body_idle: Duration,
    /// Wait for an agent that is away and expected back; zero refuses at once.
    #[serde(
        rename = "agent_wait_seconds",
        deserialize_with = "seconds",
        serialize_with = "as_seconds"
    )]
    pub agent_wait: Duration,
    /// From the end of a request to the head of its answer.
    #[serde(
        rename = "answer_head_seconds",
        deserialize_with = "seconds",
        serialize_with = "as_seconds"
    )]
    pub answer_head: Duration,
    /// Silence inside an answer.
    #[serde(
        rename = "answer_idle_seconds",
        deserialize_with = "seconds",
        serialize_with = "as_seconds"
    )]
    pub answer_idle: Duration,
    /// A reader that takes nothing, before its exchange is cut.
    #[serde(rename = "stall_seconds", deserialize_with = "seconds", serialize_with = "as_seconds")]
    pub stall: Duration,
    /// A whole exchange.
    #[serde(
        rename = "exchange_seconds",
        deserialize_with = "seconds",
        serialize_with = "as_seconds"
    )]
    pub exchange: Duration,
    /// How long running exchanges may go on after a request to stop.
    #[serde(rename = "drain_seconds", deserialize_with = "seconds", serialize_with = "as_seconds")]
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
            h3_streams_max: H3_STREAMS_MAX,
            tunnels_max: TUNNELS_MAX,
            memory_bytes_max: MEMORY_BYTES_MAX,
            outcomes_waiting_max: OUTCOMES_WAITING_MAX,
            failed_keys_per_minute_max: FAILED_KEYS_PER_MINUTE_MAX,
            head_bytes_max: HEAD_BYTES_MAX,
            body_bytes_max: BODY_BYTES_MAX,
            handshake: Duration::from_secs(HANDSHAKE_SECONDS),
            head: Duration::from_secs(HEAD_SECONDS),
            body_idle: Duration::from_secs(BODY_IDLE_SECONDS),
            agent_wait: Duration::from_secs(AGENT_WAIT_SECONDS),
            answer_head: Duration::from_secs(ANSWER_HEAD_SECONDS),
            answer_idle: Duration::from_secs(ANSWER_IDLE_SECONDS),
            stall: Duration::from_secs(STALL_SECONDS),
            exchange: Duration::from_secs(EXCHANGE_SECONDS),
            drain: Duration::from_secs(DRAIN_SECONDS),
        }
    }
}

impl Limits {
    /// These limits with what may change while the hub runs taken from `new`; what sizes something
    /// that was made at the start stays. The keys are named in [`super::changes()`].
    #[must_use]
    pub(super) fn with_live_of(&self, new: &Self) -> Self {
        Self {
            exchanges_max: new.exchanges_max,
            h2_streams_max: new.h2_streams_max,
            h2_resets_max: new.h2_resets_max,
            h3_streams_max: new.h3_streams_max,
            head_bytes_max: new.head_bytes_max,
            body_bytes_max: new.body_bytes_max,
            handshake: new.handshake,
            head: new.head,
            body_idle: new.body_idle,
            agent_wait: new.agent_wait,
            answer_head: new.answer_head,
            answer_idle: new.answer_idle,
            exchange: new.exchange,
            drain: new.drain,
            ..self.clone()
        }
    }

    /// Refuses limits that would refuse everything.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let positive = [
            ("connections_max", self.connections_max),
            ("connections_per_address_max", self.connections_per_address_max),
            ("exchanges_max", self.exchanges_max),
            ("h2_streams_max", self.h2_streams_max as usize),
            ("h3_streams_max", self.h3_streams_max as usize),
            ("tunnels_max", self.tunnels_max),
            ("outcomes_waiting_max", self.outcomes_waiting_max),
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
        if let Some((key, _)) = positive.into_iter().find(|(_, value)| *value == 0) {
            return Err(ConfigError::Setting {
                key: format!("limits.{key}"),
                reason: "nothing would pass: want at least 1".to_owned(),
            });
        }
        let times = [
            ("handshake_seconds", self.handshake),
            ("head_seconds", self.head),
            ("body_idle_seconds", self.body_idle),
            ("answer_head_seconds", self.answer_head),
            ("answer_idle_seconds", self.answer_idle),
            ("stall_seconds", self.stall),
            ("exchange_seconds", self.exchange),
        ];
        // A drain may be none at all, and so may the wait for an agent.
        let [drain, agent_wait] =
            [("drain_seconds", self.drain), ("agent_wait_seconds", self.agent_wait)]
                .map(|(key, time)| (key, time.max(Duration::from_secs(1))));
        let odd = |time: &Duration| time.is_zero() || *time > Duration::from_secs(SECONDS_MAX);
        match times.into_iter().chain([drain, agent_wait]).find(|(_, time)| odd(time)) {
            None => Ok(()),
            Some((key, _)) => Err(ConfigError::Setting {
                key: format!("limits.{key}"),
                reason: format!("want 1 to {SECONDS_MAX} seconds: nothing is without an end"),
            }),
        }
    }
}

pub(super) fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_secs)
}

pub(super) fn as_seconds<S: Serializer>(
    duration: &Duration,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    duration.as_secs().serialize(serializer)
}
