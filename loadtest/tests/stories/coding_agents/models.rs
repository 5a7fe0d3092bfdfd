//! The list of models, as each tool asks for it: made by the hub, in the caller's dialect.

use crate::talk::*;
use http::Method;
use serde_json::Value;
use weft_loadtest::mesh::Version;
use weft_loadtest::mesh::world::{Plan, World};

const NAMES: [&str; 4] = ["claude-haiku-5-5", "claude-opus-5-5", "claude-sonnet-5-5", "gpt-6-luna"];

async fn listing() -> World {
    let models = "gpt-6-luna,claude-sonnet-5-5,claude-opus-5-5,claude-haiku-5-5";
    begin(Plan { account: vec!["--models", models], ..Plan::default() }).await
}

fn get(target: &str) -> Ask {
    Ask::bare(Method::GET, target, "")
}

fn by_claude(world: &World, target: &str, token: bool) -> Ask {
    let ask = get(target)
        .with("user-agent", "claude-code/2.1.197")
        .with("anthropic-version", "2023-06-01");
    let key = &world.key.secret;
    if token {
        ask.with("authorization", &format!("Bearer {key}"))
    } else {
        ask.with("x-api-key", key)
    }
}

fn by_codex(world: &World, target: &str) -> Ask {
    get(target)
        .with("originator", "codex_exec")
        .with("authorization", &format!("Bearer {}", world.key.secret))
}

fn names(list: &Value) -> Vec<&str> {
    let data = list["data"].as_array().unwrap_or_else(|| panic!("no list: {list}"));
    data.iter().map(|entry| entry["id"].as_str().expect("an id")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn claude_code_discovers_the_models_with_either_credential() {
    let world = listing().await;
    for token in [true, false] {
        for target in
            ["/v1/models?limit=1000", "/v1/models?beta=true&limit=1000", "/anthropic/v1/models"]
        {
            let answer = by_claude(&world, target, token).over(&world, Version::H1).await;
            let list = answer.whole(200).json();
            assert_eq!(names(&list), NAMES, "{target}");
            assert_eq!(list["has_more"], false, "{target}");
            assert_eq!(list["first_id"], NAMES[0], "{target}");
            assert_eq!(list["last_id"], NAMES[3], "{target}");
            for entry in list["data"].as_array().unwrap() {
                assert_eq!(entry["type"], "model");
                assert!(entry["display_name"].is_string() && entry["created_at"].is_string());
            }
        }
        let one = by_claude(&world, "/v1/models/claude-opus-5-5?beta=true", token);
        let one = one.over(&world, Version::H2).await;
        assert_eq!(one.whole(200).json()["id"], "claude-opus-5-5");
        let none =
            by_claude(&world, "/v1/models/claude-none", token).over(&world, Version::H2).await;
        assert_eq!(none.whole(404).json()["type"], "error");
    }
    assert!(world.provider.received().is_empty(), "no provider was asked");
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn anthropics_list_of_models_is_paged_both_ways() {
    let world = listing().await;
    let page = async |query: &str| {
        let ask = by_claude(&world, &format!("/v1/models?{query}"), false);
        ask.over(&world, Version::H2).await
    };
    let first = page("limit=3").await.whole(200).json();
    assert_eq!((names(&first), &first["has_more"]), (NAMES[..3].to_vec(), &Value::Bool(true)));
    let second = page("limit=3&after_id=claude-sonnet-5-5").await.whole(200).json();
    assert_eq!((names(&second), &second["has_more"]), (NAMES[3..].to_vec(), &Value::Bool(false)));
    let back = page("limit=2&before_id=gpt-6-luna").await.whole(200).json();
    assert_eq!((names(&back), &back["has_more"]), (NAMES[1..3].to_vec(), &Value::Bool(true)));
    for bad in ["limit=0", "limit=1001", "limit=many", "limit=1&limit=2", "after_id=a&before_id=b"]
    {
        let refused = page(bad).await;
        assert_eq!(refused.whole(400).json()["type"], "error", "{bad}");
    }
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn codex_and_openais_sdks_get_the_list_whole_and_in_their_own_shape() {
    let world = listing().await;
    for target in ["/v1/models", "/v1/models?client_version=0.169.0", "/openai/v1/models"] {
        let list = by_codex(&world, target).over(&world, Version::H1).await.whole(200).json();
        assert_eq!(
            (names(&list), &list["object"]),
            (NAMES.to_vec(), &Value::from("list")),
            "{target}"
        );
    }
    let one = by_codex(&world, "/v1/models/gpt-6-luna").over(&world, Version::H1).await;
    assert_eq!(one.whole(200).json()["object"], "model");
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_of_the_list_has_its_length_and_no_body() {
    let world = listing().await;
    for version in VERSIONS {
        for ask in [by_codex(&world, "/v1/models"), by_claude(&world, "/v1/models?limit=2", true)] {
            let whole = ask.over(&world, version).await;
            let head = Ask { method: Method::HEAD, ..ask }.over(&world, version).await;
            assert_eq!((head.status, head.body.len()), (200, 0), "{version:?}");
            assert_eq!(head.header("content-type"), whole.header("content-type"));
            let length = whole.body.len().to_string();
            assert_eq!(head.header("content-length"), Some(&*length), "{version:?}");
        }
    }
    world.end().await.unwrap();
}
