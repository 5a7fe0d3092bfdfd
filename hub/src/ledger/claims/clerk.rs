//! The clerk: carries out what is decided about claims, one session of an agent at a time.
//!
//! Everything here waits for the store and for nothing else; the same calls with the same store give
//! the same answers. An error of the store ends the session: what was not acknowledged comes again.

mod book;
mod session;
mod words;

pub use session::{Greeted, Session, SessionError};

use super::journal::Journal;
use super::promise::Promise;
use super::seal::TicketSealer;
use crate::config::LiveMoney;
use crate::ledger::Ledger;
use futures_util::future::BoxFuture;
use std::fmt;
use std::sync::Arc;
use weft_proto::ids::{AgentId, HubId, NodeId, OwnerId};
use weft_proto::ledger::{PublicKey, SigningKey};
use weft_proto::money::NanoUsd;
use weft_proto::time::Clock;
use weft_proto::usage::{Geo, ServiceTier, Usage};
use weft_proto::wire::receipts::Handover;
use weft_store::Receipts;

/// What a promise's user pays for this usage; `None` where its price book is not known.
pub type ChargeOf =
    dyn Fn(Promise, Usage, ServiceTier, Geo) -> BoxFuture<'static, Option<NanoUsd>> + Send + Sync;

/// What the clerk works with.
#[derive(Clone)]
pub struct ClerkParts {
    /// This hub.
    pub hub: HubId,
    /// This process.
    pub node: NodeId,
    /// Settlements and legs.
    pub store: Arc<dyn weft_store::Ledger>,
    /// Chains and findings.
    pub receipts: Arc<dyn Receipts>,
    /// The node's own ledger, for orphans; none where only the store is at hand.
    pub ledger: Option<Ledger>,
    /// Prices orphans.
    pub charge_of: Arc<ChargeOf>,
    /// Tells this hub's tickets from others.
    pub sealer: TicketSealer,
    /// Signs acknowledgements and checkpoints.
    pub key: Arc<SigningKey>,
    /// The words by which earlier keys vouch for it, the oldest first.
    pub handovers: Arc<[Handover]>,
    /// The windows of claims and disputes.
    pub money: LiveMoney,
    /// Wall-clock time.
    pub clock: Arc<dyn Clock>,
}

impl fmt::Debug for ClerkParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClerkParts").field("hub", &self.hub).finish_non_exhaustive()
    }
}

impl ClerkParts {
    /// Whether this hub signs, or signed, with `key`.
    pub(super) fn is_own(&self, key: &PublicKey) -> bool {
        let before = self.handovers.iter().any(|word| word.from == *key.as_bytes());
        before || *key == self.key.public()
    }
}

/// Takes receipts. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Clerk(Arc<ClerkParts>, Arc<Journal>);

impl Clerk {
    /// A clerk with these parts.
    #[must_use]
    pub fn new(parts: ClerkParts) -> Self {
        Self(Arc::new(parts), Arc::new(Journal::default()))
    }

    /// A session with an agent, whose ledger has not greeted yet.
    #[must_use]
    pub fn session(&self, agent: AgentId, owner: OwnerId) -> Session {
        Session::new(self.clone(), agent, owner)
    }
}
