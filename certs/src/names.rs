//! Names in certificates: of hubs, of agents, of the users' door.
//!
//! A name is parsed once and then trusted; one that means two things is refused.

use rcgen::{GeneralSubtree, SanType};
use rustls_pki_types::{DnsName, ServerName};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use weft_proto::ids::{AgentId, HubId};

/// The most names that a users' door has, `localhost` and the loopback addresses included.
pub const MAX_NAMES: usize = 32;

/// The domain of hub ids; it exists in no DNS.
const NODE_DOMAIN: &str = "hub.weft";

/// What an agent's URI begins with.
const AGENT_URI_HEAD: &str = "weft:agent:";

/// The name under which a node of `hub` is dialled and which its certificate must carry.
///
/// It is never resolved: addresses come from the invite.
#[must_use]
#[expect(clippy::expect_used, reason = "a UUID is a DNS label")]
pub fn server_name(hub: HubId) -> ServerName<'static> {
    ServerName::try_from(node_dns_name(hub)).expect("a UUID under a fixed domain is a DNS name")
}

pub(crate) fn node_dns_name(hub: HubId) -> String {
    format!("{hub}.{NODE_DOMAIN}")
}

pub(crate) fn agent_uri(agent: AgentId) -> String {
    format!("{AGENT_URI_HEAD}{agent}")
}

/// Reads the URI of an agent; only the form that [`agent_uri`] writes is taken.
pub(crate) fn parse_agent_uri(uri: &str) -> Option<AgentId> {
    let agent: AgentId = uri.strip_prefix(AGENT_URI_HEAD)?.parse().ok()?;
    (agent_uri(agent) == uri).then_some(agent)
}

/// A text that is neither a host name nor an IP address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is neither a host name nor an IP address")]
pub struct InvalidHostName {
    /// The text.
    pub name: String,
}

/// A host name (lower case, no wildcard) or an IP address of the users' door.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum HostName {
    /// A DNS name.
    Dns(String),
    /// An IPv4 or IPv6 address.
    Ip(IpAddr),
}

impl HostName {
    /// The names that every users' door has.
    pub(crate) fn local() -> [Self; 3] {
        [
            Self::Dns("localhost".to_owned()),
            Self::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            Self::Ip(IpAddr::V6(Ipv6Addr::LOCALHOST)),
        ]
    }

    pub(crate) fn subject_alt_name(&self) -> Result<SanType, rcgen::Error> {
        match self {
            Self::Dns(name) => Ok(SanType::DnsName(name.as_str().try_into()?)),
            Self::Ip(address) => Ok(SanType::IpAddress(*address)),
        }
    }

    /// The constraint that permits this name. None stands for an address: some clients (those on
    /// BoringSSL) refuse an authority that is constrained in addresses at all.
    pub(crate) fn subtree(&self) -> Option<GeneralSubtree> {
        match self {
            Self::Dns(name) => Some(GeneralSubtree::DnsName(name.clone())),
            Self::Ip(_) => None,
        }
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => f.write_str(name),
            Self::Ip(address) => address.fmt(f),
        }
    }
}

impl FromStr for HostName {
    type Err = InvalidHostName;

    fn from_str(text: &str) -> Result<Self, InvalidHostName> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Ip(address));
        }
        let name = text.to_ascii_lowercase();
        // What ends in digits is a mistyped address, not a name.
        let numeric_end =
            name.rsplit('.').next().is_none_or(|label| label.bytes().all(|b| b.is_ascii_digit()));
        if numeric_end || name.ends_with('.') || DnsName::try_from(name.as_str()).is_err() {
            return Err(InvalidHostName { name: text.to_owned() });
        }
        Ok(Self::Dns(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_proto::entropy::SeededEntropy;
    use weft_proto::time::SystemClock;

    #[test]
    fn host_names_are_names_or_addresses_and_nothing_else() {
        assert_eq!("Hub.Example".parse(), Ok(HostName::Dns("hub.example".into())));
        assert_eq!("::1".parse(), Ok(HostName::Ip(Ipv6Addr::LOCALHOST.into())));
        for bad in ["", "*.example", "a b", "10.0.0.300", "host:8443", "example.", "https://h"] {
            assert!(bad.parse::<HostName>().is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn only_the_canonical_agent_uri_is_read() {
        let agent = AgentId::generate(&SystemClock, &SeededEntropy::new(1));
        let uri = agent_uri(agent);
        assert_eq!(parse_agent_uri(&uri), Some(agent));
        assert_eq!(parse_agent_uri(&uri.to_uppercase()), None);
        assert_eq!(parse_agent_uri(&uri.replace('-', "")), None);
        assert_eq!(parse_agent_uri(&format!("{uri} ")), None);
    }
}
