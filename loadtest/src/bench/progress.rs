//! Says on standard error what a bench is doing, with the time since its start.

use std::cell::RefCell;
use tokio::time::{Duration, Instant};

/// The shortest time between two words about the same thing.
const EVERY: Duration = Duration::from_secs(2);

/// Tells whoever waits.
#[derive(Debug)]
pub(crate) struct Progress {
    began: Instant,
    last: RefCell<Instant>,
}

impl Progress {
    /// Starts the clock.
    pub(crate) fn start() -> Self {
        let now = Instant::now();
        Self { began: now, last: RefCell::new(now) }
    }

    /// Says what begins now.
    pub(crate) fn say(&self, what: &str) {
        self.last.replace(Instant::now());
        eprintln!("bench {:6.1} s  {what}", self.began.elapsed().as_secs_f64());
    }

    /// Says how far it has come, unless something was said a moment ago.
    pub(crate) fn tick(&self, what: impl FnOnce() -> String) {
        if self.last.borrow().elapsed() >= EVERY {
            self.say(&what());
        }
    }

    /// Time since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }
}
