//! Prices: the book in force, the ones before it, and what a request will cost by it.
//!
//! ```text
//!  LiteLLM, genai-prices, CSV ──▶ import ──▶ PriceBook ──▶ signed, kept ──▶ activated ──▶ quotes
//! ```
//! Books are values of `weft_proto::prices`; this room reads files into them ([`import`]), signs
//! them with the hub's [`LedgerKey`], keeps them in the store and says which one is in force. A hub
//! that never had a book puts the one in force that it brings along ([`bundled`]).
//!
//! # Invariants
//! - A book that is not signed by this hub's key is not used, wherever it lies.
//! - A quote holds its book: what comes into force later changes nothing for an exchange under way.
//! - Integers only; float arithmetic does not compile here.
//!
//! Never here: who pays, what was used, keys and their files.

#![deny(clippy::float_arithmetic)]

pub mod bundled;
pub mod import;
mod quote;

pub use quote::Quote;

use crate::ledger_key::LedgerKey;
use import::ImportError;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use tokio::sync::watch;
use weft_proto::ledger::{PublicKey, Signature};
use weft_proto::model::ModelName;
use weft_proto::money::{ListPrice, Ratio};
use weft_proto::prices::{BookError, BookHash, PriceBook};
use weft_proto::provider::Provider;
use weft_proto::time::{Clock, Timestamp};
use weft_store::{
    Activation, BookVersion, InvalidName, KeptBook, Name, PageSize, PriceBooks, StoreError,
};

/// How many superseded books are held in memory for the settlements that still name them.
const HELD_BOOKS: u64 = 8;

/// Why the room cannot do what it is asked to.
#[derive(Debug, thiserror::Error)]
pub enum PricingError {
    /// The store refused.
    #[error("the price books cannot be read or kept")]
    Store(#[from] StoreError),
    /// A kept book is not what this hub signed.
    #[error("the price book {hash} does not carry this hub's signature")]
    Unsigned {
        /// Which.
        hash: BookHash,
    },
    /// A kept book cannot be read.
    #[error("the price book {hash} is damaged")]
    Damaged {
        /// Which.
        hash: BookHash,
        /// What is wrong with it.
        #[source]
        source: BookError,
    },
    /// The bundled book cannot be read.
    #[error("the bundled price book is damaged")]
    Bundled(#[source] ImportError),
    /// A note under which a book is to be kept is none.
    #[error("a note that cannot be kept")]
    Note(#[from] InvalidName),
}

/// A book with the hub's signature of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedBook {
    /// The book.
    pub book: PriceBook,
    /// The signature, over [`BookHash::signed_text`].
    pub signature: Signature,
}

/// The prices of the hub.
#[derive(Clone)]
pub struct Pricing(Arc<Room>);

struct Room {
    books: Arc<dyn PriceBooks>,
    key: LedgerKey,
    clock: Arc<dyn Clock>,
    active: watch::Sender<Arc<SignedBook>>,
    held: moka::future::Cache<BookHash, Arc<SignedBook>>,
}

impl fmt::Debug for Pricing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pricing").field("active", &self.active().book).finish_non_exhaustive()
    }
}

impl Pricing {
    /// Takes the book in force from the store. Where there has never been one, the bundled book is
    /// kept and comes into force.
    ///
    /// # Errors
    /// [`PricingError`] where the book cannot be had, or is not this hub's.
    pub async fn open(
        books: Arc<dyn PriceBooks>,
        key: LedgerKey,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, PricingError> {
        let latest = books.activations(PageSize::clamped(1)).await?;
        let active = match latest.first() {
            Some(latest) => load(&*books, &key, latest.hash).await?,
            None => {
                let bundled = bundled::book().map_err(PricingError::Bundled)?;
                let (kept, signed) = sign(&key, bundled, bundled::note()?, clock.now());
                books.add(&kept).await?;
                books.activate(kept.version.hash, clock.now()).await?;
                tracing::info!(book = %kept.version.hash, "bundled prices in force");
                Some(signed)
            }
        };
        let Some(active) = active else {
            return Err(StoreError::NotFound { what: "price book" }.into());
        };
        let (active, _) = watch::channel(Arc::new(active));
        let held = moka::future::Cache::new(HELD_BOOKS);
        Ok(Self(Arc::new(Room { books, key, clock, active, held })))
    }

    /// The book in force.
    #[must_use]
    pub fn active(&self) -> Arc<SignedBook> {
        Arc::clone(&self.0.active.borrow())
    }

    /// Tells of every book that comes into force, the present one first.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<SignedBook>> {
        self.0.active.subscribe()
    }

    /// The key that signs books, receipts and checkpoints of this hub.
    #[must_use]
    pub fn ledger_key(&self) -> &LedgerKey {
        &self.0.key
    }

    /// What `model` costs at this moment by the book in force, wherever the account is; `None` where
    /// the book has no price for it. `place` is the account's site as text; `zone` is what the user
    /// pays of the list price.
    #[must_use]
    pub fn quote(
        &self,
        provider: Provider,
        model: &ModelName,
        place: Option<&str>,
        at: Timestamp,
        zone: Ratio,
    ) -> Option<Quote> {
        Quote::of(self.active(), provider, model.as_str(), place, at, zone)
    }

