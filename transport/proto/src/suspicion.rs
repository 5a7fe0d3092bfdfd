//! Is the agent still there? A killed process sends nothing over QUIC, so silence must be asked.
//!
//! While an exchange is in flight and nothing was heard for [`PING_AFTER`], one PING goes out. No
//! word within `max(4 × round trip, 200 ms)` makes the tunnel *suspect*: new requests go elsewhere.
//! Any word clears it. [`DEAD_AFTER`] from the PING without a word makes it dead: its streams are
//! reset and the connection closes. An idle tunnel is never asked: an agent on battery sleeps.
//!
//! Times are durations since the tunnel began, by a clock that never goes back.

use crate::limits::{DEAD_AFTER, PING_AFTER, SUSPECT_AFTER_MIN};
use std::time::Duration;

/// What one look at the clock asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Nothing to do before this moment; `None` means until something happens.
    Wait(Option<Duration>),
    /// Send a PING with this number, then look again.
    Ping(u64),
    /// The tunnel has just become suspect; look again.
    Suspect,
    /// The agent is gone: reset the streams, close the connection.
    Dead,
}

/// Watches one tunnel.
#[derive(Debug, Clone)]
pub struct Suspicion {
    in_flight: usize,
    heard_at: Duration,
    armed_at: Duration,
    asked: Option<Asked>,
    next_nonce: u64,
}

#[derive(Debug, Clone, Copy)]
struct Asked {
    at: Duration,
    suspect_at: Duration,
    suspect: bool,
}

impl Suspicion {
    /// A fresh tunnel at moment `now`.
    #[must_use]
    pub const fn new(now: Duration) -> Self {
        Self { in_flight: 0, heard_at: now, armed_at: now, asked: None, next_nonce: 1 }
    }

    /// An exchange was dispatched. Says whether it is the only one in flight: then the next look
    /// may be due earlier than the last one said.
    pub const fn dispatched(&mut self, now: Duration) -> bool {
        self.in_flight += 1;
        // The first unanswered dispatch starts the wait; later ones must not push it out.
        let only = self.in_flight == 1;
        if only {
            self.armed_at = now;
        }
        only
    }

    /// An exchange ended, however.
    pub const fn ended(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// Something was heard of the agent: a PONG, an answer's head or bytes, a reset.
    pub const fn heard(&mut self, now: Duration) {
        self.heard_at = now;
        self.asked = None;
    }

    /// Whether new exchanges should go elsewhere.
    #[must_use]
    pub fn is_suspect(&self) -> bool {
        self.asked.is_some_and(|asked| asked.suspect)
    }

    /// Looks at the clock. `round_trip` is the path's current estimate.
    pub fn look(&mut self, now: Duration, round_trip: Duration) -> Look {
        match &mut self.asked {
            None if self.in_flight == 0 => Look::Wait(None),
            None => {
                let ask_at = self.heard_at.max(self.armed_at) + PING_AFTER;
                if now < ask_at {
                    return Look::Wait(Some(ask_at));
                }
                let wait = round_trip.saturating_mul(4).max(SUSPECT_AFTER_MIN);
                self.asked = Some(Asked { at: now, suspect_at: now + wait, suspect: false });
                self.next_nonce += 1;
                Look::Ping(self.next_nonce - 1)
            }
            Some(asked) => {
                let dead_at = asked.at + DEAD_AFTER;
                if now >= dead_at {
                    Look::Dead
                } else if !asked.suspect && now >= asked.suspect_at {
                    asked.suspect = true;
                    Look::Suspect
                } else if asked.suspect {
                    Look::Wait(Some(dead_at))
                } else {
                    Look::Wait(Some(asked.suspect_at.min(dead_at)))
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_killed_agent_is_suspect_within_300_ms_of_its_last_word_and_dead_within_5_1_s() {
        let mut tunnel = Suspicion::new(ms(0));
        tunnel.dispatched(ms(10));
        tunnel.heard(ms(50));
        assert_eq!(tunnel.look(ms(60), ms(1)), Look::Wait(Some(ms(150))));
        assert_eq!(tunnel.look(ms(150), ms(1)), Look::Ping(1));
        assert_eq!(tunnel.look(ms(150), ms(1)), Look::Wait(Some(ms(350))));
        assert!(!tunnel.is_suspect());
        assert_eq!(tunnel.look(ms(350), ms(1)), Look::Suspect);
        assert!(tunnel.is_suspect());
        assert_eq!(tunnel.look(ms(350), ms(1)), Look::Wait(Some(ms(5_150))));
        assert_eq!(tunnel.look(ms(5_150), ms(1)), Look::Dead);
    }

    #[test]
    fn a_late_pong_clears_the_suspicion() {
        let mut tunnel = Suspicion::new(ms(0));
        tunnel.dispatched(ms(0));
        assert_eq!(tunnel.look(ms(100), ms(300)), Look::Ping(1));
        assert_eq!(tunnel.look(ms(1_300), ms(300)), Look::Suspect);
        tunnel.heard(ms(1_400));
        assert!(!tunnel.is_suspect());
        assert_eq!(tunnel.look(ms(1_400), ms(300)), Look::Wait(Some(ms(1_500))));
    }

    #[test]
    fn an_idle_tunnel_is_never_asked() {
        let mut tunnel = Suspicion::new(ms(0));
        assert_eq!(tunnel.look(ms(1_000_000), ms(1)), Look::Wait(None));
        tunnel.dispatched(ms(1_000_000));
        tunnel.ended();
        assert_eq!(tunnel.look(ms(2_000_000), ms(1)), Look::Wait(None));
    }

    proptest! {
        /// Whatever happens, a look never asks for a moment that has passed: the loop that obeys it
        /// always makes progress.
        #[test]
        fn looks_always_make_progress(steps in proptest::collection::vec((0u8..4, 0u64..800), 1..200)) {
            let (mut tunnel, mut now) = (Suspicion::new(ms(0)), ms(0));
            for (step, advance) in steps {
                now += ms(advance);
                match step {
                    0 => drop(tunnel.dispatched(now)),
                    1 => tunnel.ended(),
                    2 => tunnel.heard(now),
                    _ => {}
                }
                let mut turns = 0;
                loop {
                    turns += 1;
                    prop_assert!(turns < 5);
                    match tunnel.look(now, ms(20)) {
                        Look::Wait(until) => {
                            prop_assert!(until.is_none_or(|until| until > now));
                            break;
                        }
                        Look::Dead => return Ok(()),
                        Look::Ping(_) | Look::Suspect => {}
                    }
                }
            }
        }
    }
}
