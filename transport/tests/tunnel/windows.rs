//! Flow control and limits: what a stalled reader holds, and whom it does not.

use crate::world::{PATIENCE, Tunnel, World, answer_head, bytes, request_head};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use weft_proto::entropy::OsEntropy;
use weft_proto::limits::{AGENT_BIDI_STREAMS, EXCHANGE_STREAMS, STREAM_WINDOW_BYTES, UNI_STREAMS};
use weft_proto::wire::control::{AgentMessage, HubMessage};
use weft_transport::exchange::{AnswerReader, Incoming, OpenError, RequestWriter, accept, open};
use weft_transport::{config, control};

const STALLED: usize = 16;
const UPLOAD_BYTES: usize = 64 * 1024 * 1024;

/// An answer that is written for ever and never read.
struct Stalled {
    _writer: RequestWriter,
    _reader: AnswerReader,
    taken: Arc<AtomicU64>,
}

/// Stalls an exchange and waits until its window is full.
async fn stall(tunnel: &Tunnel, tasks: &mut JoinSet<()>) -> Stalled {
    let (writer, mut reader, incoming) = tunnel.exchange().await;
    let mut answer = incoming.answer;
    answer.head(&answer_head(200)).await.unwrap();
    reader.head().await.unwrap();
    let taken = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&taken);
    tasks.spawn(async move {
        while answer.send(bytes(1024)).await.is_ok() {
            counter.fetch_add(1024, Ordering::SeqCst);
        }
    });
    let full = async {
        while taken.load(Ordering::SeqCst) + 2048 < u64::from(STREAM_WINDOW_BYTES) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, full).await.unwrap();
    Stalled { _writer: writer, _reader: reader, taken }
}

#[tokio::test]
async fn stalled_readers_hold_their_windows_and_nobody_else_up() {
    let tunnel = World::new().tunnel().await;
    let (agent, hub) = tokio::join!(control::open(&tunnel.agent), control::accept(&tunnel.hub));
    let ((mut agent_sender, mut agent_receiver), (mut hub_sender, mut hub_receiver)) =
        (agent.unwrap(), hub.unwrap());
    let mut tasks = JoinSet::new();
    let mut stalled = Vec::new();
    for _ in 0..STALLED {
        stalled.push(stall(&tunnel, &mut tasks).await);
    }

    let (mut writer, mut reader, incoming) = tunnel.exchange().await;
    let Incoming { mut body, mut answer, .. } = incoming;
    tasks.spawn(async move {
        // A control stream that stands still would stop this, and the test with it.
        while let Ok(HubMessage::Ping(nonce)) = agent_receiver.next().await {
            agent_sender.send(&AgentMessage::Pong(nonce)).await.unwrap();
        }
    });
    let upload = async {
        let chunk = bytes(64 * 1024);
        for _ in 0..UPLOAD_BYTES / chunk.len() {
            writer.send(chunk.clone()).await.unwrap();
        }
        writer.finish().unwrap();
    };
    let sink = async {
        let mut read = 0;
        while let Some(bytes) = body.next().await.unwrap() {
            read += bytes.len();
        }
        answer.head(&answer_head(200)).await.unwrap();
        answer.finish(None).await.unwrap();
        read
    };
    let pings = async {
        for nonce in 0..50 {
            hub_sender.send(&HubMessage::Ping(nonce)).await.unwrap();
            assert_eq!(hub_receiver.next().await, Ok(AgentMessage::Pong(nonce)));
        }
    };
    let all = async { tokio::join!(upload, sink, pings, reader.head()) };
    let ((), read, (), head) = tokio::time::timeout(PATIENCE, all).await.unwrap();
    assert_eq!(read, UPLOAD_BYTES);
    head.unwrap();
    for stalled in &stalled {
        let taken = stalled.taken.load(Ordering::SeqCst);
        assert!(taken <= u64::from(STREAM_WINDOW_BYTES), "{taken} bytes taken");
    }
}

