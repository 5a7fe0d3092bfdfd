//! Relay: the answer's bytes, as they come, to the user.
//!
//! One read off the tunnel is one frame to the user: nothing is gathered, nothing waits for a
//! timer. An answer that does not end properly ends in an error of the body, which the HTTP layer
//! turns into a reset; before it, an error event goes out where one cannot corrupt anything.

use super::Spine;
use super::admit::Room;
use super::dispatch::{Answering, Forwarding, forward, refusal_for, why};
use super::refusal::REQUEST_ID;
use super::settle::Record;
use super::upload::{Forwarded, Stopped};
use crate::tunnel::Slip;
use axum::body::Body;
use bytes::Bytes;
use futures_util::stream::try_unfold;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body::Frame;
use http_body_util::StreamBody;
use std::pin::pin;
use std::time::Duration;
use tokio::time::Instant;
use weft_proto::codes::{AbortCode, EndReason};
use weft_proto::exchange::{Break, Next};
use weft_proto::provider::Dialect;
use weft_proto::tables::headers;
use weft_transport::exchange::{BodyReader, Piece};

/// An answer that was cut: the HTTP layer resets the stream when it meets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer was cut: {0}")]
pub(super) struct Cut(EndReason);

impl Answering {
    /// Turns the answer into the user's response.
    pub(super) fn relay(self, spine: &Spine) -> Response<Body> {
        let Self { record, room, dialect, method, head, answer, slip, forwarding } = self;
        let mut response = Response::new(Body::empty());
        *response.status_mut() = head.status;
        *response.headers_mut() = headers::response_headers(&head.headers);
        if let Ok(id) = HeaderValue::try_from(record.id().to_string()) {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        let length = body_length(&method, head.status, response.headers());
        let events = takes_events(response.headers(), length);
        let ends_at = record.runs_until(spine.0.needs.limits.exchange);
        let relay = Relay {
            record,
            dialect,
            reader: answer.into_body(&head),
            slip,
            forwarding,
            left: length,
            events,
            at_boundary: true,
            idle_max: spine.0.needs.limits.answer_idle,
            ends_at,
            cut: None,
            _room: room,
        };
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

/// An answer under way. Dropped before its end, it tells the agent that the user went away.
pub(super) struct Relay {
    record: Record,
    dialect: Dialect,
    reader: BodyReader,
    slip: Slip,
    forwarding: Option<Forwarding>,
    left: Option<u64>,
    events: bool,
    /// The bytes so far end in a blank line, or there are none.
    at_boundary: bool,
    idle_max: Duration,
    ends_at: Instant,
    cut: Option<Cut>,
    _room: Room,
}

impl Relay {
    /// The next frame; `None` at the proper end.
    pub(super) async fn next(&mut self) -> Result<Option<Frame<Bytes>>, Cut> {
        if let Some(cut) = self.cut {
            return Err(cut);
        }
        let deadline = (Instant::now() + self.idle_max).min(self.ends_at);
        let mut deadline = pin!(tokio::time::sleep_until(deadline));
        let broke = loop {
            tokio::select! {
                biased;
                piece = self.reader.next() => match piece {
                    Ok(Some(Piece::Data(bytes))) => match self.passes(&bytes) {
                        Ok(()) => return Ok(Some(Frame::data(bytes))),
                        Err(broke) => break broke,
                    },
                    Ok(Some(Piece::Trailers(trailers))) => {
                        return Ok(Some(Frame::trailers(trailers)));
                    }
                    Ok(None) if self.left.is_none_or(|left| left == 0) => {
                        self.slip.heard();
                        self.record.complete();
                        return Ok(None);
                    }
                    // A clean end of a short body: a provider or an agent that lies about it.
                    Ok(None) => break Break::Agent(AbortCode::UpstreamTruncated),
                    Err(error) => break why(&error),
                },
                (upload, forwarded) = forward(&mut self.forwarding) => {
                    self.forwarding = None;
                    self.record.request_bytes(upload.bytes());
                    match forwarded {
                        Forwarded::Whole | Forwarded::Unwanted => {}
                        Forwarded::Stopped(Stopped::Refused(_)) => break Break::Gate,
                        Forwarded::Stopped(Stopped::Broken) => break Break::BadUpload,
                    }
                },
                () = &mut deadline => break Break::Deadline,
            }
        };
        self.cut(broke)
    }

    /// The user took nothing for the stall limit: the agent is told, and the outcome recorded.
    pub(super) fn stalled(&mut self) -> Cut {
        match self.cut(Break::SlowReader) {
            Ok(_) => Cut(EndReason::SlowReader),
            Err(cut) => cut,
        }
    }

    /// Counts bytes that are about to go out.
    fn passes(&mut self, bytes: &Bytes) -> Result<(), Break> {
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(bytes.len() as u64).ok_or(Break::Malformed)?;
        }
        self.slip.heard();
        self.record.answered(bytes.len());
        if self.events {
            self.at_boundary = bytes.ends_with(b"\n\n") || bytes.ends_with(b"\r\n\r\n");
        }
        Ok(())
    }

    /// Ends the answer improperly: an error event where one fits, then the reset.
    fn cut(&mut self, broke: Break) -> Result<Option<Frame<Bytes>>, Cut> {
        let reason = match self.record.broke(broke) {
            Next::Cut(reason) | Next::Refuse(reason) => reason,
            Next::Retry | Next::Ended => EndReason::Internal,
        };
        let code = match broke {
            Break::SlowReader => Some(AbortCode::SlowReader),
            Break::Deadline => Some(AbortCode::Deadline),
            Break::Gate => Some(AbortCode::Gate),
            Break::Shutdown => Some(AbortCode::Draining),
            Break::UserGone | Break::BadUpload => Some(AbortCode::UserAbort),
            Break::Malformed => Some(AbortCode::Malformed),
            Break::Agent(_) | Break::TunnelLost | Break::NotOpened => None,
        };
        if let Some(code) = code {
            self.record.cut_with(code);
            self.reader.stop(code);
        }
        let cut = Cut(reason);
        if !self.events {
            return Err(cut);
        }
        let event = refusal_for(reason).event(self.dialect, self.record.id());
        let bytes = if self.at_boundary { event } else { [b"\n\n", &event[..]].concat().into() };
        self.cut = Some(cut);
        Ok(Some(Frame::data(bytes)))
    }
}
