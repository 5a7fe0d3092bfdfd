//! The three doors: where they listen, and under which names.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU16;
use std::path::PathBuf;
use weft_certs::{HostName, HubAddress, InvalidHubAddress};

/// TCP port of the users' door, and its UDP port for HTTP/3.
const USERS_PORT_DEFAULT: u16 = 8443;
/// UDP port of the agents' door.
const AGENTS_PORT_DEFAULT: u16 = 7443;
/// TCP port of the admin door.
const ADMIN_PORT_DEFAULT: u16 = 9443;

/// The users' door: HTTPS for SDKs. The names in its certificate are given to `init`: the authority
/// keeps them.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UsersDoor {
    /// Where it listens.
    pub addresses: Vec<SocketAddr>,
    /// The operator's own certificate instead of one by the hub's authority.
    pub certificate: Option<OwnCertificate>,
    /// Speaks HTTP/3 too, on the UDP ports of the same numbers.
    pub h3: bool,
    /// The port under which users reach HTTP/3, where it is another than the door's own: answers
    /// over TCP name it.
    pub h3_port: Option<NonZeroU16>,
}

impl Default for UsersDoor {
    fn default() -> Self {
        Self {
            addresses: vec![SocketAddr::from((Ipv4Addr::UNSPECIFIED, USERS_PORT_DEFAULT))],
            certificate: None,
            h3: true,
            h3_port: None,
        }
    }
}

/// A certificate that the hub did not make. Relative paths start at the data directory.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnCertificate {
    /// PEM file with the chain, leaf first.
    pub chain: PathBuf,
    /// PEM file with the private key.
    pub key: PathBuf,
}

/// The agents' door: QUIC for agents.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AgentsDoor {
    /// Where it listens.
    pub addresses: Vec<SocketAddr>,
    /// What agents dial, as written into invites: `host:port`, reachable from where they are. Where
    /// nothing is said, invites carry the addresses that were bound, for agents of this machine.
    #[serde(deserialize_with = "addresses", serialize_with = "as_texts")]
    pub public: Vec<HubAddress>,
}

impl Default for AgentsDoor {
    fn default() -> Self {
        Self {
            addresses: vec![SocketAddr::from((Ipv4Addr::UNSPECIFIED, AGENTS_PORT_DEFAULT))],
            public: Vec::new(),
        }
    }
}

/// The admin door: HTTPS for operators of this machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdminDoor {
    /// Where it listens.
    pub address: SocketAddr,
    /// Permits an `address` that other machines can reach.
    pub allow_remote: bool,
}

impl Default for AdminDoor {
    fn default() -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ADMIN_PORT_DEFAULT));
        Self { address, allow_remote: false }
    }
}

/// The address of the agents' door on `host`, at its default port.
///
/// # Errors
/// [`InvalidHubAddress`] where the name is too long for an address.
pub fn agents_door_of(host: &HostName) -> Result<HubAddress, InvalidHubAddress> {
    match host {
        HostName::Dns(name) => format!("{name}:{AGENTS_PORT_DEFAULT}"),
        HostName::Ip(ip) => SocketAddr::new(*ip, AGENTS_PORT_DEFAULT).to_string(),
    }
    .parse()
}

fn addresses<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<HubAddress>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts.iter().map(|text| text.parse().map_err(D::Error::custom)).collect()
}

fn as_texts<S: Serializer>(addresses: &[HubAddress], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(addresses.iter().map(ToString::to_string))
}
