//! `sibling`: token streams beside large uploads, on one agent and one link: the head-of-line test.

use super::super::contestant::Name;
use super::super::figure::{Better, Bound, Drawn, Line, Measure, Played, Plot, Target};
use super::super::load::{self, Load};
use super::super::stage::{Lineup, Stage};
use super::turns;
use crate::link::Place;
use std::collections::BTreeMap;

/// What is done.
pub(crate) const WHAT: &str = "Token streams through one agent, whose link to the hub is that of a \
    place people know; first alone, then beside uploads of 20 to 64 MiB on the same link. What \
    counts is the gap between deltas, p99, with and without uploads. Tunnels are the same with \
    their server where the hub is and their client where the agent is.";

const ALONE: Measure =
    Measure { id: "gap-alone", what: "gap p99, streams alone", unit: "ms", better: Better::Less };
const BESIDE: Measure =
    Measure { id: "gap-beside", what: "gap p99, beside uploads", unit: "ms", better: Better::Less };
const RATIO: Measure = Measure {
    id: "gap-ratio",
    what: "gap p99 beside uploads, over alone",
    unit: "×",
    better: Better::Less,
};
const UPLOADED: Measure = Measure {
    id: "uploaded",
    what: "bytes of uploads meanwhile",
    unit: "MiB/s",
    better: Better::More,
};

/// The provider answers streams with a delta each 100 ms, which a lossy link can carry.
const PROVIDER: [&str; 4] = ["--deltas", "64", "--pace-ms", "100"];
/// Token streams at a time, and uploads beside them.
const STREAMS: usize = 8;
const UPLOADS: usize = 2;
/// What uploads may make of the gap.
const RATIO_MAX: f64 = 1.3;
/// Of the best TCP tunnel's gap.
const OF_TUNNEL_MAX: f64 = 0.2;
/// Who takes part: the floor on this link is a tunnel's own.
const NAMES: [Name; 5] = [Name::Weft, Name::Rathole, Name::Rusnel, Name::Bore, Name::Openssh];

/// How long a round lasts, in seconds.
#[derive(Clone, Copy)]
struct Times {
    alone: f64,
    beside: f64,
    warm_up: f64,
}

/// Plays it.
///
/// # Errors
/// Where nobody is left to be measured, or the machine has no room for links.
///
/// # Cancel safety
/// Dropped, it ends what it started.
pub(crate) async fn play(stage: &Stage, played: &mut Played) -> anyhow::Result<()> {
    let places: &[Place] = stage.level.of(
        &[Place::Fibre],
        &[Place::Lossy],
        &[Place::Fibre, Place::Home, Place::Cafe, Place::Mobile, Place::Satellite, Place::Lossy],
    );
    let times = Times {
        alone: stage.level.of(2.0, 8.0, 10.0),
        beside: stage.level.of(2.0, 8.0, 30.0),
        warm_up: stage.level.of(0.5, 1.0, 2.0),
    };
    let rounds = stage.rounds(1);
    // Short ones where there is little time: a stream must end to be measured.
    let stream = stage.level.of(
        "stream,deltas=10,pace=100ms",
        "stream,deltas=20,pace=100ms",
        "stream,deltas=64,pace=100ms",
    );
    let upload = stage.level.of("1MiB", "20MiB..64MiB", "20MiB..64MiB");
    let names: Vec<Place> = places.to_vec();
    let words: Vec<&str> = names.iter().map(|place| place.name()).collect();
    played.set("places", words.join(", "));
    played.set("rounds", rounds);
    played.set("seconds alone", times.alone);
    played.set("seconds beside", times.beside);
    played.set("warm-up", times.warm_up);
    played.set("streams", format!("{STREAMS} × {stream}"));
    played.set("uploads", format!("{UPLOADS} × {upload}"));
    stage.progress.expect(names.len() * rounds * 2 * NAMES.len());
    let mut cdfs: BTreeMap<String, Vec<[f64; 2]>> = BTreeMap::new();
    for place in names {
        let site = stage.apart(place)?;
        played.set(&format!("network {}", place.name()), place.name());
        let mut lineup = Lineup::gather(stage, site, &NAMES, &PROVIDER, played).await?;
        for round in 1..=rounds {
            stage.progress.say(&format!("sibling: {}, round {round} of {rounds}", place.name()));
            one(stage, &mut lineup, place, times, [stream, upload], played, &mut cdfs).await?;
        }
        let account = lineup.site.network()?.account();
        if account.unread > 0 {
            let unread = account.unread;
            played.notes.push(format!("{}: {unread} packets were not read in time", place.name()));
        }
    }
    conclude(played, cdfs);
    Ok(())
}

