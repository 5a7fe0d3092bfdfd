//! Receipts of one session: frames in from the agent's stream, the ledger's words out by control
//! messages; and price books to the agent.
//!
//! It runs beside the session's control messages and never before them, and no exchange waits for
//! it. Where the ledger cannot take receipts now, the stream is stopped and the ledger greets anew:
//! what was not acknowledged comes again.

use super::link::Link;
use async_trait::async_trait;
use bytes::Bytes;
use std::fmt;
use std::time::Duration;
use tokio::time::MissedTickBehavior;
use weft_proto::ids::{AgentId, OwnerId};
use weft_proto::prices::BookHash;
use weft_proto::wire::control::HubMessage;
use weft_proto::wire::receipts::{AgentLedger, PricesOffer, Receipt, SIGNATURE_BYTES};
use weft_transport::stream::StreamError;
use weft_transport::{prices, receipts};

/// Receipts that are judged together, at most.
const TOGETHER_MAX: usize = 512;

/// How long the first of them waits for others. An agent closes an exchange a moment before the hub
/// has posted it: looked at at once, nearly every claim would be looked at twice.
const GATHER: Duration = Duration::from_millis(80);

/// How often claims that wait for their record are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How long nothing is taken after the ledger could not.
const PAUSE: Duration = Duration::from_secs(2);

/// A price book on its way to agents.
#[derive(Clone, PartialEq, Eq)]
pub struct Book {
    /// Its name.
    pub hash: BookHash,
    /// Its canonical bytes.
    pub canonical: Bytes,
    /// The hub's signature over them.
    pub signature: [u8; SIGNATURE_BYTES],
}

impl fmt::Debug for Book {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Book").field("hash", &self.hash).finish_non_exhaustive()
    }
}

/// The ledger cannot take receipts now.
#[derive(Debug, thiserror::Error)]
#[error("the ledger takes no receipts now")]
pub struct DeskClosed(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Where the receipts of agents go.
#[async_trait]
pub trait Desks: fmt::Debug + Send + Sync {
    /// A desk for one session of an agent.
    fn desk(&self, agent: AgentId, owner: OwnerId) -> Box<dyn Desk>;

    /// The price book in force, once it is another than `known`.
    ///
    /// # Cancel safety
    /// Cancel safe.
    async fn book_other_than(&self, known: Option<BookHash>) -> Book;
}

/// Takes the receipts of one session.
#[async_trait]
pub trait Desk: fmt::Debug + Send {
    /// The agent's ledger greets; says what to answer.
    ///
    /// # Errors
    /// [`DeskClosed`].
    async fn greet(&mut self, ledger: &AgentLedger) -> Result<HubMessage, DeskClosed>;

    /// Takes receipts, and says what to tell the agent.
    ///
    /// # Errors
    /// [`DeskClosed`]: what was not acknowledged has to come again, to another desk.
    async fn take(&mut self, receipts: Vec<Receipt>) -> Result<Vec<HubMessage>, DeskClosed>;

    /// Looks again at what waits.
    ///
    /// # Errors
    /// [`DeskClosed`].
    async fn look_again(&mut self) -> Result<Vec<HubMessage>, DeskClosed>;

    /// Whether something waits.
    fn waits(&self) -> bool;

    /// Whether the agent's chain is broken: nothing more is taken on this session.
    fn is_over(&self) -> bool;
}

/// Why one desk takes no more.
#[derive(Debug, thiserror::Error)]
enum Stopped {
    #[error(transparent)]
    Desk(#[from] DeskClosed),
    #[error(transparent)]
    Stream(#[from] StreamError),
    #[error("the agent's chain is broken")]
    Over,
}

/// Takes receipts for as long as it is run: the agent's `ledger` has greeted.
pub(super) async fn serve(link: &Link, desks: &dyn Desks, ledger: AgentLedger) {
    tokio::join!(take_all(link, desks, &ledger), push_books(link, desks, &ledger));
}

async fn take_all(link: &Link, desks: &dyn Desks, ledger: &AgentLedger) {
    loop {
        let mut desk = desks.desk(link.agent(), link.owner());
        let why = match take(link, &mut *desk, ledger).await {
            Ok(never) => match never {},
            Err(why) => why,
        };
        match &why {
            Stopped::Stream(StreamError::TunnelLost(_)) => return,
            Stopped::Over => {
                tracing::warn!(agent = %link.agent(), "no receipts are taken on this session");
                return;
            }
            Stopped::Desk(_) | Stopped::Stream(_) => {
                let error = &why as &dyn std::error::Error;
                tracing::warn!(agent = %link.agent(), error, "receipts are taken again later");
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn take(
    link: &Link,
    desk: &mut dyn Desk,
    ledger: &AgentLedger,
) -> Result<std::convert::Infallible, Stopped> {
    Box::pin(link.say(desk.greet(ledger).await?)).await;
    if desk.is_over() {
        return Err(Stopped::Over);
    }
    let stream = link.connection.accept_uni().await.map_err(StreamError::from)?;
    let mut receiver = Box::pin(receipts::accept(stream)).await?;
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let said = tokio::select! {
            biased;
            // First, that no flow of receipts keeps what waits from being looked at.
            _ = look.tick(), if desk.waits() => desk.look_again().await?,
            receipt = receiver.next() => {
                link.heard();
                let first = receipt?;
                let together = Box::pin(receiver.gather(first, TOGETHER_MAX, GATHER)).await?;
                desk.take(together).await?
            }
        };
        for message in said {
            Box::pin(link.say(message)).await;
        }
        if desk.is_over() {
            return Err(Stopped::Over);
        }
    }
}

/// Sends the book in force, and each that comes into force, unless the agent has it.
async fn push_books(link: &Link, desks: &dyn Desks, ledger: &AgentLedger) {
    let mut known = ledger.books.clone();
    let mut last = None;
    loop {
        let Book { hash, canonical, signature } = desks.book_other_than(last).await;
        last = Some(hash);
        let offer = u32::try_from(canonical.len()).map(|size| PricesOffer {
            hash,
            size,
            signature,
            active: true,
        });
        if let Ok(offer) = offer {
            Box::pin(link.say(HubMessage::Prices(offer))).await;
            if !known.contains(&hash) {
                match Box::pin(prices::send(&link.connection, &canonical)).await {
                    Ok(()) => known.push(hash),
                    Err(error) => {
                        tracing::info!(agent = %link.agent(), %hash, %error, "prices not taken");
                    }
                }
            }
        }
    }
}
