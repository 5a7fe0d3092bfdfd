//! One tunnel from its HELLO to its end.

use super::link::Link;
use super::{Tunnels, receipts};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::mpsc;
use weft_certs::PeerAgent;
use weft_proto::codes::CloseCode;
use weft_proto::ids::{OwnerId, SessionId};
use weft_proto::limits::{DEAD_AFTER, DUPLICATE_WINDOW, SESSION_HANDSHAKE_MAX};
use weft_proto::roster::Entry;
use weft_proto::session::{HubEvent, HubSession};
use weft_proto::suspicion::Look;
use weft_proto::wire::control::{
    AgentMessage, Features, Health, Hello, HubMessage, Refuse, RefuseCause, Welcome,
};
use weft_proto::wire::receipts::AgentLedger;
use weft_transport::control::{self, ControlReceiver, ControlSender};
use weft_transport::stream::StreamError;
use weft_transport::{Connection, close};

/// How long a refused agent has to read why, before its connection is closed.
const REFUSE_LINGER: Duration = Duration::from_millis(500);

/// Longest pause that an agent's HEALTH may ask for one of its accounts.
const PAUSE_MAX: Duration = Duration::from_secs(3_600);

/// The two halves of a control stream.
type Control = (ControlSender<HubMessage>, ControlReceiver<AgentMessage>);

impl Tunnels {
    /// Serves one connection of an agent whose certificate was verified, until either end closes
    /// it. `greeted` is called once its HELLO is in.
    pub(super) async fn serve(
        &self,
        connection: Connection,
        peer: PeerAgent,
        greeted: impl FnOnce() + Send,
    ) {
        let code = match self.greet(&connection, &peer).await {
            Ok((control, machine, hello)) => {
                greeted();
                self.enter(&connection, control, machine, hello).await
            }
            Err(error) => {
                tracing::info!(agent = %peer.agent, %error, "no session");
                match error {
                    StreamError::TimedOut => CloseCode::Timeout,
                    StreamError::Aborted(_)
                    | StreamError::TunnelLost(_)
                    | StreamError::Malformed(_) => CloseCode::Malformed,
                }
            }
        };
        close::connection(&connection, code);
    }

    /// Reads the HELLO.
    async fn greet(
        &self,
        connection: &Connection,
        peer: &PeerAgent,
    ) -> Result<(Control, HubSession, Hello), StreamError> {
        let (sender, mut receiver) = control::accept(connection).await?;
        let mut machine = HubSession::new(peer.agent);
        let first = tokio::time::timeout(SESSION_HANDSHAKE_MAX, receiver.next())
            .await
            .unwrap_or(Err(StreamError::TimedOut))?;
        match machine.receive(first)? {
            HubEvent::Hello(hello) => Ok(((sender, receiver), machine, hello)),
            HubEvent::Accounts(_)
            | HubEvent::Health(_)
            | HubEvent::Pong(_)
            | HubEvent::Drain(_)
            | HubEvent::Ledger(_)
            | HubEvent::Nothing => Err(weft_proto::wire::Malformed("message before HELLO").into()),
        }
    }

    /// Decides on the HELLO and serves the session that comes into force. Says how to close.
    async fn enter(
        &self,
        connection: &Connection,
        control: Control,
        machine: HubSession,
        hello: Hello,
    ) -> CloseCode {
        let needs = &self.0.needs;
        if self.0.draining.load(Ordering::Acquire) {
            return refuse(control, RefuseCause::Draining, super::RECONNECT_IN, false).await;
        }
        // A newer session of an agent that has one would take its place: that is no further tunnel,
        // but telling the two apart is not worth the look when the node is full.
        if self.0.directory.count_tunnels() >= needs.tunnels_max {
            return refuse(control, RefuseCause::Busy, Duration::from_secs(5), false).await;
        }
        let session = SessionId::generate(&*needs.clock, &*needs.entropy);
        let (entry, ended) = self.0.directory.enter(&hello, session, connection);
        if let Some(ended) = ended {
            close::connection(&ended, CloseCode::Replaced);
        }
        match entry {
            Entry::InForce { .. } => {}
            Entry::Stale => {
                return refuse(control, RefuseCause::Stale, Duration::from_secs(1), false).await;
            }
            Entry::Duplicate { parked_for, .. } => {
                tracing::warn!(agent = %hello.agent, "two agents hold one identity: both parked");
                let wait = parked_for.min(DUPLICATE_WINDOW);
                return refuse(control, RefuseCause::DuplicateIdentity, wait, false).await;
            }
        }
        // Only now, that a revocation would find this connection: see the room's invariants.
        let _leave = Leave { tunnels: self, hello: &hello, session };
        match self.owner_of(&hello).await {
            Ok(owner) => self.run(connection, control, machine, &hello, session, owner).await,
            Err((cause, permanent)) => {
                refuse(control, cause, Duration::from_secs(5), permanent).await
            }
        }
    }

