//! What each key has spent in this day and this month, in UTC, and what its running exchanges may
//! still spend: only for keys that have a limit.
//!
//! What was spent stands in the ledger, and nowhere else: the sums are read from the settlements of
//! all nodes, when a key is first seen, every [`LOOK_EVERY`] while it is in use, and before a hold
//! that finds them older than [`KNOWN_FOR`]. In between each node counts on for itself. So a key
//! goes beyond its limit by no more than what other nodes settle for it within [`KNOWN_FOR`], and
//! what they hold for it at that moment. Where the store does not answer, what is known counts on:
//! the others can then spend what they had leased, and no more.
//!
//! Whoever reaches a limit, or most of it, is told on a bounded channel, once by each node.

mod sums;

use super::orphans::Orphans;
use super::{HoldRefused, Payer};
use crate::telemetry::Metrics;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use sums::{Days, Reached, Sums};
use tokio::sync::mpsc;
use tokio::time::Instant;
use weft_proto::causes::causes;
use weft_proto::ids::{KeyId, UserId};
use weft_proto::money::NanoUsd;
use weft_proto::time::{Clock, Timestamp};
use weft_store::{SpendLimits, SpendWanted, StoreError};

/// Microseconds of a day.
const DAY_MICROS: u64 = 86_400_000_000;
/// Keys with limits that are kept in memory; beyond that the ones that run nothing are read again.
const KEYS_MAX: usize = 65_536;
/// Between two looks at what all nodes have settled for the keys in use.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long a hold believes what was read.
const KNOWN_FOR: Duration = Duration::from_secs(10);
/// A key that nobody used for so long is not looked at, until it is used again.
const IN_USE_FOR: Duration = Duration::from_secs(60);
/// Looks take this part of the time at most, so that they do not keep the store busy.
const LOOK_PART: u32 = 10;

/// The window of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Window {
    /// A calendar day in UTC.
    Day,
    /// A calendar month in UTC.
    Month,
}

impl Window {
    /// The name in answers and alerts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Month => "month",
        }
    }
}

/// A key has spent a part of its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpendAlert {
    /// The user.
    pub user: UserId,
    /// The key.
    pub key: KeyId,
    /// Of which window.
    pub window: Window,
    /// How much of the limit, percent.
    pub percent: u8,
    /// What was spent.
    pub spent: NanoUsd,
    /// The limit.
    pub limit: NanoUsd,
    /// When.
    pub at: Timestamp,
}

/// What spending is made of.
#[derive(Debug)]
pub(super) struct Needs {
    pub(super) store: Arc<dyn weft_store::Ledger>,
    pub(super) orphans: Arc<Orphans>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) alerts: mpsc::Sender<SpendAlert>,
    pub(super) metrics: Metrics,
}

/// All keys with limits.
#[derive(Debug)]
pub(super) struct Spending {
    needs: Needs,
    keys: Mutex<BTreeMap<KeyId, Known>>,
}

/// One key with limits.
#[derive(Debug)]
struct Known {
    /// Whose it is, with the limits that it had when it was used last.
    payer: Payer,
    used_at: Instant,
    sums: Sums,
    gate: Gate,
}

/// Held while the store is asked about a key, so that its answers come in one order; who has it at
/// hand keeps the key from being forgotten.
type Gate = Arc<tokio::sync::Mutex<()>>;

/// What an exchange may still spend of its key's limits. Dropped, it spends nothing more.
#[derive(Debug)]
pub(super) struct SpendHold(Option<Limited>);

#[derive(Debug)]
struct Limited {
    spending: Arc<Spending>,
    payer: Payer,
    held: NanoUsd,
}

/// A charge that was counted, and is not posted yet.
#[derive(Debug)]
#[must_use]
pub(super) struct Counted(Option<(Arc<Spending>, KeyId, u32, NanoUsd)>);

impl Spending {
    pub(super) fn new(needs: Needs) -> Self {
        Self { needs, keys: Mutex::default() }
    }

