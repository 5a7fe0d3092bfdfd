//! The prices that a hub brings along: a book in the CSV form, with the source and date of each row.
//!
//! They were right on their date. An operator imports newer ones; nothing here goes and looks.

use super::import::{self, Format, ImportError, Unread};
use weft_proto::prices::PriceBook;
use weft_store::{InvalidName, Name};

/// The file, as it lies beside this one.
pub const CSV: &str = include_str!("bundled.csv");

/// What the bundled book is called in lists.
const NOTE: &str = "bundled, November 2026";

/// The bundled book.
///
/// # Errors
/// [`ImportError`] where the file is not what an import takes: tests exclude it.
pub fn book() -> Result<PriceBook, ImportError> {
    import::read(Format::Csv, CSV.as_bytes(), Unread::Refuse).map(|imported| imported.book)
}

/// What it is called.
pub(super) fn note() -> Result<Name, InvalidName> {
    Name::parse(NOTE)
}
