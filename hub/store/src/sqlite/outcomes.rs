//! Outcomes in SQL.

use super::{Connection, Db, Row, fault, row, was_new};
use crate::{OUTCOMES_PER_APPEND_MAX, Outcome, Outcomes, PageSize, StoreError};
use async_trait::async_trait;
use weft_proto::codes::{AbortCode, EndReason};
use weft_proto::ids::{AccountId, AgentId, ExchangeId, KeyId, UserId};
use weft_proto::model::ModelName;
use weft_proto::provider::Provider;

/// No id is greater: where the latest outcomes begin.
const AFTER_EVERY_ID: [u8; 17] = [0xff; 17];

/// The columns of a whole row, before what chooses the rows.
macro_rules! select {
    ($which:literal) => {
        concat!(
            "SELECT exchange_id, user_id, key_id, agent_id, account_id, provider, route, model, \
             attempts, status, end_reason, abort_code, request_bytes, response_bytes, \
             admitted_at, dispatched_after_us, head_after_us, first_byte_after_us, \
             ended_after_us FROM outcomes ",
            $which
        )
    };
}

#[async_trait]
impl Outcomes for Db {
    async fn append(&self, outcomes: &[Outcome]) -> Result<u64, StoreError> {
        let mut fresh = 0;
        for batch in outcomes.chunks(OUTCOMES_PER_APPEND_MAX) {
            let batch = batch.to_vec();
            fresh += self.write(move |connection| Box::pin(append(connection, batch))).await?;
        }
        Ok(fresh)
    }

    async fn find(&self, exchange: ExchangeId) -> Result<Option<Outcome>, StoreError> {
        sqlx::query(select!("WHERE exchange_id = ?"))
            .bind(exchange.as_bytes().as_slice())
            .fetch_optional(&self.readers)
            .await
            .map_err(fault)?
            .as_ref()
            .map(outcome)
            .transpose()
    }

    async fn recent(
        &self,
        size: PageSize,
        before: Option<ExchangeId>,
    ) -> Result<Vec<Outcome>, StoreError> {
        let before = before.map_or_else(|| AFTER_EVERY_ID.to_vec(), |id| id.as_bytes().to_vec());
        sqlx::query(select!("WHERE exchange_id < ? ORDER BY exchange_id DESC LIMIT ?"))
            .bind(before)
            .bind(size.rows())
            .fetch_all(&self.readers)
            .await
            .map_err(fault)?
            .iter()
            .map(outcome)
            .collect()
    }

    async fn count(&self) -> Result<u64, StoreError> {
        let row = sqlx::query("SELECT COUNT(*) AS amount FROM outcomes")
            .fetch_one(&self.readers)
            .await
            .map_err(fault)?;
        row::parsed(&row, "amount", |amount: i64| u64::try_from(amount))
    }
}

/// Inserts what is new of a batch. A row that is there already makes its own statement fail and
/// leaves the transaction as it was.
async fn append(connection: &mut Connection, batch: Vec<Outcome>) -> Result<u64, StoreError> {
    let mut fresh = 0;
    for outcome in &batch {
        fresh += u64::from(insert(connection, outcome).await?);
    }
    Ok(fresh)
}

/// Inserts one row, and says whether it was new.
async fn insert(connection: &mut Connection, outcome: &Outcome) -> Result<bool, StoreError> {
    let statement = sqlx::query(
        "INSERT INTO outcomes (exchange_id, user_id, key_id, agent_id, account_id, provider, \
         route, model, attempts, status, end_reason, abort_code, request_bytes, response_bytes, \
         admitted_at, dispatched_after_us, head_after_us, first_byte_after_us, ended_after_us) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(outcome.exchange.as_bytes().as_slice())
    .bind(outcome.user.as_bytes().as_slice())
    .bind(outcome.key.as_bytes().as_slice())
    .bind(outcome.agent.as_ref().map(|id| id.as_bytes().as_slice()))
    .bind(outcome.account.as_ref().map(|id| id.as_bytes().as_slice()))
    .bind(outcome.provider.map(Provider::name))
    .bind(outcome.route.as_str())
    .bind(outcome.model.as_ref().map(ModelName::as_str))
    .bind(i64::from(outcome.attempts))
    .bind(outcome.status.map(i64::from))
    .bind(outcome.end.name())
    .bind(outcome.abort.map(AbortCode::name))
    .bind(row::number("request_bytes", outcome.request_bytes)?)
    .bind(row::number("response_bytes", outcome.response_bytes)?)
    .bind(row::micros("admitted_at", outcome.admitted_at)?)
    .bind(row::number_option("dispatched_after_us", outcome.dispatched_after_us)?)
    .bind(row::number_option("head_after_us", outcome.head_after_us)?)
    .bind(row::number_option("first_byte_after_us", outcome.first_byte_after_us)?)
    .bind(row::number("ended_after_us", outcome.ended_after_us)?);
    was_new(statement.execute(connection).await)
}

fn outcome(row: &Row) -> Result<Outcome, StoreError> {
    let number = |column: &str| row::parsed(row, column, |value: i64| u64::try_from(value));
    let maybe = |column: &str| row::parsed_option(row, column, |value: i64| u64::try_from(value));
    Ok(Outcome {
        exchange: row::parsed(row, "exchange_id", ExchangeId::from_slice)?,
        user: row::parsed(row, "user_id", UserId::from_slice)?,
        key: row::parsed(row, "key_id", KeyId::from_slice)?,
        agent: row::parsed_option(row, "agent_id", AgentId::from_slice)?,
        account: row::parsed_option(row, "account_id", AccountId::from_slice)?,
        provider: row::parsed_option(row, "provider", str::parse::<Provider>)?,
        route: row::raw(row, "route")?,
        model: row::parsed_option(row, "model", ModelName::parse)?,
        attempts: row::parsed(row, "attempts", |value: i64| u32::try_from(value))?,
        status: row::parsed_option(row, "status", |value: i64| u16::try_from(value))?,
        end: row::parsed(row, "end_reason", |name: &str| {
            EndReason::from_name(name).ok_or("no such end reason")
        })?,
        abort: row::parsed_option(row, "abort_code", |name: &str| {
            let mut codes = AbortCode::ALL.into_iter();
            codes.find(|code| code.name() == name).ok_or("no such abort code")
        })?,
        request_bytes: number("request_bytes")?,
        response_bytes: number("response_bytes")?,
        admitted_at: row::timestamp(row, "admitted_at")?,
        dispatched_after_us: maybe("dispatched_after_us")?,
        head_after_us: maybe("head_after_us")?,
        first_byte_after_us: maybe("first_byte_after_us")?,
        ended_after_us: number("ended_after_us")?,
    })
}
