//! A hub as its operator runs it: `weft-hub` in a data directory of its own.

use super::process::{Process, answer, command};
use super::{Caller, MeshError, Version};
use http::{Method, Request, StatusCode};
use serde_json::Value;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use weft_hub::app::{Addresses, announced, reachable_here};

/// How long a hub may take until it wants work.
const READY_MAX: Duration = Duration::from_secs(30);
/// Prices for whatever is asked for.
const PRICES: &str = include_str!("prices.csv");
/// What users begin with, USD: more than a story spends unless it means to.
pub const CREDIT: &str = "1000.00";
/// One look at the hub's readiness.
const LOOK_MAX: Duration = Duration::from_secs(2);

/// Where the doors are asked to listen; port 0 takes a free one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Doors {
    /// The users' door, TCP.
    pub users: SocketAddr,
    /// The agents' door, UDP.
    pub agents: SocketAddr,
    /// The admin door, TCP.
    pub admin: SocketAddr,
}

impl Default for Doors {
    fn default() -> Self {
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self { users: free, agents: free, admin: free }
    }
}

/// A user's key as it was just made.
#[derive(Clone)]
pub struct NewKey {
    /// Its id.
    pub id: String,
    /// The secret, `wk-…`.
    pub secret: String,
}

impl std::fmt::Debug for NewKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A hub that runs. Killed when dropped.
#[derive(Debug)]
pub struct Hub {
    program: PathBuf,
    data: PathBuf,
    addresses: Addresses,
    process: Process,
}

impl Hub {
    /// `weft-hub init`: makes a hub in `data`. Blocks.
    ///
    /// # Errors
    /// [`MeshError`] of the command.
    pub fn init(program: &Path, data: &Path) -> Result<(), MeshError> {
        let mut init = command(program);
        init.arg("init").arg("--data").arg(data);
        answer(init, "").map(drop)
    }

