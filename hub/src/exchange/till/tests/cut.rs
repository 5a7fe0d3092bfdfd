//! Answers that were cut although their provider keeps the response.

use super::*;
use crate::exchange::later::Owing;
use crate::ledger::UserLeg;
use weft_proto::objects::ObjectId;
use weft_store::{Home, PendingBill};

const STREAM: &str = r#"{"model":"m","stream":true,"input":"a"}"#;

const TOLD: &str = concat!(
    "event: response.created\n",
    r#"data: {"type":"response.created","response":{"id":"resp_1","status":"in_progress","#,
    r#""model":"m","output":[],"usage":null}}"#,
    "\n\nevent: response.output_text.delta\n",
    r#"data: {"type":"response.output_text.delta","output_index":0,"delta":" weft weft weft"}"#,
    "\n\n",
);

fn response() -> ObjectId {
    ObjectId::parse("resp_1").expect("an id")
}

impl House {
    /// An answer whose user leaves after its first words, and the bill of its response.
    async fn cut(&self) -> (ExchangeId, PendingBill) {
        let (exchange, mut tab) = self.dispatched(STREAM).await;
        let asked_at = Target::parse("/v1/responses").expect("a target");
        let mut owing = Owing::of(&tab, Provider::OpenAi, &asked_at).expect("it can be read");
        owing.is_due_where(false);
        let served = self.served(1);
        let home = Home { account: served.account, owner: served.owner };
        owing.known(home, response(), self.clock.now());
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        tab.answers(StatusCode::OK, &headers);
        assert!(tab.sees(TOLD.as_bytes()));
        tab.ended(EndReason::UserAbort);
        drop(tab);
        (exchange, owing.bill(home, response(), self.clock.now()).expect("a bill"))
    }

    async fn owes(&self) -> bool {
        self.till.later().owes(self.caller.user(), &response()).await.expect("looked")
    }
}

#[tokio::test]
async fn a_cut_answer_is_charged_by_what_was_handed_on_where_nobody_can_ask_for_more() {
    let house = House::rich().await;
    let (exchange, _) = house.cut().await;
    let at_once = house.settled(exchange).await.settlement;
    assert!(at_once.outlay.charge.is_positive() && at_once.metered.basis == Basis::Estimated);
    assert!(!house.owes().await);

    // Nor where the hub stops before it was asked for.
    let waits = house.till.later().takes_cuts();
    let (exchange, _) = house.cut().await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(house.store.ledger().settlement(exchange).await.unwrap(), None);
    assert!(house.owes().await, "it cannot be deleted meanwhile");
    drop(waits);
    let then = house.settled(exchange).await.settlement;
    assert_eq!((then.outlay, then.end), (at_once.outlay, EndReason::UserAbort));
}

#[tokio::test]
async fn a_cut_answer_costs_nothing_where_a_read_bills_its_response_with_what_it_held() {
    let house = House::rich().await;
    let _waits = house.till.later().takes_cuts();
    let (exchange, bill) = house.cut().await;
    let cut = house.till.later().take_cut(&bill).expect("it waits");
    let hold = cut.give_up().expect("a hold");
    assert_eq!(hold.amount(), bill.held);
    let agreed = house.settled(exchange).await;
    let metered = &agreed.settlement.metered;
    assert_eq!(agreed.settlement.outlay, weft_store::Outlay::NONE);
    assert!(metered.usage.is_none() && agreed.settlement.served.is_some(), "{agreed:?}");
    assert_eq!(house.balance().await, "10.00".parse().unwrap());
}

#[tokio::test]
async fn what_was_used_is_owed_by_a_balance_that_has_nothing_left() {
    let house = House::with("0", |_| {}).await;
    let (user, key) = (house.caller.user(), house.caller.key());
    let payer = Payer { user, key, limits: SpendLimits::default() };
    let read = ExchangeId::generate(&*house.clock, &*house.entropy);
    assert!(house.till.ledger().hold(&payer, read, NanoUsd::new(1)).await.is_err());
    let hold = house.till.ledger().owe(&payer, read).await.expect("admitted");
    let charge = NanoUsd::new(7_000);
    hold.settle(UserLeg {
        served: Some(house.served(1)),
        metered: weft_store::Metered {
            provider: None,
            model: None,
            usage: Usage::NONE.with(Class::Output, 7),
            basis: Basis::Reported,
            service: 0,
            geo: 0,
            book: None,
            priced_at: house.clock.now(),
            zone: Ratio::ONE,
            tier: Ratio::ZERO,
        },
        end: EndReason::Complete,
        outlay: weft_store::Outlay { charge, ..weft_store::Outlay::NONE },
        linked: false,
    });
    assert_eq!(house.settled(read).await.loss, NanoUsd::ZERO);
    assert_eq!(house.balance().await, NanoUsd::new(-7_000));
}

#[tokio::test]
async fn no_more_is_asked_for_than_can_be_waited_for() {
    const LATER: &str = r#"{"model":"m","background":true,"input":"a"}"#;
    let house = House::rich().await;
    let waits = house.till.later().takes_cuts();
    let (_, bill) = house.cut().await;
    let as_many_as_can_be = vec![bill; 1_024];
    assert!(house.till.later().of_others(&as_many_as_can_be).is_empty());
    let refused = house.open(LATER).await.expect_err("nobody could look after it");
    assert_eq!(refused.cause(), "later_full");
    // What is cut then is charged at once.
    let (exchange, _) = house.cut().await;
    assert!(house.settled(exchange).await.settlement.outlay.charge.is_positive());
    assert!(house.till.later().of_others(&[]).is_empty());
    assert!(house.open(LATER).await.expect("there is room again").1.is_some());
    drop(waits);
}
