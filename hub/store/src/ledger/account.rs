//! Accounts of the ledger and their balances.

use std::fmt;
use weft_proto::ids::{OwnerId, UserId};
use weft_proto::money::NanoUsd;

/// Length of an account's stored form: one byte of kind, 16 of whose it is.
pub const LEDGER_ACCOUNT_BYTES: usize = 17;

/// An account of the hub's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum House {
    /// Money outside: what came in as deposits and went out as payouts.
    Cash = 1,
    /// Income owed to agents whose receipts are not in yet.
    Suspense = 2,
    /// What is left of charges when agents have theirs.
    Margin = 3,
    /// The odd nanos between what is rounded up and what is rounded down.
    Rounding = 4,
    /// What the hub bore: charges that no balance covered, claims that no record met.
    Loss = 5,
    /// Promotional credit given out.
    Promotions = 6,
    /// Adjustments by the operator.
    Adjustments = 7,
    /// Where pending transfers point to; nothing is ever posted there.
    Leases = 8,
}

impl House {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Cash,
        Self::Suspense,
        Self::Margin,
        Self::Rounding,
        Self::Loss,
        Self::Promotions,
        Self::Adjustments,
        Self::Leases,
    ];

    /// The name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cash => "cash",
            Self::Suspense => "suspense",
            Self::Margin => "margin",
            Self::Rounding => "rounding",
            Self::Loss => "loss",
            Self::Promotions => "promotions",
            Self::Adjustments => "adjustments",
            Self::Leases => "leases",
        }
    }
}

/// Whose money it is. Not an account at a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LedgerAccount {
    /// The hub's own.
    House(House),
    /// What a user has paid for and not used.
    Paid(UserId),
    /// A user's promotional credit.
    Promo(UserId),
    /// An owner's income whose dispute window is still open.
    Vesting(OwnerId),
    /// An owner's income that can be paid out.
    Wallet(OwnerId),
}

const HOUSE: u8 = 1;
const PAID: u8 = 2;
const PROMO: u8 = 3;
const VESTING: u8 = 4;
const WALLET: u8 = 5;

impl LedgerAccount {
    /// The stored form. Its order is the order of the type.
    #[must_use]
    pub fn to_bytes(self) -> [u8; LEDGER_ACCOUNT_BYTES] {
        let (kind, whose) = match self {
            Self::House(house) => {
                let mut number = [0; 16];
                number[15] = house as u8;
                (HOUSE, number)
            }
            Self::Paid(user) => (PAID, *user.as_bytes()),
            Self::Promo(user) => (PROMO, *user.as_bytes()),
            Self::Vesting(owner) => (VESTING, *owner.as_bytes()),
            Self::Wallet(owner) => (WALLET, *owner.as_bytes()),
        };
        let mut bytes = [0; LEDGER_ACCOUNT_BYTES];
        bytes[0] = kind;
        bytes[1..].copy_from_slice(&whose);
        bytes
    }

    /// The account with this stored form.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (kind, whose) = bytes.split_first()?;
        let user = || UserId::from_slice(whose).ok();
        let owner = || OwnerId::from_slice(whose).ok();
        match *kind {
            HOUSE => {
                let (number, zeros) = whose.split_last()?;
                let known = zeros.len() == 15 && zeros.iter().all(|byte| *byte == 0);
                let house = House::ALL.into_iter().find(|house| *house as u8 == *number)?;
                known.then_some(Self::House(house))
            }
            PAID => user().map(Self::Paid),
            PROMO => user().map(Self::Promo),
            VESTING => owner().map(Self::Vesting),
            WALLET => owner().map(Self::Wallet),
            _ => None,
        }
    }

    /// The kind of account, for reports.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::House(house) => house.name(),
            Self::Paid(_) => "paid",
            Self::Promo(_) => "promo",
            Self::Vesting(_) => "vesting",
            Self::Wallet(_) => "wallet",
        }
    }

    /// The 16 bytes of the user or owner whose account it is; `None` for the hub's own.
    #[must_use]
    pub const fn party(&self) -> Option<&[u8; 16]> {
        match self {
            Self::House(_) => None,
            Self::Paid(user) | Self::Promo(user) => Some(user.as_bytes()),
            Self::Vesting(owner) | Self::Wallet(owner) => Some(owner.as_bytes()),
        }
    }
}

impl fmt::Display for LedgerAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::House(house) => f.write_str(house.name()),
            Self::Paid(user) | Self::Promo(user) => write!(f, "{}:{user}", self.kind()),
            Self::Vesting(owner) | Self::Wallet(owner) => write!(f, "{}:{owner}", self.kind()),
        }
    }
}

/// How an account stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Balance {
    /// Whose.
    pub account: LedgerAccount,
    /// All that was ever taken from it.
    pub debits_posted: NanoUsd,
    /// All that was ever given to it.
    pub credits_posted: NanoUsd,
    /// What is set aside of it.
    pub debits_pending: NanoUsd,
}

impl Balance {
    /// The balance of an account that was never used.
    #[must_use]
    pub const fn none(account: LedgerAccount) -> Self {
        let zero = NanoUsd::ZERO;
        Self { account, debits_posted: zero, credits_posted: zero, debits_pending: zero }
    }

    /// What was given less what was taken: the balance that people are shown.
    #[must_use]
    pub const fn posted(&self) -> NanoUsd {
        self.credits_posted.saturating_sub(self.debits_posted)
    }

    /// The same less what is set aside: what can still be set aside.
    #[must_use]
    pub const fn available(&self) -> NanoUsd {
        self.posted().saturating_sub(self.debits_pending)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stored_form_leads_back_to_the_account_and_nothing_else_does() {
        let user = UserId::from_slice(&[7; 16]).expect("an id");
        let owner = OwnerId::from_slice(&[7; 16]).expect("an id");
        let mut all = House::ALL.map(LedgerAccount::House).to_vec();
        all.extend([LedgerAccount::Paid(user), LedgerAccount::Promo(user)]);
        all.extend([LedgerAccount::Vesting(owner), LedgerAccount::Wallet(owner)]);
        for account in &all {
            assert_eq!(LedgerAccount::from_bytes(&account.to_bytes()), Some(*account));
        }
        assert!(all.windows(2).all(|two| two[0] < two[1] && two[0].to_bytes() < two[1].to_bytes()));
        for bad in [&[][..], &[1; 17], &[9; 17], &[2; 16], &[2; 18]] {
            assert_eq!(LedgerAccount::from_bytes(bad), None, "{bad:?}");
        }
    }
}
