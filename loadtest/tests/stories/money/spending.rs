//! Spending: concurrent requests on a balance that does not carry them all.

use crate::talk::*;
use http::Method;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;
use weft_loadtest::mesh::world::{OWNER, World};
use weft_loadtest::mesh::{NewKey, Version};

/// Nano-USD in a USD.
const NANOS: i64 = 1_000_000_000;

/// A user of the world's house with so many USD, and a key.
fn spender(world: &World, usd: &str) -> NewKey {
    let words = ["user", "add", "spender", "--owner", OWNER, "--credit", usd];
    world.hub.ask(&words).expect("a user");
    world.hub.add_key("spender", &[]).expect("a key")
}

/// Decimal USD as nano-USD.
fn nanos(usd: &Value) -> i64 {
    let text = usd.as_str().expect("an amount");
    let (sign, text) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (whole, part) = text.split_once('.').expect("a decimal");
    let part: i64 = format!("{part:0<9}").parse().expect("decimals");
    sign * (whole.parse::<i64>().expect("USD") * NANOS + part)
}

/// The spender's paid balance, and what of it is held.
fn balance(world: &World) -> (i64, i64) {
    let listed = world.hub.ask(&["ledger", "balance", "--user", "spender"]).expect("balances");
    let rows = listed.as_array().expect("a list");
    let paid =
        rows.iter().find(|row| row["account"].as_str().is_some_and(|a| a.starts_with("paid")));
    let paid = paid.unwrap_or_else(|| panic!("no paid balance in {listed}"));
    (nanos(&paid["balance"]), nanos(&paid["held"]))
}

/// The balance, once nothing moves it any more.
async fn balance_at_rest(world: &World) -> i64 {
    let began = Instant::now();
    let mut last = balance(world);
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = balance(world);
        if now == last || began.elapsed() > LIMIT {
            return now.0;
        }
        last = now;
    }
}

/// Fails unless the hub's ledger agrees with itself.
fn verified(world: &World) {
    let verified = world.hub.ask(&["ledger", "verify"]).expect("a ledger that agrees");
    assert_eq!(verified["agrees"], true, "{verified}");
}

