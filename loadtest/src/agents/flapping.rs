//! Mode flapping: a share of the agents lose their tunnels at random times and come back, some
//! before the hub has noticed; the others must not notice either.

use super::crowd::{Crowd, read};
use super::life::Flaps;
use super::report::{Flapping, Percentiles};
use super::storm::away;
use std::time::Duration;

/// Lets them flap for so long, then waits until all are in service.
pub(super) async fn hold(
    crowd: &Crowd,
    flaps: &Flaps,
    steady: usize,
    count: usize,
    hold: Duration,
) -> Flapping {
    let failures = read(&crowd.counts.failures);
    tokio::time::sleep(hold).await;
    flaps.enough.cancel();
    crowd.until(|now| *now == count).await;
    let events = crowd.take_events();
    let steady_lost = events.lost.iter().filter(|(number, _)| *number < steady).count();
    // Each came back for the first time when it was opened.
    let reconnected = events.back.len().saturating_sub(count);
    Flapping {
        flapping: count - steady,
        losses_made: read(&crowd.counts.losses_made),
        reconnected: reconnected as u64,
        failures: read(&crowd.counts.failures) - failures,
        refused: crowd.take_refusals(),
        away_ms: Percentiles::of(away(&events)),
        steady_lost: steady_lost as u64,
    }
}
