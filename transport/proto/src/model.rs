//! Names of models, and the patterns with which keys and accounts say which models they mean.
//!
//! A [`ModelName`] is what a caller asked for, parsed once at the door; its case counts. A
//! [`ModelPattern`] is such a name in which `*` stands for any run of characters, none included.
//! Matching walks both texts with one step back per `*`, so the cost is bounded by the product of
//! the two lengths, both of which have a limit here. Nothing here knows which models exist.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The most characters a model's name, or a pattern of names, may have.
pub const MODEL_NAME_CHARS_MAX: usize = 256;

/// The most `*` that one pattern may have.
pub const MODEL_PATTERN_STARS_MAX: usize = 8;

/// The most patterns that one list may have.
pub const MODEL_PATTERNS_MAX: usize = 64;

/// What a name may be made of, beside ASCII letters and digits.
const PUNCTUATION: &[u8] = b"-._:/@+=~#[]()";

/// A text that is not a model's name, or not a pattern of such names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidModel {
    /// Nothing was given.
    #[error("a model name may not be empty")]
    Empty,
    /// The text is longer than [`MODEL_NAME_CHARS_MAX`].
    #[error("a model name has at most {MODEL_NAME_CHARS_MAX} characters")]
    TooLong,
    /// A character at this byte offset is none that a name may have.
    #[error("a model name has letters, digits and -._:/@+=~#[]() only; see byte {at}")]
    Character {
        /// Where the character begins, in bytes.
        at: usize,
    },
    /// The pattern has more `*` than [`MODEL_PATTERN_STARS_MAX`].
    #[error("a model pattern has at most {MODEL_PATTERN_STARS_MAX} asterisks")]
    TooManyStars,
    /// The list has more patterns than [`MODEL_PATTERNS_MAX`].
    #[error("a list of model patterns has at most {MODEL_PATTERNS_MAX} of them")]
    TooManyPatterns,
}

/// A model's name as a caller, a key's owner or an account states it: 1 to
/// [`MODEL_NAME_CHARS_MAX`] ASCII letters, digits and a few marks.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ModelName(String);

impl ModelName {
    /// Parses a model's name; nothing is trimmed and no case is folded.
    ///
    /// # Errors
    /// [`InvalidModel`] where the text is empty, too long or has another character.
    pub fn parse(text: &str) -> Result<Self, InvalidModel> {
        check(text, false)?;
        Ok(Self(text.to_owned()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A model's name in which `*` stands for any run of characters, none included.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ModelPattern(String);

impl ModelPattern {
    /// Parses a pattern. Neighbouring `*` mean the same as one and are kept as one.
    ///
    /// # Errors
    /// [`InvalidModel`] where the text is empty, too long, has another character or too many `*`.
    pub fn parse(text: &str) -> Result<Self, InvalidModel> {
        check(text, true)?;
        let mut pattern = String::with_capacity(text.len());
        for character in text.chars() {
            if !(character == '*' && pattern.ends_with('*')) {
                pattern.push(character);
            }
        }
        if pattern.matches('*').count() > MODEL_PATTERN_STARS_MAX {
            return Err(InvalidModel::TooManyStars);
        }
        Ok(Self(pattern))
    }

    /// The pattern that every model's name matches.
    #[must_use]
    pub fn any() -> Self {
        Self("*".to_owned())
    }

    /// The pattern as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `model` matches. A text that is no [`ModelName`] matches nothing, not even `*`.
    #[must_use]
    pub fn matches(&self, model: &str) -> bool {
        check(model, false).is_ok() && wildcard(self.0.as_bytes(), model.as_bytes())
    }
}

/// A list of patterns; a model is meant where any of them matches. Ordered, without duplicates;
/// the empty list means no model at all. As text the patterns are separated by commas.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Vec<ModelPattern>", into = "Vec<ModelPattern>")]
pub struct ModelPatterns(Vec<ModelPattern>);

impl ModelPatterns {
    /// Makes a list.
    ///
    /// # Errors
    /// [`InvalidModel::TooManyPatterns`] where there are more than [`MODEL_PATTERNS_MAX`].
    pub fn new(patterns: impl IntoIterator<Item = ModelPattern>) -> Result<Self, InvalidModel> {
        // One more than may be is enough to know, however many the caller would give.
        let mut patterns: Vec<_> = patterns.into_iter().take(MODEL_PATTERNS_MAX + 1).collect();
        if patterns.len() > MODEL_PATTERNS_MAX {
            return Err(InvalidModel::TooManyPatterns);
        }
        patterns.sort();
        patterns.dedup();
        Ok(Self(patterns))
    }

    /// The list that means every model.
    #[must_use]
    pub fn any() -> Self {
        Self(vec![ModelPattern::any()])
    }

    /// Whether a pattern of the list matches `model`. A text that is no [`ModelName`] matches none.
    #[must_use]
    pub fn allows(&self, model: &str) -> bool {
        self.0.iter().any(|pattern| pattern.matches(model))
    }

    /// Whether every model's name is meant.
    #[must_use]
    pub fn allows_all(&self) -> bool {
        self.0.iter().any(|pattern| pattern.as_str() == "*")
    }

    /// The patterns, in order.
    pub fn iter(&self) -> impl Iterator<Item = &ModelPattern> {
        self.0.iter()
    }

    /// Whether the list means no model.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromStr for ModelPatterns {
    type Err = InvalidModel;

    /// Reads patterns separated by commas, with or without white space around them.
    fn from_str(text: &str) -> Result<Self, InvalidModel> {
        let mut patterns = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            if patterns.len() == MODEL_PATTERNS_MAX {
                return Err(InvalidModel::TooManyPatterns);
            }
            patterns.push(ModelPattern::parse(part)?);
        }
        Self::new(patterns)
    }
}

impl fmt::Display for ModelPatterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, pattern) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str(",")?;
            }
            f.write_str(pattern.as_str())?;
        }
        Ok(())
    }
}

