//! How long a peer that lost its tunnel waits before it dials again: exponential with full jitter,
//! so that ten thousand agents that lost one hub do not come back in one instant.

use crate::entropy::Entropy;
use crate::limits::{BACKOFF_FIRST, BACKOFF_MAX};
use std::time::Duration;

/// The back-off of one dialling peer. It never gives up.
#[derive(Debug, Clone, Default)]
pub struct Backoff {
    failures: u32,
    asked: Duration,
}

impl Backoff {
    /// The wait before the next try: a random share of `500 ms × 2ⁿ`, at most 60 s, and never less
    /// than the hub asked for. What the hub asked for is jittered upwards by up to its half.
    pub fn next_delay(&mut self, entropy: &dyn Entropy) -> Duration {
        let ceiling = BACKOFF_FIRST.saturating_mul(1 << self.failures.min(16)).min(BACKOFF_MAX);
        self.failures = self.failures.saturating_add(1);
        let asked = std::mem::take(&mut self.asked);
        let own = entropy.duration_below(ceiling);
        if asked.is_zero() { own } else { own.max(asked + entropy.duration_below(asked / 2)) }
    }

    /// The hub asked not to be dialled for `wait`; counts for the next delay, up to [`BACKOFF_MAX`].
    pub fn ask(&mut self, wait: Duration) {
        self.asked = wait.min(BACKOFF_MAX);
    }

    /// A session came into force: the next loss starts from the shortest wait.
    pub fn succeeded(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::SeededEntropy;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_wait_is_below_its_ceiling_and_obeys_the_hub(seed: u64, failures in 0usize..40, asked_ms in 0u64..120_000) {
            let entropy = SeededEntropy::new(seed);
            let mut backoff = Backoff::default();
            for _ in 0..failures {
                prop_assert!(backoff.next_delay(&entropy) < BACKOFF_MAX);
            }
            let asked = Duration::from_millis(asked_ms);
            backoff.ask(asked);
            let delay = backoff.next_delay(&entropy);
            prop_assert!(delay >= asked.min(BACKOFF_MAX));
            prop_assert!(delay <= BACKOFF_MAX + BACKOFF_MAX / 2);
        }
    }

    #[test]
    fn success_starts_over() {
        let entropy = SeededEntropy::new(1);
        let mut backoff = Backoff::default();
        for _ in 0..20 {
            backoff.next_delay(&entropy);
        }
        backoff.succeeded();
        assert!(backoff.next_delay(&entropy) < BACKOFF_FIRST);
    }
}
