//! How a byte stream to a host is opened: the seam between the upstream client and the network.
//!
//! The real one resolves the name and races the addresses; a simulation hands in its own. Neither
//! decides *where* to: host and port come from an origin of the compiled table.

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// Head start of one address before the next one is tried as well (RFC 8305 section 5).
const ADDRESS_HEAD_START: Duration = Duration::from_millis(250);
/// Addresses of one name that are tried at most.
const ADDRESSES_MAX: usize = 8;

/// A byte stream to a provider.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A byte stream on its way.
pub type DialFuture = Pin<Box<dyn Future<Output = io::Result<Box<dyn Io>>> + Send>>;

/// Opens byte streams.
pub trait Dial: fmt::Debug + Send + Sync {
    /// Opens a stream to `host` (a name, or an IP address without brackets) at TCP port `port`.
    ///
    /// # Cancel safety
    /// Dropping the future abandons the attempt.
    fn dial(&self, host: &str, port: u16) -> DialFuture;
}

/// Dials over the machine's own TCP and resolver.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemDial;

impl Dial for SystemDial {
    fn dial(&self, host: &str, port: u16) -> DialFuture {
        let host = host.to_owned();
        Box::pin(async move {
            let addresses = tokio::net::lookup_host((host.as_str(), port)).await?;
            let stream = race(interleave(addresses.collect())).await?;
            // Small requests and h2 frames must not wait for an ACK (Nagle).
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn Io>)
        })
    }
}

/// Alternates address families, the resolver's first choice first.
fn interleave(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (preferred, other): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    let mut mixed = Vec::new();
    let (mut preferred, mut other) = (preferred.into_iter(), other.into_iter());
    loop {
        let pair = [preferred.next(), other.next()];
        if pair == [None, None] || mixed.len() >= ADDRESSES_MAX {
            mixed.truncate(ADDRESSES_MAX);
            return mixed;
        }
        mixed.extend(pair.into_iter().flatten());
    }
}

/// Connects to the first address that answers; each has a head start before the next.
async fn race(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut waiting = addresses.into_iter();
    let mut attempts = FuturesUnordered::new();
    let mut last_error = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    let mut more = true;
    loop {
        if more {
            match waiting.next() {
                Some(address) => attempts.push(TcpStream::connect(address)),
                None => more = false,
            }
        }
        tokio::select! {
            biased;
            outcome = attempts.next() => match outcome {
                Some(Ok(stream)) => return Ok(stream),
                Some(Err(error)) => last_error = error,
                None if more => {}
                None => return Err(last_error),
            },
            () = tokio::time::sleep(ADDRESS_HEAD_START), if more => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().expect("address")).collect()
    }

    #[test]
    fn families_alternate_and_the_list_is_bounded() {
        let mixed = interleave(addresses(&["[::1]:1", "[::2]:1", "1.1.1.1:1", "[::3]:1"]));
        assert_eq!(mixed, addresses(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "[::3]:1"]));
        let many: Vec<_> =
            (1..100u16).map(|port| SocketAddr::from(([127, 0, 0, 1], port))).collect();
        assert_eq!(interleave(many).len(), ADDRESSES_MAX);
        assert!(interleave(Vec::new()).is_empty());
    }

    #[tokio::test]
    async fn a_dead_address_does_not_hide_a_live_one() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let live = listener.local_addr().expect("address");
        let dead = {
            let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
            gone.local_addr().expect("address")
        };
        let stream = race(vec![dead, live]).await.expect("connect");
        assert_eq!(stream.peer_addr().expect("peer"), live);
        assert!(race(vec![dead]).await.is_err());
        assert!(race(Vec::new()).await.is_err());
    }
}
