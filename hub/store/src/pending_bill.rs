//! Responses that are made after their answer, and not billed yet.

use crate::{Home, PageSize, StoreError};
use async_trait::async_trait;
use std::fmt;
use weft_proto::ids::{ExchangeId, KeyId, UserId};
use weft_proto::model::ModelName;
use weft_proto::money::{NanoUsd, Ratio};
use weft_proto::objects::ObjectId;
use weft_proto::prices::BookHash;
use weft_proto::provider::Provider;
use weft_proto::time::Timestamp;

/// The longest path and query of a response at its provider, bytes.
pub const TARGET_BYTES_MAX: usize = 2_048;

/// One response that is to be billed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingBill {
    /// The exchange that asked for it.
    pub made_by: ExchangeId,
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

/// The responses that are to be billed.
///
/// # Cancel safety
/// Every write that has been polled is carried through although its future is dropped.
#[async_trait]
pub trait PendingBills: fmt::Debug + Send + Sync {
    /// Keeps a bill, and says whether it is new: of one response, and of one exchange, the first
    /// stands.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; [`StoreError::Corrupt`] where a value has no stored form.
    async fn keep(&self, bill: &PendingBill) -> Result<bool, StoreError>;

    /// The open bills after that of `after`, by the exchanges that made them.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Corrupt`].
    async fn open(
        &self,
        after: Option<ExchangeId>,
        size: PageSize,
    ) -> Result<Vec<PendingBill>, StoreError>;

    /// Whether a user's response of this id is still to be billed.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Corrupt`].
    async fn owes(&self, user: UserId, response: &ObjectId) -> Result<bool, StoreError>;

    /// Says which read is to bill it; `false` where it is not open.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Corrupt`].
    async fn bill_by(&self, made_by: ExchangeId, read: ExchangeId) -> Result<bool, StoreError>;

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
