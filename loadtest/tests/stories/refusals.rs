//! What is refused, by whom, and in which words.

use crate::talk::*;
use http::Method;
use serde_json::{Value, json};
use std::time::Duration;
use weft_loadtest::mesh::Version;
use weft_loadtest::mesh::world::{World, secret};
use weft_loadtest::provider::{ANTHROPIC_ORGANIZATION, OPENAI_ORGANIZATION};
use weft_proto::provider::Provider;

#[tokio::test(flavor = "multi_thread")]
async fn what_the_hub_refuses_is_told_in_the_callers_dialect() {
    let world = world().await;
    let key = format!("Bearer {}", world.key.secret);
    let bare = |method, target: &str| Ask::bare(method, target, "").with("authorization", &key);
    for version in VERSIONS {
        let unknown = bare(Method::POST, "/v1/no/such/path").over(&world, version).await;
        assert!(unknown.whole(404).json()["error"]["code"].is_string());
        let claude = bare(Method::POST, "/v1/messages/nothing").over(&world, version).await;
        assert_eq!(claude.json()["type"], "error", "{}", claude.text());
        assert!([403, 404].contains(&claude.status));

        let get = bare(Method::GET, "/v1/embeddings").over(&world, version).await;
        assert_eq!(get.whole(405).header("allow"), Some("POST"));
        let head = bare(Method::HEAD, "/v1/chat/completions").over(&world, version).await;
        assert!((400..500).contains(&head.status) && head.body.is_empty(), "{head:?}");

        let private = bare(Method::GET, "/v1/organization/costs").over(&world, version).await;
        private.whole(403);
        assert_eq!(private.header("x-should-retry"), Some("false"));

        let none = Ask::chat(&world, false, "").without("authorization");
        none.over(&world, version).await.whole(401);
        let wrong = none.clone().with("authorization", "Bearer wk-wrong");
        wrong.over(&world, version).await.whole(401);
        let query = format!("/v1/chat/completions?api-key={}", world.key.secret);
        let query = Ask { target: query, ..Ask::chat(&world, false, "") };
        let answer = query.over(&world, version).await;
        answer.whole(400);
        assert!(!answer.text().contains(&world.key.secret));
        let sneaky = Ask::chat(&world, false, "");
        for target in ["/v1/../v1/chat/completions", "/v1//chat/completions", "/v1/%2e%2e/chat"] {
            let ask = Ask { target: target.to_owned(), ..sneaky.clone() };
            assert_eq!(ask.over(&world, version).await.status, 400, "{target}");
        }
    }
    let missing = Ask::post(&world, "/v1/chat/completions", &json!({"model": 7, "messages": []}));
    assert_eq!(missing.over(&world, Version::H1).await.status, 400);
    assert!(world.provider.received().is_empty(), "nothing reached the provider");
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_provider_says_about_the_request_passes_unchanged() {
    let world = world().await;
    for version in VERSIONS {
        for (fault, status) in [
            ("400", 400),
            ("429", 429),
            ("500", 500),
            ("503", 503),
            ("529", 529),
            ("error-event", 200),
        ] {
            for ask in [Ask::chat(&world, true, fault), Ask::message(&world, true, fault)] {
                let answer = ask.over(&world, version).await;
                same_at_both_ends(&ask, answer.whole(status), &last(&world).await);
            }
        }
    }
    let filtered = Ask::bare(
        Method::POST,
        "/openai/deployments/prod-chat/chat/completions?api-version=2024-10-21",
        json!({"messages": []}).to_string(),
    )
    .with("api-key", &world.key.secret)
    .sim("content-filter");
    let answer = filtered.over(&world, Version::H2).await;
    same_at_both_ends(&filtered, answer.whole(400), &last(&world).await);
    let limited = Ask::chat(&world, false, "429").over(&world, Version::H1).await;
    assert!(["retry-after", "retry-after-ms"].iter().any(|name| limited.header(name).is_some()));
    world.end().await.unwrap();
}

/// Whatever could tell the key or its owner.
fn telltale(provider: Provider) -> Vec<String> {
    let key = secret(provider);
    let tail = key[key.len() - 4..].to_owned();
    vec![key[..10].to_owned(), tail, OPENAI_ORGANIZATION.into(), ANTHROPIC_ORGANIZATION.into()]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_provider_says_about_the_key_becomes_the_hubs_own_503() {
    let world = world().await;
    let azure = Ask::bare(
        Method::POST,
        "/openai/deployments/prod-chat/chat/completions?api-version=2024-10-21",
        json!({"messages": []}).to_string(),
    )
    .with("api-key", &world.key.secret);
    let deepseek = json!({"model": "deepseek-flash", "messages": []});
    let asks = [
        (Provider::OpenAi, Ask::chat(&world, true, "401")),
        (Provider::DeepSeek, Ask::post(&world, "/v1/chat/completions", &deepseek).sim("402")),
        (Provider::Azure, azure.sim("429-quota")),
        (Provider::Anthropic, Ask::message(&world, false, "403")),
    ];
    for (provider, ask) in &asks {
        let answer = ask.over(&world, Version::H2).await;
        assert_eq!(answer.status, 503, "{provider}: {}", answer.text());
        assert!(answer.header("retry-after").is_some());
        let told = format!("{:?} {}", answer.headers, answer.text());
        for word in telltale(*provider) {
            assert!(!told.contains(&word), "{provider} tells {word}: {told}");
        }
    }
    // One error disables nothing; three in a row pause the account, and it is not called again.
    let fails = Ask::chat(&world, true, "401");
    for _ in 0..2 {
        fails.over(&world, Version::H1).await.whole(503);
    }
    let before = world.provider.received().len();
    let again = Ask::chat(&world, true, "").over(&world, Version::H1).await;
    assert_eq!(again.status, 503, "{}", again.text());
    assert_eq!(world.provider.received().len(), before, "a paused account was called");
    // The refusal's row comes apart from those of the faults, and perhaps before them.
    let faults = |rows: &[Value]| rows.iter().filter(|row| row["end"] == "account_fault").count();
    let rows = rows_once(&world, |rows| faults(rows) >= asks.len() + 2).await;
    assert_eq!(faults(&rows), asks.len() + 2, "{rows:?}");
    let logs = [world.hub_log(), world.agents[0].process.log().to_owned()];
    for log in logs {
        let text = std::fs::read_to_string(&log).unwrap();
        for provider in Provider::ALL {
            for word in telltale(provider) {
                assert!(!text.contains(&word), "{} tells {word}", log.display());
            }
        }
    }
    world.end().await.unwrap();
}

async fn status_with(world: &World, secret: &str) -> u16 {
    let ask = Ask::chat(world, false, "")
        .without("authorization")
        .with("authorization", &format!("Bearer {secret}"));
    ask.over(world, Version::H2).await.status
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_end_when_they_should_and_allow_what_they_say() {
    let world = world().await;
    let hub = &world.hub;
    let key = |more: &[&str]| hub.add_key("user", more).unwrap();

    let revoked = key(&[]);
    assert_eq!(status_with(&world, &revoked.secret).await, 200);
    hub.ask(&["key", "revoke", &revoked.id]).unwrap();
    assert_eq!(status_with(&world, &revoked.secret).await, 401, "revoked");

    let short = key(&["--expires", "2s"]);
    assert_eq!(status_with(&world, &short.secret).await, 200);
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!(status_with(&world, &short.secret).await, 401, "expired");

    let narrow = key(&["--models", "claude-*"]);
    assert_eq!(status_with(&world, &narrow.secret).await, 403, "model");
    let wide = key(&["--models", "claude-*,gpt-4*"]);
    assert_eq!(status_with(&world, &wide.secret).await, 200, "model");
    let elsewhere = key(&["--network", "192.0.2.0/24"]);
    assert_eq!(status_with(&world, &elsewhere.secret).await, 403, "network");
    let here = key(&["--network", "127.0.0.0/8"]);
    assert_eq!(status_with(&world, &here.secret).await, 200, "network");

    hub.ask(&["user", "disable", "user"]).unwrap();
    let disabled = status_with(&world, &here.secret).await;
    assert!([401, 403].contains(&disabled), "{disabled}");
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_for_own_use_serves_no_stranger() {
    let world = world().await;
    world.hub.add_user("stranger", Some("another-owner")).unwrap();
    world.hub.add_user("nobody", None).unwrap();
    for user in ["stranger", "nobody"] {
        let key = world.hub.add_key(user, &[]).unwrap();
        assert_eq!(status_with(&world, &key.secret).await, 503, "{user}");
    }
    assert!(world.provider.received().is_empty());
    assert_eq!(status_with(&world, &world.key.secret).await, 200);
    world.end().await.unwrap();
}
