//! Batches: billed once, from their results, whoever reads these, and for what was answered.

use super::books::{Books, agreed_within};
use super::prices::{activate, worth};
use crate::talk::*;
use http::Method;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;
use weft_loadtest::mesh::Version;
use weft_loadtest::mesh::world::{USER, World};
use weft_loadtest::provider::Record;
use weft_proto::provider::Provider;
use weft_proto::usage::{Class, Usage};

/// A batch, where it can be asked for.
struct Batch {
    path: String,
    /// What its provider bills for all of it.
    bill: Usage,
}

fn signed(world: &World, ask: Ask) -> Ask {
    ask.with("x-api-key", &world.key.secret).with("anthropic-version", "2023-06-01")
}

fn request(id: usize, model: &str) -> Value {
    json!({"custom_id": format!("r-{id}"), "params": {
        "model": model, "max_tokens": 200,
        "messages": [{"role": "user", "content": "Weave."}],
    }})
}

fn make(world: &World, requests: &[Value], sim: &str) -> Ask {
    let body = json!({ "requests": requests }).to_string();
    signed(world, Ask::bare(Method::POST, "/v1/messages/batches", body)).sim(sim)
}

fn of(world: &World, method: Method, path: &str) -> Ask {
    signed(world, Ask::bare(method, path, ""))
}

async fn made(world: &World, requests: &[Value], sim: &str) -> Batch {
    let told = make(world, requests, sim).over(world, Version::H2).await;
    let id = told.whole(200).json()["id"].as_str().expect("an id").to_owned();
    assert_eq!(told.json()["processing_status"], "in_progress");
    let posted = world.provider.received();
    let made = posted.iter().rev().find(|record| is_create(record)).expect("it was made");
    let bill = made.usage.expect("a bill");
    Batch { path: format!("/v1/messages/batches/{id}"), bill }
}

/// Whether a record is that of a batch that was asked for.
fn is_create(record: &Record) -> bool {
    record.method == "POST" && record.target == "/v1/messages/batches"
}

