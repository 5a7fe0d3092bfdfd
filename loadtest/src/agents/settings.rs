//! What a run is asked for, and what is refused before anything begins.

use clap::Args as ClapArgs;
use serde::Serialize;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use weft_proto::model::ModelPatterns;

/// Descriptors that a run needs beside its sockets: its files, the runtime, the invites' connections.
const SPARE_FILES: u64 = 64;
/// What one light agent may take of this process's memory, in KiB.
const OWN_KIB_PER_AGENT: u64 = 64;

/// What all modes share.
#[derive(Debug, Clone, ClapArgs, Serialize)]
pub(super) struct Common {
    /// Data directory of the hub on this machine: invites are written by its admin door
    #[arg(long, value_name = "DIR", required_unless_present = "invites")]
    pub(super) hub_data: Option<PathBuf>,
    /// Instead: a file of invites, one a line, as `weft-hub invite` prints them
    #[arg(long, value_name = "FILE", conflicts_with = "hub_data")]
    pub(super) invites: Option<PathBuf>,
    /// Whose agents they become: users of that owner's house are served by them
    #[arg(long, value_name = "NAME", default_value = "loadtest")]
    pub(super) owner: String,
    /// Keep identities in this directory, and use those that are there
    #[arg(long, value_name = "DIR")]
    pub(super) identities: Option<PathBuf>,
    /// How many agents
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(super) count: u32,
    /// Handshakes under way while they join and open their tunnels
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1_024))]
    pub(super) at_once: u32,
    /// UDP sockets that they share
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(super) sockets: u32,
    /// The models that each one's account serves, with answers of its own
    #[arg(long, value_name = "PATTERN", default_value = "light-*", value_parser = pattern)]
    pub(super) models: String,
    /// Exchanges that each account takes at a time
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1_024))]
    pub(super) concurrency: u32,
    /// Without the greeting of their ledgers
    #[arg(long)]
    pub(super) no_ledger: bool,
    /// What chance there is begins from here: back-offs, who flaps and when, what garbage is sent
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) seed: u64,
    /// The hub's process: its memory and CPU time are read
    #[arg(long, value_name = "PID")]
    pub(super) hub_pid: Option<u32>,
    /// Write this file once all agents are in service
    #[arg(long, value_name = "FILE")]
    pub(super) ready: Option<PathBuf>,
    /// Give up after so many seconds; by itself long enough for the mode and the number
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(super) within: Option<u64>,
    /// Write the figures to this file as JSON, or to standard output (-)
    #[arg(long, value_name = "FILE")]
    pub(super) json: Option<PathBuf>,
    /// The hub is mine though it is not on this machine
    #[arg(long)]
    pub(super) i_own_this_target: bool,
}

/// Why a run does not begin.
#[derive(Debug, thiserror::Error)]
pub(super) enum Impossible {
    #[error(
        "{needed} open files are needed and {allowed} are allowed: raise the limit (ulimit -n), or take fewer --sockets"
    )]
    Files { needed: u64, allowed: u64 },
    #[error(
        "{count} agents may take {needed} MiB here and {available} MiB are free: take a smaller --count"
    )]
    Memory { count: u32, needed: u64, available: u64 },
    #[error("{0} is not on this machine: agents are only let loose on it with --i-own-this-target")]
    Foreign(SocketAddr),
    #[error("process {0} cannot be looked at in /proc: is it the hub's, and yours?")]
    Process(u32),
}

impl Common {
    /// Refuses what this machine cannot do.
    pub(super) fn check(
        &self,
        open_files_max: u64,
        free_kib: Option<u64>,
    ) -> Result<(), Impossible> {
        let needed = u64::from(self.sockets) * 3 + SPARE_FILES;
        if needed > open_files_max {
            return Err(Impossible::Files { needed, allowed: open_files_max });
        }
        let needed = u64::from(self.count) * OWN_KIB_PER_AGENT / 1_024;
        match free_kib.map(|kib| kib / 1_024) {
            Some(available) if needed > available => {
                Err(Impossible::Memory { count: self.count, needed, available })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Refuses a hub elsewhere, unless it is said to be one's own.
    pub(super) fn check_target(&self, hub: SocketAddr) -> Result<(), Impossible> {
        match hub.ip().is_loopback() || self.i_own_this_target {
            true => Ok(()),
            false => Err(Impossible::Foreign(hub)),
        }
    }

    /// How long a run may take whose mode takes `mode`: joining and opening take a few milliseconds
    /// an agent, on a busy machine several times as many.
    pub(super) fn at_most(&self, mode: Duration) -> Duration {
        let own = Duration::from_secs(120) + Duration::from_millis(40) * self.count + mode * 2;
        self.within.map_or(own, Duration::from_secs)
    }
}

fn pattern(text: &str) -> Result<String, String> {
    let parsed: Result<ModelPatterns, _> = text.parse();
    parsed.map(|_| text.to_owned()).map_err(|error| error.to_string())
}
