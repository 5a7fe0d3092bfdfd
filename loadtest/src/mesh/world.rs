//! A mesh that is ready for work: a simulated provider, a hub, agents with an account at each
//! provider, a user with a key. For stories, benches and the SDK runs.
//!
//! Everything lives in one temporary directory and goes with the value.

use super::{Agent, Binaries, Caller, Connection, Doors, Hub, MeshError, NewKey, Process, Version};
use crate::mesh::caller::CallError;
use crate::provider::{BindError, Provider as Simulated, ProviderConfig};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;
use weft_proto::provider::Provider;

/// The owner of all agents of a world, and the house that its user belongs to.
pub const OWNER: &str = "owner";
/// The user of a world.
pub const USER: &str = "user";
/// Azure's deployments, by name, and the models behind them. Named like their models, as owners
/// often do, and once otherwise.
pub const DEPLOYMENTS: [&str; 8] = [
    "gpt-4o=gpt-4o",
    "sim=sim",
    "prod-chat=gpt-4o",
    "text-embedding-3-small=text-embedding-3-small",
    "gpt-image-1=gpt-image-1",
    "whisper-1=whisper-1",
    "tts-1=tts-1",
    "gpt-4o-mini=gpt-4o-mini",
];
/// Exchanges at a time on each account.
const CONCURRENCY: &str = "512";
/// How long a graceful stop may take: longer is a hang, and a failure.
const STOP_MAX: Duration = Duration::from_secs(20);

/// What a world is made of.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The simulated provider.
    pub provider: ProviderConfig,
    /// How many agents.
    pub agents: usize,
    /// Settings of the hub, as `WEFT_…` variables.
    pub hub: Vec<(&'static str, &'static str)>,
    /// Further words of `account add` for every account.
    pub account: Vec<&'static str>,
    /// Further words of `run` for every agent.
    pub run: Vec<&'static str>,
    /// Whether each agent's accounts have keys of their own, as [`secret_of`] tells; otherwise all
    /// agents present the same.
    pub apart: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            provider: ProviderConfig::default(),
            agents: 1,
            hub: Vec::new(),
            account: Vec::new(),
            run: Vec::new(),
            apart: false,
        }
    }
}

