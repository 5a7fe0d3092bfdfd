//! What is read of the ledger: settlements, sums, days.

use super::super::many::runs;
use super::accounts::{account, amount};
use super::rows::{self, agreed, select};
use super::{Connection, Engine, fault, row};
use crate::ledger::DAY_MICROS;
use crate::{
    Agreed, Balance, Day, Disagreement, LedgerAccount, LegState, Page, PageSize, SettlementsWanted,
    SpendWanted, StoreError, Sums, Vesting, Whose,
};
use sqlx::Executor;
use std::collections::{BTreeMap, BTreeSet};
use weft_proto::ids::{ExchangeId, OwnerId};
use weft_proto::time::Timestamp;

/// No id is greater: where the latest settlements begin.
const AFTER_EVERY_ID: [u8; 17] = [0xff; 17];

/// The settlements of somebody in a span of time, the latest first, page by page.
macro_rules! latest {
    ($whose:literal) => {
        concat!(
            select!("WHERE "),
            $whose,
            " AND settled_at >= ? AND settled_at < ? \
             AND (settled_at < ? OR (settled_at = ? AND exchange_id < ?)) \
             ORDER BY settled_at DESC, exchange_id DESC LIMIT ?"
        )
    };
}

/// A moment to compare with, as it is stored; the last one that can be where it is later.
pub(super) fn bound(at: Timestamp) -> i64 {
    i64::try_from(at.as_micros()).unwrap_or(i64::MAX)
}

pub(super) async fn settlement<'c>(
    executor: impl Executor<'c, Database = Engine>,
    exchange: ExchangeId,
) -> Result<Option<Agreed>, StoreError> {
    sqlx::query(select!("WHERE exchange_id = ?"))
        .bind(exchange.as_bytes().to_vec())
        .fetch_optional(executor)
        .await
        .map_err(fault)?
        .as_ref()
        .map(agreed)
        .transpose()
}

pub(super) async fn settlements_of<'c>(
    readers: impl Executor<'c, Database = Engine> + Copy,
    exchanges: &[ExchangeId],
) -> Result<Vec<Agreed>, StoreError> {
    let exchanges: BTreeSet<_> = exchanges.iter().copied().collect();
    let exchanges: Vec<_> = exchanges.into_iter().collect();
    let mut found = Vec::with_capacity(exchanges.len());
    for run in runs(&exchanges) {
        found.extend(rows::of(readers, &rows::OF, run).await?);
    }
    Ok(found)
}

pub(super) async fn settlements<'c>(
    executor: impl Executor<'c, Database = Engine>,
    wanted: &SettlementsWanted,
) -> Result<Vec<Agreed>, StoreError> {
    let (statement, whose, part) = match wanted.whose {
        Whose::User(user) => (latest!("user_id = ?"), *user.as_bytes(), None),
        Whose::Key(user, key) => {
            (latest!("key_id = ? AND user_id = ?"), *user.as_bytes(), Some(*key.as_bytes()))
        }
        Whose::Owner(owner) => (latest!("owner_id = ?"), *owner.as_bytes(), None),
        Whose::Agent(owner, agent) => {
            (latest!("agent_id = ? AND owner_id = ?"), *owner.as_bytes(), Some(*agent.as_bytes()))
        }
    };
    let (after_at, after_id) = wanted.after.map_or_else(
        || (i64::MAX, AFTER_EVERY_ID.to_vec()),
        |(at, id)| (bound(at), id.as_bytes().to_vec()),
    );
    let mut query = sqlx::query(statement);
    if let Some(part) = part {
        query = query.bind(part.to_vec());
    }
    query
        .bind(whose.to_vec())
        .bind(bound(wanted.from))
        .bind(bound(wanted.until))
        .bind(after_at)
        .bind(after_at)
        .bind(after_id)
        .bind(wanted.size.rows())
        .fetch_all(executor)
        .await
        .map_err(fault)?
        .iter()
        .map(agreed)
        .collect()
}

pub(super) async fn all_settlements<'c>(
    executor: impl Executor<'c, Database = Engine>,
    page: Page<ExchangeId>,
) -> Result<Vec<Agreed>, StoreError> {
    // No id is empty.
    let after = page.after.map_or_else(Vec::new, |id| id.as_bytes().to_vec());
    sqlx::query(select!("WHERE exchange_id > ? ORDER BY exchange_id LIMIT ?"))
        .bind(after)
        .bind(page.size.rows())
        .fetch_all(executor)
        .await
        .map_err(fault)?
        .iter()
        .map(agreed)
        .collect()
}

pub(super) async fn due<'c>(
    executor: impl Executor<'c, Database = Engine>,
    state: LegState,
    until: Timestamp,
    size: PageSize,
) -> Result<Vec<Agreed>, StoreError> {
    sqlx::query(select!(
        "WHERE leg_state = ? AND leg_due_at < ? ORDER BY leg_due_at, exchange_id LIMIT ?"
    ))
    .bind(i64::from(state.number()))
    .bind(bound(until))
    .bind(size.rows())
    .fetch_all(executor)
    .await
    .map_err(fault)?
    .iter()
    .map(agreed)
    .collect()
}

