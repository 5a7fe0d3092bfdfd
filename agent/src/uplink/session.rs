//! One tunnel's session: HELLO, accounts, PING and PONG, drain, and the hub's exchanges.
//!
//! The control stream is polled before new exchanges, so that no flood of requests delays a PONG
//! or a drain. Exchanges run as tasks of the session: they end with it.

use super::tunnel::Tunnel;
use crate::account::Account;
use crate::exchange::Exchanges;
use crate::ledger::Reporter;
use crate::lifecycle::Stop;
use crate::status::{StatusBoard, UplinkState};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use weft_proto::codes::CloseCode;
use weft_proto::entropy::Entropy;
use weft_proto::ids::{AccountId, AgentId, InstanceId};
use weft_proto::limits::SESSION_HANDSHAKE_MAX;
use weft_proto::session::{AgentEvent, AgentSession, LedgerWord};
use weft_proto::time::Clock;
use weft_proto::wire::control::{
    AgentMessage, Drain, Features, Health, Hello, HubMessage, Refuse, Welcome, pages,
};
use weft_transport::control::{self, ControlReceiver, ControlSender};
use weft_transport::stream::{Lost, StreamError};

/// How long exchanges may take to write down what they came to, when their session is over: longer
/// than a price book is waited for.
const RECORDS_WITHIN: Duration = Duration::from_millis(2_500);

/// How long a draining agent still answers requests that the hub sent before it heard of it.
const DRAIN_GRACE: Duration = Duration::from_millis(500);
/// Words of the hub's ledger that may wait for the report.
const WORDS_MAX: usize = 1_024;
/// Name and version, for people at the hub.
const BUILD: &str = concat!("weft-agent/", env!("CARGO_PKG_VERSION"));
/// The same of an agent whose table of hosts is not the official one.
const SIMULATED_BUILD: &str = concat!("weft-agent-sim/", env!("CARGO_PKG_VERSION"));

/// What every session of a run shares.
#[derive(Debug, Clone)]
pub(crate) struct SessionParts {
    pub(crate) exchanges: Exchanges,
    pub(crate) accounts: watch::Receiver<Vec<Arc<Account>>>,
    pub(crate) instance: InstanceId,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) stop: Stop,
    pub(crate) board: StatusBoard,
    pub(crate) drain_deadline: watch::Receiver<Duration>,
    pub(crate) reporter: Reporter,
}

/// How a session ended.
#[derive(Debug)]
pub(super) enum SessionEnd {
    /// The stop was asked for, and everything is done or dropped.
    Stopped,
    /// The agent must not come back.
    Revoked,
    /// The hub said no.
    Refused(Refuse),
    /// The hub goes away; its streams may finish.
    HubDrains(Drain),
    /// The tunnel broke.
    Lost {
        /// What happened, for people.
        why: String,
        /// With what this end closes it, if it is open still.
        code: CloseCode,
    },
}

impl From<StreamError> for SessionEnd {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::TunnelLost(Lost::ClosedByPeer(CloseCode::Revoked)) => Self::Revoked,
            StreamError::Malformed(what) => {
                Self::Lost { why: what.to_string(), code: CloseCode::Malformed }
            }
            StreamError::TimedOut => {
                Self::Lost { why: error.to_string(), code: CloseCode::Timeout }
            }
            StreamError::Aborted(_) | StreamError::TunnelLost(_) => {
                Self::Lost { why: error.to_string(), code: CloseCode::Internal }
            }
        }
    }
}

/// One accepted session.
#[derive(Debug)]
pub(super) struct Session {
    tunnel: Tunnel,
    parts: SessionParts,
    state: AgentSession,
    sender: ControlSender<AgentMessage>,
    receiver: ControlReceiver<HubMessage>,
    health: watch::Receiver<u64>,
    /// What the hub was last told of each paused account.
    paused: BTreeMap<AccountId, bool>,
    running: JoinSet<()>,
    /// Ends the exchanges that run; each still says what it came to.
    over: CancellationToken,
    /// The ledger's report, where the hub takes one.
    reporting: JoinSet<()>,
    /// What the hub's ledger says, on its way to the report.
    words: Option<mpsc::Sender<LedgerWord>>,
    draining: Option<Draining>,
}

#[derive(Debug, Clone, Copy)]
struct Draining {
    grace_over: Instant,
    deadline: Instant,
    /// Whether the stop of this agent has been told to the hub.
    told: bool,
}

