//! Accounts: what connected agents offer now. Nothing of it is stored, and no secret is in it.

use super::extract::Listed;
use super::{Problem, Rooms};
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An account as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AccountView {
    /// Its id, given by its agent.
    pub id: String,
    /// The agent that offers it.
    pub agent: String,
    /// Whose endpoint it calls.
    pub provider: String,
    /// The owner's name for it.
    pub label: String,
    /// The region or data zone whose prices hold for it; absent at the provider's global host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// Patterns of the models it may serve.
    pub models: Vec<String>,
    /// Exchanges running on it.
    pub in_flight: u32,
    /// Exchanges it takes at a time.
    pub concurrency_max: u32,
    /// Whether it is given new exchanges: its agent's tunnel takes some, and it is not paused.
    pub available: bool,
}

/// List the accounts that connected agents offer.
#[utoipa::path(get, path = "/api/v1/accounts", tag = "agents", responses(
    (status = 200, body = Listed<AccountView>)))]
pub(super) async fn list(State(rooms): State<Rooms>) -> Result<Json<Listed<AccountView>>, Problem> {
    let mut items = Vec::new();
    for tunnel in rooms.tunnels.list() {
        items.extend(tunnel.accounts.iter().map(|account| AccountView {
            id: account.account.to_string(),
            agent: tunnel.agent.to_string(),
            provider: account.provider.name().to_owned(),
            label: account.label.clone(),
            place: account.place.clone(),
            models: account.models.clone(),
            in_flight: account.in_flight,
            concurrency_max: account.concurrency_max,
            available: tunnel.takes_exchanges && !account.paused,
        }));
    }
    // An agent with several tunnels offers the same accounts on each.
    items.sort_by(|a, b| (&a.agent, &a.id).cmp(&(&b.agent, &b.id)));
    items.dedup_by(|a, b| (&a.agent, &a.id) == (&b.agent, &b.id));
    Ok(Json(Listed { items, next: None }))
}
