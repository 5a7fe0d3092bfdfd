//! The sums of one key: what it has spent in which day and month, and what its exchanges hold.
//!
//! A period has the name of its first day in UTC, and a charge belongs to the day of its settlement.
//! Sums are kept by that name: a clock that steps forth and back finds each day as it was left, and
//! gives nothing back.
//!
//! Two parts make a sum: what the store had when it was read last, whichever node settled it, and
//! what this node has settled that this reading may not have seen. A charge leaves the second part
//! with the first reading that began after it was posted, so that no charge is ever missed; one
//! posted while a reading runs may count twice until the next.

use super::Window;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;
use weft_proto::money::NanoUsd;
use weft_store::SpendLimits;

/// Parts of a limit at which somebody is told, percent.
const TOLD_AT_PERCENT: [u8; 2] = [80, 100];
/// Months that are kept of one key: this one, and the one that the clock said before.
const MONTHS_MAX: usize = 2;
/// After so long all of a month is read again, not its last two days alone: nodes may have settled
/// what their store did not take for a while.
const WHOLE_EVERY: Duration = Duration::from_secs(3_600);

/// Amounts by day, in days since 1970.
pub(super) type Days = BTreeMap<u32, NanoUsd>;

/// A part of a limit that is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reached {
    pub(super) window: Window,
    pub(super) percent: u8,
    pub(super) spent: NanoUsd,
    pub(super) limit: NanoUsd,
}

/// The days that are to be read, `until` left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reading {
    month: u32,
    pub(super) from: u32,
    pub(super) until: u32,
}

/// The sums of one key.
#[derive(Debug, Default)]
pub(super) struct Sums {
    held: NanoUsd,
    /// By the first day of each.
    months: BTreeMap<u32, Month>,
    /// Settled here, and not posted yet.
    settled: Days,
    /// Settled here and posted before the last reading began.
    posted: Days,
    /// Settled here and posted since.
    posted_since: Days,
}

/// What the store had of one month.
#[derive(Debug)]
struct Month {
    /// The first day of the next.
    until: u32,
    days: Days,
    read_at: Instant,
    whole_at: Instant,
    /// The limit, and how much of it was told, percent, by the first day of the window.
    told: BTreeMap<(Window, u32), (NanoUsd, u8)>,
}

impl Sums {
    /// What is spent in the window that has `today`.
    pub(super) fn spent(&self, window: Window, today: u32) -> NanoUsd {
        let (from, until) = window.days(today);
        let read = self.months.get(&month_of(today).0).map(|month| &month.days);
        [Some(&self.settled), Some(&self.posted), Some(&self.posted_since), read]
            .into_iter()
            .flatten()
            .flat_map(|days| days.range(from..until))
            .fold(NanoUsd::ZERO, |sum, (_, charged)| sum.saturating_add(*charged))
    }

    /// The window whose limit `more` would break, what runs counted as spent.
    pub(super) fn breaks(&self, limits: &SpendLimits, more: NanoUsd, today: u32) -> Option<Window> {
        Window::ALL.into_iter().find(|window| {
            let Some(limit) = window.limit(limits) else { return false };
            let most = self.spent(*window, today).saturating_add(self.held);
            most.saturating_add(more) > limit
        })
    }

    pub(super) fn hold(&mut self, more: NanoUsd) {
        self.held = self.held.saturating_add(more);
    }

    pub(super) fn release(&mut self, less: NanoUsd) {
        self.held = self.held.saturating_sub(less);
    }

    /// Counts what this node has settled on `day`, and has not posted yet.
    pub(super) fn settle(&mut self, day: u32, charge: NanoUsd) {
        add(&mut self.settled, day, charge);
    }

    /// Counts what the store has taken of that: `loss` of it the user has not paid.
    pub(super) fn post(&mut self, day: u32, charge: NanoUsd, loss: NanoUsd) {
        self.count(day, charge.saturating_sub(loss));
        if let Some(settled) = self.settled.get_mut(&day) {
            *settled = settled.saturating_sub(charge);
            if !settled.is_positive() {
                self.settled.remove(&day);
            }
        }
    }

    /// Counts what the store has taken of an exchange that was not counted while it ran.
    pub(super) fn count(&mut self, day: u32, charge: NanoUsd) {
        add(&mut self.posted_since, day, charge);
    }

    /// Whether the store was read for the month of `today`, and when last.
    pub(super) fn read_at(&self, today: u32) -> Option<Instant> {
        self.months.get(&month_of(today).0).map(|month| month.read_at)
    }

