//! Contestants in turns: A B C, A B C, …, so that whatever else the machine does falls on all.

use super::super::contestant::{Contestant, Name};
use super::super::figure::Played;
use super::super::load::{self, Load, Round};
use super::super::stage::{Lineup, Stage};

/// Rounds that may go wrong before a contestant is taken out.
const STRIKES_MAX: usize = 2;

/// Has users of `load` at each contestant of `lineup`, one after the other, and gives what came of
/// it to `found`. One that fails twice is taken out; whatever was wrong at Weft is a fault.
///
/// # Errors
/// Where nobody is left.
///
/// # Cancel safety
/// Dropped, it ends the users.
pub(crate) async fn each(
    stage: &Stage,
    lineup: &mut Lineup,
    load: &Load,
    played: &mut Played,
    mut found: impl FnMut(&mut Played, &Contestant, Round),
) -> anyhow::Result<()> {
    let names: Vec<Name> = lineup.contestants.iter().map(|contestant| contestant.name).collect();
    for name in names {
        let mut strikes = 0;
        loop {
            match once(stage, lineup, name, load).await {
                Ok((contestant, round)) => {
                    found(played, contestant, round);
                    break;
                }
                Err(error) => {
                    strikes += 1;
                    if strikes >= STRIKES_MAX {
                        lineup.retire(name, &format!("{error:#}"), played);
                        break;
                    }
                }
            }
        }
        stage.progress.step();
    }
    anyhow::ensure!(!lineup.contestants.is_empty(), "nobody is left to be measured");
    Ok(())
}

async fn once<'a>(
    stage: &Stage,
    lineup: &'a mut Lineup,
    name: Name,
    load: &Load,
) -> anyhow::Result<(&'a Contestant, Round)> {
    let at = lineup.contestants.iter().position(|contestant| contestant.name == name);
    let contestant = at.and_then(|at| lineup.contestants.get_mut(at));
    let Some(contestant) = contestant else { anyhow::bail!("it is gone") };
    contestant.check()?;
    let round = load::play(stage, &lineup.site, &contestant.door, contestant.pids(), load).await?;
    let counts = &round.users.total.counts;
    anyhow::ensure!(
        counts.done > 0,
        "no request came through{}",
        round.fault().map(|fault| format!(": {fault}")).unwrap_or_default()
    );
    Ok((contestant, round))
}

/// Notes what must never be: at Weft it is a fault, at others a remark.
pub(crate) fn judge(played: &mut Played, name: Name, at: &str, round: &Round) {
    let Some(fault) = round.fault() else { return };
    let told = format!("{} ({at}): {fault}", name.word());
    match name {
        Name::Weft => played.faults.push(told),
        Name::Direct
        | Name::OneHop
        | Name::TwoHops
        | Name::Rathole
        | Name::Rusnel
        | Name::Bore
        | Name::Openssh
        | Name::Litellm
        | Name::Portkey
        | Name::Tensorzero => played.notes.push(told),
    }
}

/// How the note on the generator begins.
const GENERATOR: &str =
    "the generator itself could not keep up (its own lag, not a contestant's) at: ";

/// Notes that the generator, not a contestant, was what bound a round: all of them in one line.
pub(crate) fn generator(played: &mut Played, name: Name, at: &str, round: &Round) {
    if !round.users.generator.saturated {
        return;
    }
    let busy = round.users.generator.busy * 100.0;
    let told = format!("{} ({at}, {busy:.0} % of a core)", name.word());
    match played.notes.iter_mut().find(|note| note.starts_with(GENERATOR)) {
        Some(note) => {
            note.push_str(", ");
            note.push_str(&told);
        }
        None => played.notes.push(format!("{GENERATOR}{told}")),
    }
}
