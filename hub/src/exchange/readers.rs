//! Users that take nothing: their exchanges are cut after the stall limit.
//!
//! A body whose user takes nothing is not polled, so it cannot look at the clock itself. One sweep
//! looks at all of them: an answer that nobody is reading from at the moment, and that was not
//! touched for the limit, is stalled. One that waits for its provider is being read from: its lock
//! is held.

use super::relay::{Cut, Relay};
use bytes::Bytes;
use http_body::Frame;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::time::Instant;

/// How often the sweep looks.
const SWEEP: Duration = Duration::from_secs(1);

/// All answers under way.
#[derive(Debug)]
pub(super) struct Readers {
    began: Instant,
    all: Mutex<Vec<Weak<Reading>>>,
}

/// One answer under way, as its user and the sweep share it.
pub(super) struct Reading {
    began: Instant,
    /// When the user last asked for more, in milliseconds since `began`.
    asked_ms: AtomicU64,
    state: tokio::sync::Mutex<State>,
}

enum State {
    /// Boxed: a dead entry of the sweep's list must not hold it.
    Running(Box<Relay>),
    Stalled(Cut),
}

impl std::fmt::Debug for Reading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reading").field("asked_ms", &self.asked_ms).finish_non_exhaustive()
    }
}

impl Default for Readers {
    fn default() -> Self {
        Self { began: Instant::now(), all: Mutex::default() }
    }
}

impl Readers {
    /// Watches over the reader of `relay`.
    pub(super) fn watch(&self, relay: Relay) -> Arc<Reading> {
        let reading = Arc::new(Reading {
            began: self.began,
            asked_ms: AtomicU64::new(millis(self.began)),
            state: tokio::sync::Mutex::new(State::Running(Box::new(relay))),
        });
        self.lock().push(Arc::downgrade(&reading));
        reading
    }

    /// Looks at all answers again and again; cuts those whose user took nothing for `limit`.
    pub(super) async fn sweep(&self, limit: Duration) {
        let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        loop {
            tokio::time::sleep(SWEEP).await;
            let now = millis(self.began);
            self.lock().retain(|reading| {
                let Some(reading) = reading.upgrade() else {
                    return false;
                };
                reading.look(now, limit_ms)
            });
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Weak<Reading>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reading {
    /// The next frame for the user.
    pub(super) async fn next(&self) -> Result<Option<Frame<Bytes>>, Cut> {
        let mut state = self.state.lock().await;
        let next = match &mut *state {
            State::Running(relay) => relay.next().await,
            State::Stalled(cut) => Err(*cut),
        };
        // From here on it is the user's turn.
        self.asked_ms.store(millis(self.began), Ordering::Relaxed);
        next
    }

    /// Whether the sweep should look again.
    fn look(&self, now_ms: u64, limit_ms: u64) -> bool {
        let idle_ms = now_ms.saturating_sub(self.asked_ms.load(Ordering::Relaxed));
        if idle_ms < limit_ms {
            return true;
        }
        // A lock that is held: the answer is being read from, and the provider is the slow one.
        let Ok(mut state) = self.state.try_lock() else {
            return true;
        };
        if let State::Running(relay) = &mut *state {
            let cut = relay.stalled();
            *state = State::Stalled(cut);
        }
        false
    }
}

fn millis(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)
}
