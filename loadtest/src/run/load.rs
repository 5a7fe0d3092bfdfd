//! One round of users at one contestant: `weft-loadtest users` as a process of its own, and the
//! contestant's processes watched meanwhile.
//!
//! What is read of its document is parsed here and nowhere else.

use super::contestant::Door;
use super::site::{Side, Site};
use super::stage::Stage;
use super::watch::{Seen, Watch};
use crate::mesh::process::command;
use anyhow::Context;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use weft_proto::time::{Clock, SystemClock};

/// What a round may take beyond what it should.
const LATE_MAX: Duration = Duration::from_secs(45);

/// What users do.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Load {
    /// How many at a time.
    pub(crate) concurrency: usize,
    /// What is measured.
    pub(crate) seconds: f64,
    /// What is not, before.
    pub(crate) warm_up: f64,
    /// Kinds of requests, in the words of `users --kind`.
    pub(crate) kinds: Vec<String>,
    /// Further words.
    pub(crate) more: Vec<String>,
}

impl Load {
    /// So many users at a time who do `kind`.
    pub(crate) fn of(concurrency: usize, seconds: f64, warm_up: f64, kind: &str) -> Self {
        let kinds = vec![kind.to_owned()];
        Self { concurrency, seconds, warm_up, kinds, more: Vec::new() }
    }

    /// With further words.
    pub(crate) fn with(mut self, words: &[&str]) -> Self {
        self.more.extend(words.iter().map(|word| (*word).to_owned()));
        self
    }
}

/// What came of a round.
#[derive(Debug)]
pub(crate) struct Round {
    /// What users saw.
    pub(crate) users: Users,
    /// What the contestant's processes used.
    pub(crate) seen: Seen,
    /// When it was measured, UNIX time in milliseconds.
    pub(crate) from_ms: f64,
    /// Until then.
    pub(crate) until_ms: f64,
}

impl Round {
    /// CPU time of the contestant's processes inside the measured window, in seconds.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        self.seen.cpu_seconds(self.from_ms, self.until_ms)
    }

    /// What was wrong with it, where anything was: requests that failed, frames that did not come
    /// as they should.
    pub(crate) fn fault(&self) -> Option<String> {
        let Measured { counts, frames, errors, .. } = &self.users.total;
        let frames_bad = frames.lost + frames.reordered + frames.duplicated + frames.altered;
        if counts.failed + counts.unfinished + frames_bad == 0 {
            return None;
        }
        Some(format!(
            "{} requests failed, {} did not end, {frames_bad} frames were lost, altered or out of \
             order (errors: {})",
            counts.failed,
            counts.unfinished,
            errors.told()
        ))
    }
}

/// The document of `weft-loadtest users`, as far as it is of use here.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Users {
    /// The measured part, in seconds.
    pub(crate) window_seconds: f64,
    /// Its begin, UNIX time in milliseconds.
    pub(crate) measured_from_ms: Option<f64>,
    /// Its end.
    pub(crate) measured_until_ms: Option<f64>,
    /// The generator itself.
    pub(crate) generator: Generator,
    /// By kind.
    pub(crate) kinds: BTreeMap<String, Measured>,
    /// All kinds together.
    pub(crate) total: Measured,
}

/// How busy the generator was.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Generator {
    /// The busiest thread's share of its core.
    pub(crate) busy: f64,
    /// Whether it bound what was measured.
    pub(crate) saturated: bool,
}

/// What was measured of one kind, or all.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Measured {
    /// Requests.
    pub(crate) counts: Counts,
    /// Rates.
    pub(crate) throughput: Throughput,
    /// Bytes both ways.
    pub(crate) bytes: Bytes,
    /// Frames.
    pub(crate) frames: Frames,
    /// Errors by kind.
    pub(crate) errors: Errors,
    /// To the first byte.
    pub(crate) first_byte: Option<Hist>,
    /// To the end.
    pub(crate) total: Option<Hist>,
    /// From delta to delta.
    pub(crate) gap: Option<Hist>,
}

/// Requests by what became of them.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Counts {
    /// Well.
    pub(crate) done: u64,
    /// Badly.
    pub(crate) failed: u64,
    /// Left by their user.
    pub(crate) aborted: u64,
    /// Not at all, in time.
    pub(crate) unfinished: u64,
}

/// Rates inside the measured window.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Throughput {
    /// Requests a second.
    pub(crate) requests_per_second: f64,
    /// Frames a second.
    pub(crate) frames_per_second: f64,
    /// Bytes to the server a second.
    pub(crate) bytes_up_per_second: f64,
}

/// Bytes both ways.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Bytes {
    /// To the server.
    pub(crate) up: u64,
    /// From it.
    pub(crate) down: u64,
}

/// Frames by what became of them.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Frames {
    /// That came.
    pub(crate) arrived: u64,
    /// That did not.
    pub(crate) lost: u64,
    /// Out of order.
    pub(crate) reordered: u64,
    /// Twice.
    pub(crate) duplicated: u64,
    /// Otherwise than they were sent.
    pub(crate) altered: u64,
    /// Gaps far above the pace.
    pub(crate) stalls: u64,
}

