//! Decides one claim: a pure function of the claim, the hub's record and the time.
//!
//! It never pays more than the hub's record says, or the ticket's cap where there is no record.

use super::chain::Claim;
use super::record::Record;
use super::seal::TicketSealer;
use weft_proto::ids::AgentId;
use weft_proto::ledger::{End, Open};
use weft_proto::money::NanoUsd;
use weft_proto::time::Timestamp;
use weft_proto::usage::{Basis, Class};
use weft_store::{ClaimRef, LegState};

/// What a claim is judged by.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// Who claims: the tunnel's certificate says so.
    pub agent: AgentId,
    /// Tells this hub's tickets from others.
    pub sealer: &'a TicketSealer,
    /// The hub's record, where the exchange is settled.
    pub record: Option<&'a Record>,
    /// Without a record: whether a node may still settle it.
    pub may_settle: bool,
    /// Without a record: until when an end that proves nothing may wait for one.
    pub wait_until: Timestamp,
    /// Now.
    pub now: Timestamp,
}

/// What becomes of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judged {
    /// Nothing was claimed and nothing is owed: acknowledged, posted nowhere.
    Nothing,
    /// It was answered before. The same is said again.
    Before {
        /// How the leg stands.
        state: LegState,
        /// What was paid.
        paid: NanoUsd,
    },
    /// The record pays it so much.
    Pay(NanoUsd),
    /// The two records differ.
    Dispute(Difference),
    /// It earns nothing; why.
    Refuse(Cause),
    /// No record: the ticket alone proves it, and this much is paid from suspense.
    Prove(NanoUsd),
    /// Neither side knows what happened. It earns nothing, and accuses nobody.
    Unproven,
    /// Not yet.
    Wait(Waiting),
}

/// Why a claim waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// Its OPEN, with the ticket, is not at hand: the agent claims again with it.
    Ticket,
    /// A node may still settle the exchange.
    Settlement,
}

/// Why a claim is refused: the name of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// Another entry of the same epoch was paid for this exchange.
    DoubleClaim,
    /// No node of this hub made the ticket.
    Invented,
    /// Another agent served the exchange.
    WrongAgent,
    /// Another account served it.
    WrongAccount,
    /// Another attempt served it.
    WrongAttempt,
    /// Nobody served it: the provider was not called for this user.
    NotServed,
    /// An income is claimed for a ticket without terms.
    WithoutTerms,
    /// The claim is less than nothing.
    Negative,
    /// The read was given up with the process that had sent it, and another one bills the same
    /// response. That accuses nobody.
    Superseded,
}

impl Cause {
    /// All causes.
    pub const ALL: [Self; 9] = [
        Self::DoubleClaim,
        Self::Invented,
        Self::WrongAgent,
        Self::WrongAccount,
        Self::WrongAttempt,
        Self::NotServed,
        Self::WithoutTerms,
        Self::Negative,
        Self::Superseded,
    ];

    /// The finding's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DoubleClaim => "double_claim",
            Self::Invented => "invented_exchange",
            Self::WrongAgent => "wrong_agent",
            Self::WrongAccount => "wrong_account",
            Self::WrongAttempt => "wrong_attempt",
            Self::NotServed => "not_served",
            Self::WithoutTerms => "claim_without_terms",
            Self::Negative => "negative_claim",
            Self::Superseded => "superseded_read",
        }
    }
}

/// How a claim and a record differ: the name of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difference {
    /// More was used than the hub saw of a proper end.
    UsageInflated,
    /// Less was used than the hub saw.
    UsageUnderstated,
    /// The same usage is told to be worth more.
    IncomeInflated,
    /// The same usage is told to be worth less.
    IncomeUnderstated,
    /// The usage agrees, what it was (its basis, tier or region) does not.
    FactsDiffer,
}

impl Difference {
    /// All differences.
    pub const ALL: [Self; 5] = [
        Self::UsageInflated,
        Self::UsageUnderstated,
        Self::IncomeInflated,
        Self::IncomeUnderstated,
        Self::FactsDiffer,
    ];

    /// The finding's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::UsageInflated => "usage_inflated",
            Self::UsageUnderstated => "usage_understated",
            Self::IncomeInflated => "income_inflated",
            Self::IncomeUnderstated => "income_understated",
            Self::FactsDiffer => "facts_differ",
        }
    }
}

