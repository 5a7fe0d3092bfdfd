//! The ledger of a node against real stores: admission, ends, deaths, and what comes back.

mod limits;

use super::*;
use crate::config::Money;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use weft_proto::codes::EndReason;
use weft_proto::entropy::SeededEntropy;
use weft_proto::ids::{AccountId, AgentId, OwnerId};
use weft_proto::money::Ratio;
use weft_proto::time::ManualClock;
use weft_proto::usage::{Basis, Usage};
use weft_store::{
    Bearer, Cover, House, LedgerAccount, Leg, MemoryStore, Metered, Outcome, Outlay, Page, Served,
    SqliteStore, Store, Subject, Transfer, TransferKey, TransferKind,
};

/// A store, a folder, and the ledger of the node that has both.
struct Node {
    store: Arc<dyn weft_store::Ledger>,
    outcomes: Arc<dyn Outcomes>,
    dir: tempfile::TempDir,
    clock: Arc<ManualClock>,
    entropy: Arc<SeededEntropy>,
    money: LiveMoney,
    ledger: Ledger,
    keeper: Keeper,
}

const fn nanos(amount: i64) -> NanoUsd {
    NanoUsd::new(amount)
}

async fn open(
    store: &Arc<dyn weft_store::Ledger>,
    outcomes: &Arc<dyn Outcomes>,
    dir: &Path,
    money: &LiveMoney,
    clock: &Arc<ManualClock>,
    entropy: &Arc<SeededEntropy>,
) -> (Ledger, Keeper) {
    Ledger::open(Needs {
        store: Arc::clone(store),
        outcomes: Arc::clone(outcomes),
        dir: dir.join("ledger"),
        key: crate::ledger_key::LedgerKey::open(dir, &**entropy).expect("a key"),
        money: money.clone(),
        clock: Arc::<ManualClock>::clone(clock),
        entropy: Arc::<SeededEntropy>::clone(entropy),
        metrics: Metrics::new(),
        places: 4_096,
        durable: true,
    })
    .await
    .expect("the ledger opens")
}

