//! Owners: who runs agents.

use crate::{Name, Page, StoreError};
use async_trait::async_trait;
use serde::Serialize;
use std::fmt;
use weft_proto::ids::OwnerId;
use weft_proto::money::Ratio;
use weft_proto::time::Timestamp;

/// Who runs agents, and later earns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Owner {
    /// Its id.
    pub id: OwnerId,
    /// Its name; no two owners share one.
    pub name: Name,
    /// When it was made, in microseconds since 1970.
    pub created_at: Timestamp,
    /// What its accounts earn of list prices, where they have no tier of their own.
    pub tier: Ratio,
}

/// The owners.
#[async_trait]
pub trait Owners: fmt::Debug + Send + Sync {
    /// The owner with the name of `candidate`; `candidate` itself is kept where there is none.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where another owner has the candidate's id.
    async fn find_or_create(&self, candidate: &Owner) -> Result<Owner, StoreError>;

    /// The owner with this name.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Corrupt`].
    async fn find_by_name(&self, name: &Name) -> Result<Option<Owner>, StoreError>;

    /// The owner with this id.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Corrupt`].
    async fn find(&self, id: OwnerId) -> Result<Option<Owner>, StoreError>;

    /// One page of all owners.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Corrupt`].
    async fn list(&self, page: Page<OwnerId>) -> Result<Vec<Owner>, StoreError>;
}
