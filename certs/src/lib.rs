//! Certificates and trust of a Weft mesh: the hub's own authority, joining, pins, TLS.
//!
//! * [`Authority`] lives under one folder of a hub. It issues agents' certificates and gives the
//!   doors their TLS configurations.
//! * [`Invite`] is the line that an owner pastes into an agent: where the hub is, its [`Pins`],
//!   and a one-time [`Token`].
//! * [`AgentKey`] is made on the agent and never leaves it; with the certificate that the hub
//!   returns it is an [`AgentIdentity`], with which [`tunnel_tls`] dials.
//!
//! Three authorities with one purpose each (nodes, agents, the users' door) see to it that none
//! of the three can pose as another. A hub is known by the public key of the authority that
//! issues its nodes' certificates, never by a public one.
//!
//! Nothing here opens a socket, spawns a task or waits, and nothing prints a private key or a
//! token, except [`Invite`]'s `Display`, which exists to be handed over.

mod ca;
mod disk;
mod enroll;
mod inspect;
mod invite;
mod key;
mod leaf;
mod names;
mod pin;
mod tls;
mod token;
mod trust;

pub use ca::{Audit, Audited, Authority, AuthorityError, Renewed, SignError};
pub use disk::{FileError, MAX_CHAIN_FILE_CERTS, MAX_FILE_LEN};
pub use enroll::{
    AgentChain, AgentIdentity, CsrError, IdentityError, MAX_AGENT_CERT_LEN, MAX_AGENT_CHAIN_CERTS,
    MAX_CSR_LEN, PeerAgent, ProvenKey, agent_of,
};
pub use inspect::{CertSummary, summaries};
pub use invite::{
    Expired, HubAddress, InvalidHubAddress, Invite, InviteError, MAX_HUB_ADDRESS_LEN,
    MAX_INVITE_ADDRESSES, MAX_INVITE_LEN,
};
pub use key::AgentKey;
pub use leaf::{AGENT_LIFETIME, BACKDATE, CA_LIFETIME, HUB_LEAF_LIFETIME};
pub use names::{HostName, InvalidHostName, MAX_NAMES, server_name};
pub use pin::{InvalidPin, Pins, SpkiHash};
pub use tls::{
    ALPN_JOIN, ALPN_TUNNEL, ALPN_USERS, DoorError, join_tls, tunnel_tls, users_door_from_pem,
};
pub use token::{Token, TokenHash};
pub use trust::{AgentTrust, MAX_PEER_INTERMEDIATES, Verdict};
