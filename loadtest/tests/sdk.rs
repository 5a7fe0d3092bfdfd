//! The official SDKs, unchanged, against a whole mesh: base URL, key and CA are all they are told.
//!
//! The drivers of `loadtest/sdk` run each SDK's cases and hash what it sent and received; the
//! simulated provider hashes the other end. `make test` installs the SDKs and names their
//! interpreters; without those a test here fails, it is never skipped.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tokio::time::{Instant, timeout};
use weft_loadtest::mesh::process::command;
use weft_loadtest::mesh::world::{Plan, World};
use weft_loadtest::provider::Record;

/// No driver may take longer.
const LIMIT: Duration = Duration::from_secs(120);
/// What the simulated provider is asked for: Azure has a deployment of this name.
const MODEL: &str = "sim";
const OPENAI: &str = "chat,chat-stream,responses,responses-stream,embeddings,models,image,image-edit,\
    transcription,speech";
const DEEPSEEK: &str = "chat,chat-stream,responses,responses-stream,models";
const ANTHROPIC: &str = "messages,messages-stream,count-tokens,models";

/// What each SDK's own setting takes: dialect, base URL behind the hub's address, model, cases.
const DIALECTS: [(&str, &str, &str, &str); 5] = [
    ("openai", "/v1", MODEL, OPENAI),
    ("azure", "", MODEL, OPENAI),
    ("azure-v1", "/azure/openai/v1", MODEL, OPENAI),
    ("deepseek", "/v1", "deepseek-flash", DEEPSEEK),
    ("anthropic", "", "claude-sonnet-5", ANTHROPIC),
];

/// A path that `make test` puts into the environment.
fn installed(variable: &str) -> PathBuf {
    match std::env::var_os(variable).filter(|path| !path.is_empty()) {
        Some(path) => path.into(),
        None => {
            panic!("{variable} is not set: run `make test`, which installs the SDKs and sets it")
        }
    }
}

async fn world() -> World {
    let executable = Path::new(env!("CARGO_BIN_EXE_weft-loadtest"));
    match timeout(LIMIT, World::begin(executable, Plan::default())).await.expect("in time") {
        Ok(world) => world,
        Err(error) => panic!("{error}"),
    }
}

fn python() -> Command {
    let mut driver = command(&installed("WEFT_SDK_PYTHON"));
    driver.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/sdk/python/driver.py"));
    driver
}

fn node() -> Command {
    let mut driver = command(&installed("WEFT_SDK_NODE"));
    driver.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/sdk/node/driver.mjs"));
    driver.env("WEFT_SDK_NODE_MODULES", installed("WEFT_SDK_NODE_MODULES"));
    driver
}

/// Runs `driver` in `mode` over `dialect` and returns its lines, one for each case.
async fn run(world: &World, driver: Command, mode: &str, dialect: usize) -> Vec<Value> {
    run_with(world, driver, mode, dialect, DIALECTS[dialect].3, &[]).await
}

async fn run_with(
    world: &World,
    mut driver: Command,
    mode: &str,
    dialect: usize,
    cases: &str,
    more: &[&str],
) -> Vec<Value> {
    let (name, base, model, _) = DIALECTS[dialect];
    let base = format!("https://localhost:{}{base}", world.hub.users().port());
    driver.args(["--dialect", name, "--mode", mode, "--base-url", &base]);
    driver.args(["--model", model, "--case", cases]).args(more);
    driver.env("WEFT_SDK_KEY", &world.key.secret);
    driver.env("SSL_CERT_FILE", world.hub.ca()).env("NODE_EXTRA_CA_CERTS", world.hub.ca());
    let running = tokio::task::spawn_blocking(move || driver.output());
    let output = timeout(LIMIT, running).await.expect("in time").unwrap().expect("it starts");
    let (out, err) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), cases.split(',').count(), "{name} {mode}: {err}");
    lines
}

