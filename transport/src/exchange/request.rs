//! The request's direction: written by the hub, read by the agent.

use super::answer::{AnswerReader, AnswerWriter};
use crate::read::Reader;
use crate::stream::{RecvHalf, SendHalf, StreamError};
use bytes::{BufMut, Bytes, BytesMut};
use quinn::Connection;
use std::time::Duration;
use weft_proto::codes::AbortCode;
use weft_proto::limits::{BULK_AFTER_BYTES, HEAD_BYTES_MAX, HEAD_WAIT_MAX, priority};
use weft_proto::wire::head::RequestHead;
use weft_proto::wire::{Malformed, StreamKind, prefix};

/// Why no exchange could be opened; nothing was sent.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The agent grants no further stream, and granted none in the time that was given.
    #[error("the agent grants no further stream")]
    Full,
    /// The tunnel is gone.
    #[error("the tunnel is gone")]
    Lost(#[source] StreamError),
    /// The head fits no limit.
    #[error("the request's head fits no limit of the wire")]
    Head(#[source] Malformed),
}

/// Opens an exchange and sends its head. Where the agent grants no stream now, one is waited for so
/// long: those of exchanges that have just ended come back with its next acknowledgements.
///
/// # Errors
/// [`OpenError`]; nothing was sent then that an agent could act on.
///
/// # Cancel safety
/// Cancel safe in the sense that a dropped call resets the stream.
pub async fn open(
    connection: &Connection,
    head: &RequestHead,
    wait: Duration,
) -> Result<(RequestWriter, AnswerReader), OpenError> {
    let encoded = head.encode().map_err(OpenError::Head)?;
    let mut out = BytesMut::with_capacity(encoded.len() + 9);
    out.put_u8(StreamKind::Exchange as u8);
    prefix::encode(&encoded, HEAD_BYTES_MAX, &mut out).map_err(OpenError::Head)?;

    let (send, recv) = tokio::time::timeout(wait, connection.open_bi())
        .await
        .map_err(|_| OpenError::Full)?
        .map_err(|error| OpenError::Lost(error.into()))?;

    let mut half = SendHalf::new(send);
    half.prioritise(priority::HEAD);
    let mut answer = RecvHalf::new(recv);
    answer.stop_on_drop(AbortCode::UserAbort);
    half.write(out.freeze()).await.map_err(OpenError::Lost)?;
    half.reset_on_drop(AbortCode::UserAbort);
    half.prioritise(priority::STREAMING);
    let writer = RequestWriter { half, lively: head.upgrade, sent: 0 };
    Ok((writer, AnswerReader::new(answer)))
}

/// Sends a request's body. Dropped before [`RequestWriter::finish`], it resets the stream with
/// `USER_ABORT`, so that the body never looks whole.
#[derive(Debug)]
pub struct RequestWriter {
    half: SendHalf,
    /// The bytes of a WebSocket: somebody waits for each piece, however many there are.
    lively: bool,
    sent: u64,
}

impl RequestWriter {
    /// Sends bytes as they came. A body that grows long gives way to token streams.
    ///
    /// # Errors
    /// [`StreamError::Aborted`] with `ENOUGH` where the agent has its answer and needs no more;
    /// any other error ends the exchange.
    ///
    /// # Cancel safety
    /// Not cancel safe: abort the exchange when the call is dropped.
    pub async fn send(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        let before = self.sent;
        self.sent += bytes.len() as u64;
        if !self.lively && before <= BULK_AFTER_BYTES && self.sent > BULK_AFTER_BYTES {
            self.half.prioritise(priority::BULK);
        }
        self.half.write(bytes).await
    }

    /// Says that the body is whole.
    ///
    /// # Errors
    /// [`StreamError::Aborted`] where the agent has stopped the body before.
    pub fn finish(&mut self) -> Result<(), StreamError> {
        self.half.finish()
    }

    /// Breaks the body off.
    pub fn abort(&mut self, code: AbortCode) {
        self.half.reset(code);
    }

    /// Waits until the agent stops the body or the tunnel is lost.
    ///
    /// # Cancel safety
    /// Cancel safe. Does not borrow the writer.
    pub fn stopped(&self) -> impl Future<Output = Option<StreamError>> + Send + Sync + 'static {
        self.half.stopped()
    }

    /// Bytes of body sent so far.
    #[must_use]
    pub const fn sent(&self) -> u64 {
        self.sent
    }
}

/// An exchange as the agent receives it.
#[derive(Debug)]
pub struct Incoming {
    /// What the hub asks.
    pub head: RequestHead,
    /// The request's body.
    pub body: RequestReader,
    /// Where the answer goes.
    pub answer: AnswerWriter,
}

/// Reads the head of an exchange from a stream that the hub opened. Waits at most
/// [`HEAD_WAIT_MAX`].
///
/// # Errors
/// [`StreamError`]; the stream is reset with `MALFORMED` where the hub broke the rules, and with
/// `NOT_SENT` where its head came too late: no provider was called.
///
/// # Cancel safety
/// A dropped call resets the stream.
pub async fn accept(
    send: quinn::SendStream,
    recv: quinn::RecvStream,
) -> Result<Incoming, StreamError> {
    let mut answer = SendHalf::new(send);
    answer.prioritise(priority::HEAD);
    let mut reader = Reader::new(RecvHalf::new(recv));
    let head = tokio::time::timeout(HEAD_WAIT_MAX, read_head(&mut reader))
        .await
        .unwrap_or(Err(StreamError::TimedOut));
    match head {
        Ok(head) => {
            let (mut half, rest) = reader.into_rest();
            half.stop_on_drop(AbortCode::Enough);
            let body = RequestReader { half, first: Some(rest).filter(|rest| !rest.is_empty()) };
            Ok(Incoming { head, body, answer: AnswerWriter::new(answer) })
        }
        Err(error) => {
            let code = match error {
                StreamError::TimedOut => AbortCode::NotSent,
                StreamError::Malformed(_)
                | StreamError::Aborted(_)
                | StreamError::TunnelLost(_) => AbortCode::Malformed,
            };
            answer.reset(code);
            reader.half.stop(code);
            Err(error)
        }
    }
}

async fn read_head(reader: &mut Reader) -> Result<RequestHead, StreamError> {
    let kind = reader.byte().await?.ok_or(Malformed("empty stream"))?;
    if StreamKind::from_byte(kind)? != StreamKind::Exchange {
        return Err(Malformed("stream kind").into());
    }
    let head = reader.block(HEAD_BYTES_MAX).await?.ok_or(Malformed("missing head"))?;
    Ok(RequestHead::decode(&head)?)
}

/// Reads a request's body. Dropped before its end, it tells the hub `ENOUGH`.
#[derive(Debug)]
pub struct RequestReader {
    half: RecvHalf,
    first: Option<Bytes>,
}

impl RequestReader {
    /// The next bytes as they came; `None` where the body is whole.
    ///
    /// # Errors
    /// [`StreamError`] where the hub broke the body off or the tunnel is lost: the body is *not*
    /// whole then.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn next(&mut self) -> Result<Option<Bytes>, StreamError> {
        match self.first.take() {
            Some(bytes) => Ok(Some(bytes)),
            None => self.half.chunk().await,
        }
    }

    /// Tells the hub to send no more, and why: `ENOUGH` where the answer needs no more of it.
    pub fn stop(&mut self, code: AbortCode) {
        self.half.stop(code);
    }
}
