//! The clerk: looks after the bills that are open, one read at a time for each, until none is.

use super::super::Spine;
use super::super::till::{Tab, Till};
use super::{Later, PENDING_MAX, read};
use crate::ledger::{Hold, Payer};
use futures_util::StreamExt;
use futures_util::stream;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use weft_proto::ids::ExchangeId;
use weft_proto::money::NanoUsd;
use weft_store::{PageSize, PendingBill, SpendLimits, StoreError};

/// Wait before the first look at a response, and after the look before: it doubles up to
/// [`WAIT_MAX`].
const WAIT_FIRST: Duration = Duration::from_millis(500);

/// The longest wait between two looks at one response.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// The longest wait between two looks at the store, where nothing is known to be open: another
/// node's process may have left something.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Age at which a response is given up: providers end one within hours.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a claim is waited for where a process has died in the middle of an exchange.
const CLAIM_WAIT: Duration = Duration::from_secs(10 * 60);

/// How long a read's settlement is waited for before others get their turn.
const SETTLED_WITHIN: Duration = Duration::from_secs(10);

/// How often it is looked for.
const SETTLED_EVERY: Duration = Duration::from_millis(100);

/// Responses that are looked at at the same time.
const READS_AT_ONCE: usize = 16;

/// How long a closed bill is remembered: a response that is asked for again by the same
/// idempotency key was billed.
const REMEMBERED_FOR: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// When a bill is looked at next.
#[derive(Debug, Clone, Copy)]
struct Turn {
    /// When this process saw it first.
    since: Instant,
    at: Instant,
    wait: Duration,
}

/// What is known of a bill after a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// It is closed.
    Closed,
    /// It is to be looked at again.
    Open,
}

impl Spine {
    /// Bills responses that are made later, those of the process before too, until `stopping`.
    pub async fn bill_later(self, stopping: CancellationToken) {
        let Some(till) = self.0.needs.till.clone() else { return };
        let mut clerk = Clerk { spine: self, till, turns: BTreeMap::new() };
        loop {
            let swept = async {
                let wait = clerk.sweep().await.unwrap_or_else(|error| {
                    tracing::warn!(%error, "pending bills cannot be looked at; trying again");
                    WAIT_MAX
                });
                let later = clerk.till.later();
                tokio::select! {
                    biased;
                    () = later.0.wake.notified() => {}
                    () = tokio::time::sleep(wait) => {}
                }
            };
            tokio::select! {
                biased;
                () = stopping.cancelled() => return,
                () = swept => {}
            }
        }
    }
}

struct Clerk {
    spine: Spine,
    till: Till,
    turns: BTreeMap<ExchangeId, Turn>,
}

impl Clerk {
    fn later(&self) -> &Later {
        self.till.later()
    }

    /// Looks at every bill whose turn it is, and says when the next one has its own.
    async fn sweep(&mut self) -> Result<Duration, StoreError> {
        let held: Vec<_> = self.later().state().holds.keys().copied().collect();
        let open = self.open().await?;
        for made_by in held {
            // An answer that told no id, or that of a response which another exchange pays for.
            if !open.iter().any(|bill| bill.made_by == made_by) {
                drop(self.later().state().holds.remove(&made_by));
            }
        }
        self.turns.retain(|made_by, _| open.iter().any(|bill| bill.made_by == *made_by));
        let now = Instant::now();
        let mut due = Vec::new();
        for bill in &open {
            let first = Turn { since: now, at: now + WAIT_FIRST, wait: WAIT_FIRST };
            let turn = self.turns.entry(bill.made_by).or_insert(first);
            if turn.at <= now {
                due.push((bill.clone(), *turn));
            }
        }
        let looks: Vec<_> = stream::iter(due)
            .map(|(bill, turn)| {
                let clerk = &*self;
                async move { (bill.made_by, clerk.look(&bill, turn).await) }
            })
            .buffer_unordered(READS_AT_ONCE)
            .collect()
            .await;
        for (made_by, look) in looks {
            match look {
                Look::Closed => drop(self.turns.remove(&made_by)),
                Look::Open => {
                    if let Some(turn) = self.turns.get_mut(&made_by) {
                        turn.at = Instant::now() + turn.wait;
                        turn.wait = (turn.wait * 2).min(WAIT_MAX);
                    }
                }
            }
        }
        let next = self.turns.values().map(|turn| turn.at).min();
        Ok(next.map_or(LOOK_EVERY, |at| at.saturating_duration_since(Instant::now())))
    }

    /// All open bills, and forgets what was closed long ago.
    async fn open(&self) -> Result<Vec<PendingBill>, StoreError> {
        let bills = &self.later().0.bills;
        if self.turns.is_empty() {
            let now = self.spine.0.needs.clock.now().as_micros();
            let age = u64::try_from(REMEMBERED_FOR.as_micros()).unwrap_or(u64::MAX);
            let before = weft_proto::time::Timestamp::from_micros(now.saturating_sub(age));
            bills.forget(before).await?;
        }
        let mut open: Vec<PendingBill> = Vec::new();
        while open.len() < PENDING_MAX {
            let after = open.last().map(|bill| bill.made_by);
            let page = bills.open(after, PageSize::default()).await?;
            if page.is_empty() {
                break;
            }
            open.extend(page);
        }
        Ok(open)
    }

