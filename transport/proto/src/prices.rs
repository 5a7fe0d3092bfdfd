//! The price book: what a unit of each class costs, at a provider, for a model, at a moment.
//!
//! A [`PriceBook`] is a value: rows and weekly schedules, checked when it is made and never changed
//! afterwards. It is named by the SHA-256 of its canonical bytes ([`BookHash`]); both ends of an
//! exchange hold the same bytes and so come to the same price, to the pico-USD.
//!
//! # How a price is found
//! Of the rows that fit a question ([`Wanted`]) the most specific one is taken, by the first of these
//! that tells two apart:
//! 1. the model: its very name before a pattern, a pattern with more fixed characters before one with
//!    fewer;
//! 2. the service tier: the one that was asked for before [`ServiceTier::Standard`], which stands in
//!    for every tier that has no row of its own;
//! 3. the place: named before [`Place::Regional`] before [`Place::Any`];
//! 4. the schedule: a row with one before a row without.
//!
//! Rows that differ from it only in [`Row::above`] are its thresholds: the whole of a usage is
//! priced by the highest one that its total input exceeds. Two rows that could fit one question and
//! are told apart by none of these are refused when the book is made ([`BookError::Ambiguous`]).
//!
//! # Classes without a price
//! What a row says nothing of is priced by the one table in [`fallback()`]. A class that has no price
//! even so makes the usage unpriceable ([`Rates::list`] is `None`): nothing is ever free by omission,
//! except the classes that the table names as such.
//!
//! # Invariants
//! - Integers only: pico-USD a unit, `i128` sums, factors in parts per million whose product with a
//!   price must be whole. Float arithmetic does not compile here.
//! - One value has one encoding: bytes that parse encode to themselves.
//! - Bytes from outside are bounded by [`BOOK_BYTES_MAX`] before and by the other limits while they
//!   are read.
//!
//! Never here: files, clocks, who is charged how much of it.

#![deny(clippy::float_arithmetic)]

mod canonical;
mod check;
mod fallback;
mod label;
mod lookup;
mod rates;
mod row;
mod schedule;

pub use fallback::{Fallback, fallback};
pub use label::{InvalidLabel, LABEL_BYTES_MAX, Label, SOURCE_BYTES_MAX, Source};
pub use lookup::Wanted;
pub use rates::Rates;
pub use row::{Place, Prices, Row, factored};
pub use schedule::{Day, Holidays, MINUTES_PER_DAY, Schedule, Weekdays, Window};

use crate::model::ModelPattern;
use crate::provider::Provider;
use crate::usage::ServiceTier;
use lookup::Index;
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// The longest canonical book, in bytes.
pub const BOOK_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The most rows of a book.
pub const ROWS_MAX: usize = 32_768;

/// The most schedules, and the most lists of holidays, of a book.
pub const SCHEDULES_MAX: usize = 64;

/// The most windows of one schedule.
pub const WINDOWS_MAX: usize = 64;

/// The most days of one list of holidays.
pub const HOLIDAYS_MAX: usize = 2_048;

/// The most rows whose model is a pattern and not a name.
pub const PATTERN_ROWS_MAX: usize = 4_096;

/// The most steps that comparing patterns with each other may take, so that a book made to be slow
/// is refused instead of read.
pub const PATTERN_STEPS_MAX: u64 = 64_000_000;

/// What the signed text of a book begins with.
const SIGNED_TEXT: &[u8] = b"weft price book v1\n";

/// The name of a book: the SHA-256 of its canonical bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BookHash([u8; 32]);

/// A text that is no hash of a book.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the hash of a price book: want 64 lower-case hexadecimal digits")]
pub struct InvalidBookHash;

impl BookHash {
    /// The hash with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// What a hub's ledger key signs to say that a book is its own: a text that nothing else begins
    /// with, and the hash.
    #[must_use]
    pub fn signed_text(&self) -> Vec<u8> {
        [SIGNED_TEXT, self.0.as_slice()].concat()
    }

    fn of(canonical: &[u8]) -> Self {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, canonical);
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest.as_ref());
        Self(bytes)
    }
}

/// 64 lower-case hexadecimal digits.
impl fmt::Display for BookHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for BookHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BookHash({self})")
    }
}

impl FromStr for BookHash {
    type Err = InvalidBookHash;

    fn from_str(text: &str) -> Result<Self, InvalidBookHash> {
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return Err(InvalidBookHash);
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let &[high, low] = pair else { return Err(InvalidBookHash) };
            *byte = (nibble(high)? << 4) | nibble(low)?;
        }
        Ok(Self(bytes))
    }
}

const fn nibble(digit: u8) -> Result<u8, InvalidBookHash> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(InvalidBookHash),
    }
}

