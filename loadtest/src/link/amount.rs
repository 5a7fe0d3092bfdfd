//! Amounts as people write them: shares (`2%`), rates (`20mbit`), sizes (`256KiB`), durations
//! (`50ms`).
//!
//! Each is parsed once, at the edge; behind it a share is never above the whole and a rate never
//! zero.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;
use std::time::Duration;

/// Nanoseconds of a second.
const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// Why a text is no such amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no {what}")]
pub struct NoAmount {
    text: String,
    what: &'static str,
}

impl NoAmount {
    fn new(text: &str, what: &'static str) -> Self {
        Self { text: text.to_owned(), what }
    }
}

/// A part of a whole, in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Share(u32);

impl Share {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// The whole.
    pub const ALL: Self = Self(1_000_000);

    /// So many of a million; nothing where that is more than all.
    #[must_use]
    pub const fn from_millionths(millionths: u32) -> Option<Self> {
        if millionths <= Self::ALL.0 { Some(Self(millionths)) } else { None }
    }

    /// How many of a million.
    #[must_use]
    pub const fn millionths(self) -> u32 {
        self.0
    }
}

impl FromStr for Share {
    type Err = NoAmount;

    /// A percentage between 0 and 100 with up to four decimals; the sign may be left out.
    fn from_str(text: &str) -> Result<Self, NoAmount> {
        let refused =
            || NoAmount::new(text, "share: write a percentage from 0 to 100, such as 0.5%");
        let number = text.strip_suffix('%').unwrap_or(text).trim_end();
        let millionths = decimal(number, 4).ok_or_else(refused)?;
        u32::try_from(millionths).ok().and_then(Self::from_millionths).ok_or_else(refused)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", f64::from(self.0) / 10_000.0)
    }
}

/// Bits a second, at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate(NonZeroU64);

impl Rate {
    /// So many bits a second; nothing where that is none.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Option<Self> {
        match NonZeroU64::new(bits) {
            Some(bits) => Some(Self(bits)),
            None => None,
        }
    }

    /// Bits a second.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0.get()
    }

    /// How long so many bytes take; rounded up to the nanosecond, so that no more than the rate
    /// ever passes.
    #[must_use]
    pub fn time_of(self, bytes: usize) -> Duration {
        let bits = bytes as u128 * 8;
        let nanos = (bits * NANOS_PER_SECOND).div_ceil(u128::from(self.bits()));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// How many whole bytes pass in `time`.
    #[must_use]
    pub fn bytes_in(self, time: Duration) -> u64 {
        let bytes = time.as_nanos() * u128::from(self.bits()) / (8 * NANOS_PER_SECOND);
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }
}

impl FromStr for Rate {
    type Err = NoAmount;

    fn from_str(text: &str) -> Result<Self, NoAmount> {
        let refused =
            || NoAmount::new(text, "rate: write bits a second, such as 20mbit or 512kbit");
        let units = [("kbit", 3), ("mbit", 6), ("gbit", 9), ("bit", 0)];
        let lower = text.to_ascii_lowercase();
        let (number, decimals) = units
            .iter()
            .find_map(|(unit, decimals)| Some((lower.strip_suffix(unit)?, *decimals)))
            .ok_or_else(refused)?;
        decimal(number, decimals).and_then(Self::from_bits).ok_or_else(refused)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = self.bits();
        let (unit, size) = match bits {
            1_000_000_000.. => ("Gbit/s", 1_000_000_000),
            1_000_000.. => ("Mbit/s", 1_000_000),
            1_000.. => ("kbit/s", 1_000),
            0.. => ("bit/s", 1),
        };
        write!(f, "{} {unit}", bits as f64 / size as f64)
    }
}

