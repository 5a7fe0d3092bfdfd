//! Agent legs, vesting, and the hub's chained journal.

use crate::ledger::{Till, USD, draw, nanos, outlay};
use std::sync::Arc;
use std::time::Duration;
use weft_proto::ids::UserId;
use weft_proto::time::Timestamp;
use weft_store::{
    AgentLeg, ClaimRef, Cover, House, JournalEntry, JournalKind, JournalNote, LedgerAccount, Leg,
    LegAnswer, LegAnswered, LegState, LegVerdict, Page, PageSize, Posting, Store, StoreError,
    Subject, Transferred, Vesting,
};

impl Till {
    /// An exchange whose agent is owed 800 nanos.
    async fn served(&self) -> Posting {
        let user = self.user(USD).await;
        let posting = self.posting(user, outlay(1_000, 800, 1), vec![]);
        self.settled(&posting).await;
        posting
    }

    fn answer(&self, posting: &Posting, verdict: LegVerdict) -> LegAnswer {
        let at = self.world.now();
        let hash = self.world.bytes();
        LegAnswer {
            exchange: posting.settlement.exchange,
            verdict,
            claim: Some(ClaimRef { epoch: 2, seq: 9, hash }),
            at,
            due_at: at.after(Duration::from_secs(60)),
        }
    }

    async fn answered(&self, answer: &LegAnswer) -> LegAnswered {
        self.ledger.answer(std::slice::from_ref(answer)).await.expect("an answer")[0]
    }
}

fn vesting(posting: &Posting) -> LedgerAccount {
    LedgerAccount::Vesting(posting.settlement.served.expect("served").owner)
}

fn wallet(posting: &Posting) -> LedgerAccount {
    LedgerAccount::Wallet(posting.settlement.served.expect("served").owner)
}

fn done(answered: LegAnswered) -> AgentLeg {
    match answered {
        LegAnswered::Done(leg) => leg,
        LegAnswered::Already(leg) => panic!("already {leg:?}"),
        LegAnswered::Unknown => panic!("unknown"),
    }
}

pub(crate) async fn a_leg_is_paid_once_and_never_more_than_the_income(store: Arc<dyn Store>) {
    let till = Till::new(31, &store);
    let posting = till.served().await;
    let pay = till.answer(&posting, LegVerdict::Pay(nanos(5_000)));
    let leg = done(till.answered(&pay).await);
    assert_eq!((leg.state, leg.paid, leg.claim), (LegState::Paid, nanos(800), pay.claim));
    // The same again, and another claim of the same exchange.
    assert_eq!(till.answered(&pay).await, LegAnswered::Already(leg));
    let double = till.answer(&posting, LegVerdict::Pay(nanos(800)));
    assert_eq!(till.answered(&double).await, LegAnswered::Already(leg));
    let refuse = till.answer(&posting, LegVerdict::Refuse);
    assert_eq!(till.answered(&refuse).await, LegAnswered::Already(leg));
    assert_eq!(till.agreed(&posting).await.leg, leg);
    assert_eq!(till.posted(vesting(&posting)).await, 800);
    assert_eq!(till.house(House::Suspense).await, 0);
    till.agrees().await;
}

pub(crate) async fn what_a_claim_leaves_is_the_hubs_margin(store: Arc<dyn Store>) {
    let till = Till::new(32, &store);
    let posting = till.served().await;
    let pay = till.answer(&posting, LegVerdict::Pay(nanos(500)));
    done(till.answered(&pay).await);
    assert_eq!(till.posted(vesting(&posting)).await, 500);
    assert_eq!(till.house(House::Suspense).await, 0);
    assert_eq!(till.house(House::Margin).await, 199 + 300);
    till.agrees().await;
}

pub(crate) async fn a_dispute_ends_one_way_or_the_other(store: Arc<dyn Store>) {
    let till = Till::new(33, &store);
    let (paid, refused, expired) = (till.served().await, till.served().await, till.served().await);
    for posting in [&paid, &refused, &expired] {
        let dispute = till.answer(posting, LegVerdict::Dispute);
        let leg = done(till.answered(&dispute).await);
        assert_eq!((leg.state, leg.due_at), (LegState::Disputed, dispute.due_at));
        assert_eq!(till.answered(&dispute).await, LegAnswered::Already(leg));
    }
    assert_eq!(till.house(House::Suspense).await, 3 * 800);
    let answers = [
        till.answer(&paid, LegVerdict::Pay(nanos(800))),
        till.answer(&refused, LegVerdict::Refuse),
        till.answer(&expired, LegVerdict::Expire),
    ];
    let states: Vec<_> = till.ledger.answer(&answers).await.expect("answers");
    let states: Vec<_> = states.into_iter().map(|answered| done(answered).state).collect();
    assert_eq!(states, [LegState::Paid, LegState::Refused, LegState::Expired]);
    assert_eq!(till.house(House::Suspense).await, 0);
    assert_eq!(till.house(House::Margin).await, 3 * 199 + 2 * 800);
    till.agrees().await;
}

