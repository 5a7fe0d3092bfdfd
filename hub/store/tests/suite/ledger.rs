//! The ledger: leases, user legs, moves, and the sums that must agree after all of it.

use crate::fixture::World;
use std::sync::Arc;
use weft_proto::codes::EndReason;
use weft_proto::entropy::SeededEntropy;
use weft_proto::ids::{AccountId, LeaseId, NodeId, OwnerId, UserId};
use weft_proto::money::{NanoUsd, Ratio};
use weft_proto::provider::Provider;
use weft_proto::time::{ManualClock, Timestamp};
use weft_proto::usage::{Basis, Class, Usage};
use weft_store::{
    Agreed, Bearer, Cover, Draw, GiveBack, House, Lease, LeaseWanted, Leased, Ledger,
    LedgerAccount, Leg, LegState, Memo, Metered, Outlay, Page, PageSize, Posting,
    SETTLEMENTS_PER_CALL_MAX, Served, Settled, Settlement, SettlementsWanted, SpendWanted, Store,
    StoreError, Subject, Transfer, TransferKey, TransferKind, Transferred, TransfersWanted, Whose,
};

/// One USD.
pub(crate) const USD: i64 = 1_000_000_000;

pub(crate) const fn nanos(amount: i64) -> NanoUsd {
    NanoUsd::new(amount)
}

/// A world, a ledger and one node.
pub(crate) struct Till {
    pub(crate) world: World,
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) node: NodeId,
}

impl Till {
    pub(crate) fn new(seed: u64, store: &Arc<dyn Store>) -> Self {
        let clock = ManualClock::new(Timestamp::from_secs(1));
        let node = NodeId::generate(&clock, &SeededEntropy::new(seed));
        Self { world: World::new(seed), ledger: store.ledger(), node }
    }

    pub(crate) fn lease_id(&self) -> LeaseId {
        LeaseId::from_slice(&self.world.bytes()[..16]).expect("an id")
    }

    pub(crate) fn owner_id(&self) -> OwnerId {
        OwnerId::from_slice(&self.world.bytes()[..16]).expect("an id")
    }

    fn subject(&self) -> Subject {
        Subject::from(self.world.exchange_id())
    }

    /// A transfer between two accounts that is neither of an exchange nor of a lease.
    pub(crate) fn moved(
        &self,
        leg: Leg,
        debit: LedgerAccount,
        credit: LedgerAccount,
        amount: i64,
    ) -> Transfer {
        Transfer {
            key: TransferKey { subject: self.subject(), leg, part: 0 },
            kind: TransferKind::Direct,
            debit,
            credit,
            amount: nanos(amount),
            lease: None,
            memo: Memo::parse("by hand"),
            at: self.world.now(),
        }
    }

    /// A user with so much credit.
    pub(crate) async fn user(&self, credit: i64) -> UserId {
        let user = self.world.user_id();
        if credit > 0 {
            let cash = LedgerAccount::House(House::Cash);
            let deposit = self.moved(Leg::Deposit, cash, LedgerAccount::Paid(user), credit);
            let done = self.ledger.transfer(&[deposit], Cover::Free, &[]).await.expect("moved");
            assert_eq!(done, Transferred::Done);
        }
        user
    }

    pub(crate) fn wants(&self, account: LedgerAccount, wanted: i64, least: i64) -> LeaseWanted {
        LeaseWanted {
            lease: self.lease_id(),
            part: 0,
            account,
            node: self.node,
            wanted: nanos(wanted),
            least: nanos(least),
            at: self.world.now(),
        }
    }

    pub(crate) async fn leased(&self, user: UserId, amount: i64) -> Lease {
        let wanted = self.wants(LedgerAccount::Paid(user), amount, amount);
        match self.ledger.lease(&wanted).await.expect("an answer") {
            Leased::Granted(lease) => lease,
            Leased::Short { available } => panic!("only {available}"),
        }
    }

