//! The settings in force, as rooms see them: asked for where they are needed, never kept.

use super::{Limits, Money};
use std::sync::{Arc, PoisonError, RwLock};

/// Settings in force. Cheap to clone; every clone tells the same.
///
/// Who takes them with [`Live::now`] holds one consistent set, which a reload does not change under
/// its hands: a connection or an exchange keeps to what it began with, or asks again.
#[derive(Debug)]
pub struct Live<T>(Arc<RwLock<Arc<T>>>);

/// The limits in force.
pub type LiveLimits = Live<Limits>;

/// How the hub charges now.
pub type LiveMoney = Live<Money>;

impl<T> Clone for Live<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Live<T> {
    /// Settings that are `settings` until something else is put in force.
    #[must_use]
    pub fn new(settings: T) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(settings))))
    }

    /// The settings as they are now.
    #[must_use]
    pub fn now(&self) -> Arc<T> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts `settings` in force for whoever asks from now on.
    pub fn replace(&self, settings: T) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
    }
}
