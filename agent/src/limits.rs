//! The agent's last line: how much an account may do at a time, and when it rests.
//!
//! Nothing queues here. An exchange is let in with a [`Pass`] or refused at once, and a pass that is
//! dropped without a verdict says nothing about the account: a user who goes away, or a network
//! that fails, is not the account's fault.

mod health;

pub use health::{AccountFault, HealthChange};

use health::{Admission, Health};
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use weft_proto::ids::AccountId;

/// Why an exchange is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAdmitted {
    /// As many exchanges run as the account's owner allows.
    #[error("the account is busy")]
    Busy,
    /// The provider's answers said that the account does not work; it rests.
    #[error("the account is paused")]
    Paused,
}

/// One account's figures, for `status` and for the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountLoad {
    /// Exchanges that run now.
    pub in_flight: u32,
    /// How long the account still rests, if it does.
    pub paused_for: Option<Duration>,
    /// What the account was paused for, while it is.
    pub fault: Option<AccountFault>,
}

#[derive(Debug, Default)]
struct Slot {
    in_flight: u32,
    health: Health,
}

/// The limits of all accounts of this agent.
#[derive(Debug, Clone)]
pub struct AccountLimits {
    slots: Arc<Mutex<BTreeMap<AccountId, Slot>>>,
    /// Counts changes of any account's health, so that tunnels can tell their hubs.
    changes: watch::Sender<u64>,
}

impl Default for AccountLimits {
    fn default() -> Self {
        Self { slots: Arc::default(), changes: watch::Sender::new(0) }
    }
}

impl AccountLimits {
    /// Lets one exchange in, or says at once why not.
    ///
    /// # Errors
    /// [`NotAdmitted`]; nothing waits.
    pub fn admit(&self, account: AccountId, max: NonZeroU32) -> Result<Pass, NotAdmitted> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = slots.entry(account).or_default();
        if slot.in_flight >= max.get() {
            return Err(NotAdmitted::Busy);
        }
        let admission = slot.health.admit(Instant::now()).ok_or(NotAdmitted::Paused)?;
        slot.in_flight += 1;
        Ok(Pass { limits: self.clone(), account, admission: Some(admission) })
    }

    /// The figures of one account.
    #[must_use]
    pub fn load(&self, account: AccountId) -> AccountLoad {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.get(&account).map_or(
            AccountLoad { in_flight: 0, paused_for: None, fault: None },
            |slot| AccountLoad {
                in_flight: slot.in_flight,
                paused_for: slot.health.paused_for(Instant::now()),
                fault: slot.health.fault(),
            },
        )
    }

    /// Exchanges that run now on all accounts.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.values().map(|slot| u64::from(slot.in_flight)).sum()
    }

    /// Forgets accounts that are gone. One that still runs exchanges stays until they end.
    pub fn retain(&self, known: &[AccountId]) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|id, slot| slot.in_flight > 0 || known.contains(id));
    }

    /// Lets an account serve again at once, whatever it was paused for: its owner changed it.
    pub fn forgive(&self, account: AccountId) {
        {
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(slot) = slots.get_mut(&account) else {
                return;
            };
            slot.health = Health::default();
        }
        self.changes.send_modify(|count| *count += 1);
    }

    /// Wakes whenever an account pauses or serves again.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn judge(&self, account: AccountId, admission: Admission, verdict: Verdict) {
        let change = {
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(slot) = slots.get_mut(&account) else {
                return;
            };
            let now = Instant::now();
            match verdict {
                Verdict::Nothing => slot.health.undecided(admission, now),
                Verdict::Works => slot.health.worked(admission),
                Verdict::Fault(fault) => slot.health.faulted(admission, fault, now),
            }
        };
        match change {
            HealthChange::None => {}
            HealthChange::Resumed => {
                tracing::info!(%account, "account serves again");
                self.changes.send_modify(|count| *count += 1);
            }
            HealthChange::Paused { fault, paused_for } => {
                tracing::warn!(%account, %fault, ?paused_for, "account paused");
                self.changes.send_modify(|count| *count += 1);
            }
        }
    }

    fn release(&self, account: AccountId) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get_mut(&account) {
            slot.in_flight = slot.in_flight.saturating_sub(1);
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Verdict {
    Nothing,
    Works,
    Fault(AccountFault),
}

/// The right to run one exchange on one account. Dropping it gives the place back.
#[derive(Debug)]
#[must_use = "the place is given back when this is dropped"]
pub struct Pass {
    limits: AccountLimits,
    account: AccountId,
    admission: Option<Admission>,
}

impl Pass {
    /// The provider answered in a way that shows the account to work.
    pub fn works(&mut self) {
        self.judge(Verdict::Works);
    }

    /// The provider's answer was about the account.
    pub fn faulted(&mut self, fault: AccountFault) {
        self.judge(Verdict::Fault(fault));
    }

    /// Gives the verdict once, and keeps the place until the drop.
    fn judge(&mut self, verdict: Verdict) {
        if let Some(admission) = self.admission.take() {
            self.limits.judge(self.account, admission, verdict);
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.judge(Verdict::Nothing);
        self.limits.release(self.account);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_proto::entropy::SeededEntropy;
    use weft_proto::time::{ManualClock, Timestamp};

    fn id(seed: u64) -> AccountId {
        let clock = ManualClock::new(Timestamp::from_secs(1));
        AccountId::generate(&clock, &SeededEntropy::new(seed))
    }

    const TWO: NonZeroU32 = NonZeroU32::new(2).unwrap();

    #[test]
    fn a_full_account_refuses_at_once_and_a_dropped_pass_makes_room() {
        let limits = AccountLimits::default();
        let first = limits.admit(id(1), TWO).expect("room");
        let mut second = limits.admit(id(1), TWO).expect("room");
        assert_eq!(limits.admit(id(1), TWO).err(), Some(NotAdmitted::Busy));
        assert!(limits.admit(id(2), TWO).is_ok(), "another account has its own places");
        second.works();
        assert_eq!(limits.in_flight(), 2, "a verdict does not give the place back");
        drop(second);
        drop(first);
        assert_eq!(limits.in_flight(), 0);
        limits.retain(&[]);
        assert!(limits.admit(id(1), TWO).is_ok());
    }

    #[test]
    fn an_account_that_its_owner_changed_serves_again_and_the_hub_can_hear_of_it() {
        let limits = AccountLimits::default();
        for _ in 0..health::FAULTS_TO_PAUSE {
            limits.admit(id(1), TWO).expect("room").faulted(AccountFault::Unauthorized);
        }
        assert_eq!(limits.admit(id(1), TWO).err(), Some(NotAdmitted::Paused));
        let changes = limits.changes();
        limits.forgive(id(1));
        assert!(changes.has_changed().expect("open"));
        assert!(limits.admit(id(1), TWO).is_ok());
        limits.forgive(id(2));
    }

    #[test]
    fn one_fault_pauses_nothing_and_three_in_a_row_do() {
        let limits = AccountLimits::default();
        let changes = limits.changes();
        for _ in 0..health::FAULTS_TO_PAUSE {
            assert!(limits.load(id(1)).paused_for.is_none());
            limits.admit(id(1), TWO).expect("room").faulted(AccountFault::Unauthorized);
        }
        assert_eq!(limits.admit(id(1), TWO).err(), Some(NotAdmitted::Paused));
        assert_eq!(limits.load(id(1)).fault, Some(AccountFault::Unauthorized));
        assert!(changes.has_changed().expect("sender lives"));
    }
}
