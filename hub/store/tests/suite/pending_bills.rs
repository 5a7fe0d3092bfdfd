//! Responses that are to be billed.

use crate::fixture::World;
use std::sync::Arc;
use weft_proto::ids::{AccountId, ExchangeId, OwnerId};
use weft_proto::model::ModelName;
use weft_proto::money::{NanoUsd, Ratio};
use weft_proto::objects::ObjectId;
use weft_proto::prices::BookHash;
use weft_proto::provider::Provider;
use weft_store::{Home, PageSize, PendingBill, Store};

fn bill(world: &World, response: &str) -> PendingBill {
    let ids: [u8; 32] = world.bytes();
    PendingBill {
        made_by: world.exchange_id(),
        home: Home {
            account: AccountId::from_slice(&ids[..16]).expect("16 bytes"),
            owner: OwnerId::from_slice(&ids[16..]).expect("16 bytes"),
        },
        response: ObjectId::parse(response).expect("an id"),
        provider: Provider::Azure,
        user: world.user_id(),
        key: world.key_id(),
        target: format!("/openai/v1/responses/{response}?api-version=preview"),
        model: ModelName::parse("gpt-4o").expect("a model"),
        book: BookHash::from_bytes(world.bytes()),
        priced_at: world.now(),
        zone: Ratio::from_ppm(1_250_000),
        held: NanoUsd::new(4_711),
        linked: true,
        billed_by: None,
        made_at: world.now(),
    }
}

pub(crate) async fn a_response_is_to_be_billed_once_until_it_is_closed(store: Arc<dyn Store>) {
    let world = World::new(1);
    let bills = store.pending_bills();
    let first = bill(&world, "resp_aB");
    assert!(bills.keep(&first).await.expect("kept"));
    assert!(!bills.keep(&first).await.expect("known"));
    // Another exchange that was answered with the same response: the provider did it once.
    let again = PendingBill { made_by: world.exchange_id(), ..first.clone() };
    assert!(!bills.keep(&again).await.expect("known"));
    let second = bill(&world, "resp_ab");
    assert!(bills.keep(&second).await.expect("another's"));
    let all = |after: Option<ExchangeId>| {
        let bills = Arc::clone(&bills);
        async move { bills.open(after, PageSize::default()).await.expect("listed") }
    };
    assert_eq!(all(None).await, [first.clone(), second.clone()]);
    assert_eq!(all(Some(first.made_by)).await, std::slice::from_ref(&second));

    let read = world.exchange_id();
    assert!(bills.bill_by(first.made_by, read).await.expect("said"));
    assert_eq!(all(None).await[0], PendingBill { billed_by: Some(read), ..first.clone() });
    assert!(bills.close_bill(first.made_by, world.now()).await.expect("closed"));
    assert!(!bills.close_bill(first.made_by, world.now()).await.expect("closed before"));
    assert!(!bills.bill_by(first.made_by, world.exchange_id()).await.expect("closed"));
    assert_eq!(all(None).await, std::slice::from_ref(&second));
    // What was billed is not billed again, until it is forgotten.
    assert!(!bills.keep(&again).await.expect("billed before"));
    assert_eq!(bills.forget(first.made_at).await.expect("looked"), 0);
    assert_eq!(bills.forget(world.now()).await.expect("forgotten"), 1);
    assert!(bills.keep(&again).await.expect("new"));
    assert_eq!(all(None).await.len(), 2);
}

pub(crate) async fn only_whose_response_it_is_owes_for_it(store: Arc<dyn Store>) {
    let world = World::new(2);
    let bill = bill(&world, "resp_1");
    let bills = store.pending_bills();
    let owes = async |user, response: &str| {
        let response = ObjectId::parse(response).expect("an id");
        bills.owes(user, &response).await.expect("looked")
    };
    assert!(!owes(bill.user, "resp_1").await);
    assert!(bills.keep(&bill).await.expect("kept"));
    assert!(owes(bill.user, "resp_1").await);
    assert!(!owes(bill.user, "resp_2").await);
    assert!(!owes(world.user_id(), "resp_1").await);
    assert!(bills.close_bill(bill.made_by, world.now()).await.expect("closed"));
    assert!(!owes(bill.user, "resp_1").await);
}
