//! Whose an object at a provider is: the verdict on what a request names, and the record of what an
//! answer has made known.
//!
//! Files, stored responses, conversations and containers live under the account of a key's owner,
//! where every user of that account could reach them. Here they belong to the user who made them,
//! whichever key that user holds.
//!
//! # Invariants
//! - An object of somebody else and one that does not exist are the same to a caller: one query finds
//!   neither.
//! - An object is named together with its account and the owner of that account: nobody who announces
//!   an account of the same name can speak for it.
//! - Whose an object is never changes while its row lives.
//!
//! It never sees a body, never chooses an account, and knows no object's name or content.

mod retention;

pub use retention::{FORGET_EVERY, FORGOTTEN_AFTER, FORGOTTEN_KINDS};

use crate::telemetry::Metrics;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use weft_proto::ids::UserId;
use weft_proto::objects::{Found, ObjectId, Reference};
use weft_proto::provider::Provider;
use weft_proto::time::{Clock, Timestamp};
use weft_store::{Home, Object, ObjectsListed, ObjectsWanted, StoreError};

/// How long one call of the store may take: an answer or an upload waits for it.
const STORE_WAIT_MAX: Duration = Duration::from_secs(10);

/// Writes that are given to the store at once. It refuses what is more than it lets wait, from
/// everybody together; an answer can wait for its turn here instead of being cut.
const WRITES_AT_ONCE_MAX: usize = 256;

/// Whose objects are meant, at which provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Whose {
    /// The user.
    pub user: UserId,
    /// The provider.
    pub provider: Provider,
}

/// Why objects cannot be used as a request asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// One is not there, or not the caller's.
    #[error("an object does not exist, or is not the caller's")]
    NotFound,
    /// They live under different accounts.
    #[error("the objects live under different accounts")]
    Apart,
    /// The store could not be asked.
    #[error("objects cannot be looked up at the moment")]
    Unavailable,
}

/// What an answer has made known could not be recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("objects cannot be recorded at the moment")]
pub struct Unrecorded;

/// The room that knows whose objects are. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Objects(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    rows: Arc<dyn weft_store::Objects>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    /// One permit for each write at the store.
    turns: Semaphore,
}

impl Objects {
    /// A room over the rows of a store.
    #[must_use]
    pub fn new(
        rows: Arc<dyn weft_store::Objects>,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
    ) -> Self {
        let turns = Semaphore::new(WRITES_AT_ONCE_MAX);
        Self(Arc::new(Inner { rows, clock, metrics, turns }))
    }

    /// The one home at which all of `references` are the caller's own; `None` where there are none.
    ///
    /// # Errors
    /// [`Unusable`].
    ///
    /// # Cancel safety
    /// Cancel safe: it only reads.
    pub async fn home_of(
        &self,
        whose: Whose,
        references: &[Reference],
    ) -> Result<Option<Home>, Unusable> {
        if references.is_empty() {
            return Ok(None);
        }
        let homes = self.homes(whose, references).await?;
        let shared = homes.first().and_then(|first| {
            first.iter().find(|home| homes.iter().all(|others| others.contains(home)))
        });
        self.judged(shared.copied().map(Some).ok_or(Unusable::Apart))
    }

    /// Whether all of `references` are the caller's own and live at `home`.
    ///
    /// # Errors
    /// [`Unusable`].
    ///
    /// # Cancel safety
    /// Cancel safe: it only reads.
    pub async fn live_at(
        &self,
        whose: Whose,
        home: Home,
        references: &[Reference],
    ) -> Result<(), Unusable> {
        let homes = self.homes(whose, references).await?;
        let here = homes.iter().all(|homes| homes.contains(&home));
        self.judged(if here { Ok(()) } else { Err(Unusable::Apart) })
    }

    /// What the caller's own object is part of, if it is part of anything.
    ///
    /// # Errors
    /// [`Unusable::Unavailable`].
    ///
    /// # Cancel safety
    /// Cancel safe: it only reads.
    pub async fn part_of(&self, whose: Whose, id: &ObjectId) -> Result<Option<ObjectId>, Unusable> {
        let ids = std::slice::from_ref(id);
        let found = in_time(self.0.rows.find(whose.user, whose.provider, ids)).await;
        let found = found.map_err(|error| unavailable(&error))?;
        Ok(found.into_iter().find_map(|object| object.parent))
    }

    /// Where the caller's latest object lives, if there is one.
    ///
    /// # Errors
    /// [`Unusable::Unavailable`].
    ///
    /// # Cancel safety
    /// Cancel safe: it only reads.
    pub async fn latest_home(&self, whose: Whose) -> Result<Option<Home>, Unusable> {
        let asked = in_time(self.0.rows.home(whose.user, whose.provider)).await;
        asked.map_err(|error| unavailable(&error))
    }

