//! The till: where an exchange's money comes from, and what it comes to.
//!
//! A [`Tab`] is opened when it is known what is asked and who may serve it: the price is looked up in
//! the book in force, which is pinned from there on, and the user's balance is held for what the
//! request is expected to cost. A hub that does not charge has no till.
//!
//! The till carries values between the rooms of money (prices, terms, ledger), which do not know
//! each other. It writes nothing itself.

#![deny(clippy::float_arithmetic)]

mod batch;
mod estimate;
mod tab;

pub(super) use tab::{Exhausted, Reading, Tab};

use super::Ask;
use super::later::{Later, takes_later};
use super::refusal::Refusal;
use crate::auth::Caller;
use crate::config::{HiddenOutput, LiveMoney, Unpriced};
use crate::ledger::claims::{Promise, TicketSealer};
use crate::ledger::{Hold, HoldRefused, Ledger, Payer, Window};
use crate::pricing::{Pricing, Quote};
use crate::telemetry::Metrics;
use crate::terms::Terms;
use estimate::{expected, price_of};
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use weft_proto::ids::{AccountId, ExchangeId, OwnerId};
use weft_proto::meter::{Asked, Metered, RequestMeter};
use weft_proto::model::ModelName;
use weft_proto::money::{ListPrice, NanoUsd, Ratio};
use weft_proto::prices::Label;
use weft_proto::provider::Provider;
use weft_proto::tables::routes::{Match, Metering};
use weft_proto::time::{Clock, Timestamp};
use weft_proto::usage::{Basis, Class, Geo, ServiceTier, Usage};
use weft_proto::wire::head::Ticket;
use weft_store::{BillKind, PendingBill, PendingBills};

/// What a user is told to wait while the ledger cannot be asked.
const LEDGER_WAIT: Duration = Duration::from_secs(2);

/// What a user is told to wait while as many responses are made as can be waited for.
const LATER_WAIT: Duration = Duration::from_secs(30);

/// The longest that a user is told to wait for a spend limit to begin anew: SDKs give up at less.
const LIMIT_WAIT_MAX: Duration = Duration::from_secs(31 * 86_400);

/// The most places whose prices a hold looks at.
const PLACES_MAX: usize = 16;

/// What a till needs of the rest of the hub.
#[derive(Debug, Clone)]
pub struct TillNeeds {
    /// Balances.
    pub ledger: Ledger,
    /// The price book in force.
    pub pricing: Pricing,
    /// Who pays and earns which share.
    pub terms: Terms,
    /// Responses that are to be billed.
    pub pending: Arc<dyn PendingBills>,
    /// What signs tickets.
    pub tickets: TicketSealer,
    /// How the hub charges.
    pub money: LiveMoney,
    /// Where things are counted.
    pub metrics: Metrics,
    /// Wall-clock time.
    pub clock: Arc<dyn Clock>,
}

/// Charges exchanges. Cheap to clone; every clone means the same till.
#[derive(Debug, Clone)]
pub struct Till(Arc<TillNeeds>, Later);

/// What a tab is opened for.
pub(super) struct Order<'a> {
    pub(super) exchange: ExchangeId,
    pub(super) caller: &'a Caller,
    pub(super) ask: &'a Ask,
    /// The model that counts, where the route wants one.
    pub(super) model: Option<&'a str>,
    /// Where the accounts are that may serve it.
    pub(super) places: &'a BTreeSet<Option<Label>>,
    pub(super) reading: Reading,
}

impl Till {
    /// A till over the rooms of money.
    #[must_use]
    pub fn new(needs: TillNeeds) -> Self {
        let clock = Arc::clone(&needs.clock);
        let later = Later::new(Arc::clone(&needs.pending), needs.ledger.node(), clock);
        Self(Arc::new(needs), later)
    }