/// The records after `seq`, once all of them have ended.
async fn ended_after(world: &World, seq: u64) -> Vec<Record> {
    let began = Instant::now();
    loop {
        let records = world.provider.received_after(seq);
        if records.iter().all(|record| record.ending.is_some()) || began.elapsed() > LIMIT {
            return records;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn last_seq(world: &World) -> u64 {
    world.provider.received().last().map_or(0, |record| record.seq)
}

/// Runs every case of every dialect and compares both ends.
async fn everything_agrees(driver: fn() -> Command, mode: &str) {
    let world = world().await;
    let mut relayed = 0;
    for dialect in 0..DIALECTS.len() {
        let seq = last_seq(&world);
        let lines = run(&world, driver(), mode, dialect).await;
        let records = ended_after(&world, seq).await;
        let mut records = records.iter();
        for line in &lines {
            let note = format!("{line}");
            assert_eq!(line["ok"], true, "{note}");
            assert!(line["attempts"].is_null() || line["attempts"] == 1, "{note}");
            if line["case"] == "models" {
                continue;
            }
            assert!(line["weft_request_id"].is_string(), "{note}");
            let record = records.next().expect("the provider was called");
            let hash = |name: &str| line[name].as_str();
            assert_eq!(hash("request_sha256"), record.body_sha256.as_deref(), "{note} {record:?}");
            assert_eq!(line["request_bytes"], record.body_bytes, "{note} {record:?}");
            assert_eq!(
                hash("response_sha256"),
                record.answer_sha256.as_deref(),
                "{note} {record:?}"
            );
            assert_eq!(line["response_bytes"], record.answer_bytes, "{note} {record:?}");
            relayed += 1;
        }
        assert!(records.next().is_none(), "the provider was called once more");
        println!("{}: {} cases", lines[0]["sdk"], lines.len());
    }
    println!("{relayed} requests and answers agree at both ends");
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn python_sdks_agree_with_the_provider_in_every_dialect() {
    everything_agrees(python, "sync").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn asynchronous_python_sdks_agree_with_the_provider_in_every_dialect() {
    everything_agrees(python, "async").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn node_sdks_agree_with_the_provider_in_every_dialect() {
    everything_agrees(node, "async").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_sdk_that_stops_reading_ends_the_providers_answer() {
    let world = world().await;
    let slow = ["--header", "x-weft-sim: pace=50ms,deltas=2000"];
    for (driver, dialect) in [(python(), 0), (python(), 4), (node(), 0), (node(), 4)] {
        let seq = last_seq(&world);
        let lines = run_with(&world, driver, "async", dialect, "abort-stream", &slow).await;
        assert_eq!(lines[0]["ok"], true, "{}", lines[0]);
        let records = timeout(LIMIT, ended_after(&world, seq)).await.unwrap();
        let ending = records[0].ending;
        assert_eq!(ending, Some(weft_loadtest::provider::Ending::ClientGone), "{:?}", records[0]);
    }
    world.end().await.unwrap();
}

/// The OpenAI SDK's own realtime, and a WebSocket library as a page in a browser would use it.
#[tokio::test(flavor = "multi_thread")]
async fn realtime_clients_talk_through_the_mesh_as_to_the_provider() {
    let world = world().await;
    let mut driver = command(&installed("WEFT_SDK_PYTHON"));
    driver.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/sdk/python/realtime.py"));
    let base = format!("https://localhost:{}/v1", world.hub.users().port());
    driver.args(["--base-url", &base, "--model", "gpt-realtime"]);
    driver.env("WEFT_SDK_KEY", &world.key.secret).env("SSL_CERT_FILE", world.hub.ca());
    let running = tokio::task::spawn_blocking(move || driver.output());
    let output = timeout(LIMIT, running).await.expect("in time").unwrap().expect("it starts");
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2, "{}", String::from_utf8_lossy(&output.stderr));
    for line in &lines {
        assert_eq!(line["ok"], true, "{line}");
        assert_eq!(
            (&line["created"], &line["model"]),
            (&"session.created".into(), &"gpt-realtime".into())
        );
        assert_eq!(line["same"], true, "{line}");
        println!("{}: realtime", line["sdk"]);
    }
    assert_eq!(lines[0]["closed"], serde_json::json!([4001, "as asked"]), "{}", lines[0]);
    assert_eq!(lines[1]["closed"], serde_json::json!([1000, "done"]), "{}", lines[1]);
    assert_eq!(lines[1]["protocol"], "realtime", "{}", lines[1]);
    assert_eq!(lines[1]["extensions"], serde_json::json!(["permessage-deflate"]), "{}", lines[1]);
    let records = ended_after(&world, 0).await;
    assert_eq!(records.len(), 2);
    assert!(!format!("{records:?}").contains(&*world.key.secret), "the key went on");
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_an_error_of_the_sdks_own_and_tried_once() {
    let world = world().await;
    let key = world.hub.add_key("user", &["--models", "nothing-*"]).unwrap();
    for (driver, dialect, case) in [
        (python(), 0, "chat"),
        (python(), 4, "messages"),
        (node(), 0, "chat"),
        (node(), 4, "messages"),
    ] {
        let words = ["--key", key.secret.as_str()];
        let lines = run_with(&world, driver, "async", dialect, case, &words).await;
        assert_eq!(lines[0]["ok"], false, "{}", lines[0]);
        assert_eq!(lines[0]["error"]["status"], 403, "{}", lines[0]);
        assert!(lines[0]["attempts"].is_null() || lines[0]["attempts"] == 1, "{}", lines[0]);
    }
    assert!(world.provider.received().is_empty());
    world.end().await.unwrap();
}