    pub(crate) fn posting(&self, user: UserId, outlay: Outlay, draws: Vec<Draw>) -> Posting {
        let exchange = self.world.exchange_id();
        let settled_at = self.world.now();
        let usage = Usage::NONE.with(Class::Input, 12).with(Class::Output, 1 << 40);
        Posting {
            settlement: Settlement {
                exchange,
                user,
                key: self.world.key_id(),
                served: Some(Served {
                    agent: self.world.agent_id(),
                    owner: self.owner_id(),
                    account: AccountId::from_slice(&self.world.bytes()[..16]).expect("an id"),
                    attempt: 2,
                }),
                metered: Metered {
                    provider: Some(Provider::DeepSeek),
                    model: Some("deepseek-chat".parse().expect("a model")),
                    usage,
                    basis: Basis::Estimated,
                    service: 3,
                    geo: 1,
                    book: Some(self.world.bytes()),
                    priced_at: settled_at,
                    zone: Ratio::ONE,
                    tier: Ratio::from_ppm(800_000),
                },
                end: EndReason::Complete,
                outlay,
                node: self.node,
                hold: draws.first().map(|draw| (draw.lease, 7)),
                held: outlay.charge,
                settled_at,
                claim_until: settled_at.after(std::time::Duration::from_secs(86_400)),
            },
            draws,
            overdraft_max: nanos(0),
        }
    }

    pub(crate) async fn settled(&self, posting: &Posting) -> Settled {
        let settled = self.ledger.settle(std::slice::from_ref(posting)).await.expect("posted");
        settled[0]
    }

    pub(crate) async fn agreed(&self, posting: &Posting) -> Agreed {
        let found = self.ledger.settlement(posting.settlement.exchange).await.expect("looked");
        found.expect("a settlement")
    }

    pub(crate) async fn posted(&self, account: LedgerAccount) -> i64 {
        self.ledger.balance(account).await.expect("a balance").posted().nanos()
    }

    pub(crate) async fn house(&self, house: House) -> i64 {
        self.posted(LedgerAccount::House(house)).await
    }

    async fn available(&self, user: UserId) -> i64 {
        let balance = self.ledger.balance(LedgerAccount::Paid(user)).await.expect("a balance");
        balance.available().nanos()
    }

    /// Nothing came from nowhere, and every balance is the sum of its transfers.
    pub(crate) async fn agrees(&self) {
        let sums = self.ledger.sums().await.expect("sums");
        assert!(sums.agree(), "{sums:?}");
        assert_eq!(self.ledger.recompute().await.expect("recomputed"), []);
    }
}

pub(crate) const fn outlay(charge: i64, income: i64, rounding: i64) -> Outlay {
    Outlay {
        charge: nanos(charge),
        income: nanos(income),
        rounding: nanos(rounding),
        bearer: Bearer::User,
    }
}

pub(crate) const fn draw(lease: &Lease, amount: i64) -> Draw {
    Draw { lease: lease.id, amount: nanos(amount) }
}

pub(crate) async fn a_lease_takes_what_there_is_and_never_more(store: Arc<dyn Store>) {
    let till = Till::new(11, &store);
    let user = till.user(10 * USD).await;
    let paid = LedgerAccount::Paid(user);
    let first = till.leased(user, 6 * USD).await;
    assert_eq!((first.rest(), till.available(user).await), (nanos(6 * USD), 4 * USD));
    // As much as there is, where that is enough.
    let rest = till.wants(paid, 6 * USD, USD);
    let Leased::Granted(second) = till.ledger.lease(&rest).await.expect("an answer") else {
        panic!("there are four")
    };
    assert_eq!(second.granted, nanos(4 * USD));
    // The same asked again is the same lease, and nothing more.
    assert_eq!(till.ledger.lease(&rest).await.expect("again"), Leased::Granted(second));
    let none = till.ledger.lease(&till.wants(paid, USD, 1)).await.expect("an answer");
    assert_eq!(none, Leased::Short { available: nanos(0) });
    let stranger = till.wants(LedgerAccount::Paid(till.world.user_id()), USD, 1);
    let none = till.ledger.lease(&stranger).await.expect("an answer");
    assert_eq!(none, Leased::Short { available: nanos(0) });
    let open = till.ledger.open_leases(Some(till.node), Page::first()).await.expect("listed");
    assert_eq!(open.len(), 2);
    till.agrees().await;
}

