//! The purses of all users at this node, and what they ask of the store.
//!
//! A hold that has room waits for nobody. Where there is none, one exchange of the user asks the
//! store, and the others wait for its answer. What runs low is filled up in the background.

use super::HoldRefused;
use super::orphans::Orphans;
use super::purse::{Part, Purse, Return};
use crate::config::LiveMoney;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use weft_proto::causes::causes;
use weft_proto::entropy::Entropy;
use weft_proto::ids::{LeaseId, NodeId, UserId};
use weft_proto::money::NanoUsd;
use weft_proto::time::Clock;
use weft_store::{Draw, GiveBack, Lease, LeaseWanted, Leased, LedgerAccount, Page, StoreError};

/// What a user whose running exchanges hold all of its credit is told to wait.
const IN_FLIGHT_WAIT: Duration = Duration::from_secs(1);
/// How long an answer that there is not enough is believed, so that a user without credit cannot
/// keep the store busy.
const SHORT_FOR: Duration = Duration::from_millis(250);
/// How long a user is not asked for promotional credit again who has none.
const PROMO_DRY_FOR: Duration = Duration::from_secs(10);
/// A purse with less than this part of a lease free is filled up.
const LOW_PART: i64 = 4;
/// A purse that nobody used for so long gives everything back.
const IDLE_AFTER: Duration = Duration::from_secs(30);
/// Purses that may wait to be filled up; more are filled when they are empty.
const LOW_MAX: usize = 4_096;

/// How often a hold asks the store for more, where others take what was granted.
const GRANTS_MAX: usize = 8;

/// What purses are made of.
#[derive(Debug)]
pub(super) struct Needs {
    pub(super) node: NodeId,
    pub(super) store: Arc<dyn weft_store::Ledger>,
    pub(super) money: LiveMoney,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
}

/// All purses.
#[derive(Debug)]
pub(super) struct Purses {
    needs: Needs,
    users: Mutex<BTreeMap<UserId, Arc<Pocket>>>,
    low: Mutex<BTreeSet<UserId>>,
    is_low: Notify,
}

/// One user's purse, and the order in which the store is asked about it.
#[derive(Debug)]
pub(super) struct Pocket {
    user: UserId,
    purse: Mutex<Purse>,
    used_at: Mutex<Instant>,
    /// Held while the store is asked: what is known of leases changes in one order.
    asking: tokio::sync::Mutex<Asked>,
}

/// What the store said last.
#[derive(Debug, Default)]
struct Asked {
    /// Until when there is no promotional credit.
    promo_dry: Option<Instant>,
    short: Option<Short>,
}

/// The store had less than was asked for.
#[derive(Debug, Clone, Copy)]
struct Short {
    /// Until when that is believed.
    until: Instant,
    /// What could still be leased.
    available: NanoUsd,
    /// All credit, what is in use included.
    credit: NanoUsd,
}

impl Asked {
    /// All credit of a user of whom less than `missing` can be leased, as far as is known.
    fn is_short(&self, missing: NanoUsd) -> Option<NanoUsd> {
        let short = self.short.filter(|short| short.until > Instant::now())?;
        (missing > short.available).then_some(short.credit)
    }
}

/// What a hold took.
#[derive(Debug)]
pub(super) struct Taken {
    /// The lease of the first part.
    pub(super) lease: LeaseId,
    pub(super) pocket: Arc<Pocket>,
    pub(super) parts: Vec<Part>,
    pub(super) number: u64,
}

impl Pocket {
    fn new(user: UserId) -> Self {
        Self {
            user,
            purse: Mutex::default(),
            used_at: Mutex::new(Instant::now()),
            asking: tokio::sync::Mutex::default(),
        }
    }

    /// The purse; the lock is never held across an await.
    pub(super) fn purse(&self) -> MutexGuard<'_, Purse> {
        self.purse.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn touch(&self) {
        *self.used_at.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn idle(&self) -> Duration {
        self.used_at.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }
}

impl Purses {
    pub(super) fn new(needs: Needs) -> Self {
        Self { needs, users: Mutex::default(), low: Mutex::default(), is_low: Notify::new() }
    }

