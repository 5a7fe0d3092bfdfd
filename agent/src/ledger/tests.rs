//! The ledger on a real directory: what is durable, what comes back, what is refused.

use super::*;
use crate::datadir::DataDir;
use crate::ledger::log;
use std::path::Path;
use weft_proto::codes::AbortCode;
use weft_proto::entropy::SeededEntropy;
use weft_proto::ids::{AccountId, LeaseId};
use weft_proto::ledger::note::Cosignature;
use weft_proto::ledger::verify::{Check, Trust, Verifier};
use weft_proto::ledger::{Ack, AckBatch, Body, End, Entry, HubHead, Shown, SigningKey, Verdict};
use weft_proto::money::{ListPrice, NanoUsd, Ratio};
use weft_proto::prices::BookHash;
use weft_proto::provider::Provider;
use weft_proto::time::{Clock, ManualClock, Timestamp};
use weft_proto::wire::head::{Terms, Ticket};
use weft_proto::wire::receipts::Showing;

/// Ids and keys of one test.
struct World {
    dir: tempfile::TempDir,
    clock: Arc<ManualClock>,
    entropy: SeededEntropy,
    agent: AgentId,
    hub: HubId,
    hub_key: SigningKey,
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_790_000_000)));
        let entropy = SeededEntropy::new(4);
        Self {
            dir: tempfile::tempdir().expect("temporary directory"),
            agent: AgentId::generate(clock.as_ref(), &entropy),
            hub: HubId::generate(clock.as_ref(), &entropy),
            hub_key: SigningKey::from_seed(&[9; 32]).expect("key"),
            clock,
            entropy,
        }
    }

    fn root(&self) -> &Path {
        self.dir.path()
    }

    fn parts(&self, writer: Writer) -> LedgerParts {
        let root = self.root();
        LedgerParts {
            disk: Arc::new(Files::open(root, true).expect("files")),
            index: IndexAt::File(root.join("index.db")),
            key: SigningKey::from_seed(&[7; 32]).expect("key"),
            agent: self.agent,
            hub: self.hub,
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            writer,
            segment_bytes: SEGMENT_BYTES,
        }
    }

    fn open(&self) -> Ledger {
        Ledger::open(self.parts(Writer::Thread)).expect("open")
    }

    fn ticket(&self) -> Open {
        let clock = self.clock.as_ref();
        let exchange = ExchangeId::generate(clock, &self.entropy);
        let account = AccountId::generate(clock, &self.entropy);
        let mut ticket = Ticket::free(exchange, 1, account, clock.now());
        ticket.mac = [3; 32];
        ticket.terms = Some(Terms {
            lease: LeaseId::generate(clock, &self.entropy),
            counter: 1,
            book: BookHash::from_bytes([5; 32]),
            model: "gpt-5.2".to_owned(),
            place: None,
            tier: Ratio::from_ppm(800_000),
            cap: NanoUsd::new(9_000),
        });
        Open { ticket, provider: Provider::OpenAi }
    }

    fn acks(&self, closes: &[Unacknowledged], verdict: Verdict) -> SignedAcks {
        let acks = closes.iter().map(|close| Ack {
            exchange: close.exchange,
            attempt: close.attempt,
            seq: close.position.seq,
            verdict,
            amount: if verdict == Verdict::Paid { close.income } else { NanoUsd::ZERO },
        });
        let mut batch = AckBatch {
            agent: self.agent,
            epoch: closes[0].position.epoch,
            at: self.clock.now(),
            acks: acks.collect(),
            signature: [0; 64],
        };
        batch.signature = *self.hub_key.sign(&batch.signed()).as_bytes();
        SignedAcks { key: self.hub_key.public(), batch }
    }
}

/// A proper end with a list price of 5,000 nano-USD, of which the tier gives 4,000.
fn served() -> CloseFacts {
    let list = ListPrice::from_pico(5_000_000);
    CloseFacts {
        list,
        income: NanoUsd::new(4_000),
        status: 200,
        ..CloseFacts::nothing(End::Proper)
    }
}

