//! The answer's direction: written by the agent, read by the hub.

use crate::read::Reader;
use crate::stream::{RecvHalf, SendHalf, StreamError};
use bytes::{BufMut, Bytes, BytesMut};
use http::HeaderMap;
use weft_proto::codes::AbortCode;
use weft_proto::limits::{BULK_AFTER_BYTES, HEAD_BYTES_MAX, priority};
use weft_proto::wire::framed::{self, Frame, FrameDecoder};
use weft_proto::wire::head::{AnswerHead, SwitchedHead};
use weft_proto::wire::{AnswerKind, Malformed, prefix};

/// Sends an answer: head, bytes, end. Dropped before [`AnswerWriter::finish`], it resets the
/// stream with `INTERNAL`: a cut answer never looks whole.
#[derive(Debug)]
pub struct AnswerWriter {
    half: SendHalf,
    framed: bool,
    /// Somebody waits for each piece: a long body keeps its priority.
    lively: bool,
    sent: u64,
}

impl AnswerWriter {
    pub(crate) const fn new(half: SendHalf) -> Self {
        Self { half, framed: false, lively: false, sent: 0 }
    }

    /// Sends the head; to be called once, first.
    ///
    /// # Errors
    /// [`StreamError`] where the hub has stopped the answer, the tunnel is lost, or the head fits
    /// no limit.
    ///
    /// # Cancel safety
    /// Not cancel safe: abort the exchange when the call is dropped.
    pub async fn head(&mut self, head: &AnswerHead) -> Result<(), StreamError> {
        self.framed = head.framed;
        self.lively = head
            .headers
            .get(http::header::CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        self.begin(AnswerKind::Final, &head.encode()?).await
    }

    /// Sends the head of an answer that switched protocols; to be called once, first, and only
    /// where the request asked for it. What is sent from here on is the connection's own bytes,
    /// and its priority stays that of an event stream.
    ///
    /// # Errors
    /// [`StreamError`] where the hub has stopped the answer, the tunnel is lost, or the head fits
    /// no limit.
    ///
    /// # Cancel safety
    /// Not cancel safe: abort the exchange when the call is dropped.
    pub async fn switched(&mut self, head: &SwitchedHead) -> Result<(), StreamError> {
        self.lively = true;
        self.begin(AnswerKind::Switched, &head.encode()?).await
    }

    async fn begin(&mut self, kind: AnswerKind, head: &[u8]) -> Result<(), StreamError> {
        let mut out = BytesMut::with_capacity(head.len() + 9);
        out.put_u8(kind as u8);
        prefix::encode(head, HEAD_BYTES_MAX, &mut out)?;
        self.half.write(out.freeze()).await?;
        self.half.prioritise(priority::STREAMING);
        Ok(())
    }

    /// Sends bytes of the body as they came. Event streams keep their priority; another body that
    /// grows long gives way to them.
    ///
    /// # Errors
    /// [`StreamError`] where the hub has stopped the answer or the tunnel is lost.
    ///
    /// # Cancel safety
    /// Not cancel safe: abort the exchange when the call is dropped.
    pub async fn send(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        let before = self.sent;
        self.sent += bytes.len() as u64;
        if !self.lively && before <= BULK_AFTER_BYTES && self.sent > BULK_AFTER_BYTES {
            self.half.prioritise(priority::BULK);
        }
        if !self.framed {
            return self.half.write(bytes).await;
        }
        let mut out = BytesMut::with_capacity(bytes.len() + 9);
        framed::encode_data(&bytes, &mut out)?;
        self.half.write(out.freeze()).await
    }

    /// Says that the provider's answer ended properly. `trailers` are sent where the head declared
    /// a framed body, and dropped where it did not: nothing announced them.
    ///
    /// # Errors
    /// [`StreamError`] where the hub has stopped the answer or the tunnel is lost.
    pub async fn finish(&mut self, trailers: Option<&HeaderMap>) -> Result<(), StreamError> {
        if self.framed {
            let mut out = BytesMut::new();
            let none = HeaderMap::new();
            framed::encode_trailers(trailers.unwrap_or(&none), &mut out)?;
            self.half.write(out.freeze()).await?;
        }
        self.half.finish()
    }

    /// Breaks the answer off.
    pub fn abort(&mut self, code: AbortCode) {
        self.half.reset(code);
    }

    /// Waits until the hub stops the answer or the tunnel is lost: the sign, at any phase, to drop
    /// the provider's connection.
    ///
    /// # Cancel safety
    /// Cancel safe. Does not borrow the writer.
    pub fn stopped(&self) -> impl Future<Output = Option<StreamError>> + Send + Sync + 'static {
        self.half.stopped()
    }
}