impl TryFrom<Vec<ModelPattern>> for ModelPatterns {
    type Error = InvalidModel;

    fn try_from(patterns: Vec<ModelPattern>) -> Result<Self, InvalidModel> {
        Self::new(patterns)
    }
}

impl From<ModelPatterns> for Vec<ModelPattern> {
    fn from(patterns: ModelPatterns) -> Self {
        patterns.0
    }
}

macro_rules! as_text {
    ($($name:ident),*) => {$(
        impl FromStr for $name {
            type Err = InvalidModel;

            fn from_str(text: &str) -> Result<Self, InvalidModel> {
                Self::parse(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidModel;

            fn try_from(text: String) -> Result<Self, InvalidModel> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.0)
            }
        }
    )*};
}

as_text!(ModelName, ModelPattern);

/// Checks length and characters of a name, or of a pattern where `*` may stand in it too.
fn check(text: &str, stars: bool) -> Result<(), InvalidModel> {
    if text.is_empty() {
        return Err(InvalidModel::Empty);
    }
    if text.len() > MODEL_NAME_CHARS_MAX {
        return Err(InvalidModel::TooLong);
    }
    let fits = |byte: u8| {
        byte.is_ascii_alphanumeric() || PUNCTUATION.contains(&byte) || (stars && byte == b'*')
    };
    match text.bytes().position(|byte| !fits(byte)) {
        Some(at) => Err(InvalidModel::Character { at }),
        None => Ok(()),
    }
}

