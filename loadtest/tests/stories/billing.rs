//! What people see of their money: the user by its key, the operator by the command line, the owner
//! in its wallet; and all of it against the provider's own bill.

use crate::talk::{Ask, LIMIT, world};
use http::Method;
use serde_json::{Value, json};
use std::process::Command;
use std::time::Duration;
use tokio::time::Instant;
use weft_loadtest::mesh::Version;
use weft_loadtest::mesh::hub::CREDIT;
use weft_loadtest::mesh::world::{OWNER, USER, World};

/// A chat and a message of fixed cost: 0.003 and 0.0045 USD at the prices of test worlds.
const CHAT: &str = "input=1000,output=500";
const MESSAGE: &str = "input=1000,output=100";

/// The balance of one account of a user or an owner.
fn balance(world: &World, whose: [&str; 2], kind: &str) -> String {
    let rows = world.hub.ask(&["ledger", "balance", whose[0], whose[1]]).expect("balances");
    let rows = rows.as_array().expect("rows");
    let is_of_kind = |row: &&Value| row["account"].as_str().is_some_and(|a| a.starts_with(kind));
    let row = rows.iter().find(is_of_kind).unwrap_or_else(|| panic!("no {kind}: {rows:?}"));
    row["balance"].as_str().expect("a balance").to_owned()
}

/// Waits until the balance is `expected`: settlements are written behind the answers.
async fn comes_to(world: &World, whose: [&str; 2], kind: &str, expected: &str) {
    let began = Instant::now();
    loop {
        let found = balance(world, whose, kind);
        if found == expected {
            return;
        }
        if began.elapsed() > LIMIT {
            let statement = world.hub.ask(&["ledger", "statement", whose[0], whose[1]]);
            let log = std::fs::read_to_string(world.hub_log()).unwrap_or_default();
            let told: Vec<_> = log.lines().filter(|line| line.contains("finding")).collect();
            panic!("{whose:?} {kind}: {found}, not {expected}: {statement:?} {told:#?}");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What a billing endpoint answers the world's user.
async fn billing(world: &World, path: &str) -> Value {
    let ask = Ask::bare(Method::GET, path, "")
        .with("authorization", &format!("Bearer {}", world.key.secret));
    let answer = ask.over(world, Version::H1).await;
    answer.whole(200);
    answer.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_user_is_charged_is_the_same_wherever_it_is_asked_for() {
    let world = world().await;
    Ask::chat(&world, false, CHAT).over(&world, Version::H2).await.whole(200);
    Ask::chat(&world, false, CHAT).over(&world, Version::H1).await.whole(200);
    Ask::message(&world, true, MESSAGE).over(&world, Version::H2).await.whole(200);
    assert_eq!(CREDIT, "1000.00");
    comes_to(&world, ["--user", USER], "paid", "999.9895").await;

    let told = billing(&world, "/v1/dashboard/billing/subscription").await;
    assert_eq!(told["hard_limit_usd"], json!(1000.0));
    let used = billing(&world, "/v1/dashboard/billing/usage").await;
    assert_eq!(used["total_usage"], json!(1.05), "{used}");
    assert_eq!(used["daily_costs"].as_array().map(Vec::len), Some(1), "{used}");

    let statement = world.hub.ask(&["ledger", "statement", "--user", USER]).expect("a statement");
    let lines = statement["lines"].as_array().expect("lines").clone();
    let charges: Vec<_> = lines.iter().filter(|line| line["what"] == "exchange").collect();
    assert_eq!((lines.len(), charges.len()), (4, 3), "{statement}");
    let sum = |field: &str| charges.iter().filter_map(|line| line[field].as_u64()).sum::<u64>();
    let bills: Vec<_> = world.provider.received().into_iter().filter_map(|r| r.usage).collect();
    let billed = bills.iter().fold((0, 0), |(input, output), bill| {
        (input + bill.input_total(), output + bill.output_total())
    });
    assert_eq!((sum("input"), sum("output")), billed);
    assert_eq!(billed, (3_000, 1_100));

    // The owner earns its tier of the list price, once the receipts are in.
    comes_to(&world, ["--owner", OWNER], "vesting", "0.0084").await;
    let verified = world.hub.ask(&["ledger", "verify"]).expect("it agrees");
    assert_eq!((&verified["agrees"], &verified["exchanges"]), (&json!(true), &json!(3)));
    world.end().await.expect("the world ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_in_a_data_zone_costs_more_and_both_ends_say_how_much() {
    let world = world().await;
    let prices = world.dir().join("zones.csv");
    std::fs::write(&prices, "provider,model,place,input,output\nazure,*,any eu:1.1,1.00,4.00\n")
        .expect("a file of prices");
    let words = ["prices", "import", &prices.display().to_string(), "--activate"];
    world.hub.ask(&words).expect("the prices come into force");
    let zone = "eu";
    let set = Command::new(world.binaries().agent_sim())
        .args(["account", "set", "azure", "--place", zone, "--data"])
        .arg(world.agents[0].agent.data())
        .output()
        .expect("the agent's command");
    assert!(set.status.success(), "{set:?}");
    let began = Instant::now();
    loop {
        let accounts = world.hub.ask(&["account", "list"]).expect("accounts");
        let rows = accounts.as_array().expect("rows").clone();
        if rows.iter().any(|row| row["provider"] == "azure" && row["place"] == zone) {
            break;
        }
        assert!(began.elapsed() < LIMIT, "{accounts}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    let said = json!([{"role": "user", "content": "hello"}]);
    let chat = json!({"model": "prod-chat", "messages": said});
    let ask = Ask::post(&world, "/azure/openai/v1/chat/completions", &chat).sim(CHAT);
    ask.over(&world, Version::H2).await.whole(200);
    // A tenth more than 0.003 USD, and the owner's share of that.
    comes_to(&world, ["--user", USER], "paid", "999.9967").await;
    comes_to(&world, ["--owner", OWNER], "vesting", "0.00264").await;
    let verified = world.hub.ask(&["ledger", "verify"]).expect("it agrees");
    assert_eq!((&verified["agrees"], &verified["exchanges"]), (&json!(true), &json!(1)));
    world.end().await.expect("the world ends");
}
