//! Whether this node wants work: not while it stops, and not while its store is silent.

use super::Tasks;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use weft_store::Store;

/// How long an answer of the store counts, seconds: strangers may ask as often as they like.
const STORE_ANSWER_SECONDS: u64 = 1;
/// How long the store may take to answer, seconds.
const STORE_PATIENCE_SECONDS: u64 = 2;

/// Tells balancers whether to send work here. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Readiness {
    tasks: Tasks,
    store: Arc<dyn Store>,
    last: Arc<Mutex<Option<(Instant, bool)>>>,
}

/// Why a node wants no work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    /// It was asked to stop.
    #[error("the hub is stopping")]
    Stopping,
    /// Its store does not answer.
    #[error("the store does not answer")]
    Store,
}

impl Readiness {
    /// The readiness of a node with these tasks and this store.
    #[must_use]
    pub fn new(tasks: Tasks, store: Arc<dyn Store>) -> Self {
        Self { tasks, store, last: Arc::default() }
    }

    /// Whether the node wants work now.
    ///
    /// # Errors
    /// [`NotReady`] with the reason.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn check(&self) -> Result<(), NotReady> {
        if self.tasks.is_stopping() {
            return Err(NotReady::Stopping);
        }
        let fresh = Duration::from_secs(STORE_ANSWER_SECONDS);
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let answers = match last {
            Some((at, answers)) if at.elapsed() < fresh => answers,
            Some(_) | None => {
                let patience = Duration::from_secs(STORE_PATIENCE_SECONDS);
                let answered = tokio::time::timeout(patience, self.store.ping()).await;
                let answers = matches!(answered, Ok(Ok(())));
                let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
                *last = Some((Instant::now(), answers));
                answers
            }
        };
        if answers { Ok(()) } else { Err(NotReady::Store) }
    }
}
