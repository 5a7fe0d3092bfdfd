//! What the hub shows of its own journal: the same to all, and what becomes of a hub that lost a part
//! of it, be it honest about that or not.

use super::world::{Agent, Hub, income};
use std::sync::Arc;
use weft_proto::codes::EndReason;
use weft_proto::ledger::SigningKey;
use weft_proto::ledger::journal::{Comparison, Differs, NotTaken};
use weft_proto::time::Timestamp;
use weft_proto::wire::receipts::{Handover, Verdict};
use weft_store::{JournalKind, JournalNote, MemoryStore, Store};

/// What an operator does, `count` times.
async fn writes(hub: &Hub, what: &str, count: usize) {
    let note = JournalNote {
        kind: JournalKind::Deposit,
        body: what.as_bytes().to_vec(),
        at: Timestamp::from_secs(1_700_000_000),
    };
    for notes in vec![note; count].chunks(50) {
        hub.store.ledger().note(notes).await.expect("written");
    }
}

/// A copy of the hub's journal and chains, as a backup has it.
async fn copied(hub: &Hub, agents: &[&Agent]) -> Arc<MemoryStore> {
    let store = Arc::new(MemoryStore::new());
    let journal = hub.store.ledger().journal(weft_store::Page::first()).await.expect("read");
    let notes: Vec<_> = journal
        .into_iter()
        .map(|entry| JournalNote { kind: entry.kind, body: entry.body, at: entry.at })
        .collect();
    store.ledger().note(&notes).await.expect("copied");
    for agent in agents {
        if let Some(chain) = hub.store.receipts().chain(agent.id).await.expect("read") {
            assert!(store.receipts().advance(&chain, None).await.expect("copied"));
        }
    }
    store
}

async fn checkpoints(hub: &Hub, agent: &mut Agent) {
    agent.serve(&hub.ticket(1), 1);
    agent.checkpoint();
    agent.report(hub).await;
}

#[tokio::test]
async fn every_agent_is_shown_the_same_journal_and_can_tell() {
    let hub = Hub::new(31);
    let (mut one, mut other) = (Agent::new(&hub, 5), Agent::new(&hub, 6));
    for step in [3, 0, 700, 40] {
        writes(&hub, "a deposit", step).await;
        checkpoints(&hub, &mut one).await;
        writes(&hub, "a deposit", 2).await;
        checkpoints(&hub, &mut other).await;
        checkpoints(&hub, &mut one).await;
    }
    assert!(one.lies.is_empty() && other.lies.is_empty() && one.lost.is_empty());
    let Comparison { agree, differs } = one.history.compare(&other.history);
    let head = hub.store.ledger().journal_head().await.expect("read").expect("an entry");
    assert_eq!((agree, differs), (Some(head.number), None));
    assert_eq!(hub.findings().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_hub_restored_to_yesterday_admits_what_it_lost_and_is_proven_to_have_had_it() {
    let hub = Hub::new(32);
    let mut agent = Agent::new(&hub, 5);
    let ticket = hub.ticket(1_000_000);
    hub.settle(&ticket, agent.id, 10, EndReason::Complete).await;
    checkpoints(&hub, &mut agent).await;
    let yesterday = copied(&hub, &[&agent]).await;
    writes(&hub, "a deposit that is lost", 5).await;
    agent.serve(&ticket, 10);
    checkpoints(&hub, &mut agent).await;
    assert_eq!(agent.words[&(ticket.exchange, 1)], (Verdict::Paid, income(10)));
    let seen = agent.witness.head().expect("shown");

    let hub = hub.restored(yesterday);
    writes(&hub, "another deposit", 9).await;
    checkpoints(&hub, &mut agent).await;
    assert_eq!(agent.lost, [seen], "it says so itself");
    assert!(agent.lies.is_empty());
    let mut found = hub.findings().await;
    found.dedup();
    assert_eq!(found, ["hub_restored"], "and keeps its own word of it");
    let agreed = hub.agreed(ticket.exchange).await.expect("repaired by replay");
    assert_eq!(agreed.leg.paid, income(10));
    // It goes on from there, and says it once.
    writes(&hub, "a deposit", 3).await;
    checkpoints(&hub, &mut agent).await;
    assert_eq!((agent.lost.len(), agent.lies.len()), (1, 0));
}

#[tokio::test]
async fn a_hub_that_pretends_to_have_lost_nothing_is_an_old_head_and_then_two_faces() {
    let hub = Hub::new(33);
    let mut agent = Agent::new(&hub, 5);
    checkpoints(&hub, &mut agent).await;
    let yesterday = copied(&hub, &[&agent]).await;
    let mut told_before = agent.clone();
    writes(&hub, "a deposit that is denied", 5).await;
    checkpoints(&hub, &mut agent).await;
    let seen = agent.witness.head().expect("shown").size;

    // It shows the agent what it would have shown had nothing been: it answers the checkpoint as if
    // the agent had named the head of before.
    let hub = hub.restored(yesterday);
    let shown = hub.store.ledger().journal_head().await.expect("read").expect("an entry").number;
    agent.answered_as(&hub, &told_before).await;
    assert_eq!(agent.lies, [NotTaken::OldHead { shown, seen }]);
    writes(&hub, "another deposit", 5 + 4).await;
    agent.answered_as(&hub, &told_before).await;
    let grown = NotTaken::TwoFaces { shown: shown + 9, seen };
    assert_eq!(agent.lies.last(), Some(&grown));

    // Nor does it help to show each of two agents one of them.
    checkpoints(&hub, &mut told_before).await;
    let Comparison { differs, .. } = agent.history.compare(&told_before.history);
    assert!(matches!(differs, Some(Differs::TwoFaces { .. })), "{differs:?}");
}

#[tokio::test]
async fn a_hub_with_a_new_key_brings_the_word_of_the_old_one() {
    let mut hub = Hub::new(34);
    let mut agent = Agent::new(&hub, 5);
    checkpoints(&hub, &mut agent).await;
    let new = Arc::new(SigningKey::from_seed(&[10; 32]).expect("a key"));
    let word = Handover {
        from: *hub.key.public().as_bytes(),
        signature: *hub.key.sign(&Handover::signed(new.public().as_bytes())).as_bytes(),
    };
    (hub.key, hub.handovers) = (new, Arc::new([word]));
    let mut session = hub.clerk().session(agent.id, hub.owner);
    let greeted = session.greet(&agent.greeting()).await.expect("the store answers");
    let super::super::Greeted::Welcome(ours) = greeted else { panic!("{greeted:?}") };
    assert_eq!((ours.key, ours.handovers), (*hub.key.public().as_bytes(), vec![word]));
    checkpoints(&hub, &mut agent).await;
    assert!(agent.lies.is_empty() && hub.findings().await.is_empty());
}
