//! What an agent leg is paid: all that decides it, and the transfers that an answer takes.

use super::{
    AgentLeg, Agreed, House, LedgerAccount, Leg, LegAnswer, LegState, LegVerdict, Outlay, Transfer,
    TransferKey, TransferKind,
};
use weft_proto::ids::{ExchangeId, OwnerId, UserId};
use weft_proto::money::{NanoUsd, Ratio};

/// Part numbers of the agent's leg: what is paid, what is left of it, what was never paid, what was
/// to be paid of a loss and makes it good again, and what somebody decided beyond what is covered.
const PART_PAID: u32 = 0;
const PART_LEFT: u32 = 1;
const PART_UNPAID: u32 = 2;
const PART_MENDED: u32 = 3;
/// See [`Due::is_paid_fairly`].
const PART_DECIDED: u32 = 4;

/// Of a settlement only what decides about its agent leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// The exchange.
    pub exchange: ExchangeId,
    /// Who pays.
    pub user: UserId,
    /// Who served it; `None` where nobody did.
    pub owner: Option<OwnerId>,
    /// What the user is charged.
    pub charge: NanoUsd,
    /// What the owner is to get.
    pub income: NanoUsd,
    /// The ratio by which the user is charged.
    pub zone: Ratio,
    /// The ratio by which the owner earns.
    pub tier: Ratio,
    /// What of the charge nothing covered.
    pub loss: NanoUsd,
    /// What of the charge took the user's balance below nothing, when it was posted.
    pub owed: NanoUsd,
    /// How the leg stands.
    pub leg: AgentLeg,
}

impl Due {
    /// What of the income the user has covered: the share of the rest in what is the hub's loss and
    /// in what is owed is left out. `repaid` is whether the user owes nothing any more.
    ///
    /// No claim is paid more, unless somebody decides so: an income that nobody pays for would be
    /// made of nothing.
    #[must_use]
    pub fn covered(&self, repaid: bool) -> NanoUsd {
        let owed = if repaid { NanoUsd::ZERO } else { self.owed };
        let missing = self.share_of(self.loss.saturating_add(owed));
        self.income.saturating_sub(missing)
    }

    /// Whether the leg was paid no more than its user covered, but for what somebody decided.
    /// `transfers` are those of the exchange.
    #[must_use]
    pub fn is_paid_fairly(&self, transfers: &[Transfer]) -> bool {
        let decided = transfers
            .iter()
            .filter(|one| one.key.leg == Leg::Agent && one.key.part == PART_DECIDED)
            .fold(NanoUsd::ZERO, |sum, one| sum.saturating_add(one.amount));
        self.leg.paid.saturating_sub(decided) <= self.covered(true)
    }

    /// The share of the income in what is the hub's loss.
    fn lost_share(&self) -> NanoUsd {
        self.share_of(self.loss)
    }

    /// The income of so much of the charge, rounded up, at most all of it. By what the ratios say,
    /// or by what the amounts say, whichever is more: promotional credit can have made the income
    /// less than the ratios say.
    fn share_of(&self, part: NanoUsd) -> NanoUsd {
        let Self { charge, income, zone, tier, .. } = *self;
        let part = i128::from(part.min(charge).nanos());
        let of = |share: i128, whole: i128| match whole > 0 && part > 0 {
            true => (part * share + whole - 1) / whole,
            false => 0,
        };
        let by_amount = of(income.nanos().into(), charge.nanos().into());
        let by_ratio = of(tier.ppm().into(), zone.ppm().into());
        let share = by_amount.max(by_ratio).min(income.nanos().into());
        NanoUsd::new(i64::try_from(share).unwrap_or(i64::MAX))
    }
}

impl Agreed {
    /// What of it decides about its agent leg.
    #[must_use]
    pub fn due(&self) -> Due {
        let Self { settlement, loss, owed, leg, .. } = self;
        let Outlay { charge, income, .. } = settlement.outlay;
        Due {
            exchange: settlement.exchange,
            user: settlement.user,
            owner: settlement.served.map(|served| served.owner),
            charge,
            income,
            zone: settlement.metered.zone,
            tier: settlement.metered.tier,
            loss: *loss,
            owed: *owed,
            leg: *leg,
        }
    }

    /// As [`Due::covered`].
    #[must_use]
    pub fn covered(&self, repaid: bool) -> NanoUsd {
        self.due().covered(repaid)
    }
}

