//! Halves of streams: nothing unfinished ever reads as finished.

use crate::world::{PATIENCE, World};
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::task::JoinSet;
use weft_proto::codes::AbortCode;
use weft_transport::stream::{Lost, RecvHalf, SendHalf, StreamError};

/// Reads to the end: everything that came, and how it ended.
async fn drain(half: &mut RecvHalf) -> (Vec<u8>, Result<(), StreamError>) {
    let mut read = Vec::new();
    loop {
        match half.chunk().await {
            Ok(Some(bytes)) => read.extend_from_slice(&bytes),
            Ok(None) => return (read, Ok(())),
            Err(error) => return (read, Err(error)),
        }
    }
}

#[tokio::test]
async fn what_was_finished_reads_to_a_clean_end() {
    let tunnel = World::new().tunnel().await;
    let ((send, _recv), (_, recv)) = tunnel.bare().await;
    let (mut send, mut recv) = (SendHalf::new(send), RecvHalf::new(recv));
    send.write("whole".into()).await.unwrap();
    send.finish().unwrap();
    drop(send);
    assert_eq!(drain(&mut recv).await, (b"whole".to_vec(), Ok(())));
}

#[tokio::test]
async fn a_dropped_half_resets_with_its_code_and_never_reads_as_a_clean_end() {
    let tunnel = World::new().tunnel().await;
    for code in [None, Some(AbortCode::UserAbort), Some(AbortCode::Draining)] {
        let ((send, _recv), (_, recv)) = tunnel.bare().await;
        let (mut send, mut recv) = (SendHalf::new(send), RecvHalf::new(recv));
        if let Some(code) = code {
            send.reset_on_drop(code);
        }
        send.write("partial".into()).await.unwrap();
        drop(send);
        let (_, end) = drain(&mut recv).await;
        let expected = code.unwrap_or(AbortCode::Internal);
        assert_eq!(end, Err(StreamError::Aborted(expected)));
    }
}

#[tokio::test]
async fn a_panicked_or_cancelled_task_resets_and_never_reads_as_a_clean_end() {
    let tunnel = World::new().tunnel().await;
    for panics in [true, false] {
        let ((send, _recv), (_, recv)) = tunnel.bare().await;
        let (mut send, mut recv) = (SendHalf::new(send), RecvHalf::new(recv));
        send.write("partial".into()).await.unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let _held = send;
            assert!(!panics, "on purpose");
            std::future::pending::<()>().await;
        });
        if panics {
            assert!(tasks.join_next().await.unwrap().unwrap_err().is_panic());
        } else {
            tasks.shutdown().await;
        }
        let (_, end) = drain(&mut recv).await;
        assert_eq!(end, Err(StreamError::Aborted(AbortCode::Internal)));
    }
}

#[tokio::test]
async fn a_dropped_receiving_half_stops_the_sender_with_its_code() {
    let tunnel = World::new().tunnel().await;
    for code in [None, Some(AbortCode::Enough), Some(AbortCode::SlowReader)] {
        let ((send, _recv), (_, recv)) = tunnel.bare().await;
        let (mut send, mut recv) = (SendHalf::new(send), RecvHalf::new(recv));
        if let Some(code) = code {
            recv.stop_on_drop(code);
        }
        let stopped = send.stopped();
        drop(recv);
        let expected = Some(StreamError::Aborted(code.unwrap_or(AbortCode::Internal)));
        assert_eq!(tokio::time::timeout(PATIENCE, stopped).await.unwrap(), expected);
        // The next write says the same, and so does an end that nobody wants.
        assert_eq!(send.write("more".into()).await.err(), expected);
        assert_eq!(send.finish().err(), expected);
    }
}

#[tokio::test]
async fn a_half_that_was_read_to_its_end_stops_nobody() {
    let tunnel = World::new().tunnel().await;
    let ((send, _recv), (_, recv)) = tunnel.bare().await;
    let (mut send, mut recv) = (SendHalf::new(send), RecvHalf::new(recv));
    send.finish().unwrap();
    assert_eq!(drain(&mut recv).await.1, Ok(()));
    recv.stop(AbortCode::Malformed);
    drop(recv);
    let stopped = tokio::time::timeout(PATIENCE, send.stopped()).await;
    assert_eq!(stopped.unwrap(), None);
}

