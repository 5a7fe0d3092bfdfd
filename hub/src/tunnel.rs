//! The agents' door: tunnels that agents opened, and the accounts they offer on them.
//!
//! # Invariants
//! - On `weft/1` no byte is sent to a peer without a certificate that the hub trusts.
//! - At most one session is in force per agent and slot; a newer one never waits for an older.
//! - Whoever revokes an agent finds its tunnel here, or the tunnel's own look at the store comes
//!   later and finds the revocation: no order of the two lets a revoked agent in.
//!
//! It never reads what an exchange carries, and never chooses between accounts.

mod absent;
mod directory;
mod door;
mod joining;
mod link;
mod outbox;
mod receipts;
mod session;

pub use directory::{AccountInfo, Offer, Slip, TunnelInfo};
pub use door::Doorkeeper;
pub use joining::Enrol;
pub use link::Link;
pub use receipts::{Book, Desk, DeskClosed, Desks};

use crate::lifecycle::Tasks;
use crate::telemetry::Metrics;
use absent::Absent;
use directory::Directory;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::broadcast;
use tokio::time::Instant;
use weft_proto::codes::CloseCode;
use weft_proto::entropy::Entropy;
use weft_proto::ids::{AgentId, NodeId, OwnerId};
use weft_proto::provider::Provider;
use weft_proto::time::Clock;
use weft_proto::wire::control::{Account, Drain, HubMessage};
use weft_store::{Agents, StoreError};
use weft_transport::close;

/// How long agents wait before they dial again after a drain, before their jitter.
const RECONNECT_IN: Duration = Duration::from_secs(1);

/// What the room needs of the rest of the hub.
#[derive(Clone)]
pub struct Needs {
    /// This process's name.
    pub node: NodeId,
    /// Wall-clock time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub entropy: Arc<dyn Entropy>,
    /// Where agents are known.
    pub agents: Arc<dyn Agents>,
    /// Who takes in agents that join.
    pub enrol: Arc<dyn Enrol>,
    /// Where receipts go; none where the hub keeps no ledger.
    pub desks: Option<Arc<dyn Desks>>,
    /// Where tunnels are counted.
    pub metrics: Metrics,
    /// Who runs the tasks.
    pub tasks: Tasks,
    /// Tunnels open at once; a further agent is refused as busy.
    pub tunnels_max: usize,
}

impl fmt::Debug for Needs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Needs").field("node", &self.node).finish_non_exhaustive()
    }
}

/// All tunnels of this node. Cheap to clone; every clone means the same tunnels.
#[derive(Debug, Clone)]
pub struct Tunnels(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    needs: Needs,
    directory: Directory,
    draining: AtomicBool,
    /// What those in flight get once it drains, in milliseconds.
    deadline_ms: AtomicU64,
}

impl Tunnels {
    /// No tunnels yet, at the start of a node; reads which agents it may expect back.
    ///
    /// # Errors
    /// Those of the store.
    ///
    /// # Cancel safety
    /// A dropped call leaves nothing.
    pub async fn open(needs: Needs) -> Result<Self, StoreError> {
        let absent = Absent::at_start(&*needs.agents, needs.clock.now(), needs.tunnels_max).await?;
        let directory = Directory::new(absent, needs.metrics.clone());
        Ok(Self(Arc::new(Inner {
            needs,
            directory,
            draining: AtomicBool::new(false),
            deadline_ms: AtomicU64::new(0),
        })))
    }

    /// The accounts of `provider` on live tunnels, in the order of their ids.
    #[must_use]
    pub fn offers(&self, provider: Provider) -> Vec<Arc<Offer>> {
        self.0.directory.offers(provider)
    }

    /// Tells of every account that is announced from now on.
    pub(crate) fn announced(&self) -> broadcast::Receiver<Arc<Offer>> {
        self.0.directory.announced()
    }

    /// Until when an account of `provider` may be back that `would_do` and is away now; none where
    /// none is expected.
    pub(crate) fn expected_until(
        &self,
        provider: Provider,
        would_do: impl Fn(&Account, OwnerId) -> bool,
    ) -> Option<Instant> {
        self.0.directory.expected_until(provider, would_do)
    }

    /// What an operator sees of the tunnels.
    #[must_use]
    pub fn list(&self) -> Vec<TunnelInfo> {
        self.0.directory.list()
    }

    /// Closes every tunnel of `agent` at once and says how many there were. The store must say
    /// that it is revoked before this is called.
    pub fn revoke(&self, agent: AgentId) -> usize {
        let closed = self.0.directory.revoke(agent);
        for connection in &closed {
            close::connection(connection, CloseCode::Revoked);
        }
        closed.len()
    }

    /// Tells every agent that this node goes away within `deadline`, and lets no further one in.
    /// Exchanges in flight go on.
    pub fn drain(&self, deadline: Duration) {
        let millis = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
        self.0.deadline_ms.store(millis, Ordering::Release);
        self.0.draining.store(true, Ordering::Release);
        for link in self.0.directory.links() {
            self.tell_drain(&link);
        }
    }

    fn tell_drain(&self, link: &Link) {
        let deadline = Duration::from_millis(self.0.deadline_ms.load(Ordering::Acquire));
        link.tell(HubMessage::Drain(Drain { deadline, reconnect_in: RECONNECT_IN }));
    }
}
