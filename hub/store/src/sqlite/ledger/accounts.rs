//! Balances: read, and changed by sums and conditions, never by what was read.

use super::super::{Done, ensure_one_row, was_new};
use super::{Connection, Engine, Row, fault, row};
use crate::{Balance, LedgerAccount, Page, StoreError, Transfer, TransferKind};
use sqlx::Executor;
use std::collections::BTreeMap;
use weft_proto::money::NanoUsd;

/// How often a balance that others spend at the same time is asked for less.
const TRIES: usize = 4;

macro_rules! select {
    ($which:literal) => {
        concat!(
            "SELECT id, debits_posted, credits_posted, debits_pending FROM ledger_accounts ",
            $which
        )
    };
}

pub(super) async fn find<'c>(
    executor: impl Executor<'c, Database = Engine>,
    account: LedgerAccount,
) -> Result<Option<Balance>, StoreError> {
    sqlx::query(select!("WHERE id = ?"))
        .bind(account.to_bytes().to_vec())
        .fetch_optional(executor)
        .await
        .map_err(fault)?
        .as_ref()
        .map(balance)
        .transpose()
}

/// The same, and nobody else changes it until the transaction ends.
pub(super) async fn lock(
    connection: &mut Connection,
    account: LedgerAccount,
) -> Result<Option<Balance>, StoreError> {
    sqlx::query(lock!(select!("WHERE id = ?")))
        .bind(account.to_bytes().to_vec())
        .fetch_optional(connection)
        .await
        .map_err(fault)?
        .as_ref()
        .map(balance)
        .transpose()
}

pub(super) async fn page<'c>(
    executor: impl Executor<'c, Database = Engine>,
    page: Page<LedgerAccount>,
) -> Result<Vec<Balance>, StoreError> {
    // No stored form is empty.
    let after = page.after.map_or_else(Vec::new, |account| account.to_bytes().to_vec());
    sqlx::query(select!("WHERE id > ? ORDER BY id LIMIT ?"))
        .bind(after)
        .bind(page.size.rows())
        .fetch_all(executor)
        .await
        .map_err(fault)?
        .iter()
        .map(balance)
        .collect()
}

pub(super) async fn all<'c>(
    executor: impl Executor<'c, Database = Engine>,
) -> Result<Vec<Balance>, StoreError> {
    let rows = sqlx::query(select!("ORDER BY id")).fetch_all(executor).await.map_err(fault)?;
    rows.iter().map(balance).collect()
}

pub(super) fn account(row: &Row, column: &str) -> Result<LedgerAccount, StoreError> {
    row::parsed(row, column, |bytes: &[u8]| {
        LedgerAccount::from_bytes(bytes).ok_or("no such account")
    })
}

pub(super) fn amount(row: &Row, column: &str) -> Result<NanoUsd, StoreError> {
    row::raw(row, column).map(NanoUsd::new)
}

fn balance(row: &Row) -> Result<Balance, StoreError> {
    Ok(Balance {
        account: account(row, "id")?,
        debits_posted: amount(row, "debits_posted")?,
        credits_posted: amount(row, "credits_posted")?,
        debits_pending: amount(row, "debits_pending")?,
    })
}

/// What a transaction adds to balances: one `UPDATE` for each, in the order of accounts.
#[derive(Debug, Default)]
pub(super) struct Changes(BTreeMap<LedgerAccount, Change>);

#[derive(Debug, Default, Clone, Copy)]
struct Change {
    debits_posted: i64,
    credits_posted: i64,
    debits_pending: i64,
}

impl Changes {
    /// Adds what a transfer does.
    pub(super) fn add(&mut self, transfer: &Transfer) -> Result<(), StoreError> {
        let amount = transfer.amount.nanos();
        let from = self.0.entry(transfer.debit).or_default();
        match transfer.kind {
            TransferKind::Pending => return plus(&mut from.debits_pending, amount),
            TransferKind::Void => return plus(&mut from.debits_pending, -amount),
            TransferKind::Post => plus(&mut from.debits_pending, -amount)?,
            TransferKind::Direct | TransferKind::Correct => {}
        }
        plus(&mut from.debits_posted, amount)?;
        plus(&mut self.0.entry(transfer.credit).or_default().credits_posted, amount)
    }

    /// Leaves out a debit that a condition has already made.
    pub(super) fn taken(
        &mut self,
        account: LedgerAccount,
        amount: NanoUsd,
    ) -> Result<(), StoreError> {
        plus(&mut self.0.entry(account).or_default().debits_posted, -amount.nanos())
    }

    /// Leaves out an amount that a condition has already set aside.
    pub(super) fn set_aside(
        &mut self,
        account: LedgerAccount,
        amount: NanoUsd,
    ) -> Result<(), StoreError> {
        plus(&mut self.0.entry(account).or_default().debits_pending, -amount.nanos())
    }

