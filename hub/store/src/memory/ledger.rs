//! The ledger in memory.

mod books;

pub(super) use books::Books;

use super::{Memory, page};
use crate::ledger::{DAY_MICROS, money};
use crate::{
    Agreed, Balance, Cover, Day, Disagreement, GiveBack, JOURNAL_BODY_BYTES_MAX, JournalEntry,
    JournalNote, Lease, LeaseWanted, Leased, Ledger, LedgerAccount, LegAnswer, LegAnswered,
    LegState, Page, PageSize, Posting, Settled, SettlementsWanted, SpendWanted, StoreError,
    Subject, Sums, TRANSFERS_PER_CALL_MAX, Transfer, TransferKey, Transferred, TransfersWanted,
    Vesting, Whose,
};
use async_trait::async_trait;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use weft_proto::ids::{ExchangeId, LeaseId, NodeId};
use weft_proto::money::NanoUsd;
use weft_proto::time::Timestamp;

#[async_trait]
impl Ledger for Memory {
    async fn lease(&self, wanted: &LeaseWanted) -> Result<Leased, StoreError> {
        self.with(|tables| tables.ledger.lease(wanted))
    }

    async fn give_back(&self, back: &GiveBack) -> Result<Lease, StoreError> {
        self.with(|tables| tables.ledger.give_back(back))
    }

    async fn find_lease(&self, lease: LeaseId) -> Result<Option<Lease>, StoreError> {
        self.with(|tables| Ok(tables.ledger.leases.get(&lease).copied()))
    }

    async fn open_leases(
        &self,
        node: Option<NodeId>,
        wanted: Page<LeaseId>,
    ) -> Result<Vec<Lease>, StoreError> {
        self.with(|tables| {
            let mut open = tables.ledger.leases.clone();
            open.retain(|_, lease| lease.open && node.is_none_or(|node| lease.node == node));
            Ok(page(&open, wanted))
        })
    }

    async fn settle(&self, postings: &[Posting]) -> Result<Vec<Settled>, StoreError> {
        self.with(|tables| {
            postings.iter().try_for_each(money::check)?;
            postings.iter().map(|posting| tables.ledger.settle(posting)).collect()
        })
    }

    async fn settlement(&self, exchange: ExchangeId) -> Result<Option<Agreed>, StoreError> {
        self.with(|tables| Ok(tables.ledger.settlements.get(&exchange).cloned()))
    }

    async fn settlements_of(&self, exchanges: &[ExchangeId]) -> Result<Vec<Agreed>, StoreError> {
        let exchanges: BTreeSet<_> = exchanges.iter().collect();
        self.with(|tables| {
            let of = |exchange| tables.ledger.settlements.get(exchange).cloned();
            Ok(exchanges.into_iter().filter_map(of).collect())
        })
    }

    async fn settlements(&self, wanted: &SettlementsWanted) -> Result<Vec<Agreed>, StoreError> {
        self.with(|tables| {
            let key = |agreed: &Agreed| (agreed.settlement.settled_at, agreed.settlement.exchange);
            let mut rows: Vec<_> = tables
                .ledger
                .settlements
                .values()
                .filter(|agreed| {
                    let at = agreed.settlement.settled_at;
                    is_of(agreed, wanted.whose)
                        && at >= wanted.from
                        && at < wanted.until
                        && wanted.after.is_none_or(|after| key(agreed) < after)
                })
                .cloned()
                .collect();
            rows.sort_by_key(|agreed| Reverse(key(agreed)));
            rows.truncate(wanted.size.as_usize());
            Ok(rows)
        })
    }

    async fn all_settlements(&self, wanted: Page<ExchangeId>) -> Result<Vec<Agreed>, StoreError> {
        self.with(|tables| Ok(page(&tables.ledger.settlements, wanted)))
    }

    async fn due(
        &self,
        state: LegState,
        until: Timestamp,
        size: PageSize,
    ) -> Result<Vec<Agreed>, StoreError> {
        self.with(|tables| {
            let mut rows: Vec<_> = tables
                .ledger
                .settlements
                .values()
                .filter(|agreed| agreed.leg.state == state && agreed.leg.due_at < until)
                .cloned()
                .collect();
            rows.sort_by_key(|agreed| (agreed.leg.due_at, agreed.settlement.exchange));
            rows.truncate(size.as_usize());
            Ok(rows)
        })
    }

    async fn answer(&self, answers: &[LegAnswer]) -> Result<Vec<LegAnswered>, StoreError> {
        self.with(|tables| answers.iter().map(|answer| tables.ledger.answer(answer)).collect())
    }

    async fn vest(&self, exchanges: &[ExchangeId], at: Timestamp) -> Result<u64, StoreError> {
        self.with(|tables| tables.ledger.vest(exchanges, at))
    }

    async fn transfer(
        &self,
        transfers: &[Transfer],
        cover: Cover,
        notes: &[JournalNote],
    ) -> Result<Transferred, StoreError> {
        money::check_moves(transfers)?;
        check_notes(notes)?;
        if transfers.len() > TRANSFERS_PER_CALL_MAX {
            return Err(StoreError::corrupt("ledger_transfers", "too many at once"));
        }
        self.with(|tables| tables.ledger.transfer(transfers, cover, notes))
    }

    async fn find_transfer(&self, key: TransferKey) -> Result<Option<Transfer>, StoreError> {
        self.with(|tables| Ok(tables.ledger.transfers.get(&key).cloned()))
    }

    async fn transfers_of(&self, subject: Subject) -> Result<Vec<Transfer>, StoreError> {
        self.with(|tables| {
            let all = tables.ledger.transfers.values();
            Ok(all.filter(|transfer| transfer.key.subject == subject).cloned().collect())
        })
    }