    /// Keeps what an answer has made known, seen first at `at`, as the caller's own at `home`. Says
    /// how many of them are somebody else's already, and stay theirs.
    ///
    /// # Errors
    /// [`Unrecorded`]: the caller must not get to know the ids.
    ///
    /// # Cancel safety
    /// What was begun is carried through although the call is dropped; a call that still waits for
    /// its turn has begun nothing.
    pub async fn record(
        &self,
        whose: Whose,
        home: Home,
        found: Vec<Found>,
        at: Timestamp,
    ) -> Result<usize, Unrecorded> {
        let rows: Vec<_> = found
            .into_iter()
            .map(|Found { kind, id, parent, bytes }| Object {
                home,
                id,
                kind,
                provider: whose.provider,
                user: whose.user,
                parent,
                bytes,
                made_at: at,
            })
            .collect();
        let kept = self.in_turn(self.0.rows.record(&rows)).await;
        let foreign = kept.map_err(|error| {
            tracing::error!(%error, objects = rows.len(), "objects cannot be recorded");
            Unrecorded
        })?;
        self.0.metrics.objects_recorded(rows.len() - foreign);
        Ok(foreign)
    }

    /// The provider has deleted the caller's object at `home`: forgets it, and what was part of it.
    ///
    /// # Errors
    /// [`Unusable::Unavailable`].
    ///
    /// # Cancel safety
    /// What was begun is carried through although the call is dropped; a call that still waits for
    /// its turn has begun nothing.
    pub async fn deleted(&self, whose: Whose, home: Home, id: &ObjectId) -> Result<(), Unusable> {
        let removed = self.in_turn(self.0.rows.remove(whose.user, home, id)).await;
        removed.map(drop).map_err(|error| unavailable(&error))
    }

    /// One page of a user's own objects.
    ///
    /// # Errors
    /// [`Unusable::NotFound`] where the page should begin after what is none of them.
    ///
    /// # Cancel safety
    /// Cancel safe: it only reads.
    pub async fn list(&self, wanted: &ObjectsWanted) -> Result<ObjectsListed, Unusable> {
        match in_time(self.0.rows.list(wanted)).await {
            Ok(listed) => Ok(listed),
            Err(StoreError::NotFound { .. }) => self.judged(Err(Unusable::NotFound)),
            Err(error) => Err(unavailable(&error)),
        }
    }

    /// A write of the store, when it is its turn.
    async fn in_turn<T>(
        &self,
        write: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        in_time(async {
            let turn = self.0.turns.acquire().await;
            let _held_to_the_end =
                turn.map_err(|closed| StoreError::Unavailable(Box::new(closed)))?;
            write.await
        })
        .await
    }

    /// The homes of each reference; none of the lists is empty.
    async fn homes(
        &self,
        whose: Whose,
        references: &[Reference],
    ) -> Result<Vec<Vec<Home>>, Unusable> {
        let ids: Vec<_> = references.iter().map(|reference| reference.id.clone()).collect();
        let found = in_time(self.0.rows.find(whose.user, whose.provider, &ids)).await;
        let found = found.map_err(|error| unavailable(&error))?;
        let mut by_id: BTreeMap<&ObjectId, Vec<&Object>> = BTreeMap::new();
        for object in &found {
            by_id.entry(&object.id).or_default().push(object);
        }
        let homes = references.iter().map(|reference| {
            let objects = by_id.get(&reference.id).into_iter().flatten();
            let homes: Vec<_> = objects
                .filter(|object| reference.kind.is_none_or(|kind| kind == object.kind))
                .map(|object| object.home)
                .collect();
            if homes.is_empty() { Err(Unusable::NotFound) } else { Ok(homes) }
        });
        let homes: Result<Vec<_>, _> = homes.collect();
        if homes.is_err() { self.judged(homes) } else { homes }
    }

    /// Counts a verdict.
    fn judged<T>(&self, verdict: Result<T, Unusable>) -> Result<T, Unusable> {
        self.0.metrics.objects_looked_up(match &verdict {
            Ok(_) => "own",
            Err(Unusable::NotFound) => "not_found",
            Err(Unusable::Apart) => "apart",
            Err(Unusable::Unavailable) => "unavailable",
        });
        verdict
    }
}

/// A call of the store that does not answer is one that fails.
async fn in_time<T>(call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    match tokio::time::timeout(STORE_WAIT_MAX, call).await {
        Ok(answer) => answer,
        Err(late) => Err(StoreError::Unavailable(Box::new(late))),
    }
}

fn unavailable(error: &StoreError) -> Unusable {
    tracing::error!(%error, "objects cannot be looked up");
    Unusable::Unavailable
}

#[cfg(test)]
mod tests;
