//! The purse against a store that is played here: any order of asking, holding, settling, returning,
//! with answers that are lost.

use super::*;
use proptest::prelude::*;
use weft_proto::ids::{NodeId, UserId};
use weft_proto::time::Timestamp;

fn lease_id(number: u8) -> LeaseId {
    LeaseId::from_slice(&[number; 16]).expect("an id")
}

fn user() -> UserId {
    UserId::from_slice(&[9; 16]).expect("an id")
}

/// What the store has of one user.
#[derive(Debug, Default)]
struct Store {
    balance: i64,
    leases: BTreeMap<LeaseId, Lease>,
}

impl Store {
    fn pending(&self) -> i64 {
        self.leases.values().map(|lease| lease.rest().nanos()).sum()
    }

    fn lease(
        &mut self,
        id: LeaseId,
        account: LedgerAccount,
        part: u32,
        wanted: i64,
    ) -> Option<Lease> {
        let available = self.balance - self.pending();
        let lease = self.leases.entry(id).or_insert_with(|| Lease {
            id,
            account,
            node: NodeId::from_slice(&[1; 16]).expect("an id"),
            granted: NanoUsd::ZERO,
            used: NanoUsd::ZERO,
            returned: NanoUsd::ZERO,
            parts: 0,
            open: true,
            taken_at: Timestamp::from_secs(1),
            changed_at: Timestamp::from_secs(1),
        });
        if lease.parts > part {
            return Some(*lease);
        }
        if !lease.open || lease.parts < part || available < 1 {
            return None;
        }
        lease.granted = NanoUsd::new(lease.granted.nanos() + wanted.min(available));
        lease.parts += 1;
        Some(*lease)
    }

    fn give_back(&mut self, back: Return) -> Lease {
        let lease = self.leases.get_mut(&back.lease).expect("a lease");
        if lease.parts == back.part && lease.open {
            let amount = if back.close { lease.rest() } else { lease.rest().min(back.amount) };
            lease.returned = lease.returned.saturating_add(amount);
            lease.parts += 1;
            lease.open = !back.close;
        }
        *lease
    }

    /// Posts draws; what a lease did not have.
    fn post(&mut self, draws: &[Draw]) -> i64 {
        let mut missing = 0;
        for draw in draws {
            let lease = self.leases.get_mut(&draw.lease).expect("a lease");
            let amount = if lease.open { draw.amount.min(lease.rest()) } else { NanoUsd::ZERO };
            lease.used = lease.used.saturating_add(amount);
            missing += draw.amount.nanos() - amount.nanos();
            self.balance -= draw.amount.nanos();
        }
        missing
    }
}

#[derive(Debug, Clone)]
enum Step {
    Ask { promo: bool, wanted: i64, answer_is_lost: bool },
    Hold { amount: i64 },
    Grow { which: prop::sample::Index, more: i64 },
    Release { which: prop::sample::Index },
    Settle { which: prop::sample::Index, charge: i64 },
    Post,
    Return { keep: i64, answer_is_lost: bool },
    Tidy,
}

fn step() -> impl Strategy<Value = Step> {
    let which = any::<prop::sample::Index>;
    prop_oneof![
        (any::<bool>(), 1..500_i64, any::<bool>()).prop_map(|(promo, wanted, answer_is_lost)| {
            Step::Ask { promo, wanted, answer_is_lost }
        }),
        (1..200_i64).prop_map(|amount| Step::Hold { amount }),
        (which(), 1..100_i64).prop_map(|(which, more)| Step::Grow { which, more }),
        which().prop_map(|which| Step::Release { which }),
        (which(), 0..300_i64).prop_map(|(which, charge)| Step::Settle { which, charge }),
        Just(Step::Post),
        (0..100_i64, any::<bool>())
            .prop_map(|(keep, answer_is_lost)| Step::Return { keep, answer_is_lost }),
        Just(Step::Tidy),
    ]
}

