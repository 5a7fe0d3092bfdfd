//! Disputes that a person decides: bounded by both sides' figures, written in the journal, told to
//! the agent as a final word, and done once.

use super::world::{Agent, Hub, income, usage};
use crate::ledger::claims::Evidence;
use crate::wallets::{Decision, NotDone, Wallets};
use std::sync::Arc;
use std::time::Duration;
use weft_proto::codes::EndReason;
use weft_proto::entropy::SeededEntropy;
use weft_proto::ids::ExchangeId;
use weft_proto::ledger::{Body, Close};
use weft_proto::money::NanoUsd;
use weft_proto::time::ManualClock;
use weft_proto::wire::receipts::Verdict;
use weft_store::{
    JournalKind, LedgerAccount, LegAnswer, LegState, LegVerdict, Memo, Page, Posting, Store,
};

fn wallets(hub: &Hub) -> Wallets {
    let clock = Arc::<ManualClock>::clone(&hub.clock);
    Wallets::new(&*hub.store, clock, Arc::new(SeededEntropy::new(77)))
}

/// A disputed exchange: the hub has metered 100 units, the agent says `told`.
async fn disputed(hub: &Hub, agent: &mut Agent, told: u64) -> ExchangeId {
    let ticket = hub.ticket(1_000_000);
    hub.settle(&ticket, agent.id, 100, EndReason::Complete).await;
    let open = agent.open(&ticket);
    let close = Agent::close_of(&ticket, open, told);
    agent.push(Body::Close(Close { usage: usage(told), income: income(told), ..close }));
    agent.report(hub).await;
    assert_eq!(agent.words[&(ticket.exchange, 1)], (Verdict::Disputed, NanoUsd::ZERO));
    ticket.exchange
}

async fn decisions(hub: &Hub) -> Vec<String> {
    let journal = hub.store.ledger().journal(Page::first()).await.expect("read");
    let of_decisions = journal.into_iter().filter(|entry| entry.kind == JournalKind::Decision);
    of_decisions.map(|entry| String::from_utf8(entry.body).expect("text")).collect()
}

#[tokio::test]
async fn a_person_pays_a_dispute_once_and_the_agent_is_told_for_good() {
    let (hub, why) = (Hub::new(11), Memo::parse("looked at both logs").expect("a memo"));
    let (mut agent, wallets) = (Agent::new(&hub, 5), wallets(&hub));
    let exchange = disputed(&hub, &mut agent, 130).await;
    let above =
        wallets.decide(exchange, Decision::Pay(income(101)), &why, Evidence::claimed_by).await;
    assert!(
        matches!(above, Err(NotDone::AboveDispute { most, .. }) if most == income(100)),
        "{above:?}"
    );
    let nothing =
        wallets.decide(exchange, Decision::Pay(NanoUsd::ZERO), &why, Evidence::claimed_by).await;
    assert!(matches!(nothing, Err(NotDone::Amount)), "{nothing:?}");
    assert!(decisions(&hub).await.is_empty(), "what is not done is not written");

    for _ in 0..2 {
        let decided =
            wallets.decide(exchange, Decision::Pay(income(90)), &why, Evidence::claimed_by).await;
        let leg = decided.expect("decided").leg;
        assert_eq!((leg.state, leg.paid), (LegState::Paid, income(90)));
        assert!(leg.claim.is_some(), "the claim stands");
    }
    let said = decisions(&hub).await;
    let amount = income(90);
    let wanted =
        format!("exchange={exchange}\ndecision=pay\namount={amount}\nreason=looked at both logs\n");
    assert_eq!(said, [wanted], "once");
    for other in [Decision::Refuse, Decision::Pay(income(91))] {
        let otherwise = wallets.decide(exchange, other, &why, Evidence::claimed_by).await;
        assert!(matches!(otherwise, Err(NotDone::NotDisputed("paid"))), "{otherwise:?}");
    }

    agent.report(&hub).await;
    assert_eq!(agent.words[&(exchange, 1)], (Verdict::Paid, income(90)));
    // It is the owner's at once, and all of it comes from what was set aside.
    hub.clock.advance(Duration::from_millis(1));
    wallets.vest().await.expect("vested");
    let ledger = hub.store.ledger();
    let wallet = ledger.balance(LedgerAccount::Wallet(hub.owner)).await.expect("read");
    assert_eq!(wallet.posted(), income(90));
    assert!(ledger.sums().await.expect("read").agree());
    let again =
        wallets.decide(exchange, Decision::Pay(income(90)), &why, Evidence::claimed_by).await;
    assert_eq!(again.expect("as it stands").leg.state, LegState::Vested);
}

