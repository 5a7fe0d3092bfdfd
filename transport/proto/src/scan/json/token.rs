//! What the tokenizer says: tokens, the pieces of strings, and faults.

use std::fmt;

use super::{MAX_DEPTH, MAX_NUMBER_BYTES};

/// What a body breaks of JSON, or of the tokenizer's limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum JsonError {
    /// A byte that the grammar has no place for here.
    #[error("unexpected character")]
    Unexpected,
    /// The body begins with a byte order mark.
    #[error("the body begins with a byte order mark")]
    ByteOrderMark,
    /// A control character stands unescaped in a string.
    #[error("a string holds an unescaped control character")]
    ControlCharacter,
    /// The bytes of a string are not UTF-8.
    #[error("a string is not UTF-8")]
    NotUtf8,
    /// An escape that JSON does not have.
    #[error("a string holds an unknown escape")]
    BadEscape,
    /// A number that JSON does not have, such as `01` or `1.`.
    #[error("a number is malformed")]
    BadNumber,
    /// A number longer than [`MAX_NUMBER_BYTES`].
    #[error("a number is longer than {MAX_NUMBER_BYTES} bytes")]
    NumberTooLong,
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("nested deeper than {MAX_DEPTH}")]
    TooDeep,
    /// Something other than white space stands after the value.
    #[error("something stands after the JSON value")]
    TrailingData,
    /// The body ended inside the value, or before it.
    #[error("the JSON value is incomplete")]
    Truncated,
}

/// One token. Strings and keys come as `…Begin`, any number of [`Token::Text`], `StringEnd`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Token<'a> {
    /// `{`
    ObjectBegin,
    /// `}`
    ObjectEnd,
    /// `[`
    ArrayBegin,
    /// `]`
    ArrayEnd,
    /// The opening quote of an object's key.
    KeyBegin,
    /// The opening quote of a string value.
    StringBegin,
    /// A piece of the current key or string.
    Text(Piece<'a>),
    /// The closing quote of a key or string.
    StringEnd,
    /// A whole number token, as written.
    Number(&'a str),
    /// `true` or `false`.
    Bool(bool),
    /// `null`
    Null,
}

impl fmt::Debug for Token<'_> {
    /// Names the kind of token alone: its text belongs to a user.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ObjectBegin => "ObjectBegin",
            Self::ObjectEnd => "ObjectEnd",
            Self::ArrayBegin => "ArrayBegin",
            Self::ArrayEnd => "ArrayEnd",
            Self::KeyBegin => "KeyBegin",
            Self::StringBegin => "StringBegin",
            Self::Text(_) => "Text(…)",
            Self::StringEnd => "StringEnd",
            Self::Number(_) => "Number(…)",
            Self::Bool(_) => "Bool(…)",
            Self::Null => "Null",
        })
    }
}

/// A piece of a string.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Bytes that stand for themselves. A piece may end inside a character; all raw pieces
    /// between two escapes together are UTF-8.
    Raw(&'a [u8]),
    /// A character that was written as an escape, surrogate pairs already joined.
    Escaped(char),
    /// An escaped surrogate without its other half: valid JSON, but no text.
    LoneSurrogate(u16),
}

impl fmt::Debug for Piece<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Raw(_) => "Raw(…)",
            Self::Escaped(_) => "Escaped(…)",
            Self::LoneSurrogate(_) => "LoneSurrogate(…)",
        })
    }
}
