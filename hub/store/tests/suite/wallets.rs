//! Redemption codes and payouts.

use crate::fixture::World;
use std::sync::Arc;
use std::time::Duration;
use weft_proto::money::NanoUsd;
use weft_proto::time::Timestamp;
use weft_store::{
    Code, Memo, Page, Payout, PayoutState, Redeeming, Store, StoreError, Subject, TokenHash,
};

fn memo(text: &str) -> Memo {
    Memo::parse(text).expect("a memo")
}

fn subject(world: &World) -> Subject {
    world.exchange_id().into()
}

fn code(world: &World, batch: Subject, expires_at: Option<Timestamp>) -> Code {
    Code {
        hash: TokenHash::new(world.bytes()),
        batch,
        amount: NanoUsd::new(2_000_000_000),
        created_at: world.now(),
        expires_at,
        redeemed: None,
    }
}

pub(crate) async fn a_code_is_redeemed_by_one_user_and_for_the_same_user_again(
    store: Arc<dyn Store>,
) {
    let world = World::new(1);
    let batch = subject(&world);
    let end = world.now().after(Duration::from_secs(60));
    let made = [code(&world, batch, None), code(&world, batch, Some(end))];
    let codes = store.codes();
    codes.create(&made).await.expect("created");
    let (alice, bob, at) = (world.user_id(), world.user_id(), world.now());
    let mine = Redeeming::Redeemed(Code { redeemed: Some((alice, at)), ..made[0].clone() });
    assert_eq!(codes.redeem(&made[0].hash, alice, at).await.expect("asked"), mine);
    assert_eq!(codes.redeem(&made[0].hash, alice, world.now()).await.expect("asked"), mine);
    let taken = codes.redeem(&made[0].hash, bob, at).await.expect("asked");
    assert_eq!(taken, Redeeming::Taken);
    assert_eq!(codes.redeem(&made[1].hash, bob, end).await.expect("asked"), Redeeming::Expired);
    let unknown = codes.redeem(&TokenHash::new([9; 32]), bob, at).await.expect("asked");
    assert_eq!(unknown, Redeeming::Unknown);
    let batches = codes.batches(Page::first()).await.expect("listed");
    assert_eq!(batches.len(), 1);
    assert_eq!((batches[0].id, batches[0].codes, batches[0].redeemed), (batch, 2, 1));
    assert_eq!(batches[0].expires_at, Some(end));
}

pub(crate) async fn a_batch_of_codes_is_kept_whole_or_not_at_all(store: Arc<dyn Store>) {
    let world = World::new(2);
    let batch = subject(&world);
    let first = code(&world, batch, None);
    store.codes().create(std::slice::from_ref(&first)).await.expect("created");
    let other = subject(&world);
    let fresh = code(&world, other, None);
    let twin = Code { batch: other, ..first };
    let refused = store.codes().create(&[fresh.clone(), twin]).await;
    assert!(matches!(refused, Err(StoreError::Conflict { .. })), "{refused:?}");
    let redeemed = store.codes().redeem(&fresh.hash, world.user_id(), world.now()).await;
    assert_eq!(redeemed.expect("asked"), Redeeming::Unknown);
}

pub(crate) async fn of_many_users_at_once_one_gets_the_code(store: Arc<dyn Store>) {
    let world = World::new(3);
    let made = code(&world, subject(&world), None);
    store.codes().create(std::slice::from_ref(&made)).await.expect("created");
    let at = world.now();
    let mut tries = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (codes, user, hash) = (store.codes(), world.user_id(), made.hash);
        tries.spawn(async move { codes.redeem(&hash, user, at).await.expect("asked") });
    }
    let answers = tries.join_all().await;
    let redeemed = answers.iter().filter(|one| matches!(one, Redeeming::Redeemed(_))).count();
    let taken = answers.iter().filter(|one| **one == Redeeming::Taken).count();
    assert_eq!((redeemed, taken), (1, 15));
}

pub(crate) async fn the_first_decision_about_a_payout_stands_until_it_is_reopened(
    store: Arc<dyn Store>,
) {
    let world = World::new(4);
    let owner = store.owners().find_or_create(&world.owner("bob")).await.expect("an owner");
    let payout = Payout {
        id: subject(&world),
        owner: owner.id,
        amount: NanoUsd::new(5),
        reason: Some(memo("November")),
        requested_at: world.now(),
        state: PayoutState::Requested,
        reference: None,
        decided_at: None,
    };
    let payouts = store.payouts();
    payouts.request(&payout).await.expect("asked for");
    let again = payouts.request(&payout).await;
    assert!(matches!(again, Err(StoreError::Conflict { .. })), "{again:?}");
    let (at, reference) = (world.now(), memo("SEPA 17"));
    let decided = Payout {
        state: PayoutState::Approved,
        reference: Some(reference.clone()),
        decided_at: Some(at),
        ..payout.clone()
    };
    let approved = payouts.decide(payout.id, PayoutState::Approved, &reference, at).await;
    assert_eq!(approved.expect("decided"), decided);
    let late = payouts.decide(payout.id, PayoutState::Rejected, &memo("no"), world.now()).await;
    assert_eq!(late.expect("asked"), decided);
    assert_eq!(payouts.find(payout.id).await.expect("found"), Some(decided.clone()));
    let listed = payouts.list(None, Page::first()).await.expect("listed");
    assert_eq!(listed, std::slice::from_ref(&decided));
    assert_eq!(payouts.list(Some(owner.id), Page::first()).await.expect("listed"), [decided]);
    assert_eq!(payouts.reopen(payout.id).await.expect("reopened"), payout);
    let nothing = payouts.reopen(subject(&world)).await;
    assert!(matches!(nothing, Err(StoreError::NotFound { .. })), "{nothing:?}");
    let stranger = Payout { id: subject(&world), owner: world.owner("x").id, ..payout };
    let refused = payouts.request(&stranger).await;
    assert!(matches!(refused, Err(StoreError::NotFound { .. })), "{refused:?}");
}
