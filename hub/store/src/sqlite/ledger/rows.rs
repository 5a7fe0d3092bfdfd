//! Settlements as rows.

use super::super::many::{Many, Values, runs};
use super::{Connection, Engine, Row, row};
use crate::{
    AgentLeg, Agreed, Bearer, ClaimRef, Due, LegState, Metered, Outlay, Served, Settlement,
    StoreError,
};
use sqlx::Executor;
use weft_proto::codes::EndReason;
use weft_proto::ids::{AccountId, AgentId, ExchangeId, KeyId, LeaseId, NodeId, OwnerId, UserId};
use weft_proto::model::ModelName;
use weft_proto::money::{NanoUsd, Ratio};
use weft_proto::provider::Provider;
use weft_proto::usage::{Basis, Class, Usage};

/// Bytes of one class of units and its count.
const UNIT_BYTES: usize = 9;

/// The columns of a whole row, before what chooses the rows.
macro_rules! select {
    ($which:literal) => {
        concat!(
            "SELECT exchange_id, user_id, key_id, agent_id, owner_id, account_id, attempt, \
             provider, model, units, basis, service, geo, book, priced_at, zone_ppm, tier_ppm, \
             end_reason, charge, income, rounding, bearer, promo, loss, owed, node_id, \
             lease_id, hold_no, held, settled_at, claim_until, leg_state, leg_due_at, leg_paid, \
             leg_answered_at, claim_epoch, claim_seq, claim_hash FROM settlements ",
            $which
        )
    };
}

pub(super) use select;

static INSERT: Many = Many::insert(
    "INSERT INTO settlements (exchange_id, user_id, key_id, agent_id, owner_id, account_id, \
     attempt, provider, model, units, basis, service, geo, book, priced_at, zone_ppm, tier_ppm, \
     end_reason, charge, income, rounding, bearer, promo, loss, owed, node_id, lease_id, hold_no, \
     held, settled_at, claim_until, leg_state, leg_due_at, leg_paid, leg_answered_at, claim_epoch, \
     claim_seq, claim_hash) VALUES ",
    38,
);

/// Looks settlements up by their exchanges.
pub(super) static OF: Many = Many::list(select!("WHERE exchange_id IN ("), ")");

/// What decides about agent legs; nobody else changes them until the transaction ends.
static DUE: Many = Many::list(
    "SELECT exchange_id, user_id, owner_id, charge, income, zone_ppm, tier_ppm, loss, owed, \
     leg_state, leg_due_at, leg_paid, leg_answered_at, claim_epoch, claim_seq, claim_hash \
     FROM settlements WHERE exchange_id IN (",
    lock!(") ORDER BY exchange_id"),
);

/// The settlements that `statement` finds for a run of exchanges.
pub(super) async fn of<'c>(
    executor: impl Executor<'c, Database = Engine>,
    statement: &Many,
    run: &[ExchangeId],
) -> Result<Vec<Agreed>, StoreError> {
    let by_id = |values: &mut Values, exchange: &ExchangeId| {
        values.push(exchange.as_bytes().to_vec());
        Ok(())
    };
    statement.fetch(executor, run, by_id).await?.iter().map(agreed).collect()
}

/// What decides about the agent legs of a run of exchanges, which nobody else changes until the
/// transaction ends.
pub(super) async fn due(
    connection: &mut Connection,
    run: &[ExchangeId],
) -> Result<Vec<Due>, StoreError> {
    let by_id = |values: &mut Values, exchange: &ExchangeId| {
        values.push(exchange.as_bytes().as_slice());
        Ok(())
    };
    let rows = DUE.fetch(connection, run, by_id).await?;
    rows.iter()
        .map(|row| {
            Ok(Due {
                exchange: row::parsed(row, "exchange_id", ExchangeId::from_slice)?,
                user: row::parsed(row, "user_id", UserId::from_slice)?,
                owner: row::parsed_option(row, "owner_id", OwnerId::from_slice)?,
                charge: money(row, "charge")?,
                income: money(row, "income")?,
                zone: ratio(row, "zone_ppm")?,
                tier: ratio(row, "tier_ppm")?,
                loss: money(row, "loss")?,
                owed: money(row, "owed")?,
                leg: leg(row)?,
            })
        })
        .collect()
}

