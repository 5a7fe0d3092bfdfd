//! Mode idle: they do nothing, and that is what is looked at.

use super::crowd::Crowd;
use super::report::{Idle, millis};
use super::watch::HubWatch;
use std::time::Duration;
use tokio::time::Instant;

/// Holds them for so long.
///
/// # Errors
/// Where the hub's process is gone.
pub(super) async fn hold(
    crowd: &Crowd,
    hub: Option<&mut HubWatch>,
    hold: Duration,
) -> anyhow::Result<Idle> {
    let (began, pings, count) = (Instant::now(), crowd.pings(), crowd.in_service());
    drop(crowd.take_events());
    tokio::time::sleep(hold).await;
    let held = began.elapsed();
    let keep_alives = crowd.pings().saturating_sub(pings);
    let percent = match hub {
        Some(hub) => Some(hub.held()?.as_secs_f64() / held.as_secs_f64() * 100.0),
        None => None,
    };
    Ok(Idle {
        hold_ms: millis(held),
        lost: crowd.take_events().lost.len() as u64,
        keep_alives,
        keep_alives_per_second: keep_alives as f64 / held.as_secs_f64(),
        hub_cpu_percent_of_a_core: percent,
        hub_cpu_percent_per_2000_agents: percent
            .map(|percent| percent * 2_000.0 / count.max(1) as f64),
    })
}