async fn all(ledger: &Ledger) -> Vec<Entry> {
    let mut found = Vec::new();
    let mut from = Position { epoch: 1, seq: 0 };
    loop {
        let some = ledger.entries(from, 7).await.expect("entries");
        let Some(last) = some.last() else {
            return found;
        };
        from = Position { seq: last.position.seq + 1, ..last.position };
        found.extend(some.iter().map(|stored| Entry::decode(&stored.bytes).expect("entry")));
    }
}

fn kinds(entries: &[Entry]) -> Vec<&'static str> {
    entries.iter().map(|entry| entry.body.name()).collect()
}

/// Holds all entries against the rules.
async fn verified(ledger: &Ledger) -> Verifier {
    let mut verifier = Verifier::new(Trust::default());
    for entry in all(ledger).await {
        verifier.push(&entry.encode().expect("encode")).expect("push");
    }
    verifier.finish(true);
    assert_eq!(verifier.findings(), []);
    assert_eq!(verifier.head(), ledger.head());
    verifier
}

#[tokio::test]
async fn an_exchange_is_opened_closed_acknowledged_and_adds_up() {
    for writer in [Writer::Thread, Writer::Inline] {
        let world = World::new();
        let ledger = Ledger::open(world.parts(writer)).expect("open");
        let entry = ledger.open_exchange(world.ticket()).await.expect("open");
        assert_eq!(entry.position(), Position { epoch: 1, seq: 1 });
        entry.close(served());
        ledger.flush().await.expect("flush");
        let waiting = ledger.unacknowledged(None, 10).await.expect("waiting");
        assert_eq!(waiting.len(), 1);
        assert_eq!(waiting[0].income, NanoUsd::new(4_000));
        let disputed = world.acks(&waiting, Verdict::Disputed);
        assert!(ledger.acknowledge(disputed.clone()).await.expect("a word"));
        assert!(!ledger.acknowledge(disputed).await.expect("the same word"), "is no news");
        let waiting = ledger.unacknowledged(None, 10).await.expect("waiting");
        assert_eq!(waiting[0].verdict, Some(Verdict::Disputed));
        let paid = world.acks(&waiting, Verdict::Paid);
        assert!(ledger.acknowledge(paid.clone()).await.expect("paid"));
        assert!(!ledger.acknowledge(paid).await.expect("paid again"));
        assert!(ledger.unacknowledged(None, 10).await.expect("waiting").is_empty());
        let refused = ledger.acknowledge(world.acks(&waiting, Verdict::Refused)).await;
        assert!(matches!(refused, Err(AckError::Twice(_))));
        let found = ledger.closes_of(waiting[0].exchange).await.expect("closes");
        assert_eq!(found[0].word, Some((Verdict::Paid, NanoUsd::new(4_000))));
        assert_eq!(kinds(&all(&ledger).await), ["epoch", "open", "close", "ack", "ack"]);
        let verifier = verified(&ledger).await;
        assert_eq!(verifier.totals().income_nanos, 4_000);
    }
}