impl Node {
    async fn on(store: &dyn Store, lease: i64) -> Self {
        let (store, outcomes) = (store.ledger(), store.outcomes());
        let dir = tempfile::tempdir().expect("a folder");
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_700_000_000)));
        let entropy = Arc::new(SeededEntropy::new(5));
        let money = Money { lease: nanos(lease), overdraft_max: nanos(0), ..Money::default() };
        let money = LiveMoney::new(money);
        let (ledger, keeper) = open(&store, &outcomes, dir.path(), &money, &clock, &entropy).await;
        Self { store, outcomes, dir, clock, entropy, money, ledger, keeper }
    }

    async fn in_memory(lease: i64) -> Self {
        Self::on(&MemoryStore::new(), lease).await
    }

    /// The process ends once its journal has been written, and another one begins.
    async fn dies(&mut self) {
        self.ledger.0.tickets.flush().expect("written");
        self.dies_at_once().await;
    }

    /// The process ends where it stands, and another one begins.
    async fn dies_at_once(&mut self) {
        let Self { store, outcomes, dir, money, clock, entropy, .. } = self;
        (self.ledger, self.keeper) = open(store, outcomes, dir.path(), money, clock, entropy).await;
    }

    fn id<T>(&self, make: impl Fn(&dyn Clock, &dyn Entropy) -> T) -> T {
        self.clock.advance(Duration::from_millis(1));
        make(&*self.clock, &*self.entropy)
    }

    async fn gives(&self, credit: LedgerAccount, amount: i64) {
        let transfer = Transfer {
            key: TransferKey { subject: self.id(Subject::generate), leg: Leg::Deposit, part: 0 },
            kind: TransferKind::Direct,
            debit: LedgerAccount::House(House::Cash),
            credit,
            amount: nanos(amount),
            lease: None,
            memo: None,
            at: self.clock.now(),
        };
        let done = self.store.transfer(&[transfer], Cover::Free, &[]).await.expect("moved");
        assert_eq!(done, weft_store::Transferred::Done);
    }

    async fn payer(&self, credit: i64) -> Payer {
        let payer = Payer {
            user: self.id(UserId::generate),
            key: self.id(KeyId::generate),
            limits: SpendLimits::default(),
        };
        self.gives(LedgerAccount::Paid(payer.user), credit).await;
        payer
    }

    async fn held(&self, payer: &Payer, amount: i64) -> Result<Hold, HoldRefused> {
        self.ledger.hold(payer, self.id(ExchangeId::generate), nanos(amount)).await
    }

    fn served(&self) -> Served {
        Served {
            agent: self.id(AgentId::generate),
            owner: self.id(OwnerId::generate),
            account: self.id(AccountId::generate),
            attempt: 1,
        }
    }

    fn leg(&self, charge: i64, income: i64) -> UserLeg {
        UserLeg {
            served: Some(self.served()),
            metered: Metered {
                provider: None,
                model: None,
                usage: Usage::NONE,
                basis: Basis::Reported,
                service: 0,
                geo: 0,
                book: None,
                priced_at: self.clock.now(),
                zone: Ratio::ONE,
                tier: Ratio::ONE,
            },
            end: EndReason::Complete,
            outlay: Outlay {
                charge: nanos(charge),
                income: nanos(income),
                rounding: NanoUsd::ZERO,
                bearer: Bearer::User,
            },
            linked: false,
        }
    }

    /// The row of an exchange that was answered whole.
    fn outcome(&self, exchange: ExchangeId, payer: &Payer) -> Outcome {
        let begun = Outcome::begun(exchange, payer.user, payer.key, self.clock.now());
        Outcome { end: EndReason::Complete, status: Some(200), response_bytes: 12, ..begun }
    }

    async fn row(&self, exchange: ExchangeId) -> Option<Outcome> {
        self.outcomes.find(exchange).await.expect("looked")
    }

    fn ticket(&self) -> OpenTicket {
        OpenTicket { served: self.served(), cap: nanos(1), terms: b"terms".to_vec() }
    }

    /// Posts what is queued.
    async fn flush(&mut self) {
        let now = CancellationToken::new();
        now.cancel();
        self.keeper.writer.run(now).await;
    }

    async fn posted(&self, account: LedgerAccount) -> i64 {
        self.store.balance(account).await.expect("a balance").posted().nanos()
    }

    async fn pending(&self, payer: &Payer) -> i64 {
        let account = LedgerAccount::Paid(payer.user);
        self.store.balance(account).await.expect("a balance").debits_pending.nanos()
    }

    async fn agrees(&self) {
        let sums = self.store.sums().await.expect("sums");
        assert!(sums.agree(), "{sums:?}");
        assert_eq!(self.store.recompute().await.expect("recomputed"), []);
    }
}

