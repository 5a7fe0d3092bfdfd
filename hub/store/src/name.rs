//! Names that people give to users, keys, owners and agents.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The most characters a name may have.
pub const NAME_CHARS_MAX: usize = 64;

/// A text that is not a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a valid name: want 1 to {NAME_CHARS_MAX} printable characters, no white space at the ends"
)]
pub struct InvalidName(());

impl InvalidName {
    pub(crate) const fn new() -> Self {
        Self(())
    }
}

/// 1 to [`NAME_CHARS_MAX`] characters without control characters and without white space at the
/// ends. Case counts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

impl Name {
    /// Parses a name; nothing is trimmed or folded.
    ///
    /// # Errors
    /// [`InvalidName`] where the text is empty, too long, has a control character or a direction
    /// mark, or begins or ends with white space.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        // The cheap bound first: no character has more than four bytes.
        let fits = !text.is_empty()
            && text.len() <= NAME_CHARS_MAX * 4
            && text.chars().count() <= NAME_CHARS_MAX
            && text.trim() == text
            && !text.chars().any(|character| character.is_control() || is_invisible(character));
        if fits { Ok(Self(text.to_owned())) } else { Err(InvalidName(())) }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Characters that show nothing themselves but change how their neighbours look, so that two names
/// could look like one another in a log or a list.
const fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\u{00ad}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
    )
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Name {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Name {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        Self::parse(&text)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_printable() {
        for good in ["a", "Zoë's laptop", "acme-1", &"ß".repeat(NAME_CHARS_MAX)] {
            assert!(Name::parse(good).is_ok(), "{good:?}");
        }
        for bad in [
            "",
            " a",
            "a ",
            "a\nb",
            "a\0",
            "a\u{202e}b",
            "a\u{200b}",
            &"a".repeat(NAME_CHARS_MAX + 1),
        ] {
            assert!(Name::parse(bad).is_err(), "{bad:?}");
        }
    }
}
