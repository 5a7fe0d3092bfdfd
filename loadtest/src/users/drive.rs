//! One event loop: it sends its part of the load, and sees how busy it is itself.
//!
//! Everything in it runs on one thread. What it sends of an open loop is due at moments that
//! nothing of what is answered moves.

use super::ask::Composer;
use super::exchange::{Due, Gauge, Room, exchange};
use super::key::Key;
use super::kind::Work;
use super::learn::Prepared;
use super::moment::Alarm;
use super::schedule::{Arrivals, Deck, Lot, warm_up_number};
use super::settings::{Extent, Http, Load, Settings};
use super::tally::{Tally, Window};
use super::text::Reader;
use super::websocket::Talk;
use super::wire::{Dial, Lane};
use anyhow::Context;
use http::HeaderMap;
use rustix::time::{ClockId, clock_gettime};
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// How often the event loop is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// The users of a closed loop begin over this time, evenly spread, where there is a warm-up.
const SPREAD: Duration = Duration::from_millis(200);
/// Requests that are begun in a row before others have their turn.
const BATCH: u32 = 64;

/// What all event loops of a run share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) key: Key,
    pub(super) prepared: Vec<Prepared>,
    pub(super) gauge: Gauge,
    /// The next number of a closed loop.
    pub(super) next: AtomicU64,
    /// And of its warm-up.
    pub(super) next_warm_up: AtomicU64,
    /// Nothing more is to be sent or waited for.
    pub(super) stop: CancellationToken,
}

/// What one event loop found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) tally: Tally,
    /// Its share of a core inside the window, from 0 to 1.
    pub(super) busy: f64,
}

/// Runs event loop `index` on this thread. It says when its connections are open, waits to be told
/// the window, and comes back when it is over.
///
/// # Errors
/// Where no connection can be opened ahead, or the system has no timer to give.
pub(super) fn drive(
    shared: &Arc<Shared>,
    index: u32,
    ready: &mpsc::Sender<()>,
    window: watch::Receiver<Option<Window>>,
) -> anyhow::Result<Found> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let shared = Arc::clone(shared);
    let local = LocalSet::new();
    let found = local.block_on(&runtime, run(&shared, index, ready, window));
    // What still runs is given up here, on its own thread.
    drop(local);
    found
}

async fn run(
    shared: &Arc<Shared>,
    index: u32,
    ready: &mpsc::Sender<()>,
    mut window: watch::Receiver<Option<Window>>,
) -> anyhow::Result<Found> {
    let settings = &shared.settings;
    let connections = settings.part(settings.connections, index) as usize;
    let dial = Dial::new(settings, &shared.addresses)?;
    let lane = Lane::new(dial, settings.http, connections, settings.fresh);
    let opened = tokio::select! {
        biased;
        () = shared.stop.cancelled() => anyhow::bail!("the run is over"),
        opened = timeout(settings.timeout, lane.open_ahead(connections)) => opened,
    };
    let opened = opened.with_context(|| format!("no connection within {:?}", settings.timeout))?;
    opened
        .map_err(|unsent| anyhow::anyhow!("a connection cannot be opened: {}", unsent.reason()))?;
    drop(lane.opened());
    ready.send(()).await.context("the run is over")?;
    let window = *window.wait_for(Option::is_some).await.context("the run is over")?;
    let window = window.context("no window")?;
    // Tasks of this thread hold it as long as they run.
    let room = Rc::new(OwnedRoom::new(shared, lane, window)?);
    let mut looking = JoinSet::new();
    let look = Rc::new(Look::default());
    looking.spawn_local(watch_self(Rc::clone(&room), Rc::clone(&look)));
    let mut running = JoinSet::new();
    match settings.load {
        Load::Open { rate, .. } => open_loop(&room, rate, index, &mut running).await?,
        Load::Closed { concurrency } => {
            closed_loop(&room, settings.part(concurrency, index), index, &mut running);
        }
    }
    finish(&room, &mut running).await;
    running.shutdown().await;
    looking.shutdown().await;
    room.room.lane.close().await;
    let tally = room.room.tally.borrow().clone();
    Ok(Found { tally, busy: look.busy() })
}

/// A room with what it lends.
struct OwnedRoom {
    shared: Arc<Shared>,
    room: Room,
    deck: Deck,
}

impl OwnedRoom {
    fn new(shared: &Arc<Shared>, lane: Lane, window: Window) -> anyhow::Result<Self> {
        let settings = &shared.settings;
        let weights: Vec<_> = settings.kinds.iter().map(|kind| kind.weight).collect();
        Ok(Self {
            room: Room {
                lane,
                talks: talks(shared)?,
                lot: Lot::new(settings.seed, settings.abort),
                window,
                timeout: settings.timeout,
                reader: Reader::new(),
                tally: RefCell::new(Tally::new(settings.kinds.len())?),
            },
            deck: Deck::new(settings.seed, &weights),
            shared: Arc::clone(shared),
        })
    }

    fn due(&self, number: u64, at: Instant, counts: bool) -> Due {
        Due { kind: self.deck.kind(number), number, at, counts }
    }

    async fn exchange(&self, due: Due) {
        exchange(&self.room, &self.shared.prepared, &self.shared.gauge, due).await;
    }

    fn is_over(&self) -> bool {
        let until = self.room.window.until;
        self.shared.stop.is_cancelled() || until.is_some_and(|until| Instant::now() >= until)
    }
}

