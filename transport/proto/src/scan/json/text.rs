//! Strings: handed on in pieces, escapes undone, UTF-8 checked across any split.

use super::{JsonError, Piece, State, Token, Tokenizer, memchr2};

const HIGH_SURROGATES: std::ops::RangeInclusive<u16> = 0xd800..=0xdbff;
const LOW_SURROGATES: std::ops::RangeInclusive<u16> = 0xdc00..=0xdfff;

/// Bytes of a string that are looked at one by one.
const NEAR_BYTES: usize = 16;

impl Tokenizer {
    /// Takes string bytes up to a quote, a backslash or the end; returns what follows them.
    pub(super) fn text<'b, E: From<JsonError>>(
        &mut self,
        bytes: &'b [u8],
        key: bool,
        on: &mut impl FnMut(usize, Token<'_>) -> Result<(), E>,
    ) -> Result<&'b [u8], E> {
        let (raw, rest) = bytes.split_at(text_length(bytes));
        if !raw.is_empty() {
            self.lone_surrogate(on)?;
            // Folded without an early way out, so that it compiles to vector instructions.
            let (control, any) = raw
                .iter()
                .fold((false, 0), |(control, any), byte| (control | (*byte < 0x20), any | *byte));
            let plain = any.is_ascii() && self.utf8.is_empty();
            let mut utf8 = self.utf8;
            if control || !(plain || utf8.feed(raw).is_ok()) {
                self.faulty(raw, on)?;
            }
            self.utf8 = utf8;
            on(self.depth, Token::Text(Piece::Raw(raw)))?;
        }
        let Some((&stop, after)) = rest.split_first() else {
            return Ok(rest);
        };
        self.utf8.end()?;
        if stop == b'\\' {
            self.state = State::Escape { key };
            return Ok(after);
        }
        self.lone_surrogate(on)?;
        self.state = if key { State::Colon } else { self.after_value() };
        on(self.depth, Token::StringEnd)?;
        Ok(after)
    }

    /// Reads a piece that holds a fault again, byte by byte: the first fault of a body is named
    /// whatever its split.
    fn faulty<E: From<JsonError>>(
        &mut self,
        raw: &[u8],
        on: &mut impl FnMut(usize, Token<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        for byte in raw.chunks(1) {
            if byte.iter().any(|byte| *byte < 0x20) {
                return Err(JsonError::ControlCharacter.into());
            }
            self.utf8.feed(byte)?;
            on(self.depth, Token::Text(Piece::Raw(byte)))?;
        }
        // Whatever made the whole piece faulty has been met above.
        Err(JsonError::NotUtf8.into())
    }

    /// Handles the byte after a backslash.
    pub(super) fn escape<E: From<JsonError>>(
        &mut self,
        byte: u8,
        key: bool,
        on: &mut impl FnMut(usize, Token<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let character = match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                self.state = State::Unicode { key, digits: 0, unit: 0 };
                return Ok(());
            }
            _ => return Err(JsonError::BadEscape.into()),
        };
        self.state = State::Text { key };
        self.lone_surrogate(on)?;
        on(self.depth, Token::Text(Piece::Escaped(character)))
    }

    /// Handles one of the four hex digits of `\u`.
    pub(super) fn hex_digit<E: From<JsonError>>(
        &mut self,
        byte: u8,
        key: bool,
        digits: u8,
        unit: u16,
        on: &mut impl FnMut(usize, Token<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let digit = char::from(byte)
            .to_digit(16)
            .and_then(|digit| u16::try_from(digit).ok())
            .ok_or(JsonError::BadEscape)?;
        let unit = (unit << 4) | digit;
        if digits < 3 {
            self.state = State::Unicode { key, digits: digits + 1, unit };
            return Ok(());
        }
        self.state = State::Text { key };
        self.code_unit(unit, on)
    }

    fn code_unit<E: From<JsonError>>(
        &mut self,
        unit: u16,
        on: &mut impl FnMut(usize, Token<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if let (Some(high), true) = (self.high_surrogate, LOW_SURROGATES.contains(&unit)) {
            self.high_surrogate = None;
            let code = 0x1_0000 + ((u32::from(high) - 0xd800) << 10) + (u32::from(unit) - 0xdc00);
            let piece = char::from_u32(code).map_or(Piece::LoneSurrogate(unit), Piece::Escaped);
            return on(self.depth, Token::Text(piece));
        }
        self.lone_surrogate(on)?;
        if HIGH_SURROGATES.contains(&unit) {
            self.high_surrogate = Some(unit);
            return Ok(());
        }
        // Every unit that is no surrogate is a character.
        let piece =
            char::from_u32(u32::from(unit)).map_or(Piece::LoneSurrogate(unit), Piece::Escaped);
        on(self.depth, Token::Text(piece))
    }

    /// Reports a high surrogate that turned out to stand alone.
    fn lone_surrogate<E>(
        &mut self,
        on: &mut impl FnMut(usize, Token<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        match self.high_surrogate.take() {
            Some(unit) => on(self.depth, Token::Text(Piece::LoneSurrogate(unit))),
            None => Ok(()),
        }
    }
}

/// How many bytes there are before a quote, a backslash or the end. Most strings are short: for
/// them a look at each byte is over before a search has begun.
fn text_length(bytes: &[u8]) -> usize {
    let stops = |byte: &u8| matches!(byte, b'"' | b'\\');
    let near = &bytes[..bytes.len().min(NEAR_BYTES)];
    near.iter().position(stops).unwrap_or_else(|| {
        let far = memchr2(b'"', b'\\', &bytes[near.len()..]);
        far.map_or(bytes.len(), |at| near.len() + at)
    })
}

/// Checks UTF-8 in pieces; keeps at most the three bytes of an unfinished character.
#[derive(Clone, Copy)]
pub(super) struct Utf8Check {
    pending: [u8; 4],
    len: usize,
}

impl Utf8Check {
    pub(super) const fn new() -> Self {
        Self { pending: [0; 4], len: 0 }
    }

    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> Result<(), JsonError> {
        while self.len > 0 {
            let Some((&byte, rest)) = bytes.split_first() else {
                return Ok(());
            };
            // At most four: after the fourth byte the character is complete or an error.
            self.pending[self.len] = byte;
            self.len += 1;
            bytes = rest;
            match std::str::from_utf8(&self.pending[..self.len]) {
                Ok(_) => self.len = 0,
                Err(error) if error.error_len().is_some() => return Err(JsonError::NotUtf8),
                Err(_) => {}
            }
        }
        match std::str::from_utf8(bytes) {
            Ok(_) => Ok(()),
            Err(error) if error.error_len().is_some() => Err(JsonError::NotUtf8),
            Err(error) => {
                let tail = &bytes[error.valid_up_to()..];
                self.pending[..tail.len()].copy_from_slice(tail);
                self.len = tail.len();
                Ok(())
            }
        }
    }

    /// Whether no character is unfinished.
    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// A character may not go on across an escape or the end of its string.
    pub(super) const fn end(&self) -> Result<(), JsonError> {
        if self.len == 0 { Ok(()) } else { Err(JsonError::NotUtf8) }
    }
}
