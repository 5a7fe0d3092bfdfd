//! When an account rests: a state machine without I/O, its time an argument.
//!
//! ```text
//!  serving ──N faults in a window──▶ paused ──time──▶ one trial ──works──▶ serving
//!                                      ▲                 └──fault──▶ paused, twice as long
//! ```
//! One error disables nothing: a provider's front end has bad moments. A trial that ends without a
//! verdict (the user left, the network failed) leaves the place to the next one.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;
use tokio::time::Instant;

/// Faults inside [`FAULT_WINDOW`] that pause an account.
pub(super) const FAULTS_TO_PAUSE: usize = 3;
/// The time inside which faults count together.
const FAULT_WINDOW: Duration = Duration::from_secs(60);
/// First pause; doubles with each failed trial.
const PAUSE_FIRST: Duration = Duration::from_secs(30);
/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(15 * 60);

/// What a provider's answer said about an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountFault {
    /// 401: the key is not accepted.
    Unauthorized,
    /// 402: the account has no credit.
    NoCredit,
    /// 429 that names the account's quota or billing, not its rate.
    QuotaExhausted,
    /// 403 about the organisation, project or region of the key.
    Forbidden,
    /// 403 about one model that the key may not use; says nothing about the rest.
    ModelForbidden,
}

impl AccountFault {
    /// The name in logs and in the status file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unauthorized => "unauthorized",
            Self::NoCredit => "no_credit",
            Self::QuotaExhausted => "quota_exhausted",
            Self::Forbidden => "forbidden",
            Self::ModelForbidden => "model_forbidden",
        }
    }

    /// Whether the fault is the whole account's, so that repetition pauses it.
    const fn is_of_whole_account(self) -> bool {
        match self {
            Self::Unauthorized | Self::NoCredit | Self::QuotaExhausted | Self::Forbidden => true,
            Self::ModelForbidden => false,
        }
    }
}

impl fmt::Display for AccountFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a verdict changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HealthChange {
    /// Nothing that anyone must hear of.
    None,
    /// The account rests from now on.
    Paused {
        /// Why.
        fault: AccountFault,
        /// For how long.
        paused_for: Duration,
    },
    /// The account serves again.
    Resumed,
}

/// As what an exchange was let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// The account serves.
    Normal,
    /// The one trial after a pause.
    Trial,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Serving,
    Paused {
        until: Instant,
        pause: Duration,
        fault: AccountFault,
    },
    Trial {
        pause: Duration,
        fault: AccountFault,
    },
}

/// One account's health.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// At most [`FAULTS_TO_PAUSE`] moments.
    faults: VecDeque<Instant>,
    state: State,
}

impl Health {
    /// Lets an exchange in, or `None` while the account rests or is being tried.
    pub(super) fn admit(&mut self, now: Instant) -> Option<Admission> {
        match self.state {
            State::Serving => Some(Admission::Normal),
            State::Paused { until, pause, fault } if now >= until => {
                self.state = State::Trial { pause, fault };
                Some(Admission::Trial)
            }
            State::Paused { .. } | State::Trial { .. } => None,
        }
    }

    pub(super) fn worked(&mut self, admission: Admission) -> HealthChange {
        match (admission, self.state) {
            (Admission::Normal, State::Serving) => self.faults.clear(),
            (Admission::Trial, State::Trial { .. }) => {
                self.faults.clear();
                self.state = State::Serving;
                return HealthChange::Resumed;
            }
            // A late success from before the pause proves nothing about now.
            (Admission::Normal | Admission::Trial, _) => {}
        }
        HealthChange::None
    }

    pub(super) fn faulted(
        &mut self,
        admission: Admission,
        fault: AccountFault,
        now: Instant,
    ) -> HealthChange {
        if !fault.is_of_whole_account() {
            // The provider knew the key: that is a working account with a forbidden model.
            return self.worked(admission);
        }
        match (admission, self.state) {
            (Admission::Normal, State::Serving) => {
                self.faults.retain(|at| now.duration_since(*at) < FAULT_WINDOW);
                self.faults.push_back(now);
                if self.faults.len() < FAULTS_TO_PAUSE {
                    return HealthChange::None;
                }
                self.pause(PAUSE_FIRST, fault, now)
            }
            (Admission::Trial, State::Trial { pause, .. }) => {
                self.pause(pause.saturating_mul(2).min(PAUSE_MAX), fault, now)
            }
            (Admission::Normal | Admission::Trial, _) => HealthChange::None,
        }
    }

