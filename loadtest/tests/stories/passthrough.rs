//! Every dialect, both versions of HTTP, streamed and not: the same bytes at both ends, and the
//! headers that the table lets through.

use crate::talk::*;
use http::Method;
use serde_json::{Value, json};
use weft_loadtest::mesh::world::{World, secret};
use weft_loadtest::mesh::{Version, world};
use weft_loadtest::provider::{ANTHROPIC_ORGANIZATION, OPENAI_ORGANIZATION};
use weft_proto::provider::Provider;

/// One way to ask: the user's path, whose API that is, and the provider's own path.
struct Way {
    target: &'static str,
    provider: Provider,
    reached: &'static str,
    body: Value,
}

fn chat(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "Grüße, 三 threads?"}]})
}

fn input(model: &str) -> Value {
    json!({"model": model, "input": "Grüße, 三 threads?"})
}

fn message(model: &str) -> Value {
    json!({"max_tokens": 64, "messages": [{"role": "user", "content": "Hi"}], "model": model})
}

fn ways() -> Vec<Way> {
    let way = |target, provider, reached, body| Way { target, provider, reached, body };
    use Provider::{Anthropic, Azure, DeepSeek, OpenAi};
    vec![
        way("/v1/chat/completions", OpenAi, "/v1/chat/completions", chat("gpt-4o")),
        way("/openai/v1/chat/completions", OpenAi, "/v1/chat/completions", chat("gpt-4o")),
        way("/v1/responses", OpenAi, "/v1/responses", input("gpt-4o")),
        way(
            "/openai/deployments/prod-chat/chat/completions?api-version=2024-10-21",
            Azure,
            "/openai/deployments/prod-chat/chat/completions?api-version=2024-10-21",
            chat("ignored"),
        ),
        way(
            "/azure/openai/v1/chat/completions",
            Azure,
            "/openai/v1/chat/completions",
            chat("prod-chat"),
        ),
        way("/azure/openai/v1/responses", Azure, "/openai/v1/responses", input("gpt-4o")),
        way("/v1/messages", Anthropic, "/v1/messages", message("claude-sonnet-5")),
        way("/anthropic/v1/messages", Anthropic, "/v1/messages", message("claude-sonnet-5")),
        way("/v1/chat/completions", DeepSeek, "/v1/chat/completions", chat("deepseek-flash")),
        way("/chat/completions", DeepSeek, "/chat/completions", chat("deepseek-flash")),
        way("/v1/responses", DeepSeek, "/v1/responses", input("deepseek-flash")),
        way(
            "/deepseek/anthropic/v1/messages",
            DeepSeek,
            "/anthropic/v1/messages",
            message("deepseek-flash"),
        ),
    ]
}

