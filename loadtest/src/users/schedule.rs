//! When requests are to be sent, of which kind each is, and which of them are given up.
//!
//! All of it depends on the settings and a request's number alone: not on what was answered, on
//! time, or on which event loop sends it. So a run can be made again.

use crate::link::amount::Share;
use crate::link::dice::draw_at;
use std::time::Duration;

/// Requests of the warm-up have numbers of their own, so that those that count begin at 0.
const WARM_UP_NUMBERS: u64 = 1 << 62;
/// What is mixed into the seed for whether a request is given up.
const LEAVING: u64 = 0x6c65_6176_696e_6700;
/// And for when.
const WHEN: u64 = 0x7768_656e_0000_0000;
/// And for which variant of its kind it is.
const VARIANT: u64 = 0x7661_7269_616e_7400;

/// A constant rate of arrivals, of which one event loop sends every so-manieth.
#[derive(Debug, Clone)]
pub(super) struct Arrivals {
    rate: f64,
    next: u64,
    step: u64,
    warm_up: u64,
}

/// One request that is to be sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Arrival {
    /// Its number.
    pub(super) number: u64,
    /// When, from the beginning of the warm-up.
    pub(super) at: Duration,
    /// Whether it counts.
    pub(super) counts: bool,
}

impl Arrivals {
    /// Those of event loop `index` of `loops`, at `rate` a second, over a warm-up of this length
    /// and all that follows it.
    pub(super) fn new(rate: f64, warm_up: Duration, index: u64, loops: u64) -> Self {
        let warm_up = (warm_up.as_secs_f64() * rate).ceil() as u64;
        Self { rate, next: index, step: loops.max(1), warm_up }
    }
}

impl Iterator for Arrivals {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        let place = self.next;
        self.next += self.step;
        // From the place each time: nothing adds up over millions of them.
        let at = Duration::from_secs_f64(place as f64 / self.rate);
        let counts = place >= self.warm_up;
        let number = if counts { place - self.warm_up } else { warm_up_number(place) };
        Some(Arrival { number, at, counts })
    }
}

/// The number of request `place` of the warm-up.
pub(super) const fn warm_up_number(place: u64) -> u64 {
    WARM_UP_NUMBERS + place
}

/// The kinds in the order in which requests have them: each as often as its weight says in every
/// round, in an order that the seed gives.
#[derive(Debug, Clone)]
pub(super) struct Deck(Vec<usize>);

impl Deck {
    /// The deck of kinds with these weights.
    pub(super) fn new(seed: u64, weights: &[u32]) -> Self {
        let mut cards: Vec<usize> = weights
            .iter()
            .enumerate()
            .flat_map(|(kind, weight)| std::iter::repeat_n(kind, *weight as usize))
            .collect();
        for last in (1..cards.len()).rev() {
            cards.swap(last, below(draw_at(seed, last as u64), last as u64 + 1) as usize);
        }
        Self(cards)
    }

    /// The kind of request `number`.
    pub(super) fn kind(&self, number: u64) -> usize {
        self.0[(number % self.0.len().max(1) as u64) as usize]
    }
}

/// What of a request its number decides.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lot {
    seed: u64,
    abort: Share,
}

impl Lot {
    /// Lots of this seed, of which `abort` are to give up.
    pub(super) const fn new(seed: u64, abort: Share) -> Self {
        Self { seed, abort }
    }

    /// How long after its beginning request `number` is given up, at random within `usual`; nothing
    /// where it is not.
    pub(super) fn leaves(&self, number: u64, usual: Duration) -> Option<Duration> {
        let millionths = below(draw_at(self.seed ^ LEAVING, number), 1_000_000);
        let leaves = millionths < u64::from(self.abort.millionths());
        let nanos = u64::try_from(usual.as_nanos()).unwrap_or(u64::MAX);
        leaves.then(|| Duration::from_nanos(below(draw_at(self.seed ^ WHEN, number), nanos)))
    }

    /// Which of `count` variants request `number` is.
    pub(super) fn variant(&self, number: u64, count: usize) -> usize {
        below(draw_at(self.seed ^ VARIANT, number), count as u64) as usize
    }
}

/// `drawn` laid evenly onto the numbers below `bound`.
fn below(drawn: u64, bound: u64) -> u64 {
    ((u128::from(drawn) * u128::from(bound)) >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loops_together_send_each_arrival_once_at_its_moment() {
        let whole: Vec<_> = Arrivals::new(250.0, Duration::from_secs(1), 0, 1).take(999).collect();
        let mut shared: Vec<_> = (0..3)
            .flat_map(|index| Arrivals::new(250.0, Duration::from_secs(1), index, 3).take(333))
            .collect();
        shared.sort_by_key(|arrival| arrival.at);
        assert_eq!(whole, shared);
        let counted: Vec<_> = whole.iter().filter(|arrival| arrival.counts).collect();
        assert_eq!(counted.len(), 999 - 250);
        assert_eq!((counted[0].number, counted[0].at), (0, Duration::from_secs(1)));
        assert_eq!(counted[250].at, Duration::from_secs(2));
    }

    #[test]
    fn the_rate_does_not_drift() {
        let mut arrivals = Arrivals::new(3_333.3, Duration::ZERO, 0, 1);
        let late = arrivals.nth(10_000_000).expect("it never ends").at.as_secs_f64();
        assert!((late - 10_000_000.0 / 3_333.3).abs() < 1e-6, "{late}");
    }

    #[test]
    fn every_round_of_the_deck_has_each_kind_as_often_as_its_weight() {
        let deck = Deck::new(7, &[5, 0, 3]);
        for round in 0..4 {
            let kinds: Vec<_> = (0..8).map(|card| deck.kind(round * 8 + card)).collect();
            assert_eq!(kinds.iter().filter(|kind| **kind == 0).count(), 5, "{kinds:?}");
            assert_eq!(kinds.iter().filter(|kind| **kind == 2).count(), 3, "{kinds:?}");
        }
        let order = |seed| Vec::from_iter((0..64).map(|n| Deck::new(seed, &[32, 32]).kind(n)));
        assert_eq!(order(1), order(1));
        assert_ne!(order(1), order(2));
    }

    #[test]
    fn the_share_that_gives_up_does_so_within_the_usual_time_and_the_same_each_time() {
        let share: Share = "10%".parse().expect("a share");
        let lot = Lot::new(3, share);
        let usual = Duration::from_secs(1);
        let leaving = || Vec::from_iter((0..10_000).filter_map(|number| lot.leaves(number, usual)));
        let times = leaving();
        assert!((900..1_100).contains(&times.len()), "{}", times.len());
        assert!(times.iter().all(|time| *time < usual));
        assert!(times.iter().filter(|time| **time < usual / 2).count() > times.len() / 3);
        assert_eq!(times, leaving());
        assert!((0..1_000).all(|number| Lot::new(3, Share::NONE).leaves(number, usual).is_none()));
        assert!((0..1_000).all(|number| Lot::new(3, Share::ALL).leaves(number, usual).is_some()));
    }
}
