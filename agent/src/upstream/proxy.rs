//! From a connection to a proxy to a tunnel to a provider's host.
//!
//! The proxy is told a host name and a port of the compiled table, and user and password where its
//! owner gave them: nothing of a request. It is as hostile as anything on the way. Every answer has
//! a length limit, no byte behind the answer is taken for the proxy's, no redirect is followed, and
//! the caller's one deadline ends silence. TLS with the provider runs inside what comes out of
//! here, and is verified there as if there were no proxy.

mod connect;
mod socks;

pub(super) use connect::HEAD_BYTES_MAX;

use super::dial::Io;
use crate::account::ProxyKind;
use crate::vault::Way;
use std::io;
use tokio::io::{AsyncWrite, AsyncWriteExt};

/// Why a proxy opened no tunnel. Nothing was sent to a provider.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// The connection to the proxy failed.
    #[error("the connection to it broke")]
    Io(#[from] io::Error),
    /// It closed the connection without an answer.
    #[error("it closed the connection before it had answered")]
    Closed,
    /// It wants user and password, or others.
    #[error("it refuses the user or password (407): set the account's egress again")]
    Unauthorized,
    /// It does not let this agent through.
    #[error("it does not allow the provider's host (403): its owner must allow it")]
    Forbidden,
    /// It answered `CONNECT` with another refusal.
    #[error("it answered CONNECT with status {0}")]
    Status(u16),
    /// It does not speak HTTP.
    #[error("it does not speak HTTP: is it a SOCKS proxy, or does it want TLS?")]
    NotHttp,
    /// The head of its answer has no end.
    #[error("the head of its answer is longer than {HEAD_BYTES_MAX} bytes")]
    HeadTooLong,
    /// It sent bytes behind its answer that nobody asked for.
    #[error("it sent bytes into the tunnel before the provider could")]
    EarlyBytes,
    /// It does not speak SOCKS5.
    #[error("it does not speak SOCKS5: is it an HTTP proxy?")]
    NotSocks,
    /// It takes none of the ways to log in that were offered.
    #[error("it wants another way to log in: give its user in the egress, or leave the user out")]
    NoMethod,
    /// It refused user and password over SOCKS5.
    #[error("it refuses the user or password: set the account's egress again")]
    Credentials,
    /// It could not open the tunnel over SOCKS5.
    #[error("it could not open the tunnel: {}", socks::reply_text(*.0))]
    Reply(u8),
}

/// Asks the proxy behind `io` for a tunnel to `host` and `port`.
///
/// # Errors
/// [`ProxyError`]; the connection is of no further use.
///
/// # Cancel safety
/// Dropping it closes the connection.
pub(super) async fn open(
    io: Box<dyn Io>,
    way: &Way,
    host: &str,
    port: u16,
) -> Result<Box<dyn Io>, ProxyError> {
    match way.proxy().kind() {
        ProxyKind::Http | ProxyKind::Https => connect::open(io, way, host, port).await,
        ProxyKind::Socks5 => socks::open(io, way, host, port).await,
    }
}

/// Writes all of `bytes`, through every buffer on the way.
async fn send(io: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    io.write_all(bytes).await?;
    io.flush().await
}

#[cfg(test)]
mod tests;
