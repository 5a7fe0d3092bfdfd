//! What a simulated provider is told at its start, and the limits it keeps.
//!
//! A key that requests must carry is kept as a digest only.

use super::control::Control;
use sha2::{Digest, Sha256};
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};

/// Finished and running requests remembered; the oldest is forgotten first.
pub const RECORDS_MAX: usize = 4_096;
/// Connections served at once; further ones wait in the listener's backlog.
pub const CONNECTIONS_MAX: usize = 4_096;
/// Bytes of a request head, on either protocol.
pub const HEAD_BYTES_MAX: usize = 64 * 1_024;
/// Bytes of a request body kept to be parsed. A longer one is read and hashed to its end, and then
/// answered with 413.
pub const BODY_KEPT_MAX: usize = 80 * 1_024 * 1_024;
/// Concurrent streams on one HTTP/2 connection.
pub(crate) const H2_STREAMS_MAX: u32 = 1_024;

/// Which protocols a simulated provider speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocols {
    /// HTTP/1.1, and HTTP/2 for clients that begin with its preface.
    #[default]
    Both,
    /// HTTP/2 with prior knowledge, and nothing else.
    H2Only,
}

/// The digest of the one key that is accepted.
#[derive(Clone, PartialEq, Eq)]
pub struct ExpectedKey([u8; 32]);

impl ExpectedKey {
    /// Remembers `key` by its digest.
    #[must_use]
    pub fn of(key: &str) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }

    /// Whether `key` is the accepted one.
    #[must_use]
    pub fn accepts(&self, key: &str) -> bool {
        *self == Self::of(key)
    }
}

impl fmt::Debug for ExpectedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ExpectedKey(..)")
    }
}

/// Everything a simulated provider is told at its start.
#[derive(Debug, Clone)]
pub struct ProviderConfig {
    /// A loopback address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The protocols spoken.
    pub protocols: Protocols,
    /// The only key accepted; any nonempty one where there is none.
    pub expect_key: Option<ExpectedKey>,
    /// What requests get that do not ask for anything else.
    pub defaults: Control,
    /// Mixed into the seed that each request's own bytes give.
    pub seed: u64,
}

impl Default for ProviderConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            protocols: Protocols::default(),
            expect_key: None,
            defaults: Control::default(),
            seed: 0,
        }
    }
}
