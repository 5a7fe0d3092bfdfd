//! What one direction of a link does to packets, as settings that are possible.
//!
//! A [`Draft`] is what somebody asked for; a [`Shaping`] is one that can be done. There is no
//! other way to make a [`Shaping`], so that the scheduler has nothing left to refuse.

use super::amount::{Rate, Share};
use super::loss::Loss;
use std::time::Duration;

/// The longest delay one way, reordering and jitter included.
pub const DELAY_MAX: Duration = Duration::from_secs(10);
/// The lowest rate: a packet of 1500 bytes takes 1.5 s.
pub const RATE_MIN_BITS: u64 = 8_000;
/// The highest rate. Above it leave the rate out: the relay is the limit then.
pub const RATE_MAX_BITS: u64 = 10_000_000_000;
/// The smallest MTU: what every IPv4 host must take.
pub const MTU_MIN: u16 = 576;
/// The largest MTU.
pub const MTU_MAX: u16 = 9_000;
/// The largest queue before the slow part of a link.
pub const QUEUE_BYTES_MAX: u64 = 64 * 1_024 * 1_024;
/// What one direction holds of packets that are on their way, the queue apart.
pub const LINE_BYTES_MAX: u64 = 64 * 1_024 * 1_024;
/// The longest mean of a burst of losses, in packets.
pub const BURST_MEAN_MAX: u32 = 10_000;

/// Packets that arrive late, behind some that were sent after them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reorder {
    /// Of all packets.
    pub share: Share,
    /// How much later than their turn.
    pub by: Duration,
}

/// What is asked of one direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// The middle of the delay, one way.
    pub delay: Duration,
    /// How far the delay wanders to either side.
    pub jitter: Duration,
    /// Bits a second, headers of IP included; as fast as it goes where there is none.
    pub rate: Option<Rate>,
    /// Bytes that wait for the rate, the packet that is being sent included. Nothing waits where
    /// there is no rate.
    pub queue_bytes: u64,
    /// Lost on the way, behind the queue: a lost packet has used the rate.
    pub loss: Loss,
    /// Packets that are overtaken.
    pub reorder: Option<Reorder>,
    /// Packets that arrive twice.
    pub duplicate: Share,
    /// The largest packet, headers of IP included. Larger ones vanish.
    pub mtu: u16,
    /// Whether all UDP vanishes, as behind some firewalls.
    pub udp_blocked: bool,
}

impl Default for Draft {
    /// A link that does nothing.
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            rate: None,
            queue_bytes: 256 * 1_024,
            loss: Loss::None,
            reorder: None,
            duplicate: Share::NONE,
            mtu: 1_500,
            udp_blocked: false,
        }
    }
}

/// Why a draft cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Impossible {
    /// It would deliver before it was sent.
    #[error(
        "a jitter of {jitter:?} around a delay of {delay:?} would deliver packets before they were sent: the jitter may be as large as the delay, not larger"
    )]
    Jitter {
        /// As asked.
        jitter: Duration,
        /// As asked.
        delay: Duration,
    },
    /// Longer than any connection waits.
    #[error(
        "a packet that is {asked:?} on its way is late beyond use: {DELAY_MAX:?} is the most, with jitter and reordering"
    )]
    Delay {
        /// Delay, jitter and reordering together.
        asked: Duration,
    },
    /// Outside what can be kept.
    #[error(
        "a rate of {asked} cannot be kept: {RATE_MIN_BITS} bit/s to {RATE_MAX_BITS} bit/s, or none at all"
    )]
    Rate {
        /// As asked.
        asked: Rate,
    },
    /// No full packet would ever pass.
    #[error(
        "a queue of {queue_bytes} bytes never takes a packet of {mtu}: make it as large as the MTU at least"
    )]
    QueueBelowMtu {
        /// As asked.
        queue_bytes: u64,
        /// As asked.
        mtu: u16,
    },
    /// More than is set aside.
    #[error(
        "a queue of {queue_bytes} bytes is more than the {QUEUE_BYTES_MAX} that a link sets aside"
    )]
    QueueTooLarge {
        /// As asked.
        queue_bytes: u64,
    },
    /// Outside what hosts take.
    #[error("an MTU of {mtu} is none that hosts take: {MTU_MIN} to {MTU_MAX} bytes")]
    Mtu {
        /// As asked.
        mtu: u16,
    },
    /// A link cannot be that bad in bursts that short.
    #[error(
        "bursts of {mean} packets cannot lose {share} of all: between two bursts at least one packet passes, so ask for longer bursts, a smaller share, or random loss"
    )]
    Burst {
        /// As asked.
        share: Share,
        /// As asked.
        mean: u32,
    },
    /// Longer than any burst that is still one.
    #[error("bursts of {mean} packets are an outage: {BURST_MEAN_MAX} is the most")]
    BurstTooLong {
        /// As asked.
        mean: u32,
    },
    /// Who holds all back holds none behind another.
    #[error(
        "reordering of {share} by {by:?} reorders nothing: hold back some packets, not all, and by some time"
    )]
    Reorder {
        /// As asked.
        share: Share,
        /// As asked.
        by: Duration,
    },
    /// More on the way than is set aside.
    #[error(
        "{rate} over {delay:?} have {bytes} bytes on their way, more than the {LINE_BYTES_MAX} that a link holds"
    )]
    Line {
        /// As asked.
        rate: Rate,
        /// Delay, jitter and reordering together.
        delay: Duration,
        /// The product of the two.
        bytes: u64,
    },
}

/// What one direction does, and can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shaping(Draft);

