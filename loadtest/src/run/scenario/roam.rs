//! `roam`: the agent is seen under another address in the middle of streams, as behind a NAT that
//! forgets or on a telephone that changes networks.

use super::super::contestant::Name;
use super::super::figure::{Better, Measure, Played};
use super::super::load::{self, Load};
use super::super::stage::{Lineup, Stage};
use crate::link::Place;
use std::time::Duration;

/// What is done.
pub(crate) const WHAT: &str = "Token streams through an agent on a home link whose address, as the \
    hub sees it, changes every few seconds; what is sent to the last one is lost. Weft must lose \
    no frame. TCP tunnels cannot survive it and show what it costs them.";

const FAILED: Measure =
    Measure { id: "failed", what: "streams that broke off", unit: "%", better: Better::Less };
const GAP: Measure =
    Measure { id: "gap-max", what: "longest gap between deltas", unit: "ms", better: Better::Less };

const PROVIDER: [&str; 4] = ["--deltas", "64", "--pace-ms", "50"];
const STREAM: &str = "stream,deltas=64,pace=50ms";
const STREAMS: usize = 8;
const NAMES: [Name; 3] = [Name::Weft, Name::Rusnel, Name::Rathole];

/// Plays it.
///
/// # Errors
/// Where nobody is left to be measured, or the machine has no room for links.
///
/// # Cancel safety
/// Dropped, it ends what it started.
pub(crate) async fn play(stage: &Stage, played: &mut Played) -> anyhow::Result<()> {
    let seconds = stage.level.of(5.0, 10.0, 20.0);
    let every = Duration::from_secs(stage.level.of(3, 4, 5));
    let rounds = stage.rounds(stage.level.of(1, 1, 2));
    played.set("seconds", seconds);
    played.set("rounds", rounds);
    played.set("rebind every", format!("{every:?}"));
    played.set("streams", format!("{STREAMS} × {STREAM}"));
    played.set("place", Place::Home.name());
    let mut lineup =
        Lineup::gather(stage, stage.apart(Place::Home)?, &NAMES, &PROVIDER, played).await?;
    stage.progress.expect(rounds * lineup.contestants.len());
    for round in 1..=rounds {
        let all: Vec<_> = lineup
            .contestants
            .iter()
            .map(|contestant| (contestant.name, contestant.door.clone(), contestant.pids()))
            .collect();
        for (name, door, pids) in all {
            stage.progress.say(&format!("roam: {}, round {round} of {rounds}", name.word()));
            let load = Load::of(STREAMS, seconds, 1.0, STREAM).with(&["--timeout", "15"]);
            let network = lineup.site.network()?;
            let roaming = async {
                loop {
                    tokio::time::sleep(every).await;
                    network.rebind(0);
                }
            };
            let outcome = tokio::select! {
                biased;
                outcome = load::play(stage, &lineup.site, &door, pids, &load) => outcome,
                () = roaming => Err(anyhow::anyhow!("the roaming ended")),
            };
            stage.progress.step();
            let round = match outcome {
                Ok(round) => round,
                Err(error) => {
                    lineup.retire(name, &format!("{error:#}"), played);
                    continue;
                }
            };
            let total = &round.users.total;
            let bad = total.counts.failed + total.counts.unfinished;
            let begun = bad + total.counts.done;
            if begun > 0 {
                let part = bad as f64 * 100.0 / begun as f64;
                played.figures.add(FAILED, name.word(), "", part);
            }
            if let Some(gap) = &total.gap {
                played.figures.add(GAP, name.word(), "", gap.max_us / 1e3);
            }
            if name == Name::Weft
                && let Some(fault) = round.fault()
            {
                played.faults.push(format!("weft: {fault}"));
            }
        }
    }
    lineup.contestants.clear();
    Ok(())
}
