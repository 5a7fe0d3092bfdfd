//! Agents in memory.

use super::{Memory, page};
use crate::{Agent, Agents, Page, RevokedAgent, SpkiHash, StoreError};
use async_trait::async_trait;
use weft_proto::ids::AgentId;
use weft_proto::time::Timestamp;

#[async_trait]
impl Agents for Memory {
    async fn find(&self, id: AgentId) -> Result<Option<Agent>, StoreError> {
        self.with(|tables| Ok(tables.agents.get(&id).cloned()))
    }

    async fn find_by_spki(&self, spki: &SpkiHash) -> Result<Option<Agent>, StoreError> {
        self.with(|tables| Ok(tables.agents.values().find(|agent| agent.spki == *spki).cloned()))
    }

    async fn list(&self, wanted: Page<AgentId>) -> Result<Vec<Agent>, StoreError> {
        self.with(|tables| Ok(page(&tables.agents, wanted)))
    }

    async fn revoke(&self, id: AgentId, at: Timestamp) -> Result<Agent, StoreError> {
        self.with(|tables| {
            let agent = tables.agents.get_mut(&id).ok_or(StoreError::NotFound { what: "agent" })?;
            agent.revoked_at.get_or_insert(at);
            Ok(agent.clone())
        })
    }

    async fn touch(&self, id: AgentId, at: Timestamp) -> Result<(), StoreError> {
        self.with(|tables| {
            let agent = tables.agents.get_mut(&id).ok_or(StoreError::NotFound { what: "agent" })?;
            agent.last_seen_at = agent.last_seen_at.max(Some(at));
            Ok(())
        })
    }

    async fn revoked(&self) -> Result<Vec<RevokedAgent>, StoreError> {
        self.with(|tables| {
            let revoked = tables.agents.values().filter(|agent| agent.revoked_at.is_some());
            Ok(revoked.map(|agent| RevokedAgent { id: agent.id, spki: agent.spki }).collect())
        })
    }
}
