//! Tabs over a real ledger in memory, from the hold to the row in the store.

mod batch;
mod cut;

use super::*;
use crate::auth::Auth;
use crate::auth::KeySecret;
use crate::config::{Money, OnAbort};
use crate::ledger;
use crate::ledger_key::LedgerKey;
use crate::lifecycle::Tasks;
use crate::pricing::import::{self, Format, Unread};
use crate::wallets::{CreditKind, Wallets};
use http::{HeaderValue, Method, StatusCode};
use std::net::{IpAddr, Ipv4Addr};
use tempfile::TempDir;
use weft_proto::codes::EndReason;
use weft_proto::entropy::{Entropy, SeededEntropy};
use weft_proto::ids::{AgentId, KeyId, UserId};
use weft_proto::meter::{AnswerFacts, AnswerMeter, Taken};
use weft_proto::provider::Provider;
use weft_proto::tables::routes;
use weft_proto::tables::target::Target;
use weft_proto::time::ManualClock;
use weft_store::{
    Agreed, Key, KeyHash, KeyHint, LedgerAccount, MemoryStore, ModelAllowList, Name, Networks,
    Outcome, Served, SpendLimits, Store, User,
};

/// A dollar for a million tokens read, four for a million written.
const PRICES: &str = "provider,model,place,input,output\nopenai,*,any regional:1.1,1.00,4.00\n";

/// A chat that may write ten tokens.
const CHAT: &str = r#"{"model":"m","max_tokens":10,"messages":[{"role":"user","content":"a b"}]}"#;

struct House {
    _dir: TempDir,
    store: Arc<MemoryStore>,
    till: Till,
    caller: Caller,
    tasks: Tasks,
    entropy: Arc<dyn Entropy>,
    clock: Arc<dyn Clock>,
    /// Where the accounts are.
    places: BTreeSet<Option<Label>>,
}

