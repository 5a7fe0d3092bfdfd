//! Objects at a provider, and whose they are: ids, kinds, sizes and times; never a name, never what
//! is in them.
//!
//! An object lives at a [`Home`]. There it belongs to one user for as long as its row lives; nobody
//! else can be given it.

use crate::{PageSize, StoreError};
use async_trait::async_trait;
use serde::Serialize;
use std::fmt;
use weft_proto::ids::{AccountId, OwnerId, UserId};
use weft_proto::objects::{ObjectId, ObjectKind};
use weft_proto::provider::Provider;
use weft_proto::time::Timestamp;

/// The most objects that one transaction writes, and the most ids that one statement looks for; more
/// of them take several.
pub const OBJECTS_PER_STATEMENT_MAX: usize = 256;

/// Where an object lives: under an account, and the owner whose account it is. An account is named
/// by its agent, so that its id alone proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Home {
    /// The account.
    pub account: AccountId,
    /// Whose account it is.
    pub owner: OwnerId,
}

/// One object at a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Where it lives.
    pub home: Home,
    /// The provider's own id of it; case counts.
    pub id: ObjectId,
    /// What it is.
    pub kind: ObjectKind,
    /// Whose API made it.
    pub provider: Provider,
    /// Whose it is.
    pub user: UserId,
    /// The object of the same home that it is part of, and goes with.
    pub parent: Option<ObjectId>,
    /// Its size in bytes, where the provider has said so.
    pub bytes: Option<u64>,
    /// When its id was seen first, in microseconds since 1970.
    pub made_at: Timestamp,
}

/// The order of a list of objects: by the time at which they were made, then by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectOrder {
    /// The latest first.
    NewestFirst,
    /// The earliest first.
    OldestFirst,
}

/// Which of a user's objects a list has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectsWanted {
    /// Whose.
    pub user: UserId,
    /// At which provider.
    pub provider: Provider,
    /// Of which kind. Those that are part of another object are never listed.
    pub kind: ObjectKind,
    /// In which order.
    pub order: ObjectOrder,
    /// Only what follows this one in that order.
    pub after: Option<ObjectId>,
    /// How many at most.
    pub size: PageSize,
}

/// One page of a user's objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectsListed {
    /// The objects, in the order that was asked for.
    pub objects: Vec<Object>,
    /// Whether more follow.
    pub more: bool,
}

/// The objects.
#[async_trait]
pub trait Objects: fmt::Debug + Send + Sync {
    /// Keeps objects, [`OBJECTS_PER_STATEMENT_MAX`] to a transaction. An id that is there already
    /// at its home keeps the row that it has; where that is the same user's, a size that was not
    /// known is filled in, and so is a parent where the row was made at the same moment. Returns how
    /// many of the given ones are there as **another** user's: those stay whose they are.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; [`StoreError::Corrupt`] where a number has no stored form.
    async fn record(&self, objects: &[Object]) -> Result<usize, StoreError>;

    /// The user's objects of these ids at a provider, the one made first before others of the same
    /// id. What is not there is left out, and so is what is somebody else's: nothing tells the two
    /// apart.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Corrupt`].
    async fn find(
        &self,
        user: UserId,
        provider: Provider,
        ids: &[ObjectId],
    ) -> Result<Vec<Object>, StoreError>;

    /// One page of a user's objects.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where `after` is none of the user's own of that kind.
    async fn list(&self, wanted: &ObjectsWanted) -> Result<ObjectsListed, StoreError>;

    /// The home of the user's latest object at a provider, items not counted.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Corrupt`].
    async fn home(&self, user: UserId, provider: Provider) -> Result<Option<Home>, StoreError>;

    /// Forgets the user's object and what is part of it, and says how many rows that were. Nobody
    /// else's rows are touched.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn remove(&self, user: UserId, home: Home, id: &ObjectId) -> Result<u64, StoreError>;

    /// Forgets objects of `kinds` made before `before`, at most [`OBJECTS_PER_STATEMENT_MAX`] of
    /// each kind, and what is part of them. Says how many rows that were: zero where none is left.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn purge(&self, kinds: &[ObjectKind], before: Timestamp) -> Result<u64, StoreError>;
}
