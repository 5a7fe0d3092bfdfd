//! Which exchange of a run: a number that says over which version of HTTP the provider is reached,
//! which dialect is spoken, and of which class of sizes the bodies are.

use super::dialect::Dialect;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// The largest body, as a power of two.
const BODY_BITS: f64 = 26.0;
/// The largest body beside one whose size the class sets, as a power of two.
const BESIDE_BITS: f64 = 16.0;
/// A class of body sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Both bodies from 0 bytes to 64 MiB, log-uniform.
    Any,
    /// Up to 1 KiB.
    KiB1,
    /// Up to 64 KiB.
    KiB64,
    /// Up to 1 MiB.
    MiB1,
    /// Up to 16 MiB.
    MiB16,
    /// Up to 64 MiB.
    MiB64,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Any, Self::KiB1, Self::KiB64, Self::MiB1, Self::MiB16, Self::MiB64];

    /// From which power of two to which.
    const fn bits(self) -> (f64, f64) {
        match self {
            Self::Any => (0.0, BODY_BITS),
            Self::KiB1 => (0.0, 10.0),
            Self::KiB64 => (10.0, 16.0),
            Self::MiB1 => (16.0, 20.0),
            Self::MiB16 => (20.0, 24.0),
            Self::MiB64 => (24.0, BODY_BITS),
        }
    }

    /// Sizes of the request and of the answer: both, or one of them, of this class.
    pub(super) fn sizes(self, chance: &mut ChaCha8Rng) -> (u64, u64) {
        let of_class = |chance: &mut ChaCha8Rng| {
            let (from, to) = self.bits();
            let none = from == 0.0 && chance.random_range(0..16_u32) == 0;
            if none { 0 } else { chance.random_range(from..to).exp2() as u64 }
        };
        let beside = |chance: &mut ChaCha8Rng| chance.random_range(0.0..BESIDE_BITS).exp2() as u64;
        match (self, chance.random_range(0..3_u32)) {
            (Self::Any, _) | (_, 0) => (of_class(chance), of_class(chance)),
            (_, 1) => (of_class(chance), beside(chance)),
            (_, _) => (beside(chance), of_class(chance)),
        }
    }
}

/// Which exchange of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The version of HTTP towards the provider.
    pub upstream: Upstream,
    /// The kind.
    pub dialect: Dialect,
    /// The sizes.
    pub class: Class,
    /// Which of its kind and class.
    pub number: u64,
}

/// The version of HTTP towards the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Upstream {
    /// HTTP/1.1.
    H1,
    /// HTTP/2.
    H2,
}

impl Upstream {
    const ALL: [Self; 2] = [Self::H1, Self::H2];
}

impl Place {
    /// Its number among all.
    #[must_use]
    pub fn index(self) -> u64 {
        let upstream = self.upstream as u64;
        let place = self.number * Class::ALL.len() as u64 + self.class as u64;
        (place * Dialect::ALL.len() as u64 + self.dialect as u64) * 2 + upstream
    }

    /// The place with that number.
    #[must_use]
    pub fn at(index: u64) -> Self {
        let (rest, upstream) = (index / 2, index % 2);
        let (dialects, classes) = (Dialect::ALL.len() as u64, Class::ALL.len() as u64);
        let (rest, dialect) = (rest / dialects, rest % dialects);
        Self {
            upstream: Upstream::ALL[upstream as usize],
            dialect: Dialect::ALL[dialect as usize],
            class: Class::ALL[(rest % classes) as usize],
            number: rest / classes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_a_place_and_a_place_a_number() {
        for index in (0..2_000).chain([1 << 40]) {
            assert_eq!(Place::at(index).index(), index);
        }
    }
}