async fn sqlite(dir: &Path) -> Arc<SqliteStore> {
    Arc::new(SqliteStore::open(&dir.join("weft.sqlite")).await.expect("the store opens"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_a_thousand_at_once_exactly_as_many_are_admitted_as_the_balance_pays() {
    const COST: i64 = 1_000_003;
    const PAID_FOR: i64 = 137;
    // Leases far smaller and far larger than what there is.
    for lease in [COST / 2, COST * 10, COST * 1_000] {
        let folder = tempfile::tempdir().expect("a folder");
        let store = sqlite(folder.path()).await;
        let mut node = Node::on(&*store, lease).await;
        let payer = node.payer(COST * PAID_FOR + COST - 1).await;
        let mut asking = tokio::task::JoinSet::new();
        for _ in 0..1_000 {
            let (ledger, exchange) = (node.ledger.clone(), node.id(ExchangeId::generate));
            asking.spawn(async move { ledger.hold(&payer, exchange, nanos(COST)).await });
        }
        let (mut holds, mut refused) = (Vec::new(), Vec::new());
        for answer in asking.join_all().await {
            match answer {
                Ok(hold) => holds.push(hold),
                Err(error) => refused.push(error),
            }
        }
        assert_eq!(holds.len(), usize::try_from(PAID_FOR).expect("few"), "lease {lease}");
        let in_flight = |error: &HoldRefused| matches!(error, HoldRefused::InFlight { .. });
        assert!(refused.iter().all(in_flight), "it is only in use: {refused:?}");
        for hold in holds {
            hold.settle(node.leg(COST, COST / 2));
        }
        node.flush().await;
        assert_eq!(node.posted(LedgerAccount::Paid(payer.user)).await, COST - 1);
        tokio::time::sleep(Duration::from_millis(300)).await;
        let available = nanos(COST - 1);
        let last = node.held(&payer, COST).await.expect_err("nothing is left");
        assert_eq!(last, HoldRefused::Insufficient { available });
        node.agrees().await;
    }
}

#[tokio::test]
async fn credit_in_use_is_told_from_credit_that_is_not_there() {
    let node = Node::in_memory(100).await;
    let payer = node.payer(1_000).await;
    let all = node.held(&payer, 1_000).await.expect("held");
    let refused = node.held(&payer, 1_000).await.expect_err("in use");
    assert!(matches!(refused, HoldRefused::InFlight { .. }), "{refused:?}");
    let refused = node.held(&payer, 1_001).await.expect_err("too much");
    assert_eq!(refused, HoldRefused::Insufficient { available: nanos(1_000) });
    drop(all);
    let again = node.held(&payer, 1_000).await.expect("given back");
    assert_eq!(again.amount(), nanos(1_000));
    let stranger = Payer { user: node.id(UserId::generate), ..payer };
    let refused = node.held(&stranger, 1).await.expect_err("no credit");
    assert_eq!(refused, HoldRefused::Insufficient { available: nanos(0) });
}

#[tokio::test]
async fn a_hold_grows_as_far_as_the_credit_goes() {
    let mut node = Node::in_memory(100).await;
    let payer = node.payer(1_000).await;
    let mut hold = node.held(&payer, 100).await.expect("held");
    assert!(!hold.grow(nanos(200)), "the lease has no room");
    hold.grow_or_wait(nanos(200)).await.expect("the store has");
    assert_eq!(hold.amount(), nanos(300));
    let refused = hold.grow_or_wait(nanos(701)).await.expect_err("too much");
    assert_eq!(refused, HoldRefused::InFlight { retry_after: Duration::from_secs(1) });
    hold.grow_or_wait(nanos(700)).await.expect("all there is");
    assert!(!hold.grow(nanos(1)));
    hold.settle(node.leg(950, 900));
    node.flush().await;
    assert_eq!(node.posted(LedgerAccount::Paid(payer.user)).await, 50);
    node.agrees().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_idle_goes_back_and_what_is_held_stays() {
    let node = Node::in_memory(400).await;
    let payer = node.payer(1_000).await;
    let hold = node.held(&payer, 100).await.expect("held");
    assert_eq!(node.pending(&payer).await, 400);
    node.ledger.0.purses.give_back_idle().await;
    assert_eq!(node.pending(&payer).await, 400, "it was just used");
    tokio::time::advance(Duration::from_secs(31)).await;
    node.ledger.0.purses.give_back_idle().await;
    assert_eq!(node.pending(&payer).await, 100);
    drop(hold);
    node.ledger.0.purses.give_back_idle().await;
    assert_eq!(node.pending(&payer).await, 0);
    assert!(node.store.open_leases(None, Page::first()).await.expect("listed").is_empty());
    assert_eq!(node.ledger.0.purses.held(), (NanoUsd::ZERO, 0));
    drop(node.held(&payer, 1_000).await.expect("it can be leased again"));
    node.agrees().await;
}

#[tokio::test]
async fn what_a_node_had_that_never_came_back_is_given_back_in_the_end() {
    let node = Node::in_memory(400).await;
    let payer = node.payer(1_000).await;
    std::mem::forget(node.held(&payer, 100).await.expect("held"));
    let (folder, chance) = (tempfile::tempdir().expect("a folder"), SeededEntropy::new(6));
    let chance = Arc::new(chance);
    let (other, _keeper) =
        open(&node.store, &node.outcomes, folder.path(), &node.money, &node.clock, &chance).await;
    assert_ne!(other.node(), node.ledger.node());
    let purses = &other.0.purses;
    node.clock.advance(node.money.now().claim_window * 2 - Duration::from_secs(1));
    assert_eq!(purses.reclaim().await.expect("looked"), 0);
    assert_eq!(node.ledger.0.purses.reclaim().await.expect("looked"), 0);
    node.clock.advance(Duration::from_secs(1));
    assert_eq!(node.ledger.0.purses.reclaim().await.expect("looked"), 0, "its own");
    assert_eq!(node.pending(&payer).await, 400);
    assert_eq!(purses.reclaim().await.expect("looked"), 1);
    assert_eq!(node.pending(&payer).await, 0);
    node.agrees().await;
}

#[tokio::test]
async fn promotional_credit_is_spent_first_and_pays_no_linked_owner() {
    let mut node = Node::in_memory(10_000).await;
    let payer = node.payer(1_000).await;
    node.gives(LedgerAccount::Promo(payer.user), 300).await;
    let hold = node.held(&payer, 600).await.expect("held");
    let mut leg = node.leg(400, 200);
    leg.linked = true;
    hold.settle(leg);
    node.flush().await;
    assert_eq!(node.posted(LedgerAccount::Promo(payer.user)).await, 0);
    assert_eq!(node.posted(LedgerAccount::Paid(payer.user)).await, 900);
    // A quarter of the charge was paid for: so is a quarter of the income.
    assert_eq!(node.posted(LedgerAccount::House(House::Suspense)).await, 50);
    node.agrees().await;
}

#[tokio::test]
async fn a_store_that_is_away_refuses_who_needs_it_and_loses_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = sqlite(folder.path()).await;
    let mut node = Node::on(&*store, 1_000).await;
    let payer = node.payer(10_000).await;
    let mut hold = node.held(&payer, 400).await.expect("held");
    store.close().await;
    // What is leased can still be spent.
    let other = node.held(&payer, 600).await.expect("there is room");
    let refused = node.held(&payer, 1).await.expect_err("no room");
    assert_eq!(refused, HoldRefused::Unavailable);
    assert_eq!(hold.grow_or_wait(nanos(1)).await, Err(HoldRefused::Unavailable));
    hold.open_ticket(&node.ticket()).expect("in the journal");
    hold.settle(node.leg(300, 200));
    std::mem::forget(other);

    let store = sqlite(folder.path()).await;
    (node.store, node.outcomes) = (store.ledger(), store.outcomes());
    node.dies().await;
    assert_eq!(node.posted(LedgerAccount::Paid(payer.user)).await, 9_700);
    assert_eq!(node.pending(&payer).await, 0, "what nobody was dispatched with is given back");
    node.agrees().await;
}

#[tokio::test]
async fn a_row_goes_with_its_settlement_and_outlives_the_process() {
    let mut node = Node::in_memory(1_000).await;
    let payer = node.payer(10_000).await;
    for dies in [false, true] {
        let exchange = node.id(ExchangeId::generate);
        let mut hold = node.ledger.hold(&payer, exchange, nanos(400)).await.expect("held");
        hold.open_ticket(&node.ticket()).expect("in the journal");
        let row = node.outcome(exchange, &payer);
        hold.settle_recorded(node.leg(300, 200), Some(Box::new(row.clone())));
        assert_eq!(node.row(exchange).await, None, "it waits with the settlement");
        if dies {
            node.dies().await;
        } else {
            node.flush().await;
        }
        assert_eq!(node.row(exchange).await, Some(row), "whole, as it was");
    }
    // Once more changes nothing.
    node.dies().await;
    assert_eq!(node.outcomes.count().await.expect("counted"), 2);
    assert!(node.ledger.orphans().is_empty());
    node.agrees().await;
}

#[tokio::test]
async fn what_died_before_it_was_written_down_has_the_row_of_its_ticket() {
    let mut node = Node::in_memory(1_000).await;
    let payer = node.payer(10_000).await;
    let exchange = node.id(ExchangeId::generate);
    let mut hold = node.ledger.hold(&payer, exchange, nanos(400)).await.expect("held");
    let ticket = node.ticket();
    hold.open_ticket(&ticket).expect("in the journal");
    let row = node.outcome(exchange, &payer);
    hold.settle_recorded(node.leg(300, 200), Some(Box::new(row.clone())));
    node.dies_at_once().await;
    let lost = node.row(exchange).await.expect("a row");
    assert_eq!((lost.end, lost.status), (EndReason::NodeLost, None));
    assert_eq!((lost.agent, lost.attempts), (Some(ticket.served.agent), 1));
    // What its claim proves is settled; the row stays.
    node.ledger.settle_orphan(exchange, node.leg(300, 200)).await.expect("settled");
    node.dies().await;
    assert_eq!(node.row(exchange).await, Some(lost));
    assert_eq!(node.outcomes.count().await.expect("counted"), 1);
    node.agrees().await;
}

#[tokio::test]
async fn an_orphan_keeps_its_hold_until_a_claim_that_it_pays_once() {
    let mut node = Node::in_memory(1_000).await;
    let payer = node.payer(10_000).await;
    let exchange = node.id(ExchangeId::generate);
    let mut hold = node.ledger.hold(&payer, exchange, nanos(400)).await.expect("held");
    hold.open_ticket(&node.ticket()).expect("in the journal");
    assert!(hold.grow(nanos(100)));
    std::mem::forget(hold);
    let before = node.ledger.node();
    node.dies().await;
    assert_eq!(node.ledger.node(), before);
    assert_eq!(node.pending(&payer).await, 500);
    let orphan = node.ledger.orphan(exchange).expect("an orphan");
    assert_eq!((orphan.held, orphan.tickets.len()), (nanos(500), 1));
    let refused = node.held(&payer, 9_501).await.expect_err("the orphan holds the rest");
    let window = node.money.now().claim_window;
    let HoldRefused::LeftBehind { decided_within } = refused else { panic!("{refused:?}") };
    let (soonest, latest) = (window - Duration::from_secs(1), window + Duration::from_secs(10));
    assert!((soonest..=latest).contains(&decided_within), "{decided_within:?}");
    let running = node.held(&payer, 9_000).await.expect("there is room");
    let refused = node.held(&payer, 501).await.expect_err("what runs holds some of it");
    assert!(matches!(refused, HoldRefused::InFlight { .. }), "{refused:?}");
    drop(running);
    node.ledger.0.purses.close().await;
    // Another node has leased some of it.
    let elsewhere = tempfile::tempdir().expect("a folder");
    let (other, _keeper) = open(
        &node.store,
        &node.outcomes,
        elsewhere.path(),
        &node.money,
        &node.clock,
        &node.entropy,
    )
    .await;
    let exchange_there = node.id(ExchangeId::generate);
    let there = other.hold(&payer, exchange_there, nanos(9_000)).await.expect("held");
    let refused = node.held(&payer, 9_000).await.expect_err("it is held");
    assert!(matches!(refused, HoldRefused::InFlight { .. }), "{refused:?}");
    drop(there);
    other.0.purses.close().await;

    // A claim of more than was held charges what was held.
    let claim = node.leg(9_000, 300);
    let settled = node.ledger.settle_orphan(exchange, claim.clone()).await.expect("settled");
    assert!(matches!(settled, Some(weft_store::Settled::Fresh { .. })), "{settled:?}");
    assert_eq!(node.ledger.settle_orphan(exchange, claim).await.expect("looked"), None);
    assert_eq!(node.posted(LedgerAccount::Paid(payer.user)).await, 9_500);
    assert_eq!(node.posted(LedgerAccount::House(House::Suspense)).await, 300);
    node.dies().await;
    assert!(node.ledger.orphans().is_empty());
    assert_eq!(node.pending(&payer).await, 0);
    node.agrees().await;
}

#[tokio::test]
async fn an_orphan_that_nobody_claims_is_the_users_again() {
    let mut node = Node::in_memory(1_000).await;
    let payer = node.payer(1_000).await;
    let mut hold = node.held(&payer, 700).await.expect("held");
    hold.open_ticket(&node.ticket()).expect("in the journal");
    std::mem::forget(hold);
    node.dies().await;
    assert_eq!(node.ledger.expire_orphans(), 0);
    node.clock.advance(node.money.now().claim_window);
    assert_eq!(node.ledger.expire_orphans(), 1);
    drop(node.held(&payer, 1_000).await.expect("all of it"));
    node.dies().await;
    assert!(node.ledger.orphans().is_empty());
    node.agrees().await;
}

#[tokio::test]
async fn a_key_spends_no_more_than_its_limit_and_somebody_is_told() {
    let mut node = Node::in_memory(10_000).await;
    let limits = SpendLimits { day: Some(nanos(1_000)), month: None };
    let payer = Payer { limits, ..node.payer(100_000).await };
    let mut alerts = node.ledger.alerts().expect("nobody has taken them");
    let first = node.held(&payer, 600).await.expect("held");
    let resets_at = Timestamp::from_secs(1_700_006_400);
    let limited = HoldRefused::SpendLimit { window: Window::Day, resets_at };
    assert_eq!(node.held(&payer, 500).await.expect_err("what runs counts"), limited);
    let mut second = node.held(&payer, 400).await.expect("held");
    assert!(!second.grow(nanos(1)));
    assert_eq!(second.grow_or_wait(nanos(1)).await, Err(limited));
    first.settle(node.leg(600, 0));
    drop(second);
    let third = node.held(&payer, 400).await.expect("what was not spent");
    third.settle(node.leg(300, 0));
    let alert = alerts.try_recv().expect("told");
    assert_eq!((alert.percent, alert.spent, alert.key), (80, nanos(900), payer.key));
    assert!(alerts.try_recv().is_err());
    // The next process knows it from the store.
    node.flush().await;
    node.dies().await;
    assert_eq!(node.held(&payer, 101).await.expect_err("spent"), limited);
    node.clock.set(resets_at);
    drop(node.held(&payer, 1_000).await.expect("a new day"));
}

#[derive(Debug, Clone)]
enum Step {
    Hold {
        user: usize,
        amount: i64,
        is_dispatched: bool,
    },
    Grow {
        which: prop::sample::Index,
        more: i64,
    },
    Settle {
        which: prop::sample::Index,
        charge: i64,
    },
    Drop {
        which: prop::sample::Index,
    },
    Flush,
    Claim {
        charge: i64,
    },
    Expire,
    Idle,
    /// A moment later, or before the journal has been told how exchanges ended.
    Die {
        at_once: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let which = any::<prop::sample::Index>;
    prop_oneof![
        4 => (0..3_usize, 1..400_i64, any::<bool>()).prop_map(|(user, amount, is_dispatched)| {
            Step::Hold { user, amount, is_dispatched }
        }),
        2 => (which(), 1..200_i64).prop_map(|(which, more)| Step::Grow { which, more }),
        3 => (which(), 0..600_i64).prop_map(|(which, charge)| Step::Settle { which, charge }),
        1 => which().prop_map(|which| Step::Drop { which }),
        2 => Just(Step::Flush),
        1 => (0..600_i64).prop_map(|charge| Step::Claim { charge }),
        1 => Just(Step::Expire),
        1 => Just(Step::Idle),
        2 => any::<bool>().prop_map(|at_once| Step::Die { at_once }),
    ]
}

/// One exchange that runs, as the test knows it.
struct Running {
    user: usize,
    is_dispatched: bool,
    exchange: ExchangeId,
    hold: Hold,
}

/// Plays `steps`, then lets everything end; what users were charged must be what was settled.
async fn play(steps: Vec<Step>) {
    const CREDIT: i64 = 2_000;
    let mut node = Node::in_memory(150).await;
    let mut payers = Vec::new();
    for _ in 0..3 {
        payers.push(node.payer(CREDIT).await);
    }
    let mut running: Vec<Running> = Vec::new();
    let mut tickets: BTreeMap<ExchangeId, usize> = BTreeMap::new();
    let mut orphans: BTreeMap<ExchangeId, usize> = BTreeMap::new();
    let mut orphaned: BTreeSet<ExchangeId> = BTreeSet::new();
    let mut charged: BTreeMap<ExchangeId, (usize, i64)> = BTreeMap::new();
    for step in steps {
        match step {
            Step::Hold { user, amount, is_dispatched } => {
                let exchange = node.id(ExchangeId::generate);
                let held = node.ledger.hold(&payers[user], exchange, nanos(amount)).await;
                let Ok(mut hold) = held else { continue };
                if is_dispatched {
                    hold.open_ticket(&node.ticket()).expect("in the journal");
                    tickets.insert(exchange, user);
                }
                running.push(Running { user, is_dispatched, exchange, hold });
            }
            Step::Grow { which, more } if !running.is_empty() => {
                let hold = &mut which.get_mut(&mut running).hold;
                let before = hold.amount();
                let grown = hold.grow_or_wait(nanos(more)).await.is_ok();
                let more = if grown { nanos(more) } else { NanoUsd::ZERO };
                assert_eq!(hold.amount(), before.saturating_add(more));
            }
            Step::Settle { which, charge } if !running.is_empty() => {
                let Running { user, exchange, hold, .. } =
                    running.swap_remove(which.index(running.len()));
                let row = node.outcome(exchange, &payers[user]);
                hold.settle_recorded(node.leg(charge, charge / 2), Some(Box::new(row)));
                charged.insert(exchange, (user, charge));
            }
            Step::Drop { which } if !running.is_empty() => {
                drop(running.swap_remove(which.index(running.len())));
            }
            Step::Flush => node.flush().await,
            Step::Claim { charge } => {
                let Some((exchange, user)) = orphans.pop_first() else { continue };
                let held = node.ledger.orphan(exchange).expect("it is known").held;
                let claim = node.leg(charge, charge / 2);
                let settled = node.ledger.settle_orphan(exchange, claim).await.expect("settled");
                assert!(settled.is_some());
                // One that was settled before its process died stays as it was.
                charged.entry(exchange).or_insert_with(|| (user, charge.min(held.nanos())));
            }
            Step::Expire => {
                node.clock.advance(node.money.now().claim_window);
                assert_eq!(node.ledger.expire_orphans(), orphans.len());
                orphans.clear();
            }
            Step::Idle => node.ledger.0.purses.close().await,
            Step::Die { at_once } => {
                for Running { user, is_dispatched, exchange, hold } in running.drain(..) {
                    std::mem::forget(hold);
                    if is_dispatched {
                        orphans.insert(exchange, user);
                    }
                }
                let lost = if at_once { node.ledger.0.tickets.waiting() } else { Vec::new() };
                for record in lost {
                    let exchange = match record {
                        // The store does not have it either: it has not happened.
                        tickets::Record::Settled(posting) => {
                            let exchange = posting.settlement.exchange;
                            charged.remove(&exchange);
                            exchange
                        }
                        tickets::Record::Released { exchange } => exchange,
                        tickets::Record::Opened(_)
                        | tickets::Record::Ended(_)
                        | tickets::Record::Grown { .. }
                        | tickets::Record::Posted { .. }
                        | tickets::Record::Checkpoint(_) => continue,
                    };
                    orphans.extend(tickets.get(&exchange).map(|user| (exchange, *user)));
                }
                if at_once {
                    node.dies_at_once().await;
                } else {
                    node.dies().await;
                }
                let known = node.ledger.orphans();
                let known: Vec<_> = known.iter().map(|orphan| orphan.exchange).collect();
                assert_eq!(known, orphans.keys().copied().collect::<Vec<_>>());
                orphaned.extend(known);
            }
            Step::Grow { .. } | Step::Settle { .. } | Step::Drop { .. } => {}
        }
        node.agrees().await;
        for payer in &payers {
            let account = LedgerAccount::Paid(payer.user);
            let balance = node.store.balance(account).await.expect("a balance");
            assert!(balance.available() >= NanoUsd::ZERO, "more is set aside than there is");
        }
    }
    running.clear();
    node.flush().await;
    node.clock.advance(node.money.now().claim_window);
    assert_eq!(node.ledger.expire_orphans(), orphans.len());
    node.ledger.0.purses.close().await;
    node.dies().await;
    let mut loss = BTreeMap::new();
    for exchange in charged.keys().chain(&orphaned) {
        let row = node.outcomes.find(*exchange).await.expect("looked");
        let row = row.expect("what was settled has its row, and what died has");
        let whole = row.end == EndReason::Complete && charged.contains_key(exchange);
        assert!(whole || row.end == EndReason::NodeLost, "{row:?}");
    }
    let settled = node.store.all_settlements(Page::first()).await.expect("listed");
    assert_eq!(settled.len(), charged.len().min(100), "each end once, nothing invented");
    for agreed in &settled {
        let (user, charge) = charged[&agreed.settlement.exchange];
        assert_eq!(agreed.settlement.user, payers[user].user);
        assert_eq!(agreed.settlement.outlay.charge, nanos(charge));
        *loss.entry(user).or_insert(0) += agreed.loss.nanos();
    }
    for (user, payer) in payers.iter().enumerate() {
        let all: i64 =
            charged.values().filter(|(whose, _)| *whose == user).map(|(_, charge)| charge).sum();
        let paid = all - loss.get(&user).copied().unwrap_or(0);
        assert_eq!(node.posted(LedgerAccount::Paid(payer.user)).await, CREDIT - paid);
        assert_eq!(node.pending(payer).await, 0, "what was set aside is given back");
    }
    node.agrees().await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn whatever_dies_when_nothing_is_lost_and_nothing_is_charged_twice(
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(play(steps));
    }
}
