//! An incremental JSON tokenizer for bodies that arrive in pieces and are never kept.
//!
//! It takes any split of the bytes, checks the whole grammar of RFC 8259 (UTF-8 included) and
//! reports tokens with their depth, so that a reader can follow an exact path without a tree. Its
//! memory is fixed: nesting is a bit stack of [`MAX_DEPTH`], a number is at most
//! [`MAX_NUMBER_BYTES`], and strings are handed on in the pieces in which they came: an image in
//! base64 costs two searches for a byte and no copy.
//!
//! It never guesses: a byte order mark, a control character in a string, a comma too many or
//! anything after the value is an error, because another parser might read it otherwise.

use std::fmt;

use memchr::memchr2;

use self::text::Utf8Check;
pub use self::token::{JsonError, Piece, Token};

mod number;
mod text;
mod token;

/// The deepest nesting of arrays and objects.
pub const MAX_DEPTH: usize = 128;
/// The longest number, in bytes as written.
pub const MAX_NUMBER_BYTES: usize = 256;

/// What the tokenizer expects next.
#[derive(Debug, Clone, Copy)]
enum State {
    /// Nothing has come yet.
    Start,
    /// A value.
    Value,
    /// A value or `]`.
    FirstElement,
    /// A key or `}`.
    FirstKey,
    /// A key.
    Key,
    Colon,
    /// `,` or the end of the container.
    AfterValue,
    /// Inside a string; the flag tells a key from a value.
    Text {
        key: bool,
    },
    /// After a backslash in a string.
    Escape {
        key: bool,
    },
    /// In the hex digits of `\u`.
    Unicode {
        key: bool,
        digits: u8,
        unit: u16,
    },
    /// In `true`, `false` or `null`; the bytes that are still to come.
    Literal {
        rest: &'static [u8],
        value: Option<bool>,
    },
    Number,
    /// The value is complete.
    End,
}

/// The tokenizer. Feed it, then finish it; after an error it stays at that error's state and must
/// not be fed again.
pub struct Tokenizer {
    state: State,
    /// How many containers are open.
    depth: usize,
    /// One bit per open container: 1 for an object, 0 for an array.
    objects: u128,
    /// A high surrogate whose other half may still come.
    high_surrogate: Option<u16>,
    utf8: Utf8Check,
    number: Vec<u8>,
}

impl Default for Tokenizer {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokenizer").field("depth", &self.depth).finish_non_exhaustive()
    }
}