pub(crate) async fn a_late_claim_is_paid_once_out_of_the_margin(store: Arc<dyn Store>) {
    let till = Till::new(34, &store);
    let posting = till.served().await;
    let expire = till.answer(&posting, LegVerdict::Expire);
    done(till.answered(&LegAnswer { claim: None, ..expire }).await);
    assert_eq!(till.house(House::Margin).await, 199 + 800);
    let pay = till.answer(&posting, LegVerdict::Pay(nanos(800)));
    let leg = done(till.answered(&pay).await);
    assert_eq!((leg.state, leg.paid), (LegState::Paid, nanos(800)));
    assert_eq!(till.answered(&pay).await, LegAnswered::Already(leg));
    assert_eq!(till.house(House::Margin).await, 199);
    assert_eq!(till.posted(vesting(&posting)).await, 800);
    till.agrees().await;
}

pub(crate) async fn nobody_is_paid_for_what_is_not_settled(store: Arc<dyn Store>) {
    let till = Till::new(35, &store);
    let user = till.user(USD).await;
    let invented = till.posting(user, outlay(1_000, 800, 1), vec![]);
    let mut unserved = till.posting(user, outlay(1_000, 0, 0), vec![]);
    unserved.settlement.served = None;
    till.settled(&unserved).await;
    for posting in [invented, unserved] {
        let pay = till.answer(&posting, LegVerdict::Pay(nanos(800)));
        assert_eq!(till.answered(&pay).await, LegAnswered::Unknown);
    }
    till.agrees().await;
}

pub(crate) async fn of_many_claims_at_once_one_is_paid(store: Arc<dyn Store>) {
    let till = Till::new(36, &store);
    let posting = till.served().await;
    let mut claiming = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let pay = till.answer(&posting, LegVerdict::Pay(nanos(800)));
        let ledger = Arc::clone(&till.ledger);
        claiming.spawn(async move { ledger.answer(&[pay]).await.expect("an answer")[0] });
    }
    let answers = claiming.join_all().await;
    let paid = answers.iter().filter(|answered| matches!(answered, LegAnswered::Done(_))).count();
    assert_eq!(paid, 1);
    assert_eq!(till.posted(vesting(&posting)).await, 800);
    till.agrees().await;
}

pub(crate) async fn income_vests_once_and_is_paid_out_of_the_wallet(store: Arc<dyn Store>) {
    let till = Till::new(37, &store);
    let (first, second, open) = (till.served().await, till.served().await, till.served().await);
    let mut due = till.world.now();
    for posting in [&first, &second] {
        let pay = till.answer(posting, LegVerdict::Pay(nanos(800)));
        due = done(till.answered(&pay).await).due_at;
    }
    let size = PageSize::default();
    let none = till.ledger.due(LegState::Paid, first.settlement.settled_at, size).await;
    assert!(none.expect("listed").is_empty());
    let listed = till.ledger.due(LegState::Paid, due.after(Duration::from_secs(1)), size).await;
    let listed: Vec<_> =
        listed.expect("listed").iter().map(|agreed| agreed.settlement.exchange).collect();
    assert_eq!(listed, [first.settlement.exchange, second.settlement.exchange]);
    let mut all = listed.clone();
    all.push(open.settlement.exchange);
    assert_eq!(till.ledger.vest(&all, due).await.expect("moved"), 2);
    assert_eq!(till.ledger.vest(&all, due).await.expect("again"), 0);
    assert_eq!(till.agreed(&first).await.leg.state, LegState::Vested);
    assert_eq!(till.agreed(&open).await.leg.state, LegState::Open);
    for posting in [&first, &second] {
        assert_eq!(till.posted(vesting(posting)).await, 0);
        assert_eq!(till.posted(wallet(posting)).await, 800);
    }
    let cash = LedgerAccount::House(House::Cash);
    let payout = till.moved(Leg::Payout, wallet(&first), cash, 801);
    let one = std::slice::from_ref(&payout);
    let short = till.ledger.transfer(one, Cover::Covered, &[]).await;
    let available = nanos(800);
    let account = wallet(&first);
    assert_eq!(short.expect("an answer"), Transferred::Short { account, available });
    let payout = weft_store::Transfer { amount: nanos(800), ..payout };
    let done = till.ledger.transfer(&[payout], Cover::Covered, &[]).await.expect("an answer");
    assert_eq!((done, till.posted(account).await), (Transferred::Done, 0));
    till.agrees().await;
}

