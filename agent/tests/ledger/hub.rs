//! Hubs that break their word: each is found by a named check, live where the agent is asked to take
//! it, and again offline, from files, by the command.

use crate::life::open;
use crate::world::World;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use weft_agent::datadir::DataDir;
use weft_agent::ledger::{AckError, HubKey, Ledger};
use weft_proto::entropy::SeededEntropy;
use weft_proto::ids::AgentId;
use weft_proto::ledger::journal::{NotTaken, Shift};
use weft_proto::ledger::{Hash, Position};
use weft_proto::wire::receipts::{Accepted, ChainHead, HubLedger, Showing};

/// An agent, its files, and the hub that it settles with.
struct Agent {
    world: World,
    ledger: Ledger,
    root: PathBuf,
}

impl Agent {
    fn new(root: PathBuf, seed: u64) -> Self {
        let mut world = World::new(1);
        world.agent = AgentId::generate(world.clock.as_ref(), &SeededEntropy::new(seed));
        let data = DataDir::open(&root).expect("data").ledger_dir();
        let ledger = open(&world, &data);
        let hub = HubKey::open(data.join("hub.pin")).expect("no pin yet");
        let key = *world.hub_key.public().as_bytes();
        let greeting = HubLedger { key, handovers: Vec::new(), accepted: None };
        hub.meet(world.agent, &greeting).expect("pinned");
        Self { world, ledger, root }
    }

    /// Asks for a cosignature, and is shown this journal.
    async fn shown(&self, journal: &[Hash], how: Showing) -> Result<Shift, AckError> {
        let said = self.ledger.checkpoint().await.expect("checkpoint").statement;
        let cosigned = self.world.showing(&said, journal, how);
        self.ledger.cosigned(said.epoch, cosigned).await
    }

    /// What the command says, and its exit code.
    fn verify(&self, more: &[&Path]) -> (i32, Value) {
        let mut command = self.command("verify");
        command.arg("--json");
        for file in more {
            command.arg("--against").arg(file);
        }
        let output = command.output().expect("it runs");
        let said = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
        (output.status.code().expect("it ends"), said)
    }

    /// Writes what it was shown beside its data.
    fn evidence(&self) -> PathBuf {
        let output = self.command("evidence").output().expect("it runs");
        assert!(output.status.success(), "{output:?}");
        let file = self.root.with_extension("evidence");
        std::fs::write(&file, output.stdout).expect("written");
        file
    }

    fn command(&self, word: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_weft-agent"));
        command.args(["ledger", word, "--data"]).arg(&self.root);
        command
    }
}

/// A journal of so many entries, those from `forked` on another one's.
fn journal(size: u64, forked: u64) -> Vec<Hash> {
    let leaf = |at: u64| Hash::leaf(&[&at.to_be_bytes()[..], &[u8::from(at >= forked)]].concat());
    (0..size).map(leaf).collect()
}

fn plain(size: u64) -> Vec<Hash> {
    journal(size, u64::MAX)
}

fn checks(said: &Value) -> Vec<&str> {
    let found = said["hub_findings"].as_array().expect("a list");
    found.iter().map(|found| found["check"].as_str().expect("a name")).collect()
}