/// Reads a size in bytes: `65536`, `64KiB`, `1MiB`.
///
/// # Errors
/// [`NoAmount`].
pub fn size(text: &str) -> Result<u64, NoAmount> {
    let refused = || NoAmount::new(text, "size: write bytes, KiB or MiB, such as 256KiB");
    let units = [("KiB", 1_024), ("MiB", 1_048_576), ("B", 1), ("", 1)];
    let found = units.iter().find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, *bytes)));
    let (number, bytes) = found.ok_or_else(refused)?;
    let number = decimal(number, 0).ok_or_else(refused)?;
    number.checked_mul(bytes).ok_or_else(refused)
}

/// Reads a duration: `250us`, `50ms`, `1.5s`, `10min`, `2h`.
///
/// # Errors
/// [`NoAmount`].
pub fn duration(text: &str) -> Result<Duration, NoAmount> {
    let refused = || NoAmount::new(text, "duration: write us, ms, s, min or h, such as 50ms");
    let units: [(&str, u32, u64); 5] =
        [("us", 3, 1), ("ms", 6, 1), ("min", 9, 60), ("s", 9, 1), ("h", 9, 3_600)];
    let (number, decimals, times) = units
        .iter()
        .find_map(|(unit, decimals, times)| Some((text.strip_suffix(unit)?, *decimals, *times)))
        .ok_or_else(refused)?;
    let nanos = decimal(number, decimals).and_then(|nanos| nanos.checked_mul(times));
    nanos.map(Duration::from_nanos).ok_or_else(refused)
}

/// `text` times ten to the power of `decimals`: digits, and at most so many of them behind a point.
fn decimal(text: &str, decimals: u32) -> Option<u64> {
    let text = text.trim_end();
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let missing = decimals.checked_sub(u32::try_from(fraction.len()).ok()?)?;
    if whole.is_empty() || !digits(whole) || !digits(fraction) {
        return None;
    }
    let fraction: u64 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let whole: u64 = whole.parse().ok()?;
    whole.checked_mul(10_u64.pow(decimals))?.checked_add(fraction * 10_u64.pow(missing))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_percentage_of_the_whole_at_most() {
        assert_eq!("2%".parse::<Share>().unwrap().millionths(), 20_000);
        assert_eq!("0.0001".parse::<Share>().unwrap().millionths(), 1);
        assert_eq!("100 %".parse(), Ok(Share::ALL));
        for text in ["100.0001%", "-1%", "%", "", "2 percent", "0.00001%", "1e1", "+1"] {
            assert!(text.parse::<Share>().is_err(), "{text}");
        }
        assert_eq!(Share::from_millionths(5_000).unwrap().to_string(), "0.5 %");
    }

    #[test]
    fn a_rate_has_a_unit_and_is_never_zero() {
        assert_eq!("1.5mbit".parse::<Rate>().unwrap().bits(), 1_500_000);
        assert_eq!("8kbit".parse::<Rate>().unwrap().bits(), 8_000);
        assert_eq!("1Gbit".parse::<Rate>().unwrap().to_string(), "1 Gbit/s");
        for text in ["0mbit", "20", "mbit", "20mbyte", "99999999999gbit", "0.1bit"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }

    #[test]
    fn time_at_a_rate_is_never_rounded_in_favour_of_the_packet() {
        let rate = Rate::from_bits(3).unwrap();
        assert_eq!(rate.time_of(1), Duration::from_nanos(2_666_666_667));
        assert_eq!(rate.bytes_in(rate.time_of(1)), 1);
        assert_eq!(rate.time_of(0), Duration::ZERO);
    }

    #[test]
    fn sizes_and_durations_have_units_that_people_use() {
        assert_eq!(size("256KiB"), Ok(262_144));
        assert_eq!(size("1MiB"), Ok(1_048_576));
        assert_eq!(size("9"), Ok(9));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1_500)));
        assert_eq!(duration("250us"), Ok(Duration::from_micros(250)));
        assert_eq!(duration("10min"), Ok(Duration::from_secs(600)));
        for text in ["5", "ms", "-5ms", "5 weeks", "0.0000000001s", "99999999999h"] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert!(size("1.5KiB").is_err());
        assert!(size("KiB").is_err());
    }
}
