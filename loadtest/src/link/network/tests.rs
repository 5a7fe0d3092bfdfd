//! Real packets through real namespaces. Where the machine has no room for links each of these
//! says so and proves nothing.

use super::super::amount::Share;
use super::super::loss::Loss;
use super::super::shaping::{Draft, Reorder};
use super::*;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread::JoinHandle;
use tokio::time::Instant;

/// How long a packet may take that is to arrive, on a machine that is busy.
const ARRIVES_WITHIN: Duration = Duration::from_secs(20);
/// How long is waited for one that is not.
const NEVER: Duration = Duration::from_millis(300);
/// Bytes of the headers of IP and UDP.
const HEADERS_BYTES: u64 = 28;

/// A network of these links; nothing where the machine forbids it.
fn lay(links: &[Draft]) -> Option<Network> {
    let near =
        links.iter().map(|draft| Access::new(draft.clone(), draft.clone()).expect("possible"));
    match Network::lay(Plan { near: near.collect(), seed: 7 }) {
        Ok(network) => Some(network),
        Err(error) if error.is_forbidden() => {
            eprintln!("SKIPPED, this machine has no room for links: {error}");
            None
        }
        Err(error) => panic!("no network: {error}"),
    }
}

fn udp(host: &Host) -> UdpSocket {
    let address = SocketAddr::from((host.address(), 0));
    let socket = host.namespace().inside(move || UdpSocket::bind(address)).expect("inside");
    let socket = socket.expect("a socket");
    socket.set_read_timeout(Some(ARRIVES_WITHIN)).expect("a timeout");
    socket
}

fn send(from: &UdpSocket, to: &UdpSocket, bytes: &[u8]) {
    from.send_to(bytes, to.local_addr().expect("bound")).expect("sent");
}

fn received(socket: &UdpSocket) -> Vec<u8> {
    let mut buffer = [0; 2_048];
    let length = socket.recv(&mut buffer).expect("a datagram");
    buffer[..length].to_vec()
}

fn silent(socket: &UdpSocket) {
    socket.set_read_timeout(Some(NEVER)).expect("a timeout");
    let error = socket.recv(&mut [0; 2_048]).expect_err("nothing was to arrive");
    assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
}

/// A host that sends back whatever comes over one TCP connection.
fn echo(host: &Host) -> (SocketAddr, JoinHandle<std::io::Result<u64>>) {
    let address = SocketAddr::from((host.address(), 0));
    let listener = host.namespace().inside(move || TcpListener::bind(address));
    let listener = listener.expect("inside").expect("a listener");
    let address = listener.local_addr().expect("bound");
    let echoed = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept()?;
        let mut writer = stream.try_clone()?;
        std::io::copy(&mut stream, &mut writer)
    });
    (address, echoed)
}

/// Sends `bytes` from `host` and reads what comes back.
fn there_and_back(host: &Host, address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let connected = host.namespace().inside(move || TcpStream::connect(address));
    let mut stream = connected.expect("inside").expect("a connection");
    let (mut writer, sent) = (stream.try_clone().expect("a clone"), bytes.to_vec());
    let writing = std::thread::spawn(move || {
        writer.write_all(&sent)?;
        writer.shutdown(std::net::Shutdown::Write)
    });
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    writing.join().expect("no panic").expect("sent");
    answer
}

#[test]
fn every_datagram_arrives_where_none_is_lost_and_each_is_counted() {
    let Some(network) = lay(&[Draft { delay: Duration::from_millis(5), ..Draft::default() }])
    else {
        return;
    };
    let (near, far) = (udp(&network.near()[0]), udp(network.far()));
    for number in 0..100_u8 {
        send(&near, &far, &[number; 50]);
        assert_eq!(received(&far), [number; 50]);
        send(&far, &near, &[number; 30]);
        assert_eq!(received(&near), [number; 30]);
    }
    let account = network.account();
    for (counts, bytes) in [(account.near[0].up, 50), (account.near[0].down, 30)] {
        assert_eq!(counts.offered.packets, 100);
        assert_eq!(counts.delivered.packets, 100);
        assert_eq!(counts.delivered.bytes, 100 * (bytes + HEADERS_BYTES));
        assert_eq!(counts.dropped.all(), 0);
    }
    assert_eq!((account.unread, account.relay.refused), (0, 0));
}

#[test]
fn no_datagram_arrives_where_all_are_lost() {
    let loss = Loss::Random { share: Share::ALL };
    let Some(network) = lay(&[Draft { loss, ..Draft::default() }]) else { return };
    let (near, far) = (udp(&network.near()[0]), udp(network.far()));
    for _ in 0..20 {
        send(&near, &far, b"lost");
    }
    silent(&far);
    let counts = network.account().near[0].up;
    assert_eq!((counts.offered.packets, counts.dropped.lost), (20, 20));
}

#[test]
fn a_delay_is_waited_for_on_both_ways() {
    let Some(network) = lay(&[Draft { delay: Duration::from_millis(500), ..Draft::default() }])
    else {
        return;
    };
    let (near, far) = (udp(&network.near()[0]), udp(network.far()));
    let began = Instant::now();
    send(&near, &far, b"there");
    received(&far);
    send(&far, &near, b"and back");
    received(&near);
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
}

