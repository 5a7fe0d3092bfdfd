//! What charging costs: the same mesh twice, one hub charges and one does not, in turns.
//!
//! Both agents write their OPEN and their CLOSE before and after every call, so the wait for the
//! agent's disk is on both sides of the difference; it is measured on its own, in this process, by
//! the agent's own code. The agents of the two meshes have their files in memory where the machine
//! has such a file system, so that the disk's odd second does not drown what is compared.

use super::agent_log::{AgentLog, Disk};
use super::client::Way;
use super::figure::{Aim, Row, Samples, Section, added_millis};
use super::ground::{Ground, Setup, Spent};
use super::latency::{CROWD, company, connect_all, micros_each, run_block};
use super::progress::Progress;
use super::script::Shape;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Requests of one side before the other's turn: its own late work falls on itself.
const TURN: usize = 20;
/// Requests to each before the first one counts.
const WARM_UP_REQUESTS: usize = 200;
/// Exchanges that open at once where the sync is shared.
const OPENING: usize = 32;
/// Milliseconds that charging may add at the 99th percentile.
const ADDED_P99_MS_AT_MOST: f64 = 0.2;
/// The streams of the crowd: what most requests to an LLM are.
const STREAM: Shape = Shape::Streamed { deltas: 100, pace_ms: 5 };
/// CPU time of a request with charging, in parts of one without: 85 % of the requests for each
/// CPU-second.
const CPU_RATIO_AT_MOST: f64 = 1.176;

/// What a crowd asks for, and what its figures are called.
struct Answers {
    shape: Shape,
    id: &'static str,
    what: &'static str,
    aim: &'static str,
}

const CROWDS: [Answers; 2] = [
    Answers {
        shape: Shape::Whole,
        id: "money_crowd_64",
        what: "whole answers of 16 words",
        aim: "CPU of a whole answer with charging / without (85 %)",
    },
    Answers {
        shape: STREAM,
        id: "money_streams_64",
        what: "streams of 100 words, one each 5 ms",
        aim: "CPU of a stream with charging / without (85 %)",
    },
];

/// How much of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    /// Time for requests one at a time, both sides together.
    pub(super) single: Duration,
    /// Blocks of the crowd on each side.
    pub(super) rounds: usize,
    /// How long one lasts.
    pub(super) block: Duration,
    /// Time for opening exchanges one at a time; as much again for many at once.
    pub(super) opening: Duration,
}

/// Figures, aims, and frames that were lost meanwhile.
#[derive(Debug)]
pub(super) struct Charged {
    pub(super) sections: Vec<Section>,
    pub(super) aims: Vec<Aim>,
    pub(super) missing: u64,
}

/// Compares a hub that charges with one that does not, and times the agent's OPEN.
///
/// # Errors
/// Where a mesh does not come up, an exchange fails, or the agent's disk does.
///
/// # Cancel safety
/// A dropped call ends what was started.
pub(super) async fn charged(load: Load, progress: &Progress) -> anyhow::Result<Charged> {
    progress.say("starting a mesh that charges and one that does not");
    let on = Setup { agent_in_memory: true, ..Setup::default() };
    let off = Setup { charging: false, ..on };
    let mut grounds = [Ground::begin(on).await?, Ground::begin(off).await?];
    let mut found = Charged { sections: Vec::new(), aims: Vec::new(), missing: 0 };
    single(&mut grounds, load.single, &mut found, progress).await?;
    for answers in &CROWDS {
        crowd(&mut grounds, load, answers, &mut found, progress).await?;
    }
    for ground in &mut grounds {
        ground.check()?;
    }
    drop(grounds);
    found.sections.push(opened(load.opening, progress).await?);
    Ok(found)
}

async fn single(
    grounds: &mut [Ground; 2],
    lasts: Duration,
    found: &mut Charged,
    progress: &Progress,
) -> anyhow::Result<()> {
    progress.say("one request at a time, with charging and without");
    let script = grounds[0].learn(Shape::Whole).await?;
    let mut lines =
        [grounds[0].client.connect(Way::Mesh).await?, grounds[1].client.connect(Way::Mesh).await?];
    for line in &mut lines {
        for _ in 0..WARM_UP_REQUESTS {
            line.exchange(&script, |_, _| {}).await?;
        }
    }
    let mut samples = [Samples::new()?, Samples::new()?];
    let began = Instant::now();
    let before = [grounds[0].pids().spent()?, grounds[1].pids().spent()?];
    while began.elapsed() < lasts {
        for (line, samples) in lines.iter_mut().zip(&mut samples) {
            for _ in 0..TURN {
                let timing = line.exchange(&script, |_, _| {}).await?;
                samples.add(timing.whole);
                found.missing += timing.missing;
            }
        }
        progress.tick(|| format!("{} requests to each", samples[0].count()));
    }
    let spent =
        [grounds[0].pids().spent()?.since(before[0]), grounds[1].pids().spent()?.since(before[1])];
    let [on, off] = &samples;
    let mut section = Section::new(
        "money_latency_1",
        format!("Charging, concurrency 1: whole answers, {TURN} with and {TURN} without in turns"),
        ["p50", "p99"],
    );
    section.rows.extend([
        Row::percentiles("without charging", off),
        Row::percentiles("with charging", on),
        Row::added("added by charging", on, off),
    ]);
    section.notes.push(format!(
        "the agents' files are {}, so their OPEN costs no disk here",
        if grounds[0].is_agent_in_memory() { "in memory" } else { "on disk: NOT as meant" }
    ));
    section.notes.push(per_request(&spent, [on.count(), off.count()]));
    found.sections.push(section);
    found.aims.push(Aim {
        what: "added by charging p99, concurrency 1",
        measured: added_millis(on.percentile(99.0), off.percentile(99.0)),
        at_most: ADDED_P99_MS_AT_MOST,
        unit: "ms",
    });
    Ok(())
}

