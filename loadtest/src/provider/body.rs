//! An answer on its way out: when each byte goes, in which chunk, and where it breaks off.
//!
//! Every frame that is given to the connection is flushed before the next one is asked for, so one
//! frame is one chunk and one write. Dropping the body before its end is how a client's leaving is
//! noticed; that ends the record through its [`Live`] handle.

use super::answer::{Piece, Pieces};
use super::control::{Control, Fault};
use super::listen::Abort;
use super::record::{Ending, Live, Phase};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::{Body, Frame};
use std::fmt;
use std::io::{self, Write as _};
use std::iter::Peekable;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

/// The trailer that carries the digest of the body.
pub(crate) const DIGEST_TRAILER: HeaderName = HeaderName::from_static("x-weft-sim-sha256");

/// The answer was broken off, as asked.
#[derive(Debug, thiserror::Error)]
#[error("broken off as asked")]
pub(crate) struct BrokenOff;

/// How the pieces are to be delivered.
pub(crate) struct Delivery {
    pub(crate) pace: Duration,
    pub(crate) split: bool,
    pub(crate) gzip: bool,
    pub(crate) trailers: bool,
    /// What breaks, and after how many events.
    pub(crate) fault: Option<(Break, u32)>,
}

/// What happens at the point of a fault inside a body.
#[derive(Debug, Clone)]
pub(crate) enum Break {
    /// The body ends with an error: no last chunk, or a length that is not reached.
    Cut,
    /// The connection is reset.
    Reset,
    /// Nothing more is sent.
    Stall,
    /// These bytes are the last event.
    Event(Bytes),
}

impl Break {
    /// What `control`'s fault does inside a body; nothing where it is of another kind.
    pub(crate) fn of(
        control: &Control,
        error_event: impl FnOnce() -> Bytes,
    ) -> Option<(Self, u32)> {
        let kind = match control.fault? {
            Fault::Cut | Fault::CutLength => Self::Cut,
            Fault::Reset => Self::Reset,
            Fault::Stall => Self::Stall,
            Fault::ErrorEvent => Self::Event(error_event()),
            Fault::BadRequest
            | Fault::Unauthorized
            | Fault::PaymentRequired
            | Fault::Forbidden
            | Fault::RateLimited
            | Fault::QuotaExceeded
            | Fault::Internal
            | Fault::Unavailable
            | Fault::Overloaded
            | Fault::ContentFilter
            | Fault::Early
            | Fault::StallHead
            | Fault::ResetHead
            | Fault::CloseHead => return None,
        };
        Some((kind, control.at))
    }
}

/// What comes after the bytes at hand.
#[derive(Debug)]
enum Next {
    Piece,
    Cut,
    Reset,
    Silence,
    Trailers,
    End,
}

/// The body of one answer.
pub(crate) struct SimBody {
    pieces: Peekable<Pieces>,
    delivery: Delivery,
    encoder: Option<GzEncoder<Vec<u8>>>,
    rest: Bytes,
    /// Whether `rest` ends an event.
    whole: bool,
    next: Next,
    begun: u32,
    due: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
    /// Whether the connection has had the chance to write out the last frame.
    flushed: bool,
    live: Live,
    abort: Arc<Abort>,
}

impl fmt::Debug for SimBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimBody").field("begun", &self.begun).field("next", &self.next).finish()
    }
}

impl SimBody {
    pub(crate) fn new(pieces: Pieces, delivery: Delivery, live: Live, abort: Arc<Abort>) -> Self {
        let encoder = delivery.gzip.then(|| GzEncoder::new(Vec::new(), Compression::fast()));
        Self {
            pieces: pieces.peekable(),
            delivery,
            encoder,
            rest: Bytes::new(),
            whole: false,
            next: Next::Piece,
            begun: 0,
            due: None,
            timer: None,
            flushed: true,
            live,
            abort,
        }
    }

    /// Waits for the pace, if `piece` is to.
    fn poll_pace(&mut self, paced: bool, cx: &mut Context<'_>) -> Poll<()> {
        if !paced || self.delivery.pace.is_zero() {
            return Poll::Ready(());
        }
        if self.timer.is_none() {
            let due = self.due.unwrap_or_else(Instant::now) + self.delivery.pace;
            self.due = Some(due);
            self.timer = Some(Box::pin(sleep_until(due)));
        }
        if let Some(timer) = self.timer.as_mut() {
            ready!(timer.as_mut().poll(cx));
        }
        self.timer = None;
        Poll::Ready(())
    }

