//! Switch: an exchange that became a WebSocket, from the provider's 101 to its end.
//!
//! From the 101 on, the user's connection and the exchange's stream carry raw bytes, one read here
//! one write there, and nothing of them is gathered, changed or kept. What is known of them is where
//! frames end: so that a close frame of the hub's own corrupts nothing, and so that the outcome can
//! tell a conversation that was closed from one that broke.
//!
//! Each direction ends by itself. One that did not end properly never looks as if it had: between
//! two frames the user is told by a close frame, inside one the connection is reset.

mod pump;

use super::Spine;
use super::admit::Room;
use super::refusal::REQUEST_ID;
use super::settle::Record;
use crate::tunnel::Slip;
use axum::body::Body;
use bytes::Bytes;
use http::header::{CONNECTION, UPGRADE};
use http::{HeaderValue, Response, StatusCode};
use pump::{Over, Pump};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, WriteHalf};
use tokio::time::Instant;
use weft_proto::codes::{AbortCode, EndReason};
use weft_proto::exchange::Break;
use weft_proto::tables::headers;
use weft_proto::websocket::handshake::WEBSOCKET;
use weft_proto::websocket::{CloseStatus, FrameFollower, close_frame};
use weft_proto::wire::head::SwitchedHead;
use weft_transport::exchange::{BodyReader, RequestWriter};

/// How long a close frame of the hub's own may take to be written.
const GOODBYE_MAX: Duration = Duration::from_secs(2);

/// How long before the end of a drain WebSockets are told to go: the rest is for their goodbyes.
const GOING_AWAY_LEAD: Duration = Duration::from_secs(2);

/// Where an exchange that switched waits for its connection. The users' door gives one to each
/// connection that can be taken over: those of HTTP/1.1.
#[derive(Debug, Clone, Default)]
pub struct Slot(Arc<Mutex<Option<Switched>>>);

impl Slot {
    /// The exchange that takes the connection over, where one did.
    #[must_use]
    pub fn take(&self) -> Option<Switched> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn fill(&self, switched: Switched) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(switched);
    }
}

/// How a connection that was switched is to be left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Farewell {
    /// All was said: what is left is to close it.
    Proper,
    /// It broke off where nothing could be said: only a reset does not look like an end.
    Reset,
}

/// An exchange whose provider has switched.
#[must_use]
pub(super) struct Switching {
    pub(super) record: Record,
    pub(super) room: Room,
    pub(super) head: SwitchedHead,
    pub(super) writer: RequestWriter,
    pub(super) reader: BodyReader,
    pub(super) slip: Slip,
    pub(super) slot: Slot,
}

impl Switching {
    /// The 101 for the user: the provider's answer to the user's own key. What follows runs on the
    /// connection, once its door has written this.
    pub(super) fn accept(self, spine: &Spine) -> Response<Body> {
        let Self { record, room, head, writer, reader, slip, slot } = self;
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let mut fields = headers::upgrade_response_headers(&head.headers);
        fields.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        fields.insert(UPGRADE, HeaderValue::from_static(WEBSOCKET));
        if let Ok(id) = HeaderValue::try_from(record.id().to_string()) {
            fields.insert(REQUEST_ID, id);
        }
        *response.headers_mut() = fields;
        slot.fill(Switched { record, room, writer, reader, slip, spine: spine.clone() });
        response
    }
}

/// A WebSocket that waits for its user's connection. Dropped, it tells the agent that the user went
/// away.
#[must_use = "a switched exchange is to be run on its connection"]
pub struct Switched {
    record: Record,
    room: Room,
    writer: RequestWriter,
    reader: BodyReader,
    slip: Slip,
    spine: Spine,
}

impl fmt::Debug for Switched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Switched").field("exchange", &self.record.id()).finish_non_exhaustive()
    }
}

