//! Dishonest agents, by a list: each is found by a named check, the finding's evidence proves it
//! offline, and nobody is paid for it.

use super::world::{Agent, Hub, income, usage};
use bytes::Bytes;
use std::time::Duration;
use weft_proto::codes::EndReason;
use weft_proto::ledger::{
    Body, Checkpoint, Close, End, Entry, Hash, HubHead, Position, Signature, SigningKey,
};
use weft_proto::money::{ListPrice, NanoUsd};
use weft_proto::time::Clock;
use weft_proto::wire::receipts::{Receipt, Verdict};
use weft_proto::wire::ticket::Ticket;
use weft_store::{LegAnswer, LegVerdict, Store};

/// Everything that is tried, and the finding's name.
const TRICKS: [(Trick, &str); 19] = [
    (Trick::InflatesUsage, "usage_inflated"),
    (Trick::InflatesIncome, "income_inflated"),
    (Trick::UnderstatesUsage, "usage_understated"),
    (Trick::ChangesBasis, "facts_differ"),
    (Trick::ClaimsTwice, "double_claim"),
    (Trick::InventsAnExchange, "invented_exchange"),
    (Trick::RaisesItsCap, "invented_exchange"),
    (Trick::ClaimsAnothersWork, "wrong_agent"),
    (Trick::ClaimsForAnotherAccount, "wrong_account"),
    (Trick::ClaimsAnotherAttempt, "wrong_attempt"),
    (Trick::ClaimsAFreeRoute, "claim_without_terms"),
    (Trick::EditsAnEntry, "chain_fork"),
    (Trick::DeletesAnEntry, "chain_broken"),
    (Trick::ForksFromABackup, "chain_regress"),
    (Trick::RewritesItsHead, "chain_fork"),
    (Trick::SignsAnotherTree, "checkpoint_mismatch"),
    (Trick::ChangesItsKey, "ledger_key"),
    (Trick::ClaimsAheadOfItsChain, "chain_broken"),
    (Trick::PairsAnotherOpen, "chain_broken"),
];

#[derive(Debug, Clone, Copy)]
enum Trick {
    InflatesUsage,
    InflatesIncome,
    UnderstatesUsage,
    ChangesBasis,
    ClaimsTwice,
    InventsAnExchange,
    RaisesItsCap,
    ClaimsAnothersWork,
    ClaimsForAnotherAccount,
    ClaimsAnotherAttempt,
    ClaimsAFreeRoute,
    EditsAnEntry,
    DeletesAnEntry,
    ForksFromABackup,
    RewritesItsHead,
    SignsAnotherTree,
    ChangesItsKey,
    ClaimsAheadOfItsChain,
    PairsAnotherOpen,
}

/// An exchange of 100 units that the hub has settled, told otherwise.
async fn told(hub: &Hub, agent: &mut Agent, tell: impl FnOnce(Close) -> Close) -> Ticket {
    let ticket = hub.ticket(1_000_000);
    hub.settle(&ticket, agent.id, 100, EndReason::Complete).await;
    let open = agent.open(&ticket);
    agent.push(Body::Close(tell(Agent::close_of(&ticket, open, 100))));
    agent.report(hub).await;
    ticket
}

/// The same with another ticket than the hub's.
async fn opened(hub: &Hub, agent: &mut Agent, ticket: &Ticket) {
    agent.serve(ticket, 100);
    agent.report(hub).await;
}

/// One CLAIM of two entries, whatever they are.
async fn claims(hub: &Hub, agent: &mut Agent, open: Position, close: Position) {
    let claim = Receipt::Claim { open: agent.bytes_at(open), close: agent.bytes_at(close) };
    let (mut session, _) = agent.greet(hub).await;
    let said = session.take(vec![claim]).await.expect("taken");
    agent.hear(hub, said);
}