    /// Takes up `piece`, or what the fault leaves of it.
    fn take_up(&mut self, piece: &Piece) -> io::Result<()> {
        let last = self.pieces.peek().is_none();
        let broken = match &self.delivery.fault {
            Some((kind, at)) if self.begun >= *at || last => Some(kind.clone()),
            Some(_) | None => None,
        };
        self.begun += 1;
        let comment = piece.bytes.starts_with(b":");
        if piece.paced && !comment && broken.is_none() {
            self.live.delta();
        }
        self.whole = broken.is_none();
        let ending = if self.delivery.trailers { Next::Trailers } else { Next::End };
        match broken {
            None => {
                self.rest = self.encoded(&piece.bytes, last)?;
                if last {
                    self.next = ending;
                }
            }
            Some(Break::Event(bytes)) => {
                self.rest = self.encoded(&bytes, true)?;
                self.whole = true;
                self.next = ending;
            }
            Some(Break::Stall) => self.next = Next::Silence,
            Some(Break::Cut) => {
                self.rest = self.first_half(piece)?;
                self.next = Next::Cut;
            }
            Some(Break::Reset) => {
                self.rest = self.first_half(piece)?;
                self.next = Next::Reset;
            }
        }
        Ok(())
    }

    fn first_half(&mut self, piece: &Piece) -> io::Result<Bytes> {
        let bytes = self.encoded(&piece.bytes, false)?;
        Ok(bytes.slice(..bytes.len() / 2))
    }

    fn encoded(&mut self, bytes: &Bytes, last: bool) -> io::Result<Bytes> {
        let Some(encoder) = self.encoder.as_mut() else {
            return Ok(bytes.clone());
        };
        encoder.write_all(bytes)?;
        if last {
            encoder.try_finish()?;
        } else {
            encoder.flush()?;
        }
        Ok(std::mem::take(encoder.get_mut()).into())
    }

    fn frame(&mut self) -> Frame<Bytes> {
        let length = if self.delivery.split { 1 } else { self.rest.len() };
        let bytes = self.rest.split_to(length);
        let ends = self.rest.is_empty();
        self.live.sent(&bytes, ends && self.whole);
        if ends && matches!(self.next, Next::End) {
            self.live.end(Ending::Complete);
        }
        self.flushed = false;
        Frame::data(bytes)
    }

    fn trailers(&mut self) -> Frame<Bytes> {
        self.live.end(Ending::Complete);
        self.next = Next::End;
        let mut trailers = HeaderMap::new();
        if let Ok(value) = HeaderValue::from_str(&self.live.digest_so_far()) {
            trailers.insert(DIGEST_TRAILER, value);
        }
        Frame::trailers(trailers)
    }
}

impl Body for SimBody {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let this = self.get_mut();
        if !this.flushed {
            this.flushed = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            if !this.rest.is_empty() {
                return Poll::Ready(Some(Ok(this.frame())));
            }
            match this.next {
                Next::Piece => {
                    let Some(paced) = this.pieces.peek().map(|piece| piece.paced) else {
                        this.next = Next::End;
                        continue;
                    };
                    ready!(this.poll_pace(paced, cx));
                    if let Some(piece) = this.pieces.next() {
                        this.take_up(&piece).map_err(|_| BrokenOff)?;
                    }
                }
                Next::Cut => {
                    this.live.end(Ending::Fault);
                    return Poll::Ready(Some(Err(BrokenOff)));
                }
                Next::Reset => {
                    this.live.end(Ending::Fault);
                    this.abort.reset();
                    return Poll::Pending;
                }
                Next::Silence => {
                    this.live.phase(Phase::Stall);
                    return Poll::Pending;
                }
                Next::Trailers => return Poll::Ready(Some(Ok(this.trailers()))),
                Next::End => {
                    this.live.end(Ending::Complete);
                    return Poll::Ready(None);
                }
            }
        }
    }
}
