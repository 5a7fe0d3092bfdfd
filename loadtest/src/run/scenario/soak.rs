//! `soak`: mixed traffic with faults and users who leave, for a long time; what stays behind.

use super::super::contestant::Name;
use super::super::figure::{Better, Bound, Drawn, Line, Measure, Played, Plot, Target};
use super::super::kernel::{self, Held};
use super::super::load::{self, Load};
use super::super::stage::{Lineup, Stage};
use super::super::watch::Watch;
use std::time::Duration;

/// What is done.
pub(crate) const WHAT: &str = "Streams, documents, embeddings and uploads, one in ten left by its \
    user, beside streams that the provider cuts short. Memory is watched all the time; when all has \
    ended, descriptors and threads must be as many as before.";

const SLOPE: Measure = Measure {
    id: "slope",
    what: "growth of memory over the second half, of what was held",
    unit: "% an hour",
    better: Better::Less,
};
const FILES: Measure = Measure {
    id: "files-left",
    what: "descriptors more than before",
    unit: "",
    better: Better::Less,
};
const THREADS: Measure = Measure {
    id: "threads-left",
    what: "threads more than before",
    unit: "",
    better: Better::Less,
};
const DONE: Measure =
    Measure { id: "done", what: "requests done", unit: "", better: Better::Neither };

const PROVIDER: [&str; 4] = ["--deltas", "32", "--pace-ms", "10"];
/// What is asked for, most of it small.
const KINDS: [&str; 4] = [
    "stream,weight=12,deltas=32,pace=10ms",
    "json,weight=6,bytes=1KiB",
    "embeddings,weight=2",
    "upload,weight=1,size=1MiB..8MiB",
];
/// How long everything rests before what is left is counted: idle connections time out meanwhile.
const REST: Duration = Duration::from_secs(3);
/// Descriptors that may be more: idle connections to the provider, which are kept.
const FILES_MAX: f64 = 64.0;

/// Plays it.
///
/// # Errors
/// Where Weft does not come up.
///
/// # Cancel safety
/// Dropped, it ends what it started.
pub(crate) async fn play(stage: &Stage, played: &mut Played) -> anyhow::Result<()> {
    let seconds = stage.level.of(4.0, 120.0, 1_800.0);
    let users = 16;
    played.set("seconds", seconds);
    played.set("users", users);
    played.set("kinds", KINDS.join(" "));
    played.set("abort", "0.1");
    let mut lineup = Lineup::gather(stage, stage.here(), &[Name::Weft], &PROVIDER, played).await?;
    stage.progress.expect(1);
    stage.progress.say(&format!("soak: {seconds:.0} s"));
    let Some(weft) = lineup.contestants.first_mut() else { anyhow::bail!("Weft is not there") };
    let (Some(hub), Some(agent)) = (weft.pid("hub"), weft.pid("agent")) else {
        anyhow::bail!("a process of Weft is not there")
    };
    let (door, both) = (weft.door.clone(), [("hub", hub), ("agent", agent)]);
    // A little of everything first: pools and caches fill up, and are no leak.
    let warm = Load { kinds: KINDS.map(str::to_owned).to_vec(), ..Load::of(users, 2.0, 0.0, "") };
    load::play(stage, &lineup.site, &door, Vec::new(), &warm).await?;
    tokio::time::sleep(REST).await;
    let before = both.map(|(_, pid)| kernel::held(pid));
    let watches = both.map(|(_, pid)| Watch::begin(vec![pid]));
    let good = Load { seconds, ..warm.clone() }.with(&["--abort", "0.1", "--timeout", "60"]);
    let bad = Load::of(4, seconds, 0.0, "stream,deltas=32,pace=10ms").with(&[
        "--sim-more",
        "fault=cut;at=5",
        "--check",
        "frames",
    ]);
    let site = &lineup.site;
    let (good, bad) = tokio::join!(
        load::play(stage, site, &door, Vec::new(), &good),
        load::play(stage, site, &door, Vec::new(), &bad),
    );
    // Watched while there is load; what comes after is rest.
    let mut memories = Vec::new();
    for watch in watches {
        memories.push(watch?.end().memory());
    }
    tokio::time::sleep(REST).await;
    let round = good?;
    if let Some(fault) = round.fault() {
        played.faults.push(format!("weft: {fault}"));
    }
    if let Err(error) = bad {
        played.notes.push(format!("the users whose streams are cut short: {error:#}"));
    }
    played.figures.add(DONE, "weft", "", round.users.total.counts.done as f64);
    let mut lines = Vec::new();
    for ((role, pid), (before, memory)) in both.into_iter().zip(before.into_iter().zip(memories)) {
        played.figures.add(SLOPE, "weft", role, growth(&memory));
        if let (Some(before), Some(after)) = (before, kernel::held(pid)) {
            left(played, role, before, after);
        }
        lines.push(Line::thinned(format!("weft {role}"), memory));
    }
    conclude(played, lines, stage);
    stage.progress.step();
    weft_is_there(&mut lineup)
}