    /// The meter of a request to `route`; `None` where nothing of it costs.
    pub(super) fn reading(&self, route: &Match, headers: &HeaderMap) -> Option<Reading> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        is_charged(route.route.metering)
            .then(|| RequestMeter::new(route, text(CONTENT_TYPE), text(CONTENT_ENCODING)))
            .map(Reading::new)
    }

    /// Looks up what the request costs and holds the user's balance for it; `None` where it costs
    /// nothing.
    pub(super) async fn open(&self, order: Order<'_>) -> Result<Option<Box<Tab>>, Refusal> {
        let Order { caller, ask, model, places, .. } = order;
        let metering = ask.route.route.metering;
        if !is_charged(metering) {
            return Ok(None);
        }
        if metering == Metering::Batch {
            return self.open_batch(order).await;
        }
        let money = self.0.money.now();
        let asked = order.reading.asked();
        if money.hidden_output == HiddenOutput::Refuse && hides_output(ask, model, &asked) {
            return Err(hidden_output());
        }
        if asked.background {
            self.takes_later(ask)?;
        }
        let zone = self.0.terms.charge(caller.zone());
        let at = self.0.clock.now();
        let usage = expected(&asked, metering);
        let list = |quote: &Quote| {
            let rates = quote.rates(asked.service_tier, asked.geo)?;
            Some(price_of(&rates, &usage))
        };
        let model = model.or_else(|| stands_for(metering));
        // A long body may name its model behind what was read of it: then any of them may be meant.
        let late = model.is_none();
        if late && order.reading.is_whole() {
            return Err(unnamed());
        }
        // It may be served at any of the places: the hold is for the dearest.
        let quotes = match model.map(ModelName::parse) {
            Some(Ok(model)) => self.quotes(ask.provider, &model, places, at, zone),
            Some(Err(_)) => Vec::new(),
            None => self.dearest(ask.provider, places, at, zone, list),
        };
        let priced = quotes.into_iter().filter_map(|quote| Some((list(&quote)?, quote)));
        let Some((list, quote)) = priced.max_by_key(|(list, _)| list.pico()) else {
            return match money.unpriced {
                Unpriced::Refuse => Err(not_priced(model.unwrap_or_default())),
                Unpriced::Free => Ok(None),
            };
        };

        let amount = list.charge(zone).ok_or_else(|| {
            Refusal::malformed("request_too_dear", "the request wants more than can be priced")
        })?;
        let mut tab = self.held(order, amount, quote, usage.get(Class::Output)).await?;
        if late {
            tab.names_its_model_late();
        }
        Ok(Some(tab))
    }

    /// The tab of an order for which so much is held, which carries so many tokens of output.
    async fn held(
        &self,
        order: Order<'_>,
        amount: NanoUsd,
        quote: Quote,
        carried: u64,
    ) -> Result<Box<Tab>, Refusal> {
        let Order { exchange, caller, ask, reading, .. } = order;
        let payer = Payer { user: caller.user(), key: caller.key(), limits: caller.limits() };
        let hold = self.0.ledger.hold(&payer, exchange, amount).await;
        let hold = hold.map_err(|refused| refusal(&refused, quote.at()))?;
        let money = self.0.money.now();
        Ok(Box::new(Tab::new(
            self.clone(),
            exchange,
            hold,
            quote,
            reading,
            ask.route.route,
            (money.on_abort.at(ask.provider), money.drain_max),
            caller.member_of(),
            carried,
        )))
    }

    /// The dearest price at each of these places.
    fn dearest(
        &self,
        provider: Provider,
        places: &BTreeSet<Option<Label>>,
        at: Timestamp,
        zone: Ratio,
        list: impl Fn(&Quote) -> Option<ListPrice> + Copy,
    ) -> Vec<Quote> {
        let places = places.iter().take(PLACES_MAX).map(|place| place.as_ref().map(Label::as_str));
        places.filter_map(|place| self.0.pricing.dearest(provider, place, at, zone, list)).collect()
    }

    /// The price at each of these places that has one, all by one book.
    fn quotes(
        &self,
        provider: Provider,
        model: &ModelName,
        places: &BTreeSet<Option<Label>>,
        at: Timestamp,
        zone: Ratio,
    ) -> Vec<Quote> {
        let mut quotes: Vec<Quote> = Vec::new();
        for place in places.iter().take(PLACES_MAX) {
            let place = place.as_ref().map(Label::as_str);
            let quote = match quotes.first() {
                Some(first) => first.at_place(place),
                None => self.0.pricing.quote(provider, model, place, at, zone),
            };
            quotes.extend(quote);
        }
        quotes
    }

    /// The tab of the read that bills a response; `None` where its prices cannot be read.
    pub(super) async fn reopen(
        &self,
        bill: &PendingBill,
        route: &Match,
        read: ExchangeId,
        hold: Hold,
    ) -> Option<Box<Tab>> {
        let PendingBill { book, provider, model, priced_at, zone, .. } = bill;
        let quote = self.0.pricing.quote_by(*book, *provider, model, *priced_at, *zone).await;
        let quote = quote
            .inspect_err(|error| {
                let error = error as &dyn std::error::Error;
                tracing::error!(error, %book, "the prices of a response cannot be read");
            })
            .ok()??;
        let reading = Reading::new(RequestMeter::new(route, None, None));
        reading.finish();
        let money = self.0.money.now();
        let mut tab = Box::new(Tab::new(
            self.clone(),
            read,
            hold,
            quote,
            reading,
            route.route,
            (money.on_abort.at(*provider), money.drain_max),
            bill.linked.then_some(bill.home.owner),
            0,
        ));
        tab.bound = (bill.kind == BillKind::Batch).then_some(bill.held);
        Some(tab)
    }

    /// What is written down of an exchange that was to bill something, and does not.
    pub(super) fn nothing_of(bill: &PendingBill) -> weft_store::Metered {
        weft_store::Metered {
            provider: Some(bill.provider),
            model: Some(bill.model.clone()),
            usage: Usage::NONE,
            basis: Basis::Reported,
            service: ServiceTier::Standard.number(),
            geo: Geo::Unstated.number(),
            book: Some(*bill.book.as_bytes()),
            priced_at: bill.priced_at,
            zone: bill.zone,
            tier: Ratio::ZERO,
        }
    }

    /// Whether a response that is made later can be asked for.
    fn takes_later(&self, ask: &Ask) -> Result<(), Refusal> {
        if !takes_later(ask.provider, ask.route.route.name) {
            let message = "`background` answers of this provider are not available here";
            return Err(Refusal::forbidden("billed_later", message));
        }
        self.has_room_for_later()
    }

    /// Whether one more answer can be waited for that is made later.
    fn has_room_for_later(&self) -> Result<(), Refusal> {
        if self.1.is_full() {
            let message =
                "the hub waits for as many answers that are made later as it can; try again";
            return Err(Refusal::unavailable("later_full", message, LATER_WAIT));
        }
        Ok(())
    }

    /// The responses that are to be billed.
    pub(super) const fn later(&self) -> &Later {
        &self.1
    }

    /// Balances.
    pub(super) fn ledger(&self) -> &Ledger {
        &self.0.ledger
    }

    /// The owner's share of what its account serves.
    fn tier(&self, owner: OwnerId, account: AccountId) -> Ratio {
        self.0.terms.income(owner, account)
    }

    fn overdraft_max(&self) -> NanoUsd {
        self.0.money.now().overdraft_max
    }

    fn seal(&self, ticket: &mut Ticket) {
        self.0.tickets.seal(ticket);
    }

    fn charged(&self, amount: NanoUsd, basis: Basis) {
        self.0.metrics.charged(amount, basis);
    }
}

