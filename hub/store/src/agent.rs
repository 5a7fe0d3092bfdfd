//! Agents: edge processes that have joined.

use crate::{Name, Page, Redemption, SpkiHash, StoreError};
use async_trait::async_trait;
use serde::Serialize;
use std::fmt;
use weft_proto::ids::{AgentId, OwnerId};
use weft_proto::time::Timestamp;

/// One edge process that has joined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Agent {
    /// Its id, which its certificate carries.
    pub id: AgentId,
    /// Whose it is.
    pub owner: OwnerId,
    /// Its public key; no two agents share one.
    pub spki: SpkiHash,
    /// What it called itself when it joined; need not be unique.
    pub name: Name,
    /// When it joined, in microseconds since 1970.
    pub joined_at: Timestamp,
    /// When it was revoked, in microseconds since 1970.
    pub revoked_at: Option<Timestamp>,
    /// When a node last knew it connected, in microseconds since 1970.
    pub last_seen_at: Option<Timestamp>,
}

impl Agent {
    /// The agent that `redemption` makes under `owner`.
    pub(crate) fn joining(owner: OwnerId, redemption: &Redemption) -> Self {
        Self {
            id: redemption.agent,
            owner,
            spki: redemption.spki,
            name: redemption.name.clone(),
            joined_at: redemption.now,
            revoked_at: None,
            last_seen_at: None,
        }
    }
}

/// What a door must know to turn a revoked agent away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct RevokedAgent {
    /// The agent's id.
    pub id: AgentId,
    /// The agent's public key.
    pub spki: SpkiHash,
}

/// The agents. They are made by [`Invites::redeem`](crate::Invites::redeem) alone.
#[async_trait]
pub trait Agents: fmt::Debug + Send + Sync {
    /// The agent with this id, also where it is revoked.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Corrupt`].
    async fn find(&self, id: AgentId) -> Result<Option<Agent>, StoreError>;

    /// The agent with this public key; no two have one.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Corrupt`].
    async fn find_by_spki(&self, spki: &SpkiHash) -> Result<Option<Agent>, StoreError>;

    /// One page of all agents.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Corrupt`].
    async fn list(&self, page: Page<AgentId>) -> Result<Vec<Agent>, StoreError>;

    /// Revokes an agent at `at`, and returns it as it stands then. The first revocation stands.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where there is no such agent.
    async fn revoke(&self, id: AgentId, at: Timestamp) -> Result<Agent, StoreError>;

    /// Notes that the agent was connected at `at`. The latest time stands, in whatever order the
    /// notes come.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where there is no such agent.
    async fn touch(&self, id: AgentId, at: Timestamp) -> Result<(), StoreError>;

    /// All revoked agents, in the order of their ids, for a door that opens. Not paged: a door
    /// that knows half of them is open to the others, and each is 48 bytes of somebody that the
    /// operator let in once and put out by hand.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Corrupt`].
    async fn revoked(&self) -> Result<Vec<RevokedAgent>, StoreError>;
}
