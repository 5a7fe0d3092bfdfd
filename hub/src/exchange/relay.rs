//! Relay: the answer's bytes, as they come, to the user.
//!
//! One read off the tunnel is one frame to the user: nothing is gathered, nothing waits for a
//! timer. An answer that does not end properly ends in an error of the body, which the HTTP layer
//! turns into a reset; before it, an error event goes out where one cannot corrupt anything.
//!
//! What an answer makes known of objects at the provider is recorded first: the read that tells it
//! waits for the record, and is cut off where there can be none.

mod tail;

use super::Spine;
use super::admit::Room;
use super::belongings::{Keeper, Recording, home_of};
use super::dispatch::{Answering, refusal_for, why};
use super::refusal::{REQUEST_ID, Refusal};
use super::rest::Rest;
use super::settle::Record;
use super::till::{Exhausted, Tab};
use super::upload::{Forwarded, Stopped};
use crate::lifecycle::{Stage, Tasks};
use crate::tunnel::Slip;
use axum::body::Body;
use bytes::Bytes;
use futures_util::stream::try_unfold;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body::Frame;
use http_body_util::StreamBody;
use std::pin::Pin;
use std::time::Duration;
use tail::Tail;
use tokio::time::{Instant, Sleep};
use weft_proto::codes::{AbortCode, EndReason};
use weft_proto::exchange::Break;
use weft_proto::meter::{TAKEN, Taken};
use weft_proto::provider::Dialect;
use weft_proto::tables::headers;
use weft_transport::exchange::{BodyReader, Piece};
use weft_transport::stream::StreamError;

/// How long a head or an error event gets to reach the user's connection before the reset.
const CUT_LINGER: Duration = Duration::from_millis(50);

/// An answer that was cut: the HTTP layer resets the stream when it meets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer was cut: {0}")]
pub(super) struct Cut(EndReason);

/// Ends a body that was cut. Both versions of HTTP drop what they have not written yet when a body
/// fails: without the wait, what went before would be lost with the reset.
async fn reset<T>(cut: Cut) -> Result<T, Cut> {
    tokio::time::sleep(CUT_LINGER).await;
    Err(cut)
}

