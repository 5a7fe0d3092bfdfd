//! Reads price lists of others into a book: LiteLLM's map, genai-prices' list, and CSV.
//!
//! What is read is exact: numbers are taken as the decimal text that they are, never through
//! floats. Only the four providers are taken. Whatever in an entry of theirs speaks of money and is
//! not understood is reported, and refuses the import unless the operator accepts it
//! ([`Unread::Accept`]); it is never skipped in silence.
//!
//! Never here: files and networks (bytes come in), the store, activation.

mod collect;
mod csv;
mod decimal;
mod genai;
mod json;
mod litellm;

use collect::Collector;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use weft_proto::prices::{BookError, PriceBook};
use weft_proto::provider::Provider;

/// The longest file that is read, in bytes.
pub const IMPORT_BYTES_MAX: usize = 32 * 1024 * 1024;

/// How many entries one report names of each kind; more are counted.
const REPORTED_MAX: usize = 200;

/// The form of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// LiteLLM's `model_prices_and_context_window.json`.
    LiteLlm,
    /// genai-prices' `data.json`.
    GenAi,
    /// A table, a row a line; see `hub/docs/prices.md`.
    Csv,
}

/// A name that is no format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown format: want litellm, genai or csv")]
pub struct UnknownFormat;

impl Format {
    /// The name in commands and addresses.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LiteLlm => "litellm",
            Self::GenAi => "genai",
            Self::Csv => "csv",
        }
    }

    /// What the bytes look like: a JSON object, a JSON array, or else a table.
    #[must_use]
    pub fn guessed(bytes: &[u8]) -> Self {
        match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
            Some(b'{') => Self::LiteLlm,
            Some(b'[') => Self::GenAi,
            Some(_) | None => Self::Csv,
        }
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        [Self::LiteLlm, Self::GenAi, Self::Csv]
            .into_iter()
            .find(|format| format.name() == text)
            .ok_or(UnknownFormat)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What is done where something that speaks of money is not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unread {
    /// Nothing is imported.
    Refuse,
    /// The rest is imported, and the report says what is missing.
    Accept,
}

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// More bytes than [`IMPORT_BYTES_MAX`].
    #[error("a price list has at most {IMPORT_BYTES_MAX} bytes")]
    TooLarge,
    /// The file is not in its form.
    #[error("not a price list in the form {format}: {why}")]
    Form {
        /// The form.
        format: Format,
        /// What is wrong, and where.
        why: String,
    },
    /// Something that speaks of money is not understood.
    #[error("{report}")]
    Unread {
        /// What was read, and what was not.
        report: Box<Report>,
    },
    /// What was read is no book.
    #[error("the prices do not make a book")]
    Book(#[from] BookError),
    /// None of the four providers is in it.
    #[error("the file has no price for any of the four providers")]
    Nothing,
}

/// What an import read.
#[derive(Debug, Clone)]
pub struct Imported {
    /// The book.
    pub book: PriceBook,
    /// What happened on the way.
    pub report: Report,
}

/// What was done with a file.
#[derive(
    Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema,
)]
pub struct Report {
    /// Entries of the four providers that were taken, by provider.
    pub entries: BTreeMap<String, u64>,
    /// Entries of others, which were not looked at.
    pub others: u64,
    /// Rows of the book.
    pub rows: u64,
    /// What speaks of money and was not understood, by its key, with the entries that have it.
    pub unread: BTreeMap<String, Places>,
    /// Entries that contradict an earlier one about the same exchange; the earlier one was taken.
    pub contradicted: BTreeMap<String, Places>,
    /// Prices that are no whole pico-USD a unit, and were rounded to the next one.
    pub rounded: BTreeMap<String, Places>,
    /// What else an operator should know.
    pub notes: BTreeMap<String, Places>,
}

/// Where something was met.
#[derive(
    Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema,
)]
pub struct Places {
    /// How often.
    pub count: u64,
    /// The first place.
    pub first: String,
}

impl Report {
    fn note(kind: &mut BTreeMap<String, Places>, what: impl Into<String>, place: &str) {
        let what = what.into();
        // A hostile file must not fill the memory with keys that nobody will read.
        let what = if kind.len() < REPORTED_MAX || kind.contains_key(&what) {
            what
        } else {
            "others".to_owned()
        };
        let met = kind.entry(what.chars().take(160).collect()).or_default();
        met.count += 1;
        if met.first.is_empty() {
            met.first = place.chars().take(160).collect();
        }
    }

    fn unread(&mut self, what: impl Into<String>, place: &str) {
        Self::note(&mut self.unread, what, place);
    }
}

/// The report in one line, as an error says it.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} keys about money are not understood: ", self.unread.len())?;
        for (at, (key, places)) in self.unread.iter().enumerate() {
            let comma = if at > 0 { ", " } else { "" };
            write!(f, "{comma}{key} ({} times, first {})", places.count, places.first)?;
        }
        Ok(())
    }
}

/// Reads a file. Takes as long as parsing it takes: not for a task that must not block.
///
/// # Errors
/// [`ImportError`] where it is no such file, where it cannot make a book, or where `unread` is
/// [`Unread::Refuse`] and something about money was not understood.
pub fn read(format: Format, bytes: &[u8], unread: Unread) -> Result<Imported, ImportError> {
    if bytes.len() > IMPORT_BYTES_MAX {
        return Err(ImportError::TooLarge);
    }
    let mut collector = Collector::default();
    match format {
        Format::LiteLlm => litellm::read(bytes, &mut collector)?,
        Format::GenAi => genai::read(bytes, &mut collector)?,
        Format::Csv => csv::read(bytes, &mut collector)?,
    }
    let (draft, mut report) = collector.done();
    if unread == Unread::Refuse && !report.unread.is_empty() {
        return Err(ImportError::Unread { report: Box::new(report) });
    }
    if draft.rows.is_empty() {
        return Err(ImportError::Nothing);
    }
    let book = PriceBook::new(draft)?;
    report.rows = u64::try_from(book.rows().len()).unwrap_or(u64::MAX);
    Ok(Imported { book, report })
}

/// A provider by the name that price lists give it.
fn provider(name: &str) -> Option<Provider> {
    match name {
        "openai" | "text-completion-openai" => Some(Provider::OpenAi),
        "azure" | "azure_text" => Some(Provider::Azure),
        "anthropic" => Some(Provider::Anthropic),
        "deepseek" => Some(Provider::DeepSeek),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
