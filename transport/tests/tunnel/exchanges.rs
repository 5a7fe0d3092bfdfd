//! Exchanges end to end: heads, bodies, ends and aborts.

use crate::world::{PATIENCE, World, answer_head, bytes, read_body, request_head};
use http::HeaderMap;
use std::time::Duration;
use tokio::task::JoinSet;
use weft_proto::codes::AbortCode;
use weft_proto::limits::{HEAD_BYTES_MAX, HEAD_WAIT_MAX};
use weft_proto::wire::Malformed;
use weft_proto::wire::head::AnswerHead;
use weft_transport::exchange::{Incoming, OpenError, Piece, accept, open};
use weft_transport::stream::{RecvHalf, StreamError};

#[tokio::test]
async fn a_request_and_its_answer_arrive_as_they_were_sent() {
    let tunnel = World::new().tunnel().await;
    let (mut writer, mut reader, incoming) = tunnel.exchange().await;
    let (upload, download) = (bytes(700_000), bytes(900_001));
    let hub = async {
        writer.send(upload.clone()).await.unwrap();
        writer.finish().unwrap();
        assert_eq!(writer.sent(), 700_000);
        let head = reader.head().await.unwrap();
        let body = read_body(reader, &head).await.unwrap();
        (head, body)
    };
    let agent = async {
        let Incoming { mut body, mut answer, .. } = incoming;
        let mut read = Vec::new();
        while let Some(bytes) = body.next().await.unwrap() {
            read.extend_from_slice(&bytes);
        }
        answer.head(&answer_head(200)).await.unwrap();
        answer.send(download.clone()).await.unwrap();
        answer.finish(None).await.unwrap();
        read
    };
    let ((head, came_back), came) = tokio::join!(hub, agent);
    assert_eq!(head, answer_head(200));
    assert_eq!((came, came_back), (upload.to_vec(), download.to_vec()));
}

/// Lockstep: neither end goes on before it has what the other wrote, so anything that gathered
/// bytes or waited for more would hang.
#[tokio::test]
async fn each_write_arrives_before_the_next_is_made() {
    let tunnel = World::new().tunnel().await;
    let (mut writer, mut reader, incoming) = tunnel.exchange().await;
    let Incoming { mut body, mut answer, .. } = incoming;
    answer.head(&answer_head(200)).await.unwrap();
    let head = reader.head().await.unwrap();
    let mut answered = reader.into_body(&head);
    let lockstep = async {
        for word in ["a", "bc", "d"] {
            writer.send(word.into()).await.unwrap();
            assert_eq!(body.next().await, Ok(Some(word.into())));
            answer.send(word.into()).await.unwrap();
            assert_eq!(answered.next().await, Ok(Some(Piece::Data(word.into()))));
        }
    };
    tokio::time::timeout(PATIENCE, lockstep).await.unwrap();
}

#[tokio::test]
async fn enough_stops_the_upload_and_leaves_the_answer_intact() {
    let tunnel = World::new().tunnel().await;
    let (mut writer, mut reader, incoming) = tunnel.exchange().await;
    let hub = async {
        let end = loop {
            if let Err(error) = writer.send(bytes(64 * 1024)).await {
                break error;
            }
        };
        drop(writer);
        let head = reader.head().await.unwrap();
        let body = read_body(reader, &head).await;
        (end, head.status.as_u16(), body)
    };
    let agent = async {
        let Incoming { mut body, mut answer, .. } = incoming;
        body.next().await.unwrap();
        drop(body);
        answer.head(&answer_head(413)).await.unwrap();
        answer.send("too large".into()).await.unwrap();
        answer.finish(None).await.unwrap();
        assert_eq!(answer.stopped().await, None);
    };
    let ((end, status, body), ()) = tokio::join!(hub, agent);
    assert_eq!(end, StreamError::Aborted(AbortCode::Enough));
    assert_eq!((status, body), (413, Ok(b"too large".to_vec())));
}

