//! Claims for reads that died with their process, and which another read has taken the place of.

use super::super::Greeted;
use super::orphans::{clerk, dispatched, node};
use super::world::{Agent, Hub, income};
use crate::ledger::{Ledger, Payer};
use std::path::Path;
use weft_proto::ledger::{Body, Close, End, Position};
use weft_proto::money::{NanoUsd, Ratio};
use weft_proto::usage::{Basis, Usage};
use weft_proto::wire::receipts::Verdict;
use weft_proto::wire::ticket::Ticket;
use weft_store::{Agreed, Bearer, LegState, Metered, SpendLimits};

/// What is written down of a read that is given up.
fn given_up(ticket: &Ticket) -> Metered {
    Metered {
        provider: None,
        model: None,
        usage: Usage::NONE,
        basis: Basis::Reported,
        service: 0,
        geo: 0,
        book: None,
        priced_at: ticket.issued_at,
        zone: Ratio::ONE,
        tier: Ratio::ZERO,
    }
}

/// A node that died behind the ticket of a read, the next process on its folder, and the read.
async fn after_a_death(hub: &Hub, agent: &Agent, dir: &Path) -> (Ledger, Ticket, Payer) {
    let (dead, _keeper) = node(hub, dir).await;
    let (ticket, _of_the_dead) = dispatched(hub, &dead, agent).await;
    let (ledger, _keeper) = node(hub, dir).await;
    let orphan = ledger.orphan(ticket.exchange).expect("an orphan");
    let payer = Payer { user: orphan.user, key: orphan.key, limits: SpendLimits::default() };
    (ledger, ticket, payer)
}

/// Brings all that the agent has written, and has it hear the answer.
async fn claims(hub: &Hub, ledger: &Ledger, agent: &mut Agent) {
    let mut session = clerk(hub, ledger).session(agent.id, hub.owner);
    let greeted = session.greet(&agent.greeting()).await.expect("the store answers");
    assert!(matches!(greeted, Greeted::Welcome(_)), "{greeted:?}");
    let said = session.take(agent.from(Position { epoch: 0, seq: 0 })).await.expect("taken");
    agent.hear(hub, said);
}

fn closes(agent: &mut Agent, ticket: &Ticket, change: impl FnOnce(Close) -> Close) {
    let open = agent.open(ticket);
    agent.push(Body::Close(change(Agent::close_of(ticket, open, 100))));
}

fn is_billed_elsewhere(agreed: &Agreed) -> bool {
    let outlay = agreed.settlement.outlay;
    (outlay.charge, outlay.income, outlay.bearer)
        == (NanoUsd::ZERO, NanoUsd::ZERO, Bearer::Elsewhere)
        && (agreed.leg.state, agreed.leg.paid) == (LegState::Absent, NanoUsd::ZERO)
}

#[tokio::test]
async fn a_claim_for_a_read_that_was_given_up_is_refused_with_evidence() {
    let (hub, dir) = (Hub::new(31), tempfile::tempdir().expect("a folder"));
    let mut agent = Agent::new(&hub, 5);
    let (ledger, ticket, payer) = after_a_death(&hub, &agent, dir.path()).await;
    let read = ticket.exchange;
    assert!(ledger.supersede(&payer, read, given_up(&ticket)).await.expect("settled"));
    // Once more, and by another process: it stands.
    assert!(ledger.supersede(&payer, read, given_up(&ticket)).await.expect("settled"));
    let elsewhere = tempfile::tempdir().expect("a folder");
    let (other, _keeper) = node(&hub, elsewhere.path()).await;
    assert!(other.supersede(&payer, read, given_up(&ticket)).await.expect("settled"));
    assert_eq!(ledger.orphans(), [], "what it held is free again");

    closes(&mut agent, &ticket, |close| close);
    claims(&hub, &ledger, &mut agent).await;
    assert_eq!(agent.words[&(read, 1)], (Verdict::Refused, NanoUsd::ZERO));
    assert_eq!(hub.findings().await, ["superseded_read"]);
    let agreed = hub.agreed(read).await.expect("a settlement");
    assert!(is_billed_elsewhere(&agreed), "{agreed:?}");
}

#[tokio::test]
async fn an_agent_that_does_not_know_what_became_of_such_a_read_is_not_accused() {
    let (hub, dir) = (Hub::new(32), tempfile::tempdir().expect("a folder"));
    let mut agent = Agent::new(&hub, 5);
    let (ledger, ticket, payer) = after_a_death(&hub, &agent, dir.path()).await;
    assert!(ledger.supersede(&payer, ticket.exchange, given_up(&ticket)).await.expect("settled"));
    closes(&mut agent, &ticket, |close| Close { end: End::Interrupted, ..close });
    claims(&hub, &ledger, &mut agent).await;
    assert_eq!(agent.words[&(ticket.exchange, 1)], (Verdict::Paid, NanoUsd::ZERO));
    assert_eq!(hub.findings().await, [""; 0]);
}

#[tokio::test]
async fn a_read_that_a_claim_has_proven_is_not_given_up_any_more() {
    let (hub, dir) = (Hub::new(33), tempfile::tempdir().expect("a folder"));
    let mut agent = Agent::new(&hub, 5);
    let (ledger, ticket, payer) = after_a_death(&hub, &agent, dir.path()).await;
    closes(&mut agent, &ticket, |close| close);
    claims(&hub, &ledger, &mut agent).await;
    assert_eq!(agent.words[&(ticket.exchange, 1)], (Verdict::Paid, income(100)));
    let stands = ledger.supersede(&payer, ticket.exchange, given_up(&ticket)).await;
    assert!(!stands.expect("looked"), "it is billed: nothing else may bill it");
    assert_eq!(hub.findings().await, [""; 0]);
}
