//! One simulated agent: a data directory with its accounts, made before the world begins, and the
//! real agent on it, which joins by a real invite.

use super::clock::{BEGINNING, SimClock};
use super::dice::entropy;
use super::net::{HUB, HUB_PORT, HostNet, ProviderDial, Weather};
use super::plan::{AgentPlan, PROBES_MAX, Plan, model_of, probe_marker};
use super::trace::Trace;
use super::upstream;
use futures_util::FutureExt;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use weft_agent::account::AccountDraft;
use weft_agent::app::{Agent, Parts};
use weft_agent::config::AgentConfig;
use weft_agent::datadir::DataDir;
use weft_agent::ledger::Ledger;
use weft_agent::lifecycle::Stop;
use weft_agent::status::StatusBoard;
use weft_agent::uplink::{IdentityFiles, JoinError, join};
use weft_agent::upstream::official_roots;
use weft_agent::vault::{Secret, Vault};
use weft_certs::{Authority, Invite, Token};
use weft_proto::entropy::Entropy;
use weft_proto::ids::AccountId;
use weft_proto::model::{ModelName, ModelPatterns};
use weft_proto::provider::Provider;
use weft_proto::time::Clock;
use zeroize::Zeroizing;

/// How long an invite holds: longer than any world.
const INVITE_HOLDS: Duration = Duration::from_secs(3_600);
/// Pause before joining is tried again.
const JOIN_AGAIN: Duration = Duration::from_millis(200);
/// How long an agent that is asked to stop lets its streams finish, seconds.
const DRAIN_SECONDS: u64 = 4;

/// Handles of the process that runs now.
#[derive(Debug)]
struct Running {
    stop: Stop,
    board: StatusBoard,
    ledger: Ledger,
}

/// One agent's machine: what survives its process.
#[derive(Debug)]
pub(super) struct AgentHost {
    pub(super) name: String,
    pub(super) invite: Invite,
    seed: u64,
    pub(super) data: PathBuf,
    weather: Weather,
    trace: Trace,
    lives: AtomicU64,
    crashes: AtomicU64,
    running: Mutex<Option<Running>>,
}

impl AgentHost {
    /// Makes the data directory of an agent under `root`: invited, with accounts, not joined yet.
    pub(super) fn make(
        plan: &Plan,
        agent: &AgentPlan,
        authority: &Authority,
        root: PathBuf,
        weather: Weather,
        trace: Trace,
    ) -> anyhow::Result<Self> {
        let chance = entropy(plan.seed, &agent.name);
        let data = DataDir::open(&root)?;
        let token = Token::generate(&chance);
        let door = format!("{HUB}:{HUB_PORT}").parse()?;
        let expiry = BEGINNING.after(INVITE_HOLDS);
        let invite = Invite::new(authority.hub(), vec![door], authority.pins(), token, expiry)?;
        let vault = Vault::open(&data)?;
        for &(provider, max_concurrency) in &agent.accounts {
            let secret = Secret::parse(Zeroizing::new(b"sk-simulated".to_vec()))?;
            let id = AccountId::generate(&SimClock, &chance);
            vault.add(id, draft(plan, provider, max_concurrency)?, secret, &chance)?;
        }
        Ok(Self {
            name: agent.name.clone(),
            invite,
            seed: plan.seed,
            data: root,
            weather,
            trace,
            lives: AtomicU64::new(0),
            crashes: AtomicU64::new(0),
            running: Mutex::new(None),
        })
    }

