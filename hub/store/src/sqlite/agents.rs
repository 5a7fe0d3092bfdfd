//! Agents in SQL.

use super::{Db, Engine, Row, ensure_one_row, fault, row};
use crate::{Agent, Agents, Name, Page, RevokedAgent, SpkiHash, StoreError};
use async_trait::async_trait;
use sqlx::Executor;
use weft_proto::ids::{AgentId, OwnerId};
use weft_proto::time::Timestamp;

/// The columns of a whole row, before what chooses the rows.
macro_rules! select {
    ($which:literal) => {
        concat!(
            "SELECT id, owner_id, spki, name, joined_at, revoked_at, last_seen_at FROM agents ",
            $which
        )
    };
}

#[async_trait]
impl Agents for Db {
    async fn find(&self, id: AgentId) -> Result<Option<Agent>, StoreError> {
        by_id(&self.readers, id).await
    }

    async fn find_by_spki(&self, spki: &SpkiHash) -> Result<Option<Agent>, StoreError> {
        sqlx::query(select!("WHERE spki = ?"))
            .bind(spki.as_bytes().as_slice())
            .fetch_optional(&self.readers)
            .await
            .map_err(fault)?
            .as_ref()
            .map(agent)
            .transpose()
    }

    async fn list(&self, page: Page<AgentId>) -> Result<Vec<Agent>, StoreError> {
        let after = page.after.map_or_else(Vec::new, |id| id.as_bytes().to_vec());
        sqlx::query(select!("WHERE id > ? ORDER BY id LIMIT ?"))
            .bind(after)
            .bind(page.size.rows())
            .fetch_all(&self.readers)
            .await
            .map_err(fault)?
            .iter()
            .map(agent)
            .collect()
    }

    async fn revoke(&self, id: AgentId, at: Timestamp) -> Result<Agent, StoreError> {
        let at = row::micros("revoked_at", at)?;
        self.write(move |connection| {
            Box::pin(async move {
                let updated = sqlx::query(
                    "UPDATE agents SET revoked_at = COALESCE(revoked_at, ?) WHERE id = ?",
                )
                .bind(at)
                .bind(id.as_bytes().as_slice())
                .execute(&mut *connection)
                .await
                .map_err(fault)?;
                ensure_one_row(&updated, "agent")?;
                by_id(connection, id).await?.ok_or(StoreError::NotFound { what: "agent" })
            })
        })
        .await
    }

    async fn touch(&self, id: AgentId, at: Timestamp) -> Result<(), StoreError> {
        let at = row::micros("last_seen_at", at)?;
        self.write(move |connection| {
            Box::pin(async move {
                let updated = sqlx::query(
                    "UPDATE agents SET last_seen_at = CASE WHEN last_seen_at > ? \
                     THEN last_seen_at ELSE ? END WHERE id = ?",
                )
                .bind(at)
                .bind(at)
                .bind(id.as_bytes().as_slice())
                .execute(connection)
                .await
                .map_err(fault)?;
                ensure_one_row(&updated, "agent")
            })
        })
        .await
    }

    async fn revoked(&self) -> Result<Vec<RevokedAgent>, StoreError> {
        sqlx::query("SELECT id, spki FROM agents WHERE revoked_at IS NOT NULL ORDER BY id")
            .fetch_all(&self.readers)
            .await
            .map_err(fault)?
            .iter()
            .map(|row| {
                Ok(RevokedAgent {
                    id: row::parsed(row, "id", AgentId::from_slice)?,
                    spki: row::digest(row, "spki")?,
                })
            })
            .collect()
    }
}

/// The agent with this id, as `connection` sees it.
pub(super) async fn by_id(
    connection: impl Executor<'_, Database = Engine>,
    id: AgentId,
) -> Result<Option<Agent>, StoreError> {
    sqlx::query(select!("WHERE id = ?"))
        .bind(id.as_bytes().as_slice())
        .fetch_optional(connection)
        .await
        .map_err(fault)?
        .as_ref()
        .map(agent)
        .transpose()
}

fn agent(row: &Row) -> Result<Agent, StoreError> {
    Ok(Agent {
        id: row::parsed(row, "id", AgentId::from_slice)?,
        owner: row::parsed(row, "owner_id", OwnerId::from_slice)?,
        spki: row::digest(row, "spki")?,
        name: row::parsed(row, "name", Name::parse)?,
        joined_at: row::timestamp(row, "joined_at")?,
        revoked_at: row::timestamp_option(row, "revoked_at")?,
        last_seen_at: row::timestamp_option(row, "last_seen_at")?,
    })
}