    /// Counts `amount` as what an exchange may spend.
    ///
    /// # Cancel safety
    /// A dropped call has counted nothing.
    pub(super) async fn hold(
        self: &Arc<Self>,
        payer: &Payer,
        amount: NanoUsd,
    ) -> Result<SpendHold, HoldRefused> {
        if payer.limits == SpendLimits::default() {
            return Ok(SpendHold(None));
        }
        let today = self.today();
        let keeps_it_known = self.know(payer, today).await?;
        let orphaned = self.needs.orphans.held_by_key(payer.key);
        let mut keys = self.keys();
        let known = keys.get_mut(&payer.key).ok_or(HoldRefused::Unavailable)?;
        let most = amount.saturating_add(orphaned);
        if let Some(window) = known.sums.breaks(&payer.limits, most, today) {
            return Err(refused(window, today));
        }
        known.sums.hold(amount);
        drop(keys);
        drop(keeps_it_known);
        let spending = Arc::clone(self);
        Ok(SpendHold(Some(Limited { spending, payer: *payer, held: amount })))
    }

    /// Sees to it that the sums of a key are known, and not too old.
    async fn know(&self, payer: &Payer, today: u32) -> Result<Gate, HoldRefused> {
        let (gate, is_known) = {
            let mut keys = self.keys();
            if keys.len() >= KEYS_MAX && !keys.contains_key(&payer.key) {
                keys.retain(|_, known| !known.sums.is_idle() || Arc::strong_count(&known.gate) > 1);
            }
            let known = keys.entry(payer.key).or_insert_with(|| Known::new(*payer));
            (known.payer, known.used_at) = (*payer, Instant::now());
            (Arc::clone(&known.gate), known.is_fresh(today))
        };
        if is_known {
            return Ok(gate);
        }
        let asking = gate.lock().await;
        if self.keys().get(&payer.key).is_some_and(|known| known.is_fresh(today)) {
            drop(asking);
            return Ok(gate);
        }
        if let Err(error) = self.read(payer, today).await {
            tracing::warn!(error = %causes(&error), "what a key has spent cannot be read");
            let mut keys = self.keys();
            let known = keys.get_mut(&payer.key);
            if !known.is_some_and(|known| known.sums.give_up(today, Instant::now())) {
                return Err(HoldRefused::Unavailable);
            }
        }
        drop(asking);
        Ok(gate)
    }

    /// Reads what all nodes have settled for a key; its gate is held by the caller.
    async fn read(&self, payer: &Payer, today: u32) -> Result<(), StoreError> {
        let reading = match self.keys().get_mut(&payer.key) {
            Some(known) => known.sums.begin(today, Instant::now()),
            None => return Ok(()),
        };
        let moment = |day: u32| Timestamp::from_micros(u64::from(day) * DAY_MICROS);
        let wanted = SpendWanted {
            user: payer.user,
            key: Some(payer.key),
            from: moment(reading.from),
            until: moment(reading.until),
        };
        let days = self.needs.store.spent(&wanted).await?;
        let days: Days = days.into_iter().map(|day| (day.number, day.charged)).collect();
        let mut keys = self.keys();
        let Some(known) = keys.get_mut(&payer.key) else { return Ok(()) };
        let is_new = known.sums.is_new();
        known.sums.end(reading, &days, Instant::now());
        let reached = known.sums.reached(&known.payer.limits, today);
        drop(keys);
        // What a key had reached before it was seen here, somebody was told of before.
        if !is_new {
            self.tell(payer, reached);
        }
        Ok(())
    }

    /// Looks every few seconds at what all nodes have settled for the keys in use.
    pub(super) async fn keep_known(&self) {
        let mut wait = LOOK_EVERY;
        loop {
            tokio::time::sleep(wait).await;
            let began = Instant::now();
            self.look().await;
            wait = LOOK_EVERY.max(began.elapsed().saturating_mul(LOOK_PART - 1));
        }
    }

    /// Looks once.
    pub(super) async fn look(&self) {
        let today = self.today();
        let in_use: Vec<_> = {
            let keys = self.keys();
            let in_use = keys.values().filter(|known| known.is_in_use());
            in_use.map(|known| (known.payer, Arc::clone(&known.gate))).collect()
        };
        for (payer, gate) in in_use {
            let asking = gate.lock().await;
            if let Err(error) = self.read(&payer, today).await {
                tracing::warn!(error = %causes(&error), "what keys have spent cannot be read");
                return;
            }
            drop(asking);
        }
    }

    /// Counts what this node has posted for a key whose exchange ran before.
    pub(super) fn posted_before(&self, key: KeyId, at: Timestamp, charge: NanoUsd) {
        if let Some(known) = self.keys().get_mut(&key) {
            known.sums.count(day_of(at), charge);
        }
    }