    /// `weft-hub serve` on `data`, where a hub was made before; returns when it wants work.
    /// `environment` sets its `WEFT_…` variables.
    ///
    /// # Errors
    /// [`MeshError::Died`] with the end of the log where it does not come up.
    ///
    /// # Cancel safety
    /// A dropped start kills the hub.
    pub async fn serve(
        program: &Path,
        data: &Path,
        doors: Doors,
        environment: &[(&str, &str)],
        log: &Path,
    ) -> Result<Self, MeshError> {
        // A killed hub leaves the file behind: its addresses must not be taken for the new one's.
        let stale = data.join("hub.addresses.json");
        match std::fs::remove_file(&stale) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(MeshError::system(stale.display().to_string())(error));
            }
            Ok(()) | Err(_) => {}
        }
        let mut serve = command(program);
        serve.arg("serve").arg("--data").arg(data);
        for (flag, address) in
            [("--users", doors.users), ("--agents", doors.agents), ("--admin", doors.admin)]
        {
            serve.args([flag, &address.to_string()]);
        }
        serve.envs(environment.iter().copied());
        let mut process = Process::start("weft-hub", serve, log)?;
        let addresses = process.until("its doors", READY_MAX, async || Ok(announced(data))).await?;
        let mut hub =
            Self { program: program.to_owned(), data: data.to_owned(), addresses, process };
        let caller = Caller::new(hub.users(), &hub.ca())?;
        hub.process
            .until("readiness", READY_MAX, async || Ok(is_ready(&caller).await.then_some(())))
            .await?;
        Ok(hub)
    }

    /// Where users reach it, on this machine.
    #[must_use]
    pub fn users(&self) -> SocketAddr {
        self.addresses.users.first().map_or_else(
            || SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            |door| reachable_here(*door),
        )
    }

    /// Where agents reach it, on this machine.
    #[must_use]
    pub fn agents(&self) -> SocketAddr {
        self.addresses.agents.first().map_or_else(
            || SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            |door| reachable_here(*door),
        )
    }

    /// Where the doors are, as bound.
    #[must_use]
    pub const fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Its data directory.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The certificate that users trust.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.data.join(weft_hub::app::CERTS_DIR).join("ca.pem")
    }

    /// The process.
    pub const fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// The process alone, for somebody who watches over several.
    #[must_use]
    pub fn into_process(self) -> Process {
        self.process
    }

    /// One word of the operator's command line; the answer as JSON. Blocks.
    ///
    /// # Errors
    /// [`MeshError::Failed`] with what the command said.
    pub fn ask(&self, words: &[&str]) -> Result<Value, MeshError> {
        Self::ask_of(&self.program, &self.data, words)
    }

    /// The same of the hub in `data`, whoever looks after its process. Blocks.
    ///
    /// # Errors
    /// [`MeshError::Failed`] with what the command said.
    pub fn ask_of(program: &Path, data: &Path, words: &[&str]) -> Result<Value, MeshError> {
        let mut ask: Command = command(program);
        ask.args(words).arg("--json").arg("--data").arg(data);
        let text = answer(ask, "")?;
        serde_json::from_str(&text).map_err(|_| MeshError::Answer { command: words.join(" ") })
    }

    /// Puts the prices of test worlds in force: whatever is asked for has one. Blocks.
    ///
    /// # Errors
    /// [`MeshError`] of the commands.
    pub fn price_everything(&self) -> Result<(), MeshError> {
        let file = self.data.join("prices.csv");
        std::fs::write(&file, PRICES).map_err(MeshError::system("prices.csv"))?;
        let words = ["prices", "import", &file.display().to_string(), "--activate"];
        self.ask(&words).map(drop)
    }

    /// Gives `user` so many USD. Blocks.
    ///
    /// # Errors
    /// [`MeshError`] of the command.
    pub fn credit(&self, user: &str, usd: &str) -> Result<(), MeshError> {
        self.ask(&["credit", "add", user, usd]).map(drop)
    }

    /// Adds a user with credit, of `owner`'s house where one is given. Blocks.
    ///
    /// # Errors
    /// [`MeshError`] of the command.
    pub fn add_user(&self, name: &str, owner: Option<&str>) -> Result<(), MeshError> {
        let mut words = vec!["user", "add", name, "--credit", CREDIT];
        words.extend(owner.iter().flat_map(|owner| ["--owner", owner]));
        self.ask(&words).map(drop)
    }

    /// Adds a key for `user`, with `more` words of `weft-hub key add`. Blocks.
    ///
    /// # Errors
    /// [`MeshError`] of the command.
    pub fn add_key(&self, user: &str, more: &[&str]) -> Result<NewKey, MeshError> {
        let mut words = vec!["key", "add", "--user", user];
        words.extend(more);
        let added = self.ask(&words)?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        match (text(&added["key"]["id"]), text(&added["secret"])) {
            (Some(id), Some(secret)) => Ok(NewKey { id, secret }),
            (_, _) => Err(MeshError::Answer { command: words.join(" ") }),
        }
    }

    /// Writes an invite for an agent of `owner`: its line. Blocks.
    ///
    /// # Errors
    /// [`MeshError`] of the command.
    pub fn invite(&self, owner: &str) -> Result<String, MeshError> {
        self.invite_for(owner, &[])
    }

    /// The same, with `more` words of `weft-hub invite`. Blocks.
    ///
    /// # Errors
    /// [`MeshError`] of the command.
    pub fn invite_for(&self, owner: &str, more: &[&str]) -> Result<String, MeshError> {
        let mut words = vec!["invite", "--owner", owner];
        words.extend(more);
        let added = self.ask(&words)?;
        added["line"]
            .as_str()
            .map(str::to_owned)
            .ok_or_else(|| MeshError::Answer { command: words.join(" ") })
    }

    /// Waits until `count` accounts are offered by connected agents.
    ///
    /// # Errors
    /// [`MeshError::Late`] where they do not come.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn offers(&mut self, count: usize) -> Result<(), MeshError> {
        let (program, data) = (self.program.clone(), self.data.clone());
        self.process
            .until(&format!("{count} accounts"), READY_MAX, async || {
                let mut ask = command(&program);
                ask.args(["account", "list", "--json", "--data"]).arg(&data);
                let listed: Vec<Value> = serde_json::from_str(&answer(ask, "")?)
                    .map_err(|_| MeshError::Answer { command: "account list".to_owned() })?;
                Ok((listed.len() == count).then_some(()))
            })
            .await
    }
}

/// Whether the hub says that it wants work.
pub(crate) async fn is_ready(caller: &Caller) -> bool {
    let look = async {
        let mut connection = caller.connect(Version::H1).await.ok()?;
        let request = Request::builder()
            .method(Method::GET)
            .uri("/health/readiness")
            .body(super::caller::empty())
            .ok()?;
        Some(connection.send(request).await.ok()?.status())
    };
    matches!(tokio::time::timeout(LOOK_MAX, look).await, Ok(Some(status)) if status == StatusCode::OK)
}