    /// What this node can do: without a ledger it takes no receipts.
    fn features(&self) -> Features {
        match self.0.needs.desks {
            Some(_) => Features::OURS,
            None => Features(Features::OURS.0 & !Features::LEDGER.0),
        }
    }

    async fn owner_of(&self, hello: &Hello) -> Result<OwnerId, (RefuseCause, bool)> {
        match self.0.needs.agents.find(hello.agent).await {
            Ok(Some(agent)) if agent.revoked_at.is_some() => Err((RefuseCause::Revoked, true)),
            Ok(Some(agent)) => Ok(agent.owner),
            Ok(None) => Err((RefuseCause::UnknownAgent, true)),
            Err(error) => {
                tracing::error!(agent = %hello.agent, %error, "agents cannot be looked up");
                Err((RefuseCause::Busy, false))
            }
        }
    }

    async fn run(
        &self,
        connection: &Connection,
        (mut sender, receiver): Control,
        machine: HubSession,
        hello: &Hello,
        session: SessionId,
        owner: OwnerId,
    ) -> CloseCode {
        let needs = &self.0.needs;
        let welcome = Welcome {
            node: needs.node,
            session,
            features: self.features(),
            build: concat!("weft-hub ", env!("CARGO_PKG_VERSION")).to_owned(),
        };
        if sender.send(&HubMessage::Welcome(welcome)).await.is_err() {
            return CloseCode::Internal;
        }
        if let Err(error) = needs.agents.touch(hello.agent, needs.clock.now()).await {
            tracing::warn!(agent = %hello.agent, %error, "last sight of the agent not recorded");
        }
        let (link, outbox) =
            Link::new(hello.agent, owner, session, hello.features, connection.clone());
        let link = Arc::new(link);
        self.0.directory.serve(&link);
        // A drain that began since the look above did not find this session.
        if self.0.draining.load(Ordering::Acquire) {
            self.tell_drain(&link);
        }
        tracing::info!(
            agent = %hello.agent, %session, build = hello.build,
            remote = %connection.remote_address(), "agent connected"
        );
        let (greetings, greeted) = mpsc::channel(1);
        let turn =
            Turn { tunnels: self, link: &link, machine, sender, receiver, outbox, greetings };
        let ledger = receipts::serve(&link, needs.desks.as_deref(), greeted);
        let (close, why) = turn.run(ledger).await;
        tracing::info!(agent = %hello.agent, %session, why, "agent disconnected");
        close
    }
}

/// Takes the session out of the directory however its task ends, by a panic too: offers without a
/// watch would take requests that nobody answers.
struct Leave<'a> {
    tunnels: &'a Tunnels,
    hello: &'a Hello,
    session: SessionId,
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.tunnels.0.directory.leave(self.hello.agent, self.hello.slot, self.session);
    }
}

/// A session in force: everything that its one task holds.
struct Turn<'a> {
    tunnels: &'a Tunnels,
    link: &'a Arc<Link>,
    machine: HubSession,
    sender: ControlSender<HubMessage>,
    receiver: ControlReceiver<AgentMessage>,
    outbox: mpsc::Receiver<HubMessage>,
    /// Where the greeting of the agent's ledger goes.
    greetings: mpsc::Sender<AgentLedger>,
}