impl Session {
    /// Greets the hub over a fresh tunnel and announces the accounts.
    pub(super) async fn open(
        tunnel: Tunnel,
        parts: SessionParts,
        agent: AgentId,
        generation: u64,
    ) -> Result<Self, SessionEnd> {
        let hello = Hello {
            agent,
            instance: parts.instance,
            slot: 0,
            generation,
            features: Features::OURS,
            build: if parts.exchanges.is_simulated() { SIMULATED_BUILD } else { BUILD }.to_owned(),
        };
        let (sender, receiver) = control::open(tunnel.connection()).await?;
        let mut session = Self {
            health: parts.exchanges.limits().changes(),
            tunnel,
            parts,
            state: AgentSession::default(),
            sender,
            receiver,
            paused: BTreeMap::new(),
            running: JoinSet::new(),
            over: CancellationToken::new(),
            reporting: JoinSet::new(),
            words: None,
            draining: None,
        };
        let greeted = tokio::time::timeout(SESSION_HANDSHAKE_MAX, session.greet(hello)).await;
        let welcome = match greeted {
            Ok(Ok(welcome)) => welcome,
            Ok(Err(end)) => {
                session.close(CloseCode::Done).await;
                return Err(end);
            }
            Err(_) => {
                session.close(CloseCode::Timeout).await;
                return Err(StreamError::TimedOut.into());
            }
        };
        tracing::info!(node = %welcome.node, session = %welcome.session, "connected");
        session.parts.board.uplink(UplinkState::Connected, Some((welcome.node, welcome.session)));
        session.announce().await?;
        session.tell_health().await?;
        if welcome.features.have(Features::LEDGER) {
            session.report().await?;
        }
        Ok(session)
    }

    async fn greet(&mut self, hello: Hello) -> Result<Welcome, SessionEnd> {
        self.sender.send(&AgentMessage::Hello(hello)).await?;
        loop {
            let message = self.receiver.next().await?;
            match self.state.receive(message).map_err(StreamError::from)? {
                AgentEvent::Welcome(welcome) => return Ok(welcome),
                AgentEvent::Refused(refuse) => return Err(SessionEnd::Refused(refuse)),
                AgentEvent::Revoked => return Err(SessionEnd::Revoked),
                AgentEvent::Ping(_)
                | AgentEvent::Drain(_)
                | AgentEvent::Ledger(_)
                | AgentEvent::Nothing => {}
            }
        }
    }

    /// Lets the ledger greet, and reports it beside the session from here on.
    async fn report(&mut self) -> Result<(), SessionEnd> {
        let reporter = self.parts.reporter.clone();
        self.sender.send(&AgentMessage::Ledger(reporter.greeting())).await?;
        let (words, heard) = mpsc::channel(WORDS_MAX);
        self.words = Some(words);
        let connection = self.tunnel.connection().clone();
        self.reporting.spawn(reporter.run(connection, heard));
        Ok(())
    }

    /// Serves until the session ends. A drain of the hub returns early: call again to finish what
    /// runs.
    pub(super) async fn serve(&mut self) -> SessionEnd {
        loop {
            match self.step().await {
                Ok(None) => {}
                Ok(Some(end)) | Err(end) => return end,
            }
        }
    }

    async fn step(&mut self) -> Result<Option<SessionEnd>, SessionEnd> {
        let now = Instant::now();
        let wake = match self.draining {
            Some(draining) => {
                let idle = self.running.is_empty() && now >= draining.grace_over;
                if idle || now >= draining.deadline {
                    return Ok(Some(SessionEnd::Stopped));
                }
                if now < draining.grace_over { draining.grace_over } else { draining.deadline }
            }
            None => now,
        };
        let stop = self.parts.stop.clone();
        let told = self.draining.is_some_and(|draining| draining.told);
        tokio::select! {
            biased;
            () = stop.hard() => Ok(Some(SessionEnd::Stopped)),
            () = stop.soft(), if !told => {
                self.begin_stop().await?;
                Ok(None)
            }
            message = self.receiver.next() => self.obey(message?).await,
            Some(ended) = self.running.join_next(), if !self.running.is_empty() => {
                if let Err(error) = ended && error.is_panic() {
                    tracing::error!("an exchange panicked; its stream was reset");
                }
                Ok(None)
            }
            () = tokio::time::sleep_until(wake), if self.draining.is_some() => Ok(None),
            changed = self.health.changed() => {
                drop(changed);
                self.tell_health().await?;
                Ok(None)
            }
            Ok(()) = self.parts.accounts.changed() => {
                self.announce().await?;
                Ok(None)
            }
            opened = self.tunnel.connection().accept_bi() => {
                let (send, recv) = opened.map_err(StreamError::from)?;
                let exchanges = self.parts.exchanges.clone();
                let draining = self.draining.is_some();
                let over = self.over.clone();
                self.running
                    .spawn(async move { exchanges.serve(send, recv, draining, &over).await });
                Ok(None)
            }
        }
    }

