//! Dialling the hub, for ever: connect, serve, lose, wait, again.

use super::identity::{HubRecord, IdentityFiles};
use super::join::{self, JoinError};
use super::net::HubNet;
use super::session::{Session, SessionEnd, SessionParts};
use super::tunnel::{ConnectError, connect};
use crate::lifecycle::Stop;
use crate::status::{StatusBoard, UplinkState};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use weft_certs::{AgentIdentity, tunnel_tls};
use weft_proto::backoff::Backoff;
use weft_proto::codes::CloseCode;
use weft_proto::wire::control::RefuseCause;
use weft_proto::wire::join::JoinRefusal;

/// How often a connected agent looks whether its certificate is to be renewed.
const RENEWAL_LOOK: Duration = Duration::from_secs(3_600);

/// Why an agent stopped dialling.
#[derive(Debug, thiserror::Error)]
pub enum UplinkError {
    /// The hub revoked this agent.
    #[error("the hub revoked this agent: it will not come back; join again with a fresh invite")]
    Revoked,
    /// The hub refuses this agent for good.
    #[error("the hub refuses this agent: {}", .0.reason())]
    Refused(RefuseCause),
    /// This end cannot dial at all.
    #[error(transparent)]
    Setup(#[from] ConnectError),
}

/// The agent's one tunnel, dialled for as long as the run lasts.
#[derive(Debug)]
pub(crate) struct Uplink {
    pub(crate) identity: watch::Sender<Arc<AgentIdentity>>,
    pub(crate) files: IdentityFiles,
    pub(crate) record: watch::Sender<Arc<HubRecord>>,
    pub(crate) net: Arc<dyn HubNet>,
    pub(crate) parts: SessionParts,
}

impl Uplink {
    /// Dials and serves until the stop, or until the hub says that it is no use.
    ///
    /// # Errors
    /// [`UplinkError`] where a person has to act.
    ///
    /// # Cancel safety
    /// Dropping it closes the tunnel as an internal fault.
    pub(crate) async fn run(self) -> Result<(), UplinkError> {
        tokio::select! {
            biased;
            ended = self.dial() => ended,
            () = self.keep_renewed() => Ok(()),
        }
    }

    async fn dial(&self) -> Result<(), UplinkError> {
        let mut backoff = Backoff::default();
        let mut generation = 0;
        // Sessions whose hub drains: they finish what runs, beside the next session.
        let mut lingering = JoinSet::new();
        let stop: Stop = self.parts.stop.clone();
        let board: StatusBoard = self.parts.board.clone();
        while !stop.is_soft() {
            generation += 1;
            while let Some(ended) = lingering.try_join_next() {
                report(ended);
            }
            board.uplink(UplinkState::Connecting, None);
            let end = tokio::select! {
                biased;
                () = stop.soft() => break,
                session = self.open(generation) => match session {
                    Ok(mut session) => {
                        backoff.succeeded();
                        let end = session.serve().await;
                        after(session, end, &mut lingering).await
                    }
                    Err(end) => end,
                },
            };
            match end {
                SessionEnd::Stopped => break,
                SessionEnd::Revoked => {
                    board.failed(&UplinkError::Revoked.to_string());
                    return Err(UplinkError::Revoked);
                }
                SessionEnd::Refused(refuse) if refuse.permanent => {
                    let error = UplinkError::Refused(refuse.cause);
                    board.failed(&error.to_string());
                    return Err(error);
                }
                SessionEnd::Refused(refuse) => {
                    tracing::warn!(cause = refuse.cause.reason(), "the hub refused the session");
                    board.failed(refuse.cause.reason());
                    backoff.ask(refuse.retry_after);
                }
                SessionEnd::HubDrains(drain) => {
                    tracing::info!("the hub is draining");
                    backoff.ask(drain.reconnect_in);
                }
                SessionEnd::Lost { why, .. } => {
                    tracing::warn!(%why, "no tunnel to the hub");
                    board.failed(&why);
                }
            }
            let delay = backoff.next_delay(self.parts.entropy.as_ref());
            board.uplink(UplinkState::Waiting, None);
            tracing::debug!(?delay, "dialling again");
            tokio::select! {
                biased;
                () = stop.soft() => break,
                () = tokio::time::sleep(delay) => {}
            }
        }
        // Each of them watches the stop itself: none outlives its deadline.
        while let Some(ended) = lingering.join_next().await {
            report(ended);
        }
        board.uplink(UplinkState::Stopped, None);
        Ok(())
    }

    async fn open(&self, generation: u64) -> Result<Session, SessionEnd> {
        let clock = Arc::clone(&self.parts.clock);
        let identity = match self.renewed().await {
            Ok(identity) => identity,
            Err(JoinError::Refused(JoinRefusal::Revoked)) => return Err(SessionEnd::Revoked),
            Err(error) => {
                tracing::warn!(%error, "the agent's certificate could not be renewed");
                self.identity()
            }
        };
        let lost = |error: ConnectError| SessionEnd::Lost {
            why: error.to_string(),
            code: CloseCode::Internal,
        };
        let record = Arc::clone(&self.record.borrow());
        let tls = tunnel_tls(record.pins, record.hub, &identity, clock)
            .map_err(|error| lost(ConnectError::Tls(error)))?;
        let tunnel = connect(&record, tls, self.net.as_ref(), self.parts.entropy.as_ref())
            .await
            .map_err(lost)?;
        Session::open(tunnel, self.parts.clone(), identity.agent(), generation).await
    }

    fn identity(&self) -> Arc<AgentIdentity> {
        Arc::clone(&self.identity.borrow())
    }

    /// The identity, with its certificate renewed where that is due.
    async fn renewed(&self) -> Result<Arc<AgentIdentity>, JoinError> {
        let clock = Arc::clone(&self.parts.clock);
        if !self.identity().renewal_due(clock.now()) {
            return Ok(self.identity());
        }
        let entropy = self.parts.entropy.as_ref();
        let renewed = join::renew(&self.files, self.net.as_ref(), clock, entropy).await?;
        tracing::info!("the agent's certificate was renewed");
        self.identity.send_replace(Arc::new(renewed));
        Ok(self.identity())
    }

    /// Renews the certificate when it is due, for as long as it is run: a tunnel may live longer
    /// than a certificate.
    async fn keep_renewed(&self) {
        loop {
            tokio::time::sleep(RENEWAL_LOOK).await;
            if let Err(error) = self.renewed().await {
                tracing::warn!(%error, "the agent's certificate could not be renewed");
            }
        }
    }
}

/// What is left of a session: one whose hub drains serves its streams on beside the next one; any
/// other is closed.
async fn after(mut session: Session, end: SessionEnd, lingering: &mut JoinSet<()>) -> SessionEnd {
    match &end {
        SessionEnd::HubDrains(drain) => {
            session.drain_until(drain.deadline);
            lingering.spawn(async move {
                drop(session.serve().await);
                session.close(CloseCode::Done).await;
            });
        }
        SessionEnd::Stopped | SessionEnd::Revoked | SessionEnd::Refused(_) => {
            session.close(CloseCode::Done).await;
        }
        SessionEnd::Lost { code, .. } => session.close(*code).await,
    }
    end
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!("a draining session panicked; its tunnel was closed");
    }
}
