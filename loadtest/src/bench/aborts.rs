//! Users who leave: many streams, each given up at a random point, and what they leave behind.
//!
//! Most are HTTP/2 streams that are reset; every sixteenth is an HTTP/1.1 connection that is
//! closed, as SDKs do. The points are: in the middle of the upload, while the provider is silent,
//! and among the frames of the answer.

use super::client::{CHAT, Way};
use super::figure::{Row, Section};
use super::ground::{Ground, Held, Pids};
use super::process::Memory;
use super::progress::Progress;
use anyhow::Context as _;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request};
use http_body::{Body as HttpBody, Frame};
use http_body_util::BodyExt;
use serde_json::json;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;
use weft_proto::entropy::{Entropy, SeededEntropy};

use crate::mesh::caller::{Body, full};
use crate::mesh::{Caller, Connection, Version};
use crate::provider::CONTROL_HEADER;

/// Streams at once.
const AT_ONCE: u64 = 64;
/// One in so many leaves by closing its HTTP/1.1 connection.
const CLOSED_EVERY: u64 = 16;
/// How long a user at most waits before it leaves.
const PATIENCE_MAX: Duration = Duration::from_millis(4);
/// Most frames that a user reads before it leaves.
const FRAMES_MAX: u64 = 6;
/// Streams that run before memory is first looked at, of all: heaps and caches fill.
const WARM_UP_SHARE: u64 = 10;
/// How often memory is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long what was given up may still run at the provider.
const GONE_WITHIN: Duration = Duration::from_secs(5);
/// Growth over the second half of the streams below which memory counts as flat, in KiB.
pub(crate) const FLAT_KIB: f64 = 1_024.0;

/// What is asked for.
fn request_body() -> Bytes {
    let messages = json!([{"role": "user", "content": "Count to ten thousand."}]);
    Bytes::from(json!({"model": "sim", "stream": true, "messages": messages}).to_string())
}

/// An answer that is longer than any user here waits for, or silence in place of its head.
const fn control(silent: bool) -> HeaderValue {
    HeaderValue::from_static(if silent { "fault=stall-head" } else { "deltas=10000;pace=1ms" })
}

/// One look at the memory of hub and agent.
#[derive(Debug, Clone, Copy)]
struct Look {
    streams: u64,
    held: Held,
}

/// Gives up `count` streams, or as many as `lasts` allows. Returns the figures and the growth of
/// the hub and the agent over the second half, in KiB.
///
/// # Errors
/// Where streams cannot be opened, or go on at the provider after they were given up.
///
/// # Cancel safety
/// Nothing is lost but the figures.
pub(crate) async fn aborted(
    ground: &mut Ground,
    count: u64,
    lasts: Duration,
    progress: &Progress,
) -> anyhow::Result<(Section, [f64; 2])> {
    progress.say(&format!("{count} aborted streams"));
    let pids = ground.pids();
    let begun = Instant::now();
    let total_before = ground.in_flight().await?;
    let shared = Arc::new(Shared {
        left: AtomicU64::new(count),
        done: AtomicU64::new(0),
        reconnects: AtomicU64::new(0),
        deadline: begun + lasts,
        caller: Caller::new(ground.hub().users(), &ground.hub().ca())?,
        client: ground.client.clone(),
        bearer: ground.client.bearer(),
    });
    let mut workers = JoinSet::new();
    for number in 0..AT_ONCE {
        let shared = Arc::clone(&shared);
        workers.spawn(async move { shared.work(number).await });
    }
    let looks = watch(&shared, &mut workers, pids, count, progress).await?;
    ground.check()?;
    let (done, lasted) = (shared.done.load(Ordering::Relaxed), begun.elapsed());
    let load = settled(ground).await?;
    let after = pids.memory()?;
    anyhow::ensure!(looks.len() >= 4, "too few looks at memory: want more streams");

    let growth = [growth(&looks, |held| held.hub), growth(&looks, |held| held.agent)];
    let mut section = Section::new(
        "aborted_streams",
        format!("Memory over {done} aborted streams, {AT_ONCE} at once"),
        ["hub", "agent"],
    );
    let pair = |held: Held| [held.hub.rss_kib as f64, held.agent.rss_kib as f64];
    let samples = looks.len() as u64;
    section.rows.extend([
        Row::new(
            format!("RSS after the first {}", looks[0].streams),
            pair(looks[0].held),
            "KiB",
            1,
        ),
        Row::new("RSS half way", pair(looks[looks.len() / 2].held), "KiB", 1),
        Row::new("RSS when all were given up", pair(after), "KiB", 1),
        Row::new("growth over the second half", growth, "KiB", samples),
        Row::new(
            "slope over the second half, per 1000 streams",
            [slope(&looks, |held| held.hub), slope(&looks, |held| held.agent)],
            "KiB",
            samples,
        ),
    ]);
    let (begun_there, gone) =
        (load.total - total_before.total, load.client_gone - total_before.client_gone);
    section.notes.push(format!(
        "{:.0} streams/s; {begun_there} reached the provider, which saw {gone} clients go; \
         {} still ran after the last one; {} reconnections beside one in {CLOSED_EVERY} closed on \
         purpose",
        done as f64 / lasted.as_secs_f64(),
        load.in_flight,
        shared.reconnects.load(Ordering::Relaxed),
    ));
    if done < count {
        section.notes.push(format!("{count} were asked for; the time was up before"));
    }
    Ok((section, growth))
}

