//! Decimal numbers as price lists write them, read exactly.

use weft_proto::money::{Ratio, UnitPrice};

/// The most digits that a number may have: what fits an `i128` with room for the unit's power.
const DIGITS_MAX: usize = 24;

/// The largest power of ten, either way, that is looked at.
const EXPONENT_MAX: i32 = 30;

/// Pico-USD in one USD, as a power of ten.
const PICO_POWER: i32 = 12;

/// Parts per million in the whole, as a power of ten.
const PPM_POWER: i32 = 6;

/// Milliseconds of an hour, without five powers of ten.
const MILLIS_PER_HOUR_REST: i128 = 36;

/// A number of so many digits times a power of ten; never negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Decimal {
    digits: i128,
    power: i32,
}

/// A price that is a whole number of pico-USD, or the next one to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rounded {
    /// The price.
    pub(super) price: UnitPrice,
    /// Whether nothing was lost.
    pub(super) exact: bool,
}

impl Decimal {
    /// Reads `12`, `0.15`, `4e-07`, `1.25E-6`; `None` for anything else, and for what is negative or
    /// has too many digits.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (mantissa, power) = match text.split_once(['e', 'E']) {
            None => (text, 0),
            Some((mantissa, power)) => {
                let digits = power.trim_start_matches(['+', '-']);
                let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
                (mantissa, power.parse::<i32>().ok().filter(|_| plain)?)
            }
        };
        let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
        let number =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !number(whole) || !number(part) {
            return None;
        }
        let part = part.trim_end_matches('0');
        let digits = format!("{whole}{part}");
        let digits = digits.trim_start_matches('0');
        if digits.len() > DIGITS_MAX || power.abs() > EXPONENT_MAX {
            return None;
        }
        let power = power.checked_sub(i32::try_from(part.len()).ok()?)?;
        let digits = if digits.is_empty() { 0 } else { digits.parse().ok()? };
        Some(Self { digits, power })
    }

    /// USD for `10^per` units, as the price of one unit, rounded to the next whole pico-USD where it
    /// has to be; `None` where it is out of range.
    pub(super) fn price(self, per: i32) -> Option<Rounded> {
        let (pico, exact) = self.scaled(PICO_POWER - per)?;
        let price = UnitPrice::from_pico(i64::try_from(pico).ok()?)?;
        Some(Rounded { price, exact })
    }

    /// USD an hour, as the price of a millisecond.
    pub(super) fn price_of_hour(self) -> Option<Rounded> {
        // 3,600,000 milliseconds: the power of ten first, which is exact, and then the rest.
        let (pico, exact) = self.scaled(PICO_POWER - 5)?;
        let (whole, rest) = (pico / MILLIS_PER_HOUR_REST, pico % MILLIS_PER_HOUR_REST);
        let up = i128::from(rest * 2 >= MILLIS_PER_HOUR_REST);
        let price = UnitPrice::from_pico(i64::try_from(whole + up).ok()?)?;
        Some(Rounded { price, exact: exact && rest == 0 })
    }

    /// The number as a factor in parts per million; `None` where it is not whole.
    pub(super) fn ratio(self) -> Option<Ratio> {
        let (ppm, exact) = self.scaled(PPM_POWER)?;
        u32::try_from(ppm).ok().filter(|_| exact).map(Ratio::from_ppm)
    }

    /// The number as a count; `None` where it is not whole.
    pub(super) fn count(self) -> Option<u64> {
        let (count, exact) = self.scaled(0)?;
        u64::try_from(count).ok().filter(|_| exact)
    }

    /// Whether it is nothing.
    pub(super) const fn is_zero(self) -> bool {
        self.digits == 0
    }

    /// The number times a power of ten, half a unit rounded up, and whether that was exact.
    fn scaled(self, by: i32) -> Option<(i128, bool)> {
        let power = self.power.checked_add(by)?;
        let scale = |power: i32| 10_i128.checked_pow(u32::try_from(power).ok()?);
        if power >= 0 {
            if self.digits == 0 {
                return Some((0, true));
            }
            return Some((self.digits.checked_mul(scale(power)?)?, true));
        }
        // Below every digit there is: nothing, and lost where there was something.
        let Some(divisor) = scale(-power) else {
            return Some((0, self.digits == 0));
        };
        let (whole, rest) = (self.digits / divisor, self.digits % divisor);
        let up = i128::from(rest >= divisor - rest && rest > 0);
        Some((whole + up, rest == 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn prices_are_read_as_the_decimal_text_that_they_are() {
        for (text, per, pico) in [
            ("4e-07", 0, 400_000),
            ("0.0000004", 0, 400_000),
            ("1.3749999999999999e-06", 0, 1_375_000),
            ("0.15", 6, 150_000),
            ("10", 3, 10_000_000_000),
            ("0.0001", 3, 100_000),
            ("1.5E-05", 0, 15_000_000),
            ("0", 0, 0),
            ("0.0", 6, 0),
            ("2", 6, 2_000_000),
        ] {
            let price = Decimal::parse(text).and_then(|number| number.price(per));
            assert_eq!(price.map(|read| read.price.pico()), Some(pico), "{text}");
        }
        for bad in ["", ".5", "5.", "-1", "1e", "1e+", "0x1", "1_0", "NaN", "1e999", "١", " 1"] {
            assert_eq!(Decimal::parse(bad), None, "{bad:?}");
        }
        let exact = |text: &str, per| {
            Decimal::parse(text).and_then(|number| number.price(per)).map(|read| read.exact)
        };
        assert_eq!(exact("0.000283333333333", 3), Some(false));
        assert_eq!(exact("0.0001", 3), Some(true));
        assert_eq!(
            Decimal::parse("1.1").and_then(Decimal::ratio),
            Some(Ratio::from_ppm(1_100_000))
        );
        assert_eq!(Decimal::parse("1.23456789").and_then(Decimal::ratio), None);
        assert_eq!(Decimal::parse("1e20").and_then(|number| number.price(0)), None);
    }

    proptest! {
        #[test]
        fn every_whole_pico_usd_comes_back_from_any_spelling(pico in 0_i64..i64::MAX, power in 0_i32..12) {
            let plain = UnitPrice::from_pico(pico).expect("a price").to_string();
            let read = Decimal::parse(&plain).and_then(|number| number.price(0));
            prop_assert_eq!(read, UnitPrice::from_pico(pico).map(|price| Rounded { price, exact: true }));
            let shifted = format!("{plain}e{power}");
            let read = Decimal::parse(&shifted).and_then(|number| number.price(power));
            prop_assert_eq!(read, UnitPrice::from_pico(pico).map(|price| Rounded { price, exact: true }));
        }
    }
}
