//! Mode storm: all tunnels are lost at once, and all agents come back by themselves.
//!
//! The loss is the caller's, who restarts the hub, or the run's own, which cuts its sockets off. The
//! clock starts at the first loss that an agent notices, and stops when the last is in service again.

use super::clients::Clients;
use super::crowd::{Crowd, Events, read};
use super::report::{Percentiles, Storm};
use super::watch::Bar;
use anyhow::Context;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;
use weft_proto::time::{Clock, SystemClock};

/// What a storm is made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// This process drops the connections.
    pub(super) drop_all: bool,
    /// How long the caller has to restart the hub.
    pub(super) await_loss: Duration,
    /// How long all must then stay in service.
    pub(super) settle: Duration,
}

/// Waits for the storm, and until it is over.
///
/// # Errors
/// Where nothing is lost in time.
pub(super) async fn ride(
    crowd: &Crowd,
    clients: &Clients,
    plan: Plan,
    bar: &Bar,
) -> anyhow::Result<Storm> {
    let count = crowd.in_service();
    let (attempts, failures) = (read(&crowd.counts.attempts), read(&crowd.counts.failures));
    drop((crowd.take_events(), crowd.take_refusals()));
    let (clock_ms, clock) = (SystemClock.now().as_millis(), Instant::now());
    if plan.drop_all {
        clients.cut_off()?;
    }
    tokio::time::timeout(plan.await_loss, crowd.until(|now| *now < count))
        .await
        .with_context(|| format!("no tunnel was lost within {} s", plan.await_loss.as_secs()))?;
    bar.begin("storm", count);
    let mut events = Events::default();
    let mut changes = crowd.changes();
    loop {
        // All are in service, each having been lost: those that nothing was lost of still will be.
        gather(&mut events, crowd.take_events());
        let back = crowd.in_service();
        bar.at(back);
        if back == count && lost_once(&events) == count {
            break;
        }
        drop(changes.changed().await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(plan.settle).await;
    let lost_again = crowd.take_events().lost.len() as u64;
    let at = |when: Option<&Instant>| {
        when.map(|when| {
            let since = when.saturating_duration_since(clock).as_millis();
            clock_ms.saturating_add(u64::try_from(since).unwrap_or(u64::MAX))
        })
    };
    let times = |events: &[(usize, Instant)]| -> Vec<Instant> {
        events.iter().map(|(_, when)| *when).collect()
    };
    let (lost, back) = (times(&events.lost), times(&events.back));
    let first = lost.iter().min().copied().unwrap_or(clock);
    let since = |times: &[Instant]| {
        Percentiles::of(times.iter().map(|when| when.saturating_duration_since(first)).collect())
    };
    Ok(Storm {
        dropped: plan.drop_all,
        lost: lost_once(&events),
        lost_first_at_ms: at(lost.iter().min()),
        lost_last_at_ms: at(lost.iter().max()),
        back_first_at_ms: at(back.iter().min()),
        back_last_at_ms: at(back.iter().max()),
        lost_after_ms: since(&lost),
        back_after_ms: since(&back),
        away_ms: Percentiles::of(away(&events)),
        attempts: read(&crowd.counts.attempts) - attempts,
        handshake_failures: read(&crowd.counts.failures) - failures,
        refused: crowd.take_refusals(),
        lost_again,
    })
}

fn gather(all: &mut Events, more: Events) {
    all.lost.extend(more.lost);
    all.back.extend(more.back);
    all.opening.extend(more.opening);
}

/// How many agents lost their tunnel at least once.
fn lost_once(events: &Events) -> usize {
    let mut who: Vec<usize> = events.lost.iter().map(|(number, _)| *number).collect();
    who.sort_unstable();
    who.dedup();
    who.len()
}

/// How long each agent was away: from its first loss to its last return.
pub(super) fn away(events: &Events) -> Vec<Duration> {
    let mut lost: BTreeMap<usize, Instant> = BTreeMap::new();
    for (number, when) in &events.lost {
        lost.entry(*number).and_modify(|first| *first = (*first).min(*when)).or_insert(*when);
    }
    let back: BTreeMap<usize, Instant> = events.back.iter().copied().collect();
    lost.iter()
        .filter_map(|(number, lost)| Some(back.get(number)?.saturating_duration_since(*lost)))
        .collect()
}
