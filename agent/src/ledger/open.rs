//! An exchange between its OPEN and its CLOSE.
//!
//! [`OpenEntry`] is the proof that the OPEN is durable: who has none cannot call a provider. It ends
//! in exactly one CLOSE: by [`OpenEntry::close`], or as interrupted when it is dropped. The place of
//! that CLOSE in the writer's queue is reserved before the OPEN is written, so neither can fail for
//! want of room and neither waits.

use super::writer::{Request, Way};
use tokio::sync::mpsc::OwnedPermit;
use weft_proto::codes::AbortCode;
use weft_proto::ledger::verify::claimable;
use weft_proto::ledger::{Close, End, Open, Position};
use weft_proto::money::{ListPrice, NanoUsd};
use weft_proto::usage::{Basis, Geo, ServiceTier, Usage};

/// What became of an exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloseFacts {
    /// How it ended.
    pub end: End,
    /// The provider's status; 0 where there was none.
    pub status: u16,
    /// Units by class.
    pub usage: Usage,
    /// How far they can be trusted.
    pub basis: Basis,
    /// How urgently it was served.
    pub tier: ServiceTier,
    /// Where it was served.
    pub geo: Geo,
    /// The provider said that its content was over.
    pub finish_marker: bool,
    /// The provider reported usage.
    pub usage_seen: bool,
    /// The provider charges although its status is an error.
    pub charged_although_refused: bool,
    /// Bytes of the request's body that went to the provider.
    pub bytes_up: u64,
    /// Bytes of the answer's body that came from it.
    pub bytes_down: u64,
    /// The exact list price of the usage; none where no price is known or none applies.
    pub list: Option<ListPrice>,
    /// What is claimed.
    pub income: NanoUsd,
}

impl CloseFacts {
    /// An exchange that used nothing and claims nothing.
    #[must_use]
    pub const fn nothing(end: End) -> Self {
        Self {
            end,
            status: 0,
            usage: Usage::NONE,
            basis: Basis::Reported,
            tier: ServiceTier::Standard,
            geo: Geo::Unstated,
            finish_marker: false,
            usage_seen: false,
            charged_although_refused: false,
            bytes_up: 0,
            bytes_down: 0,
            list: None,
            income: NanoUsd::ZERO,
        }
    }

    /// The provider was not called.
    #[must_use]
    pub const fn not_called() -> Self {
        Self::nothing(End::cut(AbortCode::NotSent))
    }

    /// The CLOSE of `open`, which stands at `position`.
    pub(super) fn of(self, position: Position, open: &Open) -> Close {
        Close {
            exchange: open.ticket.exchange,
            attempt: open.ticket.attempt,
            open: position,
            end: self.end,
            status: self.status,
            usage: self.usage,
            basis: self.basis,
            tier: self.tier,
            geo: self.geo,
            finish_marker: self.finish_marker,
            usage_seen: self.usage_seen,
            charged_although_refused: self.charged_although_refused,
            bytes_up: self.bytes_up,
            bytes_down: self.bytes_down,
            list: self.list,
            income: self.income,
        }
    }
}

/// The CLOSE of an exchange of which the agent does not know what became: it claims what the hub has
/// metered, at most the ticket's cap.
pub(super) fn interrupted(position: Position, open: &Open) -> Close {
    let facts = CloseFacts { basis: Basis::Unmetered, ..CloseFacts::nothing(End::Interrupted) };
    let mut close = facts.of(position, open);
    close.income = claimable(&close, open);
    close
}

/// Where the CLOSE goes.
#[derive(Debug)]
pub(super) enum Place {
    /// Into the writer's queue, which keeps a place for it.
    Queue(OwnedPermit<Request>),
    /// Straight to the disk.
    Inline(std::sync::Arc<super::Shared>),
}

/// A durable OPEN that waits for its CLOSE.
#[derive(Debug)]
#[must_use = "an exchange that is dropped without a close counts as interrupted"]
pub struct OpenEntry {
    position: Position,
    open: Open,
    place: Option<Place>,
}

impl OpenEntry {
    pub(super) const fn new(position: Position, open: Open, place: Place) -> Self {
        Self { position, open, place: Some(place) }
    }

    /// Where the OPEN stands.
    #[must_use]
    pub const fn position(&self) -> Position {
        self.position
    }

    /// What was opened.
    #[must_use]
    pub const fn opened(&self) -> &Open {
        &self.open
    }

    /// Closes the exchange. Never waits and never fails: the place is kept.
    pub fn close(mut self, facts: CloseFacts) {
        let close = facts.of(self.position, &self.open);
        self.send(close);
    }

    fn send(&mut self, close: Close) {
        match self.place.take() {
            Some(Place::Queue(permit)) => drop(permit.send(Request::Close(Box::new(close)))),
            Some(Place::Inline(shared)) => match &shared.way {
                // A failed disk is told by `Ledger::failed`.
                Way::Inline(writer) => writer.close(close),
                Way::Thread(_) => {}
            },
            None => {}
        }
    }
}

impl Drop for OpenEntry {
    fn drop(&mut self) {
        if self.place.is_some() {
            self.send(interrupted(self.position, &self.open));
        }
    }
}
