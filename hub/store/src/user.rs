//! Users: who consumes.

use crate::{Name, Page, StoreError};
use async_trait::async_trait;
use serde::Serialize;
use std::fmt;
use weft_proto::ids::{OwnerId, UserId};
use weft_proto::time::Timestamp;

/// Who consumes, and later pays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct User {
    /// Its id.
    pub id: UserId,
    /// Its name; no two users share one.
    pub name: Name,
    /// The owner whose house it belongs to, where it belongs to one: accounts for own use, and for
    /// the organisation's, serve nobody else.
    pub owner: Option<OwnerId>,
    /// The price zone; `None` for [`crate::ZONE_STANDARD`].
    pub zone: Option<Name>,
    /// When it was made, in microseconds since 1970.
    pub created_at: Timestamp,
    /// Whether none of its keys may be used.
    pub disabled: bool,
}

/// The users.
#[async_trait]
pub trait Users: fmt::Debug + Send + Sync {
    /// Keeps a new user.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where the name is taken, [`StoreError::NotFound`] for an owner or a
    /// zone that does not exist, [`StoreError::SelfDealing`].
    async fn create(&self, user: &User) -> Result<(), StoreError>;

    /// One page of all users.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Corrupt`].
    async fn list(&self, page: Page<UserId>) -> Result<Vec<User>, StoreError>;

    /// The user with this name.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Corrupt`].
    async fn find_by_name(&self, name: &Name) -> Result<Option<User>, StoreError>;

    /// The user with this id.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Corrupt`].
    async fn find(&self, id: UserId) -> Result<Option<User>, StoreError>;

    /// Disables or enables a user, and returns it as it stands then.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where there is no such user.
    async fn set_disabled(&self, id: UserId, disabled: bool) -> Result<User, StoreError>;
}