    pub(super) fn undecided(&mut self, admission: Admission, now: Instant) -> HealthChange {
        if admission == Admission::Trial
            && let State::Trial { pause, fault } = self.state
        {
            self.state = State::Paused { until: now, pause, fault };
        }
        HealthChange::None
    }

    /// How long the account still rests; `None` where it serves or may be tried.
    pub(super) fn paused_for(&self, now: Instant) -> Option<Duration> {
        match self.state {
            State::Paused { until, .. } => {
                Some(until.saturating_duration_since(now)).filter(|left| !left.is_zero())
            }
            State::Serving | State::Trial { .. } => None,
        }
    }

    pub(super) const fn fault(&self) -> Option<AccountFault> {
        match self.state {
            State::Serving => None,
            State::Paused { fault, .. } | State::Trial { fault, .. } => Some(fault),
        }
    }

    fn pause(&mut self, pause: Duration, fault: AccountFault, now: Instant) -> HealthChange {
        self.faults.clear();
        self.state = State::Paused { until: now + pause, pause, fault };
        HealthChange::Paused { fault, paused_for: pause }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAULT: AccountFault = AccountFault::Unauthorized;

    fn paused(now: Instant) -> Health {
        let mut health = Health::default();
        for _ in 0..FAULTS_TO_PAUSE {
            let admission = health.admit(now).expect("serving");
            health.faulted(admission, FAULT, now);
        }
        assert_eq!(health.admit(now), None);
        health
    }

    #[test]
    fn faults_far_apart_or_between_successes_pause_nothing() {
        let mut now = Instant::now();
        let mut health = Health::default();
        for _ in 0..20 {
            assert_eq!(health.faulted(Admission::Normal, FAULT, now), HealthChange::None);
            now += FAULT_WINDOW / 2 + Duration::from_secs(1);
        }
        let mut health = Health::default();
        for _ in 0..20 {
            assert_eq!(health.faulted(Admission::Normal, FAULT, now), HealthChange::None);
            health.worked(Admission::Normal);
        }
        for _ in 0..20 {
            let change = health.faulted(Admission::Normal, AccountFault::ModelForbidden, now);
            assert_eq!(change, HealthChange::None);
        }
    }

    #[test]
    fn after_the_pause_one_is_tried_and_its_success_resumes() {
        let now = Instant::now();
        let mut health = paused(now);
        let later = now + PAUSE_FIRST;
        assert_eq!(health.admit(later - Duration::from_millis(1)), None);
        let trial = health.admit(later).expect("trial");
        assert_eq!(health.admit(later), None, "one at a time");
        assert_eq!(health.worked(trial), HealthChange::Resumed);
        assert_eq!(health.admit(later), Some(Admission::Normal));
    }

    #[test]
    fn failed_trials_lengthen_the_pause_up_to_a_limit() {
        let mut now = Instant::now();
        let mut health = paused(now);
        let mut last = PAUSE_FIRST;
        for _ in 0..12 {
            now += last;
            let trial = health.admit(now).expect("trial");
            let HealthChange::Paused { paused_for, .. } = health.faulted(trial, FAULT, now) else {
                panic!("a failed trial pauses again");
            };
            assert_eq!(paused_for, (last * 2).min(PAUSE_MAX));
            last = paused_for;
        }
        assert_eq!(last, PAUSE_MAX);
    }

    #[test]
    fn a_trial_without_a_verdict_leaves_its_place_to_the_next() {
        let now = Instant::now();
        let mut health = paused(now);
        let later = now + PAUSE_FIRST;
        let trial = health.admit(later).expect("trial");
        health.undecided(trial, later);
        assert_eq!(health.admit(later), Some(Admission::Trial));
    }

    #[test]
    fn verdicts_of_exchanges_from_before_the_pause_change_nothing() {
        let now = Instant::now();
        let mut health = paused(now);
        assert_eq!(health.worked(Admission::Normal), HealthChange::None);
        assert_eq!(health.faulted(Admission::Normal, FAULT, now), HealthChange::None);
        assert_eq!(health.admit(now), None);
    }
}
