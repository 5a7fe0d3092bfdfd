//! Short texts inside a price book: names of schedules, lists and places, and where a price is from.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The longest name of a schedule, a list of holidays or a place, in bytes.
pub const LABEL_BYTES_MAX: usize = 128;

/// The longest source of a row, in bytes.
pub const SOURCE_BYTES_MAX: usize = 512;

/// A text that is no name inside a price book.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLabel {
    /// Not a name.
    #[error("want 1 to {LABEL_BYTES_MAX} lower-case letters, digits, dots and hyphens")]
    Label,
    /// Not a source.
    #[error("a source is at most {SOURCE_BYTES_MAX} printable ASCII characters")]
    Source,
}

/// A name: lower-case letters, digits, dots and hyphens.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(Arc<str>);

impl Label {
    /// Parses a name; nothing is trimmed and no case is folded.
    ///
    /// # Errors
    /// [`InvalidLabel::Label`] where it is empty, too long or has another character.
    pub fn parse(text: &str) -> Result<Self, InvalidLabel> {
        let fits = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-')
        };
        if text.is_empty() || text.len() > LABEL_BYTES_MAX || !text.bytes().all(fits) {
            return Err(InvalidLabel::Label);
        }
        Ok(Self(text.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Label {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Where a price is from: a page and a date, for people. It may be empty.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source(Arc<str>);

impl Source {
    /// Parses a source.
    ///
    /// # Errors
    /// [`InvalidLabel::Source`] where it is too long or not printable ASCII.
    pub fn parse(text: &str) -> Result<Self, InvalidLabel> {
        let fits = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
        if text.len() > SOURCE_BYTES_MAX || !text.bytes().all(fits) {
            return Err(InvalidLabel::Source);
        }
        Ok(Self(text.into()))
    }

    /// The source as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Source {
    fn default() -> Self {
        Self("".into())
    }
}

macro_rules! as_text {
    ($($name:ident),*) => {$(
        impl FromStr for $name {
            type Err = InvalidLabel;

            fn from_str(text: &str) -> Result<Self, InvalidLabel> {
                Self::parse(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
    )*};
}

as_text!(Label, Source);
