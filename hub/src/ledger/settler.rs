//! Settler: one writer posts what was settled, and how it ended, in batches, however long the store
//! is away.
//!
//! A settlement is in the ticket journal before the store is asked, and so is the outcome that goes
//! with it: the journal is the spool, and a process that ends while the store is away posts the rest
//! when it starts again, in order. A settlement's place is taken at admission and free when it is
//! posted, and leases run out while the store is away, so what waits is bounded twice.

use super::purses::{Pocket, Purses};
use super::recent::Recent;
use super::spending::Counted;
use super::tickets::{Record, Tickets};
use crate::places::{self, Places, Queue};
use crate::telemetry::Metrics;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use weft_proto::causes::causes;
use weft_proto::money::NanoUsd;
use weft_store::{Outcome, Outcomes, Posting, SETTLEMENTS_PER_CALL_MAX, Settled, StoreError};

/// First wait after a failed call; doubles up to [`RETRY_MAX`].
const RETRY_FIRST: Duration = Duration::from_millis(100);

/// How long the first of a batch waits for others: one commit costs as much as many rows, and what
/// waits is in the journal.
const GATHER: Duration = Duration::from_millis(40);

/// Longest wait between two calls while the store is away.
const RETRY_MAX: Duration = Duration::from_secs(5);

/// A settlement on its way to the store.
#[derive(Debug)]
pub(super) struct Settling {
    pub(super) posting: Posting,
    /// How its exchange ended, where that is not recorded apart.
    pub(super) outcome: Option<Box<Outcome>>,
    /// Whose leases are told when it is posted.
    pub(super) pocket: Arc<Pocket>,
    /// What its key's limits know of it.
    pub(super) counted: Counted,
}

/// A place in the queue.
pub(super) type Place = places::Place<Settling>;

/// What the settler is made of.
#[derive(Debug)]
pub(super) struct Needs {
    pub(super) store: Arc<dyn weft_store::Ledger>,
    pub(super) outcomes: Arc<dyn Outcomes>,
    pub(super) tickets: Arc<Tickets>,
    pub(super) purses: Arc<Purses>,
    pub(super) recent: Arc<Recent>,
    pub(super) metrics: Metrics,
    pub(super) places: usize,
}

/// Writes the queue to the store.
#[derive(Debug)]
pub(super) struct SettlementWriter {
    queue: Queue<Settling>,
    store: Arc<dyn weft_store::Ledger>,
    outcomes: Arc<dyn Outcomes>,
    tickets: Arc<Tickets>,
    purses: Arc<Purses>,
    recent: Arc<Recent>,
    metrics: Metrics,
}

/// The places of settlements, and the writer that empties them into the store.
pub(super) fn settler(needs: Needs) -> (Places<Settling>, SettlementWriter) {
    let Needs { store, outcomes, tickets, purses, recent, metrics, places } = needs;
    let (places, queue) = places::queue(places);
    let writer = SettlementWriter { queue, store, outcomes, tickets, purses, recent, metrics };
    (places, writer)
}

impl SettlementWriter {
    /// Writes until `stopping` and nothing is queued any more.
    pub(super) async fn run(&mut self, stopping: CancellationToken) {
        let mut batch = Vec::with_capacity(SETTLEMENTS_PER_CALL_MAX);
        loop {
            let stopped = tokio::select! {
                biased;
                () = self.queue.take(&mut batch, SETTLEMENTS_PER_CALL_MAX) => false,
                () = stopping.cancelled() => true,
            };
            if batch.is_empty() {
                if stopped || self.queue.is_closed() {
                    return;
                }
                continue;
            }
            if batch.len() < SETTLEMENTS_PER_CALL_MAX {
                tokio::select! {
                    biased;
                    () = stopping.cancelled() => {}
                    () = tokio::time::sleep(GATHER) => {}
                }
                while batch.len() < SETTLEMENTS_PER_CALL_MAX
                    && let Some(settling) = self.queue.take_now()
                {
                    batch.push(settling);
                }
            }
            let count = batch.len();
            self.post(&mut batch).await;
            self.queue.written(count);
            self.metrics.ledger_held(self.purses.held());
        }
    }

    /// Posts one batch, however long the store is away.
    async fn post(&self, batch: &mut Vec<Settling>) {
        if let Err(error) = self.tickets.flush() {
            // The journal's own task ends the process; what is in memory is still written.
            tracing::error!(%error, "settlements are not in the journal");
        }
        let mut postings = Vec::with_capacity(batch.len());
        let mut payers = Vec::with_capacity(batch.len());
        let mut ended = Vec::with_capacity(batch.len());
        for Settling { posting, outcome, pocket, counted } in batch.drain(..) {
            postings.push(posting);
            payers.push((pocket, counted));
            ended.extend(outcome.map(|outcome| *outcome));
        }
        // First, for the mark in the journal is of both.
        record(&*self.outcomes, &ended).await;
        let answers = settle(&*self.store, &self.metrics, &postings).await;
        let mut posted = Vec::with_capacity(postings.len());
        for ((Posting { settlement, draws, .. }, (pocket, counted)), answer) in
            postings.iter().zip(payers).zip(answers)
        {
            pocket.purse().posted(draws);
            let Some(settled) = answer else { continue };
            self.recent.settled(settlement, settled);
            posted.push(settlement.exchange);
            counted.posted(match settled {
                Settled::Fresh { loss, .. } => loss,
                Settled::Already | Settled::Conflict => NanoUsd::ZERO,
            });
        }
        mark(&self.tickets, posted);
    }
}

