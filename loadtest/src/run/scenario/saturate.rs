//! `saturate`: how many requests a second of CPU time is good for, while 99 of 100 answers keep a
//! bound.

use super::super::contestant::Name;
use super::super::figure::{Better, Bound, Drawn, Line, Measure, Played, Plot, Target};
use super::super::load::Load;
use super::super::stage::{Lineup, Stage};
use super::turns;
use std::collections::BTreeMap;

/// What is done.
pub(crate) const WHAT: &str = "The requests of `overhead` by ever more users in a closed loop. Of \
    the loads at which 99 of 100 answers keep the bound, the one counts at which a second of CPU \
    time of all the contestant's processes answers the most requests.";

const PER_CPU: Measure =
    Measure { id: "per-cpu", what: "requests per CPU-second", unit: "1/s", better: Better::More };
const AT_LEVEL: Measure = Measure {
    id: "per-cpu-at",
    what: "requests per CPU-second, whatever p99",
    unit: "1/s",
    better: Better::More,
};
const HUB: Measure = Measure {
    id: "hub-cpu",
    what: "CPU of the hub for a request",
    unit: "µs",
    better: Better::Less,
};

/// Bounds of p99, in milliseconds.
const BOUNDS: [u32; 3] = [5, 10, 50];
/// What the hub may take for a request, in microseconds.
const HUB_US_MAX: f64 = 60.0;
/// Who takes part: tunnels do not see requests.
const NAMES: [Name; 6] =
    [Name::OneHop, Name::TwoHops, Name::Weft, Name::Litellm, Name::Portkey, Name::Tensorzero];
const PROVIDER: [&str; 4] = ["--deltas", "1", "--delta-bytes", "512"];
const KIND: &str = "json,bytes=1KiB";

/// Plays it.
///
/// # Errors
/// Where nobody is left to be measured.
///
/// # Cancel safety
/// Dropped, it ends what it started.
pub(crate) async fn play(stage: &Stage, played: &mut Played) -> anyhow::Result<()> {
    let levels: &[usize] = stage.level.of(&[4], &[4, 16, 64], &[1, 4, 16, 64, 128]);
    let seconds = stage.level.of(0.5, 1.5, 3.0);
    let warm_up = stage.level.of(0.1, 0.3, 0.5);
    let rounds = stage.rounds(stage.level.of(1, 2, 5));
    played.set("concurrency", format!("{levels:?}"));
    played.set("rounds", rounds);
    played.set("seconds", seconds);
    played.set("warm-up", warm_up);
    played.set("kind", KIND);
    let mut lineup = Lineup::gather(stage, stage.here(), &NAMES, &PROVIDER, played).await?;
    stage.progress.expect(rounds * levels.len() * lineup.contestants.len());
    for round in 1..=rounds {
        // The best of this round by contestant and bound.
        let mut best: BTreeMap<(Name, u32), f64> = BTreeMap::new();
        for level in levels {
            let at = format!("concurrency {level}");
            stage.progress.say(&format!("saturate: {at}, round {round} of {rounds}"));
            let load = Load::of(*level, seconds, warm_up, KIND);
            turns::each(stage, &mut lineup, &load, played, |played, contestant, round| {
                let name = contestant.name;
                turns::judge(played, name, &at, &round);
                let (total, cpu) = (&round.users.total, round.cpu_seconds());
                let Some(hist) = total.total.as_ref().filter(|_| cpu > 0.0) else { return };
                let each = total.counts.done as f64 / cpu;
                played.figures.add(AT_LEVEL, name.word(), &at, each);
                for bound in BOUNDS {
                    if hist.p99_us <= f64::from(bound) * 1e3 {
                        let best = best.entry((name, bound)).or_insert(each);
                        *best = best.max(each);
                    }
                }
            })
            .await?;
        }
        for ((name, bound), each) in best {
            played.figures.add(PER_CPU, name.word(), &format!("p99 ≤ {bound} ms"), each);
        }
    }
    hub(stage, &mut lineup, played, seconds, warm_up).await?;
    conclude(played);
    Ok(())
}

/// The hub's own share, apart from the agent's.
async fn hub(
    stage: &Stage,
    lineup: &mut Lineup,
    played: &mut Played,
    seconds: f64,
    warm_up: f64,
) -> anyhow::Result<()> {
    let weft = lineup.contestants.iter().find(|contestant| contestant.name == Name::Weft);
    let Some((weft, pid)) = weft.and_then(|weft| Some((weft, weft.pid("hub")?))) else {
        return Ok(());
    };
    let concurrency = 64;
    for _ in 0..stage.rounds(stage.level.of(1, 2, 5)) {
        let load = Load::of(concurrency, seconds, warm_up, KIND);
        let round =
            super::super::load::play(stage, &lineup.site, &weft.door, vec![pid], &load).await?;
        let done = round.users.total.counts.done;
        if done > 0 {
            let each = round.cpu_seconds() * 1e6 / done as f64;
            played.figures.add(HUB, "weft", &format!("concurrency {concurrency}"), each);
        }
    }
    Ok(())
}

fn conclude(played: &mut Played) {
    played.targets.push(Target {
        what: HUB.what.to_owned(),
        unit: HUB.unit.to_owned(),
        measured: played.figures.median(HUB.id, "weft", "concurrency 64"),
        against: format!("{HUB_US_MAX} µs"),
        limit: Some(HUB_US_MAX),
        bound: Bound::AtMost,
    });
    for bound in BOUNDS {
        let at = format!("p99 ≤ {bound} ms");
        let of = |name: Name| Some((name, played.figures.median(PER_CPU.id, name.word(), &at)?));
        let best = Name::GATEWAYS.into_iter().filter_map(of);
        let best = best.max_by(|one, other| one.1.total_cmp(&other.1));
        played.targets.push(Target {
            what: format!("{}, {at}", PER_CPU.what),
            unit: PER_CPU.unit.to_owned(),
            measured: played.figures.median(PER_CPU.id, Name::Weft.word(), &at),
            against: best.map_or_else(
                || "the best gateway's single hop (none kept the bound)".to_owned(),
                |(name, _)| format!("the best gateway's single hop ({})", name.word()),
            ),
            limit: best.map(|(_, each)| each),
            bound: Bound::AtLeast,
        });
    }
    let at = "p99 ≤ 50 ms";
    let bar = |name: &Name| {
        let each = played.figures.median(PER_CPU.id, name.word(), at)?;
        Some(Line { name: name.word().to_owned(), points: vec![[0.0, each]] })
    };
    let lines = NAMES.iter().filter_map(bar).collect();
    played.plots.push(Plot {
        title: format!("Requests per CPU-second, {at}"),
        note: "The longer, the better. All processes of a contestant together.".to_owned(),
        drawn: Drawn::Bars,
        x: "requests per CPU-second".to_owned(),
        y: String::new(),
        log_x: false,
        log_y: false,
        lines,
    });
}