/// Why something is no price book.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BookError {
    /// More bytes than [`BOOK_BYTES_MAX`].
    #[error("a price book has at most {BOOK_BYTES_MAX} bytes, this one has {bytes}")]
    TooLarge {
        /// How many it has.
        bytes: usize,
    },
    /// More of something than its limit.
    #[error("a price book has at most {most} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The limit.
        most: usize,
    },
    /// The bytes are in no version of the format that is known here.
    #[error("not a price book, or one of a later version")]
    UnknownFormat,
    /// The bytes break the format.
    #[error("a damaged price book: {what} at byte {at}")]
    Malformed {
        /// What does not fit.
        what: &'static str,
        /// Where.
        at: usize,
    },
    /// The bytes say what they say in another way than the canonical one.
    #[error("a price book whose bytes are not in canonical form")]
    NotCanonical,
    /// Two schedules, or two lists of holidays, have one name.
    #[error("two {what} are called {name}")]
    Twice {
        /// What they are.
        what: &'static str,
        /// Their name.
        name: String,
    },
    /// A row names a schedule, or a schedule a list of holidays, that the book does not have.
    #[error("there is no {what} called {name}")]
    Missing {
        /// What is missing.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// A row that says nothing: no price, or a time that ends before it begins.
    #[error("a row that never says anything: {row}")]
    Empty {
        /// Which.
        row: String,
    },
    /// A price times the factor of its row is no whole number of pico-USD.
    #[error("a price times its factor is no whole pico-USD: {row}")]
    NotWhole {
        /// Which row.
        row: String,
    },
    /// A threshold without the row that holds below it.
    #[error("a threshold without a row for what lies below it: {row}")]
    NoBase {
        /// Which row.
        row: String,
    },
    /// Two rows could answer one question, and neither is more specific.
    #[error("ambiguous: {one} and {other} can answer the same question")]
    Ambiguous {
        /// One of them.
        one: String,
        /// The other.
        other: String,
    },
    /// The patterns are so many and so long that comparing them takes too long.
    #[error("the patterns of models are too complex to be compared with each other")]
    TooComplex,
}

/// What a book is made of, not yet checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Draft {
    /// Lists of days.
    pub holidays: Vec<Holidays>,
    /// Parts of the week.
    pub schedules: Vec<Schedule>,
    /// Prices.
    pub rows: Vec<Row>,
}

/// A checked price book.
#[derive(Clone)]
pub struct PriceBook {
    /// In canonical order.
    contents: Draft,
    canonical: Vec<u8>,
    hash: BookHash,
    index: Index,
}

impl PriceBook {
    /// Makes a book, in whatever order its parts are given. Rows that are the same in everything,
    /// source included, are kept once.
    ///
    /// # Errors
    /// [`BookError`] where a limit is broken, or where a question could have two answers.
    pub fn new(mut draft: Draft) -> Result<Self, BookError> {
        draft.holidays.sort();
        draft.schedules.sort();
        draft.rows.sort();
        draft.rows.dedup();
        check::check(&draft)?;
        let canonical = canonical::encode(&draft);
        if canonical.len() > BOOK_BYTES_MAX {
            return Err(BookError::TooLarge { bytes: canonical.len() });
        }
        let hash = BookHash::of(&canonical);
        let index = Index::of(&draft.rows);
        Ok(Self { contents: draft, canonical, hash, index })
    }

    /// Reads a book from its canonical bytes; whoever sent them is not trusted.
    ///
    /// # Errors
    /// [`BookError`] where the bytes are too many, not a book, or not the canonical form of it.
    pub fn parse(canonical: &[u8]) -> Result<Self, BookError> {
        if canonical.len() > BOOK_BYTES_MAX {
            return Err(BookError::TooLarge { bytes: canonical.len() });
        }
        let book = Self::new(canonical::decode(canonical)?)?;
        if book.canonical != canonical {
            return Err(BookError::NotCanonical);
        }
        Ok(book)
    }

    /// The bytes that the hash is of.
    #[must_use]
    pub fn canonical(&self) -> &[u8] {
        &self.canonical
    }

    /// Its name.
    #[must_use]
    pub const fn hash(&self) -> BookHash {
        self.hash
    }

    /// The rows, in canonical order.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.contents.rows
    }

    /// The schedules, in canonical order.
    #[must_use]
    pub fn schedules(&self) -> &[Schedule] {
        &self.contents.schedules
    }

    /// The lists of holidays, in canonical order.
    #[must_use]
    pub fn holidays(&self) -> &[Holidays] {
        &self.contents.holidays
    }

    /// What everything costs for `wanted`; `None` where no row fits.
    #[must_use]
    pub fn rates(&self, wanted: &Wanted<'_>) -> Option<Rates> {
        lookup::rates(&self.contents, &self.index, wanted)
    }

    /// Every total of input above which something is dearer, whatever the model, in their order.
    #[must_use]
    pub fn thresholds(&self) -> Vec<u64> {
        let all = self.contents.rows.iter().map(|row| row.above).filter(|above| *above > 0);
        all.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Whether some row, at whatever time and place, prices the model in this tier itself, not by
    /// standing in for it.
    #[must_use]
    pub fn has_tier(&self, provider: Provider, model: &str, tier: ServiceTier) -> bool {
        let mut near = self.index.near(provider, model);
        near.any(|at| {
            let row = self.contents.rows.get(at);
            row.is_some_and(|row| row.tier == tier && row.model.matches(model))
        })
    }
}

impl PartialEq for PriceBook {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
    }
}

impl Eq for PriceBook {}

impl fmt::Debug for PriceBook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PriceBook")
            .field("hash", &self.hash)
            .field("rows", &self.contents.rows.len())
            .finish_non_exhaustive()
    }
}

/// Whether a pattern is one model's very name.
fn is_name(pattern: &ModelPattern) -> bool {
    !pattern.as_str().contains('*')
}

#[cfg(test)]
mod tests;