impl House {
    /// A till over a store whose one user has so many USD.
    async fn with(usd: &str, change: impl FnOnce(&mut Money)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp::from_secs(1_800_000_000)));
        let entropy: Arc<dyn Entropy> = Arc::new(SeededEntropy::new(7));
        let store = Arc::new(MemoryStore::new());
        let name = || Name::parse("somebody").unwrap();
        let user = User {
            id: UserId::generate(&*clock, &*entropy),
            name: name(),
            owner: None,
            zone: None,
            created_at: clock.now(),
            disabled: false,
        };
        store.users().create(&user).await.unwrap();
        let secret = KeySecret::generate(&*entropy);
        let key = Key {
            id: KeyId::generate(&*clock, &*entropy),
            user: user.id,
            label: name(),
            hash: KeyHash::new(secret.hash()),
            hint: KeyHint::of(&secret.expose()).unwrap(),
            models: ModelAllowList::Any,
            expires_at: None,
            networks: Networks::any(),
            zone: None,
            limits: SpendLimits::default(),
            created_at: clock.now(),
            revoked_at: None,
        };
        store.keys().create(&key).await.unwrap();
        let metrics = Metrics::new();
        let auth = Auth::new(store.keys(), 5, metrics.clone());
        let mut headers = HeaderMap::new();
        let bearer = format!("Bearer {}", secret.expose().as_str());
        headers.insert("authorization", HeaderValue::try_from(bearer).unwrap());
        let presented = Auth::presented(&headers).unwrap();
        let peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let caller = auth.admit(presented, peer, clock.now()).await.unwrap();

        let amount: NanoUsd = usd.parse().unwrap();
        if amount.is_positive() {
            let wallets = Wallets::new(&*store, Arc::clone(&clock), Arc::clone(&entropy));
            wallets.credit(&user, CreditKind::Deposit, amount, None).await.unwrap();
        }
        let mut money = Money::default();
        change(&mut money);
        let money = LiveMoney::new(money);
        let ledger_key = LedgerKey::open(dir.path(), &*entropy).unwrap();
        let pricing =
            Pricing::open(store.price_books(), ledger_key, Arc::clone(&clock)).await.unwrap();
        let book = import::read(Format::Csv, PRICES.as_bytes(), Unread::Refuse).unwrap().book;
        let hash = book.hash();
        pricing.keep(book, name()).await.unwrap();
        pricing.activate(hash).await.unwrap();
        let (ledger, keeper) = Ledger::open(ledger::Needs {
            store: store.ledger(),
            outcomes: store.outcomes(),
            dir: dir.path().join("ledger"),
            key: pricing.ledger_key().clone(),
            money: money.clone(),
            clock: Arc::clone(&clock),
            entropy: Arc::clone(&entropy),
            metrics: metrics.clone(),
            places: 64,
            durable: true,
        })
        .await
        .unwrap();
        let tasks = Tasks::new();
        keeper.start(&tasks);
        let till = Till::new(TillNeeds {
            ledger,
            pricing,
            terms: Terms::load(&*store).await.unwrap(),
            pending: store.pending_bills(),
            tickets: TicketSealer::open(dir.path(), &*entropy).unwrap(),
            money,
            metrics,
            clock: Arc::clone(&clock),
        });
        let places = BTreeSet::from([None]);
        Self { _dir: dir, store, till, caller, tasks, entropy, clock, places }
    }

    async fn rich() -> Self {
        Self::with("10.00", |_| {}).await
    }

    /// Opens the tab of a request with this body.
    async fn open(&self, body: &str) -> Result<(ExchangeId, Option<Box<Tab>>), Refusal> {
        self.opened(body, true).await
    }

    /// The same, where the body may go on.
    async fn opened(
        &self,
        body: &str,
        whole: bool,
    ) -> Result<(ExchangeId, Option<Box<Tab>>), Refusal> {
        let responds = body.contains("\"input\":");
        let path = if responds { "/v1/responses" } else { "/v1/chat/completions" };
        let target = Target::parse(path).unwrap();
        let route = routes::find(Provider::OpenAi, &Method::POST, path).unwrap();
        let ask = Ask { provider: Provider::OpenAi, target, route };
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let reading = self.till.reading(&ask.route, &headers).expect("chats cost");
        reading.feed(body.as_bytes());
        if whole {
            reading.finish();
        }
        let exchange = ExchangeId::generate(&*self.clock, &*self.entropy);
        let asked = reading.asked();
        let model = asked.model.as_deref();
        let places = &self.places;
        let order = Order { exchange, caller: &self.caller, ask: &ask, model, places, reading };
        Ok((exchange, self.till.open(order).await?))
    }

    /// The same, and hands it to an agent.
    async fn dispatched(&self, body: &str) -> (ExchangeId, Box<Tab>) {
        let (exchange, tab) = self.open(body).await.expect("a hold");
        let mut tab = tab.expect("a tab");
        let quote = tab.quote_at(self.places.iter().flatten().next()).expect("a price");
        let ticket = tab.ticket(self.served(1), quote).expect("a journal");
        let terms = ticket.terms.as_ref().expect("terms");
        assert!(terms.cap.is_positive() && self.till.0.tickets.holds(&ticket));
        (exchange, tab)
    }

    fn served(&self, attempt: u8) -> Served {
        Served {
            agent: AgentId::generate(&*self.clock, &*self.entropy),
            owner: OwnerId::generate(&*self.clock, &*self.entropy),
            account: AccountId::generate(&*self.clock, &*self.entropy),
            attempt,
        }
    }

    /// The settlement, once it is written.
    async fn settled(&self, exchange: ExchangeId) -> Agreed {
        for _ in 0..2_000 {
            if let Some(agreed) = self.store.ledger().settlement(exchange).await.unwrap() {
                return agreed;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("no settlement of {exchange}");
    }

    async fn balance(&self) -> NanoUsd {
        let paid = LedgerAccount::Paid(self.caller.user());
        self.store.ledger().balance(paid).await.unwrap().posted()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.tasks.stop();
    }
}

/// An answer of 3 tokens read and 2 written.
const ANSWER: &str = concat!(
    r#"{"id":"c","object":"chat.completion","model":"m","choices":[{"index":0,"finish_reason":"stop","#,
    r#""message":{"role":"assistant","content":"x y"}}],"#,
    r#""usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}"#
);

fn json_answer() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers
}

