//! Latency and throughput: requests one at a time, and from 64 connections at once.
//!
//! The two ways take turns inside one run, request by request where one is sent at a time and
//! block by block where many are, so that whatever else the machine does falls on both.

use super::client::{Client, Line, Way};
use super::figure::{Row, Samples, Section, added_millis, millis};
use super::ground::{Ground, Spent};
use super::progress::Progress;
use super::script::{Script, Shape};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Requests sent each way before the first one counts.
const WARM_UP_REQUESTS: usize = 200;
/// Connections of the busy phase.
pub(crate) const CROWD: usize = 64;
/// Time at the beginning of a block that does not count.
const BLOCK_WARM_UP: Duration = Duration::from_millis(200);
/// The streams whose first byte is timed: the next one comes later, so that no part of the mesh
/// is busy with it yet.
const FIRST_BYTE: Shape = Shape::Streamed { deltas: 1, pace_ms: 2 };

/// A section, with what the aims are about.
#[derive(Debug)]
pub(crate) struct Measured {
    /// The figures.
    pub(crate) section: Section,
    /// Frames that did not arrive as they should.
    pub(crate) missing: u64,
}

/// Whole answers, one request at a time: direct, through the mesh, and the hub's door alone.
///
/// # Errors
/// Where an exchange fails.
///
/// # Cancel safety
/// Nothing is lost but the figures.
pub(crate) async fn single(
    ground: &mut Ground,
    lasts: Duration,
    progress: &Progress,
) -> anyhow::Result<(Measured, [f64; 2])> {
    progress.say("latency of one request at a time");
    let script = ground.learn(Shape::Whole).await?;
    let mut direct = ground.client.connect(Way::Direct).await?;
    let mut mesh = ground.client.connect(Way::Mesh).await?;
    let mut door = ground.client.connect(Way::Mesh).await?;
    for _ in 0..WARM_UP_REQUESTS {
        direct.exchange(&script, |_, _| {}).await?;
        mesh.exchange(&script, |_, _| {}).await?;
        door.knock().await?;
    }
    let mut samples = [Samples::new()?, Samples::new()?];
    let (mut at_door, mut missing) = (Samples::new()?, 0);
    let (before, began) = (ground.pids().spent()?, Instant::now());
    while began.elapsed() < lasts {
        for (line, samples) in [&mut direct, &mut mesh].into_iter().zip(&mut samples) {
            let timing = line.exchange(&script, |_, _| {}).await?;
            samples.add(timing.whole);
            missing += timing.missing;
        }
        at_door.add(door.knock().await?);
        progress.tick(|| format!("{} pairs of requests", at_door.count()));
    }
    let spent = ground.pids().spent()?.since(before);
    let [direct, mesh] = &samples;
    let mut section = Section::new(
        "latency_1",
        "Whole answer, concurrency 1: chat completion, not streamed",
        ["p50", "p99"],
    );
    section.rows.extend([
        Row::percentiles("direct", direct),
        Row::percentiles("through hub and agent", mesh),
        Row::added("added", mesh, direct),
        Row::percentiles("the hub's door alone, TLS included", &at_door),
    ]);
    let exchanges = mesh.count();
    section.notes.push(format!(
        "CPU per exchange through the mesh, the door's share included: hub {:.0} us, agent {:.0} us",
        micros_each(spent.hub, exchanges),
        micros_each(spent.agent, exchanges),
    ));
    section.notes.push(company(spent, began.elapsed()));
    let added = [50.0, 99.0]
        .map(|percent| added_millis(mesh.percentile(percent), direct.percentile(percent)));
    Ok((Measured { section, missing }, added))
}