async fn plays(trick: Trick) -> (Hub, Agent) {
    let hub = Hub::new(1);
    let mut agent = Agent::new(&hub, 5);
    let honest = hub.ticket(1_000_000);
    hub.settle(&honest, agent.id, 7, EndReason::Complete).await;
    agent.serve(&honest, 7);
    agent.report(&hub).await;
    assert_eq!(agent.words[&(honest.exchange, 1)], (Verdict::Paid, income(7)));
    match trick {
        Trick::InflatesUsage => {
            let inflated = |close| Close { usage: usage(130), income: income(130), ..close };
            told(&hub, &mut agent, inflated).await;
        }
        Trick::InflatesIncome => {
            told(&hub, &mut agent, |close| Close { income: income(130), ..close }).await;
        }
        Trick::UnderstatesUsage => {
            let less = |close| Close { usage: usage(60), income: income(60), ..close };
            told(&hub, &mut agent, less).await;
        }
        Trick::ChangesBasis => {
            let basis = weft_proto::usage::Basis::Estimated;
            told(&hub, &mut agent, |close| Close { basis, ..close }).await;
        }
        Trick::ClaimsTwice => {
            let ticket = told(&hub, &mut agent, |close| close).await;
            assert_eq!(agent.words[&(ticket.exchange, 1)], (Verdict::Paid, income(100)));
            agent.serve(&ticket, 100);
            agent.report(&hub).await;
        }
        Trick::InventsAnExchange => {
            let mut ticket = hub.ticket(1_000_000);
            ticket.mac = [1; 32];
            opened(&hub, &mut agent, &ticket).await;
        }
        Trick::RaisesItsCap => {
            let mut ticket = hub.ticket(10);
            if let Some(terms) = &mut ticket.terms {
                terms.cap = NanoUsd::new(1_000_000);
            }
            opened(&hub, &mut agent, &ticket).await;
        }
        Trick::ClaimsAnothersWork => {
            let other = Agent::new(&hub, 6);
            let ticket = hub.ticket(1_000_000);
            hub.settle(&ticket, other.id, 100, EndReason::Complete).await;
            opened(&hub, &mut agent, &ticket).await;
        }
        Trick::ClaimsForAnotherAccount => {
            let ticket = hub.ticket(1_000_000);
            let account = hub.ticket(1).account;
            let elsewhere = Ticket { account, ..ticket.clone() };
            hub.settle(&elsewhere, agent.id, 100, EndReason::Complete).await;
            opened(&hub, &mut agent, &ticket).await;
        }
        Trick::ClaimsAnotherAttempt => {
            let ticket = hub.ticket(1_000_000);
            let last = Ticket { attempt: 2, ..ticket.clone() };
            hub.settle(&last, agent.id, 100, EndReason::Complete).await;
            opened(&hub, &mut agent, &ticket).await;
        }
        Trick::ClaimsAFreeRoute => {
            let mut ticket = hub.ticket(1);
            ticket.terms = None;
            ticket.mac = [0; 32];
            opened(&hub, &mut agent, &ticket).await;
        }
        Trick::EditsAnEntry => {
            // The last entry that the hub has taken is replaced, and the chain goes on from it.
            agent.last = Hash::leaf(b"what it says now");
            agent.serve(&hub.ticket(1), 1);
            agent.report(&hub).await;
        }
        Trick::DeletesAnEntry => {
            let at = agent.serve(&hub.ticket(1), 1);
            agent.log.retain(|(position, _)| *position != at);
            agent.checkpoint();
            agent.report(&hub).await;
        }
        Trick::ForksFromABackup => {
            let mut backup = agent.clone();
            agent.serve(&hub.ticket(1), 1);
            agent.serve(&hub.ticket(1), 1);
            agent.report(&hub).await;
            // It goes on where the backup ends, as if nothing had been.
            let at = backup.serve(&hub.ticket(1), 1);
            let (mut session, _) = backup.greet(&hub).await;
            let entry = Receipt::Entry(backup.bytes_at(at));
            let said = session.take(vec![entry]).await.expect("taken");
            backup.hear(&hub, said);
            agent = backup;
        }
        Trick::RewritesItsHead => {
            agent.last = Hash::leaf(b"what it says now");
            agent.report(&hub).await;
        }
        Trick::SignsAnotherTree => {
            let statement = Checkpoint {
                size: u64::MAX,
                root: Hash::leaf(b"another"),
                hub: Some(HubHead { size: 1, root: Hash::ZERO }),
                signature: Signature::new([1; 64]),
            };
            agent.push(Body::Checkpoint(statement));
            agent.report(&hub).await;
        }
        Trick::ChangesItsKey => {
            agent.key = std::sync::Arc::new(SigningKey::from_seed(&[6; 32]).expect("a key"));
            agent.report(&hub).await;
        }
        Trick::ClaimsAheadOfItsChain => {
            let ticket = hub.ticket(1_000_000);
            hub.settle(&ticket, agent.id, 100, EndReason::Complete).await;
            let close = agent.serve(&ticket, 100);
            let open = Position { seq: close.seq - 1, ..close };
            claims(&hub, &mut agent, open, close).await;
        }
        Trick::PairsAnotherOpen => {
            let free = hub.ticket(1_000_000);
            hub.settle(&free, agent.id, 0, EndReason::Complete).await;
            let close = agent.serve(&free, 0);
            agent.report(&hub).await;
            claims(&hub, &mut agent, Position { epoch: 1, seq: 1 }, close).await;
        }
    }
    (hub, agent)
}