/// Inserts rows that are all new.
pub(super) async fn insert(connection: &mut Connection, rows: &[Agreed]) -> Result<(), StoreError> {
    for run in runs(rows) {
        INSERT.execute(connection, run, push).await?;
    }
    Ok(())
}

fn push(values: &mut Values, agreed: &Agreed) -> Result<(), StoreError> {
    let Agreed { settlement, promo, loss, owed, leg } = agreed;
    let Settlement { metered, outlay, served, .. } = settlement;
    values
        .push(settlement.exchange.as_bytes().to_vec())
        .push(settlement.user.as_bytes().to_vec())
        .push(settlement.key.as_bytes().to_vec())
        .push(served.map(|served| served.agent.as_bytes().to_vec()))
        .push(served.map(|served| served.owner.as_bytes().to_vec()))
        .push(served.map(|served| served.account.as_bytes().to_vec()))
        .push(served.map(|served| i64::from(served.attempt)))
        .push(metered.provider.map(Provider::name))
        .push(metered.model.as_ref().map(|model| model.as_str().to_owned()))
        .push(units(&metered.usage))
        .push(i64::from(metered.basis as u8))
        .push(i64::from(metered.service))
        .push(i64::from(metered.geo))
        .push(metered.book.map(|hash| hash.to_vec()))
        .push(row::micros("priced_at", metered.priced_at)?)
        .push(i64::from(metered.zone.ppm()))
        .push(i64::from(metered.tier.ppm()))
        .push(settlement.end.name())
        .push(outlay.charge.nanos())
        .push(outlay.income.nanos())
        .push(outlay.rounding.nanos())
        .push(i64::from(outlay.bearer.number()))
        .push(promo.nanos())
        .push(loss.nanos())
        .push(owed.nanos())
        .push(settlement.node.as_bytes().to_vec())
        .push(settlement.hold.map(|(lease, _)| lease.as_bytes().to_vec()))
        .push(row::number_option("hold_no", settlement.hold.map(|(_, number)| number))?)
        .push(settlement.held.nanos())
        .push(row::micros("settled_at", settlement.settled_at)?)
        .push(row::micros("claim_until", settlement.claim_until)?)
        .push(i64::from(leg.state.number()))
        .push(row::micros("leg_due_at", leg.due_at)?)
        .push(leg.paid.nanos())
        .push(leg.answered_at.map(|at| row::micros("leg_answered_at", at)).transpose()?)
        .push(row::number_option("claim_epoch", leg.claim.map(|claim| claim.epoch))?)
        .push(row::number_option("claim_seq", leg.claim.map(|claim| claim.seq))?)
        .push(leg.claim.map(|claim| claim.hash.to_vec()));
    Ok(())
}

/// A column with the number of one of a few things.
pub(super) fn numbered<T>(
    row: &Row,
    column: &str,
    known: impl Fn(u8) -> Option<T>,
) -> Result<T, StoreError> {
    row::parsed(row, column, |number: i64| {
        u8::try_from(number).ok().and_then(&known).ok_or("no such number")
    })
}