#[tokio::test]
async fn a_whole_answer_is_charged_as_the_provider_says_and_the_rest_of_the_hold_returns() {
    let house = House::rich().await;
    let (exchange, mut tab) = house.dispatched(CHAT).await;
    tab.answers(StatusCode::OK, &json_answer());
    assert!(tab.sees(ANSWER.as_bytes()));
    tab.ended(EndReason::Complete);
    drop(tab);
    let agreed = house.settled(exchange).await;
    let outlay = agreed.settlement.outlay;
    // 3 × 1 µUSD + 2 × 4 µUSD, of which the owner has 80 %.
    assert_eq!((outlay.charge.nanos(), outlay.income.nanos()), (11_000, 8_800));
    assert_eq!(agreed.settlement.metered.basis, Basis::Reported);
    assert_eq!(house.balance().await.nanos(), 10_000_000_000 - 11_000);
}

#[tokio::test]
async fn an_outcome_goes_with_its_settlement_and_comes_back_where_there_is_none() {
    let house = House::rich().await;
    let outcome = |exchange, end| {
        let (user, key) = (house.caller.user(), house.caller.key());
        let begun = Outcome::begun(exchange, user, key, house.clock.now());
        Box::new(Outcome { end, response_bytes: 7, ..begun })
    };
    let (exchange, mut tab) = house.dispatched(CHAT).await;
    tab.answers(StatusCode::OK, &json_answer());
    assert!(tab.sees(ANSWER.as_bytes()));
    let ended = outcome(exchange, EndReason::Complete);
    assert_eq!(tab.close(ended.clone()), None);
    assert_eq!(house.settled(exchange).await.settlement.end, EndReason::Complete);
    let row = house.store.outcomes().find(exchange).await.unwrap();
    assert_eq!(row.as_ref(), Some(&*ended), "it was there before its settlement");

    // Nobody was asked: nothing is settled, and whoever records the others records this one.
    let (exchange, tab) = house.open(CHAT).await.unwrap();
    let refused = outcome(exchange, EndReason::Refused);
    assert_eq!(tab.expect("a tab").close(refused.clone()), Some(refused));
    assert_eq!(house.store.outcomes().find(exchange).await.unwrap(), None);
}

#[tokio::test]
async fn an_account_of_a_region_is_paid_for_by_its_own_price_and_held_for_by_the_dearest() {
    let mut house = House::rich().await;
    let global = house.open(CHAT).await.unwrap().1.expect("a tab");
    house.places.insert(Label::parse("eu").ok());
    let (exchange, mut tab) = house.dispatched(CHAT).await;
    let amount = |tab: &Tab| tab.hold.as_ref().expect("a hold").amount().nanos();
    assert_eq!(amount(&tab) * 10, amount(&global) * 11);
    assert_eq!(tab.quote.place().map(Label::as_str), Some("eu"));
    tab.answers(StatusCode::OK, &json_answer());
    assert!(tab.sees(ANSWER.as_bytes()));
    tab.ended(EndReason::Complete);
    drop(tab);
    let outlay = house.settled(exchange).await.settlement.outlay;
    assert_eq!((outlay.charge.nanos(), outlay.income.nanos()), (12_100, 9_680));

    // Where the next attempt goes to an account of the global host, its ticket says so.
    let (exchange, mut tab) = house.dispatched(CHAT).await;
    tab.unsent();
    let quote = tab.quote_at(None).expect("a price");
    let ticket = tab.ticket(house.served(2), quote).expect("a journal");
    assert_eq!(ticket.terms.as_ref().expect("terms").place, None);
    tab.answers(StatusCode::OK, &json_answer());
    assert!(tab.sees(ANSWER.as_bytes()));
    tab.ended(EndReason::Complete);
    drop(tab);
    assert_eq!(house.settled(exchange).await.settlement.outlay.charge.nanos(), 11_000);
}

