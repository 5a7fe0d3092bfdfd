//! Paced streams: gaps between frames, lost frames, and the memory that many streams hold.
//!
//! The simulated provider keeps to a schedule, so a gap that is longer than the pace is delay that
//! was added on the way. The two ways take turns, wave by wave.

use super::client::{Line, Way};
use super::figure::{Row, Samples, Section};
use super::ground::{Ground, Held, Pids, Spent};
use super::latency::{Measured, company, connect_all, micros_each};
use super::progress::Progress;
use super::script::{Script, Shape};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Deltas of one stream.
const DELTAS: u32 = 64;
/// Milliseconds from one delta to the next.
const PACE_MS: u32 = 20;
/// The same.
const PACE: Duration = Duration::from_millis(PACE_MS as u64);
/// The streams of a wave begin over this time, evenly spread, as users do.
const SPREAD: Duration = Duration::from_millis(200);
/// How often memory is looked at while streams run.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What waves of streams showed.
#[derive(Debug)]
pub(crate) struct Waves {
    /// The figures, memory not among them.
    pub(crate) measured: Measured,
    /// The most memory seen at once while streams ran through the mesh.
    pub(crate) most: Option<Held>,
    /// How often memory was looked at.
    pub(crate) looks: u64,
}

/// Runs `rounds` waves of `streams` paced streams each way.
///
/// # Errors
/// Where a stream fails.
///
/// # Cancel safety
/// Nothing is lost but the figures.
pub(crate) async fn waves(
    ground: &mut Ground,
    id: &'static str,
    streams: usize,
    rounds: usize,
    progress: &Progress,
) -> anyhow::Result<Waves> {
    progress.say(&format!("{streams} paced streams at once"));
    let script =
        Arc::new(ground.learn(Shape::Streamed { deltas: DELTAS, pace_ms: PACE_MS }).await?);
    let mut gaps = [Samples::new()?, Samples::new()?];
    let mut late = gaps.clone();
    let mut spent = [Spent::default(); 2];
    let (mut lasted, mut missing, mut frames) = ([Duration::ZERO; 2], 0, [0_u64; 2]);
    let mut looked = Looked::default();
    for round in 1..=rounds {
        for (at, way) in Way::BOTH.into_iter().enumerate() {
            progress.tick(|| format!("wave {round} of {rounds}, {way:?}"));
            // One wave's connections are closed before the next one's: half the open files.
            let lines = connect_all(&ground.client, way, streams).await?;
            let (before, began) = (ground.pids().spent()?, Instant::now());
            let pids = (way == Way::Mesh).then(|| ground.pids());
            let wave = run_wave(lines, &script, pids, &mut looked).await?;
            spent[at] = spent[at].plus(ground.pids().spent()?.since(before));
            lasted[at] += began.elapsed();
            gaps[at].merge(&wave.gaps)?;
            late[at].merge(&wave.late)?;
            missing += wave.missing;
            frames[at] += (script.frames() * streams) as u64;
        }
    }
    let mut section = Section::new(
        id,
        format!(
            "Gap between SSE frames: {streams} streams of {DELTAS} deltas, one each {PACE_MS} ms"
        ),
        ["p50", "p99"],
    );
    for (what, [direct, mesh]) in [("gap", &gaps), ("behind the schedule", &late)] {
        section.rows.extend([
            Row::percentiles(format!("{what}, direct"), direct),
            Row::percentiles(format!("{what}, through hub and agent"), mesh),
            Row::added(format!("{what}, added"), mesh, direct),
        ]);
    }
    section.notes.push(format!(
        "{} frames direct and {} through, compared byte by byte: {missing} lost",
        frames[0], frames[1]
    ));
    section.notes.push(format!(
        "through: CPU per frame: hub {:.0}, agent {:.0}, provider {:.0}, client {:.0} us; {}",
        micros_each(spent[1].hub, frames[1]),
        micros_each(spent[1].agent, frames[1]),
        micros_each(spent[1].provider, frames[1]),
        micros_each(spent[1].client, frames[1]),
        company(spent[1], lasted[1]),
    ));
    let busy = spent[1].machine.as_secs_f64() / lasted[1].as_secs_f64().max(0.01);
    section.notes.push(format!("through: {busy:.2} cores busy on the whole machine"));
    let measured = Measured { section, missing };
    Ok(Waves { measured, most: looked.most, looks: looked.count })
}

/// The most memory seen.
#[derive(Debug, Default)]
struct Looked {
    most: Option<Held>,
    count: u64,
}

impl Looked {
    fn look(&mut self, pids: Pids) -> anyhow::Result<()> {
        let now = pids.memory()?;
        let most = self.most.get_or_insert(now);
        for (most, now) in [(&mut most.hub, now.hub), (&mut most.agent, now.agent)] {
            most.rss_kib = most.rss_kib.max(now.rss_kib);
            most.pss_kib = most.pss_kib.max(now.pss_kib);
        }
        self.count += 1;
        Ok(())
    }
}

struct Wave {
    gaps: Samples,
    late: Samples,
    missing: u64,
}

async fn run_wave(
    lines: Vec<Line>,
    script: &Arc<Script>,
    pids: Option<Pids>,
    looked: &mut Looked,
) -> anyhow::Result<Wave> {
    let (began, count) = (Instant::now(), lines.len().max(1) as u32);
    let mut streams = JoinSet::new();
    for (number, line) in lines.into_iter().enumerate() {
        let script = Arc::clone(script);
        let begin = began + SPREAD * number as u32 / count;
        streams.spawn(async move {
            tokio::time::sleep_until(begin).await;
            stream(line, &script).await
        });
    }
    let mut wave = Wave { gaps: Samples::new()?, late: Samples::new()?, missing: 0 };
    let mut next = began + LOOK_EVERY;
    loop {
        tokio::select! {
            biased;
            ended = streams.join_next() => match ended {
                Some(ended) => {
                    let stream = ended??;
                    for pair in stream.arrivals.windows(2) {
                        wave.gaps.add(pair[1] - pair[0]);
                    }
                    for (at, arrival) in stream.arrivals.iter().enumerate().skip(1) {
                        wave.late.add((*arrival - stream.arrivals[0]).saturating_sub(PACE * at as u32));
                    }
                    wave.missing += stream.missing;
                }
                None => return Ok(wave),
            },
            () = tokio::time::sleep_until(next), if pids.is_some() => {
                if let Some(pids) = pids {
                    looked.look(pids)?;
                }
                next = Instant::now() + LOOK_EVERY;
            }
        }
    }
}

/// What one stream showed.
struct Streamed {
    /// When its deltas came.
    arrivals: Vec<Instant>,
    missing: u64,
}

async fn stream(mut line: Line, script: &Script) -> anyhow::Result<Streamed> {
    let (mut arrivals, deltas) = (Vec::with_capacity(script.frames()), script.deltas());
    let timing = line
        .exchange(script, |number, now| {
            if deltas.contains(&number) {
                arrivals.push(now);
            }
        })
        .await?;
    Ok(Streamed { arrivals, missing: timing.missing })
}