pub(crate) async fn what_rests_for_an_owner_is_what_its_paid_legs_come_to(store: Arc<dyn Store>) {
    let till = Till::new(39, &store);
    let other = till.served().await;
    let owner = other.settlement.served.expect("served").owner;
    let mut postings = vec![other];
    let user = till.user(USD).await;
    for _ in 0..70 {
        let mut posting = till.posting(user, outlay(1_000, 800, 1), vec![]);
        posting.settlement.served.as_mut().expect("served").owner = owner;
        postings.push(posting);
    }
    till.ledger.settle(&postings).await.expect("settled");
    for posting in &postings {
        done(till.answered(&till.answer(posting, LegVerdict::Pay(nanos(800)))).await);
    }
    assert_eq!(till.ledger.vesting().await.expect("looked"), []);
    let all: Vec<_> = postings.iter().map(|posting| posting.settlement.exchange).collect();
    for vests in [&all[..40], &all[40..50]] {
        till.ledger.vest(vests, till.world.now()).await.expect("moved");
        assert_eq!(till.ledger.vesting().await.expect("looked"), []);
    }
    let moved = till.moved(Leg::Adjustment, vesting(&postings[0]), wallet(&postings[0]), 3);
    let done = till.ledger.transfer(&[moved], Cover::Covered, &[]).await.expect("moved");
    assert_eq!(done, Transferred::Done);
    let differs = Vesting { owner, kept: nanos(21 * 800 - 3), due: nanos(21 * 800) };
    assert_eq!(till.ledger.vesting().await.expect("looked"), [differs]);

    // More subjects than one statement takes, some twice, one of them unknown.
    let mut subjects: Vec<Subject> = all.iter().rev().map(|exchange| (*exchange).into()).collect();
    subjects.extend([Subject::from(all[3]), till.world.exchange_id().into()]);
    let together = till.ledger.transfers_of_all(&subjects).await.expect("listed");
    let mut apart = Vec::new();
    for exchange in all {
        apart.extend(till.ledger.transfers_of(exchange.into()).await.expect("listed"));
    }
    assert_eq!(together, apart);
    till.agrees().await;
}

pub(crate) async fn of_many_answers_at_once_each_leg_keeps_its_own(store: Arc<dyn Store>) {
    let till = Till::new(42, &store);
    let user = till.user(USD).await;
    // More than one statement takes, and no round number of them.
    let postings: Vec<_> =
        (0..91).map(|_| till.posting(user, outlay(1_000, 800, 1), vec![])).collect();
    till.ledger.settle(&postings).await.expect("settled");
    let answer = |(number, posting): (usize, &Posting)| {
        let verdict = match number % 4 {
            0 => LegVerdict::Pay(nanos(800)),
            1 => LegVerdict::Pay(nanos(i64::try_from(number).expect("a number"))),
            2 => LegVerdict::Dispute,
            _ => LegVerdict::Refuse,
        };
        let mut answer = till.answer(posting, verdict);
        answer.claim = answer.claim.filter(|_| number % 3 > 0);
        answer
    };
    let answers: Vec<_> = postings.iter().enumerate().map(answer).collect();
    // Some before the others: they stand as they were answered then.
    let first: Vec<_> = answers.iter().step_by(7).copied().collect();
    till.ledger.answer(&first).await.expect("answered");
    let answered = till.ledger.answer(&answers).await.expect("answered");
    for (number, ((posting, answer), answered)) in
        postings.iter().zip(&answers).zip(answered).enumerate()
    {
        let leg = match answered {
            LegAnswered::Already(leg) if number % 7 == 0 => leg,
            other @ (LegAnswered::Done(_) | LegAnswered::Already(_) | LegAnswered::Unknown) => {
                done(other)
            }
        };
        assert_eq!((leg.claim, leg.answered_at), (answer.claim, Some(answer.at)));
        assert_eq!(till.agreed(posting).await.leg, leg, "leg {number}");
    }
    till.agrees().await;
}

