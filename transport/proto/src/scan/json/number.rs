//! Numbers: collected whole, because a number says nothing before its last digit.

use super::{JsonError, MAX_NUMBER_BYTES, Token, Tokenizer};

impl Tokenizer {
    /// Takes the bytes of a number from the front of `bytes`; returns what follows them.
    pub(super) fn digits<'b, E: From<JsonError>>(
        &mut self,
        bytes: &'b [u8],
        on: &mut impl FnMut(usize, Token<'_>) -> Result<(), E>,
    ) -> Result<&'b [u8], E> {
        let len = bytes
            .iter()
            .position(|byte| !matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'))
            .unwrap_or(bytes.len());
        let (digits, rest) = bytes.split_at(len);
        if self.number.len() + digits.len() > MAX_NUMBER_BYTES {
            return Err(JsonError::NumberTooLong.into());
        }
        self.number.extend_from_slice(digits);
        if !rest.is_empty() {
            self.number_end(on)?;
        }
        Ok(rest)
    }

    /// Checks and reports the number that has been collected.
    pub(super) fn number_end<E: From<JsonError>>(
        &mut self,
        on: &mut impl FnMut(usize, Token<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.state = self.after_value();
        match std::str::from_utf8(&self.number) {
            Ok(text) if is_number(text.as_bytes()) => on(self.depth, Token::Number(text)),
            Ok(_) | Err(_) => Err(JsonError::BadNumber.into()),
        }
    }
}

/// `-? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?`
fn is_number(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let (whole, text) = leading_digits(text);
    if whole.is_empty() || (whole.len() > 1 && whole[0] == b'0') {
        return false;
    }
    let text = match text.strip_prefix(b".") {
        None => text,
        Some(fraction) => match leading_digits(fraction) {
            ([], _) => return false,
            (_, rest) => rest,
        },
    };
    match text.split_first() {
        None => true,
        Some((b'e' | b'E', exponent)) => {
            let exponent = match exponent.split_first() {
                Some((b'+' | b'-', digits)) => digits,
                _ => exponent,
            };
            matches!(leading_digits(exponent), ([_, ..], []))
        }
        Some(_) => false,
    }
}

fn leading_digits(text: &[u8]) -> (&[u8], &[u8]) {
    let len = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(len)
}
