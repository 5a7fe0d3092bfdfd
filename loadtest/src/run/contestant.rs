//! Who takes part: each a way from users to the provider, brought up as real processes.
//!
//! Floors show what the machine itself takes, tunnels and gateways are what others use. Each is set
//! up as its own documents say for the least work per request, and says how in its file.

pub(crate) mod bore;
pub(crate) mod direct;
pub(crate) mod litellm;
pub(crate) mod nginx;
pub(crate) mod openssh;
pub(crate) mod portkey;
pub(crate) mod rathole;
pub(crate) mod rusnel;
pub(crate) mod tensorzero;
pub(crate) mod weft;

use super::kernel::Census;
use super::reaper;
use super::site::{Side, Site};
use super::stage::Stage;
use crate::mesh::Process;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a contestant is given to end by itself.
const GRACE: Duration = Duration::from_secs(2);

/// Everybody who may take part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Name {
    /// The provider itself, without anything between
    Direct,
    /// nginx: TLS ended, plain HTTP to the provider
    #[value(name = "nginx1")]
    OneHop,
    /// nginx twice: TLS ended, TLS to a second nginx, plain HTTP to the provider
    #[value(name = "nginx2")]
    TwoHops,
    /// Weft, hub and agent
    Weft,
    /// rathole, a TCP tunnel
    Rathole,
    /// rusnel, a tunnel over QUIC
    Rusnel,
    /// bore, a TCP tunnel
    Bore,
    /// OpenSSH with -R
    Openssh,
    /// LiteLLM's proxy
    Litellm,
    /// Portkey's gateway
    Portkey,
    /// TensorZero's gateway
    Tensorzero,
}

impl Name {
    /// Everybody, floors first.
    pub(crate) const ALL: [Self; 11] = [
        Self::Direct,
        Self::OneHop,
        Self::TwoHops,
        Self::Weft,
        Self::Rathole,
        Self::Rusnel,
        Self::Bore,
        Self::Openssh,
        Self::Litellm,
        Self::Portkey,
        Self::Tensorzero,
    ];
    /// The gateways.
    pub(crate) const GATEWAYS: [Self; 3] = [Self::Litellm, Self::Portkey, Self::Tensorzero];

    /// As it is written in tables and on the command line.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::OneHop => "nginx1",
            Self::TwoHops => "nginx2",
            Self::Weft => "weft",
            Self::Rathole => "rathole",
            Self::Rusnel => "rusnel",
            Self::Bore => "bore",
            Self::Openssh => "openssh",
            Self::Litellm => "litellm",
            Self::Portkey => "portkey",
            Self::Tensorzero => "tensorzero",
        }
    }

    /// Brings it up.
    ///
    /// # Errors
    /// Why it cannot take part, in words for the report.
    pub(crate) async fn bring_up(
        self,
        stage: &Stage,
        site: &Site,
        provider: SocketAddr,
        dir: &Path,
    ) -> anyhow::Result<Contestant> {
        let ground = Ground { stage, site, provider, dir };
        match self {
            Self::Direct => Ok(direct::bring_up(&ground)),
            Self::OneHop => nginx::bring_up(&ground, 1).await,
            Self::TwoHops => nginx::bring_up(&ground, 2).await,
            Self::Weft => weft::bring_up(&ground).await,
            Self::Rathole => rathole::bring_up(&ground).await,
            Self::Rusnel => rusnel::bring_up(&ground).await,
            Self::Bore => bore::bring_up(&ground).await,
            Self::Openssh => openssh::bring_up(&ground).await,
            Self::Litellm => litellm::bring_up(&ground).await,
            Self::Portkey => portkey::bring_up(&ground).await,
            Self::Tensorzero => tensorzero::bring_up(&ground).await,
        }
    }
}

/// What a contestant stands on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ground<'a> {
    /// Of the whole run.
    pub(crate) stage: &'a Stage,
    /// Where it runs.
    pub(crate) site: &'a Site,
    /// Where the provider listens, on its side.
    pub(crate) provider: SocketAddr,
    /// For its files and logs.
    pub(crate) dir: &'a Path,
}

impl Ground<'_> {
    /// A file of it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Starts `command` at `side` and waits until it listens on `port` of its loopback.
    ///
    /// # Errors
    /// The end of its log.
    pub(crate) async fn server(
        &self,
        side: Side,
        role: &'static str,
        command: std::process::Command,
        port: u16,
        seconds: u64,
    ) -> anyhow::Result<Member> {
        let log = self.file(&format!("{role}.log"));
        let mut process = self.site.start(side, role, command, &log)?;
        let listens = self.site.listens(side, &mut process, port, seconds).await;
        let member = Member { role, process };
        listens?;
        Ok(member)
    }

    /// Starts `command` at `side` without waiting for anything.
    ///
    /// # Errors
    /// Where it does not start.
    pub(crate) fn client(
        &self,
        side: Side,
        role: &'static str,
        command: std::process::Command,
    ) -> anyhow::Result<Member> {
        let log = self.file(&format!("{role}.log"));
        Ok(Member { role, process: self.site.start(side, role, command, &log)? })
    }
}

/// How users reach it.
#[derive(Clone)]
pub(crate) struct Door {
    /// The base URL, without `/v1`.
    pub(crate) url: String,
    /// The certificate that vouches for it.
    pub(crate) ca: Option<PathBuf>,
    /// What users present.
    pub(crate) key: String,
    /// The model that is asked for.
    pub(crate) model: &'static str,
    /// How the simulated provider is told what is wanted, in the words of `users --sim`: by a
    /// header where that is passed on, else not at all, and the provider's own settings hold.
    pub(crate) sim: &'static str,
    /// Header lines that it wants, beside those that every user sends.
    pub(crate) headers: Vec<(&'static str, String)>,
}

/// The model that the simulated provider is asked for.
pub(crate) const MODEL: &str = "gpt-4o";
/// What users present where nobody looks at it.
pub(crate) const ANY_KEY: &str = "simulated";

impl Door {
    /// Plain HTTP on a port of loopback, where nothing is asked for.
    pub(crate) fn plain(port: u16) -> Self {
        Self {
            url: format!("http://127.0.0.1:{port}"),
            ca: None,
            key: ANY_KEY.to_owned(),
            model: MODEL,
            sim: "header",
            headers: Vec::new(),
        }
    }
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door").field("url", &self.url).field("ca", &self.ca).finish_non_exhaustive()
    }
}

/// One process of a contestant. With all its descendants it ends when the value goes.
#[derive(Debug)]
pub(crate) struct Member {
    /// What it does there.
    pub(crate) role: &'static str,
    /// The process.
    pub(crate) process: Process,
}

impl Drop for Member {
    fn drop(&mut self) {
        // A server has workers, which outlive a master that is killed; so it is asked first.
        reaper::end(&Census::take().family(self.process.id()), GRACE);
    }
}

/// Somebody who takes part, and runs.
#[derive(Debug)]
pub(crate) struct Contestant {
    /// Who.
    pub(crate) name: Name,
    /// How users reach it.
    pub(crate) door: Door,
    /// Its processes, those that need others first.
    pub(crate) members: Vec<Member>,
}

impl Contestant {
    /// The ids of its processes.
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.members.iter().map(|member| member.process.id()).collect()
    }

    /// The id of the process with this role.
    pub(crate) fn pid(&self, role: &str) -> Option<u32> {
        self.members.iter().find(|member| member.role == role).map(|member| member.process.id())
    }

    /// Fails where a process has ended.
    ///
    /// # Errors
    /// The end of its log.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        for member in &mut self.members {
            member.process.check()?;
        }
        Ok(())
    }
}
