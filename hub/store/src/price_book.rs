//! Price books: their bytes by their hash, and which of them was in force from when on.
//!
//! A book never changes and is never deleted: postings name it for as long as they stand. What is in
//! force is the latest row of a history that only grows.

use crate::{Name, PageSize, StoreError};
use async_trait::async_trait;
use std::fmt;
use weft_proto::prices::BookHash;
use weft_proto::time::Timestamp;

/// How long the signature of a book is, in bytes.
pub const BOOK_SIGNATURE_BYTES: usize = 64;

/// What is known of a kept book, its bytes apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BookVersion {
    /// The hash of its canonical bytes.
    pub hash: BookHash,
    /// How many rows it has.
    pub rows: u32,
    /// Where it came from, for people.
    pub note: Name,
    /// The hub's signature of it.
    pub signature: [u8; BOOK_SIGNATURE_BYTES],
    /// When it was imported.
    pub imported_at: Timestamp,
}

/// A kept book.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptBook {
    /// What is known of it.
    pub version: BookVersion,
    /// Its canonical bytes.
    pub canonical: Vec<u8>,
}

/// One book coming into force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Activation {
    /// Which in the order of activations; the first is 1.
    pub number: u64,
    /// Which book.
    pub hash: BookHash,
    /// From when on.
    pub at: Timestamp,
}

/// The price books.
#[async_trait]
pub trait PriceBooks: fmt::Debug + Send + Sync {
    /// Keeps a book, and says whether it is new. One that is there keeps the row that it has.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; [`StoreError::Corrupt`] where a number has no stored form.
    async fn add(&self, book: &KeptBook) -> Result<bool, StoreError>;

    /// The book of this hash.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Corrupt`].
    async fn find(&self, hash: BookHash) -> Result<Option<KeptBook>, StoreError>;

    /// The books, the one imported last first.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Corrupt`].
    async fn versions(&self, size: PageSize) -> Result<Vec<BookVersion>, StoreError>;

    /// Puts a book in force. One that is in force stays so by the activation that it has.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where no such book is kept; [`StoreError::Conflict`] where another
    /// one came into force at the same moment: try again.
    async fn activate(&self, hash: BookHash, at: Timestamp) -> Result<Activation, StoreError>;

    /// The latest activations, the one in force first.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Corrupt`].
    async fn activations(&self, size: PageSize) -> Result<Vec<Activation>, StoreError>;
}
