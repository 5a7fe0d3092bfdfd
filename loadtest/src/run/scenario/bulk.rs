//! `bulk`: how many bytes a second one agent's link carries.

use super::super::contestant::Name;
use super::super::figure::{Better, Bound, Drawn, Line, Measure, Played, Plot, Target};
use super::super::load::Load;
use super::super::stage::{Lineup, Stage};
use super::turns;

/// What is done.
pub(crate) const WHAT: &str = "Uploads of 64 MiB, a few at a time, through one agent's link on \
    loopback. Weft ends TLS, meters and charges them; tunnels carry bytes.";

const RATE: Measure =
    Measure { id: "bulk", what: "bytes to the provider", unit: "MiB/s", better: Better::More };
const CPU: Measure =
    Measure { id: "bulk-cpu", what: "CPU of a GiB", unit: "s", better: Better::Less };

const PROVIDER: [&str; 2] = ["--deltas", "1"];
/// Of plain TCP.
const OF_RATHOLE_MIN: f64 = 0.7;
const NAMES: [Name; 5] = [Name::Direct, Name::Weft, Name::Rathole, Name::Rusnel, Name::Openssh];
const MIB: f64 = 1024.0 * 1024.0;

/// Plays it.
///
/// # Errors
/// Where nobody is left to be measured.
///
/// # Cancel safety
/// Dropped, it ends what it started.
pub(crate) async fn play(stage: &Stage, played: &mut Played) -> anyhow::Result<()> {
    let kind = stage.level.of("upload,size=4MiB", "upload,size=64MiB", "upload,size=64MiB");
    let seconds = stage.level.of(0.5, 3.0, 5.0);
    let warm_up = stage.level.of(0.1, 0.5, 1.0);
    let rounds = stage.rounds(stage.level.of(1, 2, 5));
    let users = 4;
    played.set("rounds", rounds);
    played.set("seconds", seconds);
    played.set("warm-up", warm_up);
    played.set("kind", kind);
    played.set("users", users);
    let mut lineup = Lineup::gather(stage, stage.here(), &NAMES, &PROVIDER, played).await?;
    stage.progress.expect(rounds * lineup.contestants.len());
    for round in 1..=rounds {
        stage.progress.say(&format!("bulk: round {round} of {rounds}"));
        let load = Load::of(users, seconds, warm_up, kind).with(&["--timeout", "60"]);
        turns::each(stage, &mut lineup, &load, played, |played, contestant, round| {
            let name = contestant.name;
            turns::judge(played, name, "uploads", &round);
            turns::generator(played, name, "uploads", &round);
            let rate = round.users.total.throughput.bytes_up_per_second;
            played.figures.add(RATE, name.word(), "", rate / MIB);
            let carried = rate * round.users.window_seconds;
            if name != Name::Direct && carried > 0.0 {
                let each = round.cpu_seconds() / (carried / MIB / 1024.0);
                played.figures.add(CPU, name.word(), "", each);
            }
        })
        .await?;
    }
    for (name, part) in [(Name::Rusnel, 1.0), (Name::Rathole, OF_RATHOLE_MIN)] {
        played.targets.push(Target {
            what: RATE.what.to_owned(),
            unit: RATE.unit.to_owned(),
            measured: played.figures.median(RATE.id, "weft", ""),
            against: format!("{} % of {}", part * 100.0, name.word()),
            limit: played.figures.median(RATE.id, name.word(), "").map(|rate| rate * part),
            bound: Bound::AtLeast,
        });
    }
    let bar = |name: &Name| {
        let rate = played.figures.median(RATE.id, name.word(), "")?;
        Some(Line { name: name.word().to_owned(), points: vec![[0.0, rate]] })
    };
    let lines = NAMES.iter().filter_map(bar).collect();
    played.plots.push(Plot {
        title: "Uploads, MiB a second".to_owned(),
        note: "The longer, the better.".to_owned(),
        drawn: Drawn::Bars,
        x: "MiB/s".to_owned(),
        y: String::new(),
        log_x: false,
        log_y: false,
        lines,
    });
    Ok(())
}