/// Waits until nothing runs at the provider.
async fn settled(ground: &Ground) -> anyhow::Result<super::ground::Load> {
    let began = Instant::now();
    loop {
        let load = ground.in_flight().await?;
        if load.in_flight == 0 {
            return Ok(load);
        }
        anyhow::ensure!(
            began.elapsed() < GONE_WITHIN,
            "{} streams still run at the provider though their users left",
            load.in_flight
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn watch(
    shared: &Shared,
    workers: &mut JoinSet<anyhow::Result<()>>,
    pids: Pids,
    count: u64,
    progress: &Progress,
) -> anyhow::Result<Vec<Look>> {
    let (mut looks, mut next) = (Vec::new(), Instant::now() + LOOK_EVERY);
    loop {
        tokio::select! {
            biased;
            () = tokio::time::sleep_until(next) => {
                let streams = shared.done.load(Ordering::Relaxed);
                if streams >= count / WARM_UP_SHARE {
                    looks.push(Look { streams, held: pids.memory()? });
                }
                progress.tick(|| format!("{streams} of {count} given up"));
                next = Instant::now() + LOOK_EVERY;
            }
            ended = workers.join_next() => match ended {
                Some(ended) => ended??,
                None => return Ok(looks),
            },
        }
    }
}

/// What the users who leave share.
struct Shared {
    left: AtomicU64,
    done: AtomicU64,
    reconnects: AtomicU64,
    deadline: Instant,
    caller: Caller,
    client: super::client::Client,
    bearer: HeaderValue,
}

impl Shared {
    fn another(&self) -> bool {
        let take = |left: u64| left.checked_sub(1);
        Instant::now() < self.deadline
            && self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    async fn work(&self, number: u64) -> anyhow::Result<()> {
        let chance = SeededEntropy::new(number);
        let mut connection = self.caller.connect(Version::H2).await?;
        while self.another() {
            if chance.next_u64().is_multiple_of(CLOSED_EVERY) {
                let line = self.client.connect(Way::Mesh).await?;
                let silent = chance.next_u64().is_multiple_of(2);
                let patience = chance.duration_below(PATIENCE_MAX);
                line.leave(request_body(), control(silent), patience).await?;
            } else if let Err(error) = self.leave(&mut connection, &chance).await {
                // A hub may close a connection on which too much was reset; not each time.
                tracing::debug!("a connection was lost: {error:#}");
                let lost = self.reconnects.fetch_add(1, Ordering::Relaxed);
                anyhow::ensure!(lost < 1_000, "the hub loses its users' connections: {error:#}");
                connection = self.caller.connect(Version::H2).await?;
            }
            self.done.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Opens one stream and resets it at a random point.
    async fn leave(&self, connection: &mut Connection, chance: &dyn Entropy) -> anyhow::Result<()> {
        let patience = chance.duration_below(PATIENCE_MAX);
        match chance.next_u64() % 3 {
            0 => {
                let body = request_body();
                let part = body.slice(..body.len() / 2);
                let body = Unfinished(Some(part)).map_err(|never| match never {}).boxed();
                let answer = connection.start(self.request(body, false)?)?;
                given_up(tokio::time::timeout(patience, answer).await)
            }
            1 => {
                let answer = connection.start(self.request(full(request_body()), true)?)?;
                given_up(tokio::time::timeout(patience, answer).await)
            }
            _ => {
                let frames = chance.next_u64() % FRAMES_MAX;
                let answer = connection.start(self.request(full(request_body()), false)?)?;
                let mut answer = answer.await?;
                anyhow::ensure!(answer.status().is_success(), "refused: {}", answer.status());
                for _ in 0..frames {
                    drop(answer.frame().await.context("the answer ended")??);
                }
                Ok(())
            }
        }
    }

    fn request(&self, body: Body, silent: bool) -> Result<Request<Body>, http::Error> {
        Request::builder()
            .method(Method::POST)
            .uri(CHAT)
            .header(AUTHORIZATION, &self.bearer)
            .header(CONTENT_TYPE, "application/json")
            .header(CONTROL_HEADER, control(silent))
            .body(body)
    }
}

/// An answer in time is as good as none: the user leaves.
fn given_up<T, E: std::error::Error + Send + Sync + 'static>(
    answer: Result<Result<T, E>, tokio::time::error::Elapsed>,
) -> anyhow::Result<()> {
    match answer {
        Ok(Ok(answer)) => drop(answer),
        Ok(Err(error)) => return Err(error.into()),
        Err(_) => {}
    }
    Ok(())
}

/// An upload that never comes to its end.
struct Unfinished(Option<Bytes>);

impl HttpBody for Unfinished {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.0.take() {
            Some(part) => Poll::Ready(Some(Ok(Frame::data(part)))),
            None => Poll::Pending,
        }
    }
}

/// How much more the last quarter of the looks holds than the third one, in KiB of RSS, doubled:
/// growth over the second half, robust against single looks.
fn growth(looks: &[Look], of: impl Fn(Held) -> Memory) -> f64 {
    let quarter = looks.len() / 4;
    let mean = |looks: &[Look]| {
        let sum: f64 = looks.iter().map(|look| of(look.held).rss_kib as f64).sum();
        sum / looks.len().max(1) as f64
    };
    let last = &looks[looks.len() - quarter..];
    let third = &looks[looks.len() - 2 * quarter..looks.len() - quarter];
    (mean(last) - mean(third)) * 2.0
}

/// The least-squares line through the second half of the looks, in KiB of RSS per 1000 streams.
fn slope(looks: &[Look], of: impl Fn(Held) -> Memory) -> f64 {
    let half = &looks[looks.len() / 2..];
    let points: Vec<(f64, f64)> = half
        .iter()
        .map(|look| (look.streams as f64 / 1_000.0, of(look.held).rss_kib as f64))
        .collect();
    let count = points.len().max(1) as f64;
    let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0, y + point.1));
    let (x, y) = (x / count, y / count);
    let over: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    let under: f64 = points.iter().map(|point| (point.0 - x) * (point.0 - x)).sum();
    if under > 0.0 { over / under } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(kib: impl Fn(u64) -> u64) -> Vec<Look> {
        (1..=40)
            .map(|number| {
                let memory = Memory { rss_kib: kib(number), pss_kib: 0 };
                let held = Held { hub: memory, agent: memory };
                Look { streams: number * 1_000, held }
            })
            .collect()
    }

    #[test]
    fn flat_memory_has_no_growth_and_a_leak_shows_per_stream() {
        let flat = looks(|_| 9_000);
        assert_eq!((growth(&flat, |held| held.hub), slope(&flat, |held| held.hub)), (0.0, 0.0));
        // 5 KiB for each thousand streams, twenty thousand of them in the second half.
        let leak = looks(|number| 9_000 + 5 * number);
        assert!((growth(&leak, |held| held.hub) - 100.0).abs() < 1.0);
        assert!((slope(&leak, |held| held.agent) - 5.0).abs() < 0.01);
    }

    #[test]
    fn what_fills_up_at_the_beginning_is_no_growth() {
        let filled = looks(|number| 9_000 + 500 * number.min(10));
        assert_eq!(growth(&filled, |held| held.hub), 0.0);
    }
}
