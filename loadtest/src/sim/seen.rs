//! What each side saw: the users, the provider, the store. The verdict compares them.

use super::plan::RequestPlan;
use async_trait::async_trait;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use weft_hub::lifecycle::Ended;
use weft_proto::codes::EndReason;
use weft_proto::ids::ExchangeId;
use weft_proto::provider::Provider;
use weft_proto::time::Timestamp;
use weft_store::{Outcome, Outcomes, PageSize, StoreError};

/// How an exchange ended for its user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UserEnd {
    /// It goes on.
    Running,
    /// The answer's body ended properly.
    Clean,
    /// The answer's body ended in an error.
    Cut,
    /// The user went away.
    Left,
    /// The hub dropped the user's connection: it crashed, or stopped by force.
    Torn,
}

/// One exchange, as its user saw it.
#[derive(Debug, Clone)]
pub(super) struct UserSaw {
    pub(super) plan: RequestPlan,
    /// The hub's life in which it began.
    pub(super) life: usize,
    /// What the hub called it; absent where it was not admitted, or nothing was answered.
    pub(super) exchange: Option<ExchangeId>,
    pub(super) status: Option<u16>,
    /// Whether the answer is the provider's and not the hub's own.
    pub(super) from_provider: bool,
    pub(super) body: Vec<u8>,
    /// Whether the last byte of its own body was taken.
    pub(super) sent_whole: bool,
    pub(super) end: UserEnd,
}

/// One exchange, as the provider saw it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ProviderSaw {
    /// Heads of requests.
    pub(super) heads: u32,
    /// Whole requests.
    pub(super) wholes: u32,
    /// Whole requests whose body was not the user's.
    pub(super) changed: u32,
    /// Whether it began an answer.
    pub(super) answered: bool,
    /// Bytes of the answer's body that it has given.
    pub(super) bytes_given: u64,
}

/// One life of the hub's process.
#[derive(Debug, Clone, Copy)]
pub(super) struct Life {
    began: Timestamp,
    pub(super) crashed: bool,
    pub(super) ended: Option<Ended>,
}

impl Life {
    pub(super) const fn begun(began: Timestamp) -> Self {
        Self { began, crashed: false, ended: None }
    }
}

/// Everything that was seen.
#[derive(Debug, Default)]
pub(super) struct Sights {
    pub(super) users: BTreeMap<usize, UserSaw>,
    pub(super) provider: BTreeMap<usize, ProviderSaw>,
    /// All rows that were new to the store, and the life in which their exchange was admitted: one
    /// that died is recorded by the next.
    pub(super) rows: Vec<(usize, Outcome)>,
    pub(super) lives: Vec<Life>,
    /// Providers that served a probe after the mending.
    pub(super) recovered: BTreeSet<Provider>,
    /// What the hub had written into its journal and lost with its power.
    pub(super) forgotten: Vec<Vec<u8>>,
    /// Power cuts, and how many of them took something from a disk.
    pub(super) power_cuts: u64,
    pub(super) torn: u64,
    /// What was found wrong while it happened.
    pub(super) wrong: Vec<String>,
}

impl Sights {
    /// Whether the hub died in whose life an exchange has its row.
    pub(super) fn died(&self, exchange: ExchangeId) -> bool {
        let mut rows = self.rows.iter();
        let life = rows.find(|(_, row)| row.exchange == exchange).map(|(life, _)| *life);
        life.and_then(|life| self.lives.get(life)).is_some_and(|life| life.crashed)
    }

    /// The life that ran at a moment.
    fn life_at(&self, at: Timestamp) -> usize {
        self.lives.iter().rposition(|life| life.began <= at).unwrap_or(0)
    }

    /// Whether something that the hub had written of an exchange was lost with its power: what it
    /// knows of it then is what its agent claims.
    pub(super) fn forgot(&self, exchange: ExchangeId) -> bool {
        let id = exchange.as_bytes();
        let mut lost = self.forgotten.iter();
        lost.any(|bytes| bytes.windows(id.len()).any(|window| window == id))
    }
}

/// The shared notebook.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen(Arc<Mutex<Sights>>);

impl Seen {
    /// The notebook, locked for a moment.
    pub(super) fn open(&self) -> MutexGuard<'_, Sights> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what is wrong already.
    pub(super) fn wrong(&self, what: String) {
        self.open().wrong.push(what);
    }
}

/// The outcomes of one life of the hub: writes down every row before it is kept.
#[derive(Debug)]
pub(super) struct CountedOutcomes {
    pub(super) kept: Arc<dyn Outcomes>,
    pub(super) seen: Seen,
}

#[async_trait]
impl Outcomes for CountedOutcomes {
    async fn append(&self, outcomes: &[Outcome]) -> Result<u64, StoreError> {
        for row in outcomes {
            let before = self.kept.find(row.exchange).await?;
            let mut seen = self.seen.open();
            match before {
                None => {
                    let life = seen.life_at(row.admitted_at);
                    seen.rows.push((life, row.clone()));
                }
                // What was written to the journal may be recorded again, and whose row is there
                // already may have died before it was settled.
                Some(before) if before == *row || row.end == EndReason::NodeLost => {}
                Some(before) => {
                    seen.wrong.push(format!("one exchange is recorded twice: {before:?}, {row:?}"));
                }
            }
        }
        self.kept.append(outcomes).await
    }

    async fn find(&self, exchange: ExchangeId) -> Result<Option<Outcome>, StoreError> {
        self.kept.find(exchange).await
    }

    async fn recent(
        &self,
        size: PageSize,
        before: Option<ExchangeId>,
    ) -> Result<Vec<Outcome>, StoreError> {
        self.kept.recent(size, before).await
    }

    async fn count(&self) -> Result<u64, StoreError> {
        self.kept.count().await
    }
}