pub(crate) async fn a_lease_grows_and_shrinks_part_by_part(store: Arc<dyn Store>) {
    let till = Till::new(12, &store);
    let user = till.user(10 * USD).await;
    let lease = till.leased(user, 2 * USD).await;
    let more =
        LeaseWanted { lease: lease.id, part: 1, ..till.wants(lease.account, 3 * USD, 3 * USD) };
    let Leased::Granted(grown) = till.ledger.lease(&more).await.expect("an answer") else {
        panic!("there are eight")
    };
    assert_eq!((grown.rest(), grown.parts), (nanos(5 * USD), 2));
    assert_eq!(till.ledger.lease(&more).await.expect("again"), Leased::Granted(grown));
    let skipped = LeaseWanted { part: 5, ..more };
    assert!(matches!(till.ledger.lease(&skipped).await, Err(StoreError::Conflict { .. })));
    let foreign = LeaseWanted { part: 2, account: LedgerAccount::Promo(user), ..more };
    assert!(matches!(till.ledger.lease(&foreign).await, Err(StoreError::Conflict { .. })));

    let at = till.world.now();
    let back = GiveBack { lease: lease.id, part: 2, amount: nanos(USD), close: false, at };
    let shrunk = till.ledger.give_back(&back).await.expect("returned");
    assert_eq!((shrunk.rest(), shrunk.parts), (nanos(4 * USD), 3));
    assert_eq!(till.ledger.give_back(&back).await.expect("again"), shrunk);
    let over = GiveBack { part: 3, amount: nanos(0), close: true, ..back };
    let closed = till.ledger.give_back(&over).await.expect("closed");
    assert!(!closed.open && closed.rest() == nanos(0));
    assert_eq!(till.available(user).await, 10 * USD);
    let late = LeaseWanted { part: 4, ..more };
    assert!(matches!(till.ledger.lease(&late).await, Err(StoreError::Conflict { .. })));
    let unknown = GiveBack { lease: till.lease_id(), ..back };
    assert!(matches!(till.ledger.give_back(&unknown).await, Err(StoreError::NotFound { .. })));
    assert_eq!(till.ledger.find_lease(lease.id).await.expect("looked"), Some(closed));
    assert!(till.ledger.open_leases(None, Page::first()).await.expect("listed").is_empty());
    till.agrees().await;
}

pub(crate) async fn of_many_leases_at_once_no_nano_is_granted_twice(store: Arc<dyn Store>) {
    let till = Till::new(13, &store);
    let user = till.user(10 * USD).await;
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let wanted = till.wants(LedgerAccount::Paid(user), USD, USD);
        let ledger = Arc::clone(&till.ledger);
        asking.spawn(async move { ledger.lease(&wanted).await.expect("an answer") });
    }
    let answers = asking.join_all().await;
    let granted = answers.iter().filter(|leased| matches!(leased, Leased::Granted(_))).count();
    assert_eq!((granted, till.available(user).await), (10, 0));
    till.agrees().await;
}

