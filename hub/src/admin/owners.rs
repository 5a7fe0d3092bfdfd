//! Owners: list, and what they earn. They are made by the first invite or user that names them.

use super::extract::{Body, ListParams, Listed, Params, Subject, parse, ratio, time_text};
use super::{AdminRooms, Problem, Rooms};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use weft_proto::ids::{AccountId, OwnerId};
use weft_store::{Name, OWNER_TIER_DEFAULT, Owner, Tier};

/// An owner as the API shows it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct OwnerView {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// When it was made, RFC 3339.
    pub created_at: String,
    /// What its accounts earn of list prices, in parts per million.
    #[serde(default)]
    pub tier_ppm: u32,
}

impl From<&Owner> for OwnerView {
    fn from(owner: &Owner) -> Self {
        Self {
            id: owner.id.to_string(),
            name: owner.name.to_string(),
            created_at: time_text(owner.created_at),
            tier_ppm: owner.tier.ppm(),
        }
    }
}

impl AdminRooms {
    /// The owner of this name; made where it is new.
    pub(super) async fn owner(&self, name: &str) -> Result<OwnerId, Problem> {
        let candidate = Owner {
            id: OwnerId::generate(&*self.clock, &*self.entropy),
            name: parse("owner", name)?,
            created_at: self.clock.now(),
            tier: OWNER_TIER_DEFAULT,
        };
        Ok(self.store.owners().find_or_create(&candidate).await?.id)
    }
}

/// List owners, oldest first.
#[utoipa::path(get, path = "/api/v1/owners", tag = "agents", params(ListParams), responses(
    (status = 200, body = Listed<OwnerView>)))]
pub(super) async fn list(
    State(rooms): State<Rooms>,
    Params(params): Params<ListParams>,
) -> Result<Json<Listed<OwnerView>>, Problem> {
    let page = params.page()?;
    let owners = rooms.store.owners().list(page).await?;
    Ok(Json(Listed::page(&owners, page.size, |owner| owner.id.to_string())))
}

/// What an owner's accounts earn.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTier {
    /// Share of list prices as a decimal: `0.8` is 80 %.
    pub ratio: String,
    /// One account alone, by its id; all that have no tier of their own where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
}

/// Set what an owner's accounts earn of list prices.
#[utoipa::path(post, path = "/api/v1/owners/{owner}/tier", tag = "money", request_body = NewTier,
    params(("owner" = String, Path, description = "name or id")),
    responses((status = 200, body = OwnerView), (status = 404, body = Problem),
    (status = 409, description = "owner and user could profit from themselves", body = Problem)))]
pub(super) async fn set_tier(
    State(rooms): State<Rooms>,
    Subject(owner): Subject,
    Body(new): Body<NewTier>,
) -> Result<Json<OwnerView>, Problem> {
    let owner = resolve(&rooms, &owner).await?;
    let tier = Tier {
        owner: owner.id,
        account: new.account.as_deref().map(|id| parse::<AccountId>("account", id)).transpose()?,
        ratio: ratio("ratio", &new.ratio)?,
        changed_at: rooms.clock.now(),
    };
    rooms.store.terms().set_tier(&tier).await?;
    rooms.terms.reload().await?;
    let account = tier.account.map_or_else(String::new, |account| account.to_string());
    let (id, ppm) = (owner.id.to_string(), tier.ratio.ppm().to_string());
    rooms.wallets.note_terms(&[("owner", &id), ("account", &account), ("tier_ppm", &ppm)]).await?;
    Ok(Json(OwnerView::from(&resolve(&rooms, &id).await?)))
}

/// The owner that `text` names: by its name, or else by its id.
pub(super) async fn resolve(rooms: &Rooms, text: &str) -> Result<Owner, Problem> {
    let missing = || Problem::new(StatusCode::NOT_FOUND, "no such owner");
    let name = Name::parse(text).map_err(|_| missing())?;
    if let Some(owner) = rooms.store.owners().find_by_name(&name).await? {
        return Ok(owner);
    }
    let id: OwnerId = text.parse().map_err(|_| missing())?;
    rooms.store.owners().find(id).await?.ok_or_else(missing)
}
