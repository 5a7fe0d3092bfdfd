//! What is asked of the ledger, and sums that it answers.

use super::{Balance, LedgerAccount};
use crate::PageSize;
use weft_proto::ids::{AgentId, ExchangeId, KeyId, OwnerId, UserId};
use weft_proto::money::NanoUsd;
use weft_proto::time::Timestamp;

/// Microseconds of a day in UTC.
pub(crate) const DAY_MICROS: u64 = 86_400_000_000;

/// Whose settlements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// A user's.
    User(UserId),
    /// Those of one key of a user.
    Key(UserId, KeyId),
    /// An owner's.
    Owner(OwnerId),
    /// Those of one agent of an owner.
    Agent(OwnerId, AgentId),
}

/// Which settlements, the latest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SettlementsWanted {
    /// Whose.
    pub whose: Whose,
    /// Settled from this moment on.
    pub from: Timestamp,
    /// Settled before this moment.
    pub until: Timestamp,
    /// After this row of the page before: its time and its exchange.
    pub after: Option<(Timestamp, ExchangeId)>,
    /// How many at most.
    pub size: PageSize,
}

/// A user or an owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Party {
    /// A user.
    User(UserId),
    /// An owner.
    Owner(OwnerId),
}

impl Party {
    /// The 16 bytes of the id.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        match self {
            Self::User(user) => user.as_bytes(),
            Self::Owner(owner) => owner.as_bytes(),
        }
    }
}

/// Which transfers, the latest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransfersWanted {
    /// Whose.
    pub party: Party,
    /// From this moment on.
    pub from: Timestamp,
    /// Before this moment.
    pub until: Timestamp,
    /// How many at most.
    pub size: PageSize,
}

/// Which charges to add up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpendWanted {
    /// Whose.
    pub user: UserId,
    /// With one key alone.
    pub key: Option<KeyId>,
    /// Settled from this moment on.
    pub from: Timestamp,
    /// Settled before this moment.
    pub until: Timestamp,
}

/// What was charged on one day in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Day {
    /// Days since 1970-01-01.
    pub number: u32,
    /// What was charged, losses left out.
    pub charged: NanoUsd,
    /// For how many exchanges.
    pub exchanges: u64,
}

/// The sums that must agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sums {
    /// Of all that was taken from accounts, nano-USD.
    pub debits_posted: i128,
    /// Of all that was given to accounts.
    pub credits_posted: i128,
    /// Of all that is set aside of accounts.
    pub debits_pending: i128,
    /// Of what is left of all open leases.
    pub leased: i128,
}

impl Sums {
    /// Whether nothing came from nowhere, and nothing went there.
    #[must_use]
    pub const fn agree(&self) -> bool {
        self.debits_posted == self.credits_posted && self.debits_pending == self.leased
    }
}

/// An owner's income that rests, where two places tell it otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vesting {
    /// The owner.
    pub owner: OwnerId,
    /// What its account of vesting has.
    pub kept: NanoUsd,
    /// What its paid legs come to that have not vested.
    pub due: NanoUsd,
}

/// A balance that is not the sum of its transfers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disagreement {
    /// The account.
    pub account: LedgerAccount,
    /// What it says.
    pub kept: Balance,
    /// What its transfers say.
    pub recomputed: Balance,
}
