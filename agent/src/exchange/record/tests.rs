//! What stands in the ledger after an exchange, with and without its price book.

use super::*;
use crate::datadir::DataDir;
use crate::ledger::{LedgerParts, read};
use std::sync::Arc;
use weft_proto::entropy::SeededEntropy;
use weft_proto::ids::{AccountId, AgentId, ExchangeId, HubId, LeaseId};
use weft_proto::ledger::verify::Trust;
use weft_proto::ledger::{Body, Close};
use weft_proto::model::ModelPattern;
use weft_proto::money::{Ratio, UnitPrice};
use weft_proto::prices::{Draft, PriceBook, Prices, Row};
use weft_proto::provider::Provider;
use weft_proto::tables::routes;
use weft_proto::time::{Clock, SystemClock};
use weft_proto::usage::{Basis, Class};
use weft_proto::wire::head::{Terms, Ticket};

const ANSWER: &str = r#"{"model":"m","choices":[],"usage":{"prompt_tokens":1000,
    "completion_tokens":100}}"#;

struct World {
    _dir: tempfile::TempDir,
    data: DataDir,
    ledger: Ledger,
    book: Arc<PriceBook>,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("temporary directory");
        let data = DataDir::open(dir.path().join("agent")).expect("data");
        let entropy = SeededEntropy::new(7);
        let agent = AgentId::generate(&SystemClock, &entropy);
        let hub = HubId::generate(&SystemClock, &entropy);
        let clock = Arc::new(SystemClock);
        let parts = LedgerParts::of(&data, agent, hub, clock, &entropy, true).expect("parts");
        let price = |pico| UnitPrice::from_pico(pico).expect("a price");
        let prices =
            Prices::NONE.with(Class::Input, price(2_000_000)).with(Class::Output, price(8_000_000));
        let rows = vec![Row::new(Provider::OpenAi, ModelPattern::any(), prices)];
        let book = PriceBook::new(Draft { rows, ..Draft::default() }).expect("a book");
        Self {
            _dir: dir,
            data,
            ledger: Ledger::open(parts).expect("a ledger"),
            book: Arc::new(book),
        }
    }

    fn head(&self) -> RequestHead {
        let entropy = SeededEntropy::new(8);
        let exchange = ExchangeId::generate(&SystemClock, &entropy);
        let account = AccountId::generate(&SystemClock, &entropy);
        let mut ticket = Ticket::free(exchange, 1, account, SystemClock.now());
        ticket.mac = [3; 32];
        ticket.terms = Some(Terms {
            lease: LeaseId::generate(&SystemClock, &entropy),
            counter: 1,
            book: self.book.hash(),
            model: "gpt-x".to_owned(),
            place: None,
            tier: Ratio::from_ppm(800_000),
            cap: NanoUsd::new(9_000),
        });
        RequestHead {
            ticket,
            provider: Provider::OpenAi,
            method: http::Method::POST,
            target: "/v1/chat/completions".to_owned(),
            headers: HeaderMap::new(),
            head_within: Duration::ZERO,
            upgrade: false,
        }
    }

    async fn opened(&self) -> Record {
        let route = routes::find(Provider::OpenAi, &http::Method::POST, "/v1/chat/completions");
        let record = Record::default();
        record.open(&self.ledger, &self.head(), &route.expect("a route")).await.expect("opened");
        record
    }

    /// The one CLOSE.
    fn close(&self) -> Close {
        let mut closes = Vec::new();
        let reading = read::read(&self.data, Trust::default(), true, |entry| {
            if let Body::Close(close) = &entry.body {
                closes.push(close.clone());
            }
        });
        let reading = reading.expect("a ledger");
        assert!(reading.verifier.findings().is_empty(), "{:?}", reading.verifier.findings());
        assert_eq!(closes.len(), 1, "every OPEN has one CLOSE");
        closes.remove(0)
    }
}