/// What is said on WebSockets, by the number of their kind.
fn talks(shared: &Shared) -> anyhow::Result<Vec<Option<Talk>>> {
    let settings = &shared.settings;
    let composer = Composer::new(settings, &settings.target, Http::H1, &shared.key);
    let talk = |work: &Work| {
        let Work::Websocket { turns, pace, bytes } = *work else { return Ok(None) };
        let mut headers = HeaderMap::new();
        composer.headers(&mut headers)?;
        let numbers = (0..u64::from(turns)).collect();
        Ok(Some(Talk { target: composer.realtime(), headers, turns, pace, bytes, numbers }))
    };
    settings.kinds.iter().map(|kind| talk(&kind.work)).collect()
}

async fn open_loop(
    room: &Rc<OwnedRoom>,
    rate: f64,
    index: u32,
    running: &mut JoinSet<()>,
) -> anyhow::Result<()> {
    let settings = &room.shared.settings;
    let in_flight_max = settings.part(settings.load.in_flight_max(), index).max(1);
    let window = room.room.window;
    let limit = match settings.extent {
        Extent::Requests(requests) => requests,
        Extent::Seconds(_) => u64::MAX,
    };
    let mut alarm = Alarm::new()?;
    let loops = settings.threads.into();
    let mut in_a_row = 0;
    for arrival in Arrivals::new(rate, settings.warm_up, index.into(), loops) {
        let at = window.moment(&arrival);
        let beyond = window.until.is_some_and(|until| at >= until);
        if beyond || (arrival.counts && arrival.number >= limit) {
            break;
        }
        if Instant::now() < at {
            in_a_row = 0;
            tokio::select! {
                biased;
                () = room.shared.stop.cancelled() => break,
                rung = alarm.until(at) => rung?,
            }
        } else {
            in_a_row += 1;
            if in_a_row == BATCH {
                in_a_row = 0;
                tokio::task::yield_now().await;
            }
        }
        if room.shared.stop.is_cancelled() {
            break;
        }
        while running.try_join_next().is_some() {}
        let due = room.due(arrival.number, at, arrival.counts);
        if running.len() >= in_flight_max as usize {
            if due.counts {
                room.room.tally.borrow_mut().kinds[due.kind].shed += 1;
            }
            continue;
        }
        let room = Rc::clone(room);
        running.spawn_local(async move { room.exchange(due).await });
    }
    Ok(())
}

fn closed_loop(room: &Rc<OwnedRoom>, users: u32, index: u32, running: &mut JoinSet<()>) {
    let window = room.room.window;
    let spread = SPREAD.min(window.from - window.begin);
    for user in 0..users {
        let room = Rc::clone(room);
        let threads = room.shared.settings.threads;
        // Evenly over the users of all event loops.
        let place = f64::from(user * threads + index) / f64::from(users * threads).max(1.0);
        running.spawn_local(async move {
            tokio::time::sleep_until(window.begin + spread.mul_f64(place.min(1.0))).await;
            while let Some(due) = next(&room) {
                room.exchange(due).await;
            }
        });
    }
}

/// What a user of a closed loop does next; nothing where all is done.
fn next(room: &OwnedRoom) -> Option<Due> {
    if room.is_over() {
        return None;
    }
    let (now, shared) = (Instant::now(), &room.shared);
    if now < room.room.window.from {
        let place = shared.next_warm_up.fetch_add(1, Ordering::Relaxed);
        return Some(room.due(warm_up_number(place), now, false));
    }
    let number = shared.next.fetch_add(1, Ordering::Relaxed);
    match shared.settings.extent {
        Extent::Requests(requests) if number >= requests => None,
        Extent::Requests(_) | Extent::Seconds(_) => Some(room.due(number, now, true)),
    }
}

/// Waits for what is under way, no longer than the settings say.
async fn finish(room: &OwnedRoom, running: &mut JoinSet<()>) {
    let settings = &room.shared.settings;
    // A closed loop still sends while it is waited for here.
    let until = match (room.room.window.until, settings.load, settings.extent) {
        (Some(until), Load::Closed { .. }, _) => until,
        (None, Load::Closed { .. }, _) => room.room.window.from + settings.at_most,
        (Some(_) | None, Load::Open { .. }, _) => Instant::now(),
    };
    let deadline = until + settings.drain;
    loop {
        tokio::select! {
            biased;
            () = room.shared.stop.cancelled() => return,
            ended = running.join_next() => if ended.is_none() { return },
            () = tokio::time::sleep_until(deadline) => return,
        }
    }
}

/// How busy the thread was between two looks.
#[derive(Debug, Default)]
struct Look {
    first: Cell<Option<(Instant, Duration)>>,
    last: Cell<Option<(Instant, Duration)>>,
}

impl Look {
    fn busy(&self) -> f64 {
        let (Some(first), Some(last)) = (self.first.get(), self.last.get()) else { return 0.0 };
        let (wall, cpu) = ((last.0 - first.0).as_secs_f64(), (last.1 - first.1).as_secs_f64());
        if wall > 0.0 { (cpu / wall).min(1.0) } else { 0.0 }
    }
}

/// Looks in vain for work at known moments: how much later it is than that is the loop's lag.
async fn watch_self(room: Rc<OwnedRoom>, look: Rc<Look>) {
    let Ok(mut alarm) = Alarm::new() else { return };
    let window = room.room.window;
    let mut due = window.from;
    while alarm.until(due).await.is_ok() {
        let now = Instant::now();
        if window.until.is_some_and(|until| now >= until) {
            return;
        }
        room.room.tally.borrow_mut().lag.add(now - due);
        let cpu = Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default();
        if look.first.get().is_none() {
            look.first.set(Some((now, cpu)));
        }
        look.last.set(Some((now, cpu)));
        // Moments that were missed are one lag, not many.
        due = now.max(due) + LOOK_EVERY;
    }
}
