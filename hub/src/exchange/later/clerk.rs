//! The clerk: looks after the bills of this node that are open, one read at a time for each, until
//! none is.

use super::super::Spine;
use super::super::till::{Tab, Till};
use super::{Later, PENDING_MAX, read};
use crate::ledger::{Hold, HoldRefused, Payer, is_nothing};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http::StatusCode;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use weft_proto::ids::ExchangeId;
use weft_proto::tables::routes::Match;
use weft_proto::time::Timestamp;
use weft_store::{BillKind, PageSize, PendingBill, SpendLimits, StoreError};

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

/// Age at which a response that its provider does not know is believed to be gone for good.
const GONE_AFTER: Duration = Duration::from_secs(10 * 60);

/// The same of one whose answer was cut: it is made while it is answered.
const CUT_GONE_AFTER: Duration = Duration::from_secs(5);

/// The longest that the end of such a response is waited for: a provider whose caller has gone ends
/// it at once, and what its user may spend is held meanwhile.
const CUT_WAIT: Duration = Duration::from_secs(10 * 60);

/// How long a read's settlement is waited for before others get their turn.
const SETTLED_WITHIN: Duration = Duration::from_secs(10);

/// How often it is looked for.
const SETTLED_EVERY: Duration = Duration::from_millis(100);

/// Responses that are looked at at the same time.
const READS_AT_ONCE: usize = 16;

/// How long a closed bill is remembered: a response that is asked for again by the same
/// idempotency key was billed.
const REMEMBERED_FOR: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// When a bill is looked at.
#[derive(Debug, Clone, Copy)]
struct Turn {
    at: Instant,
    wait: Duration,
    /// It is looked at now.
    runs: bool,
}

/// What is known of a bill after a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// It is closed.
    Closed,
    /// It is to be looked at again.
    Open,
}

