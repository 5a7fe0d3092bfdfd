//! Every dialect and every shape of an answer: the provider's own bill, the hub's settlement and the
//! agent's entry are the same to the unit, and the money is what the prices make of it by hand.

use super::books::{Books, agreed};
use super::prices::{activate, worth};
use crate::talk::*;
use crate::websocket::user::Wish;
use http::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use weft_loadtest::mesh::Version;
use weft_loadtest::mesh::world::{USER, World};
use weft_loadtest::provider::Record;
use weft_loadtest::provider::websocket::frame::Frame;

/// One request, and the part of the price that its tier costs.
struct Shape {
    name: &'static str,
    ask: Ask,
    percent: i128,
    basis: &'static str,
}

fn shape(name: &'static str, ask: Ask) -> Shape {
    Shape { name, ask, percent: 100, basis: "reported" }
}

fn said() -> Value {
    json!([{"role": "user", "content": "Say what a weft is – naïvely, in 三 words."}])
}

/// A body whose stream tells its usage where it is one.
fn chat(model: &str, stream: bool) -> Value {
    let mut body = json!({"model": model, "stream": stream, "messages": said()});
    if stream {
        body["stream_options"] = json!({"include_usage": true});
    }
    body
}

fn message(world: &World, target: &str, model: &str, stream: bool) -> Ask {
    let body = json!({"model": model, "max_tokens": 64, "stream": stream, "messages": said()});
    Ask::bare(Method::POST, target, body.to_string())
        .with("x-api-key", &world.key.secret)
        .with("anthropic-version", "2023-06-01")
}

fn response(world: &World, target: &str, stream: bool) -> Ask {
    let body = json!({"model": "gpt-4o", "stream": stream, "store": false, "input": "Weave."});
    Ask::post(world, target, &body)
}

/// The same, offering a search: what was not offered was not called, whatever an answer says.
fn response_that_searches(world: &World, stream: bool) -> Ask {
    let body = json!({
        "model": "gpt-4o", "stream": stream, "store": false, "input": "Weave.",
        "tools": [{"type": "web_search"}],
    });
    Ask::post(world, "/v1/responses", &body)
}

fn message_that_searches(world: &World) -> Ask {
    let body = json!({
        "model": "claude-sonnet-5", "max_tokens": 64, "stream": true, "messages": said(),
        "tools": [{"type": "web_search_20250305", "name": "web_search"}],
    });
    Ask::bare(Method::POST, "/v1/messages", body.to_string())
        .with("x-api-key", &world.key.secret)
        .with("anthropic-version", "2023-06-01")
}

/// Chats, of all who speak that dialect.
fn chats(world: &World) -> Vec<Shape> {
    let post = |target: &str, body: &Value| Ask::post(world, target, body);
    let (openai, azure) = ("/v1/chat/completions", "/azure/openai/v1/chat/completions");
    let spent = "input=101,cache_read=17,output=7,reasoning=5";
    vec![
        shape("chat", post(openai, &chat("gpt-4o", false)).sim(spent)),
        shape("chat, as it comes", post(openai, &chat("gpt-4o", false)).sim("deltas=33")),
        shape("chat, streamed", post(openai, &chat("gpt-4o", true)).sim(spent)),
        shape(
            "chat, streamed in crumbs",
            post(openai, &chat("gpt-4o", true)).sim("split,input=9,output=2"),
        ),
        shape(
            "chat, compressed",
            post(openai, &chat("gpt-4o", true))
                .with("accept-encoding", "gzip")
                .sim("gzip,input=1001,output=77"),
        ),
        shape(
            "chat, something after the usage",
            post(openai, &chat("gpt-4o", true)).sim("usage-not-last,input=11,output=3"),
        ),
        shape(
            "chat, with sound and a prediction",
            post(openai, &chat("gpt-4o", false))
                .sim("input=5,input_audio=31,output=7,output_audio=19,rejected_prediction=3"),
        ),
        Shape {
            percent: 50,
            ..shape(
                "chat, flex",
                post(openai, &chat("gpt-4o", true)).sim("tier=flex,input=303,output=41"),
            )
        },
        shape("azure, streamed", post(azure, &chat("prod-chat", true)).sim(spent)),
        shape(
            "azure, filtered beside",
            post(azure, &chat("prod-chat", true)).sim("async-filter,input=21,output=6"),
        ),
        shape("deepseek", post(openai, &chat("deepseek-flash", false)).sim("keep-alive=3")),
        shape(
            "deepseek, streamed",
            post("/chat/completions", &chat("deepseek-flash", true))
                .sim("keep-alive=2,input=60,cache_read=40,output=9,reasoning=4"),
        ),
    ]
}

