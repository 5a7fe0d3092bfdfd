//! The store in the process: for tests and simulations, where nothing must outlive the process.
//!
//! One lock around all tables makes each call a transaction. The lock is never held across an
//! `.await`; calls complete at their first poll, and the same calls give the same answers in the
//! same order. Nothing here is bounded but by what is put in: it is no store for production.

mod agents;
mod codes;
mod invites;
mod keys;
mod ledger;
mod objects;
mod outcomes;
mod owners;
mod payouts;
mod pending_bills;
mod price_books;
mod receipts;
mod terms;
mod users;

use crate::store::repositories;
use crate::{
    Activation, Agent, Code, Home, Invite, KeptBook, Key, KeyHash, Name, Object, Outcome, Owner,
    Page, Payout, SpkiHash, Store, StoreError, Subject, TokenHash, User,
};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use weft_proto::ids::{AgentId, ExchangeId, InviteId, KeyId, OwnerId, UserId};
use weft_proto::objects::ObjectId;
use weft_proto::prices::BookHash;

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
    ledger: ledger::Books,
    terms: terms::TermsTables,
    codes: BTreeMap<TokenHash, Code>,
    payouts: BTreeMap<Subject, Payout>,
    price_books: BTreeMap<BookHash, KeptBook>,
    activations: Vec<Activation>,
    receipts: receipts::ReceiptTables,
    pending_bills: pending_bills::PendingTables,
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
    repositories!(Memory);

    async fn ping(&self) -> Result<(), StoreError> {
        self.0.with(|_| Ok(()))
    }

    async fn close(&self) {
        *self.0.lock() = None;
    }
}
