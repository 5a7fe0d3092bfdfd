//! What the gate sees of a body before and after an account is chosen.

use super::*;
use crate::exchange::belongings::Belongings;
use crate::exchange::belongings::tests::World;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use http::Method;
use http_body::Frame;
use http_body_util::StreamBody;
use std::convert::Infallible;
use std::task::Poll;
use weft_proto::provider::Provider;
use weft_proto::tables::routes;

const LIMITS: UploadLimits =
    UploadLimits { idle: Duration::from_secs(30), stall: Duration::from_secs(30), bytes: 64 << 20 };

/// An upload of a response's request that comes in `reads`.
fn upload(reads: Vec<Bytes>) -> Upload {
    let route = routes::find(Provider::OpenAi, &Method::POST, "/v1/responses").unwrap();
    let scan = BodyScan::for_route(Some("application/json"), route.route).unwrap();
    let frames = reads.into_iter().map(|read| Ok::<_, Infallible>(Frame::data(read)));
    // One read at a time, as a network would give them.
    let frames = futures_util::stream::iter(frames).then(async |frame| {
        tokio::task::yield_now().await;
        frame
    });
    let body = Body::new(StreamBody::new(Box::pin(frames)));
    Upload::new(body, scan, LIMITS, Arc::default())
}

fn guarded(world: &World, upload: &mut Upload) {
    let route = routes::find(Provider::OpenAi, &Method::POST, "/v1/responses").unwrap();
    let belongings = Belongings::new(world.objects.clone(), world.whose, &route, None);
    let mut guard = belongings.guard(Vec::new());
    guard.goes_to(world.home);
    upload.guarded_by(guard);
}

/// A body whose first reads fill the replay buffer, and that then names `file`.
fn names_late(file: &str) -> Vec<Bytes> {
    let filler = "A".repeat(REPLAY_BYTES_MAX + 1);
    let mut reads = vec![Bytes::from(format!("{{\"model\":\"gpt-4o\",\"x\":\"{filler}\","))];
    let rest = format!("\"input\":[{{\"content\":[{{\"file_id\":\"{file}\"}}]}}]}}");
    reads.extend(rest.as_bytes().chunks(7).map(Bytes::copy_from_slice));
    reads
}

async fn whole(upload: &mut Upload) -> Result<Vec<u8>, Stopped> {
    let mut bytes = Vec::new();
    while let Some(read) = upload.read().await? {
        bytes.extend_from_slice(&read);
    }
    assert!(upload.is_done());
    Ok(bytes)
}

#[tokio::test]
async fn a_small_body_is_known_whole_before_an_account_is_chosen() {
    let body = br#"{"store":false,"model":"gpt-4o","previous_response_id":"resp_1",
        "input":[{"content":[{"type":"input_file","file_id":"file-1"}]}]}"#;
    for size in [1, 16, body.len()] {
        let mut upload = upload(body.chunks(size).map(Bytes::copy_from_slice).collect());
        upload.peek().await.unwrap();
        assert_eq!((upload.model(), upload.store()), (Some("gpt-4o"), Some(false)));
        let named: Vec<_> =
            upload.take_named().into_iter().map(|reference| reference.id.to_string()).collect();
        assert_eq!(named, ["resp_1", "file-1"]);
        assert!(upload.is_done() && upload.replay_whole());
    }
}

#[tokio::test]
async fn what_is_named_late_is_looked_up_before_its_read_goes_on() {
    let world = World::new();
    let (other, elsewhere) = (world.somebody_else(), world.elsewhere());
    world.made(world.whose, world.home, "file-own").await;
    world.made(world.whose, elsewhere, "file-far").await;
    world.made(other, world.home, "file-theirs").await;
    for (file, expected) in [
        ("file-own", None),
        ("file-theirs", Some((404, "object_not_found"))),
        ("file-unknown", Some((404, "object_not_found"))),
        ("file-far", Some((400, "objects_apart"))),
        ("a/b", Some((400, "request_body"))),
    ] {
        let reads = names_late(file);
        let sent = reads.concat();
        let mut upload = upload(reads);
        upload.peek().await.unwrap();
        assert!(upload.take_named().is_empty());
        guarded(&world, &mut upload);
        let mut forwarded = upload.kept.bytes;
        let refused = loop {
            match upload.read().await {
                Ok(Some(read)) => forwarded += read.len(),
                Ok(None) => break None,
                Err(Stopped::Refused(refusal)) => {
                    break Some((refusal.status().as_u16(), refusal.cause()));
                }
                Err(Stopped::Broken) => panic!("the body broke"),
            }
        };
        assert_eq!(refused, expected, "{file}");
        assert_eq!(forwarded == sent.len(), expected.is_none(), "{file}: {forwarded} bytes");
    }
}

