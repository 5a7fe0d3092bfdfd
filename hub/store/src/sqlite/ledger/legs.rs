//! Agent legs in SQL: answered once, then vested.

use super::super::many::runs;
use super::accounts::{self, Changes};
use super::rows;
use super::turns::{self, Turn};
use super::{Connection, transfers};
use crate::ledger::{due, money};
use crate::{AgentLeg, Due, LedgerAccount, LegAnswer, LegAnswered, LegState, StoreError};
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
    let mut turns = BTreeMap::new();
    for answer in answers {
        let found = held.get_mut(&answer.exchange);
        let Some((owner, due)) = found.and_then(|due| Some((due.owner?, due))) else {
            answered.push(LegAnswered::Unknown);
            continue;
        };
        let repaid = owes_nothing(connection, due).await?;
        let Some((next, moved)) = due::answered(due, owner, repaid, &answer) else {
            answered.push(LegAnswered::Already(due.leg));
            continue;
        };
        // Answered twice, it stands as the last answer says.
        let exchange = due.exchange;
        let before = turns.get(&exchange).map_or(due.leg.state, |turn: &Turn| turn.before);
        turns.insert(exchange, Turn { exchange, before, leg: next });
        for transfer in moved {
            changes.add(&transfer)?;
            made.push(transfer);
        }
        due.leg = next;
        answered.push(LegAnswered::Done(next));
    }
    update(connection, turns.into_values().collect()).await?;
    transfers::insert(connection, &made).await?;
    changes.write(connection).await?;
    Ok(answered)
}

/// Whether the user of a leg owes nothing. What it owed then is in its balance since; what comes in
/// between this look and the end of the transaction is only more.
async fn owes_nothing(connection: &mut Connection, due: &Due) -> Result<bool, StoreError> {
    if !due.owed.is_positive() {
        return Ok(true);
    }
    let payer = LedgerAccount::Paid(due.user);
    let balance = accounts::find(&mut *connection, payer).await?;
    Ok(balance.is_none_or(|balance| !balance.available().is_negative()))
}

pub(super) async fn vest(
    connection: &mut Connection,
    exchanges: Vec<ExchangeId>,
    at: Timestamp,
) -> Result<u64, StoreError> {
    let held = lock(connection, exchanges.into_iter().collect()).await?;
    let mut turns = Vec::new();
    let mut owners: BTreeMap<OwnerId, (ExchangeId, NanoUsd)> = BTreeMap::new();
    for (exchange, due) in held {
        let leg = due.leg;
        let Some(owner) = due.owner.filter(|_| leg.state == LegState::Paid) else {
            continue;
        };
        if leg.paid > due.covered(true)
            && !due.is_paid_fairly(&transfers::of(&mut *connection, exchange.into()).await?)
        {
            continue;
        }
        let next = AgentLeg { state: LegState::Vested, due_at: at, ..leg };
        turns.push(Turn { exchange, before: LegState::Paid, leg: next });
        // The transfer is named after an exchange that puts something into it, in no other.
        if leg.paid.is_positive() {
            let (_, sum) = owners.entry(owner).or_insert((exchange, NanoUsd::ZERO));
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
    let moved = turns.len() as u64;
    update(connection, turns).await?;
    transfers::insert(connection, &made).await?;
    changes.write(connection).await?;
    Ok(moved)
}

/// Writes how these legs stand, which the transaction has locked.
async fn update(connection: &mut Connection, turns: Vec<Turn>) -> Result<(), StoreError> {
    match turns::write(connection, &turns).await? == turns.len() as u64 {
        true => Ok(()),
        false => Err(StoreError::unavailable(CHANGED)),
    }
}

/// The legs of these exchanges, which nobody else changes until the transaction ends.
async fn lock(
    connection: &mut Connection,
    exchanges: BTreeSet<ExchangeId>,
) -> Result<BTreeMap<ExchangeId, Due>, StoreError> {
    let exchanges: Vec<_> = exchanges.into_iter().collect();
    let mut found = BTreeMap::new();
    for run in runs(&exchanges) {
        let locked = rows::due(connection, run).await?;
        found.extend(locked.into_iter().map(|due| (due.exchange, due)));
    }
    Ok(found)
}