/// A charge of 10,000 of which a lease covers 4,000 and the balance 2,000; up to `overdraft` more
/// takes it below nothing, and the rest is the hub's.
async fn uncovered(till: &Till, overdraft: i64) -> (UserId, Posting) {
    let user = till.user(6_000).await;
    let lease = till.leased(user, 4_000).await;
    let draws = vec![draw(&lease, 4_000)];
    let mut posting = till.posting(user, outlay(10_000, 8_000, 0), draws);
    posting.overdraft_max = nanos(overdraft);
    till.settled(&posting).await;
    (user, posting)
}

pub(crate) async fn no_claim_is_paid_more_than_its_user_covered(store: Arc<dyn Store>) {
    let till = Till::new(41, &store);
    let (_, posting) = uncovered(&till, 1_000).await;
    let agreed = till.agreed(&posting).await;
    assert_eq!((agreed.loss, agreed.owed), (nanos(3_000), nanos(1_000)));
    assert_eq!((agreed.covered(false), agreed.covered(true)), (nanos(4_800), nanos(5_600)));
    assert_eq!(till.house(House::Loss).await, -3_000);
    // The claim agrees, and waits: nothing has moved.
    let pay = till.answer(&posting, LegVerdict::Pay(nanos(8_000)));
    let leg = done(till.answered(&pay).await);
    assert_eq!((leg.state, leg.paid, leg.claim), (LegState::Uncovered, nanos(0), pay.claim));
    assert_eq!(leg.due_at, pay.due_at);
    assert_eq!(till.answered(&pay).await, LegAnswered::Already(leg));
    let dispute = till.answer(&posting, LegVerdict::Dispute);
    assert_eq!(till.answered(&dispute).await, LegAnswered::Already(leg));
    assert_eq!(till.posted(vesting(&posting)).await, 0);
    assert_eq!(till.house(House::Suspense).await, 8_000);
    let due = till.ledger.due(LegState::Uncovered, pay.due_at, PageSize::default()).await;
    assert!(due.expect("listed").is_empty());
    let after = pay.due_at.after(Duration::from_secs(1));
    let due = till.ledger.due(LegState::Uncovered, after, PageSize::default()).await;
    assert_eq!(due.expect("listed").len(), 1);
    // Nobody decided: what is covered is paid. What was to be paid of a loss makes it good again.
    let leg = done(till.answered(&till.answer(&posting, LegVerdict::Expire)).await);
    assert_eq!((leg.state, leg.paid), (LegState::Paid, nanos(4_800)));
    assert_eq!(till.house(House::Suspense).await, 0);
    assert_eq!(till.house(House::Loss).await, -3_000 + 2_400);
    assert_eq!(till.house(House::Margin).await, 2_000 + 800);
    assert_eq!(till.posted(vesting(&posting)).await, 4_800);
    let vested = till.ledger.vest(&[posting.settlement.exchange], leg.due_at).await;
    assert_eq!(vested.expect("moved"), 1);
    till.agrees().await;
}