    /// Writes them.
    pub(super) async fn write(self, connection: &mut Connection) -> Result<(), StoreError> {
        for (account, change) in self.0 {
            if matches!(change, Change { debits_posted: 0, credits_posted: 0, debits_pending: 0 }) {
                continue;
            }
            if update(connection, account, change).await?.rows_affected() == 0 {
                ensure(connection, account).await?;
                ensure_one_row(&update(connection, account, change).await?, "ledger account")?;
            }
        }
        Ok(())
    }
}

fn plus(sum: &mut i64, amount: i64) -> Result<(), StoreError> {
    *sum = sum
        .checked_add(amount)
        .ok_or_else(|| StoreError::corrupt("ledger_accounts", "a sum is out of range"))?;
    Ok(())
}

async fn update(
    connection: &mut Connection,
    account: LedgerAccount,
    change: Change,
) -> Result<Done, StoreError> {
    sqlx::query(
        "UPDATE ledger_accounts SET debits_posted = debits_posted + ?, \
         credits_posted = credits_posted + ?, debits_pending = debits_pending + ? WHERE id = ?",
    )
    .bind(change.debits_posted)
    .bind(change.credits_posted)
    .bind(change.debits_pending)
    .bind(account.to_bytes().to_vec())
    .execute(connection)
    .await
    .map_err(fault)
}

/// Makes the row of an account that has none.
pub(super) async fn ensure(
    connection: &mut Connection,
    account: LedgerAccount,
) -> Result<(), StoreError> {
    let made = sqlx::query(
        "INSERT INTO ledger_accounts (id, debits_posted, credits_posted, debits_pending) \
         VALUES (?, 0, 0, 0)",
    )
    .bind(account.to_bytes().to_vec())
    .execute(connection)
    .await;
    was_new(made).map(drop)
}

/// Sets up to `wanted` of a balance aside, at least `least`: how much it was, or what there is.
pub(super) async fn reserve(
    connection: &mut Connection,
    account: LedgerAccount,
    wanted: NanoUsd,
    least: NanoUsd,
) -> Result<Result<NanoUsd, NanoUsd>, StoreError> {
    let mut amount = wanted;
    for _ in 0..TRIES {
        let reserved = sqlx::query(
            "UPDATE ledger_accounts SET debits_pending = debits_pending + ? \
             WHERE id = ? AND credits_posted - debits_posted - debits_pending >= ?",
        )
        .bind(amount.nanos())
        .bind(account.to_bytes().to_vec())
        .bind(amount.nanos())
        .execute(&mut *connection)
        .await
        .map_err(fault)?;
        if reserved.rows_affected() == 1 {
            return Ok(Ok(amount));
        }
        let available = lock(connection, account)
            .await?
            .map_or(NanoUsd::ZERO, |balance| balance.available())
            .max(NanoUsd::ZERO);
        amount = amount.min(available);
        if amount < least || !amount.is_positive() {
            return Ok(Err(available));
        }
    }
    Err(StoreError::unavailable("a balance changed under each try to lease of it"))
}

/// Takes up to `wanted` from a balance, which may fall to `overdraft_max` below zero: how much it
/// was, and how much of that the balance did not have.
pub(super) async fn take(
    connection: &mut Connection,
    account: LedgerAccount,
    wanted: NanoUsd,
    overdraft_max: NanoUsd,
) -> Result<(NanoUsd, NanoUsd), StoreError> {
    let (mut amount, mut available) = (wanted, wanted);
    for _ in 0..TRIES {
        if !amount.is_positive() {
            return Ok((NanoUsd::ZERO, NanoUsd::ZERO));
        }
        let taken = sqlx::query(
            "UPDATE ledger_accounts SET debits_posted = debits_posted + ? \
             WHERE id = ? AND credits_posted - debits_posted - debits_pending >= ?",
        )
        .bind(amount.nanos())
        .bind(account.to_bytes().to_vec())
        .bind(available.nanos())
        .execute(&mut *connection)
        .await
        .map_err(fault)?;
        if taken.rows_affected() == 1 {
            let had = available.max(NanoUsd::ZERO);
            return Ok((amount, amount.saturating_sub(had).max(NanoUsd::ZERO)));
        }
        // There is not enough of it: so much less, from a row that nobody else changes meanwhile.
        available = match lock(connection, account).await? {
            Some(balance) => balance.available().min(wanted),
            None => {
                ensure(connection, account).await?;
                NanoUsd::ZERO
            }
        };
        amount = wanted.min(available.saturating_add(overdraft_max));
    }
    Err(StoreError::unavailable("a balance changed under each try to take of it"))
}