impl Tokenizer {
    /// A tokenizer at the start of a body.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            state: State::Start,
            depth: 0,
            objects: 0,
            high_surrogate: None,
            utf8: Utf8Check::new(),
            number: Vec::new(),
        }
    }

    /// Begins another body, whatever became of the one before.
    pub fn reset(&mut self) {
        let mut number = std::mem::take(&mut self.number);
        number.clear();
        *self = Self { number, ..Self::new() };
    }

    /// Whether the value is complete; only white space may follow.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        matches!(self.state, State::End)
    }

    /// Reads the next bytes and calls `on(depth, token)` for every token that they complete.
    /// `depth` counts the containers around the token: 0 for the outermost value and its braces,
    /// 1 for the keys of an outermost object and for their values.
    ///
    /// # Errors
    /// [`JsonError`] as `E`, or what `on` returned; the body is refused either way.
    pub fn feed<E: From<JsonError>>(
        &mut self,
        bytes: &[u8],
        mut on: impl FnMut(usize, Token<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut rest = bytes;
        while let Some((&byte, after)) = rest.split_first() {
            rest = match self.state {
                State::Text { key } => self.text(rest, key, &mut on)?,
                State::Number => self.digits(rest, &mut on)?,
                State::Escape { key } => {
                    self.escape(byte, key, &mut on)?;
                    after
                }
                State::Unicode { key, digits, unit } => {
                    self.hex_digit(byte, key, digits, unit, &mut on)?;
                    after
                }
                State::Literal { rest: wanted, value } => {
                    self.literal(byte, wanted, value, &mut on)?;
                    after
                }
                State::Start if byte == 0xef => return Err(JsonError::ByteOrderMark.into()),
                State::Start
                | State::Value
                | State::FirstElement
                | State::FirstKey
                | State::Key
                | State::Colon
                | State::AfterValue
                | State::End => {
                    if is_space(byte) {
                        let spaces = after.iter().position(|byte| !is_space(*byte));
                        &after[spaces.unwrap_or(after.len())..]
                    } else if self.structure(byte, &mut on)? {
                        after
                    } else {
                        rest
                    }
                }
            };
        }
        Ok(())
    }

    /// Ends the body, and reports the number that only the end of the body completes.
    ///
    /// # Errors
    /// [`JsonError::Truncated`] where the value is incomplete, or what `on` returned.
    pub fn finish<E: From<JsonError>>(
        &mut self,
        mut on: impl FnMut(usize, Token<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if matches!(self.state, State::Number) && self.depth == 0 {
            self.number_end(&mut on)?;
        }
        if self.is_complete() { Ok(()) } else { Err(JsonError::Truncated.into()) }
    }

    /// Handles one byte between tokens. Returns whether the byte was consumed: the first byte of
    /// a number is left for the number.
    fn structure<E: From<JsonError>>(
        &mut self,
        byte: u8,
        on: &mut impl FnMut(usize, Token<'_>) -> Result<(), E>,
    ) -> Result<bool, E> {
        match (self.state, byte) {
            (State::End, _) => return Err(JsonError::TrailingData.into()),
            (State::FirstKey, b'}') => self.close(true, on)?,
            (State::FirstElement, b']') => self.close(false, on)?,
            (State::FirstKey | State::Key, b'"') => {
                on(self.depth, Token::KeyBegin)?;
                self.state = State::Text { key: true };
            }
            (State::Colon, b':') => self.state = State::Value,
            (State::AfterValue, b',') => {
                self.state = if self.in_object() { State::Key } else { State::Value };
            }
            (State::AfterValue, b'}') if self.in_object() => self.close(true, on)?,
            (State::AfterValue, b']') if !self.in_object() => self.close(false, on)?,
            (State::Start | State::Value | State::FirstElement, first) => {
                return self.value(first, on);
            }
            _ => return Err(JsonError::Unexpected.into()),
        }
        Ok(true)
    }

    /// Begins a value with its first byte; see [`Tokenizer::structure`] for the result.
    fn value<E: From<JsonError>>(
        &mut self,
        first: u8,
        on: &mut impl FnMut(usize, Token<'_>) -> Result<(), E>,
    ) -> Result<bool, E> {
        match first {
            b'{' => {
                on(self.depth, Token::ObjectBegin)?;
                self.open(true)?;
                self.state = State::FirstKey;
            }
            b'[' => {
                on(self.depth, Token::ArrayBegin)?;
                self.open(false)?;
                self.state = State::FirstElement;
            }
            b'"' => {
                on(self.depth, Token::StringBegin)?;
                self.state = State::Text { key: false };
            }
            b't' => self.state = State::Literal { rest: b"rue", value: Some(true) },
            b'f' => self.state = State::Literal { rest: b"alse", value: Some(false) },
            b'n' => self.state = State::Literal { rest: b"ull", value: None },
            b'-' | b'0'..=b'9' => {
                self.number.clear();
                self.state = State::Number;
                return Ok(false);
            }
            _ => return Err(JsonError::Unexpected.into()),
        }
        Ok(true)
    }

    const fn in_object(&self) -> bool {
        self.depth > 0 && self.objects & 1 == 1
    }

    fn open(&mut self, object: bool) -> Result<(), JsonError> {
        if self.depth == MAX_DEPTH {
            return Err(JsonError::TooDeep);
        }
        self.depth += 1;
        self.objects = (self.objects << 1) | u128::from(object);
        Ok(())
    }

    fn close<E: From<JsonError>>(
        &mut self,
        object: bool,
        on: &mut impl FnMut(usize, Token<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.depth -= 1;
        self.objects >>= 1;
        self.state = self.after_value();
        on(self.depth, if object { Token::ObjectEnd } else { Token::ArrayEnd })
    }

    const fn after_value(&self) -> State {
        if self.depth == 0 { State::End } else { State::AfterValue }
    }

    fn literal<E: From<JsonError>>(
        &mut self,
        byte: u8,
        wanted: &'static [u8],
        value: Option<bool>,
        on: &mut impl FnMut(usize, Token<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        match wanted.split_first() {
            Some((&next, rest)) if next == byte => {
                if rest.is_empty() {
                    self.state = self.after_value();
                    return on(self.depth, value.map_or(Token::Null, Token::Bool));
                }
                self.state = State::Literal { rest, value };
                Ok(())
            }
            _ => Err(JsonError::Unexpected.into()),
        }
    }
}

const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

// The depth limit and the width of the bit stack are one number.
const _: () = assert!(MAX_DEPTH == u128::BITS as usize);

#[cfg(test)]
pub(crate) mod tests;
