//! `idle`: what agents cost that do nothing.

use super::super::agents::{Crowd, number};
use super::super::contestant::{Ground, Member, weft};
use super::super::figure::{Better, Bound, Measure, Played, Target};
use super::super::stage::Stage;
use anyhow::Context;
use std::time::Duration;

/// What is done.
pub(crate) const WHAT: &str = "So many agents join one hub, connect and do nothing. Memory of an \
    agent is what the hub's resident memory grew by, divided by their number; keep-alives are the \
    hub's CPU while nothing else happens.";

const MEMORY: Measure = Measure {
    id: "hub-kib-per-agent",
    what: "hub memory per idle agent",
    unit: "KiB",
    better: Better::Less,
};
const KEEP_ALIVE: Measure = Measure {
    id: "keep-alive-cpu",
    what: "hub CPU of keep-alives for 2 000 agents",
    unit: "% of a core",
    better: Better::Less,
};
const OPENED: Measure =
    Measure { id: "opened", what: "all in service after", unit: "s", better: Better::Less };

/// Hub memory that an idle agent may hold.
const KIB_MAX: f64 = 36.0;
/// CPU that keep-alives of 2 000 agents may take, in percent of a core.
const PERCENT_MAX: f64 = 1.0;
/// What the tool may take beyond joining and holding.
const LATE_MAX: Duration = Duration::from_secs(60);

/// Plays it.
///
/// # Errors
/// Where the hub or its agents do not come up.
///
/// # Cancel safety
/// Dropped, it ends what it started.
pub(crate) async fn play(stage: &Stage, played: &mut Played) -> anyhow::Result<()> {
    let counts: &[usize] = stage.level.of(&[50], &[2_000], &[10_000, 50_000]);
    let hold = stage.level.of(2, 10, 60);
    played.set("agents", format!("{counts:?}"));
    played.set("hold", hold);
    stage.progress.expect(counts.len());
    for count in counts {
        let at = format!("agents {count}");
        stage.progress.say(&format!("idle: {at}"));
        let site = stage.here();
        let dir = stage.folder(&format!("idle-{count}"))?;
        // Nobody asks a provider here.
        let provider = std::net::SocketAddr::from(([127, 0, 0, 1], 9));
        let ground = Ground { stage, site: &site, provider, dir: &dir };
        let weft::Alone { hub, mesh, .. } = weft::alone(&ground).await?;
        let hub = Member { role: "hub", process: hub.into_process() };
        let words = ["--hold", &hold.to_string()].map(str::to_owned);
        let pid = hub.process.id();
        let crowd = Crowd::start(stage, &site, "idle", *count, &mesh.data, pid, &words)?;
        // A handshake takes a few milliseconds of both ends, and joining as much again.
        let within = Duration::from_secs(hold) + Duration::from_millis(12 * *count as u64);
        let document = crowd.end(within + LATE_MAX).await?;
        if let Some(failed) = document["failed"].as_str() {
            played.faults.push(format!("{at}: {failed}"));
        }
        let lost = number(&document, "/idle/lost").unwrap_or(0.0);
        if lost > 0.0 {
            played.faults.push(format!("{at}: {lost} idle agents lost their connection"));
        }
        let figures = &mut played.figures;
        let kib = number(&document, "/hub/kib_per_agent").context("no hub memory was told")?;
        figures.add(MEMORY, "weft", &at, kib);
        if let Some(percent) = number(&document, "/idle/hub_cpu_percent_per_2000_agents") {
            figures.add(KEEP_ALIVE, "weft", &at, percent);
        }
        if let Some(took) = number(&document, "/opened/took_ms") {
            figures.add(OPENED, "weft", &at, took / 1e3);
        }
        stage.progress.step();
    }
    let most = format!("agents {}", counts.iter().max().unwrap_or(&0));
    for (measure, limit) in [(MEMORY, KIB_MAX), (KEEP_ALIVE, PERCENT_MAX)] {
        played.targets.push(Target {
            what: format!("{}, {most}", measure.what),
            unit: measure.unit.to_owned(),
            measured: played.figures.median(measure.id, "weft", &most),
            against: format!("{limit} {}", measure.unit),
            limit: Some(limit),
            bound: Bound::AtMost,
        });
    }
    Ok(())
}
