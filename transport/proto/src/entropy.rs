//! Chance as a value: the system's in production, a seed's in a simulation.

use rand::rngs::SysRng;
use rand::{Rng, SeedableRng, TryRng};
use rand_chacha::ChaCha12Rng;
use std::fmt;
use std::sync::Mutex;
use std::time::Duration;

/// A source of random bytes that any part may share.
pub trait Entropy: fmt::Debug + Send + Sync {
    /// Fills `bytes` with random bytes.
    fn fill(&self, bytes: &mut [u8]);

    /// A random number over all of `u64`.
    fn next_u64(&self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// A random duration below `limit`; zero where `limit` is zero. Whole microseconds.
    fn duration_below(&self, limit: Duration) -> Duration {
        let micros = u64::try_from(limit.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.next_u64().checked_rem(micros).unwrap_or(0))
    }
}

/// The operating system's random bytes; fit for keys and tokens.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    /// # Panics
    /// When the operating system has no random bytes to give: nothing safe can go on then.
    #[expect(clippy::expect_used, reason = "without the system's entropy no secret can be made")]
    fn fill(&self, bytes: &mut [u8]) {
        SysRng.try_fill_bytes(bytes).expect("the operating system gives random bytes");
    }
}

/// Random bytes from a seed: the same seed gives the same bytes. Never for secrets.
#[derive(Debug)]
pub struct SeededEntropy(Mutex<ChaCha12Rng>);

impl SeededEntropy {
    /// A source that starts from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(ChaCha12Rng::seed_from_u64(seed)))
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).fill_bytes(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_stays_below_its_limit_and_zero_stays_zero() {
        let entropy = SeededEntropy::new(3);
        for _ in 0..1_000 {
            assert!(entropy.duration_below(Duration::from_millis(5)) < Duration::from_millis(5));
        }
        assert_eq!(entropy.duration_below(Duration::ZERO), Duration::ZERO);
    }
}