#[tokio::test]
async fn words_that_do_not_hold_are_refused_and_change_nothing() {
    let world = World::new();
    let ledger = world.open();
    ledger.open_exchange(world.ticket()).await.expect("open").close(served());
    ledger.flush().await.expect("flush");
    let waiting = ledger.unacknowledged(None, 10).await.expect("waiting");
    let mut forged = world.acks(&waiting, Verdict::Paid);
    forged.batch.acks[0].amount = NanoUsd::new(1);
    assert!(matches!(ledger.acknowledge(forged).await, Err(AckError::Signature)));
    let with = |change: fn(&mut Ack)| {
        let mut acks = world.acks(&waiting, Verdict::Paid);
        change(&mut acks.batch.acks[0]);
        acks.batch.signature = *world.hub_key.sign(&acks.batch.signed()).as_bytes();
        acks
    };
    let above = with(|ack| ack.amount = NanoUsd::new(4_001));
    assert!(matches!(ledger.acknowledge(above).await, Err(AckError::AboveClaim(_))));
    let elsewhere = with(|ack| ack.seq += 1);
    assert!(matches!(ledger.acknowledge(elsewhere).await, Err(AckError::Unknown(_))));
    let another = with(|ack| ack.attempt = 2);
    assert!(matches!(ledger.acknowledge(another).await, Err(AckError::Unknown(_))));
    assert_eq!(ledger.head().size, 3);
}

#[tokio::test]
async fn a_word_that_the_hub_breaks_is_kept_once_and_found_again_offline() {
    let world = World::new();
    let data = DataDir::open(world.root().join("agent")).expect("data");
    let disk = Arc::new(Files::open(data.ledger_dir(), true).expect("files"));
    let parts = LedgerParts { disk, index: IndexAt::Memory, ..world.parts(Writer::Thread) };
    let ledger = Ledger::open(parts).expect("open");
    for _ in 0..2 {
        ledger.open_exchange(world.ticket()).await.expect("open").close(served());
    }
    ledger.flush().await.expect("flush");
    let waiting = ledger.unacknowledged(None, 10).await.expect("waiting");
    ledger.acknowledge(world.acks(&waiting[..1], Verdict::Paid)).await.expect("paid");
    let with = |key: &SigningKey, at: usize, change: fn(&mut Ack)| {
        let mut acks = world.acks(&waiting[at..=at], Verdict::Paid);
        change(&mut acks.batch.acks[0]);
        acks.key = key.public();
        acks.batch.signature = *key.sign(&acks.batch.signed()).as_bytes();
        acks
    };
    let hub = &world.hub_key;
    let stranger = SigningKey::from_seed(&[3; 32]).expect("key");
    let said = [
        with(hub, 0, |ack| ack.amount = NanoUsd::new(3_999)),
        with(hub, 1, |ack| ack.amount = NanoUsd::new(4_001)),
        with(hub, 1, |ack| ack.seq = 4_711),
        with(&stranger, 1, |ack| ack.seq = 4_712),
    ];
    for said in said.iter().chain(&said) {
        ledger.acknowledge(said.clone()).await.expect_err("it breaks its word");
    }
    ledger.stop().await.expect("stop");

    let mut broken = broken::BrokenWords::read(&data).expect("kept");
    let trust = Trust { hub_keys: vec![hub.public()], ..Trust::default() };
    let reading = read::read(&data, trust, true, |entry| broken.see(entry)).expect("a ledger");
    assert_eq!(reading.verifier.found(), 0, "nothing of it is in the chain");
    let names = |keys: &[PublicKey]| {
        let found = broken.findings(Some(world.agent), keys);
        assert!(found.iter().all(|found| found.finding.check == Check::ChangedReceipt));
        let mut names: Vec<_> = found.iter().filter_map(|found| Some(found.rule?.name())).collect();
        names.sort_unstable();
        names
    };
    let three = ["ack_above_claim", "ack_without_close", "acked_twice"];
    assert_eq!(names(&[hub.public()]), three, "what a stranger signed is no word of the hub");
    assert_eq!(names(&[]).len(), 4);
    let another = AgentId::generate(world.clock.as_ref(), &world.entropy);
    assert!(broken.findings(Some(another), &[hub.public()]).is_empty());
}