pub(crate) async fn every_fact_of_a_settlement_comes_back(store: Arc<dyn Store>) {
    let till = Till::new(14, &store);
    let user = till.user(10 * USD).await;
    let lease = till.leased(user, 5 * USD).await;
    let full = till.posting(user, outlay(USD, 700, 2), vec![draw(&lease, USD)]);
    let mut bare = till.posting(user, Outlay::NONE, vec![]);
    bare.settlement.served = None;
    bare.settlement.metered = Metered {
        provider: None,
        model: None,
        book: None,
        usage: Usage::NONE,
        ..bare.settlement.metered
    };
    let both = till.ledger.settle(&[full.clone(), bare.clone()]).await.expect("posted");
    let fresh = Settled::Fresh { loss: nanos(0), overrun: nanos(0) };
    assert_eq!(both, [fresh, fresh]);
    for posting in [&full, &bare] {
        assert_eq!(till.agreed(posting).await.settlement, posting.settlement);
    }
    assert_eq!(till.agreed(&full).await.leg.state, LegState::Open);
    assert_eq!(till.agreed(&bare).await.leg.state, LegState::Absent);
    assert_eq!(till.ledger.settlement(till.world.exchange_id()).await.expect("looked"), None);
    let all = till.ledger.all_settlements(Page::first()).await.expect("listed");
    assert_eq!(all.len(), 2);
    till.agrees().await;
}

pub(crate) async fn a_charge_is_shared_out_to_the_nano(store: Arc<dyn Store>) {
    let till = Till::new(15, &store);
    let user = till.user(10 * USD).await;
    let lease = till.leased(user, 5 * USD).await;
    let posting = till.posting(user, outlay(1_000, 800, 1), vec![draw(&lease, 1_000)]);
    till.settled(&posting).await;
    assert_eq!(till.posted(LedgerAccount::Paid(user)).await, 10 * USD - 1_000);
    assert_eq!(till.house(House::Suspense).await, 800);
    assert_eq!(till.house(House::Margin).await, 199);
    assert_eq!(till.house(House::Rounding).await, 1);
    let held = till.ledger.find_lease(lease.id).await.expect("looked").expect("a lease");
    assert_eq!((held.used, held.rest()), (nanos(1_000), nanos(5 * USD - 1_000)));
    let subject = Subject::from(posting.settlement.exchange);
    let transfers = till.ledger.transfers_of(subject).await.expect("listed");
    assert!(transfers.iter().all(|transfer| transfer.kind == TransferKind::Post));
    assert_eq!(transfers.len(), 3);

    // A zone below the tier: the hub's margin pays what is missing of the income.
    let cheap = till.posting(user, outlay(500, 800, 0), vec![draw(&lease, 500)]);
    till.settled(&cheap).await;
    assert_eq!(till.house(House::Suspense).await, 1_600);
    assert_eq!(till.house(House::Margin).await, 199 - 300);

    // A claim that no record meets is the hub's loss.
    let mut borne = till.posting(user, outlay(0, 300, 0), vec![]);
    borne.settlement.outlay.bearer = Bearer::Hub;
    till.settled(&borne).await;
    assert_eq!(till.house(House::Suspense).await, 1_900);
    assert_eq!(till.house(House::Loss).await, -300);
    till.agrees().await;
}

pub(crate) async fn a_settlement_is_posted_once_whatever_comes_again(store: Arc<dyn Store>) {
    let till = Till::new(16, &store);
    let user = till.user(10 * USD).await;
    let lease = till.leased(user, 5 * USD).await;
    let posting = till.posting(user, outlay(1_000, 800, 1), vec![draw(&lease, 1_000)]);
    till.settled(&posting).await;
    assert_eq!(till.settled(&posting).await, Settled::Already);
    // However it was held and whenever it was tried.
    let mut later = posting.clone();
    later.settlement.settled_at = till.world.now();
    later.draws.clear();
    assert_eq!(till.settled(&later).await, Settled::Already);
    let mut other = posting.clone();
    other.settlement.outlay.charge = nanos(2_000);
    assert_eq!(till.settled(&other).await, Settled::Conflict);
    // Twice in one batch, among others.
    let next = till.posting(user, outlay(10, 8, 0), vec![draw(&lease, 10)]);
    let batch = [posting, next.clone(), next, other];
    let answers = till.ledger.settle(&batch).await.expect("posted");
    let fresh = Settled::Fresh { loss: nanos(0), overrun: nanos(0) };
    assert_eq!(answers, [Settled::Already, fresh, Settled::Already, Settled::Conflict]);
    assert_eq!(till.posted(LedgerAccount::Paid(user)).await, 10 * USD - 1_010);
    till.agrees().await;
}

