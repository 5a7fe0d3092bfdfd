//! All agents of a run: what they share, what is counted of them, and who waits for what.

use super::clients::Clients;
use super::identities::HubAt;
use super::life::{Flaps, Member, live};
use super::report::Exchanges;
use super::settings::Common;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use weft_certs::AgentIdentity;
use weft_proto::entropy::SeededEntropy;
use weft_proto::model::ModelPatterns;
use weft_proto::wire::control::RefuseCause;
use weft_transport::Connection;

/// How a group of agents is connected.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) clients: Arc<Clients>,
    /// Where they dial: the hub, or something before it.
    pub(super) towards: std::net::SocketAddr,
    /// Receive window of each of their streams.
    pub(super) stream_bytes: u32,
    /// How long they wait before each look at their control stream.
    pub(super) pause: Duration,
}

/// What is counted.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) attempts: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) losses_made: AtomicU64,
    pub(super) served: AtomicU64,
    pub(super) broken: AtomicU64,
}

/// Adds one.
pub(super) fn one_more(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}

/// Reads a count.
pub(super) fn read(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

/// What happened, in order: who, and when.
#[derive(Debug, Clone, Default)]
pub(super) struct Events {
    pub(super) lost: Vec<(usize, Instant)>,
    pub(super) back: Vec<(usize, Instant)>,
    /// How long it took to open each tunnel that was opened.
    pub(super) opening: Vec<Duration>,
}

/// What all agents of a run share.
#[derive(Debug)]
pub(super) struct Crowd {
    pub(super) hub: HubAt,
    pub(super) models: ModelPatterns,
    pub(super) concurrency: u32,
    pub(super) ledger: bool,
    pub(super) entropy: SeededEntropy,
    pub(super) counts: Counts,
    /// Handshakes that may be under way at a time until each agent has been in service once.
    pub(super) first: Semaphore,
    /// Ends all of them.
    pub(super) over: CancellationToken,
    in_service: watch::Sender<usize>,
    events: Mutex<Events>,
    refused: Mutex<BTreeMap<&'static str, u64>>,
    connections: Mutex<BTreeMap<usize, Connection>>,
}

impl Crowd {
    /// Nobody yet.
    ///
    /// # Errors
    /// Where the settings' models are none.
    pub(super) fn new(settings: &Common, hub: HubAt) -> anyhow::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            hub,
            models: settings.models.parse()?,
            concurrency: settings.concurrency,
            ledger: !settings.no_ledger,
            entropy: SeededEntropy::new(settings.seed),
            counts: Counts::default(),
            first: Semaphore::new(settings.at_once as usize),
            over: CancellationToken::new(),
            in_service: watch::Sender::new(0),
            events: Mutex::default(),
            refused: Mutex::default(),
            connections: Mutex::default(),
        }))
    }

    /// Gives each identity its life, from the number `first` on.
    pub(super) fn begin(
        self: &Arc<Self>,
        lives: &mut JoinSet<()>,
        first: usize,
        identities: &[Arc<AgentIdentity>],
        lane: &Arc<Lane>,
        flaps: Option<&Arc<Flaps>>,
    ) {
        for (at, identity) in identities.iter().enumerate() {
            let member = Member::new(first + at, Arc::clone(identity), Arc::clone(lane));
            lives.spawn(live(Arc::clone(self), member, flaps.map(Arc::clone)));
        }
    }

    /// How many are in service.
    pub(super) fn in_service(&self) -> usize {
        *self.in_service.borrow()
    }

    /// Waits until `holds` of the number in service.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn until(&self, holds: impl FnMut(&usize) -> bool) {
        // The sender is this value's own: it cannot be gone.
        drop(self.in_service.subscribe().wait_for(holds).await);
    }

    /// Tells of each change of the number in service.
    pub(super) fn changes(&self) -> watch::Receiver<usize> {
        self.in_service.subscribe()
    }

    pub(super) fn entered(&self, number: usize, connection: Connection, took: Duration) {
        lock(&self.connections).insert(number, connection);
        {
            let mut events = lock(&self.events);
            events.back.push((number, Instant::now()));
            events.opening.push(took);
        }
        self.in_service.send_modify(|count| *count += 1);
    }

    pub(super) fn left(&self, number: usize) {
        lock(&self.connections).remove(&number);
        lock(&self.events).lost.push((number, Instant::now()));
        self.in_service.send_modify(|count| *count = count.saturating_sub(1));
    }

    pub(super) fn refused(&self, cause: RefuseCause) {
        *lock(&self.refused).entry(name_of(cause)).or_default() += 1;
    }

    /// What happened since the last call, and forgets it.
    pub(super) fn take_events(&self) -> Events {
        std::mem::take(&mut lock(&self.events))
    }

    /// Refusals since the last call, by cause, and forgets them.
    pub(super) fn take_refusals(&self) -> BTreeMap<&'static str, u64> {
        std::mem::take(&mut lock(&self.refused))
    }

    /// PING frames that the live connections have sent: keep-alives, and probes for what was lost.
    pub(super) fn pings(&self) -> u64 {
        lock(&self.connections).values().map(|one| one.stats().frame_tx.ping).sum()
    }

    /// What was answered.
    pub(super) fn exchanges(&self) -> Exchanges {
        Exchanges { served: read(&self.counts.served), broken: read(&self.counts.broken) }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const fn name_of(cause: RefuseCause) -> &'static str {
    match cause {
        RefuseCause::UnknownAgent => "unknown_agent",
        RefuseCause::Revoked => "revoked",
        RefuseCause::Stale => "stale",
        RefuseCause::DuplicateIdentity => "duplicate_identity",
        RefuseCause::Draining => "draining",
        RefuseCause::Busy => "busy",
    }
}
