//! Price books in memory.

use super::Memory;
use crate::{Activation, BookVersion, KeptBook, PageSize, PriceBooks, StoreError};
use async_trait::async_trait;
use std::cmp::Reverse;
use weft_proto::prices::BookHash;
use weft_proto::time::Timestamp;

#[async_trait]
impl PriceBooks for Memory {
    async fn add(&self, book: &KeptBook) -> Result<bool, StoreError> {
        self.with(|tables| {
            let new = !tables.price_books.contains_key(&book.version.hash);
            tables.price_books.entry(book.version.hash).or_insert_with(|| book.clone());
            Ok(new)
        })
    }

    async fn find(&self, hash: BookHash) -> Result<Option<KeptBook>, StoreError> {
        self.with(|tables| Ok(tables.price_books.get(&hash).cloned()))
    }

    async fn versions(&self, size: PageSize) -> Result<Vec<BookVersion>, StoreError> {
        self.with(|tables| {
            let mut books: Vec<_> =
                tables.price_books.values().map(|book| book.version.clone()).collect();
            books.sort_by_key(|book| Reverse((book.imported_at, book.hash)));
            books.truncate(size.as_usize());
            Ok(books)
        })
    }

    async fn activate(&self, hash: BookHash, at: Timestamp) -> Result<Activation, StoreError> {
        self.with(|tables| {
            if !tables.price_books.contains_key(&hash) {
                return Err(StoreError::NotFound { what: "price book" });
            }
            let last = tables.activations.last().copied();
            if let Some(last) = last.filter(|last| last.hash == hash) {
                return Ok(last);
            }
            let number = last.map_or(1, |last| last.number + 1);
            let activation = Activation { number, hash, at };
            tables.activations.push(activation);
            Ok(activation)
        })
    }

    async fn activations(&self, size: PageSize) -> Result<Vec<Activation>, StoreError> {
        self.with(|tables| {
            Ok(tables.activations.iter().rev().take(size.as_usize()).copied().collect())
        })
    }
}
