//! Which transfers a settlement and an agent leg take: arithmetic, the same for every store.

use super::{
    AgentLeg, Balance, Bearer, Disagreement, House, LedgerAccount, Leg, LegState, Outlay, Posting,
    Settlement, Subject, Transfer, TransferKey, TransferKind, Vesting,
};
use crate::StoreError;
use std::collections::{BTreeMap, BTreeSet};
use weft_proto::ids::{ExchangeId, LeaseId, OwnerId};
use weft_proto::money::NanoUsd;
use weft_proto::time::Timestamp;

/// Where some of a charge comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pocket {
    pub(crate) account: LedgerAccount,
    pub(crate) amount: NanoUsd,
    /// The lease whose pending amount is posted.
    pub(crate) lease: Option<LeaseId>,
}

/// Refuses a posting whose amounts cannot be meant.
pub(crate) fn check(posting: &Posting) -> Result<(), StoreError> {
    let Settlement { outlay, served, .. } = &posting.settlement;
    let Outlay { charge, income, rounding, bearer } = *outlay;
    let wrong = |what: &str| Err(StoreError::corrupt("settlement", what));
    if charge.is_negative() || income.is_negative() || rounding.is_negative() || rounding > charge {
        return wrong("an amount is negative, or the rounding more than the charge");
    }
    if posting.overdraft_max.is_negative() || posting.settlement.held.is_negative() {
        return wrong("an amount is negative");
    }
    if served.is_none() && income.is_positive() {
        return wrong("an income of nobody");
    }
    if bearer == Bearer::Hub && charge.is_positive() {
        return wrong("a charge that the hub bears");
    }
    if bearer == Bearer::Elsewhere && (charge.is_positive() || income.is_positive()) {
        return wrong("an amount of what is billed elsewhere");
    }
    let mut drawn = NanoUsd::ZERO;
    for draw in &posting.draws {
        if !draw.amount.is_positive() {
            return wrong("a draw of nothing");
        }
        drawn = drawn
            .checked_add(draw.amount)
            .ok_or_else(|| StoreError::corrupt("settlement", "draws out of range"))?;
    }
    if drawn > charge { wrong("draws of more than the charge") } else { Ok(()) }
}

/// Refuses transfers that belong to an exchange or a lease, or that cannot be meant.
pub(crate) fn check_moves(transfers: &[Transfer]) -> Result<(), StoreError> {
    for transfer in transfers {
        let wrong = match transfer.kind {
            TransferKind::Direct | TransferKind::Correct => !transfer.key.leg.is_listed(),
            TransferKind::Pending | TransferKind::Post | TransferKind::Void => true,
        };
        if wrong || transfer.debit == transfer.credit || !transfer.amount.is_positive() {
            return Err(StoreError::corrupt(
                "ledger_transfers",
                "no such transfer can be asked for",
            ));
        }
    }
    let keys: BTreeSet<_> = transfers.iter().map(|transfer| transfer.key).collect();
    match keys.len() == transfers.len() {
        true => Ok(()),
        false => Err(StoreError::Conflict { what: "the transfer" }),
    }
}

/// The accounts whose balance is not what their transfers say.
pub(crate) fn disagreements(
    mut kept: BTreeMap<LedgerAccount, Balance>,
    recomputed: BTreeMap<LedgerAccount, Balance>,
) -> Vec<Disagreement> {
    let mut found = Vec::new();
    for (account, recomputed) in recomputed {
        let kept = kept.remove(&account).unwrap_or_else(|| Balance::none(account));
        if kept != recomputed {
            found.push(Disagreement { account, kept, recomputed });
        }
    }
    let left = kept.into_values().map(|kept| (kept, Balance::none(kept.account)));
    found.extend(left.filter(|(kept, none)| kept != none).map(|(kept, recomputed)| Disagreement {
        account: kept.account,
        kept,
        recomputed,
    }));
    found
}

