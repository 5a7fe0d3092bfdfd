//! The mesh that is measured: provider, hub and agent as processes of their own.
//!
//! Started as an operator would, from the binaries beside this one. All of it lives in a temporary
//! directory and ends with the value.

use super::client::{CHAT, Client, Way};
use super::process::{Memory, Who, machine_cpu};
use super::script::{Script, Shape};
use crate::mesh::process::command;
use crate::mesh::{Agent, Binaries, Doors, Hub, MeshError, NewKey, Process};
use anyhow::Context;
use serde::Serialize;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::TcpStream;
use weft_proto::provider::Provider;

/// Who owns the agent, and whose house the user belongs to.
pub(crate) const OWNER: &str = "bench";
/// Exchanges that the account takes at a time: more than any phase has.
const CONCURRENCY: &str = "1024";
/// How long the provider may take to listen.
const PROVIDER_READY_MAX: Duration = Duration::from_secs(10);
/// What the user has beside what every user of a mesh begins with, USD: more than any phase spends
/// or holds.
const CREDIT: &str = "1000000.00";
/// A hub that says little.
pub(crate) const QUIET: (&str, &str) = ("WEFT_LOG__LEVEL", "warn");
/// A file system in memory, where the machine has one.
const IN_MEMORY: &str = "/dev/shm";
/// Open files that every process of a bench may need.
const OPEN_FILES_MIN: u64 = 1_536;

/// What is special about a mesh.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setup {
    /// Whether the hub charges.
    pub(crate) charging: bool,
    /// Whether the agent's files are in memory, where the machine has such a file system.
    pub(crate) agent_in_memory: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self { charging: true, agent_in_memory: false }
    }
}

/// The processes of a mesh, and how they are reached.
#[derive(Debug)]
pub(crate) struct Ground {
    /// How the bench speaks to it.
    pub(crate) client: Client,
    hub: Hub,
    agent: Process,
    provider: Process,
    // Last: the processes have ended when their files go.
    _dir: TempDir,
    /// Where the agent's files are in memory.
    agent_dir: Option<TempDir>,
}

impl Ground {
    /// Starts provider, hub and agent, and waits until the hub is offered the agent's account.
    ///
    /// # Errors
    /// Where one of them does not come up, or this machine lets a process open too few files.
    ///
    /// # Cancel safety
    /// A dropped call ends what was started.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        Self::begin(Setup::default()).await
    }

    /// The same, of a mesh that is special.
    ///
    /// # Errors
    /// As those of [`Ground::start`].
    ///
    /// # Cancel safety
    /// A dropped call ends what was started.
    pub(crate) async fn begin(setup: Setup) -> anyhow::Result<Self> {
        let files = Who::Own.open_files_max()?;
        anyhow::ensure!(
            files >= OPEN_FILES_MIN,
            "{files} open files are too few for 512 streams: run `ulimit -n 4096` first"
        );
        let own = std::env::current_exe().context("where is this program?")?;
        let binaries = Binaries::beside(&own)?;
        let dir = tempfile::Builder::new().prefix("weft-bench-").tempdir()?;
        let at = |name: &str| dir.path().join(name);

        let (provider, provider_addr) = start_provider(&own, &at("provider.log")).await?;
        Hub::init(&binaries.hub(), &at("hub"))?;
        let charging = if setup.charging { "true" } else { "false" };
        let settings = [QUIET, ("WEFT_MONEY__CHARGING", charging)];
        let doors = Doors::default();
        let mut hub =
            Hub::serve(&binaries.hub(), &at("hub"), doors, &settings, &at("hub.log")).await?;
        hub.price_everything()?;
        let invite = hub.invite(OWNER)?;
        let agent_dir = setup.agent_in_memory.then(in_memory).transpose()?.flatten();
        let agent_at =
            agent_dir.as_ref().map_or_else(|| at("agent"), |dir| dir.path().join("agent"));
        let agent = Agent::join(&binaries.agent_sim(), &agent_at, "bench", &invite)?;
        let words = ["--concurrency", CONCURRENCY];
        agent.add_account(Provider::OpenAi, "bench", "sk-simulated", &words)?;
        let words = ["--log", "warn", "--simulate"].map(str::to_owned);
        let simulated = format!("openai=http://{provider_addr}");
        let words: Vec<String> = words.into_iter().chain([simulated]).collect();
        let agent = agent.run(&words, &[], &at("agent.log"))?;
        let key = rich_user(&hub)?;
        hub.offers(1).await?;
        let client = Client::new(provider_addr, hub.users(), &hub.ca(), &key.secret)?;
        Ok(Self { client, hub, agent, provider, _dir: dir, agent_dir })
    }

    /// Whether the agent's files are in memory.
    pub(crate) const fn is_agent_in_memory(&self) -> bool {
        self.agent_dir.is_some()
    }

    /// The hub, to be asked as its operator does.
    pub(crate) const fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Learns the answer to `shape` from the provider itself.
    ///
    /// # Errors
    /// Where it does not answer as asked.
    pub(crate) async fn learn(&self, shape: Shape) -> anyhow::Result<Script> {
        let mut line = self.client.connect(Way::Direct).await?;
        let answer = line.ask(CHAT, shape.body(), shape.control()?).await?;
        Script::learnt(shape, answer)
    }

    /// Requests that run at the provider now.
    ///
    /// # Errors
    /// Where it does not answer.
    pub(crate) async fn in_flight(&self) -> anyhow::Result<Load> {
        let mut line = self.client.connect(Way::Direct).await?;
        let answer = line.get("/_sim/stats").await?;
        Ok(serde_json::from_slice(&answer)?)
    }

    /// Fails where a process has ended.
    ///
    /// # Errors
    /// [`MeshError::Died`] with its last words.
    pub(crate) fn check(&mut self) -> Result<(), MeshError> {
        self.hub.process().check()?;
        self.agent.check()?;
        self.provider.check()
    }

    /// The processes whose memory is reported: hub and agent.
    pub(crate) fn pids(&mut self) -> Pids {
        Pids {
            hub: Who::Pid(self.hub.process().id()),
            agent: Who::Pid(self.agent.id()),
            provider: Who::Pid(self.provider.id()),
        }
    }
}

