//! Agents: list, revoke.

use super::extract::{ListParams, Listed, Params, Subject, parse, time_text};
use super::{Problem, Rooms};
use crate::tunnel::TunnelInfo;
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use weft_store::Agent;

/// An agent as the API shows it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AgentView {
    /// Its id.
    pub id: String,
    /// What it called itself when it joined.
    pub name: String,
    /// The id of its owner.
    pub owner: String,
    /// The SHA-256 of its public key, hexadecimal.
    pub spki: String,
    /// When it joined, RFC 3339.
    pub joined_at: String,
    /// When it was last known to be connected, RFC 3339.
    pub last_seen_at: Option<String>,
    /// When it was revoked, RFC 3339.
    pub revoked_at: Option<String>,
    /// Its tunnels on this node now.
    pub tunnels: Vec<TunnelView>,
}

/// One tunnel of an agent.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TunnelView {
    /// The session in force.
    pub session: String,
    /// Where it comes from.
    pub remote: String,
    /// The round trip, microseconds.
    pub round_trip_us: u64,
    /// How long it has lived, seconds.
    pub age_seconds: u64,
    /// Whether it is given new exchanges.
    pub takes_exchanges: bool,
    /// How many accounts the agent offers on it.
    pub accounts: u64,
}

impl From<&TunnelInfo> for TunnelView {
    fn from(tunnel: &TunnelInfo) -> Self {
        Self {
            session: tunnel.session.to_string(),
            remote: tunnel.remote.clone(),
            round_trip_us: tunnel.round_trip_us,
            age_seconds: tunnel.age_seconds,
            takes_exchanges: tunnel.takes_exchanges,
            accounts: tunnel.accounts.len() as u64,
        }
    }
}

impl AgentView {
    fn new(agent: &Agent, tunnels: &[TunnelInfo]) -> Self {
        let own = tunnels.iter().filter(|tunnel| tunnel.agent == agent.id);
        Self {
            id: agent.id.to_string(),
            name: agent.name.to_string(),
            owner: agent.owner.to_string(),
            spki: agent.spki.to_string(),
            joined_at: time_text(agent.joined_at),
            last_seen_at: agent.last_seen_at.map(time_text),
            revoked_at: agent.revoked_at.map(time_text),
            tunnels: own.map(TunnelView::from).collect(),
        }
    }
}

/// An agent that was just revoked.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RevokedAgent {
    /// The agent.
    pub agent: AgentView,
    /// How many of its tunnels were closed.
    pub tunnels_closed: u64,
}

/// List agents, oldest first, with their tunnels on this node.
#[utoipa::path(get, path = "/api/v1/agents", tag = "agents", params(ListParams), responses(
    (status = 200, body = Listed<AgentView>)))]
pub(super) async fn list(
    State(rooms): State<Rooms>,
    Params(params): Params<ListParams>,
) -> Result<Json<Listed<AgentView>>, Problem> {
    let page = params.page()?;
    let agents = rooms.store.agents().list(page).await?;
    let tunnels = rooms.tunnels.list();
    let id = |agent: &Agent| agent.id.to_string();
    Ok(Json(Listed::page_of(&agents, page.size, id, |agent| AgentView::new(agent, &tunnels))))
}

/// Revoke an agent: its tunnels are closed at once, and it cannot come back.
#[utoipa::path(post, path = "/api/v1/agents/{agent}/revoke", tag = "agents",
    params(("agent" = String, Path, description = "id")),
    responses((status = 200, body = RevokedAgent), (status = 404, body = Problem)))]
pub(super) async fn revoke(
    State(rooms): State<Rooms>,
    Subject(agent): Subject,
) -> Result<Json<RevokedAgent>, Problem> {
    // The store first, so that a restart forgets nothing; then the handshake, so that a closed
    // tunnel cannot come back; only then the tunnels.
    let agent = rooms.store.agents().revoke(parse("agent", &agent)?, rooms.clock.now()).await?;
    rooms.trust.learn(&agent);
    let closed = rooms.tunnels.revoke(agent.id);
    tracing::info!(agent = %agent.id, tunnels = closed, "agent revoked");
    rooms.wallets.note_agent(&[("revoked", &agent.id.to_string())]).await?;
    let agent = AgentView::new(&agent, &rooms.tunnels.list());
    Ok(Json(RevokedAgent { agent, tunnels_closed: closed as u64 }))
}
