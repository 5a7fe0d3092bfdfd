//! Spans of time as people write them: `90s`, `15m`, `12h`, `30d`.

use std::str::FromStr;

/// A span of time, whole seconds, at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) seconds: u64,
}

/// A text that is no span.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("want a number and a unit, such as 90s, 15m, 12h or 30d")]
pub(super) struct InvalidSpan;

impl FromStr for Span {
    type Err = InvalidSpan;

    fn from_str(text: &str) -> Result<Self, InvalidSpan> {
        let unit = text.chars().last().ok_or(InvalidSpan)?;
        let unit_seconds = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return Err(InvalidSpan),
        };
        let digits = &text[..text.len() - unit.len_utf8()];
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(InvalidSpan);
        }
        let number: u64 = digits.parse().map_err(|_| InvalidSpan)?;
        match number.checked_mul(unit_seconds) {
            Some(seconds) if seconds > 0 => Ok(Self { seconds }),
            Some(_) | None => Err(InvalidSpan),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_with_a_unit_are_spans_and_nothing_else_is() {
        for (text, seconds) in [("90s", 90), ("15m", 900), ("1h", 3_600), ("30d", 2_592_000)] {
            assert_eq!(text.parse(), Ok(Span { seconds }));
        }
        for bad in ["", "30", "d", "-1d", "+1d", "1.5h", "0s", "1w", "1 d", "99999999999999999999d"]
        {
            assert_eq!(bad.parse::<Span>(), Err(InvalidSpan), "{bad}");
        }
        assert_eq!(format!("{}d", u64::MAX).parse::<Span>(), Err(InvalidSpan));
    }
}
