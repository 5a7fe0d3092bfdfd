//! Settle: every admitted exchange leaves exactly one outcome.
//!
//! Admission reserves the outcome's place in the settler's queue, so that an end can always be
//! recorded, without waiting, from wherever it happens; a queue with no place left refuses new
//! exchanges instead. One writer appends in batches, and goes on trying while the store is away.
//! The outcome of an exchange that is settled goes with its settlement instead, through the ledger's
//! journal: then it is one write for both, and outlives the process.

use super::till::{Exhausted, Tab};
use crate::ledger::record;
use crate::places::{self, Places, Queue};
use crate::telemetry::Metrics;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use weft_proto::codes::{AbortCode, EndReason};
use weft_proto::exchange::{Break, HubExchange, Next};
use weft_proto::ids::{AccountId, AgentId};
use weft_proto::model::ModelName;
use weft_proto::provider::Provider;
use weft_store::{OUTCOMES_PER_APPEND_MAX, Outcome, Outcomes};

/// Gives out places in the queue of outcomes.
#[derive(Debug, Clone)]
pub struct Settler(Places<Outcome>);

/// Writes the queue to the store.
#[derive(Debug)]
pub struct OutcomeWriter {
    queue: Queue<Outcome>,
    outcomes: Arc<dyn Outcomes>,
}

/// A place in the queue.
pub(super) type Place = places::Place<Outcome>;

impl Settler {
    /// A queue of so many `places`, at least one, and the writer that empties it into `outcomes`.
    #[must_use]
    pub fn new(outcomes: Arc<dyn Outcomes>, places: usize) -> (Self, OutcomeWriter) {
        let (places, queue) = places::queue(places);
        (Self(places), OutcomeWriter { queue, outcomes })
    }

    /// Reserves a place; `None` where none is free.
    pub(super) fn reserve(&self) -> Option<Place> {
        self.0.reserve()
    }
}

impl OutcomeWriter {
    /// Writes until `stopping` and nothing is queued any more.
    pub async fn run(mut self, stopping: CancellationToken) {
        let mut batch = Vec::with_capacity(OUTCOMES_PER_APPEND_MAX);
        loop {
            let stopped = tokio::select! {
                biased;
                () = self.queue.take(&mut batch, OUTCOMES_PER_APPEND_MAX) => false,
                () = stopping.cancelled() => true,
            };
            if batch.is_empty() {
                if stopped || self.queue.is_closed() {
                    return;
                }
                continue;
            }
            record(&*self.outcomes, &batch).await;
            self.queue.written(batch.len());
            batch.clear();
        }
    }
}

/// What is known of an exchange so far, and the certainty that it will be recorded.
///
/// Dropped before it was ended, it records what the drop means: a panic of the hub's own, a stop
/// by force, or a user who went away.
#[derive(Debug)]
pub struct Record {
    outcome: Outcome,
    machine: HubExchange,
    began: Instant,
    /// The longest that it may run.
    limit: Duration,
    metrics: Metrics,
    cut_off: CancellationToken,
    /// The request body's bytes taken from the user, which the upload counts.
    taken: Arc<AtomicU64>,
    place: Option<Place>,
    /// What it costs; settled with the outcome.
    tab: Option<Box<Tab>>,
}

impl Record {
    pub(super) fn new(
        outcome: Outcome,
        place: Place,
        metrics: Metrics,
        cut_off: CancellationToken,
    ) -> Self {
        metrics.exchange_started();
        Self {
            outcome,
            machine: HubExchange::default(),
            began: Instant::now(),
            limit: Duration::MAX,
            metrics,
            cut_off,
            taken: Arc::default(),
            place: Some(place),
            tab: None,
        }
    }

    /// The same, which may run for so long.
    pub(super) const fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// The moment at which the exchange has run for `limit`.
    pub(super) fn runs_until(&self, limit: Duration) -> Instant {
        self.began + limit
    }

    pub(super) const fn id(&self) -> weft_proto::ids::ExchangeId {
        self.outcome.exchange
    }

    /// Says whose API is asked, through which route, for which model.
    pub(super) fn asks(&mut self, provider: Provider, route: &str, model: Option<ModelName>) {
        self.outcome.provider = Some(provider);
        route.clone_into(&mut self.outcome.route);
        self.outcome.model = model;
    }

    /// Starts an attempt on `account`; its number, or `None` where no more are allowed.
    pub(super) fn dispatch(&mut self, agent: AgentId, account: AccountId) -> Option<u8> {
        let attempt = self.machine.dispatch()?;
        self.outcome.agent = Some(agent);
        self.outcome.account = Some(account);
        self.outcome.attempts = u32::from(attempt);
        self.outcome.dispatched_after_us = Some(self.elapsed());
        Some(attempt)
    }

    /// From here on the exchange costs what `tab` says.
    pub(super) fn opened(&mut self, tab: Option<Box<Tab>>) {
        self.tab = tab;
    }

    /// What it costs, where it does.
    pub(super) fn tab(&mut self) -> Option<&mut Tab> {
        self.tab.as_deref_mut()
    }

    /// Meters bytes of the answer that were handed on, and waits where the hold does not carry more.
    pub(super) async fn passed(&mut self, bytes: &[u8]) -> Result<(), Exhausted> {
        let Some(tab) = self.tab() else { return Ok(()) };
        if tab.sees(bytes) {
            return Ok(());
        }
        tab.carry().await
    }

