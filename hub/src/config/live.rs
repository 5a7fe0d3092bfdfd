//! The limits in force, as rooms see them: asked for where they are needed, never kept.

use super::Limits;
use std::sync::{Arc, PoisonError, RwLock};

/// The limits in force. Cheap to clone; every clone tells the same.
///
/// Who takes them with [`LiveLimits::now`] holds one consistent set, which a reload does not change
/// under its hands: a connection or an exchange keeps to what it began with, or asks again.
#[derive(Debug, Clone)]
pub struct LiveLimits(Arc<RwLock<Arc<Limits>>>);

impl LiveLimits {
    /// Limits that are `limits` until something else is put in force.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(limits))))
    }

    /// The limits as they are now.
    #[must_use]
    pub fn now(&self) -> Arc<Limits> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts `limits` in force for whoever asks from now on.
    pub fn replace(&self, limits: Limits) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(limits);
    }
}
