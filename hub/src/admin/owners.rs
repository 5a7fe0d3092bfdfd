//! Owners: list. They are made by the first invite or user that names them.

use super::extract::{ListParams, Listed, Params, parse, time_text};
use super::{AdminRooms, Problem, Rooms};
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use weft_proto::ids::OwnerId;
use weft_store::Owner;

/// An owner as the API shows it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct OwnerView {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// When it was made, RFC 3339.
    pub created_at: String,
}

impl From<&Owner> for OwnerView {
    fn from(owner: &Owner) -> Self {
        Self {
            id: owner.id.to_string(),
            name: owner.name.to_string(),
            created_at: time_text(owner.created_at),
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