/// The sending window is the connection's: uploads that nothing acknowledges any more may fill their
/// own streams' windows, and must leave room for the heads and messages of all others.
#[tokio::test]
async fn uploads_to_a_silent_agent_keep_no_other_write_waiting() {
    const UPLOADS: usize = 64;
    let world = World::new();
    let hub_endpoint = world.hub_at(0, [7; 32]).unwrap();
    let addr = hub_endpoint.local_addr().unwrap();
    let life =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (agent_endpoint, dialled) = {
        let _inside = life.enter();
        let endpoint = World::agent_endpoint();
        let dialled = world.dial(&endpoint, addr, world.agent_tls());
        (endpoint, dialled)
    };
    let agent = life.spawn(async move {
        let agent = dialled.await.unwrap();
        let control = control::open(&agent).await.unwrap();
        (agent, control)
    });
    let hub = hub_endpoint.accept().await.unwrap().await.unwrap();
    let (mut sender, _receiver) = control::accept(&hub).await.unwrap();
    let gone = (agent.await.unwrap(), agent_endpoint);
    let killed = move || life.shutdown_timeout(PATIENCE);
    tokio::task::spawn_blocking(killed).await.unwrap();

    let writes = async {
        let (head, upload) = (request_head(), bytes(200 * 1024));
        let mut uploads = Vec::new();
        for _ in 0..UPLOADS {
            let (mut writer, reader) = open(&hub, &head, Duration::ZERO).await.unwrap();
            writer.send(upload.clone()).await.unwrap();
            uploads.push((writer, reader));
        }
        sender.send(&HubMessage::Ping(1)).await.unwrap();
        uploads.len()
    };
    let written = tokio::time::timeout(PATIENCE, writes).await;
    assert_eq!(written, Ok(UPLOADS));
    drop(gone);
}

#[tokio::test]
async fn opening_waits_no_longer_than_it_may_where_the_agent_grants_no_stream() {
    let tunnel = World::new().tunnel().await;
    let head = request_head();
    let mut open_ones = Vec::new();
    for _ in 0..EXCHANGE_STREAMS {
        open_ones.push(open(&tunnel.hub, &head, Duration::ZERO).await.unwrap());
    }
    for wait in [Duration::ZERO, Duration::from_millis(50)] {
        let refused = tokio::time::timeout(PATIENCE, open(&tunnel.hub, &head, wait)).await;
        assert!(matches!(refused, Ok(Err(OpenError::Full))), "{wait:?}");
    }

    let waiting = open(&tunnel.hub, &head, PATIENCE);
    // Room is announced by the eighth of what is granted: more than that many exchanges end.
    let ending = async {
        for (mut writer, mut reader) in open_ones.drain(..=open_ones.len() / 8) {
            let (send, recv) = tunnel.agent.accept_bi().await.unwrap();
            let mut incoming = accept(send, recv).await.unwrap();
            writer.finish().unwrap();
            assert_eq!(incoming.body.next().await, Ok(None));
            incoming.answer.head(&answer_head(204)).await.unwrap();
            incoming.answer.finish(None).await.unwrap();
            let answer = reader.head().await.unwrap();
            assert_eq!(reader.into_body(&answer).next().await, Ok(None));
        }
    };
    let (opened, ()) = tokio::join!(waiting, ending);
    opened.expect("a stream that another exchange has given back");
}

#[tokio::test]
async fn a_hub_grants_an_agent_a_handful_and_nothing_goes_unreliably() {
    let tunnel = World::new().tunnel().await;
    let mut open_ones = Vec::new();
    for _ in 0..AGENT_BIDI_STREAMS {
        open_ones.push(tunnel.agent.open_bi().await.unwrap());
    }
    let brief = Duration::from_millis(300);
    assert!(tokio::time::timeout(brief, tunnel.agent.open_bi()).await.is_err());
    for end in [&tunnel.agent, &tunnel.hub] {
        let mut uni = Vec::new();
        for _ in 0..UNI_STREAMS {
            uni.push(end.open_uni().await.unwrap());
        }
        assert!(tokio::time::timeout(brief, end.open_uni()).await.is_err());
        assert_eq!(end.max_datagram_size(), None);
    }
}

/// By the settings themselves: a keep-alive of the hub would show only in a capture.
#[test]
fn only_the_agent_keeps_the_tunnel_alive() {
    let world = World::new();
    let hub = format!("{:?}", world.hub_config().transport);
    let agent = config::agent(Arc::new(world.agent_tls()), &OsEntropy).unwrap();
    let agent = format!("{agent:?}");
    assert!(hub.contains("keep_alive_interval: None"), "{hub}");
    assert!(agent.contains("keep_alive_interval: Some("), "{agent}");
    for end in [hub, agent] {
        for setting in [
            "allow_spin: false",
            "datagram_receive_buffer_size: None",
            "stream_receive_window: 262144",
            "max_idle_timeout: Some(60000)",
        ] {
            assert!(end.contains(setting), "{setting} is not in {end}");
        }
    }
}