fn weft_is_there(lineup: &mut Lineup) -> anyhow::Result<()> {
    lineup.contestants.iter_mut().try_for_each(|contestant| contestant.check())
}

fn left(played: &mut Played, role: &str, before: Held, after: Held) {
    let more = |after: u64, before: u64| after as f64 - before as f64;
    let (files, threads) = (more(after.files, before.files), more(after.threads, before.threads));
    played.figures.add(FILES, "weft", role, files);
    played.figures.add(THREADS, "weft", role, threads);
    if files > FILES_MAX {
        played.faults.push(format!("{role}: {files} descriptors more than before"));
    }
}

/// The line through the second half of the looks, in percent of their mean an hour.
fn growth(memory: &[[f64; 2]]) -> f64 {
    let half = &memory[memory.len() / 2..];
    let count = half.len().max(1) as f64;
    let sum = half.iter().fold([0.0, 0.0], |sum, look| [sum[0] + look[0], sum[1] + look[1]]);
    let (x, y) = (sum[0] / count, sum[1] / count);
    let over: f64 = half.iter().map(|look| (look[0] - x) * (look[1] - y)).sum();
    let under: f64 = half.iter().map(|look| (look[0] - x) * (look[0] - x)).sum();
    if under > 0.0 && y > 0.0 { over / under * 3_600.0 / y * 100.0 } else { 0.0 }
}

fn conclude(played: &mut Played, lines: Vec<Line>, stage: &Stage) {
    // In two minutes caches still fill up: only the full length says something.
    let judged = stage.level == super::super::level::Level::Full;
    for role in ["hub", "agent"] {
        played.targets.push(Target {
            what: format!("{}, {role}", SLOPE.what),
            unit: SLOPE.unit.to_owned(),
            measured: played.figures.median(SLOPE.id, "weft", role),
            against: "flat: 2 % an hour".to_owned(),
            limit: judged.then_some(2.0),
            bound: Bound::AtMost,
        });
    }
    played.plots.push(Plot {
        title: "Memory over time".to_owned(),
        note: "Resident memory under load. Flat is good.".to_owned(),
        drawn: Drawn::Lines,
        x: "s".to_owned(),
        y: "MiB".to_owned(),
        log_x: false,
        log_y: false,
        lines,
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fills_up_at_first_is_no_growth_and_a_leak_is() {
        let looks = |mib: fn(f64) -> f64| -> Vec<[f64; 2]> {
            (0..200).map(|second| [f64::from(second), mib(f64::from(second))]).collect()
        };
        assert!(growth(&looks(|second| 40.0 + second.min(60.0))).abs() < 1e-6);
        // 1 MiB a minute of about 42: a leak by any measure.
        assert!(growth(&looks(|second| 40.0 + second / 60.0)) > 100.0);
        assert!(growth(&[]).abs() < 1e-9);
    }
}
