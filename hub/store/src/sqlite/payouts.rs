//! Payouts in SQL.

use super::{Connection, Db, Row, fault, insert_fault, row};
use crate::{Memo, Page, Payout, PayoutState, Payouts, StoreError, Subject};
use async_trait::async_trait;
use weft_proto::ids::OwnerId;
use weft_proto::money::NanoUsd;
use weft_proto::time::Timestamp;

/// The columns of a whole row, before what chooses the rows.
macro_rules! select {
    ($which:literal) => {
        concat!(
            "SELECT id, owner_id, amount, reason, requested_at, state, reference, decided_at \
             FROM payouts ",
            $which
        )
    };
}

#[async_trait]
impl Payouts for Db {
    async fn request(&self, payout: &Payout) -> Result<(), StoreError> {
        let payout = payout.clone();
        let requested_at = row::micros("requested_at", payout.requested_at)?;
        let decided_at = payout.decided_at.map(|at| row::micros("decided_at", at)).transpose()?;
        self.write(move |connection| {
            Box::pin(async move {
                sqlx::query(
                    "INSERT INTO payouts (id, owner_id, amount, reason, requested_at, state, \
                     reference, decided_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                )
                .bind(payout.id.as_bytes().as_slice())
                .bind(payout.owner.as_bytes().as_slice())
                .bind(payout.amount.nanos())
                .bind(payout.reason.as_ref().map(|memo| memo.as_str().to_owned()))
                .bind(requested_at)
                .bind(payout.state.number())
                .bind(payout.reference.as_ref().map(|memo| memo.as_str().to_owned()))
                .bind(decided_at)
                .execute(connection)
                .await
                .map(drop)
                .map_err(|error| insert_fault(error, "payout", "owner"))
            })
        })
        .await
    }

    async fn decide(
        &self,
        id: Subject,
        state: PayoutState,
        reference: &Memo,
        at: Timestamp,
    ) -> Result<Payout, StoreError> {
        let reference = reference.as_str().to_owned();
        let decided_at = row::micros("decided_at", at)?;
        self.write(move |connection| {
            Box::pin(async move {
                sqlx::query(
                    "UPDATE payouts SET state = ?, reference = ?, decided_at = ? \
                     WHERE id = ? AND state = ?",
                )
                .bind(state.number())
                .bind(reference)
                .bind(decided_at)
                .bind(id.as_bytes().as_slice())
                .bind(PayoutState::Requested.number())
                .execute(&mut *connection)
                .await
                .map_err(fault)?;
                by_id(connection, id).await
            })
        })
        .await
    }

    async fn reopen(&self, id: Subject) -> Result<Payout, StoreError> {
        self.write(move |connection| {
            Box::pin(async move {
                sqlx::query(
                    "UPDATE payouts SET state = ?, reference = NULL, decided_at = NULL \
                     WHERE id = ? AND state = ?",
                )
                .bind(PayoutState::Requested.number())
                .bind(id.as_bytes().as_slice())
                .bind(PayoutState::Approved.number())
                .execute(&mut *connection)
                .await
                .map_err(fault)?;
                by_id(connection, id).await
            })
        })
        .await
    }

    async fn find(&self, id: Subject) -> Result<Option<Payout>, StoreError> {
        sqlx::query(select!("WHERE id = ?"))
            .bind(id.as_bytes().as_slice())
            .fetch_optional(&self.readers)
            .await
            .map_err(fault)?
            .as_ref()
            .map(payout)
            .transpose()
    }

    async fn list(
        &self,
        owner: Option<OwnerId>,
        page: Page<Subject>,
    ) -> Result<Vec<Payout>, StoreError> {
        let after = page.after.map_or_else(Vec::new, |id| id.as_bytes().to_vec());
        let rows = match owner {
            Some(owner) => {
                sqlx::query(select!("WHERE owner_id = ? AND id > ? ORDER BY id LIMIT ?"))
                    .bind(owner.as_bytes().as_slice())
                    .bind(after)
                    .bind(page.size.rows())
                    .fetch_all(&self.readers)
                    .await
            }
            None => {
                sqlx::query(select!("WHERE id > ? ORDER BY id LIMIT ?"))
                    .bind(after)
                    .bind(page.size.rows())
                    .fetch_all(&self.readers)
                    .await
            }
        };
        rows.map_err(fault)?.iter().map(payout).collect()
    }
}

async fn by_id(connection: &mut Connection, id: Subject) -> Result<Payout, StoreError> {
    sqlx::query(select!("WHERE id = ?"))
        .bind(id.as_bytes().as_slice())
        .fetch_optional(connection)
        .await
        .map_err(fault)?
        .as_ref()
        .map_or(Err(StoreError::NotFound { what: "payout" }), payout)
}

fn payout(row: &Row) -> Result<Payout, StoreError> {
    Ok(Payout {
        id: row::subject(row, "id")?,
        owner: row::parsed(row, "owner_id", OwnerId::from_slice)?,
        amount: NanoUsd::new(row::raw(row, "amount")?),
        reason: memo(row, "reason")?,
        requested_at: row::timestamp(row, "requested_at")?,
        state: row::parsed(row, "state", PayoutState::from_number)?,
        reference: memo(row, "reference")?,
        decided_at: row::timestamp_option(row, "decided_at")?,
    })
}

fn memo(row: &Row, column: &str) -> Result<Option<Memo>, StoreError> {
    row::parsed_option(row, column, |text: &str| Memo::parse(text).ok_or("not a memo"))
}