/// What an answer makes of a leg: how it stands then, and its transfers; `None` where the leg takes
/// no such answer any more. `repaid` is whether its user owes nothing any more.
pub(crate) fn answered(
    due: &Due,
    owner: OwnerId,
    repaid: bool,
    answer: &LegAnswer,
) -> Option<(AgentLeg, Vec<Transfer>)> {
    let Due { income, leg, .. } = *due;
    let covered = due.covered(repaid);
    let (waits, was_open) = match leg.state {
        LegState::Open => (true, true),
        LegState::Disputed | LegState::Uncovered => (true, false),
        LegState::Absent
        | LegState::Paid
        | LegState::Expired
        | LegState::Refused
        | LegState::Vested => (false, false),
    };
    let (state, paid) = match answer.verdict {
        // Nothing moves: what is not covered is nobody's until it is decided.
        LegVerdict::Pay(amount) if was_open && amount.min(income) > covered => {
            (LegState::Uncovered, NanoUsd::ZERO)
        }
        LegVerdict::Pay(amount) if leg.state == LegState::Uncovered => {
            if amount.min(income) > covered {
                return None;
            }
            (LegState::Paid, amount.min(income))
        }
        LegVerdict::Pay(amount) if waits || leg.state == LegState::Expired => {
            (LegState::Paid, amount.min(covered))
        }
        LegVerdict::Decide(amount) if waits && !was_open => (LegState::Paid, amount.min(income)),
        LegVerdict::Dispute if was_open => (LegState::Disputed, NanoUsd::ZERO),
        LegVerdict::Refuse if waits => (LegState::Refused, NanoUsd::ZERO),
        // Its claim was for more: this much of it is beyond doubt.
        LegVerdict::Expire if leg.state == LegState::Uncovered => {
            (LegState::Paid, due.covered(false))
        }
        LegVerdict::Expire if waits => (LegState::Expired, NanoUsd::ZERO),
        LegVerdict::Pay(_)
        | LegVerdict::Decide(_)
        | LegVerdict::Dispute
        | LegVerdict::Refuse
        | LegVerdict::Expire => return None,
    };
    let paid = paid.max(NanoUsd::ZERO);
    let still_waits = matches!(state, LegState::Disputed | LegState::Uncovered);
    let transfers = if still_waits {
        Vec::new()
    } else {
        moves(due, owner, state, paid, waits)
            .into_iter()
            .filter(|(_, _, _, amount)| amount.is_positive())
            .map(|(part, debit, credit, amount)| Transfer {
                key: TransferKey { subject: due.exchange.into(), leg: Leg::Agent, part },
                kind: TransferKind::Direct,
                debit,
                credit,
                amount,
                lease: None,
                memo: None,
                at: answer.at,
            })
            .collect()
    };
    let leg = AgentLeg {
        state,
        due_at: answer.due_at,
        paid,
        answered_at: Some(answer.at),
        claim: answer.claim.or(leg.claim),
    };
    Some((leg, transfers))
}

/// From where the income of an answered leg goes where: what is paid to its owner, and what is left
/// to the hub. Of the latter, what was to be paid of a loss makes that good.
fn moves(
    due: &Due,
    owner: OwnerId,
    state: LegState,
    paid: NanoUsd,
    from_suspense: bool,
) -> Vec<(u32, LedgerAccount, LedgerAccount, NanoUsd)> {
    let [margin, suspense, loss] =
        [House::Margin, House::Suspense, House::Loss].map(LedgerAccount::House);
    // What expired is in the margin already.
    let from = if from_suspense { suspense } else { margin };
    let decided = paid.saturating_sub(due.covered(true)).max(NanoUsd::ZERO);
    let vesting = LedgerAccount::Vesting(owner);
    let mut moves = vec![
        (PART_PAID, from, vesting, paid.saturating_sub(decided)),
        (PART_DECIDED, from, vesting, decided),
    ];
    if from_suspense {
        let left = due.income.saturating_sub(paid);
        let mended = left.min(due.lost_share());
        let part = if state == LegState::Paid { PART_LEFT } else { PART_UNPAID };
        moves.push((PART_MENDED, suspense, loss, mended));
        moves.push((part, suspense, margin, left.saturating_sub(mended)));
    }
    moves
}
