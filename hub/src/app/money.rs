//! The rooms of money of one node, opened in their order: prices, tickets, ledger, and the till over
//! them. Where the hub does not charge, all but the till is there all the same: balances, prices and
//! claims of before are still served.

use super::BindError;
use crate::config::LiveMoney;
use crate::exchange::till::{Till, TillNeeds};
use crate::ledger::claims::TicketSealer;
use crate::ledger::{self, Keeper, Ledger};
use crate::lifecycle::{Stage, Tasks};
use crate::pricing::{LedgerKey, Pricing};
use crate::telemetry::Metrics;
use crate::terms::Terms;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use weft_proto::entropy::Entropy;
use weft_proto::meter;
use weft_proto::time::Clock;
use weft_store::Store;

/// The folder of the ledger inside the data directory: the node's id, and its journal of tickets.
pub const LEDGER_DIR: &str = "ledger";

/// How often prices are looked for that another node has put in force.
const REFRESH_EVERY: Duration = Duration::from_secs(30);

/// What the rooms of money are opened with.
pub(super) struct Parts<'a> {
    pub(super) store: &'a dyn Store,
    pub(super) data: &'a Path,
    pub(super) terms: &'a Terms,
    pub(super) money: &'a LiveMoney,
    pub(super) metrics: &'a Metrics,
    pub(super) clock: &'a Arc<dyn Clock>,
    pub(super) entropy: &'a Arc<dyn Entropy>,
    /// Settlements that may wait for the store.
    pub(super) places: usize,
}

/// The rooms of money of one node.
pub(super) struct MoneyRooms {
    pub(super) pricing: Pricing,
    pub(super) ledger: Ledger,
    pub(super) tickets: TicketSealer,
    pub(super) till: Option<Till>,
    pub(super) keeper: Keeper,
}

impl MoneyRooms {
    /// Opens them.
    ///
    /// # Errors
    /// [`BindError`] of the one that cannot be opened.
    pub(super) async fn open(parts: Parts<'_>) -> Result<Self, BindError> {
        let Parts { store, data, terms, money, metrics, clock, entropy, places } = parts;
        let key = LedgerKey::open(data, &**entropy)?;
        let pricing = Pricing::open(store.price_books(), key, Arc::clone(clock)).await?;
        let tickets = TicketSealer::open(data, &**entropy)?;
        let (ledger, keeper) = Ledger::open(ledger::Needs {
            store: store.ledger(),
            dir: data.join(LEDGER_DIR),
            money: money.clone(),
            clock: Arc::clone(clock),
            entropy: Arc::clone(entropy),
            metrics: metrics.clone(),
            places,
            durable: true,
        })
        .await?;
        let till = money.now().charging.then(|| {
            Till::new(TillNeeds {
                ledger: ledger.clone(),
                pricing: pricing.clone(),
                terms: terms.clone(),
                pending: store.pending_bills(),
                tickets: tickets.clone(),
                money: money.clone(),
                metrics: metrics.clone(),
                clock: Arc::clone(clock),
            })
        });
        if till.is_none() {
            tracing::warn!("this hub does not charge: [money] charging is false");
        }
        Ok(Self { pricing, ledger, tickets, till, keeper })
    }
}

/// Runs what the rooms of money run by themselves.
pub(super) fn start(keeper: Keeper, pricing: Pricing, tasks: &Tasks) {
    keeper.start(tasks);
    tasks.spawn(Stage::Carriers, "prices", keep_fresh(pricing, tasks.stopping(Stage::Carriers)));
    // The first exchange must not wait for the tokenizer's tables.
    tasks.spawn(Stage::Carriers, "tokenizer", async {
        if tokio::task::spawn_blocking(meter::warm_up).await.is_err() {
            tracing::error!("the tokenizer's tables cannot be read");
        }
    });
}

async fn keep_fresh(pricing: Pricing, stop: CancellationToken) {
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(REFRESH_EVERY) => {}
        }
        if let Err(error) = pricing.refresh().await {
            tracing::warn!(error = &error as &dyn std::error::Error, "prices not looked for");
        }
    }
}
