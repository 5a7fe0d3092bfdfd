//! `storm`: the hub is killed and started again under all of its agents.

use super::super::agents::{Crowd, number};
use super::super::contestant::{Ground, Member, weft};
use super::super::figure::{Better, Bound, Measure, Played, Target};
use super::super::stage::Stage;
use std::time::Duration;

/// What is done.
pub(crate) const WHAT: &str = "So many agents are in service at one hub, which is killed and \
    started again on the same doors. Back in service is the last agent, counted from the first one \
    that noticed. Hub and agents share the machine.";

const BACK: Measure =
    Measure { id: "back", what: "all back in service after", unit: "s", better: Better::Less };
const BACK_P50: Measure =
    Measure { id: "back-p50", what: "half are back after", unit: "s", better: Better::Less };
const ATTEMPTS: Measure =
    Measure { id: "attempts", what: "attempts to connect", unit: "", better: Better::Neither };

/// When all must be back.
const SECONDS_MAX: f64 = 30.0;
/// What the tool may take beyond what it should.
const LATE_MAX: Duration = Duration::from_secs(90);

/// Plays it.
///
/// # Errors
/// Where the hub or its agents do not come up, or not again.
///
/// # Cancel safety
/// Dropped, it ends what it started.
pub(crate) async fn play(stage: &Stage, played: &mut Played) -> anyhow::Result<()> {
    let count: usize = stage.level.of(50, 2_000, 10_000);
    let rounds = stage.rounds(stage.level.of(1, 1, 3));
    played.set("agents", count);
    played.set("rounds", rounds);
    let at = format!("agents {count}");
    stage.progress.expect(rounds);
    for round in 1..=rounds {
        stage.progress.say(&format!("storm: {at}, round {round} of {rounds}"));
        let site = stage.here();
        let dir = stage.folder(&format!("storm-{round}"))?;
        let provider = std::net::SocketAddr::from(([127, 0, 0, 1], 9));
        let ground = Ground { stage, site: &site, provider, dir: &dir };
        let weft::Alone { hub, mesh, .. } = weft::alone(&ground).await?;
        let mut process = hub.into_process();
        let pid = process.id();
        let mut crowd = Crowd::start(stage, &site, "storm", count, &mesh.data, pid, &[])?;
        let joined = Duration::from_millis(12 * count as u64);
        crowd.ready(joined + LATE_MAX).await?;
        process.kill();
        let hub: Member = mesh.serve(stage.reaper.owner()).await?;
        stage.reaper.mind(hub.process.id());
        let document = crowd.end(joined + LATE_MAX).await?;
        if let Some(failed) = document["failed"].as_str() {
            played.faults.push(format!("{at}: {failed}"));
        }
        let back = number(&document, "/end/in_service").unwrap_or(0.0);
        if (back - count as f64).abs() > 0.5 {
            played.faults.push(format!("{at}: {back} agents are back in service"));
        }
        let figures = &mut played.figures;
        if let Some(max) = number(&document, "/storm/back_after_ms/max") {
            figures.add(BACK, "weft", &at, max / 1e3);
        }
        if let Some(p50) = number(&document, "/storm/back_after_ms/p50") {
            figures.add(BACK_P50, "weft", &at, p50 / 1e3);
        }
        if let Some(attempts) = number(&document, "/storm/attempts") {
            figures.add(ATTEMPTS, "weft", &at, attempts);
        }
        stage.progress.step();
    }
    played.targets.push(Target {
        what: format!("{}, {at}", BACK.what),
        unit: BACK.unit.to_owned(),
        measured: played.figures.median(BACK.id, "weft", &at),
        against: format!("{SECONDS_MAX} s"),
        limit: Some(SECONDS_MAX),
        bound: Bound::AtMost,
    });
    Ok(())
}