fn chat(key: &NewKey, body: &Value, sim: &str) -> Ask {
    Ask::bare(Method::POST, "/v1/chat/completions", body.to_string())
        .with("authorization", &format!("Bearer {}", key.secret))
        .sim(sim)
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_streams_spend_a_balance_to_its_end_and_are_cut_there_in_their_dialect() {
    let world = world().await;
    // Five holds of the first step, at 4 USD for a million tokens, and no more.
    let key = spender(&world, "0.021");
    let body = json!({
        "model": "gpt-4o", "stream": true, "messages": [{"role": "user", "content": "Weave."}],
    });
    let mut streams = JoinSet::new();
    for _ in 0..8 {
        let mut connection = connect(&world, Version::H2).await;
        let ask = chat(&key, &body, "pace=1ms,deltas=20000");
        streams.spawn(async move { ask.on(&mut connection).await });
    }
    let answers = streams.join_all().await;
    let (cut, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert!(!cut.is_empty() && cut.len() <= 5, "{} were admitted", cut.len());
    for answer in &cut {
        assert!(answer.broken.is_some(), "a stream beyond the balance looks whole");
        let event = answer.text().rsplit("data: ").next().expect("an event");
        let event: Value = serde_json::from_str(event.trim()).expect("an error event");
        assert_eq!(event["error"]["type"], "insufficient_quota", "{event}");
    }
    for answer in &refused {
        assert_eq!(answer.status, 402, "{}", answer.text());
        assert_eq!(answer.json()["error"]["code"], "insufficient_quota");
        // Running streams held it: to come back may help.
        assert!(answer.header("retry-after").is_some());
        assert!(answer.header("x-should-retry").is_none());
    }
    let left = balance_at_rest(&world).await;
    println!("{} streams left {left} nano-USD of 21000000", cut.len());
    assert!(left < 5_000_000, "{left} nano-USD could have been spent");
    assert!(left > -NANOS / 100, "{left} nano-USD: far beyond the balance");
    // What went beyond the balance nobody has paid: the owner's share of it waits.
    let listed = world.hub.ask(&["ledger", "balance", "--owner", OWNER]).expect("balances");
    let earned: i64 =
        listed.as_array().expect("a list").iter().map(|row| nanos(&row["balance"])).sum();
    assert!(earned * 10 <= 21_000_000 * 8, "{earned} nano-USD were earned of 21000000");
    let later = chat(&key, &body, "").over(&world, Version::H1).await;
    assert_eq!(later.status, 402, "{}", later.text());
    assert_eq!(later.header("x-should-retry"), Some("false"));
    assert!(later.header("retry-after").is_none());
    let rows = rows_when(&world, 9).await;
    let exhausted = rows.iter().filter(|row| row["end"] == "balance_exhausted").count();
    assert_eq!(exhausted, cut.len(), "{rows:?}");
    verified(&world);
    world.end().await.expect("a graceful end");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_requests_of_one_price_exactly_as_many_are_served_as_the_balance_is_worth() {
    const WORTH: usize = 25;
    const ASKED: usize = 100;
    let world = world().await;
    // Ten tokens for 40 µUSD, and what is read for nothing: a hold is what it comes to.
    let file = world.dir().join("fixed.csv");
    std::fs::write(&file, "provider,model,input,output\nopenai,*,0.00,4.00\n").expect("a file");
    let words = ["prices", "import", &file.display().to_string(), "--activate"];
    world.hub.ask(&words).expect("prices");
    let key = spender(&world, "0.001");
    let body = json!({
        "model": "gpt-4o", "max_tokens": 10, "messages": [{"role": "user", "content": "Weave."}],
    });
    let mut requests = JoinSet::new();
    for _ in 0..4 {
        let mut connection = connect(&world, Version::H2).await;
        let asks: Vec<_> =
            (0..ASKED / 4).map(|_| chat(&key, &body, "input=3,output=10,pace=5ms")).collect();
        requests.spawn(async move {
            let readings: Vec<_> =
                asks.iter().map(|ask| Reading::of(ask, &mut connection)).collect();
            let mut statuses = Vec::new();
            for reading in readings {
                statuses.push(reading.end().await.status);
            }
            statuses
        });
    }
    let statuses: Vec<u16> = requests.join_all().await.into_iter().flatten().collect();
    let of = |status| statuses.iter().filter(|one| **one == status).count();
    assert_eq!((of(200), of(402)), (WORTH, ASKED - WORTH), "{statuses:?}");
    let left = balance_at_rest(&world).await;
    assert_eq!(left, 0);
    assert_eq!(world.provider.received().len(), WORTH, "what is refused is never sent");
    verified(&world);
    world.end().await.expect("a graceful end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_without_a_price_is_refused_and_one_that_hides_its_usage_says_how_to_ask() {
    let world = world().await;
    let file = world.dir().join("few.csv");
    std::fs::write(&file, "provider,model,input,output\nopenai,o3,1.00,4.00\n").expect("a file");
    let words = ["prices", "import", &file.display().to_string(), "--activate"];
    world.hub.ask(&words).expect("prices");
    let key = spender(&world, "1.00");
    let body = |model: &str, more: Value| {
        let mut body = json!({"model": model, "messages": [{"role": "user", "content": "Hi"}]});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("more").clone());
        body
    };
    let unpriced = chat(&key, &body("gpt-4o", json!({})), "").over(&world, Version::H2).await;
    assert_eq!(unpriced.status, 403, "{}", unpriced.text());
    assert_eq!(unpriced.json()["error"]["code"], "model_not_priced");
    assert_eq!(unpriced.header("x-should-retry"), Some("false"));
    let hidden = body("o3", json!({"stream": true}));
    let hidden = chat(&key, &hidden, "").over(&world, Version::H2).await;
    assert_eq!(hidden.status, 400, "{}", hidden.text());
    assert!(hidden.text().contains("include_usage"), "{}", hidden.text());
    let told = body("o3", json!({"stream": true, "stream_options": {"include_usage": true}}));
    chat(&key, &told, "").over(&world, Version::H2).await.whole(200);
    assert_eq!(world.provider.received().len(), 1);
    verified(&world);
    world.end().await.expect("a graceful end");
}
