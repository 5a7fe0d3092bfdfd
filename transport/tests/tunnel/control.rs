//! The control stream: in order, at once, and never at an end.

use crate::world::{PATIENCE, World, bytes};
use std::time::Duration;
use weft_proto::limits::SESSION_HANDSHAKE_MAX;
use weft_proto::wire::Malformed;
use weft_proto::wire::control::{AgentMessage, Drain, HubMessage};
use weft_transport::control;
use weft_transport::stream::StreamError;

#[tokio::test]
async fn messages_arrive_in_order_under_load() {
    const MESSAGES: u64 = 3_000;
    let tunnel = World::new().tunnel().await;
    let (agent, hub) = tokio::join!(control::open(&tunnel.agent), control::accept(&tunnel.hub));
    let ((mut to_hub, mut from_hub), (mut to_agent, mut from_agent)) =
        (agent.unwrap(), hub.unwrap());
    let (mut writer, _reader, mut incoming) = tunnel.exchange().await;
    let load = async {
        for _ in 0..256 {
            writer.send(bytes(64 * 1024)).await.unwrap();
        }
        writer.finish().unwrap();
    };
    let sink = async { while incoming.body.next().await.unwrap().is_some() {} };
    let agent_says = async {
        for number in 0..MESSAGES {
            to_hub.send(&AgentMessage::Pong(number)).await.unwrap();
        }
    };
    let hub_says = async {
        for number in 0..MESSAGES {
            to_agent.send(&HubMessage::Ping(number)).await.unwrap();
        }
    };
    let hub_hears = async {
        for number in 0..MESSAGES {
            assert_eq!(from_agent.next().await, Ok(AgentMessage::Pong(number)));
        }
    };
    let agent_hears = async {
        for number in 0..MESSAGES {
            assert_eq!(from_hub.next().await, Ok(HubMessage::Ping(number)));
        }
    };
    let all = async { tokio::join!(load, sink, agent_says, hub_says, hub_hears, agent_hears) };
    tokio::time::timeout(PATIENCE, all).await.unwrap();
}

#[tokio::test]
async fn a_drain_and_a_revocation_arrive() {
    let tunnel = World::new().tunnel().await;
    let (agent, hub) = tokio::join!(control::open(&tunnel.agent), control::accept(&tunnel.hub));
    let ((mut to_hub, mut from_hub), (mut to_agent, mut from_agent)) =
        (agent.unwrap(), hub.unwrap());
    let drain =
        Drain { deadline: Duration::from_secs(30), reconnect_in: Duration::from_millis(1_500) };
    to_agent.send(&HubMessage::Drain(drain)).await.unwrap();
    to_agent.send(&HubMessage::Revoked).await.unwrap();
    to_hub.send(&AgentMessage::Drain(drain)).await.unwrap();
    assert_eq!(from_hub.next().await, Ok(HubMessage::Drain(drain)));
    assert_eq!(from_hub.next().await, Ok(HubMessage::Revoked));
    assert_eq!(from_agent.next().await, Ok(AgentMessage::Drain(drain)));
}

#[tokio::test]
async fn another_kind_of_stream_first_is_malformed() {
    let tunnel = World::new().tunnel().await;
    for kind in [0x02, 0x03, 0x7f] {
        let (mut send, _recv) = tunnel.agent.open_bi().await.unwrap();
        send.write_all(&[kind]).await.unwrap();
        let refused = control::accept(&tunnel.hub).await;
        assert!(matches!(refused, Err(StreamError::Malformed(_))), "{kind}");
    }
}

#[tokio::test]
async fn an_agent_that_says_nothing_is_not_waited_for() {
    let tunnel = World::new().tunnel().await;
    tokio::time::pause();
    let began = tokio::time::Instant::now();
    let refused = control::accept(&tunnel.hub).await;
    assert!(matches!(refused, Err(StreamError::TimedOut)));
    assert!(began.elapsed() >= SESSION_HANDSHAKE_MAX);
}

#[tokio::test]
async fn a_control_stream_that_ends_or_lies_is_an_error() {
    let hostile: [(&[u8], &str); 3] = [
        (&[0x01], "end of the control stream"),
        (&[0x01, 0x80, 0x00, 0x40, 0x01], "block length"),
        (&[0x01, 0x05, 0x0a], "end inside a block"),
    ];
    for (bytes, why) in hostile {
        let tunnel = World::new().tunnel().await;
        let (mut send, _recv) = tunnel.agent.open_bi().await.unwrap();
        send.write_all(bytes).await.unwrap();
        send.finish().unwrap();
        let (_sender, mut receiver) = control::accept(&tunnel.hub).await.unwrap();
        let end = receiver.next().await.unwrap_err();
        let StreamError::Malformed(Malformed(named)) = end else {
            panic!("{end:?}");
        };
        assert_eq!(named, why);
    }
}

#[tokio::test]
async fn a_message_of_a_later_version_is_skipped_and_the_next_is_read() {
    let tunnel = World::new().tunnel().await;
    let (mut send, _recv) = tunnel.agent.open_bi().await.unwrap();
    // Kind; field 40 of four bytes; PONG 1.
    send.write_all(&[0x01, 0x05, 0xc2, 0x02, 0x02, 0x08, 0x01]).await.unwrap();
    send.write_all(&[0x09, 0x21, 1, 0, 0, 0, 0, 0, 0, 0]).await.unwrap();
    let (_sender, mut receiver) = control::accept(&tunnel.hub).await.unwrap();
    assert_eq!(receiver.next().await, Ok(AgentMessage::Unknown));
    assert_eq!(receiver.next().await, Ok(AgentMessage::Pong(1)));
}
