//! Ends of processes: restarts, drains and what is in flight.

use crate::world::{PATIENCE, World, closed};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use weft_proto::limits::IDLE_MAX;
use weft_proto::wire::control::AgentMessage;
use weft_transport::control;
use weft_transport::drain::InFlight;
use weft_transport::stream::Lost;

/// A killed process says nothing. Its successor on the same port does, when it knows the key:
/// without it the agent would wait for its idle timeout.
#[tokio::test]
async fn a_restarted_hub_with_the_same_key_tells_its_agents_at_once() {
    const KEY: [u8; 32] = [42; 32];
    let world = Arc::new(World::new());
    // The first life has a runtime of its own, which can be killed without a goodbye.
    let first_life =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let hub = {
        let _inside = first_life.enter();
        world.hub_at(0, KEY).unwrap()
    };
    let addr = hub.local_addr().unwrap();
    let accepted = first_life.spawn(async move {
        let connection = hub.accept().await.unwrap().await.unwrap();
        let control = control::accept(&connection).await.unwrap();
        (hub, connection, control)
    });
    let agent_endpoint = World::agent_endpoint();
    let agent = world.dial(&agent_endpoint, addr, world.agent_tls()).await.unwrap();
    let (mut sender, _receiver) = control::open(&agent).await.unwrap();
    let survivors = accepted.await.unwrap();
    let killed = move || first_life.shutdown_timeout(PATIENCE);
    tokio::task::spawn_blocking(killed).await.unwrap();
    // Nothing is left that could send a goodbye; what is dropped here gives the port back.
    drop(survivors);

    let began = Instant::now();
    let second_life = loop {
        match world.hub_at(addr.port(), KEY) {
            Ok(hub) => break hub,
            Err(error) => assert!(began.elapsed() < PATIENCE, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    // The next packet that the agent sends, whatever it holds, is answered by the reset.
    sender.send(&AgentMessage::Pong(1)).await.unwrap();
    assert_eq!(closed(&agent).await, Lost::Reset);
    assert!(began.elapsed() < IDLE_MAX);
    drop(second_life);
}

#[tokio::test]
async fn a_drain_waits_for_the_last_guard() {
    let in_flight = InFlight::default();
    let (first, second) = (in_flight.enter(), in_flight.clone().enter());
    assert_eq!(in_flight.count(), 2);
    drop(first);
    let idle = in_flight.idle();
    let mut idle = std::pin::pin!(idle);
    assert!(tokio::time::timeout(Duration::from_millis(20), &mut idle).await.is_err());
    drop(second);
    tokio::time::timeout(PATIENCE, idle).await.unwrap();
    assert_eq!(in_flight.count(), 0);
}

#[tokio::test]
async fn a_hub_that_closes_its_endpoint_takes_every_tunnel_with_it() {
    let tunnel = World::new().tunnel().await;
    tunnel.hub_endpoint.close(quinn::VarInt::from_u32(0), b"done");
    tunnel.hub_endpoint.wait_idle().await;
    let done = Lost::ClosedByPeer(weft_proto::codes::CloseCode::Done);
    assert_eq!(closed(&tunnel.agent).await, done);
    tunnel.agent_endpoint.wait_idle().await;
}

/// One endpoint is one receive loop on one socket: no second process shares the port, where the
/// packets of living tunnels would reach an endpoint that does not know them.
#[tokio::test]
async fn a_port_that_a_hub_has_is_nobody_elses_and_its_buffers_are_told() {
    let world = World::new();
    let hub = world.hub_at(0, [7; 32]).unwrap();
    let taken = world.hub_at(hub.local_addr().unwrap().port(), [7; 32]);
    assert_eq!(taken.err().map(|error| error.kind()), Some(std::io::ErrorKind::AddrInUse));
    let any = std::net::SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, 0));
    let (_udp, buffers) = weft_transport::endpoint::bind_udp(any).unwrap();
    // What the system granted, whatever was asked for: it never fails a start.
    assert!(buffers.receive > 0 && buffers.send > 0, "{buffers:?}");
}
