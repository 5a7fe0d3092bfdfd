//! A user who leaves, and answers that break: what is charged is what `hub/docs/settlement.md` says,
//! and both ledgers say the same.

use super::books::{Books, agreed};
use super::prices::{activate, worth};
use crate::talk::*;
use bytes::Bytes;
use http::Method;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::timeout;
use weft_loadtest::mesh::world::{Plan, USER, World};
use weft_loadtest::mesh::{Connection, Version};
use weft_loadtest::provider::{Ending, Record};
use weft_proto::usage::Class;

/// A chat whose stream tells its usage, asked for under a name.
fn named(world: &World, name: &str, sim: &str) -> Ask {
    let body = json!({
        "model": "gpt-4o", "stream": true, "stream_options": {"include_usage": true},
        "messages": [{"role": "user", "content": "Say what a weft is – naïvely, in 三 words."}],
    });
    Ask::post(world, "/v1/chat/completions", &body).sim(sim).with("idempotency-key", name)
}

/// The record of what was asked for under `name`, once it is as `wanted` says.
async fn record_when(world: &World, name: &str, wanted: impl Fn(&Record) -> bool) -> Record {
    let found = world.provider.wait_for(|records| {
        let mut mine = records.iter().filter(|r| received(r, "idempotency-key") == Some(name));
        mine.next().filter(|record| wanted(record)).cloned()
    });
    timeout(LIMIT, found).await.expect("the phase is reached")
}

/// Asks, reads until `seen` stands in the answer (or the provider is at `at`, where nothing is to be
/// seen), and leaves. The exchange, where an answer had begun, and what the provider wrote down.
async fn leave(
    world: &World,
    ask: &Ask,
    name: &str,
    seen: Option<&str>,
    at: impl Fn(&Record) -> bool,
) -> Record {
    let mut connection = connect(world, Version::H1).await;
    let answer = connection.start(ask.request()).unwrap();
    match seen {
        None => {
            record_when(world, name, at).await;
            drop(answer);
        }
        Some(seen) => {
            let mut response = timeout(LIMIT, answer).await.unwrap().unwrap();
            let mut text = Vec::new();
            while !String::from_utf8_lossy(&text).contains(seen) {
                let frame = timeout(LIMIT, response.frame()).await.unwrap().expect("more");
                text.extend_from_slice(&frame.unwrap().into_data().unwrap_or_default());
            }
        }
    }
    drop(connection);
    record_when(world, name, |record| record.ending.is_some()).await
}

