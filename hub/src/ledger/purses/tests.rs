//! Holds that meet at the store: whoever has room waits for nobody, so that others can be quicker
//! with what a hold is waiting for.

use super::*;
use crate::config::Money;
use async_trait::async_trait;
use std::sync::Weak;
use std::sync::atomic::{AtomicUsize, Ordering};
use weft_proto::entropy::SeededEntropy;
use weft_proto::ids::ExchangeId;
use weft_proto::time::{ManualClock, Timestamp};
use weft_store::{
    Agreed, Balance, Cover, Day, Disagreement, House, JournalEntry, JournalNote, Leg, LegAnswer,
    LegAnswered, LegState, MemoryStore, PageSize, Posting, Settled, SettlementsWanted, SpendWanted,
    Store, Subject, Sums, Transfer, TransferKey, TransferKind, Transferred, TransfersWanted,
    Vesting,
};

/// What a node takes of a balance at once.
const LEASE: NanoUsd = NanoUsd::new(100);
/// Far more than all holds of a test.
const CREDIT: NanoUsd = NanoUsd::new(10_000);

/// A ledger at which others take all that is free while it grants, so many times.
#[derive(Debug)]
struct Crowded {
    store: Arc<dyn weft_store::Ledger>,
    purses: Mutex<Weak<Purses>>,
    user: UserId,
    quicker: AtomicUsize,
    granted: AtomicUsize,
    /// What the others have.
    taken: Mutex<Vec<Part>>,
}

impl Crowded {
    fn others_are_quicker(&self) {
        let fewer = |left: usize| left.checked_sub(1);
        if self.quicker.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer).is_err() {
            return;
        }
        let purses = self.purses.lock().expect("lock").upgrade().expect("the purses");
        let pocket = purses.pocket(self.user);
        let free = pocket.purse().free();
        let mut taken = self.taken.lock().expect("lock");
        assert!(purses.grow_now(&pocket, &mut taken, free), "what is free can be held");
    }
}

#[async_trait]
impl weft_store::Ledger for Crowded {
    async fn lease(&self, wanted: &LeaseWanted) -> Result<Leased, StoreError> {
        let answer = self.store.lease(wanted).await;
        if let Ok(Leased::Granted(_)) = &answer {
            self.granted.fetch_add(1, Ordering::Relaxed);
            self.others_are_quicker();
        }
        answer
    }

    async fn give_back(&self, back: &GiveBack) -> Result<Lease, StoreError> {
        self.store.give_back(back).await
    }

    async fn find_lease(&self, lease: LeaseId) -> Result<Option<Lease>, StoreError> {
        self.store.find_lease(lease).await
    }

    async fn open_leases(
        &self,
        node: Option<NodeId>,
        page: Page<LeaseId>,
    ) -> Result<Vec<Lease>, StoreError> {
        self.store.open_leases(node, page).await
    }

    async fn settle(&self, postings: &[Posting]) -> Result<Vec<Settled>, StoreError> {
        self.store.settle(postings).await
    }

    async fn settlement(&self, exchange: ExchangeId) -> Result<Option<Agreed>, StoreError> {
        self.store.settlement(exchange).await
    }

    async fn settlements_of(&self, exchanges: &[ExchangeId]) -> Result<Vec<Agreed>, StoreError> {
        self.store.settlements_of(exchanges).await
    }

    async fn settlements(&self, wanted: &SettlementsWanted) -> Result<Vec<Agreed>, StoreError> {
        self.store.settlements(wanted).await
    }

    async fn all_settlements(&self, page: Page<ExchangeId>) -> Result<Vec<Agreed>, StoreError> {
        self.store.all_settlements(page).await
    }

    async fn due(
        &self,
        state: LegState,
        until: Timestamp,
        size: PageSize,
    ) -> Result<Vec<Agreed>, StoreError> {
        self.store.due(state, until, size).await
    }

    async fn answer(&self, answers: &[LegAnswer]) -> Result<Vec<LegAnswered>, StoreError> {
        self.store.answer(answers).await
    }

    async fn vest(&self, exchanges: &[ExchangeId], at: Timestamp) -> Result<u64, StoreError> {
        self.store.vest(exchanges, at).await
    }

    async fn transfer(
        &self,
        transfers: &[Transfer],
        cover: Cover,
        notes: &[JournalNote],
    ) -> Result<Transferred, StoreError> {
        self.store.transfer(transfers, cover, notes).await
    }

    async fn find_transfer(&self, key: TransferKey) -> Result<Option<Transfer>, StoreError> {
        self.store.find_transfer(key).await
    }

    async fn transfers_of(&self, subject: Subject) -> Result<Vec<Transfer>, StoreError> {
        self.store.transfers_of(subject).await
    }