    /// Holds `amount` for a user.
    pub(super) async fn hold(&self, user: UserId, amount: NanoUsd) -> Result<Taken, HoldRefused> {
        let pocket = self.pocket(user);
        pocket.touch();
        let mut parts = Vec::with_capacity(1);
        self.grow(&pocket, &mut parts, amount).await?;
        let first = parts.first().map(|part| part.lease);
        let lease = first.ok_or(HoldRefused::Unavailable)?;
        let number = pocket.purse().number();
        Ok(Taken { lease, pocket, parts, number })
    }

    /// Takes nothing for a user: under a lease that there is not, so that nothing can be drawn of it.
    pub(super) fn owe(&self, user: UserId) -> Taken {
        let pocket = self.pocket(user);
        pocket.touch();
        let lease = LeaseId::generate(&*self.needs.clock, &*self.needs.entropy);
        let number = pocket.purse().number();
        Taken { lease, pocket, parts: Vec::new(), number }
    }

    /// Adds `more` to what is held, and asks the store where there is no room.
    ///
    /// # Cancel safety
    /// A dropped call has added nothing. What it was granted is found by who asks next.
    pub(super) async fn grow(
        &self,
        pocket: &Arc<Pocket>,
        parts: &mut Vec<Part>,
        more: NanoUsd,
    ) -> Result<(), HoldRefused> {
        if self.grow_now(pocket, parts, more) {
            return Ok(());
        }
        let mut asked = pocket.asking.lock().await;
        if self.grow_now(pocket, parts, more) {
            return Ok(());
        }
        if let Some(credit) = asked.is_short(missing(pocket, more)) {
            return Err(short(more, credit));
        }
        let lease = self.needs.money.now().lease;
        // What is granted is free for everybody: others may be quicker with it.
        for _ in 0..GRANTS_MAX {
            if asked.promo_dry.is_none_or(|until| until <= Instant::now()) {
                let promo = LedgerAccount::Promo(pocket.user);
                let wanted = missing(pocket, more).max(lease);
                // Whatever there is of it is spent first.
                match self.ask(pocket, promo, wanted, NanoUsd::new(1)).await? {
                    Ok(()) => {}
                    Err(_) => asked.promo_dry = Some(Instant::now() + PROMO_DRY_FOR),
                }
            }
            let need = missing(pocket, more);
            if need.is_positive() {
                let paid = LedgerAccount::Paid(pocket.user);
                if let Err(available) = self.ask(pocket, paid, need.max(lease), need).await? {
                    let credit = self.credit(pocket).await?;
                    asked.short =
                        Some(Short { until: Instant::now() + SHORT_FOR, available, credit });
                    // Something may have ended meanwhile.
                    return match self.grow_now(pocket, parts, more) {
                        true => Ok(()),
                        false => Err(short(more, credit)),
                    };
                }
            }
            if self.grow_now(pocket, parts, more) {
                return Ok(());
            }
        }
        Err(HoldRefused::InFlight { retry_after: IN_FLIGHT_WAIT })
    }

    /// Adds `more` to what is held where there is room.
    pub(super) fn grow_now(&self, pocket: &Pocket, parts: &mut Vec<Part>, more: NanoUsd) -> bool {
        let (grown, free) = {
            let mut purse = pocket.purse();
            (purse.grow(parts, more), purse.free())
        };
        let low = NanoUsd::new(self.needs.money.now().lease.nanos() / LOW_PART);
        if grown && free < low {
            let mut waiting = self.low.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.len() < LOW_MAX && waiting.insert(pocket.user) {
                self.is_low.notify_one();
            }
        }
        grown
    }

