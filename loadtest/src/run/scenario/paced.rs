//! `paced`: streams as models write them, a delta each 20 ms; how many come through clean at once.

use super::super::contestant::Name;
use super::super::figure::{Better, Bound, Drawn, Line, Measure, Played, Plot, Target};
use super::super::load::Load;
use super::super::stage::{Lineup, Stage};
use super::turns;
use std::collections::{BTreeMap, BTreeSet};

/// What is done.
pub(crate) const WHAT: &str = "Streams of 64 deltas, one each 20 ms, so many at a time. A load is \
    clean when no frame is lost, altered or out of order and no gap is over ten times the pace. \
    Who was not clean twice at a load is spared the higher ones.";

const CLEAN: Measure = Measure {
    id: "clean",
    what: "streams at once that stay clean",
    unit: "",
    better: Better::More,
};
const GAP: Measure =
    Measure { id: "gap-p99", what: "gap between deltas, p99", unit: "ms", better: Better::Less };
const FRAME: Measure =
    Measure { id: "frame-cpu", what: "CPU of a frame", unit: "µs", better: Better::Less };
const MEMORY: Measure =
    Measure { id: "memory", what: "memory, most seen", unit: "MiB", better: Better::Less };

const PROVIDER: [&str; 4] = ["--deltas", "64", "--pace-ms", "20"];
const KIND: &str = "stream,deltas=64,pace=20ms";
/// Streams that must stay clean.
const STREAMS_MIN: f64 = 512.0;
/// CPU of a frame that hub and agent may take, in microseconds.
const FRAME_US_MAX: f64 = 45.0;
/// A load at which all have to work and most are still clean: gaps are drawn there.
const DRAWN_AT: usize = 64;

/// Plays it.
///
/// # Errors
/// Where nobody is left to be measured.
///
/// # Cancel safety
/// Dropped, it ends what it started.
pub(crate) async fn play(stage: &Stage, played: &mut Played) -> anyhow::Result<()> {
    let levels: &[usize] = stage.level.of(&[8], &[64, 512], &[64, 256, 512, 768, 1_024]);
    let seconds = stage.level.of(1.5, 2.0, 6.0);
    let warm_up = stage.level.of(0.2, 0.5, 1.5);
    let rounds = stage.rounds(stage.level.of(1, 1, 3));
    played.set("streams", format!("{levels:?}"));
    played.set("rounds", rounds);
    played.set("seconds", seconds);
    played.set("warm-up", warm_up);
    played.set("kind", KIND);
    let mut lineup = Lineup::gather(stage, stage.here(), &Name::ALL, &PROVIDER, played).await?;
    stage.progress.expect(rounds * levels.len() * lineup.contestants.len());
    // Who was not clean, how often in all, at which load.
    let mut unclean: BTreeMap<(Name, usize), usize> = BTreeMap::new();
    let mut cdfs: BTreeMap<Name, Vec<[f64; 2]>> = BTreeMap::new();
    for round in 1..=rounds {
        let mut clean: BTreeMap<Name, usize> = BTreeMap::new();
        let mut spared = BTreeSet::new();
        for level in levels {
            let at = format!("streams {level}");
            stage.progress.say(&format!("paced: {at}, round {round} of {rounds}"));
            for ((name, load), times) in &unclean {
                if *times >= 2 && load < level {
                    spared.insert(*name);
                }
            }
            let load = Load::of(*level, seconds, warm_up, KIND);
            let (resting, working) =
                lineup.contestants.drain(..).partition(|one| spared.contains(&one.name));
            lineup.contestants = working;
            let turned =
                turns::each(stage, &mut lineup, &load, played, |played, contestant, round| {
                    let name = contestant.name;
                    turns::generator(played, name, &at, &round);
                    let total = &round.users.total;
                    let stalls = total.frames.stalls;
                    if round.fault().is_none() && stalls == 0 {
                        clean.insert(name, *level);
                    } else {
                        *unclean.entry((name, *level)).or_default() += 1;
                        let fault = round.fault().unwrap_or_default();
                        let told = format!("{} ({at}): {stalls} stalls {fault}", name.word());
                        played.notes.push(told);
                        if name == Name::Weft {
                            exact(played, &at, total);
                        }
                    }
                    if let Some(gap) = &total.gap {
                        played.figures.add(GAP, name.word(), &at, gap.p99_us / 1e3);
                        if *level == DRAWN_AT {
                            let milli = |point: &[f64; 2]| [point[0] / 1e3, point[1]];
                            cdfs.insert(name, gap.cdf.iter().map(milli).collect());
                        }
                    }
                    if name != Name::Direct {
                        let frames =
                            total.throughput.frames_per_second * round.users.window_seconds;
                        if frames > 0.0 {
                            let each = round.cpu_seconds() * 1e6 / frames;
                            played.figures.add(FRAME, name.word(), &at, each);
                        }
                        let most = round.seen.resident_kib_max() as f64 / 1_024.0;
                        played.figures.add(MEMORY, name.word(), &at, most);
                    }
                })
                .await;
            lineup.contestants.extend::<Vec<_>>(resting);
            lineup.contestants.sort_by_key(|contestant| contestant.name);
            turned?;
        }
        for contestant in &lineup.contestants {
            let name = contestant.name;
            let most = clean.get(&name).copied().unwrap_or(0);
            played.figures.add(CLEAN, name.word(), "", most as f64);
        }
    }
    conclude(played, levels, cdfs);
    Ok(())
}