    async fn transfers_of_all(&self, subjects: &[Subject]) -> Result<Vec<Transfer>, StoreError> {
        self.store.transfers_of_all(subjects).await
    }

    async fn transfers(&self, wanted: &TransfersWanted) -> Result<Vec<Transfer>, StoreError> {
        self.store.transfers(wanted).await
    }

    async fn balance(&self, account: LedgerAccount) -> Result<Balance, StoreError> {
        self.store.balance(account).await
    }

    async fn balances(&self, page: Page<LedgerAccount>) -> Result<Vec<Balance>, StoreError> {
        self.store.balances(page).await
    }

    async fn spent(&self, wanted: &SpendWanted) -> Result<Vec<Day>, StoreError> {
        self.store.spent(wanted).await
    }

    async fn sums(&self) -> Result<Sums, StoreError> {
        self.store.sums().await
    }

    async fn recompute(&self) -> Result<Vec<Disagreement>, StoreError> {
        self.store.recompute().await
    }

    async fn vesting(&self) -> Result<Vec<Vesting>, StoreError> {
        self.store.vesting().await
    }

    async fn note(&self, notes: &[JournalNote]) -> Result<Vec<JournalEntry>, StoreError> {
        self.store.note(notes).await
    }

    async fn journal(&self, page: Page<u64>) -> Result<Vec<JournalEntry>, StoreError> {
        self.store.journal(page).await
    }

    async fn journal_head(&self) -> Result<Option<JournalEntry>, StoreError> {
        self.store.journal_head().await
    }
}

/// Purses on a crowded ledger, whose user has credit and 90 nano-USD of a first lease free.
async fn crowded() -> (Arc<Crowded>, Arc<Purses>) {
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_700_000_000)));
    let entropy = Arc::new(SeededEntropy::new(9));
    let user = UserId::generate(&*clock, &*entropy);
    let store = Arc::new(Crowded {
        store: MemoryStore::new().ledger(),
        purses: Mutex::default(),
        user,
        quicker: AtomicUsize::new(0),
        granted: AtomicUsize::new(0),
        taken: Mutex::default(),
    });
    let deposit = Transfer {
        key: TransferKey {
            subject: Subject::generate(&*clock, &*entropy),
            leg: Leg::Deposit,
            part: 0,
        },
        kind: TransferKind::Direct,
        debit: LedgerAccount::House(House::Cash),
        credit: LedgerAccount::Paid(user),
        amount: CREDIT,
        lease: None,
        memo: None,
        at: clock.now(),
    };
    let moved = store.store.transfer(&[deposit], Cover::Free, &[]).await.expect("a deposit");
    assert_eq!(moved, weft_store::Transferred::Done);
    let purses = Arc::new(Purses::new(Needs {
        node: NodeId::generate(&*clock, &*entropy),
        store: Arc::<Crowded>::clone(&store),
        money: LiveMoney::new(Money { lease: LEASE, ..Money::default() }),
        clock,
        entropy,
    }));
    *store.purses.lock().expect("lock") = Arc::downgrade(&purses);
    let small = purses.hold(user, NanoUsd::new(10)).await.expect("a small hold");
    assert_eq!(small.pocket.purse().free(), NanoUsd::new(90));
    (store, purses)
}

#[tokio::test]
async fn a_large_hold_asks_again_where_small_ones_were_quicker_with_what_was_there() {
    let large = NanoUsd::new(150);
    for quicker in [0, 1, 3, 7] {
        let (store, purses) = crowded().await;
        store.quicker.store(quicker, Ordering::Relaxed);
        let taken = purses.hold(store.user, large).await.expect("there is credit for both");
        assert_eq!(super::super::purse::sum(&taken.parts), large, "{quicker} were quicker");
        assert_eq!(store.quicker.load(Ordering::Relaxed), 0, "all of them came");
        let others = super::super::purse::sum(&store.taken.lock().expect("lock"));
        let held = NanoUsd::new(10).saturating_add(others).saturating_add(large);
        assert_eq!(taken.pocket.purse().held(), held, "no nano-dollar is held twice");
    }
}

#[tokio::test]
async fn a_hold_that_others_always_outrun_gives_way_and_is_told_to_come_back() {
    let (store, purses) = crowded().await;
    let before = store.granted.load(Ordering::Relaxed);
    store.quicker.store(usize::MAX, Ordering::Relaxed);
    let refused = purses.hold(store.user, NanoUsd::new(150)).await.expect_err("outrun");
    assert_eq!(refused, HoldRefused::InFlight { retry_after: IN_FLIGHT_WAIT });
    assert_eq!(store.granted.load(Ordering::Relaxed) - before, GRANTS_MAX);
}
