//! The price books that the hub has sent: what a usage is worth, when an exchange ends.
//!
//! A book is found by its hash, which a ticket names. The newest [`BOOKS_MAX`] are held, and kept on
//! disk, each with the hub's signature; an exchange that ends before its book has come may wait for
//! it. What is not the book that was announced, or not signed by the hub's ledger key, is not taken.

use crate::datadir::replace_file;
use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::watch;
use weft_proto::ledger::{PublicKey, SIGNATURE_BYTES, Signature};
use weft_proto::limits::PRICE_BOOK_BYTES_MAX;
use weft_proto::prices::{BookError, BookHash, PriceBook};
use weft_proto::wire::receipts::PricesOffer;

/// Books that are held at a time.
pub const BOOKS_MAX: usize = 8;

/// Why a price book was not taken.
#[derive(Debug, thiserror::Error)]
pub enum BookRefused {
    /// It is none.
    #[error("the hub sent what is no price book")]
    Book(#[from] BookError),
    /// It is not the one that was announced.
    #[error("the price book {got} came, and {announced} was announced")]
    Another {
        /// What came.
        got: BookHash,
        /// What was to come.
        announced: BookHash,
    },
    /// The hub's ledger key did not sign it.
    #[error("the price book {0} is not signed by the hub's ledger key")]
    Unsigned(BookHash),
    /// It cannot be kept.
    #[error("the price book cannot be kept")]
    Disk(#[from] io::Error),
}

/// The price books of one agent. Clones share them.
#[derive(Debug, Clone)]
pub struct Books {
    held: watch::Sender<VecDeque<Arc<PriceBook>>>,
    dir: Option<PathBuf>,
}

impl Default for Books {
    fn default() -> Self {
        Self { held: watch::Sender::new(VecDeque::new()), dir: None }
    }
}

impl Books {
    /// The books that are kept in `dir`, as far as `key` signed them; the directory is made where
    /// there is none. Blocks on the disk.
    ///
    /// # Errors
    /// What the system said. A file that is no such book is left alone.
    pub fn open(dir: PathBuf, key: Option<&PublicKey>) -> io::Result<Self> {
        fs::create_dir_all(&dir)?;
        let books = Self::default();
        for (path, _) in kept(&dir)? {
            match key.map(|key| read(&path, key)) {
                Some(Ok(book)) => books.keep(Arc::new(book)),
                Some(Err(error)) => {
                    tracing::warn!(path = %path.display(), %error, "a kept price book is not used");
                }
                None => {}
            }
        }
        Ok(Self { dir: Some(dir), ..books })
    }

    /// Takes a book that the hub has announced and sent. Blocks on the disk.
    ///
    /// # Errors
    /// [`BookRefused`]; nothing was changed then.
    pub fn take(
        &self,
        offer: &PricesOffer,
        canonical: &[u8],
        key: &PublicKey,
    ) -> Result<(), BookRefused> {
        let book = verified(canonical, &offer.signature, key)?;
        if book.hash() != offer.hash {
            return Err(BookRefused::Another { got: book.hash(), announced: offer.hash });
        }
        if let Some(dir) = &self.dir {
            let bytes = [&offer.signature[..], canonical].concat();
            replace_file(&dir.join(offer.hash.to_string()), &bytes)?;
            let all = kept(dir)?;
            let old = all.len().saturating_sub(BOOKS_MAX);
            for (path, _) in all.into_iter().take(old) {
                fs::remove_file(path)?;
            }
        }
        self.keep(Arc::new(book));
        Ok(())
    }

    /// Takes a book in; the oldest goes where there is no room.
    pub fn keep(&self, book: Arc<PriceBook>) {
        self.held.send_modify(|books| {
            books.retain(|known| known.hash() != book.hash());
            if books.len() == BOOKS_MAX {
                books.pop_front();
            }
            books.push_back(book);
        });
    }

    /// The hashes of all that are held, the newest first.
    #[must_use]
    pub fn hashes(&self) -> Vec<BookHash> {
        self.held.borrow().iter().rev().map(|book| book.hash()).collect()
    }

    /// The book with this hash, where it is held.
    #[must_use]
    pub fn get(&self, hash: &BookHash) -> Option<Arc<PriceBook>> {
        self.held.borrow().iter().find(|book| book.hash() == *hash).map(Arc::clone)
    }

    /// The same; where it is not held, it may come within so long.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn wait(&self, hash: &BookHash, within: Duration) -> Option<Arc<PriceBook>> {
        let mut books = self.held.subscribe();
        let come = books.wait_for(|books| books.iter().any(|book| book.hash() == *hash));
        drop(tokio::time::timeout(within, come).await);
        self.get(hash)
    }
}

/// The files of books, the oldest first.
fn kept(dir: &Path) -> io::Result<Vec<(PathBuf, SystemTime)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let named = entry.file_name().to_str().is_some_and(|name| name.parse::<BookHash>().is_ok());
        if named {
            found.push((entry.path(), entry.metadata()?.modified()?));
        }
    }
    found.sort_by(|(one, at), (other, when)| (at, one).cmp(&(when, other)));
    Ok(found)
}

fn read(path: &Path, key: &PublicKey) -> Result<PriceBook, BookRefused> {
    let bytes = fs::read(path)?;
    let too_long = bytes.len() > PRICE_BOOK_BYTES_MAX + SIGNATURE_BYTES;
    let (signature, canonical) = bytes
        .split_first_chunk()
        .filter(|_| !too_long)
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
    verified(canonical, signature, key)
}

fn verified(
    canonical: &[u8],
    signature: &[u8; SIGNATURE_BYTES],
    key: &PublicKey,
) -> Result<PriceBook, BookRefused> {
    let book = PriceBook::parse(canonical)?;
    if key.verifies(&book.hash().signed_text(), &Signature::new(*signature)) {
        Ok(book)
    } else {
        Err(BookRefused::Unsigned(book.hash()))
    }
}
