use super::*;
use weft_proto::codes::EndReason;
use weft_proto::entropy::SeededEntropy;
use weft_proto::ids::{AccountId, AgentId, ExchangeId, KeyId, NodeId};
use weft_proto::money::Ratio;
use weft_proto::time::ManualClock;
use weft_proto::usage::{Basis, Usage};
use weft_store::{
    Bearer, LegAnswer, LegVerdict, MemoryStore, Metered, Name, OWNER_TIER_DEFAULT, Outlay, Owner,
    Party, PayoutState, Posting, Served, Settlement,
};

struct House {
    store: MemoryStore,
    wallets: Wallets,
    clock: Arc<ManualClock>,
}

fn usd(text: &str) -> NanoUsd {
    text.parse().expect("an amount")
}

fn memo(text: &str) -> Memo {
    Memo::parse(text).expect("a memo")
}

impl House {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_800_000_000)));
        let store = MemoryStore::new();
        let entropy = Arc::new(SeededEntropy::new(7));
        let wallets = Wallets::new(&store, Arc::<ManualClock>::clone(&clock), entropy);
        Self { store, wallets, clock }
    }

    async fn user(&self, name: &str, owner: Option<OwnerId>) -> User {
        let user = User {
            id: UserId::generate(&*self.clock, &SeededEntropy::new(name.len() as u64)),
            name: Name::parse(name).expect("a name"),
            owner,
            zone: None,
            created_at: self.clock.now(),
            disabled: false,
        };
        self.store.users().create(&user).await.expect("a user");
        user
    }

    async fn owner(&self) -> OwnerId {
        let owner = Owner {
            id: OwnerId::generate(&*self.clock, &SeededEntropy::new(99)),
            name: Name::parse("bob").expect("a name"),
            created_at: self.clock.now(),
            tier: OWNER_TIER_DEFAULT,
        };
        self.store.owners().find_or_create(&owner).await.expect("an owner").id
    }

    /// Gives an owner an income that was never an exchange's.
    async fn fill_wallet(&self, owner: OwnerId, amount: NanoUsd) {
        let subject = Subject::generate(&*self.clock, &SeededEntropy::new(5));
        let transfer = Transfer {
            key: TransferKey { subject, leg: Leg::Adjustment, part: 0 },
            kind: TransferKind::Direct,
            debit: LedgerAccount::House(weft_store::House::Adjustments),
            credit: LedgerAccount::Wallet(owner),
            amount,
            lease: None,
            memo: None,
            at: self.clock.now(),
        };
        let ledger = self.store.ledger();
        let done = ledger.transfer(&[transfer], Cover::Covered, &[]).await.expect("moved");
        assert_eq!(done, Transferred::Done);
    }
}

#[tokio::test]
async fn money_that_comes_in_is_in_the_balance_the_statement_and_the_journal() {
    let house = House::new();
    let alice = house.user("alice", None).await;
    let w = &house.wallets;
    w.credit(&alice, CreditKind::Deposit, usd("10.00"), None).await.expect("paid in");
    w.credit(&alice, CreditKind::Promotion, usd("1.00"), None).await.expect("given");
    let refused = w.credit(&alice, CreditKind::Adjustment, usd("-2.50"), None).await;
    assert!(matches!(refused, Err(NotDone::Reason)), "{refused:?}");
    let why = Some(memo("twice by mistake"));
    w.credit(&alice, CreditKind::Adjustment, usd("-2.50"), why).await.expect("taken");
    let balances = w.balances(alice.id).await.expect("balances");
    assert_eq!((balances.paid.posted(), balances.promo.posted()), (usd("7.50"), usd("1.00")));

    let end = house.clock.now().after(std::time::Duration::from_secs(1));
    let party = Party::User(alice.id);
    let statement = w.statement(party, Timestamp::from_secs(0), end).await.expect("a statement");
    let sum: i64 = statement.lines.iter().map(|line| line.amount.nanos()).sum();
    assert_eq!((statement.lines.len(), NanoUsd::new(sum)), (3, usd("8.50")));
    let report = w.verify(None).await.expect("looked at");
    assert_eq!((report.findings, report.journal), (Vec::new(), 3));
}

#[tokio::test]
async fn nothing_is_taken_that_is_not_there_and_no_amount_is_out_of_bounds() {
    let house = House::new();
    let alice = house.user("alice", None).await;
    let w = &house.wallets;
    let refund = w.credit(&alice, CreditKind::Refund, usd("1.00"), Some(memo("asked for"))).await;
    assert!(matches!(refund, Err(NotDone::Short { .. })), "{refund:?}");
    for amount in ["0.00", "-1.00", "1000000.000000001"] {
        let refused = w.credit(&alice, CreditKind::Deposit, usd(amount), None).await;
        assert!(matches!(refused, Err(NotDone::Amount)), "{amount}: {refused:?}");
    }
    let smallest = w.credit(&alice, CreditKind::Deposit, usd("0.000000001"), None).await;
    assert_eq!(smallest.expect("paid in").balance.posted(), NanoUsd::new(1));
}

