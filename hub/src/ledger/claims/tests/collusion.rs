//! An agent and a user that work together: the one invents usage, the other spends what it has as
//! often as it can. Whatever they do, and whenever the hub dies in between, the owner earns no more
//! than its share of what was paid in.

use super::super::Promise;
use super::orphans::node;
use super::world::{Agent, Hub, promise, usage};
use crate::ledger::{Hold, Ledger, OpenTicket, Payer, UserLeg};
use crate::lifecycle::{Stage, Tasks};
use crate::wallets::Wallets;
use proptest::prelude::*;
use proptest::sample::Index;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use weft_proto::codes::EndReason;
use weft_proto::entropy::{Entropy, SeededEntropy};
use weft_proto::ids::{ExchangeId, KeyId, UserId};
use weft_proto::ledger::{Body, Close, Position};
use weft_proto::money::{NanoUsd, Ratio};
use weft_proto::provider::Provider;
use weft_proto::time::{Clock, ManualClock};
use weft_proto::usage::Basis;
use weft_proto::wire::receipts::Verdict;
use weft_proto::wire::ticket::Ticket;
use weft_store::{
    Bearer, Cover, House, LedgerAccount, Leg, LegState, Metered, Outlay, Served, SpendLimits,
    Store, Subject, Transfer, TransferKey, TransferKind, Transferred,
};

/// Longer than any window.
const LONG: Duration = Duration::from_secs(9 * 86_400);

/// Until the upkeep has looked again.
const A_LOOK: Duration = Duration::from_secs(11);

/// One node of a hub, an agent on it, and a user whose only account is that agent's.
struct Pair {
    dir: TempDir,
    hub: Hub,
    agent: Agent,
    ledger: Ledger,
    tasks: Tasks,
    entropy: SeededEntropy,
    user: UserId,
    key: KeyId,
    /// The user belongs to the owner's house.
    linked: bool,
    /// How both ends have metered.
    basis: Basis,
    deposited: i64,
    given: i64,
    running: Vec<(Ticket, Position, Hold)>,
    /// What ran when the hub died, and nobody has claimed.
    left: Vec<(Ticket, Position)>,
}

impl Pair {
    async fn new(linked: bool) -> Self {
        let (dir, mut hub) = (tempfile::tempdir().expect("a folder"), Hub::new(31));
        let agent = Agent::new(&hub, 5);
        let (ledger, keeper) = node(&hub, dir.path()).await;
        hub.ledger = Some(ledger.clone());
        let tasks = Tasks::new();
        keeper.start(&tasks);
        let entropy = SeededEntropy::new(32);
        let user = UserId::generate(&*hub.clock, &entropy);
        let key = KeyId::generate(&*hub.clock, &entropy);
        let (deposited, given, running) = (0, 0, Vec::new());
        Self {
            dir,
            hub,
            agent,
            ledger,
            tasks,
            entropy,
            user,
            key,
            linked,
            basis: Basis::Reported,
            deposited,
            given,
            running,
            left: Vec::new(),
        }
    }

    /// The hub dies where it stands, and begins again.
    async fn dies(&mut self) {
        for stage in [Stage::Carriers, Stage::Records] {
            self.tasks.cutting_off(stage).cancel();
        }
        for (ticket, opened, hold) in self.running.drain(..) {
            std::mem::forget(hold);
            self.left.push((ticket, opened));
        }
        self.hub.clock.advance(Duration::from_millis(1));
        let (ledger, keeper) = node(&self.hub, self.dir.path()).await;
        self.hub.ledger = Some(ledger.clone());
        (self.ledger, self.tasks) = (ledger, Tasks::new());
        keeper.start(&self.tasks);
    }

    /// What the hub has forgotten is said to have come to `charge`, and claimed `times`.
    fn proves(&mut self, which: usize, charge: i64, times: i64) -> ExchangeId {
        let (ticket, opened) = self.left.remove(which);
        let units = u64::try_from(charge / 1_000).expect("an amount");
        let close = Agent::close_of(&ticket, opened, units);
        let income = NanoUsd::new(close.income.nanos() * times);
        self.agent.push(Body::Close(Close { income, ..close }));
        ticket.exchange
    }