pub(crate) async fn a_charge_beyond_the_lease_takes_the_balance_and_then_the_hub(
    store: Arc<dyn Store>,
) {
    let till = Till::new(17, &store);
    let user = till.user(10_000).await;
    let lease = till.leased(user, 4_000).await;
    // The lease's rest, the balance, and so much below zero.
    let mut much = till.posting(user, outlay(20_000, 16_000, 0), vec![draw(&lease, 5_000)]);
    much.overdraft_max = nanos(1_500);
    let settled = till.settled(&much).await;
    assert_eq!(settled, Settled::Fresh { loss: nanos(8_500), overrun: nanos(7_500) });
    assert_eq!(till.posted(LedgerAccount::Paid(user)).await, -1_500);
    assert_eq!(till.house(House::Suspense).await, 16_000);
    assert_eq!(till.house(House::Loss).await, -8_500);
    let agreed = till.agreed(&much).await;
    assert_eq!((agreed.loss, agreed.owed), (nanos(8_500), nanos(1_500)));
    // Nothing is left: all of the next is the hub's.
    let more = till.posting(user, outlay(100, 80, 0), vec![]);
    let settled = till.settled(&more).await;
    assert_eq!(settled, Settled::Fresh { loss: nanos(100), overrun: nanos(0) });
    // A user whom the ledger never saw may fall as far.
    let mut stranger = till.posting(till.world.user_id(), outlay(100, 80, 0), vec![]);
    stranger.overdraft_max = nanos(60);
    let settled = till.settled(&stranger).await;
    assert_eq!(settled, Settled::Fresh { loss: nanos(40), overrun: nanos(60) });
    till.agrees().await;
}

pub(crate) async fn a_draw_from_a_lease_that_is_over_or_foreign_is_owed_by_the_balance(
    store: Arc<dyn Store>,
) {
    let till = Till::new(18, &store);
    let user = till.user(10_000).await;
    let foreign = till.leased(till.user(10_000).await, 5_000).await;
    let closed = till.leased(user, 4_000).await;
    let at = till.world.now();
    let back = GiveBack { lease: closed.id, part: 1, amount: nanos(0), close: true, at };
    till.ledger.give_back(&back).await.expect("closed");
    for lease in [foreign, closed] {
        let posting = till.posting(user, outlay(100, 80, 0), vec![draw(&lease, 100)]);
        let settled = till.settled(&posting).await;
        assert_eq!(settled, Settled::Fresh { loss: nanos(0), overrun: nanos(100) });
    }
    assert_eq!(till.posted(LedgerAccount::Paid(user)).await, 9_800);
    till.agrees().await;
}

pub(crate) async fn promotional_credit_is_told_apart(store: Arc<dyn Store>) {
    let till = Till::new(19, &store);
    let user = till.user(10_000).await;
    let promo = LedgerAccount::Promo(user);
    let gift = till.moved(Leg::Promotion, LedgerAccount::House(House::Promotions), promo, 300);
    assert_eq!(
        till.ledger.transfer(&[gift], Cover::Covered, &[]).await.expect("moved"),
        Transferred::Done
    );
    let wanted = till.wants(promo, 1_000, 1);
    let Leased::Granted(given) = till.ledger.lease(&wanted).await.expect("an answer") else {
        panic!("there are 300")
    };
    let paid = till.leased(user, 1_000).await;
    let draws = vec![draw(&given, 300), draw(&paid, 200)];
    let posting = till.posting(user, outlay(500, 400, 0), draws);
    till.settled(&posting).await;
    assert_eq!(till.agreed(&posting).await.promo, nanos(300));
    assert_eq!(till.posted(promo).await, 0);
    assert_eq!(till.posted(LedgerAccount::Paid(user)).await, 9_800);
    till.agrees().await;
}

