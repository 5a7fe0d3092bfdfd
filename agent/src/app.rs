//! The only wiring: parts come in, an agent goes out.
//!
//! ```text
//!  Parts (table, network, clock, chance) ─┐
//!  DataDir ─ identity, vault ─────────────┴─▶ Agent ─ run(Stop) ─▶ the tunnel, until the end
//! ```
//! Binaries differ only in the [`Parts`] they hand in: `weft-agent` the official table and the
//! machine's network, a simulated agent a loopback table. Nothing in a data directory, a setting or
//! a message can change a table.

mod reload;

pub use reload::Reloader;

use crate::config::{AgentConfig, Overrides};
use crate::datadir::{DataDir, DataDirError, DirLock};
use crate::exchange::Exchanges;
use crate::ledger::{Books, HUB_PIN, HubKey, Ledger, LedgerError, LedgerParts, Reporter};
use crate::lifecycle::Stop;
use crate::limits::AccountLimits;
use crate::status::{StatusBoard, Subject};
use crate::telemetry::LogFilter;
use crate::uplink::{
    HubNet, IdentityFiles, IdentityFilesError, SessionParts, SystemNet, Uplink, UplinkError,
};
use crate::upstream::{Dial, SystemDial, TlsSetupError, Upstream, official_roots};
use crate::vault::{self, Vault, VaultError};
use reload::Accounts;
use rustls::RootCertStore;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;
use weft_proto::causes::causes;
use weft_proto::entropy::{Entropy, OsEntropy};
use weft_proto::ids::{AgentId, HubId, InstanceId};
use weft_proto::tables::hosts::HostTable;
use weft_proto::time::{Clock, SystemClock};

/// How long connections to providers may take to close at the end of a run.
const TASKS_END_MAX: Duration = Duration::from_millis(500);

/// The folder of the price books, in the data directory.
const PRICES_DIR: &str = "prices";

/// How long a tunnel that a panic has closed may take to say so.
const GOODBYE: Duration = Duration::from_millis(100);

/// What an agent is made of besides its data: the seams.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Where it may go.
    pub hosts: HostTable,
    /// How it opens byte streams to providers.
    pub dial: Arc<dyn Dial>,
    /// What verifies providers.
    pub roots: RootCertStore,
    /// How it reaches the hub.
    pub net: Arc<dyn HubNet>,
    /// Wall-clock time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub entropy: Arc<dyn Entropy>,
    /// Whether the vault's file is watched for changes and the status file is kept. A simulation
    /// turns it off: the disk has a time of its own.
    pub watch_files: bool,
}

impl Parts {
    /// The machine's own network, clock and chance, towards the hosts of `hosts`.
    #[must_use]
    pub fn system(hosts: HostTable) -> Self {
        Self {
            hosts,
            dial: Arc::new(SystemDial),
            roots: official_roots(),
            net: Arc::new(SystemNet),
            clock: Arc::new(SystemClock),
            entropy: Arc::new(OsEntropy),
            watch_files: true,
        }
    }
}

/// Why an agent did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory is in use or cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The agent has not joined, or its identity cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityFilesError),
    /// The vault cannot be used.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// TLS towards providers cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsSetupError),
    /// The ledger cannot be used: without it no provider is called.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// What is known of the hub's ledger, or the price books, cannot be read.
    #[error("the hub's ledger key or the price books cannot be read")]
    Hub(#[from] std::io::Error),
}

