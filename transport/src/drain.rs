//! Who holds a guard holds the door open: counts what is in flight, and waits until nothing is.

use std::sync::Arc;
use tokio::sync::watch;

/// Counts things in flight. Clones share the count.
#[derive(Debug, Clone)]
pub struct InFlight(Arc<watch::Sender<usize>>);

/// One thing in flight, until it is dropped.
#[derive(Debug)]
#[must_use = "a dropped guard is no longer in flight"]
pub struct InFlightGuard(Arc<watch::Sender<usize>>);

impl Default for InFlight {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }
}

impl InFlight {
    /// Counts one more until the guard is dropped.
    pub fn enter(&self) -> InFlightGuard {
        self.0.send_modify(|count| *count += 1);
        InFlightGuard(Arc::clone(&self.0))
    }

    /// How many are in flight now.
    #[must_use]
    pub fn count(&self) -> usize {
        *self.0.borrow()
    }

    /// Waits until none is in flight. Stop letting new ones in first.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn idle(&self) {
        // The sender lives in `self`: the wait cannot fail.
        drop(self.0.subscribe().wait_for(|count| *count == 0).await);
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}
