//! Invites in memory.

use super::{Memory, Tables, page};
use crate::{Agent, Invite, Invites, Page, Redeemed, Redemption, StoreError};
use async_trait::async_trait;
use weft_proto::ids::InviteId;

#[async_trait]
impl Invites for Memory {
    async fn create(&self, invite: &Invite) -> Result<(), StoreError> {
        self.with(|tables| {
            if !tables.owners.contains_key(&invite.owner) {
                return Err(StoreError::NotFound { what: "owner" });
            }
            let taken = tables.invites_by_token.contains_key(&invite.token_hash);
            if taken || tables.invites.contains_key(&invite.id) {
                return Err(StoreError::Conflict { what: "invite" });
            }
            tables.invites_by_token.insert(invite.token_hash, invite.id);
            tables.invites.insert(invite.id, Invite { redeemed: None, ..invite.clone() });
            Ok(())
        })
    }

    async fn redeem(&self, redemption: &Redemption) -> Result<Redeemed, StoreError> {
        self.with(|tables| redeem(tables, redemption))
    }

    async fn list(&self, wanted: Page<InviteId>) -> Result<Vec<Invite>, StoreError> {
        self.with(|tables| Ok(page(&tables.invites, wanted)))
    }
}

fn redeem(tables: &mut Tables, redemption: &Redemption) -> Result<Redeemed, StoreError> {
    let id = tables.invites_by_token.get(&redemption.token_hash);
    let Some(invite) = id.and_then(|id| tables.invites.get_mut(id)) else {
        return Ok(Redeemed::Unknown);
    };
    let agent = invite.redeemed.and_then(|(agent, _)| tables.agents.get(&agent));
    if let Some(refused) = invite.judge(agent, redemption) {
        return Ok(refused);
    }
    if tables.agents_by_spki.contains_key(&redemption.spki) {
        return Ok(Redeemed::KeyInUse);
    }
    if tables.agents.contains_key(&redemption.agent) {
        return Err(StoreError::Conflict { what: "agent id" });
    }
    let agent = Agent::joining(invite.owner, redemption);
    invite.redeemed = Some((agent.id, agent.spki));
    tables.agents_by_spki.insert(agent.spki, agent.id);
    tables.agents.insert(agent.id, agent.clone());
    Ok(Redeemed::Joined(agent))
}
