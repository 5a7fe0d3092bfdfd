//! What is to be billed later.

use crate::fixture::World;
use crate::ledger::{Till, USD, outlay};
use futures_util::future::join_all;
use std::sync::Arc;
use std::time::Duration;
use weft_proto::ids::{AccountId, ExchangeId, NodeId, OwnerId};
use weft_proto::model::ModelName;
use weft_proto::money::{NanoUsd, Ratio};
use weft_proto::objects::ObjectId;
use weft_proto::prices::BookHash;
use weft_proto::provider::Provider;
use weft_proto::usage::Usage;
use weft_store::{
    Bearer, BillKind, Home, Outlay, PageSize, PendingBill, PendingBills, Posting, Settled, Store,
    Tending,
};

const MINUTE: Duration = Duration::from_secs(60);

fn bill(world: &World, response: &str) -> PendingBill {
    let ids: [u8; 32] = world.bytes();
    PendingBill {
        made_by: world.exchange_id(),
        kind: BillKind::Response,
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

/// A node that looks after bills for a minute.
fn node(world: &World) -> Tending {
    let at = world.now();
    let node = NodeId::from_slice(&world.bytes()[..16]).expect("an id");
    Tending { node, at, until: at.after(MINUTE) }
}

/// The same node, so much later.
fn later(tending: &Tending, after: Duration) -> Tending {
    let at = tending.at.after(after);
    Tending { at, until: at.after(MINUTE), ..*tending }
}

async fn tended(bills: &Arc<dyn PendingBills>, tending: &Tending) -> Vec<ExchangeId> {
    let bills = bills.tend(tending, None, PageSize::default()).await.expect("listed");
    bills.into_iter().map(|bill| bill.made_by).collect()
}

pub(crate) async fn a_response_is_to_be_billed_once_until_it_is_closed(store: Arc<dyn Store>) {
    let world = World::new(1);
    let ours = node(&world);
    let bills = store.pending_bills();
    let first = bill(&world, "resp_aB");
    assert!(bills.keep(&first, &ours).await.expect("kept"));
    assert!(!bills.keep(&first, &ours).await.expect("known"));
    // Another exchange that was answered with the same response: the provider did it once.
    let again = PendingBill { made_by: world.exchange_id(), ..first.clone() };
    assert!(!bills.keep(&again, &ours).await.expect("known"));
    let second = PendingBill { kind: BillKind::Batch, ..bill(&world, "batch_ab") };
    assert!(bills.keep(&second, &ours).await.expect("another's"));
    let all = |after: Option<ExchangeId>| {
        let bills = Arc::clone(&bills);
        async move { bills.open(after, PageSize::default()).await.expect("listed") }
    };
    assert_eq!(all(None).await, [first.clone(), second.clone()]);
    assert_eq!(all(Some(first.made_by)).await, std::slice::from_ref(&second));

    assert!(bills.close_bill(first.made_by, world.now()).await.expect("closed"));
    assert!(!bills.close_bill(first.made_by, world.now()).await.expect("closed before"));
    assert_eq!(all(None).await, std::slice::from_ref(&second));
    // What was billed is not billed again, until it is forgotten.
    assert!(!bills.keep(&again, &ours).await.expect("billed before"));
    assert_eq!(bills.forget(first.made_at).await.expect("looked"), 0);
    assert_eq!(bills.forget(world.now()).await.expect("forgotten"), 1);
    assert!(bills.keep(&again, &ours).await.expect("new"));
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
    assert!(bills.keep(&bill, &node(&world)).await.expect("kept"));
    assert!(owes(bill.user, "resp_1").await);
    assert!(!owes(bill.user, "resp_2").await);
    assert!(!owes(world.user_id(), "resp_1").await);
    assert!(bills.close_bill(bill.made_by, world.now()).await.expect("closed"));
    assert!(!owes(bill.user, "resp_1").await);
}

impl Till {
    /// What settles `exchange` at nothing.
    async fn nothing(&self, exchange: ExchangeId) -> Posting {
        let mut posting = self.posting(self.user(USD).await, Outlay::NONE, vec![]);
        posting.settlement.exchange = exchange;
        posting.settlement.metered.usage = Usage::NONE;
        posting
    }
}

pub(crate) async fn a_second_read_is_named_only_once_the_first_is_settled_at_nothing(
    store: Arc<dyn Store>,
) {
    let till = Till::new(3, &store);
    let world = &till.world;
    let (bills, ours, bill) = (store.pending_bills(), node(world), bill(world, "resp_1"));
    assert!(bills.keep(&bill, &ours).await.expect("kept"));
    let made_by = bill.made_by;
    let names =
        async |before, read| bills.bill_by(made_by, before, read, &ours).await.expect("an answer");
    let (first, second) = (world.exchange_id(), world.exchange_id());
    assert!(!names(made_by, first).await, "the exchange that asked may still be charged");
    assert_eq!(till.settled(&till.nothing(made_by).await).await, FRESH);
    assert!(names(made_by, first).await);
    assert!(!names(made_by, second).await, "another read is named");
    assert!(!names(first, second).await, "nobody knows what became of it");
    assert_eq!(till.settled(&till.nothing(first).await).await, FRESH);
    assert!(names(first, second).await);
    let open = bills.open(None, PageSize::default()).await.expect("listed");
    assert_eq!(open, [PendingBill { billed_by: Some(second), ..bill.clone() }]);

    // What is settled at something has billed it: no other read is named, ever.
    let mut charged = till.posting(till.user(USD).await, outlay(1_000, 800, 1), vec![]);
    charged.settlement.exchange = second;
    assert!(matches!(till.settled(&charged).await, Settled::Fresh { .. }));
    assert!(!names(second, world.exchange_id()).await);
    // Nor where it cost nothing, or the hub bears it.
    let hubs = Outlay { bearer: Bearer::Hub, ..outlay(0, 800, 0) };
    for (index, outlay) in [Outlay::NONE, hubs].into_iter().enumerate() {
        let bill = self::bill(world, &format!("resp_1{index}"));
        assert!(bills.keep(&bill, &ours).await.expect("kept"));
        let mut used = till.posting(till.user(USD).await, outlay, vec![]);
        used.settlement.exchange = bill.made_by;
        assert_eq!(till.settled(&used).await, FRESH);
        let (made_by, read) = (bill.made_by, world.exchange_id());
        assert!(!bills.bill_by(made_by, made_by, read, &ours).await.expect("an answer"));
    }
    assert!(bills.close_bill(made_by, world.now()).await.expect("closed"));
    till.agrees().await;
}

const FRESH: Settled = Settled::Fresh {
    loss: weft_proto::money::NanoUsd::ZERO,
    overrun: weft_proto::money::NanoUsd::ZERO,
};

pub(crate) async fn of_many_reads_at_once_one_is_named(store: Arc<dyn Store>) {
    let till = Till::new(4, &store);
    let world = &till.world;
    let (bills, ours, bill) = (store.pending_bills(), node(world), bill(world, "resp_1"));
    assert!(bills.keep(&bill, &ours).await.expect("kept"));
    till.settled(&till.nothing(bill.made_by).await).await;
    let reads: Vec<_> = (0..8).map(|_| world.exchange_id()).collect();
    let named = reads.iter().map(|read| bills.bill_by(bill.made_by, bill.made_by, *read, &ours));
    let named = join_all(named).await.into_iter().map(|named| named.expect("an answer"));
    let named: Vec<_> = reads.iter().zip(named).filter(|(_, named)| *named).collect();
    let [(read, _)] = named.as_slice() else { panic!("{named:?}") };
    let open = bills.open(None, PageSize::default()).await.expect("listed");
    assert_eq!(open[0].billed_by, Some(**read));
}

pub(crate) async fn one_node_looks_after_a_bill_until_its_time_is_over(store: Arc<dyn Store>) {
    let till = Till::new(5, &store);
    let world = &till.world;
    let bills = store.pending_bills();
    let (ours, theirs) = (node(world), node(world));
    let (one, two) = (bill(world, "resp_1"), bill(world, "resp_2"));
    for (bill, node) in [(&one, &ours), (&two, &theirs)] {
        assert!(bills.keep(bill, node).await.expect("kept"));
        till.settled(&till.nothing(bill.made_by).await).await;
    }
    assert_eq!(tended(&bills, &ours).await, [one.made_by]);
    assert_eq!(tended(&bills, &theirs).await, [two.made_by]);
    // What another looks after is not for this node to bill.
    let read = world.exchange_id();
    let named = bills.bill_by(two.made_by, two.made_by, read, &ours).await.expect("an answer");
    assert!(!named);
    // Whoever goes on keeps what it has; whoever does not, loses it.
    assert_eq!(tended(&bills, &later(&ours, MINUTE / 2)).await, [one.made_by]);
    let now = later(&ours, MINUTE + MINUTE / 4);
    assert_eq!(tended(&bills, &now).await, [one.made_by, two.made_by]);
    let late = later(&theirs, MINUTE + MINUTE / 4);
    assert_eq!(tended(&bills, &late).await, []);
    let named = bills.bill_by(two.made_by, two.made_by, read, &late).await.expect("an answer");
    assert!(!named, "it came back too late");
    assert!(bills.bill_by(two.made_by, two.made_by, read, &now).await.expect("an answer"));
    let page = bills.tend(&now, Some(one.made_by), PageSize::clamped(1)).await.expect("listed");
    assert_eq!(page, [PendingBill { billed_by: Some(read), ..two.clone() }]);
    assert!(bills.close_bill(one.made_by, world.now()).await.expect("closed"));
    assert_eq!(tended(&bills, &now).await, [two.made_by]);
}