/// Alone, then beside uploads, one contestant after the other.
async fn one(
    stage: &Stage,
    lineup: &mut Lineup,
    place: Place,
    times: Times,
    [stream, upload]: [&str; 2],
    played: &mut Played,
    cdfs: &mut BTreeMap<String, Vec<[f64; 2]>>,
) -> anyhow::Result<()> {
    let at = place.name();
    let patience = stage.level.of("20", "20", "120");
    let streams =
        |seconds| Load::of(STREAMS, seconds, times.warm_up, stream).with(&["--timeout", patience]);
    let mut alone = BTreeMap::new();
    turns::each(stage, lineup, &streams(times.alone), played, |played, contestant, round| {
        turns::judge(played, contestant.name, &format!("{at}, alone"), &round);
        if let Some(gap) = &round.users.total.gap {
            alone.insert(contestant.name, gap.p99_us / 1e3);
            played.figures.add(ALONE, contestant.name.word(), at, gap.p99_us / 1e3);
        }
    })
    .await?;
    // The uploads begin before the streams and end behind them. They are not tried out first: on
    // such a link that would take longer than all the rest.
    let around = times.beside + times.warm_up + 1.0;
    let around = Load::of(UPLOADS, around, 0.0, &format!("upload,size={upload}")).with(&[
        "--timeout",
        "240",
        "--drain",
        "0",
        "--check",
        "frames",
    ]);
    let beside = streams(times.beside);
    let doors: Vec<_> = lineup
        .contestants
        .iter()
        .map(|contestant| (contestant.name, contestant.door.clone(), contestant.pids()))
        .collect();
    for (name, door, pids) in doors {
        let site = &lineup.site;
        let (uploads, tokens) = tokio::join!(
            load::play(stage, site, &door, Vec::new(), &around),
            load::play(stage, site, &door, pids, &beside),
        );
        stage.progress.step();
        let round = match tokens {
            Ok(round) => round,
            Err(error) => {
                played.miss(name.word(), format!("{at}, beside uploads: {error:#}"));
                continue;
            }
        };
        turns::judge(played, name, &format!("{at}, beside uploads"), &round);
        match uploads {
            Ok(uploads) => {
                let mib = uploads.users.total.throughput.bytes_up_per_second / (1024.0 * 1024.0);
                played.figures.add(UPLOADED, name.word(), at, mib);
            }
            Err(error) => {
                played.notes.push(format!("{} ({at}), uploads: {error:#}", name.word()));
            }
        }
        let Some(gap) = &round.users.total.gap else { continue };
        let beside = gap.p99_us / 1e3;
        played.figures.add(BESIDE, name.word(), at, beside);
        if let Some(alone) = alone.get(&name).filter(|alone| **alone > 0.0) {
            played.figures.add(RATIO, name.word(), at, beside / alone);
        }
        if place == Place::Lossy {
            let milli = |point: &[f64; 2]| [point[0] / 1e3, point[1]];
            cdfs.insert(name.word().to_owned(), gap.cdf.iter().map(milli).collect());
        }
    }
    Ok(())
}

fn conclude(played: &mut Played, cdfs: BTreeMap<String, Vec<[f64; 2]>>) {
    let at = Place::Lossy.name();
    played.targets.push(Target {
        what: format!("{}, {at}", RATIO.what),
        unit: RATIO.unit.to_owned(),
        measured: played.figures.median(RATIO.id, "weft", at),
        against: "the same link without uploads".to_owned(),
        limit: Some(RATIO_MAX),
        bound: Bound::AtMost,
    });
    // Those over TCP: rusnel is QUIC, as Weft is.
    let tcp = [Name::Rathole, Name::Bore, Name::Openssh];
    let of = |name: &Name| Some((*name, played.figures.median(BESIDE.id, name.word(), at)?));
    let best = tcp.iter().filter_map(of).min_by(|one, other| one.1.total_cmp(&other.1));
    played.targets.push(Target {
        what: format!("{}, {at}", BESIDE.what),
        unit: BESIDE.unit.to_owned(),
        measured: played.figures.median(BESIDE.id, "weft", at),
        against: best.map_or_else(
            || "1/5 of the best TCP tunnel".to_owned(),
            |(name, _)| format!("1/5 of the best TCP tunnel ({})", name.word()),
        ),
        limit: best.map(|(_, gap)| gap * OF_TUNNEL_MAX),
        bound: Bound::AtMost,
    });
    if !cdfs.is_empty() {
        let lines = cdfs.into_iter().map(|(name, points)| Line::thinned(name, points)).collect();
        played.plots.push(Plot {
            title: "Gaps between deltas beside uploads, 50 ms and 2 % loss".to_owned(),
            note:
                "How many of all gaps are no longer than that. The steeper at 100 ms, the better."
                    .to_owned(),
            drawn: Drawn::Lines,
            x: "ms".to_owned(),
            y: "share of gaps".to_owned(),
            log_x: true,
            log_y: false,
            lines,
        });
    }
}
