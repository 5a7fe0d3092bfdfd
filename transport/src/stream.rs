//! Halves of streams that cannot lie about their end.
//!
//! A bare quinn `SendStream` that is dropped, by a panic or a cancelled task, sends FIN: a cut
//! answer would look whole. A [`SendHalf`] that is dropped before [`SendHalf::finish`] resets
//! instead, with the code it was told to use. A [`RecvHalf`] that is dropped before its end stops
//! the peer with a code that says why.

use bytes::Bytes;
use quinn::{ReadError, RecvStream, SendStream, StoppedError, VarInt, WriteError};
use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use weft_proto::codes::{AbortCode, CloseCode};
use weft_proto::wire::Malformed;

/// Most pieces that one read takes off a stream: each is what one packet brought, and together they
/// are some 64 KiB.
const READ_PIECES_MAX: usize = 48;

/// The TLS alert that says so (RFC 8446 section 6.2).
const CERTIFICATE_REVOKED: u8 = 44;

/// Why a stream gave no more, or took no more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// The peer reset or stopped it.
    #[error("stream aborted by the peer: {0}")]
    Aborted(AbortCode),
    /// The connection is gone.
    #[error("tunnel lost: {0}")]
    TunnelLost(Lost),
    /// The peer broke the rules of the wire.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// A wait of the wire passed.
    #[error("the peer took too long")]
    TimedOut,
}

/// How a connection went.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// The peer closed it with a code.
    #[error("closed by the peer: {0}")]
    ClosedByPeer(CloseCode),
    /// This end closed it.
    #[error("closed at this end")]
    ClosedHere,
    /// Nothing was heard for the idle time.
    #[error("timed out")]
    TimedOut,
    /// The peer has lost its state: a stateless reset.
    #[error("reset: the peer has restarted")]
    Reset,
    /// The handshake or the transport failed.
    #[error("{0}")]
    Failed(String),
}

impl From<quinn::ConnectionError> for Lost {
    fn from(error: quinn::ConnectionError) -> Self {
        match error {
            quinn::ConnectionError::ApplicationClosed(close) => {
                Self::ClosedByPeer(CloseCode::from_number(close.error_code.into_inner()))
            }
            // What the hub's TLS says of a revoked certificate, after the agent's end of the
            // handshake: the same news as the close code.
            quinn::ConnectionError::ConnectionClosed(close)
                if close.error_code == quinn::TransportErrorCode::crypto(CERTIFICATE_REVOKED) =>
            {
                Self::ClosedByPeer(CloseCode::Revoked)
            }
            quinn::ConnectionError::LocallyClosed => Self::ClosedHere,
            quinn::ConnectionError::TimedOut => Self::TimedOut,
            quinn::ConnectionError::Reset => Self::Reset,
            error @ (quinn::ConnectionError::VersionMismatch
            | quinn::ConnectionError::TransportError(_)
            | quinn::ConnectionError::ConnectionClosed(_)
            | quinn::ConnectionError::CidsExhausted) => Self::Failed(error.to_string()),
        }
    }
}

impl From<quinn::ConnectionError> for StreamError {
    fn from(error: quinn::ConnectionError) -> Self {
        Self::TunnelLost(error.into())
    }
}

pub(crate) fn varint(code: u32) -> VarInt {
    VarInt::from_u32(code)
}

/// A write below this many bytes is copied: until the peer has acknowledged it, a slice keeps the
/// whole buffer that it was cut from, which no window and no budget counts.
const COPIED_BELOW_BYTES: usize = 4 * 1024;

/// The sending half of a stream: ends properly by [`SendHalf::finish`], or by a reset.
#[derive(Debug)]
pub struct SendHalf {
    stream: SendStream,
    on_drop: AbortCode,
    open: bool,
}

impl SendHalf {
    /// Guards `stream`.
    #[must_use]
    pub const fn new(stream: SendStream) -> Self {
        Self { stream, on_drop: AbortCode::Internal, open: true }
    }

    /// Sets the code with which a drop resets; [`AbortCode::Internal`] until then.
    pub const fn reset_on_drop(&mut self, code: AbortCode) {
        self.on_drop = code;
    }

    /// Sets the priority of what is written from now on: a higher one is sent first.
    pub fn prioritise(&self, priority: i32) {
        // A stream that has ended has no priority; that is no news to anybody.
        self.stream.set_priority(priority).unwrap_or_default();
    }