#[tokio::test]
async fn a_hub_that_shows_an_old_head_or_a_second_face_is_named_live_and_offline() {
    let dir = tempfile::tempdir().expect("a folder");
    let lies = [
        (journal(6, 9), NotTaken::OldHead { shown: 6, seen: 9 }, "old_head"),
        (journal(9, 8), NotTaken::TwoFaces { shown: 9, seen: 9 }, "two_faces"),
        (journal(14, 8), NotTaken::TwoFaces { shown: 14, seen: 9 }, "two_faces"),
    ];
    for (seed, (shown, lie, check)) in (2..).zip(lies) {
        let agent = Agent::new(dir.path().join(check), seed);
        agent.shown(&plain(7), Showing::First).await.expect("the first");
        agent.shown(&plain(9), Showing::Grown).await.expect("it grew");
        let (code, said) = agent.verify(&[]);
        assert_eq!((code, &said["ok"], &said["hub_journal"]), (0, &true.into(), &9.into()));

        let refused = agent.shown(&shown, Showing::Grown).await;
        assert!(matches!(refused, Err(AckError::Journal(why)) if why == lie), "{refused:?}");
        // It goes on with a hub that shows what it owes, and the proof stays.
        agent.shown(&plain(11), Showing::Grown).await.expect("it grew");
        let (code, said) = agent.verify(&[]);
        assert_eq!((code, checks(&said)), (3, vec![check]), "{said}");
        assert_eq!((&said["ok"], &said["found"]), (&true.into(), &0.into()), "the ledger holds");
        std::fs::remove_dir_all(&agent.root).expect("removed");
    }
}

#[tokio::test]
async fn a_hub_that_admits_a_loss_is_told_apart_from_one_that_pretends() {
    let dir = tempfile::tempdir().expect("a folder");
    let agent = Agent::new(dir.path().join("agent"), 2);
    agent.shown(&plain(9), Showing::First).await.expect("the first");
    let restored = agent.shown(&journal(8, 6), Showing::Restored).await.expect("admitted");
    assert!(matches!(restored, Shift::Restored { lost } if lost.size == 9), "{restored:?}");
    agent.shown(&journal(12, 6), Showing::Grown).await.expect("it goes on");
    let (code, said) = agent.verify(&[]);
    assert_eq!((code, &said["ok"], &said["hub_journal"]), (0, &true.into(), &12.into()), "{said}");
    assert_eq!(said["hub_restored"][0]["lost_size"], 9);

    // The same journals without the admission are no continuation.
    let lied_to = Agent::new(dir.path().join("other"), 3);
    lied_to.shown(&plain(9), Showing::First).await.expect("the first");
    lied_to.shown(&journal(8, 6), Showing::Grown).await.expect_err("an old head");
    lied_to.shown(&journal(12, 6), Showing::Grown).await.expect_err("two faces");
    let (code, said) = lied_to.verify(&[]);
    let mut found = checks(&said);
    found.sort_unstable();
    assert_eq!((code, found), (3, vec!["old_head", "two_faces"]));
}

#[tokio::test]
async fn two_agents_that_were_shown_two_journals_find_it_out_by_their_files() {
    let dir = tempfile::tempdir().expect("a folder");
    let one = Agent::new(dir.path().join("one"), 2);
    let other = Agent::new(dir.path().join("other"), 3);
    let honest = Agent::new(dir.path().join("honest"), 4);
    one.shown(&plain(5), Showing::First).await.expect("the first");
    one.shown(&plain(20), Showing::Grown).await.expect("it grew");
    honest.shown(&plain(8), Showing::First).await.expect("the first");
    honest.shown(&plain(17), Showing::Grown).await.expect("it grew");
    other.shown(&journal(6, 12), Showing::First).await.expect("the first");
    other.shown(&journal(16, 12), Showing::Grown).await.expect("it grew");

    let (code, said) = one.verify(&[&honest.evidence()]);
    assert_eq!((code, &said["compared"][0]["agree_up_to"]), (0, &17.into()), "{said}");
    let file = other.evidence();
    let (code, said) = one.verify(&[&honest.evidence(), &file]);
    assert_eq!((code, &said["compared"][1]["check"]), (3, &"two_faces".into()), "{said}");
    assert_eq!(said["compared"][0]["check"], Value::Null);
    let (code, said) = other.verify(&[&one.evidence()]);
    assert_eq!((code, &said["compared"][0]["check"]), (3, &"two_faces".into()), "{said}");
    assert_eq!(checks(&said), Vec::<&str>::new(), "neither could know alone");

    // An agent cannot make it up: what the hub did not sign is refused, and what was left out too.
    let mut written: Value =
        serde_json::from_slice(&std::fs::read(&file).expect("read")).expect("JSON");
    let nodes = written["sightings"][1]["nodes"].as_str().expect("digits").to_owned();
    let swapped = format!("{}{}", &nodes[64..128], &nodes[..64]) + &nodes[128..];
    let whole = written.clone();
    written["sightings"][1]["nodes"] = swapped.into();
    let mut gap = whole.clone();
    gap["sightings"].as_array_mut().expect("a list").remove(0);
    let mut stranger = whole;
    stranger["sightings"][0]["hub_key"] = one.ledger.public_key().to_string().into();
    for forged in [written, gap, stranger] {
        std::fs::write(&file, forged.to_string()).expect("written");
        let (code, said) = one.verify(&[&file]);
        assert_eq!((code, said), (1, Value::Null), "no evidence");
    }
}

