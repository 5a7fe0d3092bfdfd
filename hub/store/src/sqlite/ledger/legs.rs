//! Agent legs in SQL: answered once, then vested.

use super::accounts::Changes;
use super::rows::{self, select};
use super::{Connection, Engine, fault, transfers};
use crate::ledger::money;
use crate::{AgentLeg, Agreed, LegAnswer, LegAnswered, LegState, Settlement, StoreError};
use sqlx::QueryBuilder;
use std::collections::{BTreeMap, BTreeSet};
use weft_proto::ids::{ExchangeId, OwnerId};
use weft_proto::money::NanoUsd;
use weft_proto::time::Timestamp;

/// A leg that is no more what the transaction had locked it as.
const CHANGED: &str = "an agent leg changed under a lock";

pub(super) async fn answer(
    connection: &mut Connection,
    answers: Vec<LegAnswer>,
) -> Result<Vec<LegAnswered>, StoreError> {
    let exchanges: BTreeSet<_> = answers.iter().map(|answer| answer.exchange).collect();
    let mut held = lock(connection, exchanges).await?;
    let mut changes = Changes::default();
    let mut made = Vec::new();
    let mut answered = Vec::with_capacity(answers.len());
    for answer in answers {
        let Some(Agreed { settlement, leg, .. }) = held.get_mut(&answer.exchange) else {
            answered.push(LegAnswered::Unknown);
            continue;
        };
        let Settlement { exchange, served: Some(served), outlay, .. } = settlement else {
            answered.push(LegAnswered::Unknown);
            continue;
        };
        let done = money::answered(*exchange, served.owner, outlay.income, leg, &answer);
        let Some((next, moved)) = done else {
            answered.push(LegAnswered::Already(*leg));
            continue;
        };
        if rows::update_leg(connection, *exchange, leg.state, &next).await? != 1 {
            return Err(StoreError::unavailable(CHANGED));
        }
        for transfer in moved {
            changes.add(&transfer)?;
            made.push(transfer);
        }
        *leg = next;
        answered.push(LegAnswered::Done(next));
    }
    transfers::insert(connection, &made).await?;
    changes.write(connection).await?;
    Ok(answered)
}

pub(super) async fn vest(
    connection: &mut Connection,
    exchanges: Vec<ExchangeId>,
    at: Timestamp,
) -> Result<u64, StoreError> {
    let held = lock(connection, exchanges.into_iter().collect()).await?;
    let mut moved = 0;
    let mut owners: BTreeMap<OwnerId, (ExchangeId, NanoUsd)> = BTreeMap::new();
    for (exchange, Agreed { settlement, leg, .. }) in held {
        let Some(served) = settlement.served.filter(|_| leg.state == LegState::Paid) else {
            continue;
        };
        let next = AgentLeg { state: LegState::Vested, due_at: at, ..leg };
        if rows::update_leg(connection, exchange, LegState::Paid, &next).await? != 1 {
            return Err(StoreError::unavailable(CHANGED));
        }
        moved += 1;
        // The transfer is named after an exchange that puts something into it, in no other.
        if leg.paid.is_positive() {
            let (_, sum) = owners.entry(served.owner).or_insert((exchange, NanoUsd::ZERO));
            *sum = sum
                .checked_add(leg.paid)
                .ok_or_else(|| StoreError::corrupt("leg_paid", "out of range"))?;
        }
    }
    let made: Vec<_> = owners
        .into_iter()
        .map(|(owner, (first, amount))| money::vesting(first, owner, amount, at))
        .collect();
    let mut changes = Changes::default();
    for transfer in &made {
        changes.add(transfer)?;
    }
    transfers::insert(connection, &made).await?;
    changes.write(connection).await?;
    Ok(moved)
}

/// The settlements of these exchanges, which nobody else changes until the transaction ends.
async fn lock(
    connection: &mut Connection,
    exchanges: BTreeSet<ExchangeId>,
) -> Result<BTreeMap<ExchangeId, Agreed>, StoreError> {
    let exchanges: Vec<_> = exchanges.into_iter().collect();
    let mut found = BTreeMap::new();
    for run in super::runs(&exchanges) {
        let mut query: QueryBuilder<Engine> = QueryBuilder::new(select!("WHERE exchange_id IN ("));
        let mut list = query.separated(", ");
        for exchange in run {
            list.push_bind(exchange.as_bytes().to_vec());
        }
        query.push(") ORDER BY exchange_id");
        query.push(lock!(""));
        for row in &query.build().fetch_all(&mut *connection).await.map_err(fault)? {
            let agreed = rows::agreed(row)?;
            found.insert(agreed.settlement.exchange, agreed);
        }
    }
    Ok(found)
}