    async fn obey(&mut self, message: HubMessage) -> Result<Option<SessionEnd>, SessionEnd> {
        match self.state.receive(message).map_err(StreamError::from)? {
            AgentEvent::Ping(nonce) => self.sender.send(&AgentMessage::Pong(nonce)).await?,
            AgentEvent::Drain(drain) if self.draining.is_none() => {
                return Ok(Some(SessionEnd::HubDrains(drain)));
            }
            AgentEvent::Revoked => return Ok(Some(SessionEnd::Revoked)),
            AgentEvent::Refused(refuse) => return Ok(Some(SessionEnd::Refused(refuse))),
            AgentEvent::Ledger(word) => {
                // A word that finds no room is said again when it is asked for again.
                if let Some(words) = &self.words
                    && let Err(refused) = words.try_send(word)
                {
                    tracing::warn!(%refused, "a word of the hub's ledger was not heard");
                }
            }
            AgentEvent::Drain(_) | AgentEvent::Welcome(_) | AgentEvent::Nothing => {}
        }
        Ok(None)
    }

    /// The agent stops: the hub hears of it first of all.
    async fn begin_stop(&mut self) -> Result<(), SessionEnd> {
        let left = *self.parts.drain_deadline.borrow();
        let drain = Drain { deadline: left, reconnect_in: Duration::ZERO };
        self.sender.send(&AgentMessage::Drain(drain)).await?;
        self.parts.board.uplink(UplinkState::Draining, None);
        self.drain_until(left);
        if let Some(draining) = &mut self.draining {
            draining.told = true;
        }
        Ok(())
    }

    /// New exchanges are refused from now on; those that run have `left`.
    pub(super) fn drain_until(&mut self, left: Duration) {
        if !self.parts.stop.is_soft() {
            // The hub goes: the next session reports, and one at a time does.
            self.words = None;
            self.reporting.abort_all();
        }
        let now = Instant::now();
        let deadline = now + left;
        let before = self.draining.unwrap_or_else(|| Draining {
            grace_over: now + DRAIN_GRACE.min(left),
            deadline,
            told: false,
        });
        self.draining = Some(Draining { deadline: before.deadline.min(deadline), ..before });
    }

    async fn announce(&mut self) -> Result<(), SessionEnd> {
        let accounts: Vec<_> = self
            .parts
            .accounts
            .borrow_and_update()
            .iter()
            .map(|account| account.announcement())
            .collect();
        let known: Vec<AccountId> = accounts.iter().map(|account| account.id).collect();
        self.parts.exchanges.limits().retain(&known);
        self.paused.retain(|id, _| known.contains(id));
        for page in pages(&accounts).map_err(StreamError::from)? {
            self.sender.send(&AgentMessage::Accounts(page)).await?;
        }
        Ok(())
    }

    /// Tells the hub of accounts that pause or serve again since it was last told.
    async fn tell_health(&mut self) -> Result<(), SessionEnd> {
        drop(self.health.borrow_and_update());
        let accounts: Vec<AccountId> =
            self.parts.accounts.borrow().iter().map(|account| account.id()).collect();
        for account in accounts {
            let paused_for = self.parts.exchanges.limits().load(account).paused_for;
            let was_paused = self.paused.insert(account, paused_for.is_some()).unwrap_or(false);
            if paused_for.is_some() || was_paused {
                let paused_for = paused_for.unwrap_or(Duration::ZERO);
                self.sender.send(&AgentMessage::Health(Health { account, paused_for })).await?;
            }
        }
        Ok(())
    }

    /// Ends the session: exchanges that still run are cut, which closes their providers'
    /// connections, write down what they came to, and the tunnel is closed.
    pub(super) async fn close(mut self, code: CloseCode) {
        self.over.cancel();
        let written = async { while self.running.join_next().await.is_some() {} };
        // One that does not get there closes as interrupted.
        drop(tokio::time::timeout(RECORDS_WITHIN, written).await);
        self.running.shutdown().await;
        self.reporting.shutdown().await;
        self.tunnel.close(code).await;
    }
}
