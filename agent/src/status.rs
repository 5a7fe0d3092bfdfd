//! What a running agent says about itself: in memory for its own process, in `status.json` for
//! `weft-agent status`. There is no network listener to ask.
//!
//! It holds ids, counts and times. No secret, no prompt, no user.

use crate::account::Account;
use crate::datadir::{self, DataDir};
use crate::limits::AccountLimits;
use serde::{Deserialize, Serialize};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use weft_proto::ids::{AccountId, AgentId, HubId, InstanceId, NodeId, SessionId};
use weft_proto::provider::Provider;
use weft_proto::time::{Clock, Timestamp};

/// The file is written at least this often, so that its age shows whether the agent lives.
const WRITE_EVERY: Duration = Duration::from_secs(2);
/// Longest status file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Where the agent stands with its hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UplinkState {
    /// A connection is being made.
    Connecting,
    /// Serving.
    Connected,
    /// The tunnel was lost; waiting to dial again.
    Waiting,
    /// Streams finish; no new ones.
    Draining,
    /// Not running.
    Stopped,
}

/// One account in a status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountStatus {
    /// The account.
    pub id: AccountId,
    /// The owner's name for it.
    pub label: String,
    /// Whose endpoint it calls.
    pub provider: Provider,
    /// Exchanges that run now.
    pub in_flight: u32,
    /// How long it still rests, in whole seconds, where it does.
    pub paused_for_seconds: Option<u64>,
    /// Why it rests.
    pub fault: Option<String>,
}

/// One look at an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Where it stands.
    pub state: UplinkState,
    /// Who it is.
    pub agent: AgentId,
    /// This run of it.
    pub instance: InstanceId,
    /// Whose it is.
    pub hub: HubId,
    /// The node that it is connected to.
    pub node: Option<NodeId>,
    /// The session in force.
    pub session: Option<SessionId>,
    /// Whether it calls simulated providers on this machine instead of the official ones.
    pub simulated: bool,
    /// Exchanges that run now.
    pub in_flight: u64,
    /// Its accounts.
    pub accounts: Vec<AccountStatus>,
    /// What went wrong last with the tunnel.
    pub last_error: Option<String>,
    /// When this was written, in microseconds since 1970.
    pub updated_at: Timestamp,
}

/// A status file that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// No agent has run on this directory.
    #[error("no agent has run on this data directory yet")]
    Never,
    /// The system refused.
    #[error("cannot read the status file")]
    System(#[source] io::Error),
    /// The file is damaged.
    #[error("the status file is damaged")]
    Damaged,
}

#[derive(Debug)]
struct Uplinked {
    state: UplinkState,
    at: Option<(NodeId, SessionId)>,
    last_error: Option<String>,
}

/// What the parts of an agent write their state on.
#[derive(Debug, Clone)]
pub struct StatusBoard {
    inner: Arc<BoardInner>,
}

#[derive(Debug)]
struct BoardInner {
    agent: AgentId,
    instance: InstanceId,
    hub: HubId,
    simulated: bool,
    clock: Arc<dyn Clock>,
    limits: AccountLimits,
    accounts: watch::Receiver<Vec<Arc<Account>>>,
    uplinked: Mutex<Uplinked>,
    changes: watch::Sender<u64>,
}

/// Who a status is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject {
    pub(crate) agent: AgentId,
    pub(crate) instance: InstanceId,
    pub(crate) hub: HubId,
    pub(crate) simulated: bool,
}

impl StatusBoard {
    pub(crate) fn new(
        subject: Subject,
        clock: Arc<dyn Clock>,
        limits: AccountLimits,
        accounts: watch::Receiver<Vec<Arc<Account>>>,
    ) -> Self {
        let Subject { agent, instance, hub, simulated } = subject;
        let uplinked =
            Mutex::new(Uplinked { state: UplinkState::Connecting, at: None, last_error: None });
        let changes = watch::Sender::new(0);
        Self {
            inner: Arc::new(BoardInner {
                agent,
                instance,
                hub,
                simulated,
                clock,
                limits,
                accounts,
                uplinked,
                changes,
            }),
        }
    }

