//! Which tunnels are live, which session of each is in force, and which accounts they offer.

use super::absent::Absent;
use super::link::Link;
use crate::telemetry::Metrics;
use serde::Serialize;
use std::collections::BTreeMap;
use std::mem;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::broadcast;
use tokio::time::Instant;
use weft_proto::ids::{AccountId, AgentId, OwnerId, SessionId};
use weft_proto::provider::Provider;
use weft_proto::roster::{Entry, Roster};
use weft_proto::wire::control::{Account, Hello};
use weft_proto::wire::head::RequestHead;
use weft_transport::Connection;
use weft_transport::exchange::{self, AnswerReader, OpenError, RequestWriter};

/// An account on a live tunnel.
#[derive(Debug)]
pub struct Offer {
    account: Account,
    link: Arc<Link>,
    in_flight: Arc<AtomicU32>,
    /// Milliseconds of the tunnel's age until which the account is paused.
    paused_until_ms: Arc<AtomicU64>,
}

impl Offer {
    fn new(account: Account, link: Arc<Link>) -> Self {
        Self { account, link, in_flight: Arc::default(), paused_until_ms: Arc::default() }
    }

    /// The same account as its agent announces it now: places that are taken stay taken, and a
    /// pause goes on.
    fn announced_again(&self, account: Account) -> Self {
        Self {
            account,
            link: Arc::clone(&self.link),
            in_flight: Arc::clone(&self.in_flight),
            paused_until_ms: Arc::clone(&self.paused_until_ms),
        }
    }

    /// What the agent announced.
    #[must_use]
    pub const fn account(&self) -> &Account {
        &self.account
    }

    /// The tunnel it stands on.
    #[must_use]
    pub const fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// Exchanges that this node has running on the account.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Whether a new exchange may be sent to it now.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.in_flight() < self.account.concurrency_max
            && !self.is_paused()
            && self.link.takes_exchanges()
    }

    /// Whether its provider or its owner keeps it from serving.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        u128::from(self.paused_until_ms.load(Ordering::Relaxed)) > self.link.age().as_millis()
    }

    /// Keeps new exchanges away for `pause` from now; zero lets them in again.
    pub fn pause(&self, pause: Duration) {
        let until = if pause.is_zero() { Duration::ZERO } else { self.link.age() + pause };
        let millis = u64::try_from(until.as_millis()).unwrap_or(u64::MAX);
        self.paused_until_ms.store(millis, Ordering::Relaxed);
    }

    /// Takes a place on the account, where it is open and has one.
    #[must_use]
    pub fn claim(self: &Arc<Self>) -> Option<Slip> {
        if !self.is_open() {
            return None;
        }
        let max = self.account.concurrency_max;
        self.in_flight
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| {
                (now < max).then_some(now + 1)
            })
            .ok()?;
        self.link.dispatched();
        Some(Slip { offer: Arc::clone(self) })
    }
}

/// A place on an account, held for one attempt until it is dropped.
#[derive(Debug)]
#[must_use = "a dropped slip gives the place back"]
pub struct Slip {
    offer: Arc<Offer>,
}

impl Slip {
    /// The account.
    #[must_use]
    pub const fn offer(&self) -> &Arc<Offer> {
        &self.offer
    }

    /// Opens the stream of the attempt, for which it may `wait`, and sends its head.
    ///
    /// # Errors
    /// [`OpenError`]: nothing was sent.
    pub async fn open(
        &self,
        head: &RequestHead,
        wait: Duration,
    ) -> Result<(RequestWriter, AnswerReader), OpenError> {
        exchange::open(&self.offer.link.connection, head, wait).await
    }

    /// The agent gave a sign of life.
    pub fn heard(&self) {
        self.offer.link.heard();
    }
}

impl Drop for Slip {
    fn drop(&mut self) {
        self.offer.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.offer.link.ended();
    }
}

/// What an operator sees of one tunnel.
#[derive(Debug, Clone, Serialize)]
pub struct TunnelInfo {
    /// The agent.
    pub agent: AgentId,
    /// Who runs it.
    pub owner: OwnerId,
    /// The session in force.
    pub session: SessionId,
    /// Where its packets come from.
    pub remote: String,
    /// The path's round trip, in microseconds.
    pub round_trip_us: u64,
    /// How long the tunnel has lived, in seconds.
    pub age_seconds: u64,
    /// Whether new exchanges may be sent.
    pub takes_exchanges: bool,
    /// Its accounts.
    pub accounts: Vec<AccountInfo>,
}

