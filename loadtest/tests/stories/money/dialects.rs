//! Nothing left to spend: said in the words of whoever asks, and nobody is called.

use crate::talk::*;
use crate::websocket::user::Wish;
use http::Method;
use serde_json::json;
use weft_loadtest::mesh::world::OWNER;

#[tokio::test(flavor = "multi_thread")]
async fn who_has_nothing_left_hears_so_in_its_own_dialect_and_no_provider_is_asked() {
    let world = world().await;
    world.hub.ask(&["user", "add", "poor", "--owner", OWNER]).expect("a user");
    let key = world.hub.add_key("poor", &[]).expect("a key").secret;
    let bearer = format!("Bearer {key}");
    let message = Ask::message(&world, true, "").without("x-api-key").with("x-api-key", &key);
    let chat = Ask::chat(&world, false, "").without("authorization");
    let chat = chat.with("authorization", &bearer);
    let response = json!({"model": "gpt-4o", "store": false, "input": "Weave."});
    let response = Ask::bare(Method::POST, "/v1/responses", response.to_string());
    let response = response.with("authorization", &bearer);
    for version in VERSIONS {
        for (ask, anthropic) in [(&chat, false), (&response, false), (&message, true)] {
            let answer = ask.over(&world, version).await;
            assert_eq!(answer.status, 402, "{}", answer.text());
            // Asking again changes nothing: SDKs are told not to.
            assert!(answer.header("retry-after").is_none(), "{:?}", answer.headers);
            assert_eq!(answer.header("x-should-retry"), Some("false"));
            let told = answer.json();
            if anthropic {
                assert_eq!(
                    (&told["type"], &told["error"]["type"]),
                    (&json!("error"), &json!("billing_error"))
                );
            } else {
                assert_eq!(told["error"]["code"], "insufficient_quota", "{told}");
            }
        }
    }
    let wish = Wish::bare("/v1/realtime?model=gpt-realtime").with("authorization", &bearer);
    assert_eq!(wish.ask(&world).await.status, 402);
    assert!(world.provider.received().is_empty(), "a provider was asked");
    world.end().await.unwrap();
}