#[tokio::test]
async fn what_no_agent_was_asked_for_leaves_nothing_and_what_was_not_sent_costs_nothing() {
    let house = House::rich().await;
    let (never, tab) = house.open(CHAT).await.unwrap();
    drop(tab);
    let (unsent, mut tab) = house.dispatched(CHAT).await;
    tab.unsent();
    tab.ended(EndReason::Refused);
    drop(tab);
    assert_eq!(house.settled(unsent).await.settlement.outlay.charge, NanoUsd::ZERO);
    assert!(house.store.ledger().settlement(never).await.unwrap().is_none());
    assert_eq!(house.balance().await.nanos(), 10_000_000_000);
}

#[tokio::test]
async fn who_leaves_before_the_first_byte_pays_what_was_read_and_who_is_let_down_pays_nothing() {
    let house = House::rich().await;
    let mut charged = Vec::new();
    for end in [
        EndReason::UserAbort,
        EndReason::Deadline,
        EndReason::TunnelLost,
        EndReason::UpstreamUnreachable,
        EndReason::AgentFault,
        EndReason::Shutdown,
    ] {
        let (exchange, mut tab) = house.dispatched(CHAT).await;
        tab.ended(end);
        drop(tab);
        let settlement = house.settled(exchange).await.settlement;
        assert_eq!(settlement.end, end);
        charged.push(settlement.outlay.charge.is_positive());
    }
    assert_eq!(charged, [true, false, false, false, false, false]);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_charged_for_what_came_and_an_error_is_not() {
    let house = House::rich().await;
    let (cut, mut tab) = house.dispatched(CHAT).await;
    tab.answers(StatusCode::OK, &json_answer());
    assert!(tab.sees(&ANSWER.as_bytes()[..ANSWER.len() / 2]));
    tab.ended(EndReason::UpstreamTruncated);
    drop(tab);
    let settlement = house.settled(cut).await.settlement;
    assert!(settlement.outlay.charge.is_positive());
    assert_eq!(settlement.metered.basis, Basis::Estimated);

    let (error, mut tab) = house.dispatched(CHAT).await;
    tab.answers(StatusCode::TOO_MANY_REQUESTS, &json_answer());
    assert!(tab.sees(br#"{"error":{"message":"slow down"}}"#));
    tab.ended(EndReason::Complete);
    drop(tab);
    assert_eq!(house.settled(error).await.settlement.outlay.charge, NanoUsd::ZERO);
}

#[tokio::test]
async fn nobody_is_admitted_beyond_the_balance_and_each_refusal_says_what_helps() {
    let house = House::with("0.000170", |_| {}).await;
    let mut tabs = Vec::new();
    let refused = loop {
        match house.open(CHAT).await {
            Ok((_, tab)) => tabs.push(tab.expect("a tab")),
            Err(refused) => break refused,
        }
        assert!(tabs.len() < 100);
    };
    // What is held is never more than what there is, and nearly all of it.
    let held = tabs.iter().filter_map(|tab| tab.hold.as_ref()).map(|hold| hold.amount().nanos());
    let (count, sum) = (tabs.len() as i64, held.sum::<i64>());
    assert!(count >= 1 && sum <= 170_000 && sum + sum / count > 170_000, "{count} {sum}");
    assert_eq!(refused.cause(), "credit_held");
    drop(tabs);
    let poor = House::with("0", |_| {}).await;
    let refused = poor.open(CHAT).await.unwrap_err();
    assert_eq!(refused.cause(), "insufficient_credit");
    assert_eq!(refused.status(), StatusCode::PAYMENT_REQUIRED);
}

#[tokio::test]
async fn what_is_made_later_costs_nothing_at_first_and_keeps_what_was_held_for_it() {
    const LATER: &str = r#"{"model":"m","background":true,"max_output_tokens":10,"input":"a b"}"#;
    let queued = r#"{"id":"resp_1","status":"queued","background":true,"usage":null,"output":[]}"#;
    let house = House::with("0.000170", |_| {}).await;
    let (exchange, mut tab) = house.dispatched(LATER).await;
    assert!(tab.asks_later());
    let held = tab.hold.as_ref().expect("a hold").amount();
    tab.answers(StatusCode::OK, &json_answer());
    assert!(tab.sees(queued.as_bytes()));
    tab.ended(EndReason::Complete);
    drop(tab);
    let settled = house.settled(exchange).await.settlement;
    assert_eq!((settled.outlay.charge, settled.metered.basis), (NanoUsd::ZERO, Basis::Reported));
    // As many as the rest of the balance carries get in, and no more.
    let mut tabs = Vec::new();
    let refused = loop {
        match house.open(LATER).await {
            Ok((_, tab)) => tabs.push(tab.expect("a tab")),
            Err(refused) => break refused,
        }
        assert!(tabs.len() < 100);
    };
    assert_eq!(refused.cause(), "credit_held");
    let count = i64::try_from(tabs.len()).unwrap();
    assert!((count + 1) * held.nanos() <= 170_000, "{count} beside the one that is made");
}

#[tokio::test]
async fn a_stream_grows_its_hold_until_the_balance_is_spent() {
    let stream = r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"a"}]}"#;
    // Two steps of 1,024 tokens and a little more.
    let house = House::with("0.008300", |_| {}).await;
    let (exchange, mut tab) = house.dispatched(stream).await;
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    tab.answers(StatusCode::OK, &headers);
    let event = format!(
        "data: {{\"id\":\"c\",\"model\":\"m\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{}\"}}}}]}}\n\n",
        " weft".repeat(50)
    );
    let mut events = 0;
    let exhausted = loop {
        events += 1;
        assert!(events < 1_000, "nothing ends it");
        if !tab.sees(event.as_bytes()) && tab.carry().await.is_err() {
            break tab.carry().await.is_err();
        }
    };
    assert!(exhausted && events > 20, "{events}");
    tab.ended(EndReason::BalanceExhausted);
    drop(tab);
    let agreed = house.settled(exchange).await;
    assert!(agreed.settlement.outlay.charge.nanos() > 7_000_000, "{agreed:?}");
    assert!(house.balance().await.nanos() > -500_000_000, "no further than the overdraft");
}