    /// A new state of the uplink; `at` where a session came into force.
    pub(crate) fn uplink(&self, state: UplinkState, at: Option<(NodeId, SessionId)>) {
        let mut uplinked = self.inner.uplinked.lock().unwrap_or_else(PoisonError::into_inner);
        uplinked.state = state;
        match state {
            UplinkState::Connected => {
                uplinked.at = at;
                uplinked.last_error = None;
            }
            UplinkState::Draining => {}
            UplinkState::Connecting | UplinkState::Waiting | UplinkState::Stopped => {
                uplinked.at = None;
            }
        }
        drop(uplinked);
        self.inner.changes.send_modify(|count| *count += 1);
    }

    /// What went wrong with the tunnel.
    pub(crate) fn failed(&self, error: &str) {
        let mut uplinked = self.inner.uplinked.lock().unwrap_or_else(PoisonError::into_inner);
        uplinked.last_error = Some(error.to_owned());
    }

    /// A look at the agent now.
    #[must_use]
    pub fn look(&self) -> Status {
        let inner = &self.inner;
        let accounts =
            inner.accounts.borrow().iter().map(|account| account_status(inner, account)).collect();
        let uplinked = inner.uplinked.lock().unwrap_or_else(PoisonError::into_inner);
        Status {
            state: uplinked.state,
            agent: inner.agent,
            instance: inner.instance,
            hub: inner.hub,
            node: uplinked.at.map(|(node, _)| node),
            session: uplinked.at.map(|(_, session)| session),
            simulated: inner.simulated,
            in_flight: inner.limits.in_flight(),
            accounts,
            last_error: uplinked.last_error.clone(),
            updated_at: inner.clock.now(),
        }
    }

    /// Waits until the state of the uplink has changed since the last call. Cancel safe.
    pub async fn changed(changes: &mut watch::Receiver<u64>) {
        // The sender lives as long as any board: an error means that nobody is left to tell.
        if changes.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// A subscription for [`Self::changed`].
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changes.subscribe()
    }

    /// Keeps the status file up to date for as long as it is polled.
    pub(crate) async fn keep_file(self, data: DataDir) {
        let mut changes = self.changes();
        loop {
            self.write_file(&data).await;
            drop(tokio::time::timeout(WRITE_EVERY, Self::changed(&mut changes)).await);
        }
    }

    /// Writes the status file once. A failure is logged: nothing depends on the file.
    pub(crate) async fn write_file(&self, data: &DataDir) {
        let (status, path) = (self.look(), data.status_file());
        let written = tokio::task::spawn_blocking(move || {
            let json = serde_json::to_vec_pretty(&status)?;
            datadir::replace_file(&path, &json)
        })
        .await;
        match written {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the status file cannot be written"),
            Err(error) => tracing::warn!(%error, "the status file cannot be written"),
        }
    }
}

fn account_status(inner: &BoardInner, account: &Account) -> AccountStatus {
    let load = inner.limits.load(account.id());
    AccountStatus {
        id: account.id(),
        label: account.label().to_owned(),
        provider: account.provider(),
        in_flight: load.in_flight,
        paused_for_seconds: load.paused_for.map(|left| left.as_secs() + 1),
        fault: load.fault.map(|fault| fault.name().to_owned()),
    }
}

impl Status {
    /// Reads the status file of a data directory; `running` says whether an agent holds its lock,
    /// which a killed agent could not write down itself.
    ///
    /// # Errors
    /// [`StatusError`].
    pub fn read(data: &DataDir, running: bool) -> Result<Self, StatusError> {
        let path = data.status_file();
        let bytes = match std::fs::metadata(&path) {
            Ok(metadata) if metadata.len() > FILE_BYTES_MAX => return Err(StatusError::Damaged),
            Ok(_) => std::fs::read(&path).map_err(StatusError::System)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(StatusError::Never);
            }
            Err(error) => return Err(StatusError::System(error)),
        };
        let mut status: Self = serde_json::from_slice(&bytes).map_err(|_| StatusError::Damaged)?;
        if !running {
            status.state = UplinkState::Stopped;
            status.node = None;
            status.session = None;
            status.in_flight = 0;
            status.accounts.iter_mut().for_each(|account| account.in_flight = 0);
        }
        Ok(status)
    }
}
