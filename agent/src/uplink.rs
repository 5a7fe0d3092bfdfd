//! The way to the hub: one identity, one tunnel, dialled for ever.
//!
//! ```text
//!  join  ─▶ identity/   key, chain, hub record (address, pins)
//!  run   ─▶ dial ─▶ session ─▶ lost or drained ─▶ back-off with full jitter ─▶ dial …
//! ```
//! The agent opens connections and never listens. What comes over a tunnel is a request to judge,
//! never an order: see [`crate::exchange`].

mod dial;
mod identity;
mod join;
mod net;
mod probe;
mod session;
mod tunnel;

pub use dial::UplinkError;
pub use identity::{HubRecord, IdentityFiles, IdentityFilesError};
pub use join::{JoinError, Joined, join};
pub use net::{HubNet, ResolveFuture, SystemNet};
pub use probe::{MTU_CEILING, MTU_FLOOR, Seen, probe, show};
pub use tunnel::ConnectError;

pub(crate) use dial::Uplink;
pub(crate) use session::SessionParts;