/// Bytes, order and counts are exact whatever the load; only stalls are a matter of speed.
fn exact(played: &mut Played, at: &str, total: &super::super::load::Measured) {
    let frames = &total.frames;
    if frames.reordered + frames.duplicated + frames.altered > 0 {
        played.faults.push(format!(
            "weft ({at}): {} frames out of order, {} twice, {} altered",
            frames.reordered, frames.duplicated, frames.altered
        ));
    }
}

fn conclude(played: &mut Played, levels: &[usize], cdfs: BTreeMap<Name, Vec<[f64; 2]>>) {
    let most = levels.iter().copied().max().unwrap_or(0) as f64;
    played.targets.push(Target {
        what: CLEAN.what.to_owned(),
        unit: "streams".to_owned(),
        measured: played.figures.median(CLEAN.id, "weft", ""),
        against: format!("{STREAMS_MIN}"),
        // A run that does not go so far proves nothing about it.
        limit: (most >= STREAMS_MIN).then_some(STREAMS_MIN),
        bound: Bound::AtLeast,
    });
    let full = format!("streams {STREAMS_MIN}");
    played.targets.push(Target {
        what: format!("{} of hub and agent, {full}", FRAME.what),
        unit: FRAME.unit.to_owned(),
        measured: played.figures.median(FRAME.id, "weft", &full),
        against: format!("{FRAME_US_MAX} µs"),
        limit: Some(FRAME_US_MAX),
        bound: Bound::AtMost,
    });
    let lines: Vec<Line> =
        cdfs.into_iter().map(|(name, points)| Line::thinned(name.word(), points)).collect();
    if !lines.is_empty() {
        played.plots.push(Plot {
            title: format!("Gaps between deltas, {DRAWN_AT} streams"),
            note: "How many of all gaps are no longer than that. The steeper at 20 ms, the better."
                .to_owned(),
            drawn: Drawn::Lines,
            x: "ms".to_owned(),
            y: "share of gaps".to_owned(),
            log_x: true,
            log_y: false,
            lines,
        });
    }
    played.plots.push(Plot {
        title: "CPU of a frame over streams".to_owned(),
        note: "All processes of a contestant together. The lower, the better.".to_owned(),
        drawn: Drawn::Lines,
        x: "streams at a time".to_owned(),
        y: "µs".to_owned(),
        log_x: true,
        log_y: true,
        lines: played.figures.curves(FRAME.id),
    });
}
