//! What the admin door needs to know of tunnels, and may do to them.

use crate::tunnel::{self, TunnelInfo};
use std::fmt;
use weft_proto::ids::AgentId;

/// The handle by which the admin door reaches the tunnels of this node.
pub trait Tunnels: fmt::Debug + Send + Sync {
    /// Closes all tunnels of `agent` as revoked, at once, and returns how many there were. The
    /// caller has told the store and the handshake's table before: none can come back.
    fn revoke(&self, agent: AgentId) -> usize;

    /// The tunnels in force now, in a steady order.
    fn list(&self) -> Vec<TunnelInfo>;
}

impl Tunnels for tunnel::Tunnels {
    fn revoke(&self, agent: AgentId) -> usize {
        Self::revoke(self, agent)
    }

    fn list(&self) -> Vec<TunnelInfo> {
        Self::list(self)
    }
}