#[test]
fn tcp_brings_all_its_bytes_through_loss_jitter_and_reordering() {
    let draft = Draft {
        delay: Duration::from_millis(4),
        jitter: Duration::from_millis(2),
        rate: "50mbit".parse().ok(),
        loss: Loss::Random { share: "1%".parse().expect("a share") },
        reorder: Some(Reorder {
            share: "1%".parse().expect("a share"),
            by: Duration::from_millis(3),
        }),
        duplicate: "1%".parse().expect("a share"),
        ..Draft::default()
    };
    let Some(network) = lay(&[draft]) else { return };
    let bytes: Vec<u8> = (0..300_000_u32).map(|index| (index % 251) as u8).collect();
    let (address, echoed) = echo(network.far());
    assert!(there_and_back(&network.near()[0], address, &bytes) == bytes, "bytes differ");
    assert_eq!(echoed.join().expect("no panic").expect("echoed"), 300_000);
}

#[test]
fn where_udp_is_blocked_tcp_still_passes() {
    let Some(network) = lay(&[Draft { udp_blocked: true, ..Draft::default() }]) else { return };
    let (near, far) = (udp(&network.near()[0]), udp(network.far()));
    for _ in 0..5 {
        send(&near, &far, b"blocked");
    }
    silent(&far);
    let (address, _) = echo(network.far());
    assert_eq!(there_and_back(&network.near()[0], address, b"passes"), b"passes");
    let counts = network.account().near[0].up;
    assert_eq!((counts.dropped.udp_blocked, counts.dropped.all()), (5, 5));
    // And where it no longer is, it passes on the link that is already there.
    network.change(0, Access::default());
    send(&near, &far, b"again");
    far.set_read_timeout(Some(ARRIVES_WITHIN)).expect("a timeout");
    assert_eq!(received(&far), b"again");
}

#[test]
fn datagrams_above_the_mtu_of_the_link_vanish() {
    let Some(network) = lay(&[Draft { mtu: 1_280, ..Draft::default() }]) else { return };
    let (near, far) = (udp(&network.near()[0]), udp(network.far()));
    // The far end knows nothing of the link's MTU; the near end does.
    send(&far, &near, &[1; 1_300]);
    send(&far, &near, &[2; 1_252]);
    assert_eq!(received(&near), [2; 1_252]);
    assert_eq!(network.account().near[0].down.dropped.too_big, 1);
}

#[test]
fn a_rebound_end_is_seen_under_another_address_and_is_answered_there() {
    let Some(network) = lay(&[Draft::default()]) else { return };
    let (near, far) = (udp(&network.near()[0]), udp(network.far()));
    let mut known = vec![near.local_addr().expect("bound").ip()];
    for _ in 0..3 {
        network.rebind(0);
        send(&near, &far, b"from elsewhere");
        let (_, from) = far.recv_from(&mut [0; 2_048]).expect("a datagram");
        assert_eq!(from.port(), near.local_addr().expect("bound").port());
        assert!(!known.contains(&from.ip()), "{from} was known before");
        known.push(from.ip());
        far.send_to(b"back", from).expect("sent");
        assert_eq!(received(&near), b"back");
    }
    // To where it was known first there is no way any more.
    send(&far, &near, b"to the old one");
    silent(&near);
    assert_eq!(network.account().strays, 1);
}

#[test]
fn near_ends_have_links_of_their_own_and_reach_each_other() {
    let blocked = Draft { udp_blocked: true, ..Draft::default() };
    let Some(network) = lay(&[Draft::default(), Draft::default(), blocked]) else { return };
    let sockets: Vec<_> = network.near().iter().map(udp).collect();
    send(&sockets[0], &sockets[1], b"hello");
    assert_eq!(received(&sockets[1]), b"hello");
    send(&sockets[0], &sockets[2], b"blocked");
    silent(&sockets[2]);
    let account = network.account();
    assert_eq!(account.near[0].up.delivered.packets, 2);
    assert_eq!(account.near[2].down.dropped.udp_blocked, 1);
}

#[test]
fn nothing_outside_is_reached_from_inside() {
    let Some(network) = lay(&[Draft::default()]) else { return };
    let outside = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = outside.local_addr().expect("bound");
    let near = network.near()[0].namespace();
    let loopback = near.inside(move || TcpStream::connect(address)).expect("inside");
    assert_eq!(loopback.expect_err("not ours").kind(), ErrorKind::ConnectionRefused);
    let elsewhere = SocketAddr::from(([192, 0, 2, 1], 9));
    let elsewhere = near.inside(move || TcpStream::connect(elsewhere)).expect("inside");
    assert_eq!(elsewhere.expect_err("no way").kind(), ErrorKind::NetworkUnreachable);
}

#[tokio::test]
async fn processes_inside_are_ended_whatever_they_are_children_of() {
    let Some(network) = lay(&[Draft::default()]) else { return };
    let mut command = Command::new("sh");
    // The grandchild outlives its parent, and does not listen.
    command.args(["-c", "(trap '' TERM; while :; do sleep 0.1; done) & sleep 600"]);
    let mut child = network.spawn(&network.near()[0], command).expect("a shell");
    let began = Instant::now();
    while network.running() < 2 {
        assert!(began.elapsed() < ARRIVES_WITHIN, "the shell has no child");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let reaper = std::thread::spawn(move || child.wait());
    let (found, left) = network.end_processes(Duration::from_millis(200)).await;
    assert!(found >= 2, "{found}");
    assert_eq!((left, network.running()), (0, 0));
    reaper.join().expect("no panic").expect("reaped");
}

#[test]
fn a_network_has_an_end_to_link_to_and_not_too_many() {
    for asked in [0, NEAR_MAX + 1] {
        let plan = Plan { near: vec![Access::default(); asked], seed: 1 };
        assert!(matches!(Network::lay(plan), Err(LinkError::Ends { .. })));
    }
}
