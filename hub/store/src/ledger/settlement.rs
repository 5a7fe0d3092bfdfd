//! Settlements: why the transfers of an exchange are what they are, one row each.

use super::transfer::numbered;
use weft_proto::codes::EndReason;
use weft_proto::ids::{AccountId, AgentId, ExchangeId, KeyId, LeaseId, NodeId, OwnerId, UserId};
use weft_proto::model::ModelName;
use weft_proto::money::{NanoUsd, Ratio};
use weft_proto::provider::Provider;
use weft_proto::time::Timestamp;
use weft_proto::usage::{Basis, Usage};

/// The most settlements that one transaction posts; a longer slice takes several.
pub const SETTLEMENTS_PER_CALL_MAX: usize = 512;

/// Who served an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Served {
    /// The agent of the last attempt.
    pub agent: AgentId,
    /// The owner that earns.
    pub owner: OwnerId,
    /// The account at the provider.
    pub account: AccountId,
    /// The attempt, from 1.
    pub attempt: u8,
}

/// What was metered, and what prices it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metered {
    /// Whose API was asked; `None` where that was not known before the end.
    pub provider: Option<Provider>,
    /// The model that it is priced as.
    pub model: Option<ModelName>,
    /// Units by class, as the hub's own meter read them.
    pub usage: Usage,
    /// How far they can be trusted.
    pub basis: Basis,
    /// The stored number of the service tier.
    pub service: u8,
    /// The stored number of the region.
    pub geo: u8,
    /// The hash of the price book; `None` where nothing was priced.
    pub book: Option<[u8; 32]>,
    /// The moment whose prices hold.
    pub priced_at: Timestamp,
    /// The user's share of the list price.
    pub zone: Ratio,
    /// The owner's share of it.
    pub tier: Ratio,
}

numbered! {
    /// Who pays for an exchange.
    Bearer {
        /// The user.
        User = 1, "user";
        /// The hub: a claim that no record of its own meets. The charge is nothing, and the income
        /// is the hub's loss.
        Hub = 2, "hub";
        /// Nobody here: another exchange bills what this one would have. It charges and earns
        /// nothing, for good.
        Elsewhere = 3, "elsewhere";
    }
}

/// The amounts of an exchange. None is negative. The margin is what is left of the charge; where
/// the income is more, the hub's margin pays what is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outlay {
    /// What the user is to pay.
    pub charge: NanoUsd,
    /// What the agent's owner is to get once its receipt is in.
    pub income: NanoUsd,
    /// What of the charge is rounding: no more than a few nanos.
    pub rounding: NanoUsd,
    /// Who pays.
    pub bearer: Bearer,
}

impl Outlay {
    /// Nothing for nobody.
    pub const NONE: Self = Self {
        charge: NanoUsd::ZERO,
        income: NanoUsd::ZERO,
        rounding: NanoUsd::ZERO,
        bearer: Bearer::User,
    };
}

/// How much of which lease an exchange uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draw {
    /// The lease.
    pub lease: LeaseId,
    /// How much of it; more than nothing.
    pub amount: NanoUsd,
}

/// How one exchange is settled: the facts that are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// The exchange.
    pub exchange: ExchangeId,
    /// Who asked.
    pub user: UserId,
    /// With which key.
    pub key: KeyId,
    /// Who served it; `None` where nobody did. Then there is no income and no agent leg.
    pub served: Option<Served>,
    /// What was metered.
    pub metered: Metered,
    /// How it ended.
    pub end: EndReason,
    /// The amounts.
    pub outlay: Outlay,
    /// The node that admitted it.
    pub node: NodeId,
    /// The first lease that it was held against, and the number of the hold there.
    pub hold: Option<(LeaseId, u64)>,
    /// What was held last.
    pub held: NanoUsd,
    /// When it was settled.
    pub settled_at: Timestamp,
    /// Until when the agent may claim.
    pub claim_until: Timestamp,
}

impl Settlement {
    /// Whether the other settles the same exchange alike, whenever that was tried, and however it
    /// had been held.
    #[must_use]
    pub fn is_same_act(&self, other: &Self) -> bool {
        (self.exchange, self.user, self.key, &self.served, &self.metered, self.end, &self.outlay)
            == (
                other.exchange,
                other.user,
                other.key,
                &other.served,
                &other.metered,
                other.end,
                &other.outlay,
            )
    }
}

