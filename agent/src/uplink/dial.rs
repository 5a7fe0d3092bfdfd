//! Dialling the hub, for ever: connect, serve, lose, wait, again.

use super::identity::HubRecord;
use super::net::HubNet;
use super::session::{Session, SessionEnd, SessionParts};
use crate::lifecycle::Stop;
use crate::status::{StatusBoard, UplinkState};
use quinn::{Connection, Endpoint, VarInt};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{JoinError, JoinSet};
use weft_certs::{AgentIdentity, server_name, tunnel_tls};
use weft_proto::backoff::Backoff;
use weft_proto::codes::CloseCode;
use weft_proto::entropy::Entropy;
use weft_proto::wire::control::RefuseCause;
use weft_transport::config::{self, NoInitialCipherSuite};
use weft_transport::endpoint;
use weft_transport::stream::Lost;

/// Limit on one QUIC handshake.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// How long a closing connection may take to say so.
const GOODBYE_MAX: Duration = Duration::from_millis(500);

/// Why no connection to the hub came about.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// This end's TLS cannot be configured.
    #[error("TLS: {0}")]
    Tls(rustls::Error),
    /// This end's TLS is not fit for QUIC.
    #[error(transparent)]
    Quic(#[from] NoInitialCipherSuite),
    /// A name has no address, or no socket could be had.
    #[error("{address}: {source}")]
    Network {
        /// Whose.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// The handshake failed: nobody there, or not the hub that is pinned.
    #[error("{address}: {lost}")]
    Handshake {
        /// With whom.
        address: String,
        /// How it failed.
        lost: Lost,
    },
}

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

/// A connection with its endpoint. Dropped without [`Tunnel::close`] (by a panic or a cancelled
/// task), it is closed at once as an internal fault, so that the hub sends its requests elsewhere.
#[derive(Debug)]
pub(super) struct Tunnel {
    connection: Connection,
    endpoint: Endpoint,
    closed: bool,
}

impl Tunnel {
    pub(super) const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Closes the connection and waits a moment for the news to leave.
    pub(super) async fn close(mut self, code: CloseCode) {
        self.close_now(code);
        drop(tokio::time::timeout(GOODBYE_MAX, self.endpoint.wait_idle()).await);
    }

    fn close_now(&mut self, code: CloseCode) {
        if !std::mem::replace(&mut self.closed, true) {
            self.connection.close(VarInt::from_u32(code.number()), code.reason().as_bytes());
        }
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.close_now(CloseCode::Internal);
    }
}

/// Connects to the first address of the hub that completes the handshake.
///
/// # Errors
/// [`ConnectError`] of the last address.
pub(super) async fn connect(
    record: &HubRecord,
    tls: rustls::ClientConfig,
    net: &dyn HubNet,
    entropy: &dyn Entropy,
) -> Result<Tunnel, ConnectError> {
    let config = config::agent(Arc::new(tls), entropy)?;
    let name = server_name(record.hub);
    let mut last = None;
    for address in &record.addresses {
        let network = |source| ConnectError::Network { address: address.to_string(), source };
        let candidates = match net.resolve(address.host(), address.port()).await {
            Ok(candidates) => candidates,
            Err(source) => {
                last = Some(network(source));
                continue;
            }
        };
        for candidate in candidates {
            let handshake = |lost| ConnectError::Handshake { address: candidate.to_string(), lost };
            let endpoint = match net.bind(candidate).and_then(|udp| endpoint::agent(udp, entropy)) {
                Ok(endpoint) => endpoint,
                Err(source) => {
                    last = Some(network(source));
                    continue;
                }
            };
            let connecting = match endpoint.connect_with(config.clone(), candidate, &name.to_str())
            {
                Ok(connecting) => connecting,
                Err(error) => {
                    last = Some(handshake(Lost::Failed(error.to_string())));
                    continue;
                }
            };
            match tokio::time::timeout(HANDSHAKE_MAX, connecting).await {
                Ok(Ok(connection)) => {
                    return Ok(Tunnel { connection, endpoint, closed: false });
                }
                Ok(Err(error)) => last = Some(handshake(error.into())),
                Err(_) => last = Some(handshake(Lost::TimedOut)),
            }
        }
    }
    Err(last.unwrap_or_else(|| ConnectError::Network {
        address: record.hub.to_string(),
        source: io::Error::new(io::ErrorKind::NotFound, "the hub has no address"),
    }))
}

/// The agent's one tunnel, dialled for as long as the run lasts.
#[derive(Debug)]
pub(crate) struct Uplink {
    pub(crate) identity: Arc<AgentIdentity>,
    pub(crate) record: HubRecord,
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
        if self.identity.renewal_due(clock.now()) {
            tracing::warn!(
                "the agent's certificate runs out soon: run `weft-agent join` with a fresh invite"
            );
        }
        let lost = |error: ConnectError| SessionEnd::Lost {
            why: error.to_string(),
            code: CloseCode::Internal,
        };
        let tls = tunnel_tls(self.record.pins, self.record.hub, &self.identity, clock)
            .map_err(|error| lost(ConnectError::Tls(error)))?;
        let tunnel = connect(&self.record, tls, self.net.as_ref(), self.parts.entropy.as_ref())
            .await
            .map_err(lost)?;
        Session::open(tunnel, self.parts.clone(), self.identity.agent(), generation).await
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

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!("a draining session panicked; its tunnel was closed");
    }
}
