//! One tunnel from its HELLO to its end.

use super::link::Link;
use super::outbox::Outgoing;
use super::{Tunnels, receipts};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
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
        let code = match Box::pin(self.greet(&connection, &peer)).await {
            Ok((control, machine, hello)) => {
                greeted();
                Box::pin(self.enter(&connection, control, machine, hello)).await
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
            return refused(control, RefuseCause::Draining, super::RECONNECT_IN, false).await;
        }
        // A newer session of an agent that has one would take its place: that is no further tunnel,
        // but telling the two apart is not worth the look when the node is full.
        if self.0.directory.count_tunnels() >= needs.tunnels_max {
            return refused(control, RefuseCause::Busy, Duration::from_secs(5), false).await;
        }
        let session = SessionId::generate(&*needs.clock, &*needs.entropy);
        let (entry, ended) = self.0.directory.enter(&hello, session, connection);
        if let Some(ended) = ended {
            close::connection(&ended, CloseCode::Replaced);
        }
        match entry {
            Entry::InForce { .. } => {}
            Entry::Stale => {
                return refused(control, RefuseCause::Stale, Duration::from_secs(1), false).await;
            }
            Entry::Duplicate { parked_for, .. } => {
                tracing::warn!(agent = %hello.agent, "two agents hold one identity: both parked");
                let wait = parked_for.min(DUPLICATE_WINDOW);
                return refused(control, RefuseCause::DuplicateIdentity, wait, false).await;
            }
        }
        // Only now, that a revocation would find this connection: see the room's invariants.
        let _leave = Leave { tunnels: self, hello: &hello, session };
        match Box::pin(self.owner_of(&hello)).await {
            Ok(owner) => {
                Box::pin(self.run(connection, control, machine, &hello, session, owner)).await
            }
            Err((cause, permanent)) => {
                refused(control, cause, Duration::from_secs(5), permanent).await
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
        // An agent that grants no window for it would hold its place for ever.
        let welcome = HubMessage::Welcome(welcome);
        let welcomed = tokio::time::timeout(SESSION_HANDSHAKE_MAX, sender.send(&welcome));
        match Box::pin(welcomed).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return CloseCode::Internal,
            Err(_) => return CloseCode::Timeout,
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
        let turn =
            Turn { tunnels: self, link: &link, machine, sender, receiver, outbox, ledger: None };
        let (close, why) = turn.run().await;
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
    outbox: Outgoing,
    /// What takes the agent's receipts, once its ledger has greeted.
    ledger: Option<LedgerTurn<'a>>,
}

/// Takes the receipts of a session.
type LedgerTurn<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

impl<'a> Turn<'a> {
    /// Runs the session to its end, and its ledger beside it; says how to close and why, for people.
    async fn run(mut self) -> (CloseCode, String) {
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
                message = self.outbox.next() => self.send(&message).await,
                () = self.link.armed.notified() => Ok(()),
                () = timer => Ok(()),
                () = taken(&mut self.ledger) => {
                    self.ledger = None;
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
        // Boxed, here and elsewhere in this room: what runs for a moment takes no room in a task
        // that is idle for hours.
        match Box::pin(tokio::time::timeout(DEAD_AFTER, self.sender.send(message))).await {
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
                if let Some(desks) = self.tunnels.0.needs.desks.as_deref() {
                    self.ledger = Some(Box::pin(receipts::serve(self.link, desks, ledger)));
                }
            }
            HubEvent::Hello(_) | HubEvent::Pong(_) | HubEvent::Nothing => {}
        }
        Ok(())
    }
}

/// Until `ledger` has ended, where there is one.
async fn taken(ledger: &mut Option<LedgerTurn<'_>>) {
    match ledger {
        Some(ledger) => ledger.await,
        None => std::future::pending().await,
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
fn refused(
    control: Control,
    cause: RefuseCause,
    retry_after: Duration,
    permanent: bool,
) -> Pin<Box<dyn Future<Output = CloseCode> + Send>> {
    Box::pin(refuse(control, Refuse { cause, retry_after, permanent }))
}

async fn refuse((mut sender, mut receiver): Control, refuse: Refuse) -> CloseCode {
    let refuse = HubMessage::Refuse(refuse);
    // One that grants no window for it need not know.
    let sent = tokio::time::timeout(REFUSE_LINGER, sender.send(&refuse)).await;
    if let Ok(Ok(())) = sent {
        // The agent closes when it has read the message; whatever else it says is of no interest.
        let closed = async { while receiver.next().await.is_ok() {} };
        drop(tokio::time::timeout(REFUSE_LINGER, closed).await);
    }
    CloseCode::Refused
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tunnel::Desks;
    use weft_proto::wire::receipts::AgentLedger;

    /// What a session's futures may take of an idle hub's memory, in bytes: somewhat more than they
    /// do. Who crosses the line boxes what runs for a moment only.
    const SESSION_BYTES_MAX: usize = 2_560;
    const LEDGER_BYTES_MAX: usize = 3_072;

    fn bytes_of<A, F: Future>(_: impl FnOnce(A) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn the_futures_of_an_idle_session_stay_small() {
        type Session<'a> =
            (&'a Tunnels, &'a Connection, Control, HubSession, &'a Hello, SessionId, OwnerId);
        let session = bytes_of(
            |(tunnels, connection, control, machine, hello, id, owner): Session<'static>| {
                tunnels.run(connection, control, machine, hello, id, owner)
            },
        );
        assert!(session <= SESSION_BYTES_MAX, "{session} bytes");
        type Receipts<'a> = (&'a Link, &'a dyn Desks, AgentLedger);
        let ledger = bytes_of(|(link, desks, ledger): Receipts<'static>| {
            receipts::serve(link, desks, ledger)
        });
        assert!(ledger <= LEDGER_BYTES_MAX, "{ledger} bytes");
    }
}