/// Whether exchanges of a route that is metered so cost anything when they end. What was made, and
/// charged, before costs nothing to be read again.
const fn is_charged(metering: Metering) -> bool {
    match metering {
        Metering::Free | Metering::StoredResponse | Metering::BatchResults => false,
        // By its hold: what it takes is charged when its results are read.
        Metering::Batch => true,
        Metering::Chat
        | Metering::Responses
        | Metering::Messages
        | Metering::Embeddings
        | Metering::Images
        | Metering::Transcription
        | Metering::Speech
        | Metering::Realtime
        | Metering::Container => true,
    }
}

/// What the price book calls what has no model; `None` where a model is wanted.
const fn stands_for(metering: Metering) -> Option<&'static str> {
    match metering {
        Metering::Container => Some("container"),
        Metering::Free
        | Metering::StoredResponse
        | Metering::Batch
        | Metering::BatchResults
        | Metering::Chat
        | Metering::Responses
        | Metering::Messages
        | Metering::Embeddings
        | Metering::Images
        | Metering::Transcription
        | Metering::Speech
        | Metering::Realtime => None,
    }
}

/// Models that write tokens which their streams do not show, by how their names begin.
const HIDING: [&str; 6] = ["o1", "o3", "o4", "gpt-5", "gpt-oss", "codex-"];

