//! The way out: requests to the official endpoints, over verified TLS, bytes as they come.
//!
//! Invariants: a request goes to an [`Origin`] and nothing else, and only the compiled table makes
//! one; no redirect is followed and no proxy is taken from the environment, because nothing here
//! can do either: a proxy is one that an account's owner named, and a tunnel through it is to the
//! same origin, with TLS verified inside; no header is added but the host's. Dropping a call or an answer closes its
//! connection (HTTP/2: resets its stream) at once. A request body that did not end as it should
//! never becomes a complete request. An answer that was cut is an error, never an end.
//!
//! [`Origin`]: weft_proto::tables::hosts::Origin

mod body;
mod client;
mod connector;
mod dial;
mod pools;
mod proxy;
mod reach;
mod tls;
mod version;

pub use body::{BodySender, RequestBody, RequestCut, UpstreamBodyError};
pub use client::{Answer, Call, CallError, Opened, Upstream, UpstreamSettings};
pub use dial::{Dial, DialFuture, Io, SystemDial};
pub use proxy::ProxyError;
pub use reach::{ReachError, Step};
pub use tls::{TlsSetupError, official_roots};
pub use version::HttpVersion;

#[cfg(test)]
mod tests;
