//! The tables of the ledger in memory, and the writes on them. Whatever can be refused is refused
//! before anything is changed.

use crate::ledger::money::{self, Pocket};
use crate::{
    AgentLeg, Agreed, Balance, Cover, GiveBack, House, JournalEntry, JournalNote, Lease,
    LeaseWanted, Leased, LedgerAccount, LegAnswer, LegAnswered, LegState, Posting, Settled,
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
        const CONFLICT: StoreError = StoreError::Conflict { what: "the lease" };
        if !wanted.least.is_positive() || wanted.wanted < wanted.least {
            return Err(StoreError::corrupt("granted", "a lease of nothing is wanted"));
        }
        let held = self.leases.get(&wanted.lease).copied();
        if let Some(held) = held {
            if (held.account, held.node) != (wanted.account, wanted.node) {
                return Err(CONFLICT);
            }
            if held.parts > wanted.part {
                return Ok(Leased::Granted(held));
            }
            if !held.open {
                return Err(CONFLICT);
            }
        }
        if held.map_or(0, |held| held.parts) != wanted.part {
            return Err(CONFLICT);
        }
        let available = self.balance(wanted.account).available().max(NanoUsd::ZERO);
        let amount = wanted.wanted.min(available);
        if amount < wanted.least {
            return Ok(Leased::Short { available });
        }
        let mut lease = held.unwrap_or(Lease {
            id: wanted.lease,
            account: wanted.account,
            node: wanted.node,
            granted: NanoUsd::ZERO,
            used: NanoUsd::ZERO,
            returned: NanoUsd::ZERO,
            parts: 0,
            open: true,
            taken_at: wanted.at,
            changed_at: wanted.at,
        });
        lease.granted = lease
            .granted
            .checked_add(amount)
            .ok_or_else(|| StoreError::corrupt("granted", "out of range"))?;
        lease.parts += 1;
        lease.changed_at = wanted.at;
        let kind = TransferKind::Pending;
        self.make(money::lease_part(
            lease.id,
            lease.account,
            wanted.part,
            kind,
            amount,
            wanted.at,
        ))?;
        self.leases.insert(lease.id, lease);
        Ok(Leased::Granted(lease))
    }

    pub(super) fn give_back(&mut self, back: &GiveBack) -> Result<Lease, StoreError> {
        let held = *self.leases.get(&back.lease).ok_or(StoreError::NotFound { what: "lease" })?;
        if held.parts > back.part || !held.open {
            return Ok(held);
        }
        if held.parts < back.part {
            return Err(StoreError::Conflict { what: "the lease" });
        }
        let amount = match back.close {
            true => held.rest(),
            false => held.rest().min(back.amount).max(NanoUsd::ZERO),
        };
        if !amount.is_positive() && !back.close {
            return Ok(held);
        }
        let lease = Lease {
            returned: held.returned.saturating_add(amount),
            parts: held.parts + 1,
            open: !back.close,
            changed_at: back.at,
            ..held
        };
        if amount.is_positive() {
            let kind = TransferKind::Void;
            self.make(money::lease_part(held.id, held.account, held.parts, kind, amount, back.at))?;
        }
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
        let room = self.balance(payer).available().saturating_add(posting.overdraft_max);
        let overrun = missing.min(room.max(NanoUsd::ZERO));
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
        let agreed = Agreed { settlement: settlement.clone(), promo, loss, leg };
        self.settlements.insert(settlement.exchange, agreed);
        Ok(Settled::Fresh { loss, overrun })
    }

    pub(super) fn answer(&mut self, answer: &LegAnswer) -> Result<LegAnswered, StoreError> {
        let Some(Agreed { settlement, leg, .. }) = self.settlements.get(&answer.exchange) else {
            return Ok(LegAnswered::Unknown);
        };
        let Some(served) = settlement.served else {
            return Ok(LegAnswered::Unknown);
        };
        let income = settlement.outlay.income;
        let done = money::answered(answer.exchange, served.owner, income, leg, answer);
        let Some((next, moved)) = done else {
            return Ok(LegAnswered::Already(*leg));
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
            let Some(Agreed { settlement, leg, .. }) = self.settlements.get(&exchange) else {
                continue;
            };
            let Some(served) = settlement.served.filter(|_| leg.state == LegState::Paid) else {
                continue;
            };
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