#[tokio::test]
async fn what_has_no_price_and_what_would_hide_its_usage_are_refused_or_let_pass_as_set() {
    let nameless = CHAT.replace("\"m\"", "\"o3\"");
    let hiding = nameless.replace("\"max_tokens\":10", "\"stream\":true");
    let telling = hiding
        .replace("\"stream\":true", "\"stream\":true,\"stream_options\":{\"include_usage\":true}");
    let house = House::rich().await;
    let refused = house.open(&hiding).await.unwrap_err();
    assert_eq!(refused.cause(), "usage_hidden");
    assert!(house.open(&telling).await.unwrap().1.is_some());
    assert!(house.open(&nameless).await.unwrap().1.is_some(), "a whole answer tells its usage");
    let lenient = House::with("10.00", |money| money.hidden_output = HiddenOutput::Estimate).await;
    assert!(lenient.open(&hiding).await.unwrap().1.is_some());
}

#[tokio::test]
async fn the_last_figures_are_waited_for_behind_the_finish_marker_and_nowhere_before() {
    let stream =
        r#"{"model":"m","stream":true,"stream_options":{"include_usage":true},"messages":[]}"#;
    let house = House::rich().await;
    let (exchange, mut tab) = house.dispatched(stream).await;
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    tab.answers(StatusCode::OK, &headers);
    let head = r#"data: {"id":"c","model":"m","choices":[{"index":0,"delta":{"content":"x"},"finish_reason":"#;
    assert!(tab.sees(format!("{head}null}}]}}\n\n").as_bytes()));
    assert_eq!(tab.drains(EndReason::UserAbort), None);
    assert!(tab.sees(format!("{head}\"stop\"}}]}}\n\n").as_bytes()));
    assert_eq!(tab.drains(EndReason::UserAbort), Some(Duration::from_secs(2)));
    assert_eq!(tab.drains(EndReason::TunnelLost), None);
    // What the drain brings is what an answer that was taken would have cost.
    let usage = r#"data: {"id":"c","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}"#;
    assert!(tab.sees(format!("{usage}\n\ndata: [DONE]\n\n").as_bytes()));
    tab.ended(EndReason::UserAbort);
    drop(tab);
    let settlement = house.settled(exchange).await.settlement;
    assert_eq!(settlement.outlay.charge.nanos(), 11_000);
    assert_eq!(settlement.end, EndReason::UserAbort);
}

