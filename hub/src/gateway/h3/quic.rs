//! What the crate `h3` is given for QUIC: quinn's connections and streams, with honest ends.
//!
//! | what `h3` 0.0.8 over `h3-quinn` does | what is done here |
//! |---|---|
//! | a stream that is dropped ends properly | [`SendHalf`] resets what was not finished |
//! | nobody sees a user leave while nothing is written | [`Stream::stopped`], beside the work |
//! | nor while the body is not read | [`Watch::poll_reset`], likewise |
//! | a body cut inside a frame reads as whole | [`RecvHalf`] fails at such an end |
//! | frames are gathered without a limit | [`Frames`] gives them out in pieces |
//!
//! Invariants: a half that is dropped unfinished resets, or stops its peer, with the code of its
//! [`Ending`]; nothing here waits for a timer.

use super::frames::Frames;
use bytes::{Buf, Bytes};
use h3::error::Code;
use h3::quic::{
    self, ConnectionErrorIncoming, RecvStream as _, SendStream as _, StreamErrorIncoming, StreamId,
    WriteBuf,
};
use quinn::{ReadError, StoppedError, VarInt, WriteError};
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

/// Most bytes that one read takes off a stream.
const READ_BYTES_MAX: usize = 64 * 1024;

/// Longest frame of a control stream, bytes: settings, and priorities of requests.
const CONTROL_FRAME_BYTES_MAX: u64 = 4 * 1024;

type Opening<T> = Pin<Box<dyn Future<Output = Result<T, quinn::ConnectionError>> + Send + Sync>>;

/// Polls what is under way in `slot`, or what is begun now; the slot is free again when it is done.
fn poll_opening<T>(
    slot: &mut Option<Opening<T>>,
    context: &mut Context<'_>,
    begin: impl FnOnce() -> Opening<T>,
) -> Poll<Result<T, quinn::ConnectionError>> {
    let done = ready!(slot.get_or_insert_with(begin).as_mut().poll(context));
    *slot = None;
    Poll::Ready(done)
}

/// With which code the halves of a stream end where they are dropped. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Ending(Arc<AtomicU64>);

impl Ending {
    /// While a request's head is read: an answer that was written whole is left as it is.
    const HEAD: u64 = 0;

    /// From here on, whatever is dropped unfinished ends with `code`.
    pub(super) fn with(&self, code: Code) {
        self.0.store(code.value(), Ordering::Relaxed);
    }

    /// The code, or `None` while a head is read.
    fn code(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|code| *code != Self::HEAD)
    }
}

/// A connection as `h3` wants it.
pub(super) struct Conn {
    opener: Opener,
    accepting_bi: Option<Opening<(quinn::SendStream, quinn::RecvStream)>>,
    accepting_uni: Option<Opening<quinn::RecvStream>>,
    /// Longest frame of a request's stream that is not DATA, bytes.
    head_frame_max: u64,
}

/// Opens streams on a connection.
pub(super) struct Opener {
    connection: quinn::Connection,
    bi: Option<Opening<(quinn::SendStream, quinn::RecvStream)>>,
    uni: Option<Opening<quinn::SendStream>>,
    head_frame_max: u64,
}

impl Conn {
    /// `connection`, on whose requests no frame but DATA is longer than `head_frame_max` bytes.
    pub(super) fn new(connection: quinn::Connection, head_frame_max: u64) -> Self {
        let opener = Opener { connection, bi: None, uni: None, head_frame_max };
        Self { opener, accepting_bi: None, accepting_uni: None, head_frame_max }
    }
}

impl quic::Connection<Bytes> for Conn {
    type RecvStream = RecvHalf;
    type OpenStreams = Opener;