/// A settlement to post, and where its money comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posting {
    /// The facts.
    pub settlement: Settlement,
    /// What it uses of leases, together no more than the charge; what is missing, the paid balance
    /// of the user owes.
    pub draws: Vec<Draw>,
    /// How far below zero the paid balance may fall for what is missing.
    pub overdraft_max: NanoUsd,
}

/// What became of a posting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// It was posted.
    Fresh {
        /// What of the charge no lease and no balance covered.
        loss: NanoUsd,
        /// What the paid balance owed beyond the draws.
        overrun: NanoUsd,
    },
    /// The same had been posted before.
    Already,
    /// The exchange is settled otherwise. Nothing was changed.
    Conflict,
}

numbered! {
    /// How an agent leg stands.
    LegState {
        /// Nobody served the exchange: there is none.
        Absent = 0, "absent";
        /// No receipt is in.
        Open = 1, "open";
        /// Paid; vests when it is due.
        Paid = 2, "paid";
        /// The receipt and the settlement differ; decided until it is due.
        Disputed = 3, "disputed";
        /// Nobody claimed in time, or nobody decided. What is covered may still be paid.
        Expired = 4, "expired";
        /// Decided against the agent.
        Refused = 5, "refused";
        /// Paid, and in the owner's wallet.
        Vested = 6, "vested";
        /// Claimed for more than the user has covered: decided until it is due. If nobody decides,
        /// what is covered is paid.
        Uncovered = 7, "uncovered";
    }
}

/// Which entry of the agent's own ledger claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimRef {
    /// The epoch of the agent's ledger.
    pub epoch: u64,
    /// The number of the entry in it.
    pub seq: u64,
    /// The hash of the entry.
    pub hash: [u8; 32],
}

/// An agent leg as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgentLeg {
    /// Its state.
    pub state: LegState,
    /// When something is due: the end of the claim window, of a dispute, of vesting.
    pub due_at: Timestamp,
    /// What was paid.
    pub paid: NanoUsd,
    /// When it was last answered.
    pub answered_at: Option<Timestamp>,
    /// What claimed it.
    pub claim: Option<ClaimRef>,
}

/// A settlement as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreed {
    /// The facts.
    pub settlement: Settlement,
    /// What of the charge promotional credit paid.
    pub promo: NanoUsd,
    /// What of the charge nothing covered.
    pub loss: NanoUsd,
    /// What of the charge took the user's balance below nothing, when it was posted.
    pub owed: NanoUsd,
    /// The agent leg.
    pub leg: AgentLeg,
}

/// What is decided about an agent leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LegVerdict {
    /// Pays this much and no more than the income; what is left of it becomes the hub's again. An
    /// open, disputed, uncovered or expired leg can be paid. An open leg that is to be paid more
    /// than its user has covered is [`LegState::Uncovered`] instead, and stays so until the user
    /// has; any other is paid no more than that.
    Pay(NanoUsd),
    /// Somebody has decided: pays this much and no more than the income, covered or not. A disputed
    /// or uncovered leg can be decided.
    Decide(NanoUsd),
    /// The receipt is disputed. An open leg can be.
    Dispute,
    /// Nothing is paid, for good. An open, disputed or uncovered leg can be refused.
    Refuse,
    /// Nobody claimed, or nobody decided, in time. An open or disputed leg expires; an uncovered one
    /// is paid what is covered.
    Expire,
}

/// Answers an agent leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LegAnswer {
    /// Of which exchange.
    pub exchange: ExchangeId,
    /// What is decided.
    pub verdict: LegVerdict,
    /// What claimed; kept where it is given.
    pub claim: Option<ClaimRef>,
    /// When.
    pub at: Timestamp,
    /// When the next thing is due: the end of vesting after a payment, the deadline of a dispute.
    pub due_at: Timestamp,
}

/// What became of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LegAnswered {
    /// It was done; the leg stands so.
    Done(AgentLeg),
    /// The leg was answered before, and no such answer is possible any more; it stands so.
    Already(AgentLeg),
    /// There is no such settlement, or nobody served it.
    Unknown,
}
