//! What is posted for claims: settlements that the hub bears, orphans that a claim proves, answers.

use super::super::chain::Claim;
use super::super::promise::Promise;
use super::Clerk;
use crate::ledger::{Orphan, UserLeg};
use weft_proto::codes::EndReason;
use weft_proto::ids::{AgentId, KeyId, LeaseId, OwnerId, UserId};
use weft_proto::ledger::End;
use weft_proto::model::ModelName;
use weft_proto::money::{NanoUsd, Ratio};
use weft_proto::time::Timestamp;
use weft_proto::usage::ServiceTier;
use weft_store::{
    Bearer, ClaimRef, LedgerAccount, LegAnswer, LegVerdict, Metered, Outlay, Posting, Served,
    Settlement, StoreError,
};

/// The id where there is none.
const NOBODY: [u8; 16] = [0; 16];

/// A claim as the store refers to it.
pub(super) fn reference(claim: &Claim) -> ClaimRef {
    ClaimRef { epoch: claim.position.epoch, seq: claim.position.seq, hash: *claim.hash.as_bytes() }
}

impl Clerk {
    /// The answer to a claim's leg.
    pub(super) fn answer(&self, claim: &Claim, verdict: LegVerdict) -> LegAnswer {
        let now = self.0.clock.now();
        LegAnswer {
            exchange: claim.exchange(),
            verdict,
            claim: Some(reference(claim)),
            at: now,
            due_at: now.after(self.0.money.now().dispute_window),
        }
    }

    /// Whether a node may still settle the exchange of a claim: its lease is in use.
    pub(super) async fn may_settle(&self, lease: LeaseId) -> Result<bool, StoreError> {
        Ok(self.0.store.find_lease(lease).await?.is_some_and(|lease| lease.open))
    }

    /// A settlement that no record of the hub's own meets: the hub bears the income.
    pub(super) async fn borne(
        &self,
        (agent, owner): (AgentId, OwnerId),
        claim: &Claim,
        income: NanoUsd,
    ) -> Result<Option<Posting>, StoreError> {
        let Some((open, terms)) =
            claim.open.as_ref().and_then(|open| Some((open, open.ticket.terms.as_ref()?)))
        else {
            return Ok(None);
        };
        let lease = self.0.store.find_lease(terms.lease).await?;
        let payer = lease.and_then(|lease| match lease.account {
            LedgerAccount::Paid(user) | LedgerAccount::Promo(user) => Some(user),
            LedgerAccount::Vesting(_) | LedgerAccount::Wallet(_) | LedgerAccount::House(_) => None,
        });
        let nobody = (UserId::from_slice(&NOBODY).ok(), KeyId::from_slice(&NOBODY).ok());
        let (Some(user), Some(key)) = (payer.or(nobody.0), nobody.1) else {
            return Ok(None);
        };
        let now = self.0.clock.now();
        let (close, ticket) = (&claim.close, &open.ticket);
        let settlement = Settlement {
            exchange: close.exchange,
            user,
            key,
            served: Some(Served { agent, owner, account: ticket.account, attempt: close.attempt }),
            metered: metered(claim, Ratio::ZERO),
            end: EndReason::NodeLost,
            outlay: Outlay {
                charge: NanoUsd::ZERO,
                income,
                rounding: NanoUsd::ZERO,
                bearer: Bearer::Hub,
            },
            node: self.0.node,
            hold: Some((terms.lease, terms.counter)),
            held: terms.cap,
            settled_at: now,
            claim_until: now.after(self.0.money.now().claim_window),
        };
        Ok(Some(Posting { settlement, draws: Vec::new(), overdraft_max: NanoUsd::ZERO }))
    }

    /// Settles an orphan of this node by what the claim proves: its user pays what was used, at most
    /// what was held. `false` where there is none.
    pub(super) async fn adopt(&self, agent: AgentId, claim: &Claim) -> Result<bool, StoreError> {
        let Some(ledger) = &self.0.ledger else {
            return Ok(false);
        };
        let Some(orphan) = ledger.orphan(claim.exchange()) else {
            return Ok(false);
        };
        let Some(leg) = self.proven(agent, claim, &orphan).await else {
            return Ok(false);
        };
        ledger.settle_orphan(claim.exchange(), leg).await.map(|settled| settled.is_some())
    }

    /// The user's leg of an orphan whose last ticket is the claim's.
    async fn proven(&self, agent: AgentId, claim: &Claim, orphan: &Orphan) -> Option<UserLeg> {
        let terms = claim.open.as_ref()?.ticket.terms.as_ref()?;
        let ticket = orphan.tickets.last()?;
        if ticket.served.agent != agent || ticket.served.attempt != claim.close.attempt {
            return None;
        }
        // It does not know what happened: that proves nothing.
        if claim.close.end == End::Interrupted {
            return None;
        }
        let promise = Promise::decode(&ticket.terms)?;
        let mut income = claim.close.income.min(ticket.cap).min(terms.cap);
        // What the agent claims is what it was worth; what the user pays for it is the hub's sum.
        let (usage, tier, geo) = (claim.close.usage, claim.close.tier, claim.close.geo);
        let (zone, share, linked) = (promise.zone, promise.tier, promise.linked);
        let listed = Promise { zone: Ratio::ONE, ..promise.clone() };
        let charge = (self.0.charge_of)(promise, usage, tier, geo).await;
        // Whatever price it names, and be it none: what that usage earns, the hub can tell.
        if let Some(list) = (self.0.charge_of)(listed, usage, tier, geo).await {
            income = income.min(earned(list, share));
        }
        let charge = charge.unwrap_or(income);
        Some(UserLeg {
            served: Some(ticket.served),
            metered: metered(claim, zone),
            end: EndReason::NodeLost,
            outlay: Outlay {
                charge: charge.min(orphan.held),
                income,
                rounding: NanoUsd::ZERO,
                bearer: Bearer::User,
            },
            linked,
        })
    }
}

/// The owner's share of a list price.
fn earned(list: NanoUsd, share: Ratio) -> NanoUsd {
    let earned = i128::from(list.nanos()) * i128::from(share.ppm()) / i128::from(Ratio::ONE.ppm());
    NanoUsd::new(i64::try_from(earned).unwrap_or(i64::MAX))
}

/// The claim's figures, as a settlement keeps them.
fn metered(claim: &Claim, zone: Ratio) -> Metered {
    let close = &claim.close;
    let open = claim.open.as_ref();
    let terms = open.and_then(|open| open.ticket.terms.as_ref());
    Metered {
        provider: open.map(|open| open.provider),
        model: terms.and_then(|terms| ModelName::parse(&terms.model).ok()),
        usage: close.usage,
        basis: close.basis,
        service: ServiceTier::number(close.tier),
        geo: close.geo.number(),
        book: terms.map(|terms| *terms.book.as_bytes()),
        priced_at: open.map_or(Timestamp::from_micros(0), |open| open.ticket.issued_at),
        zone,
        tier: terms.map_or(Ratio::ZERO, |terms| terms.tier),
    }
}
