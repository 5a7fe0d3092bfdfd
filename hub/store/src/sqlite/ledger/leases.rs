//! Leases in SQL.

use super::super::ensure_one_row;
use super::accounts::{self, Changes, account, amount};
use super::{Connection, Engine, Row, fault, row, transfers};
use crate::ledger::lease as rules;
use crate::{GiveBack, Lease, LeaseWanted, Leased, Page, StoreError};
use sqlx::Executor;
use std::collections::BTreeMap;
use weft_proto::ids::{LeaseId, NodeId};
use weft_proto::money::NanoUsd;

macro_rules! select {
    ($which:literal) => {
        concat!(
            "SELECT id, account, node_id, granted, used, returned, parts, is_open, taken_at, \
             changed_at FROM ledger_leases ",
            $which
        )
    };
}

pub(super) async fn find<'c>(
    executor: impl Executor<'c, Database = Engine>,
    id: LeaseId,
) -> Result<Option<Lease>, StoreError> {
    sqlx::query(select!("WHERE id = ?"))
        .bind(id.as_bytes().to_vec())
        .fetch_optional(executor)
        .await
        .map_err(fault)?
        .as_ref()
        .map(lease)
        .transpose()
}

pub(super) async fn open<'c>(
    executor: impl Executor<'c, Database = Engine>,
    node: Option<NodeId>,
    page: Page<LeaseId>,
) -> Result<Vec<Lease>, StoreError> {
    // No id is empty.
    let after = page.after.map_or_else(Vec::new, |id| id.as_bytes().to_vec());
    let query = match node {
        Some(node) => sqlx::query(select!(
            "WHERE is_open = TRUE AND id > ? AND node_id = ? ORDER BY id LIMIT ?"
        ))
        .bind(after)
        .bind(node.as_bytes().to_vec()),
        None => {
            sqlx::query(select!("WHERE is_open = TRUE AND id > ? ORDER BY id LIMIT ?")).bind(after)
        }
    };
    query
        .bind(page.size.rows())
        .fetch_all(executor)
        .await
        .map_err(fault)?
        .iter()
        .map(lease)
        .collect()
}

/// The leases with these ids, which nobody else changes until the transaction ends.
pub(super) async fn lock(
    connection: &mut Connection,
    ids: impl IntoIterator<Item = LeaseId>,
) -> Result<BTreeMap<LeaseId, Lease>, StoreError> {
    let mut found = BTreeMap::new();
    // One by one and in their order: a list of ids would be walked in an order of the database's.
    for id in ids {
        if let Some(lease) = lock_one(connection, id).await? {
            found.insert(id, lease);
        }
    }
    Ok(found)
}

async fn lock_one(connection: &mut Connection, id: LeaseId) -> Result<Option<Lease>, StoreError> {
    sqlx::query(lock!(select!("WHERE id = ?")))
        .bind(id.as_bytes().to_vec())
        .fetch_optional(connection)
        .await
        .map_err(fault)?
        .as_ref()
        .map(lease)
        .transpose()
}

/// Counts as used what settlements drew, where the lease still has it.
pub(super) async fn draw(
    connection: &mut Connection,
    id: LeaseId,
    amount: NanoUsd,
) -> Result<(), StoreError> {
    let drawn = sqlx::query(
        "UPDATE ledger_leases SET used = used + ? \
         WHERE id = ? AND is_open = TRUE AND granted - used - returned >= ?",
    )
    .bind(amount.nanos())
    .bind(id.as_bytes().to_vec())
    .bind(amount.nanos())
    .execute(connection)
    .await
    .map_err(fault)?;
    ensure_one_row(&drawn, "lease")
}

pub(super) async fn take(
    connection: &mut Connection,
    wanted: LeaseWanted,
) -> Result<Leased, StoreError> {
    let held = lock_one(connection, wanted.lease).await?;
    if let Some(stands) = rules::granted_before(&wanted, held)? {
        return Ok(Leased::Granted(stands));
    }
    let granted =
        match accounts::reserve(connection, wanted.account, wanted.wanted, wanted.least).await? {
            Ok(granted) => granted,
            Err(available) => return Ok(Leased::Short { available }),
        };
    let (lease, transfer) = rules::grant(&wanted, held, granted)?;
    match held {
        Some(_) => update(connection, &lease).await?,
        None => insert(connection, &lease).await?,
    }
    let mut changes = Changes::default();
    changes.add(&transfer)?;
    changes.set_aside(lease.account, granted)?;
    transfers::insert(connection, &[transfer]).await?;
    changes.write(connection).await?;
    Ok(Leased::Granted(lease))
}

pub(super) async fn give_back(
    connection: &mut Connection,
    back: GiveBack,
) -> Result<Lease, StoreError> {
    let held =
        lock_one(connection, back.lease).await?.ok_or(StoreError::NotFound { what: "lease" })?;
    let Some((lease, transfer)) = rules::give_back(held, &back)? else { return Ok(held) };
    update(connection, &lease).await?;
    if let Some(transfer) = transfer {
        let mut changes = Changes::default();
        changes.add(&transfer)?;
        transfers::insert(connection, &[transfer]).await?;
        changes.write(connection).await?;
    }
    Ok(lease)
}

async fn insert(connection: &mut Connection, lease: &Lease) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO ledger_leases (id, account, node_id, granted, used, returned, parts, is_open, \
         taken_at, changed_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(lease.id.as_bytes().to_vec())
    .bind(lease.account.to_bytes().to_vec())
    .bind(lease.node.as_bytes().to_vec())
    .bind(lease.granted.nanos())
    .bind(lease.used.nanos())
    .bind(lease.returned.nanos())
    .bind(i64::from(lease.parts))
    .bind(lease.open)
    .bind(row::micros("taken_at", lease.taken_at)?)
    .bind(row::micros("changed_at", lease.changed_at)?)
    .execute(connection)
    .await
    .map_err(fault)
    .map(drop)
}

/// Writes what a grant or a return changes of a lease that this transaction has locked.
async fn update(connection: &mut Connection, lease: &Lease) -> Result<(), StoreError> {
    let updated = sqlx::query(
        "UPDATE ledger_leases SET granted = ?, returned = ?, parts = ?, is_open = ?, \
         changed_at = ? WHERE id = ?",
    )
    .bind(lease.granted.nanos())
    .bind(lease.returned.nanos())
    .bind(i64::from(lease.parts))
    .bind(lease.open)
    .bind(row::micros("changed_at", lease.changed_at)?)
    .bind(lease.id.as_bytes().to_vec())
    .execute(connection)
    .await
    .map_err(fault)?;
    ensure_one_row(&updated, "lease")
}

fn lease(row: &Row) -> Result<Lease, StoreError> {
    Ok(Lease {
        id: row::parsed(row, "id", LeaseId::from_slice)?,
        account: account(row, "account")?,
        node: row::parsed(row, "node_id", NodeId::from_slice)?,
        granted: amount(row, "granted")?,
        used: amount(row, "used")?,
        returned: amount(row, "returned")?,
        parts: row::parsed(row, "parts", |value: i64| u32::try_from(value))?,
        open: row::raw(row, "is_open")?,
        taken_at: row::timestamp(row, "taken_at")?,
        changed_at: row::timestamp(row, "changed_at")?,
    })
}
