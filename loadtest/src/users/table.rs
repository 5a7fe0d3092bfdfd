//! The document as a table for people.

use super::histogram::Distribution;
use super::report::{Document, Measured};
use super::settings::{Extent, Load};
use std::fmt::Write as _;

/// Columns of text that a name takes.
const NAME: usize = 12;
/// Columns of text that a figure takes.
const FIGURE: usize = 9;

/// What a terminal is shown.
pub(super) fn table(document: &Document) -> String {
    let mut text = String::new();
    match write(document, &mut text) {
        Ok(()) => text,
        Err(error) => error.to_string(),
    }
}

type Column = (&'static str, fn(&Measured) -> String);

fn write(document: &Document, text: &mut String) -> std::fmt::Result {
    let told = &document.settings;
    let settings = &told.settings;
    let load = match settings.load {
        Load::Open { rate, max_in_flight } => {
            format!("open loop, {rate} a second, at most {max_in_flight} under way")
        }
        Load::Closed { concurrency } => format!("closed loop, {concurrency} under way"),
    };
    let extent = match settings.extent {
        Extent::Seconds(_) => String::new(),
        Extent::Requests(requests) => format!("{requests} requests, "),
    };
    writeln!(
        text,
        "weft-loadtest {} users, {} build: {}, {}; {load}; {extent}{:.1} s measured; seed {}",
        document.version,
        document.profile,
        settings.target.url(),
        settings.http.name(),
        document.window_seconds,
        settings.seed,
    )?;
    let requests: [Column; 9] = [
        ("started", |kind| kind.counts.started.to_string()),
        ("done", |kind| kind.counts.done.to_string()),
        ("aborted", |kind| kind.counts.aborted.to_string()),
        ("failed", |kind| kind.counts.failed.to_string()),
        ("unended", |kind| kind.counts.unfinished.to_string()),
        ("shed", |kind| kind.counts.shed.to_string()),
        ("done/s", |kind| figure(kind.throughput.requests_per_second)),
        ("MiB/s up", |kind| figure(kind.throughput.bytes_up_per_second / 1_048_576.0)),
        ("MiB/s dn", |kind| figure(kind.throughput.bytes_down_per_second / 1_048_576.0)),
    ];
    section(document, text, "requests", &requests, |_| true)?;
    let times: [Column; 9] = [
        ("conn p50", |kind| millis(kind.connect.as_ref(), |told| told.p50_us)),
        ("head p50", |kind| millis(kind.head.as_ref(), |told| told.p50_us)),
        ("head p99", |kind| millis(kind.head.as_ref(), |told| told.p99_us)),
        ("byte p50", |kind| millis(kind.first_byte.as_ref(), |told| told.p50_us)),
        ("byte p99", |kind| millis(kind.first_byte.as_ref(), |told| told.p99_us)),
        ("whol p50", |kind| millis(kind.total.as_ref(), |told| told.p50_us)),
        ("whol p99", |kind| millis(kind.total.as_ref(), |told| told.p99_us)),
        ("whl p999", |kind| millis(kind.total.as_ref(), |told| told.p999_us)),
        ("whol max", |kind| millis(kind.total.as_ref(), |told| told.max_us)),
    ];
    section(document, text, "times, ms", &times, |_| true)?;
    let frames: [Column; 9] = [
        ("arrived", |kind| kind.frames.frames.arrived.to_string()),
        ("lost", |kind| kind.frames.frames.lost.to_string()),
        ("reorderd", |kind| kind.frames.frames.reordered.to_string()),
        ("doubled", |kind| kind.frames.frames.duplicated.to_string()),
        ("altered", |kind| kind.frames.frames.altered.to_string()),
        ("stalls", |kind| kind.frames.stalls.to_string()),
        ("gap p50", |kind| millis(kind.gap.as_ref(), |told| told.p50_us)),
        ("gap p99", |kind| millis(kind.gap.as_ref(), |told| told.p99_us)),
        ("behd p99", |kind| millis(kind.behind.as_ref(), |told| told.p99_us)),
    ];
    section(document, text, "frames, ms", &frames, |kind| kind.frames.frames.expected > 0)?;
    faults(document, text)?;
    let generator = &document.generator;
    write!(
        text,
        "\ngenerator: {:.2} s of CPU, busiest of {} event loops {:.0} % of a core",
        generator.cpu_seconds,
        generator.threads,
        generator.busy * 100.0
    )?;
    if let Some(each) = generator.cpu_us_per_request {
        write!(text, ", {each:.0} µs a request")?;
    }
    write!(text, "; lag p99 {} ms", millis(generator.lag.as_ref(), |told| told.p99_us))?;
    if generator.late.is_some() {
        write!(
            text,
            "; sent late by p99 {} ms",
            millis(generator.late.as_ref(), |told| told.p99_us)
        )?;
    }
    writeln!(text)?;
    for warning in &document.warnings {
        writeln!(text, "warning: {warning}")?;
    }
    Ok(())
}

fn section(
    document: &Document,
    text: &mut String,
    title: &str,
    columns: &[Column],
    has_part: impl Fn(&Measured) -> bool,
) -> std::fmt::Result {
    let total = (document.kinds.len() > 1).then_some(("total", &document.total));
    let rows = document.kinds.iter().map(|(name, kind)| (*name, kind)).chain(total);
    let rows: Vec<_> = rows.filter(|(_, kind)| has_part(kind)).collect();
    if rows.is_empty() {
        return Ok(());
    }
    write!(text, "\n{title:NAME$}")?;
    for (name, _) in columns {
        write!(text, "{name:>FIGURE$}")?;
    }
    writeln!(text)?;
    for (name, kind) in rows {
        write!(text, "{name:NAME$}")?;
        for (_, figure) in columns {
            write!(text, "{:>FIGURE$}", figure(kind))?;
        }
        writeln!(text)?;
    }
    Ok(())
}

/// The faults that came, and how closely answers were looked at.
fn faults(document: &Document, text: &mut String) -> std::fmt::Result {
    writeln!(text)?;
    for (name, kind) in &document.kinds {
        write!(text, "{name}: checked by {}", kind.check.name())?;
        if let Some(pace) = kind.pace_ms {
            write!(text, ", a frame each {} ms", figure(pace))?;
        }
        let named = kind.errors.named.iter().map(|(name, count)| ((*name).to_owned(), *count));
        let status =
            kind.errors.status.iter().map(|(code, count)| (format!("status {code}"), *count));
        for (what, count) in named.chain(status).filter(|(_, count)| *count > 0) {
            write!(text, ", {what}: {count}")?;
        }
        if kind.counts.aborted > 0 {
            let aborts = kind.aborts;
            write!(
                text,
                ", given up before the head: {}, in the body: {}",
                aborts.before_head, aborts.in_body
            )?;
        }
        writeln!(text)?;
    }
    Ok(())
}

fn millis(told: Option<&Distribution>, of: fn(&Distribution) -> f64) -> String {
    told.map_or_else(|| "-".to_owned(), |told| figure(of(told) / 1e3))
}

/// As many digits as mean something.
fn figure(value: f64) -> String {
    match value.abs() {
        large if large >= 1_000.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}