/// Responses and messages.
fn answers(world: &World) -> Vec<Shape> {
    let (responses, messages) = ("/v1/responses", "/v1/messages");
    let claude = |stream| message(world, messages, "claude-sonnet-5", stream);
    let spent = "input=88,cache_read=12,output=9,reasoning=6,web_search=2";
    vec![
        shape("response", response_that_searches(world, false).sim(spent)),
        shape("response, streamed", response_that_searches(world, true).sim(spent)),
        shape(
            "response, incomplete",
            response(world, responses, true).sim("finish=length,input=40,output=16"),
        ),
        shape(
            "response, failed",
            response(world, responses, true).sim("finish=failed,input=40,output=4"),
        ),
        shape("response, echoing", response(world, responses, false).sim("echo,input=44,output=4")),
        shape(
            "azure's response, streamed",
            response(world, "/azure/openai/v1/responses", true).sim("input=13,output=5"),
        ),
        shape("message", claude(false).sim("input=50,cache_read=20,cache_write=10,output=8")),
        shape(
            "message, streamed",
            message_that_searches(world).sim(
                "input=50,cache_read=20,cache_write=10,cache_write_1h=30,output=8,web_search=1",
            ),
        ),
        shape(
            "message, the input told late",
            claude(true).sim("late-input,input=70,cache_read=7,output=8"),
        ),
        shape(
            "message, cache writes without lifetimes",
            claude(true).sim("no-cache-split,input=70,cache_write=7,output=8"),
        ),
        shape(
            "deepseek's message, streamed",
            message(world, "/deepseek/anthropic/v1/messages", "deepseek-flash", true)
                .sim("input=30,cache_read=3,output=8"),
        ),
    ]
}

/// What is no talk: vectors, pictures, sound.
fn media(world: &World) -> Vec<Shape> {
    let post = |target: &str, body: &Value| Ask::post(world, target, body);
    let form = |model: &str| {
        let part = |name: &str, rest: &str, value: &str| {
            format!(
                "--weft\r\ncontent-disposition: form-data; name=\"{name}\"{rest}\r\n\r\n{value}\r\n"
            )
        };
        let file = part("file", "; filename=\"a.wav\"\r\ncontent-type: audio/wav", "RIFF....WAVE");
        let body = format!("{file}{}--weft--\r\n", part("model", "", model));
        let ask = post("/v1/audio/transcriptions", &json!(null));
        let ask = ask.without("content-type");
        let ask = ask.with("content-type", "multipart/form-data; boundary=weft");
        Ask { body: body.into(), ..ask }
    };
    let spoken = json!({"model": "tts-1", "voice": "alloy", "input": "warp and weft, naïve 三"});
    let events = json!({
        "model": "gpt-4o-mini-tts", "voice": "alloy", "input": "warp", "stream_format": "sse",
    });
    let picture = json!({"model": "gpt-image-1", "prompt": "a loom"});
    let streamed = json!({"model": "gpt-image-1", "prompt": "a loom", "stream": true});
    let vectors = json!({"model": "text-embedding-3-small", "input": ["warp", "weft"]});
    vec![
        shape("embeddings", post("/v1/embeddings", &vectors).sim("input=321")),
        shape("image", post("/v1/images/generations", &picture)),
        shape(
            "image, streamed",
            post("/v1/images/generations", &streamed).sim("input=9,output_image=272"),
        ),
        // Nothing is told; its characters are counted as they were sent.
        Shape {
            basis: "estimated",
            ..shape("speech", post("/v1/audio/speech", &spoken).sim("deltas=3"))
        },
        shape("speech, as events", post("/v1/audio/speech", &events)),
        shape("transcription by the second", form("whisper-1").sim("audio_millis=12000")),
        shape("transcription by tokens", form("gpt-4o-transcribe").sim("input_audio=90,output=8")),
    ]
}

/// What a record was billed, by the names of the classes.
fn bill(record: &Record) -> BTreeMap<String, u64> {
    let usage = record.usage.expect("a bill");
    usage.iter().map(|(class, units)| (class.name().to_owned(), units)).collect()
}

/// What was asked under which id, and what the provider wrote down.
struct Told {
    name: &'static str,
    exchange: String,
    record: Record,
    percent: i128,
    basis: &'static str,
}

