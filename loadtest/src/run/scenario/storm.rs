//! `storm`: the hub is killed and started again under all of its agents.

use super::super::agents::{Crowd, number};
use super::super::contestant::{Door, Ground, MODEL, Member, Name, weft};
use super::super::figure::{Better, Bound, Measure, Played, Target};
use super::super::load::{self, Load};
use super::super::stage::Stage;
use super::turns;
use std::time::Duration;

/// What is done.
pub(crate) const WHAT: &str = "So many agents are in service at one hub, which is killed and \
    started again on the same doors. Back in service is the last agent, counted from the first one \
    that noticed. Meanwhile users ask, from the moment on at which the hub listens again: no \
    request may be lost. Each may wait 25 s, for an idle agent learns that its hub was killed with \
    its next keep-alive. Hub, agents and users share the machine.";

const BACK: Measure =
    Measure { id: "back", what: "all back in service after", unit: "s", better: Better::Less };
const BACK_P50: Measure =
    Measure { id: "back-p50", what: "half are back after", unit: "s", better: Better::Less };
const ATTEMPTS: Measure =
    Measure { id: "attempts", what: "attempts to connect", unit: "", better: Better::Neither };

const ASKED: Measure =
    Measure { id: "asked", what: "requests answered meanwhile", unit: "", better: Better::Neither };
const WAITED: Measure =
    Measure { id: "waited", what: "the longest of them, p99", unit: "ms", better: Better::Less };
/// Users who ask while agents come back.
const USERS: usize = 8;
/// What they ask for: light agents answer it by themselves.
const KIND: &str = "json,bytes=1KiB";

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
    let rounds = stage.rounds(stage.level.of(1, 1, 2));
    played.set("agents", count);
    played.set("rounds", rounds);
    let seconds = stage.level.of(1.0, 5.0, 10.0);
    played.set("users", format!("{USERS} × {KIND}, {seconds} s"));
    let at = format!("agents {count}");
    stage.progress.expect(rounds);
    for round in 1..=rounds {
        stage.progress.say(&format!("storm: {at}, round {round} of {rounds}"));
        let site = stage.here();
        let dir = stage.folder(&format!("storm-{round}"))?;
        let provider = std::net::SocketAddr::from(([127, 0, 0, 1], 9));
        let ground = Ground { stage, site: &site, provider, dir: &dir };
        let weft::Alone { hub, key, mesh } = weft::alone(&ground).await?;
        let door = Door { sim: "none", ..weft::door(&hub, key) };
        let models = ["--models", MODEL].map(str::to_owned);
        let mut process = hub.into_process();
        let pid = process.id();
        let mut crowd = Crowd::start(stage, &site, "storm", count, &mesh.data, pid, &models)?;
        let joined = Duration::from_millis(12 * count as u64);
        crowd.ready(joined + LATE_MAX).await?;
        process.kill();
        let hub: Member = mesh.serve(stage.reaper.owner()).await?;
        stage.reaper.mind(hub.process.id());
        let load = Load::of(USERS, seconds, 0.0, KIND);
        let asking = load::play(stage, &site, &door, vec![hub.process.id()], &load);
        let (document, users) = tokio::join!(crowd.end(joined + LATE_MAX), asking);
        let (document, users) = (document?, users?);
        turns::judge(played, Name::Weft, &at, &users);
        let total = &users.users.total;
        played.figures.add(ASKED, "weft", &at, total.counts.done as f64);
        if let Some(hist) = &total.total {
            played.figures.add(WAITED, "weft", &at, hist.p99_us / 1e3);
        }
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
