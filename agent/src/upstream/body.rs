//! The request body on its way to a provider: a channel of one read, checked against its length.
//!
//! ```text
//!  exchange ── BodySender::send(read) ──▶ [1] ──▶ RequestBody ── polled by the connection
//!           ── finish() at the proper end ─▶         clean end
//!           ── drop, anything else ────────▶         RequestCut: the connection is aborted
//! ```
//! Invariants: the body ends cleanly only through [`BodySender::finish`], and only when exactly the
//! declared number of bytes went before; the read that would complete a request of declared length
//! is held until then, because with it the provider would have the whole request. Nothing is copied.

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// Reads in flight between the exchange and the connection. More would only move the peer's flow
/// control into this process.
const READS_IN_FLIGHT: usize = 1;

/// The request body did not end properly; its connection is aborted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamBodyError {
    /// The sender went away before the end.
    #[error("the request broke off")]
    BrokenOff,
    /// The body ended before its declared length.
    #[error("the request's body is shorter than its content-length")]
    TooShort,
    /// The body went on behind its declared length.
    #[error("the request's body is longer than its content-length")]
    TooLong,
}

/// The connection takes no more of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the provider takes no more of the request")]
pub struct RequestCut(());

#[derive(Debug)]
enum Item {
    Data(Bytes),
    End(Option<HeaderMap>),
    Error(UpstreamBodyError),
}

/// The exchange's end. Dropping it without [`Self::finish`] aborts the request.
#[derive(Debug)]
pub struct BodySender {
    channel: mpsc::Sender<Item>,
    remaining: Option<u64>,
    held: Option<Bytes>,
}

/// The connection's end.
#[derive(Debug)]
pub struct RequestBody {
    source: Source,
    remaining: Option<u64>,
}

#[derive(Debug)]
enum Source {
    Empty,
    Channel(mpsc::Receiver<Item>),
    Done,
}

impl RequestBody {
    /// A request without a body.
    #[must_use]
    pub const fn empty() -> Self {
        Self { source: Source::Empty, remaining: Some(0) }
    }

    /// A body that arrives in pieces; `length` is its declared content length in bytes, if any.
    #[must_use]
    pub fn channel(length: Option<u64>) -> (BodySender, Self) {
        let (sender, receiver) = mpsc::channel(READS_IN_FLIGHT);
        let sender = BodySender { channel: sender, remaining: length, held: None };
        (sender, Self { source: Source::Channel(receiver), remaining: length })
    }
}

impl BodySender {
    /// Passes one read on.
    ///
    /// # Errors
    /// [`RequestCut`] when the connection takes no more, or the body is longer than declared: the
    /// request is then aborted.
    ///
    /// # Cancel safety
    /// Not cancel safe: a dropped call may have lost its read. Drop the sender with it.
    pub async fn send(&mut self, read: Bytes) -> Result<(), RequestCut> {
        if read.is_empty() {
            return Ok(());
        }
        if let Some(remaining) = &mut self.remaining {
            let length = read.len() as u64;
            if length > *remaining {
                self.deliver(Item::Error(UpstreamBodyError::TooLong)).await?;
                return Err(RequestCut(()));
            }
            *remaining -= length;
            if *remaining == 0 {
                self.held = Some(read);
                return Ok(());
            }
        }
        self.deliver(Item::Data(read)).await
    }

    /// Ends the request properly.
    ///
    /// # Errors
    /// [`RequestCut`] when the connection takes no more, or the body is shorter than declared: the
    /// request is then aborted.
    pub async fn finish(mut self, trailers: Option<HeaderMap>) -> Result<(), RequestCut> {
        if self.remaining.is_some_and(|remaining| remaining > 0) {
            self.deliver(Item::Error(UpstreamBodyError::TooShort)).await?;
            return Err(RequestCut(()));
        }
        if let Some(held) = self.held.take() {
            self.deliver(Item::Data(held)).await?;
        }
        // With a declared length the connection may have stopped asking at its last byte.
        let last = self.deliver(Item::End(trailers)).await;
        if self.remaining.is_some() { Ok(()) } else { last }
    }

    /// Waits until the connection takes no more of the body.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn closed(&self) {
        self.channel.closed().await;
    }

    async fn deliver(&self, item: Item) -> Result<(), RequestCut> {
        self.channel.send(item).await.map_err(|_| RequestCut(()))
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = UpstreamBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UpstreamBodyError>>> {
        let item = match &mut self.source {
            Source::Empty | Source::Done => return Poll::Ready(None),
            Source::Channel(channel) => std::task::ready!(channel.poll_recv(cx)),
        };
        match item {
            Some(Item::Data(read)) => {
                if let Some(remaining) = &mut self.remaining {
                    *remaining = remaining.saturating_sub(read.len() as u64);
                }
                Poll::Ready(Some(Ok(Frame::data(read))))
            }
            Some(Item::End(trailers)) => {
                self.source = Source::Done;
                Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
            }
            Some(Item::Error(error)) => {
                self.source = Source::Done;
                Poll::Ready(Some(Err(error)))
            }
            None => {
                self.source = Source::Done;
                Poll::Ready(Some(Err(UpstreamBodyError::BrokenOff)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self.source {
            Source::Empty | Source::Done => true,
            Source::Channel(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.remaining.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    async fn collect(body: RequestBody) -> Result<Bytes, UpstreamBodyError> {
        body.collect().await.map(http_body_util::Collected::to_bytes)
    }

    async fn run(
        length: Option<u64>,
        reads: &'static [&'static [u8]],
        finish: bool,
    ) -> Result<Bytes, UpstreamBodyError> {
        let (mut sender, body) = RequestBody::channel(length);
        let send = async move {
            for read in reads {
                if sender.send(Bytes::from_static(read)).await.is_err() {
                    return;
                }
            }
            if finish {
                sender.finish(None).await.unwrap_or_default();
            }
        };
        tokio::join!(send, collect(body)).1
    }

    #[tokio::test]
    async fn a_body_that_ends_as_declared_ends_cleanly() {
        let whole = Ok(Bytes::from_static(b"abcdef"));
        assert_eq!(run(Some(6), &[b"abc", b"", b"def"], true).await, whole);
        assert_eq!(run(None, &[b"abc", b"def"], true).await, whole);
        assert_eq!(run(Some(0), &[], true).await, Ok(Bytes::new()));
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_or_misses_its_length_is_an_error() {
        assert_eq!(run(Some(6), &[b"abc"], true).await, Err(UpstreamBodyError::TooShort));
        assert_eq!(run(Some(3), &[b"ab", b"cd"], true).await, Err(UpstreamBodyError::TooLong));
        assert_eq!(run(Some(3), &[b"abc", b"d"], true).await, Err(UpstreamBodyError::TooLong));
        assert_eq!(run(None, &[b"abc"], false).await, Err(UpstreamBodyError::BrokenOff));
    }

    #[tokio::test]
    async fn a_request_whose_last_byte_came_but_not_its_end_is_never_complete() {
        let (mut sender, mut body) = RequestBody::channel(Some(3));
        sender.send(Bytes::from_static(b"ab")).await.expect("send");
        assert!(body.frame().await.expect("frame").is_ok());
        sender.send(Bytes::from_static(b"c")).await.expect("held");
        drop(sender);
        assert_eq!(body.frame().await.map(Result::err), Some(Some(UpstreamBodyError::BrokenOff)));
    }
}
