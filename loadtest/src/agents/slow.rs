//! Mode slow: a share of the agents grant windows of a few bytes, look at their control streams
//! seldom, and are reached over a long way; the others must not notice.

use super::crowd::Crowd;
use super::report::{Percentiles, Slow};
use std::time::Duration;

/// Receive window of each stream of a slow one, in bytes: less than a WELCOME.
pub(super) const STREAM_BYTES: u32 = 32;
/// How long it waits before each look at its control stream.
pub(super) const PAUSE: Duration = Duration::from_millis(250);
/// One way of the path to it.
pub(super) const DELAY: Duration = Duration::from_millis(150);

/// Holds them for so long. Agents from `steady` on are slow; `opening` are their handshakes.
pub(super) async fn hold(
    crowd: &Crowd,
    steady: usize,
    slow: usize,
    opening: Vec<Duration>,
    hold: Duration,
) -> Slow {
    tokio::time::sleep(hold).await;
    let events = crowd.take_events();
    let lost = events.lost.len();
    let steady_lost = events.lost.iter().filter(|(number, _)| *number < steady).count();
    Slow {
        slow,
        handshake_ms: Percentiles::of(opening),
        steady_lost: steady_lost as u64,
        slow_lost: (lost - steady_lost) as u64,
    }
}