    /// Asks the store for more of `account`; what there is where that is less than `least`.
    async fn ask(
        &self,
        pocket: &Pocket,
        account: LedgerAccount,
        wanted: NanoUsd,
        least: NanoUsd,
    ) -> Result<Result<(), NanoUsd>, HoldRefused> {
        let Needs { node, store, clock, entropy, .. } = &self.needs;
        let fresh = LeaseId::generate(&**clock, &**entropy);
        let (lease, part) = pocket.purse().asks(account, fresh);
        let asked =
            LeaseWanted { lease, part, account, node: *node, wanted, least, at: clock.now() };
        match store.lease(&asked).await {
            Ok(Leased::Granted(lease)) => {
                pocket.purse().adopt(&lease);
                Ok(Ok(()))
            }
            Ok(Leased::Short { available }) => Ok(Err(available)),
            Err(error @ StoreError::Conflict { .. }) => {
                tracing::error!(%error, %lease, "a lease is not what this node knew; it is left");
                pocket.purse().lose(lease);
                Err(HoldRefused::Unavailable)
            }
            Err(error) => {
                tracing::warn!(error = %causes(&error), "no lease could be taken");
                Err(HoldRefused::Unavailable)
            }
        }
    }

    /// All credit of a user, what is held of it included, what is spent and not posted left out.
    async fn credit(&self, pocket: &Pocket) -> Result<NanoUsd, HoldRefused> {
        let mut credit = NanoUsd::ZERO.saturating_sub(pocket.purse().unposted());
        for account in [LedgerAccount::Paid(pocket.user), LedgerAccount::Promo(pocket.user)] {
            let balance = self.needs.store.balance(account).await;
            let balance = balance.map_err(|_| HoldRefused::Unavailable)?;
            credit = credit.saturating_add(balance.posted());
        }
        Ok(credit)
    }

    /// Waits until purses run low, and fills them up, for ever.
    ///
    /// # Cancel safety
    /// What was asked when it was dropped is found by who asks next.
    pub(super) async fn keep_filled(&self) {
        loop {
            self.is_low.notified().await;
            loop {
                let next = self.low.lock().unwrap_or_else(PoisonError::into_inner).pop_first();
                let Some(user) = next else { break };
                let pocket = self.pocket(user);
                let mut asked = pocket.asking.lock().await;
                let lease = self.needs.money.now().lease;
                let missing = lease.saturating_sub(pocket.purse().free());
                if !missing.is_positive() || asked.is_short(NanoUsd::new(1)).is_some() {
                    continue;
                }
                let paid = LedgerAccount::Paid(user);
                match self.ask(&pocket, paid, missing, NanoUsd::new(1)).await {
                    Ok(Ok(())) | Err(_) => {}
                    // Nothing is left to take: who asks for it is told without the store.
                    Ok(Err(available)) => {
                        if let Ok(credit) = self.credit(&pocket).await {
                            let until = Instant::now() + SHORT_FOR;
                            asked.short = Some(Short { until, available, credit });
                        }
                    }
                }
            }
        }
    }

    /// Gives back what is not used: all of a purse that was idle, and what is far too much of one
    /// that was not.
    ///
    /// # Cancel safety
    /// Not cancel safe for the purse that is being emptied: its return is said again.
    pub(super) async fn give_back_idle(&self) {
        let pockets: Vec<_> = self.users().values().cloned().collect();
        for pocket in pockets {
            if pocket.idle() < IDLE_AFTER {
                continue;
            }
            self.give_back(&pocket).await;
        }
    }

    /// Gives back everything that nobody holds, for the stop.
    pub(super) async fn close(&self) {
        let pockets: Vec<_> = self.users().values().cloned().collect();
        for pocket in pockets {
            self.give_back(&pocket).await;
        }
    }

    async fn give_back(&self, pocket: &Arc<Pocket>) {
        let asked = pocket.asking.lock().await;
        loop {
            let next = pocket.purse().gives_back(NanoUsd::ZERO);
            let Some(Return { lease, part, amount, close }) = next else { break };
            let at = self.needs.clock.now();
            let back = GiveBack { lease, part, amount, close, at };
            match self.needs.store.give_back(&back).await {
                Ok(lease) => pocket.purse().adopt(&lease),
                Err(StoreError::NotFound { .. }) => pocket.purse().lose(lease),
                Err(error) => {
                    tracing::warn!(error = %causes(&error), %lease, "a lease could not be returned");
                    break;
                }
            }
        }
        drop(asked);
        let mut users = self.users();
        // Nobody else has it: whoever asks for the user makes a new one.
        let is_ours = Arc::strong_count(pocket) <= 2;
        if pocket.purse().tidy() && is_ours {
            users.remove(&pocket.user);
        }
    }

