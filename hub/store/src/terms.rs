//! Terms: what users pay of a list price, by zone, and what owners earn of it, by tier.
//!
//! A user who belongs to an owner and that owner are one pocket: whoever could earn more at its own
//! accounts than it pays there could make money of nothing. Each write here looks at what would be
//! true afterwards, in its own transaction, and is refused as [`StoreError::SelfDealing`] where some
//! such pair could profit.

use crate::{Key, Name, StoreError, User};
use async_trait::async_trait;
use std::fmt;
use weft_proto::ids::{AccountId, KeyId, OwnerId, UserId};
use weft_proto::money::{NanoUsd, Ratio};
use weft_proto::time::Timestamp;

/// The zone of users for whom nothing else is said.
pub const ZONE_STANDARD: &str = "standard";

/// The zones that there are from the beginning, in the order of their names.
pub const ZONES_AT_FIRST: [(&str, Ratio); 3] = [
    ("discount", Ratio::from_ppm(900_000)),
    ("premium", Ratio::from_ppm(1_200_000)),
    (ZONE_STANDARD, Ratio::ONE),
];

/// The most zones.
pub const ZONES_MAX: usize = 64;

/// The most that a zone may charge, and a tier earn: ten times the list price.
pub const RATIO_MAX: Ratio = Ratio::from_ppm(10_000_000);

/// What owners earn of list prices where nothing else is said.
pub const OWNER_TIER_DEFAULT: Ratio = Ratio::from_ppm(800_000);

/// The most accounts with a tier of their own.
pub const ACCOUNT_TIERS_MAX: usize = 10_000;

/// A price zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    /// Its name; no two zones share one.
    pub name: Name,
    /// What its users pay of list prices.
    pub ratio: Ratio,
    /// When it was last changed.
    pub changed_at: Timestamp,
}

/// The most that one key may spend, by calendar days and months in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SpendLimits {
    /// In a day; `None` for no limit.
    pub day: Option<NanoUsd>,
    /// In a month; `None` for no limit.
    pub month: Option<NanoUsd>,
}

/// What an owner's accounts earn of list prices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tier {
    /// The owner.
    pub owner: OwnerId,
    /// One account alone; `None` for all that have no tier of their own.
    pub account: Option<AccountId>,
    /// How much of it.
    pub ratio: Ratio,
    /// When it was last changed.
    pub changed_at: Timestamp,
}

/// A pair that could profit from itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelfDealing {
    /// The user.
    pub user: Name,
    /// The owner whom the user belongs to.
    pub owner: Name,
    /// The least that the user pays of list prices, with one of its keys.
    pub charge: Ratio,
    /// The most that the owner earns of them, with one of its accounts.
    pub income: Ratio,
}

impl fmt::Display for SelfDealing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user, owner, charge, income } = self;
        write!(
            f,
            "user {user} belongs to owner {owner} and would pay {} of list prices while {owner} \
             would earn {}: they could profit from themselves; raise the zone or lower the tier",
            Percent(*charge),
            Percent(*income)
        )
    }
}

/// A ratio for people, without floats.
struct Percent(Ratio);

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ppm = self.0.ppm();
        let (whole, rest) = (ppm / 10_000, ppm % 10_000);
        if rest == 0 {
            return write!(f, "{whole} %");
        }
        let rest = format!("{rest:04}");
        write!(f, "{whole}.{} %", rest.trim_end_matches('0'))
    }
}

/// The terms of users, keys, owners and accounts.
#[async_trait]
pub trait Terms: fmt::Debug + Send + Sync {
    /// Makes or changes a zone.
    ///
    /// # Errors
    /// [`StoreError::SelfDealing`]; [`StoreError::Conflict`] beyond [`ZONES_MAX`] zones.
    async fn set_zone(&self, zone: &Zone) -> Result<(), StoreError>;

    /// All zones, in the order of their names.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Corrupt`].
    async fn zones(&self) -> Result<Vec<Zone>, StoreError>;

    /// Sets a user's zone and owner, and returns the user as it stands then.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for the user, the zone or the owner; [`StoreError::SelfDealing`].
    async fn set_user(
        &self,
        id: UserId,
        zone: Option<&Name>,
        owner: Option<OwnerId>,
    ) -> Result<User, StoreError>;

    /// Sets a key's zone and limits, and returns the key as it stands then.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for the key or the zone; [`StoreError::SelfDealing`].
    async fn set_key(
        &self,
        id: KeyId,
        zone: Option<&Name>,
        limits: SpendLimits,
    ) -> Result<Key, StoreError>;

    /// Sets what an owner, or one of its accounts, earns.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for the owner; [`StoreError::SelfDealing`];
    /// [`StoreError::Conflict`] beyond [`ACCOUNT_TIERS_MAX`] accounts.
    async fn set_tier(&self, tier: &Tier) -> Result<(), StoreError>;

    /// The accounts with a tier of their own, at most [`ACCOUNT_TIERS_MAX`], in the order of owners
    /// and accounts.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Corrupt`].
    async fn account_tiers(&self) -> Result<Vec<Tier>, StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_that_deals_with_itself_is_told_with_its_shares() {
        let name = |text| Name::parse(text).expect("a name");
        let found = SelfDealing {
            user: name("alice"),
            owner: name("bob"),
            charge: Ratio::from_ppm(700_000),
            income: Ratio::from_ppm(812_500),
        };
        let text = found.to_string();
        assert!(text.contains("alice") && text.contains("bob"), "{text}");
        assert!(text.contains("70 %") && text.contains("81.25 %"), "{text}");
    }
}
