//! Transfers in SQL.

use super::super::many::{Many, Values, runs};
use super::accounts::{self, Changes, account, amount};
use super::{Connection, Engine, Row, fault, journal, row, rows};
use crate::{
    Cover, JournalNote, LedgerAccount, Leg, Memo, StoreError, Subject, TRANSFERS_PER_CALL_MAX,
    Transfer, TransferKey, TransferKind, Transferred, TransfersWanted,
};
use sqlx::Executor;
use std::collections::{BTreeMap, BTreeSet};
use weft_proto::ids::LeaseId;
use weft_proto::money::NanoUsd;

macro_rules! select {
    ($which:literal) => {
        concat!(
            "SELECT subject, leg, part, kind, debit, credit, amount, lease, memo, made_at \
             FROM ledger_transfers ",
            $which
        )
    };
}

/// Refuses transfers that are not for this call.
pub(super) fn check(transfers: &[Transfer]) -> Result<(), StoreError> {
    crate::ledger::money::check_moves(transfers)?;
    match transfers.len() <= TRANSFERS_PER_CALL_MAX {
        true => Ok(()),
        false => Err(StoreError::corrupt("ledger_transfers", "too many at once")),
    }
}

pub(super) async fn make(
    connection: &mut Connection,
    transfers: Vec<Transfer>,
    cover: Cover,
    notes: Vec<JournalNote>,
) -> Result<Transferred, StoreError> {
    let mut before = 0;
    for transfer in &transfers {
        if let Some(kept) = find(&mut *connection, transfer.key).await? {
            if !kept.is_same_act(transfer) {
                return Err(StoreError::Conflict { what: "the transfer" });
            }
            before += 1;
        }
    }
    if before > 0 {
        return match before == transfers.len() {
            true => Ok(Transferred::Already),
            false => Err(StoreError::Conflict { what: "the transfer" }),
        };
    }
    let mut changes = Changes::default();
    let mut taken: BTreeMap<LedgerAccount, NanoUsd> = BTreeMap::new();
    for transfer in &transfers {
        changes.add(transfer)?;
        if cover == Cover::Covered && transfer.debit.party().is_some() {
            let sum = taken.entry(transfer.debit).or_default();
            *sum = sum
                .checked_add(transfer.amount)
                .ok_or_else(|| StoreError::corrupt("amount", "out of range"))?;
        }
    }
    // All are looked at before any is written: what is said to be short has changed nothing.
    for (account, wanted) in &taken {
        let held = accounts::lock(connection, *account).await?;
        let available = held.map_or(NanoUsd::ZERO, |balance| balance.available());
        if available < *wanted {
            return Ok(Transferred::Short { account: *account, available });
        }
    }
    for (account, wanted) in taken {
        if accounts::take(connection, account, wanted, NanoUsd::ZERO).await?.0 != wanted {
            return Err(StoreError::unavailable("a balance changed under a lock"));
        }
        changes.taken(account, wanted)?;
    }
    insert(connection, &transfers).await?;
    changes.write(connection).await?;
    journal::append(connection, &notes).await?;
    Ok(Transferred::Done)
}

static INSERT: Many = Many::insert(
    "INSERT INTO ledger_transfers (subject, leg, part, kind, debit, credit, amount, lease, party, \
     memo, made_at) VALUES ",
    11,
);

/// Inserts transfers that are all new.
pub(super) async fn insert(
    connection: &mut Connection,
    transfers: &[Transfer],
) -> Result<(), StoreError> {
    for run in runs(transfers) {
        INSERT.execute(connection, run, push).await?;
    }
    Ok(())
}

fn push(values: &mut Values, transfer: &Transfer) -> Result<(), StoreError> {
    values
        .push(transfer.key.subject.as_bytes().to_vec())
        .push(i64::from(transfer.key.leg.number()))
        .push(i64::from(transfer.key.part))
        .push(i64::from(transfer.kind.number()))
        .push(transfer.debit.to_bytes().to_vec())
        .push(transfer.credit.to_bytes().to_vec())
        .push(transfer.amount.nanos())
        .push(transfer.lease.map(|lease| lease.as_bytes().to_vec()))
        .push(transfer.party().map(|party| party.to_vec()))
        .push(transfer.memo.as_ref().map(|memo| memo.as_str().to_owned()))
        .push(row::micros("made_at", transfer.at)?);
    Ok(())
}

pub(super) async fn find<'c>(
    executor: impl Executor<'c, Database = Engine>,
    key: TransferKey,
) -> Result<Option<Transfer>, StoreError> {
    sqlx::query(select!("WHERE subject = ? AND leg = ? AND part = ?"))
        .bind(key.subject.as_bytes().to_vec())
        .bind(i64::from(key.leg.number()))
        .bind(i64::from(key.part))
        .fetch_optional(executor)
        .await
        .map_err(fault)?
        .as_ref()
        .map(transfer)
        .transpose()
}

pub(super) async fn of<'c>(
    executor: impl Executor<'c, Database = Engine>,
    subject: Subject,
) -> Result<Vec<Transfer>, StoreError> {
    sqlx::query(select!("WHERE subject = ? ORDER BY leg, part"))
        .bind(subject.as_bytes().to_vec())
        .fetch_all(executor)
        .await
        .map_err(fault)?
        .iter()
        .map(transfer)
        .collect()
}

static OF_ALL: Many = Many::list(select!("WHERE subject IN ("), ") ORDER BY subject, leg, part");

pub(super) async fn of_all(
    connection: &mut Connection,
    subjects: BTreeSet<Subject>,
) -> Result<Vec<Transfer>, StoreError> {
    let subjects: Vec<_> = subjects.into_iter().collect();
    let mut found = Vec::with_capacity(subjects.len());
    for run in runs(&subjects) {
        let by_subject = |values: &mut Values, subject: &Subject| {
            values.push(subject.as_bytes().to_vec());
            Ok(())
        };
        for row in &OF_ALL.fetch(&mut *connection, run, by_subject).await? {
            found.push(transfer(row)?);
        }
    }
    Ok(found)
}

pub(super) async fn listed<'c>(
    executor: impl Executor<'c, Database = Engine>,
    wanted: &TransfersWanted,
) -> Result<Vec<Transfer>, StoreError> {
    sqlx::query(select!(
        "WHERE party = ? AND made_at >= ? AND made_at < ? \
         ORDER BY made_at DESC, subject DESC, leg DESC, part DESC LIMIT ?"
    ))
    .bind(wanted.party.as_bytes().to_vec())
    .bind(super::reports::bound(wanted.from))
    .bind(super::reports::bound(wanted.until))
    .bind(wanted.size.rows())
    .fetch_all(executor)
    .await
    .map_err(fault)?
    .iter()
    .map(transfer)
    .collect()
}

fn transfer(row: &Row) -> Result<Transfer, StoreError> {
    Ok(Transfer {
        key: TransferKey {
            subject: row::parsed(row, "subject", |bytes: &[u8]| {
                <[u8; 16]>::try_from(bytes).map(Subject::from_bytes)
            })?,
            leg: rows::numbered(row, "leg", Leg::from_number)?,
            part: row::parsed(row, "part", |value: i64| u32::try_from(value))?,
        },
        kind: rows::numbered(row, "kind", TransferKind::from_number)?,
        debit: account(row, "debit")?,
        credit: account(row, "credit")?,
        amount: amount(row, "amount")?,
        lease: row::parsed_option(row, "lease", LeaseId::from_slice)?,
        memo: row::parsed_option(row, "memo", |text: &str| Memo::parse(text).ok_or("no memo"))?,
        at: row::timestamp(row, "made_at")?,
    })
}