impl Answering {
    /// Turns the answer into the user's response.
    pub(super) async fn relay(self, spine: &Spine) -> Response<Body> {
        let Self {
            mut record,
            room,
            dialect,
            method,
            head,
            answer,
            slip,
            forwarding,
            mut belongings,
        } = self;
        let id = record.id();
        let home = home_of(slip.offer());
        if let Err(refusal) = belongings.settled(home, head.status).await {
            record.refused(EndReason::Internal, refusal.cause(), refusal.status());
            return refusal.response(dialect, Some(id));
        }
        let mut response = Response::new(Body::empty());
        *response.status_mut() = head.status;
        *response.headers_mut() = headers::response_headers(&head.headers);
        if let Ok(id) = HeaderValue::try_from(id.to_string()) {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        let length = body_length(&method, head.status, response.headers());
        let seen = (id, spine.0.needs.clock.now());
        let watched = &spine.0.watched;
        let later = record.tab().is_some_and(|tab| tab.asks_later());
        let owes = belongings.bills_later(later);
        let keeper = belongings.keeper(home, seen, head.status, response.headers(), watched);
        if later && head.status.is_success() && !(owes && keeper.is_some()) {
            let refusal = refusal_for(EndReason::Internal);
            record.refused(EndReason::Internal, refusal.cause(), refusal.status());
            return refusal.response(dialect, Some(id));
        }
        let limits = spine.0.needs.limits.now();
        let ends_at = record.runs_until(limits.exchange);
        let now = Instant::now();
        let mut relay = Relay {
            record,
            dialect,
            line: Some(Line { reader: answer.into_body(&head), slip, _room: room }),
            tasks: spine.0.needs.tasks.clone(),
            unseen: None,
            rest: forwarding.map(Rest::of),
            keeper,
            recording: None,
            held: None,
            left: length,
            last: None,
            trailers: None,
            ended: false,
            events: takes_events(response.headers(), length),
            tail: Tail::default(),
            at_boundary: true,
            idle_max: limits.answer_idle,
            ends_at,
            heard_at: now,
            timer: Box::pin(tokio::time::sleep_until((now + limits.answer_idle).min(ends_at))),
            cut: None,
        };
        if length == Some(0) {
            // Nobody polls a body that is known to be empty: its end has to be seen here.
            return match relay.next().await {
                Ok(_) => response,
                Err(Cut(reason)) => refusal_for(reason).response(dialect, Some(id)),
            };
        }
        let reading = spine.0.readers.watch(relay);
        let stream = try_unfold(reading, |reading| async move {
            let frame = reading.next().await?;
            Ok::<_, Cut>(frame.map(|frame| (frame, reading)))
        });
        *response.body_mut() = Body::new(StreamBody::new(Box::pin(stream)));
        response
    }
}

/// The bytes that the body must have, where that is known: a shorter or longer one is cut.
fn body_length(method: &Method, status: StatusCode, headers: &HeaderMap) -> Option<u64> {
    if *method == Method::HEAD
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED
    {
        return Some(0);
    }
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Whether an error event of the hub's own can be told from the provider's bytes.
fn takes_events(headers: &HeaderMap, length: Option<u64>) -> bool {
    let event_stream = headers
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
    event_stream && length.is_none() && !headers.contains_key(CONTENT_ENCODING)
}

/// Where an answer comes from, and what it holds of the node.
struct Line {
    reader: BodyReader,
    slip: Slip,
    _room: Room,
}

/// An answer under way. Dropped before its end, it tells the agent that the user went away.
pub(super) struct Relay {
    record: Record,
    dialect: Dialect,
    /// Until it is read on without this reader.
    line: Option<Line>,
    tasks: Tasks,
    /// What was handed on last, and is not metered yet.
    unseen: Option<Bytes>,
    /// The rest of the upload, where the answer came before its end.
    rest: Option<Rest>,
    /// Who records what the answer makes known.
    keeper: Option<Keeper>,
    /// A record under way.
    recording: Option<Recording>,
    /// The frame that waits for it.
    held: Option<Frame<Bytes>>,
    left: Option<u64>,
    /// The last frame, held until the answer's end is known to be proper: the HTTP layer drops a
    /// body as soon as it has all of it, and would never ask for the end.
    last: Option<Frame<Bytes>>,
    /// What follows the last frame.
    trailers: Option<Frame<Bytes>>,
    ended: bool,
    events: bool,
    tail: Tail,
    /// The bytes so far end in a blank line, or there are none.
    at_boundary: bool,
    idle_max: Duration,
    ends_at: Instant,
    heard_at: Instant,
    /// Fires at the earliest moment that may be too late; looked at again, not set anew, by each
    /// read.
    timer: Pin<Box<Sleep>>,
    cut: Option<Cut>,
}

impl Relay {
    /// The next frame; `None` at the proper end.
    pub(super) async fn next(&mut self) -> Result<Option<Frame<Bytes>>, Cut> {
        if self.ended {
            return Ok(self.trailers.take());
        }
        if let Some(cut) = self.cut {
            return reset(cut).await;
        }
        loop {
            // What was handed on is with the user by now: nothing of it waits for its meter.
            if self.metered().await.is_err() {
                return match self.cut(Break::Exhausted, None) {
                    Ok(event) => Ok(event),
                    Err(cut) => reset(cut).await,
                };
            }
            if let Some(recording) = &mut self.recording {
                let recorded = recording.await;
                self.recording = None;
                if recorded.is_err() {
                    return match self.unrecorded() {
                        Ok(event) => Ok(event),
                        Err(cut) => reset(cut).await,
                    };
                }
            }
            if let Some(frame) = self.held.take() {
                return Ok(Some(frame));
            }
            let Some(line) = &mut self.line else {
                return reset(Cut(EndReason::Internal)).await;
            };
            let step = tokio::select! {
                biased;
                forwarded = Rest::ended(&mut self.rest) => {
                    self.rest = None;
                    match forwarded {
                        Forwarded::Whole | Forwarded::Unwanted => continue,
                        Forwarded::Stuck => Err((Break::Deadline, None)),
                        Forwarded::Stopped(Stopped::Broken) => Err((Break::BadUpload, None)),
                        Forwarded::Stopped(Stopped::Refused(why)) => Err((Break::Gate, Some(why))),
                    }
                }
                piece = line.reader.next() => self.piece(piece).map_err(|broke| (broke, None)),
                () = &mut self.timer => match self.next_deadline() {
                    Some(deadline) => {
                        self.timer.as_mut().reset(deadline);
                        continue;
                    }
                    None => Err((Break::Deadline, None)),
                },
            };
            match step {
                Ok(Some(frame)) => return Ok(Some(frame)),
                Ok(None) if self.ended => {
                    return Ok(self.last.take().or_else(|| self.trailers.take()));
                }
                Ok(None) => {}
                Err((broke, refusal)) => {
                    return match self.cut(broke, refusal) {
                        Ok(event) => Ok(event),
                        Err(cut) => reset(cut).await,
                    };
                }
            }
        }
    }

    /// The moment to look at the clock again; `None` where a limit has passed.
    fn next_deadline(&self) -> Option<Instant> {
        let deadline = (self.heard_at + self.idle_max).min(self.ends_at);
        (deadline > Instant::now()).then_some(deadline)
    }

    /// Takes one read off the tunnel: the frame to give out now, if any.
    fn piece(
        &mut self,
        piece: Result<Option<Piece>, StreamError>,
    ) -> Result<Option<Frame<Bytes>>, Break> {
        if let Some(line) = &self.line {
            line.slip.heard();
        }
        self.heard_at = Instant::now();
        if self.heard_at >= self.ends_at {
            return Err(Break::Deadline);
        }
        match piece {
            Ok(Some(Piece::Data(bytes))) => {
                self.passes(&bytes)?;
                self.recording = self.keeper.as_mut().and_then(|keeper| keeper.sees(&bytes));
                self.unseen = self.record.tab().map(|_| bytes.clone());
                let frame = Frame::data(bytes);
                if self.left == Some(0) {
                    self.last = Some(frame);
                    return Ok(None);
                }
                if self.recording.is_some() {
                    self.held = Some(frame);
                    return Ok(None);
                }
                Ok(Some(frame))
            }
            Ok(Some(Piece::Trailers(mut trailers))) => {
                took(self.record.tab(), &mut trailers);
                self.trailers = Some(trailers).filter(|all| !all.is_empty()).map(Frame::trailers);
                Ok(None)
            }
            Ok(None) if self.left.is_none_or(|left| left == 0) => {
                self.ended = true;
                self.see();
                self.record.complete();
                Ok(None)
            }
            // A clean end of a short body: a provider or an agent that lies about it.
            Ok(None) => Err(Break::Agent(AbortCode::UpstreamTruncated)),
            Err(error) => Err(why(&error)),
        }
    }

    /// Meters what was handed on; says whether the hold carries more.
    fn see(&mut self) -> bool {
        // What is still held here is not with the user.
        if self.held.is_some() || (self.last.is_some() && !self.ended) {
            return true;
        }
        let bytes = self.unseen.take().unwrap_or_default();
        self.record.tab().is_none_or(|tab| tab.sees(&bytes))
    }

    /// The same, and lets the hold grow where it does not.
    async fn metered(&mut self) -> Result<(), Exhausted> {
        if self.see() {
            return Ok(());
        }
        match self.record.tab() {
            Some(tab) => tab.carry().await,
            None => Ok(()),
        }
    }

    /// Reads the answer on without a reader, where its last figures are worth it.
    fn read_on(&mut self, reason: Option<EndReason>) {
        if let Some((tab, within)) = self.record.read_on(reason)
            && let Some(line) = self.line.take()
        {
            self.tasks.spawn(Stage::Work, "last figures", last_figures(line, tab, within));
        }
    }

    /// The user took nothing for the stall limit: the agent is told, and the outcome recorded.
    pub(super) fn stalled(&mut self) -> Cut {
        match self.cut(Break::SlowReader, None) {
            Ok(_) => Cut(EndReason::SlowReader),
            Err(cut) => cut,
        }
    }

    /// Counts bytes that are about to go out.
    fn passes(&mut self, bytes: &Bytes) -> Result<(), Break> {
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(bytes.len() as u64).ok_or(Break::Malformed)?;
        }
        self.record.answered(bytes.len());
        if self.events && !bytes.is_empty() {
            self.tail.take(bytes);
            self.at_boundary = self.tail.is_boundary();
        }
        Ok(())
    }

    /// Ends the answer improperly: an error event where one fits, then the reset.
    fn cut(&mut self, broke: Break, refusal: Option<Refusal>) -> Result<Option<Frame<Bytes>>, Cut> {
        let reason = self.record.broke(broke).reason();
        let code = broke.code();
        self.see();
        self.read_on(Some(reason));
        if let (Some(code), Some(line)) = (code, &mut self.line) {
            line.reader.stop(code);
        }
        self.record.cut(code);
        self.ends_badly(reason, refusal.unwrap_or_else(|| refusal_for(reason)))
    }

    /// What the answer makes known could not be recorded: it must not be told.
    fn unrecorded(&mut self) -> Result<Option<Frame<Bytes>>, Cut> {
        if let Some(line) = &mut self.line {
            line.reader.stop(AbortCode::Internal);
        }
        self.unseen = None;
        self.record.failed();
        self.held = None;
        (self.last, self.trailers) = (None, None);
        // What was looked at is not what went out.
        self.at_boundary = false;
        self.ends_badly(EndReason::Internal, refusal_for(EndReason::Internal))
    }

    /// The event that says why the answer ends, where one fits; the reset comes with the next frame.
    fn ends_badly(
        &mut self,
        reason: EndReason,
        refusal: Refusal,
    ) -> Result<Option<Frame<Bytes>>, Cut> {
        let cut = Cut(reason);
        self.cut = Some(cut);
        if !self.events {
            return Err(cut);
        }
        let event = refusal.event(self.dialect, self.record.id());
        let bytes = if self.at_boundary { event } else { [b"\n\n", &event[..]].concat().into() };
        Ok(Some(Frame::data(bytes)))
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if !self.ended && self.cut.is_none() {
            self.see();
            self.read_on(None);
        }
    }
}

/// Takes out of an answer's trailers what the agent says to the hub: what the provider took of a
/// request that it answered early.
fn took(tab: Option<&mut Tab>, trailers: &mut HeaderMap) {
    let taken = trailers.remove(TAKEN).as_ref().and_then(Taken::decode);
    if let (Some(tab), Some(taken)) = (tab, taken) {
        tab.took(taken);
    }
}

/// Reads an answer on that nobody reads any more, for its last figures, for at most `within`. What
/// drops it settles by what has come until then.
async fn last_figures(mut line: Line, mut tab: Box<Tab>, within: Duration) {
    let read = async {
        while let Ok(Some(piece)) = line.reader.next().await {
            line.slip.heard();
            match piece {
                // Nothing is cut any more: what the hold does not carry is an overrun.
                Piece::Data(bytes) => drop(tab.sees(&bytes)),
                Piece::Trailers(mut trailers) => took(Some(&mut tab), &mut trailers),
            }
        }
    };
    if tokio::time::timeout(within, read).await.is_err() {
        line.reader.stop(AbortCode::UserAbort);
    }
}