/// What there is to say of a claim that agrees with the record: the name of a finding, which keeps
/// what the agent claimed and what the hub knew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Remark {
    /// The user has not covered what is claimed. That is the user's doing: it accuses nobody.
    Uncovered,
    /// The answer reported more than its request can have led to; it is settled at the bound. The
    /// answer came by this agent.
    UsageBounded,
}

impl Remark {
    /// All remarks.
    pub const ALL: [Self; 2] = [Self::Uncovered, Self::UsageBounded];

    /// The finding's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Uncovered => "uncovered",
            Self::UsageBounded => "inflated_usage",
        }
    }

    /// What there is to say where the record pays a claim `amount`.
    #[must_use]
    pub fn on(record: &Record, amount: NanoUsd) -> Option<Self> {
        if record.covered.is_some_and(|covered| amount > covered) {
            return Some(Self::Uncovered);
        }
        (record.basis == Basis::Bounded).then_some(Self::UsageBounded)
    }
}

/// Decides.
#[must_use]
pub fn judge(claim: &Claim, facts: &Facts<'_>) -> Judged {
    let close = &claim.close;
    if close.income.is_negative() {
        return Judged::Refuse(Cause::Negative);
    }
    if let Some(open) = &claim.open {
        if open.ticket.terms.is_none() {
            return nothing_or(claim, Cause::WithoutTerms);
        }
        if !facts.sealer.holds(&open.ticket) {
            return Judged::Refuse(Cause::Invented);
        }
    }
    match facts.record {
        Some(record) => against(claim, record, facts.agent),
        None => without(claim, facts),
    }
}

const fn nothing_or(claim: &Claim, cause: Cause) -> Judged {
    if claim.close.income.is_positive() { Judged::Refuse(cause) } else { Judged::Nothing }
}

/// What becomes of a claim for an exchange that the record gives to somebody else, or to nobody. An
/// agent that was killed, or has no prices, claims by its ticket what the hub has on record for it:
/// an attempt that another one followed. That is nothing, and no lie.
const fn not_its(claim: &Claim, cause: Cause) -> Judged {
    match (claim.close.end, claim.close.list) {
        (End::Interrupted, _) | (End::Proper | End::Cut { .. }, None) => Judged::Nothing,
        (End::Proper | End::Cut { .. }, Some(_)) => nothing_or(claim, cause),
    }
}

fn against(claim: &Claim, record: &Record, agent: AgentId) -> Judged {
    if record.elsewhere {
        return match claim.close.end {
            End::Interrupted => Judged::Nothing,
            End::Proper | End::Cut { .. } => nothing_or(claim, Cause::Superseded),
        };
    }
    let Some((served_by, account, attempt)) = record.served else {
        return not_its(claim, Cause::NotServed);
    };
    if served_by != agent {
        return not_its(claim, Cause::WrongAgent);
    }
    if attempt != claim.close.attempt {
        return not_its(claim, Cause::WrongAttempt);
    }
    if claim.open.as_ref().is_some_and(|open| open.ticket.account != account) {
        return Judged::Refuse(Cause::WrongAccount);
    }
    let stand = record.stand;
    match stand.state {
        LegState::Absent => not_its(claim, Cause::NotServed),
        LegState::Open => compare(claim, record),
        // Nobody had claimed, or nobody had decided about this very claim; or its user had not paid,
        // and may have since.
        LegState::Expired | LegState::Uncovered
            if stand.claim.is_none_or(|before| is_again(claim, &before)) =>
        {
            compare(claim, record)
        }
        LegState::Expired | LegState::Uncovered => Judged::Refuse(Cause::DoubleClaim),
        LegState::Paid | LegState::Vested | LegState::Disputed | LegState::Refused => {
            if stand.claim.is_none_or(|before| is_again(claim, &before)) {
                Judged::Before { state: stand.state, paid: stand.paid }
            } else {
                Judged::Refuse(Cause::DoubleClaim)
            }
        }
    }
}

/// Whether it is the claim that was answered: the same entry, or the one that an agent wrote for the
/// same exchange after it had lost that entry with the end of its old epoch.
fn is_again(claim: &Claim, before: &ClaimRef) -> bool {
    let same = claim.position.epoch == before.epoch
        && claim.position.seq == before.seq
        && *claim.hash.as_bytes() == before.hash;
    same || claim.position.epoch > before.epoch
}

