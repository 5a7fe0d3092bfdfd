//! Where the doors are: as bound, as this machine reaches them, as agents dial them.

use crate::config::HubConfig;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use weft_certs::{HubAddress, MAX_INVITE_ADDRESSES};

/// Where the doors of a hub are, as bound: a port that was asked for as 0 has its number here.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Addresses {
    /// The users' door.
    pub users: Vec<SocketAddr>,
    /// The users' door over UDP, for HTTP/3.
    #[serde(default)]
    pub users_h3: Vec<SocketAddr>,
    /// The agents' door.
    pub agents: Vec<SocketAddr>,
    /// The admin door.
    pub admin: SocketAddr,
}

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let doors = [("users", &self.users), ("h3", &self.users_h3), ("agents", &self.agents)];
        for (door, addresses) in doors {
            for address in addresses {
                writeln!(f, "{door:<7} {address}")?;
            }
        }
        write!(f, "{:<7} {}", "admin", self.admin)
    }
}

/// What agents dial: what the settings say, or else what was bound, seen from this machine.
pub(super) fn dialled(config: &HubConfig, bound: &[SocketAddr]) -> Vec<HubAddress> {
    if !config.agents.public.is_empty() {
        return config.agents.public.clone();
    }
    let local = bound.iter().map(|address| reachable_here(*address).to_string().parse().ok());
    local.flatten().take(MAX_INVITE_ADDRESSES).collect()
}

/// An address of a door as this machine reaches it: loopback, where it listens on every address.
#[must_use]
pub fn reachable_here(mut bound: SocketAddr) -> SocketAddr {
    if bound.ip().is_unspecified() {
        bound.set_ip(match bound.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    bound
}
