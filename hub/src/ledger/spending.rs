//! What each key has spent in this day and this month, in UTC, and what its running exchanges may
//! still spend: only for keys that have a limit.
//!
//! The sums are read from the store when a key is first seen and counted on from there; each node
//! counts for itself. Whoever reaches a limit, or most of it, is told on a bounded channel.

use super::{HoldRefused, Payer};
use crate::telemetry::Metrics;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;
use weft_proto::causes::causes;
use weft_proto::ids::{KeyId, UserId};
use weft_proto::money::NanoUsd;
use weft_proto::time::{Clock, Timestamp};
use weft_store::{Day, SpendLimits, SpendWanted};

/// Microseconds of a day.
const DAY_MICROS: u64 = 86_400_000_000;
/// Parts of a limit at which somebody is told, percent.
const TOLD_AT_PERCENT: [u8; 2] = [80, 100];
/// Keys with limits that are kept in memory; beyond that the ones that run nothing are read again.
const KEYS_MAX: usize = 65_536;

/// The window of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Window {
    /// A calendar day in UTC.
    Day,
    /// A calendar month in UTC.
    Month,
}

impl Window {
    const ALL: [Self; 2] = [Self::Day, Self::Month];

    /// The name in answers and alerts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Month => "month",
        }
    }

    const fn limit(self, limits: &SpendLimits) -> Option<NanoUsd> {
        match self {
            Self::Day => limits.day,
            Self::Month => limits.month,
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

/// The sums of one key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sums {
    /// The first day of the month and the day itself, in days since 1970.
    month: u32,
    day: u32,
    spent_in_month: NanoUsd,
    spent_in_day: NanoUsd,
    held: NanoUsd,
    /// The percents that were told of each window.
    told: [u8; 2],
}

impl Sums {
    /// Begins a new day, and a new month, where one has begun.
    pub(super) fn turn(&mut self, today: u32) {
        let month = month_of(today).0;
        if month != self.month {
            self.month = month;
            self.spent_in_month = NanoUsd::ZERO;
            self.told[Window::Month as usize] = 0;
        }
        if today != self.day {
            self.day = today;
            self.spent_in_day = NanoUsd::ZERO;
            self.told[Window::Day as usize] = 0;
        }
    }

    pub(super) const fn spent(&self, window: Window) -> NanoUsd {
        match window {
            Window::Day => self.spent_in_day,
            Window::Month => self.spent_in_month,
        }
    }

    /// The window whose limit `more` would break, what runs counted as spent.
    pub(super) fn breaks(&self, limits: &SpendLimits, more: NanoUsd) -> Option<Window> {
        Window::ALL.into_iter().find(|window| {
            let most = self.spent(*window).saturating_add(self.held).saturating_add(more);
            window.limit(limits).is_some_and(|limit| most > limit)
        })
    }

    /// Counts a charge; the percents of which windows are reached with it.
    pub(super) fn spend(
        &mut self,
        limits: &SpendLimits,
        charge: NanoUsd,
    ) -> Vec<(Window, u8, NanoUsd)> {
        self.spent_in_day = self.spent_in_day.saturating_add(charge);
        self.spent_in_month = self.spent_in_month.saturating_add(charge);
        let mut reached = Vec::new();
        for window in Window::ALL {
            let Some(limit) = window.limit(limits) else { continue };
            let spent = i128::from(self.spent(window).nanos()) * 100;
            let percent = TOLD_AT_PERCENT
                .into_iter()
                .rfind(|percent| spent >= i128::from(limit.nanos()) * i128::from(*percent));
            if let Some(percent) = percent.filter(|percent| *percent > self.told[window as usize]) {
                self.told[window as usize] = percent;
                reached.push((window, percent, limit));
            }
        }
        reached
    }
}

/// All keys with limits.
#[derive(Debug)]
pub(super) struct Spending {
    store: Arc<dyn weft_store::Ledger>,
    clock: Arc<dyn Clock>,
    keys: Mutex<BTreeMap<KeyId, Sums>>,
    alerts: mpsc::Sender<SpendAlert>,
    metrics: Metrics,
}

/// What an exchange may still spend of its key's limits. Dropped, it spends nothing more.
#[derive(Debug)]
pub(super) struct SpendHold(Option<Limited>);

#[derive(Debug)]
struct Limited {
    spending: Arc<Spending>,
    payer: Payer,
    held: NanoUsd,
}

impl Spending {
    pub(super) fn new(
        store: Arc<dyn weft_store::Ledger>,
        clock: Arc<dyn Clock>,
        alerts: mpsc::Sender<SpendAlert>,
        metrics: Metrics,
    ) -> Self {
        Self { store, clock, keys: Mutex::default(), alerts, metrics }
    }

    /// Counts `amount` as what an exchange may spend.
    pub(super) async fn hold(
        self: &Arc<Self>,
        payer: &Payer,
        amount: NanoUsd,
    ) -> Result<SpendHold, HoldRefused> {
        if payer.limits == SpendLimits::default() {
            return Ok(SpendHold(None));
        }
        let today = self.today();
        let known = self.keys().contains_key(&payer.key);
        if !known {
            let sums = self.read(payer, today).await?;
            let mut keys = self.keys();
            if keys.len() >= KEYS_MAX {
                keys.retain(|_, sums| sums.held.is_positive());
            }
            keys.entry(payer.key).or_insert(sums);
        }
        let mut keys = self.keys();
        let sums = keys.entry(payer.key).or_default();
        sums.turn(today);
        if let Some(window) = sums.breaks(&payer.limits, amount) {
            return Err(refused(window, today));
        }
        sums.held = sums.held.saturating_add(amount);
        drop(keys);
        let spending = Arc::clone(self);
        Ok(SpendHold(Some(Limited { spending, payer: *payer, held: amount })))
    }

    /// What the store knows of a key's day and month.
    async fn read(&self, payer: &Payer, today: u32) -> Result<Sums, HoldRefused> {
        let (month, next) = month_of(today);
        let moment = |day: u32| Timestamp::from_micros(u64::from(day) * DAY_MICROS);
        let wanted = SpendWanted {
            user: payer.user,
            key: Some(payer.key),
            from: moment(month),
            until: moment(next),
        };
        let days = self.store.spent(&wanted).await.map_err(|error| {
            tracing::warn!(error = %causes(&error), "what a key has spent cannot be read");
            HoldRefused::Unavailable
        })?;
        let mut sums = Sums { month, day: today, ..Sums::default() };
        for Day { number, charged, .. } in days {
            sums.spent_in_month = sums.spent_in_month.saturating_add(charged);
            if number == today {
                sums.spent_in_day = charged;
            }
        }
        Ok(sums)
    }

    fn today(&self) -> u32 {
        u32::try_from(self.clock.now().as_micros() / DAY_MICROS).unwrap_or(u32::MAX)
    }

    fn keys(&self) -> MutexGuard<'_, BTreeMap<KeyId, Sums>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SpendHold {
    /// Counts more, or nothing where a limit would be broken.
    pub(super) fn grow(&mut self, more: NanoUsd) -> bool {
        let Some(limited) = &mut self.0 else { return true };
        let today = limited.spending.today();
        let mut keys = limited.spending.keys();
        let sums = keys.entry(limited.payer.key).or_default();
        sums.turn(today);
        if sums.breaks(&limited.payer.limits, more).is_some() {
            return false;
        }
        sums.held = sums.held.saturating_add(more);
        limited.held = limited.held.saturating_add(more);
        true
    }

    /// Takes back what was grown.
    pub(super) fn shrink(&mut self, less: NanoUsd) {
        let Some(limited) = &mut self.0 else { return };
        let less = less.min(limited.held);
        limited.held = limited.held.saturating_sub(less);
        let mut keys = limited.spending.keys();
        let sums = keys.entry(limited.payer.key).or_default();
        sums.held = sums.held.saturating_sub(less);
    }

    /// What a growth by `more` is refused with.
    pub(super) fn refused(&self, more: NanoUsd) -> HoldRefused {
        let Some(limited) = &self.0 else { return HoldRefused::Unavailable };
        let today = limited.spending.today();
        let keys = limited.spending.keys();
        let window = keys
            .get(&limited.payer.key)
            .and_then(|sums| sums.breaks(&limited.payer.limits, more))
            .unwrap_or(Window::Day);
        refused(window, today)
    }

    /// Counts a charge as spent, and ends the hold.
    pub(super) fn spend(&mut self, charge: NanoUsd) {
        let Some(limited) = self.0.take() else { return };
        let Limited { spending, payer, held } = limited;
        let today = spending.today();
        let reached = {
            let mut keys = spending.keys();
            let sums = keys.entry(payer.key).or_default();
            sums.turn(today);
            sums.held = sums.held.saturating_sub(held);
            let reached = sums.spend(&payer.limits, charge);
            reached
                .into_iter()
                .map(|(window, percent, limit)| (window, percent, limit, sums.spent(window)))
                .collect::<Vec<_>>()
        };
        let at = spending.clock.now();
        for (window, percent, limit, spent) in reached {
            let Payer { user, key, .. } = payer;
            let alert = SpendAlert { user, key, window, percent, spent, limit, at };
            tracing::info!(%key, window = window.name(), percent, %spent, "spend limit");
            if spending.alerts.try_send(alert).is_err() {
                spending.metrics.alert_dropped();
            }
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
    let until = match window {
        Window::Day => today.saturating_add(1),
        Window::Month => month_of(today).1,
    };
    let resets_at = Timestamp::from_micros(u64::from(until) * DAY_MICROS);
    HoldRefused::SpendLimit { window, resets_at }
}

/// The first day of the month of `day`, and of the month after it, in days since 1970.
fn month_of(day: u32) -> (u32, u32) {
    let epoch = jiff::civil::date(1970, 1, 1);
    let days = |date: jiff::civil::Date| {
        let since = date.since(epoch).map_or(0, |span| span.get_days());
        u32::try_from(since).unwrap_or(0)
    };
    let date = epoch.checked_add(jiff::Span::new().days(i64::from(day))).unwrap_or(epoch);
    let first = date.first_of_month();
    (days(first), days(date.last_of_month()).saturating_add(1))
}

#[cfg(test)]
mod tests;
