//! Batches: their bound, and what their results come to.

use super::*;
use crate::exchange::later::Facts;
use weft_store::{BillKind, Home};

/// In USD for a million: small ones in bulk for half, and everything dearer above 1,000 tokens read.
const PRICES: &str = "provider,model,tier,above,input,output\n\
    anthropic,small*,standard batch:0.5,,2.00,8.00\n\
    anthropic,small*,standard batch:0.5,1000,4.00,16.00\n\
    anthropic,large*,standard batch:0.5,,20.00,80.00\n";

impl House {
    /// One with these prices, whose user has so many USD.
    async fn of_batches(usd: &str) -> Self {
        let house = Self::with(usd, |_| {}).await;
        let book = import::read(Format::Csv, PRICES.as_bytes(), Unread::Refuse).unwrap().book;
        let hash = book.hash();
        let pricing = &house.till.0.pricing;
        pricing.keep(book, Name::parse("somebody").unwrap()).await.unwrap();
        pricing.activate(hash).await.unwrap();
        house
    }

    async fn open_batch(&self, body: &str) -> Result<(ExchangeId, Option<Box<Tab>>), Refusal> {
        let path = "/v1/messages/batches";
        let provider = Provider::Anthropic;
        let route = routes::find(provider, &Method::POST, path).unwrap();
        let ask = Ask { provider, target: Target::parse(path).unwrap(), route };
        let reading = self.till.reading(&ask.route, &HeaderMap::new()).expect("batches cost");
        reading.feed(body.as_bytes());
        reading.finish();
        let exchange = ExchangeId::generate(&*self.clock, &*self.entropy);
        let places = &self.places;
        let order =
            Order { exchange, caller: &self.caller, ask: &ask, model: None, places, reading };
        Ok((exchange, self.till.open(order).await?))
    }

    /// The tab of the read that bills a batch, in the hands of an agent.
    async fn results_of(&self, facts: Facts, hold: Hold) -> (ExchangeId, Box<Tab>, PendingBill) {
        let served = self.served(1);
        let bill = PendingBill {
            made_by: facts.made_by,
            kind: BillKind::Batch,
            home: Home { account: served.account, owner: served.owner },
            response: weft_proto::objects::ObjectId::parse("msgbatch_1").unwrap(),
            provider: Provider::Anthropic,
            user: facts.payer.user,
            key: facts.payer.key,
            target: "/v1/messages/batches/msgbatch_1".to_owned(),
            model: facts.model,
            book: facts.book,
            priced_at: facts.priced_at,
            zone: facts.zone,
            held: facts.held,
            linked: false,
            billed_by: None,
            made_at: self.clock.now(),
        };
        let path = "/v1/messages/batches/msgbatch_1/results";
        let route = routes::find(Provider::Anthropic, &Method::GET, path).unwrap();
        let read = ExchangeId::generate(&*self.clock, &*self.entropy);
        let tab = self.till.reopen(&bill, &route, read, hold.for_exchange(read)).await;
        let mut tab = tab.expect("a tab");
        let quote = tab.quote_at(None).expect("a price");
        let ticket = tab.ticket(served, quote).expect("a journal");
        assert_eq!(ticket.terms.expect("terms").model, "large-1", "the dearest");
        (read, tab, bill)
    }
}

const BATCH: &str = r#"{"requests":[
    {"custom_id":"a","params":{"model":"small-1","max_tokens":100,"messages":[]}},
    {"custom_id":"b","params":{"model":"large-1","max_tokens":10,"messages":[]}}]}"#;

fn line(model: &str, input: u64, output: u64) -> String {
    format!(
        r#"{{"custom_id":"x","result":{{"type":"succeeded","message":{{"model":"{model}","usage":{{"input_tokens":{input},"output_tokens":{output}}}}}}}}}"#
    ) + "\n"
}

