//! How a run ends, softly on the first signal, by force on the second; and when it reloads.
//!
//! ```text
//!  SIGTERM or SIGINT ─▶ soft: no new exchanges, streams finish ─▶ all done, or the deadline ─▶ end
//!  once more         ─▶ hard: everything is dropped at once
//!  SIGHUP            ─▶ the files are read again
//! ```
//! A hard stop is also a soft one: whoever waits for `soft` wakes for both. Signals are read in one
//! place; the library itself only knows a [`Stop`].

use tokio_util::sync::CancellationToken;

/// The two ways in which a run is asked to end. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    hard: CancellationToken,
    soft: CancellationToken,
}

impl Stop {
    /// Nothing asks for an end yet.
    #[must_use]
    pub fn new() -> Self {
        let hard = CancellationToken::new();
        Self { soft: hard.child_token(), hard }
    }

    /// Asks for a soft end; the second time, for a hard one.
    pub fn escalate(&self) {
        if self.soft.is_cancelled() { self.hard.cancel() } else { self.soft.cancel() }
    }

    /// Asks for a hard end at once.
    pub fn force(&self) {
        self.hard.cancel();
    }

    /// Waits until an end is asked for, soft or hard. Cancel safe.
    pub async fn soft(&self) {
        self.soft.cancelled().await;
    }

    /// Waits until a hard end is asked for. Cancel safe.
    pub async fn hard(&self) {
        self.hard.cancelled().await;
    }

    /// Whether an end was asked for.
    #[must_use]
    pub fn is_soft(&self) -> bool {
        self.soft.is_cancelled()
    }

    /// Whether a hard end was asked for.
    #[must_use]
    pub fn is_hard(&self) -> bool {
        self.hard.is_cancelled()
    }
}

/// Turns the process's signals into stops, for as long as it is polled.
///
/// # Errors
/// What the system said when a signal could not be taken over.
pub async fn follow_signals(stop: Stop) -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    loop {
        tokio::select! {
            biased;
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!(forced = stop.is_soft(), "stopping");
        stop.escalate();
    }
}

/// Calls `reload` for every SIGHUP, for as long as it is polled. It may block.
///
/// # Errors
/// What the system said when the signal could not be taken over.
pub async fn follow_hangups(
    reload: impl Fn() + Send + Sync + 'static,
) -> std::io::Result<std::convert::Infallible> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut hangups = signal(SignalKind::hangup())?;
    let reload = std::sync::Arc::new(reload);
    loop {
        if hangups.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
        let reload = std::sync::Arc::clone(&reload);
        // One after the other: a signal that comes meanwhile is another reload.
        if tokio::task::spawn_blocking(move || reload()).await.is_err() {
            tracing::error!("a reload panicked: it may have been taken over in part");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_signal_is_soft_and_the_second_is_hard() {
        let stop = Stop::new();
        assert!(!stop.is_soft());
        stop.escalate();
        stop.soft().await;
        assert!(!stop.is_hard());
        stop.escalate();
        stop.hard().await;
        let forced = Stop::new();
        forced.force();
        forced.soft().await;
    }
}
