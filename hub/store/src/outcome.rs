//! Outcomes: how each exchange ended, one row each. Sizes, counts and times; never what was said.

use crate::{PageSize, StoreError};
use async_trait::async_trait;
use serde::{Serialize, Serializer};
use std::fmt;
use weft_proto::codes::{AbortCode, EndReason};
use weft_proto::ids::{AccountId, AgentId, ExchangeId, KeyId, UserId};
use weft_proto::model::ModelName;
use weft_proto::provider::Provider;
use weft_proto::time::Timestamp;

/// The most outcomes that one transaction writes; a longer slice takes several.
pub const OUTCOMES_PER_APPEND_MAX: usize = 512;

/// How one exchange ended. Every admitted exchange has exactly one.
///
/// Durations are whole microseconds since admission, measured on a clock that does not jump.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// The exchange; ids sort by the time of admission.
    pub exchange: ExchangeId,
    /// Who asked.
    pub user: UserId,
    /// With which key.
    pub key: KeyId,
    /// Which agent took the last attempt; `None` where nothing was dispatched.
    pub agent: Option<AgentId>,
    /// Which account took the last attempt; `None` where nothing was dispatched.
    pub account: Option<AccountId>,
    /// Whose API was asked; `None` where that was not known before the end.
    pub provider: Option<Provider>,
    /// The name of the route in the table of routes.
    pub route: String,
    /// The model that the request named; `None` where it named none, or none was found.
    pub model: Option<ModelName>,
    /// How often the exchange was dispatched.
    pub attempts: u32,
    /// The status that the user was sent; `None` where no head was sent.
    pub status: Option<u16>,
    /// How it ended.
    #[serde(serialize_with = "end_name")]
    pub end: EndReason,
    /// The code with which a stream was cut, where one was.
    #[serde(serialize_with = "abort_name")]
    pub abort: Option<AbortCode>,
    /// The request body's bytes that the hub took from the user.
    pub request_bytes: u64,
    /// The answer body's bytes that the hub gave to the user.
    pub response_bytes: u64,
    /// When it was admitted, in microseconds since 1970.
    pub admitted_at: Timestamp,
    /// From admission to the last dispatch, in microseconds.
    pub dispatched_after_us: Option<u64>,
    /// From admission to the answer's head, in microseconds.
    pub head_after_us: Option<u64>,
    /// From admission to the answer body's first byte, in microseconds.
    pub first_byte_after_us: Option<u64>,
    /// From admission to the end, in microseconds.
    pub ended_after_us: u64,
}

impl Outcome {
    /// What is known of an exchange when it is admitted. Until somebody says how it ended, it was
    /// the hub's own fault.
    #[must_use]
    pub const fn begun(
        exchange: ExchangeId,
        user: UserId,
        key: KeyId,
        admitted_at: Timestamp,
    ) -> Self {
        Self {
            exchange,
            user,
            key,
            agent: None,
            account: None,
            provider: None,
            route: String::new(),
            model: None,
            attempts: 0,
            status: None,
            end: EndReason::Internal,
            abort: None,
            request_bytes: 0,
            response_bytes: 0,
            admitted_at,
            dispatched_after_us: None,
            head_after_us: None,
            first_byte_after_us: None,
            ended_after_us: 0,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape that serde calls")]
fn end_name<S: Serializer>(end: &EndReason, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(end.name())
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape that serde calls")]
fn abort_name<S: Serializer>(abort: &Option<AbortCode>, serializer: S) -> Result<S::Ok, S::Error> {
    abort.map(AbortCode::name).serialize(serializer)
}

/// The outcomes.
#[async_trait]
pub trait Outcomes: fmt::Debug + Send + Sync {
    /// Keeps outcomes, [`OUTCOMES_PER_APPEND_MAX`] to a transaction, and returns how many were new.
    /// An exchange that already has one keeps the one it has, so that a batch of which it is not
    /// known whether it was kept can be given again.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; [`StoreError::Corrupt`] where a number has no stored form.
    async fn append(&self, outcomes: &[Outcome]) -> Result<u64, StoreError>;

    /// The outcome of an exchange.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Corrupt`].
    async fn find(&self, exchange: ExchangeId) -> Result<Option<Outcome>, StoreError>;

    /// The latest outcomes by the order of admission, latest first; only ones admitted before the
    /// exchange `before` where it is given.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Corrupt`].
    async fn recent(
        &self,
        size: PageSize,
        before: Option<ExchangeId>,
    ) -> Result<Vec<Outcome>, StoreError>;

    /// How many there are. Reads an index from end to end: not for a hot path.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Corrupt`].
    async fn count(&self) -> Result<u64, StoreError>;
}
