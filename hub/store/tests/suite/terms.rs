//! Terms: zones, tiers, spend limits, and that no pair can profit from itself.

use crate::fixture::{World, named};
use std::sync::Arc;
use weft_proto::ids::AccountId;
use weft_proto::money::{NanoUsd, Ratio};
use weft_store::{
    OWNER_TIER_DEFAULT, SelfDealing, SpendLimits, Store, StoreError, Tier, User, ZONES_AT_FIRST,
    ZONES_MAX, Zone,
};

fn ppm(parts: u32) -> Ratio {
    Ratio::from_ppm(parts)
}

fn zone(world: &World, name: &str, parts: u32) -> Zone {
    Zone { name: named(name), ratio: ppm(parts), changed_at: world.now() }
}

fn self_dealing<T: std::fmt::Debug>(result: Result<T, StoreError>) -> SelfDealing {
    match result {
        Err(StoreError::SelfDealing(found)) => *found,
        other => panic!("want a refusal, got {other:?}"),
    }
}

pub(crate) async fn zones_are_there_from_the_beginning_and_can_be_changed(store: Arc<dyn Store>) {
    let world = World::new(1);
    let terms = store.terms();
    let first: Vec<_> = terms
        .zones()
        .await
        .expect("listed")
        .into_iter()
        .map(|zone| (zone.name.to_string(), zone.ratio))
        .collect();
    assert_eq!(first, ZONES_AT_FIRST.map(|(name, ratio)| (name.to_owned(), ratio)));
    for changed in [zone(&world, "discount", 1), zone(&world, "vip", 650_000)] {
        terms.set_zone(&changed).await.expect("set");
        assert!(terms.zones().await.expect("listed").contains(&changed));
    }
    for number in 0..ZONES_MAX - 4 {
        terms.set_zone(&zone(&world, &format!("zone {number}"), 5)).await.expect("set");
    }
    let full = terms.set_zone(&zone(&world, "one more", 5)).await;
    assert!(matches!(full, Err(StoreError::Conflict { .. })), "{full:?}");
    terms.set_zone(&zone(&world, "vip", 640_000)).await.expect("a change still fits");
}

pub(crate) async fn users_and_keys_get_zones_that_exist_and_limits(store: Arc<dyn Store>) {
    let world = World::new(2);
    let user = world.user("alice");
    store.users().create(&user).await.expect("created");
    let key = world.key(&user);
    store.keys().create(&key).await.expect("created");
    let (terms, discount) = (store.terms(), named("discount"));
    let changed = terms.set_user(user.id, Some(&discount), None).await.expect("set");
    assert_eq!(changed, User { zone: Some(discount.clone()), ..user.clone() });
    assert_eq!(store.users().find(user.id).await.expect("found"), Some(changed));
    let limits = SpendLimits { day: Some(NanoUsd::new(7)), month: None };
    let changed = terms.set_key(key.id, Some(&discount), limits).await.expect("set");
    assert_eq!((changed.zone.as_ref(), changed.limits), (Some(&discount), limits));
    let found = store.keys().find_by_hash(&key.hash).await.expect("found").expect("there");
    assert_eq!(found.0, changed);
    assert_eq!(store.keys().find(key.id).await.expect("found"), Some(changed));
    let unknown = named("nowhere");
    let refused = terms.set_user(user.id, Some(&unknown), None).await;
    assert!(matches!(refused, Err(StoreError::NotFound { .. })), "{refused:?}");
    let refused = terms.set_key(key.id, Some(&unknown), limits).await;
    assert!(matches!(refused, Err(StoreError::NotFound { .. })), "{refused:?}");
    let nobody = terms.set_user(world.user("x").id, None, None).await;
    assert!(matches!(nobody, Err(StoreError::NotFound { what: "user" })), "{nobody:?}");
}