/// A hub without a provider or an agent of its own: for phases that bring theirs.
#[derive(Debug)]
pub(crate) struct Alone {
    /// The hub.
    pub(crate) hub: Hub,
    /// A user's key.
    pub(crate) key: NewKey,
    // Last: the process has ended when its files go.
    _dir: TempDir,
}

impl Alone {
    /// Starts a hub with `settings`, its `WEFT_…` variables.
    ///
    /// # Errors
    /// Where it does not come up.
    ///
    /// # Cancel safety
    /// A dropped call ends what was started.
    pub(crate) async fn start(settings: &[(&str, &str)]) -> anyhow::Result<Self> {
        let own = std::env::current_exe().context("where is this program?")?;
        let program = Binaries::beside(&own)?.hub();
        let dir = tempfile::Builder::new().prefix("weft-bench-").tempdir()?;
        let (data, log) = (dir.path().join("hub"), dir.path().join("hub.log"));
        Hub::init(&program, &data)?;
        let hub = Hub::serve(&program, &data, Doors::default(), settings, &log).await?;
        hub.price_everything()?;
        let key = rich_user(&hub)?;
        Ok(Self { hub, key, _dir: dir })
    }
}

/// What the provider counts.
#[derive(Debug, Clone, Copy, serde::Deserialize)]
pub(crate) struct Load {
    /// Requests that run now.
    pub(crate) in_flight: u64,
    /// Requests begun.
    pub(crate) total: u64,
    /// Requests whose client went away.
    pub(crate) client_gone: u64,
}

/// Who to ask the kernel about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pids {
    /// `weft-hub`.
    pub(crate) hub: Who,
    /// `weft-agent-sim`.
    pub(crate) agent: Who,
    /// `weft-loadtest provider`.
    pub(crate) provider: Who,
}

impl Pids {
    /// CPU time of every process until now.
    ///
    /// # Errors
    /// Where one is gone.
    pub(crate) fn spent(self) -> io::Result<Spent> {
        Ok(Spent {
            hub: self.hub.cpu()?,
            agent: self.agent.cpu()?,
            provider: self.provider.cpu()?,
            client: Who::Own.cpu()?,
            machine: machine_cpu()?,
        })
    }

    /// Memory of hub and agent now.
    ///
    /// # Errors
    /// Where one is gone.
    pub(crate) fn memory(self) -> io::Result<Held> {
        Ok(Held { hub: self.hub.memory()?, agent: self.agent.memory()? })
    }
}

/// CPU time, of a process each and of the whole machine.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Spent {
    /// The hub.
    pub(crate) hub: Duration,
    /// The agent.
    pub(crate) agent: Duration,
    /// The simulated provider.
    pub(crate) provider: Duration,
    /// This process.
    pub(crate) client: Duration,
    /// Everything on the machine.
    pub(crate) machine: Duration,
}

impl Spent {
    /// What was spent since `before`.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            hub: self.hub.saturating_sub(before.hub),
            agent: self.agent.saturating_sub(before.agent),
            provider: self.provider.saturating_sub(before.provider),
            client: self.client.saturating_sub(before.client),
            machine: self.machine.saturating_sub(before.machine),
        }
    }

    /// Both together.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            hub: self.hub + other.hub,
            agent: self.agent + other.agent,
            provider: self.provider + other.provider,
            client: self.client + other.client,
            machine: self.machine + other.machine,
        }
    }

    /// Of processes that are not of the bench.
    pub(crate) fn others(self) -> Duration {
        self.machine.saturating_sub(self.hub + self.agent + self.provider + self.client)
    }
}

/// Memory of hub and agent at one moment.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Held {
    /// The hub.
    pub(crate) hub: Memory,
    /// The agent.
    pub(crate) agent: Memory,
}

/// A user whom no phase can ruin, and its key.
fn rich_user(hub: &Hub) -> Result<NewKey, MeshError> {
    hub.add_user("bench", Some(OWNER))?;
    hub.credit("bench", CREDIT)?;
    hub.add_key("bench", &[])
}

/// A directory in memory, where the machine has a file system there.
fn in_memory() -> io::Result<Option<TempDir>> {
    if !Path::new(IN_MEMORY).is_dir() {
        return Ok(None);
    }
    tempfile::Builder::new().prefix("weft-bench-").tempdir_in(IN_MEMORY).map(Some)
}

async fn start_provider(own: &Path, log: &Path) -> anyhow::Result<(Process, SocketAddr)> {
    // Taken and given back: the provider is told where to listen.
    let addr = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
    let mut run = command(own);
    run.args(["provider", "--listen", &addr.to_string()]).env("WEFT_LOG", "warn");
    let mut provider = Process::start("weft-loadtest provider", run, log)?;
    provider
        .until("its listener", PROVIDER_READY_MAX, async || {
            Ok(TcpStream::connect(addr).await.is_ok().then_some(()))
        })
        .await?;
    Ok((provider, addr))
}
