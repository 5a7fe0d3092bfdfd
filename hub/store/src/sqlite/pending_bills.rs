//! What is to be billed later, in SQL.

use super::{Connection, Db, Engine, Row, fault, row, was_new, was_there};
use crate::{
    BillKind, Home, PageSize, PendingBill, PendingBills, StoreError, TARGET_BYTES_MAX, Tending,
};
use async_trait::async_trait;
use sqlx::QueryBuilder;
use weft_proto::ids::{AccountId, ExchangeId, KeyId, NodeId, OwnerId, UserId};
use weft_proto::model::ModelName;
use weft_proto::money::NanoUsd;
use weft_proto::objects::ObjectId;
use weft_proto::prices::BookHash;
use weft_proto::provider::Provider;
use weft_proto::time::Timestamp;

/// Every id is greater: where the first page begins.
const BEFORE_EVERY_ID: [u8; 0] = [];

/// The columns of a whole row, before what chooses the rows.
macro_rules! select {
    ($which:literal) => {
        concat!(
            "SELECT made_by, kind, account_id, owner_id, response_id, provider, user_id, key_id, \
             target, model, book, priced_at, zone_ppm, held, linked, billed_by, made_at, node_id, \
             node_until FROM pending_bills ",
            $which
        )
    };
}

#[async_trait]
impl PendingBills for Db {
    async fn keep(&self, bill: &PendingBill, tending: &Tending) -> Result<bool, StoreError> {
        if bill.target.len() > TARGET_BYTES_MAX {
            return Err(StoreError::corrupt("target", "longer than a target can be"));
        }
        let (bill, tending) = (bill.clone(), *tending);
        self.write(move |connection| {
            Box::pin(async move { keep(connection, &bill, &tending).await })
        })
        .await
    }

    async fn tend(
        &self,
        tending: &Tending,
        after: Option<ExchangeId>,
        size: PageSize,
    ) -> Result<Vec<PendingBill>, StoreError> {
        let tending = *tending;
        self.write(move |connection| {
            Box::pin(async move { tend(connection, &tending, after, size).await })
        })
        .await
    }

    async fn open(
        &self,
        after: Option<ExchangeId>,
        size: PageSize,
    ) -> Result<Vec<PendingBill>, StoreError> {
        let after = after.map(|exchange| *exchange.as_bytes());
        sqlx::query(select!("WHERE closed_at IS NULL AND made_by > ? ORDER BY made_by LIMIT ?"))
            .bind(after.as_ref().map_or(BEFORE_EVERY_ID.as_slice(), <[u8; 16]>::as_slice))
            .bind(size.rows())
            .fetch_all(&self.readers)
            .await
            .map_err(fault)?
            .iter()
            .map(bill)
            .collect()
    }

    async fn owes(&self, user: UserId, response: &ObjectId) -> Result<bool, StoreError> {
        let found = sqlx::query(
            "SELECT made_by FROM pending_bills \
             WHERE user_id = ? AND response_id = ? AND closed_at IS NULL LIMIT 1",
        )
        .bind(user.as_bytes().as_slice())
        .bind(response.as_str().as_bytes())
        .fetch_optional(&self.readers)
        .await
        .map_err(fault)?;
        Ok(found.is_some())
    }

    async fn bill_by(
        &self,
        made_by: ExchangeId,
        before: ExchangeId,
        read: ExchangeId,
        tending: &Tending,
    ) -> Result<bool, StoreError> {
        let Tending { node, at, until } = *tending;
        let (at, until) = (row::micros("node_until", at)?, row::micros("node_until", until)?);
        self.write(move |connection| {
            Box::pin(async move {
                let updated = sqlx::query(
                    "UPDATE pending_bills SET billed_by = ?, node_id = ?, node_until = ? \
                     WHERE made_by = ? AND closed_at IS NULL \
                     AND COALESCE(billed_by, made_by) = ? \
                     AND (node_id IS NULL OR node_id = ? OR node_until <= ?) \
                     AND EXISTS (SELECT 1 FROM settlements WHERE exchange_id = ? \
                     AND charge = 0 AND income = 0 AND LENGTH(units) = 0)",
                )
                .bind(read.as_bytes().as_slice())
                .bind(node.as_bytes().as_slice())
                .bind(until)
                .bind(made_by.as_bytes().as_slice())
                .bind(before.as_bytes().as_slice())
                .bind(node.as_bytes().as_slice())
                .bind(at)
                .bind(before.as_bytes().as_slice())
                .execute(connection)
                .await
                .map_err(fault)?;
                was_there(&updated, "pending bill")
            })
        })
        .await
    }

    async fn close_bill(&self, made_by: ExchangeId, at: Timestamp) -> Result<bool, StoreError> {
        let at = row::micros("closed_at", at)?;
        self.write(move |connection| {
            Box::pin(async move {
                let updated = sqlx::query(
                    "UPDATE pending_bills SET closed_at = ? \
                     WHERE made_by = ? AND closed_at IS NULL",
                )
                .bind(at)
                .bind(made_by.as_bytes().as_slice())
                .execute(connection)
                .await
                .map_err(fault)?;
                was_there(&updated, "pending bill")
            })
        })
        .await
    }

