//! The tables of the ledger in memory, and the writes on them. Whatever can be refused is refused
//! before anything is changed.

use crate::ledger::money::{self, Pocket};
use crate::ledger::{due, lease};
use crate::{
    AgentLeg, Agreed, Balance, Cover, GiveBack, House, JournalEntry, JournalNote, Lease,
    LeaseWanted, Leased, LedgerAccount, LegAnswer, LegAnswered, LegState, Outlay, Posting, Settled,
    StoreError, Transfer, TransferKey, TransferKind, Transferred,
};
use std::collections::BTreeMap;
use weft_proto::ids::{ExchangeId, LeaseId, OwnerId};
use weft_proto::money::NanoUsd;
use weft_proto::time::Timestamp;

/// Accounts, transfers, leases, settlements, journal.
#[derive(Debug, Default)]
pub(crate) struct Books {
    pub(super) accounts: BTreeMap<LedgerAccount, Balance>,
    pub(super) transfers: BTreeMap<TransferKey, Transfer>,
    pub(super) leases: BTreeMap<LeaseId, Lease>,
    pub(super) settlements: BTreeMap<ExchangeId, Agreed>,
    pub(super) journal: Vec<JournalEntry>,
}

impl Books {
    pub(super) fn balance(&self, account: LedgerAccount) -> Balance {
        self.accounts.get(&account).copied().unwrap_or_else(|| Balance::none(account))
    }

    /// Whether an exchange is settled, and took, cost and earned nothing.
    pub(in super::super) fn is_settled_at_nothing(&self, exchange: ExchangeId) -> bool {
        self.settlements.get(&exchange).is_some_and(|Agreed { settlement, .. }| {
            let Outlay { charge, income, .. } = settlement.outlay;
            settlement.metered.usage.is_none() && (charge, income) == (NanoUsd::ZERO, NanoUsd::ZERO)
        })
    }

    /// Does what a transfer does to balances.
    pub(super) fn apply(&mut self, transfer: &Transfer) -> Result<(), StoreError> {
        let less = NanoUsd::ZERO.saturating_sub(transfer.amount);
        let (taken, pending) = match transfer.kind {
            TransferKind::Direct | TransferKind::Correct => (transfer.amount, NanoUsd::ZERO),
            TransferKind::Pending => (NanoUsd::ZERO, transfer.amount),
            TransferKind::Post => (transfer.amount, less),
            TransferKind::Void => (NanoUsd::ZERO, less),
        };
        let plus = |sum: NanoUsd, more: NanoUsd| {
            sum.checked_add(more)
                .ok_or_else(|| StoreError::corrupt("ledger_accounts", "a sum is out of range"))
        };
        let mut from = self.balance(transfer.debit);
        from.debits_posted = plus(from.debits_posted, taken)?;
        from.debits_pending = plus(from.debits_pending, pending)?;
        let mut to = self.balance(transfer.credit);
        to.credits_posted = plus(to.credits_posted, taken)?;
        self.accounts.insert(from.account, from);
        if taken.is_positive() {
            self.accounts.insert(to.account, to);
        }
        Ok(())
    }

    fn make(&mut self, transfer: Transfer) -> Result<(), StoreError> {
        self.apply(&transfer)?;
        self.transfers.insert(transfer.key, transfer);
        Ok(())
    }

    pub(super) fn lease(&mut self, wanted: &LeaseWanted) -> Result<Leased, StoreError> {
        let held = self.leases.get(&wanted.lease).copied();
        if let Some(stands) = lease::granted_before(wanted, held)? {
            return Ok(Leased::Granted(stands));
        }
        let available = self.balance(wanted.account).available().max(NanoUsd::ZERO);
        let amount = wanted.wanted.min(available);
        if amount < wanted.least {
            return Ok(Leased::Short { available });
        }
        let (lease, transfer) = lease::grant(wanted, held, amount)?;
        self.make(transfer)?;
        self.leases.insert(lease.id, lease);
        Ok(Leased::Granted(lease))
    }

    pub(super) fn give_back(&mut self, back: &GiveBack) -> Result<Lease, StoreError> {
        let held = *self.leases.get(&back.lease).ok_or(StoreError::NotFound { what: "lease" })?;
        let Some((lease, transfer)) = lease::give_back(held, back)? else { return Ok(held) };
        transfer.map_or(Ok(()), |transfer| self.make(transfer))?;
        self.leases.insert(lease.id, lease);
        Ok(lease)
    }

