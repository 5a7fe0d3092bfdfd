//! Claude Code: `ANTHROPIC_BASE_URL` with a token or with a key.

use super::{arrived, instructions, ordered, with_all};
use crate::talk::*;
use http::Method;
use serde_json::{Value, json};
use weft_loadtest::mesh::Version;
use weft_loadtest::mesh::world::{World, secret};
use weft_proto::provider::Provider;

const MODEL: &str = "claude-sonnet-5-5";
const TARGET: &str = "/v1/messages?beta=true";

/// What it sends with every message, without credential and type.
const HEAD: [(&str, &str); 17] = [
    ("accept", "application/json"),
    ("user-agent", "claude-cli/2.1.197 (external, sdk-cli)"),
    ("x-claude-code-session-id", "d6473cb0-44ce-4b4e-aeb0-8bcf504f56b2"),
    ("x-stainless-arch", "x64"),
    ("x-stainless-lang", "js"),
    ("x-stainless-os", "Linux"),
    ("x-stainless-package-version", "0.94.0"),
    ("x-stainless-retry-count", "0"),
    ("x-stainless-runtime", "node"),
    ("x-stainless-runtime-version", "v26.3.0"),
    ("x-stainless-timeout", "600"),
    (
        "anthropic-beta",
        "claude-code-20250219,context-1m-2025-08-07,interleaved-thinking-2025-05-14,\
         thinking-token-count-2026-05-13,context-management-2025-06-27,\
         prompt-caching-scope-2026-01-05,mid-conversation-system-2026-04-07,effort-2025-11-24",
    ),
    // A second line, as users add one: order and spelling are theirs.
    (
        "anthropic-beta",
        "fine-grained-tool-streaming-2025-05-14 ,  token-efficient-tools-2025-02-19",
    ),
    ("anthropic-dangerous-direct-browser-access", "true"),
    ("anthropic-version", "2023-06-01"),
    ("x-app", "cli"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
];

fn system() -> Value {
    json!([
        {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.197; cc_entrypoint=sdk-cli;"},
        {"type": "text", "text": "You help at a loom.", "cache_control": {"type": "ephemeral"}},
        {"type": "text", "text": instructions(6_000), "cache_control": {"type": "ephemeral"}},
    ])
}

fn tools() -> Value {
    let tools = ["Bash", "Read", "Edit", "Write", "Agent", "WebFetch", "TaskCreate"];
    let tool = |name: &&str| {
        json!({"name": name, "description": instructions(4_000), "input_schema": {
            "$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object",
            "properties": {"container": {"type": "string"}, "file_id": {"type": "string"}},
            "required": ["file_id"], "additionalProperties": false}})
    };
    tools.iter().map(tool).collect()
}

/// A message in the order of its fields.
fn message(messages: Value) -> String {
    ordered(&[
        ("model", json!(MODEL)),
        ("messages", messages),
        ("system", system()),
        ("tools", tools()),
        (
            "metadata",
            json!({"user_id": r#"{"device_id":"5cbf","account_uuid":"","session_id":"d647"}"#}),
        ),
        ("max_tokens", json!(64_000)),
        ("thinking", json!({"type": "adaptive"})),
        (
            "context_management",
            json!({"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}),
        ),
        ("output_config", json!({"effort": "high"})),
        ("stream", json!(true)),
    ])
}

fn first_turn() -> String {
    message(json!([
        {"role": "user", "content": [
            {"type": "text", "text": "<note>Three looms, one weaver.</note>"},
            {"type": "text", "text": "Say hello – naïvely.", "cache_control": {"type": "ephemeral"}}]},
        {"role": "system", "content": instructions(6_000)},
    ]))
}

/// A later turn: what a tool was called with is the user's own JSON, whatever its keys are.
fn later_turn() -> String {
    message(json!([
        {"role": "user", "content": [{"type": "text", "text": "Count the threads."}]},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "", "signature": "EpwGCmMIDhgCKkDx"},
            {"type": "text", "text": "I will read the file."},
            {"type": "tool_use", "id": "toolu_01A", "name": "Read", "input": {
                "file_id": "/loom/threads.csv", "container": {"id": "not one of theirs"},
                "conversation": 7, "previous_response_id": null, "model": "gpt-4o"}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_01A",
            "content": [{"type": "text", "text": "3,4"}], "is_error": false,
            "cache_control": {"type": "ephemeral"}}]},
    ]))
}

/// Both ways in which it presents its key.
fn credentials(world: &World) -> [(&'static str, String); 2] {
    let key = &world.key.secret;
    [("authorization", format!("Bearer {key}")), ("x-api-key", key.clone())]
}

fn claude(target: &str, body: String, credential: &(&str, String)) -> Ask {
    with_all(Ask::bare(Method::POST, target, body), &HEAD).with(credential.0, &credential.1)
}

#[tokio::test(flavor = "multi_thread")]
async fn claude_codes_messages_arrive_as_they_were_sent_with_either_credential() {
    let world = world().await;
    for version in VERSIONS {
        for credential in credentials(&world) {
            for (body, control) in [
                (first_turn(), "deltas=20,pace=1ms"),
                (later_turn(), "deltas=5"),
                (first_turn(), "deltas=5,gzip"),
            ] {
                let ask = claude(TARGET, body, &credential).sim(control);
                let answer = ask.over(&world, version).await;
                let record = last(&world).await;
                same_at_both_ends(&ask, answer.whole(200), &record);
                assert_eq!(record.target, TARGET);
                arrived(&HEAD, &record);
                let owned = format!("sha256:{}", sha256(secret(Provider::Anthropic).as_bytes()));
                assert_eq!(received(&record, "x-api-key"), Some(&*owned));
                assert_eq!(received(&record, "authorization"), None);
                assert_eq!(answer.header("request-id"), record.request_id.as_deref());
                assert_eq!(answer.header("anthropic-ratelimit-requests-remaining"), Some("3999"));
                assert_eq!(answer.header("content-encoding").is_some(), control.contains("gzip"));
            }
        }
    }
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn claude_codes_token_counts_are_the_providers_own() {
    let world = world().await;
    let target = "/v1/messages/count_tokens?beta=true";
    for credential in credentials(&world) {
        let body = ordered(&[
            ("model", json!(MODEL)),
            ("messages", json!([{"role": "user", "content": instructions(3_000)}])),
            ("tools", tools()),
        ]);
        let ask = claude(target, body, &credential);
        let answer = ask.over(&world, Version::H1).await;
        let record = last(&world).await;
        same_at_both_ends(&ask, answer.whole(200), &record);
        assert!(answer.json()["input_tokens"].as_u64().is_some_and(|count| count > 0));
        assert_eq!(record.target, target);
        arrived(&HEAD, &record);
    }
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_probe_that_claude_code_begins_with_is_answered_and_is_no_failed_key() {
    let world = world().await;
    let probe = Ask::bare(Method::HEAD, "/", "")
        .with("user-agent", "Bun/1.4.0")
        .with("accept", "*/*")
        .with("accept-encoding", "gzip, deflate, br, zstd");
    let mut connection = connect(&world, Version::H1).await;
    for _ in 0..40 {
        let answer = probe.on(&mut connection).await;
        assert!(answer.status < 500 && answer.body.is_empty(), "{answer:?}");
    }
    let credential = &credentials(&world)[0];
    claude(TARGET, first_turn(), credential).on(&mut connection).await.whole(200);
    assert_eq!(world.provider.received().len(), 1, "no probe reached the provider");
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn claude_code_is_told_when_to_try_again_and_when_not_to() {
    let world = world().await;
    let credential = &credentials(&world)[0];
    for (fault, status, hints) in [
        ("429", 429, &[("retry-after", "2")][..]),
        ("529", 529, &[("retry-after", "1"), ("x-should-retry", "true")]),
        ("500", 500, &[]),
        ("400", 400, &[]),
    ] {
        let ask = claude(TARGET, first_turn(), credential).sim(fault);
        let answer = ask.over(&world, Version::H1).await;
        let record = last(&world).await;
        same_at_both_ends(&ask, answer.whole(status), &record);
        assert_eq!(answer.json()["type"], "error", "{fault}");
        for (name, value) in hints {
            assert_eq!(answer.header(name), Some(*value), "{fault} {name}");
        }
        assert_eq!(answer.header("anthropic-ratelimit-requests-limit"), Some("4000"), "{fault}");
        assert_eq!(answer.header("anthropic-ratelimit-tokens-reset"), Some("2026-11-22T12:00:01Z"));
    }
    // An overload inside a stream is an event, and the stream ends properly behind it.
    let ask = claude(TARGET, first_turn(), credential).sim("error-event,at=5");
    let answer = ask.over(&world, Version::H1).await;
    same_at_both_ends(&ask, answer.whole(200), &last(&world).await);
    assert!(answer.text().contains("event: error\n"), "{}", answer.text());
    assert!(answer.text().contains("overloaded_error"));

    let wrong = ("authorization", "Bearer wk-wrong".to_owned());
    let refused = claude(TARGET, first_turn(), &wrong).over(&world, Version::H1).await;
    let error = refused.whole(401).json();
    assert_eq!(
        (&error["type"], &error["error"]["type"]),
        (&json!("error"), &json!("authentication_error"))
    );
    assert_eq!(refused.header("x-should-retry"), Some("false"));
    world.end().await.unwrap();
}