/// Answers as the rows in memory do, but only when it is asked for the second time.
#[derive(Debug)]
struct Hesitant(Arc<dyn weft_store::Objects>);

#[async_trait::async_trait]
impl weft_store::Objects for Hesitant {
    async fn record(
        &self,
        objects: &[weft_store::Object],
    ) -> Result<usize, weft_store::StoreError> {
        self.0.record(objects).await
    }

    async fn find(
        &self,
        user: weft_proto::ids::UserId,
        provider: Provider,
        ids: &[weft_proto::objects::ObjectId],
    ) -> Result<Vec<weft_store::Object>, weft_store::StoreError> {
        tokio::task::yield_now().await;
        self.0.find(user, provider, ids).await
    }

    async fn list(
        &self,
        wanted: &weft_store::ObjectsWanted,
    ) -> Result<weft_store::ObjectsListed, weft_store::StoreError> {
        self.0.list(wanted).await
    }

    async fn home(
        &self,
        user: weft_proto::ids::UserId,
        provider: Provider,
    ) -> Result<Option<Home>, weft_store::StoreError> {
        self.0.home(user, provider).await
    }

    async fn remove(
        &self,
        user: weft_proto::ids::UserId,
        home: Home,
        id: &weft_proto::objects::ObjectId,
    ) -> Result<u64, weft_store::StoreError> {
        self.0.remove(user, home, id).await
    }

    async fn purge(
        &self,
        kinds: &[weft_proto::objects::ObjectKind],
        before: weft_proto::time::Timestamp,
    ) -> Result<u64, weft_store::StoreError> {
        self.0.purge(kinds, before).await
    }
}

#[tokio::test]
async fn a_read_that_is_given_up_at_any_moment_loses_no_byte_and_no_verdict() {
    use weft_store::Store;
    let mut world = World::new();
    world.made(world.whose, world.home, "file-own").await;
    let slow = Arc::new(Hesitant(world.store.objects()));
    let clock = Arc::new(weft_proto::time::SystemClock);
    world.objects = crate::objects::Objects::new(slow, clock, crate::telemetry::Metrics::new());
    for (file, passes) in [("file-own", true), ("file-unknown", false)] {
        let reads = names_late(file);
        let sent = reads.concat();
        let mut upload = upload(reads);
        upload.peek().await.unwrap();
        guarded(&world, &mut upload);
        let mut forwarded = upload.kept.bytes;
        let refused = loop {
            // Polled once and dropped, as by a `select!` whose other side is ready.
            let mut reading: BoxFuture<'_, _> = upload.read().boxed();
            let polled = futures_util::poll!(&mut reading);
            drop(reading);
            match polled {
                Poll::Pending => tokio::task::yield_now().await,
                Poll::Ready(Ok(Some(read))) => forwarded += read.len(),
                Poll::Ready(Ok(None)) => break false,
                Poll::Ready(Err(_)) => break true,
            }
            if forwarded > sent.len() {
                panic!("more than was sent");
            }
            // A verdict that never comes in one poll is waited for, or this would go on for ever.
            if upload.held.is_some() {
                match upload.read().await {
                    Ok(Some(read)) => forwarded += read.len(),
                    Ok(None) => break false,
                    Err(_) => break true,
                }
            }
        };
        assert_eq!(refused, !passes, "{file}");
        assert_eq!(forwarded == sent.len(), passes, "{file}");
    }
}

#[tokio::test]
async fn a_body_without_objects_goes_on_byte_for_byte() {
    let world = World::new();
    let body = format!("{{\"model\":\"gpt-4o\",\"input\":\"{}\"}}", "x".repeat(900_000));
    let mut upload = upload(body.as_bytes().chunks(50_000).map(Bytes::copy_from_slice).collect());
    upload.peek().await.unwrap();
    assert!(upload.kept.bytes >= REPLAY_BYTES_MAX && upload.kept.bytes < body.len());
    guarded(&world, &mut upload);
    upload.kept.gather();
    let mut sent = upload.kept.reads.concat();
    sent.extend(whole(&mut upload).await.unwrap());
    assert!(sent == body.as_bytes());
}
