//! Payouts: money on its way out to an owner, in two steps: somebody asks, somebody approves.
//!
//! A row says what was asked and decided; that the money moved is the ledger's word alone.

use crate::{Memo, Page, StoreError, Subject};
use async_trait::async_trait;
use std::fmt;
use weft_proto::ids::OwnerId;
use weft_proto::money::NanoUsd;
use weft_proto::time::Timestamp;

/// How a payout stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PayoutState {
    /// It waits for a decision.
    Requested,
    /// It is to be paid, and what refers to the payment is known.
    Approved,
    /// It will not be paid.
    Rejected,
}

impl PayoutState {
    /// The stored number.
    pub(crate) const fn number(self) -> i64 {
        match self {
            Self::Requested => 0,
            Self::Approved => 1,
            Self::Rejected => 2,
        }
    }

    /// The state with this stored number.
    pub(crate) fn from_number(number: i64) -> Result<Self, UnknownState> {
        match number {
            0 => Ok(Self::Requested),
            1 => Ok(Self::Approved),
            2 => Ok(Self::Rejected),
            _ => Err(UnknownState),
        }
    }

    /// The name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
        }
    }
}

/// A number that is no state.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("no state of a payout")]
pub(crate) struct UnknownState;

/// One payout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payout {
    /// Its id, and the subject of its transfer.
    pub id: Subject,
    /// To whom.
    pub owner: OwnerId,
    /// How much.
    pub amount: NanoUsd,
    /// Why, where whoever asked said so.
    pub reason: Option<Memo>,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// How it stands.
    pub state: PayoutState,
    /// What the payment is known by elsewhere, or why there is none.
    pub reference: Option<Memo>,
    /// When that was decided.
    pub decided_at: Option<Timestamp>,
}

/// The payouts.
#[async_trait]
pub trait Payouts: fmt::Debug + Send + Sync {
    /// Keeps a new payout, in the state that it has.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for the owner, [`StoreError::Conflict`] for a taken id.
    async fn request(&self, payout: &Payout) -> Result<(), StoreError>;

    /// Decides one that waits, and returns it as it stands then: the first decision stands.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where there is no such payout.
    async fn decide(
        &self,
        id: Subject,
        state: PayoutState,
        reference: &Memo,
        at: Timestamp,
    ) -> Result<Payout, StoreError>;

    /// Takes an approval back whose money did not move: it waits again.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where there is no such payout.
    async fn reopen(&self, id: Subject) -> Result<Payout, StoreError>;

    /// One payout.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Corrupt`].
    async fn find(&self, id: Subject) -> Result<Option<Payout>, StoreError>;

    /// The payouts of an owner, or of all, in the order of ids.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Corrupt`].
    async fn list(
        &self,
        owner: Option<OwnerId>,
        page: Page<Subject>,
    ) -> Result<Vec<Payout>, StoreError>;
}