    /// Writes all of `bytes` as soon as flow control lets them go.
    ///
    /// # Errors
    /// [`StreamError`] when the peer stopped the stream or the tunnel is lost.
    ///
    /// # Cancel safety
    /// Not cancel safe: a dropped call may have written a part. Reset the stream then.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        let bytes =
            if bytes.len() < COPIED_BELOW_BYTES { Bytes::copy_from_slice(&bytes) } else { bytes };
        self.stream.write_chunk(bytes).await.map_err(|error| self.write_failed(error))
    }

    /// Writes a part of `bytes` as soon as flow control lets any go, and says how much.
    ///
    /// # Errors
    /// [`StreamError`] when the peer stopped the stream or the tunnel is lost.
    ///
    /// # Cancel safety
    /// Cancel safe: a dropped call has written nothing.
    pub async fn write_some(&mut self, bytes: &[u8]) -> Result<usize, StreamError> {
        self.stream.write(bytes).await.map_err(|error| self.write_failed(error))
    }

    /// Ends the stream properly. Nothing can be written afterwards.
    ///
    /// # Errors
    /// [`StreamError::Aborted`] when the peer has stopped the stream before, or this end has reset
    /// it; [`StreamError::TunnelLost`] when the connection is known to be gone.
    pub fn finish(&mut self) -> Result<(), StreamError> {
        if !std::mem::take(&mut self.open) {
            return Err(StreamError::Aborted(self.on_drop));
        }
        self.stream.finish().map_err(|_| StreamError::Aborted(self.on_drop))?;
        // The transport takes an end that nobody wants without a word; the caller must not.
        let mut context = Context::from_waker(Waker::noop());
        match pin!(self.stopped()).poll(&mut context) {
            Poll::Ready(Some(error)) => Err(error),
            Poll::Ready(None) | Poll::Pending => Ok(()),
        }
    }

    /// Ends the stream improperly; a stream that has ended already stays as it is.
    pub fn reset(&mut self, code: AbortCode) {
        if std::mem::take(&mut self.open) {
            self.stream.reset(varint(code.number())).unwrap_or_default();
        }
    }

    /// Waits until the peer stops the stream or the tunnel is lost, and says which. After a
    /// [`SendHalf::finish`] whose bytes the peer has all acknowledged, `None`.
    ///
    /// # Cancel safety
    /// Cancel safe. Does not borrow the half.
    pub fn stopped(&self) -> impl Future<Output = Option<StreamError>> + Send + Sync + 'static {
        let stopped = self.stream.stopped();
        async move {
            match stopped.await {
                Ok(None) => None,
                Ok(Some(code)) => {
                    Some(StreamError::Aborted(AbortCode::from_number(code.into_inner())))
                }
                Err(StoppedError::ConnectionLost(error)) => Some(error.into()),
                Err(StoppedError::ZeroRttRejected) => Some(Malformed("0-RTT").into()),
            }
        }
    }

    fn write_failed(&mut self, error: WriteError) -> StreamError {
        match error {
            WriteError::Stopped(code) => {
                // The peer wants no more: what is left need not be said twice.
                StreamError::Aborted(AbortCode::from_number(code.into_inner()))
            }
            WriteError::ConnectionLost(error) => {
                self.open = false;
                error.into()
            }
            WriteError::ClosedStream => StreamError::Aborted(self.on_drop),
            WriteError::ZeroRttRejected => Malformed("0-RTT").into(),
        }
    }
}

impl Drop for SendHalf {
    fn drop(&mut self) {
        self.reset(self.on_drop);
    }
}

/// The receiving half of a stream: read to its end, or stopped.
#[derive(Debug)]
pub struct RecvHalf {
    stream: RecvStream,
    on_drop: AbortCode,
    open: bool,
}

impl RecvHalf {
    /// Guards `stream`.
    #[must_use]
    pub const fn new(stream: RecvStream) -> Self {
        Self { stream, on_drop: AbortCode::Internal, open: true }
    }

    /// Sets the code with which a drop stops the peer; [`AbortCode::Internal`] until then.
    pub const fn stop_on_drop(&mut self, code: AbortCode) {
        self.on_drop = code;
    }

    /// What one read returns, as soon as there is anything: all that has come, up to some 64 KiB and
    /// at most the stream's window; `None` at the proper end. What came in several packets is
    /// gathered, so that whoever passes it on does so once.
    ///
    /// # Errors
    /// [`StreamError`] when the peer reset the stream or the tunnel is lost.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, StreamError> {
        // The places for the pieces live in a poll, not in the future: idle streams are many.
        let read = poll_fn(|context| {
            let mut pieces = [const { Bytes::new() }; READ_PIECES_MAX];
            let read = pin!(self.stream.read_chunks(&mut pieces)).poll(context);
            read.map_ok(|count| count.map(|count| gathered(&mut pieces[..count])))
        });
        match read.await {
            Ok(Some(bytes)) => Ok(Some(bytes)),
            Ok(None) => {
                self.open = false;
                Ok(None)
            }
            Err(error) => {
                self.open = false;
                Err(match error {
                    ReadError::Reset(code) => {
                        StreamError::Aborted(AbortCode::from_number(code.into_inner()))
                    }
                    ReadError::ConnectionLost(error) => error.into(),
                    ReadError::ClosedStream | ReadError::IllegalOrderedRead => {
                        StreamError::Aborted(self.on_drop)
                    }
                    ReadError::ZeroRttRejected => Malformed("0-RTT").into(),
                })
            }
        }
    }

    /// Waits for a reset without reading: `None` where the stream's end is known to be proper.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn reset_by_peer(&mut self) -> Option<StreamError> {
        match self.stream.received_reset().await {
            Ok(None) => None,
            Ok(Some(code)) => Some(StreamError::Aborted(AbortCode::from_number(code.into_inner()))),
            Err(quinn::ResetError::ConnectionLost(error)) => Some(error.into()),
            Err(quinn::ResetError::ZeroRttRejected) => Some(Malformed("0-RTT").into()),
        }
    }

    /// Tells the peer to send no more; a stream that was read to its end stays as it is.
    pub fn stop(&mut self, code: AbortCode) {
        if std::mem::take(&mut self.open) {
            self.stream.stop(varint(code.number())).unwrap_or_default();
        }
    }
}

/// All `pieces` in one; a single one is not copied.
fn gathered(pieces: &mut [Bytes]) -> Bytes {
    match pieces {
        [piece] => std::mem::take(piece),
        pieces => pieces.concat().into(),
    }
}

impl Drop for RecvHalf {
    fn drop(&mut self) {
        self.stop(self.on_drop);
    }
}
