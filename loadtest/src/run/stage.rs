//! What all scenarios of a run share, and who is lined up for one of them.

use super::contestant::{Contestant, Member, Name};
use super::figure::Played;
use super::level::Level;
use super::peers::Peers;
use super::progress::Progress;
use super::reaper::Reaper;
use super::site::{Side, Site};
use crate::link::{Access, Network, Place, Plan};
use crate::mesh::Binaries;
use crate::mesh::process::command;
use anyhow::Context;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Seconds that the simulated provider may take to listen.
const PROVIDER_SECONDS: u64 = 10;

/// What all scenarios of a run share.
#[derive(Debug)]
pub(crate) struct Stage {
    /// How thorough.
    pub(crate) level: Level,
    /// Of all chance.
    pub(crate) seed: u64,
    /// Rounds, in place of a scenario's own.
    pub(crate) rounds: Option<usize>,
    /// Who takes part; everybody where it is empty.
    pub(crate) only: Vec<Name>,
    /// For files and logs of the run.
    pub(crate) dir: PathBuf,
    /// This program.
    pub(crate) program: PathBuf,
    /// The product's programs.
    pub(crate) binaries: Binaries,
    /// Where peers are.
    pub(crate) peers: Peers,
    /// Who ends what a crash would leave.
    pub(crate) reaper: Reaper,
    /// Tells whoever waits.
    pub(crate) progress: Progress,
}

impl Stage {
    /// How many rounds, where a scenario would have `own`.
    pub(crate) fn rounds(&self, own: usize) -> usize {
        self.rounds.unwrap_or(own)
    }

    /// Those of `names` that take part.
    pub(crate) fn chosen(&self, names: &[Name]) -> Vec<Name> {
        let wanted = |name: &Name| self.only.is_empty() || self.only.contains(name);
        names.iter().copied().filter(wanted).collect()
    }

    /// A new directory for `what`.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub(crate) fn folder(&self, what: &str) -> anyhow::Result<PathBuf> {
        let folder = self.dir.join(what);
        std::fs::create_dir_all(&folder).with_context(|| format!("{}", folder.display()))?;
        Ok(folder)
    }

    /// Everything on loopback.
    pub(crate) fn here(&self) -> Site {
        Site::here(self.reaper.clone())
    }

    /// Two hosts with the link of `place` between them.
    ///
    /// # Errors
    /// What the machine forbids.
    pub(crate) fn apart(&self, place: Place) -> anyhow::Result<Site> {
        let (up, down) = place.drafts();
        let near = vec![Access::new(up, down)?];
        let network = Network::lay(Plan { near, seed: self.seed })?;
        Ok(Site::apart(Arc::new(network), self.reaper.clone()))
    }

    /// Starts a simulated provider at the provider's side, with further `words`.
    ///
    /// # Errors
    /// The end of its log where it does not come up.
    ///
    /// # Cancel safety
    /// A dropped start ends it.
    pub(crate) async fn provider(
        &self,
        site: &Site,
        folder: &Path,
        words: &[&str],
    ) -> anyhow::Result<(Member, SocketAddr)> {
        let port = site.port(Side::Provider)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut run = command(&self.program);
        run.args(["provider", "--listen", &address.to_string()])
            .args(words)
            .env("WEFT_LOG", "warn");
        let log = folder.join("provider.log");
        let mut process = site.start(Side::Provider, "provider", run, &log)?;
        let listens = site.listens(Side::Provider, &mut process, port, PROVIDER_SECONDS).await;
        let member = Member { role: "provider", process };
        listens?;
        Ok((member, address))
    }
}

/// Who is lined up, and runs.
#[derive(Debug)]
pub(crate) struct Lineup {
    /// Where.
    pub(crate) site: Site,
    /// In the order in which they take turns.
    pub(crate) contestants: Vec<Contestant>,
    /// Those before need it.
    _provider: Member,
    /// Where it listens, on its side.
    pub(crate) address: SocketAddr,
}

impl Lineup {
    /// Brings up the provider and those of `names` that take part. One that cannot is noted as
    /// missing, with the reason; of Weft that is a fault.
    ///
    /// # Errors
    /// Where the provider does not come up, or nobody does.
    ///
    /// # Cancel safety
    /// Dropped, it ends what was started.
    pub(crate) async fn gather(
        stage: &Stage,
        site: Site,
        names: &[Name],
        provider: &[&str],
        played: &mut Played,
    ) -> anyhow::Result<Self> {
        let folder = stage.folder(&format!("{}-{}", played.name, played.settings.len()))?;
        let (provider, address) = stage.provider(&site, &folder, provider).await?;
        let mut contestants = Vec::new();
        for name in stage.chosen(names) {
            stage.progress.say(&format!("{}: bringing up {}", played.name, name.word()));
            let dir = folder.join(format!("{}-{}", name.word(), contestants.len()));
            std::fs::create_dir_all(&dir)?;
            match name.bring_up(stage, &site, address, &dir).await {
                Ok(contestant) => contestants.push(contestant),
                Err(error) => {
                    played.miss(name.word(), format!("{error:#}"));
                    if name == Name::Weft {
                        played.faults.push(format!("Weft did not come up: {error:#}"));
                    }
                }
            }
        }
        anyhow::ensure!(!contestants.is_empty(), "nobody is there to be measured");
        Ok(Self { site, contestants, _provider: provider, address })
    }

    /// Takes out those who have ended or cannot go on, with the reason.
    pub(crate) fn retire(&mut self, name: Name, why: &str, played: &mut Played) {
        self.contestants.retain(|contestant| contestant.name != name);
        played.miss(name.word(), format!("taken out: {why}"));
        if name == Name::Weft {
            played.faults.push(format!("Weft was taken out: {why}"));
        }
    }
}