pub(super) async fn spent<'c>(
    executor: impl Executor<'c, Database = Engine>,
    wanted: &SpendWanted,
) -> Result<Vec<Day>, StoreError> {
    let rows = match wanted.key {
        None => sqlx::query(
            "SELECT settled_at - settled_at % 86400000000 AS day_start, \
             CAST(SUM(charge - loss) AS SIGNED) AS charged, COUNT(*) AS exchanges \
             FROM settlements WHERE user_id = ? AND settled_at >= ? AND settled_at < ? \
             GROUP BY day_start ORDER BY day_start",
        ),
        Some(key) => sqlx::query(
            "SELECT settled_at - settled_at % 86400000000 AS day_start, \
             CAST(SUM(charge - loss) AS SIGNED) AS charged, COUNT(*) AS exchanges \
             FROM settlements WHERE key_id = ? AND user_id = ? AND settled_at >= ? \
             AND settled_at < ? GROUP BY day_start ORDER BY day_start",
        )
        .bind(key.as_bytes().to_vec()),
    }
    .bind(wanted.user.as_bytes().to_vec())
    .bind(bound(wanted.from))
    .bind(bound(wanted.until))
    .fetch_all(executor)
    .await
    .map_err(fault)?;
    rows.iter()
        .map(|row| {
            Ok(Day {
                number: row::parsed(row, "day_start", |micros: i64| {
                    u64::try_from(micros).and_then(|micros| u32::try_from(micros / DAY_MICROS))
                })?,
                charged: amount(row, "charged")?,
                exchanges: row::parsed(row, "exchanges", |count: i64| u64::try_from(count))?,
            })
        })
        .collect()
}

pub(super) async fn sums<'c>(
    executor: impl Executor<'c, Database = Engine>,
) -> Result<Sums, StoreError> {
    // One statement: of one moment.
    let row = sqlx::query(
        "SELECT CAST(COALESCE(SUM(debits_posted), 0) AS SIGNED) AS debits, \
         CAST(COALESCE(SUM(credits_posted), 0) AS SIGNED) AS credits, \
         CAST(COALESCE(SUM(debits_pending), 0) AS SIGNED) AS pending, \
         (SELECT CAST(COALESCE(SUM(granted - used - returned), 0) AS SIGNED) \
          FROM ledger_leases WHERE is_open = TRUE) AS leased FROM ledger_accounts",
    )
    .fetch_one(executor)
    .await
    .map_err(fault)?;
    let sum = |column: &str| row::raw::<i64>(&row, column).map(i128::from);
    Ok(Sums {
        debits_posted: sum("debits")?,
        credits_posted: sum("credits")?,
        debits_pending: sum("pending")?,
        leased: sum("leased")?,
    })
}

/// Takes three looks, which must be of one moment.
pub(super) async fn recompute(
    connection: &mut Connection,
) -> Result<Vec<Disagreement>, StoreError> {
    let mut sums: BTreeMap<LedgerAccount, Balance> = BTreeMap::new();
    let debits = sqlx::query(
        "SELECT debit AS id, \
         CAST(SUM(CASE WHEN kind IN (1, 3, 5) THEN amount ELSE 0 END) AS SIGNED) AS posted, \
         CAST(SUM(CASE WHEN kind = 2 THEN amount WHEN kind IN (3, 4) THEN -amount ELSE 0 END) \
         AS SIGNED) AS pending FROM ledger_transfers GROUP BY debit",
    )
    .fetch_all(&mut *connection)
    .await
    .map_err(fault)?;
    for row in &debits {
        let whose = account(row, "id")?;
        let sum = sums.entry(whose).or_insert_with(|| Balance::none(whose));
        sum.debits_posted = amount(row, "posted")?;
        sum.debits_pending = amount(row, "pending")?;
    }
    let credits = sqlx::query(
        "SELECT credit AS id, CAST(SUM(amount) AS SIGNED) AS posted FROM ledger_transfers \
         WHERE kind IN (1, 3, 5) GROUP BY credit",
    )
    .fetch_all(&mut *connection)
    .await
    .map_err(fault)?;
    for row in &credits {
        let whose = account(row, "id")?;
        sums.entry(whose).or_insert_with(|| Balance::none(whose)).credits_posted =
            amount(row, "posted")?;
    }
    let mut kept = BTreeMap::new();
    for balance in super::accounts::all(&mut *connection).await? {
        kept.insert(balance.account, balance);
    }
    Ok(crate::ledger::money::disagreements(kept, sums))
}

/// Takes two looks, which must be of one moment.
pub(super) async fn vesting(connection: &mut Connection) -> Result<Vec<Vesting>, StoreError> {
    let rows = sqlx::query(
        "SELECT owner_id, CAST(SUM(leg_paid) AS SIGNED) AS due FROM settlements \
         WHERE leg_state = ? GROUP BY owner_id",
    )
    .bind(i64::from(LegState::Paid.number()))
    .fetch_all(&mut *connection)
    .await
    .map_err(fault)?;
    let mut due = BTreeMap::new();
    for row in &rows {
        due.insert(row::parsed(row, "owner_id", OwnerId::from_slice)?, amount(row, "due")?);
    }
    let kept = super::accounts::all(&mut *connection).await?;
    Ok(crate::ledger::money::vesting_differs(kept, due))
}
