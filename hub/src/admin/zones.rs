//! Price zones: what their users pay of list prices.

use super::extract::{Body, Listed, parse, ratio};
use super::{Problem, Rooms};
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use weft_store::Zone;

/// A price zone as the API shows it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ZoneView {
    /// Its name.
    pub name: String,
    /// What its users pay of list prices, in parts per million.
    pub ratio_ppm: u32,
}

impl From<&Zone> for ZoneView {
    fn from(zone: &Zone) -> Self {
        Self { name: zone.name.to_string(), ratio_ppm: zone.ratio.ppm() }
    }
}

/// A zone to make or to change.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewZone {
    /// Its name: 1 to 64 printable characters.
    pub name: String,
    /// What its users pay of list prices, as a decimal: `0.9` is 90 %.
    pub ratio: String,
}

/// Make a zone, or change what its users pay.
#[utoipa::path(post, path = "/api/v1/zones", tag = "money", request_body = NewZone, responses(
    (status = 200, body = ZoneView), (status = 422, body = Problem),
    (status = 409, description = "a user and its owner could profit from themselves", body = Problem)))]
pub(super) async fn set(
    State(rooms): State<Rooms>,
    Body(new): Body<NewZone>,
) -> Result<Json<ZoneView>, Problem> {
    let zone = Zone {
        name: parse("name", &new.name)?,
        ratio: ratio("ratio", &new.ratio)?,
        changed_at: rooms.clock.now(),
    };
    rooms.store.terms().set_zone(&zone).await?;
    rooms.terms.reload().await?;
    let ppm = zone.ratio.ppm().to_string();
    rooms.wallets.note_terms(&[("zone", zone.name.as_str()), ("ratio_ppm", &ppm)]).await?;
    Ok(Json(ZoneView::from(&zone)))
}

/// List all zones.
#[utoipa::path(get, path = "/api/v1/zones", tag = "money", responses(
    (status = 200, body = Listed<ZoneView>)))]
pub(super) async fn list(State(rooms): State<Rooms>) -> Result<Json<Listed<ZoneView>>, Problem> {
    let zones = rooms.store.terms().zones().await?;
    Ok(Json(Listed { items: zones.iter().map(ZoneView::from).collect(), next: None }))
}