    /// Takes the tab of an exchange that ends for `reason`, or as a drop means, where what still
    /// comes of its answer is to be read on, and for how long. The outcome is recorded without it.
    pub(super) fn read_on(&mut self, reason: Option<EndReason>) -> Option<(Box<Tab>, Duration)> {
        let reason = reason.or_else(|| self.machine.ended()).unwrap_or_else(|| self.dropped());
        let within = self.tab.as_ref()?.drains(reason)?;
        let mut tab = self.tab.take()?;
        tab.ended(reason);
        Some((tab, within))
    }

    /// Bytes were forwarded that are not kept for another attempt.
    pub(super) const fn replay_lost(&mut self) {
        self.machine.replay_lost();
    }

    /// Where the upload counts the bytes that it takes from the user.
    pub(super) fn taken(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.taken)
    }

    /// The answer's head arrived, and this status goes to the user.
    pub(super) fn answer(&mut self, status: http::StatusCode) {
        if self.machine.answer() {
            self.outcome.status = Some(status.as_u16());
            self.outcome.head_after_us = Some(self.elapsed());
        }
    }

    /// Bytes of the answer's body were given to the user.
    pub(super) fn answered(&mut self, bytes: usize) {
        if self.outcome.first_byte_after_us.is_none() {
            self.outcome.first_byte_after_us = Some(self.elapsed());
        }
        self.outcome.response_bytes += bytes as u64;
    }

    /// Something broke: says what it leads to. Where that is an end, it is recorded with the next
    /// status or at once by the drop.
    pub(super) fn broke(&mut self, why: Break) -> Next {
        if let Break::Agent(code) = why {
            self.outcome.abort = Some(code);
        }
        self.machine.broke(why)
    }

    /// The answer was cut, by the hub with `code` where it was the hub: recorded at once, for the
    /// user may take long to learn of it.
    pub(super) fn cut(&mut self, code: Option<AbortCode>) {
        self.outcome.abort = code.or(self.outcome.abort);
        self.record();
    }

    /// Ends the exchange with an answer of the hub's own.
    pub(super) fn refused(
        mut self,
        reason: EndReason,
        cause: &'static str,
        status: http::StatusCode,
    ) {
        self.machine.refused(reason);
        self.metrics.refused(cause);
        self.outcome.status = Some(status.as_u16());
    }

    /// The hub itself failed the answer that had begun: recorded at once.
    pub(super) fn failed(&mut self) {
        self.machine.refused(EndReason::Internal);
        self.cut(Some(AbortCode::Internal));
    }

    /// The answer reached its proper end: recorded at once.
    pub(super) fn complete(&mut self) {
        if self.machine.complete() {
            self.record();
        }
    }

    fn elapsed(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// What it means that nobody said how the exchange ended.
    fn dropped(&self) -> EndReason {
        if std::thread::panicking() {
            EndReason::Internal
        } else if self.cut_off.is_cancelled() {
            EndReason::Shutdown
        } else if self.began.elapsed() >= self.limit {
            // Its time was up before an answer had begun: the user did not leave.
            EndReason::Deadline
        } else {
            EndReason::UserAbort
        }
    }

    fn record(&mut self) {
        let Some(place) = self.place.take() else {
            return;
        };
        self.outcome.request_bytes = self.taken.load(Ordering::Relaxed);
        self.outcome.ended_after_us = self.elapsed();
        self.outcome.end = self.machine.ended().unwrap_or_else(|| self.dropped());
        self.metrics.exchange_ended(&self.outcome);
        tracing::info!(
            exchange = %self.outcome.exchange,
            end = self.outcome.end.name(),
            status = self.outcome.status,
            route = self.outcome.route,
            attempts = self.outcome.attempts,
            ms = self.outcome.ended_after_us / 1_000,
            "exchange ended"
        );
        let outcome = Box::new(self.outcome.clone());
        let apart = match self.tab.take() {
            Some(tab) => tab.close(outcome),
            None => Some(outcome),
        };
        if let Some(outcome) = apart {
            place.send(*outcome);
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.record();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_proto::entropy::SeededEntropy;
    use weft_proto::ids::{ExchangeId, KeyId, UserId};
    use weft_proto::time::{Clock, ManualClock, Timestamp};
    use weft_store::{MemoryStore, Store};

    #[tokio::test(start_paused = true)]
    async fn what_is_dropped_when_its_time_is_up_was_not_left_by_its_user() {
        let (settler, mut writer) = Settler::new(MemoryStore::new().outcomes(), 2);
        let clock = ManualClock::new(Timestamp::from_secs(1_800_000_000));
        let entropy = SeededEntropy::new(7);
        let limit = Duration::from_secs(60);
        for (runs, end) in
            [(limit, EndReason::Deadline), (limit - Duration::from_secs(1), EndReason::UserAbort)]
        {
            let outcome = Outcome::begun(
                ExchangeId::generate(&clock, &entropy),
                UserId::generate(&clock, &entropy),
                KeyId::generate(&clock, &entropy),
                clock.now(),
            );
            let place = settler.reserve().expect("a place");
            let (metrics, cut_off) = (Metrics::new(), CancellationToken::new());
            let record = Record::new(outcome, place, metrics, cut_off).within(limit);
            tokio::time::advance(runs).await;
            drop(record);
            assert_eq!(writer.queue.take_now().expect("an outcome").end, end);
        }
    }
}
