//! Leases: what one node has set aside of one balance. A lease is the living side of pending
//! transfers: what it was granted, less what settlements used and what was returned, is left.
//!
//! What a grant and a return make of a lease is arithmetic, the same for every store: each locks the
//! lease, asks here, and writes what it is told.

use super::{LedgerAccount, Transfer, TransferKind, money};
use crate::StoreError;
use weft_proto::ids::{LeaseId, NodeId};
use weft_proto::money::NanoUsd;
use weft_proto::time::Timestamp;

/// A lease as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// Its id.
    pub id: LeaseId,
    /// The balance that it is of: a user's paid or promotional credit.
    pub account: LedgerAccount,
    /// The node that holds exchanges against it.
    pub node: NodeId,
    /// All that was ever granted.
    pub granted: NanoUsd,
    /// What settlements have used.
    pub used: NanoUsd,
    /// What was returned.
    pub returned: NanoUsd,
    /// How many grants and returns there were: the number of the next one.
    pub parts: u32,
    /// Whether it can be used, extended and returned to.
    pub open: bool,
    /// When it was taken first.
    pub taken_at: Timestamp,
    /// When it was last extended or returned to.
    pub changed_at: Timestamp,
}

impl Lease {
    /// What is left.
    #[must_use]
    pub const fn rest(&self) -> NanoUsd {
        self.granted.saturating_sub(self.used).saturating_sub(self.returned)
    }
}

/// Asks to set an amount aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseWanted {
    /// The lease, new or open.
    pub lease: LeaseId,
    /// Which part of it this is: 0 makes the lease, otherwise [`Lease::parts`] as last seen.
    pub part: u32,
    /// The balance.
    pub account: LedgerAccount,
    /// The node that asks.
    pub node: NodeId,
    /// As much as this, where the balance has it.
    pub wanted: NanoUsd,
    /// Nothing at all where the balance has less than this. At least 1 nano.
    pub least: NanoUsd,
    /// When.
    pub at: Timestamp,
}

/// What came of asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Leased {
    /// The lease as it stands now.
    Granted(Lease),
    /// The balance has less than the least that was wanted. Nothing was changed.
    Short {
        /// What it has, not below zero: how much others hold of it is in its [`super::Balance`].
        available: NanoUsd,
    },
}

/// Returns what is not needed any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GiveBack {
    /// The lease.
    pub lease: LeaseId,
    /// [`Lease::parts`] as last seen.
    pub part: u32,
    /// How much at most; what is left at most.
    pub amount: NanoUsd,
    /// Whether the lease is over: whatever is drawn from it later is owed by the balance.
    pub close: bool,
    /// When.
    pub at: Timestamp,
}

/// What stands in the way of a grant, or of a return.
const CONFLICT: StoreError = StoreError::Conflict { what: "the lease" };

/// The lease where the part that is wanted was granted before; `None` where it can be granted now.
pub(crate) fn granted_before(
    wanted: &LeaseWanted,
    held: Option<Lease>,
) -> Result<Option<Lease>, StoreError> {
    if !wanted.least.is_positive() || wanted.wanted < wanted.least {
        return Err(StoreError::corrupt("granted", "a lease of nothing is wanted"));
    }
    let Some(held) = held else {
        return if wanted.part == 0 { Ok(None) } else { Err(CONFLICT) };
    };
    if (held.account, held.node) != (wanted.account, wanted.node) {
        return Err(CONFLICT);
    }
    if held.parts > wanted.part {
        return Ok(Some(held));
    }
    if !held.open || held.parts < wanted.part {
        return Err(CONFLICT);
    }
    Ok(None)
}

/// The lease with `amount` more, which the balance has, and the transfer that sets it aside.
pub(crate) fn grant(
    wanted: &LeaseWanted,
    held: Option<Lease>,
    amount: NanoUsd,
) -> Result<(Lease, Transfer), StoreError> {
    let before = held.unwrap_or(Lease {
        id: wanted.lease,
        account: wanted.account,
        node: wanted.node,
        granted: NanoUsd::ZERO,
        used: NanoUsd::ZERO,
        returned: NanoUsd::ZERO,
        parts: 0,
        open: true,
        taken_at: wanted.at,
        changed_at: wanted.at,
    });
    let granted = before.granted.checked_add(amount);
    let lease = Lease {
        granted: granted.ok_or_else(|| StoreError::corrupt("granted", "out of range"))?,
        parts: wanted.part + 1,
        changed_at: wanted.at,
        ..before
    };
    let (part, kind) = (wanted.part, TransferKind::Pending);
    Ok((lease, money::lease_part(lease.id, lease.account, part, kind, amount, wanted.at)))
}

/// The lease after a return, and the transfer that gives the amount free, where there is one;
/// `None` where the lease stays as it stands.
pub(crate) fn give_back(
    held: Lease,
    back: &GiveBack,
) -> Result<Option<(Lease, Option<Transfer>)>, StoreError> {
    if held.parts > back.part || !held.open {
        return Ok(None);
    }
    if held.parts < back.part {
        return Err(CONFLICT);
    }
    let amount = match back.close {
        true => held.rest(),
        false => held.rest().min(back.amount).max(NanoUsd::ZERO),
    };
    if !amount.is_positive() && !back.close {
        return Ok(None);
    }
    let lease = Lease {
        returned: held.returned.saturating_add(amount),
        parts: held.parts + 1,
        open: !back.close,
        changed_at: back.at,
        ..held
    };
    let (part, kind) = (held.parts, TransferKind::Void);
    let transfer = amount
        .is_positive()
        .then(|| money::lease_part(lease.id, lease.account, part, kind, amount, back.at));
    Ok(Some((lease, transfer)))
}
