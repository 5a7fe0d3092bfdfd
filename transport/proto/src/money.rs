//! Money: integers with a unit in their type, and the only places where anything is rounded.
//!
//! Unit prices are whole pico-USD, amounts are whole nano-USD, shares are parts per million. A list
//! price is the exact sum of `units × unit price` and is never rounded itself: a charge rounds it up
//! once, an income rounds it down once, and what lies between the two belongs to an account of its
//! own. Everything that could overflow says so instead. Nothing here knows floats: arithmetic with
//! them does not compile.

#![deny(clippy::float_arithmetic)]

use std::fmt;
use std::str::FromStr;

/// Decimals of an amount in USD.
const NANO_DECIMALS: usize = 9;

/// Decimals of a unit price in USD.
const PICO_DECIMALS: usize = 12;

/// Pico-USD in one nano-USD, times the parts of a whole ratio: what a list price times a ratio is
/// divided by to be an amount.
const PICO_PPM_PER_NANO: i128 = 1_000 * 1_000_000;

/// A text that is no amount of money, or one out of range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an amount: want decimal USD such as 10.00, at most {decimals} decimals")]
pub struct InvalidAmount {
    decimals: usize,
}

/// An amount: whole nano-USD, positive or negative.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(transparent)]
pub struct NanoUsd(i64);

impl NanoUsd {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// The largest amount.
    pub const MAX: Self = Self(i64::MAX);

    /// So many nano-USD.
    #[must_use]
    pub const fn new(nanos: i64) -> Self {
        Self(nanos)
    }

    /// Whole nano-USD.
    #[must_use]
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// The sum; `None` where it is out of range.
    #[must_use]
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// The difference; `None` where it is out of range.
    #[must_use]
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(difference) => Some(Self(difference)),
            None => None,
        }
    }

    /// The sum, held at the ends of the range: for bounds and estimates, never for postings.
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference, held at the ends of the range: for bounds and estimates, never for postings.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// Whether it is more than nothing.
    #[must_use]
    pub const fn is_positive(self) -> bool {
        self.0 > 0
    }

    /// Whether it is less than nothing.
    #[must_use]
    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }
}

/// Decimal USD with a point and two to nine decimals: `10.00`, `-0.000000123`.
impl fmt::Display for NanoUsd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        decimal(f, i128::from(self.0), NANO_DECIMALS)
    }
}

impl FromStr for NanoUsd {
    type Err = InvalidAmount;

    fn from_str(text: &str) -> Result<Self, InvalidAmount> {
        parse_decimal(text, NANO_DECIMALS).map(Self)
    }
}

/// The price of one unit: whole pico-USD, never negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnitPrice(i64);

impl UnitPrice {
    /// Free of charge.
    pub const FREE: Self = Self(0);

    /// So many pico-USD a unit; `None` where that is negative.
    #[must_use]
    pub const fn from_pico(pico: i64) -> Option<Self> {
        if pico < 0 { None } else { Some(Self(pico)) }
    }

    /// Whole pico-USD.
    #[must_use]
    pub const fn pico(self) -> i64 {
        self.0
    }
}

/// Decimal USD a unit with a point and two to twelve decimals.
impl fmt::Display for UnitPrice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        decimal(f, i128::from(self.0), PICO_DECIMALS)
    }
}

impl FromStr for UnitPrice {
    type Err = InvalidAmount;

    fn from_str(text: &str) -> Result<Self, InvalidAmount> {
        let pico = parse_decimal(text, PICO_DECIMALS)?;
        Self::from_pico(pico).ok_or(InvalidAmount { decimals: PICO_DECIMALS })
    }
}

/// A share of a list price in parts per million: a user's zone, an account's tier, a factor of the
/// price book.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct Ratio(u32);

impl Ratio {
    /// All of it.
    pub const ONE: Self = Self(1_000_000);

    /// Nothing of it.
    pub const ZERO: Self = Self(0);

    /// So many parts per million.
    #[must_use]
    pub const fn from_ppm(ppm: u32) -> Self {
        Self(ppm)
    }

    /// Parts per million.
    #[must_use]
    pub const fn ppm(self) -> u32 {
        self.0
    }
}

/// An exact list price in pico-USD: the sum of units times unit prices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ListPrice(i128);