fn answered(record: &Record, answer: &str) {
    record.sent(br#"{"messages":[{"content":"hello world"}],"model":"gpt-x"}"#);
    record.sent_whole();
    record.head(StatusCode::OK, &HeaderMap::new());
    record.came(Bytes::copy_from_slice(answer.as_bytes()));
}

const SERVED: Result<Served, Ended> = Ok(Served { status: 200, answer_bytes: 0 });

#[tokio::test(start_paused = true)]
async fn a_proper_end_claims_the_owners_share_of_the_list_price() {
    let world = World::new();
    let record = world.opened().await;
    answered(&record, ANSWER);
    let books = Books::default();
    books.keep(Arc::clone(&world.book));
    record.close(&books, &SERVED, None).await;
    let close = world.close();
    assert_eq!(close.end, End::Proper);
    assert_eq!((close.status, close.basis), (200, Basis::Reported));
    assert_eq!((close.usage.get(Class::Input), close.usage.get(Class::Output)), (1000, 100));
    assert_eq!(close.list, ListPrice::from_pico(2_800_000_000));
    assert_eq!(close.income, NanoUsd::new(2_240_000));
    assert_eq!(close.bytes_down, ANSWER.len() as u64);
}

#[tokio::test(start_paused = true)]
async fn a_stored_response_that_is_read_again_took_nothing_unless_the_hub_bills_it_by_that_reading()
{
    const STORED: &str = r#"{"id":"resp_1","object":"response","status":"completed","model":"m",
        "output":[],"usage":{"input_tokens":1000,"output_tokens":100,"total_tokens":1100}}"#;
    for (billed, units, income) in [(false, 0, 0), (true, 1000, 2_240_000)] {
        let world = World::new();
        let mut head = world.head();
        head.method = http::Method::GET;
        head.target = "/v1/responses/resp_1".to_owned();
        if !billed {
            (head.ticket.terms, head.ticket.mac) = (None, [0; 32]);
        }
        let route = routes::find(Provider::OpenAi, &head.method, &head.target).expect("a route");
        let record = Record::default();
        record.open(&world.ledger, &head, &route).await.expect("opened");
        record.sent_whole();
        record.head(StatusCode::OK, &HeaderMap::new());
        record.came(Bytes::from_static(STORED.as_bytes()));
        let books = Books::default();
        books.keep(Arc::clone(&world.book));
        record.close(&books, &SERVED, None).await;
        let close = world.close();
        assert_eq!((close.end, close.status), (End::Proper, 200));
        assert_eq!(close.usage.get(Class::Input), units, "billed: {billed}");
        assert_eq!(close.usage.is_none(), !billed);
        assert_eq!(close.income, NanoUsd::new(income));
    }
}

#[tokio::test(start_paused = true)]
async fn a_book_that_comes_late_is_waited_for() {
    let world = World::new();
    let record = world.opened().await;
    answered(&record, ANSWER);
    let books = Books::default();
    let coming = async {
        tokio::time::sleep(BOOK_WITHIN / 2).await;
        books.keep(Arc::clone(&world.book));
    };
    tokio::join!(record.close(&books, &SERVED, None), coming);
    assert_eq!(world.close().income, NanoUsd::new(2_240_000));
}

#[tokio::test(start_paused = true)]
async fn what_the_user_gave_up_before_any_answer_is_an_estimate_of_its_input() {
    let world = World::new();
    let record = world.opened().await;
    record.sent(br#"{"messages":[{"content":"hello world"}],"model":"gpt-x"}"#);
    record.sent_whole();
    let books = Books::default();
    books.keep(Arc::clone(&world.book));
    let gone = Err(Ended::new(AbortCode::UserAbort, "the hub stopped the answer"));
    record.close(&books, &gone, None).await;
    let close = world.close();
    assert_eq!(close.end, End::cut(AbortCode::UserAbort));
    assert_eq!(close.basis, Basis::Estimated);
    assert!((1..20).contains(&close.usage.get(Class::Input)), "{:?}", close.usage);
    assert_eq!(close.usage.output_total(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_piece_that_had_not_gone_on_counts_all_the_same() {
    let world = World::new();
    let record = world.opened().await;
    answered(
        &record,
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hello world\"}}]}\n\n",
    );
    let books = Books::default();
    books.keep(Arc::clone(&world.book));
    let cut = Err(Ended::new(AbortCode::Replaced, "the tunnel was lost"));
    record.close(&books, &cut, None).await;
    let close = world.close();
    assert_eq!((close.usage.get(Class::Output), close.basis), (2, Basis::Estimated));
    assert_eq!(close.end, End::cut(AbortCode::Replaced));
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_was_not_called_is_claimed_nothing_for() {
    let world = World::new();
    let record = world.opened().await;
    record.not_called();
    let ended = Err(Ended::new(AbortCode::NotSent, "the provider was not reached"));
    record.close(&Books::default(), &ended, None).await;
    let close = world.close();
    assert_eq!(close.end, End::cut(AbortCode::NotSent));
    assert_eq!((close.income, close.usage), (NanoUsd::ZERO, Usage::NONE));
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_dropped_closes_as_interrupted() {
    let world = World::new();
    let record = world.opened().await;
    answered(&record, ANSWER);
    drop(record);
    let close = world.close();
    assert_eq!((close.end, close.income), (End::Interrupted, NanoUsd::new(9_000)));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_early_leaves_what_the_provider_took_until_it_has_it_all() {
    let world = World::new();
    let record = world.opened().await;
    let nothing = record.taken().expect("nothing was taken yet");
    record.sent(br#"{"messages":[{"content":"hello "#);
    let half = record.taken().expect("not all of it");
    assert_ne!(half, nothing);
    record.sent(br#"world"}],"model":"gpt-x"}"#);
    assert_ne!(record.taken().expect("its end has not come"), half);
    record.sent_whole();
    assert_eq!(record.taken(), None);
}
