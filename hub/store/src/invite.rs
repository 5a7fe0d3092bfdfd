//! Invites: one-time tokens by which an owner's agent joins.
//!
//! A token is bound to the first public key that redeems it. For that key redeeming is idempotent
//! until the token expires, because an agent that lost the answer must be able to ask again; for
//! every other key the token is spent.

use crate::{Agent, Name, Page, SpkiHash, StoreError, TokenHash};
use async_trait::async_trait;
use serde::Serialize;
use std::fmt;
use weft_proto::ids::{AgentId, InviteId, OwnerId};
use weft_proto::time::Timestamp;

/// Permission for one agent to join under an owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Invite {
    /// Its id, which is not secret.
    pub id: InviteId,
    /// Whose agent may join.
    pub owner: OwnerId,
    /// The token's hash; no two invites share one. Not serialised.
    #[serde(skip)]
    pub token_hash: TokenHash,
    /// From when on it may not be redeemed, in microseconds since 1970.
    pub expires_at: Timestamp,
    /// When it was made, in microseconds since 1970.
    pub created_at: Timestamp,
    /// The agent that came of it, and the public key that it is bound to.
    pub redeemed: Option<(AgentId, SpkiHash)>,
}

impl Invite {
    /// What is to be said to `redemption` without a new agent: `None` where one may be made.
    /// `agent` is the one that came of this invite, where one did. The rule of every store.
    pub(crate) fn judge(&self, agent: Option<&Agent>, redemption: &Redemption) -> Option<Redeemed> {
        if redemption.now >= self.expires_at {
            return Some(Redeemed::Expired);
        }
        let (_, bound_to) = self.redeemed?;
        Some(match agent {
            Some(agent) if bound_to == redemption.spki => match agent.revoked_at {
                Some(_) => Redeemed::Revoked,
                None => Redeemed::Joined(agent.clone()),
            },
            Some(_) | None => Redeemed::Taken,
        })
    }
}

/// What an agent brings along that wants to join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redemption {
    /// The hash of the token it shows.
    pub token_hash: TokenHash,
    /// Its public key.
    pub spki: SpkiHash,
    /// What it wants to be called.
    pub name: Name,
    /// The id it gets if it is new.
    pub agent: AgentId,
    /// The time now.
    pub now: Timestamp,
}

/// What became of a [`Redemption`]. Only [`Self::Joined`] lets an agent in.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "only `Joined` lets an agent in"]
pub enum Redeemed {
    /// The agent as it stands: new, or the one that this same key has already become.
    Joined(Agent),
    /// No invite has this token.
    Unknown,
    /// The invite's time is over.
    Expired,
    /// Another public key redeemed the invite before.
    Taken,
    /// The public key is already an agent's, which came by another invite.
    KeyInUse,
    /// The agent that this key became was revoked since.
    Revoked,
}

/// The invites.
#[async_trait]
pub trait Invites: fmt::Debug + Send + Sync {
    /// Keeps a new invite. What it says of its redemption is not kept: it begins unredeemed.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where the token is taken, [`StoreError::NotFound`] where there is
    /// no such owner.
    async fn create(&self, invite: &Invite) -> Result<(), StoreError>;

    /// Redeems a token, and makes the agent, in one transaction.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where another agent has the new id.
    async fn redeem(&self, redemption: &Redemption) -> Result<Redeemed, StoreError>;

    /// One page of all invites.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Corrupt`].
    async fn list(&self, page: Page<InviteId>) -> Result<Vec<Invite>, StoreError>;
}
