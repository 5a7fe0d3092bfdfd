//! Why no connection to a provider came about: which step failed, and how.
//!
//! Nothing of a request was sent in any of these cases.

use super::proxy::ProxyError;
use std::fmt;
use std::io;
use std::time::Duration;

/// A step on the way to a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Resolving a name and opening TCP.
    Dial,
    /// TLS with a proxy.
    ProxyTls,
    /// A proxy's answer.
    Proxy,
    /// TLS with the provider.
    Tls,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dial => "resolving and connecting",
            Self::ProxyTls => "TLS with the proxy",
            Self::Proxy => "the answer of the proxy",
            Self::Tls => "TLS with the provider",
        })
    }
}

/// Why a provider was not reached.
#[derive(Debug, thiserror::Error)]
pub enum ReachError {
    /// The origin cannot be connected to; a fault of a table.
    #[error("not a host to connect to: {0}")]
    Origin(&'static str),
    /// The name has no address, or nobody answers there.
    #[error("cannot connect to {place}")]
    Dial {
        /// Host and port of the provider or the proxy.
        place: String,
        /// What the system said.
        source: io::Error,
    },
    /// The proxy opened no tunnel.
    #[error("the proxy {place}")]
    Proxy {
        /// The proxy, without its user.
        place: String,
        /// What it did.
        source: ProxyError,
    },
    /// TLS failed, with the provider or with the proxy.
    #[error("{step} failed")]
    Tls {
        /// Whose TLS.
        step: Step,
        /// What rustls or the connection said.
        source: io::Error,
    },
    /// The provider does not speak HTTP/2.
    #[error("the provider does not speak HTTP/2: turn it off for this account")]
    NoHttp2,
    /// A step took too long.
    #[error("{step} took longer than {} s", limit.as_secs_f32())]
    TimedOut {
        /// Which step.
        step: Step,
        /// The limit on all steps together.
        limit: Duration,
    },
    /// The account was removed meanwhile.
    #[error("the account's egress is gone")]
    Gone,
}