/// What an operator sees of one account.
#[derive(Debug, Clone, Serialize)]
pub struct AccountInfo {
    /// The account.
    pub account: AccountId,
    /// Whose endpoint it calls.
    pub provider: Provider,
    /// The owner's name for it.
    pub label: String,
    /// Where it is served, as its price depends on it; none at the provider's global host.
    pub place: Option<String>,
    /// Models it may serve.
    pub models: Vec<String>,
    /// Exchanges that run on it.
    pub in_flight: u32,
    /// Exchanges it takes at a time.
    pub concurrency_max: u32,
    /// Whether it is paused.
    pub paused: bool,
}

/// Accounts that may be announced before one who waits has looked; who is slower looks at all.
const ANNOUNCED_AHEAD_MAX: usize = 64;

#[derive(Debug)]
struct State {
    roster: Roster,
    tunnels: BTreeMap<SessionId, Tunnel>,
    offers: BTreeMap<Provider, BTreeMap<(AccountId, SessionId), Arc<Offer>>>,
    absent: Absent,
}

#[derive(Debug)]
struct Tunnel {
    agent: AgentId,
    slot: u32,
    connection: Connection,
    link: Option<Arc<Link>>,
    /// What it offers, so that its end need not look through everybody's.
    announced: Vec<(Provider, AccountId)>,
}

/// The directory of one node's tunnels.
#[derive(Debug)]
pub(super) struct Directory {
    began: Instant,
    state: Mutex<State>,
    announced: broadcast::Sender<Arc<Offer>>,
    metrics: Metrics,
}

impl Directory {
    /// A node's, at its start, when these are `absent`.
    pub(super) fn new(absent: Absent, metrics: Metrics) -> Self {
        let state = State {
            roster: Roster::default(),
            tunnels: BTreeMap::new(),
            offers: BTreeMap::new(),
            absent,
        };
        let announced = broadcast::Sender::new(ANNOUNCED_AHEAD_MAX);
        Self { began: Instant::now(), state: Mutex::new(state), announced, metrics }
    }

    /// Decides on a HELLO. A session that comes into force is findable from here on; the
    /// connections of those it ends are returned.
    pub(super) fn enter(
        &self,
        hello: &Hello,
        session: SessionId,
        connection: &Connection,
    ) -> (Entry, Option<Connection>) {
        let mut state = self.state();
        let now = self.began.elapsed();
        let entry = state.roster.enter(
            hello.agent,
            hello.slot,
            hello.instance,
            hello.generation,
            session,
            now,
        );
        let ends = match entry {
            Entry::InForce { replaces } => {
                let tunnel = Tunnel {
                    agent: hello.agent,
                    slot: hello.slot,
                    connection: connection.clone(),
                    link: None,
                    announced: Vec::new(),
                };
                state.tunnels.insert(session, tunnel);
                replaces
            }
            Entry::Duplicate { closes, .. } => closes,
            Entry::Stale => None,
        };
        let ended = ends.and_then(|session| state.remove(session));
        self.count(&state);
        (entry, ended)
    }

    /// The session is served by `link` from here on.
    pub(super) fn serve(&self, link: &Arc<Link>) {
        if let Some(tunnel) = self.state().tunnels.get_mut(&link.session()) {
            tunnel.link = Some(Arc::clone(link));
        }
    }

    /// Puts `accounts`, and no others, in force for the session of `link`. Places that are taken
    /// stay taken: an account that is announced again keeps its count.
    pub(super) fn announce(&self, link: &Arc<Link>, accounts: Vec<Account>) {
        let mut state = self.state();
        if !state.tunnels.contains_key(&link.session()) {
            return;
        }
        let mut before = state.take_offers(link.session());
        let mut announced = Vec::with_capacity(accounts.len());
        for account in accounts {
            let place = (account.id, link.session());
            let provider = account.provider;
            let offer = match before.remove(&account.id) {
                Some(known) => known.announced_again(account),
                None => Offer::new(account, Arc::clone(link)),
            };
            let offer = Arc::new(offer);
            state.offers.entry(provider).or_default().insert(place, Arc::clone(&offer));
            // Whoever waits looks at the offers behind the lock. Mostly nobody does.
            self.announced.send(offer).map(drop).unwrap_or_default();
            announced.push((provider, place.0));
        }
        state.absent.settled(link.agent());
        if let Some(tunnel) = state.tunnels.get_mut(&link.session()) {
            tunnel.announced = announced;
        }
        self.count(&state);
    }

    /// Tells of every account that is announced from now on.
    pub(super) fn announced(&self) -> broadcast::Receiver<Arc<Offer>> {
        self.announced.subscribe()
    }

