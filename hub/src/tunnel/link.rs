//! One live tunnel, as the exchanges on it see it.

use super::outbox::{Outbox, Outgoing, outbox};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use weft_proto::ids::{AgentId, OwnerId, SessionId};
use weft_proto::suspicion::Suspicion;
use weft_proto::wire::control::{Features, HubMessage};
use weft_transport::Connection;

/// One live tunnel.
pub struct Link {
    agent: AgentId,
    owner: OwnerId,
    session: SessionId,
    features: Features,
    pub(super) connection: Connection,
    outbox: Outbox,
    began: Instant,
    suspicion: Mutex<Suspicion>,
    /// Wakes the watch when the first exchange of a quiet tunnel begins.
    pub(super) armed: Notify,
    leaving: AtomicBool,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("agent", &self.agent)
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

impl Link {
    pub(super) fn new(
        agent: AgentId,
        owner: OwnerId,
        session: SessionId,
        features: Features,
        connection: Connection,
    ) -> (Self, Outgoing) {
        let (outbox, messages) = outbox();
        let link = Self {
            agent,
            owner,
            session,
            features,
            connection,
            outbox,
            began: Instant::now(),
            suspicion: Mutex::new(Suspicion::new(Duration::ZERO)),
            armed: Notify::new(),
            leaving: AtomicBool::new(false),
        };
        (link, messages)
    }

    /// The agent at its other end.
    #[must_use]
    pub const fn agent(&self) -> AgentId {
        self.agent
    }

    /// Who runs that agent.
    #[must_use]
    pub const fn owner(&self) -> OwnerId {
        self.owner
    }

    /// The session in force on it.
    #[must_use]
    pub const fn session(&self) -> SessionId {
        self.session
    }

    /// What the agent said that it can do.
    #[must_use]
    pub const fn features(&self) -> Features {
        self.features
    }

    /// Whether new exchanges may be sent: the agent is neither silent nor going away.
    #[must_use]
    pub fn takes_exchanges(&self) -> bool {
        !self.leaving.load(Ordering::Acquire)
            && !self.suspicion().is_suspect()
            && self.connection.close_reason().is_none()
    }

    /// The agent said that it goes away.
    pub(super) fn leave(&self) {
        self.leaving.store(true, Ordering::Release);
    }

    /// Time since the tunnel began, by a clock that never goes back.
    pub(super) fn age(&self) -> Duration {
        self.began.elapsed()
    }

    pub(super) fn suspicion(&self) -> MutexGuard<'_, Suspicion> {
        self.suspicion.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn dispatched(&self) {
        let only = self.suspicion().dispatched(self.age());
        if only {
            self.armed.notify_one();
        }
    }

    pub(super) fn ended(&self) {
        self.suspicion().ended();
    }

    pub(super) fn heard(&self) {
        self.suspicion().heard(self.age());
    }

    /// Sends a control message as soon as the tunnel takes it. One of a session that has ended is
    /// dropped.
    ///
    /// # Cancel safety
    /// Cancel safe: a dropped call has sent nothing.
    pub(super) async fn say(&self, message: HubMessage) {
        self.outbox.put(message).await.unwrap_or(());
    }

    /// Sends a control message when the tunnel takes it; never waits.
    pub(super) fn tell(&self, message: HubMessage) {
        if let Err(refused) = self.outbox.try_put(message) {
            tracing::debug!(agent = %self.agent, %refused, "control message not sent");
        }
    }
}
