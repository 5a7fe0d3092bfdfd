//! The store as a whole.

use crate::fixture::World;
use std::sync::Arc;
use weft_proto::objects::ObjectKind;
use weft_proto::provider::Provider;
use weft_store::{Page, PageSize, Store, StoreError};

pub(crate) async fn a_closed_store_refuses_everything(store: Arc<dyn Store>) {
    let world = World::new(1);
    store.ping().await.expect("an open store answers");
    let users = store.users();
    store.close().await;
    store.close().await;
    let answers = [
        store.ping().await,
        users.create(&world.user("late")).await,
        users.list(Page::first()).await.map(drop),
        store.outcomes().append(&[world.outcome()]).await.map(drop),
        store.outcomes().recent(PageSize::default(), None).await.map(drop),
        store.agents().revoked().await.map(drop),
        store.objects().purge(&ObjectKind::ALL, world.now()).await.map(drop),
        store.objects().home(world.user_id(), Provider::OpenAi).await.map(drop),
    ];
    for answer in answers {
        assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    }
}

pub(crate) async fn a_narrow_handle_sees_what_the_store_sees(store: Arc<dyn Store>) {
    let world = World::new(2);
    let (users, keys) = (store.users(), store.keys());
    let user = world.user("alice");
    let key = world.key(&user);
    users.create(&user).await.expect("created");
    keys.create(&key).await.expect("created");
    let found = store.keys().find_by_hash(&key.hash).await.expect("found");
    assert_eq!(found, Some((key, user)));
}

pub(crate) async fn nothing_secret_is_serialised_or_shown(store: Arc<dyn Store>) {
    let world = World::new(3);
    let user = world.user("alice");
    store.users().create(&user).await.expect("created");
    let key = world.key(&user);
    store.keys().create(&key).await.expect("created");
    let invite = world.kept_invite(&store).await;
    let (key, _) = store.keys().find_by_hash(&key.hash).await.expect("found").expect("a key");
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let shown = format!(
        "{key:?} {invite:?} {store:?} {} {}",
        serde_json::to_string(&key).expect("json"),
        serde_json::to_string(&invite).expect("json"),
    );
    for secret in [hex(key.hash.as_bytes()), hex(invite.token_hash.as_bytes())] {
        assert!(!shown.contains(&secret), "{shown}");
    }
    let json = serde_json::to_value(&key).expect("json");
    assert_eq!(json["hint"], "WXYZ");
    assert_eq!(json["models"], "any");
    assert!(json.get("hash").is_none(), "{json}");
}
