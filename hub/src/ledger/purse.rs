//! What one node has leased of one user's money, and what exchanges hold of it. No clock, no store,
//! no waiting: a plain machine.
//!
//! ```text
//!  granted ── returned ── on its way back ── drawn ── held ── free
//! ```
//!
//! # Invariants
//! - Of each lease, what is held, drawn, returned and on its way back is never more than what was
//!   granted: [`Purse::free`] is never negative.
//! - What a hold does not draw is free again; what it draws is gone until the store has posted it,
//!   and after that it is gone for good.
//! - What is on its way back is nobody's until the store has said whether it took it.

use std::collections::BTreeMap;
use weft_proto::ids::LeaseId;
use weft_proto::money::NanoUsd;
use weft_store::{Draw, Lease, LedgerAccount};

/// What a hold has of one lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) lease: LeaseId,
    pub(super) amount: NanoUsd,
}

/// The sum of parts.
pub(super) fn sum(parts: &[Part]) -> NanoUsd {
    parts.iter().fold(NanoUsd::ZERO, |sum, part| sum.saturating_add(part.amount))
}

/// One lease as this node sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) account: LedgerAccount,
    pub(super) granted: NanoUsd,
    pub(super) returned: NanoUsd,
    /// What the store was asked to take back, under which part.
    pub(super) returning: Option<(u32, NanoUsd)>,
    /// What settlements use, posted or not.
    pub(super) drawn: NanoUsd,
    /// What of it the store has not posted yet.
    pub(super) unposted: NanoUsd,
    pub(super) held: NanoUsd,
    /// The number of the next part.
    pub(super) parts: u32,
    /// The store knows it otherwise than this node: it gives nothing any more.
    pub(super) lost: bool,
}

impl Slot {
    const fn new(account: LedgerAccount) -> Self {
        let zero = NanoUsd::ZERO;
        Self {
            account,
            granted: zero,
            returned: zero,
            returning: None,
            drawn: zero,
            unposted: zero,
            held: zero,
            parts: 0,
            lost: false,
        }
    }

    /// What can be held.
    pub(super) fn free(&self) -> NanoUsd {
        if self.lost {
            return NanoUsd::ZERO;
        }
        let leaving = self.returning.map_or(NanoUsd::ZERO, |(_, amount)| amount);
        self.granted
            .saturating_sub(self.returned)
            .saturating_sub(leaving)
            .saturating_sub(self.drawn)
            .saturating_sub(self.held)
    }

    /// Whether nothing of it is in anybody's hands.
    fn is_at_rest(&self) -> bool {
        !self.held.is_positive() && !self.unposted.is_positive()
    }
}

/// All leases of one user at this node.
#[derive(Debug, Default)]
pub(super) struct Purse {
    /// Promotional credit first, then the order of leases.
    slots: BTreeMap<(bool, LeaseId), Slot>,
    holds: u64,
    /// What holds have, for the difference between no credit and credit that is in use.
    held: NanoUsd,
}

/// The key of a slot: promotional credit is spent first.
fn key(account: LedgerAccount, lease: LeaseId) -> (bool, LeaseId) {
    (!matches!(account, LedgerAccount::Promo(_)), lease)
}

impl Purse {
    /// What can be held now.
    pub(super) fn free(&self) -> NanoUsd {
        self.slots.values().fold(NanoUsd::ZERO, |sum, slot| sum.saturating_add(slot.free()))
    }

    /// What is held now.
    pub(super) const fn held(&self) -> NanoUsd {
        self.held
    }

    /// What is drawn and not posted.
    pub(super) fn unposted(&self) -> NanoUsd {
        self.slots.values().fold(NanoUsd::ZERO, |sum, slot| sum.saturating_add(slot.unposted))
    }

    /// The number of the next hold, from 1.
    pub(super) const fn number(&mut self) -> u64 {
        self.holds += 1;
        self.holds
    }

    /// Adds `more` to a hold, or nothing where there is not as much free.
    pub(super) fn grow(&mut self, parts: &mut Vec<Part>, more: NanoUsd) -> bool {
        if more > self.free() {
            return false;
        }
        let mut missing = more;
        for ((_, lease), slot) in &mut self.slots {
            let amount = slot.free().min(missing);
            if !amount.is_positive() {
                continue;
            }
            slot.held = slot.held.saturating_add(amount);
            missing = missing.saturating_sub(amount);
            match parts.iter_mut().find(|part| part.lease == *lease) {
                Some(part) => part.amount = part.amount.saturating_add(amount),
                None => parts.push(Part { lease: *lease, amount }),
            }
        }
        self.held = self.held.saturating_add(more.max(NanoUsd::ZERO));
        true
    }

    /// Ends a hold that draws nothing.
    pub(super) fn release(&mut self, parts: &[Part]) {
        for part in parts {
            if let Some(slot) = self.slot(part.lease) {
                slot.held = slot.held.saturating_sub(part.amount);
            }
        }
        self.held = self.held.saturating_sub(sum(parts));
    }

