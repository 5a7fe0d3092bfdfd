//! Weft itself: a hub, and an agent with an account at the provider. Money is on: whatever is asked
//! for has a price, the user has credit, and every exchange is held, settled and receipted.

use super::super::reaper::OWNER;
use super::super::site::Side;
use super::{Contestant, Door, Ground, MODEL, Member, Name};
use crate::mesh::process::{answer, command};
use crate::mesh::{Agent, Doors, Hub, MeshError};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use weft_proto::provider::Provider;

/// Who owns the agent, and whose house the user belongs to.
const OWNER_NAME: &str = "loadtest";
/// Exchanges that the account takes at a time: more than any scenario has.
const CONCURRENCY: &str = "4096";
/// What the user has beside what every user begins with, USD: more than any scenario spends.
const CREDIT: &str = "1000000.00";
/// The agents' door in a network of its own: invites name the port that is usual.
const AGENTS_PORT: u16 = 7443;
/// A hub that says little.
const QUIET: (&str, &str) = ("WEFT_LOG__LEVEL", "warn");

/// What only Weft has: what a scenario needs to restart or to ask it.
#[derive(Debug, Clone)]
pub(crate) struct Mesh {
    /// The program of the hub.
    pub(crate) program: PathBuf,
    /// The data directory of the hub.
    pub(crate) data: PathBuf,
    /// Its doors, as bound.
    pub(crate) doors: Doors,
    /// Where it logs.
    pub(crate) log: PathBuf,
}

impl Mesh {
    /// Starts the hub again on the same doors, after it was killed.
    ///
    /// # Errors
    /// The end of its log where it does not come up.
    ///
    /// # Cancel safety
    /// A dropped start kills the hub.
    pub(crate) async fn serve(&self, owner: &str) -> Result<Member, MeshError> {
        let settings = [QUIET, (OWNER, owner)];
        let hub = Hub::serve(&self.program, &self.data, self.doors, &settings, &self.log).await?;
        Ok(Member { role: "hub", process: hub.into_process() })
    }
}

/// A hub without agents, priced, with a rich user.
pub(crate) struct Alone {
    /// The hub.
    pub(crate) hub: Hub,
    /// A user's key.
    pub(crate) key: String,
    /// What is needed to start it again.
    pub(crate) mesh: Mesh,
}

/// The users' door of a hub, with a user's key.
pub(crate) fn door(hub: &Hub, key: String) -> Door {
    Door {
        url: format!("https://localhost:{}", hub.users().port()),
        ca: Some(hub.ca()),
        key,
        model: MODEL,
        sim: "header",
        headers: Vec::new(),
    }
}

/// Starts a hub on the users' side.
///
/// # Errors
/// The end of its log where it does not come up.
pub(crate) async fn alone(ground: &Ground<'_>) -> anyhow::Result<Alone> {
    let (program, data, log) =
        (ground.stage.binaries.hub(), ground.file("hub"), ground.file("hub.log"));
    let mut init = command(&program);
    init.arg("init").arg("--data").arg(&data);
    let mut doors = Doors::default();
    if ground.site.is_apart() {
        init.args(["--host", &ground.site.server().to_string()]);
        doors.agents = SocketAddr::from((Ipv4Addr::UNSPECIFIED, AGENTS_PORT));
    }
    answer(init, "")?;
    let owner = ground.site.reaper().owner().to_owned();
    let made = ground.site.on(Side::Server, move || async move {
        let settings = [QUIET, (OWNER, owner.as_str())];
        let hub = Hub::serve(&program, &data, doors, &settings, &log).await?;
        hub.price_everything()?;
        hub.add_user(OWNER_NAME, Some(OWNER_NAME))?;
        hub.credit(OWNER_NAME, CREDIT)?;
        let key = hub.add_key(OWNER_NAME, &[])?.secret;
        let bound = hub.addresses();
        let first = |doors: &[SocketAddr], other| doors.first().copied().unwrap_or(other);
        let doors = Doors {
            users: first(&bound.users, doors.users),
            agents: first(&bound.agents, doors.agents),
            admin: bound.admin,
        };
        let mesh = Mesh { program, data, doors, log };
        Ok(Alone { hub, key, mesh })
    });
    let mut made: Alone = made.await?;
    ground.site.reaper().mind(made.hub.process().id());
    Ok(made)
}

/// Hub on the users' side, agent beside the provider.
///
/// # Errors
/// Where one of both does not come up.
pub(crate) async fn bring_up(ground: &Ground<'_>) -> anyhow::Result<Contestant> {
    let Alone { hub, key, .. } = alone(ground).await?;
    let (hub, invite) = ground
        .site
        .on(Side::Server, move || async move {
            let invite = hub.invite(OWNER_NAME)?;
            Ok((hub, invite))
        })
        .await?;
    let (program, home) = (ground.stage.binaries.agent_sim(), ground.file("agent"));
    let (log, provider) = (ground.file("agent.log"), ground.provider);
    let owner = ground.site.reaper().owner().to_owned();
    let agent = ground
        .site
        .on(Side::Provider, move || async move {
            let agent = Agent::join(&program, &home, "loadtest", &invite)?;
            let words = ["--concurrency", CONCURRENCY];
            agent.add_account(Provider::OpenAi, "loadtest", "sk-simulated", &words)?;
            let simulated = format!("openai=http://{provider}");
            let words = ["--log", "warn", "--simulate", &simulated].map(str::to_owned);
            Ok(agent.run(&words, &[(OWNER, &owner)], &log)?)
        })
        .await?;
    ground.site.reaper().mind(agent.id());
    let agent = Member { role: "agent", process: agent };
    let hub = ground
        .site
        .on(Side::Server, move || async move {
            let mut hub = hub;
            hub.offers(1).await?;
            Ok(hub)
        })
        .await?;
    let door = door(&hub, key);
    let hub = Member { role: "hub", process: hub.into_process() };
    Ok(Contestant { name: Name::Weft, door, members: vec![agent, hub] })
}
