//! What is made after its answer, and not billed yet: responses, and batches.
//!
//! # Invariants
//! - One thing at one home is billed once: of it, and of one exchange, the first bill stands.
//! - A read is named in the bill before it is sent, and none is named before what could have billed
//!   it so far (the exchange that asked, or the read named last) is settled at nothing, for good:
//!   [`PendingBills::bill_by`] looks at both in one transaction. Of all of them one can be settled
//!   at something, whatever died, and however many nodes looked after it at once.
//! - One node at a time looks after a bill, until its time is over. That saves work; it is not what
//!   keeps a bill from being paid twice.

use crate::{Home, PageSize, StoreError};
use async_trait::async_trait;
use std::fmt;
use weft_proto::ids::{ExchangeId, KeyId, NodeId, UserId};
use weft_proto::model::ModelName;
use weft_proto::money::{NanoUsd, Ratio};
use weft_proto::objects::ObjectId;
use weft_proto::prices::BookHash;
use weft_proto::provider::Provider;
use weft_proto::time::Timestamp;

/// The longest path and query of a response at its provider, bytes.
pub const TARGET_BYTES_MAX: usize = 2_048;

/// What is billed later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BillKind {
    /// One response, by what it says itself.
    Response,
    /// A batch of requests, by the answers in its output.
    Batch,
}

impl BillKind {
    /// All kinds.
    pub const ALL: [Self; 2] = [Self::Response, Self::Batch];

    /// The stored form.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Response => "response",
            Self::Batch => "batch",
        }
    }

    /// The kind with this stored form, where there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// One response, or batch, that is to be billed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingBill {
    /// The exchange that asked for it.
    pub made_by: ExchangeId,
    /// What it is.
    pub kind: BillKind,
    /// Where it lives.
    pub home: Home,
    /// The provider's id of it.
    pub response: ObjectId,
    /// Whose API.
    pub provider: Provider,
    /// Who pays.
    pub user: UserId,
    /// With which key it was asked for.
    pub key: KeyId,
    /// Path and query of it at the provider; at most [`TARGET_BYTES_MAX`] bytes.
    pub target: String,
    /// The model that is priced.
    pub model: ModelName,
    /// The price book.
    pub book: BookHash,
    /// The pricing instant.
    pub priced_at: Timestamp,
    /// What the user pays of the list price.
    pub zone: Ratio,
    /// What is held for it.
    pub held: NanoUsd,
    /// Whether its owner is the one whose house the user belongs to.
    pub linked: bool,
    /// The read that is to bill it, once one was begun.
    pub billed_by: Option<ExchangeId>,
    /// When its id was seen first.
    pub made_at: Timestamp,
}

impl PendingBill {
    /// The exchange that is to bill it so far: the read named last, or the one that asked.
    #[must_use]
    pub fn biller(&self) -> ExchangeId {
        self.billed_by.unwrap_or(self.made_by)
    }
}

/// Which node looks after a bill, and until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tending {
    /// The node.
    pub node: NodeId,
    /// Now: who looked after it until then does so no more.
    pub at: Timestamp,
    /// Until when it does.
    pub until: Timestamp,
}

impl Tending {
    /// Whether one that lasts until `until` is to be made longer: half of it is over.
    pub(crate) const fn renews(&self, until: Timestamp) -> bool {
        let half = (self.at.as_micros() + self.until.as_micros()) / 2;
        until.as_micros() < half
    }
}

/// The responses and batches that are to be billed.
///
/// # Cancel safety
/// Every write that has been polled is carried through although its future is dropped.
#[async_trait]
pub trait PendingBills: fmt::Debug + Send + Sync {
    /// Keeps a bill, which a node looks after from the start, and says whether it is new: of one
    /// response, and of one exchange, the first stands.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; [`StoreError::Corrupt`] where a value has no stored form.
    async fn keep(&self, bill: &PendingBill, tending: &Tending) -> Result<bool, StoreError>;

    /// The open bills after that of `after`, by the exchanges that made them, which a node looks
    /// after from now on: those that it has, and those that nobody has any more.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Corrupt`].
    async fn tend(
        &self,
        tending: &Tending,
        after: Option<ExchangeId>,
        size: PageSize,
    ) -> Result<Vec<PendingBill>, StoreError>;

    /// The open bills after that of `after`, by the exchanges that made them, whoever looks after
    /// them.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Corrupt`].
    async fn open(
        &self,
        after: Option<ExchangeId>,
        size: PageSize,
    ) -> Result<Vec<PendingBill>, StoreError>;

    /// Whether a user's response, or batch, of this id is still to be billed.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Corrupt`].
    async fn owes(&self, user: UserId, response: &ObjectId) -> Result<bool, StoreError>;

    /// Says that `read` is to bill it instead of `before` ([`PendingBill::biller`]), and looks after
    /// it. `false`, and nothing is changed, where it is not open, another node looks after it,
    /// another than `before` is to bill it, or `before` is not settled at nothing.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Corrupt`].
    async fn bill_by(
        &self,
        made_by: ExchangeId,
        before: ExchangeId,
        read: ExchangeId,
        tending: &Tending,
    ) -> Result<bool, StoreError>;

    /// Closes a bill; `false` where it is not open.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Corrupt`].
    async fn close_bill(&self, made_by: ExchangeId, at: Timestamp) -> Result<bool, StoreError>;

    /// Forgets bills that were closed before `before`, and says how many.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn forget(&self, before: Timestamp) -> Result<u64, StoreError>;
}
