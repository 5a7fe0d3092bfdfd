//! One simulated agent: a data directory made before the world begins, and the real agent on it.

use super::clock::SimClock;
use super::dice::entropy;
use super::net::{HUB, HUB_PORT, HostNet, ProviderDial, Weather};
use super::plan::{AgentPlan, PROBES_MAX, Plan, model_of, probe_marker};
use super::trace::Trace;
use super::upstream;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use weft_agent::account::AccountDraft;
use weft_agent::app::{Agent, Parts};
use weft_agent::config::AgentConfig;
use weft_agent::datadir::DataDir;
use weft_agent::lifecycle::Stop;
use weft_agent::status::StatusBoard;
use weft_agent::uplink::{HubRecord, IdentityFiles};
use weft_agent::upstream::official_roots;
use weft_agent::vault::{Secret, Vault};
use weft_certs::{Authority, SpkiHash};
use weft_proto::ids::{AccountId, AgentId};
use weft_proto::model::{ModelName, ModelPatterns};
use weft_proto::provider::Provider;
use weft_proto::time::Clock;
use zeroize::Zeroizing;

/// How long an agent that is asked to stop lets its streams finish, seconds.
const DRAIN_SECONDS: u64 = 4;

/// One agent's machine: what survives its process.
#[derive(Debug)]
pub(super) struct AgentHost {
    pub(super) name: String,
    pub(super) id: AgentId,
    pub(super) spki: SpkiHash,
    seed: u64,
    data: PathBuf,
    weather: Weather,
    trace: Trace,
    lives: AtomicU64,
    running: Mutex<Option<(Stop, StatusBoard)>>,
}

impl AgentHost {
    /// Makes the data directory of a joined agent under `root`.
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
        let files = IdentityFiles::new(data.clone());
        let key = files.joining_key(&chance)?;
        let (id, spki) = (AgentId::generate(&SimClock, &chance), key.spki_hash());
        let chain = authority.sign_agent(&key.csr_der(), id, &SimClock)?;
        let record = HubRecord {
            hub: authority.hub(),
            pins: authority.pins(),
            addresses: vec![format!("{HUB}:{HUB_PORT}").parse()?],
        };
        files.save(&chain, &record)?;
        let vault = Vault::open(&data)?;
        for &(provider, max_concurrency) in &agent.accounts {
            let secret = Secret::parse(Zeroizing::new(b"sk-simulated".to_vec()))?;
            let id = AccountId::generate(&SimClock, &chance);
            vault.add(id, draft(plan, provider, max_concurrency)?, secret, &chance)?;
        }
        Ok(Self {
            name: agent.name.clone(),
            id,
            spki,
            seed: plan.seed,
            data: root,
            weather,
            trace,
            lives: AtomicU64::new(0),
            running: Mutex::new(None),
        })
    }

    /// One life of the agent's process.
    pub(super) async fn run(self: Arc<Self>) -> turmoil::Result {
        let life = self.lives.fetch_add(1, Ordering::Relaxed);
        self.trace.event(&self.name, format_args!("starts"));
        let net = HostNet::new(
            self.seed,
            &self.name,
            life,
            self.weather.clone(),
            self.trace.clone(),
        );
        let clock: Arc<dyn Clock> = Arc::new(SimClock);
        let parts = Parts {
            hosts: upstream::hosts()?,
            dial: Arc::new(ProviderDial),
            roots: official_roots(),
            net: Arc::new(net),
            clock,
            entropy: Arc::new(entropy(self.seed, &format!("{}/{life}", self.name))),
        };
        let config = AgentConfig {
            drain_seconds: DRAIN_SECONDS,
            connect_seconds: 3,
            ..AgentConfig::default()
        };
        let stop = Stop::new();
        let agent = Agent::new(parts, DataDir::open(&self.data)?, &config, stop.clone())?;
        *self.running() = Some((stop, agent.board()));
        agent.run().await?;
        *self.running() = None;
        self.trace.event(&self.name, format_args!("stopped"));
        Ok(())
    }

    /// Asks the process to stop softly.
    pub(super) fn drain(&self) {
        if let Some((stop, _)) = &*self.running() {
            stop.escalate();
        }
    }

    /// Exchanges that the process says are running.
    pub(super) fn in_flight(&self) -> u64 {
        self.running().as_ref().map_or(0, |(_, board)| board.look().in_flight)
    }

    fn running(&self) -> std::sync::MutexGuard<'_, Option<(Stop, StatusBoard)>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn draft(plan: &Plan, provider: Provider, max_concurrency: u32) -> anyhow::Result<AccountDraft> {
    let azure = provider == Provider::Azure;
    let mut deployments = BTreeMap::new();
    if azure {
        let asked = plan.requests.iter().filter(|request| request.provider == Provider::Azure);
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
        http2: false,
    })
}