    /// One look at a bill.
    async fn look(&self, bill: &PendingBill, turn: Turn) -> Look {
        let (exchange, response) = (bill.made_by, bill.response.as_str());
        match self.step(bill, turn).await {
            Ok(look) => look,
            Err(error) => {
                tracing::warn!(%error, %exchange, response, "a bill cannot be looked at");
                Look::Open
            }
        }
    }

    async fn step(&self, bill: &PendingBill, turn: Turn) -> Result<Look, StoreError> {
        if self.is_billed(bill).await? {
            return self.close(bill).await;
        }
        if !self.is_known(bill, turn).await? {
            return Ok(Look::Open);
        }
        let (exchange, response) = (bill.made_by, bill.response.as_str());
        let age = self.age(bill);
        if age > GIVEN_UP_AFTER {
            tracing::error!(%exchange, response, "a response was never seen to end: it is not billed");
            return self.close(bill).await;
        }
        let Some((status, told)) = self.spine.read_stored(bill, self.fresh_id(), None).await else {
            return Ok(Look::Open);
        };
        if !status.is_success() || told.pending || !told.finish_marker {
            return Ok(Look::Open);
        }
        if !told.usage_seen {
            tracing::info!(%exchange, response, "a response has ended without any usage");
            return self.close(bill).await;
        }
        self.charge(bill).await
    }

    /// Whether what is to bill the response has billed it.
    async fn is_billed(&self, bill: &PendingBill) -> Result<bool, StoreError> {
        let by = bill.billed_by.unwrap_or(bill.made_by);
        let settled = self.till.ledger().settled(by).await?;
        if settled.is_some() {
            self.later().state().sent.remove(&by);
        }
        Ok(settled.is_some_and(|agreed| !agreed.settlement.metered.usage.is_none()))
    }

    /// Whether it is known that nothing has billed it so far: all that could have is settled, at
    /// nothing, or was never sent.
    async fn is_known(&self, bill: &PendingBill, turn: Turn) -> Result<bool, StoreError> {
        let by = bill.billed_by.unwrap_or(bill.made_by);
        if self.till.ledger().orphan(by).is_some() {
            return Ok(turn.since.elapsed() > CLAIM_WAIT);
        }
        if self.till.ledger().settled(by).await?.is_some() {
            return Ok(true);
        }
        let runs =
            bill.billed_by.is_none() && self.age(bill) < self.spine.0.needs.limits.now().exchange;
        Ok(!runs && !self.later().state().sent.contains(&by))
    }

    /// Reads the response once more, and charges it.
    async fn charge(&self, bill: &PendingBill) -> Result<Look, StoreError> {
        let read = self.fresh_id();
        let Some(tab) = self.tab(bill, read).await else { return Ok(Look::Open) };
        if !self.later().0.bills.bill_by(bill.made_by, read).await? {
            return Ok(Look::Closed);
        }
        let billed = PendingBill { billed_by: Some(read), ..bill.clone() };
        drop(self.spine.read_stored(&billed, read, Some(tab)).await);
        let until = Instant::now() + SETTLED_WITHIN;
        while self.later().state().sent.contains(&read) && Instant::now() < until {
            if self.is_billed(&billed).await? {
                return self.close(&billed).await;
            }
            tokio::time::sleep(SETTLED_EVERY).await;
        }
        Ok(Look::Open)
    }

    /// The tab of the read that bills it: with what was held for it, or where that is gone with the
    /// process before, with what the user has left.
    async fn tab(&self, bill: &PendingBill, read: ExchangeId) -> Option<Tab> {
        let route = read::route(bill)?;
        let kept = self.later().state().holds.remove(&bill.made_by);
        let hold = match kept {
            Some(hold) => hold.for_exchange(read),
            None => self.hold(bill, read).await?,
        };
        self.till.reopen(bill, &route, read, hold).await
    }

    async fn hold(&self, bill: &PendingBill, read: ExchangeId) -> Option<Hold> {
        let limits = SpendLimits::default();
        let payer = Payer { user: bill.user, key: bill.key, limits };
        // What was used is owed: a hold that is too small is an overrun.
        for amount in [bill.held, NanoUsd::ZERO] {
            match self.till.ledger().hold(&payer, read, amount).await {
                Ok(hold) => return Some(hold),
                Err(error) => {
                    let exchange = bill.made_by;
                    tracing::warn!(%error, %exchange, "what a response costs cannot be held");
                }
            }
        }
        None
    }

    async fn close(&self, bill: &PendingBill) -> Result<Look, StoreError> {
        let now = self.spine.0.needs.clock.now();
        self.later().0.bills.close_bill(bill.made_by, now).await?;
        drop(self.later().state().holds.remove(&bill.made_by));
        Ok(Look::Closed)
    }

    fn fresh_id(&self) -> ExchangeId {
        let needs = &self.spine.0.needs;
        ExchangeId::generate(&*needs.clock, &*needs.entropy)
    }

    fn age(&self, bill: &PendingBill) -> Duration {
        let now = self.spine.0.needs.clock.now().as_micros();
        Duration::from_micros(now.saturating_sub(bill.made_at.as_micros()))
    }
}
