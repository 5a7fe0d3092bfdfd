//! Outcomes in SQL.

use super::many::{Many, Values, runs};
use super::{Connection, Db, Row, fault, row};
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

/// Inserts what is new of a batch. Where a run holds a row that is there already, it is inserted
/// row by row.
async fn append(connection: &mut Connection, batch: Vec<Outcome>) -> Result<u64, StoreError> {
    let mut fresh = 0;
    for run in runs(&batch) {
        if INSERT.was_new(connection, run, bind).await? {
            fresh += run.len() as u64;
        } else if run.len() > 1 {
            for outcome in run {
                let one = std::slice::from_ref(outcome);
                fresh += u64::from(INSERT.was_new(connection, one, bind).await?);
            }
        }
    }
    Ok(fresh)
}

static INSERT: Many = Many::insert(
    "INSERT INTO outcomes (exchange_id, user_id, key_id, agent_id, account_id, provider, \
     route, model, attempts, status, end_reason, abort_code, request_bytes, response_bytes, \
     admitted_at, dispatched_after_us, head_after_us, first_byte_after_us, ended_after_us) VALUES ",
    19,
);

fn bind(values: &mut Values, outcome: &Outcome) -> Result<(), StoreError> {
    values
        .push(outcome.exchange.as_bytes().as_slice())
        .push(outcome.user.as_bytes().as_slice())
        .push(outcome.key.as_bytes().as_slice())
        .push(outcome.agent.as_ref().map(|id| id.as_bytes().as_slice()))
        .push(outcome.account.as_ref().map(|id| id.as_bytes().as_slice()))
        .push(outcome.provider.map(Provider::name))
        .push(outcome.route.as_str())
        .push(outcome.model.as_ref().map(ModelName::as_str))
        .push(i64::from(outcome.attempts))
        .push(outcome.status.map(i64::from))
        .push(outcome.end.name())
        .push(outcome.abort.map(AbortCode::name))
        .push(row::number("request_bytes", outcome.request_bytes)?)
        .push(row::number("response_bytes", outcome.response_bytes)?)
        .push(row::micros("admitted_at", outcome.admitted_at)?)
        .push(row::number_option("dispatched_after_us", outcome.dispatched_after_us)?)
        .push(row::number_option("head_after_us", outcome.head_after_us)?)
        .push(row::number_option("first_byte_after_us", outcome.first_byte_after_us)?)
        .push(row::number("ended_after_us", outcome.ended_after_us)?);
    Ok(())
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
            AbortCode::from_name(name).ok_or("no such abort code")
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
