//! The hub's chained journal in SQL.

use super::{Connection, Engine, Row, fault, row};
use crate::{JOURNAL_BODY_BYTES_MAX, JournalEntry, JournalKind, JournalNote, Page, StoreError};
use sqlx::Executor;

macro_rules! select {
    ($which:literal) => {
        concat!("SELECT entry_no, kind, body, noted_at, previous, hash FROM hub_journal ", $which)
    };
}

pub(super) fn check(notes: &[JournalNote]) -> Result<(), StoreError> {
    match notes.iter().all(|note| note.body.len() <= JOURNAL_BODY_BYTES_MAX) {
        true => Ok(()),
        false => Err(StoreError::corrupt("body", "an entry of the journal is too long")),
    }
}

pub(super) async fn append(
    connection: &mut Connection,
    notes: &[JournalNote],
) -> Result<Vec<JournalEntry>, StoreError> {
    let mut entries = Vec::with_capacity(notes.len());
    if notes.is_empty() {
        return Ok(entries);
    }
    let mut last = sqlx::query(lock!(select!("ORDER BY entry_no DESC LIMIT 1")))
        .fetch_optional(&mut *connection)
        .await
        .map_err(fault)?
        .as_ref()
        .map(entry)
        .transpose()?;
    for note in notes {
        let next = JournalEntry::following(last.as_ref(), note);
        sqlx::query(
            "INSERT INTO hub_journal (entry_no, kind, body, noted_at, previous, hash) \
             VALUES (?, ?, ?, ?, ?, ?)",
        )
        .bind(row::number("entry_no", next.number)?)
        .bind(i64::from(next.kind.number()))
        .bind(next.body.as_slice())
        .bind(row::micros("noted_at", next.at)?)
        .bind(next.previous.as_slice())
        .bind(next.hash.as_slice())
        .execute(&mut *connection)
        .await
        .map_err(fault)?;
        entries.push(next.clone());
        last = Some(next);
    }
    Ok(entries)
}

pub(super) async fn page<'c>(
    executor: impl Executor<'c, Database = Engine>,
    page: Page<u64>,
) -> Result<Vec<JournalEntry>, StoreError> {
    sqlx::query(select!("WHERE entry_no > ? ORDER BY entry_no LIMIT ?"))
        .bind(row::number("entry_no", page.after.unwrap_or(0))?)
        .bind(page.size.rows())
        .fetch_all(executor)
        .await
        .map_err(fault)?
        .iter()
        .map(entry)
        .collect()
}

pub(super) async fn head<'c>(
    executor: impl Executor<'c, Database = Engine>,
) -> Result<Option<JournalEntry>, StoreError> {
    sqlx::query(select!("ORDER BY entry_no DESC LIMIT 1"))
        .fetch_optional(executor)
        .await
        .map_err(fault)?
        .as_ref()
        .map(entry)
        .transpose()
}

fn entry(row: &Row) -> Result<JournalEntry, StoreError> {
    Ok(JournalEntry {
        number: row::parsed(row, "entry_no", |value: i64| u64::try_from(value))?,
        kind: super::rows::numbered(row, "kind", JournalKind::from_number)?,
        body: row::raw(row, "body")?,
        at: row::timestamp(row, "noted_at")?,
        previous: row::digest(row, "previous")?,
        hash: row::digest(row, "hash")?,
    })
}
