//! Leases: what one node has set aside of one balance. A lease is the living side of pending
//! transfers: what it was granted, less what settlements used and what was returned, is left.

use super::LedgerAccount;
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