#[tokio::test]
async fn a_code_gives_its_credit_once_to_one_user() {
    let house = House::new();
    let (alice, carol) = (house.user("alice", None).await, house.user("carola", None).await);
    let w = &house.wallets;
    let made = w.make_codes(3, usd("2.00"), None).await.expect("made");
    assert_eq!(made.texts.len(), 3);
    let code = made.texts[0].as_str();
    assert_eq!(code.len(), CODE_TEXT_BYTES);
    // The same user may try again: it is given once.
    for _ in 0..2 {
        let (credited, amount) = w.redeem(&alice, code).await.expect("redeemed");
        assert_eq!((credited.balance.posted(), amount), (usd("2.00"), usd("2.00")));
    }
    let taken = w.redeem(&carol, code).await;
    assert!(matches!(taken, Err(NotDone::CodeTaken)), "{taken:?}");
    for wrong in ["", "wc-", "wc-AAAAAAAAAAAAAAAAAAAAAAAA", &code[1..]] {
        let unknown = w.redeem(&carol, wrong).await;
        assert!(matches!(unknown, Err(NotDone::Unknown("code"))), "{wrong}: {unknown:?}");
    }
    let batches = w.batches(weft_store::Page::first()).await.expect("batches");
    assert_eq!((batches[0].codes, batches[0].redeemed), (3, 1));
}

#[tokio::test]
async fn an_expired_code_is_worthless() {
    let house = House::new();
    let alice = house.user("alice", None).await;
    let end = house.clock.now().after(std::time::Duration::from_secs(60));
    let made = house.wallets.make_codes(1, usd("2.00"), Some(end)).await.expect("made");
    house.clock.advance(std::time::Duration::from_secs(60));
    let late = house.wallets.redeem(&alice, &made.texts[0]).await;
    assert!(matches!(late, Err(NotDone::CodeExpired)), "{late:?}");
}

#[tokio::test]
async fn a_user_of_an_owners_house_gets_no_promotional_credit() {
    let house = House::new();
    let owner = house.owner().await;
    let alice = house.user("alice", Some(owner)).await;
    let w = &house.wallets;
    let refused = w.credit(&alice, CreditKind::Promotion, usd("1.00"), None).await;
    let text = refused.expect_err("refused").to_string();
    assert!(text.contains("alice belongs to an owner"), "{text}");
    let made = w.make_codes(1, usd("2.00"), None).await.expect("made");
    let refused = w.redeem(&alice, &made.texts[0]).await;
    assert!(matches!(refused, Err(NotDone::LinkedPromotion { .. })), "{refused:?}");
    // The code is not lost by it.
    let carol = house.user("carola", None).await;
    w.redeem(&carol, &made.texts[0]).await.expect("redeemed");
}

#[tokio::test]
async fn a_payout_moves_money_once_after_it_was_approved() {
    let house = House::new();
    let owner = house.owner().await;
    house.fill_wallet(owner, usd("5.00")).await;
    let w = &house.wallets;
    let too_much = w.ask_payout(owner, usd("5.01"), None).await;
    assert!(matches!(too_much, Err(NotDone::Short { .. })), "{too_much:?}");
    let first = w.ask_payout(owner, usd("4.00"), None).await.expect("asked for");
    let second = w.ask_payout(owner, usd("4.00"), None).await.expect("asked for");
    assert_eq!(w.wallet(owner).await.expect("wallet").1.posted(), usd("5.00"));
    for _ in 0..2 {
        let payout = w.approve_payout(first.id, &memo("SEPA 17")).await.expect("approved");
        assert_eq!(payout.state, PayoutState::Approved);
    }
    assert_eq!(w.wallet(owner).await.expect("wallet").1.posted(), usd("1.00"));
    let other = w.approve_payout(first.id, &memo("SEPA 18")).await;
    assert!(matches!(other, Err(NotDone::Decided("approved"))), "{other:?}");
    let short = w.approve_payout(second.id, &memo("SEPA 19")).await;
    assert!(matches!(short, Err(NotDone::Short { .. })), "{short:?}");
    let rejected = w.reject_payout(second.id, &memo("not enough")).await.expect("rejected");
    assert_eq!(rejected.state, PayoutState::Rejected);
    assert_eq!(w.verify(None).await.expect("looked at").findings, Vec::new());
}

