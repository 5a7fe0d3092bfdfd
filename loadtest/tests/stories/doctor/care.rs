//! What an owner does to an agent while it works: other keys, other accounts, other settings, a
//! backup.

use crate::egress::{change, logged, say};
use crate::talk::*;
use rustix::process::Signal;
use std::fs;
use std::time::Duration;
use tokio::task::JoinSet;
use weft_loadtest::mesh::process::{answer, command};
use weft_loadtest::mesh::world::secret;
use weft_loadtest::mesh::{Version, World};
use weft_proto::provider::Provider;

/// How the provider remembers a key that it was shown.
fn remembered(key: &str) -> String {
    format!("sha256:{}", sha256(key.as_bytes()))
}

/// The keys that the provider was shown, as it remembers them.
fn tokens(world: &World) -> Vec<String> {
    let records = world.provider.received();
    let mut tokens: Vec<_> = records
        .iter()
        .filter_map(|one| received(one, "authorization").map(str::to_owned))
        .collect();
    tokens.sort();
    tokens.dedup();
    tokens
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_and_keys_change_under_load_and_no_request_is_dropped() {
    let mut world = world().await;
    let log = world.agents[0].process.log().to_owned();
    // Long streams that must outlive every change, and short requests all the time.
    let mut streams = JoinSet::new();
    let mut connections = Vec::new();
    for _ in 0..8 {
        let mut connection = connect(&world, Version::H2).await;
        let ask = Ask::chat(&world, true, "deltas=400,pace=10ms");
        streams.spawn(Reading::of(&ask, &mut connection).end());
        connections.push(connection);
    }
    let began = world.provider.wait_for(|records| {
        (records.iter().filter(|one| one.answer_bytes > 0).count() >= 8).then_some(())
    });
    tokio::time::timeout(LIMIT, began).await.expect("streams that run");
    let steps: [(&[&str], &str); 5] = [
        (&["account", "set-key", "openai"], "sk-second-0123456789"),
        (&["account", "add", "--provider", "openai", "--label", "spare"], "sk-spare-0123456789"),
        (&["account", "set", "openai", "--concurrency", "64", "--models", "gpt-*"], ""),
        (&["account", "remove", "openai"], ""),
        (&["account", "set-key", "spare"], "sk-third-0123456789"),
    ];
    let mut asked = 8;
    for (words, input) in steps {
        let load = async {
            for _ in 0..10 {
                let ask = Ask::chat(&world, false, "");
                let answer = ask.over(&world, Version::H2).await;
                answer.whole(200);
            }
        };
        tokio::join!(change(&world, 0, words, input), load);
        asked += 10;
        // And once more, for a change by a signal that finds nothing new.
        let before = fs::read_to_string(&log).unwrap().matches("reloading").count();
        world.agents[0].process.signal(Signal::HUP).expect("signal");
        logged(&log, "reloading", before + 1).await;
    }
    for end in streams.join_all().await {
        end.whole(200);
        assert!(end.text().trim_end().ends_with("data: [DONE]"));
    }
    let after = Ask::chat(&world, false, "").over(&world, Version::H1).await;
    after.whole(200);
    let rows = rows_when(&world, asked + 1).await;
    assert!(rows.iter().all(|row| row["end"] == "complete"), "{rows:#?}");
    // The first key served until the second was there, and the last is the newest.
    let tokens = tokens(&world);
    let first = remembered(&secret(Provider::OpenAi));
    assert!(tokens.contains(&first) && tokens.len() >= 2, "{tokens:?}");
    let newest = remembered("sk-third-0123456789");
    assert_eq!(received(&last(&world).await, "authorization"), Some(newest.as_str()));
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_takes_settings_over_and_a_bad_file_changes_nothing() {
    let mut world = world().await;
    let (log, data) =
        (world.agents[0].process.log().to_owned(), world.agents[0].agent.data().to_owned());
    let settings = data.join("agent.toml");
    let hang_up = async |world: &mut World, file: &str, words: &str| {
        fs::write(&settings, file).expect("write");
        world.agents[0].process.signal(Signal::HUP).expect("signal");
        logged(&log, words, 1).await;
    };
    hang_up(&mut world, "drain_seconds = 7\nconnect_seconds = 3\n", "connect_seconds has changed")
        .await;
    logged(&log, "drain_seconds has changed", 1).await;
    assert!(!fs::read_to_string(&log).unwrap().contains("served"), "debug lines before their time");
    hang_up(&mut world, "log = \"info,weft_agent=debug\"\n", "the log filter has changed").await;
    Ask::chat(&world, false, "").over(&world, Version::H2).await.whole(200);
    logged(&log, "served", 1).await;
    hang_up(&mut world, "log_format = \"json\"\n", "log_format has changed: it needs a restart")
        .await;
    hang_up(&mut world, "log = 7\nhost = \"evil.example\"\n", "the old ones stay").await;
    // Another agent's identity is not taken over by one that runs.
    fs::write(&settings, "").expect("write");
    let kept = fs::read(data.join("identity/hub.json")).expect("read");
    fs::write(data.join("identity/hub.json"), b"{}").expect("write");
    world.agents[0].process.signal(Signal::HUP).expect("signal");
    logged(&log, "the identity cannot be used: the old one stays", 1).await;
    fs::write(data.join("identity/hub.json"), kept).expect("write");
    Ask::chat(&world, true, "").over(&world, Version::H1).await.whole(200);
    world.agents[0].process.check().expect("it runs on");
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_running_agent_serves_from_another_directory() {
    let mut world = world().await;
    let file = world.dir().join("agent.backup");
    let path = file.to_string_lossy().into_owned();
    say(&world, &world.agents[0], &["backup", "--to", &path], "").expect("backup");
    let again = say(&world, &world.agents[0], &["backup", "--to", &path], "");
    assert!(again.is_err(), "it was written over");
    let restored = world.dir().join("restored");
    let restore = |into: &std::path::Path| {
        let mut restore = command(&world.binaries().agent_sim());
        restore.args(["restore", "--json", "--from"]).arg(&file).arg("--data").arg(into);
        answer(restore, "")
    };
    assert!(restore(world.agents[0].agent.data()).is_err(), "into a directory in use");
    let said = restore(&restored).expect("restored");
    assert!(said.contains(&world.agents[0].id), "{said}");
    // A second process on one directory is refused; the restored one is another directory.
    let mut second = command(&world.binaries().agent_sim());
    second.args(["run", "--simulate", "openai=http://127.0.0.1:9", "--data"]);
    second.arg(world.agents[0].agent.data());
    let refused = answer(second, "").expect_err("locked").to_string();
    assert!(refused.contains("already runs"), "{refused}");
    world.agents[0].process.end(LIMIT).await.expect("stopped");
    let mut run = command(&world.binaries().agent_sim());
    run.arg("run").arg("--data").arg(&restored);
    for provider in Provider::ALL {
        run.args(["--simulate", &format!("{}={}", provider.name(), world.provider.url())]);
    }
    let log = world.dir().join("restored.log");
    let process = weft_loadtest::mesh::Process::start("restored", run, &log).expect("run");
    world.agents[0].process = process;
    logged(&log, "connected", 1).await;
    world.hub.offers(Provider::ALL.len()).await.expect("offers");
    tokio::time::sleep(Duration::from_millis(100)).await;
    let ask = Ask::chat(&world, true, "");
    let answer = ask.over(&world, Version::H2).await;
    answer.whole(200);
    let record = last(&world).await;
    same_at_both_ends(&ask, &answer, &record);
    let key = remembered(&secret(Provider::OpenAi));
    assert_eq!(received(&record, "authorization"), Some(key.as_str()));
    world.end().await.unwrap();
}