/// Whether the answer will hide output and tell no usage: nobody could say what it came to.
fn hides_output(ask: &Ask, model: Option<&str>, asked: &Asked) -> bool {
    let theirs = match ask.provider {
        Provider::OpenAi | Provider::Azure => true,
        // Their streams show what they think, or tell usage unasked.
        Provider::Anthropic | Provider::DeepSeek => false,
    };
    let chat = matches!(ask.route.route.metering, Metering::Chat);
    let silent = asked.stream && !asked.include_usage;
    theirs
        && chat
        && silent
        && model.is_some_and(|model| HIDING.iter().any(|start| model.starts_with(start)))
}

fn hidden_output() -> Refusal {
    Refusal::malformed(
        "usage_hidden",
        "this model writes tokens that a stream does not show: ask for its usage with \
         \"stream_options\": {\"include_usage\": true}",
    )
}

pub(super) fn not_priced(model: &str) -> Refusal {
    let message = match model {
        "" => "no model has a price on this hub here".to_owned(),
        model => format!("the model {model} has no price on this hub"),
    };
    Refusal::forbidden("model_not_priced", message)
}

fn unnamed() -> Refusal {
    Refusal::malformed("model_unknown", "the request names no model, so that nobody can price it")
}

fn refusal(refused: &HoldRefused, now: Timestamp) -> Refusal {
    match refused {
        HoldRefused::Insufficient { .. } => Refusal::no_credit(
            "insufficient_credit",
            "the balance does not cover what this request may cost",
        ),
        HoldRefused::InFlight { retry_after } => Refusal::credit_held(
            "requests that still run, or that a crash left, hold the rest of the balance; try again \
             when they have ended",
            *retry_after,
        ),
        HoldRefused::LeftBehind { decided_within } => Refusal::credit_held(
            "requests that a crash of the hub left hold the rest of the balance, until it is known \
             what they came to: for each of them that is by the end of the claim window at the latest",
            *decided_within,
        ),
        HoldRefused::SpendLimit { window, resets_at } => {
            let message = match window {
                Window::Day => "the key has spent what it may in a day",
                Window::Month => "the key has spent what it may in a month",
            };
            let micros = resets_at.as_micros().saturating_sub(now.as_micros());
            let wait = Duration::from_micros(micros);
            Refusal::limited("spend_limit", message, wait.min(LIMIT_WAIT_MAX))
        }
        HoldRefused::Busy => {
            Refusal::unavailable("hub_full", "the hub is full; try again", LEDGER_WAIT)
        }
        HoldRefused::Unavailable => Refusal::unavailable(
            "ledger_away",
            "balances cannot be asked at the moment; try again",
            LEDGER_WAIT,
        ),
    }
}

/// The facts of a user leg, as they are kept.
fn metered(
    quote: &Quote,
    read: &Metered,
    usage: Usage,
    basis: Basis,
    tier: Ratio,
) -> weft_store::Metered {
    weft_store::Metered {
        provider: Some(quote.provider()),
        model: ModelName::parse(quote.model()).ok(),
        usage,
        basis,
        service: read.service_tier.number(),
        geo: read.geo.number(),
        book: Some(*quote.hash().as_bytes()),
        priced_at: quote.at(),
        zone: quote.zone(),
        tier,
    }
}

/// What prices a claim when nobody here remembers the exchange.
fn promise(quote: &Quote, tier: Ratio, service: ServiceTier, linked: bool) -> Vec<u8> {
    let promise = Promise {
        provider: quote.provider(),
        model: quote.model().to_owned(),
        place: quote.place().cloned(),
        book: quote.hash(),
        at: quote.at(),
        zone: quote.zone(),
        tier,
        service: service.number(),
        linked,
    };
    promise.encode()
}

#[cfg(test)]
mod tests;
