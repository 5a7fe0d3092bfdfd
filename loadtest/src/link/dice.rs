//! The chance of a link: one seed, and a stream of draws for each purpose.
//!
//! Purposes do not disturb each other: with the same seed the same packets are lost, whatever the
//! reordering is set to.

use super::amount::Share;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha12Rng;

/// What is drawn for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Loss = 1,
    Reorder = 2,
    Duplicate = 3,
}

/// A stream of draws.
#[derive(Debug, Clone)]
pub(super) struct Dice(ChaCha12Rng);

impl Dice {
    pub(super) fn new(seed: u64, purpose: Purpose) -> Self {
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        rng.set_stream(purpose as u64);
        Self(rng)
    }

    /// True in `odds` of all cases. Draws once, whatever the odds.
    pub(super) fn falls(&mut self, odds: Odds) -> bool {
        u128::from(self.0.next_u64()) < odds.0
    }
}

/// A probability, in parts of 2⁶⁴.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Odds(u128);

impl Odds {
    /// `part` of `whole`, which is not zero; certain where the part is not less.
    pub(super) fn of(part: u64, whole: u64) -> Self {
        let (part, whole) = (u128::from(part), u128::from(whole.max(1)));
        Self((part.min(whole) << 64) / whole)
    }
}

impl From<Share> for Odds {
    fn from(share: Share) -> Self {
        Self::of(share.millionths().into(), Share::ALL.millionths().into())
    }
}

/// A draw that depends on `seed` and `index` alone, not on what was drawn before.
pub(crate) fn draw_at(seed: u64, index: u64) -> u64 {
    // The finalizer of SplitMix64.
    let mut mixed = seed ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certain_always_falls_and_impossible_never() {
        let mut dice = Dice::new(1, Purpose::Loss);
        assert!((0..1_000).all(|_| dice.falls(Share::ALL.into())));
        assert!((0..1_000).all(|_| !dice.falls(Share::NONE.into())));
    }

    #[test]
    fn purposes_draw_apart() {
        let half = Odds::of(1, 2);
        let draws = |purpose| {
            let mut dice = Dice::new(7, purpose);
            (0..64).map(|_| dice.falls(half)).collect::<Vec<_>>()
        };
        assert_eq!(draws(Purpose::Loss), draws(Purpose::Loss));
        assert_ne!(draws(Purpose::Loss), draws(Purpose::Reorder));
    }
}