#[tokio::test]
async fn figures_that_come_before_the_last_content_do_not_end_a_drain() {
    let stream = r#"{"model":"m","stream":true,"messages":[]}"#;
    let house = House::rich().await;
    let (_, mut tab) = house.dispatched(stream).await;
    tab.on_abort = OnAbort::Drain;
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    tab.answers(StatusCode::OK, &headers);
    let begins = concat!(
        r#"data: {"id":"c","model":"m","choices":[{"index":0,"delta":{"content":"x"}}],"#,
        r#""usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}}"#,
    );
    assert!(tab.sees(format!("{begins}\n\n").as_bytes()));
    assert_eq!(tab.drains(EndReason::UserAbort), Some(Duration::from_secs(2)));
}

#[tokio::test]
async fn a_request_that_was_held_for_before_it_was_whole_is_held_for_as_it_turned_out() {
    // Enough for what is known of it at first, not for what it wants in the end.
    for (usd, served) in [("1.00", true), ("0.10", false)] {
        let house = House::with(usd, |_| {}).await;
        let (_, tab) =
            house.opened(r#"{"model":"m","messages":[{"content":"a"#, false).await.unwrap();
        let mut tab = tab.expect("a tab");
        let quote = tab.quote_at(None).expect("a price");
        tab.ticket(house.served(1), quote).expect("a journal");
        assert_eq!(tab.asked_whole().await, Ok(()), "it is not whole");
        let held = tab.hold.as_ref().expect("a hold").amount();
        tab.reading.feed(br#" b"}],"n":2,"max_tokens":100000}"#);
        tab.reading.finish();
        // 200,000 tokens at 4 USD for a million.
        assert_eq!(tab.asked_whole().await.is_ok(), served, "{usd}");
        let now = tab.hold.as_ref().expect("a hold").amount();
        assert_eq!(now.nanos() >= 800_000_000, served, "{held} {now}");
    }
}

#[tokio::test]
async fn a_session_that_reads_more_than_it_says_is_held_for_what_it_reads() {
    for (usd, served) in [("1.00", true), ("0.05", false)] {
        let house = House::with(usd, |_| {}).await;
        let target = Target::parse("/v1/realtime?model=m").unwrap();
        let route = routes::find(Provider::OpenAi, &Method::GET, "/v1/realtime").unwrap();
        let ask = Ask { provider: Provider::OpenAi, target, route };
        let reading = house.till.reading(&ask.route, &HeaderMap::new()).expect("sessions cost");
        let exchange = ExchangeId::generate(&*house.clock, &*house.entropy);
        let (caller, places, model) = (&house.caller, &house.places, Some("m"));
        let order = Order { exchange, caller, ask: &ask, model, places, reading };
        let mut tab = house.till.open(order).await.expect("a hold").expect("a tab");
        let quote = tab.quote_at(None).expect("a price");
        tab.ticket(house.served(1), quote).expect("a journal");
        tab.answers(StatusCode::SWITCHING_PROTOCOLS, &HeaderMap::new());
        let done = concat!(
            r#"{"type":"response.done","response":{"id":"r","status":"completed","#,
            r#""usage":{"input_tokens":100000,"output_tokens":10,"total_tokens":100010}}}"#,
        );
        let head = [0x81, 126, 0, u8::try_from(done.len()).expect("short")];
        assert!(!tab.sees(&[&head[..], done.as_bytes()].concat()), "it has cost 0.1 USD");
        assert_eq!(tab.carry().await.is_ok(), served, "{usd}");
    }
}

#[tokio::test]
async fn figures_that_cannot_have_been_are_settled_at_the_bound_and_marked() {
    let house = House::rich().await;
    let (exchange, mut tab) = house.dispatched(CHAT).await;
    tab.answers(StatusCode::OK, &json_answer());
    let told = ANSWER.replace("\"prompt_tokens\":3", "\"prompt_tokens\":7000000000");
    let told = told.replace("\"completion_tokens\":2", "\"completion_tokens\":6000000000");
    assert!(tab.sees(told.as_bytes()));
    tab.ended(EndReason::Complete);
    drop(tab);
    let settlement = house.settled(exchange).await.settlement;
    // A token a byte and what providers add; what was asked for and a little.
    let (read, written) = (CHAT.len() as u64 + 4_096, 10 + 64);
    let usage = Usage::NONE.with(Class::Input, read).with(Class::Output, written);
    assert_eq!(settlement.metered.usage, usage);
    assert_eq!(settlement.metered.basis, Basis::Bounded);
    let charge = i64::try_from(read * 1_000 + written * 4_000).unwrap();
    assert_eq!(settlement.outlay.charge.nanos(), charge);
    assert_eq!(settlement.outlay.income.nanos(), charge * 8 / 10);
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_charged_as_the_document_says() {
    const DOCUMENT: &str = include_str!("../../../docs/settlement.md");
    assert!(DOCUMENT.contains("a token of output for every four of its bytes"));
    let house = House::rich().await;
    let (exchange, mut tab) = house.dispatched(&CHAT.replace("\"max_tokens\":10,", "")).await;
    let estimate = tab.reading.asked().input_estimate;
    let mut headers = json_answer();
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("unheard-of"));
    tab.answers(StatusCode::OK, &headers);
    for _ in 0..10 {
        assert!(tab.sees(&[0x5a; 400]));
    }
    tab.ended(EndReason::Complete);
    drop(tab);
    let settlement = house.settled(exchange).await.settlement;
    let usage = Usage::NONE.with(Class::Input, estimate).with(Class::Output, 1_000);
    assert_eq!((settlement.metered.usage, settlement.metered.basis), (usage, Basis::Unmetered));
    let charge = i64::try_from(estimate * 1_000 + 1_000 * 4_000).unwrap();
    assert_eq!(settlement.outlay.charge.nanos(), charge);
}

#[tokio::test]
async fn of_an_early_answer_without_usage_both_ends_count_what_the_provider_took() {
    let house = House::rich().await;
    let body = CHAT.replace("a b", &"weft ".repeat(2_000));
    let (exchange, mut tab) = house.dispatched(&body).await;
    let route = routes::find(Provider::OpenAi, &Method::POST, "/v1/chat/completions").unwrap();
    let whole = tab.reading.asked().input_estimate;
    // The agent's end: half of it went out before the answer.
    let mut request = RequestMeter::new(&route, Some("application/json"), None);
    request.feed(&body.as_bytes()[..body.len() / 2]);
    let silent = ANSWER.split(r#","usage""#).next().map(|front| format!("{front}}}")).unwrap();
    let mut meter = AnswerMeter::new(&AnswerFacts::of(route.route, StatusCode::OK, &json_answer()));
    meter.feed(silent.as_bytes());
    let claimed = meter.end(request.asked(), true);

    tab.answers(StatusCode::OK, &json_answer());
    assert!(tab.sees(silent.as_bytes()));
    tab.took(Taken::of(request.asked()));
    tab.ended(EndReason::Complete);
    drop(tab);
    let metered = house.settled(exchange).await.settlement.metered;
    assert_eq!((metered.usage, metered.basis), (claimed.billed(), claimed.basis));
    let counted = metered.usage.get(Class::Input);
    assert!(counted > 500 && counted < whole * 6 / 10, "{counted} of {whole}");
}