    /// Ends a hold that draws `charge`: from its own parts, then from what is free. What neither
    /// has is not among the draws.
    pub(super) fn draw(&mut self, parts: &[Part], charge: NanoUsd) -> Vec<Draw> {
        self.release(parts);
        let mut missing = charge;
        let mut draws: Vec<Draw> = Vec::with_capacity(parts.len());
        let mut ordered = parts.to_vec();
        ordered.sort_by_key(|part| self.slots.keys().position(|(_, lease)| *lease == part.lease));
        let own = ordered.into_iter().map(|part| (part.lease, part.amount));
        let rest: Vec<_> = self.slots.keys().map(|(_, lease)| (*lease, NanoUsd::MAX)).collect();
        for (lease, most) in own.chain(rest) {
            let Some(slot) = self.slot(lease) else { continue };
            let amount = slot.free().min(most).min(missing);
            if !amount.is_positive() {
                continue;
            }
            slot.drawn = slot.drawn.saturating_add(amount);
            slot.unposted = slot.unposted.saturating_add(amount);
            missing = missing.saturating_sub(amount);
            match draws.iter_mut().find(|draw| draw.lease == lease) {
                Some(draw) => draw.amount = draw.amount.saturating_add(amount),
                None => draws.push(Draw { lease, amount }),
            }
        }
        draws
    }

    /// Whether a lease is of promotional credit.
    pub(super) fn is_promo(&self, lease: LeaseId) -> bool {
        self.slots.keys().any(|(paid, id)| *id == lease && !paid)
    }

    /// The store has posted draws.
    pub(super) fn posted(&mut self, draws: &[Draw]) {
        for draw in draws {
            if let Some(slot) = self.slot(draw.lease) {
                slot.unposted = slot.unposted.saturating_sub(draw.amount);
            }
        }
    }

    /// The lease to ask for more of `account`, and the number of the part: `fresh` where there is
    /// none yet. It is known from now on, so that an answer that is lost is found again.
    pub(super) fn asks(&mut self, account: LedgerAccount, fresh: LeaseId) -> (LeaseId, u32) {
        let mut standing = self.slots.iter().filter(|(_, slot)| slot.account == account);
        if let Some(((_, lease), slot)) = standing.find(|(_, slot)| !slot.lost) {
            return (*lease, slot.parts);
        }
        self.slots.insert(key(account, fresh), Slot::new(account));
        (fresh, 0)
    }

    /// What the store says of a lease, in answer to a grant or a return.
    pub(super) fn adopt(&mut self, lease: &Lease) {
        let Some(slot) = self.slot(lease.id) else { return };
        if lease.parts < slot.parts {
            return;
        }
        slot.granted = lease.granted;
        slot.returned = lease.returned;
        slot.parts = lease.parts;
        slot.returning = slot.returning.filter(|(part, _)| *part >= lease.parts);
        slot.lost |= !lease.open;
    }

    /// The store does not know a lease as this node does: it is used no further.
    pub(super) fn lose(&mut self, lease: LeaseId) {
        if let Some(slot) = self.slot(lease) {
            slot.lost = true;
        }
    }

    /// Takes over a lease of the process before, of which exchanges that were never settled hold
    /// `held`.
    pub(super) fn inherit(&mut self, lease: &Lease, held: NanoUsd) {
        let slot = Slot {
            granted: lease.granted,
            returned: lease.returned,
            drawn: lease.used,
            held,
            parts: lease.parts,
            lost: !lease.open,
            ..Slot::new(lease.account)
        };
        self.slots.insert(key(lease.account, lease.id), slot);
        self.held = self.held.saturating_add(held);
    }

    /// What to give back so that `keep` stays free at most: a lease, the number of the part, the
    /// amount, and whether the lease is over. A return that is under way is said again first.
    pub(super) fn gives_back(&mut self, keep: NanoUsd) -> Option<Return> {
        let mut kept = NanoUsd::ZERO;
        for ((_, lease), slot) in &mut self.slots {
            if slot.lost {
                continue;
            }
            if let Some((part, amount)) = slot.returning {
                return Some(Return { lease: *lease, part, amount, close: false });
            }
            // An empty lease that was never granted has nothing to close at the store.
            let free = slot.free();
            let stays = free.min(keep.saturating_sub(kept));
            kept = kept.saturating_add(stays);
            let amount = free.saturating_sub(stays);
            let close = !keep.is_positive() && slot.is_at_rest() && slot.parts > 0;
            if close || amount.is_positive() {
                slot.returning = Some((slot.parts, amount));
                return Some(Return { lease: *lease, part: slot.parts, amount, close });
            }
        }
        None
    }

    /// Forgets leases that are over and in nobody's hands; whether none is left.
    pub(super) fn tidy(&mut self) -> bool {
        self.slots.retain(|_, slot| !(slot.is_at_rest() && (slot.lost || slot.parts == 0)));
        self.slots.is_empty()
    }

    /// Every lease as it stands.
    #[cfg(test)]
    pub(super) fn slots(&self) -> impl Iterator<Item = (LeaseId, &Slot)> {
        self.slots.iter().map(|((_, lease), slot)| (*lease, slot))
    }

    fn slot(&mut self, lease: LeaseId) -> Option<&mut Slot> {
        self.slots.iter_mut().find(|((_, id), _)| *id == lease).map(|(_, slot)| slot)
    }
}

/// What is to be given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Return {
    pub(super) lease: LeaseId,
    pub(super) part: u32,
    pub(super) amount: NanoUsd,
    pub(super) close: bool,
}

#[cfg(test)]
mod tests;
