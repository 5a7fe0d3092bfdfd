//! The ledger of this node: admission against balances, and settlements on their way to the store.
//!
//! ```text
//!  hold ─▶ lease in memory ─▶ ticket journal ─▶ dispatch … end ─▶ settle ─▶ journal ─▶ store
//!            └ asks the store for more when it runs low, gives back what is idle
//! ```
//! The hot path waits for no disk: a hold is taken from what the node has leased, and a ticket is
//! written to a local file, which is synced in the background. Only where the lease has no room is
//! the store asked, once for all that wait.
//!
//! # Invariants
//! - What exchanges hold of a balance is never more than what was leased of it, and leases are set
//!   aside in the store: nobody is admitted beyond a balance.
//! - An exchange that was dispatched has a ticket in the journal, and a settlement is in the journal
//!   before it is in the store. A process that dies leaves orphans ([`Orphan`]), whose holds stay
//!   until a claim or the end of the claim window; of what it settled in its last milliseconds the
//!   ticket is left, and what its agent claims.
//! - An exchange that was dispatched has one outcome, whatever becomes of the process: its row is
//!   written with its settlement, from the journal where the process died, and from its ticket where
//!   nothing else is left.
//! - A place in the settler's queue is taken with the hold: an end can always be settled, at once.
//! - Settlements, transfers and leases may be repeated: nothing is doubled by a retry or a replay.
//!
//! Nothing here prices anything, decides what is charged, or talks to agents.

pub mod claims;
mod hold;
mod node;
mod orphans;
mod owed;
mod purse;
mod purses;
mod recent;
mod settler;
mod spending;
mod tickets;
mod upkeep;

pub use hold::{Hold, UserLeg};
pub use node::NODE_FILE;
pub use orphans::Orphan;
pub(crate) use owed::is_nothing;
pub(crate) use settler::record;
pub use spending::{SpendAlert, Window};
pub use tickets::{OpenTicket, TICKET_TERMS_BYTES_MAX, TicketAudit, TicketFinding, TicketsError};

use crate::config::LiveMoney;
use crate::ledger_key::LedgerKey;
use crate::lifecycle::{Stage, Tasks};
use crate::places::Places;
use crate::telemetry::Metrics;
use orphans::Orphans;
use purses::Purses;
use recent::Recent;
use settler::Settling;
use spending::Spending;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tickets::Tickets;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use upkeep::Upkeep;
use weft_proto::entropy::Entropy;
use weft_proto::ids::{ExchangeId, KeyId, NodeId, UserId};
use weft_proto::money::NanoUsd;
use weft_proto::time::{Clock, Timestamp};
use weft_store::{Agreed, Outcomes, SpendLimits, StoreError};

/// Alerts of spend limits that may wait to be delivered; more are dropped, and counted.
const ALERTS_WAITING_MAX: usize = 1_024;

/// What the ledger of a node is made of.
#[derive(Debug, Clone)]
pub struct Needs {
    /// The hub's ledger.
    pub store: Arc<dyn weft_store::Ledger>,
    /// Where the rows of exchanges go.
    pub outcomes: Arc<dyn Outcomes>,
    /// A folder of this node's own, made where there is none.
    pub dir: PathBuf,
    /// Signs what the journal of tickets holds.
    pub key: LedgerKey,
    /// How the hub charges.
    pub money: LiveMoney,
    /// Wall-clock time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub entropy: Arc<dyn Entropy>,
    /// Where figures go.
    pub metrics: Metrics,
    /// Settlements that may wait for the store, those of running exchanges counted.
    pub places: usize,
    /// Whether the journal is synced to the disk, on a thread beside the others. Off in a
    /// simulation, whose machine has one thread and a power of its own.
    pub durable: bool,
}

/// Who pays for an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Payer {
    /// The user.
    pub user: UserId,
    /// The key that it used.
    pub key: KeyId,
    /// The most that this key may spend.
    pub limits: SpendLimits,
}