#[tokio::test]
async fn a_framed_answer_brings_its_trailers() {
    let tunnel = World::new().tunnel().await;
    let (_writer, mut reader, incoming) = tunnel.exchange().await;
    let mut trailers = HeaderMap::new();
    trailers.append("x-sum", "7".parse().unwrap());
    trailers.append("x-sum", "8".parse().unwrap());
    let body = bytes(300_000);
    let agent = async {
        let mut answer = incoming.answer;
        let head = AnswerHead { framed: true, ..answer_head(200) };
        answer.head(&head).await.unwrap();
        for chunk in body.chunks(70_001) {
            answer.send(body.slice_ref(chunk)).await.unwrap();
        }
        answer.finish(Some(&trailers)).await.unwrap();
        answer.stopped().await
    };
    let hub = async {
        let head = reader.head().await.unwrap();
        assert!(head.framed);
        let (mut reader, mut read, mut last) = (reader.into_body(&head), Vec::new(), None);
        while let Some(piece) = reader.next().await.unwrap() {
            match piece {
                Piece::Data(bytes) => read.extend_from_slice(&bytes),
                Piece::Trailers(trailers) => last = Some(trailers),
            }
        }
        (read, last)
    };
    let (end, (read, last)) = tokio::join!(agent, hub);
    assert_eq!(end, None);
    assert_eq!((read, last), (body.to_vec(), Some(trailers)));
}

#[tokio::test]
async fn a_cut_answer_is_never_whole_framed_or_not() {
    let tunnel = World::new().tunnel().await;
    for framed in [false, true] {
        let (_writer, mut reader, incoming) = tunnel.exchange().await;
        let mut answer = incoming.answer;
        let head = AnswerHead { framed, ..answer_head(200) };
        answer.head(&head).await.unwrap();
        answer.send("partial".into()).await.unwrap();
        let head = reader.head().await.unwrap();
        drop(answer);
        let mut body = reader.into_body(&head);
        let end = loop {
            match body.next().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("a cut answer read as whole"),
                Err(error) => break error,
            }
        };
        assert_eq!(end, StreamError::Aborted(AbortCode::Internal));
    }
}

#[tokio::test]
async fn an_upload_that_breaks_off_is_never_whole() {
    let tunnel = World::new().tunnel().await;
    let (mut writer, _reader, incoming) = tunnel.exchange().await;
    writer.send("partial".into()).await.unwrap();
    drop(writer);
    let mut body = incoming.body;
    let end = loop {
        match body.next().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("a cut upload read as whole"),
            Err(error) => break error,
        }
    };
    assert_eq!(end, StreamError::Aborted(AbortCode::UserAbort));
}

#[tokio::test]
async fn every_abort_code_arrives_in_both_directions() {
    let tunnel = World::new().tunnel().await;
    for code in AbortCode::ALL {
        let (_writer, mut reader, incoming) = tunnel.exchange().await;
        let Incoming { body, mut answer, .. } = incoming;
        answer.abort(code);
        assert_eq!(reader.head().await, Err(StreamError::Aborted(code)));
        drop(body);

        let (mut writer, mut reader, incoming) = tunnel.exchange().await;
        let Incoming { mut body, answer, .. } = incoming;
        writer.abort(code);
        assert_eq!(body.next().await, Err(StreamError::Aborted(code)));
        reader.stop(code);
        let stopped = tokio::time::timeout(PATIENCE, answer.stopped()).await;
        assert_eq!(stopped.unwrap(), Some(StreamError::Aborted(code)));
    }
}

/// The agent waits for its provider and writes nothing: only the wait on `stopped` can tell it.
#[tokio::test]
async fn an_abort_is_noticed_while_nothing_is_written() {
    let tunnel = World::new().tunnel().await;
    let (writer, reader, incoming) = tunnel.exchange().await;
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let silent_provider = std::future::pending::<()>();
        tokio::select! {
            biased;
            stopped = incoming.answer.stopped() => stopped,
            () = silent_provider => None,
        }
    });
    drop((writer, reader));
    let seen = tokio::time::timeout(PATIENCE, tasks.join_next()).await;
    let seen = seen.unwrap().unwrap().unwrap();
    assert_eq!(seen, Some(StreamError::Aborted(AbortCode::UserAbort)));
}

#[tokio::test]
async fn a_head_beyond_the_limit_is_refused_at_the_writer() {
    let tunnel = World::new().tunnel().await;
    let huge = "x".repeat(HEAD_BYTES_MAX);
    let mut head = request_head();
    head.headers.append("x-huge", huge.parse().unwrap());
    let refused = open(&tunnel.hub, &head, Duration::ZERO).await;
    assert!(matches!(refused, Err(OpenError::Head(Malformed("head length")))));

    // No stream was spent on it: the next exchange is the tunnel's first.
    let (_writer, mut reader, incoming) = tunnel.exchange().await;
    let mut answer = incoming.answer;
    let mut head = answer_head(200);
    head.headers.append("x-huge", huge.parse().unwrap());
    let refused = answer.head(&head).await;
    assert_eq!(refused, Err(StreamError::Malformed(Malformed("head length"))));
    answer.abort(AbortCode::UpstreamTruncated);
    let end = StreamError::Aborted(AbortCode::UpstreamTruncated);
    assert_eq!(reader.head().await, Err(end));
}

