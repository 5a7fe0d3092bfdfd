//! The store in the process: for tests and simulations, where nothing must outlive the process.
//!
//! One lock around all tables makes each call a transaction. The lock is never held across an
//! `.await`; calls complete at their first poll, and the same calls give the same answers in the
//! same order. Nothing here is bounded but by what is put in: it is no store for production.

mod agents;
mod invites;
mod keys;
mod objects;
mod outcomes;
mod owners;
mod users;

use crate::{
    Agent, Agents, Home, Invite, Invites, Key, KeyHash, Keys, Name, Object, Objects, Outcome,
    Outcomes, Owner, Owners, Page, SpkiHash, Store, StoreError, TokenHash, User, Users,
};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use weft_proto::ids::{AgentId, ExchangeId, InviteId, KeyId, OwnerId, UserId};
use weft_proto::objects::ObjectId;

/// A [`Store`] that forgets everything when it is dropped.
#[derive(Debug, Default)]
pub struct MemoryStore(Arc<Memory>);

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

/// The tables, `None` once the store is closed.
#[derive(Debug)]
struct Memory(Mutex<Option<Tables>>);

impl Default for Memory {
    fn default() -> Self {
        Self(Mutex::new(Some(Tables::default())))
    }
}

/// Rows by id, and an index for each thing that must be unique.
#[derive(Debug, Default)]
struct Tables {
    users: BTreeMap<UserId, User>,
    users_by_name: BTreeMap<Name, UserId>,
    keys: BTreeMap<KeyId, Key>,
    keys_by_hash: BTreeMap<KeyHash, KeyId>,
    owners: BTreeMap<OwnerId, Owner>,
    owners_by_name: BTreeMap<Name, OwnerId>,
    invites: BTreeMap<InviteId, Invite>,
    invites_by_token: BTreeMap<TokenHash, InviteId>,
    agents: BTreeMap<AgentId, Agent>,
    agents_by_spki: BTreeMap<SpkiHash, AgentId>,
    outcomes: BTreeMap<ExchangeId, Outcome>,
    objects: BTreeMap<(Home, ObjectId), Object>,
}

/// The store was closed.
#[derive(Debug, thiserror::Error)]
#[error("the store is closed")]
struct Closed;

impl Memory {
    /// Runs `work` on the tables, alone.
    fn with<T>(
        &self,
        work: impl FnOnce(&mut Tables) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match self.lock().as_mut() {
            Some(tables) => work(tables),
            None => Err(StoreError::unavailable(Closed)),
        }
    }

    /// A panic under the lock can only come from an allocation that failed; the tables are whole.
    fn lock(&self) -> MutexGuard<'_, Option<Tables>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One page of `rows`.
fn page<Id: Ord, Row: Clone>(rows: &BTreeMap<Id, Row>, page: Page<Id>) -> Vec<Row> {
    let size = page.size.as_usize();
    let start = page.after.map_or(Bound::Unbounded, Bound::Excluded);
    rows.range((start, Bound::Unbounded)).take(size).map(|(_, row)| row.clone()).collect()
}

#[async_trait]
impl Store for MemoryStore {
    fn users(&self) -> Arc<dyn Users> {
        Arc::<Memory>::clone(&self.0)
    }

    fn keys(&self) -> Arc<dyn Keys> {
        Arc::<Memory>::clone(&self.0)
    }

    fn owners(&self) -> Arc<dyn Owners> {
        Arc::<Memory>::clone(&self.0)
    }

    fn invites(&self) -> Arc<dyn Invites> {
        Arc::<Memory>::clone(&self.0)
    }

    fn agents(&self) -> Arc<dyn Agents> {
        Arc::<Memory>::clone(&self.0)
    }

    fn outcomes(&self) -> Arc<dyn Outcomes> {
        Arc::<Memory>::clone(&self.0)
    }

    fn objects(&self) -> Arc<dyn Objects> {
        Arc::<Memory>::clone(&self.0)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.0.with(|_| Ok(()))
    }

    async fn close(&self) {
        *self.0.lock() = None;
    }
}