impl ListPrice {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// So many pico-USD; `None` where that is negative.
    #[must_use]
    pub const fn from_pico(pico: i128) -> Option<Self> {
        if pico < 0 { None } else { Some(Self(pico)) }
    }

    /// Exact pico-USD.
    #[must_use]
    pub const fn pico(self) -> i128 {
        self.0
    }

    /// The price with `units` at `price` added; `None` where it is out of range.
    #[must_use]
    pub fn plus(self, units: u64, price: UnitPrice) -> Option<Self> {
        let more = i128::from(units).checked_mul(i128::from(price.0))?;
        self.0.checked_add(more).map(Self)
    }

    /// What a user pays of it: rounded up, so that nothing that costs is free.
    #[must_use]
    pub fn charge(self, zone: Ratio) -> Option<NanoUsd> {
        let exact = self.0.checked_mul(i128::from(zone.0))?;
        let up = exact.checked_add(PICO_PPM_PER_NANO - 1)? / PICO_PPM_PER_NANO;
        i64::try_from(up).ok().map(NanoUsd)
    }

    /// What an owner earns of it: rounded down.
    #[must_use]
    pub fn income(self, tier: Ratio) -> Option<NanoUsd> {
        let exact = self.0.checked_mul(i128::from(tier.0))?;
        i64::try_from(exact / PICO_PPM_PER_NANO).ok().map(NanoUsd)
    }
}

fn decimal(f: &mut fmt::Formatter<'_>, value: i128, decimals: usize) -> fmt::Result {
    let scale = 10_i128.pow(u32::try_from(decimals).unwrap_or_default());
    let (whole, part) =
        (value.unsigned_abs() / scale.unsigned_abs(), value.unsigned_abs() % scale.unsigned_abs());
    let part = format!("{part:0decimals$}");
    let kept = part.trim_end_matches('0').len().max(2);
    let sign = if value < 0 { "-" } else { "" };
    write!(f, "{sign}{whole}.{}", &part[..kept])
}

fn parse_decimal(text: &str, decimals: usize) -> Result<i64, InvalidAmount> {
    let invalid = InvalidAmount { decimals };
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_number(whole) || !is_number(part) || part.len() > decimals {
        return Err(invalid);
    }
    if digits.ends_with('.') {
        return Err(invalid);
    }
    let value: i128 = format!("{whole}{part:0<decimals$}").parse().map_err(|_| invalid)?;
    i64::try_from(if negative { -value } else { value }).map_err(|_| invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_and_shown_without_losing_a_nano() {
        for (text, nanos, shown) in [
            ("10.00", 10_000_000_000, "10.00"),
            ("0.000000001", 1, "0.000000001"),
            ("-1.5", -1_500_000_000, "-1.50"),
            ("7", 7_000_000_000, "7.00"),
            ("9223372036.854775807", i64::MAX, "9223372036.854775807"),
        ] {
            let amount: NanoUsd = text.parse().expect("an amount");
            assert_eq!(amount.nanos(), nanos, "{text}");
            assert_eq!(amount.to_string(), shown);
        }
        for bad in
            ["", ".", "1.", ".5", "1e3", "+1", "1,0", "--1", "0.0000000001", "9223372037", " 1"]
        {
            assert!(bad.parse::<NanoUsd>().is_err(), "{bad:?}");
        }
        assert!("-1".parse::<UnitPrice>().is_err());
    }

    #[test]
    fn a_charge_rounds_up_and_an_income_rounds_down() {
        let list = ListPrice::ZERO.plus(3, UnitPrice(333)).expect("in range");
        assert_eq!(list.charge(Ratio::ONE), Some(NanoUsd(1)));
        assert_eq!(list.income(Ratio::ONE), Some(NanoUsd(0)));
        let whole = ListPrice::from_pico(5_000).expect("a price");
        assert_eq!(whole.charge(Ratio::ONE), Some(NanoUsd(5)));
        assert_eq!(whole.income(Ratio::from_ppm(800_000)), Some(NanoUsd(4)));
        assert_eq!(ListPrice(i128::MAX).charge(Ratio::ONE), None);
        assert_eq!(ListPrice::ZERO.charge(Ratio::from_ppm(u32::MAX)), Some(NanoUsd::ZERO));
    }
}