/// Makes the batch: what it will owe, and what is held for it.
async fn made(house: &House) -> (Facts, Hold) {
    let (exchange, tab) = house.open_batch(BATCH).await.expect("a hold");
    let mut tab = tab.expect("a tab");
    assert!(tab.asks_later());
    let facts = tab.facts().expect("facts");
    // 110 tokens written at half the price, and at most a token for each byte that is read.
    let written = 100 * 4_000 + 10 * 40_000;
    let (least, most) = (written, written + 50 * 1_000 + 200 * 10_000 + 200 * 2_000);
    assert!((least..most).contains(&facts.held.nanos()), "{}", facts.held);
    let quote = tab.quote_at(None).expect("a price");
    drop(tab.ticket(house.served(1), quote).expect("a journal"));
    tab.answers(StatusCode::OK, &json_answer());
    assert!(tab.sees(br#"{"id":"msgbatch_1","processing_status":"in_progress"}"#));
    tab.ended(EndReason::Complete);
    drop(tab);
    assert_eq!(house.settled(exchange).await.settlement.outlay.charge, NanoUsd::ZERO);
    let hold = house.till.later().held(exchange).expect("it is kept");
    assert_eq!(hold.amount(), facts.held);
    (facts, hold)
}

#[tokio::test]
async fn the_results_of_a_batch_are_charged_line_by_line_by_the_models_that_answered() {
    let house = House::of_batches("10.00").await;
    let (facts, hold) = made(&house).await;
    // As if its requests had been longer.
    let facts = Facts { held: NanoUsd::new(10_000_000), ..facts };
    let (read, mut tab, _) = house.results_of(facts, hold).await;
    tab.answers(StatusCode::OK, &HeaderMap::new());
    let lines = [
        line("small-1-20260101", 1_000, 10),
        line("small-1-20260101", 1_001, 1),
        line("large-1", 5, 2),
        line("unheard-of", 1, 0),
        r#"{"custom_id":"e","result":{"type":"errored","error":{}}}"#.to_owned(),
    ]
    .concat();
    for piece in lines.as_bytes().chunks(37) {
        assert!(tab.sees(piece), "nothing of it waits");
    }
    tab.ended(EndReason::Complete);
    drop(tab);
    let settlement = house.settled(read).await.settlement;
    // Half of the list; above 1,000 twice as much; what has no price like the dearest.
    let nanos =
        1_000 * 1_000 + 10 * 4_000 + 1_001 * 2_000 + 8_000 + 5 * 10_000 + 2 * 40_000 + 10_000;
    assert_eq!(settlement.outlay.charge.nanos(), nanos);
    assert_eq!(settlement.outlay.income.nanos(), nanos * 8 / 10);
    assert_eq!(settlement.metered.basis, Basis::Reported);
    assert_eq!(settlement.metered.service, ServiceTier::Batch.number());
    assert_eq!(settlement.metered.usage.get(Class::Input), 2_007);
}

#[tokio::test]
async fn results_that_say_more_than_was_held_for_their_batch_are_charged_at_that() {
    let house = House::of_batches("10.00").await;
    let (facts, hold) = made(&house).await;
    let bound = facts.held.nanos();
    let (read, mut tab, _) = house.results_of(facts, hold).await;
    tab.answers(StatusCode::OK, &HeaderMap::new());
    assert!(tab.sees(line("large-1", 900_000, 100_000).as_bytes()));
    tab.ended(EndReason::Complete);
    drop(tab);
    let settlement = house.settled(read).await.settlement;
    assert_eq!(settlement.outlay.charge.nanos(), bound);
    assert_eq!(settlement.outlay.income.nanos(), bound * 8 / 10);
    assert_eq!(settlement.metered.basis, Basis::Bounded);
    // What they said is written down all the same.
    assert_eq!(settlement.metered.usage.get(Class::Output), 100_000);
}

#[tokio::test]
async fn results_that_break_off_cost_nothing_and_what_is_gone_costs_its_bound_as_an_estimate() {
    let house = House::of_batches("10.00").await;
    let (facts, hold) = made(&house).await;
    let (read, mut tab, bill) = house.results_of(facts, hold).await;
    tab.answers(StatusCode::OK, &HeaderMap::new());
    assert!(tab.sees(line("small-1", 900, 10).as_bytes()));
    tab.ended(EndReason::UpstreamTruncated);
    drop(tab);
    let settlement = house.settled(read).await.settlement;
    assert_eq!(settlement.outlay.charge, NanoUsd::ZERO);
    assert!(settlement.metered.usage.is_none());

    let again = ExchangeId::generate(&*house.clock, &*house.entropy);
    let payer = Payer { user: bill.user, key: bill.key, limits: SpendLimits::default() };
    let hold = house.till.ledger().hold(&payer, again, bill.held).await.unwrap();
    let route = routes::find(Provider::Anthropic, &Method::GET, &bill.target).unwrap();
    let tab = house.till.reopen(&bill, &route, again, hold).await.expect("a tab");
    tab.owes_bound(bill.held);
    let settlement = house.settled(again).await.settlement;
    assert_eq!(settlement.outlay.charge, bill.held);
    assert_eq!(settlement.outlay.income, NanoUsd::ZERO);
    assert_eq!((settlement.served, settlement.metered.basis), (None, Basis::Estimated));
}

#[tokio::test]
async fn a_batch_without_a_bound_a_price_or_a_request_is_refused() {
    let house = House::of_batches("10.00").await;
    for (body, cause) in [
        (BATCH.replace("\"max_tokens\":10,", ""), "batch_unbounded"),
        (BATCH.replace("large-1", "unheard-of"), "model_not_priced"),
        (r#"{"requests":[]}"#.to_owned(), "batch_empty"),
        (BATCH.replace(":100,", ":999999999999999,"), "insufficient_credit"),
    ] {
        let refused = house.open_batch(&body).await.expect_err("refused");
        assert_eq!(refused.cause(), cause, "{body}");
    }
    let poor = House::of_batches("0.0001").await;
    let refused = poor.open_batch(BATCH).await.expect_err("refused");
    assert_eq!(refused.cause(), "insufficient_credit");
}
