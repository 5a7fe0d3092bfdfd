//! Claims for exchanges whose node died: what proves one, and what does not.

use super::super::{ChargeOf, Clerk, ClerkParts, Greeted};
use super::world::{Agent, Hub, income, promise};
use crate::config::{LiveMoney, Money};
use crate::ledger::{Hold, Keeper, Ledger, Needs, OpenTicket, Payer};
use crate::ledger_key::LedgerKey;
use crate::telemetry::Metrics;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use weft_proto::entropy::SeededEntropy;
use weft_proto::ids::{KeyId, UserId};
use weft_proto::ledger::{Body, Close, End};
use weft_proto::money::{ListPrice, NanoUsd};
use weft_proto::time::{Clock, ManualClock};
use weft_proto::usage::{Class, Usage};
use weft_proto::wire::ticket::Ticket;
use weft_store::{
    Cover, House, LedgerAccount, Leg, Served, SpendLimits, Store, Subject, Transfer, TransferKey,
    TransferKind, Transferred,
};

/// What each exchange holds, and the cap of its ticket.
const HELD: i64 = 1_000_000;

pub(super) async fn node(hub: &Hub, dir: &Path) -> (Ledger, Keeper) {
    let needs = Needs {
        store: hub.store.ledger(),
        outcomes: hub.store.outcomes(),
        dir: dir.to_owned(),
        key: LedgerKey::open(dir, &SeededEntropy::new(10)).expect("a key"),
        money: LiveMoney::new(Money::default()),
        clock: Arc::<ManualClock>::clone(&hub.clock),
        entropy: Arc::new(SeededEntropy::new(11)),
        metrics: Metrics::new(),
        places: 64,
        durable: false,
    };
    Ledger::open(needs).await.expect("the ledger opens")
}

/// A ticket of an exchange that a user with credit pays for, which is under way.
pub(super) async fn dispatched(hub: &Hub, ledger: &Ledger, agent: &Agent) -> (Ticket, Hold) {
    let (clock, entropy) = (&*hub.clock, SeededEntropy::new(12));
    let user = UserId::generate(clock, &entropy);
    let deposit = Transfer {
        key: TransferKey {
            subject: Subject::generate(clock, &entropy),
            leg: Leg::Deposit,
            part: 0,
        },
        kind: TransferKind::Direct,
        debit: LedgerAccount::House(House::Cash),
        credit: LedgerAccount::Paid(user),
        amount: NanoUsd::new(10 * HELD),
        lease: None,
        memo: None,
        at: clock.now(),
    };
    let moved = hub.store.ledger().transfer(&[deposit], Cover::Free, &[]).await.expect("moved");
    assert_eq!(moved, Transferred::Done);
    let mut ticket = hub.ticket(HELD);
    let key = KeyId::generate(clock, &entropy);
    let payer = Payer { user, key, limits: SpendLimits::default() };
    let hold = ledger.hold(&payer, ticket.exchange, NanoUsd::new(HELD)).await;
    let mut hold = hold.expect("a hold");
    ticket.terms.as_mut().expect("terms").lease = hold.lease();
    hub.sealer.seal(&mut ticket);
    let promise = promise(&ticket);
    let (owner, account, attempt) = (hub.owner, ticket.account, ticket.attempt);
    let served = Served { agent: agent.id, owner, account, attempt };
    let open = OpenTicket { served, cap: NanoUsd::new(HELD), terms: promise.encode() };
    hold.open_ticket(&open).expect("written down");
    (ticket, hold)
}

pub(super) fn clerk(hub: &Hub, ledger: &Ledger) -> Clerk {
    let charge_of: Arc<ChargeOf> = Arc::new(|_, usage, _, _| {
        let units = i64::try_from(usage.get(Class::Input)).expect("small");
        Box::pin(async move { Some(NanoUsd::new(units * 1_000)) })
    });
    Clerk::new(ClerkParts {
        hub: hub.id,
        node: ledger.node(),
        store: hub.store.ledger(),
        receipts: hub.store.receipts(),
        ledger: Some(ledger.clone()),
        charge_of,
        sealer: hub.sealer.clone(),
        key: Arc::clone(&hub.key),
        handovers: Arc::clone(&hub.handovers),
        money: LiveMoney::new(Money::default()),
        clock: Arc::<ManualClock>::clone(&hub.clock),
    })
}

/// The node dies behind the ticket, and its agent claims by `close`: charge and income, where the
/// exchange is settled with that, and how many orphans are left.
async fn claimed(close: impl FnOnce(Close) -> Close) -> (Option<(i64, i64)>, usize) {
    let hub = Hub::new(3);
    let mut agent = Agent::new(&hub, 5);
    let dir = tempfile::tempdir().expect("a folder");
    let (ledger, _keeper) = node(&hub, dir.path()).await;
    let (ticket, _of_the_dead) = dispatched(&hub, &ledger, &agent).await;
    let (ledger, _next_keeper) = node(&hub, dir.path()).await;
    assert_eq!(ledger.orphans().len(), 1);

    let open = agent.open(&ticket);
    agent.push(Body::Close(close(Agent::close_of(&ticket, open, 100))));
    let mut session = clerk(&hub, &ledger).session(agent.id, hub.owner);
    let greeted = session.greet(&agent.greeting()).await.expect("the store answers");
    assert!(matches!(greeted, Greeted::Welcome(_)), "{greeted:?}");
    let all = agent.from(weft_proto::ledger::Position { epoch: 0, seq: 0 });
    drop(session.take(all).await.expect("taken"));
    hub.clock.advance(Duration::from_secs(60));
    drop(session.look_again().await.expect("looked"));
    let settled = hub.agreed(ticket.exchange).await.map(|agreed| {
        let outlay = agreed.settlement.outlay;
        (outlay.charge.nanos(), outlay.income.nanos())
    });
    (settled, ledger.orphans().len())
}

#[tokio::test]
async fn a_close_proves_what_its_exchange_came_to() {
    assert_eq!(claimed(|close| close).await, (Some((100_000, income(100).nanos())), 0));
}

#[tokio::test]
async fn an_agent_that_does_not_know_what_happened_proves_nothing() {
    let lost = |close| Close {
        end: End::Interrupted,
        usage: Usage::NONE,
        list: None,
        income: NanoUsd::new(HELD),
        ..close
    };
    assert_eq!(claimed(lost).await, (None, 1));
}

#[tokio::test]
async fn a_close_that_lists_its_usage_dearer_than_it_is_earns_what_that_usage_is_worth() {
    let dearer = |close| Close {
        list: ListPrice::from_pico(1_000 * 1_000_000),
        income: income(1_000),
        ..close
    };
    assert_eq!(claimed(dearer).await, (Some((100_000, income(100).nanos())), 0));
}

#[tokio::test]
async fn a_close_without_the_book_earns_what_its_usage_is_worth_and_not_its_cap() {
    let unpriced = |close| Close { list: None, income: NanoUsd::new(HELD), ..close };
    assert_eq!(claimed(unpriced).await, (Some((100_000, income(100).nanos())), 0));
}
