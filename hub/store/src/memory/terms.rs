//! Terms in memory.

use super::{Memory, Tables};
use crate::{
    ACCOUNT_TIERS_MAX, Key, Name, SelfDealing, SpendLimits, StoreError, Terms, Tier, User,
    ZONE_STANDARD, ZONES_AT_FIRST, ZONES_MAX, Zone,
};
use async_trait::async_trait;
use std::collections::BTreeMap;
use weft_proto::ids::{AccountId, KeyId, OwnerId, UserId};
use weft_proto::money::Ratio;
use weft_proto::time::Timestamp;

/// Zones, and the accounts with a tier of their own.
#[derive(Debug)]
pub(super) struct TermsTables {
    zones: BTreeMap<Name, Zone>,
    accounts: BTreeMap<(OwnerId, AccountId), Tier>,
}

impl Default for TermsTables {
    fn default() -> Self {
        let zones = ZONES_AT_FIRST.into_iter().filter_map(|(name, ratio)| {
            let name = Name::parse(name).ok()?;
            let changed_at = Timestamp::from_micros(0);
            Some((name.clone(), Zone { name, ratio, changed_at }))
        });
        Self { zones: zones.collect(), accounts: BTreeMap::new() }
    }
}

impl Tables {
    /// Refuses a zone that does not exist.
    pub(super) fn known_zone(&self, zone: Option<&Name>) -> Result<(), StoreError> {
        match zone {
            Some(zone) if !self.terms.zones.contains_key(zone) => {
                Err(StoreError::NotFound { what: "owner or price zone" })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Refuses an owner who does not exist.
    pub(super) fn known_owner(&self, owner: Option<OwnerId>) -> Result<(), StoreError> {
        match owner {
            Some(owner) if !self.owners.contains_key(&owner) => {
                Err(StoreError::NotFound { what: "owner or price zone" })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Refuses what stands now where somebody could profit from itself: the least that a user of a
    /// house pays with any of its keys, against the most that any account of the owner earns.
    pub(super) fn check_terms(&self) -> Result<(), StoreError> {
        for user in self.users.values() {
            let Some(owner) = user.owner.and_then(|owner| self.owners.get(&owner)) else {
                continue;
            };
            let zones = self
                .keys
                .values()
                .filter(|key| key.user == user.id && key.revoked_at.is_none())
                .filter_map(|key| key.zone.as_ref())
                .map(|zone| self.charge(Some(zone)));
            let charge = zones.fold(self.charge(user.zone.as_ref()), Ord::min);
            let tiers = self
                .terms
                .accounts
                .values()
                .filter(|tier| tier.owner == owner.id)
                .map(|tier| tier.ratio);
            let income = tiers.fold(owner.tier, Ord::max);
            if charge < income {
                let (user, owner) = (user.name.clone(), owner.name.clone());
                let found = SelfDealing { user, owner, charge, income };
                return Err(StoreError::SelfDealing(Box::new(found)));
            }
        }
        Ok(())
    }

    fn charge(&self, zone: Option<&Name>) -> Ratio {
        let named = match zone {
            Some(zone) => self.terms.zones.get(zone),
            None => self.terms.zones.values().find(|zone| zone.name.as_str() == ZONE_STANDARD),
        };
        named.map_or(Ratio::ONE, |zone| zone.ratio)
    }
}

#[async_trait]
impl Terms for Memory {
    async fn set_zone(&self, zone: &Zone) -> Result<(), StoreError> {
        self.with(|tables| {
            let zones = &mut tables.terms.zones;
            if zones.len() >= ZONES_MAX && !zones.contains_key(&zone.name) {
                return Err(StoreError::Conflict { what: "the last place for a price zone" });
            }
            let before = zones.insert(zone.name.clone(), zone.clone());
            tables.check_terms().inspect_err(|_| {
                let zones = &mut tables.terms.zones;
                match before {
                    Some(before) => drop(zones.insert(zone.name.clone(), before)),
                    None => drop(zones.remove(&zone.name)),
                }
            })
        })
    }

    async fn zones(&self) -> Result<Vec<Zone>, StoreError> {
        self.with(|tables| Ok(tables.terms.zones.values().cloned().collect()))
    }

    async fn set_user(
        &self,
        id: UserId,
        zone: Option<&Name>,
        owner: Option<OwnerId>,
    ) -> Result<User, StoreError> {
        self.with(|tables| {
            tables.known_zone(zone)?;
            tables.known_owner(owner)?;
            let user = tables.users.get(&id).ok_or(StoreError::NotFound { what: "user" })?;
            let before = user.clone();
            let changed = User { zone: zone.cloned(), owner, ..before.clone() };
            tables.users.insert(id, changed.clone());
            if let Err(refused) = tables.check_terms() {
                tables.users.insert(id, before);
                return Err(refused);
            }
            Ok(changed)
        })
    }

    async fn set_key(
        &self,
        id: KeyId,
        zone: Option<&Name>,
        limits: SpendLimits,
    ) -> Result<Key, StoreError> {
        self.with(|tables| {
            tables.known_zone(zone)?;
            let key = tables.keys.get(&id).ok_or(StoreError::NotFound { what: "key" })?;
            let before = key.clone();
            let changed = Key { zone: zone.cloned(), limits, ..before.clone() };
            tables.keys.insert(id, changed.clone());
            if let Err(refused) = tables.check_terms() {
                tables.keys.insert(id, before);
                return Err(refused);
            }
            Ok(changed)
        })
    }

    async fn set_tier(&self, tier: &Tier) -> Result<(), StoreError> {
        self.with(|tables| {
            let missing = StoreError::NotFound { what: "owner" };
            let owner = tables.owners.get_mut(&tier.owner).ok_or(missing)?;
            let Some(account) = tier.account else {
                let before = owner.tier;
                owner.tier = tier.ratio;
                return tables.check_terms().inspect_err(|_| {
                    if let Some(owner) = tables.owners.get_mut(&tier.owner) {
                        owner.tier = before;
                    }
                });
            };
            let place = (tier.owner, account);
            let accounts = &mut tables.terms.accounts;
            if accounts.len() >= ACCOUNT_TIERS_MAX && !accounts.contains_key(&place) {
                return Err(StoreError::Conflict { what: "the last place for an account's tier" });
            }
            let before = accounts.insert(place, *tier);
            tables.check_terms().inspect_err(|_| {
                let accounts = &mut tables.terms.accounts;
                match before {
                    Some(before) => drop(accounts.insert(place, before)),
                    None => drop(accounts.remove(&place)),
                }
            })
        })
    }

    async fn account_tiers(&self) -> Result<Vec<Tier>, StoreError> {
        self.with(|tables| Ok(tables.terms.accounts.values().copied().collect()))
    }
}
