//! Admit: who asks, may they, and is there room. The first stage; it reads no byte of a body.

use super::plan::BATCH_BODY_BYTES_MAX;
use super::refusal::Refusal;
use super::settle::Record;
use super::{Inbound, MEMORY_UNIT_BYTES, Spine};
use crate::auth::{Auth, AuthRefused, Caller};
use crate::config::{ANSWER_BYTES_MAX, EXCHANGE_BYTES_MAX};
use http::header::CONTENT_LENGTH;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use weft_proto::ids::ExchangeId;
use weft_proto::tables::routes::BodyKind;
use weft_store::Outcome;
use weft_transport::drain::InFlightGuard;

/// What a user is told to wait when the hub is full.
const FULL_WAIT: Duration = Duration::from_secs(1);

/// What an exchange holds of the node while it runs.
#[derive(Debug)]
#[expect(dead_code, reason = "held for what its drop gives back")]
pub(super) struct Room {
    memory: OwnedSemaphorePermit,
    running: InFlightGuard,
}

impl Room {
    /// Room for an exchange of the hub's own, which has no body; `None` where there is none.
    pub(super) fn without_body(spine: &Spine) -> Option<Self> {
        let memory = Arc::clone(&spine.0.memory);
        let memory = memory.try_acquire_many_owned(units(Some(0), false)).ok()?;
        Some(Self { memory, running: spine.0.running.enter() })
    }
}

/// A request whose user is known and for which there is room.
#[derive(Debug)]
#[must_use]
pub(super) struct Admitted {
    pub(super) record: Record,
    pub(super) caller: Caller,
    pub(super) inbound: Inbound,
    pub(super) room: Room,
}

impl Admitted {
    pub(super) const fn id(&self) -> ExchangeId {
        self.record.id()
    }

    /// The moment at which the exchange has run for as long as one may.
    pub(super) fn ends_at(&self, spine: &Spine) -> Instant {
        self.record.runs_until(spine.0.needs.limits.now().exchange)
    }
}

impl Spine {
    /// Admits a request, or says why not. From here on it will have an outcome.
    pub(super) async fn admit(&self, inbound: Inbound) -> Result<Admitted, Refusal> {
        let needs = &self.0.needs;
        let limits = needs.limits.now();
        let now = needs.clock.now();
        let presented = Auth::presented(&inbound.headers)?;
        let caller = needs.auth.admit(presented, inbound.peer, now).await?;

        if needs.closing.is_cancelled() {
            return Err(Refusal::unavailable("draining", "the hub is going down", FULL_WAIT));
        }
        let length = declared_length(&inbound)?;
        if length.is_some_and(|length| length > limits.body_bytes_max) {
            return Err(Refusal::too_large(limits.body_bytes_max));
        }
        if self.0.running.count() >= limits.exchanges_max {
            return Err(full());
        }
        let whole = inbound.asks.iter().any(|ask| ask.route.route.body == BodyKind::Requests);
        let units = units(length, inbound.switch.is_some()) + units_kept(length, whole);
        let memory =
            Arc::clone(&self.0.memory).try_acquire_many_owned(units).map_err(|_| full())?;
        let place = needs.settler.reserve().ok_or_else(full)?;

        let exchange = ExchangeId::generate(&*needs.clock, &*needs.entropy);
        let outcome = Outcome::begun(exchange, caller.user(), caller.key(), now);
        let record = Record::new(outcome, place, needs.metrics.clone(), needs.cut_off.clone());
        let record = record.within(limits.exchange);
        let room = Room { memory, running: self.0.running.enter() };
        Ok(Admitted { record, caller, inbound, room })
    }
}

fn full() -> Refusal {
    Refusal::unavailable("hub_full", "the hub is full; try again", FULL_WAIT)
}

/// The body's declared length. The HTTP layer has refused conflicting ones already.
fn declared_length(inbound: &Inbound) -> Result<Option<u64>, Refusal> {
    let Some(value) = inbound.headers.get(CONTENT_LENGTH) else {
        return Ok(None);
    };
    let length = value.to_str().ok().and_then(|text| text.parse().ok());
    let bad = || Refusal::malformed("content_length", "the content-length is no number");
    length.ok_or_else(bad).map(Some)
}

/// What an exchange may hold at most, in units of the memory budget: what its answer takes, and of
/// its body what is kept for another attempt and what is on its way to the agent. What a WebSocket
/// carries is no body: it has no length, whatever its request says.
fn units(length: Option<u64>, switches: bool) -> u32 {
    let length = length.filter(|_| !switches);
    let upload_max = EXCHANGE_BYTES_MAX - ANSWER_BYTES_MAX;
    let bytes = ANSWER_BYTES_MAX + length.unwrap_or(upload_max).min(upload_max);
    u32::try_from(bytes.div_ceil(MEMORY_UNIT_BYTES)).unwrap_or(u32::MAX)
}

/// What a body may hold beside that which is known whole before any of it goes on: a batch.
fn units_kept(length: Option<u64>, whole: bool) -> u32 {
    if !whole {
        return 0;
    }
    let bytes = length.unwrap_or(BATCH_BODY_BYTES_MAX).min(BATCH_BODY_BYTES_MAX);
    u32::try_from(bytes.div_ceil(MEMORY_UNIT_BYTES)).unwrap_or(u32::MAX)
}

impl From<AuthRefused> for Refusal {
    fn from(refused: AuthRefused) -> Self {
        let (cause, message) = (refused.cause(), refused.to_string());
        match refused {
            AuthRefused::NotPresented(_)
            | AuthRefused::Malformed(_)
            | AuthRefused::Unknown
            | AuthRefused::Revoked
            | AuthRefused::Expired => Self::unauthorised(cause, message),
            AuthRefused::UserDisabled | AuthRefused::Network => Self::forbidden(cause, message),
            AuthRefused::TooManyFailures { retry_after } => {
                Self::limited(cause, message, retry_after)
            }
            AuthRefused::Unavailable => Self::unavailable(cause, message, FULL_WAIT),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_proto::limits::STREAM_WINDOW_BYTES;

    #[test]
    fn room_is_taken_for_what_a_body_declares_and_for_all_that_a_websocket_may_carry() {
        let bytes = |length, switches| u64::from(units(length, switches)) * MEMORY_UNIT_BYTES;
        assert!(bytes(Some(0), false) < bytes(Some(64 * 1024), false));
        assert_eq!(bytes(Some(u64::MAX), false), bytes(None, false));
        for length in [None, Some(0)] {
            let both = ANSWER_BYTES_MAX + u64::from(STREAM_WINDOW_BYTES);
            assert!(bytes(length, true) >= both, "{length:?}");
        }
    }
}
