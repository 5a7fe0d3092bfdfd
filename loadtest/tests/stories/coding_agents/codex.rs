//! Codex: a model provider with `wire_api = "responses"`, or its own with another base URL.

use super::{arrived, instructions, ordered, with_all};
use crate::talk::*;
use http::Method;
use serde_json::{Value, json};
use weft_loadtest::mesh::Version;
use weft_loadtest::mesh::world::World;

const SESSION: &str = "01a205e5-3786-77e0-9c5a-4afa546c0673";
const TURN: &str = r#"{"session_id":"01a205e5-3786-77e0-9c5a-4afa546c0673","agent_name":"/root","window_number":0,"request_kind":"turn","sandbox":"seccomp","sandbox_mode":"read-only","auto_review_enabled":false,"turn_started_at_unix_ms":1795395237828,"model":"gpt-6-luna","reasoning_effort":"medium"}"#;

/// What it sends with every turn, without credential and type.
const HEAD: [(&str, &str); 11] = [
    ("version", "0.169.0"),
    ("x-codex-beta-features", "remote_compaction_v2"),
    ("x-codex-window-id", "01a205e5-3786-77e0-9c5a-4afa546c0673:0"),
    ("x-codex-turn-metadata", TURN),
    ("x-openai-internal-codex-responses-lite", "true"),
    ("x-client-request-id", SESSION),
    ("session-id", SESSION),
    ("thread-id", SESSION),
    ("accept", "text/event-stream"),
    ("originator", "codex_exec"),
    ("user-agent", "codex_exec/0.169.0 (Debian 12.0.0; x86_64) unknown (codex_exec; 0.169.0)"),
];

fn tools() -> Value {
    let function = |name: &str| {
        json!({"type": "function", "name": name, "description": instructions(2_000),
            "strict": false, "parameters": {"type": "object", "properties": {
                "id": {"type": "string"}, "container": {"type": "string"},
                "file_ids": {"type": "array", "items": {"type": "string"}}},
                "required": ["id"], "additionalProperties": false}})
    };
    json!([
        function("exec_command"),
        {"type": "namespace", "name": "multi_agent_v1", "description": "Helpers.",
            "tools": [function("close_agent"), function("send_input")]},
        {"type": "web_search", "external_web_access": false},
    ])
}

fn said(id: &str, role: &str, kind: &str, text: &str) -> Value {
    json!({"type": "message", "id": id, "role": role, "content": [{"type": kind, "text": text}],
        "internal_chat_message_metadata_passthrough": {
            "turn_id": SESSION, "create_time": 1_795_395_283.034_720_7, "content_item_kinds": ["user.text"]}})
}

/// What every turn begins with; each item has an id that Codex gave it.
fn opening() -> Vec<Value> {
    vec![
        json!({"type": "additional_tools", "id": "at_01a205e5-37e3-7010-9eea-3252d10d4a76",
            "role": "developer", "tools": tools()}),
        said(
            "msg_01a205e5-37e3-7010-9eea-326e6616950b",
            "developer",
            "input_text",
            &instructions(20_000),
        ),
        said("msg_a7064237-f3fa-5866-b0fd-98bb2ef3f510", "user", "input_text", "Say hello"),
    ]
}