/// `ask` with the user's key where the SDK of `way` puts it.
fn with_key(ask: Ask, way: &Way, key: &str) -> Ask {
    match way.provider {
        Provider::Azure if !way.target.starts_with("/azure/") => ask.with("api-key", key),
        Provider::Anthropic => ask.with("x-api-key", key).with("anthropic-version", "2023-06-01"),
        Provider::DeepSeek if way.target.contains("/anthropic/") => {
            ask.with("x-api-key", key).with("anthropic-version", "2023-06-01")
        }
        Provider::OpenAi | Provider::Azure | Provider::DeepSeek => {
            ask.with("authorization", &format!("Bearer {key}"))
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_streamed_chat_crosses_the_mesh_byte_for_byte() {
    let world = world().await;
    let ask = Ask::chat(&world, true, "deltas=8,pace=5ms");
    let answer = ask.over(&world, Version::H1).await;
    answer.whole(200);
    assert!(answer.text().ends_with("data: [DONE]\n\n"));
    same_at_both_ends(&ask, &answer, &last(&world).await);
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_dialect_is_the_same_at_both_ends_streamed_or_not_over_either_http() {
    let world = world().await;
    for version in VERSIONS {
        let mut connection = connect(&world, version).await;
        for way in ways() {
            for stream in [false, true] {
                let mut body = way.body.clone();
                body["stream"] = json!(stream);
                let ask = Ask::bare(Method::POST, way.target, body.to_string());
                let ask = with_key(ask, &way, &world.key.secret).sim("deltas=5,pace=1ms");
                let answer = ask.on(&mut connection).await;
                let note = format!("{version:?} {} stream={stream}", way.target);
                assert_eq!(answer.status, 200, "{note}: {}", answer.text());
                let record = last(&world).await;
                same_at_both_ends(&ask, answer.whole(200), &record);
                assert_eq!(record.provider, Some(way.provider.name()), "{note}");
                assert_eq!(record.target, way.reached, "{note}");
                let kind = answer.header("content-type").unwrap_or_default();
                assert_eq!(kind.starts_with("text/event-stream"), stream, "{note}: {kind}");
                assert!(answer.header("weft-request-id").is_some(), "{note}");
                only_the_owners_key(&world, &way, &record);
            }
        }
    }
    let rows = rows_when(&world, 2 * 2 * ways().len()).await;
    assert!(rows.iter().all(|row| row["end"] == "complete"), "{rows:?}");
    world.end().await.unwrap();
}

/// The owner's key is on the request, where its provider wants it; the user's is nowhere.
#[track_caller]
fn only_the_owners_key(world: &World, way: &Way, record: &weft_loadtest::provider::Record) {
    let owned = format!("sha256:{}", sha256(secret(way.provider).as_bytes()));
    let users = sha256(world.key.secret.as_bytes());
    let names = ["authorization", "api-key", "x-api-key"];
    let credentials: Vec<_> =
        record.headers.iter().filter(|(name, _)| names.contains(&name.as_str())).collect();
    assert_eq!(credentials.len(), 1, "{}: {credentials:?}", way.target);
    assert_eq!(credentials[0].1, owned, "{}", way.target);
    assert!(!record.headers.iter().any(|(_, value)| value.contains(&users)));
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_pass_by_the_table_and_nothing_is_forged() {
    let world = world().await;
    for version in VERSIONS {
        let ask = Ask::chat(&world, false, "")
            .with("user-agent", "OpenAI/Python 3.0")
            .with("x-stainless-lang", "python")
            .with("idempotency-key", "one-and-only")
            .with("openai-beta", "assistants=v2")
            .with("openai-organization", "org-of-the-user")
            .with("cookie", "session=1")
            .with("x-forwarded-for", "192.0.2.7")
            .with("forwarded", "for=192.0.2.7")
            .with("x-real-ip", "192.0.2.7")
            .with("via", "1.1 office-proxy")
            .with("referer", "https://internal.example/")
            .with("origin", "https://internal.example")
            .with("sec-fetch-mode", "cors")
            .with("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
            .with("weft-note", "mine");
        let answer = ask.over(&world, version).await;
        let record = last(&world).await;
        same_at_both_ends(&ask, answer.whole(200), &record);
        for (name, value) in [
            ("user-agent", "OpenAI/Python 3.0"),
            ("x-stainless-lang", "python"),
            ("idempotency-key", "one-and-only"),
            ("openai-beta", "assistants=v2"),
            ("content-type", "application/json"),
        ] {
            assert_eq!(received(&record, name), Some(value), "{version:?} {name}");
        }
        for name in [
            "openai-organization",
            "cookie",
            "x-forwarded-for",
            "forwarded",
            "x-real-ip",
            "referer",
            "origin",
            "sec-fetch-mode",
            "traceparent",
            "weft-note",
        ] {
            assert_eq!(received(&record, name), None, "{version:?} {name}");
        }
        let via: Vec<_> = record.headers.iter().filter(|(name, _)| name == "via").collect();
        assert_eq!(via.len(), 1, "{via:?}");
        assert!(via[0].1.contains("weft") && !via[0].1.contains("office"), "{via:?}");
        for name in [
            "set-cookie",
            "alt-svc",
            "nel",
            "report-to",
            "strict-transport-security",
            "server",
            "openai-organization",
            "openai-project",
        ] {
            // The hub's own door may one day advertise HTTP/3: never the provider's value.
            assert!(
                answer
                    .header(name)
                    .is_none_or(|value| name == "alt-svc" && !value.contains("443\"; ma=86400")),
                "{version:?} {name}"
            );
        }
        assert_eq!(answer.header("x-request-id"), record.request_id.as_deref());
        assert_eq!(answer.header("x-ratelimit-remaining-tokens"), Some("29999184"));
        assert_eq!(answer.header("openai-processing-ms"), Some("412"));
    }
    let claude = Ask::message(&world, false, "")
        .with("anthropic-beta", "one-2025-01-01")
        .with("anthropic-beta", "two-2025-01-01")
        .with("anthropic-user-profile-id", "profile-of-the-user");
    let answer = claude.over(&world, Version::H1).await;
    let record = last(&world).await;
    same_at_both_ends(&claude, answer.whole(200), &record);
    let betas: Vec<_> =
        record.headers.iter().filter(|(name, _)| name == "anthropic-beta").collect();
    assert_eq!(betas.len(), 2, "{betas:?}");
    assert_eq!(received(&record, "anthropic-version"), Some("2023-06-01"));
    assert_eq!(received(&record, "anthropic-user-profile-id"), None);
    assert_eq!(answer.header("request-id"), record.request_id.as_deref());
    assert!(answer.headers.keys().any(|name| name.as_str().starts_with("anthropic-ratelimit-")));
    let told = format!("{:?}", answer.headers);
    for name in [OPENAI_ORGANIZATION, ANTHROPIC_ORGANIZATION] {
        assert!(!told.contains(name), "{told}");
    }
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hub_lists_the_models_itself_in_the_callers_dialect() {
    let world = world().await;
    let openai = Ask::post(&world, "/v1/models", &json!(null));
    let openai = Ask { method: Method::GET, body: bytes::Bytes::new(), ..openai };
    let listed = openai.over(&world, Version::H2).await;
    assert_eq!(listed.whole(200).json()["object"], "list");
    let claude = Ask::bare(Method::GET, "/v1/models", "")
        .with("x-api-key", &world.key.secret)
        .with("anthropic-version", "2023-06-01");
    let listed = claude.over(&world, Version::H1).await;
    assert!(listed.whole(200).json()["has_more"].is_boolean(), "{}", listed.text());
    assert!(world.provider.received().is_empty(), "no provider was asked");
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_over_http2_is_the_same_at_both_ends() {
    let plan = world::Plan { account: vec!["--http2"], ..world::Plan::default() };
    let world = begin(plan).await;
    for version in VERSIONS {
        for stream in [false, true] {
            let ask = Ask::chat(&world, stream, "deltas=9,pace=1ms");
            let answer = ask.over(&world, version).await;
            let record = last(&world).await;
            same_at_both_ends(&ask, answer.whole(200), &record);
            assert_eq!(record.version, "HTTP/2.0");
        }
    }
    world.end().await.unwrap();
}
