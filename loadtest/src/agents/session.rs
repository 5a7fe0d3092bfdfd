//! One session of a light agent: greeting, accounts, the ledger's greeting, then what the hub asks.

use super::answer;
use super::clients::light;
use super::crowd::{Crowd, Lane, one_more};
use super::life::Member;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use weft_certs::{server_name, tunnel_tls};
use weft_proto::codes::CloseCode;
use weft_proto::limits::SESSION_HANDSHAKE_MAX;
use weft_proto::provider::Provider;
use weft_proto::session::{AgentEvent, AgentSession, LedgerWord};
use weft_proto::time::SystemClock;
use weft_proto::wire::control::{
    Account, AccountsPage, AgentMessage, Drain, Features, Hello, HubMessage, PermittedUse, Refuse,
    Welcome,
};
use weft_proto::wire::receipts::AgentLedger;
use weft_transport::control::{self, ControlReceiver, ControlSender};
use weft_transport::stream::StreamError;
use weft_transport::{Connection, close, prices};

/// Limit on one QUIC handshake, an agent's own.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// How long a session that another replaces is kept.
const LINGER_MAX: Duration = Duration::from_secs(30);
/// Price books that may arrive at a time.
const BOOKS_ARRIVING_MAX: usize = 2;

/// How a session ended, or did not begin.
#[derive(Debug)]
pub(super) enum End {
    /// The hub said no.
    Refused(Refuse),
    /// The hub goes away.
    Drains(Drain),
    /// The agent must not come back.
    Revoked,
    /// It broke, or was not to be had.
    Lost,
}

impl From<StreamError> for End {
    fn from(_: StreamError) -> Self {
        Self::Lost
    }
}

/// A session in force. Dropped, it is closed.
pub(super) struct Session {
    pub(super) connection: Connection,
    sender: ControlSender<AgentMessage>,
    receiver: ControlReceiver<HubMessage>,
    state: AgentSession,
    running: JoinSet<()>,
    books: JoinSet<()>,
    lane: Arc<Lane>,
}

impl Session {
    /// Dials, greets and announces.
    ///
    /// # Errors
    /// [`End`] where the hub is not there or says no.
    ///
    /// # Cancel safety
    /// A dropped call closes what was opened.
    pub(super) async fn open(crowd: &Crowd, member: &Member, generation: u64) -> Result<Self, End> {
        let connection = dial(crowd, member).await.map_err(|error| {
            tracing::debug!(agent = member.number, "no connection: {error:#}");
            End::Lost
        })?;
        let (sender, receiver) = control::open(&connection).await?;
        let mut session = Self {
            connection,
            sender,
            receiver,
            state: AgentSession::default(),
            running: JoinSet::new(),
            books: JoinSet::new(),
            lane: Arc::clone(&member.lane),
        };
        let features = if crowd.ledger { Features::LEDGER } else { Features::default() };
        let hello = Hello {
            agent: member.identity.agent(),
            instance: member.instance,
            slot: 0,
            generation,
            features,
            build: concat!("weft-loadtest/", env!("CARGO_PKG_VERSION")).to_owned(),
        };
        // A slow one reads slowly from its first message on.
        let within = SESSION_HANDSHAKE_MAX + session.lane.pause * 4;
        let welcome = tokio::time::timeout(within, session.greet(hello))
            .await
            .map_err(|_| End::Lost)
            .flatten()?;
        let account = Account {
            id: member.account,
            provider: Provider::OpenAi,
            label: "light".to_owned(),
            models: crowd.models.clone(),
            deployments: Vec::new(),
            concurrency_max: crowd.concurrency,
            permitted_use: PermittedUse::Own,
            place: None,
        };
        let page = AccountsPage { accounts: vec![account], last: true };
        session.sender.send(&AgentMessage::Accounts(page)).await?;
        if crowd.ledger && welcome.features.have(Features::LEDGER) {
            let greeting = AgentLedger {
                key: member.ledger_key,
                handover: None,
                head: None,
                books: member.books.clone(),
            };
            session.sender.send(&AgentMessage::Ledger(greeting)).await?;
        }
        Ok(session)
    }