/// How an exchange that asked for a WebSocket was answered.
#[derive(Debug, Clone, PartialEq)]
pub enum Answered {
    /// As any other: the provider did not switch.
    Final(AnswerHead),
    /// The provider switched: raw bytes follow both ways.
    Switched(SwitchedHead),
}

/// Waits for an answer's head. Dropped, it stops the agent with `USER_ABORT`.
#[derive(Debug)]
pub struct AnswerReader {
    reader: Reader,
}

impl AnswerReader {
    pub(crate) fn new(half: RecvHalf) -> Self {
        Self { reader: Reader::new(half) }
    }

    /// The answer's head, as soon as the agent sends it.
    ///
    /// # Errors
    /// [`StreamError`] where the agent reset the stream, broke the rules, or the tunnel is lost.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn head(&mut self) -> Result<AnswerHead, StreamError> {
        match self.head_or_switch().await? {
            Answered::Final(head) => Ok(head),
            Answered::Switched(_) => Err(Malformed("answer kind").into()),
        }
    }

    /// The same where the request asked for a WebSocket: only then an agent may switch.
    ///
    /// # Errors
    /// As [`AnswerReader::head`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn head_or_switch(&mut self) -> Result<Answered, StreamError> {
        // The kind byte and the head are one block to a caller that cancels between them: the kind
        // is part of the peeked bytes until the head is whole.
        let kind = self.reader.peek().await?.ok_or(Malformed("answer without a head"))?;
        let kind = AnswerKind::from_byte(kind)?;
        let block = self.reader.block_after_byte(HEAD_BYTES_MAX).await?;
        Ok(match kind {
            AnswerKind::Final => Answered::Final(AnswerHead::decode(&block)?),
            AnswerKind::Switched => Answered::Switched(SwitchedHead::decode(&block)?),
        })
    }

    /// The body behind `head`, which [`AnswerReader::head`] returned.
    #[must_use]
    pub fn into_body(self, head: &AnswerHead) -> BodyReader {
        let (half, rest) = self.reader.into_rest();
        let mut frames = head.framed.then(FrameDecoder::default);
        let first = match &mut frames {
            Some(decoder) => {
                decoder.push(&rest);
                None
            }
            None => Some(rest).filter(|rest| !rest.is_empty()),
        };
        BodyReader { half, first, frames }
    }

    /// The connection's bytes behind the head of an answer that switched.
    #[must_use]
    pub fn into_raw(self) -> BodyReader {
        let (half, rest) = self.reader.into_rest();
        BodyReader { half, first: Some(rest).filter(|rest| !rest.is_empty()), frames: None }
    }

    /// Tells the agent to send no more, and why.
    pub fn stop(&mut self, code: AbortCode) {
        self.reader.half.stop(code);
    }
}

/// A piece of an answer's body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Bytes as they came.
    Data(Bytes),
    /// The trailers; nothing follows them.
    Trailers(HeaderMap),
}

/// Reads an answer's body. Dropped before its end, it stops the agent with `USER_ABORT`.
#[derive(Debug)]
pub struct BodyReader {
    half: RecvHalf,
    first: Option<Bytes>,
    frames: Option<FrameDecoder>,
}

impl BodyReader {
    /// The next piece as it came; `None` where the answer ended properly.
    ///
    /// # Errors
    /// [`StreamError`] where it did not: the answer is not whole.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn next(&mut self) -> Result<Option<Piece>, StreamError> {
        if let Some(bytes) = self.first.take() {
            return Ok(Some(Piece::Data(bytes)));
        }
        let Some(frames) = &mut self.frames else {
            return Ok(self.half.chunk().await?.map(Piece::Data));
        };
        loop {
            match frames.next_frame()? {
                Some(Frame::Data(bytes)) => return Ok(Some(Piece::Data(bytes))),
                Some(Frame::Trailers(fields)) => return Ok(Some(Piece::Trailers(fields))),
                None => match self.half.chunk().await? {
                    Some(bytes) => frames.push(&bytes),
                    None => {
                        frames.finish()?;
                        return Ok(None);
                    }
                },
            }
        }
    }

    /// Tells the agent to send no more, and why.
    pub fn stop(&mut self, code: AbortCode) {
        self.half.stop(code);
    }
}
