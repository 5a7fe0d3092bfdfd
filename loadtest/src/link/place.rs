//! Places that people know, each as the link from there to the far end.
//!
//! The figures are of the usual evening, not of the advertisement: rates as measured by users,
//! delays to a data centre on the same continent, queues as deep as the devices there have them.
//! Round trips and rates are those of the whole link; each half of a round trip is one direction.

use super::amount::{Rate, Share};
use super::loss::Loss;
use super::shaping::{Draft, Impossible, Shaping};
use clap::ValueEnum;
use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

/// The link of one near end: what it does to packets on their way up and down.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Access {
    /// From the near end.
    pub up: Shaping,
    /// To the near end.
    pub down: Shaping,
}

impl Access {
    /// The link of two drafts.
    ///
    /// # Errors
    /// [`Impossible`], for whichever cannot be.
    pub fn new(up: Draft, down: Draft) -> Result<Self, Impossible> {
        Ok(Self { up: up.try_into()?, down: down.try_into()? })
    }
}

/// A place with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Place {
    /// Nothing is done to packets: the start for settings of one's own
    Clear,
    /// Fibre to the house: 4 ms round trip, 500 Mbit/s down, 250 up
    Fibre,
    /// Cable or DSL at home: 24 ms, 100 Mbit/s down, 20 up, deep queues
    Home,
    /// Wifi of a full café: 40 ms that wander, 20 Mbit/s down, 8 up, 0.5 % lost in bursts
    Cafe,
    /// A telephone on the move: 60 ms that wander, 30 Mbit/s down, 8 up, 0.3 % lost in bursts,
    /// MTU 1400
    Mobile,
    /// A geostationary satellite: 600 ms, 50 Mbit/s down, 5 up, 0.2 % lost
    Satellite,
    /// 50 ms and 2 % lost each way, 100 Mbit/s: what the head-of-line figures are taken on
    Lossy,
}

impl Place {
    /// Every place, the best first.
    pub const ALL: [Self; 7] = [
        Self::Clear,
        Self::Fibre,
        Self::Home,
        Self::Cafe,
        Self::Mobile,
        Self::Satellite,
        Self::Lossy,
    ];

    /// As it is written on a command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Clear => "clear",
            Self::Fibre => "fibre",
            Self::Home => "home",
            Self::Cafe => "cafe",
            Self::Mobile => "mobile",
            Self::Satellite => "satellite",
            Self::Lossy => "lossy",
        }
    }

    /// What is done up and down there.
    #[must_use]
    pub fn drafts(self) -> (Draft, Draft) {
        match self {
            Self::Clear => (Draft::default(), Draft::default()),
            Self::Fibre => Sketch {
                round_trip_ms: 4,
                jitter_us: 200,
                mbit: [250, 500],
                queue_kib: [512, 1_024],
                ..Sketch::PLAIN
            }
            .drafts(),
            Self::Home => Sketch {
                round_trip_ms: 24,
                jitter_us: 1_000,
                mbit: [20, 100],
                queue_kib: [256, 512],
                ..Sketch::PLAIN
            }
            .drafts(),
            Self::Cafe => Sketch {
                round_trip_ms: 40,
                jitter_us: 8_000,
                mbit: [8, 20],
                queue_kib: [256, 256],
                lost_millionths: 5_000,
                burst: 3,
                ..Sketch::PLAIN
            }
            .drafts(),
            Self::Mobile => Sketch {
                round_trip_ms: 60,
                jitter_us: 12_000,
                mbit: [8, 30],
                queue_kib: [256, 512],
                lost_millionths: 3_000,
                burst: 4,
                mtu: 1_400,
            }
            .drafts(),
            Self::Satellite => Sketch {
                round_trip_ms: 600,
                jitter_us: 5_000,
                mbit: [5, 50],
                queue_kib: [1_024, 4_096],
                lost_millionths: 2_000,
                ..Sketch::PLAIN
            }
            .drafts(),
            Self::Lossy => Sketch {
                round_trip_ms: 50,
                mbit: [100, 100],
                queue_kib: [1_024, 1_024],
                lost_millionths: 20_000,
                ..Sketch::PLAIN
            }
            .drafts(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A place in few figures; pairs are up, then down.
struct Sketch {
    round_trip_ms: u64,
    jitter_us: u64,
    mbit: [u64; 2],
    queue_kib: [u64; 2],
    lost_millionths: u32,
    /// Packets lost in a row, on average; one is each for itself.
    burst: u32,
    mtu: u16,
}

impl Sketch {
    const PLAIN: Self = Self {
        round_trip_ms: 0,
        jitter_us: 0,
        mbit: [0, 0],
        queue_kib: [0, 0],
        lost_millionths: 0,
        burst: 1,
        mtu: 1_500,
    };

    fn drafts(&self) -> (Draft, Draft) {
        let [up, down] = [0, 1].map(|way| Draft {
            delay: Duration::from_millis(self.round_trip_ms) / 2,
            jitter: Duration::from_micros(self.jitter_us),
            rate: Rate::from_bits(self.mbit[way] * 1_000_000),
            queue_bytes: self.queue_kib[way] * 1_024,
            loss: self.loss(),
            mtu: self.mtu,
            ..Draft::default()
        });
        (up, down)
    }

    fn loss(&self) -> Loss {
        let share = Share::from_millionths(self.lost_millionths).unwrap_or(Share::ALL);
        match NonZeroU32::new(self.burst) {
            _ if share == Share::NONE => Loss::None,
            Some(mean) if mean.get() > 1 => Loss::Burst { share, mean },
            Some(_) | None => Loss::Random { share },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_is_possible() {
        for place in Place::ALL {
            let (up, down) = place.drafts();
            assert!(Access::new(up, down).is_ok(), "{place}");
        }
    }

    #[test]
    fn places_are_named_on_the_command_line_as_everywhere_else() {
        assert_eq!(Place::value_variants(), Place::ALL);
        for place in Place::ALL {
            assert_eq!(Place::from_str(place.name(), false), Ok(place));
        }
    }

    #[test]
    fn the_lossy_place_is_the_one_that_targets_are_written_for() {
        let (up, down) = Place::Lossy.drafts();
        assert_eq!(up.delay + down.delay, Duration::from_millis(50));
        assert_eq!(up.loss, Loss::Random { share: "2%".parse().unwrap() });
        assert_eq!((up.jitter, up.loss), (Duration::ZERO, down.loss));
    }
}