#[tokio::test]
async fn every_trick_is_found_by_its_name_and_pays_nothing() {
    for (trick, name) in TRICKS {
        let (hub, agent) = plays(trick).await;
        assert_eq!(hub.findings().await, [name], "{trick:?}");
        let honest = if matches!(trick, Trick::ClaimsTwice) { 7 + 100 } else { 7 };
        let paid: i64 = hub_pays(&hub).await;
        assert_eq!(paid, income(honest).nanos(), "{trick:?} was paid");
        let of_the_chain =
            name.starts_with("chain") || name.starts_with("check") || name == "ledger_key";
        assert_eq!(agent.faults.is_empty(), !of_the_chain, "{trick:?}: {:?}", agent.faults);
    }
}

/// What all agent legs were paid.
async fn hub_pays(hub: &Hub) -> i64 {
    use weft_store::Page;
    let all = hub.store.ledger().all_settlements(Page::first()).await.expect("listed");
    all.iter().map(|agreed| agreed.leg.paid.nanos()).sum()
}

#[tokio::test]
async fn a_dispute_has_a_deadline_and_stays_disputed_however_often_it_is_claimed() {
    let hub = Hub::new(2);
    let mut agent = Agent::new(&hub, 5);
    let inflated = |close| Close { usage: usage(130), income: income(130), ..close };
    let ticket = told(&hub, &mut agent, inflated).await;
    let first = hub.agreed(ticket.exchange).await.expect("settled").leg;
    assert_eq!(first.state, weft_store::LegState::Disputed);
    hub.clock.advance(Duration::from_secs(60));
    agent.report(&hub).await;
    let again = hub.agreed(ticket.exchange).await.expect("settled").leg;
    assert_eq!(first, again);
    assert_eq!(agent.words[&(ticket.exchange, 1)], (Verdict::Disputed, NanoUsd::ZERO));
}

#[tokio::test]
async fn a_dispute_that_expired_is_not_paid_by_telling_it_otherwise() {
    let hub = Hub::new(12);
    let mut agent = Agent::new(&hub, 5);
    let inflated = |close| Close { usage: usage(130), income: income(130), ..close };
    let ticket = told(&hub, &mut agent, inflated).await;
    let at = hub.clock.now();
    let expired = LegAnswer {
        exchange: ticket.exchange,
        verdict: LegVerdict::Expire,
        claim: None,
        at,
        due_at: at,
    };
    hub.store.ledger().answer(&[expired]).await.expect("expired");
    let open = agent.open(&ticket);
    let close = Agent::close_of(&ticket, open, 100);
    agent.push(Body::Close(Close { end: End::Interrupted, list: None, ..close }));
    agent.report(&hub).await;
    assert_eq!(agent.words[&(ticket.exchange, 1)], (Verdict::Refused, NanoUsd::ZERO));
    assert_eq!(hub.agreed(ticket.exchange).await.expect("settled").leg.paid, NanoUsd::ZERO);
    let mut found = hub.findings().await;
    found.sort_unstable();
    found.dedup();
    assert_eq!(found, ["double_claim", "usage_inflated"]);
}

#[tokio::test]
async fn a_broken_chain_that_comes_back_again_and_again_is_one_finding() {
    let hub = Hub::new(13);
    let mut agent = Agent::new(&hub, 5);
    agent.report(&hub).await;
    agent.last = Hash::leaf(b"what it says now");
    agent.serve(&hub.ticket(1), 1);
    for _ in 0..5 {
        hub.clock.advance(Duration::from_secs(1));
        agent.report(&hub).await;
    }
    assert_eq!(agent.faults.len(), 5);
    assert_eq!(hub.findings().await, ["chain_fork"]);
}

#[tokio::test]
async fn bytes_that_are_no_entry_break_the_chain_and_nothing_before_them_is_lost() {
    let hub = Hub::new(3);
    let mut agent = Agent::new(&hub, 5);
    let ticket = hub.ticket(1_000_000);
    hub.settle(&ticket, agent.id, 5, EndReason::Complete).await;
    agent.serve(&ticket, 5);
    let (mut session, next) = agent.greet(&hub).await;
    let mut receipts = agent.from(next.expect("welcome"));
    receipts.push(Receipt::Entry(Bytes::from_static(b"noise")));
    let said = session.take(receipts).await.expect("taken");
    agent.hear(&hub, said);
    assert!(session.is_over());
    assert_eq!(agent.words[&(ticket.exchange, 1)], (Verdict::Paid, income(5)));
    assert_eq!(hub.findings().await, ["chain_broken"]);
}

#[tokio::test]
async fn a_list_price_alone_proves_nothing() {
    let hub = Hub::new(4);
    let mut agent = Agent::new(&hub, 5);
    let tell = |close| Close { list: ListPrice::from_pico(1 << 60), ..close };
    let ticket = told(&hub, &mut agent, tell).await;
    assert_eq!(agent.words[&(ticket.exchange, 1)], (Verdict::Paid, income(100)));
    let entry = Entry::decode(&agent.log[1].1).expect("an entry");
    assert!(matches!(entry.body, Body::Open(_)));
}
