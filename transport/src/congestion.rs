//! How much may be under way: CUBIC, which does not hear of losses that are no congestion.
//!
//! On radio and on long paths a packet in fifty is lost to noise. CUBIC takes each for congestion: at
//! 50 ms and 2 % loss it sends some 300 KB/s, whatever the link carries. Here a loss counts
//! - where a queue has built up: packets take longer than they do on the empty path;
//! - where more is lost than noise explains;
//! - where nothing comes through for long, or the path marks packets as congested.
//!
//! Whatever counts is CUBIC's business (RFC 9438, quinn's own), as is all growth. On a path that only
//! loses what its queue cannot hold, and on one whose delay wanders, this is CUBIC.

use quinn::congestion::{Controller, ControllerFactory, ControllerMetrics, Cubic, CubicConfig};
use quinn_proto::RttEstimator;
use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A queue is told from noise by packets that take longer by this part of the empty path's time,
const QUEUE_PART: u32 = 8;
/// but by no less than this: a busy machine's own delay is no queue,
const QUEUE_MIN: Duration = Duration::from_millis(4);
/// and by no more: on a satellite's path an eighth would be a long queue.
const QUEUE_MAX: Duration = Duration::from_millis(20);
/// The most that noise is believed to lose: more is congestion at a bottleneck without a queue.
const NOISE_MAX: f64 = 0.04;
/// Packets over which the share of the lost is averaged.
const AVERAGED_PACKETS: f64 = 256.0;

/// Makes the controller of each path.
#[derive(Debug, Default)]
pub(crate) struct Discerning {
    cubic: Arc<CubicConfig>,
}

impl ControllerFactory for Discerning {
    fn build(self: Arc<Self>, now: Instant, mtu: u16) -> Box<dyn Controller> {
        let cubic = Cubic::new(Arc::clone(&self.cubic), now, mtu);
        Box::new(Discerned { cubic, path: Path::new(mtu) })
    }
}

/// CUBIC, and what tells it of losses.
#[derive(Debug, Clone)]
struct Discerned {
    cubic: Cubic,
    path: Path,
}

/// What is known of a path.
#[derive(Debug, Clone)]
struct Path {
    mtu: f64,
    /// How long a packet takes, there and back, through an empty queue.
    empty: Duration,
    /// How long it takes now.
    now: Duration,
    /// The share of the lost among the packets sent lately.
    lost: f64,
}

impl Path {
    fn new(mtu: u16) -> Self {
        Self { mtu: mtu.into(), empty: Duration::MAX, now: Duration::ZERO, lost: 0.0 }
    }

    /// So many bytes arrived.
    fn arrived(&mut self, bytes: u64, now: Duration, empty: Duration) {
        (self.now, self.empty) = (now, empty);
        self.lost -= self.lost * self.weight(bytes);
    }

    /// So many bytes were lost.
    fn lost(&mut self, bytes: u64) {
        self.lost += (1.0 - self.lost) * self.weight(bytes);
    }

    fn weight(&self, bytes: u64) -> f64 {
        (bytes as f64 / self.mtu / AVERAGED_PACKETS).min(1.0)
    }

    /// Whether what is lost now is lost to congestion.
    fn is_congested(&self) -> bool {
        let queue = (self.empty / QUEUE_PART).clamp(QUEUE_MIN, QUEUE_MAX);
        self.now.saturating_sub(self.empty) > queue || self.lost > NOISE_MAX
    }
}

impl Controller for Discerned {
    fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        app_limited: bool,
        rtt: &RttEstimator,
    ) {
        self.path.arrived(bytes, rtt.get(), rtt.min());
        self.cubic.on_ack(now, sent, bytes, app_limited, rtt);
    }

    fn on_congestion_event(
        &mut self,
        now: Instant,
        sent: Instant,
        is_persistent: bool,
        lost_bytes: u64,
    ) {
        self.path.lost(lost_bytes);
        let is_marked = lost_bytes == 0;
        if is_persistent || is_marked || self.path.is_congested() {
            self.cubic.on_congestion_event(now, sent, is_persistent, lost_bytes);
        }
    }

    fn on_mtu_update(&mut self, mtu: u16) {
        self.path.mtu = mtu.into();
        self.cubic.on_mtu_update(mtu);
    }

    fn window(&self) -> u64 {
        self.cubic.window()
    }

    fn metrics(&self) -> ControllerMetrics {
        self.cubic.metrics()
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }

    fn initial_window(&self) -> u64 {
        self.cubic.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MTU: u16 = 1_200;
    const EMPTY: Duration = Duration::from_millis(50);

    fn now() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    /// A controller in which packets have arrived that took `EMPTY` and a queue.
    fn after(packets: usize, queue: Duration) -> Discerned {
        let mut path = Path::new(MTU);
        for _ in 0..packets {
            path.arrived(MTU.into(), EMPTY + queue, EMPTY);
        }
        let cubic = Cubic::new(Arc::default(), now(), MTU);
        Discerned { cubic, path }
    }

    /// Whether the window shrinks where `packets` are lost at once.
    fn shrinks(mut one: Discerned, packets: u64, is_persistent: bool) -> bool {
        let before = one.window();
        let now = now();
        one.on_congestion_event(now, now, is_persistent, packets * u64::from(MTU));
        one.window() < before
    }

    #[test]
    fn a_loss_counts_where_a_queue_has_built_up() {
        assert!(!shrinks(after(100, Duration::ZERO), 1, false));
        assert!(!shrinks(after(100, EMPTY / QUEUE_PART), 1, false));
        assert!(shrinks(after(100, EMPTY / QUEUE_PART + Duration::from_millis(1)), 1, false));
    }

    #[test]
    fn a_loss_counts_where_more_is_lost_than_noise_explains() {
        let mut one = after(1_000, Duration::ZERO);
        let now = now();
        let window = one.window();
        // Two in a hundred, evenly.
        for _ in 0..40 {
            one.on_congestion_event(now, now, false, u64::from(MTU));
            for _ in 0..49 {
                one.path.arrived(MTU.into(), EMPTY, EMPTY);
            }
        }
        assert_eq!(one.window(), window, "{}", one.path.lost);
        assert!((0.015..0.025).contains(&one.path.lost), "{}", one.path.lost);
        assert!(shrinks(one.clone(), 12, false), "a burst");
        // Six in a hundred.
        for _ in 0..40 {
            one.on_congestion_event(now, now, false, u64::from(MTU));
            for _ in 0..16 {
                one.path.arrived(MTU.into(), EMPTY, EMPTY);
            }
        }
        assert!(one.window() < window);
    }

    #[test]
    fn marks_and_silence_always_count() {
        assert!(shrinks(after(100, Duration::ZERO), 0, false), "marked");
        assert!(shrinks(after(100, Duration::ZERO), 1, true), "silence");
    }

    #[test]
    fn of_a_path_of_which_nothing_is_known_a_loss_is_noise_until_there_are_many() {
        assert!(!shrinks(after(0, Duration::ZERO), 1, false));
        assert!(shrinks(after(0, Duration::ZERO), 20, false));
    }
}
