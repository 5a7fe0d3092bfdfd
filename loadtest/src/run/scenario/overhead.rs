//! `overhead`: what each contestant adds to a call that the provider answers at once, at
//! concurrencies from 1 to 256.

use super::super::contestant::Name;
use super::super::figure::{Better, Bound, Drawn, Measure, Played, Plot, Target};
use super::super::load::Load;
use super::super::stage::{Lineup, Stage};
use super::turns;
use std::collections::BTreeMap;

/// What is done.
pub(crate) const WHAT: &str = "Chat completions of about 1 KiB as one JSON document, answered by \
    the provider at once, by so many users in a closed loop. What a contestant adds is its \
    percentile less the one of the provider alone, in the same round.";

const P50: Measure =
    Measure { id: "p50", what: "whole answer, p50", unit: "ms", better: Better::Less };
const P99: Measure =
    Measure { id: "p99", what: "whole answer, p99", unit: "ms", better: Better::Less };
const ADDED_P50: Measure =
    Measure { id: "added-p50", what: "added at p50", unit: "ms", better: Better::Less };
const ADDED_P99: Measure =
    Measure { id: "added-p99", what: "added at p99", unit: "ms", better: Better::Less };
const RATE: Measure =
    Measure { id: "rate", what: "requests a second", unit: "1/s", better: Better::More };
const CPU: Measure =
    Measure { id: "cpu", what: "CPU of a request", unit: "µs", better: Better::Less };

/// The provider's answers: about 1 KiB with all that is around the text.
const PROVIDER: [&str; 4] = ["--deltas", "1", "--delta-bytes", "512"];
/// What is asked.
const KIND: &str = "json,bytes=1KiB";
/// Over the floor of two hops, p50.
const P50_FACTOR: f64 = 1.5;
/// The same of p99.
const P99_FACTOR: f64 = 2.0;

/// Plays it.
///
/// # Errors
/// Where nobody is left to be measured.
///
/// # Cancel safety
/// Dropped, it ends what it started.
pub(crate) async fn play(stage: &Stage, played: &mut Played) -> anyhow::Result<()> {
    let levels: &[usize] = stage.level.of(&[1, 8], &[1, 64], &[1, 4, 16, 64, 256]);
    let seconds = stage.level.of(0.5, 1.0, 3.0);
    let warm_up = stage.level.of(0.1, 0.3, 0.5);
    let rounds = stage.rounds(stage.level.of(1, 2, 5));
    played.set("concurrency", format!("{levels:?}"));
    played.set("rounds", rounds);
    played.set("seconds", seconds);
    played.set("warm-up", warm_up);
    played.set("kind", KIND);
    let here = stage.here();
    let mut lineup = Lineup::gather(stage, here, &Name::ALL, &PROVIDER, played).await?;
    stage.progress.expect(rounds * levels.len() * lineup.contestants.len());
    for round in 1..=rounds {
        for level in levels {
            let at = format!("concurrency {level}");
            stage.progress.say(&format!("overhead: {at}, round {round} of {rounds}"));
            let load = Load::of(*level, seconds, warm_up, KIND);
            let mut whole: BTreeMap<Name, [f64; 2]> = BTreeMap::new();
            turns::each(stage, &mut lineup, &load, played, |played, contestant, round| {
                let name = contestant.name;
                turns::judge(played, name, &at, &round);
                turns::generator(played, name, &at, &round);
                let total = &round.users.total;
                let Some(hist) = &total.total else { return };
                let [p50, p99] = [hist.p50_us / 1e3, hist.p99_us / 1e3];
                whole.insert(name, [p50, p99]);
                played.figures.add(P50, name.word(), &at, p50);
                played.figures.add(P99, name.word(), &at, p99);
                played.figures.add(RATE, name.word(), &at, total.throughput.requests_per_second);
                if name != Name::Direct && total.counts.done > 0 {
                    let each = round.cpu_seconds() * 1e6 / total.counts.done as f64;
                    played.figures.add(CPU, name.word(), &at, each);
                }
            })
            .await?;
            let Some(floor) = whole.remove(&Name::Direct) else { continue };
            for (name, [p50, p99]) in whole {
                played.figures.add(ADDED_P50, name.word(), &at, p50 - floor[0]);
                played.figures.add(ADDED_P99, name.word(), &at, p99 - floor[1]);
            }
        }
    }
    conclude(played);
    Ok(())
}

fn conclude(played: &mut Played) {
    let alone = "concurrency 1";
    for (measure, factor) in [(ADDED_P50, P50_FACTOR), (ADDED_P99, P99_FACTOR)] {
        let floor = played.figures.median(measure.id, Name::TwoHops.word(), alone);
        let measured = played.figures.median(measure.id, Name::Weft.word(), alone);
        played.targets.push(Target {
            what: format!("{}, concurrency 1", measure.what),
            unit: measure.unit.to_owned(),
            measured,
            against: format!("{factor} × two nginx TLS hops"),
            limit: floor.map(|floor| floor * factor),
            bound: Bound::AtMost,
        });
    }
    let gateways =
        Name::GATEWAYS.map(|name| (name, played.figures.median(ADDED_P50.id, name.word(), alone)));
    let mut there: Vec<(Name, f64)> =
        gateways.into_iter().filter_map(|(name, added)| Some((name, added?))).collect();
    there.sort_by(|one, other| one.1.total_cmp(&other.1));
    let best = there.first();
    played.targets.push(Target {
        what: "added at p50, concurrency 1".to_owned(),
        unit: ADDED_P50.unit.to_owned(),
        measured: played.figures.median(ADDED_P50.id, Name::Weft.word(), alone),
        against: best.map_or_else(
            || "the best gateway's single hop".to_owned(),
            |(name, _)| format!("the best gateway's single hop ({})", name.word()),
        ),
        limit: best.map(|(_, added)| *added),
        bound: Bound::AtMost,
    });
    for (measure, title) in [
        (P50, "Half of all answers are there by then"),
        (P99, "99 of 100 answers are there by then"),
    ] {
        played.plots.push(Plot {
            title: title.to_owned(),
            note: "The lower, the better. Both axes grow by factors.".to_owned(),
            drawn: Drawn::Lines,
            x: "users at a time".to_owned(),
            y: "ms".to_owned(),
            log_x: true,
            log_y: true,
            lines: played.figures.curves(measure.id),
        });
    }
}