/// The waits between calls of a store that is away.
#[derive(Debug)]
struct Retry(Duration);

impl Default for Retry {
    fn default() -> Self {
        Self(RETRY_FIRST)
    }
}

impl Retry {
    async fn wait(&mut self) {
        tokio::time::sleep(self.0).await;
        self.0 = (self.0 * 2).min(RETRY_MAX);
    }
}

/// Appends rows, however long the store is away: they are idempotent by exchange.
pub(crate) async fn record(outcomes: &dyn Outcomes, rows: &[Outcome]) {
    let mut retry = Retry::default();
    while let Err(error) = outcomes.append(rows).await {
        tracing::error!(
            error = %causes(&error),
            waiting = rows.len(),
            "outcomes cannot be written; trying again"
        );
        retry.wait().await;
    }
}

/// Posts until the store has answered for each: `None` for one that it can never take.
async fn settle(
    store: &dyn weft_store::Ledger,
    metrics: &Metrics,
    postings: &[Posting],
) -> Vec<Option<Settled>> {
    let mut retry = Retry::default();
    loop {
        let error = match store.settle(postings).await {
            Ok(settled) => {
                for (posting, settled) in postings.iter().zip(&settled) {
                    report(metrics, posting, *settled);
                }
                return settled.into_iter().map(Some).collect();
            }
            Err(error) => error,
        };
        if matches!(error, StoreError::Corrupt { .. }) {
            // One of them can never be written: the others must not wait for it.
            if let [posting] = postings {
                let exchange = posting.settlement.exchange;
                tracing::error!(error = %causes(&error), %exchange, "a settlement stays in the journal");
                metrics.ledger_breach("unwritable");
                return vec![None];
            }
            let (first, second) = postings.split_at(postings.len() / 2);
            let mut settled = Box::pin(settle(store, metrics, first)).await;
            settled.extend(Box::pin(settle(store, metrics, second)).await);
            return settled;
        }
        tracing::error!(
            error = %causes(&error),
            waiting = postings.len(),
            "settlements cannot be written; trying again"
        );
        retry.wait().await;
    }
}

fn report(metrics: &Metrics, posting: &Posting, settled: Settled) {
    let exchange = posting.settlement.exchange;
    match settled {
        Settled::Fresh { loss, overrun } => {
            metrics.settled(overrun, loss);
            if loss.is_positive() {
                tracing::error!(%exchange, %loss, "a charge was not covered: the hub bears it");
            } else if overrun.is_positive() {
                tracing::warn!(%exchange, %overrun, "an exchange cost more than it had held");
            }
        }
        Settled::Already => metrics.settled(NanoUsd::ZERO, NanoUsd::ZERO),
        Settled::Conflict => {
            metrics.ledger_breach("settled_otherwise");
            tracing::error!(%exchange, "the exchange is settled otherwise");
        }
    }
}

/// Posts what the process before had settled and not posted, in order, behind how it `ended`.
pub(super) async fn replay(
    store: &dyn weft_store::Ledger,
    outcomes: &dyn Outcomes,
    tickets: &Tickets,
    ended: &[Outcome],
    unposted: Vec<Posting>,
) -> Result<(), StoreError> {
    outcomes.append(ended).await?;
    if unposted.is_empty() {
        return Ok(());
    }
    tracing::warn!(settlements = unposted.len(), "posting what the process before had settled");
    for batch in unposted.chunks(SETTLEMENTS_PER_CALL_MAX) {
        let settled = store.settle(batch).await;
        let posted = match settled {
            Ok(_) => batch.to_vec(),
            Err(StoreError::Corrupt { .. }) => {
                let mut posted = Vec::new();
                for posting in batch {
                    match store.settle(std::slice::from_ref(posting)).await {
                        Ok(_) => posted.push(posting.clone()),
                        Err(error @ StoreError::Corrupt { .. }) => {
                            tracing::error!(error = %causes(&error), "a settlement stays in the journal");
                        }
                        Err(error) => return Err(error),
                    }
                }
                posted
            }
            Err(error) => return Err(error),
        };
        mark(tickets, posted.iter().map(|posting| posting.settlement.exchange).collect());
    }
    Ok(())
}

/// Writes down what is posted. A mark that is lost makes the next start post it once more, which
/// changes nothing.
fn mark(tickets: &Tickets, exchanges: Vec<weft_proto::ids::ExchangeId>) {
    if let Err(error) = tickets.append(&Record::Posted { exchanges }) {
        tracing::error!(%error, "what is posted is not in the journal");
    }
}
