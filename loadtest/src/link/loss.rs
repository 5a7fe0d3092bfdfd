//! Which packets are lost: each for itself, or in bursts.
//!
//! Bursts follow Gilbert's model: a link is good or bad, a bad one loses every packet, and the
//! two odds of changing are chosen so that the share and the mean length of a burst come out.

use super::amount::Share;
use super::dice::{Dice, Odds, Purpose};
use std::num::NonZeroU32;

/// How packets are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Loss {
    /// None is.
    #[default]
    None,
    /// Each with the same odds, whatever became of the one before.
    Random {
        /// Of all packets.
        share: Share,
    },
    /// Several one after the other.
    Burst {
        /// Of all packets, over a long time.
        share: Share,
        /// Packets that are lost in a row, on average.
        mean: NonZeroU32,
    },
}

impl Loss {
    /// The share of all packets.
    #[must_use]
    pub const fn share(self) -> Share {
        match self {
            Self::None => Share::NONE,
            Self::Random { share } | Self::Burst { share, mean: _ } => share,
        }
    }
}

/// Decides packet by packet.
#[derive(Debug, Clone)]
pub(super) struct Losses {
    loss: Loss,
    bad: bool,
    dice: Dice,
}

impl Losses {
    pub(super) fn new(loss: Loss, seed: u64) -> Self {
        Self { loss, bad: false, dice: Dice::new(seed, Purpose::Loss) }
    }

    /// Goes on with other odds and the same draws.
    pub(super) fn change(&mut self, loss: Loss) {
        self.loss = loss;
        self.bad = false;
    }

    /// Whether the next packet is lost.
    pub(super) fn next(&mut self) -> bool {
        match self.loss {
            Loss::None => false,
            Loss::Random { share } => self.dice.falls(share.into()),
            Loss::Burst { share, mean } => {
                let turn =
                    if self.bad { Odds::of(1, mean.get().into()) } else { into_bad(share, mean) };
                self.bad ^= self.dice.falls(turn);
                self.bad
            }
        }
    }
}

/// The odds of turning bad: with those of turning good, one in `mean`, they make `share`.
fn into_bad(share: Share, mean: NonZeroU32) -> Odds {
    let lost = u64::from(share.millionths());
    let kept = u64::from(Share::ALL.millionths()) - lost;
    Odds::of(lost, u64::from(mean.get()) * kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PACKETS: usize = 200_000;

    fn run(loss: Loss, seed: u64) -> Vec<bool> {
        let mut losses = Losses::new(loss, seed);
        (0..PACKETS).map(|_| losses.next()).collect()
    }

    fn lost_share(lost: &[bool]) -> f64 {
        lost.iter().filter(|lost| **lost).count() as f64 / lost.len() as f64
    }

    #[test]
    fn a_link_that_loses_none_loses_none_and_one_that_loses_all_loses_all() {
        assert!(run(Loss::None, 1).iter().all(|lost| !lost));
        assert!(run(Loss::Random { share: Share::ALL }, 1).iter().all(|lost| *lost));
        assert!(run(Loss::Random { share: Share::NONE }, 1).iter().all(|lost| !lost));
    }

    #[test]
    fn bursts_have_the_length_that_was_asked_for() {
        let share = Share::from_millionths(20_000).unwrap();
        let lost = run(Loss::Burst { share, mean: NonZeroU32::new(5).unwrap() }, 3);
        let bursts = lost.windows(2).filter(|pair| !pair[0] && pair[1]).count();
        let mean = lost.iter().filter(|lost| **lost).count() as f64 / bursts as f64;
        assert!((4.3..5.7).contains(&mean), "{mean}");
    }

    #[test]
    fn the_same_seed_loses_the_same_packets() {
        let share = Share::from_millionths(20_000).unwrap();
        assert_eq!(run(Loss::Random { share }, 9), run(Loss::Random { share }, 9));
        assert_ne!(run(Loss::Random { share }, 9), run(Loss::Random { share }, 10));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// Six standard deviations of as many draws, a burst counting as one.
        #[test]
        fn the_share_that_is_lost_is_the_share_that_was_asked_for(
            seed: u64, millionths in 1_000_u32..500_000, mean in 1_u32..12,
        ) {
            let share = Share::from_millionths(millionths).unwrap();
            let wanted = f64::from(millionths) / 1e6;
            let mean = NonZeroU32::new(mean).unwrap();
            for (loss, each) in [(Loss::Random { share }, 1), (Loss::Burst { share, mean }, mean.get())] {
                let spread = (wanted * (1.0 - wanted) * 2.0 * f64::from(each) / PACKETS as f64).sqrt();
                let got = lost_share(&run(loss, seed));
                prop_assert!((got - wanted).abs() <= 6.0 * spread, "{loss:?}: {got}, not {wanted}");
            }
        }
    }
}
