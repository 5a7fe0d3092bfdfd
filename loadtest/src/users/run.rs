//! A run from its probes to the sum of what its event loops saw.
//!
//! Probes first, then every loop opens its connections; only when all are ready does the warm-up
//! begin, and behind it the window. An interrupt ends it early, and what was measured is kept.

use super::ask::Composer;
use super::drive::{Found, Shared, drive};
use super::exchange::Gauge;
use super::key::Key;
use super::learn::{Level, Prepared, Prober};
use super::settings::{Extent, Http, Settings};
use super::tally::{Tally, Window};
use super::wire::{Dial, Lane};
use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use rustix::time::{ClockId, clock_gettime};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use weft_proto::time::{Clock, SystemClock};

/// What is shorter has no progress bar.
const BAR_FROM: Duration = Duration::from_secs(2);
/// How often the bar is drawn.
const TICK: Duration = Duration::from_millis(200);
/// From the last event loop's being ready to the first request.
const LEAD: Duration = Duration::from_millis(20);

/// What is known of a kind beside its figures.
#[derive(Debug, Clone)]
pub(super) struct KindFacts {
    pub(super) level: Level,
    pub(super) pace: Option<Duration>,
}

/// What a run came to.
#[derive(Debug)]
pub(super) struct Outcome {
    /// By the number of the kind.
    pub(super) kinds: Vec<KindFacts>,
    /// All event loops together.
    pub(super) tally: Tally,
    /// How long the window was.
    pub(super) lasted: Duration,
    /// Milliseconds since 1970 at its beginning.
    pub(super) from_ms: u64,
    /// Whether somebody ended it early.
    pub(super) interrupted: bool,
    /// This process's CPU time inside the window.
    pub(super) cpu: Duration,
    /// The busiest event loop's share of a core, from 0 to 1.
    pub(super) busy: f64,
}

/// Probes, sends and measures as `settings` say. With `shows`, people are shown how far it is; `own`
/// says that targets beyond loopback are allowed.
///
/// # Errors
/// Where a probe fails, or a connection cannot be opened before anything is sent.
///
/// # Cancel safety
/// Not cancel safe: event loops have threads of their own, which end with the run.
pub(super) async fn run(
    settings: &Settings,
    addresses: &[SocketAddr],
    key: &Key,
    shows: bool,
    own: bool,
) -> anyhow::Result<Outcome> {
    let mut interrupt = Interrupt::new()?;
    let probing = LocalSet::new();
    let prepared = tokio::select! {
        biased;
        () = interrupt.comes() => anyhow::bail!("interrupted before anything was measured"),
        prepared = probing.run_until(prepare(settings, addresses, key, own)) => prepared?,
    };
    let kinds = prepared.iter().map(|one| KindFacts { level: one.level, pace: one.pace }).collect();
    let shared = Arc::new(Shared {
        settings: settings.clone(),
        addresses: addresses.to_vec(),
        key: key.clone(),
        prepared,
        gauge: Gauge::default(),
        next: AtomicU64::new(0),
        next_warm_up: AtomicU64::new(0),
        stop: CancellationToken::new(),
    });
    // However this ends, the event loops do.
    let _stop = shared.stop.clone().drop_guard();
    let (ready, mut is_ready) = mpsc::channel(settings.threads as usize);
    let (open, window) = watch::channel(None);
    let mut loops = JoinSet::new();
    for index in 0..settings.threads {
        let (shared, ready, window) = (Arc::clone(&shared), ready.clone(), window.clone());
        loops.spawn_blocking(move || drive(&shared, index, &ready, window));
    }
    drop(ready);
    for _ in 0..settings.threads {
        tokio::select! {
            biased;
            () = interrupt.comes() => anyhow::bail!("interrupted before anything was measured"),
            one = is_ready.recv() => if one.is_none() { break },
            Some(ended) = loops.join_next() => {
                ended??;
                anyhow::bail!("an event loop ended before the run began");
            }
        }
    }
    let begin = Instant::now() + LEAD;
    let from = begin + settings.warm_up;
    let until = match settings.extent {
        Extent::Seconds(time) => Some(from + time),
        Extent::Requests(_) => None,
    };
    let window = Window { begin, from, until };
    open.send(Some(window)).context("no event loop is left")?;
    let until_from = u64::try_from((from - Instant::now()).as_millis()).unwrap_or_default();
    let from_ms = SystemClock.now().as_millis().saturating_add(until_from);
    let watched = Watched { shared: &shared, window, shows };
    let (found, cpu, interrupted) = watched.until_over(loops, &mut interrupt).await?;
    let mut tally = Tally::new(settings.kinds.len())?;
    let mut busy = 0.0_f64;
    for one in &found {
        tally.add(&one.tally)?;
        busy = busy.max(one.busy);
    }
    let now = Instant::now();
    let end = match until {
        Some(until) => until.min(now),
        None => tally.last_end.unwrap_or(now),
    };
    let lasted = end.saturating_duration_since(from);
    Ok(Outcome { kinds, tally, lasted, from_ms, interrupted, cpu, busy })
}