impl Shaping {
    /// What is done.
    #[must_use]
    pub const fn settings(&self) -> &Draft {
        &self.0
    }
}

impl Default for Shaping {
    /// A link that does nothing.
    fn default() -> Self {
        Self(Draft::default())
    }
}

impl TryFrom<Draft> for Shaping {
    type Error = Impossible;

    fn try_from(draft: Draft) -> Result<Self, Impossible> {
        let Draft { delay, jitter, rate, queue_bytes, loss, reorder, mtu, .. } = draft;
        if jitter > delay {
            return Err(Impossible::Jitter { jitter, delay });
        }
        let held = reorder.map_or(Duration::ZERO, |reorder| reorder.by);
        let longest = delay.saturating_add(jitter).saturating_add(held);
        if longest > DELAY_MAX {
            return Err(Impossible::Delay { asked: longest });
        }
        if !(MTU_MIN..=MTU_MAX).contains(&mtu) {
            return Err(Impossible::Mtu { mtu });
        }
        if queue_bytes < u64::from(mtu) {
            return Err(Impossible::QueueBelowMtu { queue_bytes, mtu });
        }
        if queue_bytes > QUEUE_BYTES_MAX {
            return Err(Impossible::QueueTooLarge { queue_bytes });
        }
        if let Some(rate) = rate {
            if !(RATE_MIN_BITS..=RATE_MAX_BITS).contains(&rate.bits()) {
                return Err(Impossible::Rate { asked: rate });
            }
            let bytes = rate.bytes_in(longest);
            if bytes > LINE_BYTES_MAX {
                return Err(Impossible::Line { rate, delay: longest, bytes });
            }
        }
        if let Loss::Burst { share, mean } = loss {
            bursts(share, mean.get())?;
        }
        match reorder {
            Some(Reorder { share, by })
                if by.is_zero() || share == Share::ALL || share == Share::NONE =>
            {
                Err(Impossible::Reorder { share, by })
            }
            Some(_) | None => Ok(Self(draft)),
        }
    }
}

fn bursts(share: Share, mean: u32) -> Result<(), Impossible> {
    if mean > BURST_MEAN_MAX {
        return Err(Impossible::BurstTooLong { mean });
    }
    let lost = u64::from(share.millionths());
    let kept = u64::from(Share::ALL.millionths()) - lost;
    // After a burst one packet passes at least: no more than `mean` of `mean + 1` are lost.
    if lost > u64::from(mean) * kept {
        return Err(Impossible::Burst { share, mean });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU32;

    fn refused(change: impl FnOnce(&mut Draft)) -> Impossible {
        let mut draft = Draft::default();
        change(&mut draft);
        Shaping::try_from(draft).unwrap_err()
    }

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn each_impossible_setting_is_refused_with_its_reason() {
        let found = refused(|draft| draft.jitter = millis(1));
        assert!(matches!(found, Impossible::Jitter { .. }));
        let found = refused(|draft| draft.delay = Duration::from_secs(11));
        assert!(matches!(found, Impossible::Delay { .. }));
        let found = refused(|draft| draft.rate = Rate::from_bits(7_999));
        assert!(matches!(found, Impossible::Rate { .. }));
        let found = refused(|draft| draft.rate = Rate::from_bits(10_000_000_001));
        assert!(matches!(found, Impossible::Rate { .. }));
        let found = refused(|draft| draft.queue_bytes = 1_499);
        assert!(matches!(found, Impossible::QueueBelowMtu { .. }));
        let found = refused(|draft| draft.queue_bytes = QUEUE_BYTES_MAX + 1);
        assert!(matches!(found, Impossible::QueueTooLarge { .. }));
        for mtu in [0, MTU_MIN - 1, MTU_MAX + 1, u16::MAX] {
            let found = refused(|draft| draft.mtu = mtu);
            assert_eq!(found, Impossible::Mtu { mtu });
        }
        for share in [Share::NONE, Share::ALL] {
            let found = refused(|draft| draft.reorder = Some(Reorder { share, by: millis(5) }));
            assert!(matches!(found, Impossible::Reorder { .. }));
        }
        let found = refused(|draft| {
            draft.rate = Rate::from_bits(RATE_MAX_BITS);
            draft.delay = millis(600);
        });
        assert!(matches!(found, Impossible::Line { bytes: 750_000_000, .. }), "{found:?}");
    }

    #[test]
    fn bursts_that_leave_no_packet_between_them_are_refused() {
        let burst = |percent: u32, mean| {
            let share = Share::from_millionths(percent * 10_000).unwrap();
            let loss = Loss::Burst { share, mean: NonZeroU32::new(mean).unwrap() };
            Shaping::try_from(Draft { loss, ..Draft::default() })
        };
        assert!(burst(75, 3).is_ok());
        assert!(matches!(burst(76, 3), Err(Impossible::Burst { .. })));
        assert!(matches!(burst(100, 3), Err(Impossible::Burst { .. })));
        assert!(matches!(burst(1, BURST_MEAN_MAX + 1), Err(Impossible::BurstTooLong { .. })));
    }

    #[test]
    fn a_refusal_is_a_sentence_with_the_figures_in_it() {
        let found = refused(|draft| {
            draft.delay = millis(20);
            draft.jitter = millis(30);
        });
        assert_eq!(
            found.to_string(),
            "a jitter of 30ms around a delay of 20ms would deliver packets before they were sent: \
             the jitter may be as large as the delay, not larger"
        );
    }

    #[test]
    fn a_link_that_does_nothing_is_possible() {
        assert_eq!(Shaping::try_from(Draft::default()), Ok(Shaping::default()));
    }
}
