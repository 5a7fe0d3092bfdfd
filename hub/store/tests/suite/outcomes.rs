//! Outcomes.

use crate::fixture::World;
use std::sync::Arc;
use weft_proto::codes::{AbortCode, EndReason};
use weft_proto::ids::AccountId;
use weft_proto::provider::Provider;
use weft_store::{OUTCOMES_PER_APPEND_MAX, Outcome, PageSize, Store};

fn full(world: &World) -> Outcome {
    Outcome {
        agent: Some(world.agent_id()),
        account: Some(AccountId::from_slice(&world.bytes()[..16]).expect("an id")),
        provider: Some(Provider::Anthropic),
        model: Some("claude-sonnet-4-5".parse().expect("a model")),
        attempts: 3,
        status: Some(200),
        end: EndReason::SlowReader,
        abort: Some(AbortCode::SlowReader),
        request_bytes: 69 << 20,
        response_bytes: i64::MAX.unsigned_abs(),
        dispatched_after_us: Some(0),
        head_after_us: Some(1_234),
        first_byte_after_us: Some(u64::from(u32::MAX) + 1),
        ended_after_us: 3_600_000_000,
        ..world.outcome()
    }
}

pub(crate) async fn every_field_comes_back_as_it_went_in(store: Arc<dyn Store>) {
    let world = World::new(1);
    let (bare, full) = (world.outcome(), full(&world));
    let batch = [bare.clone(), full.clone()];
    assert_eq!(store.outcomes().append(&batch).await.expect("kept"), 2);
    for outcome in [bare, full] {
        let found = store.outcomes().find(outcome.exchange).await.expect("found");
        assert_eq!(found, Some(outcome));
    }
    assert_eq!(store.outcomes().find(world.exchange_id()).await.expect("looked"), None);
    assert_eq!(store.outcomes().append(&[]).await.expect("nothing"), 0);
}

pub(crate) async fn every_end_and_abort_comes_back(store: Arc<dyn Store>) {
    let world = World::new(2);
    let mut batch = Vec::new();
    for end in EndReason::ALL {
        batch.push(Outcome { end, ..full(&world) });
    }
    for abort in AbortCode::ALL {
        batch.push(Outcome { abort: Some(abort), ..full(&world) });
    }
    for provider in Provider::ALL {
        batch.push(Outcome { provider: Some(provider), ..full(&world) });
    }
    store.outcomes().append(&batch).await.expect("kept");
    batch.reverse();
    assert_eq!(store.outcomes().recent(PageSize::default(), None).await.expect("listed"), batch);
}

pub(crate) async fn the_same_exchange_twice_is_one_row_and_the_first_stands(store: Arc<dyn Store>) {
    let world = World::new(3);
    let (first, other) = (world.outcome(), world.outcome());
    assert_eq!(store.outcomes().append(std::slice::from_ref(&first)).await.expect("kept"), 1);
    let changed = Outcome { status: Some(500), ..first.clone() };
    let batch = [changed, other.clone(), other.clone()];
    assert_eq!(store.outcomes().append(&batch).await.expect("kept"), 1);
    assert_eq!(store.outcomes().append(&batch).await.expect("kept"), 0);
    assert_eq!(store.outcomes().find(first.exchange).await.expect("found"), Some(first));
    assert_eq!(store.outcomes().find(other.exchange).await.expect("found"), Some(other));
    assert_eq!(store.outcomes().count().await.expect("counted"), 2);
}

pub(crate) async fn a_batch_longer_than_a_transaction_is_kept_whole(store: Arc<dyn Store>) {
    let world = World::new(4);
    let batch: Vec<_> = (0..=OUTCOMES_PER_APPEND_MAX).map(|_| world.outcome()).collect();
    let amount = batch.len() as u64;
    assert_eq!(store.outcomes().append(&batch).await.expect("kept"), amount);
    assert_eq!(store.outcomes().count().await.expect("counted"), amount);
    let last = batch.last().expect("one").exchange;
    assert!(store.outcomes().find(last).await.expect("found").is_some());
}

pub(crate) async fn the_latest_come_first_and_pages_neither_skip_nor_repeat(store: Arc<dyn Store>) {
    let world = World::new(5);
    let mut made: Vec<_> = (0..10).map(|_| world.outcome()).collect();
    // They end in another order than they were admitted in.
    let (odd, even): (Vec<_>, Vec<_>) =
        made.iter().cloned().partition(|outcome| outcome.admitted_at.as_millis() % 2 == 1);
    store.outcomes().append(&odd).await.expect("kept");
    store.outcomes().append(&even).await.expect("kept");
    let (mut seen, mut before) = (Vec::new(), None);
    loop {
        let rows = store.outcomes().recent(PageSize::clamped(4), before).await.expect("listed");
        let Some(last) = rows.last() else { break };
        before = Some(last.exchange);
        seen.extend(rows);
    }
    made.reverse();
    assert_eq!(seen, made);
}