/// Every kind with its requests and what they must be answered.
async fn prepare(
    settings: &Settings,
    addresses: &[SocketAddr],
    key: &Key,
    own: bool,
) -> anyhow::Result<Vec<Prepared>> {
    let run = Composer::new(settings, &settings.target, settings.http, key);
    let simulated = Key::simulated()?;
    let (lane, probes) = match &settings.learn_from {
        Some(source) => {
            let found = source.addresses(own).await?;
            let dial = Dial::plain(source, &found)
                .context("--learn-from takes an http:// URL: a simulated provider has no other")?;
            let probes = Composer::new(settings, source, Http::H1, &simulated);
            (Lane::new(dial, Http::H1, 1, false), probes)
        }
        None => {
            let dial = Dial::new(settings, addresses)?;
            let probes = Composer::new(settings, &settings.target, settings.http, key);
            (Lane::new(dial, settings.http, 1, false), probes)
        }
    };
    // A connection refused is said as such, not as a probe's fault.
    let opened = timeout(settings.timeout, lane.open_ahead(1)).await;
    let opened = opened.with_context(|| format!("no connection within {:?}", settings.timeout))?;
    opened
        .map_err(|unsent| anyhow::anyhow!("a connection cannot be opened: {}", unsent.reason()))?;
    let prober = Prober { settings, probes: &probes, run: &run, lane: &lane };
    let mut prepared = Vec::with_capacity(settings.kinds.len());
    for kind in &settings.kinds {
        prepared.push(prober.prepare(kind).await?);
    }
    lane.close().await;
    Ok(prepared)
}

/// Somebody wants it to end.
struct Interrupt {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupt {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn comes(&mut self) {
        tokio::select! {
            biased;
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// A run under way, as the rest of the process sees it.
struct Watched<'a> {
    shared: &'a Shared,
    window: Window,
    shows: bool,
}

impl Watched<'_> {
    async fn until_over(
        &self,
        mut loops: JoinSet<anyhow::Result<Found>>,
        interrupt: &mut Interrupt,
    ) -> anyhow::Result<(Vec<Found>, Duration, bool)> {
        let bar = self.bar();
        let (mut found, mut interrupted) = (Vec::new(), false);
        let (mut before, mut after) = (None, None);
        let mut tick = Instant::now();
        loop {
            let edge = match (before, self.window.until) {
                (None, _) => Some(self.window.from),
                (Some(_), Some(until)) if after.is_none() => Some(until),
                (Some(_), Some(_) | None) => None,
            };
            tokio::select! {
                biased;
                ended = loops.join_next() => match ended {
                    Some(ended) => found.push(ended??),
                    None => break,
                },
                () = interrupt.comes(), if !interrupted => {
                    interrupted = true;
                    self.shared.stop.cancel();
                }
                () = at(edge) => {
                    let now = own_cpu();
                    if before.is_none() { before = Some(now) } else { after = Some(now) }
                }
                () = sleep_until(tick) => {
                    tick = Instant::now() + TICK;
                    self.show(bar.as_ref());
                }
            }
        }
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
        let after = after.unwrap_or_else(own_cpu);
        Ok((found, after.saturating_sub(before.unwrap_or(after)), interrupted))
    }

    fn bar(&self) -> Option<ProgressBar> {
        let settings = &self.shared.settings;
        let (length, lasts) = match settings.extent {
            Extent::Seconds(time) => {
                let lasts = settings.warm_up + time;
                (u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX), lasts)
            }
            // How long they take is not known.
            Extent::Requests(requests) => (requests, Duration::MAX),
        };
        if !self.shows || lasts <= BAR_FROM {
            return None;
        }
        let bar = ProgressBar::new(length);
        let template = "users {elapsed_precise} [{bar:40}] {percent:>3} %  {msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        Some(bar)
    }

    fn show(&self, bar: Option<&ProgressBar>) {
        let Some(bar) = bar else { return };
        let gauge = &self.shared.gauge;
        let (done, failed) =
            (gauge.done.load(Ordering::Relaxed), gauge.failed.load(Ordering::Relaxed));
        let position = match self.shared.settings.extent {
            Extent::Seconds(_) => {
                u64::try_from(self.window.begin.elapsed().as_millis()).unwrap_or(u64::MAX)
            }
            Extent::Requests(_) => done + failed,
        };
        bar.set_position(position.min(bar.length().unwrap_or(position)));
        let phase = if Instant::now() < self.window.from { "warm-up, " } else { "" };
        bar.set_message(format!("{phase}{done} done, {failed} failed"));
    }
}

/// At this moment; never where there is none.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

fn own_cpu() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}