    fn poll_accept_recv(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<RecvHalf, ConnectionErrorIncoming>> {
        let connection = &self.opener.connection;
        let accepted = ready!(poll_opening(&mut self.accepting_uni, context, || {
            let connection = connection.clone();
            Box::pin(async move { connection.accept_uni().await })
        }));
        let frames = Frames::of_unidirectional(CONTROL_FRAME_BYTES_MAX);
        let half = |stream| RecvHalf::new(stream, frames, Ending::default());
        Poll::Ready(accepted.map(half).map_err(lost))
    }

    fn poll_accept_bidi(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Stream, ConnectionErrorIncoming>> {
        let connection = &self.opener.connection;
        let accepted = ready!(poll_opening(&mut self.accepting_bi, context, || {
            let connection = connection.clone();
            Box::pin(async move { connection.accept_bi().await })
        }));
        let max = self.head_frame_max;
        Poll::Ready(accepted.map(|halves| Stream::new(halves, max)).map_err(lost))
    }

    fn opener(&self) -> Opener {
        let connection = self.opener.connection.clone();
        Opener { connection, bi: None, uni: None, head_frame_max: self.head_frame_max }
    }
}

impl quic::OpenStreams<Bytes> for Conn {
    type BidiStream = Stream;
    type SendStream = SendHalf;

    fn poll_open_bidi(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Stream, StreamErrorIncoming>> {
        self.opener.poll_open_bidi(context)
    }

    fn poll_open_send(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<SendHalf, StreamErrorIncoming>> {
        self.opener.poll_open_send(context)
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        self.opener.close(code, reason);
    }
}

impl quic::OpenStreams<Bytes> for Opener {
    type BidiStream = Stream;
    type SendStream = SendHalf;

    fn poll_open_bidi(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Stream, StreamErrorIncoming>> {
        let opened = ready!(poll_opening(&mut self.bi, context, || {
            let connection = self.connection.clone();
            Box::pin(async move { connection.open_bi().await })
        }));
        let max = self.head_frame_max;
        Poll::Ready(opened.map(|halves| Stream::new(halves, max)).map_err(stream_lost))
    }

    fn poll_open_send(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<SendHalf, StreamErrorIncoming>> {
        let opened = ready!(poll_opening(&mut self.uni, context, || {
            let connection = self.connection.clone();
            Box::pin(async move { connection.open_uni().await })
        }));
        let half = |stream| SendHalf::new(stream, Ending::default());
        Poll::Ready(opened.map(half).map_err(stream_lost))
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        self.connection.close(varint(code.value()), reason);
    }
}

/// A request's stream, both halves.
pub(super) struct Stream {
    send: SendHalf,
    recv: RecvHalf,
}

/// Sees the other side leave, whatever is done with the stream meanwhile.
#[derive(Debug)]
pub(super) struct Watch {
    reading: Arc<Mutex<Reading>>,
    ending: Ending,
}

impl Stream {
    fn new((send, recv): (quinn::SendStream, quinn::RecvStream), head_frame_max: u64) -> Self {
        let ending = Ending::default();
        let frames = Frames::of_request(head_frame_max);
        let recv = RecvHalf::new(recv, frames, ending.clone());
        Self { send: SendHalf::new(send, ending), recv }
    }

    /// Watches the stream, which `h3` may be given then.
    pub(super) fn watch(&self) -> Watch {
        Watch { reading: Arc::clone(&self.recv.reading), ending: self.send.ending.clone() }
    }

    /// Waits until the user wants no answer, or is gone; also ends when an answer that was finished
    /// has arrived whole.
    pub(super) fn stopped(
        &self,
    ) -> impl Future<Output = Result<Option<VarInt>, StoppedError>> + Send + Sync + use<> {
        self.send.stream.stopped()
    }

    /// Ends both halves: the request was not looked at, and may be sent again elsewhere.
    pub(super) fn reject(mut self) {
        self.recv.stop_sending(Code::H3_REQUEST_REJECTED.value());
        self.send.reset(Code::H3_REQUEST_REJECTED.value());
    }
}

impl Watch {
    /// With which code the halves end where they are dropped.
    pub(super) const fn ending(&self) -> &Ending {
        &self.ending
    }

    /// Whether the user has reset the request's half. Takes no byte off it. Wakes the task only
    /// where no byte waits to be read: ask again after a while.
    pub(super) fn poll_reset(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut reading = lock(&self.reading);
        let look = pin!(reading.stream.read_chunk(0, true)).poll(context);
        match look {
            Poll::Ready(Ok(Some(_) | None)) | Poll::Pending => Poll::Pending,
            Poll::Ready(Err(_)) => Poll::Ready(()),
        }
    }
}

impl quic::BidiStream<Bytes> for Stream {
    type SendStream = SendHalf;
    type RecvStream = RecvHalf;

    fn split(self) -> (SendHalf, RecvHalf) {
        (self.send, self.recv)
    }
}

impl quic::SendStream<Bytes> for Stream {
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.send.poll_ready(context)
    }

    fn send_data<T: Into<WriteBuf<Bytes>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        self.send.send_data(data)
    }

    fn poll_finish(&mut self, context: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.send.poll_finish(context)
    }

    fn reset(&mut self, code: u64) {
        self.send.reset(code);
    }

    fn send_id(&self) -> StreamId {
        self.send.send_id()
    }
}

impl quic::RecvStream for Stream {
    type Buf = Bytes;

    fn poll_data(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        self.recv.poll_data(context)
    }

    fn stop_sending(&mut self, code: u64) {
        self.recv.stop_sending(code);
    }

    fn recv_id(&self) -> StreamId {
        self.recv.recv_id()
    }
}

/// A half that is written: it ends properly by `poll_finish`, or by a reset.
pub(super) struct SendHalf {
    stream: quinn::SendStream,
    writing: Option<WriteBuf<Bytes>>,
    ending: Ending,
    open: bool,
    written: bool,
}

impl SendHalf {
    const fn new(stream: quinn::SendStream, ending: Ending) -> Self {
        Self { stream, writing: None, ending, open: true, written: false }
    }
}

impl quic::SendStream<Bytes> for SendHalf {
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        if let Some(data) = &mut self.writing {
            while data.has_remaining() {
                let write = Pin::new(&mut self.stream).poll_write(context, data.chunk());
                let written = ready!(write).map_err(write_failed)?;
                data.advance(written);
                self.written = true;
            }
        }
        self.writing = None;
        Poll::Ready(Ok(()))
    }

    fn send_data<T: Into<WriteBuf<Bytes>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        if self.writing.is_some() {
            let reason = "a write began before the one before it had ended".to_owned();
            let connection_error = ConnectionErrorIncoming::InternalError(reason);
            return Err(StreamErrorIncoming::ConnectionErrorIncoming { connection_error });
        }
        self.writing = Some(data.into());
        Ok(())
    }

    fn poll_finish(&mut self, _: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.open = false;
        let finished = self.stream.finish();
        Poll::Ready(finished.map_err(|error| StreamErrorIncoming::Unknown(error.into())))
    }

    fn reset(&mut self, code: u64) {
        self.open = false;
        // One that has ended stays as it is.
        self.stream.reset(varint(code)).unwrap_or_default();
    }

    fn send_id(&self) -> StreamId {
        id(self.stream.id())
    }
}

impl Drop for SendHalf {
    fn drop(&mut self) {
        if !self.open {
            return;
        }
        match self.ending.code() {
            Some(code) => self.reset(code),
            // What `h3` answers by itself to a head beyond its limit it does not finish.
            None if self.written && self.writing.is_none() => {
                self.stream.finish().unwrap_or_default();
            }
            None => self.reset(Code::H3_REQUEST_CANCELLED.value()),
        }
    }
}

/// A half that is read: to its proper end, or stopped.
pub(super) struct RecvHalf {
    reading: Arc<Mutex<Reading>>,
    frames: Frames,
    ending: Ending,
    /// Nothing is left to read, or to stop.
    ended: bool,
}

#[derive(Debug)]
struct Reading {
    stream: quinn::RecvStream,
}

impl RecvHalf {
    fn new(stream: quinn::RecvStream, frames: Frames, ending: Ending) -> Self {
        let reading = Arc::new(Mutex::new(Reading { stream }));
        Self { reading, frames, ending, ended: false }
    }

    fn fail(&mut self, code: Code, why: impl Into<Box<dyn std::error::Error + Send + Sync>>) {
        tracing::debug!(error = %why.into(), "a user's stream is ended");
        self.ending.with(code);
        self.stop_sending(code.value());
    }
}

impl quic::RecvStream for RecvHalf {
    type Buf = Bytes;

    fn poll_data(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        loop {
            match self.frames.next() {
                Ok(Some(piece)) => return Poll::Ready(Ok(Some(piece))),
                Ok(None) if self.ended => return Poll::Ready(Ok(None)),
                Ok(None) => {}
                Err(error) => {
                    self.fail(Code::H3_EXCESSIVE_LOAD, error);
                    return Poll::Ready(Err(StreamErrorIncoming::Unknown(error.into())));
                }
            }
            let read = {
                let mut reading = lock(&self.reading);
                ready!(pin!(reading.stream.read_chunk(READ_BYTES_MAX, true)).poll(context))
            };
            match read {
                Ok(Some(chunk)) => self.frames.feed(chunk.bytes),
                Ok(None) if self.frames.is_inside_data() => {
                    self.ended = true;
                    let error = io::Error::new(io::ErrorKind::UnexpectedEof, "cut inside a frame");
                    self.ending.with(Code::H3_FRAME_ERROR);
                    return Poll::Ready(Err(StreamErrorIncoming::Unknown(error.into())));
                }
                Ok(None) => {
                    self.ended = true;
                    return Poll::Ready(Ok(self.frames.rest()));
                }
                Err(error) => {
                    self.ended = true;
                    return Poll::Ready(Err(read_failed(error)));
                }
            }
        }
    }

    fn stop_sending(&mut self, code: u64) {
        if !std::mem::replace(&mut self.ended, true) {
            // One that has ended stays as it is.
            lock(&self.reading).stream.stop(varint(code)).unwrap_or_default();
        }
    }

    fn recv_id(&self) -> StreamId {
        id(lock(&self.reading).stream.id())
    }
}

impl Drop for RecvHalf {
    fn drop(&mut self) {
        let code = self.ending.code().unwrap_or(Code::H3_REQUEST_CANCELLED.value());
        self.stop_sending(code);
    }
}

fn lock(reading: &Mutex<Reading>) -> MutexGuard<'_, Reading> {
    reading.lock().unwrap_or_else(PoisonError::into_inner)
}

fn varint(code: u64) -> VarInt {
    VarInt::from_u64(code).unwrap_or(VarInt::MAX)
}

fn id(id: quinn::StreamId) -> StreamId {
    // The same numbers on both sides: there is none that is not one.
    let number = u64::from(VarInt::from(id));
    StreamId::try_from(number).unwrap_or_else(|_| h3::proto::varint::VarInt::from_u32(0).into())
}

fn lost(error: quinn::ConnectionError) -> ConnectionErrorIncoming {
    match error {
        quinn::ConnectionError::ApplicationClosed(close) => {
            ConnectionErrorIncoming::ApplicationClose { error_code: close.error_code.into_inner() }
        }
        quinn::ConnectionError::TimedOut => ConnectionErrorIncoming::Timeout,
        error @ (quinn::ConnectionError::VersionMismatch
        | quinn::ConnectionError::TransportError(_)
        | quinn::ConnectionError::ConnectionClosed(_)
        | quinn::ConnectionError::Reset
        | quinn::ConnectionError::LocallyClosed
        | quinn::ConnectionError::CidsExhausted) => {
            ConnectionErrorIncoming::Undefined(Arc::new(error))
        }
    }
}

fn stream_lost(error: quinn::ConnectionError) -> StreamErrorIncoming {
    StreamErrorIncoming::ConnectionErrorIncoming { connection_error: lost(error) }
}

fn read_failed(error: ReadError) -> StreamErrorIncoming {
    match error {
        ReadError::Reset(code) => {
            StreamErrorIncoming::StreamTerminated { error_code: code.into_inner() }
        }
        ReadError::ConnectionLost(error) => stream_lost(error),
        error @ (ReadError::ClosedStream
        | ReadError::IllegalOrderedRead
        | ReadError::ZeroRttRejected) => StreamErrorIncoming::Unknown(error.into()),
    }
}

fn write_failed(error: WriteError) -> StreamErrorIncoming {
    match error {
        WriteError::Stopped(code) => {
            StreamErrorIncoming::StreamTerminated { error_code: code.into_inner() }
        }
        WriteError::ConnectionLost(error) => stream_lost(error),
        error @ (WriteError::ClosedStream | WriteError::ZeroRttRejected) => {
            StreamErrorIncoming::Unknown(error.into())
        }
    }
}