pub(crate) async fn an_uncovered_claim_is_decided_or_paid_once_its_user_has(store: Arc<dyn Store>) {
    let till = Till::new(42, &store);
    // What is decided is paid, covered or not.
    for (decision, paid) in [(8_000, 8_000), (9_999, 8_000), (1_000, 1_000)] {
        let (_, posting) = uncovered(&till, 0).await;
        let open = till.answer(&posting, LegVerdict::Decide(nanos(decision)));
        assert!(matches!(till.answered(&open).await, LegAnswered::Already(_)), "nobody claimed");
        done(till.answered(&till.answer(&posting, LegVerdict::Pay(nanos(8_000)))).await);
        let decide = till.answer(&posting, LegVerdict::Decide(nanos(decision)));
        let leg = done(till.answered(&decide).await);
        assert_eq!((leg.state, leg.paid), (LegState::Paid, nanos(paid)));
        let transfers = till.ledger.transfers_of(posting.settlement.exchange.into()).await;
        assert!(till.agreed(&posting).await.due().is_paid_fairly(&transfers.expect("listed")));
        let vested = till.ledger.vest(&[posting.settlement.exchange], leg.due_at).await;
        assert_eq!(vested.expect("moved"), 1);
    }
    // What is owed is covered once it is paid back; what was lost is not.
    let (user, owing) = uncovered(&till, 10_000).await;
    done(till.answered(&till.answer(&owing, LegVerdict::Pay(nanos(8_000)))).await);
    let cash = LedgerAccount::House(House::Cash);
    let back = |amount| till.moved(Leg::Deposit, cash, LedgerAccount::Paid(user), amount);
    for (amount, covered) in [(3_999, false), (1, true)] {
        let moved = till.ledger.transfer(&[back(amount)], Cover::Free, &[]).await.expect("moved");
        assert_eq!(moved, Transferred::Done);
        let again = till.answered(&till.answer(&owing, LegVerdict::Pay(nanos(8_000)))).await;
        assert_eq!(matches!(again, LegAnswered::Done(_)), covered, "{amount}");
    }
    let leg = till.agreed(&owing).await.leg;
    assert_eq!((leg.state, leg.paid), (LegState::Paid, nanos(8_000)));
    // A claim of no more than is covered, one that comes late, and one that is refused.
    let (_, small) = uncovered(&till, 0).await;
    let leg = done(till.answered(&till.answer(&small, LegVerdict::Pay(nanos(4_800)))).await);
    assert_eq!((leg.state, leg.paid), (LegState::Paid, nanos(4_800)));
    let (_, late) = uncovered(&till, 0).await;
    done(till.answered(&till.answer(&late, LegVerdict::Expire)).await);
    let leg = done(till.answered(&till.answer(&late, LegVerdict::Pay(nanos(8_000)))).await);
    assert_eq!((leg.state, leg.paid), (LegState::Paid, nanos(4_800)));
    let (_, refused) = uncovered(&till, 0).await;
    done(till.answered(&till.answer(&refused, LegVerdict::Pay(nanos(8_000)))).await);
    let leg = done(till.answered(&till.answer(&refused, LegVerdict::Refuse)).await);
    assert_eq!((leg.state, leg.paid), (LegState::Refused, nanos(0)));
    assert_eq!(till.house(House::Suspense).await, 0);
    till.agrees().await;
}

pub(crate) async fn the_journal_is_one_chain_and_moves_with_its_money(store: Arc<dyn Store>) {
    let till = Till::new(38, &store);
    let note = |kind, body: &[u8]| JournalNote { kind, body: body.to_vec(), at: till.world.now() };
    assert_eq!(till.ledger.journal_head().await.expect("looked"), None);
    let notes = [note(JournalKind::PriceBook, b"one"), note(JournalKind::Agent, b"")];
    let kept = till.ledger.note(&notes).await.expect("kept");
    assert_eq!(kept.iter().map(|entry| entry.number).collect::<Vec<_>>(), [1, 2]);

    let user = till.user(1_000).await;
    let (paid, cash) = (LedgerAccount::Paid(user), LedgerAccount::House(House::Cash));
    let deposit = [till.moved(Leg::Deposit, cash, paid, 50)];
    let reason = [note(JournalKind::Deposit, b"fifty")];
    for expected in [Transferred::Done, Transferred::Already] {
        let moved = till.ledger.transfer(&deposit, Cover::Free, &reason).await.expect("moved");
        assert_eq!(moved, expected);
    }
    let refund = [till.moved(Leg::Refund, paid, cash, 10_000)];
    let short = till.ledger.transfer(&refund, Cover::Covered, &reason).await.expect("an answer");
    assert!(matches!(short, Transferred::Short { .. }));
    let long = [note(JournalKind::Deposit, &[0; weft_store::JOURNAL_BODY_BYTES_MAX + 1])];
    assert!(matches!(till.ledger.note(&long).await, Err(StoreError::Corrupt { .. })));

    let all = till.ledger.journal(Page::first()).await.expect("listed");
    assert_eq!(all.len(), 3, "what did not move wrote nothing");
    let mut before: Option<&JournalEntry> = None;
    for entry in &all {
        assert!(entry.follows(before));
        before = Some(entry);
    }
    assert_eq!(till.ledger.journal_head().await.expect("looked").as_ref(), before);
    let mut forged = all[1].clone();
    forged.at = Timestamp::from_secs(1);
    assert!(!forged.follows(Some(&all[0])));
    let rest = till.ledger.journal(Page::first().next(2)).await.expect("listed");
    assert_eq!(rest, all[2..]);
}