/// Nothing is in two hands, and nothing is in hands that the store did not give.
fn check(purse: &Purse, store: &Store, holds: &[Vec<Part>], queue: &[Vec<Draw>]) {
    for (id, slot) in purse.slots() {
        let of = |parts: &[Part]| -> i64 {
            parts.iter().filter(|part| part.lease == id).map(|part| part.amount.nanos()).sum()
        };
        let held: i64 = holds.iter().map(|parts| of(parts)).sum();
        assert_eq!(slot.held.nanos(), held);
        let unposted: i64 = queue
            .iter()
            .flatten()
            .filter(|draw| draw.lease == id)
            .map(|draw| draw.amount.nanos())
            .sum();
        assert_eq!(slot.unposted.nanos(), unposted);
        let leaving = slot.returning.map_or(0, |(_, amount)| amount.nanos());
        let free = slot.granted.nanos()
            - slot.returned.nanos()
            - leaving
            - slot.drawn.nanos()
            - slot.held.nanos();
        assert!(free >= 0, "{slot:?}");
        if let Some(lease) = store.leases.get(&id).filter(|lease| lease.open) {
            // What is in hands here, the store has set aside.
            assert!(held + unposted <= lease.rest().nanos(), "{slot:?} {lease:?}");
            assert!(slot.free().nanos() + held + unposted <= lease.rest().nanos());
        }
    }
    assert!(store.pending() <= store.balance, "more is set aside than there is");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_nothing_is_held_twice_and_nothing_beyond_the_balance(
        balance in 0..3_000_i64,
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut store = Store { balance, ..Store::default() };
        let mut purse = Purse::default();
        let mut holds: Vec<Vec<Part>> = Vec::new();
        let mut queue: Vec<Vec<Draw>> = Vec::new();
        let mut next = 0_u8;
        let mut missing = 0;
        let mut charged = 0;
        for step in steps {
            match step {
                Step::Ask { promo, wanted, answer_is_lost } => {
                    let account = match promo {
                        true => LedgerAccount::Promo(user()),
                        false => LedgerAccount::Paid(user()),
                    };
                    next = next.wrapping_add(1);
                    let (lease, part) = purse.asks(account, lease_id(next));
                    let answer = store.lease(lease, account, part, wanted);
                    if let Some(lease) = answer.filter(|_| !answer_is_lost) {
                        purse.adopt(&lease);
                    }
                }
                Step::Hold { amount } => {
                    let (mut parts, free) = (Vec::new(), purse.free());
                    let held = purse.grow(&mut parts, NanoUsd::new(amount));
                    prop_assert_eq!(held, NanoUsd::new(amount) <= free);
                    prop_assert_eq!(sum(&parts).nanos(), if held { amount } else { 0 });
                    if held {
                        holds.push(parts);
                    }
                }
                Step::Grow { which, more } if !holds.is_empty() => {
                    let parts = which.get_mut(&mut holds);
                    let before = sum(parts);
                    let grown = purse.grow(parts, NanoUsd::new(more));
                    let after = if grown { before.nanos() + more } else { before.nanos() };
                    prop_assert_eq!(sum(parts).nanos(), after);
                }
                Step::Release { which } if !holds.is_empty() => {
                    let parts = holds.swap_remove(which.index(holds.len()));
                    purse.release(&parts);
                }
                Step::Settle { which, charge } if !holds.is_empty() => {
                    let parts = holds.swap_remove(which.index(holds.len()));
                    let had = sum(&parts).nanos() + purse.free().nanos();
                    let draws = purse.draw(&parts, NanoUsd::new(charge));
                    let drawn: i64 = draws.iter().map(|draw| draw.amount.nanos()).sum();
                    prop_assert!(drawn <= charge && drawn <= had);
                    prop_assert!(drawn >= charge.min(sum(&parts).nanos()));
                    charged += drawn;
                    queue.push(draws);
                }
                Step::Post => {
                    for draws in queue.drain(..) {
                        missing += store.post(&draws);
                        purse.posted(&draws);
                    }
                }
                Step::Return { keep, answer_is_lost } => {
                    if let Some(back) = purse.gives_back(NanoUsd::new(keep)) {
                        let lease = store.give_back(back);
                        if !answer_is_lost {
                            purse.adopt(&lease);
                        }
                    }
                }
                Step::Tidy => drop(purse.tidy()),
                Step::Grow { .. } | Step::Release { .. } | Step::Settle { .. } => {}
            }
            check(&purse, &store, &holds, &queue);
        }
        // Everything ends: what was not drawn is the user's again, to the nano.
        for parts in holds.drain(..) {
            purse.release(&parts);
        }
        for draws in queue.drain(..) {
            missing += store.post(&draws);
            purse.posted(&draws);
        }
        while let Some(back) = purse.gives_back(NanoUsd::ZERO) {
            purse.adopt(&store.give_back(back));
        }
        prop_assert_eq!(missing, 0, "a draw met no lease");
        prop_assert_eq!(store.balance, balance - charged);
        prop_assert_eq!(purse.held(), NanoUsd::ZERO);
        // What is still set aside was granted in an answer that was lost and never asked about again.
        let known: std::collections::BTreeSet<_> = purse.slots().map(|(id, _)| id).collect();
        for lease in store.leases.values().filter(|lease| lease.open && lease.rest().is_positive()) {
            prop_assert!(known.contains(&lease.id) || lease.parts == 1, "{lease:?} is forgotten");
        }
    }
}

#[test]
fn promotional_credit_is_held_and_drawn_first() {
    let mut purse = Purse::default();
    let mut store = Store { balance: 1_000, ..Store::default() };
    for (account, id) in [(LedgerAccount::Paid(user()), 1), (LedgerAccount::Promo(user()), 2)] {
        let (lease, part) = purse.asks(account, lease_id(id));
        purse.adopt(&store.lease(lease, account, part, 100).expect("granted"));
    }
    let mut parts = Vec::new();
    assert!(purse.grow(&mut parts, NanoUsd::new(150)));
    let draws = purse.draw(&parts, NanoUsd::new(120));
    let told: Vec<_> = draws.iter().map(|draw| (draw.lease, draw.amount.nanos())).collect();
    assert_eq!(told, [(lease_id(2), 100), (lease_id(1), 20)]);
    assert!(purse.is_promo(lease_id(2)) && !purse.is_promo(lease_id(1)));
}

#[test]
fn a_charge_beyond_its_hold_takes_the_rest_of_the_lease_but_not_what_others_hold() {
    let mut purse = Purse::default();
    let mut store = Store { balance: 1_000, ..Store::default() };
    let account = LedgerAccount::Paid(user());
    let (lease, part) = purse.asks(account, lease_id(1));
    purse.adopt(&store.lease(lease, account, part, 100).expect("granted"));
    let (mut mine, mut others) = (Vec::new(), Vec::new());
    assert!(purse.grow(&mut mine, NanoUsd::new(30)) && purse.grow(&mut others, NanoUsd::new(50)));
    let draws = purse.draw(&mine, NanoUsd::new(500));
    assert_eq!(draws.iter().map(|draw| draw.amount.nanos()).sum::<i64>(), 50);
    assert_eq!((purse.free().nanos(), purse.held().nanos()), (0, 50));
}
