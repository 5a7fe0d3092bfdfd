//! A way of its own between one socket of this process and the hub: a long one, or one on which
//! nothing comes back.

use super::clients::here;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Datagrams under way at a time; more are lost, as on any way that is too narrow.
const UNDER_WAY_MAX: usize = 8_192;
/// Longest datagram.
const DATAGRAM_BYTES_MAX: usize = 65_536;

/// What the way does to what it carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// It takes so long, each way.
    Long(Duration),
    /// What goes to the hub arrives, what the hub answers does not.
    Deaf,
}

/// Opens a way to `hub` whose near end is returned; it carries for as long as `tasks` live.
///
/// # Errors
/// Those of the operating system.
pub(super) async fn open(
    hub: SocketAddr,
    way: Way,
    tasks: &mut JoinSet<()>,
) -> io::Result<SocketAddr> {
    let loopback: IpAddr =
        if hub.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
    let near = Arc::new(UdpSocket::bind((loopback, 0)).await?);
    let far = Arc::new(UdpSocket::bind((here(hub), 0)).await?);
    far.connect(hub).await?;
    let address = near.local_addr()?;
    tasks.spawn(async move { carry(near, far, way).await });
    Ok(address)
}

async fn carry(near: Arc<UdpSocket>, far: Arc<UdpSocket>, way: Way) {
    let (mut up, mut down) = (vec![0; DATAGRAM_BYTES_MAX], vec![0; DATAGRAM_BYTES_MAX]);
    let places = Arc::new(Semaphore::new(UNDER_WAY_MAX));
    let mut under_way = JoinSet::new();
    let mut client = None;
    let delay = match way {
        Way::Long(delay) => delay,
        Way::Deaf => Duration::ZERO,
    };
    loop {
        tokio::select! {
            biased;
            Some(_) = under_way.join_next(), if !under_way.is_empty() => {}
            received = near.recv_from(&mut up) => {
                // An error is one datagram's: the hub may be away for a while.
                let Ok((bytes, from)) = received else { continue };
                client = Some(from);
                let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
                let (datagram, far) = (up[..bytes].to_vec(), Arc::clone(&far));
                under_way.spawn(async move {
                    tokio::time::sleep(delay).await;
                    drop(far.send(&datagram).await);
                    drop(place);
                });
            }
            received = far.recv(&mut down) => {
                let (Ok(bytes), Some(client), Way::Long(_)) = (received, client, way) else {
                    continue;
                };
                let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
                let (datagram, near) = (down[..bytes].to_vec(), Arc::clone(&near));
                under_way.spawn(async move {
                    tokio::time::sleep(delay).await;
                    drop(near.send_to(&datagram, client).await);
                    drop(place);
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn said(way: Way) -> bool {
        let hub = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let mut tasks = JoinSet::new();
        let near = open(hub.local_addr().expect("bound"), way, &mut tasks).await.expect("open");
        let client = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        client.send_to(b"hello", near).await.expect("sent");
        let mut bytes = [0; 16];
        let (count, from) = hub.recv_from(&mut bytes).await.expect("what was sent");
        assert_eq!(&bytes[..count], b"hello");
        hub.send_to(b"well", from).await.expect("sent");
        let answer = tokio::time::timeout(Duration::from_secs(1), client.recv_from(&mut bytes));
        answer.await.is_ok()
    }

    #[tokio::test]
    async fn a_long_way_carries_both_ways_and_a_deaf_one_only_there() {
        assert!(said(Way::Long(Duration::from_millis(5))).await);
        assert!(!said(Way::Deaf).await);
    }
}