#[tokio::test]
async fn what_was_open_when_a_process_ended_is_closed_as_interrupted_once() {
    let world = World::new();
    let ledger = world.open();
    let open = ledger.open_exchange(world.ticket()).await.expect("open");
    // As a killed process: nobody closes it.
    std::mem::forget(open);
    ledger.stop().await.expect("stop");
    drop(ledger);
    for _ in 0..2 {
        let again = world.open();
        let entries = all(&again).await;
        assert_eq!(kinds(&entries), ["epoch", "open", "close"]);
        let Body::Close(close) = &entries[2].body else { panic!("a close") };
        assert_eq!((close.end, close.income), (End::Interrupted, NanoUsd::new(9_000)));
        verified(&again).await;
    }
}

#[tokio::test]
async fn a_guard_that_is_dropped_closes_and_a_caller_that_is_gone_called_nobody() {
    let world = World::new();
    let ledger = world.open();
    drop(ledger.open_exchange(world.ticket()).await.expect("open"));
    // The future is polled once, which sends the request, and dropped.
    let mut asking = Box::pin(ledger.open_exchange(world.ticket()));
    let gone = futures_util::poll!(asking.as_mut());
    assert!(gone.is_pending());
    drop(asking);
    ledger.flush().await.expect("flush");
    // Its close follows in a commit of its own.
    ledger.flush().await.expect("flush");
    let entries = all(&ledger).await;
    let ends: Vec<End> = entries
        .iter()
        .filter_map(|entry| match &entry.body {
            Body::Close(close) => Some(close.end),
            Body::Epoch(_)
            | Body::Open(_)
            | Body::Acks(_)
            | Body::Checkpoint(_)
            | Body::Cosigned(_) => None,
        })
        .collect();
    assert_eq!(ends[0], End::Interrupted);
    assert!(ends[1..].iter().all(|end| *end == End::cut(AbortCode::NotSent)));
    verified(&ledger).await;
}

