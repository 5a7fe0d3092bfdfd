//! Callers that go away in the middle: at every point of a call, on stores that outlive a process.

use crate::fixture::World;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use weft_store::{Outcome, Page, Redeemed, Store};

/// Polls `future` `times` times, and drops it then; its output where it was done before.
pub(crate) async fn polled<T>(times: u64, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    for _ in 0..times {
        if let Poll::Ready(value) = futures_util::poll!(&mut future) {
            return Some(value);
        }
        tokio::task::yield_now().await;
    }
    None
}

/// Callers go away at every point of a write; whoever comes next writes and is acknowledged. All of
/// it must be there when the store is opened again.
pub(crate) async fn writes_that_have_begun_are_kept(
    seed: u64,
    open: impl AsyncFn() -> Arc<dyn Store>,
) {
    let store = open().await;
    let world = World::new(seed);
    let (mut begun, mut untouched, mut abandoned): (Vec<Outcome>, Vec<_>, u32) = Default::default();
    for _ in 0..150 {
        let outcome = world.outcome();
        let times = world.below(40);
        let batch = std::slice::from_ref(&outcome);
        let acknowledged = polled(times, store.outcomes().append(batch)).await;
        abandoned += u32::from(acknowledged.is_none());
        if times == 0 {
            untouched.push(outcome)
        } else {
            begun.push(outcome)
        }
        // Whoever comes next must find a connection that keeps what it acknowledges.
        let next = world.outcome();
        store.outcomes().append(std::slice::from_ref(&next)).await.expect("kept");
        begun.push(next);
    }
    assert!(abandoned >= 20, "only {abandoned} callers went away in the middle");
    store.close().await;

    let store = open().await;
    for outcome in begun {
        let found = store.outcomes().find(outcome.exchange).await.expect("found");
        assert_eq!(found, Some(outcome), "a write that had begun was lost");
    }
    for outcome in untouched {
        assert_eq!(store.outcomes().find(outcome.exchange).await.expect("looked"), None);
    }
    store.close().await;
}

/// Agents whose hub stops listening while they join.
pub(crate) async fn a_join_is_whole_or_absent(seed: u64, open: impl AsyncFn() -> Arc<dyn Store>) {
    let store = open().await;
    let world = World::new(seed);
    for times in 0..30 {
        let invite = world.kept_invite(&store).await;
        let redemption = world.redemption(&invite);
        drop(polled(times, store.invites().redeem(&redemption)).await);
        let again = store.invites().redeem(&redemption).await.expect("an answer");
        assert!(
            matches!(&again, Redeemed::Joined(agent) if agent.id == redemption.agent),
            "{again:?}"
        );
    }
    assert_eq!(store.agents().list(Page::first()).await.expect("listed").len(), 30);
    store.close().await;
}
