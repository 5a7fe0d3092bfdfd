//! How fast an answer is metered, and what a meter holds: events of a streamed chat, as they come
//! off a provider.

use super::figure::{Aim, Row, Section};
use super::process::Who;
use super::progress::Progress;
use tokio::time::Instant;
use weft_proto::meter::{AnswerFacts, AnswerMeter, Asked, warm_up};
use weft_proto::provider::Provider;
use weft_proto::tables::routes::Metering;

/// Bytes of one event.
const EVENT_BYTES: usize = 200;

/// Events that one read brings.
const EVENTS_A_READ: usize = 20;

/// Events that are metered in one round: some half a second of work, for CPU time is told in
/// hundredths.
const EVENTS: usize = 1_000_000;

/// Rounds, whose median counts.
const ROUNDS: usize = 5;

/// Nanoseconds for each event of 200 bytes at 300 MB/s.
const NANOS_AN_EVENT_AT_MOST: f64 = 666.7;

/// Streams that are metered at the same time to see what one of them holds.
const STREAMS: usize = 10_000;

/// KiB that a meter may hold.
const KIB_A_STREAM_AT_MOST: f64 = 4.0;

/// Meters a streamed chat on one thread, and then many at once. The aims are 300 MB/s, and 4 KiB
/// for each stream.
///
/// # Errors
/// Where the kernel does not say how much memory this process has.
pub(super) fn metered(progress: &Progress) -> anyhow::Result<(Section, [Aim; 2])> {
    progress.say("metering a streamed chat");
    warm_up();
    let words = [" the", " answer", " comes", " word", " by", " word", ",", " and", " so", "\\n"];
    let reads: Vec<Vec<u8>> = (0..words.len())
        .map(|first| {
            let events = (0..EVENTS_A_READ).map(|at| event(words[(first + at) % words.len()]));
            events.collect::<Vec<_>>().concat()
        })
        .collect();
    let mut rounds = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        rounds.push(round(&reads)?);
    }
    let median = |of: fn(&Round) -> f64| {
        let mut all: Vec<f64> = rounds.iter().map(of).collect();
        all.sort_by(f64::total_cmp);
        all[ROUNDS / 2]
    };
    let (clock, cpu) = (median(|round| round.clock), median(|round| round.cpu));
    let bytes: usize = reads.iter().map(Vec::len).sum();
    let each_bytes = bytes as f64 / (reads.len() * EVENTS_A_READ) as f64;
    let kib = held(&reads)?;

    let columns = ["MB/s", "events/s"];
    let title = format!("One thread meters a chat that streams {EVENT_BYTES}-byte events");
    let mut section = Section::new("meter", title, columns);
    for (what, nanos) in [("by CPU time", cpu), ("by the clock", clock)] {
        let rates = [each_bytes * 1e3 / nanos, 1e9 / nanos];
        section.rows.push(Row::new(what, rates, "", EVENTS as u64));
    }
    section.notes.push(format!(
        "a stream in the middle of its answer holds {kib:.2} KiB ({STREAMS} at once, by the \
         resident memory of this process)"
    ));
    let speed = Aim {
        what: "time to meter an event of 200 bytes (300 MB/s)",
        measured: cpu,
        at_most: NANOS_AN_EVENT_AT_MOST,
        unit: "ns",
    };
    let memory = Aim {
        what: "memory of one stream's meter",
        measured: kib,
        at_most: KIB_A_STREAM_AT_MOST,
        unit: "KiB",
    };
    Ok((section, [speed, memory]))
}

fn meter() -> AnswerMeter {
    AnswerMeter::new(&AnswerFacts {
        provider: Provider::OpenAi,
        metering: Metering::Chat,
        status: http::StatusCode::OK,
        content_type: Some("text/event-stream"),
        content_encoding: None,
    })
}

/// Nanoseconds for each event of one round.
struct Round {
    /// By the clock: what else the machine does is in it.
    clock: f64,
    /// By the CPU time of this process, which does nothing else.
    cpu: f64,
}

fn round(reads: &[Vec<u8>]) -> anyhow::Result<Round> {
    let mut meter = meter();
    let (before, began) = (Who::Own.cpu()?, Instant::now());
    for read in reads.iter().cycle().take(EVENTS / EVENTS_A_READ) {
        meter.feed(read);
    }
    let (clock, cpu) = (began.elapsed(), Who::Own.cpu()?.saturating_sub(before));
    // The result is used, so that nothing of the work can be left out.
    drop(std::hint::black_box(meter.end(&Asked::default(), false)));
    let [clock, cpu] = [clock, cpu].map(|took| took.as_secs_f64() * 1e9 / EVENTS as f64);
    Ok(Round { clock, cpu })
}

/// KiB that a meter holds in the middle of an answer, in the middle of an event.
fn held(reads: &[Vec<u8>]) -> anyhow::Result<f64> {
    let before = Who::Own.memory()?.rss_kib;
    let meters: Vec<AnswerMeter> = (0..STREAMS)
        .map(|number| {
            let (mut meter, read) = (meter(), &reads[number % reads.len()]);
            for read in reads {
                meter.feed(read);
            }
            meter.feed(&read[..read.len() - EVENT_BYTES / 2]);
            meter
        })
        .collect();
    let after = Who::Own.memory()?.rss_kib;
    drop(std::hint::black_box(meters));
    Ok(after.saturating_sub(before) as f64 / STREAMS as f64)
}

/// One event of a chat, as long as real ones are.
fn event(word: &str) -> Vec<u8> {
    let front = "data: {\"id\":\"chatcmpl-0123456789abcdef\",\"object\":\"chat.completion.chunk\",\
                 \"created\":1790000000,\"model\":\"m-1\",\"choices\":[{\"index\":0,\"delta\":\
                 {\"content\":\"";
    let back = "\"},\"finish_reason\":null}]}\n\n";
    let pad = EVENT_BYTES.saturating_sub(front.len() + word.len() + back.len());
    let event = format!("{front}{word}{back}");
    // Trailing blanks, which some providers pad their lines with.
    let line = event.trim_end();
    format!("{line}{}\n\n", " ".repeat(pad)).into_bytes()
}
