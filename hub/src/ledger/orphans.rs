//! Orphans: exchanges of the process before that were dispatched and never settled. What they hold
//! stays held until their agent claims, or the claim window ends; then it is the user's again.

use super::hold::{self, UserLeg};
use super::purse::{self, Part};
use super::tickets::{OpenTicket, Record, Ticketed};
use super::upkeep::LOOK_EVERY;
use super::{Ledger, Payer};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use weft_proto::codes::EndReason;
use weft_proto::ids::{ExchangeId, KeyId, LeaseId, UserId};
use weft_proto::money::NanoUsd;
use weft_proto::time::Timestamp;
use weft_store::{Draw, LedgerAccount, Outcome, Settled, SpendLimits, StoreError};

/// An exchange that was dispatched and never settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphan {
    /// The exchange.
    pub exchange: ExchangeId,
    /// Who asked.
    pub user: UserId,
    /// With which key.
    pub key: KeyId,
    /// Its tickets, one for each attempt, the last one last.
    pub tickets: Vec<OpenTicket>,
    /// When the last ticket was opened.
    pub opened_at: Timestamp,
    /// When the first one was, as far as this process knows.
    began_at: Timestamp,
    /// What it holds.
    pub held: NanoUsd,
    number: u64,
    pub(super) parts: Vec<Part>,
}

impl Orphan {
    /// The orphan that a first ticket makes.
    pub(super) fn new(opened: Ticketed) -> Self {
        let Ticketed { exchange, user, key, number, parts, ticket, at } = opened;
        let held = purse::sum(&parts);
        let tickets = vec![ticket];
        let (opened_at, began_at) = (at, at);
        Self { exchange, user, key, tickets, opened_at, began_at, held, number, parts }
    }

    /// Adds the ticket of another attempt.
    pub(super) fn attempted(&mut self, opened: Ticketed) {
        self.opened_at = opened.at;
        self.grown(opened.parts);
        self.tickets.push(opened.ticket);
    }

    /// What it holds has grown.
    pub(super) fn grown(&mut self, parts: Vec<Part>) {
        self.held = purse::sum(&parts);
        self.parts = parts;
    }

    /// The row of an exchange that nobody lived to record. Its times are those of its tickets.
    pub(super) fn outcome(&self) -> Outcome {
        let mut outcome = Outcome::begun(self.exchange, self.user, self.key, self.began_at);
        outcome.end = EndReason::NodeLost;
        if let Some(OpenTicket { served, .. }) = self.tickets.last() {
            outcome.agent = Some(served.agent);
            outcome.account = Some(served.account);
            outcome.attempts = u32::from(served.attempt);
        }
        let after = self.opened_at.as_micros().saturating_sub(self.began_at.as_micros());
        outcome.dispatched_after_us = Some(after);
        outcome.ended_after_us = after;
        outcome
    }

    /// The records that tell of it, for another journal.
    pub(super) fn records(&self) -> impl Iterator<Item = Record> + '_ {
        self.tickets.iter().map(|ticket| {
            Record::Opened(Ticketed {
                exchange: self.exchange,
                user: self.user,
                key: self.key,
                number: self.number,
                parts: self.parts.clone(),
                ticket: ticket.clone(),
                at: self.opened_at,
            })
        })
    }
}

/// All orphans of this node.
#[derive(Debug)]
pub(super) struct Orphans(Mutex<BTreeMap<ExchangeId, Orphan>>);

impl Orphans {
    pub(super) fn new(orphans: impl IntoIterator<Item = Orphan>) -> Self {
        let by_id = orphans.into_iter().map(|orphan| (orphan.exchange, orphan)).collect();
        Self(Mutex::new(by_id))
    }

    pub(super) fn all(&self) -> Vec<Orphan> {
        self.lock().values().cloned().collect()
    }

    pub(super) fn count(&self) -> usize {
        self.lock().len()
    }

    pub(super) fn find(&self, exchange: ExchangeId) -> Option<Orphan> {
        self.lock().get(&exchange).cloned()
    }

    /// What they hold of each lease.
    pub(super) fn held_by_lease(&self) -> BTreeMap<LeaseId, NanoUsd> {
        let mut held: BTreeMap<LeaseId, NanoUsd> = BTreeMap::new();
        for part in self.lock().values().flat_map(|orphan| &orphan.parts) {
            let sum = held.entry(part.lease).or_default();
            *sum = sum.saturating_add(part.amount);
        }
        held
    }

    /// What those of a user hold, and when the last ticket of the first of them was opened; `None`
    /// where there is none.
    fn held_by_user(&self, user: UserId) -> Option<(NanoUsd, Timestamp)> {
        let orphans = self.lock();
        let theirs = orphans.values().filter(|orphan| orphan.user == user);
        theirs
            .map(|orphan| (orphan.held, orphan.opened_at))
            .reduce(|(sum, first), (held, at)| (sum.saturating_add(held), first.min(at)))
    }