#[tokio::test]
async fn a_head_that_does_not_come_times_out_and_counts_as_not_sent() {
    let tunnel = World::new().tunnel().await;
    let (mut send, recv) = tunnel.hub.open_bi().await.unwrap();
    // The kind, a length of 64 bytes, and the head's first byte.
    send.write_all(&[0x02, 0x40, 0x40, 0x0a]).await.unwrap();
    let (agent_send, agent_recv) = tunnel.agent.accept_bi().await.unwrap();
    tokio::time::pause();
    let began = tokio::time::Instant::now();
    let refused = accept(agent_send, agent_recv).await;
    assert!(matches!(refused, Err(StreamError::TimedOut)));
    assert!(began.elapsed() >= HEAD_WAIT_MAX);
    tokio::time::resume();
    let end = RecvHalf::new(recv).chunk().await;
    assert_eq!(end, Err(StreamError::Aborted(AbortCode::NotSent)));
}

#[tokio::test]
async fn what_is_no_exchange_is_reset_as_malformed() {
    let tunnel = World::new().tunnel().await;
    let hostile: [&[u8]; 5] = [
        b"",                       // no kind
        &[0x01, 0x00],             // a control stream
        &[0x02, 0x01, 0xff],       // a head that is none
        &[0x02, 0x80, 0x01, 0, 1], // a head of 65,537 bytes
        &[0x02, 0x05, 0x0a],       // an end inside the head
    ];
    for bytes in hostile {
        let (mut send, recv) = tunnel.hub.open_bi().await.unwrap();
        send.write_all(bytes).await.unwrap();
        send.finish().unwrap();
        let (agent_send, agent_recv) = tunnel.agent.accept_bi().await.unwrap();
        let refused = accept(agent_send, agent_recv).await;
        assert!(matches!(refused, Err(StreamError::Malformed(_))), "{bytes:?}");
        let end = RecvHalf::new(recv).chunk().await;
        assert_eq!(end, Err(StreamError::Aborted(AbortCode::Malformed)));
    }
}

#[tokio::test]
async fn a_hostile_answer_is_malformed_and_stays_so() {
    let tunnel = World::new().tunnel().await;
    let hostile: [&[u8]; 4] = [
        &[0x11, 0x03, 0x08, 0xc8, 0x01], // no kind of answer
        &[0x10, 0x03, 0x08, 0xe5, 0x00], // 101
        &[0x10, 0x80, 0x01, 0, 1],       // a head of 65,537 bytes
        &[0x10, 0x05, 0x08],             // an end inside the head
    ];
    for bytes in hostile {
        let (_writer, mut reader) =
            open(&tunnel.hub, &request_head(), Duration::ZERO).await.unwrap();
        let (mut send, _recv) = tunnel.agent.accept_bi().await.unwrap();
        send.write_all(bytes).await.unwrap();
        send.finish().unwrap();
        for _ in 0..2 {
            let head = reader.head().await;
            assert!(matches!(head, Err(StreamError::Malformed(_))), "{bytes:?}: {head:?}");
        }
    }
}

/// The hub waits for the head and for other things at once: a wait that is dropped loses nothing.
#[tokio::test]
async fn a_wait_for_the_head_may_be_dropped_at_any_byte() {
    let tunnel = World::new().tunnel().await;
    let (_writer, mut reader) = open(&tunnel.hub, &request_head(), Duration::ZERO).await.unwrap();
    let (mut send, _recv) = tunnel.agent.accept_bi().await.unwrap();
    let head = answer_head(200);
    let encoded = head.encode().unwrap();
    let mut wire = vec![0x10, u8::try_from(encoded.len()).unwrap()];
    wire.extend(encoded);
    wire.extend(b"body");
    let mut read = None;
    for byte in wire {
        send.write_all(&[byte]).await.unwrap();
        if read.is_none() {
            let waited = tokio::time::timeout(Duration::from_millis(5), reader.head()).await;
            read = waited.ok().map(Result::unwrap);
        }
    }
    send.finish().unwrap();
    let read = match read {
        Some(read) => read,
        None => reader.head().await.unwrap(),
    };
    assert_eq!(read, head);
    assert_eq!(read_body(reader, &read).await, Ok(b"body".to_vec()));
}