pub(crate) async fn amounts_that_nobody_can_mean_are_refused(store: Arc<dyn Store>) {
    let till = Till::new(20, &store);
    let user = till.user(10_000).await;
    let lease = till.leased(user, 1_000).await;
    let good = till.posting(user, outlay(100, 80, 1), vec![draw(&lease, 100)]);
    let mut bad = Vec::new();
    for change in [outlay(-1, 0, 0), outlay(100, -1, 0), outlay(100, 0, -1), outlay(1, 0, 2)] {
        let mut posting = good.clone();
        posting.settlement.outlay = change;
        posting.draws.clear();
        bad.push(posting);
    }
    let mut nobody = good.clone();
    nobody.settlement.served = None;
    let mut borne = good.clone();
    borne.settlement.outlay.bearer = Bearer::Hub;
    let mut more = good.clone();
    more.draws = vec![draw(&lease, 101)];
    bad.extend([nobody, borne, more]);
    for posting in bad {
        let refused = till.ledger.settle(&[good.clone(), posting]).await;
        assert!(matches!(refused, Err(StoreError::Corrupt { .. })), "{refused:?}");
    }
    assert_eq!(till.ledger.settlement(good.settlement.exchange).await.expect("looked"), None);
    till.agrees().await;
}

pub(crate) async fn a_batch_longer_than_a_transaction_is_posted_whole(store: Arc<dyn Store>) {
    let till = Till::new(21, &store);
    let user = till.user(10 * USD).await;
    let lease = till.leased(user, 5 * USD).await;
    let batch: Vec<_> = (0..=SETTLEMENTS_PER_CALL_MAX)
        .map(|_| till.posting(user, outlay(10, 8, 1), vec![draw(&lease, 10)]))
        .collect();
    let settled = till.ledger.settle(&batch).await.expect("posted");
    let fresh = Settled::Fresh { loss: nanos(0), overrun: nanos(0) };
    assert!(settled.len() == batch.len() && settled.iter().all(|settled| *settled == fresh));
    let charged = 10 * i64::try_from(batch.len()).expect("few");
    assert_eq!(till.posted(LedgerAccount::Paid(user)).await, 10 * USD - charged);
    assert!(till.ledger.settle(&[]).await.expect("nothing").is_empty());
    till.agrees().await;
}

