//! `weft-join/1` over a real connection.

use crate::world::{PATIENCE, World, closed};
use weft_proto::codes::CloseCode;
use weft_proto::ids::AgentId;
use weft_proto::limits::SESSION_HANDSHAKE_MAX;
use weft_proto::wire::join::{JoinAnswer, JoinRefusal, JoinRequest};
use weft_transport::join;
use weft_transport::stream::{Lost, StreamError};

fn request() -> JoinRequest {
    JoinRequest { token: Some([5; 32]), csr: vec![0x30; 500], name: "edge-1".to_owned() }
}

/// The hub closes as soon as the answer is delivered: it must not be lost with the connection.
#[tokio::test]
async fn an_answer_arrives_although_the_hub_closes_behind_it() {
    let world = World::new();
    let joined = JoinAnswer::Joined {
        agent: AgentId::from_slice(&[9; 16]).unwrap(),
        chain: vec![vec![0x30; 1_000], vec![0x30; 1_000]],
    };
    for answer in [joined, JoinAnswer::Refused(JoinRefusal::Expired)] {
        let tunnel = world.connect(world.joining_tls()).await;
        let hub = async {
            let (asked, to) = join::accept(&tunnel.hub).await.unwrap();
            assert!(asked == request());
            to.send(&answer).await.unwrap();
            let done = CloseCode::Done;
            let number = quinn::VarInt::from_u32(done.number());
            tunnel.hub.close(number, done.reason().as_bytes());
        };
        let ask = request();
        let asks = join::ask(&tunnel.agent, &ask);
        let ((), answered) = tokio::join!(hub, asks);
        assert_eq!(answered, Ok(answer));
        let done = Lost::ClosedByPeer(CloseCode::Done);
        assert_eq!(closed(&tunnel.agent).await, done);
    }
}

#[tokio::test]
async fn a_stranger_that_says_nothing_is_not_waited_for() {
    let world = World::new();
    let tunnel = world.connect(world.joining_tls()).await;
    tokio::time::pause();
    let began = tokio::time::Instant::now();
    let end = join::accept(&tunnel.hub).await;
    assert!(matches!(end, Err(StreamError::TimedOut)));
    assert!(began.elapsed() >= SESSION_HANDSHAKE_MAX);
}

#[tokio::test]
async fn what_is_no_request_to_join_is_malformed() {
    let world = World::new();
    let hostile: [&[u8]; 4] =
        [&[0x01, 0x00], &[0x03], &[0x03, 0x02, 0x0a, 0x05], &[0x03, 0x80, 0x00, 0x40, 0x01]];
    for bytes in hostile {
        let tunnel = world.connect(world.joining_tls()).await;
        let (mut send, _recv) = tunnel.agent.open_bi().await.unwrap();
        send.write_all(bytes).await.unwrap();
        send.finish().unwrap();
        let refused = tokio::time::timeout(PATIENCE, join::accept(&tunnel.hub)).await;
        assert!(matches!(refused, Ok(Err(StreamError::Malformed(_)))), "{bytes:?}");
    }
}