async fn crowd(
    grounds: &mut [Ground; 2],
    load: Load,
    answers: &Answers,
    found: &mut Charged,
    progress: &Progress,
) -> anyhow::Result<()> {
    let what = answers.what;
    progress.say(&format!("{CROWD} connections, with charging and without: {what}"));
    let script = Arc::new(grounds[0].learn(answers.shape).await?);
    let mut lines = Vec::new();
    for ground in grounds.iter() {
        lines.push(connect_all(&ground.client, Way::Mesh, CROWD).await?);
    }
    let mut samples = [Samples::new()?, Samples::new()?];
    let (mut spent, mut lasted) = ([Spent::default(); 2], [Duration::ZERO; 2]);
    let mut frames = [0; 2];
    for round in 1..=load.rounds {
        for (side, ground) in grounds.iter_mut().enumerate() {
            progress.tick(|| format!("round {round} of {}", load.rounds));
            let ready = std::mem::take(&mut lines[side]);
            let run = run_block(ground, ready, &script, load.block).await?;
            samples[side].merge(&run.samples)?;
            spent[side] = spent[side].plus(run.spent);
            lasted[side] += run.lasted;
            frames[side] += run.frames;
            found.missing += run.missing;
            lines[side] = run.lines;
        }
    }
    let [on, off] = &samples;
    // Long answers that lie across the ends of a block count by their frames in it.
    let count = frames.map(|frames| frames / script.frames().max(1) as u64);
    let each = |side: usize| micros_each(spent[side].hub + spent[side].agent, count[side]);
    let mut section = Section::new(
        answers.id,
        format!("Charging, concurrency {CROWD}, closed loop, {what}: block by block in turns"),
        ["p50", "p99"],
    );
    section.rows.extend([
        Row::percentiles("without charging", off),
        Row::percentiles("with charging", on),
        Row::added("added by charging", on, off),
    ]);
    let per_second = |side: usize| 1e6 / each(side).max(f64::EPSILON);
    section.notes.push(format!(
        "requests per CPU-second of hub and agent: {:.0} with, {:.0} without: {:.0} %",
        per_second(0),
        per_second(1),
        100.0 * per_second(0) / per_second(1),
    ));
    section.notes.push(per_request(&spent, count));
    for (side, name) in ["with", "without"].into_iter().enumerate() {
        let rate = count[side] as f64 / lasted[side].as_secs_f64().max(0.01);
        let company = company(spent[side], lasted[side]);
        section.notes.push(format!("{name}: {rate:.0} requests/s; {company}"));
    }
    found.sections.push(section);
    found.aims.push(Aim {
        what: answers.aim,
        measured: each(0) / each(1).max(f64::EPSILON),
        at_most: CPU_RATIO_AT_MOST,
        unit: "",
    });
    Ok(())
}

fn per_request(spent: &[Spent; 2], counts: [u64; 2]) -> String {
    let [on, off] = [0, 1].map(|side| {
        let (spent, count) = (spent[side], counts[side]);
        [micros_each(spent.hub, count), micros_each(spent.agent, count)]
    });
    format!(
        "CPU per request with charging: hub {:.0}, agent {:.0} us; without: hub {:.0}, agent {:.0} us",
        on[0], on[1], off[0], off[1]
    )
}

/// How long an exchange waits until its OPEN is on the disk.
async fn opened(lasts: Duration, progress: &Progress) -> anyhow::Result<Section> {
    progress.say("the agent's OPEN, until it is durable");
    let folder = tempfile::Builder::new().prefix("weft-bench-").tempdir()?;
    let log = Arc::new(AgentLog::make(&folder.path().join("agent"), Disk::Waited)?);
    let mut section = Section::new(
        "open_sync",
        "OPEN of an exchange in the agent's ledger, until it is durable",
        ["p50", "p99"],
    );
    for (what, count) in [("one at a time", 1), ("32 at once", OPENING)] {
        let began = Instant::now();
        let mut workers = JoinSet::new();
        for _ in 0..count {
            let log = Arc::clone(&log);
            workers.spawn(async move { open_again(&log, began + lasts).await });
        }
        let mut samples = Samples::new()?;
        while let Some(done) = workers.join_next().await {
            samples.merge(&done??)?;
        }
        let rate = samples.count() as f64 / began.elapsed().as_secs_f64();
        section.rows.push(Row::percentiles(what, &samples));
        section.notes.push(format!("{what}: {rate:.0} exchanges/s opened and closed"));
    }
    log.ledger.stop().await?;
    Ok(section)
}

async fn open_again(log: &AgentLog, until: Instant) -> anyhow::Result<Samples> {
    let mut samples = Samples::new()?;
    while Instant::now() < until {
        let open = log.open();
        let began = Instant::now();
        let entry = log.ledger.open_exchange(open).await?;
        samples.add(began.elapsed());
        entry.close(AgentLog::served());
    }
    Ok(samples)
}