#[tokio::test]
async fn a_thousand_callers_share_commits_and_nothing_is_lost() {
    let world = World::new();
    let ledger = world.open();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..1_000 {
        let (ledger, ticket) = (ledger.clone(), world.ticket());
        tasks.spawn(async move {
            ledger.open_exchange(ticket).await.expect("open").close(served());
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("task");
    }
    ledger.flush().await.expect("flush");
    assert_eq!(ledger.head().size, 2_001);
    assert_eq!(ledger.unacknowledged(None, 5_000).await.expect("waiting").len(), 1_000);
    verified(&ledger).await;
}

#[tokio::test]
async fn entries_are_found_wherever_they_stand() {
    let world = World::new();
    let mut parts = world.parts(Writer::Thread);
    // Three segments, and many readings of each.
    parts.segment_bytes = 600_000;
    let ledger = Ledger::open(parts).expect("open");
    for _ in 0..50 {
        for _ in 0..50 {
            ledger.open_exchange(world.ticket()).await.expect("open").close(served());
        }
        ledger.flush().await.expect("flush");
    }
    let size = ledger.head().size;
    let at = |seq| Position { epoch: 1, seq };
    for step in [1, 3, 97, 1_500] {
        let wanted: Vec<_> = (0..size + 10).step_by(step).map(at).collect();
        let found = ledger.exactly(wanted.clone()).await.expect("entries");
        let there: Vec<_> = wanted.into_iter().filter(|at| at.seq < size).collect();
        assert!(found.iter().map(|stored| stored.position).eq(there));
        for stored in found.iter().step_by(50) {
            let same = ledger.entries(stored.position, 1).await.expect("entry");
            assert_eq!(same, std::slice::from_ref(stored));
        }
    }
    let nowhere = vec![Position { epoch: 0, seq: 4 }, at(size), Position { epoch: 2, seq: 0 }];
    assert_eq!(ledger.exactly(nowhere).await.expect("entries"), []);
}

#[tokio::test]
async fn a_checkpoint_is_cosigned_and_a_log_cut_below_it_is_refused() {
    let world = World::new();
    let ledger = world.open();
    for _ in 0..3 {
        ledger.open_exchange(world.ticket()).await.expect("open").close(served());
    }
    ledger.flush().await.expect("flush");
    let note = ledger.checkpoint().await.expect("checkpoint");
    let text = note.text(&ledger.public_key(), None);
    let read = SignedNote::open(text.as_bytes(), &ledger.public_key(), None).expect("note");
    assert_eq!(read, note);
    let nodes = vec![Hash::leaf(b"the hub's journal has one entry")];
    let head = HubHead { size: 1, root: nodes[0] };
    let shown = Shown::new(head, Showing::First, &nodes);
    let signed = |shown| Cosignature::sign(&note.statement, 1_790_000_000, shown, &world.hub_key);
    let (size, key) = (note.statement.size, world.hub_key.public());
    let cosigned = Cosigned { size, key, cosignature: signed(Some(shown)), nodes };
    let forged = Cosigned { key: ledger.public_key(), ..cosigned.clone() };
    let silent = Cosigned { cosignature: signed(None), nodes: Vec::new(), ..cosigned.clone() };
    for refused in [forged, silent] {
        let refused = ledger.cosigned(1, refused).await;
        assert!(matches!(refused, Err(AckError::Cosignature)), "{refused:?}");
    }
    assert_eq!(ledger.cosigned(1, cosigned).await.expect("cosigned"), Shift::First);
    let next = ledger.checkpoint().await.expect("checkpoint");
    assert_eq!(next.statement.hub, Some(head), "the next one names what was shown");
    verified(&ledger).await;
    ledger.stop().await.expect("stop");
    // Cut inside what was cosigned: no torn tail, whatever it looks like.
    let path = world.root().join(log::name(1));
    let bytes = std::fs::read(&path).expect("read");
    std::fs::write(&path, &bytes[..600]).expect("cut");
    std::fs::remove_file(world.root().join("index.db")).expect("no index");
    let refused = Ledger::open(world.parts(Writer::Thread));
    let Err(LedgerError::Corrupt(corruption)) = refused else { panic!("{refused:?}") };
    assert!(matches!(corruption.what, Broken::Short { .. }), "{corruption}");
    assert_eq!(std::fs::read(&path).expect("read"), &bytes[..600], "nothing was changed");
}

#[tokio::test]
async fn a_restored_copy_goes_on_in_a_new_epoch() {
    let world = World::new();
    let ledger = world.open();
    ledger.open_exchange(world.ticket()).await.expect("open").close(served());
    ledger.stop().await.expect("stop");
    drop(ledger);
    // As a backup does it: without the marker and the index.
    for gone in ["marker", "index.db"] {
        std::fs::remove_file(world.root().join(gone)).expect("remove");
    }
    let restored = world.open();
    let entries = all(&restored).await;
    assert_eq!(kinds(&entries), ["epoch", "open", "close", "epoch"]);
    let Body::Epoch(epoch) = &entries[3].body else { panic!("an epoch") };
    assert_eq!(epoch.before.map(|before| (before.epoch, before.size)), Some((1, 3)));
    let begun = restored.head().epoch;
    assert!(begun > world.clock.now().as_secs(), "{begun}");
    verified(&restored).await;
    restored.stop().await.expect("stop");
    assert_eq!(world.open().head().epoch, begun, "once");
}

#[tokio::test]
async fn a_copy_that_is_restored_twice_never_says_two_things_under_one_number() {
    let world = World::new();
    let ledger = world.open();
    std::mem::forget(ledger.open_exchange(world.ticket()).await.expect("open"));
    ledger.flush().await.expect("flush");
    let copy = std::fs::read(world.root().join(log::name(1))).expect("read");
    let mut seen = std::collections::BTreeMap::new();
    for _ in 0..3 {
        world.clock.advance(std::time::Duration::from_secs(1));
        for gone in ["marker", "index.db"] {
            std::fs::remove_file(world.root().join(gone)).expect("remove");
        }
        std::fs::write(world.root().join(log::name(1)), &copy).expect("restored");
        let restored = world.open();
        restored.flush().await.expect("flush");
        for entry in all(&restored).await {
            let before = seen.insert(entry.position, entry.clone());
            assert!(before.is_none_or(|before| before == entry), "{:?}", entry.position);
        }
        restored.stop().await.expect("stop");
    }
}

#[tokio::test]
async fn a_hub_that_has_more_makes_a_new_epoch_and_one_that_has_less_agrees() {
    let world = World::new();
    let ledger = world.open();
    ledger.open_exchange(world.ticket()).await.expect("open").close(served());
    ledger.flush().await.expect("flush");
    let at = Position { epoch: 1, seq: 1 };
    let leaf = ledger.entries(at, 1).await.expect("entry")[0].leaf;
    let seen = HeadSeen { position: at, leaf };
    assert_eq!(ledger.meet(seen).await.expect("meet"), Met::Agrees);
    let other = HeadSeen { leaf: Hash::ZERO, ..seen };
    assert_eq!(ledger.meet(other).await.expect("meet"), Met::Forked);
    let more = HeadSeen { position: Position { epoch: 1, seq: 90 }, leaf };
    let begun = Position { epoch: 2, seq: 0 };
    assert_eq!(ledger.meet(more).await.expect("meet"), Met::NewEpoch(begun));
    assert_eq!(ledger.meet(more).await.expect("meet"), Met::Agrees, "of an epoch that is over");
    ledger.stop().await.expect("stop");
    let again = world.open();
    assert_eq!(again.head().epoch, 2, "the marker went along");
    verified(&again).await;
}

#[tokio::test]
async fn an_index_that_is_lost_or_of_another_log_is_made_anew() {
    let world = World::new();
    let ledger = world.open();
    for _ in 0..50 {
        ledger.open_exchange(world.ticket()).await.expect("open").close(served());
    }
    ledger.flush().await.expect("flush");
    let expected = ledger.unacknowledged(None, 100).await.expect("waiting");
    assert_eq!(expected.len(), 50);
    ledger.stop().await.expect("stop");
    assert!(matches!(ledger.flush().await, Err(LedgerError::Closed)), "nothing is taken after it");
    std::fs::remove_file(world.root().join("index.db")).expect("remove");
    let again = world.open();
    assert_eq!(again.unacknowledged(None, 100).await.expect("waiting"), expected);
    let half = again.unacknowledged(Some(expected[24].position), 100).await.expect("half");
    assert_eq!(half, expected[25..]);
}

#[tokio::test]
async fn segments_follow_each_other_and_a_missing_one_is_corruption() {
    let world = World::new();
    let mut parts = world.parts(Writer::Thread);
    parts.segment_bytes = 2_000;
    let ledger = Ledger::open(parts).expect("open");
    for _ in 0..40 {
        ledger.open_exchange(world.ticket()).await.expect("open").close(served());
        ledger.flush().await.expect("flush");
    }
    verified(&ledger).await;
    let last = ledger.head();
    ledger.stop().await.expect("stop");
    let again = world.open();
    assert_eq!(again.head(), last);
    again.stop().await.expect("stop");
    let segments = std::fs::read_dir(world.root()).expect("list").count() - 2;
    assert!(segments > 5, "{segments}");
    std::fs::remove_file(world.root().join(log::name(3))).expect("remove");
    let refused = Ledger::open(world.parts(Writer::Thread));
    assert!(matches!(refused, Err(LedgerError::Corrupt(_))), "{refused:?}");
}

#[tokio::test]
async fn the_ledger_of_another_agent_is_not_taken_over() {
    let mut world = World::new();
    drop(world.open());
    world.agent = AgentId::generate(world.clock.as_ref(), &world.entropy);
    let refused = Ledger::open(world.parts(Writer::Thread));
    assert!(matches!(refused, Err(LedgerError::Corrupt(_))), "{refused:?}");
}
