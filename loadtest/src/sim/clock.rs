//! The wall clock of a simulated machine: a fixed beginning, and the simulation's own time.

use std::time::Duration;
use weft_proto::time::{Clock, Timestamp};

/// When every simulation begins: 2026-01-01 00:00 UTC.
pub(super) const BEGINNING: Timestamp = Timestamp::from_secs(1_767_225_600);

/// Shows the simulated time. Outside of a simulated host it shows the beginning.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct SimClock;

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        BEGINNING.after(turmoil::sim_elapsed().unwrap_or(Duration::ZERO))
    }
}
