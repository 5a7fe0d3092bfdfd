//! Invites in SQL.

use super::{Connection, Db, Row, agents, ensure_one_row, fault, insert_fault, row};
use crate::{Agent, Invite, Invites, Page, Redeemed, Redemption, SpkiHash, StoreError, TokenHash};
use async_trait::async_trait;
use weft_proto::ids::{AgentId, InviteId, OwnerId};

/// The columns of a whole row, before what chooses the rows.
macro_rules! select {
    ($which:literal) => {
        concat!(
            "SELECT id, owner_id, token_hash, expires_at, created_at, agent_id, spki FROM invites ",
            $which
        )
    };
}

#[async_trait]
impl Invites for Db {
    async fn create(&self, invite: &Invite) -> Result<(), StoreError> {
        let invite = invite.clone();
        let expires_at = row::micros("expires_at", invite.expires_at)?;
        let created_at = row::micros("created_at", invite.created_at)?;
        self.write(move |connection| {
            Box::pin(async move {
                sqlx::query(
                    "INSERT INTO invites (id, owner_id, token_hash, expires_at, created_at) \
                     VALUES (?, ?, ?, ?, ?)",
                )
                .bind(invite.id.as_bytes().as_slice())
                .bind(invite.owner.as_bytes().as_slice())
                .bind(invite.token_hash.as_bytes().as_slice())
                .bind(expires_at)
                .bind(created_at)
                .execute(connection)
                .await
                .map(drop)
                .map_err(|error| insert_fault(error, "invite", "owner"))
            })
        })
        .await
    }

    async fn redeem(&self, redemption: &Redemption) -> Result<Redeemed, StoreError> {
        let redemption = redemption.clone();
        self.write(move |connection| Box::pin(redeem(connection, redemption))).await
    }

    async fn list(&self, page: Page<InviteId>) -> Result<Vec<Invite>, StoreError> {
        let after = page.after.map_or_else(Vec::new, |id| id.as_bytes().to_vec());
        sqlx::query(select!("WHERE id > ? ORDER BY id LIMIT ?"))
            .bind(after)
            .bind(page.size.rows())
            .fetch_all(&self.readers)
            .await
            .map_err(fault)?
            .iter()
            .map(invite)
            .collect()
    }
}

async fn redeem(
    connection: &mut Connection,
    redemption: Redemption,
) -> Result<Redeemed, StoreError> {
    let Some(invite) = by_token(connection, &redemption.token_hash).await? else {
        return Ok(Redeemed::Unknown);
    };
    let agent = match invite.redeemed {
        Some((id, _)) => agents::by_id(&mut *connection, id).await?,
        None => None,
    };
    if let Some(answer) = invite.judge(agent.as_ref(), &redemption) {
        return Ok(answer);
    }
    let agent = Agent::joining(invite.owner, &redemption);
    // Insert first and look then: the other order has a gap where one key becomes two agents.
    match insert(connection, &agent).await {
        Ok(()) => {}
        Err(StoreError::Conflict { .. }) if key_is_in_use(connection, &agent.spki).await? => {
            return Ok(Redeemed::KeyInUse);
        }
        Err(error) => return Err(error),
    }
    let bound =
        sqlx::query("UPDATE invites SET agent_id = ?, spki = ? WHERE id = ? AND agent_id IS NULL")
            .bind(agent.id.as_bytes().as_slice())
            .bind(agent.spki.as_bytes().as_slice())
            .bind(invite.id.as_bytes().as_slice())
            .execute(connection)
            .await
            .map_err(fault)?;
    // Nobody can have come between: the lock is held since the invite was read.
    ensure_one_row(&bound, "invite")?;
    Ok(Redeemed::Joined(agent))
}

async fn by_token(
    connection: &mut Connection,
    token_hash: &TokenHash,
) -> Result<Option<Invite>, StoreError> {
    sqlx::query(lock!(select!("WHERE token_hash = ?")))
        .bind(token_hash.as_bytes().as_slice())
        .fetch_optional(connection)
        .await
        .map_err(fault)?
        .as_ref()
        .map(invite)
        .transpose()
}

async fn key_is_in_use(connection: &mut Connection, spki: &SpkiHash) -> Result<bool, StoreError> {
    sqlx::query("SELECT 1 FROM agents WHERE spki = ?")
        .bind(spki.as_bytes().as_slice())
        .fetch_optional(connection)
        .await
        .map(|row| row.is_some())
        .map_err(fault)
}

async fn insert(connection: &mut Connection, agent: &Agent) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO agents (id, owner_id, spki, name, joined_at) VALUES (?, ?, ?, ?, ?)")
        .bind(agent.id.as_bytes().as_slice())
        .bind(agent.owner.as_bytes().as_slice())
        .bind(agent.spki.as_bytes().as_slice())
        .bind(agent.name.as_str())
        .bind(row::micros("joined_at", agent.joined_at)?)
        .execute(connection)
        .await
        .map(drop)
        .map_err(|error| insert_fault(error, "agent id", "owner"))
}

fn invite(row: &Row) -> Result<Invite, StoreError> {
    let agent = row::parsed_option(row, "agent_id", AgentId::from_slice)?;
    // The table has both or neither.
    let redeemed = match agent {
        Some(agent) => Some((agent, row::digest(row, "spki")?)),
        None => None,
    };
    Ok(Invite {
        id: row::parsed(row, "id", InviteId::from_slice)?,
        owner: row::parsed(row, "owner_id", OwnerId::from_slice)?,
        token_hash: row::digest(row, "token_hash")?,
        expires_at: row::timestamp(row, "expires_at")?,
        created_at: row::timestamp(row, "created_at")?,
        redeemed,
    })
}