    /// Until when an account of `provider` may be back that `would_do`; none where none is expected.
    pub(super) fn expected_until(
        &self,
        provider: Provider,
        would_do: impl Fn(&Account, OwnerId) -> bool,
    ) -> Option<Instant> {
        self.state().absent.expected_until(provider, would_do)
    }

    /// The account of that session, where it is announced.
    pub(super) fn offer(&self, link: &Link, account: AccountId) -> Option<Arc<Offer>> {
        let state = self.state();
        let place = (account, link.session());
        state.offers.values().find_map(|offers| offers.get(&place)).map(Arc::clone)
    }

    /// The session ended.
    pub(super) fn leave(&self, agent: AgentId, slot: u32, session: SessionId) {
        let mut state = self.state();
        state.roster.leave(agent, slot, session, self.began.elapsed());
        drop(state.remove(session));
        self.count(&state);
    }

    pub(super) fn offers(&self, provider: Provider) -> Vec<Arc<Offer>> {
        let state = self.state();
        let offers = state.offers.get(&provider);
        offers.map(|offers| offers.values().map(Arc::clone).collect()).unwrap_or_default()
    }

    pub(super) fn count_tunnels(&self) -> usize {
        self.state().tunnels.len()
    }

    pub(super) fn links(&self) -> Vec<Arc<Link>> {
        let state = self.state();
        state.tunnels.values().filter_map(|tunnel| tunnel.link.as_ref().map(Arc::clone)).collect()
    }

    /// Takes the agent's accounts out of force, and says which connections are to be closed.
    pub(super) fn revoke(&self, agent: AgentId) -> Vec<Connection> {
        let mut state = self.state();
        let of_agent = state.tunnels.iter().filter(|(_, tunnel)| tunnel.agent == agent);
        let (sessions, connections): (Vec<_>, Vec<_>) =
            of_agent.map(|(session, tunnel)| (*session, tunnel.connection.clone())).unzip();
        for session in sessions {
            drop(state.take_offers(session));
        }
        state.absent.settled(agent);
        self.count(&state);
        connections
    }

    pub(super) fn list(&self) -> Vec<TunnelInfo> {
        let state = self.state();
        let of = |session: SessionId| {
            state
                .offers
                .values()
                .flatten()
                .filter(|((_, on), _)| *on == session)
                .map(|(_, offer)| AccountInfo {
                    account: offer.account.id,
                    provider: offer.account.provider,
                    label: offer.account.label.clone(),
                    place: offer.account.place.as_ref().map(ToString::to_string),
                    models: offer.account.models.iter().map(ToString::to_string).collect(),
                    in_flight: offer.in_flight(),
                    concurrency_max: offer.account.concurrency_max,
                    paused: offer.is_paused(),
                })
                .collect()
        };
        let links = state.tunnels.values().filter_map(|tunnel| tunnel.link.as_ref());
        links
            .map(|link| TunnelInfo {
                agent: link.agent(),
                owner: link.owner(),
                session: link.session(),
                remote: link.connection.remote_address().to_string(),
                round_trip_us: u64::try_from(link.connection.rtt().as_micros()).unwrap_or(u64::MAX),
                age_seconds: link.age().as_secs(),
                takes_exchanges: link.takes_exchanges(),
                accounts: of(link.session()),
            })
            .collect()
    }

    fn count(&self, state: &State) {
        self.metrics.tunnels(state.tunnels.len());
        self.metrics.accounts(state.offers.values().map(BTreeMap::len).sum());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes a session and its offers out; says which connection carried it.
    fn remove(&mut self, session: SessionId) -> Option<Connection> {
        for offer in self.take_offers(session).into_values() {
            self.absent.lost(offer.account.clone(), offer.link.agent(), offer.link.owner());
        }
        let tunnel = self.tunnels.remove(&session)?;
        tracing::debug!(agent = %tunnel.agent, slot = tunnel.slot, %session, "session ended");
        Some(tunnel.connection)
    }

    fn take_offers(&mut self, session: SessionId) -> BTreeMap<AccountId, Arc<Offer>> {
        let announced =
            self.tunnels.get_mut(&session).map(|tunnel| mem::take(&mut tunnel.announced));
        let mut taken = BTreeMap::new();
        for (provider, account) in announced.unwrap_or_default() {
            let offers = self.offers.get_mut(&provider);
            if let Some(offer) = offers.and_then(|offers| offers.remove(&(account, session))) {
                taken.insert(account, offer);
            }
        }
        taken
    }
}
