//! How an account's requests leave: through its owner's proxy and no other way, byte for byte.

use crate::talk::*;
use serde_json::json;
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;
use weft_loadtest::egress::{EgressProxy, Login, Speaks};
use weft_loadtest::mesh::process::{answer, command};
use weft_loadtest::mesh::world::{Running, secret};
use weft_loadtest::mesh::{MeshError, Version, World};
use weft_proto::provider::Provider;

const PASSWORD: &str = "far-away:pässword";

fn login() -> Login {
    Login { user: "me".to_owned(), password: PASSWORD.to_owned() }
}

/// Runs `words` of the agent's command line on the data of `running`.
pub(crate) fn say(
    world: &World,
    running: &Running,
    words: &[&str],
    input: &str,
) -> Result<String, MeshError> {
    let mut say = command(&world.binaries().agent_sim());
    say.args(words).arg("--data").arg(running.agent.data());
    answer(say, input)
}

fn lines_with(log: &Path, words: &str) -> usize {
    let text = std::fs::read_to_string(log).expect("the log");
    text.lines().filter(|line| line.contains(words)).count()
}

/// Waits until `count` lines of the log have `words` in them.
pub(crate) async fn logged(log: &Path, words: &str, count: usize) {
    let began = Instant::now();
    while lines_with(log, words) < count {
        let text = std::fs::read_to_string(log).expect("the log");
        assert!(began.elapsed() < LIMIT, "{count} times {words:?}:\n{text}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Changes accounts of a running agent, and waits until it has taken the change over.
pub(crate) async fn change(world: &World, index: usize, words: &[&str], input: &str) {
    let running = &world.agents[index];
    let log = running.process.log();
    let before = lines_with(log, "the vault has changed");
    say(world, running, words, input).expect("changed");
    logged(log, "the vault has changed", before + 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_leave_through_their_account_s_proxy_and_arrive_byte_for_byte() {
    let world = world().await;
    let provider = world.provider.addr();
    for speaks in Speaks::ALL {
        for login in [None, Some(login())] {
            let proxy = EgressProxy::bind(speaks, login.clone()).await.expect("proxy");
            let egress = proxy.egress();
            let input = login.as_ref().map_or("", |login| login.password.as_str());
            change(&world, 0, &["account", "set", "openai", "--egress", &egress], input).await;
            let padding = "x".repeat(1 << 20);
            let body =
                json!({ "model": "gpt-4o", "messages": [{ "role": "user", "content": padding }] });
            for ask in [
                Ask::chat(&world, true, "deltas=50"),
                Ask::chat(&world, false, "gzip"),
                Ask::post(&world, "/v1/chat/completions", &body),
            ] {
                let answer = ask.over(&world, Version::H2).await;
                answer.whole(200);
                same_at_both_ends(&ask, &answer, &last(&world).await);
            }
            let asked = proxy.asked();
            let note = format!("{egress}: {asked:?}");
            assert!(!asked.is_empty(), "{note}");
            for one in &asked {
                let place = (one.host.clone(), one.port);
                assert_eq!(place, (provider.ip().to_string(), provider.port()), "{note}");
                let key = secret(Provider::OpenAi);
                assert!(memchr::memmem::find(&one.raw, key.as_bytes()).is_none(), "{note}");
            }
            // Another account of the same agent keeps its own way.
            let ask = Ask::message(&world, true, "");
            ask.over(&world, Version::H1).await.whole(200);
            assert_eq!(proxy.asked().len(), asked.len());
            assert_eq!(proxy.turned_away(), 0);
            proxy.shutdown().await;
        }
    }
    let listed = say(&world, &world.agents[0], &["account", "list", "--json"], "").expect("list");
    assert!(listed.contains("socks5://me@127.0.0.1:") && !listed.contains(PASSWORD), "{listed}");
    assert!(listed.contains("\"egress\": \"direct\""), "{listed}");
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_refuses_or_is_not_there_is_told_and_nothing_reaches_the_provider() {
    let world = world().await;
    let log = world.agents[0].process.log().to_owned();
    for speaks in Speaks::ALL {
        let proxy = EgressProxy::bind(speaks, Some(login())).await.expect("proxy");
        let egress = proxy.egress();
        change(&world, 0, &["account", "set", "openai", "--egress", &egress], "wrong-pass").await;
        let before = world.provider.stats().total;
        let answer = Ask::chat(&world, true, "").over(&world, Version::H1).await;
        assert!([502, 503].contains(&answer.status), "{}", answer.text());
        assert!(answer.json()["error"]["message"].is_string());
        assert!(proxy.turned_away() >= 1);
        proxy.shutdown().await;
        let answer = Ask::chat(&world, true, "").over(&world, Version::H2).await;
        assert!([502, 503].contains(&answer.status), "{}", answer.text());
        assert_eq!(world.provider.stats().total, before, "something was sent");
    }
    logged(&log, "refuses the user or password (407)", 1).await;
    logged(&log, "refuses the user or password: set", 1).await;
    logged(&log, "cannot connect to 127.0.0.1", 2).await;
    let text = std::fs::read_to_string(&log).expect("the log");
    assert!(!text.contains("wrong-pass") && !text.contains("me@"), "a credential in the log");
    // A password that is right mends it.
    let proxy = EgressProxy::bind(Speaks::Socks5, Some(login())).await.expect("proxy");
    let egress = proxy.egress();
    change(&world, 0, &["account", "set", "openai", "--egress", &egress], PASSWORD).await;
    Ask::chat(&world, true, "").over(&world, Version::H1).await.whole(200);
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn another_account_takes_over_where_a_proxy_is_dead() {
    let plan = weft_loadtest::mesh::world::Plan { agents: 2, ..Default::default() };
    let world = begin(plan).await;
    let dead = EgressProxy::bind(Speaks::Connect, None).await.expect("proxy");
    let egress = dead.egress();
    dead.shutdown().await;
    change(&world, 0, &["account", "set", "openai", "--egress", &egress], "").await;
    for at in 0..20 {
        let ask = Ask::chat(&world, at % 2 == 0, "");
        let answer = ask.over(&world, Version::H2).await;
        answer.whole(200);
        same_at_both_ends(&ask, &answer, &last(&world).await);
    }
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_that_is_cut_in_the_middle_of_an_answer_is_no_end() {
    let world = world().await;
    for speaks in Speaks::ALL {
        let proxy = EgressProxy::bind(speaks, None).await.expect("proxy");
        let egress = proxy.egress();
        change(&world, 0, &["account", "set", "openai", "--egress", &egress], "").await;
        let ask = Ask::chat(&world, true, "deltas=2000,pace=10ms");
        let mut connection = connect(&world, Version::H2).await;
        let reading = Reading::of(&ask, &mut connection);
        let begun = world.provider.wait_for(|records| {
            records.last().filter(|one| one.ending.is_none() && one.answer_bytes > 4_096).map(drop)
        });
        tokio::time::timeout(LIMIT, begun).await.expect("a stream that runs");
        proxy.cut();
        let answer = reading.end().await;
        assert_eq!(answer.status, 200);
        assert!(answer.broken.is_some(), "a clean end: {}", answer.text());
        assert!(!answer.text().contains("[DONE]"));
    }
    for row in rows_when(&world, 2).await {
        assert_eq!(row["end"], "upstream_truncated", "{row}");
    }
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_proxy_is_ever_taken_from_the_environment() {
    let mut world = world().await;
    let trap = EgressProxy::bind(Speaks::Connect, None).await.expect("proxy");
    let url = trap.egress();
    let names =
        ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"];
    let mut environment: Vec<(&str, &str)> =
        names.iter().map(|name| (*name, url.as_str())).collect();
    environment.extend([("NO_PROXY", ""), ("no_proxy", "")]);
    let mut words = Vec::new();
    for provider in Provider::ALL {
        words.extend([
            "--simulate".to_owned(),
            format!("{}={}", provider.name(), world.provider.url()),
        ]);
    }
    world.agents[0].process.end(LIMIT).await.expect("stopped");
    let log = world.dir().join("trapped.log");
    let process = world.agents[0].agent.run(&words, &environment, &log).expect("run");
    world.agents[0].process = process;
    logged(&log, "connected", 1).await;
    world.hub.offers(Provider::ALL.len()).await.expect("offers");
    for ask in [Ask::chat(&world, true, ""), Ask::message(&world, false, "")] {
        let answer = ask.over(&world, Version::H1).await;
        answer.whole(200);
        same_at_both_ends(&ask, &answer, &last(&world).await);
    }
    // The shipped artefact, on its way to the official hosts and to its hub.
    let mut doctor = command(&world.binaries().agent());
    doctor.args(["doctor", "--json", "--data"]).arg(world.agents[0].agent.data());
    doctor.envs(environment);
    drop(tokio::task::spawn_blocking(move || answer(doctor, "")).await.expect("no panic"));
    assert_eq!(trap.connections(), 0, "{:?}", trap.asked());
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_agent_asks_a_proxy_for_the_official_host_and_shows_it_no_key() {
    let world = world().await;
    let data = world.dir().join("official");
    let key = "sk-never-leaves-the-vault";
    for speaks in Speaks::ALL {
        let proxy = EgressProxy::bind(speaks, Some(login())).await.expect("proxy");
        let label = speaks.scheme();
        let mut add = command(&world.binaries().agent());
        add.args(["account", "add", "--provider", "openai", "--label", label, "--egress"]);
        add.arg(proxy.egress()).arg("--data").arg(&data);
        answer(add, &format!("{key}\n{PASSWORD}\n")).expect("added");
        let mut doctor = command(&world.binaries().agent());
        doctor.args(["doctor", "--json", "--data"]).arg(&data);
        let failed =
            tokio::task::spawn_blocking(move || answer(doctor, "")).await.expect("no panic");
        let said = failed.expect_err("the test proxy goes to no official host").to_string();
        assert!(said.contains("checks failed"), "{said}");
        let asked = proxy.asked();
        assert_eq!(asked.len(), 1, "{asked:?}");
        assert_eq!((asked[0].host.as_str(), asked[0].port), ("api.openai.com", 443));
        assert!(memchr::memmem::find(&asked[0].raw, key.as_bytes()).is_none());
        proxy.shutdown().await;
        let mut remove = command(&world.binaries().agent());
        remove.args(["account", "remove", label, "--data"]).arg(&data);
        answer(remove, "").expect("removed");
    }
    world.end().await.unwrap();
}