/// The one exchange that was settled since `before`.
fn newest(books: &Books, before: &Books) -> String {
    let mut new = books.settled.keys().filter(|id| !before.settled.contains_key(*id));
    let id = new.next().expect("a settlement").clone();
    assert_eq!(new.next(), None, "one exchange, one settlement");
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_leaves_pays_for_what_was_there_and_both_ledgers_say_how_much() {
    let world = world().await;
    activate(&world);
    let mut before = agreed(&world, &[USER]).await;

    // Before the first byte: what the provider was made to read.
    let ask = named(&world, "early", "stall-head");
    leave(&world, &ask, "early", None, |record| record.body_end_us.is_some()).await;
    let books = agreed(&world, &[USER]).await;
    let id = newest(&books, &before);
    let (settled, close) = (&books.settled[&id], books.closes(&id).next().unwrap());
    assert_eq!((settled.basis.as_str(), settled.tokens.1), ("estimated", 0), "{settled:?}");
    assert!(settled.tokens.0 > 0 && settled.charge > 0, "{settled:?}");
    assert!(close.income > 0 && close.end == "user_abort", "{close:?}");
    before = books;

    // In the middle: that, and what had come.
    let ask = named(&world, "middle", "pace=5ms,deltas=10000,input=21,output=10000");
    let record = leave(&world, &ask, "middle", Some("\"delta\":{\"content\""), |_| true).await;
    assert_eq!(record.ending, Some(Ending::ClientGone));
    let books = agreed(&world, &[USER]).await;
    let id = newest(&books, &before);
    let (settled, close) = (&books.settled[&id], books.closes(&id).next().unwrap());
    assert_eq!(settled.basis, "estimated", "{settled:?}");
    assert!(settled.tokens.1 > 0 && settled.tokens.1 < 10_000, "{settled:?}");
    assert!(close.claimed >= close.income && close.income > 0, "{close:?}");
    before = books;

    // Between the finish marker and the usage: the rest is read without a reader, and is exact.
    let ask = named(&world, "late", "pace=700ms,deltas=2,input=210,output=90");
    let record = leave(&world, &ask, "late", Some("\"finish_reason\":\"stop\""), |_| true).await;
    let books = agreed(&world, &[USER]).await;
    let id = newest(&books, &before);
    let (settled, close) = (&books.settled[&id], books.closes(&id).next().unwrap());
    let bill = record.usage.unwrap();
    assert_eq!((bill.get(Class::Input), bill.get(Class::Output)), (210, 90), "{record:?}");
    assert_eq!(settled.basis, "reported", "{settled:?} {record:?}");
    assert_eq!((settled.charge, close.income), worth(&bill, 100), "{close:?}");
    before = books;

    // There, and nothing more comes: the drain ends, and what was counted is charged.
    let ask = named(&world, "never", "stall,at=6,deltas=4,input=210,output=90");
    leave(&world, &ask, "never", Some("\"finish_reason\":\"stop\""), |_| true).await;
    let books = agreed(&world, &[USER]).await;
    let id = newest(&books, &before);
    let settled = &books.settled[&id];
    assert_eq!(settled.basis, "estimated", "{settled:?}");
    assert!(settled.charge > 0, "{settled:?}");
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_given_up_costs_nothing() {
    let world = world().await;
    let mut connection: Connection = connect(&world, Version::H1).await;
    let (upload, mut pieces) = mpsc::channel::<Bytes>(4);
    let begun = format!("{{\"model\":\"gpt-4o\",\"messages\":[],\"x\":\"{}", "A".repeat(300_000));
    upload.send(begun.into()).await.unwrap();
    let stream = futures_util::stream::poll_fn(move |cx| {
        pieces.poll_recv(cx).map(|piece| piece.map(|bytes| Ok(Frame::data(bytes))))
    });
    let ask = Ask::bare(Method::POST, "/v1/chat/completions", "{}")
        .with("authorization", &format!("Bearer {}", world.key.secret));
    let answer = connection.start(ask.request_with(BodyExt::boxed(StreamBody::new(stream))));
    let answer = answer.unwrap();
    let mut running = tokio::task::JoinSet::new();
    running.spawn(answer);
    let found = async {
        while !world.provider.received().iter().any(|record| record.body_bytes > 0) {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    timeout(LIMIT, found).await.expect("some of it arrives");
    drop((running, connection, upload));
    let rows = rows_when(&world, 1).await;
    assert_eq!(rows[0]["end"], "user_abort", "{rows:?}");
    let books = agreed(&world, &[USER]).await;
    assert_eq!(books.left, books.given, "{:?}", books.settled);
    assert_eq!(books.income, 0, "{:?}", books.closed);
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_break_are_charged_alike_at_both_ends() {
    let world = begin(Plan { hub: vec![("WEFT_LIMITS__HEAD_SECONDS", "5")], ..Plan::default() });
    let world = world.await;
    activate(&world);
    let mut asks = 0;
    for fault in ["cut", "reset", "error-event", "cut-length", "reset-head", "close-head"] {
        for at in [1, 5] {
            let sim = format!("{fault},at={at},deltas=8,input=77,output=33");
            for ask in [
                named(&world, "broken", &sim),
                Ask::chat(&world, false, &sim),
                Ask::message(&world, true, &sim),
            ] {
                let answer = ask.over(&world, VERSIONS[asks % 2]).await;
                assert!(answer.status != 402, "{}", answer.text());
                asks += 1;
            }
        }
    }
    let books = agreed(&world, &[USER]).await;
    assert!(books.income > 0 && books.left < books.given);
    for (id, settled) in &books.settled {
        let income = books.paid.get(id).copied().unwrap_or_default();
        assert!(settled.charge >= income, "{id}: {settled:?} pays {income}");
    }
    world.end().await.unwrap();
}