pub(super) fn agreed(row: &Row) -> Result<Agreed, StoreError> {
    let maybe = |column: &str| row::parsed_option(row, column, |value: i64| u64::try_from(value));
    let hash =
        |column: &str| row::parsed_option(row, column, |bytes: &[u8]| <[u8; 32]>::try_from(bytes));
    let byte = |column: &str| row::parsed(row, column, |value: i64| u8::try_from(value));
    let lease = row::parsed_option(row, "lease_id", LeaseId::from_slice)?;
    Ok(Agreed {
        settlement: Settlement {
            exchange: row::parsed(row, "exchange_id", ExchangeId::from_slice)?,
            user: row::parsed(row, "user_id", UserId::from_slice)?,
            key: row::parsed(row, "key_id", KeyId::from_slice)?,
            served: served(row)?,
            metered: Metered {
                provider: row::parsed_option(row, "provider", str::parse::<Provider>)?,
                model: row::parsed_option(row, "model", ModelName::parse)?,
                usage: row::parsed(row, "units", usage)?,
                basis: numbered(row, "basis", Basis::from_number)?,
                service: byte("service")?,
                geo: byte("geo")?,
                book: hash("book")?,
                priced_at: row::timestamp(row, "priced_at")?,
                zone: ratio(row, "zone_ppm")?,
                tier: ratio(row, "tier_ppm")?,
            },
            end: row::parsed(row, "end_reason", |name: &str| {
                EndReason::from_name(name).ok_or("no such end reason")
            })?,
            outlay: Outlay {
                charge: money(row, "charge")?,
                income: money(row, "income")?,
                rounding: money(row, "rounding")?,
                bearer: numbered(row, "bearer", Bearer::from_number)?,
            },
            node: row::parsed(row, "node_id", NodeId::from_slice)?,
            hold: lease.zip(maybe("hold_no")?),
            held: money(row, "held")?,
            settled_at: row::timestamp(row, "settled_at")?,
            claim_until: row::timestamp(row, "claim_until")?,
        },
        promo: money(row, "promo")?,
        loss: money(row, "loss")?,
        owed: money(row, "owed")?,
        leg: leg(row)?,
    })
}

fn leg(row: &Row) -> Result<AgentLeg, StoreError> {
    let maybe = |column: &str| row::parsed_option(row, column, |value: i64| u64::try_from(value));
    let hash = row::parsed_option(row, "claim_hash", |bytes: &[u8]| <[u8; 32]>::try_from(bytes))?;
    Ok(AgentLeg {
        state: numbered(row, "leg_state", LegState::from_number)?,
        due_at: row::timestamp(row, "leg_due_at")?,
        paid: money(row, "leg_paid")?,
        answered_at: row::timestamp_option(row, "leg_answered_at")?,
        claim: match (maybe("claim_epoch")?, maybe("claim_seq")?, hash) {
            (Some(epoch), Some(seq), Some(hash)) => Some(ClaimRef { epoch, seq, hash }),
            (_, _, _) => None,
        },
    })
}

fn money(row: &Row, column: &str) -> Result<NanoUsd, StoreError> {
    row::raw(row, column).map(NanoUsd::new)
}

fn ratio(row: &Row, column: &str) -> Result<Ratio, StoreError> {
    row::parsed(row, column, |ppm: i64| u32::try_from(ppm)).map(Ratio::from_ppm)
}

fn served(row: &Row) -> Result<Option<Served>, StoreError> {
    let agent = row::parsed_option(row, "agent_id", AgentId::from_slice)?;
    let owner = row::parsed_option(row, "owner_id", OwnerId::from_slice)?;
    let account = row::parsed_option(row, "account_id", AccountId::from_slice)?;
    let attempt = row::parsed_option(row, "attempt", |value: i64| u8::try_from(value))?;
    match (agent, owner, account, attempt) {
        (Some(agent), Some(owner), Some(account), Some(attempt)) => {
            Ok(Some(Served { agent, owner, account, attempt }))
        }
        (None, None, None, None) => Ok(None),
        (_, _, _, _) => Err(StoreError::corrupt("agent_id", "served by half")),
    }
}

fn units(usage: &Usage) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (class, count) in usage.iter() {
        bytes.push(class.number());
        bytes.extend_from_slice(&count.to_be_bytes());
    }
    bytes
}

fn usage(bytes: &[u8]) -> Result<Usage, &'static str> {
    let (units, rest) = bytes.as_chunks::<UNIT_BYTES>();
    if !rest.is_empty() {
        return Err("units cut off");
    }
    let mut usage = Usage::NONE;
    for [class, count @ ..] in units {
        let class = Class::from_number(*class).ok_or("no such class")?;
        usage.add(class, u64::from_be_bytes(*count));
    }
    Ok(usage)
}