    /// Closes leases of other nodes that nobody has changed for so long that their nodes cannot have
    /// claims open any more; how many there were. A node that lives all the same loses nothing: what
    /// it draws is owed by the balance.
    pub(super) async fn reclaim(&self) -> Result<usize, StoreError> {
        let Needs { node, store, money, clock, .. } = &self.needs;
        let (now, window) = (clock.now(), money.now().claim_window);
        let mut page = Page::first();
        let mut closed = 0;
        loop {
            let leases = store.open_leases(None, page).await?;
            let Some(last) = leases.last() else { return Ok(closed) };
            page = page.next(last.id);
            for lease in leases {
                if lease.node == *node || lease.changed_at.after(window * 2) > now {
                    continue;
                }
                let amount = lease.rest();
                let part = lease.parts;
                let back = GiveBack { lease: lease.id, part, amount, close: true, at: now };
                closed += usize::from(!store.give_back(&back).await?.open);
            }
        }
    }

    /// Takes over the leases of the process before: what its orphans hold stays, the rest goes back.
    pub(super) async fn inherit(&self, orphans: &Orphans) -> Result<(), StoreError> {
        let mut held = orphans.held_by_lease();
        let mut page = Page::first();
        loop {
            let leases = self.needs.store.open_leases(Some(self.needs.node), page).await?;
            let Some(last) = leases.last() else { break };
            page = page.next(last.id);
            for lease in &leases {
                let held = held.remove(&lease.id).unwrap_or_default().min(lease.rest());
                self.inherit_one(lease, held).await?;
            }
        }
        Ok(())
    }

    async fn inherit_one(&self, lease: &Lease, held: NanoUsd) -> Result<(), StoreError> {
        let back = GiveBack {
            lease: lease.id,
            part: lease.parts,
            amount: lease.rest().saturating_sub(held),
            close: !held.is_positive(),
            at: self.needs.clock.now(),
        };
        let stands = self.needs.store.give_back(&back).await?;
        let user = match lease.account {
            LedgerAccount::Paid(user) | LedgerAccount::Promo(user) => user,
            LedgerAccount::House(_) | LedgerAccount::Vesting(_) | LedgerAccount::Wallet(_) => {
                return Ok(());
            }
        };
        if stands.open {
            self.pocket(user).purse().inherit(&stands, held);
        }
        Ok(())
    }

    /// The purse of a user, made where there is none.
    pub(super) fn pocket(&self, user: UserId) -> Arc<Pocket> {
        let mut users = self.users();
        Arc::clone(users.entry(user).or_insert_with(|| Arc::new(Pocket::new(user))))
    }

    /// What of draws is promotional credit.
    pub(super) fn promo_in(&self, user: UserId, draws: &[Draw]) -> NanoUsd {
        let pocket = self.pocket(user);
        let purse = pocket.purse();
        draws
            .iter()
            .filter(|draw| purse.is_promo(draw.lease))
            .fold(NanoUsd::ZERO, |sum, draw| sum.saturating_add(draw.amount))
    }

    /// What all users hold now, and how many purses there are.
    pub(super) fn held(&self) -> (NanoUsd, usize) {
        let users = self.users();
        let held = users
            .values()
            .fold(NanoUsd::ZERO, |sum, pocket| sum.saturating_add(pocket.purse().held()));
        (held, users.len())
    }

    fn users(&self) -> MutexGuard<'_, BTreeMap<UserId, Arc<Pocket>>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What of `more` is not free.
fn missing(pocket: &Pocket, more: NanoUsd) -> NanoUsd {
    more.saturating_sub(pocket.purse().free())
}

/// Whether it is the credit that is not enough, or what is left of it.
fn short(wanted: NanoUsd, credit: NanoUsd) -> HoldRefused {
    match wanted <= credit {
        true => HoldRefused::InFlight { retry_after: IN_FLIGHT_WAIT },
        false => HoldRefused::Insufficient { available: credit },
    }
}

#[cfg(test)]
mod tests;
