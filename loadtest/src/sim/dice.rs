//! Draws of one seed. Each part of a world has dice of its own, so that a change in one part does
//! not reshuffle the others.

use std::ops::Range;
use std::time::Duration;
use weft_proto::entropy::{Entropy, SeededEntropy};

/// A named stream of draws.
#[derive(Debug)]
pub(super) struct Dice(SeededEntropy);

impl Dice {
    /// The dice of the part `name` in the world of `seed`.
    pub(super) fn new(seed: u64, name: &str) -> Self {
        Self(entropy(seed, name))
    }

    /// A number within `range`; its start where the range is empty.
    pub(super) fn within(&self, range: Range<u64>) -> u64 {
        let width = range.end.saturating_sub(range.start);
        range.start + self.0.next_u64().checked_rem(width).unwrap_or(0)
    }

    /// The same as a size.
    pub(super) fn size(&self, range: Range<usize>) -> usize {
        let drawn = self.within(range.start as u64..range.end as u64);
        usize::try_from(drawn).unwrap_or(range.start)
    }

    /// A size whose order of magnitude is even, not the size itself: many small, few large.
    pub(super) fn magnitude(&self, range: Range<usize>) -> usize {
        let (low, high) = (range.start.max(1).ilog2(), range.end.max(2).ilog2());
        let bits = self.within(u64::from(low)..u64::from(high)) as u32;
        self.size(1 << bits..2 << bits).clamp(range.start, range.end)
    }

    /// A duration within `range`, both in milliseconds.
    pub(super) fn millis(&self, range: Range<u64>) -> Duration {
        Duration::from_millis(self.within(range))
    }

    /// True in `percent` of a hundred cases.
    pub(super) fn chance(&self, percent: u64) -> bool {
        self.within(0..100) < percent
    }
}

/// The chance of the part `name` in the world of `seed`.
pub(super) fn entropy(seed: u64, name: &str) -> SeededEntropy {
    // FNV-1a: stable over builds and machines, which the standard hashers do not promise.
    let mixed = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    SeededEntropy::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ mixed)
}
