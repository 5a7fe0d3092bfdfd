//! A user who leaves: the provider's connection closes, whatever it was doing.

use crate::talk::*;
use bytes::Bytes;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use weft_loadtest::mesh::{Version, World};
use weft_loadtest::provider::{Ending, Phase, Record};

/// Nothing may take longer on loopback; what it took is printed.
const GONE_MAX: Duration = Duration::from_secs(2);

/// Where the exchange stands when its user leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Upload,
    Silence,
    Stream,
    Stall,
}

impl At {
    fn control(self) -> &'static str {
        match self {
            Self::Upload => "",
            Self::Silence => "stall-head",
            Self::Stream => "pace=20ms,deltas=10000",
            Self::Stall => "fault=stall,at=3",
        }
    }

    fn reached(self, record: &Record) -> bool {
        match self {
            Self::Upload => record.phase == Phase::Upload && record.body_bytes > 0,
            Self::Silence => record.phase == Phase::Stall,
            Self::Stream => record.events > 5,
            Self::Stall => record.phase == Phase::Stall && record.events >= 3,
        }
    }
}

/// Leaves at `at` and returns how long it took until the provider knew.
async fn leave(world: &World, version: Version, at: At, name: &str) -> Duration {
    let mut connection = connect(world, version).await;
    let ask = Ask::chat(world, true, at.control()).with("idempotency-key", name);
    let (upload, mut pieces) = mpsc::channel::<Bytes>(4);
    let body = if at == At::Upload {
        let begun =
            format!("{{\"model\":\"gpt-4o\",\"messages\":[],\"x\":\"{}", "A".repeat(300_000));
        upload.send(begun.into()).await.unwrap();
        upload.send("A".repeat(1_000).into()).await.unwrap();
        let stream = futures_util::stream::poll_fn(move |cx| {
            pieces.poll_recv(cx).map(|piece| piece.map(|bytes| Ok(Frame::data(bytes))))
        });
        BodyExt::boxed(StreamBody::new(stream))
    } else {
        weft_loadtest::mesh::caller::full(ask.body.clone())
    };
    // A sibling on the same HTTP/2 connection must not notice.
    let sibling = Ask::chat(world, true, "pace=20ms,deltas=60");
    let sibling = match version {
        Version::H1 => None,
        Version::H2 => Some(Reading::of(&sibling, &mut connection)),
    };
    let answer = connection.start(ask.request_with(body)).unwrap();
    // Reads along, as an SDK does, until it is told to leave.
    let mut reading = JoinSet::new();
    reading.spawn(async move {
        let mut response = answer.await.unwrap();
        while let Some(Ok(_)) = response.frame().await {}
    });
    let mine = |records: &[Record]| {
        let mut found = records.iter().filter(|record| {
            received(record, "idempotency-key") == Some(name) && record.ending.is_none()
        });
        found.next().cloned()
    };
    // Looked at again and again: bytes of an upload are no change that the provider tells.
    let seq = timeout(LIMIT, async {
        loop {
            match mine(&world.provider.received()).filter(|record| at.reached(record)) {
                Some(record) => break record.seq,
                None => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    })
    .await
    .expect("the phase is reached");

    let left = Instant::now();
    drop(reading);
    if version == Version::H1 {
        drop(connection);
    }
    let ended = timeout(
        LIMIT,
        world.provider.wait_for(|records| {
            records.iter().find(|record| record.seq == seq && record.ending.is_some()).cloned()
        }),
    )
    .await
    .expect("the provider's connection closes");
    let took = left.elapsed();
    assert_eq!(ended.ending, Some(Ending::ClientGone), "{version:?} {at:?}");
    if let Some(sibling) = sibling {
        let answer = sibling.end().await;
        answer.whole(200);
        assert!(answer.text().ends_with("data: [DONE]\n\n"));
    }
    drop(upload);
    took
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_leaves_closes_the_providers_connection_at_every_phase() {
    let world = world().await;
    let (phases, rounds) = ([At::Upload, At::Silence, At::Stream, At::Stall], 3);
    for version in VERSIONS {
        for at in phases {
            for round in 0..rounds {
                let name = format!("{version:?}-{at:?}-{round}");
                let took = leave(&world, version, at, &name).await;
                println!("left over {version:?} at {at:?}: closed after {took:?}");
                assert!(took < GONE_MAX, "{version:?} {at:?}: {took:?}");
            }
        }
    }
    let left = 2 * phases.len() * rounds;
    let siblings = phases.len() * rounds;
    let rows = rows_when(&world, left + siblings).await;
    let gone = rows.iter().filter(|row| row["end"] == "user_abort").count();
    assert_eq!(gone, left, "{rows:?}");
    world.end().await.unwrap();
}
