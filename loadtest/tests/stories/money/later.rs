//! What is billed once although it can be read often, and what is billed after its answer.

use super::books::{Books, agreed, agreed_within};
use super::prices::{activate, worth};
use crate::talk::*;
use http::Method;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::{Instant, timeout};
use weft_loadtest::mesh::Version;
use weft_loadtest::mesh::world::{USER, World};
use weft_loadtest::provider::Record;
use weft_proto::provider::Provider;
use weft_proto::usage::{Class, Usage};

fn asked(world: &World, body: &Value) -> Ask {
    Ask::post(world, "/v1/responses", body)
}

fn read(world: &World, method: Method, target: &str) -> Ask {
    Ask::bare(method, target, "").with("authorization", &format!("Bearer {}", world.key.secret))
}

fn charged(books: &Books) -> i128 {
    books.settled.values().map(|settled| settled.charge).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_response_is_billed_when_it_is_made_and_never_when_it_is_read_again() {
    let world = world().await;
    let body = json!({"model": "gpt-4o", "store": true, "input": "Weave."});
    let made = asked(&world, &body).sim("input=1000,output=100").over(&world, Version::H2).await;
    let made_id = made.whole(200).header("weft-request-id").expect("an id").to_owned();
    let usage = made.json()["usage"].clone();
    let target = format!("/v1/responses/{}", made.json()["id"].as_str().expect("an id"));
    let mut readings = Vec::new();
    for version in [Version::H1, Version::H2, Version::H2] {
        let again = read(&world, Method::GET, &target).over(&world, version).await;
        assert_eq!(again.whole(200).json()["usage"], usage, "the provider tells it again");
        readings.push(again.header("weft-request-id").expect("an id").to_owned());
    }

    let books = agreed(&world, &[USER]).await;
    assert_eq!(books.settled.len(), 1, "{:?}", books.settled);
    assert_eq!(books.settled[&made_id].tokens, (1000, 100));
    assert!(charged(&books) > 0);
    for reading in &readings {
        let closes: Vec<_> = books.closes(reading).collect();
        let [close] = closes.as_slice() else { panic!("{closes:?}") };
        assert!(close.usage.is_empty(), "{close:?}");
        assert_eq!((close.claimed, close.income), (0, 0), "{close:?}");
    }
    world.end().await.unwrap();
}

/// Asks for a response that is made later: the path under which it can be read, and what the
/// provider bills for it.
async fn asked_for_later(
    world: &World,
    target: &str,
    extra: &Value,
    sim: &str,
) -> (String, Record) {
    let mut body = json!({"model": "gpt-4o", "background": true, "input": "Weave."});
    for (key, value) in extra.as_object().expect("an object") {
        body[key] = value.clone();
    }
    let made = Ask::post(world, target, &body).sim(sim).over(world, Version::H2).await;
    made.whole(200);
    let told = made.json();
    assert_eq!((told["status"].as_str(), told["usage"].is_null()), (Some("queued"), true));
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let read = format!("{path}/{}?{query}", told["id"].as_str().expect("an id"));
    (read.trim_end_matches('?').to_owned(), last(world).await)
}

/// Waits until so many exchanges were charged, and both ledgers agree.
async fn charged_for(world: &World, exchanges: usize) -> Books {
    let began = Instant::now();
    loop {
        let books = Books::read(world, &[USER]);
        let paid = books.settled.values().filter(|settled| settled.charge > 0).count();
        if paid >= exchanges {
            return agreed_within(world, &[USER], LIMIT).await;
        }
        assert!(began.elapsed() < LIMIT, "{paid} of {exchanges} charged: {:#?}", books.settled);
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_background_response_is_billed_once_by_a_read_of_the_hubs_own_whoever_reads_it() {
    let world = world().await;
    activate(&world);
    let sim = "input=1000,output=100,cache_read=200,polls=2";
    let mut bills = Vec::new();
    for target in ["/v1/responses", "/azure/openai/v1/responses"] {
        let (read_at, record) = asked_for_later(&world, target, &json!({}), sim).await;
        bills.push(worth(&record.usage.expect("a bill"), 100));
        // The user looks as well, before it has ended and after.
        for version in VERSIONS {
            read(&world, Method::GET, &read_at).over(&world, version).await.whole(200);
        }
    }
    let books = charged_for(&world, 2).await;
    let mut paid: Vec<_> = books
        .settled
        .iter()
        .filter(|(_, settled)| settled.charge > 0)
        .map(|(id, settled)| (settled.charge, books.paid[id], settled.tokens))
        .collect();
    paid.sort_unstable();
    bills.sort_unstable();
    let wanted: Vec<_> =
        bills.iter().map(|(charge, income)| (*charge, *income, (1200, 100))).collect();
    assert_eq!(paid, wanted);
    // Two that asked, at nothing, and two that billed.
    assert_eq!(books.settled.len(), 4, "{:#?}", books.settled);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(charged(&agreed(&world, &[USER]).await), charged(&books), "and never again");
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_background_response_outlives_the_hub_that_asked_for_it() {
    let mut world = world().await;
    activate(&world);
    let sim = "input=700,output=30,polls=4";
    let (read_at, record) = asked_for_later(&world, "/v1/responses", &json!({}), sim).await;
    let (charge, _) = worth(&record.usage.expect("a bill"), 100);
    world.restart_hub().await.unwrap();
    world.hub.offers(Provider::ALL.len()).await.unwrap();
    let books = charged_for(&world, 1).await;
    assert_eq!(charged(&books), charge);
    // Once more, in the middle of nothing: what was billed is known.
    world.restart_hub().await.unwrap();
    world.hub.offers(Provider::ALL.len()).await.unwrap();
    read(&world, Method::GET, &read_at).over(&world, Version::H2).await.whole(200);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(charged(&agreed(&world, &[USER]).await), charge);
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_background_response_cannot_be_deleted_before_it_is_billed() {
    let world = world().await;
    activate(&world);
    let sim = "input=50,output=5,polls=6";
    let (read_at, _) = asked_for_later(&world, "/v1/responses", &json!({}), sim).await;
    let refused = read(&world, Method::DELETE, &read_at).over(&world, Version::H2).await;
    assert_eq!(refused.whole(400).json()["error"]["code"], "response_unbilled");
    let books = charged_for(&world, 1).await;
    let began = Instant::now();
    // The charge is there a moment before the bill is closed.
    while read(&world, Method::DELETE, &read_at).over(&world, Version::H2).await.status != 200 {
        assert!(began.elapsed() < LIMIT, "it is never deleted");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(charged(&agreed(&world, &[USER]).await), charged(&books));
    world.end().await.unwrap();
}

/// What a user is charged, and its owner is paid, for each exchange that costs something.
fn bills(books: &Books) -> Vec<(i128, i128)> {
    let paid = books.settled.iter().filter(|(_, settled)| settled.charge > 0);
    paid.map(|(id, settled)| (settled.charge, books.paid[id])).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_background_response_is_cancelled_for_nothing_and_streamed_again_at_no_cost() {
    let world = world().await;
    activate(&world);
    // Cancelled before it was made: nothing has been used, and nothing stays held.
    let (read_at, _) =
        asked_for_later(&world, "/v1/responses", &json!({}), "input=50,output=5,polls=1000").await;
    let cancel = format!("{read_at}/cancel");
    let cancelled = read(&world, Method::POST, &cancel).over(&world, Version::H2).await;
    assert_eq!(cancelled.whole(200).json()["status"], "cancelled");

    // Watched as a stream from where its user left it, and paid by the hub's own read alone.
    let sim = "input=300,output=20,polls=1";
    let (read_at, record) = asked_for_later(&world, "/v1/responses", &json!({}), sim).await;
    for after in [0, 3] {
        let target = format!("{read_at}?stream=true&starting_after={after}");
        let watched = read(&world, Method::GET, &target).over(&world, Version::H1).await;
        let events = watched.whole(200).text();
        assert!(events.contains(&format!("\"sequence_number\":{}", after + 1)), "{events}");
        assert!(!events.contains(&format!("\"sequence_number\":{after},")), "{events}");
        assert!(events.contains("event: response.completed") && events.contains("usage"));
    }
    let books = charged_for(&world, 1).await;
    assert_eq!(bills(&books), [worth(&record.usage.expect("a bill"), 100)]);
    let began = Instant::now();
    while Books::read(&world, &[USER]).held > 0 || !deleted(&world, &read_at).await {
        assert!(began.elapsed() < LIMIT, "something stays held, or owed");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert_eq!(bills(&agreed(&world, &[USER]).await), bills(&books), "and never again");
    world.end().await.unwrap();
}

async fn deleted(world: &World, at: &str) -> bool {
    let answer = read(world, Method::DELETE, at).over(world, Version::H2).await;
    answer.status == 200 || answer.status == 404
}

/// Asks for a stream, reads until its first words, and leaves: where its response can be read.
async fn left(world: &World, extra: &Value) -> String {
    let mut body = json!({"model": "gpt-4o", "stream": true, "input": "Weave."});
    for (key, value) in extra.as_object().expect("an object") {
        body[key] = value.clone();
    }
    let ask = asked(world, &body).sim("pace=20ms,deltas=400,input=1000,output=400");
    let mut connection = connect(world, Version::H1).await;
    let mut answer = connection.send(ask.request()).await.expect("an answer");
    let mut text = String::new();
    while !text.contains("response.output_text.delta") {
        let frame = timeout(LIMIT, answer.frame()).await.expect("in time").expect("more");
        let bytes = frame.expect("bytes").into_data().unwrap_or_default();
        text.push_str(&String::from_utf8_lossy(&bytes));
    }
    drop((answer, connection));
    let id = text.split("\"id\":\"").nth(1).and_then(|rest| rest.split('"').next());
    format!("/v1/responses/{}", id.expect("an id"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_answer_whose_response_can_be_read_again_is_billed_for_all_of_it_once() {
    let world = world().await;
    activate(&world);
    // Nobody can read it again: what was handed on is charged, and that is little.
    let read_at = left(&world, &json!({"store": false})).await;
    let bill = Usage::NONE.with(Class::Input, 1000).with(Class::Output, 400);
    let (whole, income) = worth(&bill, 100);
    let gone = read(&world, Method::GET, &read_at).over(&world, Version::H2).await;
    assert_eq!(gone.status, 404, "{}", gone.text());
    let books = charged_for(&world, 1).await;
    let settled: Vec<_> = books.settled.values().collect();
    let [cut] = settled.as_slice() else { panic!("{settled:?}") };
    assert!(cut.basis == "estimated" && cut.charge > 0 && cut.charge < whole, "{cut:?}");
    let little = charged(&books);

    let read_at = left(&world, &json!({})).await;
    let again = read(&world, Method::GET, &read_at).over(&world, Version::H2).await;
    assert_eq!(again.whole(200).json()["status"], "completed", "its user has all of it");
    let books = charged_for(&world, 2).await;
    assert_eq!(charged(&books) - little, whole, "{:#?}", books.settled);
    assert!(bills(&books).contains(&(whole, income)), "{:#?}", books.settled);
    // The answer itself, at nothing, and the read that billed it.
    assert_eq!(books.settled.len(), 3, "{:#?}", books.settled);
    read(&world, Method::GET, &read_at).over(&world, Version::H2).await.whole(200);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(charged(&agreed(&world, &[USER]).await), charged(&books), "and never again");
    world.end().await.unwrap();
}

/// Waits until so many reads of a response, the hub's own and others', have reached its provider.
async fn reads(world: &World, read_at: &str, count: usize) {
    let found = world.provider.wait_for(|records| {
        let reads = records.iter().filter(|r| r.method == "GET" && r.target.starts_with(read_at));
        (reads.count() >= count).then_some(())
    });
    timeout(LIMIT, found).await.expect("it is read");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_is_to_bill_and_dies_with_its_hub_or_agent_is_followed_by_one_that_does() {
    let mut world = world().await;
    activate(&world);
    let sim = "input=900,output=40,polls=1,reading=1s";
    let mut wanted = Vec::new();
    for hub in [true, false] {
        let (read_at, record) = asked_for_later(&world, "/v1/responses", &json!({}), sim).await;
        wanted.push(worth(&record.usage.expect("a bill"), 100));
        // In vain, then as it is, and then to bill it: that one waits at its provider.
        reads(&world, &read_at, 3).await;
        if hub {
            world.restart_hub().await.unwrap();
        } else {
            world.agents[0].process.kill();
            world.restart_agent(0).unwrap();
        }
        world.hub.offers(Provider::ALL.len()).await.unwrap();
        let books = charged_for(&world, wanted.len()).await;
        assert_eq!(bills(&books), wanted, "{:#?}", books.settled);
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(bills(&agreed(&world, &[USER]).await), wanted, "and never again");
    world.end().await.unwrap();
}