    /// Begins to read the month of `today`. One reading at a time; one that is given up is none.
    pub(super) fn begin(&mut self, today: u32, now: Instant) -> Reading {
        let (month, until) = month_of(today);
        for (day, charged) in std::mem::take(&mut self.posted_since) {
            add(&mut self.posted, day, charged);
        }
        // Days of months that are not kept are read with those when they are asked for.
        let kept: Vec<_> = self.months.iter().map(|(first, month)| *first..month.until).collect();
        self.posted.retain(|day, _| {
            (month..until).contains(day) || kept.iter().any(|month| month.contains(day))
        });
        let known = self.months.get(&month);
        let whole = known.is_none_or(|known| now.duration_since(known.whole_at) >= WHOLE_EVERY);
        let from = if whole { month } else { today.saturating_sub(1).clamp(month, until) };
        Reading { month, from, until }
    }

    /// Takes what was read.
    pub(super) fn end(&mut self, reading: Reading, read: &Days, now: Instant) {
        let Reading { month: first, from, until } = reading;
        let month = self.months.entry(first).or_insert_with(|| Month {
            until,
            days: Days::new(),
            read_at: now,
            whole_at: now,
            told: BTreeMap::new(),
        });
        month.days.retain(|day, _| *day < from);
        month.days.extend(read.range(from..until));
        month.read_at = now;
        if from == first {
            month.whole_at = now;
        }
        self.posted.retain(|day, _| !(from..until).contains(day));
        if self.months.len() > MONTHS_MAX {
            let others = self.months.iter().filter(|(month, _)| **month != first);
            let oldest = others.min_by_key(|(_, month)| month.read_at);
            if let Some(oldest) = oldest.map(|(month, _)| *month) {
                self.months.remove(&oldest);
            }
        }
    }

    /// The store was asked and did not answer: what is known of `today` counts as read, where
    /// something is.
    pub(super) fn give_up(&mut self, today: u32, now: Instant) -> bool {
        let month = self.months.get_mut(&month_of(today).0);
        month.map(|month| month.read_at = now).is_some()
    }

    /// The parts of limits that are reached and were not told of.
    pub(super) fn reached(&mut self, limits: &SpendLimits, today: u32) -> Vec<Reached> {
        let mut reached = Vec::new();
        for window in Window::ALL {
            let Some(limit) = window.limit(limits) else { continue };
            let spent = self.spent(window, today);
            let times_hundred = i128::from(spent.nanos()) * 100;
            let percent = TOLD_AT_PERCENT
                .into_iter()
                .rfind(|percent| times_hundred >= i128::from(limit.nanos()) * i128::from(*percent));
            let Some(percent) = percent else { continue };
            let Some(month) = self.months.get_mut(&month_of(today).0) else { continue };
            let told = month.told.entry((window, window.days(today).0)).or_insert((limit, 0));
            // Another limit is told of anew.
            if told.0 != limit {
                *told = (limit, 0);
            }
            if percent > told.1 {
                told.1 = percent;
                reached.push(Reached { window, percent, spent, limit });
            }
        }
        reached
    }

    /// Whether nothing is lost where it is forgotten: the store knows as much.
    pub(super) fn is_idle(&self) -> bool {
        !self.held.is_positive() && self.settled.is_empty()
    }

    /// Whether no month was read yet.
    pub(super) fn is_new(&self) -> bool {
        self.months.is_empty()
    }

    /// Whether exchanges of the key run.
    pub(super) const fn runs(&self) -> bool {
        self.held.is_positive()
    }
}

impl Window {
    pub(super) const ALL: [Self; 2] = [Self::Day, Self::Month];

    const fn limit(self, limits: &SpendLimits) -> Option<NanoUsd> {
        match self {
            Self::Day => limits.day,
            Self::Month => limits.month,
        }
    }

    /// The first day of the window that has `today`, and the first after it.
    pub(super) fn days(self, today: u32) -> (u32, u32) {
        match self {
            Self::Day => (today, today.saturating_add(1)),
            Self::Month => month_of(today),
        }
    }
}

fn add(days: &mut Days, day: u32, amount: NanoUsd) {
    if amount.is_positive() {
        let sum = days.entry(day).or_default();
        *sum = sum.saturating_add(amount);
    }
}

/// The first day of the month of `day`, and of the month after it, in days since 1970.
pub(super) fn month_of(day: u32) -> (u32, u32) {
    let epoch = jiff::civil::date(1970, 1, 1);
    let days = |date: jiff::civil::Date| {
        let since = date.since(epoch).map_or(0, |span| span.get_days());
        u32::try_from(since).unwrap_or(0)
    };
    // A clock can say anything: what no calendar has is in its first month.
    let since = jiff::Span::new().try_days(i64::from(day));
    let date = since.and_then(|since| epoch.checked_add(since)).unwrap_or(epoch);
    let first = date.first_of_month();
    (days(first), days(date.last_of_month()).saturating_add(1))
}