fn compare(claim: &Claim, record: &Record) -> Judged {
    let close = &claim.close;
    match close.end {
        // It says itself that it does not know: the hub's figure, at most the cap that it names.
        End::Interrupted => Judged::Pay(record.income.min(close.income)),
        End::Proper if record.proper => exactly(claim, record),
        End::Proper | End::Cut { .. } => at_least(claim, record),
    }
}

/// Both had all of it, by the same code: nothing may differ.
fn exactly(claim: &Claim, record: &Record) -> Judged {
    let close = &claim.close;
    // Nothing was used: how it was counted means nothing.
    if close.usage.is_none() && record.usage.is_none() && close.income == record.income {
        return Judged::Pay(record.income);
    }
    if close.usage != record.usage {
        let inflated =
            Class::ALL.into_iter().any(|class| close.usage.get(class) > record.usage.get(class));
        // A provider may answer before it has taken all of a request: of one that tells no figures
        // the agent then counts less than the hub has sent. The smaller sum is beyond dispute.
        let counted = close.basis != Basis::Reported && record.basis != Basis::Reported;
        if counted && !inflated {
            return Judged::Pay(record.income.min(close.income));
        }
        return Judged::Dispute(if inflated {
            Difference::UsageInflated
        } else {
            Difference::UsageUnderstated
        });
    }
    // Results that say more than was held for their batch are settled at that, which the agent could
    // not know: it is the income that differs.
    if record.basis == Basis::Bounded
        && close.basis != Basis::Bounded
        && close.income > record.income
    {
        return Judged::Dispute(Difference::IncomeInflated);
    }
    let facts = (close.basis, close.tier.number(), close.geo.number());
    if facts != (record.basis, record.service, record.geo) {
        return Judged::Dispute(Difference::FactsDiffer);
    }
    if is_unpriced(claim) {
        return Judged::Pay(record.income.min(close.income));
    }
    match close.income.cmp(&record.income) {
        std::cmp::Ordering::Equal => Judged::Pay(record.income),
        std::cmp::Ordering::Greater => Judged::Dispute(Difference::IncomeInflated),
        std::cmp::Ordering::Less => Judged::Dispute(Difference::IncomeUnderstated),
    }
}

/// The bytes came by the agent: of a cut it has seen at least what the hub has.
fn at_least(claim: &Claim, record: &Record) -> Judged {
    let close = &claim.close;
    let seen =
        Class::ALL.into_iter().all(|class| close.usage.get(class) >= record.usage.get(class));
    if seen && close.income >= record.income {
        return Judged::Pay(record.income);
    }
    if seen && is_unpriced(claim) {
        return Judged::Pay(close.income);
    }
    // Figures of two kinds cannot be held against each other: what the hub counted itself may be
    // more than what the provider reported to the agent later. The smaller one is beyond dispute.
    if record.basis != Basis::Reported || close.basis != record.basis {
        return Judged::Pay(record.income.min(close.income));
    }
    Judged::Dispute(if seen { Difference::IncomeUnderstated } else { Difference::UsageUnderstated })
}

/// Without the book the agent cannot price: it names the ticket's cap and leaves it to the hub. The
/// hold of a stream grows behind its ticket, so that the cap may be less than what was earned.
const fn is_unpriced(claim: &Claim) -> bool {
    claim.close.list.is_none() && claim.close.income.is_positive()
}

fn without(claim: &Claim, facts: &Facts<'_>) -> Judged {
    let close = &claim.close;
    if !close.income.is_positive() {
        return Judged::Nothing;
    }
    let Some(Open { ticket, .. }) = &claim.open else {
        return Judged::Wait(Waiting::Ticket);
    };
    if facts.may_settle {
        return Judged::Wait(Waiting::Settlement);
    }
    match (close.end, &ticket.terms) {
        (End::Proper | End::Cut { .. }, Some(terms)) => Judged::Prove(close.income.min(terms.cap)),
        (End::Interrupted, Some(_)) if facts.now < facts.wait_until => {
            Judged::Wait(Waiting::Settlement)
        }
        (End::Interrupted, Some(_)) => Judged::Unproven,
        (_, None) => Judged::Refuse(Cause::WithoutTerms),
    }
}