impl Spine {
    /// Bills responses that are made later, those of the process before too, until `stopping`.
    pub async fn bill_later(self, stopping: CancellationToken) {
        let Some(till) = self.0.needs.till.clone() else { return };
        let _takes_cuts = till.later().takes_cuts();
        let clerk = Clerk { spine: self, till };
        let mut turns = Turns::default();
        // One that takes long keeps none of the others waiting.
        let mut looks = FuturesUnordered::new();
        loop {
            let swept = async {
                match clerk.sweep(&mut turns, READS_AT_ONCE - looks.len()).await {
                    Ok(due) => {
                        let clerk = &clerk;
                        looks
                            .extend(due.into_iter().map(|bill| async move {
                                (bill.made_by, clerk.look(&bill).await)
                            }));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "pending bills cannot be looked at; trying again");
                        turns.rest();
                    }
                }
                let later = clerk.till.later();
                let next = turns.next(looks.len() < READS_AT_ONCE);
                tokio::select! {
                    biased;
                    Some((made_by, look)) = looks.next() => turns.looked(made_by, look),
                    () = later.0.wake.notified() => {}
                    () = tokio::time::sleep_until(next) => {}
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

/// When which bill is looked at next.
#[derive(Debug, Default)]
struct Turns {
    by_exchange: BTreeMap<ExchangeId, Turn>,
    /// The store is left alone until then.
    rests_until: Option<Instant>,
}

impl Turns {
    /// Of the bills that are open, those whose turn it is, at most so many: they are looked at now.
    fn due(&mut self, open: Vec<PendingBill>, most: usize) -> Vec<PendingBill> {
        let ids: BTreeSet<_> = open.iter().map(|bill| bill.made_by).collect();
        self.by_exchange.retain(|made_by, turn| turn.runs || ids.contains(made_by));
        self.rests_until = None;
        let now = Instant::now();
        let mut due = Vec::new();
        for bill in open {
            let first = Turn { at: now + WAIT_FIRST, wait: WAIT_FIRST, runs: false };
            let turn = self.by_exchange.entry(bill.made_by).or_insert(first);
            if !turn.runs && turn.at <= now && due.len() < most {
                turn.runs = true;
                due.push(bill);
            }
        }
        due
    }

    /// A look at a bill has ended.
    fn looked(&mut self, made_by: ExchangeId, look: Look) {
        match look {
            Look::Closed => drop(self.by_exchange.remove(&made_by)),
            Look::Open => {
                if let Some(turn) = self.by_exchange.get_mut(&made_by) {
                    turn.runs = false;
                    turn.at = Instant::now() + turn.wait;
                    turn.wait = (turn.wait * 2).min(WAIT_MAX);
                }
            }
        }
    }

    /// The store does not answer.
    fn rest(&mut self) {
        self.rests_until = Some(Instant::now() + WAIT_MAX);
    }

    /// When to look at the store again; at bills only where another can be looked at.
    fn next(&self, has_room: bool) -> Instant {
        let turns = self.by_exchange.values().filter(|turn| has_room && !turn.runs);
        let later =
            Instant::now() + if self.by_exchange.is_empty() { LOOK_EVERY } else { WAIT_MAX };
        let next = turns.map(|turn| turn.at).min().unwrap_or(later).min(later);
        self.rests_until.unwrap_or(next)
    }
}

pub(super) struct Clerk {
    pub(super) spine: Spine,
    pub(super) till: Till,
}

impl Clerk {
    pub(super) fn later(&self) -> &Later {
        self.till.later()
    }

    /// The bills that are to be looked at now, at most so many.
    async fn sweep(&self, turns: &mut Turns, most: usize) -> Result<Vec<PendingBill>, StoreError> {
        self.keep_cuts().await?;
        let held: Vec<_> = self.later().state().holds.keys().copied().collect();
        if turns.by_exchange.is_empty() {
            self.forget().await?;
        }
        let open = self.tended().await?;
        let lost = self.later().of_others(&open);
        drop(lost);
        for made_by in held {
            // An answer that told no id, or that of a response which another exchange pays for.
            if !open.iter().any(|bill| bill.made_by == made_by) {
                drop(self.later().state().holds.remove(&made_by));
            }
        }
        Ok(turns.due(open, most))
    }

    /// Writes down the bills of answers that were cut.
    async fn keep_cuts(&self) -> Result<(), StoreError> {
        let later = self.later();
        let fresh: Vec<_> = {
            let state = later.state();
            let fresh = state.cuts.values().filter(|cut| !cut.is_kept);
            fresh.map(|cut| cut.bill.clone()).collect()
        };
        for bill in fresh {
            if later.0.bills.keep(&bill, &later.tending()).await? {
                later.kept_cut(&bill);
            } else {
                // Another exchange was answered with the same response, and pays for it.
                drop(later.take_cut(&bill));
            }
        }
        Ok(())
    }

    /// Forgets what was closed long ago.
    async fn forget(&self) -> Result<(), StoreError> {
        let now = self.spine.0.needs.clock.now().as_micros();
        let age = u64::try_from(REMEMBERED_FOR.as_micros()).unwrap_or(u64::MAX);
        let before = Timestamp::from_micros(now.saturating_sub(age));
        self.later().0.bills.forget(before).await.map(drop)
    }

    /// The open bills that this node looks after from now on, those of nodes that died among them.
    pub(super) async fn tended(&self) -> Result<Vec<PendingBill>, StoreError> {
        let bills = &self.later().0.bills;
        let mut open: Vec<PendingBill> = Vec::new();
        while open.len() < PENDING_MAX {
            let after = open.last().map(|bill| bill.made_by);
            let page = bills.tend(&self.later().tending(), after, PageSize::default()).await?;
            if page.is_empty() {
                break;
            }
            open.extend(page);
        }
        Ok(open)
    }

    /// One look at a bill.
    async fn look(&self, bill: &PendingBill) -> Look {
        let (exchange, response) = (bill.made_by, bill.response.as_str());
        match self.step(bill).await {
            Ok(look) => look,
            Err(error) => {
                tracing::warn!(%error, %exchange, response, "a bill cannot be looked at");
                Look::Open
            }
        }
    }

    async fn step(&self, bill: &PendingBill) -> Result<Look, StoreError> {
        match bill.kind {
            BillKind::Response => {}
            BillKind::Batch => return self.step_batch(bill).await,
        }
        if self.is_billed(bill).await? {
            return self.close(bill).await;
        }
        if self.later().has_cut(bill) {
            return self.step_cut(bill).await;
        }
        if !self.is_known(bill).await? {
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
        if is_gone(status) && age > GONE_AFTER {
            tracing::error!(%exchange, response, "a response is gone: it is not billed");
            return self.close(bill).await;
        }
        if !status.is_success() || told.pending || !told.finish_marker {
            return Ok(Look::Open);
        }
        if !told.usage_seen {
            tracing::info!(%exchange, response, "a response has ended without any usage");
            return self.close(bill).await;
        }
        self.charge(bill).await
    }

    /// One look at the response of an answer that was cut.
    async fn step_cut(&self, bill: &PendingBill) -> Result<Look, StoreError> {
        let age = self.age(bill);
        let read = self.spine.read_stored(bill, self.fresh_id(), None).await;
        let can_end = age < CUT_WAIT;
        let tells = match read {
            Some((status, told)) if status.is_success() && !told.pending && told.finish_marker => {
                told.usage_seen
            }
            Some((status, _)) if is_gone(status) && age > CUT_GONE_AFTER => false,
            Some(_) | None if can_end => return Ok(Look::Open),
            Some(_) | None => false,
        };
        let Some(cut) = self.later().take_cut(bill) else { return Ok(Look::Open) };
        if !tells {
            // Its settlement closes the bill.
            drop(cut);
        } else if let Some(hold) = cut.give_up() {
            self.later().keep_hold(bill.made_by, hold);
        }
        Ok(Look::Open)
    }

    /// Whether what is to bill it has billed it.
    pub(super) async fn is_billed(&self, bill: &PendingBill) -> Result<bool, StoreError> {
        let by = bill.biller();
        let settled = self.till.ledger().settled(by).await?;
        if settled.is_some() {
            self.later().state().sent.remove(&by);
        }
        Ok(settled.is_some_and(|agreed| !is_nothing(&agreed)))
    }

    /// Whether another read may be named: what was to bill it so far is settled, or will not be
    /// settled by whoever ran it.
    pub(super) async fn is_known(&self, bill: &PendingBill) -> Result<bool, StoreError> {
        let by = bill.biller();
        let ledger = self.till.ledger();
        // Of the process before: nobody runs it.
        if ledger.orphan(by).is_some() || ledger.settled(by).await?.is_some() {
            return Ok(true);
        }
        let runs =
            bill.billed_by.is_none() && self.age(bill) < self.spine.0.needs.limits.now().exchange;
        Ok(!runs && !self.later().state().sent.contains(&by))
    }

    /// Reads the response once more, and charges it.
    async fn charge(&self, bill: &PendingBill) -> Result<Look, StoreError> {
        let Some((_, route)) = read::route(bill) else { return Ok(Look::Open) };
        let Some((billed, read, tab)) = self.named(bill, &route).await? else {
            return Ok(Look::Open);
        };
        drop(self.spine.read_stored(&billed, read, Some(tab)).await);
        self.settled(&billed).await
    }

    /// Names a fresh read by `route` that is to bill it, with the tab for it, once what was to bill
    /// it so far is settled at nothing. `None` where that is not so, or not yet.
    pub(super) async fn named(
        &self,
        bill: &PendingBill,
        route: &Match,
    ) -> Result<Option<(PendingBill, ExchangeId, Box<Tab>)>, StoreError> {
        let before = bill.biller();
        if !self.supersede(bill).await? {
            return Ok(None);
        }
        let read = self.fresh_id();
        let Some(tab) = self.tab(bill, route, read).await else { return Ok(None) };
        let Later(later) = self.later();
        let tending = self.later().tending();
        if !later.bills.bill_by(bill.made_by, before, read, &tending).await? {
            return Ok(None);
        }
        Ok(Some((PendingBill { billed_by: Some(read), ..bill.clone() }, read, tab)))
    }

    /// Settles what is to bill it so far at nothing, where nobody has settled it, and says whether
    /// it stands so. What is claimed for it later is refused.
    async fn supersede(&self, bill: &PendingBill) -> Result<bool, StoreError> {
        let (ledger, by) = (self.till.ledger(), bill.biller());
        if let Some(agreed) = ledger.settled(by).await? {
            return Ok(is_nothing(&agreed));
        }
        tracing::info!(exchange = %by, made_by = %bill.made_by, "another read bills the response");
        ledger.supersede(&payer(bill), by, Till::nothing_of(bill)).await
    }

    /// Waits for the settlement of the read that bills it, and closes it then.
    pub(super) async fn settled(&self, billed: &PendingBill) -> Result<Look, StoreError> {
        let until = Instant::now() + SETTLED_WITHIN;
        while self.later().state().sent.contains(&billed.biller()) && Instant::now() < until {
            if self.is_billed(billed).await? {
                return self.close(billed).await;
            }
            tokio::time::sleep(SETTLED_EVERY).await;
        }
        Ok(Look::Open)
    }

    /// The tab of the read that bills it: with what was held for it, or where that is gone with the
    /// process before, with what the user has left.
    async fn tab(&self, bill: &PendingBill, route: &Match, read: ExchangeId) -> Option<Box<Tab>> {
        let kept = self.later().state().holds.remove(&bill.made_by);
        let hold = match kept {
            Some(hold) => hold.for_exchange(read),
            None => self.hold(bill, read).await?,
        };
        self.till.reopen(bill, route, read, hold).await
    }

    async fn hold(&self, bill: &PendingBill, read: ExchangeId) -> Option<Hold> {
        let (ledger, payer) = (self.till.ledger(), payer(bill));
        let held = match ledger.hold(&payer, read, bill.held).await {
            // What was used is owed, whatever is left.
            Err(
                HoldRefused::Insufficient { .. }
                | HoldRefused::InFlight { .. }
                | HoldRefused::LeftBehind { .. },
            ) => ledger.owe(&payer, read).await,
            held => held,
        };
        held.inspect_err(|error| {
            let exchange = bill.made_by;
            tracing::warn!(%error, %exchange, "what a response costs cannot be held");
        })
        .ok()
    }

    pub(super) async fn close(&self, bill: &PendingBill) -> Result<Look, StoreError> {
        let now = self.spine.0.needs.clock.now();
        self.later().0.bills.close_bill(bill.made_by, now).await?;
        drop(self.later().take_cut(bill));
        drop(self.later().state().holds.remove(&bill.made_by));
        Ok(Look::Closed)
    }

    pub(super) fn fresh_id(&self) -> ExchangeId {
        let needs = &self.spine.0.needs;
        ExchangeId::generate(&*needs.clock, &*needs.entropy)
    }

    pub(super) fn age(&self, bill: &PendingBill) -> Duration {
        let now = self.spine.0.needs.clock.now().as_micros();
        Duration::from_micros(now.saturating_sub(bill.made_at.as_micros()))
    }
}

/// Who pays a bill. Limits on what a key may begin to spend do not hold for what it has spent.
fn payer(bill: &PendingBill) -> Payer {
    Payer { user: bill.user, key: bill.key, limits: SpendLimits::default() }
}

/// Whether the provider says that there is no such thing.
fn is_gone(status: StatusCode) -> bool {
    status == StatusCode::NOT_FOUND || status == StatusCode::GONE
}