    async fn greet(&mut self, hello: Hello) -> Result<Welcome, End> {
        self.sender.send(&AgentMessage::Hello(hello)).await?;
        loop {
            tokio::time::sleep(self.lane.pause).await;
            let message = self.receiver.next().await?;
            match self.state.receive(message).map_err(StreamError::from)? {
                AgentEvent::Welcome(welcome) => return Ok(welcome),
                AgentEvent::Refused(refuse) => return Err(End::Refused(refuse)),
                AgentEvent::Revoked => return Err(End::Revoked),
                AgentEvent::Ping(_)
                | AgentEvent::Drain(_)
                | AgentEvent::Ledger(_)
                | AgentEvent::Nothing => {}
            }
        }
    }

    /// Serves until the session ends.
    ///
    /// # Cancel safety
    /// Dropped between two calls nothing is lost but what runs goes on only with the next.
    pub(super) async fn serve(&mut self, crowd: &Arc<Crowd>, member: &mut Member) -> End {
        loop {
            match self.step(crowd, member).await {
                Ok(()) => {}
                Err(end) => return end,
            }
        }
    }

    async fn step(&mut self, crowd: &Arc<Crowd>, member: &mut Member) -> Result<(), End> {
        let pause = self.lane.pause;
        let receiver = &mut self.receiver;
        let next = async move {
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            receiver.next().await
        };
        tokio::select! {
            biased;
            message = next => self.obey(message?, member).await,
            Some(_) = self.running.join_next(), if !self.running.is_empty() => Ok(()),
            Some(_) = self.books.join_next(), if !self.books.is_empty() => Ok(()),
            accepted = self.connection.accept_bi() => {
                let (send, recv) = accepted.map_err(StreamError::from)?;
                let crowd = Arc::clone(crowd);
                self.running.spawn(async move {
                    match answer::one(send, recv).await {
                        Ok(()) => one_more(&crowd.counts.served),
                        // Given up by its user, or cut with the tunnel.
                        Err(_) => one_more(&crowd.counts.broken),
                    }
                });
                Ok(())
            }
            accepted = self.connection.accept_uni(), if self.books.len() < BOOKS_ARRIVING_MAX => {
                let stream = accepted.map_err(StreamError::from)?;
                self.books.spawn(async move { drop(prices::receive(stream).await) });
                Ok(())
            }
        }
    }

    async fn obey(&mut self, message: HubMessage, member: &mut Member) -> Result<(), End> {
        match self.state.receive(message).map_err(StreamError::from)? {
            AgentEvent::Ping(nonce) => self.sender.send(&AgentMessage::Pong(nonce)).await?,
            AgentEvent::Drain(drain) => return Err(End::Drains(drain)),
            AgentEvent::Revoked => return Err(End::Revoked),
            AgentEvent::Refused(refuse) => return Err(End::Refused(refuse)),
            AgentEvent::Ledger(LedgerWord::Prices(offer)) => {
                // As an agent does that keeps its books: the next session need not send it again.
                member.books = vec![offer.hash];
            }
            AgentEvent::Ledger(
                LedgerWord::Greeting(_)
                | LedgerWord::Ack(_)
                | LedgerWord::Cosigned(_)
                | LedgerWord::Fault(_),
            )
            | AgentEvent::Welcome(_)
            | AgentEvent::Nothing => {}
        }
        Ok(())
    }

    /// Finishes what runs, for as long as the hub's drain gives it.
    pub(super) async fn finish(mut self, within: Duration) {
        let finished = async { while self.running.join_next().await.is_some() {} };
        drop(tokio::time::timeout(within, finished).await);
        self.close(CloseCode::Done);
    }

    /// Says nothing more, and waits until the hub has put another in its place.
    pub(super) async fn linger(self) {
        drop(tokio::time::timeout(LINGER_MAX, self.connection.closed()).await);
    }

    /// Closes it at once.
    pub(super) fn close(self, code: CloseCode) {
        close::connection(&self.connection, code);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Before its streams are reset: the hub is to hear of one end, not of several.
        close::connection(&self.connection, CloseCode::Done);
    }
}

async fn dial(crowd: &Crowd, member: &Member) -> anyhow::Result<Connection> {
    let lane = &member.lane;
    let tls = tunnel_tls(crowd.hub.pins, crowd.hub.id, &member.identity, Arc::new(SystemClock))?;
    let config = light(tls, crowd.concurrency, lane.stream_bytes, &crowd.entropy)?;
    let endpoint = lane.clients.endpoint(member.number)?;
    let name = server_name(crowd.hub.id);
    let connecting = endpoint.connect_with(config, lane.towards, &name.to_str())?;
    Ok(tokio::time::timeout(HANDSHAKE_MAX, connecting).await??)
}