    async fn credit(&mut self, leg: Leg, from: House, to: LedgerAccount, amount: i64) {
        let (clock, entropy): (&dyn Clock, &dyn Entropy) = (&*self.hub.clock, &self.entropy);
        let moved = Transfer {
            key: TransferKey { subject: Subject::generate(clock, entropy), leg, part: 0 },
            kind: TransferKind::Direct,
            debit: LedgerAccount::House(from),
            credit: to,
            amount: NanoUsd::new(amount),
            lease: None,
            memo: None,
            at: clock.now(),
        };
        let done = self.hub.store.ledger().transfer(&[moved], Cover::Free, &[]).await;
        assert_eq!(done.expect("moved"), Transferred::Done);
    }

    async fn deposit(&mut self, amount: i64) {
        self.deposited += amount;
        self.credit(Leg::Deposit, House::Cash, LedgerAccount::Paid(self.user), amount).await;
    }

    async fn redeem(&mut self, amount: i64) {
        self.given += amount;
        let promo = LedgerAccount::Promo(self.user);
        self.credit(Leg::Redemption, House::Promotions, promo, amount).await;
    }

    /// Begins an exchange, where the balance carries the hold.
    async fn begin(&mut self, held: i64) {
        let mut ticket = self.hub.ticket(held * 8 / 10);
        let payer = Payer { user: self.user, key: self.key, limits: SpendLimits::default() };
        let hold = self.ledger.hold(&payer, ticket.exchange, NanoUsd::new(held)).await;
        let Ok(mut hold) = hold else { return };
        let terms = ticket.terms.as_mut().expect("terms");
        terms.lease = hold.lease();
        let cap = terms.cap;
        self.hub.sealer.seal(&mut ticket);
        let promise = Promise { linked: self.linked, ..promise(&ticket) };
        let open = OpenTicket { served: self.served(&ticket), cap, terms: promise.encode() };
        hold.open_ticket(&open).expect("written down");
        let opened = self.agent.open(&ticket);
        self.running.push((ticket, opened, hold));
    }

    fn served(&self, ticket: &Ticket) -> Served {
        Served {
            agent: self.agent.id,
            owner: self.hub.owner,
            account: ticket.account,
            attempt: ticket.attempt,
        }
    }

