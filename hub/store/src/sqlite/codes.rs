//! Redemption codes in SQL.

use super::{Connection, Db, Row, fault, insert_fault, row};
use crate::{
    Batch, CODES_PER_BATCH_MAX, Code, Codes, Page, Redeeming, StoreError, Subject, TokenHash,
};
use async_trait::async_trait;
use weft_proto::ids::UserId;
use weft_proto::money::NanoUsd;
use weft_proto::time::Timestamp;

#[async_trait]
impl Codes for Db {
    async fn create(&self, codes: &[Code]) -> Result<(), StoreError> {
        if codes.len() > CODES_PER_BATCH_MAX {
            return Err(StoreError::Conflict { what: "the last place for a code in a batch" });
        }
        let codes = codes.to_vec();
        self.write(move |connection| {
            Box::pin(async move {
                for code in &codes {
                    insert(&mut *connection, code).await?;
                }
                Ok(())
            })
        })
        .await
    }

    async fn redeem(
        &self,
        hash: &TokenHash,
        user: UserId,
        at: Timestamp,
    ) -> Result<Redeeming, StoreError> {
        let hash = *hash;
        let redeemed_at = row::micros("redeemed_at", at)?;
        self.write(move |connection| {
            Box::pin(async move {
                let Some(mut code) = by_hash(&mut *connection, &hash).await? else {
                    return Ok(Redeeming::Unknown);
                };
                if let Some(answer) = code.judge(user, at) {
                    return Ok(answer);
                }
                let updated = sqlx::query(
                    "UPDATE redemption_codes SET user_id = ?, redeemed_at = ? \
                     WHERE hash = ? AND user_id IS NULL",
                )
                .bind(user.as_bytes().as_slice())
                .bind(redeemed_at)
                .bind(hash.as_bytes().as_slice())
                .execute(connection)
                .await
                .map_err(fault)?;
                // Nobody can have come between where the row was read under a lock; nobody is paid
                // twice where it was not.
                if updated.rows_affected() == 0 {
                    return Ok(Redeeming::Taken);
                }
                code.redeemed = Some((user, at));
                Ok(Redeeming::Redeemed(code))
            })
        })
        .await
    }

    async fn batches(&self, page: Page<Subject>) -> Result<Vec<Batch>, StoreError> {
        let after = page.after.map_or_else(Vec::new, |id| id.as_bytes().to_vec());
        let rows = sqlx::query(
            "SELECT batch_id, MAX(amount) AS amount, COUNT(*) AS codes, \
             COUNT(user_id) AS redeemed, MIN(created_at) AS created_at, \
             MAX(expires_at) AS expires_at FROM redemption_codes WHERE batch_id > ? \
             GROUP BY batch_id ORDER BY batch_id LIMIT ?",
        )
        .bind(after)
        .bind(page.size.rows())
        .fetch_all(&self.readers)
        .await
        .map_err(fault)?;
        rows.iter().map(batch).collect()
    }
}

async fn insert(connection: &mut Connection, code: &Code) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO redemption_codes (hash, batch_id, amount, created_at, expires_at) \
         VALUES (?, ?, ?, ?, ?)",
    )
    .bind(code.hash.as_bytes().as_slice())
    .bind(code.batch.as_bytes().as_slice())
    .bind(code.amount.nanos())
    .bind(row::micros("created_at", code.created_at)?)
    .bind(code.expires_at.map(|at| row::micros("expires_at", at)).transpose()?)
    .execute(connection)
    .await
    .map(drop)
    .map_err(|error| insert_fault(error, "code", "batch"))
}

async fn by_hash(
    connection: &mut Connection,
    hash: &TokenHash,
) -> Result<Option<Code>, StoreError> {
    sqlx::query(lock!(
        "SELECT hash, batch_id, amount, created_at, expires_at, user_id, redeemed_at \
         FROM redemption_codes WHERE hash = ?"
    ))
    .bind(hash.as_bytes().as_slice())
    .fetch_optional(connection)
    .await
    .map_err(fault)?
    .as_ref()
    .map(code)
    .transpose()
}

fn code(row: &Row) -> Result<Code, StoreError> {
    let user = row::parsed_option(row, "user_id", UserId::from_slice)?;
    // The table has both or neither.
    let redeemed = match user {
        Some(user) => Some((user, row::timestamp(row, "redeemed_at")?)),
        None => None,
    };
    Ok(Code {
        hash: row::digest(row, "hash")?,
        batch: row::subject(row, "batch_id")?,
        amount: NanoUsd::new(row::raw(row, "amount")?),
        created_at: row::timestamp(row, "created_at")?,
        expires_at: row::timestamp_option(row, "expires_at")?,
        redeemed,
    })
}

fn batch(row: &Row) -> Result<Batch, StoreError> {
    let counted = |column| row::parsed(row, column, |count: i64| u64::try_from(count));
    Ok(Batch {
        id: row::subject(row, "batch_id")?,
        amount: NanoUsd::new(row::raw(row, "amount")?),
        codes: counted("codes")?,
        redeemed: counted("redeemed")?,
        created_at: row::timestamp(row, "created_at")?,
        expires_at: row::timestamp_option(row, "expires_at")?,
    })
}
