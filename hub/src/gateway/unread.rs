//! Bodies that an answer left unread.
//!
//! A server that answers early and closes the request's half makes some clients lose the answer:
//! over HTTP/1.1 the connection is reset, over HTTP/2 the stream. So what is left of a small body
//! is read and thrown away before the answer goes out. Nothing of it is looked at.
//!
//! A client that sends everything before it reads anything would wait for itself where the answer is
//! larger than all buffers between: while such an answer is on its way, what nobody reads any more
//! is read on and thrown away.

use axum::body::Body;
use bytes::Bytes;
use http::Request;
use http::header::EXPECT;
use http_body::Body as _;
use http_body::{Frame, SizeHint};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Most bytes that are thrown away for one answer.
const THROWN_BYTES_MAX: u64 = 64 * 1024;

/// Longest time that one answer waits for them.
const THROWING_MAX: Duration = Duration::from_millis(250);

/// Most bytes that are read on and thrown away while an answer is on its way: as many as the longest
/// body has by default.
const READ_ON_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// The door's hold on a body that it has given away.
#[derive(Debug, Clone)]
pub(super) struct Unread {
    held: Option<Held>,
}

#[derive(Debug, Clone)]
struct Held {
    body: Arc<Mutex<Body>>,
    /// Nobody else reads it any more.
    given_back: CancellationToken,
}

/// The body as the request carries it on.
#[derive(Debug)]
struct Lent {
    body: Arc<Mutex<Body>>,
    _given_back: DropGuard,
}

impl Unread {
    /// Keeps a hold on the body of `request`. A client that waits for `100 Continue` has sent none:
    /// asking for it would call for it.
    pub(super) fn of(request: Request<Body>) -> (Self, Request<Body>) {
        let waits = request.headers().contains_key(EXPECT);
        if waits || http_body::Body::is_end_stream(request.body()) {
            return (Self { held: None }, request);
        }
        let (head, body) = request.into_parts();
        let body = Arc::new(Mutex::new(body));
        let given_back = CancellationToken::new();
        let lent = Lent { body: Arc::clone(&body), _given_back: given_back.clone().drop_guard() };
        let held = Some(Held { body, given_back });
        (Self { held }, Request::from_parts(head, Body::new(lent)))
    }

    /// Throws away what is left, where nobody reads it any more.
    pub(super) async fn throw_away(&self) {
        if let Some(held) = self.held.as_ref().filter(|held| held.given_back.is_cancelled()) {
            let throwing = held.throw_away(THROWN_BYTES_MAX);
            drop(tokio::time::timeout(THROWING_MAX, throwing).await);
        }
    }

    /// Whether bytes may be left that an answer on its way could wait for.
    pub(super) fn may_be_left(&self) -> bool {
        self.held.as_ref().is_some_and(|held| !lock(&held.body).is_end_stream())
    }

    /// Reads on and throws away, as soon as nobody else reads it any more; to be dropped with the
    /// answer's end.
    pub(super) async fn read_on(self) {
        if let Some(held) = self.held {
            held.given_back.cancelled().await;
            held.throw_away(READ_ON_BYTES_MAX).await;
        }
    }
}

impl Held {
    /// Throws away the rest of the body, and `max` bytes of it at most.
    async fn throw_away(&self, max: u64) {
        let mut left = max;
        loop {
            let frame = poll_fn(|context| Pin::new(&mut *lock(&self.body)).poll_frame(context));
            let Some(Ok(frame)) = frame.await else { return };
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            match left.checked_sub(bytes as u64) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    }
}

fn lock(body: &Mutex<Body>) -> MutexGuard<'_, Body> {
    body.lock().unwrap_or_else(PoisonError::into_inner)
}

impl http_body::Body for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut *lock(&self.body)).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        lock(&self.body).is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        lock(&self.body).size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt, StreamBody};
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// A body of `reads` reads of 16 KiB that counts those taken.
    fn counted(reads: usize) -> (Request<Body>, Arc<AtomicUsize>) {
        let taken = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&taken);
        let frames = futures_util::stream::iter((0..reads).map(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
            Ok::<_, Infallible>(Frame::data(Bytes::from_static(&[0; 16 * 1024])))
        }));
        (Request::new(Body::new(StreamBody::new(frames))), taken)
    }

    #[tokio::test]
    async fn a_small_rest_is_thrown_away_and_a_large_one_only_up_to_the_limit() {
        for (reads, expected) in [(3, 3), (100, 5)] {
            let (request, taken) = counted(reads);
            let (unread, request) = Unread::of(request);
            drop(request);
            unread.throw_away().await;
            assert_eq!(taken.load(Ordering::Relaxed), expected);
        }
    }

    #[tokio::test]
    async fn a_rest_is_read_on_once_it_was_given_back_and_not_before() {
        let (request, taken) = counted(1_000);
        let (unread, request) = Unread::of(request);
        assert!(unread.may_be_left());
        let mut reading_on = std::pin::pin!(unread.read_on());
        assert!(futures_util::poll!(&mut reading_on).is_pending());
        assert_eq!(taken.load(Ordering::Relaxed), 0);
        drop(request);
        reading_on.await;
        assert_eq!(taken.load(Ordering::Relaxed), 1_000);
    }

    #[tokio::test]
    async fn a_body_that_is_still_read_and_one_that_waits_to_be_asked_for_are_left_alone() {
        let (request, taken) = counted(3);
        let (unread, request) = Unread::of(request);
        unread.throw_away().await;
        assert_eq!(taken.load(Ordering::Relaxed), 0);
        assert_eq!(request.into_body().collect().await.unwrap().to_bytes().len(), 48 * 1024);

        let (mut request, taken) = counted(3);
        request.headers_mut().insert(EXPECT, http::HeaderValue::from_static("100-continue"));
        let (unread, request) = Unread::of(request);
        drop(request);
        unread.throw_away().await;
        assert_eq!(taken.load(Ordering::Relaxed), 0);
    }
}