    /// Ends an exchange with an answer that says it has come to `charge`: the hub meters what the
    /// agent has made up, and the agent claims that, or `times` as much.
    async fn end(&mut self, which: usize, charge: i64, times: i64) -> ExchangeId {
        let (ticket, opened, hold) = self.running.remove(which);
        let exchange = ticket.exchange;
        let units = u64::try_from(charge / 1_000).expect("an amount");
        let outlay = Outlay {
            charge: NanoUsd::new(charge),
            income: NanoUsd::new(charge * 8 / 10),
            rounding: NanoUsd::ZERO,
            bearer: Bearer::User,
        };
        hold.settle(UserLeg {
            served: Some(self.served(&ticket)),
            metered: Metered {
                provider: Some(Provider::OpenAi),
                model: None,
                usage: usage(units),
                basis: self.basis,
                service: 0,
                geo: 0,
                book: Some([3; 32]),
                priced_at: ticket.issued_at,
                zone: Ratio::ONE,
                tier: Ratio::from_ppm(800_000),
            },
            end: EndReason::Complete,
            outlay,
            linked: self.linked,
        });
        let record = loop {
            match self.hub.agreed(exchange).await {
                Some(agreed) => break agreed,
                None => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        };
        let income = NanoUsd::new(record.settlement.outlay.income.nanos() * times);
        let close = Agent::close_of(&ticket, opened, units);
        self.agent.push(Body::Close(Close { income, basis: self.basis, ..close }));
        exchange
    }

    async fn wait(&self, time: Duration) {
        self.hub.clock.advance(time);
        tokio::time::sleep(A_LOOK).await;
    }

    async fn posted(&self, account: LedgerAccount) -> i64 {
        let balance = self.hub.store.ledger().balance(account).await;
        balance.expect("a balance").posted().nanos()
    }

    /// What the owner has, payable or not yet.
    async fn earned(&self) -> i64 {
        let owner = self.hub.owner;
        self.posted(LedgerAccount::Vesting(owner)).await
            + self.posted(LedgerAccount::Wallet(owner)).await
    }

    /// What of the money that came in is spent: never more than came in.
    async fn spent(&self) -> i64 {
        let left = self.posted(LedgerAccount::Paid(self.user)).await.max(0);
        let given = self.given - self.posted(LedgerAccount::Promo(self.user)).await;
        self.deposited - left + if self.linked { 0 } else { given }
    }

    /// Fails where the owner has more than its share of what was spent, or the books do not agree.
    async fn is_fair(&self) {
        let (earned, spent) = (self.earned().await, self.spent().await);
        assert!(earned * 10 <= spent * 8, "earned {earned} of {spent} that were paid");
        let ledger = self.hub.store.ledger();
        assert!(ledger.sums().await.expect("read").agree());
        assert_eq!(ledger.recompute().await.expect("recomputed"), []);
        let clock = Arc::<ManualClock>::clone(&self.hub.clock);
        let wallets = Wallets::new(&*self.hub.store, clock, Arc::new(SeededEntropy::new(77)));
        assert_eq!(wallets.verify(None).await.expect("looked at").findings, []);
        // Each is found again in its own evidence.
        self.hub.findings().await;
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.tasks.stop();
    }
}

#[tokio::test(start_paused = true)]
async fn an_invented_usage_earns_what_its_user_had_and_no_more() {
    let mut pair = Pair::new(false).await;
    pair.deposit(1_000).await;
    pair.begin(1_000).await;
    // Two dollars: the balance falls by the overdraft, and the hub bears the rest.
    let exchange = pair.end(0, 2_000_000_000, 1).await;
    pair.agent.report(&pair.hub).await;
    assert_eq!(pair.agent.words[&(exchange, 1)], (Verdict::Disputed, NanoUsd::ZERO));
    let agreed = pair.hub.agreed(exchange).await.expect("settled");
    assert_eq!(agreed.leg.state, LegState::Uncovered);
    assert_eq!((agreed.owed.nanos(), agreed.loss.nanos()), (500_000_000, 1_499_999_000));
    assert_eq!(agreed.covered(false).nanos(), 800);
    assert_eq!(pair.hub.findings().await, ["uncovered"]);
    pair.agent.report(&pair.hub).await;
    assert_eq!((pair.earned().await, pair.hub.findings().await.len()), (0, 1), "told once");
    // Nobody decides.
    pair.wait(LONG).await;
    assert_eq!(pair.earned().await, 800);
    pair.agent.report(&pair.hub).await;
    assert_eq!(pair.agent.words[&(exchange, 1)], (Verdict::Paid, NanoUsd::new(800)));
    pair.is_fair().await;
}

#[tokio::test(start_paused = true)]
async fn an_honest_overrun_is_paid_in_full_once_its_user_has_paid() {
    let mut pair = Pair::new(false).await;
    pair.deposit(1_000_000).await;
    pair.begin(1_000_000).await;
    let exchange = pair.end(0, 1_010_000, 1).await;
    pair.agent.report(&pair.hub).await;
    assert_eq!(pair.agent.words[&(exchange, 1)], (Verdict::Disputed, NanoUsd::ZERO));
    pair.deposit(10_000).await;
    pair.agent.report(&pair.hub).await;
    assert_eq!(pair.agent.words[&(exchange, 1)], (Verdict::Paid, NanoUsd::new(808_000)));
    pair.is_fair().await;
    // What was covered from the start is paid at once.
    pair.deposit(5_000).await;
    pair.wait(Duration::from_secs(1)).await;
    pair.begin(2_000).await;
    let exchange = pair.end(0, 5_000, 1).await;
    pair.agent.report(&pair.hub).await;
    assert_eq!(pair.agent.words[&(exchange, 1)], (Verdict::Paid, NanoUsd::new(4_000)));
    pair.is_fair().await;
}

#[tokio::test(start_paused = true)]
async fn a_usage_that_both_ends_held_to_its_bound_is_paid_and_told() {
    let mut pair = Pair::new(false).await;
    pair.basis = Basis::Bounded;
    pair.deposit(1_000_000).await;
    pair.begin(10_000).await;
    let exchange = pair.end(0, 10_000, 1).await;
    pair.agent.report(&pair.hub).await;
    assert_eq!(pair.agent.words[&(exchange, 1)], (Verdict::Paid, NanoUsd::new(8_000)));
    // The claim and the record prove it, offline.
    assert_eq!(pair.hub.findings().await, ["inflated_usage"]);
    pair.is_fair().await;
}

#[tokio::test(start_paused = true)]
async fn credit_that_was_given_pays_its_own_house_nothing_when_the_hub_dies_in_between() {
    for (linked, earned) in [(true, 0), (false, 8_000)] {
        let mut pair = Pair::new(linked).await;
        pair.redeem(1_000_000).await;
        pair.begin(10_000).await;
        pair.dies().await;
        assert_eq!(pair.ledger.orphans().len(), 1);
        let exchange = pair.proves(0, 10_000, 1);
        pair.agent.report(&pair.hub).await;
        assert_eq!(pair.agent.words[&(exchange, 1)], (Verdict::Paid, NanoUsd::new(earned)));
        let outlay = pair.hub.agreed(exchange).await.expect("settled").settlement.outlay;
        assert_eq!((outlay.charge.nanos(), outlay.income.nanos()), (10_000, earned));
        pair.is_fair().await;
    }
}

/// One thing that colluders do.
#[derive(Debug, Clone)]
enum Trick {
    /// Real money comes in.
    Deposit(i64),
    /// A code of the hub's is redeemed.
    Redeem(i64),
    /// An exchange begins, beside those that run.
    Begin(i64),
    /// The hold of one grows.
    Grow(Index, i64),
    /// One ends, and has come to so much; so many times that is claimed.
    End(Index, i64, i64),
    /// The hub dies, and begins again.
    Die,
    /// One of those that it left behind has come to so much; so many times that is claimed.
    Prove(Index, i64, i64),
    /// What was not answered is claimed.
    Claim,
    /// Some time passes, seconds.
    Wait(u64),
}

fn trick() -> impl Strategy<Value = Trick> {
    // From a little to far beyond every limit.
    let amount = || prop_oneof![1_000..100_000_i64, 1_000..2_000_000_000_i64];
    prop_oneof![
        2 => amount().prop_map(Trick::Deposit),
        1 => amount().prop_map(Trick::Redeem),
        4 => (1_000..5_000_000_i64).prop_map(Trick::Begin),
        1 => (any::<Index>(), 1_000..1_000_000_i64).prop_map(|(which, more)| Trick::Grow(which, more)),
        4 => (any::<Index>(), prop_oneof![1_000..5_000_000_i64, 1_000..9_000_000_000_i64], 1..3_i64)
            .prop_map(|(which, charge, times)| Trick::End(which, charge, times)),
        1 => Just(Trick::Die),
        2 => (any::<Index>(), prop_oneof![1_000..5_000_000_i64, 1_000..9_000_000_000_i64], 1..3_i64)
            .prop_map(|(which, charge, times)| Trick::Prove(which, charge, times)),
        2 => Just(Trick::Claim),
        1 => (0..20 * 86_400_u64).prop_map(Trick::Wait),
    ]
}

async fn collude(linked: bool, tricks: Vec<Trick>) {
    let mut pair = Pair::new(linked).await;
    for trick in tricks {
        match trick {
            Trick::Deposit(amount) => pair.deposit(amount).await,
            Trick::Redeem(amount) => pair.redeem(amount).await,
            Trick::Begin(held) => pair.begin(held).await,
            Trick::Grow(which, more) if !pair.running.is_empty() => {
                let which = which.index(pair.running.len());
                let hold = &mut pair.running[which].2;
                // What the balance does not carry stays as it was.
                hold.grow_or_wait(NanoUsd::new(more)).await.unwrap_or_default();
            }
            Trick::End(which, charge, times) if !pair.running.is_empty() => {
                let which = which.index(pair.running.len());
                pair.end(which, charge, times).await;
            }
            Trick::Die => pair.dies().await,
            Trick::Prove(which, charge, times) if !pair.left.is_empty() => {
                let which = which.index(pair.left.len());
                pair.proves(which, charge, times);
            }
            Trick::Grow(..) | Trick::End(..) | Trick::Prove(..) => {}
            Trick::Claim => pair.agent.report(&pair.hub).await,
            Trick::Wait(seconds) => pair.wait(Duration::from_secs(seconds)).await,
        }
        pair.is_fair().await;
    }
    while !pair.running.is_empty() {
        pair.end(0, 1_000_000, 1).await;
    }
    for _ in 0..3 {
        pair.agent.report(&pair.hub).await;
        pair.wait(LONG).await;
        pair.is_fair().await;
    }
    assert_eq!(pair.posted(LedgerAccount::House(House::Suspense)).await, 0, "all is answered");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_a_pair_does_its_owner_earns_its_share_of_what_was_paid_and_no_more(
        linked in any::<bool>(),
        tricks in prop::collection::vec(trick(), 1..30),
    ) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().expect("a runtime");
        runtime.block_on(collude(linked, tricks));
    }
}