    async fn forget(&self, before: Timestamp) -> Result<u64, StoreError> {
        let before = row::micros("closed_at", before)?;
        self.write(move |connection| {
            Box::pin(async move {
                let gone = sqlx::query("DELETE FROM pending_bills WHERE closed_at < ?")
                    .bind(before)
                    .execute(connection)
                    .await
                    .map_err(fault)?;
                Ok(gone.rows_affected())
            })
        })
        .await
    }
}

/// Whom the open bills are for, and those that are, as they stand from now on.
async fn tend(
    connection: &mut Connection,
    tending: &Tending,
    after: Option<ExchangeId>,
    size: PageSize,
) -> Result<Vec<PendingBill>, StoreError> {
    let after = after.map(|exchange| *exchange.as_bytes());
    let found = sqlx::query(lock!(select!(
        "WHERE closed_at IS NULL AND made_by > ? \
         AND (node_id IS NULL OR node_id = ? OR node_until <= ?) ORDER BY made_by LIMIT ?"
    )))
    .bind(after.as_ref().map_or(BEFORE_EVERY_ID.as_slice(), <[u8; 16]>::as_slice))
    .bind(tending.node.as_bytes().as_slice())
    .bind(row::micros("node_until", tending.at)?)
    .bind(size.rows())
    .fetch_all(&mut *connection)
    .await
    .map_err(fault)?;
    let mut bills = Vec::with_capacity(found.len());
    let mut renewed = Vec::new();
    for row in &found {
        let bill = bill(row)?;
        let node = row::parsed_option(row, "node_id", NodeId::from_slice)?;
        let until = row::timestamp_option(row, "node_until")?;
        let is_ours = node == Some(tending.node);
        if !is_ours || until.is_none_or(|until| tending.renews(until)) {
            renewed.push(bill.made_by);
        }
        bills.push(bill);
    }
    if renewed.is_empty() {
        return Ok(bills);
    }
    let mut query: QueryBuilder<Engine> = QueryBuilder::new("UPDATE pending_bills SET node_id = ");
    query.push_bind(tending.node.as_bytes().to_vec());
    query.push(", node_until = ");
    query.push_bind(row::micros("node_until", tending.until)?);
    query.push(" WHERE made_by IN (");
    let mut list = query.separated(", ");
    for made_by in &renewed {
        list.push_bind(made_by.as_bytes().to_vec());
    }
    query.push(")");
    query.build().execute(connection).await.map_err(fault)?;
    Ok(bills)
}

async fn keep(
    connection: &mut Connection,
    bill: &PendingBill,
    tending: &Tending,
) -> Result<bool, StoreError> {
    let inserted = sqlx::query(
        "INSERT INTO pending_bills (made_by, kind, account_id, owner_id, response_id, provider, \
         user_id, key_id, target, model, book, priced_at, zone_ppm, held, linked, billed_by, \
         made_at, node_id, node_until, closed_at) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)",
    )
    .bind(bill.made_by.as_bytes().as_slice())
    .bind(bill.kind.name())
    .bind(bill.home.account.as_bytes().as_slice())
    .bind(bill.home.owner.as_bytes().as_slice())
    .bind(bill.response.as_str().as_bytes())
    .bind(bill.provider.name())
    .bind(bill.user.as_bytes().as_slice())
    .bind(bill.key.as_bytes().as_slice())
    .bind(bill.target.as_bytes())
    .bind(bill.model.as_str())
    .bind(bill.book.as_bytes().as_slice())
    .bind(row::micros("priced_at", bill.priced_at)?)
    .bind(i64::from(bill.zone.ppm()))
    .bind(bill.held.nanos())
    .bind(bill.linked)
    .bind(bill.billed_by.as_ref().map(|read| read.as_bytes().as_slice()))
    .bind(row::micros("made_at", bill.made_at)?)
    .bind(tending.node.as_bytes().as_slice())
    .bind(row::micros("node_until", tending.until)?)
    .execute(connection)
    .await;
    was_new(inserted)
}

fn bill(row: &Row) -> Result<PendingBill, StoreError> {
    Ok(PendingBill {
        made_by: row::parsed(row, "made_by", ExchangeId::from_slice)?,
        kind: row::parsed(row, "kind", |name: &str| {
            BillKind::from_name(name).ok_or("no such kind of bill")
        })?,
        home: Home {
            account: row::parsed(row, "account_id", AccountId::from_slice)?,
            owner: row::parsed(row, "owner_id", OwnerId::from_slice)?,
        },
        response: row::parsed(row, "response_id", |bytes: &[u8]| {
            ObjectId::parse(&String::from_utf8_lossy(bytes))
        })?,
        provider: row::parsed(row, "provider", str::parse::<Provider>)?,
        user: row::parsed(row, "user_id", UserId::from_slice)?,
        key: row::parsed(row, "key_id", KeyId::from_slice)?,
        target: row::parsed(row, "target", |bytes: &[u8]| {
            std::str::from_utf8(bytes).map(str::to_owned)
        })?,
        model: row::parsed(row, "model", ModelName::parse)?,
        book: row::digest(row, "book").map(BookHash::from_bytes)?,
        priced_at: row::timestamp(row, "priced_at")?,
        zone: row::ratio(row, "zone_ppm")?,
        held: NanoUsd::new(row::raw(row, "held")?),
        linked: row::raw(row, "linked")?,
        billed_by: row::parsed_option(row, "billed_by", ExchangeId::from_slice)?,
        made_at: row::timestamp(row, "made_at")?,
    })
}
