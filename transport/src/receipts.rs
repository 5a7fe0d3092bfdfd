//! The stream of receipts: entries of an agent's ledger, one way, in chain order.
//!
//! The agent [`open`]s it on its slot 0 once the hub's ledger has greeted; what the hub says to a
//! receipt is a control message. The stream has no proper end while its tunnel lives: what was not
//! acknowledged is sent again on the next one.

use crate::read::Reader;
use crate::stream::{RecvHalf, SendHalf, StreamError};
use bytes::{BufMut, Bytes, BytesMut};
use quinn::{Connection, RecvStream};
use weft_proto::codes::AbortCode;
use weft_proto::limits::{HEAD_WAIT_MAX, priority};
use weft_proto::wire::receipts::Receipt;
use weft_proto::wire::{Malformed, StreamKind};

/// Frames are written together up to this many bytes.
const WRITE_BYTES: usize = 32 * 1024;

/// Sends receipts.
#[derive(Debug)]
pub struct ReceiptSender {
    half: SendHalf,
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
    Ok(ReceiptSender { half })
}

impl ReceiptSender {
    /// Sends these frames, in this order.
    ///
    /// # Errors
    /// [`StreamError`] when the hub stopped the stream, the tunnel is lost, or a frame fits no
    /// limit.
    ///
    /// # Cancel safety
    /// Not cancel safe: a dropped call may leave half a frame. Drop the sender then.
    pub async fn send(&mut self, receipts: &[Receipt]) -> Result<(), StreamError> {
        let mut out = BytesMut::new();
        for receipt in receipts {
            receipt.encode(&mut out)?;
            if out.len() >= WRITE_BYTES {
                self.half.write(out.split().freeze()).await?;
            }
        }
        if out.is_empty() { Ok(()) } else { self.half.write(out.freeze()).await }
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
            if let Some(receipt) = self.ready()? {
                return Ok(receipt);
            }
            if !self.reader.fill().await? {
                return Err(Malformed("end of the receipts").into());
            }
        }
    }

    /// The next frame where it is here already: how many are judged at once.
    ///
    /// # Errors
    /// [`StreamError::Malformed`] for what is no frame.
    pub fn ready(&mut self) -> Result<Option<Receipt>, StreamError> {
        let taken = Receipt::take(self.reader.buffer());
        if taken.is_err() {
            self.reader.half.stop(AbortCode::Malformed);
        }
        Ok(taken?)
    }
}

/// Appends a kind byte; for streams whose kind is all of their head.
pub(crate) fn begin(kind: StreamKind) -> BytesMut {
    let mut out = BytesMut::with_capacity(16);
    out.put_u8(kind as u8);
    out
}