impl Turn<'_> {
    /// Runs the session to its end, and `ledger` beside it; says how to close and why, for people.
    async fn run(mut self, ledger: impl Future<Output = ()>) -> (CloseCode, String) {
        let mut ledger = pin!(ledger);
        let mut ledger_ended = false;
        loop {
            // Bound here: the lock must not be held while anything is waited for.
            let look = self.link.suspicion().look(self.link.age(), self.link.connection.rtt());
            let wait = match look {
                Look::Wait(until) => until,
                Look::Ping(nonce) => {
                    if let Err(ended) = self.send(&HubMessage::Ping(nonce)).await {
                        return ended;
                    }
                    continue;
                }
                Look::Suspect => {
                    tracing::warn!(agent = %self.link.agent(), "agent is silent: suspect");
                    continue;
                }
                Look::Dead => {
                    return (CloseCode::Unresponsive, CloseCode::Unresponsive.reason().to_owned());
                }
            };
            let timer = async {
                match wait {
                    Some(until) => {
                        tokio::time::sleep(until.saturating_sub(self.link.age())).await;
                    }
                    None => std::future::pending().await,
                }
            };
            let step = tokio::select! {
                biased;
                received = self.receiver.next() => match received {
                    Ok(message) => self.received(message),
                    Err(error) => Err((close_for(&error), error.to_string())),
                },
                Some(message) = self.outbox.recv() => self.send(&message).await,
                () = self.link.armed.notified() => Ok(()),
                () = timer => Ok(()),
                () = &mut ledger, if !ledger_ended => {
                    ledger_ended = true;
                    Ok(())
                }
            };
            if let Err(ended) = step {
                return ended;
            }
        }
    }

    /// Sends a control message. An agent that grants it no window is as silent as one that answers
    /// no PING.
    async fn send(&mut self, message: &HubMessage) -> Result<(), (CloseCode, String)> {
        match tokio::time::timeout(DEAD_AFTER, self.sender.send(message)).await {
            Ok(sent) => sent.map_err(|error| (CloseCode::Internal, error.to_string())),
            Err(_) => Err((CloseCode::Unresponsive, "it reads no control message".to_owned())),
        }
    }

    fn received(&mut self, message: AgentMessage) -> Result<(), (CloseCode, String)> {
        self.link.heard();
        let event = self
            .machine
            .receive(message)
            .map_err(|error| (CloseCode::Malformed, error.to_string()))?;
        let directory = &self.tunnels.0.directory;
        match event {
            HubEvent::Accounts(accounts) => {
                tracing::info!(
                    agent = %self.link.agent(), accounts = accounts.len(), "accounts announced"
                );
                directory.announce(self.link, accounts);
            }
            HubEvent::Health(Health { account, paused_for }) => {
                if let Some(offer) = directory.offer(self.link, account) {
                    offer.pause(paused_for.min(PAUSE_MAX));
                }
            }
            HubEvent::Drain(drain) => {
                tracing::info!(
                    agent = %self.link.agent(),
                    deadline_ms = drain.deadline.as_millis(), "agent is draining"
                );
                self.link.leave();
            }
            HubEvent::Ledger(ledger) => {
                // Once a session, and on its first tunnel alone: the session's machine sees to it.
                if let Err(refused) = self.greetings.try_send(ledger) {
                    tracing::debug!(agent = %self.link.agent(), %refused, "greeting not taken");
                }
            }
            HubEvent::Hello(_) | HubEvent::Pong(_) | HubEvent::Nothing => {}
        }
        Ok(())
    }
}

const fn close_for(error: &StreamError) -> CloseCode {
    match error {
        StreamError::Malformed(_) => CloseCode::Malformed,
        StreamError::TimedOut => CloseCode::Timeout,
        StreamError::Aborted(_) | StreamError::TunnelLost(_) => CloseCode::Done,
    }
}

/// Says no, and gives the agent the time to read it.
async fn refuse(
    (mut sender, mut receiver): Control,
    cause: RefuseCause,
    retry_after: Duration,
    permanent: bool,
) -> CloseCode {
    let refuse = HubMessage::Refuse(Refuse { cause, retry_after, permanent });
    if sender.send(&refuse).await.is_ok() {
        // The agent closes when it has read the message; whatever else it says is of no interest.
        let closed = async { while receiver.next().await.is_ok() {} };
        drop(tokio::time::timeout(REFUSE_LINGER, closed).await);
    }
    CloseCode::Refused
}
