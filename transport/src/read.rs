//! Reads length-prefixed blocks off a stream, keeping what came behind them.

use crate::stream::{RecvHalf, StreamError};
use bytes::{Buf, Bytes, BytesMut};
use weft_proto::wire::{Malformed, prefix};

/// A receiving half with the bytes that were read but not used yet.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) half: RecvHalf,
    buffer: BytesMut,
}

impl Reader {
    pub(crate) fn new(half: RecvHalf) -> Self {
        Self { half, buffer: BytesMut::new() }
    }

    /// One byte; `None` at the proper end. Cancel safe.
    pub(crate) async fn byte(&mut self) -> Result<Option<u8>, StreamError> {
        let byte = self.peek().await?;
        if byte.is_some() {
            self.buffer.advance(1);
        }
        Ok(byte)
    }

    /// One block of at most `max` bytes; `None` at a proper end between blocks. Cancel safe: what
    /// was read stays in the buffer.
    pub(crate) async fn block(&mut self, max: usize) -> Result<Option<Bytes>, StreamError> {
        loop {
            if let Some(block) = prefix::decode(&mut self.buffer, max)? {
                return Ok(Some(block));
            }
            if !self.fill().await? {
                return if self.buffer.is_empty() {
                    Ok(None)
                } else {
                    Err(Malformed("end inside a block").into())
                };
            }
        }
    }

    /// The next byte, left where it is; `None` at the proper end. Cancel safe.
    pub(crate) async fn peek(&mut self) -> Result<Option<u8>, StreamError> {
        while self.buffer.is_empty() {
            if !self.fill().await? {
                return Ok(None);
            }
        }
        Ok(self.buffer.first().copied())
    }

    /// Skips one byte and reads the block behind it. Cancel safe: the byte is skipped only together
    /// with its block.
    pub(crate) async fn block_after_byte(&mut self, max: usize) -> Result<Bytes, StreamError> {
        loop {
            if let Some(block) = prefix::decode_behind(1, &mut self.buffer, max)? {
                return Ok(block);
            }
            if !self.fill().await? {
                return Err(Malformed("end inside a block").into());
            }
        }
    }

    /// The half, and the bytes behind the last block.
    pub(crate) fn into_rest(self) -> (RecvHalf, Bytes) {
        (self.half, self.buffer.freeze())
    }

    /// What was read and not used yet.
    pub(crate) const fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// Reads more; `false` at the proper end. Cancel safe.
    pub(crate) async fn fill(&mut self) -> Result<bool, StreamError> {
        let Some(bytes) = self.half.chunk().await? else {
            return Ok(false);
        };
        self.buffer.extend_from_slice(&bytes);
        Ok(true)
    }
}
