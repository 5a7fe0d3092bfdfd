//! Transfers: what was moved from one account to another, never changed afterwards.

use super::LedgerAccount;
use std::fmt;
use weft_proto::entropy::Entropy;
use weft_proto::ids::{ExchangeId, LeaseId};
use weft_proto::money::NanoUsd;
use weft_proto::time::{Clock, Timestamp};

/// The most transfers of one call.
pub const TRANSFERS_PER_CALL_MAX: usize = 256;

/// The longest memo, characters.
pub const MEMO_CHARS_MAX: usize = 256;

/// What a transfer is about: an exchange, a lease, or an act of its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject([u8; 16]);

impl Subject {
    /// A fresh subject, for an act that is neither an exchange nor a lease. Whoever repeats the act
    /// repeats it under the same subject.
    #[must_use]
    pub fn generate(clock: &dyn Clock, entropy: &dyn Entropy) -> Self {
        Self(*ExchangeId::generate(clock, entropy).as_bytes())
    }

    /// The subject with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl From<ExchangeId> for Subject {
    fn from(exchange: ExchangeId) -> Self {
        Self(*exchange.as_bytes())
    }
}

impl From<LeaseId> for Subject {
    fn from(lease: LeaseId) -> Self {
        Self(*lease.as_bytes())
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match ExchangeId::from_slice(&self.0) {
            Ok(id) => id.fmt(f),
            Err(_) => f.write_str("?"),
        }
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Subject({self})")
    }
}

macro_rules! numbered {
    ($(#[$outer:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $number:literal, $text:literal;)* }) => {
        $(#[$outer])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $name {
            $($(#[$doc])* $variant = $number,)*
        }

        impl $name {
            /// All of them, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The stored number.
            #[must_use]
            pub const fn number(self) -> u8 {
                self as u8
            }

            /// The one with this stored number.
            #[must_use]
            pub const fn from_number(number: u8) -> Option<Self> {
                match number {
                    $($number => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// The name in reports.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

pub(crate) use numbered;

numbered! {
    /// Which side of its subject a transfer belongs to.
    Leg {
        /// What the user of an exchange pays.
        User = 1, "user";
        /// What the owner of the agent gets for an exchange.
        Agent = 2, "agent";
        /// What a node sets aside, and returns.
        Lease = 3, "lease";
        /// Vesting that has become payable.
        Vesting = 4, "vesting";
        /// Money that came in.
        Deposit = 5, "deposit";
        /// Credit given by the hub.
        Promotion = 6, "promotion";
        /// Credit of a code that a user redeemed.
        Redemption = 7, "redemption";
        /// An operator's correction, with a reason.
        Adjustment = 8, "adjustment";
        /// Money that went out to an owner.
        Payout = 9, "payout";
        /// Money that went back to a user.
        Refund = 10, "refund";
    }
}

impl Leg {
    /// Whether its transfers are listed for the user or owner that they are of. Those of exchanges
    /// are found by the settlement, those of leases by the lease.
    #[must_use]
    pub const fn is_listed(self) -> bool {
        match self {
            Self::User | Self::Agent | Self::Lease => false,
            Self::Vesting
            | Self::Deposit
            | Self::Promotion
            | Self::Redemption
            | Self::Adjustment
            | Self::Payout
            | Self::Refund => true,
        }
    }
}

numbered! {
    /// What a transfer does.
    TransferKind {
        /// Moves an amount.
        Direct = 1, "direct";
        /// Sets an amount aside; nothing moves.
        Pending = 2, "pending";
        /// Moves an amount that was set aside.
        Post = 3, "post";
        /// Returns an amount that was set aside; nothing moves.
        Void = 4, "void";
        /// Moves an amount to mend an earlier transfer, which stays.
        Correct = 5, "correct";
    }
}

/// What tells transfers apart: the same key is the same transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransferKey {
    /// What it is about.
    pub subject: Subject,
    /// Which side of it.
    pub leg: Leg,
    /// Counts from 0 where one side takes several transfers.
    pub part: u32,
}

/// A reason or a reference that people wrote, for people.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Memo(String);

impl Memo {
    /// Parses a memo: 1 to [`MEMO_CHARS_MAX`] characters, none of them a control character.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let fits = !text.is_empty() && text.chars().count() <= MEMO_CHARS_MAX;
        (fits && !text.chars().any(char::is_control)).then(|| Self(text.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Memo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One movement of money.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// What tells it apart.
    pub key: TransferKey,
    /// What it does.
    pub kind: TransferKind,
    /// The account that it takes from.
    pub debit: LedgerAccount,
    /// The account that it gives to; another one.
    pub credit: LedgerAccount,
    /// How much; more than nothing.
    pub amount: NanoUsd,
    /// The lease that a post uses.
    pub lease: Option<LeaseId>,
    /// Why, where people did it.
    pub memo: Option<Memo>,
    /// When.
    pub at: Timestamp,
}

impl Transfer {
    /// The user or owner for whom it is listed.
    #[must_use]
    pub fn party(&self) -> Option<[u8; 16]> {
        if !self.key.leg.is_listed() {
            return None;
        }
        self.debit.party().or_else(|| self.credit.party()).copied()
    }

    /// Whether the other is the same act, whenever it was tried.
    #[must_use]
    pub fn is_same_act(&self, other: &Self) -> bool {
        let Self { key, kind, debit, credit, amount, lease, memo: _, at: _ } = self;
        (key, kind, debit, credit, amount, lease)
            == (&other.key, &other.kind, &other.debit, &other.credit, &other.amount, &other.lease)
    }
}

/// Whether the account that a transfer takes from must have the amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cover {
    /// It must, beside what is set aside of it. The hub's own accounts always have.
    Covered,
    /// It may fall below zero.
    Free,
}

/// What came of transfers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Transferred {
    /// They were made.
    Done,
    /// They had been made before.
    Already,
    /// An account did not have the amount. Nothing was made.
    Short {
        /// The account.
        account: LedgerAccount,
        /// What it had.
        available: NanoUsd,
    },
}