/// Whether `text` matches `pattern`, where `*` takes as few bytes as it can and more on the way
/// back. Only the last `*` seen is ever stretched: what an earlier one took can stay as it is.
fn wildcard(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at_pattern, mut at_text) = (0, 0);
    let mut stretch: Option<(usize, usize)> = None;
    while let Some(&byte) = text.get(at_text) {
        match pattern.get(at_pattern) {
            Some(b'*') => {
                at_pattern += 1;
                stretch = Some((at_pattern, at_text));
            }
            Some(&wanted) if wanted == byte => {
                at_pattern += 1;
                at_text += 1;
            }
            Some(_) | None => {
                let Some((after_star, taken)) = stretch else {
                    return false;
                };
                at_pattern = after_star;
                at_text = taken + 1;
                stretch = Some((after_star, at_text));
            }
        }
    }
    pattern.iter().skip(at_pattern).all(|&byte| byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn real_names_pass_and_hostile_ones_do_not() {
        for name in [
            "gpt-4o-mini-2024-07-18",
            "ft:gpt-4o-mini-2024-07-18:acme::a1B2",
            "claude-sonnet-4-5[1m]",
            "vendor/model@v1.2:free",
        ] {
            assert_eq!(ModelName::parse(name).map(|name| name.to_string()), Ok(name.to_owned()));
        }
        assert_eq!(ModelName::parse(""), Err(InvalidModel::Empty));
        assert_eq!(ModelName::parse("a b"), Err(InvalidModel::Character { at: 1 }));
        assert_eq!(ModelName::parse("gpt-*"), Err(InvalidModel::Character { at: 4 }));
        assert_eq!(ModelName::parse("gpté"), Err(InvalidModel::Character { at: 3 }));
        assert_eq!(ModelName::parse("a\r\nx: y"), Err(InvalidModel::Character { at: 1 }));
        assert!(ModelName::parse(&"m".repeat(MODEL_NAME_CHARS_MAX)).is_ok());
        assert_eq!(
            ModelName::parse(&"m".repeat(MODEL_NAME_CHARS_MAX + 1)),
            Err(InvalidModel::TooLong)
        );
    }

    #[test]
    fn a_star_stands_for_any_run_and_everything_else_for_itself() {
        let matches = |pattern: &str, model: &str| {
            ModelPattern::parse(pattern).unwrap_or_else(|e| panic!("{pattern}: {e}")).matches(model)
        };
        assert!(matches("*", "o3"));
        assert!(matches("gpt-4o", "gpt-4o"));
        assert!(!matches("gpt-4o", "gpt-4o-mini"));
        assert!(!matches("gpt-4o", "GPT-4o"));
        assert!(matches("gpt-4o*", "gpt-4o"));
        assert!(matches("gpt-*-mini", "gpt-4o-mini"));
        assert!(matches("*-mini*", "gpt-4o-mini-mini-2024"));
        assert!(!matches("gpt-*-mini", "gpt-4o-mini-2024"));
        assert!(!matches("gpt.4o", "gpt-4o"));
        assert!(!matches("*", "not a name"));
    }

    #[test]
    fn a_pattern_and_a_list_have_limits() {
        assert_eq!(ModelPattern::parse("a***b").map(|p| p.to_string()), Ok("a*b".to_owned()));
        assert_eq!(
            ModelPattern::parse(&"a*".repeat(MODEL_PATTERN_STARS_MAX + 1)),
            Err(InvalidModel::TooManyStars)
        );
        let many: Vec<_> = (0..=MODEL_PATTERNS_MAX).map(|n| n.to_string()).collect();
        assert_eq!(many.join(",").parse::<ModelPatterns>(), Err(InvalidModel::TooManyPatterns));
        assert!(many[1..].join(",").parse::<ModelPatterns>().is_ok());
    }

    #[test]
    fn a_list_reads_back_what_it_writes_and_the_empty_one_allows_nothing() {
        let list: ModelPatterns = " o3 ,gpt-*, o3,".parse().expect("a list");
        assert_eq!(list.to_string(), "gpt-*,o3");
        assert_eq!(list.to_string().parse(), Ok(list.clone()));
        assert!(list.allows("gpt-5") && list.allows("o3") && !list.allows("o3-mini"));
        assert!(!ModelPatterns::default().allows("o3"));
        assert!(ModelPatterns::any().allows_all() && !list.allows_all());
    }

    /// The definition of a match, without any cleverness.
    fn plainly(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), None) => plainly(rest, text),
            (Some((b'*', rest)), Some((_, tail))) => plainly(rest, text) || plainly(pattern, tail),
            (Some((wanted, rest)), Some((byte, tail))) => wanted == byte && plainly(rest, tail),
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    proptest! {
        #[test]
        fn matching_agrees_with_its_definition(pattern in "[ab*]{1,10}", text in "[ab]{0,12}") {
            prop_assert_eq!(
                wildcard(pattern.as_bytes(), text.as_bytes()),
                plainly(pattern.as_bytes(), text.as_bytes())
            );
        }
    }
}
