//! The rooms of money of a simulated hub, joined as the hub's own wiring joins them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use weft_hub::config::{LiveMoney, Money};
use weft_hub::exchange::till::{Till, TillNeeds};
use weft_hub::ledger::claims::TicketSealer;
use weft_hub::ledger::{self, Keeper, Ledger};
use weft_hub::ledger_key::LedgerKey;
use weft_hub::pricing::Pricing;
use weft_hub::pricing::import::{self, Format, Unread};
use weft_hub::telemetry::Metrics;
use weft_hub::terms::Terms;
use weft_proto::entropy::Entropy;
use weft_proto::time::Clock;
use weft_store::{Name, Outcomes, Store};

/// The folder of the node's ledger in the hub's data directory.
pub(super) const LEDGER_DIR: &str = "ledger";
/// How long a receipt is waited for: shorter than some agents are away.
pub(super) const CLAIM_WINDOW: Duration = Duration::from_secs(20);
/// How long an income can be disputed.
const DISPUTE_WINDOW: Duration = Duration::from_secs(15);
/// What everything costs.
const PRICES: &str = include_str!("../mesh/prices.csv");

/// What the rooms are made of.
#[derive(Debug)]
pub(super) struct Counter<'a> {
    pub(super) data: &'a Path,
    pub(super) store: &'a dyn Store,
    pub(super) outcomes: &'a Arc<dyn Outcomes>,
    pub(super) clock: &'a Arc<dyn Clock>,
    pub(super) chance: &'a Arc<dyn Entropy>,
    pub(super) metrics: &'a Metrics,
    pub(super) places: usize,
}

/// The rooms.
#[derive(Debug)]
pub(super) struct Rooms {
    pub(super) till: Till,
    pub(super) ledger: Ledger,
    pub(super) pricing: Pricing,
    pub(super) tickets: TicketSealer,
    pub(super) money: LiveMoney,
}

impl Counter<'_> {
    /// Opens them for one life of the hub, and says what runs them.
    pub(super) async fn open(&self) -> Result<(Rooms, Keeper), Box<dyn std::error::Error>> {
        let Self { data, store, outcomes, clock, chance, metrics, places } = *self;
        std::fs::create_dir_all(data)?;
        let money = LiveMoney::new(Money {
            claim_window: CLAIM_WINDOW,
            dispute_window: DISPUTE_WINDOW,
            ..Money::default()
        });
        let key = LedgerKey::open(data, &**chance)?;
        let pricing = Pricing::open(store.price_books(), key, Arc::clone(clock)).await?;
        let book = import::read(Format::Csv, PRICES.as_bytes(), Unread::Refuse)?.book;
        let hash = book.hash();
        pricing.keep(book, Name::parse("simulated")?).await?;
        pricing.activate(hash).await?;
        let (ledger, keeper) = Ledger::open(ledger::Needs {
            store: store.ledger(),
            outcomes: Arc::clone(outcomes),
            dir: data.join(LEDGER_DIR),
            key: pricing.ledger_key().clone(),
            money: money.clone(),
            clock: Arc::clone(clock),
            entropy: Arc::clone(chance),
            metrics: metrics.clone(),
            places,
            durable: false,
        })
        .await?;
        let tickets = TicketSealer::open(data, &**chance)?;
        let till = Till::new(TillNeeds {
            ledger: ledger.clone(),
            pricing: pricing.clone(),
            terms: Terms::load(store).await?,
            pending: store.pending_bills(),
            tickets: tickets.clone(),
            money: money.clone(),
            metrics: metrics.clone(),
            clock: Arc::clone(clock),
        });
        Ok((Rooms { till, ledger, pricing, tickets, money }, keeper))
    }
}
