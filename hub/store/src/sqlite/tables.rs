//! The repositories in SQL: one text, compiled once for each database.
//!
//! The module above says which database that is: it has `Db` with `readers`, `read` and `write`, the
//! types `Engine`, `Connection`, `Row` and `Done`, `UPDATES_FROM_ROWS`, and the macro `lock!`. Nothing in here names a
//! database, so that a rule is written, and put right, once.
//!
//! # Rules for what is written here
//! - SQL that SQLite and MySQL both read: `?` for every value, no `RETURNING`, no `ON CONFLICT`, no
//!   `INSERT IGNORE`. A row that may be there already is inserted, and looked at where that fails
//!   as a unique violation; the transaction goes on. One that will be changed is looked for first.
//! - A row that is read in order to be changed is read through `lock!`, or changed by an `UPDATE`
//!   whose `WHERE` says what must still hold, and whose count of rows is looked at: elsewhere than
//!   in SQLite transactions run beside one another.
//! - Rows are touched in one order by all (a batch is sorted by its ids first), lest two
//!   transactions wait for one another. Where they do all the same, one of them fails and is run
//!   again whole: what `write` is given can be cloned.
//! - `SUM` is cast: `CAST(SUM(x) AS SIGNED)`. MySQL would answer with a decimal.

use super::{Connection, Db, Done, Engine, Row, UPDATES_FROM_ROWS};
use crate::StoreError;

mod agents;
mod codes;
mod invites;
mod keys;
mod ledger;
mod many;
mod objects;
mod outcomes;
mod owners;
mod payouts;
mod pending_bills;
mod price_books;
mod receipts;
mod row;
mod terms;
mod users;

/// What a failed statement means for the caller, where no rule of the tables was broken.
pub(super) fn fault(error: sqlx::Error) -> StoreError {
    StoreError::unavailable(error)
}

/// What a failed `INSERT` means: `taken` names what must be unique, `parent` the row referred to.
fn insert_fault(error: sqlx::Error, taken: &'static str, parent: &'static str) -> StoreError {
    match error.as_database_error() {
        Some(database) if database.is_unique_violation() => StoreError::Conflict { what: taken },
        Some(database) if database.is_foreign_key_violation() => {
            StoreError::NotFound { what: parent }
        }
        Some(_) | None => fault(error),
    }
}

/// Whether an `INSERT` made its row: one that is there already leaves the transaction as it was.
fn was_new(inserted: Result<Done, sqlx::Error>) -> Result<bool, StoreError> {
    match inserted {
        Ok(_) => Ok(true),
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Ok(false),
        Err(error) => Err(fault(error)),
    }
}

/// Whether an `UPDATE` by id, under a condition, met its row.
fn was_there(updated: &Done, what: &'static str) -> Result<bool, StoreError> {
    match ensure_one_row(updated, what) {
        Ok(()) => Ok(true),
        Err(StoreError::NotFound { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Checks that an `UPDATE` by id met the row that it was for, and that row alone.
fn ensure_one_row(result: &Done, what: &'static str) -> Result<(), StoreError> {
    match result.rows_affected() {
        0 => Err(StoreError::NotFound { what }),
        1 => Ok(()),
        more => Err(StoreError::corrupt(what, format_args!("{more} rows have one id"))),
    }
}
