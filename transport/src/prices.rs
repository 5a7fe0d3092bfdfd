//! Price books, from hub to agent: one book on one stream, one way.
//!
//! The control stream has announced the book's hash, size and signature before; what comes here is
//! nothing but bytes until its reader has held them against those.

use crate::receipts::{begin, of_kind};
use crate::stream::{SendHalf, StreamError};
use bytes::Bytes;
use quinn::{Connection, RecvStream};
use weft_proto::codes::AbortCode;
use weft_proto::limits::{PRICE_BOOK_BYTES_MAX, PRICE_BOOK_WAIT_MAX, priority};
use weft_proto::wire::{Malformed, StreamKind, prefix};

/// Sends the canonical bytes of one book, and waits until the agent has them, at most
/// [`PRICE_BOOK_WAIT_MAX`].
///
/// # Errors
/// [`StreamError`] when the agent stopped the stream, the tunnel is lost or the wait has passed;
/// [`StreamError::Malformed`] for a book that is longer than [`PRICE_BOOK_BYTES_MAX`].
///
/// # Cancel safety
/// A dropped call resets the stream.
pub async fn send(connection: &Connection, book: &[u8]) -> Result<(), StreamError> {
    let mut out = begin(StreamKind::Prices);
    prefix::encode(book, PRICE_BOOK_BYTES_MAX, &mut out)?;
    let sent = async {
        let mut half = SendHalf::new(connection.open_uni().await?);
        half.prioritise(priority::LEDGER);
        half.write(out.freeze()).await?;
        half.finish()?;
        half.stopped().await.map_or(Ok(()), Err)
    };
    tokio::time::timeout(PRICE_BOOK_WAIT_MAX, sent).await.unwrap_or(Err(StreamError::TimedOut))
}

/// Reads one book from a stream that the hub opened. Waits at most [`PRICE_BOOK_WAIT_MAX`].
///
/// # Errors
/// [`StreamError`]; the stream is stopped where the hub broke the rules.
///
/// # Cancel safety
/// A dropped call stops the stream.
pub async fn receive(stream: RecvStream) -> Result<Bytes, StreamError> {
    let received = async {
        let mut reader = of_kind(stream, StreamKind::Prices).await?;
        let book = reader.block(PRICE_BOOK_BYTES_MAX).await;
        if let Err(StreamError::Malformed(_)) = book {
            reader.half.stop(AbortCode::Malformed);
        }
        let book = book?.ok_or(Malformed("missing price book"))?;
        match reader.byte().await? {
            None => Ok(book),
            Some(_) => Err(Malformed("bytes behind the price book").into()),
        }
    };
    tokio::time::timeout(PRICE_BOOK_WAIT_MAX, received).await.unwrap_or(Err(StreamError::TimedOut))
}