    async fn transfers_of_all(&self, subjects: &[Subject]) -> Result<Vec<Transfer>, StoreError> {
        let subjects: BTreeSet<_> = subjects.iter().collect();
        self.with(|tables| {
            let all = tables.ledger.transfers.values();
            Ok(all.filter(|transfer| subjects.contains(&transfer.key.subject)).cloned().collect())
        })
    }

    async fn transfers(&self, wanted: &TransfersWanted) -> Result<Vec<Transfer>, StoreError> {
        self.with(|tables| {
            let party = *wanted.party.as_bytes();
            let mut rows: Vec<_> = tables
                .ledger
                .transfers
                .values()
                .filter(|transfer| {
                    transfer.party() == Some(party)
                        && transfer.at >= wanted.from
                        && transfer.at < wanted.until
                })
                .cloned()
                .collect();
            rows.sort_by_key(|transfer| Reverse((transfer.at, transfer.key)));
            rows.truncate(wanted.size.as_usize());
            Ok(rows)
        })
    }

    async fn balance(&self, account: LedgerAccount) -> Result<Balance, StoreError> {
        self.with(|tables| Ok(tables.ledger.balance(account)))
    }

    async fn balances(&self, wanted: Page<LedgerAccount>) -> Result<Vec<Balance>, StoreError> {
        self.with(|tables| Ok(page(&tables.ledger.accounts, wanted)))
    }

    async fn spent(&self, wanted: &SpendWanted) -> Result<Vec<Day>, StoreError> {
        self.with(|tables| {
            let mut days: BTreeMap<u32, Day> = BTreeMap::new();
            for Agreed { settlement, loss, .. } in tables.ledger.settlements.values() {
                let at = settlement.settled_at;
                let is_wanted = settlement.user == wanted.user
                    && wanted.key.is_none_or(|key| settlement.key == key)
                    && at >= wanted.from
                    && at < wanted.until;
                if !is_wanted {
                    continue;
                }
                let number = u32::try_from(at.as_micros() / DAY_MICROS).unwrap_or(u32::MAX);
                let day = days.entry(number).or_insert(Day {
                    number,
                    charged: NanoUsd::ZERO,
                    exchanges: 0,
                });
                let charged = settlement.outlay.charge.saturating_sub(*loss);
                day.charged = day.charged.saturating_add(charged);
                day.exchanges += 1;
            }
            Ok(days.into_values().collect())
        })
    }

    async fn sums(&self) -> Result<Sums, StoreError> {
        self.with(|tables| {
            let mut sums = Sums::default();
            for balance in tables.ledger.accounts.values() {
                sums.debits_posted += i128::from(balance.debits_posted.nanos());
                sums.credits_posted += i128::from(balance.credits_posted.nanos());
                sums.debits_pending += i128::from(balance.debits_pending.nanos());
            }
            let open = tables.ledger.leases.values().filter(|lease| lease.open);
            sums.leased = open.map(|lease| i128::from(lease.rest().nanos())).sum();
            Ok(sums)
        })
    }

    async fn recompute(&self) -> Result<Vec<Disagreement>, StoreError> {
        self.with(|tables| {
            let mut recomputed = Books::default();
            for transfer in tables.ledger.transfers.values() {
                recomputed.apply(transfer)?;
            }
            Ok(money::disagreements(tables.ledger.accounts.clone(), recomputed.accounts))
        })
    }

    async fn vesting(&self) -> Result<Vec<Vesting>, StoreError> {
        self.with(|tables| {
            let mut due: BTreeMap<_, NanoUsd> = BTreeMap::new();
            for Agreed { settlement, leg, .. } in tables.ledger.settlements.values() {
                if let Some(served) = settlement.served.filter(|_| leg.state == LegState::Paid) {
                    let sum = due.entry(served.owner).or_default();
                    *sum = sum.saturating_add(leg.paid);
                }
            }
            Ok(money::vesting_differs(tables.ledger.accounts.values().copied(), due))
        })
    }

    async fn note(&self, notes: &[JournalNote]) -> Result<Vec<JournalEntry>, StoreError> {
        check_notes(notes)?;
        self.with(|tables| Ok(tables.ledger.note(notes)))
    }

    async fn journal(&self, wanted: Page<u64>) -> Result<Vec<JournalEntry>, StoreError> {
        self.with(|tables| {
            let after = wanted.after.unwrap_or(0);
            let entries = tables.ledger.journal.iter().filter(|entry| entry.number > after);
            Ok(entries.take(wanted.size.as_usize()).cloned().collect())
        })
    }

    async fn journal_head(&self) -> Result<Option<JournalEntry>, StoreError> {
        self.with(|tables| Ok(tables.ledger.journal.last().cloned()))
    }
}

fn check_notes(notes: &[JournalNote]) -> Result<(), StoreError> {
    match notes.iter().all(|note| note.body.len() <= JOURNAL_BODY_BYTES_MAX) {
        true => Ok(()),
        false => Err(StoreError::corrupt("body", "an entry of the journal is too long")),
    }
}

fn is_of(Agreed { settlement, .. }: &Agreed, whose: Whose) -> bool {
    match whose {
        Whose::User(user) => settlement.user == user,
        Whose::Key(user, key) => settlement.user == user && settlement.key == key,
        Whose::Owner(owner) => settlement.served.is_some_and(|served| served.owner == owner),
        Whose::Agent(owner, agent) => {
            settlement.served.is_some_and(|served| served.owner == owner && served.agent == agent)
        }
    }
}
