//! Where things run: all on this machine's loopback, or at the two ends of a link.
//!
//! A contestant has two sides. Its server is where users are, its other half is where the provider
//! is. On loopback both are one host; apart, each is a namespace of its own and a link lies between
//! them, as between a hub and an agent in somebody's home.

use super::reaper::{OWNER, Reaper};
use crate::link::{Host, Network};
use crate::mesh::Process;
use anyhow::Context;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

/// Which side of a contestant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// Where users are, and the server that they ask.
    Server,
    /// Where the provider is, and what carries requests to it.
    Provider,
}

/// Where contestants run.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    network: Option<Arc<Network>>,
    reaper: Reaper,
}

impl Site {
    /// All on loopback.
    pub(crate) const fn here(reaper: Reaper) -> Self {
        Self { network: None, reaper }
    }

    /// The server at the far end of `network`, the provider at its first near end.
    pub(crate) const fn apart(network: Arc<Network>, reaper: Reaper) -> Self {
        Self { network: Some(network), reaper }
    }

    /// The address of the server's side, as the provider's side reaches it.
    pub(crate) fn server(&self) -> Ipv4Addr {
        self.network.as_ref().map_or(Ipv4Addr::LOCALHOST, |network| network.far().address())
    }

    /// Whether a link lies between the sides.
    pub(crate) const fn is_apart(&self) -> bool {
        self.network.is_some()
    }

    /// Who ends what a crash would leave.
    pub(crate) const fn reaper(&self) -> &Reaper {
        &self.reaper
    }

    fn host(&self, side: Side) -> Option<&Host> {
        let network = self.network.as_ref()?;
        match side {
            Side::Server => Some(network.far()),
            Side::Provider => network.near().first(),
        }
    }

    /// A TCP port that is free there. Taken and given back: whoever gets it is told to listen.
    ///
    /// # Errors
    /// Where there is none.
    pub(crate) fn port(&self, side: Side) -> anyhow::Result<u16> {
        let free = || -> std::io::Result<u16> {
            Ok(TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?.local_addr()?.port())
        };
        Ok(match self.host(side) {
            None => free()?,
            Some(host) => host.namespace().inside(free)??,
        })
    }

    /// Starts `command` there, in a group of its own.
    ///
    /// # Errors
    /// Where it does not start.
    pub(crate) fn start(
        &self,
        side: Side,
        name: &str,
        mut command: Command,
        log: &Path,
    ) -> anyhow::Result<Process> {
        command.env(OWNER, self.reaper.owner());
        let process = match self.host(side) {
            None => Process::start(name, command, log)?,
            Some(host) => {
                let (name, log) = (name.to_owned(), log.to_owned());
                host.namespace().inside(move || Process::start(&name, command, &log))??
            }
        };
        self.reaper.mind(process.id());
        Ok(process)
    }

    /// Runs `work` there, on a thread of its own with a runtime of its own: sockets that it opens
    /// and processes that it starts belong to that side.
    ///
    /// # Errors
    /// Those of `work`, and where the machine gives no thread.
    ///
    /// # Cancel safety
    /// Dropped, the work goes on to its end, and what it made is dropped.
    pub(crate) async fn on<T, F>(
        &self,
        side: Side,
        work: impl FnOnce() -> F + Send + 'static,
    ) -> anyhow::Result<T>
    where
        T: Send + 'static,
        F: Future<Output = anyhow::Result<T>>,
    {
        let play = move || -> anyhow::Result<T> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(work())
        };
        match self.host(side) {
            None => tokio::task::spawn_blocking(play).await?,
            Some(host) => {
                let thread = host.namespace().thread("side", play)?;
                let joined = tokio::task::spawn_blocking(move || thread.join()).await?;
                joined.map_err(|_| anyhow::anyhow!("a thread at one end panicked"))??
            }
        }
    }

    /// Waits until somebody listens on `port` of that side's loopback.
    ///
    /// # Errors
    /// The end of the log of `process` where it ends, or does not listen within `seconds`.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn listens(
        &self,
        side: Side,
        process: &mut Process,
        port: u16,
        seconds: u64,
    ) -> anyhow::Result<()> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let began = tokio::time::Instant::now();
        loop {
            process.check()?;
            let connected = self.on(side, move || async move {
                Ok(tokio::net::TcpStream::connect(address).await.is_ok())
            });
            if connected.await? {
                return Ok(());
            }
            anyhow::ensure!(
                began.elapsed().as_secs() < seconds,
                "{} does not listen after {seconds} s; the end of its log:\n{}",
                process.name(),
                process.tail()
            );
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    }

    /// The network, where there is one.
    pub(crate) fn network(&self) -> anyhow::Result<&Network> {
        self.network.as_deref().context("there is no link between the sides")
    }
}
