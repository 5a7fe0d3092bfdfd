//! Whose turn it is on one h2 or h3 stream: the hub's, to make more of the answer, or the user's, to take
//! what was made.
//!
//! A stream whose window the user keeps shut is not polled for its body, so nothing inside the body
//! can end it, and hyper keeps its task for as long as the connection lives. The turn is watched
//! beside the stream's task; one that stays the user's for too long ends the task, which resets the
//! stream and no other. The answer itself is cut and recorded earlier, by the exchange.

use super::STALL_GRACE;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

tokio::task_local! {
    /// The turn of the stream that the current task is.
    static CURRENT: Turn;
}

/// Whose turn it is. Clones are the same turn.
#[derive(Debug, Clone)]
pub(super) struct Turn(Arc<State>);

#[derive(Debug)]
struct State {
    began: Instant,
    /// Milliseconds from `began` to when it became the user's turn, plus one; 0 while it is the
    /// hub's.
    users_since_ms: AtomicU64,
}

impl Default for Turn {
    fn default() -> Self {
        Self(Arc::new(State { began: Instant::now(), users_since_ms: AtomicU64::new(0) }))
    }
}

impl Turn {
    /// The turn of the stream that this task is; one that nobody watches elsewhere.
    pub(super) fn current() -> Self {
        CURRENT.try_with(Self::clone).unwrap_or_default()
    }

    /// Runs one stream to its end; `None` where its user took nothing for `stall_max` and a
    /// little more: it was dropped then.
    pub(super) async fn watch<F: Future>(stall_max: Duration, stream: F) -> Option<F::Output> {
        let turn = Self::default();
        let stalled = turn.clone();
        tokio::select! {
            biased;
            output = CURRENT.scope(turn, stream) => Some(output),
            () = stalled.stays_with_the_user(stall_max + STALL_GRACE) => None,
        }
    }

    /// The hub has nothing to give at the moment.
    pub(super) fn is_the_hubs(&self) {
        self.0.users_since_ms.store(0, Ordering::Relaxed);
    }

    /// The user was given something to take.
    pub(super) fn is_the_users(&self) {
        self.0.users_since_ms.store(self.now_ms() + 1, Ordering::Relaxed);
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.0.began.elapsed().as_millis()).unwrap_or(u64::MAX - 1)
    }

    /// Looks once in a while, not at every turn: noticed after at most twice the limit.
    async fn stays_with_the_user(&self, limit: Duration) {
        loop {
            let rest = match self.0.users_since_ms.load(Ordering::Relaxed) {
                0 => limit,
                since => {
                    let taken = Duration::from_millis((self.now_ms() + 1).saturating_sub(since));
                    match limit.checked_sub(taken) {
                        Some(rest) if !rest.is_zero() => rest,
                        Some(_) | None => return,
                    }
                }
            };
            tokio::time::sleep(rest).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STALL_MAX: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_stays_with_its_user_is_dropped() {
        let began = Instant::now();
        let ended = Turn::watch(STALL_MAX, async {
            Turn::current().is_the_users();
            std::future::pending::<()>().await;
        });
        assert_eq!(ended.await, None);
        assert!((STALL_MAX..=(STALL_MAX + STALL_GRACE) * 2).contains(&began.elapsed()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_waits_for_its_provider_or_whose_user_takes_is_left_alone() {
        let taken = Turn::watch(STALL_MAX, async {
            let turn = Turn::current();
            turn.is_the_users();
            turn.is_the_hubs();
            tokio::time::sleep(STALL_MAX * 20).await;
            for _ in 0..20 {
                turn.is_the_users();
                tokio::time::sleep(STALL_MAX / 2).await;
            }
        });
        assert_eq!(taken.await, Some(()));
    }
}