pub(crate) async fn whoever_could_profit_from_itself_is_refused_by_every_door(
    store: Arc<dyn Store>,
) {
    let world = World::new(3);
    let owner = store.owners().find_or_create(&world.owner("bob")).await.expect("an owner");
    assert_eq!(owner.tier, OWNER_TIER_DEFAULT);
    let terms = store.terms();
    terms.set_zone(&zone(&world, "low", 790_000)).await.expect("nobody is in it");
    let low = named("low");

    // As a new user, by a new zone or owner of a user, by a key.
    let linked = User { owner: Some(owner.id), zone: Some(low.clone()), ..world.user("mallory") };
    let found = self_dealing(store.users().create(&linked).await);
    assert_eq!((found.user, found.owner), (named("mallory"), named("bob")));
    assert_eq!((found.charge, found.income), (ppm(790_000), OWNER_TIER_DEFAULT));
    assert_eq!(store.users().find(linked.id).await.expect("looked"), None);
    let alice = User { owner: Some(owner.id), ..world.user("alice") };
    store.users().create(&alice).await.expect("at the standard zone");
    self_dealing(terms.set_user(alice.id, Some(&low), Some(owner.id)).await);
    let carol = User { zone: Some(low.clone()), ..world.user("carol") };
    store.users().create(&carol).await.expect("belongs to nobody");
    self_dealing(terms.set_user(carol.id, Some(&low), Some(owner.id)).await);
    let key = world.key(&alice);
    store.keys().create(&key).await.expect("created");
    self_dealing(terms.set_key(key.id, Some(&low), SpendLimits::default()).await);
    let refused = weft_store::Key { zone: Some(low.clone()), ..world.key(&alice) };
    self_dealing(store.keys().create(&refused).await);

    // By a zone that is lowered, a tier that is raised, an account's tier.
    self_dealing(terms.set_zone(&zone(&world, "standard", 799_999)).await);
    let account = AccountId::from_slice(&[7; 16]).expect("an id");
    for account in [None, Some(account)] {
        let tier =
            Tier { owner: owner.id, account, ratio: ppm(1_000_001), changed_at: world.now() };
        self_dealing(terms.set_tier(&tier).await);
        let fair = Tier { ratio: Ratio::ONE, ..tier };
        terms.set_tier(&fair).await.expect("what one pays the other earns");
    }
    assert_eq!(terms.account_tiers().await.expect("listed").len(), 1);

    // Nothing of what was refused stands.
    let standard = terms.zones().await.expect("listed").into_iter().find(|z| z.ratio == Ratio::ONE);
    assert_eq!(standard.map(|zone| zone.name), Some(named("standard")));
    let found = store.keys().find(key.id).await.expect("found").expect("there");
    assert_eq!(found.zone, None);
    assert_eq!(store.users().find(alice.id).await.expect("found"), Some(alice));
    assert_eq!(store.users().find(carol.id).await.expect("found"), Some(carol));
    let owner = store.owners().find_by_name(&named("bob")).await.expect("found").expect("there");
    assert_eq!(owner.tier, Ratio::ONE);
    assert_eq!(store.owners().find(owner.id).await.expect("found"), Some(owner));
}

pub(crate) async fn two_changes_at_once_cannot_together_do_what_each_may_not(
    store: Arc<dyn Store>,
) {
    let world = World::new(4);
    let owner = store.owners().find_or_create(&world.owner("bob")).await.expect("an owner");
    let alice = User { owner: Some(owner.id), ..world.user("alice") };
    store.users().create(&alice).await.expect("created");
    for round in 0..10 {
        let back = Tier {
            owner: owner.id,
            account: None,
            ratio: OWNER_TIER_DEFAULT,
            changed_at: world.now(),
        };
        store.terms().set_tier(&back).await.expect("set");
        store.terms().set_zone(&zone(&world, "standard", 1_000_000)).await.expect("set");
        let lower = zone(&world, "standard", 850_000);
        let raise = Tier { ratio: ppm(900_000), ..back };
        let (first, second) = (store.terms(), store.terms());
        let (zone, tier) = tokio::join!(async { first.set_zone(&lower).await }, async {
            second.set_tier(&raise).await
        });
        assert!(zone.is_ok() != tier.is_ok(), "round {round}: {zone:?} {tier:?}");
    }
}