/// The owners whose account of vesting has another amount than their paid legs come to.
pub(crate) fn vesting_differs(
    balances: impl IntoIterator<Item = Balance>,
    due: BTreeMap<OwnerId, NanoUsd>,
) -> Vec<Vesting> {
    let mut owners: BTreeMap<OwnerId, Vesting> = due
        .into_iter()
        .map(|(owner, due)| (owner, Vesting { owner, kept: NanoUsd::ZERO, due }))
        .collect();
    for balance in balances {
        if let LedgerAccount::Vesting(owner) = balance.account {
            let none = Vesting { owner, kept: NanoUsd::ZERO, due: NanoUsd::ZERO };
            owners.entry(owner).or_insert(none).kept = balance.posted();
        }
    }
    owners.into_values().filter(|vesting| vesting.kept != vesting.due).collect()
}

/// The transfers of a user leg whose charge comes from `pockets`, which hold all of it.
pub(crate) fn user_leg(settlement: &Settlement, pockets: &[Pocket]) -> Vec<Transfer> {
    let Outlay { charge, income, rounding, bearer } = settlement.outlay;
    let margin = charge.saturating_sub(income).saturating_sub(rounding);
    let mut from = pockets.to_vec();
    if margin.is_negative() {
        let account = LedgerAccount::House(match bearer {
            Bearer::User | Bearer::Elsewhere => House::Margin,
            Bearer::Hub => House::Loss,
        });
        from.push(Pocket { account, amount: NanoUsd::ZERO.saturating_sub(margin), lease: None });
    }
    let to = [(House::Suspense, income), (House::Margin, margin), (House::Rounding, rounding)];
    let mut transfers = Vec::with_capacity(from.len() + 2);
    let mut pockets = from.into_iter();
    let mut pocket = pockets.next();
    for (house, mut wanted) in to {
        while let Some(current) = pocket.as_mut().filter(|_| wanted.is_positive()) {
            let amount = current.amount.min(wanted);
            if amount.is_positive() {
                let part = u32::try_from(transfers.len()).unwrap_or(u32::MAX);
                transfers.push(Transfer {
                    key: TransferKey { subject: settlement.exchange.into(), leg: Leg::User, part },
                    kind: match current.lease {
                        Some(_) => TransferKind::Post,
                        None => TransferKind::Direct,
                    },
                    debit: current.account,
                    credit: LedgerAccount::House(house),
                    amount,
                    lease: current.lease,
                    memo: None,
                    at: settlement.settled_at,
                });
                wanted = wanted.saturating_sub(amount);
                current.amount = current.amount.saturating_sub(amount);
            }
            if !current.amount.is_positive() {
                pocket = pockets.next();
            }
        }
    }
    transfers
}

/// How a leg begins.
pub(crate) const fn begun(settlement: &Settlement) -> AgentLeg {
    AgentLeg {
        state: if settlement.served.is_some() { LegState::Open } else { LegState::Absent },
        due_at: settlement.claim_until,
        paid: NanoUsd::ZERO,
        answered_at: None,
        claim: None,
    }
}

/// The transfer by which the income of legs becomes payable: one for an owner, under the name of
/// the first exchange of it.
pub(crate) fn vesting(
    first: ExchangeId,
    owner: OwnerId,
    amount: NanoUsd,
    at: Timestamp,
) -> Transfer {
    Transfer {
        key: TransferKey { subject: Subject::from(first), leg: Leg::Vesting, part: 0 },
        kind: TransferKind::Direct,
        debit: LedgerAccount::Vesting(owner),
        credit: LedgerAccount::Wallet(owner),
        amount,
        lease: None,
        memo: None,
        at,
    }
}

/// The transfer that grants or returns a part of a lease.
pub(crate) fn lease_part(
    lease: LeaseId,
    account: LedgerAccount,
    part: u32,
    kind: TransferKind,
    amount: NanoUsd,
    at: Timestamp,
) -> Transfer {
    Transfer {
        key: TransferKey { subject: lease.into(), leg: Leg::Lease, part },
        kind,
        debit: account,
        credit: LedgerAccount::House(House::Leases),
        amount,
        lease: Some(lease),
        memo: None,
        at,
    }
}
