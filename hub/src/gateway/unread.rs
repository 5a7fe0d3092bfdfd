//! Bodies that an answer left unread.
//!
//! A server that answers early and closes the request's half makes some clients lose the answer:
//! over HTTP/1.1 the connection is reset, over HTTP/2 the stream. So what is left of a small body
//! is read and thrown away before the answer goes out. Nothing of it is looked at.

use axum::body::Body;
use bytes::Bytes;
use http::Request;
use http::header::EXPECT;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

/// Most bytes that are thrown away for one answer.
const THROWN_BYTES_MAX: usize = 64 * 1024;

/// Longest time that one answer waits for them.
const THROWING_MAX: Duration = Duration::from_millis(250);

/// The door's hold on a body that it has given away.
#[derive(Debug)]
pub(super) struct Unread {
    body: Option<Arc<Mutex<Body>>>,
}

/// The body as the request carries it on.
#[derive(Debug)]
struct Lent(Arc<Mutex<Body>>);

impl Unread {
    /// Keeps a hold on the body of `request`. A client that waits for `100 Continue` has sent none:
    /// asking for it would call for it.
    pub(super) fn of(request: Request<Body>) -> (Self, Request<Body>) {
        let waits = request.headers().contains_key(EXPECT);
        if waits || http_body::Body::is_end_stream(request.body()) {
            return (Self { body: None }, request);
        }
        let (head, body) = request.into_parts();
        let body = Arc::new(Mutex::new(body));
        let lent = Body::new(Lent(Arc::clone(&body)));
        (Self { body: Some(body) }, Request::from_parts(head, lent))
    }

    /// Throws away what is left, where nobody reads it any more.
    pub(super) async fn throw_away(self) {
        let Some(Ok(body)) = self.body.map(Arc::try_unwrap) else {
            return;
        };
        let mut body = body.into_inner().unwrap_or_else(PoisonError::into_inner);
        let throwing = async {
            let mut left = THROWN_BYTES_MAX;
            while let Some(Ok(frame)) = body.frame().await {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                match left.checked_sub(bytes) {
                    Some(rest) => left = rest,
                    None => return,
                }
            }
        };
        drop(tokio::time::timeout(THROWING_MAX, throwing).await);
    }
}

impl Lent {
    fn body(&self) -> MutexGuard<'_, Body> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl http_body::Body for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut *self.body()).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body().size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::StreamBody;
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
