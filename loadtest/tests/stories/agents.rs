//! Light agents by the hundred, let loose by `weft-loadtest agents` on a hub as it is shipped: who is
//! in service, who comes back, and whom the hostile ones disturb.

use crate::talk::*;
use http::Method;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;
use tokio::time::Instant;
use weft_loadtest::mesh::Version;
use weft_loadtest::mesh::world::{OWNER, Plan, World};

const AGENTS: u64 = 200;
/// Accounts of the one whole agent of a world.
const ITS_ACCOUNTS: usize = 4;

/// A run of the command. Dropped, it is killed.
struct Run {
    child: Child,
    ready: PathBuf,
    json: PathBuf,
}

impl Run {
    fn begin(world: &World, mode: &str, count: u64, more: &[&str]) -> Self {
        let (ready, json) = (world.dir().join("ready"), world.dir().join("agents.json"));
        for stale in [&ready, &json] {
            drop(std::fs::remove_file(stale));
        }
        let log = std::fs::File::create(world.dir().join(format!("{mode}.log"))).unwrap();
        let child = Command::new(Path::new(env!("CARGO_BIN_EXE_weft-loadtest")))
            .args(["agents", mode, "--owner", OWNER, "--count", &count.to_string()])
            .arg("--hub-data")
            .arg(world.hub.data())
            .arg("--identities")
            .arg(world.dir().join("identities"))
            .arg("--ready")
            .arg(&ready)
            .arg("--json")
            .arg(&json)
            .args(more)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { child, ready, json }
    }

    /// Until all of its agents are in service.
    async fn ready(&mut self) {
        let began = Instant::now();
        while !self.ready.exists() {
            assert!(
                self.child.try_wait().unwrap().is_none(),
                "it ended before all were in service"
            );
            assert!(began.elapsed() < LIMIT, "not all are in service");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Its figures, once it has ended, and how.
    async fn figures(&mut self) -> (Value, ExitStatus) {
        let began = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(began.elapsed() < LIMIT * 2, "it does not end");
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        let text = std::fs::read_to_string(&self.json).unwrap();
        (serde_json::from_str(&text).unwrap(), status)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        drop((self.child.kill(), self.child.wait()));
    }
}

/// Accounts that connected agents offer, as the operator sees them, and exchanges that run on them.
fn offered(world: &World) -> (usize, u64) {
    let listed = world.hub.ask(&["account", "list"]).unwrap();
    let accounts = listed.as_array().unwrap();
    let running = accounts.iter().filter_map(|account| account["in_flight"].as_u64()).sum();
    (accounts.len(), running)
}

async fn until_offered(world: &World, wanted: usize) {
    let began = Instant::now();
    while offered(world) != (wanted, 0) {
        assert!(began.elapsed() < LIMIT, "{:?} are offered, not {wanted}", offered(world));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// A chat with a model that light agents alone serve.
fn light(world: &World, stream: bool) -> Ask {
    let body = json!({
        "model": "light-1", "stream": stream,
        "messages": [{"role": "user", "content": "Say what a weft is."}],
    });
    Ask::post(world, "/v1/chat/completions", &body)
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_by_the_hundred_serve_and_are_all_back_once_their_hub_has_restarted() {
    let mut world = begin(Plan { agents: 0, ..Plan::default() }).await;
    let mut storm = Run::begin(&world, "storm", AGENTS, &["--settle", "1"]);
    storm.ready().await;
    until_offered(&world, AGENTS as usize).await;
    light(&world, true).over(&world, Version::H2).await.whole(200);
    light(&world, false).over(&world, Version::H1).await.whole(200);
    // A hub that stops tells its agents; the next one finds them waiting.
    world.hub.process().end(LIMIT).await.unwrap();
    world.restart_hub().await.unwrap();
    let (figures, status) = storm.figures().await;
    assert!(status.success(), "{figures:#}");
    assert_eq!(figures["opened"]["in_service"], AGENTS, "{figures:#}");
    assert_eq!(figures["storm"]["lost"], AGENTS, "{figures:#}");
    assert_eq!(figures["storm"]["lost_again"], 0, "{figures:#}");
    assert_eq!(figures["end"]["in_service"], AGENTS, "{figures:#}");
    assert_eq!(figures["exchanges"], json!({"served": 2, "broken": 0}));
    println!("back after {} ms", figures["storm"]["back_after_ms"]["max"]);
    // They have said goodbye: nothing is left of them at the hub.
    until_offered(&world, 0).await;
    // The same identities again, which lose all their connections without a word.
    let mut storm = Run::begin(&world, "storm", AGENTS, &["--drop-all", "--settle", "1"]);
    let (figures, status) = storm.figures().await;
    assert!(status.success(), "{figures:#}");
    assert_eq!(figures["join"]["reused"], AGENTS, "{figures:#}");
    assert_eq!(figures["storm"]["lost"], AGENTS, "{figures:#}");
    assert_eq!(figures["end"]["in_service"], AGENTS, "{figures:#}");
    until_offered(&world, 0).await;
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_flapping_and_slow_agents_disturb_neither_a_user_nor_their_neighbours() {
    let world = world().await;
    for (mode, more) in [
        ("hostile", &["--attackers", "2", "--hold", "6"][..]),
        ("flapping", &["--share", "0.5", "--every", "1", "--hold", "4"]),
        ("slow", &["--share", "0.5", "--hold", "2"]),
    ] {
        let mut run = Run::begin(&world, mode, 30, more);
        run.ready().await;
        let paced = Ask::chat(&world, true, "pace=20ms,deltas=100");
        let answer = paced.over(&world, Version::H2).await;
        answer.whole(200);
        let (figures, status) = run.figures().await;
        assert!(status.success(), "{figures:#}");
        assert_eq!(figures["end"]["in_service"], 30, "{figures:#}");
        assert_eq!(figures[mode]["steady_lost"], 0, "{figures:#}");
        match mode {
            "hostile" => {
                let kinds = figures["hostile"]["kinds"].as_object().unwrap();
                assert_eq!(kinds.len(), 6, "{figures:#}");
                for (kind, attempts) in kinds {
                    assert!(attempts["tried"].as_u64() > Some(0), "{kind}: {figures:#}");
                    assert_eq!(attempts["otherwise"], 0, "{kind}: {figures:#}");
                }
            }
            "flapping" => {
                let made = figures["flapping"]["losses_made"].as_u64();
                assert!(made > Some(0), "{figures:#}");
                assert_eq!(figures["flapping"]["reconnected"].as_u64(), made, "{figures:#}");
            }
            _ => assert_eq!(figures["slow"]["slow"], 15, "{figures:#}"),
        }
        until_offered(&world, ITS_ACCOUNTS).await;
    }
    let ready = Ask::bare(Method::GET, "/health/readiness", "");
    assert_eq!(ready.over(&world, Version::H1).await.status, 200);
    world.end().await.unwrap();
}
