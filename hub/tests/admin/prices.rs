//! Price books, from the file to what is in force, over the real binary.

use crate::operator::Hub;
use serde_json::json;

/// A map of two models, one key of which nobody knows.
const MAP: &str = r#"{
    "gpt-x": {"litellm_provider": "openai", "input_cost_per_token": 2e-06,
              "output_cost_per_token": 8e-06, "cost_of_the_moon": 1},
    "elsewhere": {"litellm_provider": "another", "input_cost_per_token": 1}
}"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_new_hub_has_prices_and_takes_others_when_it_is_told_to() {
    let mut hub = Hub::start().await;
    let listed = hub.cli_json(&["prices", "list"]);
    let bundled = listed["books"][0]["hash"].as_str().expect("a hash").to_owned();
    assert_eq!(listed["books"][0]["active"], true);
    let shown = hub.cli_json(&["prices", "show", "--model", "gpt-5.4"]);
    assert_eq!(shown["hash"], bundled);
    assert!(shown["rows"][0]["prices"]["input"].is_string());
    let table = hub.cli(&["prices", "show", "--model", "claude-opus-5-5"]);
    assert!(table.contains("anthropic") && table.contains("cache_write_1h 0.000008"), "{table}");
    let deepseek = hub.cli_json(&["prices", "show", "--model", "deepseek-flash"]);
    let peak = deepseek["schedules"]["deepseek-peak"].as_str().expect("a schedule");
    assert!(peak.contains("01:00-04:00") && peak.contains("except cn-public"), "{peak}");

    let file = hub.data.path().join("prices.csv");
    std::fs::write(&file, "provider,model,input,output\nopenai,*,3,12\n").expect("written");
    let file = file.to_str().expect("a path");
    let imported = hub.cli_json(&["prices", "import", file]);
    let hash = imported["hash"].as_str().expect("a hash").to_owned();
    assert_eq!((&imported["new"], &imported["active"]), (&json!(true), &json!(false)));
    assert_eq!(imported["report"]["rows"], 1);
    let diff = hub.cli_json(&["prices", "diff", "active", &hash]);
    assert_eq!(diff["added"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        diff["removed"].as_array().map(Vec::len),
        listed["books"][0]["rows"].as_u64().map(|n| n as usize)
    );
    let activated = hub.cli_json(&["prices", "activate", &hash]);
    assert_eq!((&activated["number"], &activated["hash"]), (&json!(2), &json!(hash)));
    assert_eq!(hub.cli_json(&["prices", "show"])["hash"], json!(hash));

    // A restart keeps what is in force.
    hub.signal("-TERM");
    assert!(hub.ended().await.success());
    hub.restart().await;
    let listed = hub.cli_json(&["prices", "list"]);
    assert_eq!(listed["activations"][0]["hash"], json!(hash));
    assert_eq!(listed["books"].as_array().map(Vec::len), Some(2));
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_with_a_key_about_money_that_nobody_knows_is_refused_unless_accepted() {
    let hub = Hub::start().await;
    let file = hub.data.path().join("map.json");
    std::fs::write(&file, MAP).expect("written");
    let file = file.to_str().expect("a path");
    let refused = hub.data.run(&["prices", "import", file]);
    assert!(!refused.status.success());
    let error = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        error.contains("nothing was imported") && error.contains("cost_of_the_moon"),
        "{error}"
    );
    assert_eq!(hub.cli_json(&["prices", "list"])["books"].as_array().map(Vec::len), Some(1));

    let told = hub.cli(&["prices", "import", file, "--accept-unread", "--activate"]);
    assert!(told.contains("cost_of_the_moon") && told.contains("in force         yes"), "{told}");
    // More than other requests may have, and still no more than a price list may.
    let padded = format!("{MAP}{}", " ".repeat(1024 * 1024));
    std::fs::write(file, padded).expect("written");
    let again = hub.cli_json(&["prices", "import", file, "--accept-unread"]);
    assert_eq!(again["new"], false);
    for (method, path, status) in [
        ("GET", "/api/v1/prices/nothing", 422),
        ("POST", "/api/v1/prices?format=xml", 422),
        ("POST", "/api/v1/prices", 422),
    ] {
        assert_eq!(hub.api(method, path, None).await.status, status, "{method} {path}");
    }
    let unknown = format!("/api/v1/prices/{}", "0".repeat(64));
    assert_eq!(hub.api("GET", &unknown, None).await.status, 404);
    assert_eq!(hub.api("POST", &format!("{unknown}/activate"), None).await.status, 404);
    hub.stop().await;
}