#[tokio::test]
async fn an_agent_that_is_held_on_an_old_head_is_told_by_another_one() {
    let dir = tempfile::tempdir().expect("a folder");
    let one = Agent::new(dir.path().join("one"), 2);
    let held = Agent::new(dir.path().join("held"), 3);
    one.shown(&plain(5), Showing::First).await.expect("the first");
    one.shown(&plain(9), Showing::Grown).await.expect("it grew");
    held.shown(&plain(7), Showing::First).await.expect("the first");
    held.world.clock.advance(std::time::Duration::from_secs(3_600));
    held.shown(&plain(7), Showing::Grown).await.expect("the same");
    let (code, said) = held.verify(&[&one.evidence()]);
    assert_eq!((code, &said["compared"][0]["check"]), (3, &"old_head".into()), "{said}");
}

#[tokio::test]
async fn a_hub_that_has_another_receipt_than_the_one_it_cosigned_is_named() {
    let dir = tempfile::tempdir().expect("a folder");
    let agent = Agent::new(dir.path().join("agent"), 2);
    let world = &agent.world;
    for _ in 0..3 {
        let open = agent.ledger.open_exchange(world.ticket()).await.expect("open");
        let facts = world.facts(open.opened());
        open.close(facts);
    }
    let at = Position { epoch: 1, seq: 4 };
    let stands = agent.ledger.entries(at, 1).await.expect("entries")[0].leaf;
    let said = |leaf: Hash| {
        let head = ChainHead { epoch: at.epoch, size: at.seq + 1, leaf: *leaf.as_bytes() };
        let signature = world.hub_key.sign(&Accepted::signed(world.agent, &head));
        Accepted { head, signature: *signature.as_bytes() }
    };
    let key = world.hub_key.public();
    agent.ledger.contradicted(key, said(Hash::leaf(b"another receipt"))).await.expect("kept");
    // As long as the hub has cosigned nothing, it is one word against another.
    assert_eq!(agent.verify(&[]).0, 0);
    agent.shown(&plain(5), Showing::First).await.expect("cosigned");
    let (code, said_of_it) = agent.verify(&[]);
    assert_eq!((code, checks(&said_of_it)), (3, vec!["changed_receipt"]), "{said_of_it}");
    assert_eq!(said_of_it["hub_findings"][0]["seq"], 4);
    // What agrees accuses nobody, and a word that nobody signed neither.
    for file in std::fs::read_dir(agent.root.join("ledger")).expect("files") {
        let path = file.expect("a file").path();
        if path.to_string_lossy().contains("broken-") {
            std::fs::remove_file(path).expect("removed");
        }
    }
    let unsigned = Accepted { signature: [1; 64], ..said(Hash::leaf(b"another receipt")) };
    agent.ledger.contradicted(key, said(stands)).await.expect("kept");
    agent.ledger.contradicted(key, unsigned).await.expect("kept");
    assert_eq!(agent.verify(&[]).0, 0);
}