#[tokio::test]
async fn an_ended_half_cannot_end_again_in_another_way() {
    let tunnel = World::new().tunnel().await;
    let ((send, _recv), (_, recv)) = tunnel.bare().await;
    let (mut send, mut recv) = (SendHalf::new(send), RecvHalf::new(recv));
    send.reset(AbortCode::Gate);
    assert!(send.finish().is_err());
    send.reset(AbortCode::Deadline);
    drop(send);
    let aborted = StreamError::Aborted(AbortCode::Gate);
    assert_eq!(drain(&mut recv).await.1, Err(aborted));
}

#[tokio::test]
async fn a_reset_is_noticed_without_reading() {
    let tunnel = World::new().tunnel().await;
    let ((send, _recv), (_, recv)) = tunnel.bare().await;
    let (mut send, mut recv) = (SendHalf::new(send), RecvHalf::new(recv));
    send.reset(AbortCode::Deadline);
    let seen = tokio::time::timeout(PATIENCE, recv.reset_by_peer()).await;
    assert_eq!(seen.unwrap(), Some(StreamError::Aborted(AbortCode::Deadline)));
}

#[tokio::test]
async fn a_code_of_a_later_version_reads_as_internal() {
    let tunnel = World::new().tunnel().await;
    let ((mut send, _recv), (_, recv)) = tunnel.bare().await;
    send.reset(quinn::VarInt::from_u32(0xffff)).unwrap();
    let end = drain(&mut RecvHalf::new(recv)).await.1;
    assert_eq!(end, Err(StreamError::Aborted(AbortCode::Internal)));
}

#[tokio::test]
async fn a_lost_tunnel_is_no_clean_end_and_every_wait_hears_of_it() {
    let tunnel = World::new().tunnel().await;
    let ((send, recv), (agent_send, agent_recv)) = tunnel.bare().await;
    let (mut send, mut recv) = (SendHalf::new(send), RecvHalf::new(recv));
    let (agent_send, mut agent_recv) = (SendHalf::new(agent_send), RecvHalf::new(agent_recv));
    send.write("partial".into()).await.unwrap();
    let stopped = agent_send.stopped();
    tunnel.hub.close(quinn::VarInt::from_u32(0), b"done");
    let here = StreamError::TunnelLost(Lost::ClosedHere);
    assert_eq!(recv.chunk().await, Err(here.clone()));
    assert_eq!(send.finish(), Err(here));
    let lost = tokio::time::timeout(PATIENCE, stopped).await.unwrap();
    assert!(matches!(lost, Some(StreamError::TunnelLost(Lost::ClosedByPeer(_)))));
    let end = drain(&mut agent_recv).await.1;
    assert!(matches!(end, Err(StreamError::TunnelLost(_))), "{end:?}");
}

/// A buffer that counts how often one of its kind was given back.
struct Counted(Vec<u8>, Arc<AtomicUsize>);

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.1.fetch_add(1, Ordering::SeqCst);
    }
}

/// Crumbs of large reads, to a peer that acknowledges nothing yet: they must not keep the reads.
#[tokio::test]
async fn a_small_write_does_not_keep_the_buffer_it_was_cut_from() {
    let tunnel = World::new().tunnel().await;
    let ((send, _recv), _agent) = tunnel.bare().await;
    let (mut half, given_back) = (SendHalf::new(send), Arc::new(AtomicUsize::new(0)));
    for read in 0..100 {
        let buffer = Bytes::from_owner(Counted(vec![0; 64 * 1024], Arc::clone(&given_back)));
        half.write(buffer.slice(..60)).await.unwrap();
        drop(buffer);
        assert_eq!(given_back.load(Ordering::SeqCst), read + 1, "a crumb keeps its buffer");
    }
}

/// Whoever passes on what came does so once for all of it, not once for each packet.
#[tokio::test]
async fn what_came_in_many_packets_is_read_at_once() {
    let tunnel = World::new().tunnel().await;
    let ((send, _recv), (_, recv)) = tunnel.bare().await;
    let (mut send, mut recv) = (SendHalf::new(send), RecvHalf::new(recv));
    let sent: Vec<u8> = (0..60_000u32).map(|number| (number % 251) as u8).collect();
    send.write(sent.clone().into()).await.unwrap();
    send.finish().unwrap();
    // Acknowledged: it is at the other end, in some fifty packets.
    let acknowledged = tokio::time::timeout(PATIENCE, send.stopped()).await;
    assert_eq!(acknowledged.expect("an acknowledgement"), None);
    let (mut read, mut reads) = (Vec::new(), 0);
    while let Some(bytes) = recv.chunk().await.unwrap() {
        read.extend_from_slice(&bytes);
        reads += 1;
    }
    assert_eq!(read, sent);
    assert!(reads <= 3, "{reads} reads");
}
