//! Agents after they joined.

use crate::fixture::World;
use std::sync::Arc;
use std::time::Duration;
use weft_store::{Agent, RevokedAgent, Store, StoreError};

pub(crate) async fn an_agent_is_revoked_once_and_listed_as_such(store: Arc<dyn Store>) {
    let world = World::new(1);
    let (first, second, third) =
        (world.joined(&store).await, world.joined(&store).await, world.joined(&store).await);
    assert!(store.agents().revoked().await.expect("listed").is_empty());
    let at = world.now();
    for moment in [at, world.now()] {
        let revoked = store.agents().revoke(third.id, moment).await.expect("revoked");
        assert_eq!(revoked, Agent { revoked_at: Some(at), ..third.clone() });
    }
    store.agents().revoke(first.id, at).await.expect("revoked");
    assert_eq!(
        store.agents().revoked().await.expect("listed"),
        [&first, &third].map(|agent| RevokedAgent { id: agent.id, spki: agent.spki })
    );
    let by_key = store.agents().find_by_spki(&second.spki).await.expect("found");
    assert_eq!(by_key.as_ref(), Some(&second));
    assert_eq!(store.agents().find(second.id).await.expect("found"), Some(second));
}

pub(crate) async fn the_latest_sight_stands_in_whatever_order_it_comes(store: Arc<dyn Store>) {
    let world = World::new(2);
    let agent = world.joined(&store).await;
    let early = world.now();
    let late = early.after(Duration::from_secs(5));
    for (at, stands) in [(early, early), (late, late), (early, late)] {
        store.agents().touch(agent.id, at).await.expect("touched");
        let found = store.agents().find(agent.id).await.expect("found");
        assert_eq!(found.and_then(|agent| agent.last_seen_at), Some(stands));
    }
}

pub(crate) async fn what_does_not_exist_is_not_found(store: Arc<dyn Store>) {
    let world = World::new(3);
    let (nobody, now) = (world.agent_id(), world.now());
    assert_eq!(store.agents().find(nobody).await.expect("looked"), None);
    assert_eq!(store.agents().find_by_spki(&[7; 32].into()).await.expect("looked"), None);
    let revoked = store.agents().revoke(nobody, now).await.map(drop);
    let touched = store.agents().touch(nobody, now).await;
    for refused in [revoked, touched] {
        assert!(matches!(refused, Err(StoreError::NotFound { what: "agent" })), "{refused:?}");
    }
}