/// A settled exchange of one owner that charged and earned so much.
fn posting(house: &House, seed: u64, user: UserId, owner: OwnerId, nanos: i64) -> Posting {
    let entropy = SeededEntropy::new(seed);
    let (clock, at) = (&*house.clock, house.clock.now());
    Posting {
        settlement: Settlement {
            exchange: ExchangeId::generate(clock, &entropy),
            user,
            key: KeyId::generate(clock, &entropy),
            served: Some(Served {
                agent: AgentId::generate(clock, &entropy),
                owner,
                account: AccountId::generate(clock, &entropy),
                attempt: 1,
            }),
            metered: Metered {
                provider: None,
                model: None,
                usage: Usage::NONE,
                basis: Basis::Reported,
                service: 0,
                geo: 0,
                book: None,
                priced_at: at,
                zone: Ratio::ONE,
                tier: Ratio::ONE,
            },
            end: EndReason::Complete,
            outlay: Outlay {
                charge: NanoUsd::new(nanos),
                income: NanoUsd::new(nanos),
                rounding: NanoUsd::ZERO,
                bearer: Bearer::User,
            },
            node: NodeId::generate(clock, &entropy),
            hold: None,
            held: NanoUsd::ZERO,
            settled_at: at,
            claim_until: at,
        },
        draws: Vec::new(),
        overdraft_max: NanoUsd::ZERO,
    }
}

#[tokio::test]
async fn income_that_vests_together_agrees_with_the_exchanges_that_it_is_of() {
    let house = House::new();
    let owner = house.owner().await;
    let (ledger, w) = (house.store.ledger(), &house.wallets);
    let alice = house.user("alice", None).await;
    w.credit(&alice, CreditKind::Deposit, usd("1.00"), None).await.expect("paid in");
    let of = |(seed, nanos)| posting(&house, seed, alice.id, owner, nanos);
    let postings: Vec<_> = (1..).zip([10, 20, 30, 40, 50]).map(of).collect();
    // An income is paid of what came in.
    for (n, posting) in (50..).zip(&postings) {
        let deposit = Transfer {
            key: TransferKey {
                subject: Subject::generate(&*house.clock, &SeededEntropy::new(n)),
                leg: Leg::Deposit,
                part: 0,
            },
            kind: TransferKind::Direct,
            debit: LedgerAccount::House(weft_store::House::Cash),
            credit: LedgerAccount::Paid(posting.settlement.user),
            amount: posting.settlement.outlay.charge,
            lease: None,
            memo: None,
            at: house.clock.now(),
        };
        let moved = ledger.transfer(&[deposit], Cover::Free, &[]).await;
        assert_eq!(moved.expect("moved"), weft_store::Transferred::Done);
    }
    drop(ledger.settle(&postings).await.expect("settled"));
    let at = house.clock.now();
    let answers: Vec<_> = postings
        .iter()
        .map(|posting| LegAnswer {
            exchange: posting.settlement.exchange,
            verdict: LegVerdict::Pay(posting.settlement.outlay.income),
            claim: None,
            at,
            due_at: at,
        })
        .collect();
    drop(ledger.answer(&answers).await.expect("paid"));
    assert_eq!(w.verify(None).await.expect("looked at").findings, []);
    let exchanges: Vec<_> = answers.iter().map(|answer| answer.exchange).collect();
    for vests in [&exchanges[..3], &exchanges[3..4]] {
        ledger.vest(vests, at).await.expect("vested");
        assert_eq!(w.verify(None).await.expect("looked at").findings, []);
    }
    // What leaves for the wallet otherwise is found.
    let taken = Transfer {
        key: TransferKey {
            subject: Subject::generate(&*house.clock, &SeededEntropy::new(44)),
            leg: Leg::Adjustment,
            part: 0,
        },
        kind: TransferKind::Direct,
        debit: LedgerAccount::Vesting(owner),
        credit: LedgerAccount::Wallet(owner),
        amount: NanoUsd::new(1),
        lease: None,
        memo: None,
        at,
    };
    let moved = ledger.transfer(&[taken], Cover::Covered, &[]).await;
    assert_eq!(moved.expect("moved"), Transferred::Done);
    let findings = w.verify(None).await.expect("looked at").findings;
    let found: Vec<_> = findings.iter().map(|finding| finding.name).collect();
    assert_eq!(found, ["vesting_differs"]);
    assert!(
        findings[0].detail.contains("0.000000049 USD rest, 0.00000005 USD should"),
        "{findings:?}"
    );
}

#[tokio::test]
async fn a_tier_above_the_zone_of_the_owners_own_user_is_refused() {
    let house = House::new();
    let owner = house.owner().await;
    let alice = house.user("alice", Some(owner)).await;
    let terms = house.store.terms();
    let discount = Name::parse("discount").expect("a name");
    terms.set_user(alice.id, Some(&discount), Some(owner)).await.expect("90 % against 80 %");
    let tier = weft_store::Tier {
        owner,
        account: None,
        ratio: Ratio::from_ppm(900_001),
        changed_at: house.clock.now(),
    };
    let refused = terms.set_tier(&tier).await.expect_err("refused").to_string();
    assert!(refused.contains("profit from themselves"), "{refused}");
}
