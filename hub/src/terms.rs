//! What users pay and owners earn of list prices, at hand for every exchange.
//!
//! The store has the terms; here lies a copy that answers at once and never waits. It is read again
//! after every change that this node makes, and every [`REFRESH_EVERY`] for those of other nodes: a
//! change takes hold of new exchanges within that time, and never of running ones, whose tickets
//! carry their ratios.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use weft_proto::ids::{AccountId, OwnerId};
use weft_proto::money::Ratio;
use weft_store::{
    Name, OWNER_TIER_DEFAULT, Owners, PAGE_ROWS_MAX, Page, PageSize, Store, StoreError,
    ZONE_STANDARD,
};

/// How often the terms are read again.
pub const REFRESH_EVERY: Duration = Duration::from_secs(30);

/// Ratios by zone, owner and account. Cheap to clone.
#[derive(Clone)]
pub struct Terms(Arc<Inner>);

struct Inner {
    terms: Arc<dyn weft_store::Terms>,
    owners: Arc<dyn Owners>,
    book: RwLock<Arc<Book>>,
}

/// The terms of one moment.
#[derive(Debug, Default)]
struct Book {
    zones: BTreeMap<Name, Ratio>,
    standard: Option<Ratio>,
    /// Owners whose tier is not the default.
    owners: BTreeMap<OwnerId, Ratio>,
    accounts: BTreeMap<(OwnerId, AccountId), Ratio>,
}

impl fmt::Debug for Terms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terms").finish_non_exhaustive()
    }
}

impl Terms {
    /// Reads the terms for the first time.
    ///
    /// # Errors
    /// [`StoreError`] where they cannot be read.
    pub async fn load(store: &dyn Store) -> Result<Self, StoreError> {
        let (terms, owners) = (store.terms(), store.owners());
        let this = Self(Arc::new(Inner { terms, owners, book: RwLock::default() }));
        this.reload().await?;
        Ok(this)
    }

    /// Reads the terms again.
    ///
    /// # Errors
    /// [`StoreError`] where they cannot be read; the ones at hand stay then.
    pub async fn reload(&self) -> Result<(), StoreError> {
        let mut book = Book::default();
        for zone in self.0.terms.zones().await? {
            if zone.name.as_str() == ZONE_STANDARD {
                book.standard = Some(zone.ratio);
            }
            book.zones.insert(zone.name, zone.ratio);
        }
        let mut page = Page { after: None, size: PageSize::clamped(PAGE_ROWS_MAX) };
        loop {
            let owners = self.0.owners.list(page).await?;
            let Some(last) = owners.last().map(|owner| owner.id) else { break };
            let set = owners.iter().filter(|owner| owner.tier != OWNER_TIER_DEFAULT);
            book.owners.extend(set.map(|owner| (owner.id, owner.tier)));
            page = page.next(last);
        }
        for tier in self.0.terms.account_tiers().await? {
            if let Some(account) = tier.account {
                book.accounts.insert((tier.owner, account), tier.ratio);
            }
        }
        *self.0.book.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(book);
        Ok(())
    }

    /// What users of `zone` pay of list prices; `None` is the standard zone.
    #[must_use]
    pub fn charge(&self, zone: Option<&Name>) -> Ratio {
        let book = self.book();
        let named = zone.and_then(|zone| book.zones.get(zone)).copied();
        named.or(book.standard).unwrap_or(Ratio::ONE)
    }

    /// What `owner` earns of list prices by `account`.
    #[must_use]
    pub fn income(&self, owner: OwnerId, account: AccountId) -> Ratio {
        let book = self.book();
        let own = book.accounts.get(&(owner, account)).or_else(|| book.owners.get(&owner));
        own.copied().unwrap_or(OWNER_TIER_DEFAULT)
    }

    /// Reads the terms again and again, until `stop`.
    pub async fn keep_fresh(self, stop: CancellationToken) {
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = tokio::time::sleep(REFRESH_EVERY) => {}
            }
            if let Err(error) = self.reload().await {
                tracing::warn!(error = &error as &dyn std::error::Error, "terms not read again");
            }
        }
    }

    fn book(&self) -> Arc<Book> {
        Arc::clone(&self.0.book.read().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_proto::entropy::SeededEntropy;
    use weft_proto::time::{ManualClock, Timestamp};
    use weft_store::{MemoryStore, Owner, Tier, Zone};

    #[tokio::test]
    async fn zones_and_tiers_are_known_after_a_change_and_defaults_before() {
        let (clock, entropy) = (ManualClock::new(Timestamp::from_secs(9)), SeededEntropy::new(1));
        let store = MemoryStore::new();
        let terms = Terms::load(&store).await.expect("terms");
        let name = |text| Name::parse(text).expect("a name");
        let (owner, account) =
            (OwnerId::generate(&clock, &entropy), AccountId::generate(&clock, &entropy));
        assert_eq!(terms.charge(None), Ratio::ONE);
        assert_eq!(terms.charge(Some(&name("discount"))), Ratio::from_ppm(900_000));
        assert_eq!(terms.income(owner, account), OWNER_TIER_DEFAULT);

        let at = Timestamp::from_secs(10);
        let kept = Owner { id: owner, name: name("bob"), created_at: at, tier: OWNER_TIER_DEFAULT };
        store.owners().find_or_create(&kept).await.expect("an owner");
        let zone = Zone { name: name("vip"), ratio: Ratio::from_ppm(5), changed_at: at };
        store.terms().set_zone(&zone).await.expect("set");
        for (account, ppm) in [(None, 700_000), (Some(account), 650_000)] {
            let tier = Tier { owner, account, ratio: Ratio::from_ppm(ppm), changed_at: at };
            store.terms().set_tier(&tier).await.expect("set");
        }
        terms.reload().await.expect("read again");
        assert_eq!(terms.charge(Some(&name("vip"))), Ratio::from_ppm(5));
        assert_eq!(terms.income(owner, account), Ratio::from_ppm(650_000));
        let other = AccountId::generate(&clock, &entropy);
        assert_eq!(terms.income(owner, other), Ratio::from_ppm(700_000));
    }
}
