//! Users.

use crate::fixture::{World, named};
use std::sync::Arc;
use weft_store::{Page, PageSize, Store, StoreError};

pub(crate) async fn a_user_is_found_by_the_exact_name(store: Arc<dyn Store>) {
    let user = World::new(1).user("Zoë");
    store.users().create(&user).await.expect("created");
    let find = async |name: &str| store.users().find_by_name(&named(name)).await.expect("found");
    assert_eq!(find("Zoë").await, Some(user));
    assert_eq!(find("zoë").await, None);
    assert_eq!(find("Zo").await, None);
    assert_eq!(find("Zo%").await, None);
}

pub(crate) async fn a_taken_name_is_a_conflict_and_changes_nothing(store: Arc<dyn Store>) {
    let world = World::new(2);
    let first = world.user("alice");
    store.users().create(&first).await.expect("created");
    for second in [world.user("alice"), first.clone()] {
        let refused = store.users().create(&second).await.expect_err("taken");
        assert!(matches!(refused, StoreError::Conflict { what: "user name" }), "{refused:?}");
    }
    assert_eq!(store.users().list(Page::first()).await.expect("listed"), [first]);
}

pub(crate) async fn a_user_can_be_disabled_and_enabled_again(store: Arc<dyn Store>) {
    let world = World::new(3);
    let user = world.user("bob");
    store.users().create(&user).await.expect("created");
    for disabled in [true, true, false] {
        let changed = store.users().set_disabled(user.id, disabled).await.expect("changed");
        assert_eq!(changed.disabled, disabled);
        let found = store.users().find_by_name(&user.name).await.expect("found");
        assert_eq!(found, Some(changed));
    }
    let missing = store.users().set_disabled(world.user("x").id, true).await;
    assert!(matches!(missing, Err(StoreError::NotFound { what: "user" })), "{missing:?}");
}

pub(crate) async fn pages_hold_every_user_once_in_the_order_of_ids(store: Arc<dyn Store>) {
    let world = World::new(4);
    let mut made = Vec::new();
    for number in 0..7 {
        made.push(world.user(&format!("user {number}")));
    }
    for user in made.iter().rev() {
        store.users().create(user).await.expect("created");
    }
    let (mut seen, mut page) = (Vec::new(), Page { after: None, size: PageSize::clamped(3) });
    loop {
        let rows = store.users().list(page).await.expect("listed");
        assert!(rows.len() <= 3);
        let Some(last) = rows.last() else { break };
        page = page.next(last.id);
        seen.extend(rows);
    }
    assert_eq!(seen, made);
    assert_eq!(PageSize::clamped(0).rows(), 1);
    assert_eq!(PageSize::clamped(u32::MAX).rows(), weft_store::PAGE_ROWS_MAX);
}