    /// The quote that `price` finds the dearest, among all models of the provider that the book in
    /// force has a price for: for holds of requests that have not named theirs. Looks at every row.
    #[must_use]
    pub fn dearest(
        &self,
        provider: Provider,
        place: Option<&str>,
        at: Timestamp,
        zone: Ratio,
        price: impl Fn(&Quote) -> Option<ListPrice>,
    ) -> Option<Quote> {
        let book = self.active();
        let rows = book.book.rows().iter().filter(|row| row.provider == provider);
        // Some name that the pattern matches: what it costs is the row's to say.
        let models: BTreeSet<_> = rows.map(|row| row.model.as_str().replace('*', "x")).collect();
        models
            .iter()
            .filter_map(|model| Quote::of(Arc::clone(&book), provider, model, place, at, zone))
            .filter_map(|quote| Some((price(&quote)?, quote)))
            .max_by_key(|(list, _)| list.pico())
            .map(|(_, quote)| quote)
    }

    /// What `model` cost at the moment `at` by a kept book; `None` where the book is not kept, or
    /// has no price for it.
    ///
    /// # Errors
    /// [`PricingError`] where the book cannot be read, or is not this hub's.
    pub async fn quote_by(
        &self,
        hash: BookHash,
        provider: Provider,
        model: &ModelName,
        at: Timestamp,
        zone: Ratio,
    ) -> Result<Option<Quote>, PricingError> {
        let book = self.book(hash).await?;
        Ok(book.and_then(|book| Quote::of(book, provider, model.as_str(), None, at, zone)))
    }

    /// A kept book by its hash.
    ///
    /// # Errors
    /// [`PricingError`] where it cannot be read, or is not this hub's.
    pub async fn book(&self, hash: BookHash) -> Result<Option<Arc<SignedBook>>, PricingError> {
        let active = self.active();
        if active.book.hash() == hash {
            return Ok(Some(active));
        }
        if let Some(held) = self.0.held.get(&hash).await {
            return Ok(Some(held));
        }
        let Some(book) = load(&*self.0.books, &self.0.key, hash).await? else {
            return Ok(None);
        };
        let book = Arc::new(book);
        self.0.held.insert(hash, Arc::clone(&book)).await;
        Ok(Some(book))
    }

    /// Signs and keeps a book, and says whether it is new. It does not come into force.
    ///
    /// # Errors
    /// [`PricingError::Store`].
    pub async fn keep(&self, book: PriceBook, note: Name) -> Result<bool, PricingError> {
        let (kept, _) = sign(&self.0.key, book, note, self.0.clock.now());
        Ok(self.0.books.add(&kept).await?)
    }

    /// Puts a kept book in force: what is quoted from now on is quoted by it.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where it is not kept, and the other ways of [`PricingError`].
    pub async fn activate(&self, hash: BookHash) -> Result<Activation, PricingError> {
        let missing = || StoreError::NotFound { what: "price book" };
        let book = self.book(hash).await?.ok_or_else(missing)?;
        let activation = self.0.books.activate(hash, self.0.clock.now()).await?;
        self.take(book).await;
        tracing::info!(book = %hash, number = activation.number, "prices in force");
        Ok(activation)
    }

    /// Looks whether another node of the hub has put a book in force, and takes it over.
    ///
    /// # Errors
    /// [`PricingError`].
    pub async fn refresh(&self) -> Result<(), PricingError> {
        let latest = self.0.books.activations(PageSize::clamped(1)).await?;
        let Some(latest) = latest.first() else { return Ok(()) };
        if latest.hash != self.active().book.hash()
            && let Some(book) = self.book(latest.hash).await?
        {
            self.take(book).await;
        }
        Ok(())
    }

    /// The latest activations and the books that are kept, both the latest first.
    ///
    /// # Errors
    /// [`PricingError::Store`].
    pub async fn history(
        &self,
        size: PageSize,
    ) -> Result<(Vec<Activation>, Vec<BookVersion>), PricingError> {
        Ok((self.0.books.activations(size).await?, self.0.books.versions(size).await?))
    }

    /// Exchanges under way still name the book before this one.
    async fn take(&self, book: Arc<SignedBook>) {
        let before = self.0.active.send_replace(book);
        self.0.held.insert(before.book.hash(), before).await;
    }
}

/// The public half of the key that signs books.
impl Pricing {
    /// What agents verify this hub's signatures with.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        self.0.key.public()
    }
}

fn sign(key: &LedgerKey, book: PriceBook, note: Name, at: Timestamp) -> (KeptBook, SignedBook) {
    let signature = key.sign(&book.hash().signed_text());
    let version = BookVersion {
        hash: book.hash(),
        rows: u32::try_from(book.rows().len()).unwrap_or(u32::MAX),
        note,
        signature: *signature.as_bytes(),
        imported_at: at,
    };
    let kept = KeptBook { version, canonical: book.canonical().to_vec() };
    (kept, SignedBook { book, signature })
}

async fn load(
    books: &dyn PriceBooks,
    key: &LedgerKey,
    hash: BookHash,
) -> Result<Option<SignedBook>, PricingError> {
    let Some(kept) = books.find(hash).await? else {
        return Ok(None);
    };
    let mut signature = Signature::new(kept.version.signature);
    if !key.public().verifies(&hash.signed_text(), &signature) {
        if !key.has_signed(&hash.signed_text(), &signature) {
            return Err(PricingError::Unsigned { hash });
        }
        // Signed by a key before this one, which agents that came later do not know.
        signature = key.sign(&hash.signed_text());
    }
    // Up to 4 MiB are parsed here, once a book: some tens of milliseconds.
    let book = PriceBook::parse(&kept.canonical)
        .map_err(|source| PricingError::Damaged { hash, source })?;
    if book.hash() != hash {
        return Err(PricingError::Unsigned { hash });
    }
    Ok(Some(SignedBook { book, signature }))
}

#[cfg(test)]
mod tests;