impl Switched {
    /// Carries bytes both ways between `stream` and the agent until both directions have ended, or
    /// something broke; `first` is what the user had sent ahead. Says how to leave the connection.
    ///
    /// # Cancel safety
    /// A dropped call tells the agent at once to drop the provider's connection; the outcome is
    /// recorded.
    pub async fn run<S>(self, stream: &mut S, first: Bytes) -> Farewell
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let Self { mut record, room, mut writer, mut reader, slip, spine } = self;
        let (mut from_user, mut to_user) = tokio::io::split(stream);
        let limits = spine.0.needs.limits.now();
        let (mut up, mut down) = (FrameFollower::default(), FrameFollower::default());
        let over = {
            let ends_at = record.runs_until(limits.exchange);
            let pump = Pump {
                taken: record.taken(),
                record: &mut record,
                slip: &slip,
                writer: &mut writer,
                reader: &mut reader,
                from_user: &mut from_user,
                to_user: &mut to_user,
                up: &mut up,
                down: &mut down,
                idle: limits.answer_idle,
                stall: limits.stall,
                ends_at,
            };
            tokio::select! {
                biased;
                over = pump.run(first) => over,
                () = going_away(&spine) => Over::Broke(Break::Shutdown),
            }
        };
        let farewell = match over {
            Over::Complete => {
                record.complete();
                Farewell::Proper
            }
            Over::Broke(why) => {
                let reason = broke(&mut record, why, &mut writer, &mut reader);
                say_goodbye(&mut to_user, &down, why, reason).await
            }
        };
        drop(room);
        farewell
    }
}

/// Waits until a drain is nearly over: what still runs then is told to go.
async fn going_away(spine: &Spine) {
    let needs = &spine.0.needs;
    needs.closing.cancelled().await;
    let drain = needs.limits.now().drain;
    let told = Instant::now() + drain.saturating_sub(GOING_AWAY_LEAD.min(drain / 2));
    tokio::time::sleep_until(told).await;
}

/// Ends both directions towards the agent with the code that says why, and records it.
fn broke(
    record: &mut Record,
    why: Break,
    writer: &mut RequestWriter,
    reader: &mut BodyReader,
) -> EndReason {
    let reason = record.broke(why).reason();
    let code = why.code();
    let told = code.unwrap_or(AbortCode::UserAbort);
    writer.abort(told);
    reader.stop(told);
    record.cut(code);
    reason
}

/// Tells the user what happened, where a frame of the hub's own fits and somebody may read it.
async fn say_goodbye<S: AsyncWrite>(
    to_user: &mut WriteHalf<S>,
    down: &FrameFollower,
    why: Break,
    reason: EndReason,
) -> Farewell {
    if matches!(why, Break::UserGone | Break::SlowReader) || !down.at_boundary() {
        return Farewell::Reset;
    }
    // The provider's own goodbye is out: a second one would be no WebSocket any more.
    if down.closed() {
        return Farewell::Proper;
    }
    let frame = match why {
        Break::Shutdown => close_frame(CloseStatus::GoingAway, "the hub is going down"),
        Break::Exhausted => close_frame(CloseStatus::InternalError, words(reason)),
        Break::Deadline
        | Break::Agent(_)
        | Break::TunnelLost
        | Break::Malformed
        | Break::NotOpened
        | Break::Gate
        | Break::BadUpload
        | Break::UserGone
        | Break::SlowReader => close_frame(CloseStatus::InternalError, words(reason)),
    };
    let written = async {
        to_user.write_all(&frame).await?;
        to_user.flush().await
    };
    match tokio::time::timeout(GOODBYE_MAX, written).await {
        Ok(Ok(())) => Farewell::Proper,
        Ok(Err(_)) | Err(_) => Farewell::Reset,
    }
}

/// What a close frame says of an end that was no proper one.
const fn words(reason: EndReason) -> &'static str {
    match reason {
        EndReason::TunnelLost => "the agent that carried this WebSocket was lost",
        EndReason::UpstreamTruncated | EndReason::UpstreamUnreachable => {
            "the provider's connection broke off"
        }
        EndReason::Deadline => "a limit of the hub passed: silence, or the longest exchange",
        EndReason::AgentFault => "the agent that carried this WebSocket failed",
        EndReason::Complete
        | EndReason::Refused
        | EndReason::UserAbort
        | EndReason::SlowReader
        | EndReason::AccountFault
        | EndReason::Shutdown
        | EndReason::Internal
        | EndReason::NodeLost => "the WebSocket was interrupted",
        EndReason::BalanceExhausted => "the balance is exhausted",
    }
}