/// Why a run ended other than by a stop.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The hub does not want this agent.
    #[error(transparent)]
    Uplink(#[from] UplinkError),
    /// The ledger failed: nothing more can be written down, so nothing more may be done.
    #[error(transparent)]
    Ledger(Arc<LedgerError>),
    /// A task that must live has ended; the tunnel was closed.
    #[error("a critical task ended: {0}")]
    Task(&'static str),
}

/// An agent that is ready to run. It holds its data directory's lock.
#[derive(Debug)]
pub struct Agent {
    data: DataDir,
    uplink: Uplink,
    accounts: Accounts,
    drain: watch::Sender<Duration>,
    config: AgentConfig,
    board: StatusBoard,
    ledger: Ledger,
    tasks: TaskTracker,
    stop: Stop,
    lock: DirLock,
    watch_files: bool,
}

impl Agent {
    /// Loads identity and vault from `data` and puts the parts together. Opens no connection.
    /// Blocks on the disk.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn new(
        parts: Parts,
        data: DataDir,
        config: &AgentConfig,
        stop: Stop,
    ) -> Result<Self, StartError> {
        let Parts { hosts, dial, roots, net, clock, entropy, watch_files } = parts;
        let lock = data.lock_run()?;
        let files = IdentityFiles::new(data.clone());
        let (identity, record) = files.load()?;
        let vault = Arc::new(Vault::open(&data)?);
        let (agent, hub, timer) = (identity.agent(), record.hub, Arc::clone(&clock));
        let parts = LedgerParts::of(&data, agent, hub, timer, entropy.as_ref(), !watch_files)?;
        let ledger = Ledger::open(parts)?;
        let hub_key = Arc::new(HubKey::open(data.ledger_dir().join(HUB_PIN))?);
        let books = Books::open(data.root().join(PRICES_DIR), hub_key.key().as_ref())?;
        let (published, known) = watch::channel(vault.accounts());
        let (drain, drain_deadline) = watch::channel(config.drain_deadline());
        let tasks = TaskTracker::new();
        let limits = AccountLimits::default();
        let instance = InstanceId::generate(clock.as_ref(), entropy.as_ref());
        let subject = Subject {
            agent: identity.agent(),
            instance,
            hub: record.hub,
            simulated: hosts.is_simulated(),
        };
        let board = StatusBoard::new(subject, Arc::clone(&clock), limits.clone(), known.clone());
        let upstream = Upstream::new(dial, roots, config.upstream(), tasks.clone())?;
        let accounts = Accounts {
            vault: Arc::clone(&vault),
            published,
            limits: limits.clone(),
            upstream: upstream.clone(),
        };
        let exchanges =
            Exchanges::new(vault, limits, hosts, upstream, ledger.clone(), books.clone());
        let reporter = Reporter::new(ledger.clone(), books, hub_key);
        let uplink = Uplink {
            identity: watch::Sender::new(Arc::new(identity)),
            files,
            record: watch::Sender::new(Arc::new(record)),
            net,
            parts: SessionParts {
                exchanges,
                accounts: known,
                instance,
                clock,
                entropy,
                stop: stop.clone(),
                board: board.clone(),
                drain_deadline,
                reporter,
            },
        };
        let config = config.clone();
        Ok(Self {
            data,
            uplink,
            accounts,
            drain,
            config,
            board,
            ledger,
            tasks,
            stop,
            lock,
            watch_files,
        })
    }

    /// Who it is.
    #[must_use]
    pub fn id(&self) -> AgentId {
        self.board.look().agent
    }

    /// Whose it is.
    #[must_use]
    pub fn hub(&self) -> HubId {
        self.board.look().hub
    }

    /// Where its state can be looked at while it runs.
    #[must_use]
    pub fn board(&self) -> StatusBoard {
        self.board.clone()
    }

    /// What it writes down.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.ledger.clone()
    }

    /// What takes this agent's files over while it runs. `flags` stay above them, and `logs` is the
    /// process's log filter, where it may be changed.
    #[must_use]
    pub fn reloader(&self, flags: Overrides, logs: Option<LogFilter>) -> Reloader {
        Reloader {
            data: self.data.clone(),
            accounts: self.accounts.clone(),
            drain: self.drain.clone(),
            identity: self.uplink.identity.clone(),
            record: self.uplink.record.clone(),
            in_force: Mutex::new(self.config.clone()),
            flags,
            logs,
        }
    }

    /// Serves until the stop given to [`Agent::new`] is asked for and its streams have finished, or
    /// until the hub turns the agent away.
    ///
    /// # Errors
    /// [`RunError`]. A panic in a critical task closes the tunnel at once and ends the run.
    ///
    /// # Cancel safety
    /// Dropping it drops every exchange and closes the tunnel.
    pub async fn run(self) -> Result<(), RunError> {
        let Self {
            data,
            uplink,
            accounts,
            drain,
            config: _,
            board,
            ledger,
            tasks,
            stop,
            lock,
            watch_files,
        } = self;
        let mut critical = JoinSet::new();
        critical.spawn(async move { uplink.run().await.map_err(RunError::from) });
        let mut helpers = JoinSet::new();
        if watch_files {
            // The first exchange without a usage need not wait for the tables.
            drop(tasks.spawn_blocking(weft_proto::meter::warm_up));
            let (vault, accounts) = (Arc::clone(&accounts.vault), accounts.clone());
            helpers.spawn(vault::follow(vault, move || accounts.refresh()));
            helpers.spawn(board.clone().keep_file(data.clone()));
        }
        let ended = tokio::select! {
            biased;
            ended = critical.join_next() => match ended {
                Some(Ok(ended)) => ended,
                Some(Err(_)) | None => {
                    // The panic has closed the tunnel: let the news leave before the process does.
                    tokio::time::sleep(GOODBYE).await;
                    Err(RunError::Task("uplink"))
                }
            },
            failed = ledger.failed() => {
                // Not a stop: what is open stays open, and is closed as interrupted at the start.
                critical.shutdown().await;
                Err(RunError::Ledger(failed))
            }
            Some(_) = helpers.join_next() => {
                stop.force();
                while critical.join_next().await.is_some() {}
                Err(RunError::Task("vault or status"))
            }
        };
        drop((accounts, drain));
        helpers.shutdown().await;
        // What is left are connections to providers, which close once nobody uses them.
        tasks.close();
        drop(tokio::time::timeout(TASKS_END_MAX, tasks.wait()).await);
        if let Err(error) = ledger.stop().await {
            tracing::error!(error = %causes(&error), "the ledger was not written to its end");
        }
        if watch_files {
            board.write_file(&data).await;
        }
        drop(lock);
        ended
    }
}
