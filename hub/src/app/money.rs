//! The rooms of money of one node, opened in their order: prices, tickets, ledger, and the till over
//! them. Where the hub does not charge, all but the till is there all the same: balances, prices and
//! claims of before are still served.

use super::BindError;
use crate::config::LiveMoney;
use crate::exchange::till::{Till, TillNeeds};
use crate::ledger::claims::TicketSealer;
use crate::ledger::{self, Keeper, Ledger};
use crate::ledger_key::LedgerKey;
use crate::lifecycle::{Stage, Tasks};
use crate::pricing::{Pricing, PricingError};
use crate::telemetry::Metrics;
use crate::terms::Terms;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use weft_proto::entropy::Entropy;
use weft_proto::meter;
use weft_proto::time::Clock;
use weft_store::{JournalKind, JournalNote, PAGE_ROWS_MAX, Page, PageSize, Store, StoreError};

/// The folder of the ledger inside the data directory: the node's id, and its journal of tickets.
pub const LEDGER_DIR: &str = "ledger";

/// Entries of the journal, and activations, among which the first ones are looked for.
const FIRST_ENTRIES: u32 = 100;

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
        note_first(store, &pricing, &**clock).await.map_err(PricingError::Store)?;
        let tickets = TicketSealer::open(data, &**entropy)?;
        let (ledger, keeper) = Ledger::open(ledger::Needs {
            store: store.ledger(),
            outcomes: store.outcomes(),
            dir: data.join(LEDGER_DIR),
            key: pricing.ledger_key().clone(),
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

/// Writes into the hub's journal what nobody has decided: the key that signs for this hub, and the
/// book that a new hub begins with. Both are looked for at each start, in case the process ended
/// between the deed and the entry.
async fn note_first(
    store: &dyn Store,
    pricing: &Pricing,
    clock: &dyn Clock,
) -> Result<(), StoreError> {
    let ledger = store.ledger();
    let activations = store.price_books().activations(PageSize::clamped(FIRST_ENTRIES)).await?;
    let first = activations.iter().find(|one| one.number == 1);
    let key: String =
        pricing.public_key().as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let wanted = [
        Some((JournalKind::LedgerKey, format!("act=hub\nkey={key}\n"))),
        first.map(|one| (JournalKind::PriceBook, format!("act=bundled\nbook={}\n", one.hash))),
    ];
    let page = Page { after: None, size: PageSize::clamped(FIRST_ENTRIES) };
    let there = ledger.journal(page).await?;
    let missing: Vec<_> = wanted
        .into_iter()
        .flatten()
        .map(|(kind, body)| (kind, body.into_bytes()))
        .filter(|(kind, body)| !there.iter().any(|one| one.kind == *kind && one.body == *body))
        .map(|(kind, body)| JournalNote { kind, body, at: clock.now() })
        .collect();
    // A hub whose journal is long has begun long ago, before these were written.
    if !missing.is_empty() && there.len() < FIRST_ENTRIES as usize {
        ledger.note(&missing).await?;
    } else if !pricing.ledger_key().handovers().is_empty() {
        note_key(&*ledger, format!("act=hub\nkey={key}\n").into_bytes(), clock).await?;
    }
    Ok(())
}

/// Writes down a key that replaced another one, wherever in the journal that should stand.
async fn note_key(
    ledger: &dyn weft_store::Ledger,
    body: Vec<u8>,
    clock: &dyn Clock,
) -> Result<(), StoreError> {
    let mut page = Page { after: None, size: PageSize::clamped(PAGE_ROWS_MAX) };
    loop {
        let entries = ledger.journal(page).await?;
        if entries.iter().any(|one| one.kind == JournalKind::LedgerKey && one.body == body) {
            return Ok(());
        }
        let Some(last) = entries.last() else {
            break;
        };
        page.after = Some(last.number);
    }
    ledger.note(&[JournalNote { kind: JournalKind::LedgerKey, body, at: clock.now() }]).await?;
    Ok(())
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
