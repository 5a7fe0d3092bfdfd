//! Owners.

use crate::fixture::World;
use futures_util::future::join_all;
use std::sync::Arc;
use weft_store::{Owner, Page, Store, StoreError};

pub(crate) async fn the_same_name_is_the_same_owner(store: Arc<dyn Store>) {
    let world = World::new(1);
    let first = world.owner("acme");
    assert_eq!(store.owners().find_or_create(&first).await.expect("made"), first);
    assert_eq!(store.owners().find_or_create(&world.owner("acme")).await.expect("found"), first);
    let other = world.owner("other");
    assert_eq!(store.owners().find_or_create(&other).await.expect("made"), other);
    let twin = Owner { id: first.id, ..world.owner("third") };
    let refused = store.owners().find_or_create(&twin).await.expect_err("taken");
    assert!(matches!(refused, StoreError::Conflict { what: "owner id" }), "{refused:?}");
    assert_eq!(store.owners().list(Page::first()).await.expect("listed"), [first, other]);
}

pub(crate) async fn many_at_once_make_one_owner(store: Arc<dyn Store>) {
    let world = World::new(2);
    let owners = store.owners();
    let candidates: Vec<_> = (0..20).map(|_| world.owner("acme")).collect();
    let made = join_all(candidates.iter().map(|owner| owners.find_or_create(owner))).await;
    let made: Vec<_> = made.into_iter().map(|owner| owner.expect("an owner")).collect();
    assert!(made.windows(2).all(|pair| pair[0] == pair[1]), "{made:?}");
    assert_eq!(owners.list(Page::first()).await.expect("listed"), made[..1]);
}
