//! Clocks that jump: a hub in this process, under a clock that the story sets, and an agent as a
//! process of its own, whose clock is right.

use super::*;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use weft_hub::app::{App, Machine, reachable_here};
use weft_hub::config::{HubConfig, Overrides};
use weft_hub::lifecycle::{Ended, Signals, Tasks};
use weft_loadtest::mesh::process::{answer, command};
use weft_loadtest::mesh::world::secret;
use weft_loadtest::mesh::{Agent, Binaries, Caller, Hub, Process};
use weft_loadtest::provider::{Provider as Simulated, ProviderConfig};
use weft_proto::entropy::OsEntropy;
use weft_proto::provider::Provider;
use weft_proto::time::{Clock, ManualClock, SystemClock};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A hub under a clock of the story's, one agent, one provider.
struct Jumping {
    clock: Arc<ManualClock>,
    provider: Simulated,
    binaries: Binaries,
    data: PathBuf,
    tasks: Tasks,
    running: JoinSet<Ended>,
    caller: Caller,
    dir: tempfile::TempDir,
}

impl Jumping {
    async fn begin() -> Self {
        let executable = Path::new(env!("CARGO_BIN_EXE_weft-loadtest"));
        let binaries = Binaries::beside(executable).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("hub");
        Hub::init(&binaries.hub(), &data).unwrap();
        let any = "127.0.0.1:0".parse().unwrap();
        let flags = Overrides {
            users: vec![any],
            agents: vec![any],
            admin: Some(any),
            ..Overrides::default()
        };
        let config = HubConfig::load(&data, &flags).unwrap();
        let clock = Arc::new(ManualClock::new(SystemClock.now()));
        let shared: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
        let machine = Machine { clock: shared, entropy: Arc::new(OsEntropy) };
        let app = App::bind_on(machine, config).await.unwrap();
        let caller = Caller::new(reachable_here(app.addrs().users[0]), &data.join("certs/ca.pem"));
        let (tasks, mut running) = (app.tasks(), JoinSet::new());
        running.spawn(app.run(Signals::none()));
        let provider = Simulated::bind(ProviderConfig::default()).await.unwrap();
        let caller = caller.unwrap();
        Self { clock, provider, binaries, data, tasks, running, caller, dir }
    }

    fn ask(&self, words: &[&str]) -> Result<Value, String> {
        let mut ask = command(&self.binaries.hub());
        ask.args(words).arg("--json").arg("--data").arg(&self.data);
        let text = answer(ask, "").map_err(|error| error.to_string())?;
        Ok(serde_json::from_str(&text).unwrap())
    }

    fn key(&self, more: &[&str]) -> String {
        let added = self.ask(&[&["key", "add", "--user", "alice"], more].concat()).unwrap();
        added["secret"].as_str().unwrap().to_owned()
    }

    fn agent(&self) -> Agent {
        let invite = self.ask(&["invite", "--owner", "owner"]).unwrap();
        let (program, data) = (self.binaries.agent_sim(), self.dir.path().join("agent"));
        let agent =
            Agent::join(&program, &data, "agent", invite["line"].as_str().unwrap()).unwrap();
        agent.add_account(Provider::OpenAi, "main", &secret(Provider::OpenAi), &[]).unwrap();
        agent
    }

    fn run(&self, agent: &Agent) -> Process {
        let words = ["--simulate".to_owned(), format!("openai={}", self.provider.url())];
        agent.run(&words, &[], &self.dir.path().join("agent.log")).unwrap()
    }

    async fn offered(&self, count: usize) {
        until("the agent's account", LIMIT, async || {
            let listed = self.ask(&["account", "list"]).unwrap();
            (listed.as_array().unwrap().len() == count).then_some(())
        })
        .await;
    }

    async fn status(&self, secret: &str) -> u16 {
        let mut connection = self.caller.connect(Version::H2).await.unwrap();
        let answer = chat(secret, true, "deltas=3").on(&mut connection).await;
        assert_eq!(answer.broken, None);
        answer.status
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_a_day_either_way_is_survived_and_judged_by() {
    let mut hub = Jumping::begin().await;
    let began = hub.clock.now();
    hub.ask(&["user", "add", "alice", "--owner", "owner", "--credit", "100.00"]).unwrap();
    let (lasting, short) = (hub.key(&[]), hub.key(&["--expires", "12h"]));
    let invite = hub.ask(&["invite", "--owner", "owner", "--expires", "1h"]).unwrap();
    let agent = hub.agent();
    let mut process = hub.run(&agent);
    hub.offered(1).await;
    assert_eq!((hub.status(&lasting).await, hub.status(&short).await), (200, 200));

    // A stream runs through both jumps: durations do not follow the wall clock.
    let mut standing = hub.caller.connect(Version::H2).await.unwrap();
    let through = Reading::of(&chat(&lasting, true, "pace=100ms,deltas=80"), &mut standing);

    // Forward: what has run out is refused, everything else goes on.
    hub.clock.set(began.after(DAY));
    assert_eq!((hub.status(&lasting).await, hub.status(&short).await), (200, 401));
    let late = Agent::join(
        &hub.binaries.agent_sim(),
        &hub.dir.path().join("late"),
        "late",
        invite["line"].as_str().unwrap(),
    );
    assert!(late.is_err(), "an invite that ran out was taken");

    // Backward, a day before the beginning: the short key holds again, tunnels stand, and a new
    // handshake is refused, for the agent's certificate is of tomorrow.
    hub.clock.set(weft_proto::time::Timestamp::from_secs(began.as_secs() - DAY.as_secs()));
    assert_eq!((hub.status(&lasting).await, hub.status(&short).await), (200, 200));
    through.end().await.whole(200);
    process.end(Duration::from_secs(20)).await.unwrap();
    hub.offered(0).await;
    assert_eq!(hub.status(&lasting).await, 503);
    let mut process = hub.run(&agent);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(hub.ask(&["account", "list"]).unwrap(), json!([]), "a certificate of tomorrow");

    // Right again: the agent comes by itself.
    hub.clock.set(began.after(Duration::from_secs(60)));
    hub.offered(1).await;
    assert_eq!((hub.status(&lasting).await, hub.status(&short).await), (200, 200));

    // Every admitted exchange has its own row, whatever the clock said, a moment after its answer.
    until("the rows of eight answers", LIMIT, async || {
        let rows = hub.ask(&["exchange", "list", "--limit", "100"]).unwrap();
        let rows = rows.as_array().unwrap();
        let ids: BTreeSet<_> = rows.iter().map(|row| row["id"].to_string()).collect();
        assert_eq!(ids.len(), rows.len());
        let whole = rows.iter().filter(|row| row["end"] == "complete").count();
        assert!(whole <= 8, "{rows:?}");
        (whole == 8).then_some(())
    })
    .await;
    process.end(Duration::from_secs(20)).await.unwrap();
    hub.tasks.stop();
    let ended = tokio::time::timeout(LIMIT, hub.running.join_next()).await.expect("it stops");
    assert!(!ended.unwrap().unwrap().failed);
    hub.provider.shutdown().await;
}
