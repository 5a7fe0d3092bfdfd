//! Money, as the operator handles it: over the real binary and the real admin door.

use super::operator::Hub;
use serde_json::{Value, json};

/// A key of a new user, as the header that carries it.
fn key_of(hub: &Hub, user: &str) -> [(&'static str, String); 1] {
    let secret = hub.cli(&["key", "add", "--user", user]);
    [("authorization", format!("Bearer {}", secret.trim()))]
}

/// What a command complains of.
fn refused(hub: &Hub, words: &[&str]) -> String {
    let output = hub.data.run(words);
    assert!(!output.status.success(), "{words:?} was done");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn balance(hub: &Hub, user: &str, kind: &str) -> String {
    let rows = hub.cli_json(&["ledger", "balance", "--user", user]);
    let rows = rows.as_array().expect("rows").clone();
    let account = |row: &&Value| row["account"].as_str().is_some_and(|a| a.starts_with(kind));
    let row = rows.iter().find(account).unwrap_or_else(|| panic!("no {kind}: {rows:?}"));
    row["balance"].as_str().expect("a balance").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn money_given_to_a_user_is_in_every_place_that_shows_it() {
    let hub = Hub::start().await;
    hub.cli(&["user", "add", "alice", "--credit", "10.00"]);
    hub.cli(&["credit", "add", "alice", "5", "--reason", "invoice 17"]);
    hub.cli(&["credit", "adjust", "alice", "-2.5", "--reason", "paid twice"]);
    hub.cli(&["credit", "promo", "alice", "1.00"]);
    assert_eq!(balance(&hub, "alice", "paid"), "12.50");
    assert_eq!(balance(&hub, "alice", "promo"), "1.00");
    let statement = hub.cli_json(&["ledger", "statement", "--user", "alice"]);
    let lines = statement["lines"].as_array().expect("lines");
    assert_eq!(lines.len(), 4, "{statement}");
    assert!(lines.iter().any(|line| line["memo"] == "invoice 17" && line["amount"] == "5.00"));
    let csv = hub.cli(&["ledger", "statement", "--user", "alice", "--csv"]);
    assert!(csv.starts_with("at,amount,what,id,model,") && csv.lines().count() == 5, "{csv}");
    assert!(csv.contains(",-2.50,adjustment,"), "{csv}");

    let alice = key_of(&hub, "alice");
    let told = hub.users("GET", "/v1/dashboard/billing/subscription", &alice).await;
    assert_eq!((told.status, &told.json()["hard_limit_usd"]), (200, &json!(13.5)));
    let usage = hub.users("GET", "/v1/dashboard/billing/usage?start_date=2026-01-01", &alice).await;
    assert_eq!(usage.json(), json!({"object": "list", "daily_costs": [], "total_usage": 0}));
    let bad = hub.users("GET", "/v1/dashboard/billing/usage?end_date=soon", &alice).await;
    assert_eq!(bad.status, 400, "{}", bad.text());
    let nobody = hub.users("GET", "/v1/dashboard/billing/usage", &[]).await;
    assert_eq!(nobody.status, 401);

    let verified = hub.cli_json(&["ledger", "verify"]);
    assert_eq!(verified["agrees"], true, "{verified}");
    assert!(verified["journal"].as_u64().is_some_and(|entries| entries >= 5), "{verified}");
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn amounts_that_nobody_can_mean_change_nothing() {
    let hub = Hub::start().await;
    let error = refused(&hub, &["user", "add", "bob", "--credit", "ten"]);
    assert!(error.contains("credit: not an amount"), "{error}");
    assert_eq!(hub.cli_json(&["user", "list"]), json!([]));
    hub.cli(&["user", "add", "alice"]);
    for amount in ["0", "-1", "1000000.01", "1e3", "0.0000000001"] {
        let body = json!({"kind": "deposit", "amount": amount});
        let answer = hub.api("POST", "/api/v1/users/alice/credit", Some(body)).await;
        assert_eq!(answer.status, 422, "{amount}: {}", answer.text());
    }
    let body = json!({"kind": "adjustment", "amount": "-0.01", "reason": "why not"});
    let short = hub.api("POST", "/api/v1/users/alice/credit", Some(body)).await;
    assert_eq!(short.status, 409, "{}", short.text());
    let body = json!({"kind": "adjustment", "amount": "1"});
    let unreasoned = hub.api("POST", "/api/v1/users/alice/credit", Some(body)).await;
    assert_eq!(unreasoned.status, 422, "{}", unreasoned.text());
    assert_eq!(balance(&hub, "alice", "paid"), "0.00");
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_shown_once_and_redeemed_once_by_whoever_has_a_key() {
    let hub = Hub::start().await;
    for user in ["alice", "carol"] {
        hub.cli(&["user", "add", user]);
    }
    let made = hub.cli_json(&["credit", "codes", "2.50", "--count", "2", "--expires", "1d"]);
    let code = made["codes"][0].as_str().expect("a code").to_owned();
    assert!(hub.files_with(&code).is_empty(), "{:?}", hub.files_with(&code));
    let alice = key_of(&hub, "alice");
    let body = json!({"code": code});
    let redeemed = hub.users_post("/weft/v1/redeem", &alice, &body).await;
    assert_eq!(redeemed.status, 200, "{}", redeemed.text());
    assert_eq!(redeemed.json()["promotional_credit_usd"], 2.5);
    let taken = hub.users_post("/weft/v1/redeem", &key_of(&hub, "carol"), &body).await;
    assert_eq!(taken.status, 403, "{}", taken.text());
    let unknown = hub.users_post("/weft/v1/redeem", &alice, &json!({"code": "wc-x"})).await;
    assert_eq!(unknown.status, 404, "{}", unknown.text());
    let other = json!({"code": made["codes"][1]});
    let by_admin = hub.api("POST", "/api/v1/users/carol/redeem", Some(other)).await;
    assert_eq!(by_admin.status, 201, "{}", by_admin.text());
    assert_eq!(balance(&hub, "carol", "promo"), "2.50");
    assert_eq!(hub.cli_json(&["credit", "batches"])[0]["redeemed"], 2);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_that_could_profit_from_itself_is_refused_in_a_sentence() {
    let hub = Hub::start().await;
    hub.cli(&["zone", "set", "low", "0.75"]);
    hub.cli(&["user", "add", "alice", "--owner", "bob"]);
    for words in [
        &["user", "set", "alice", "--zone", "low"][..],
        &["user", "add", "mallory", "--owner", "bob", "--zone", "low"],
        &["owner", "set-tier", "bob", "1.01"],
        &["zone", "set", "standard", "0.5"],
    ] {
        let error = refused(&hub, words);
        assert!(error.contains("belongs to owner bob"), "{words:?}: {error}");
        assert!(error.contains("raise the zone or lower the tier"), "{words:?}: {error}");
    }
    let promo = refused(&hub, &["credit", "promo", "alice", "1.00"]);
    assert!(promo.contains("alice belongs to an owner"), "{promo}");
    hub.cli(&["user", "add", "carol", "--zone", "low"]);
    hub.cli(&["credit", "promo", "carol", "1.00"]);
    let joins = refused(&hub, &["user", "set", "carol", "--zone", "standard", "--owner", "bob"]);
    assert!(joins.contains("promotional credit"), "{joins}");
    hub.cli(&["owner", "set-tier", "bob", "0.7"]);
    let alice = hub.cli_json(&["user", "set", "alice", "--zone", "low"]);
    assert_eq!(alice["zone"], "low");
    assert_eq!(hub.cli_json(&["owner", "list"])[0]["tier_ppm"], 700_000);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn spend_limits_of_a_key_are_set_shown_and_taken_away() {
    let hub = Hub::start().await;
    hub.cli(&["user", "add", "alice"]);
    let added = hub.cli_json(&["key", "add", "--user", "alice", "--day-limit", "1.50"]);
    assert_eq!(added["key"]["day_limit"], "1.50");
    let id = added["key"]["id"].as_str().expect("an id");
    let key = hub.cli_json(&["key", "set", id, "--month-limit", "20", "--zone", "premium"]);
    let shown = (&key["day_limit"], &key["month_limit"], &key["zone"]);
    assert_eq!(shown, (&json!("1.50"), &json!("20.00"), &json!("premium")));
    let key = hub.cli_json(&["key", "set", id, "--day-limit", "-", "--zone", "-"]);
    let shown = (&key["day_limit"], &key["month_limit"], &key["zone"]);
    assert_eq!(shown, (&Value::Null, &json!("20.00"), &Value::Null));
    let error = refused(&hub, &["key", "set", id, "--zone", "nowhere"]);
    assert!(error.contains("no such price zone"), "{error}");
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payout_needs_a_wallet_that_has_it() {
    let hub = Hub::start().await;
    hub.cli(&["user", "add", "alice", "--owner", "bob"]);
    let error = refused(&hub, &["payout", "request", "bob", "1.00"]);
    assert!(error.contains("has 0.00 USD"), "{error}");
    let unknown = hub
        .api(
            "POST",
            "/api/v1/payouts/01920c1e-7b8a-7000-8000-000000000000/approve",
            Some(json!({"reference": "x"})),
        )
        .await;
    assert_eq!(unknown.status, 404, "{}", unknown.text());
    assert_eq!(hub.cli(&["payout", "list", "--csv"]).lines().count(), 1);
    assert_eq!(hub.cli_json(&["ledger", "vest"])["exchanges"], 0);
    hub.stop().await;
}