#[tokio::test]
async fn a_refused_dispute_pays_nothing_and_a_claim_of_less_bounds_what_is_paid() {
    let (hub, why) = (Hub::new(12), Memo::parse("its log is cut").expect("a memo"));
    let (mut agent, wallets) = (Agent::new(&hub, 5), wallets(&hub));
    let exchange = disputed(&hub, &mut agent, 60).await;
    let above =
        wallets.decide(exchange, Decision::Pay(income(100)), &why, Evidence::claimed_by).await;
    assert!(
        matches!(above, Err(NotDone::AboveDispute { most, .. }) if most == income(60)),
        "{above:?}"
    );
    let refused = wallets
        .decide(exchange, Decision::Refuse, &why, Evidence::claimed_by)
        .await
        .expect("decided");
    assert_eq!((refused.leg.state, refused.leg.paid), (LegState::Refused, NanoUsd::ZERO));
    agent.report(&hub).await;
    assert_eq!(agent.words[&(exchange, 1)], (Verdict::Refused, NanoUsd::ZERO));
    assert!(hub.store.ledger().sums().await.expect("read").agree());

    // What was never disputed, and what nobody knows.
    let paid = hub.ticket(1_000_000);
    hub.settle(&paid, agent.id, 7, EndReason::Complete).await;
    let open = wallets.decide(paid.exchange, Decision::Refuse, &why, Evidence::claimed_by).await;
    assert!(matches!(open, Err(NotDone::NotDisputed("open"))), "{open:?}");
    let unknown =
        wallets.decide(hub.ticket(1).exchange, Decision::Refuse, &why, Evidence::claimed_by).await;
    assert!(matches!(unknown, Err(NotDone::Unknown(_))), "{unknown:?}");
    assert_eq!(decisions(&hub).await.len(), 1);
}

#[tokio::test]
async fn a_decision_that_a_restored_hub_has_lost_comes_back_by_the_word_that_its_agent_keeps() {
    for decision in [Decision::Pay(income(90)), Decision::Refuse] {
        let (hub, why) = (Hub::new(13), Memo::parse("looked at both logs").expect("a memo"));
        let mut agent = Agent::new(&hub, 5);
        let exchange = disputed(&hub, &mut agent, 130).await;
        let chain = hub.store.receipts().chain(agent.id).await.expect("read").expect("taken");
        let before = hub.agreed(exchange).await.expect("settled");
        wallets(&hub)
            .decide(exchange, decision, &why, Evidence::claimed_by)
            .await
            .expect("decided");
        agent.report(&hub).await;
        let word = agent.words[&(exchange, 1)];
        assert!(word.0.is_final());

        // The copy is of before the decision: the claim is disputed in it.
        let hub = hub.forgotten();
        let (ledger, claim) = (hub.store.ledger(), before.leg.claim);
        let overdraft_max = NanoUsd::new(1_000_000_000_000);
        let settlement = before.settlement.clone();
        let posting = Posting { settlement, draws: Vec::new(), overdraft_max };
        ledger.settle(&[posting]).await.expect("copied");
        let at = before.leg.answered_at.expect("answered");
        let due_at = before.leg.due_at;
        let answer = LegAnswer { exchange, verdict: LegVerdict::Dispute, claim, at, due_at };
        ledger.answer(&[answer]).await.expect("copied");
        assert!(hub.store.receipts().advance(&chain, None).await.expect("copied"));

        agent.report(&hub).await;
        let leg = hub.agreed(exchange).await.expect("settled").leg;
        let paid = (LegState::Paid, income(90));
        let refused = (LegState::Refused, NanoUsd::ZERO);
        let wanted = if word.0 == Verdict::Paid { paid } else { refused };
        assert_eq!((leg.state, leg.paid), wanted);
        assert_eq!(agent.words[&(exchange, 1)], word, "and nobody is told otherwise");
        assert_eq!(decisions(&hub).await.len(), 1, "it stands in the journal again");
        agent.report(&hub).await;
        assert_eq!(decisions(&hub).await.len(), 1, "once");
    }
}