/// Why nothing is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HoldRefused {
    /// The credit is not enough, whatever else ends.
    #[error("the credit is not enough")]
    Insufficient {
        /// What there is, what running exchanges hold included.
        available: NanoUsd,
    },
    /// The credit would be enough, but running exchanges hold it.
    #[error("running requests hold the credit")]
    InFlight {
        /// When to try again.
        retry_after: Duration,
    },
    /// The credit would be enough, but exchanges hold it that ran when a process of this node died,
    /// and nothing else does.
    #[error("requests that a crash left hold the credit")]
    LeftBehind {
        /// When it is known at the latest what the first of them came to.
        decided_within: Duration,
    },
    /// The key has reached its limit.
    #[error("the key has reached its spend limit")]
    SpendLimit {
        /// Of which window.
        window: Window,
        /// When the window ends.
        resets_at: Timestamp,
    },
    /// Too many settlements wait for the store.
    #[error("too many settlements wait")]
    Busy,
    /// The store does not answer, and what is leased has no room.
    #[error("the ledger is not available")]
    Unavailable,
}

/// Why the ledger of the node cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder, or a file in it.
    #[error("the ledger's folder cannot be used")]
    Folder(#[source] std::io::Error),
    /// The journal of tickets.
    #[error("the journal of tickets cannot be used")]
    Tickets(#[source] TicketsError),
    /// The store.
    #[error("the ledger cannot be read")]
    Store(#[source] StoreError),
}

/// The ledger of this node. Cheap to clone; every clone means the same.
#[derive(Debug, Clone)]
pub struct Ledger(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    node: NodeId,
    store: Arc<dyn weft_store::Ledger>,
    money: LiveMoney,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    purses: Arc<Purses>,
    tickets: Arc<Tickets>,
    spending: Arc<Spending>,
    orphans: Arc<Orphans>,
    recent: Arc<Recent>,
    settler: Places<Settling>,
    alerts: Mutex<Option<mpsc::Receiver<SpendAlert>>>,
}

/// The tasks of the ledger, which do not run yet.
#[must_use]
#[derive(Debug)]
pub struct Keeper {
    writer: settler::SettlementWriter,
    upkeep: Upkeep,
    purses: Arc<Purses>,
    tickets: Arc<Tickets>,
}

impl Ledger {
    /// Opens the ledger of this node: reads what the process before left, posts what it had
    /// settled, and takes over what its unsettled exchanges hold.
    ///
    /// # Errors
    /// [`OpenError`].
    ///
    /// # Cancel safety
    /// A dropped call can be made again.
    pub async fn open(needs: Needs) -> Result<(Self, Keeper), OpenError> {
        let Needs { store, outcomes, dir, key, money, clock, entropy, metrics, places, durable } =
            needs;
        let node = node::open(&dir, &*clock, &*entropy).map_err(OpenError::Folder)?;
        let signer = tickets::Signer { node, key, clock: Arc::clone(&clock) };
        let opened = Tickets::open(&dir, signer, durable);
        let (tickets, left) = opened.map_err(OpenError::Tickets)?;
        for TicketFinding { name, detail } in &left.found {
            metrics.ledger_breach(name);
            tracing::error!(
                finding = name,
                detail,
                "the journal of tickets is not what was signed; what can be read of it counts"
            );
        }
        let tickets = Arc::new(tickets);
        let (alerts, alerted) = mpsc::channel(ALERTS_WAITING_MAX);
        let purses = Arc::new(Purses::new(purses::Needs {
            node,
            store: Arc::clone(&store),
            money: money.clone(),
            clock: Arc::clone(&clock),
            entropy,
        }));
        settler::replay(&*store, &*outcomes, &tickets, &left.ended, left.unposted)
            .await
            .map_err(OpenError::Store)?;
        let lost: Vec<_> = left.open.iter().map(Orphan::outcome).collect();
        outcomes.append(&lost).await.map_err(OpenError::Store)?;
        let orphans = Arc::new(Orphans::new(left.open));
        purses.inherit(&orphans).await.map_err(OpenError::Store)?;
        let spending = Arc::new(Spending::new(spending::Needs {
            store: Arc::clone(&store),
            orphans: Arc::clone(&orphans),
            clock: Arc::clone(&clock),
            alerts,
            metrics: metrics.clone(),
        }));
        let recent = Arc::new(Recent::default());
        let (settler, writer) = settler::settler(settler::Needs {
            store: Arc::clone(&store),
            outcomes,
            tickets: Arc::clone(&tickets),
            purses: Arc::clone(&purses),
            recent: Arc::clone(&recent),
            metrics: metrics.clone(),
            places,
        });
        let ledger = Self(Arc::new(Shared {
            node,
            store,
            money,
            clock,
            metrics,
            purses: Arc::clone(&purses),
            tickets: Arc::clone(&tickets),
            spending,
            orphans,
            recent,
            settler,
            alerts: Mutex::new(Some(alerted)),
        }));
        let upkeep = Upkeep::new(ledger.clone());
        Ok((ledger, Keeper { writer, upkeep, purses, tickets }))
    }

    /// The node whose ledger it is; the same over restarts.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.0.node
    }

    /// Holds `amount` of the payer's credit for an exchange.
    ///
    /// # Errors
    /// [`HoldRefused`]; nothing is held then.
    ///
    /// # Cancel safety
    /// A dropped call holds nothing.
    pub async fn hold(
        &self,
        payer: &Payer,
        exchange: ExchangeId,
        amount: NanoUsd,
    ) -> Result<Hold, HoldRefused> {
        let mut held = self.try_hold(payer, exchange, amount).await;
        if let Err(HoldRefused::InFlight { .. }) = held
            && let Some(decided_within) = self.left_behind(payer.user).await
        {
            held = Err(HoldRefused::LeftBehind { decided_within });
        }
        if let Err(refused) = &held {
            self.0.metrics.hold_refused(cause(refused));
        }
        held
    }

    async fn try_hold(
        &self,
        payer: &Payer,
        exchange: ExchangeId,
        amount: NanoUsd,
    ) -> Result<Hold, HoldRefused> {
        // Nothing can be held of nothing: even a free answer is admitted against some credit.
        let amount = amount.max(NanoUsd::new(1));
        let place = self.0.settler.reserve().ok_or(HoldRefused::Busy)?;
        let spend = self.0.spending.hold(payer, amount).await?;
        let taken = self.0.purses.hold(payer.user, amount).await?;
        Ok(Hold::new(self.clone(), *payer, exchange, taken, spend, place))
    }

    /// What an exchange was settled for, once the store has it.
    ///
    /// # Errors
    /// [`StoreError`].
    ///
    /// # Cancel safety
    /// Cancel safe: it only reads.
    pub async fn settled(&self, exchange: ExchangeId) -> Result<Option<Agreed>, StoreError> {
        self.0.store.settlement(exchange).await
    }

    /// The record of an exchange that this node has just settled, once.
    fn just_settled(&self, exchange: ExchangeId) -> Option<claims::Record> {
        self.0.recent.take(exchange)
    }

    /// What exchanges of the process before hold that were dispatched and never settled.
    #[must_use]
    pub fn orphans(&self) -> Vec<Orphan> {
        self.0.orphans.all()
    }

    /// The same, of one exchange.
    #[must_use]
    pub fn orphan(&self, exchange: ExchangeId) -> Option<Orphan> {
        self.0.orphans.find(exchange)
    }

    /// The alerts of spend limits, for whoever delivers them; once.
    #[must_use]
    pub fn alerts(&self) -> Option<mpsc::Receiver<SpendAlert>> {
        self.0.alerts.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Keeper {
    /// Runs the tasks until the hub stops. The journal and the settler are critical: without them
    /// nothing may be dispatched.
    pub fn start(self, tasks: &Tasks) {
        let Self { mut writer, upkeep, purses, tickets } = self;
        let keeps_the_queue_open = upkeep.ledger().clone();
        let upkeep = upkeep.run(tasks.stopping(Stage::Carriers));
        tasks.spawn(Stage::Carriers, "ledger upkeep", upkeep);

        // The journal is synced until the settler has written its last into it.
        let settled = CancellationToken::new();
        let sync = Arc::clone(&tickets).keep_synced(settled.clone());
        tasks.spawn_critical(Stage::Records, "ticket journal", sync);
        let stopping = tasks.stopping(Stage::Records);
        tasks.spawn_critical(Stage::Records, "settlement writer", async move {
            let _ends_the_journal = settled.drop_guard();
            writer.run(stopping).await;
            purses.close().await;
            drop(keeps_the_queue_open);
            Ok::<_, std::convert::Infallible>(())
        });
    }
}

/// The label of a refusal.
const fn cause(refused: &HoldRefused) -> &'static str {
    match refused {
        HoldRefused::Insufficient { .. } => "insufficient",
        HoldRefused::InFlight { .. } => "in_flight",
        HoldRefused::LeftBehind { .. } => "left_behind",
        HoldRefused::SpendLimit { .. } => "spend_limit",
        HoldRefused::Busy => "busy",
        HoldRefused::Unavailable => "unavailable",
    }
}

#[cfg(test)]
mod tests;