/// Streams, one at a time: the first byte of the answer's body.
///
/// # Errors
/// Where an exchange fails.
///
/// # Cancel safety
/// Nothing is lost but the figures.
pub(crate) async fn first_byte(
    ground: &mut Ground,
    lasts: Duration,
    progress: &Progress,
) -> anyhow::Result<Measured> {
    progress.say("time to first byte");
    let script = ground.learn(FIRST_BYTE).await?;
    let mut lines =
        [ground.client.connect(Way::Direct).await?, ground.client.connect(Way::Mesh).await?];
    let mut first = [Samples::new()?, Samples::new()?];
    let (mut missing, mut counted) = (0, 0_u64);
    let (before, began) = (ground.pids().spent()?, Instant::now());
    while began.elapsed() < lasts {
        for (line, first) in lines.iter_mut().zip(&mut first) {
            let timing = line.exchange(&script, |_, _| {}).await?;
            first.add(timing.first);
            missing += timing.missing;
            counted += script.frames() as u64;
        }
        progress.tick(|| format!("{} pairs of streams", first[0].count()));
    }
    let spent = ground.pids().spent()?.since(before);
    let mut section = Section::new(
        "first_byte",
        "Time to first byte, concurrency 1: chat completion, streamed",
        ["p50", "p99"],
    );
    let [direct, mesh] = &first;
    section.rows.extend([
        Row::percentiles("direct", direct),
        Row::percentiles("through hub and agent", mesh),
        Row::added("added", mesh, direct),
    ]);
    section.notes.push(format!("{counted} frames compared byte by byte: {missing} lost"));
    section.notes.push(company(spent, began.elapsed()));
    Ok(Measured { section, missing })
}

/// Whole answers over [`CROWD`] connections, each sending its next request when its last one is
/// answered: latency under load, and requests per CPU-second.
///
/// # Errors
/// Where an exchange fails.
///
/// # Cancel safety
/// Nothing is lost but the figures.
pub(crate) async fn crowd(
    ground: &mut Ground,
    rounds: usize,
    block: Duration,
    progress: &Progress,
) -> anyhow::Result<Measured> {
    progress.say(&format!("latency at concurrency {CROWD}"));
    let script = Arc::new(ground.learn(Shape::Whole).await?);
    let mut lines = Vec::new();
    for way in Way::BOTH {
        lines.push(Some(connect_all(&ground.client, way, CROWD).await?));
    }
    let mut samples = [Samples::new()?, Samples::new()?];
    let mut spent = [Spent::default(); 2];
    let (mut lasted, mut missing) = ([Duration::ZERO; 2], 0);
    for round in 1..=rounds {
        for way in 0..2 {
            progress.tick(|| format!("round {round} of {rounds}"));
            let ready = lines[way].take().unwrap_or_default();
            let run = run_block(ground, ready, &script, block).await?;
            samples[way].merge(&run.samples)?;
            spent[way] = spent[way].plus(run.spent);
            lasted[way] += run.lasted;
            missing += run.missing;
            lines[way] = Some(run.lines);
        }
    }
    let mut section = Section::new(
        "latency_64",
        format!("Whole answer, concurrency {CROWD}, closed loop: chat completion, not streamed"),
        ["p50", "p99"],
    );
    let [direct, mesh] = &samples;
    section.rows.extend([
        Row::percentiles("direct", direct),
        Row::percentiles("through hub and agent", mesh),
        Row::added("added", mesh, direct),
    ]);
    section.notes.push(
        "a closed loop fills the machine: here latency is concurrency divided by throughput".into(),
    );
    for (way, name) in ["direct", "through"].into_iter().enumerate() {
        let count = samples[way].count();
        section.notes.push(format!(
            "{name}: {:.0} requests/s; CPU per request: hub {:.0}, agent {:.0}, provider {:.0}, \
             client {:.0} us; {}",
            count as f64 / lasted[way].as_secs_f64(),
            micros_each(spent[way].hub, count),
            micros_each(spent[way].agent, count),
            micros_each(spent[way].provider, count),
            micros_each(spent[way].client, count),
            company(spent[way], lasted[way]),
        ));
    }
    section.notes.push(format!(
        "requests per CPU-second: {}",
        per_cpu_second(&spent, [direct.count(), mesh.count()])
    ));
    Ok(Measured { section, missing })
}

