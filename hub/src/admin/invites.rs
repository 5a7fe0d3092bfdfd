//! Invites: add, list. The line with its token is in the answer to `add`, and never again.

use super::extract::{Body, ListParams, Listed, Params, time_text};
use super::{Problem, Rooms};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use utoipa::ToSchema;
use weft_certs::{HubAddress, Pins, Token};
use weft_proto::ids::{HubId, InviteId};
use weft_store::{Invite, TokenHash};

/// How long an invite may be redeemed where nothing is said, seconds.
const EXPIRES_IN_SECONDS_DEFAULT: u64 = 24 * 3_600;
/// The longest an invite may be redeemed, seconds: it is a secret that lies around.
const EXPIRES_IN_SECONDS_MAX: u64 = 30 * 24 * 3_600;

/// What stands in every invite of this hub.
#[derive(Debug, Clone)]
pub struct InviteDesk {
    /// Which hub invites.
    pub hub: HubId,
    /// Where agents dial; 1 to 4.
    pub addresses: Vec<HubAddress>,
    /// How agents know the hub.
    pub pins: Pins,
}

/// An invite as the API shows it; never its token.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct InviteView {
    /// Its id.
    pub id: String,
    /// The id of the owner whose agent may join.
    pub owner: String,
    /// When it was made, RFC 3339.
    pub created_at: String,
    /// From when on it is worthless, RFC 3339.
    pub expires_at: String,
    /// The agent that came of it.
    pub agent: Option<String>,
}

impl From<&Invite> for InviteView {
    fn from(invite: &Invite) -> Self {
        Self {
            id: invite.id.to_string(),
            owner: invite.owner.to_string(),
            created_at: time_text(invite.created_at),
            expires_at: time_text(invite.expires_at),
            agent: invite.redeemed.map(|(agent, _)| agent.to_string()),
        }
    }
}

/// An invite to add.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewInvite {
    /// Name of the owner whose agent may join; made where there is none of this name.
    pub owner: String,
    /// For how many seconds it may be redeemed: at most 30 days, a day where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_seconds: Option<u64>,
}

/// An invite that was just added, as the line that an agent needs.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct AddedInvite {
    /// The invite.
    pub invite: InviteView,
    /// The line for `weft-agent join`: shown here and never again.
    pub line: String,
}

/// Add an invite.
#[utoipa::path(post, path = "/api/v1/invites", tag = "agents", request_body = NewInvite, responses(
    (status = 201, description = "the only answer with the line", body = AddedInvite),
    (status = 422, body = Problem)))]
pub(super) async fn add(
    State(rooms): State<Rooms>,
    Body(new): Body<NewInvite>,
) -> Result<(StatusCode, Json<AddedInvite>), Problem> {
    let seconds = new.expires_in_seconds.unwrap_or(EXPIRES_IN_SECONDS_DEFAULT);
    if !(1..=EXPIRES_IN_SECONDS_MAX).contains(&seconds) {
        let range = format!("expires_in_seconds: want 1 to {EXPIRES_IN_SECONDS_MAX}");
        return Err(Problem::invalid(range));
    }
    let now = rooms.clock.now();
    let token = Token::generate(&*rooms.entropy);
    let token_hash = TokenHash::new(*token.hash().as_bytes());
    let expires_at = now.after(Duration::from_secs(seconds));
    let desk = &rooms.invites;
    let line =
        weft_certs::Invite::new(desk.hub, desk.addresses.clone(), desk.pins, token, expires_at)
            .map_err(Problem::invalid)?;
    let owner = rooms.owner(&new.owner).await?;
    let invite = Invite {
        id: InviteId::generate(&*rooms.clock, &*rooms.entropy),
        owner,
        token_hash,
        expires_at,
        created_at: now,
        redeemed: None,
    };
    rooms.store.invites().create(&invite).await?;
    tracing::info!(invite = %invite.id, %owner, "invite added");
    let added = AddedInvite { invite: InviteView::from(&invite), line: line.to_string() };
    Ok((StatusCode::CREATED, Json(added)))
}

/// List invites, oldest first.
#[utoipa::path(get, path = "/api/v1/invites", tag = "agents", params(ListParams), responses(
    (status = 200, body = Listed<InviteView>)))]
pub(super) async fn list(
    State(rooms): State<Rooms>,
    Params(params): Params<ListParams>,
) -> Result<Json<Listed<InviteView>>, Problem> {
    let page = params.page()?;
    let invites = rooms.store.invites().list(page).await?;
    Ok(Json(Listed::page(&invites, page.size, |invite| invite.id.to_string())))
}
