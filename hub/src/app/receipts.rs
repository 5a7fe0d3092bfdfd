//! The way of receipts: the tunnel that brings them, the clerk who decides them, and the prices that
//! agents count by, which do not know each other.

use crate::config::LiveMoney;
use crate::ledger::Ledger;
use crate::ledger::claims::{
    ChargeOf, Clerk, ClerkParts, Greeted, Promise, Session, SessionError, TicketSealer,
};
use crate::pricing::Pricing;
use crate::tunnel::{Book, Desk, DeskClosed, Desks};
use async_trait::async_trait;
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;
use weft_proto::ids::{AgentId, HubId, OwnerId};
use weft_proto::money::NanoUsd;
use weft_proto::prices::{BookHash, Label, Wanted};
use weft_proto::time::Clock;
use weft_proto::usage::{Geo, ServiceTier, Usage};
use weft_proto::wire::control::HubMessage;
use weft_proto::wire::receipts::{AgentLedger, Receipt};
use weft_store::Store;

/// What the way of receipts is made of. Public so that a simulated hub takes receipts by the same
/// rules.
#[derive(Clone)]
pub struct ReceiptNeeds<'a> {
    /// This hub.
    pub hub: HubId,
    /// Where everything is kept.
    pub store: &'a dyn Store,
    /// The node's ledger.
    pub ledger: Ledger,
    /// The prices, and the hub's ledger key.
    pub pricing: Pricing,
    /// Tells this hub's tickets from others.
    pub tickets: TicketSealer,
    /// The windows of claims and disputes.
    pub money: LiveMoney,
    /// Wall-clock time.
    pub clock: Arc<dyn Clock>,
}

impl fmt::Debug for ReceiptNeeds<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceiptNeeds").field("hub", &self.hub).finish_non_exhaustive()
    }
}

/// Gives each agent's session its desk.
#[derive(Debug)]
pub struct ReceiptDesks {
    clerk: Clerk,
    pricing: Pricing,
}

impl ReceiptDesks {
    /// Desks over these rooms.
    #[must_use]
    pub fn new(needs: ReceiptNeeds<'_>) -> Self {
        let ReceiptNeeds { hub, store, ledger, pricing, tickets, money, clock } = needs;
        let prices = pricing.clone();
        let charge_of: Arc<ChargeOf> = Arc::new(move |promise, usage, tier, geo| {
            let prices = prices.clone();
            Box::pin(async move { charge(&prices, &promise, &usage, tier, geo).await })
        });
        let clerk = Clerk::new(ClerkParts {
            hub,
            node: ledger.node(),
            store: store.ledger(),
            receipts: store.receipts(),
            ledger: Some(ledger),
            charge_of,
            sealer: tickets,
            key: pricing.ledger_key().signing_key(),
            handovers: pricing.ledger_key().handovers(),
            money,
            clock,
        });
        Self { clerk, pricing }
    }
}

/// What a promise's user pays for this usage.
async fn charge(
    pricing: &Pricing,
    promise: &Promise,
    usage: &Usage,
    tier: ServiceTier,
    geo: Geo,
) -> Option<NanoUsd> {
    let signed = match pricing.book(promise.book).await {
        Ok(signed) => signed?,
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, book = %promise.book, "a promise cannot be priced");
            return None;
        }
    };
    let rates = signed.book.rates(&Wanted {
        provider: promise.provider,
        model: &promise.model,
        place: promise.place.as_ref().map(Label::as_str),
        at: promise.at,
        tier,
        geo,
    })?;
    rates.list_priced(usage)?.charge(promise.zone)
}

#[async_trait]
impl Desks for ReceiptDesks {
    fn desk(&self, agent: AgentId, owner: OwnerId) -> Box<dyn Desk> {
        Box::new(OneDesk(self.clerk.session(agent, owner)))
    }

    async fn book_other_than(&self, known: Option<BookHash>) -> Book {
        let mut books = self.pricing.subscribe();
        let other = books.wait_for(|signed| Some(signed.book.hash()) != known).await;
        let Ok(signed) = other.map(|signed| Arc::clone(&signed)) else {
            // The prices are gone with the hub: nothing comes any more.
            return std::future::pending().await;
        };
        Book {
            hash: signed.book.hash(),
            canonical: Bytes::copy_from_slice(signed.book.canonical()),
            signature: *signed.signature.as_bytes(),
        }
    }
}

/// One session's desk.
#[derive(Debug)]
struct OneDesk(Session);

fn closed(error: SessionError) -> DeskClosed {
    DeskClosed(Box::new(error))
}

#[async_trait]
impl Desk for OneDesk {
    async fn greet(&mut self, ledger: &AgentLedger) -> Result<HubMessage, DeskClosed> {
        Ok(match self.0.greet(ledger).await.map_err(closed)? {
            Greeted::Welcome(ours) => HubMessage::Ledger(ours),
            Greeted::Fault(fault) => HubMessage::LedgerFault(fault),
        })
    }

    async fn take(&mut self, receipts: Vec<Receipt>) -> Result<Vec<HubMessage>, DeskClosed> {
        self.0.take(receipts).await.map_err(closed)
    }

    async fn look_again(&mut self) -> Result<Vec<HubMessage>, DeskClosed> {
        self.0.look_again().await.map_err(closed)
    }

    fn waits(&self) -> bool {
        self.0.waits()
    }

    fn is_over(&self) -> bool {
        self.0.is_over()
    }
}