/// A world that did not begin.
#[derive(Debug, thiserror::Error)]
pub enum WorldError {
    /// The mesh.
    #[error(transparent)]
    Mesh(#[from] MeshError),
    /// The simulated provider.
    #[error(transparent)]
    Provider(#[from] BindError),
    /// The temporary directory.
    #[error("no temporary directory")]
    Directory(#[from] std::io::Error),
}

/// An agent that joined, and its process.
#[derive(Debug)]
pub struct Running {
    /// Its data directory and command line.
    pub agent: Agent,
    /// The process that runs it.
    pub process: Process,
    /// Its id, as the hub knows it.
    pub id: String,
}

/// A mesh that is ready for work.
#[derive(Debug)]
pub struct World {
    /// The simulated provider, in this process.
    pub provider: Simulated,
    /// The hub.
    pub hub: Hub,
    /// The agents, in the order in which they joined.
    pub agents: Vec<Running>,
    /// The user's key.
    pub key: NewKey,
    caller: Caller,
    binaries: Binaries,
    plan: Plan,
    // Last: what lives in it goes first.
    dir: TempDir,
}

/// The key that agents present to `provider`. Simulated, but shaped so that it can be searched for.
#[must_use]
pub fn secret(provider: Provider) -> String {
    format!("sk-owned-{}-7Tq2vXw9KfZr4LmPb8Yd", provider.name())
}

/// The same for the agent with this `index`, where agents have keys of their own.
#[must_use]
pub fn secret_of(provider: Provider, index: usize) -> String {
    format!("sk-owned-{}-{}-5Hn8cWd3QyJx6VtRg1Ms", provider.name(), index + 1)
}

impl World {
    /// Begins a world with the binaries beside `executable`.
    ///
    /// # Errors
    /// [`WorldError`] with the log of what did not come up.
    ///
    /// # Cancel safety
    /// A dropped start ends what was started.
    pub async fn begin(executable: &Path, plan: Plan) -> Result<Self, WorldError> {
        let binaries = Binaries::beside(executable)?;
        let dir = tempfile::Builder::new().prefix("weft-world-").tempdir()?;
        let provider = Simulated::bind(plan.provider.clone()).await?;
        let data = dir.path().join("hub");
        Hub::init(&binaries.hub(), &data)?;
        let log = dir.path().join("hub.log");
        let hub = Hub::serve(&binaries.hub(), &data, Doors::default(), &plan.hub, &log).await?;
        hub.price_everything()?;
        hub.add_user(USER, Some(OWNER))?;
        let key = hub.add_key(USER, &[])?;
        let caller = Caller::new(hub.users(), &hub.ca())?;
        let count = plan.agents;
        let mut world =
            Self { provider, hub, agents: Vec::new(), key, caller, binaries, plan, dir };
        for _ in 0..count {
            world.join_agent(OWNER)?;
        }
        world.hub.offers(world.agents.len() * Provider::ALL.len()).await?;
        Ok(world)
    }

    /// Lets another agent of `owner` join, with an account at each provider, and runs it. It is not
    /// waited for. Blocks.
    ///
    /// # Errors
    /// [`MeshError`] of the commands.
    pub fn join_agent(&mut self, owner: &str) -> Result<&mut Running, MeshError> {
        let name = format!("agent-{}", self.agents.len() + 1);
        let invite = self.hub.invite(owner)?;
        let program = self.binaries.agent_sim();
        let agent = Agent::join(&program, &self.dir.path().join(&name), &name, &invite)?;
        for provider in Provider::ALL {
            let mut more = vec!["--concurrency", CONCURRENCY];
            match provider {
                Provider::Azure => {
                    more.extend(["--site", "simulated"]);
                    more.extend(DEPLOYMENTS.iter().flat_map(|one| ["--deployment", one]));
                }
                Provider::OpenAi | Provider::Anthropic | Provider::DeepSeek => {}
            }
            more.extend(&self.plan.account);
            let key = match self.plan.apart {
                true => secret_of(provider, self.agents.len()),
                false => secret(provider),
            };
            agent.add_account(provider, provider.name(), &key, &more)?;
        }
        let process = self.run_agent(&agent, &name)?;
        let id = self.id_of(&name)?;
        self.agents.push(Running { agent, process, id });
        let last = self.agents.len() - 1;
        Ok(&mut self.agents[last])
    }

    /// Adds a user of the same house as the first, and a key. Blocks.
    ///
    /// # Errors
    /// [`MeshError`] of the commands.
    pub fn add_user(&self, name: &str) -> Result<NewKey, MeshError> {
        self.hub.add_user(name, Some(OWNER))?;
        self.hub.add_key(name, &[])
    }

    fn run_agent(&self, agent: &Agent, name: &str) -> Result<Process, MeshError> {
        let mut words: Vec<String> = Vec::new();
        for provider in Provider::ALL {
            words.push("--simulate".to_owned());
            words.push(format!("{}={}", provider.name(), self.provider.url()));
        }
        words.extend(self.plan.run.iter().map(|word| (*word).to_owned()));
        agent.run(&words, &[], &self.dir.path().join(format!("{name}.log")))
    }

    fn id_of(&self, name: &str) -> Result<String, MeshError> {
        let listed = self.hub.ask(&["agent", "list"])?;
        let agents = listed.as_array().into_iter().flatten();
        let mut named = agents.filter(|agent| agent["name"] == name);
        named
            .next()
            .and_then(|agent| agent["id"].as_str())
            .map(str::to_owned)
            .ok_or_else(|| MeshError::Answer { command: "agent list".to_owned() })
    }

    /// Starts the process of agent `index` again.
    ///
    /// # Errors
    /// [`MeshError`].
    pub fn restart_agent(&mut self, index: usize) -> Result<(), MeshError> {
        self.agents[index].process.kill();
        let name = format!("agent-{}", index + 1);
        let process = self.run_agent(&self.agents[index].agent, &name)?;
        self.agents[index].process = process;
        Ok(())
    }

    /// Starts the hub again, on the same doors, after it has ended or by killing it.
    ///
    /// # Errors
    /// [`MeshError`].
    ///
    /// # Cancel safety
    /// A dropped start leaves the world without a hub.
    pub async fn restart_hub(&mut self) -> Result<(), MeshError> {
        let doors = Doors {
            users: self.hub.users(),
            agents: self.hub.agents(),
            admin: self.hub.addresses().admin,
        };
        self.hub.process().kill();
        let (data, log) = (self.hub.data().to_owned(), self.hub_log());
        self.hub = Hub::serve(&self.binaries.hub(), &data, doors, &self.plan.hub, &log).await?;
        Ok(())
    }

    /// The hub's log.
    #[must_use]
    pub fn hub_log(&self) -> PathBuf {
        self.dir.path().join("hub.log")
    }

    /// The directory in which everything lives.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The binaries.
    #[must_use]
    pub const fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    /// Who connects to the users' door.
    #[must_use]
    pub const fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Opens a user's connection.
    ///
    /// # Errors
    /// [`CallError`].
    ///
    /// # Cancel safety
    /// A dropped call closes what was opened.
    pub async fn connect(&self, version: Version) -> Result<Connection, CallError> {
        self.caller.connect(version).await
    }

    /// Stops agents and hub gracefully, then the provider. Nothing runs afterwards, whatever is
    /// returned.
    ///
    /// # Errors
    /// [`MeshError`] of the first process that had to be forced, or ended in a failure, with its name
    /// and the end of its log.
    ///
    /// # Cancel safety
    /// Dropped before it was done, what still runs is killed.
    pub async fn end(mut self) -> Result<(), MeshError> {
        let mut ended = Ok(());
        for running in &mut self.agents {
            ended = ended.and(running.process.end(STOP_MAX).await);
        }
        ended = ended.and(self.hub.process().end(STOP_MAX).await);
        self.provider.shutdown().await;
        ended
    }
}
