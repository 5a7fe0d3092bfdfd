//! The command that plays users, against a whole mesh: what it counts is what was there.
//!
//! Answers are learnt from the provider itself, so that "exact" compares the mesh with it byte by
//! byte. Nothing here asserts how long anything took.

use crate::talk::*;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::process::{Command, Output, Stdio};
use weft_loadtest::mesh::World;
use weft_loadtest::provider::Ending;

/// A world whose users are played by the command.
struct Stage {
    world: World,
}

impl Stage {
    async fn set() -> Self {
        let stage = Self { world: world().await };
        std::fs::write(stage.key_file(), &stage.world.key.secret).expect("a key file");
        stage
    }

    fn key_file(&self) -> std::path::PathBuf {
        self.world.dir().join("users-key")
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_weft-loadtest"));
        command
            .args(["users", &format!("https://localhost:{}", self.world.hub.users().port())])
            .arg("--ca")
            .arg(self.world.hub.ca())
            .arg("--key-file")
            .arg(self.key_file())
            .args(["--json", "-", "--quiet"])
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// The document of a run with these words, split at spaces.
    async fn run(&self, words: &str) -> Value {
        let words: Vec<_> = words.split_whitespace().collect();
        document(&output(self.command(&words)).await)
    }

    /// The same, with answers compared with the provider's own.
    async fn exactly(&self, words: &str) -> Value {
        self.run(&format!("{words} --learn-from {} --check exact", self.world.provider.url())).await
    }
}

/// What a run says, once it has ended.
async fn output(mut command: Command) -> Output {
    let output = tokio::task::spawn_blocking(move || command.output());
    let output = tokio::time::timeout(LIMIT, output).await.expect("in time");
    output.expect("no panic").expect("it runs")
}

#[track_caller]
fn document(output: &Output) -> Value {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"))
}

/// Fails unless `told` says that all `count` requests of it were answered, and every frame came
/// once, in order and unaltered.
#[track_caller]
fn all_sound(told: &Value, count: u64, frames: u64) {
    let counts = json!({
        "started": count, "done": count, "aborted": 0, "failed": 0, "unfinished": 0, "shed": 0,
    });
    assert_eq!(told["counts"], counts, "{}", told["errors"]);
    let sound = &told["frames"];
    assert_eq!(
        (&sound["expected"], &sound["arrived"]),
        (&json!(frames), &json!(frames)),
        "{sound}"
    );
    for fault in ["lost", "reordered", "duplicated", "altered"] {
        assert_eq!(sound[fault], 0, "{sound}");
    }
}

const MIX: &str = "--kind stream,weight=3,deltas=16,pace=5ms --kind json --kind embeddings \
    --kind upload,size=1MiB..2MiB,variants=2 --kind websocket,weight=2,turns=4,pace=5ms";

#[tokio::test(flavor = "multi_thread")]
async fn every_frame_of_every_kind_comes_in_order_over_each_version_of_http() {
    let stage = Stage::set().await;
    for load in [
        "--http h1 --concurrency 4 --warm-up 0",
        "--http h1 --concurrency 4 --warm-up 0 --fresh --threads 2",
        "--http h2 --connections 2 --rate 100 --warm-up 0.1",
        "--http h3 --connections 2 --concurrency 4 --warm-up 0",
    ] {
        let told = stage.exactly(&format!("{MIX} {load} --requests 24 --seed 5")).await;
        // Eight cards in a round: three rounds. A role and two ends beside the deltas.
        let kinds = &told["kinds"];
        all_sound(&kinds["stream"], 9, 9 * (16 + 3));
        all_sound(&kinds["json"], 3, 3);
        all_sound(&kinds["embeddings"], 3, 3);
        all_sound(&kinds["upload"], 3, 3);
        all_sound(&kinds["websocket"], 6, 6 * 4);
        all_sound(&told["total"], 24, 9 * 19 + 9 + 24);
        assert_eq!(told["total"]["check"], "exact", "{load}");
        assert!(told["total"]["bytes"]["up"].as_u64() > Some(3 << 20), "{load}");
        assert_eq!(kinds["stream"]["gap"]["count"], 9 * 15, "{load}");
        assert_eq!(kinds["stream"]["total"]["count"], 9, "{load}");
        let done: u64 = told["timeline"]
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|second| second["done"].as_u64())
            .sum();
        // What began in the warm-up and ended behind it is among them.
        assert!(done >= 24, "{load}: {done}");
    }
    stage.world.end().await.expect("a graceful end");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_is_counted_by_what_it_is() {
    let stage = Stage::set().await;
    let stream = "--kind stream,deltas=16,pace=2ms --concurrency 2 --warm-up 0 --requests 6";
    for (http, kind) in [("h1", "short"), ("h2", "reset")] {
        let told = stage.run(&format!("{stream} --http {http} --sim-more fault=cut;at=5")).await;
        let total = &told["total"];
        assert_eq!((&total["counts"]["done"], &total["counts"]["failed"]), (&json!(0), &json!(6)));
        assert_eq!(total["errors"][kind], 6, "{http}: {}", total["errors"]);
        // Those ahead of the fault came; those behind it are the fault's, not lost. What the hub
        // says in place of them is no frame of the provider's.
        let frames = |name: &str| total["frames"][name].as_u64().expect("a count");
        // A cut may overtake the last frame of each stream.
        let sound = frames("arrived") - frames("altered");
        assert!((24..=30).contains(&sound), "{}", total["frames"]);
        assert_eq!(frames("lost") + frames("reordered") + frames("duplicated"), 0);
    }
    let told = stage.run(&format!("{stream} --sim-more fault=400")).await;
    assert_eq!(told["total"]["errors"]["status"], json!({"400": 6}));
    let told = stage.run(&format!("{stream} --sim-more fault=stall;at=2 --timeout 0.5")).await;
    assert_eq!(told["total"]["errors"]["timeout"], 6, "{}", told["total"]["errors"]);
    let told = stage.run(&format!("{stream} --sim-more fault=error-event;at=2")).await;
    assert_eq!(told["total"]["errors"]["short"], 6, "{}", told["total"]["errors"]);
    stage.world.end().await.expect("a graceful end");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_given_up_are_counted_and_the_provider_sees_them_go() {
    let stage = Stage::set().await;
    for http in ["h1", "h2"] {
        stage.world.provider.reset();
        let told = stage
            .run(&format!(
                "--http {http} --kind stream,deltas=40,pace=10ms --rate 60 --requests 30 \
                 --warm-up 0 --abort 50% --seed 9 --check frames"
            ))
            .await;
        let (counts, aborts) = (&told["total"]["counts"], &told["total"]["aborts"]);
        let count = |name: &str| counts[name].as_u64().expect("a count");
        assert_eq!(count("done") + count("aborted"), 30, "{counts}");
        assert_eq!((count("failed"), count("unfinished")), (0, 0), "{counts}");
        // Chance, but the seed's: the same in every run.
        assert!((8..=22).contains(&count("aborted")), "{counts}");
        let in_body = aborts["in_body"].as_u64().expect("a count");
        assert_eq!(
            aborts["before_head"].as_u64().map(|early| early + in_body),
            Some(count("aborted"))
        );
        assert_eq!(told["total"]["frames"]["lost"], 0);
        let gone = stage.world.provider.wait_for(|records| {
            let over = records.iter().all(|record| record.ending.is_some());
            let gone = records.iter().filter(|record| record.ending == Some(Ending::ClientGone));
            over.then(|| gone.count() as u64)
        });
        let gone = tokio::time::timeout(LIMIT, gone).await.expect("the provider hears of it");
        assert!((in_body..=count("aborted")).contains(&gone), "{http}: {gone} of {aborts}");
    }
    stage.world.end().await.expect("a graceful end");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_run_tells_what_it_has() {
    let stage = Stage::set().await;
    let words = ["--kind", "json", "--concurrency", "2", "--seconds", "60", "--warm-up", "0"];
    let child = stage.command(&words).spawn().expect("it runs");
    let pid = Pid::from_child(&child);
    let answered = stage.world.provider.wait_for(|records| (records.len() >= 8).then_some(()));
    tokio::time::timeout(LIMIT, answered).await.expect("requests come");
    kill_process(pid, Signal::INT).expect("it runs still");
    let output = tokio::task::spawn_blocking(move || child.wait_with_output());
    let output = tokio::time::timeout(LIMIT, output).await.expect("it ends early");
    let told = document(&output.expect("no panic").expect("an output"));
    assert_eq!(told["interrupted"], true);
    assert!(told["total"]["counts"]["done"].as_u64() >= Some(4), "{}", told["total"]["counts"]);
    assert!(told["window_seconds"].as_f64() < Some(59.0));
    stage.world.end().await.expect("a graceful end");
}

#[tokio::test]
async fn what_is_not_to_be_targeted_or_cannot_be_is_refused_before_anything_is_sent() {
    let cases: [(&[&str], &str); 4] = [
        (&["http://192.0.2.1:9", "--rate", "1"], "--i-own-this-target"),
        (&["http://127.0.0.1:9", "--rate", "1", "--concurrency", "1"], "either --rate"),
        (&["http://127.0.0.1:9", "--concurrency", "1"], "a connection cannot be opened"),
        (&["http://127.0.0.1:9"], "either --rate"),
    ];
    for (words, said) in cases {
        let mut command = Command::new(env!("CARGO_BIN_EXE_weft-loadtest"));
        command.arg("users").args(words);
        let output = output(command).await;
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && error.contains(said), "{words:?}: {error}");
        assert!(output.stdout.is_empty());
    }
}
