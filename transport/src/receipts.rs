//! The stream of receipts: entries of an agent's ledger, one way, in chain order.
//!
//! The agent [`open`]s it on its slot 0 once the hub's ledger has greeted; what the hub says to a
//! receipt is a control message. The stream has no proper end while its tunnel lives: what was not
//! acknowledged is sent again on the next one.

use crate::read::Reader;
use crate::stream::{RecvHalf, SendHalf, StreamError};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use quinn::{Connection, RecvStream};
use std::time::Duration;
use tokio::time::Instant;
use weft_proto::codes::AbortCode;
use weft_proto::limits::{HEAD_WAIT_MAX, priority};
use weft_proto::wire::receipts::Receipt;
use weft_proto::wire::{Malformed, StreamKind};

/// Sends receipts.
#[derive(Debug)]
pub struct ReceiptSender {
    half: SendHalf,
    /// What was put and not written yet.
    unsent: BytesMut,
}

/// Opens the stream of receipts, behind every exchange in priority.
///
/// # Errors
/// [`StreamError`] when the tunnel is lost.
///
/// # Cancel safety
/// Cancel safe in the sense that a dropped call resets the stream.
pub async fn open(connection: &Connection) -> Result<ReceiptSender, StreamError> {
    let mut half = SendHalf::new(connection.open_uni().await?);
    half.prioritise(priority::LEDGER);
    half.write(Bytes::from_static(&[StreamKind::Receipts as u8])).await?;
    Ok(ReceiptSender { half, unsent: BytesMut::new() })
}

impl ReceiptSender {
    /// Puts a frame behind those that are to be sent. Nothing goes before [`flush`](Self::flush).
    ///
    /// # Errors
    /// [`StreamError::Malformed`] when it fits no limit; nothing of it was put.
    pub fn put(&mut self, receipt: &Receipt) -> Result<(), StreamError> {
        receipt.encode(&mut self.unsent)?;
        Ok(())
    }

    /// Whether all that was put is on its way.
    #[must_use]
    pub fn is_flushed(&self) -> bool {
        self.unsent.is_empty()
    }

    /// Sends what was put, as the hub's window lets it go.
    ///
    /// # Errors
    /// [`StreamError`] when the hub stopped the stream or the tunnel is lost.
    ///
    /// # Cancel safety
    /// Cancel safe: the next call goes on where a dropped one was.
    pub async fn flush(&mut self) -> Result<(), StreamError> {
        while !self.unsent.is_empty() {
            let written = self.half.write_some(&self.unsent).await?;
            self.unsent.advance(written);
        }
        Ok(())
    }

    /// Waits until the hub stops the stream or the tunnel is lost.
    ///
    /// # Cancel safety
    /// Cancel safe. Does not borrow the sender.
    pub fn stopped(&self) -> impl Future<Output = Option<StreamError>> + Send + Sync + 'static {
        self.half.stopped()
    }
}

/// Receives receipts. Dropped, it tells the agent to send no more.
#[derive(Debug)]
pub struct ReceiptReceiver {
    reader: Reader,
}

/// Reads the kind of a stream that the agent opened one way. Waits at most [`HEAD_WAIT_MAX`].
///
/// # Errors
/// [`StreamError`]; the stream is stopped with `MALFORMED` where it is no stream of receipts.
///
/// # Cancel safety
/// A dropped call stops the stream.
pub async fn accept(stream: RecvStream) -> Result<ReceiptReceiver, StreamError> {
    let reader = of_kind(stream, StreamKind::Receipts).await?;
    Ok(ReceiptReceiver { reader })
}

/// A stream whose first byte is this kind's.
pub(crate) async fn of_kind(stream: RecvStream, kind: StreamKind) -> Result<Reader, StreamError> {
    let mut reader = Reader::new(RecvHalf::new(stream));
    let first = tokio::time::timeout(HEAD_WAIT_MAX, reader.byte())
        .await
        .unwrap_or(Err(StreamError::TimedOut))?;
    let byte = first.ok_or(Malformed("empty stream"))?;
    if byte != kind as u8 {
        reader.half.stop(AbortCode::Malformed);
        return Err(Malformed("stream kind").into());
    }
    Ok(reader)
}

impl ReceiptReceiver {
    /// The next frame, as soon as it is whole. The stream has no proper end: its end is an error.
    ///
    /// # Errors
    /// [`StreamError`] when the agent reset the stream or broke the rules, or the tunnel is lost.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn next(&mut self) -> Result<Receipt, StreamError> {
        loop {
            match Receipt::take(self.reader.buffer()) {
                Ok(Some(receipt)) => return Ok(receipt),
                Ok(None) => {}
                Err(malformed) => {
                    self.reader.half.stop(AbortCode::Malformed);
                    return Err(malformed.into());
                }
            }
            if !self.reader.fill().await? {
                return Err(Malformed("end of the receipts").into());
            }
        }
    }

    /// `first` and the frames that come within `within` of this call, together at most `max`.
    ///
    /// # Errors
    /// As of [`next`](Self::next); what was gathered is dropped.
    ///
    /// # Cancel safety
    /// Not cancel safe: a dropped call drops what it has gathered.
    pub async fn gather(
        &mut self,
        first: Receipt,
        max: usize,
        within: Duration,
    ) -> Result<Vec<Receipt>, StreamError> {
        let until = Instant::now() + within;
        let mut together = vec![first];
        while together.len() < max
            && let Ok(next) = tokio::time::timeout_at(until, self.next()).await
        {
            together.push(next?);
        }
        Ok(together)
    }
}

/// Appends a kind byte; for streams whose kind is all of their head.
pub(crate) fn begin(kind: StreamKind) -> BytesMut {
    let mut out = BytesMut::with_capacity(16);
    out.put_u8(kind as u8);
    out
}
