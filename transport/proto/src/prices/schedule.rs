//! Parts of the week, in UTC, and days that do not count.

use super::Label;
use crate::time::Timestamp;

/// Minutes of a day.
pub const MINUTES_PER_DAY: u16 = 24 * 60;

/// Seconds of a day.
const SECONDS_PER_DAY: u64 = 24 * 60 * 60;

/// 1970-01-01 was a Thursday; days of the week count from Monday.
const WEEKDAY_OF_DAY_ZERO: u64 = 3;

/// A day in UTC: days since 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(u32);

impl Day {
    /// The day so many days after 1970-01-01.
    #[must_use]
    pub const fn from_number(days: u32) -> Self {
        Self(days)
    }

    /// Days since 1970-01-01.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }

    /// The day of a moment.
    #[must_use]
    pub fn of(at: Timestamp) -> Self {
        Self(u32::try_from(at.as_secs() / SECONDS_PER_DAY).unwrap_or(u32::MAX))
    }

    /// Its day of the week, Monday being 0.
    #[must_use]
    pub fn weekday(self) -> u8 {
        u8::try_from((u64::from(self.0) + WEEKDAY_OF_DAY_ZERO) % 7).unwrap_or_default()
    }
}

/// Days of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Weekdays(u8);

impl Weekdays {
    /// All seven.
    pub const ALL: Self = Self(0b111_1111);
    /// Monday to Friday.
    pub const WORKDAYS: Self = Self(0b001_1111);

    /// The days with these bits set, bit 0 being Monday; `None` where that is none, or more than a
    /// week has.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Option<Self> {
        if bits == 0 || bits > Self::ALL.0 { None } else { Some(Self(bits)) }
    }

    /// One bit a day, bit 0 being Monday.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether the day of the week, Monday being 0, is among them.
    #[must_use]
    pub const fn has(self, weekday: u8) -> bool {
        weekday < 7 && self.0 & (1 << weekday) != 0
    }
}

/// A time of the day on some days of the week, in UTC; it never goes past midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    days: Weekdays,
    from: u16,
    until: u16,
}

impl Window {
    /// From minute `from` of the day until before minute `until`; `None` where that is no time.
    #[must_use]
    pub const fn new(days: Weekdays, from: u16, until: u16) -> Option<Self> {
        if from < until && until <= MINUTES_PER_DAY {
            Some(Self { days, from, until })
        } else {
            None
        }
    }

    /// The days of the week.
    #[must_use]
    pub const fn days(self) -> Weekdays {
        self.days
    }

    /// The first minute of the day.
    #[must_use]
    pub const fn from(self) -> u16 {
        self.from
    }

    /// The minute of the day before which it ends.
    #[must_use]
    pub const fn until(self) -> u16 {
        self.until
    }

    /// Whether the two have a minute in common.
    #[must_use]
    pub const fn meets(self, other: Self) -> bool {
        self.days.0 & other.days.0 != 0 && self.from < other.until && other.from < self.until
    }
}

/// A named list of days, sorted, each once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Holidays {
    name: Label,
    days: Vec<Day>,
}

impl Holidays {
    /// Makes a list, in whatever order the days are given.
    #[must_use]
    pub fn new(name: Label, mut days: Vec<Day>) -> Self {
        days.sort_unstable();
        days.dedup();
        Self { name, days }
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &Label {
        &self.name
    }

    /// The days, the earliest first.
    #[must_use]
    pub fn days(&self) -> &[Day] {
        &self.days
    }

    /// Whether `day` is one of them.
    #[must_use]
    pub fn has(&self, day: Day) -> bool {
        self.days.binary_search(&day).is_ok()
    }
}

/// A named part of the week: its windows, except on the days of a list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Schedule {
    name: Label,
    except: Option<Label>,
    windows: Vec<Window>,
}

impl Schedule {
    /// Makes a schedule, in whatever order the windows are given.
    #[must_use]
    pub fn new(name: Label, mut windows: Vec<Window>, except: Option<Label>) -> Self {
        windows.sort_unstable();
        windows.dedup();
        Self { name, except, windows }
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &Label {
        &self.name
    }

    /// The list of days on which it never holds.
    #[must_use]
    pub const fn except(&self) -> Option<&Label> {
        self.except.as_ref()
    }

    /// Its windows, in order.
    #[must_use]
    pub fn windows(&self) -> &[Window] {
        &self.windows
    }

    /// Whether it holds at this moment, where `holidays` is the list that it names.
    #[must_use]
    pub fn holds_at(&self, at: Timestamp, holidays: Option<&Holidays>) -> bool {
        let day = Day::of(at);
        if holidays.is_some_and(|list| list.has(day)) {
            return false;
        }
        let minute = u16::try_from(at.as_secs() % SECONDS_PER_DAY / 60).unwrap_or_default();
        self.windows.iter().any(|window| {
            window.days.has(day.weekday()) && window.from <= minute && minute < window.until
        })
    }

    /// Whether there is a minute of the week in which both hold, holidays not considered.
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        self.windows.iter().any(|one| other.windows.iter().any(|two| one.meets(*two)))
    }
}