/// Asks for the batch until it has ended.
async fn ended(world: &World, batch: &Batch) -> Value {
    let began = Instant::now();
    loop {
        let told = of(world, Method::GET, &batch.path).over(world, Version::H2).await;
        let told = told.whole(200).json();
        if told["processing_status"] == "ended" {
            return told;
        }
        assert!(began.elapsed() < LIMIT, "it never ends: {told}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What was charged: how much, what was earned by it, what it read and wrote.
fn charged(books: &Books) -> Vec<(i128, i128, (u64, u64))> {
    let paid = books.settled.iter().filter(|(_, settled)| settled.charge > 0);
    let paid = paid.map(|(id, settled)| {
        let earned = books.paid.get(id).copied().unwrap_or_default();
        (settled.charge, earned, settled.tokens)
    });
    let mut paid: Vec<_> = paid.collect();
    paid.sort_unstable();
    paid
}

/// Waits until so many exchanges were charged, and both ledgers agree: what each of these was
/// charged, what it earned, and what it read and wrote.
async fn paid(world: &World, exchanges: usize) -> Vec<(i128, i128, (u64, u64))> {
    let began = Instant::now();
    loop {
        let count = charged(&Books::read(world, &[USER])).len();
        if count >= exchanges {
            return charged(&agreed_within(world, &[USER], LIMIT).await);
        }
        assert!(began.elapsed() < LIMIT, "{count} of {exchanges} charged");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

fn tokens(bill: &Usage) -> (u64, u64) {
    (bill.input_total(), bill.output_total())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_billed_once_from_its_results_whoever_reads_them() {
    let mut world = world().await;
    activate(&world);
    let sim = "input=1000,output=100,cache_read=200,polls=3";
    let models = ["claude-sonnet-5", "claude-haiku-4-5", "claude-sonnet-5", "claude-sonnet-5"];
    let all: Vec<_> = models.iter().enumerate().map(|(id, model)| request(id, model)).collect();

    // One of which a request fails, and one that is cancelled half way.
    let whole = made(&world, &all, &format!("{sim},errored=1")).await;
    assert_eq!(tokens(&whole.bill), (3 * 1200, 300));
    let refused = of(&world, Method::DELETE, &whole.path).over(&world, Version::H2).await;
    assert!(refused.whole(400).text().contains("billed"), "{}", refused.text());
    let half = made(&world, &all, sim).await;
    let cancel = of(&world, Method::POST, &format!("{}/cancel", half.path));
    cancel.over(&world, Version::H1).await.whole(200);

    // The user reads the results, before the bill and after it.
    ended(&world, &half).await;
    ended(&world, &whole).await;
    let results = of(&world, Method::GET, &format!("{}/results", whole.path));
    let read = results.over(&world, Version::H2).await;
    let lines: Vec<Value> =
        read.whole(200).text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let succeeded = lines.iter().filter(|line| line["result"]["type"] == "succeeded").count();
    assert_eq!((lines.len(), succeeded), (4, 3));

    let mut wanted = Vec::new();
    for (answers, bill) in [(3, whole.bill), (2, half.bill)] {
        let of_one = Usage::NONE
            .with(Class::Input, 1000)
            .with(Class::CacheRead, 200)
            .with(Class::Output, 100);
        let taken = (0..answers).fold(Usage::NONE, |sum, _| sum.plus(&of_one));
        assert!(tokens(&taken) <= tokens(&bill));
        let (charge, income) = worth(&taken, 50);
        wanted.push((charge, income, tokens(&taken)));
    }
    wanted.sort_unstable();
    assert_eq!(paid(&world, 2).await, wanted);

    // What is billed is known, to the process that comes after too.
    world.restart_hub().await.unwrap();
    world.hub.offers(Provider::ALL.len()).await.unwrap();
    for version in VERSIONS {
        results.over(&world, version).await.whole(200);
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(paid(&world, 2).await, wanted, "and never again");
    of(&world, Method::DELETE, &whole.path).over(&world, Version::H2).await.whole(200);
    of(&world, Method::GET, &whole.path).over(&world, Version::H2).await.whole(404);
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_cannot_be_bound_or_names_what_is_not_its_users_never_reaches_the_provider() {
    let mut world = world().await;
    activate(&world);
    world.provider.reset();
    let mut unbounded = request(1, "claude-sonnet-5");
    unbounded["params"].as_object_mut().unwrap().remove("max_tokens");
    let mut foreign = request(1, "claude-sonnet-5");
    foreign["params"]["messages"][0]["content"] =
        json!([{"type": "document", "source": {"type": "file", "file_id": "file_011Cforeign"}}]);
    let mut background = request(1, "claude-sonnet-5");
    background["params"]["background"] = json!(true);
    let dear: Vec<_> = (0..40)
        .map(|id| {
            let mut one = request(id, "claude-sonnet-5");
            one["params"]["max_tokens"] = json!(90_000_000);
            one
        })
        .collect();
    for (requests, status, wanted) in [
        (vec![request(0, "claude-sonnet-5"), unbounded], 400, "sets no limit"),
        (vec![request(0, "claude-sonnet-5"), foreign], 404, "no such object"),
        (vec![background], 403, "background"),
        (vec![], 400, "no request"),
        (dear, 402, "balance"),
    ] {
        let answer = make(&world, &requests, "").over(&world, Version::H2).await;
        assert_eq!(answer.status, status, "{}", answer.text());
        assert!(answer.text().contains(wanted), "{}", answer.text());
    }
    // Somebody else's batch is nobody's.
    let batch = made(&world, &[request(0, "claude-sonnet-5")], "input=10,output=1,polls=0").await;
    let own = world.key.secret.clone();
    world.key.secret = world.add_user("somebody-else").unwrap().secret;
    for (method, tail) in [
        (Method::GET, ""),
        (Method::GET, "/results"),
        (Method::POST, "/cancel"),
        (Method::DELETE, ""),
    ] {
        let path = format!("{}{tail}", batch.path);
        of(&world, method, &path).over(&world, Version::H2).await.whole(404);
    }
    world.key.secret = own;
    let (charge, income) = worth(&batch.bill, 50);
    assert_eq!(paid(&world, 1).await, [(charge, income, (10, 1))]);
    let listed = of(&world, Method::GET, "/v1/messages/batches").over(&world, Version::H2).await;
    let listed = listed.whole(200).json();
    assert_eq!(listed["data"].as_array().map(Vec::len), Some(1));
    assert!(batch.path.ends_with(listed["data"][0]["id"].as_str().unwrap()));
    assert_eq!(listed["data"][0]["processing_status"], "ended", "it is billed");
    let created = world.provider.received();
    let created = created.iter().filter(|record| is_create(record)).count();
    assert_eq!(created, 1, "no other batch got through");
    world.end().await.unwrap();
}

/// A file of the user's own with these lines: its id.
async fn uploaded(world: &World, lines: &[Value]) -> String {
    let content: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let body = format!(
        "--weft\r\ncontent-disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n\
         --weft\r\ncontent-disposition: form-data; name=\"file\"; filename=\"requests.jsonl\"\r\n\
         content-type: application/jsonl\r\n\r\n{content}\r\n--weft--\r\n"
    );
    let ask = Ask::bare(Method::POST, "/v1/files", body).without("content-type");
    let ask = ask.with("content-type", "multipart/form-data; boundary=weft");
    let made = bearer(world, ask).over(world, Version::H2).await;
    made.whole(200).json()["id"].as_str().expect("an id").to_owned()
}

fn bearer(world: &World, ask: Ask) -> Ask {
    ask.with("authorization", &format!("Bearer {}", world.key.secret))
}

fn line(id: usize, body: Value) -> Value {
    let url = "/v1/chat/completions";
    json!({"custom_id": format!("r-{id}"), "method": "POST", "url": url, "body": body})
}

fn chat(id: usize) -> Value {
    let messages = json!([{"role": "user", "content": "Weave."}]);
    line(id, json!({"model": "gpt-4o", "max_completion_tokens": 200, "messages": messages}))
}

fn order(world: &World, file: &str) -> Ask {
    let body = json!({
        "input_file_id": file, "endpoint": "/v1/chat/completions", "completion_window": "24h",
    });
    Ask::post(world, "/v1/batches", &body)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_a_file_is_bound_by_what_the_hub_reads_in_it_and_billed_from_its_output() {
    let mut world = world().await;
    activate(&world);
    let file = uploaded(&world, &[chat(1), chat(2), chat(3), chat(4)]).await;
    let sim = "input=500,output=40,polls=4,errored=1";
    let told = order(&world, &file).sim(sim).over(&world, Version::H2).await;
    let told = told.whole(200).json();
    let batch = format!("/v1/batches/{}", told["id"].as_str().expect("an id"));
    assert_eq!(told["status"], "validating");

    // What a file asks for is looked at like any other request.
    let mut unbounded = chat(1);
    unbounded["body"].as_object_mut().unwrap().remove("max_completion_tokens");
    let foreign = json!([{"role": "user", "content": [{"type": "file", "file": {"file_id": "file-foreign"}}]}]);
    let foreign = line(1, json!({"model": "gpt-4o", "max_tokens": 9, "messages": foreign}));
    let mut elsewhere = chat(1);
    elsewhere["url"] = json!("/v1/files");
    for (bad, status, wanted) in [
        (unbounded, 400, "sets no limit"),
        (foreign, 404, "no such object"),
        (elsewhere, 400, "a batch holds its requests"),
    ] {
        let file = uploaded(&world, &[chat(0), bad]).await;
        let answer = order(&world, &file).over(&world, Version::H2).await;
        assert_eq!(answer.status, status, "{}", answer.text());
        assert!(answer.text().contains(wanted), "{}", answer.text());
    }
    let own = world.key.secret.clone();
    world.key.secret = world.add_user("somebody-else").unwrap().secret;
    order(&world, &file).over(&world, Version::H2).await.whole(404);
    bearer(&world, Ask::bare(Method::GET, &batch, "")).over(&world, Version::H2).await.whole(404);
    world.key.secret = own;

    let look = bearer(&world, Ask::bare(Method::GET, &batch, ""));
    let began = Instant::now();
    let output = loop {
        let told = look.over(&world, Version::H2).await;
        let told = told.whole(200).json();
        if told["status"] == "completed" {
            break format!("/v1/files/{}", told["output_file_id"].as_str().expect("an output"));
        }
        assert!(began.elapsed() < LIMIT, "it never ends: {told}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let content = bearer(&world, Ask::bare(Method::GET, &format!("{output}/content"), ""));
    assert_eq!(content.over(&world, Version::H1).await.whole(200).text().lines().count(), 3);
    let bill = Usage::NONE.with(Class::Input, 1500).with(Class::Output, 120);
    let (charge, income) = worth(&bill, 50);
    assert_eq!(paid(&world, 1).await, [(charge, income, (1500, 120))]);
    content.over(&world, Version::H2).await.whole(200);

    // Until it was billed, its output stays.
    let told = order(&world, &file).sim("input=7,output=1,polls=0").over(&world, Version::H2).await;
    let batch = format!("/v1/batches/{}", told.whole(200).json()["id"].as_str().expect("an id"));
    let look = bearer(&world, Ask::bare(Method::GET, &batch, ""));
    let told = look.over(&world, Version::H2).await.whole(200).json();
    let output = format!("/v1/files/{}", told["output_file_id"].as_str().expect("an output"));
    let delete = bearer(&world, Ask::bare(Method::DELETE, &output, ""));
    let answer = delete.over(&world, Version::H2).await;
    let billed = charged(&Books::read(&world, &[USER])).len() == 2;
    match answer.status {
        200 => assert!(billed, "deleted, and not billed"),
        _ => assert_eq!(answer.whole(400).json()["error"]["code"], "batch_unbilled"),
    }
    let (first, second) = (worth(&bill, 50), worth(&of_four(7, 1), 50));
    let mut wanted = [(first.0, first.1, (1500, 120)), (second.0, second.1, (28, 4))];
    wanted.sort_unstable();
    assert_eq!(paid(&world, 2).await, wanted);
    let began = Instant::now();
    // The charge is there a moment before the bill is closed.
    while ![200, 404].contains(&delete.over(&world, Version::H2).await.status) {
        assert!(began.elapsed() < LIMIT, "it is never deleted");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    world.end().await.unwrap();
}

fn of_four(input: u64, output: u64) -> Usage {
    Usage::NONE.with(Class::Input, 4 * input).with(Class::Output, 4 * output)
}