    fn tell(&self, payer: &Payer, reached: Vec<Reached>) {
        let at = self.needs.clock.now();
        let Payer { user, key, .. } = *payer;
        for Reached { window, percent, spent, limit } in reached {
            let alert = SpendAlert { user, key, window, percent, spent, limit, at };
            tracing::info!(%key, window = window.name(), percent, %spent, "spend limit");
            if self.needs.alerts.try_send(alert).is_err() {
                self.needs.metrics.alert_dropped();
            }
        }
    }

    fn today(&self) -> u32 {
        day_of(self.needs.clock.now())
    }

    fn keys(&self) -> MutexGuard<'_, BTreeMap<KeyId, Known>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn new(payer: Payer) -> Self {
        Self { payer, used_at: Instant::now(), sums: Sums::default(), gate: Gate::default() }
    }

    fn is_fresh(&self, today: u32) -> bool {
        self.sums.read_at(today).is_some_and(|at| at.elapsed() < KNOWN_FOR)
    }

    fn is_in_use(&self) -> bool {
        self.sums.runs() || self.used_at.elapsed() < IN_USE_FOR
    }
}

impl Limited {
    /// Does something with the sums of the key; they are kept for as long as something is held.
    fn with<T>(&self, act: impl FnOnce(&mut Sums) -> T) -> T {
        let mut keys = self.spending.keys();
        act(&mut keys.entry(self.payer.key).or_insert_with(|| Known::new(self.payer)).sums)
    }

    /// The window whose limit a growth by `more` would break.
    fn breaks(&self, more: NanoUsd, today: u32) -> Option<Window> {
        let most = more.saturating_add(self.spending.needs.orphans.held_by_key(self.payer.key));
        self.with(|sums| sums.breaks(&self.payer.limits, most, today))
    }
}

impl SpendHold {
    /// Counts more, or nothing where a limit would be broken.
    pub(super) fn grow(&mut self, more: NanoUsd) -> bool {
        let Some(limited) = &mut self.0 else { return true };
        let orphaned = limited.spending.needs.orphans.held_by_key(limited.payer.key);
        let today = limited.spending.today();
        let limits = limited.payer.limits;
        let grown = limited.with(|sums| {
            let fits = sums.breaks(&limits, more.saturating_add(orphaned), today).is_none();
            if fits {
                sums.hold(more);
            }
            fits
        });
        if grown {
            limited.held = limited.held.saturating_add(more);
        }
        grown
    }

    /// Takes back what was grown.
    pub(super) fn shrink(&mut self, less: NanoUsd) {
        let Some(limited) = &mut self.0 else { return };
        let less = less.min(limited.held);
        limited.held = limited.held.saturating_sub(less);
        limited.with(|sums| sums.release(less));
    }

    /// What a growth by `more` is refused with.
    pub(super) fn refused(&self, more: NanoUsd) -> HoldRefused {
        let Some(limited) = &self.0 else { return HoldRefused::Unavailable };
        let today = limited.spending.today();
        refused(limited.breaks(more, today).unwrap_or(Window::Day), today)
    }

    /// Counts a charge as spent on the day of its settlement, and ends the hold.
    pub(super) fn spend(&mut self, charge: NanoUsd, settled_at: Timestamp) -> Counted {
        let Some(limited) = self.0.take() else { return Counted(None) };
        let (today, day) = (limited.spending.today(), day_of(settled_at));
        let reached = limited.with(|sums| {
            sums.release(limited.held);
            sums.settle(day, charge);
            sums.reached(&limited.payer.limits, today)
        });
        limited.spending.tell(&limited.payer, reached);
        Counted(Some((limited.spending, limited.payer.key, day, charge)))
    }
}

impl Counted {
    /// Of an exchange that has cost nothing.
    pub(super) const fn nothing() -> Self {
        Self(None)
    }

    /// The store has it: `loss` of it the user has not paid.
    pub(super) fn posted(self, loss: NanoUsd) {
        let Some((spending, key, day, charge)) = self.0 else { return };
        if let Some(known) = spending.keys().get_mut(&key) {
            known.sums.post(day, charge, loss);
        }
    }
}

impl Drop for SpendHold {
    fn drop(&mut self) {
        let Some(held) = self.0.as_ref().map(|limited| limited.held) else { return };
        self.shrink(held);
    }
}

fn refused(window: Window, today: u32) -> HoldRefused {
    let until = window.days(today).1;
    let resets_at = Timestamp::from_micros(u64::from(until) * DAY_MICROS);
    HoldRefused::SpendLimit { window, resets_at }
}

/// The day of a moment, in days since 1970.
fn day_of(at: Timestamp) -> u32 {
    u32::try_from(at.as_micros() / DAY_MICROS).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
