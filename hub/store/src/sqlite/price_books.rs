//! Price books in SQL.

use super::{Connection, Db, Row, fault, insert_fault, row, was_new};
use crate::{Activation, BookVersion, KeptBook, Name, PageSize, PriceBooks, StoreError};
use async_trait::async_trait;
use weft_proto::prices::BookHash;
use weft_proto::time::Timestamp;

#[async_trait]
impl PriceBooks for Db {
    async fn add(&self, book: &KeptBook) -> Result<bool, StoreError> {
        let KeptBook { version, canonical } = book.clone();
        let imported_at = row::micros("imported_at", version.imported_at)?;
        self.write(move |connection| {
            Box::pin(async move {
                let inserted = sqlx::query(
                    "INSERT INTO price_books (hash, canonical, row_count, note, signature, \
                     imported_at) VALUES (?, ?, ?, ?, ?, ?)",
                )
                .bind(version.hash.as_bytes().as_slice())
                .bind(canonical)
                .bind(i64::from(version.rows))
                .bind(version.note.as_str())
                .bind(version.signature.as_slice())
                .bind(imported_at)
                .execute(connection)
                .await;
                was_new(inserted)
            })
        })
        .await
    }

    async fn find(&self, hash: BookHash) -> Result<Option<KeptBook>, StoreError> {
        let found = sqlx::query(
            "SELECT hash, canonical, row_count, note, signature, imported_at FROM price_books \
             WHERE hash = ?",
        )
        .bind(hash.as_bytes().as_slice())
        .fetch_optional(&self.readers)
        .await
        .map_err(fault)?;
        let Some(found) = found else {
            return Ok(None);
        };
        Ok(Some(KeptBook { version: version(&found)?, canonical: row::raw(&found, "canonical")? }))
    }

    async fn versions(&self, size: PageSize) -> Result<Vec<BookVersion>, StoreError> {
        sqlx::query(
            "SELECT hash, row_count, note, signature, imported_at FROM price_books \
             ORDER BY imported_at DESC, hash DESC LIMIT ?",
        )
        .bind(size.rows())
        .fetch_all(&self.readers)
        .await
        .map_err(fault)?
        .iter()
        .map(version)
        .collect()
    }

    async fn activate(&self, hash: BookHash, at: Timestamp) -> Result<Activation, StoreError> {
        let activated_at = row::micros("activated_at", at)?;
        self.write(move |connection| {
            Box::pin(async move {
                let last = latest(connection).await?;
                if let Some(last) = last.filter(|last| last.hash == hash) {
                    return Ok(last);
                }
                let number = last.map_or(1, |last| last.number + 1);
                sqlx::query(
                    "INSERT INTO price_book_activations (number, book_hash, activated_at) \
                     VALUES (?, ?, ?)",
                )
                .bind(row::number("number", number)?)
                .bind(hash.as_bytes().as_slice())
                .bind(activated_at)
                .execute(connection)
                .await
                .map_err(|error| insert_fault(error, "price book activation", "price book"))?;
                Ok(Activation { number, hash, at })
            })
        })
        .await
    }

    async fn activations(&self, size: PageSize) -> Result<Vec<Activation>, StoreError> {
        sqlx::query(
            "SELECT number, book_hash, activated_at FROM price_book_activations \
             ORDER BY number DESC LIMIT ?",
        )
        .bind(size.rows())
        .fetch_all(&self.readers)
        .await
        .map_err(fault)?
        .iter()
        .map(activation)
        .collect()
    }
}

/// The book in force; nobody else puts one in force until the transaction ends.
async fn latest(connection: &mut Connection) -> Result<Option<Activation>, StoreError> {
    let row = sqlx::query(lock!(
        "SELECT number, book_hash, activated_at FROM price_book_activations \
         ORDER BY number DESC LIMIT 1"
    ))
    .fetch_optional(connection)
    .await
    .map_err(fault)?;
    row.as_ref().map(activation).transpose()
}

fn version(row: &Row) -> Result<BookVersion, StoreError> {
    Ok(BookVersion {
        hash: BookHash::from_bytes(row::digest(row, "hash")?),
        rows: row::parsed(row, "row_count", |rows: i64| u32::try_from(rows))?,
        note: row::parsed(row, "note", Name::parse)?,
        signature: row::parsed(row, "signature", |bytes: &[u8]| bytes.try_into())?,
        imported_at: row::timestamp(row, "imported_at")?,
    })
}

fn activation(row: &Row) -> Result<Activation, StoreError> {
    Ok(Activation {
        number: row::parsed(row, "number", |number: i64| u64::try_from(number))?,
        hash: BookHash::from_bytes(row::digest(row, "book_hash")?),
        at: row::timestamp(row, "activated_at")?,
    })
}