pub(crate) async fn money_is_moved_once_and_only_where_it_is(store: Arc<dyn Store>) {
    let till = Till::new(22, &store);
    let user = till.user(1_000).await;
    let (paid, cash) = (LedgerAccount::Paid(user), LedgerAccount::House(House::Cash));
    let refund = till.moved(Leg::Refund, paid, cash, 400);
    let one = std::slice::from_ref(&refund);
    let cover = Cover::Covered;
    assert_eq!(till.ledger.transfer(one, cover, &[]).await.expect("moved"), Transferred::Done);
    assert_eq!(till.ledger.transfer(one, cover, &[]).await.expect("again"), Transferred::Already);
    let changed = Transfer { amount: nanos(500), ..refund.clone() };
    let taken = till.ledger.transfer(&[changed], cover, &[]).await;
    assert!(matches!(taken, Err(StoreError::Conflict { .. })));
    // What is set aside cannot be moved, and neither of two is where one cannot be.
    till.leased(user, 500).await;
    let two = [till.moved(Leg::Refund, paid, cash, 60), till.moved(Leg::Refund, paid, cash, 60)];
    let short = till.ledger.transfer(&two, cover, &[]).await.expect("an answer");
    assert_eq!(short, Transferred::Short { account: paid, available: nanos(100) });
    assert_eq!(till.posted(paid).await, 600);
    let free = till.ledger.transfer(&two, Cover::Free, &[]).await.expect("an answer");
    assert_eq!(free, Transferred::Done);
    assert_eq!(till.available(user).await, -20);
    assert_eq!(till.ledger.find_transfer(refund.key).await.expect("looked"), Some(refund.clone()));
    for wrong in [
        Transfer { key: TransferKey { leg: Leg::User, ..refund.key }, ..refund.clone() },
        Transfer { kind: TransferKind::Pending, ..refund.clone() },
        Transfer { credit: paid, ..refund.clone() },
        Transfer { amount: nanos(0), ..refund },
    ] {
        let refused = till.ledger.transfer(&[wrong], Cover::Free, &[]).await;
        assert!(matches!(refused, Err(StoreError::Corrupt { .. })), "{refused:?}");
    }
    let wanted = TransfersWanted {
        party: weft_store::Party::User(user),
        from: Timestamp::from_micros(0),
        until: Timestamp::from_micros(u64::MAX),
        size: PageSize::default(),
    };
    let listed = till.ledger.transfers(&wanted).await.expect("listed");
    let legs: Vec<_> = listed.iter().map(|transfer| transfer.key.leg).collect();
    assert_eq!(legs, [Leg::Refund, Leg::Refund, Leg::Refund, Leg::Deposit]);
    till.agrees().await;
}

pub(crate) async fn statements_come_latest_first_and_pages_neither_skip_nor_repeat(
    store: Arc<dyn Store>,
) {
    let till = Till::new(23, &store);
    let user = till.user(10_000).await;
    let lease = till.leased(user, 1_000).await;
    let mut made = Vec::new();
    for _ in 0..7 {
        made.push(till.posting(user, outlay(10, 8, 0), vec![draw(&lease, 10)]));
    }
    // Two at the same moment.
    made[4].settlement.settled_at = made[3].settlement.settled_at;
    till.ledger.settle(&made).await.expect("posted");
    let other = till.posting(till.user(10_000).await, outlay(10, 8, 0), vec![]);
    till.settled(&other).await;
    let served = made[2].settlement.served.expect("served");
    let first = SettlementsWanted {
        whose: Whose::User(user),
        from: Timestamp::from_micros(0),
        until: Timestamp::from_micros(u64::MAX),
        after: None,
        size: PageSize::clamped(3),
    };
    let (mut seen, mut wanted) = (Vec::new(), first);
    loop {
        let page = till.ledger.settlements(&wanted).await.expect("listed");
        let Some(last) = page.last() else { break };
        wanted.after = Some((last.settlement.settled_at, last.settlement.exchange));
        seen.extend(page.into_iter().map(|agreed| agreed.settlement));
    }
    let expected: Vec<_> = made.iter().rev().map(|posting| posting.settlement.clone()).collect();
    assert_eq!(seen, expected);
    for (whose, count) in [
        (Whose::Key(user, made[1].settlement.key), 1),
        (Whose::Key(user, other.settlement.key), 0),
        (Whose::Owner(served.owner), 1),
        (Whose::Agent(served.owner, served.agent), 1),
        (Whose::Agent(served.owner, till.world.agent_id()), 0),
    ] {
        let wanted = SettlementsWanted { whose, ..first };
        assert_eq!(till.ledger.settlements(&wanted).await.expect("listed").len(), count);
    }
    let until = made[2].settlement.settled_at;
    let wanted = SettlementsWanted { until, ..first };
    assert_eq!(till.ledger.settlements(&wanted).await.expect("listed").len(), 2);
}

