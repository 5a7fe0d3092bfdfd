//! The operator's whole day, over the real binary, the real admin door and real HTTPS.

#[path = "admin/disputes.rs"]
mod disputes;
#[path = "admin/money.rs"]
mod money;
#[path = "admin/operator.rs"]
mod operator;
#[path = "admin/prices.rs"]
mod prices;
#[path = "admin/revocation.rs"]
mod revocation;
#[path = "admin/stopping.rs"]
mod stopping;

use operator::{Hub, Initialised};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_key_made_on_the_command_line_opens_the_users_door_until_it_is_revoked() {
    let hub = Hub::start().await;
    let user = hub.cli_json(&["user", "add", "alice"]);
    assert_eq!(user["name"], "alice");
    let added =
        hub.cli_json(&["key", "add", "--user", "alice", "--models", "gpt-*", "--expires", "1d"]);
    let secret = added["secret"].as_str().expect("a secret");
    assert!(secret.starts_with("wk-") && secret.len() == 52, "{} characters", secret.len());
    assert_eq!(added["key"]["models"], json!(["gpt-*"]));
    assert_eq!(added["key"]["hint"], secret[48..]);

    let bearer = [("authorization", format!("Bearer {secret}"))];
    assert_eq!(hub.users("GET", "/v1/models", &bearer).await.status, 200);
    let id = added["key"]["id"].as_str().expect("an id");
    let revoked = hub.cli_json(&["key", "revoke", id]);
    assert!(revoked["revoked_at"].is_string());
    assert_eq!(hub.users("GET", "/v1/models", &bearer).await.status, 401);

    // The secret is shown once: nothing that lists keys has it, and no file holds it.
    let listed = hub.cli(&["key", "list", "--json"]);
    assert!(listed.contains(id) && !listed.contains(secret));
    assert!(hub.files_with(secret).is_empty(), "{:?}", hub.files_with(secret));
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_users_keys_are_refused_at_once_and_taken_again_when_enabled() {
    let hub = Hub::start().await;
    hub.cli(&["user", "add", "Zoë's laptop / 1"]);
    let secret = hub.cli(&["key", "add", "--user", "Zoë's laptop / 1"]);
    let bearer = [("x-api-key", secret.trim().to_owned())];
    for (word, status) in [("disable", 403), ("enable", 200)] {
        hub.cli(&["user", word, "Zoë's laptop / 1"]);
        assert_eq!(hub.users("GET", "/v1/models", &bearer).await.status, status, "{word}");
    }
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_tables_for_people_and_arrays_for_scripts() {
    let hub = Hub::start().await;
    assert_eq!(hub.cli_json(&["user", "list"]), json!([]));
    assert_eq!(hub.cli(&["agent", "list"]), "none\n");
    assert_eq!(hub.cli_json(&["account", "list"]), json!([]));
    assert_eq!(hub.cli_json(&["exchange", "list"]), json!([]));
    for name in ["alice", "bob"] {
        hub.cli(&["user", "add", name]);
    }
    let table = hub.cli(&["user", "list"]);
    assert!(table.starts_with("ID") && table.lines().count() == 3, "{table}");
    assert_eq!(hub.cli_json(&["user", "list"])[1]["name"], "bob");
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invite_carries_the_bound_door_and_its_owner_is_made_once() {
    let hub = Hub::start().await;
    let line = hub.cli(&["invite", "--owner", "carol", "--expires", "1h"]);
    let invite: weft_certs::Invite = line.trim().parse().expect("an invite");
    assert_eq!(invite.addresses()[0].to_string(), hub.addresses["agents"][0].as_str().unwrap());
    hub.cli(&["invite", "--owner", "carol"]);
    let owners = hub.api("GET", "/api/v1/owners", None).await.json();
    assert_eq!(owners["items"].as_array().map(Vec::len), Some(1));
    let invites = hub.api("GET", "/api/v1/invites", None).await.json();
    assert_eq!(invites["items"].as_array().map(Vec::len), Some(2));
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_wants_the_token_and_says_so_as_a_problem() {
    let hub = Hub::start().await;
    for bearer in [None, Some("Bearer wrong"), Some("Basic d2s6")] {
        let refused = hub.admin("GET", "/api/v1/users", bearer, None).await;
        assert_eq!(refused.status, 401, "{bearer:?}");
        assert_eq!(refused.content_type, "application/problem+json");
        assert_eq!(refused.json()["title"], "Unauthorized");
    }
    for open in ["/health/liveness", "/health/readiness", "/metrics", "/api/v1/openapi.json"] {
        assert_eq!(hub.admin("GET", open, None, None).await.status, 200, "{open}");
    }
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_is_told_as_a_problem_that_names_the_field() {
    let hub = Hub::start().await;
    hub.cli(&["user", "add", "alice"]);
    let huge = "x".repeat(70_000);
    let cases = [
        ("GET", "/api/v1/nothing", None, 404, "Not Found"),
        ("GET", "/elsewhere", None, 404, "Not Found"),
        ("DELETE", "/api/v1/users", None, 405, "Method Not Allowed"),
        ("POST", "/api/v1/users", Some(json!({"name": "alice"})), 409, "user name"),
        ("POST", "/api/v1/users", Some(json!({"name": " "})), 422, "name"),
        ("POST", "/api/v1/users", Some(json!({"nmae": "x"})), 422, "nmae"),
        ("POST", "/api/v1/users", Some(json!({"name": huge})), 413, ""),
        ("GET", "/api/v1/users?limit=x", None, 400, "limit"),
        ("GET", "/api/v1/users?after=x", None, 422, "after"),
        ("GET", "/api/v1/keys?user=nobody", None, 404, "no such user"),
        ("POST", "/api/v1/keys", Some(json!({"user": "alice", "models": ["a b"]})), 422, "models"),
        ("POST", "/api/v1/keys", Some(json!({"user": "alice", "models": []})), 422, "models"),
        (
            "POST",
            "/api/v1/keys",
            Some(json!({"user": "alice", "networks": ["x"]})),
            422,
            "networks",
        ),
        (
            "POST",
            "/api/v1/keys",
            Some(json!({"user": "alice", "expires_in_seconds": 0})),
            422,
            "expires",
        ),
        ("POST", "/api/v1/keys/x/revoke", None, 422, "key"),
        (
            "POST",
            "/api/v1/invites",
            Some(json!({"owner": "o", "expires_in_seconds": 1e9 as u64})),
            422,
            "expires",
        ),
        ("POST", "/api/v1/agents/01920c1e-7b8a-7000-8000-000000000000/revoke", None, 404, "agent"),
        ("GET", "/api/v1/exchanges/01920c1e-7b8a-7000-8000-000000000000", None, 404, "exchange"),
    ];
    for (method, path, body, status, named) in cases {
        let refused = hub.api(method, path, body).await;
        assert_eq!(refused.status, status, "{method} {path}: {}", refused.text());
        assert_eq!(refused.content_type, "application/problem+json", "{method} {path}");
        assert!(refused.text().contains(named), "{method} {path}: {}", refused.text());
    }
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn long_lists_come_in_pages() {
    let hub = Hub::start().await;
    for n in 0..5 {
        let body = json!({"name": format!("user {n}")});
        assert_eq!(hub.api("POST", "/api/v1/users", Some(body)).await.status, 201);
    }
    let mut names = Vec::new();
    let mut path = "/api/v1/users?limit=2".to_owned();
    loop {
        let page = hub.api("GET", &path, None).await.json();
        let items = page["items"].as_array().expect("items").clone();
        assert!(items.len() <= 2);
        names.extend(items.iter().map(|user| user["name"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => path = format!("/api/v1/users?limit=2&after={next}"),
            None => break,
        }
    }
    assert_eq!(names, ["user 0", "user 1", "user 2", "user 3", "user 4"]);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_names_every_route_that_the_command_line_uses() {
    let hub = Hub::start().await;
    let description = hub.admin("GET", "/api/v1/openapi.json", None, None).await.json();
    assert!(description["openapi"].as_str().is_some_and(|version| version.starts_with("3.")));
    for path in [
        "/api/v1/users",
        "/api/v1/users/{user}/disable",
        "/api/v1/users/{user}/enable",
        "/api/v1/keys",
        "/api/v1/keys/{key}/revoke",
        "/api/v1/owners",
        "/api/v1/invites",
        "/api/v1/agents",
        "/api/v1/agents/{agent}/revoke",
        "/api/v1/accounts",
        "/api/v1/exchanges",
        "/api/v1/exchanges/{exchange}",
        "/api/v1/prices",
        "/api/v1/prices/{hash}",
        "/api/v1/prices/{hash}/diff/{other}",
        "/api/v1/prices/{hash}/activate",
    ] {
        assert!(description["paths"][path].is_object(), "{path}");
    }
    assert!(description["components"]["securitySchemes"]["token"].is_object());
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_are_shown_without_a_users_name() {
    let hub = Hub::start().await;
    hub.cli(&["user", "add", "mallory"]);
    let wrong = [("authorization", "Bearer wk-wrong".to_owned())];
    assert_eq!(hub.users("GET", "/v1/models", &wrong).await.status, 401);
    let figures = hub.admin("GET", "/metrics", None, None).await.text();
    assert!(figures.contains("weft_hub_refusals_total{cause=\"key_malformed\"} 1"), "{figures}");
    assert!(figures.ends_with("# EOF\n") && !figures.contains("mallory"));
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_hub_on_one_directory_is_refused() {
    let hub = Hub::start().await;
    let second = hub.data.run(&["serve", "--users", "127.0.0.1:0", "--agents", "127.0.0.1:0"]);
    assert!(!second.status.success());
    let error = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(error.contains("is in use: a hub (process "), "{error}");
    hub.stop().await;
}

#[test]
fn init_makes_private_files_and_never_overwrites_a_hub() {
    use std::os::unix::fs::PermissionsExt;
    let data = Initialised::new();
    for private in ["admin.token", "hub.toml", "."] {
        let mode = std::fs::metadata(data.path().join(private)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{private} is open to others: {mode:o}");
    }
    let before = std::fs::read(data.path().join("admin.token")).unwrap();
    let again = data.run(&["init"]);
    assert!(!again.status.success());
    assert!(String::from_utf8_lossy(&again.stderr).contains("stays as it is"));
    assert_eq!(std::fs::read(data.path().join("admin.token")).unwrap(), before);
}

#[test]
fn commands_without_a_hub_say_what_is_missing() {
    let data = Initialised::new();
    // A port that was free a moment ago: nobody listens there.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = format!("[admin]\naddress = \"{free}\"\n");
    std::fs::write(data.path().join("hub.toml"), config).unwrap();
    let silent = data.run(&["user", "list"]);
    assert!(!silent.status.success());
    let error = String::from_utf8_lossy(&silent.stderr).into_owned();
    assert!(error.contains("no hub runs on") && error.contains("weft-hub serve"), "{error}");

    let nowhere = operator::run(std::path::Path::new("/nonexistent/weft"), &["user", "list"]);
    let error = String::from_utf8_lossy(&nowhere.stderr).into_owned();
    assert!(error.contains("weft-hub init"), "{error}");
}