    pub(super) fn settle(&mut self, posting: &Posting) -> Result<Settled, StoreError> {
        let settlement = &posting.settlement;
        if let Some(before) = self.settlements.get(&settlement.exchange) {
            return Ok(match before.settlement.is_same_act(settlement) {
                true => Settled::Already,
                false => Settled::Conflict,
            });
        }
        let payer = LedgerAccount::Paid(settlement.user);
        let mine = [payer, LedgerAccount::Promo(settlement.user)];
        let (mut pockets, mut missing) = (Vec::new(), settlement.outlay.charge);
        let mut promo = NanoUsd::ZERO;
        for draw in &posting.draws {
            let Some(lease) = self.leases.get_mut(&draw.lease) else { continue };
            if !lease.open || !mine.contains(&lease.account) {
                continue;
            }
            let amount = draw.amount.min(lease.rest());
            if !amount.is_positive() {
                continue;
            }
            lease.used = lease.used.saturating_add(amount);
            missing = missing.saturating_sub(amount);
            if lease.account != payer {
                promo = promo.saturating_add(amount);
            }
            pockets.push(Pocket { account: lease.account, amount, lease: Some(lease.id) });
        }
        // What is set aside is what the draws are paid from: neither moves what is available.
        let available = self.balance(payer).available();
        let room = available.saturating_add(posting.overdraft_max);
        let overrun = missing.min(room.max(NanoUsd::ZERO));
        let owed = overrun.saturating_sub(available.max(NanoUsd::ZERO)).max(NanoUsd::ZERO);
        let loss = missing.saturating_sub(overrun);
        pockets.push(Pocket { account: payer, amount: overrun, lease: None });
        pockets.push(Pocket {
            account: LedgerAccount::House(House::Loss),
            amount: loss,
            lease: None,
        });
        for transfer in money::user_leg(settlement, &pockets) {
            self.make(transfer)?;
        }
        let leg = money::begun(settlement);
        let agreed = Agreed { settlement: settlement.clone(), promo, loss, owed, leg };
        self.settlements.insert(settlement.exchange, agreed);
        Ok(Settled::Fresh { loss, overrun })
    }

    pub(super) fn answer(&mut self, answer: &LegAnswer) -> Result<LegAnswered, StoreError> {
        let Some(agreed) = self.settlements.get(&answer.exchange) else {
            return Ok(LegAnswered::Unknown);
        };
        let Some(served) = agreed.settlement.served else {
            return Ok(LegAnswered::Unknown);
        };
        let due = agreed.due();
        let payer = self.balance(LedgerAccount::Paid(due.user));
        let repaid = !payer.available().is_negative();
        let Some((next, moved)) = due::answered(&due, served.owner, repaid, answer) else {
            return Ok(LegAnswered::Already(due.leg));
        };
        for transfer in moved {
            self.make(transfer)?;
        }
        self.stands(answer.exchange, next);
        Ok(LegAnswered::Done(next))
    }

    pub(super) fn vest(
        &mut self,
        exchanges: &[ExchangeId],
        at: Timestamp,
    ) -> Result<u64, StoreError> {
        let mut exchanges = exchanges.to_vec();
        exchanges.sort_unstable();
        let mut moved = 0;
        let mut owners: BTreeMap<OwnerId, (ExchangeId, NanoUsd)> = BTreeMap::new();
        for exchange in exchanges {
            let Some(agreed @ Agreed { settlement, leg, .. }) = self.settlements.get(&exchange)
            else {
                continue;
            };
            let Some(served) = settlement.served.filter(|_| leg.state == LegState::Paid) else {
                continue;
            };
            let due = agreed.due();
            if leg.paid > due.covered(true) && !due.is_paid_fairly(&self.of(exchange)) {
                continue;
            }
            let next = AgentLeg { state: LegState::Vested, due_at: at, ..*leg };
            moved += 1;
            if leg.paid.is_positive() {
                let (_, sum) = owners.entry(served.owner).or_insert((exchange, NanoUsd::ZERO));
                *sum = sum.saturating_add(leg.paid);
            }
            self.stands(exchange, next);
        }
        for (owner, (first, amount)) in owners {
            self.make(money::vesting(first, owner, amount, at))?;
        }
        Ok(moved)
    }

    /// The transfers of an exchange.
    fn of(&self, exchange: ExchangeId) -> Vec<Transfer> {
        let all = self.transfers.values();
        all.filter(|one| one.key.subject == exchange.into()).cloned().collect()
    }

    fn stands(&mut self, exchange: ExchangeId, leg: AgentLeg) {
        if let Some(agreed) = self.settlements.get_mut(&exchange) {
            agreed.leg = leg;
        }
    }

    pub(super) fn transfer(
        &mut self,
        transfers: &[Transfer],
        cover: Cover,
        notes: &[JournalNote],
    ) -> Result<Transferred, StoreError> {
        let kept: Vec<_> = transfers
            .iter()
            .map(|transfer| (transfer, self.transfers.get(&transfer.key)))
            .collect();
        let before = kept.iter().filter(|(_, kept)| kept.is_some()).count();
        let same = |(transfer, kept): &(&Transfer, Option<&Transfer>)| {
            kept.is_some_and(|kept| kept.is_same_act(transfer))
        };
        if before > 0 {
            return match kept.iter().all(same) {
                true => Ok(Transferred::Already),
                false => Err(StoreError::Conflict { what: "the transfer" }),
            };
        }
        let mut taken: BTreeMap<LedgerAccount, NanoUsd> = BTreeMap::new();
        for transfer in transfers {
            if cover == Cover::Covered && transfer.debit.party().is_some() {
                let sum = taken.entry(transfer.debit).or_default();
                *sum = sum.saturating_add(transfer.amount);
            }
        }
        for (account, wanted) in taken {
            let available = self.balance(account).available();
            if available < wanted {
                return Ok(Transferred::Short { account, available });
            }
        }
        for transfer in transfers {
            self.make(transfer.clone())?;
        }
        self.note(notes);
        Ok(Transferred::Done)
    }

    pub(super) fn note(&mut self, notes: &[JournalNote]) -> Vec<JournalEntry> {
        let begun = self.journal.len();
        for note in notes {
            self.journal.push(JournalEntry::following(self.journal.last(), note));
        }
        self.journal[begun..].to_vec()
    }
}