/// Fails unless both ledgers say of `told` what the provider does.
#[track_caller]
fn same_as_billed(books: &Books, told: &Told) {
    let (name, record) = (told.name, &told.record);
    let usage = record.usage.expect("a bill");
    let (charge, income) = worth(&usage, told.percent);
    let settled = books.settled.get(&told.exchange);
    let settled = settled.unwrap_or_else(|| panic!("{name}: nothing was settled"));
    let closes: Vec<_> = books.closes(&told.exchange).collect();
    let [close] = closes.as_slice() else { panic!("{name}: {closes:?}") };
    assert_eq!(close.usage, bill(record), "{name}: the agent's units");
    let totals = (usage.input_total(), usage.output_total());
    assert_eq!(settled.tokens, totals, "{name}: the hub's tokens");
    assert_eq!(settled.charge, charge, "{name}: the charge for {:?}", close.usage);
    assert_eq!((close.claimed, close.income), (income, income), "{name}: claimed, acknowledged");
    assert_eq!(books.paid.get(&told.exchange), Some(&income), "{name}: the owner's income");
    assert_eq!((&*settled.basis, &*close.basis), (told.basis, told.basis), "{name}");
    assert_eq!((settled.leg.as_str(), close.end.as_str()), ("paid", "proper"), "{name}");
}

async fn tell(world: &World, shapes: Vec<Shape>) -> Vec<Told> {
    let mut told = Vec::new();
    for (index, Shape { name, ask, percent, basis }) in shapes.into_iter().enumerate() {
        let version = VERSIONS[index % VERSIONS.len()];
        let answer = ask.over(world, version).await;
        assert_eq!((answer.status, &answer.broken), (200, &None), "{name}: {:?}", answer.body);
        let exchange = answer.header("weft-request-id").expect("an id").to_owned();
        told.push(Told { name, exchange, record: last(world).await, percent, basis });
    }
    told
}

/// Asks, waits until both ledgers agree, and holds them against the provider's bills.
async fn all_agree(world: World, shapes: Vec<Shape>) {
    activate(&world);
    let told = tell(&world, shapes).await;
    let books = agreed(&world, &[USER]).await;
    for told in &told {
        same_as_billed(&books, told);
    }
    assert_eq!(books.settled.len(), told.len());
    println!("{} shapes, {} nano-USD of income", told.len(), books.income);
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn both_ledgers_and_the_provider_agree_to_the_unit_on_chats_of_every_shape() {
    let world = world().await;
    let shapes = chats(&world);
    all_agree(world, shapes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_ledgers_and_the_provider_agree_to_the_unit_on_responses_and_messages() {
    let world = world().await;
    let shapes = answers(&world);
    all_agree(world, shapes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_ledgers_and_the_provider_agree_to_the_unit_on_vectors_pictures_and_sound() {
    let world = world().await;
    let shapes = media(&world);
    all_agree(world, shapes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_realtime_session_costs_the_sum_of_its_responses_at_both_ends() {
    let world = world().await;
    activate(&world);
    let mut user = Wish::realtime(&world).open(&world).await;
    let exchange = user.headers["weft-request-id"].to_str().unwrap().to_owned();
    for _ in 0..3 {
        user.text(r#"{"type": "response.create"}"#).await;
        loop {
            let frame = user.next().await;
            if String::from_utf8_lossy(&frame.payload).contains("response.done") {
                break;
            }
        }
    }
    user.send(&Frame::close(1000, "done")).await;
    drop(user.until_end().await);
    user.end().await;
    let record = last(&world).await;
    let told = Told { name: "realtime", exchange, record, percent: 100, basis: "reported" };
    let books = agreed(&world, &[USER]).await;
    same_as_billed(&books, &told);
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_costs_nothing_and_what_is_estimated_is_estimated_alike() {
    let world = world().await;
    activate(&world);
    for fault in ["400", "401", "429", "500", "529"] {
        let answer = Ask::chat(&world, true, fault).over(&world, Version::H2).await;
        assert!(answer.status >= 400, "{fault}: {}", answer.status);
    }
    let nothing = agreed(&world, &[USER]).await;
    assert_eq!(nothing.settled.values().map(|settled| settled.charge).sum::<i128>(), 0);
    assert!(nothing.closed.iter().all(|close| close.claimed == 0), "{:?}", nothing.closed);

    // Read, filtered, and billed all the same; nobody is told how much.
    let azure = "/azure/openai/v1/chat/completions";
    let filtered = Ask::post(&world, azure, &chat("prod-chat", false)).sim("content-filter");
    let filtered = filtered.over(&world, Version::H1).await;
    assert_eq!(filtered.status, 400, "{}", filtered.text());
    // A stream whose client has not asked for its usage.
    let silent = Ask::chat(&world, true, "deltas=40").over(&world, Version::H2).await;
    let books = agreed(&world, &[USER]).await;
    for answer in [&filtered, &silent] {
        let id = answer.header("weft-request-id").expect("an id");
        let settled = &books.settled[id];
        assert_eq!(settled.basis, "estimated", "{settled:?}");
        assert!(settled.charge > 0 && books.paid[id] > 0, "{settled:?}");
        let close = books.closes(id).next().expect("a close");
        let income = (close.basis.as_str(), close.claimed, close.income);
        assert_eq!(income, ("estimated", books.paid[id], books.paid[id]), "{close:?}");
    }
    world.end().await.unwrap();
}