fn per_cpu_second(spent: &[Spent; 2], counts: [u64; 2]) -> String {
    let per = |count: u64, cpu: Duration| count as f64 / cpu.as_secs_f64().max(0.01);
    let [direct, mesh] = spent;
    format!(
        "{:.0} of hub and agent together ({:.0} of the hub, {:.0} of the agent); \
         the provider alone, direct: {:.0}",
        per(counts[1], mesh.hub + mesh.agent),
        per(counts[1], mesh.hub),
        per(counts[1], mesh.agent),
        per(counts[0], direct.provider),
    )
}

/// What a crowd did in a block of time.
pub(crate) struct Block {
    /// Its connections, for the next block.
    pub(crate) lines: Vec<Line>,
    /// Answers that ended in it.
    pub(crate) samples: Samples,
    /// Frames that came in it, those of answers that ended later too.
    pub(crate) frames: u64,
    /// Frames that did not arrive as they should.
    pub(crate) missing: u64,
    /// CPU time meanwhile.
    pub(crate) spent: Spent,
    /// How long it was.
    pub(crate) lasted: Duration,
}

/// Keeps every connection of `lines` busy for a block of time.
///
/// # Errors
/// Where an exchange fails.
///
/// # Cancel safety
/// Nothing is lost but the figures.
pub(crate) async fn run_block(
    ground: &mut Ground,
    lines: Vec<Line>,
    script: &Arc<Script>,
    block: Duration,
) -> anyhow::Result<Block> {
    let begin = Instant::now() + BLOCK_WARM_UP;
    let end = begin + block;
    let mut workers = JoinSet::new();
    for mut line in lines {
        let script = Arc::clone(script);
        workers.spawn(async move {
            let (mut samples, mut frames, mut missing) = (Samples::new()?, 0, 0);
            loop {
                let counted = |_, at: Instant| frames += u64::from(at >= begin && at < end);
                let timing = line.exchange(&script, counted).await?;
                missing += timing.missing;
                let now = Instant::now();
                if now >= end {
                    return anyhow::Ok((line, samples, frames, missing));
                }
                if now >= begin {
                    samples.add(timing.whole);
                }
            }
        });
    }
    tokio::time::sleep_until(begin).await;
    let (before, began) = (ground.pids().spent()?, Instant::now());
    tokio::time::sleep_until(end).await;
    let (spent, lasted) = (ground.pids().spent()?.since(before), began.elapsed());
    let samples = Samples::new()?;
    let mut done = Block { lines: Vec::new(), samples, frames: 0, missing: 0, spent, lasted };
    while let Some(worker) = workers.join_next().await {
        let (line, samples, frames, missing) = worker??;
        done.lines.push(line);
        done.samples.merge(&samples)?;
        done.frames += frames;
        done.missing += missing;
    }
    Ok(done)
}

/// Opens `count` connections one after another.
///
/// # Errors
/// Where one cannot be opened.
///
/// # Cancel safety
/// A dropped call closes what was opened.
pub(crate) async fn connect_all(
    client: &Client,
    way: Way,
    count: usize,
) -> anyhow::Result<Vec<Line>> {
    let mut lines = Vec::with_capacity(count);
    for _ in 0..count {
        lines.push(client.connect(way).await?);
    }
    Ok(lines)
}

/// CPU time for each of `count`, in microseconds.
pub(crate) fn micros_each(cpu: Duration, count: u64) -> f64 {
    millis(cpu) * 1e3 / count.max(1) as f64
}

/// How busy the machine was with other work, which every figure suffers from.
pub(crate) fn company(spent: Spent, lasted: Duration) -> String {
    let cores = spent.others().as_secs_f64() / lasted.as_secs_f64().max(0.01);
    format!("other work on the machine: {cores:.2} cores")
}