pub(crate) async fn what_was_spent_is_summed_by_days_and_keys(store: Arc<dyn Store>) {
    let till = Till::new(24, &store);
    let user = till.user(10_000).await;
    let lease = till.leased(user, 1_000).await;
    let day = |number: u64, second: u64| Timestamp::from_secs(number * 86_400 + second);
    let mut made = Vec::new();
    for at in [day(20_000, 0), day(20_000, 86_399), day(20_001, 0)] {
        let mut posting = till.posting(user, outlay(100, 80, 0), vec![draw(&lease, 100)]);
        posting.settlement.settled_at = at;
        made.push(posting);
    }
    let mut lost = till.posting(till.world.user_id(), outlay(100, 80, 0), vec![]);
    lost.settlement.settled_at = day(20_000, 1);
    made.push(lost);
    till.ledger.settle(&made).await.expect("posted");
    let all = SpendWanted { user, key: None, from: day(20_000, 0), until: day(20_002, 0) };
    let days = till.ledger.spent(&all).await.expect("summed");
    let told: Vec<_> =
        days.iter().map(|day| (day.number, day.charged.nanos(), day.exchanges)).collect();
    assert_eq!(told, [(20_000, 200, 2), (20_001, 100, 1)]);
    let one = SpendWanted { key: Some(made[1].settlement.key), ..all };
    let days = till.ledger.spent(&one).await.expect("summed");
    assert!(days.len() == 1 && days[0].charged == nanos(100));
    let short = SpendWanted { until: day(20_000, 86_399), ..all };
    assert_eq!(till.ledger.spent(&short).await.expect("summed")[0].exchanges, 1);
    // What the hub bore, nobody spent.
    let lost = SpendWanted { user: made[3].settlement.user, ..all };
    assert_eq!(till.ledger.spent(&lost).await.expect("summed")[0].charged, nanos(0));
}

pub(crate) async fn what_every_node_has_settled_counts_however_late_it_comes(
    store: Arc<dyn Store>,
) {
    let (till, other) = (Till::new(26, &store), Till::new(27, &store));
    assert_ne!(till.node, other.node);
    let user = till.user(10_000).await;
    let lease = till.leased(user, 1_000).await;
    let day = |number: u64, second: u64| Timestamp::from_secs(number * 86_400 + second);
    let mut posting = till.posting(user, outlay(100, 80, 0), vec![draw(&lease, 100)]);
    posting.settlement.settled_at = day(20_000, 100);
    let key = posting.settlement.key;
    till.settled(&posting).await;
    let wanted = SpendWanted { user, key: Some(key), from: day(20_000, 0), until: day(20_001, 0) };
    let charged = || async {
        let days = till.ledger.spent(&wanted).await.expect("summed");
        days.iter().map(|day| day.charged.nanos()).collect::<Vec<_>>()
    };
    assert_eq!(charged().await, [100]);
    // The other node could not reach the store for a while: what it posts is older than that.
    let leased = other.leased(user, 1_000).await;
    let mut late = other.posting(user, outlay(40, 30, 0), vec![draw(&leased, 40)]);
    (late.settlement.key, late.settlement.settled_at) = (key, day(20_000, 1));
    assert_ne!(late.settlement.node, posting.settlement.node);
    other.settled(&late).await;
    assert_eq!(charged().await, [140]);
    till.agrees().await;
}

pub(crate) async fn balances_are_paged_in_their_order(store: Arc<dyn Store>) {
    let till = Till::new(25, &store);
    for _ in 0..5 {
        till.user(1_000).await;
    }
    let (mut seen, mut page) = (Vec::new(), Page::first());
    page.size = PageSize::clamped(2);
    loop {
        let rows = till.ledger.balances(page).await.expect("listed");
        let Some(last) = rows.last() else { break };
        page = page.next(last.account);
        seen.extend(rows.into_iter().map(|balance| balance.account));
    }
    assert!(seen.len() == 6 && seen.is_sorted(), "{seen:?}");
    assert_eq!(seen[0], LedgerAccount::House(House::Cash));
}
