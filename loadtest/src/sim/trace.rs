//! What happened, in order: the same seed must give the same lines.

use sha2::{Digest, Sha256};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Records events. Clones write to the same trace.
#[derive(Debug, Clone)]
pub(super) struct Trace(Arc<Mutex<Lines>>);

#[derive(Debug)]
struct Lines {
    hash: Sha256,
    count: u64,
    kept: Option<Vec<String>>,
}

impl Trace {
    /// An empty trace; `keep` keeps the text as well as its hash.
    pub(super) fn new(keep: bool) -> Self {
        Self(Arc::new(Mutex::new(Lines {
            hash: Sha256::new(),
            count: 0,
            kept: keep.then(Vec::new),
        })))
    }

    /// Records that `who` did `what` now, by the simulation's time.
    pub(super) fn event(&self, who: &str, what: fmt::Arguments<'_>) {
        self.event_at(turmoil::sim_elapsed().unwrap_or_default(), who, what);
    }

    /// The same, at a moment that is known better.
    pub(super) fn event_at(&self, at: Duration, who: &str, what: fmt::Arguments<'_>) {
        let line = format!("{:>12} {who} {what}", at.as_micros());
        let mut lines = self.lines();
        lines.hash.update(line.as_bytes());
        lines.hash.update(b"\n");
        lines.count += 1;
        if let Some(kept) = &mut lines.kept {
            kept.push(line);
        }
    }

    /// How many events there were, the SHA-256 over all their lines in hexadecimal, and the lines
    /// where they were kept.
    pub(super) fn read(&self) -> (u64, String, Vec<String>) {
        let lines = self.lines();
        let hash = lines.hash.clone().finalize();
        let hex = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        (lines.count, hex, lines.kept.clone().unwrap_or_default())
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