    /// What they may still cost a key.
    pub(super) fn held_by_key(&self, key: KeyId) -> NanoUsd {
        let orphans = self.lock();
        let held = orphans.values().filter(|orphan| orphan.key == key).map(|orphan| orphan.held);
        held.fold(NanoUsd::ZERO, NanoUsd::saturating_add)
    }

    pub(super) fn take(&self, exchange: ExchangeId) -> Option<Orphan> {
        self.lock().remove(&exchange)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ExchangeId, Orphan>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ledger {
    /// Settles an orphan by what its agent claims: charges no more than it held, once. `None` where
    /// there is no such orphan (any more): look for its settlement then.
    ///
    /// # Errors
    /// [`StoreError`]; the orphan stays, and the same claim may be settled again.
    ///
    /// # Cancel safety
    /// A dropped call may have settled it; the same claim may be settled again.
    pub async fn settle_orphan(
        &self,
        exchange: ExchangeId,
        leg: UserLeg,
    ) -> Result<Option<Settled>, StoreError> {
        let shared = &self.0;
        let Some(orphan) = shared.orphans.find(exchange) else { return Ok(None) };
        let mut leg = leg;
        leg.outlay.charge = leg.outlay.charge.min(orphan.held).max(NanoUsd::ZERO);
        leg.outlay.rounding = leg.outlay.rounding.min(leg.outlay.charge);
        let charge = leg.outlay.charge;
        let draws = draws_of(&orphan.parts, charge);
        let payer = Payer { user: orphan.user, key: orphan.key, limits: SpendLimits::default() };
        let posting =
            hold::posting(self, &payer, exchange, &orphan.parts, orphan.number, draws, leg);
        let settled = shared.store.settle(std::slice::from_ref(&posting)).await?;
        // Settled otherwise, it is not this charge that was taken.
        let charge = match settled.first() {
            Some(Settled::Fresh { .. } | Settled::Already) => charge,
            Some(Settled::Conflict) | None => NanoUsd::ZERO,
        };
        if shared.orphans.take(exchange).is_some() {
            let pocket = shared.purses.pocket(orphan.user);
            let drawn = pocket.purse().draw(&orphan.parts, charge);
            pocket.purse().posted(&drawn);
            let at = posting.settlement.settled_at;
            shared.spending.posted_before(orphan.key, at, charge);
            self.forget(exchange);
        }
        Ok(settled.into_iter().next())
    }

    /// Where nothing but orphans of this node holds a user's credit: when the first of them is decided
    /// at the latest. `None` where anything else does, here or at another node, or where nobody can
    /// say.
    pub(super) async fn left_behind(&self, user: UserId) -> Option<Duration> {
        let shared = &self.0;
        let (left, opened_at) = shared.orphans.held_by_user(user)?;
        let here = {
            let pocket = shared.purses.pocket(user);
            let purse = pocket.purse();
            if purse.held() > left {
                return None;
            }
            purse.free().saturating_add(purse.held()).saturating_add(purse.unposted())
        };
        let mut anywhere = NanoUsd::ZERO;
        for account in [LedgerAccount::Paid(user), LedgerAccount::Promo(user)] {
            let balance = shared.store.balance(account).await.ok()?;
            anywhere = anywhere.saturating_add(balance.debits_pending);
        }
        if anywhere > here {
            return None;
        }
        let decided_at = opened_at.after(shared.money.now().claim_window + LOOK_EVERY);
        let micros = decided_at.as_micros().saturating_sub(shared.clock.now().as_micros());
        Some(Duration::from_micros(micros))
    }

    /// Releases what orphans hold whose claim window has ended; how many there were.
    pub(super) fn expire_orphans(&self) -> usize {
        let shared = &self.0;
        let (now, window) = (shared.clock.now(), shared.money.now().claim_window);
        let mut expired = 0;
        for orphan in shared.orphans.all() {
            if orphan.opened_at.after(window) > now {
                continue;
            }
            if shared.orphans.take(orphan.exchange).is_some() {
                shared.purses.pocket(orphan.user).purse().release(&orphan.parts);
                self.forget(orphan.exchange);
                expired += 1;
            }
        }
        expired
    }

    /// Writes down that an orphan is none any more.
    pub(super) fn forget(&self, exchange: ExchangeId) {
        if let Err(error) = self.0.tickets.append(&Record::Released { exchange }) {
            // It comes back with the next start, and is settled or expires again.
            tracing::error!(%error, %exchange, "the end of an orphan is not in the journal");
        }
    }
}

/// How `charge` is drawn from parts, in their order.
fn draws_of(parts: &[Part], charge: NanoUsd) -> Vec<Draw> {
    let mut missing = charge;
    let mut draws = Vec::with_capacity(parts.len());
    for part in parts {
        let amount = part.amount.min(missing);
        if amount.is_positive() {
            missing = missing.saturating_sub(amount);
            draws.push(Draw { lease: part.lease, amount });
        }
    }
    draws
}
