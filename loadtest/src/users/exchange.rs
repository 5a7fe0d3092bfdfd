//! One request from the moment at which it was to be sent to the end of its answer.
//!
//! Whatever happens to it, it ends in exactly one way, which is noted; only what is under way when
//! a run is over has none.

use super::body::Load;
use super::fault::Fault;
use super::follow::{Expected, Follower, Frames};
use super::learn::Prepared;
use super::schedule::Lot;
use super::tally::{Ended, Ending, KindTally, Tally, Window};
use super::text::Reader;
use super::websocket::Talk;
use super::wire::Lane;
use http::Request;
use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// A gap of so many paces is a stall.
const STALL_PACES: u32 = 10;
/// Bytes of a refusal that are read so that its connection can be used again.
const REFUSAL_BYTES_MAX: usize = 64 * 1_024;

/// What people who wait are told meanwhile.
#[derive(Debug, Default)]
pub(super) struct Gauge {
    pub(super) done: AtomicU64,
    pub(super) failed: AtomicU64,
}

/// What all requests of one event loop share.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) lane: Lane,
    /// Of the kinds that are WebSockets, by their number.
    pub(super) talks: Vec<Option<Talk>>,
    pub(super) lot: Lot,
    pub(super) window: Window,
    pub(super) timeout: Duration,
    pub(super) reader: Reader,
    pub(super) tally: RefCell<Tally>,
}

/// A request that is to be sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Due {
    /// The number of its kind.
    pub(super) kind: usize,
    /// Its own number.
    pub(super) number: u64,
    /// When it was to be sent.
    pub(super) at: Instant,
    /// Whether it counts.
    pub(super) counts: bool,
}

/// Takes the times of one request.
#[derive(Debug)]
pub(super) struct Track<'a> {
    tally: &'a RefCell<Tally>,
    due: Due,
    pace: Option<Duration>,
    begun: bool,
    first_byte: bool,
    first_delta: Option<Instant>,
    last_delta: Option<Instant>,
    deltas: u32,
    down: u64,
}

impl Track<'_> {
    fn note(&self, note: impl FnOnce(&mut KindTally)) {
        if self.due.counts {
            note(&mut self.tally.borrow_mut().kinds[self.due.kind]);
        }
    }

    /// A connection of its own was opened, begun at `began`.
    pub(super) fn connected(&self, began: Instant) {
        self.note(|kind| kind.connect.add(began.elapsed()));
    }

    /// The answer's head came.
    pub(super) fn head_came(&mut self, now: Instant) {
        self.begun = true;
        self.note(|kind| kind.head.add(now - self.due.at));
    }

    /// Bytes of its body came.
    pub(super) fn bytes_came(&mut self, now: Instant, bytes: usize) {
        self.down += bytes as u64;
        if !std::mem::replace(&mut self.first_byte, true) {
            self.note(|kind| kind.first.add(now - self.due.at));
        }
    }

    /// So many deltas came at once.
    pub(super) fn deltas_came(&mut self, now: Instant, count: u64) {
        for _ in 0..count {
            let first = *self.first_delta.get_or_insert(now);
            let Some(last) = self.last_delta.replace(now) else { continue };
            self.deltas += 1;
            let gap = now - last;
            self.note(|kind| {
                kind.gap.add(gap);
                if let Some(pace) = self.pace {
                    kind.behind.add((now - first).saturating_sub(pace * self.deltas));
                    kind.stalls += u64::from(gap > pace * STALL_PACES);
                }
            });
        }
    }
}

/// Sends the request that is `due`, follows its answer, and notes how it ends.
///
/// # Cancel safety
/// A dropped call leaves a request without an ending.
pub(super) async fn exchange(room: &Room, prepared: &[Prepared], gauge: &Gauge, due: Due) {
    let began = Instant::now();
    let prepared = &prepared[due.kind];
    if due.counts {
        let mut tally = room.tally.borrow_mut();
        tally.kinds[due.kind].started += 1;
        tally.late.add(began - due.at);
    }
    let leaves = room.lot.leaves(due.number, prepared.usual).map(|after| began + after);
    let gives_up = began + room.timeout;
    let until = leaves.map_or(gives_up, |leaves| leaves.min(gives_up));
    let mut track = Track {
        tally: &room.tally,
        due,
        pace: prepared.pace,
        begun: false,
        first_byte: false,
        first_delta: None,
        last_delta: None,
        deltas: 0,
        down: 0,
    };
    let (followed, frames, up) = match &room.talks[due.kind] {
        Some(talk) => {
            let mut frames = Frames::default();
            let hold = talk.hold(room.lane.dial(), due.number, &mut track, &mut frames);
            let followed = timeout_at(until, hold).await;
            let followed = followed.map(|followed| followed.map(|followed| followed.is_whole));
            if !matches!(followed, Ok(Ok(_))) {
                frames.expected = frames.arrived;
            }
            (followed, frames, u64::from(talk.turns) * u64::from(talk.bytes))
        }
        None => {
            let variant = room.lot.variant(due.number, prepared.variants.len());
            let (request, expected) = &prepared.variants[variant];
            let up = request.body().left();
            let mut follower = Follower::new(expected, &room.reader);
            let follow = follow(room, request, expected, &mut track, &mut follower);
            let followed = timeout_at(until, follow).await;
            let ended = follower.end(matches!(followed, Ok(Ok(()))));
            (followed.map(|followed| followed.map(|()| ended.is_whole)), ended.frames, up)
        }
    };
    let ending = match followed {
        Ok(Ok(true)) => Ending::Done,
        Ok(Ok(false)) => Ending::Failed(Fault::Short),
        Ok(Err(fault)) => Ending::Failed(fault),
        Err(_) if until < gives_up => Ending::Aborted { begun: track.begun },
        Err(_) => Ending::Failed(Fault::Timeout),
    };
    match ending {
        Ending::Done => {
            gauge.done.fetch_add(1, Ordering::Relaxed);
        }
        Ending::Failed(_) => {
            gauge.failed.fetch_add(1, Ordering::Relaxed);
        }
        Ending::Aborted { .. } => {}
    }
    let mut tally = room.tally.borrow_mut();
    let took = due.at.elapsed();
    let (kind, counts, down) = (due.kind, due.counts, track.down);
    tally.end(&room.window, &Ended { kind, counts, ending, frames, down, up, took });
    for opened in room.lane.opened() {
        if counts {
            tally.kinds[kind].connect.add(opened);
        }
    }
}

async fn follow(
    room: &Room,
    request: &Request<Load>,
    expected: &Expected,
    track: &mut Track<'_>,
    follower: &mut Follower<'_>,
) -> Result<(), Fault> {
    let mut reply = room.lane.send(request.clone()).await?;
    track.head_came(Instant::now());
    if !reply.status.is_success() {
        let fault = Fault::Status(reply.status.as_u16());
        let mut room_left = REFUSAL_BYTES_MAX;
        while let Ok(Some(bytes)) = reply.next().await {
            track.down += bytes.len() as u64;
            room_left = room_left.saturating_sub(bytes.len());
            if room_left == 0 {
                return Err(fault);
            }
        }
        room.lane.give_back(reply);
        return Err(fault);
    }
    let has_deltas = expected.has_deltas();
    while let Some(bytes) = reply.next().await? {
        let now = Instant::now();
        track.bytes_came(now, bytes.len());
        let deltas = follower.take(&bytes);
        if has_deltas && deltas > 0 {
            track.deltas_came(now, deltas);
        }
    }
    room.lane.give_back(reply);
    Ok(())
}