/// Errors by kind.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(transparent)]
pub(crate) struct Errors(BTreeMap<String, serde_json::Value>);

impl Errors {
    fn told(&self) -> String {
        let many = self.0.iter().filter(|(_, value)| match value {
            serde_json::Value::Number(number) => number.as_u64() != Some(0),
            serde_json::Value::Object(map) => !map.is_empty(),
            serde_json::Value::Null
            | serde_json::Value::Bool(_)
            | serde_json::Value::String(_)
            | serde_json::Value::Array(_) => false,
        });
        let words: Vec<String> = many.map(|(name, value)| format!("{name} {value}")).collect();
        if words.is_empty() { "none".to_owned() } else { words.join(", ") }
    }
}

/// Durations.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Hist {
    /// How many.
    pub(crate) count: u64,
    /// Half of them were no longer, in microseconds.
    pub(crate) p50_us: f64,
    /// 99 of 100.
    pub(crate) p99_us: f64,
    /// The longest.
    pub(crate) max_us: f64,
    /// Microseconds, and the share that was no longer.
    pub(crate) cdf: Vec<[f64; 2]>,
}

/// Has users of `load` work at `door`, which is on the users' side of `site`, and watches the
/// processes `pids` meanwhile.
///
/// # Errors
/// Where nothing could be sent, or it takes far longer than it should.
///
/// # Cancel safety
/// Dropped, it ends the users.
pub(crate) async fn play(
    stage: &Stage,
    site: &Site,
    door: &Door,
    pids: Vec<u32>,
    load: &Load,
) -> anyhow::Result<Round> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let folder = stage.folder("rounds")?;
    let json = folder.join(format!("{number}.json"));
    let log = folder.join(format!("{number}.log"));
    let mut run = command(&stage.program);
    run.args(words(stage, door, load)).arg("--json").arg(&json);
    if let Some(ca) = &door.ca {
        run.arg("--ca").arg(ca);
    }
    run.env("WEFT_USERS_KEY", &door.key).env("WEFT_LOG", "warn").env("NO_COLOR", "1");
    let watch = Watch::begin(pids)?;
    let began_ms = SystemClock.now().as_millis() as f64;
    let mut process = site.start(Side::Server, "weft-loadtest users", run, &log)?;
    let within = Duration::from_secs_f64(load.seconds + load.warm_up) + LATE_MAX;
    let status = process.wait(within).await?;
    let seen = watch.end();
    anyhow::ensure!(status.success(), "users failed ({status}): {}", process.tail());
    let users: Users = read(json)?;
    let from_ms = users.measured_from_ms.unwrap_or(began_ms + load.warm_up * 1e3);
    let until_ms = users.measured_until_ms.unwrap_or(from_ms + users.window_seconds * 1e3);
    // Of use for whoever looks into a run that went wrong; a good one needs no log.
    drop(std::fs::remove_file(log));
    Ok(Round { users, seen, from_ms, until_ms })
}

fn read(json: PathBuf) -> anyhow::Result<Users> {
    let text = std::fs::read(&json).with_context(|| format!("{}", json.display()))?;
    let users = serde_json::from_slice(&text).context("the document of `users`")?;
    drop(std::fs::remove_file(json));
    Ok(users)
}

fn words(stage: &Stage, door: &Door, load: &Load) -> Vec<String> {
    let mut words = vec!["users".to_owned(), door.url.clone()];
    let mut flag = |name: &str, value: String| words.extend([name.to_owned(), value]);
    flag("--concurrency", load.concurrency.to_string());
    flag("--seconds", load.seconds.to_string());
    flag("--warm-up", load.warm_up.to_string());
    flag("--seed", stage.seed.to_string());
    flag("--model", door.model.to_owned());
    flag("--sim", door.sim.to_owned());
    for kind in &load.kinds {
        flag("--kind", kind.clone());
    }
    for (name, value) in &door.headers {
        flag("--header", format!("{name}: {value}"));
    }
    words.push("--quiet".to_owned());
    words.extend(load.more.iter().cloned());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_with_more_and_less_than_is_needed_is_read() {
        let text = r#"{"what":"users","window_seconds":2.5,"later":{"x":1},"total":{"counts":
            {"done":7,"failed":1},"errors":{"reset":1,"tls":0,"status":{}},"gap":null,
            "total":{"count":7,"p50_us":90,"p99_us":120.5,"cdf":[[90,0.5],[120,1.0]]}}}"#;
        let users: Users = serde_json::from_str(text).expect("a document");
        let total = &users.total;
        assert_eq!((total.counts.done, total.frames.lost), (7, 0));
        assert!(total.gap.is_none());
        assert_eq!(total.total.as_ref().map(|hist| hist.cdf.len()), Some(2));
        assert_eq!(total.errors.told(), "reset 1");
    }
}
