//! Keys.

use crate::fixture::{World, named};
use std::sync::Arc;
use std::time::Duration;
use weft_proto::model::ModelPatterns;
use weft_store::{Key, KeyHash, ModelAllowList, Page, PageSize, Store, StoreError};

pub(crate) async fn a_key_is_found_by_its_hash_whole_and_with_its_user(store: Arc<dyn Store>) {
    let world = World::new(1);
    let user = world.user("alice");
    store.users().create(&user).await.expect("created");
    let plain = world.key(&user);
    let full = Key {
        label: named("CI, nightly"),
        models: ModelAllowList::Only("gpt-*,o3".parse().expect("patterns")),
        expires_at: Some(world.now().after(Duration::from_micros(7))),
        networks: "192.0.2.0/24,2001:db8::/32".parse().expect("networks"),
        revoked_at: Some(world.now()),
        ..world.key(&user)
    };
    let none = Key { models: ModelAllowList::Only(ModelPatterns::default()), ..world.key(&user) };
    for key in [&plain, &full, &none] {
        store.keys().create(key).await.expect("created");
    }
    let user = store.users().set_disabled(user.id, true).await.expect("disabled");
    for key in [plain, full, none] {
        let found = store.keys().find_by_hash(&key.hash).await.expect("found");
        assert_eq!(found, Some((key, user.clone())));
    }
    let unknown = store.keys().find_by_hash(&KeyHash::new([0; 32])).await.expect("looked");
    assert_eq!(unknown, None);
}

pub(crate) async fn a_key_of_nobody_is_refused_and_a_taken_hash_is_a_conflict(
    store: Arc<dyn Store>,
) {
    let world = World::new(2);
    let user = world.user("alice");
    let key = world.key(&user);
    let refused = store.keys().create(&key).await.expect_err("no user");
    assert!(matches!(refused, StoreError::NotFound { what: "user" }), "{refused:?}");
    store.users().create(&user).await.expect("created");
    store.keys().create(&key).await.expect("created");
    let twin = Key { hash: key.hash, ..world.key(&user) };
    let refused = store.keys().create(&twin).await.expect_err("taken");
    assert!(matches!(refused, StoreError::Conflict { what: "key" }), "{refused:?}");
    assert_eq!(store.keys().list(user.id, Page::first()).await.expect("listed"), [key]);
}

pub(crate) async fn the_first_revocation_stands(store: Arc<dyn Store>) {
    let world = World::new(3);
    let user = world.user("alice");
    store.users().create(&user).await.expect("created");
    let (key, other) = (world.key(&user), world.key(&user));
    store.keys().create(&key).await.expect("created");
    store.keys().create(&other).await.expect("created");
    let (first, second) = (world.now(), world.now());
    for at in [first, second] {
        let revoked = store.keys().revoke(key.id, at).await.expect("revoked");
        assert_eq!(revoked, Key { revoked_at: Some(first), ..key.clone() });
    }
    let found = store.keys().find_by_hash(&other.hash).await.expect("found");
    assert_eq!(found.map(|(key, _)| key.revoked_at), Some(None), "another key was revoked too");
    let missing = store.keys().revoke(world.key(&user).id, first).await;
    assert!(matches!(missing, Err(StoreError::NotFound { what: "key" })), "{missing:?}");
}

pub(crate) async fn a_user_sees_its_own_keys_only(store: Arc<dyn Store>) {
    let world = World::new(4);
    let (alice, bob) = (world.user("alice"), world.user("bob"));
    store.users().create(&alice).await.expect("created");
    store.users().create(&bob).await.expect("created");
    let mut own = Vec::new();
    for _ in 0..3 {
        own.push(world.key(&alice));
        store.keys().create(&own[own.len() - 1]).await.expect("created");
        store.keys().create(&world.key(&bob)).await.expect("created");
    }
    let page = Page { after: None, size: PageSize::clamped(2) };
    let first = store.keys().list(alice.id, page).await.expect("listed");
    assert_eq!(first, own[..2]);
    let rest = store.keys().list(alice.id, page.next(own[1].id)).await.expect("listed");
    assert_eq!(rest, own[2..]);
    let nobody = world.user("carol").id;
    assert!(store.keys().list(nobody, page).await.expect("listed").is_empty());
}
