//! How agent legs turn: many in one statement, each only where it still stands as it did.

use super::super::many::{Many, Values, cut, runs};
use super::{Connection, Engine, UPDATES_FROM_ROWS, fault, row};
use crate::{AgentLeg, LegState, StoreError};
use sqlx::{Encode, QueryBuilder, Type};
use weft_proto::ids::ExchangeId;

/// How many rows are updated by one statement that chooses values by cases. It looks for each row's
/// values one after the other, so more of them would cost more than the statements that they save.
const CASES: [usize; 3] = [16, 4, 1];

/// How a leg is to stand, where it still stands as it did when it was looked at.
pub(super) struct Turn {
    pub(super) exchange: ExchangeId,
    pub(super) before: LegState,
    pub(super) leg: AgentLeg,
}

/// Writes how legs stand, each where it stands as it did before: how many rows that were. No two
/// are of one exchange.
pub(super) async fn write(connection: &mut Connection, turns: &[Turn]) -> Result<u64, StoreError> {
    match UPDATES_FROM_ROWS {
        true => from_rows(connection, turns).await,
        false => by_cases(connection, turns).await,
    }
}

/// The list of rows is what the table is looked up by.
static FROM_ROWS: Many = Many::rows(
    "WITH turn (exchange_id, before, state, due_at, paid, answered_at, epoch, seq, hash) AS \
     (VALUES ",
    9,
    ") UPDATE settlements SET leg_state = turn.state, leg_due_at = turn.due_at, \
     leg_paid = turn.paid, leg_answered_at = turn.answered_at, claim_epoch = turn.epoch, \
     claim_seq = turn.seq, claim_hash = turn.hash FROM turn \
     WHERE settlements.exchange_id = turn.exchange_id AND settlements.leg_state = turn.before",
);

async fn from_rows(connection: &mut Connection, turns: &[Turn]) -> Result<u64, StoreError> {
    let mut updated = 0;
    for run in runs(turns) {
        updated += FROM_ROWS.execute(connection, run, push).await?.rows_affected();
    }
    Ok(updated)
}

fn push(values: &mut Values, turn: &Turn) -> Result<(), StoreError> {
    let AgentLeg { state, due_at, paid, answered_at, claim } = &turn.leg;
    values
        .push(turn.exchange.as_bytes().as_slice())
        .push(i64::from(turn.before.number()))
        .push(i64::from(state.number()))
        .push(row::micros("leg_due_at", *due_at)?)
        .push(paid.nanos())
        .push(answered_at.map(|at| row::micros("leg_answered_at", at)).transpose()?)
        .push(row::number_option("claim_epoch", claim.map(|claim| claim.epoch))?)
        .push(row::number_option("claim_seq", claim.map(|claim| claim.seq))?)
        .push(claim.as_ref().map(|claim| claim.hash.as_slice()));
    Ok(())
}

async fn by_cases(connection: &mut Connection, turns: &[Turn]) -> Result<u64, StoreError> {
    let mut updated = 0;
    for run in cut(turns, CASES) {
        let mut query: QueryBuilder<Engine> =
            QueryBuilder::new("UPDATE settlements SET leg_state = ");
        choose(&mut query, run, |turn| Ok(i64::from(turn.leg.state.number())))?;
        query.push(", leg_due_at = ");
        choose(&mut query, run, |turn| row::micros("leg_due_at", turn.leg.due_at))?;
        query.push(", leg_paid = ");
        choose(&mut query, run, |turn| Ok(turn.leg.paid.nanos()))?;
        query.push(", leg_answered_at = ");
        choose(&mut query, run, |turn| {
            turn.leg.answered_at.map(|at| row::micros("leg_answered_at", at)).transpose()
        })?;
        query.push(", claim_epoch = ");
        choose(&mut query, run, |turn| {
            row::number_option("claim_epoch", turn.leg.claim.map(|claim| claim.epoch))
        })?;
        query.push(", claim_seq = ");
        choose(&mut query, run, |turn| {
            row::number_option("claim_seq", turn.leg.claim.map(|claim| claim.seq))
        })?;
        query.push(", claim_hash = ");
        choose(&mut query, run, |turn| Ok(turn.leg.claim.map(|claim| claim.hash.to_vec())))?;
        query.push(" WHERE exchange_id IN (");
        let mut list = query.separated(", ");
        for turn in run {
            list.push_bind(turn.exchange.as_bytes().to_vec());
        }
        query.push(") AND leg_state = ");
        choose(&mut query, run, |turn| Ok(i64::from(turn.before.number())))?;
        let done = query.build().execute(&mut *connection).await.map_err(fault)?;
        updated += done.rows_affected();
    }
    Ok(updated)
}

/// The value of each row, by its exchange.
fn choose<T>(
    query: &mut QueryBuilder<Engine>,
    run: &[Turn],
    value: impl Fn(&Turn) -> Result<T, StoreError>,
) -> Result<(), StoreError>
where
    T: for<'q> Encode<'q, Engine> + Type<Engine> + Send + 'static,
{
    query.push("CASE exchange_id");
    for turn in run {
        query.push(" WHEN ").push_bind(turn.exchange.as_bytes().to_vec());
        query.push(" THEN ").push_bind(value(turn)?);
    }
    query.push(" END");
    Ok(())
}