    /// One life of the agent's process.
    pub(super) async fn run(self: Arc<Self>) -> turmoil::Result {
        let life = self.lives.fetch_add(1, Ordering::Relaxed);
        self.trace.event(&self.name, format_args!("starts"));
        let net =
            HostNet::new(self.seed, &self.name, life, self.weather.clone(), self.trace.clone());
        let clock: Arc<dyn Clock> = Arc::new(SimClock);
        let chance: Arc<dyn Entropy> =
            Arc::new(entropy(self.seed, &format!("{}/{life}", self.name)));
        let data = DataDir::open(&self.data)?;
        self.join(&data, &net, &clock, &*chance).await?;
        let parts = Parts {
            hosts: upstream::hosts()?,
            dial: Arc::new(ProviderDial(net.clone())),
            roots: official_roots(),
            net: Arc::new(net),
            clock,
            entropy: chance,
            // The disk's own time is not the simulation's.
            watch_files: false,
        };
        let config = AgentConfig {
            drain_seconds: DRAIN_SECONDS,
            connect_seconds: 3,
            ..AgentConfig::default()
        };
        let stop = Stop::new();
        let agent = Agent::new(parts, data, &config, stop.clone())?;
        *self.running() = Some(Running { stop, board: agent.board(), ledger: agent.ledger() });
        agent.run().await?;
        *self.running() = None;
        self.trace.event(&self.name, format_args!("stopped"));
        Ok(())
    }

    /// Joins by the invite, however often it takes; a directory that has joined stays as it is.
    async fn join(
        &self,
        data: &DataDir,
        net: &HostNet,
        clock: &Arc<dyn Clock>,
        chance: &dyn Entropy,
    ) -> turmoil::Result {
        let files = IdentityFiles::new(data.clone());
        while files.record()?.is_none() {
            match join(&self.invite, &self.name, &files, net, Arc::clone(clock), chance).await {
                Ok(joined) => self.trace.event(&self.name, format_args!("joined {}", joined.agent)),
                Err(
                    error @ (JoinError::Connect(_) | JoinError::Stream(_) | JoinError::TimedOut),
                ) => {
                    self.trace.event(&self.name, format_args!("did not join: {error}"));
                    tokio::time::sleep(JOIN_AGAIN).await;
                }
                Err(
                    error @ (JoinError::Expired(_)
                    | JoinError::Files(_)
                    | JoinError::Refused(_)
                    | JoinError::Certificate(_)),
                ) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Asks the process to stop softly.
    pub(super) fn drain(&self) {
        if let Some(running) = &*self.running() {
            running.stop.escalate();
        }
    }

    /// Exchanges that the process says are running.
    pub(super) fn in_flight(&self) -> u64 {
        self.running().as_ref().map_or(0, |running| running.board.look().in_flight)
    }

    /// What of the ledger waits for a final word of the hub; nothing where the process is away.
    pub(super) fn unacknowledged(&self) -> usize {
        let ledger = self.running().as_ref().map(|running| running.ledger.clone());
        let waiting = ledger.map(|ledger| async move { ledger.unacknowledged(None, 1_000).await });
        // In a simulation the ledger answers at once.
        let waiting = waiting.and_then(FutureExt::now_or_never).and_then(Result::ok);
        waiting.map_or(0, |waiting| waiting.len())
    }

    /// The process is about to die.
    pub(super) fn crashed(&self) {
        self.crashes.fetch_add(1, Ordering::Relaxed);
        *self.running() = None;
    }

    /// Whether the process has died at least once, without a last word.
    pub(super) fn has_crashed(&self) -> bool {
        self.crashes.load(Ordering::Relaxed) > 0
    }

    /// Where its ledger is.
    pub(super) fn ledger_dir(&self) -> PathBuf {
        self.data.join("ledger")
    }

    fn running(&self) -> std::sync::MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn draft(plan: &Plan, provider: Provider, max_concurrency: u32) -> anyhow::Result<AccountDraft> {
    let azure = provider == Provider::Azure;
    let mut deployments = BTreeMap::new();
    if azure {
        let asked = plan.requests.iter().filter(|request| request.provider == provider);
        let markers = asked.map(|request| request.marker);
        let probes = (0..PROBES_MAX).map(|index| probe_marker(provider, index));
        for model in markers.chain(probes).map(model_of) {
            deployments.insert(model.clone(), ModelName::parse(&model)?);
        }
    }
    Ok(AccountDraft {
        provider,
        label: "main".to_owned(),
        site: if azure { "sim".to_owned() } else { String::new() },
        models: ModelPatterns::any(),
        deployments,
        max_concurrency,
        permitted_use: "application".to_owned(),
        place: String::new(),
        http2: false,
        egress: weft_agent::account::Egress::Direct,
    })
}
