//! Jitter as a delay that wanders: a continuous function of time, between `-jitter` and `+jitter`.
//!
//! Where each packet draws its own jitter, packets overtake each other, which networks seldom do,
//! and where they are then kept in order, a busy link has the largest delay all the time. So the
//! delay is drawn for knots in time and goes in a straight line from one to the next, so slowly
//! that no packet overtakes another. It depends on the seed and the time alone, not on traffic.

use super::dice::draw_at;
use std::time::Duration;

/// The least time from one knot to the next.
const STEP_MIN: Duration = Duration::from_millis(10);
/// Knots are so many jitters apart. The steepest way, from one end to the other, then falls by
/// half a second in a second: later packets never arrive earlier.
const STEP_JITTERS: u32 = 4;

/// A wandering delay.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wander {
    jitter: Duration,
    seed: u64,
}

impl Wander {
    pub(super) const fn new(jitter: Duration, seed: u64) -> Self {
        Self { jitter, seed }
    }

    /// The delay at `time`, where `delay` is its middle and not less than the jitter.
    pub(super) fn at(self, time: Duration, delay: Duration) -> Duration {
        if self.jitter.is_zero() {
            return delay;
        }
        let step = STEP_MIN.max(self.jitter * STEP_JITTERS).as_nanos();
        let (knot, into) = (time.as_nanos() / step, time.as_nanos() % step);
        let (from, to) = (self.knot(knot), self.knot(knot + 1));
        // Between two knots: `from` where `into` is 0, `to` where it is a whole step.
        let above = (from * (step - into) + to * into) / step;
        let floor = delay.saturating_sub(self.jitter);
        floor + Duration::from_nanos(u64::try_from(above).unwrap_or(u64::MAX))
    }

    /// How far the delay is above its least one at a knot, in nanoseconds: 0 to twice the jitter.
    fn knot(self, index: u128) -> u128 {
        let drawn = u128::from(draw_at(self.seed, index as u64));
        (drawn * (2 * self.jitter.as_nanos())) >> 64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DELAY: Duration = Duration::from_millis(50);

    #[test]
    fn no_jitter_is_a_constant_delay() {
        let wander = Wander::new(Duration::ZERO, 3);
        assert!((0..100).all(|second| wander.at(Duration::from_secs(second), DELAY) == DELAY));
    }

    #[test]
    fn the_delay_uses_its_whole_range() {
        let wander = Wander::new(Duration::from_millis(10), 3);
        let delays = (0..10_000).map(|index| wander.at(Duration::from_millis(7 * index), DELAY));
        let (mut least, mut most) = (Duration::MAX, Duration::ZERO);
        for delay in delays {
            (least, most) = (least.min(delay), most.max(delay));
        }
        assert!(least < Duration::from_millis(42), "{least:?}");
        assert!(most > Duration::from_millis(58), "{most:?}");
    }

    proptest! {
        #[test]
        fn the_delay_stays_within_the_jitter_and_lets_nobody_overtake(
            seed: u64,
            jitter in 0_u64..50_000_000,
            times in proptest::collection::vec(0_u64..10_000_000_000, 2..200),
        ) {
            let wander = Wander::new(Duration::from_nanos(jitter), seed);
            let mut times: Vec<_> = times.into_iter().map(Duration::from_nanos).collect();
            times.sort_unstable();
            let mut last = Duration::ZERO;
            for time in times {
                let delay = wander.at(time, DELAY);
                prop_assert!(delay.abs_diff(DELAY) <= Duration::from_nanos(jitter));
                // A nanosecond is what rounding may cost.
                prop_assert!(time + delay + Duration::from_nanos(1) >= last);
                last = time + delay;
            }
        }
    }
}