/// What a later turn repeats of the turns before: the provider's ids and Codex's own, and all of it
/// with its content, because nothing is stored.
fn history() -> Vec<Value> {
    vec![
        json!({"type": "reasoning", "id": "rs_0123", "summary": [], "encrypted_content": "gAAAAAB0"}),
        json!({"type": "function_call", "id": "fc_0123", "call_id": "call_1", "name": "exec_command",
            "arguments": r#"{"file_id":"file-of-nobody","previous_response_id":"resp_of_nobody"}"#}),
        json!({"type": "function_call_output", "id": "fco_0123", "call_id": "call_1", "output": "3,4"}),
        json!({"type": "custom_tool_call", "id": "ctc_0123", "call_id": "call_2",
            "name": "apply_patch", "input": "*** Begin Patch", "status": "completed"}),
        json!({"type": "custom_tool_call_output", "call_id": "call_2", "output": "Done"}),
        json!({"type": "web_search_call", "id": "ws_0123", "status": "completed",
            "action": {"type": "search", "query": "looms"}}),
        json!({"type": "tool_search_call", "id": "tsc_0123", "call_id": "call_3",
            "execution": "client", "arguments": {"query": "looms"}, "status": "completed"}),
        json!({"type": "tool_search_output", "id": "tso_0123", "call_id": "call_3",
            "execution": "client", "status": "completed", "tools": tools()}),
        json!({"type": "compaction", "id": "cmp_0123", "encrypted_content": "gAAAAAB1"}),
        said("msg_0123", "assistant", "output_text", "Hello."),
        said("msg_01a205e5-e85a-79f3-8d94-ddda511a97a0", "user", "input_text", "And now?"),
    ]
}

fn body(input: Vec<Value>) -> String {
    ordered(&[
        ("model", json!("gpt-6-luna")),
        ("stream", json!(true)),
        ("input", Value::Array(input)),
        ("tools", tools()),
        ("tool_choice", json!("auto")),
        ("parallel_tool_calls", json!(false)),
        ("reasoning", json!({"effort": "medium", "context": "all_turns"})),
        ("store", json!(false)),
        ("include", json!(["reasoning.encrypted_content"])),
        ("prompt_cache_key", json!(SESSION)),
        ("text", json!({"verbosity": "low"})),
        ("client_metadata", json!({"session_id": SESSION, "x-codex-turn-metadata": TURN})),
    ])
}

fn codex(world: &World, body: String) -> Ask {
    with_all(Ask::bare(Method::POST, "/v1/responses", body), &HEAD)
        .with("authorization", &format!("Bearer {}", world.key.secret))
}

#[tokio::test(flavor = "multi_thread")]
async fn codexs_turns_arrive_as_they_were_sent_with_the_ids_that_it_gave() {
    let world = world().await;
    for version in VERSIONS {
        let later: Vec<Value> = opening().into_iter().chain(history()).collect();
        for input in [opening(), later] {
            let ask = codex(&world, body(input)).sim("deltas=12,pace=1ms");
            let answer = ask.over(&world, version).await;
            let record = last(&world).await;
            same_at_both_ends(&ask, answer.whole(200), &record);
            arrived(&HEAD, &record);
            assert_eq!(answer.header("content-type"), Some("text/event-stream; charset=utf-8"));
            assert!(answer.text().contains("event: response.completed\n"));
            assert!(answer.text().contains("\"encrypted_content\":"), "{}", answer.text());
        }
    }
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_codex_gets_back_it_may_send_again_though_nothing_was_stored() {
    let world = world().await;
    let first = codex(&world, body(opening())).over(&world, Version::H1).await;
    let last_event =
        first.whole(200).text().lines().filter_map(|line| line.strip_prefix("data: ")).next_back();
    let done: Value = serde_json::from_str(last_event.unwrap()).unwrap();
    let mut input = opening();
    input.extend(done["response"]["output"].as_array().unwrap().iter().cloned());
    input.push(said("msg_of_its_own", "user", "input_text", "Go on."));
    let next = codex(&world, body(input));
    let answer = next.over(&world, Version::H1).await;
    same_at_both_ends(&next, answer.whole(200), &last(&world).await);
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn codex_tries_a_websocket_first_and_is_told_to_use_http() {
    let world = world().await;
    let head = HEAD.into_iter().filter(|(name, _)| *name != "accept").collect::<Vec<_>>();
    let upgrade = with_all(Ask::bare(Method::GET, "/v1/responses", ""), &head)
        .with("authorization", &format!("Bearer {}", world.key.secret))
        .with("openai-beta", "responses_websockets=2026-02-06")
        .with("connection", "Upgrade")
        .with("upgrade", "websocket")
        .with("sec-websocket-version", "13")
        .with("sec-websocket-key", "7WUtCU7FBhSTXiOYlPvn8A==")
        .with("sec-websocket-extensions", "permessage-deflate; client_max_window_bits");
    for azure in [false, true] {
        let target = if azure { "/azure/openai/v1/responses" } else { "/v1/responses" };
        let ask = Ask { target: target.to_owned(), ..upgrade.clone() };
        let answer = ask.over(&world, Version::H1).await;
        answer.whole(426);
        assert!(answer.json()["error"]["message"].is_string(), "{}", answer.text());
    }
    assert!(world.provider.received().is_empty(), "the attempt reached the provider");
    codex(&world, body(opening())).over(&world, Version::H1).await.whole(200);
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn codex_compacts_and_counts_over_the_same_base() {
    let world = world().await;
    let later: Vec<Value> = opening().into_iter().chain(history()).collect();
    let fields = [("model", json!("gpt-6-luna")), ("input", Value::Array(later))];
    for target in ["/v1/responses/compact", "/v1/responses/input_tokens"] {
        let ask = Ask { target: target.to_owned(), ..codex(&world, ordered(&fields)) };
        let answer = ask.over(&world, Version::H2).await;
        same_at_both_ends(&ask, answer.whole(200), &last(&world).await);
    }
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn codex_is_told_when_to_try_again_and_when_not_to() {
    let world = world().await;
    for (fault, status, hints) in [
        ("429", 429, &[("retry-after", "2"), ("retry-after-ms", "1840")][..]),
        ("503", 503, &[("retry-after", "1")]),
        ("400", 400, &[]),
    ] {
        let ask = codex(&world, body(opening())).sim(fault);
        let answer = ask.over(&world, Version::H1).await;
        same_at_both_ends(&ask, answer.whole(status), &last(&world).await);
        assert!(answer.json()["error"]["message"].is_string(), "{fault}");
        for (name, value) in hints {
            assert_eq!(answer.header(name), Some(*value), "{fault} {name}");
        }
        assert_eq!(answer.header("x-ratelimit-limit-requests"), Some("10000"), "{fault}");
    }
    let refused = codex(&world, body(opening()))
        .without("authorization")
        .with("authorization", "Bearer wk-wrong")
        .over(&world, Version::H1)
        .await;
    assert!(refused.whole(401).json()["error"]["code"].is_string());
    world.end().await.unwrap();
}
