//! Payouts to owners: asked for, then approved with a reference or rejected with a reason.

use super::credit::memo;
use super::extract::{Body, Listed, Params, Subject, act, page_size, parse, time_text};
use super::{Problem, Rooms, owners};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use weft_store::{Page, Payout};

/// A payout as the API shows it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PayoutView {
    /// Its id.
    pub id: String,
    /// The id of the owner.
    pub owner: String,
    /// Decimal USD.
    pub amount: String,
    /// `requested`, `approved` or `rejected`.
    pub state: String,
    /// Why it was asked for.
    pub reason: Option<String>,
    /// What the payment is known by elsewhere, or why there is none.
    pub reference: Option<String>,
    /// When it was asked for, RFC 3339.
    pub requested_at: String,
    /// When it was decided, RFC 3339.
    pub decided_at: Option<String>,
}

impl From<&Payout> for PayoutView {
    fn from(payout: &Payout) -> Self {
        Self {
            id: payout.id.to_string(),
            owner: payout.owner.to_string(),
            amount: payout.amount.to_string(),
            state: payout.state.name().to_owned(),
            reason: payout.reason.as_ref().map(ToString::to_string),
            reference: payout.reference.as_ref().map(ToString::to_string),
            requested_at: time_text(payout.requested_at),
            decided_at: payout.decided_at.map(time_text),
        }
    }
}

/// A payout to ask for.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPayout {
    /// Name or id of the owner.
    pub owner: String,
    /// Decimal USD, at most what is in the wallet.
    pub amount: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What is decided about a payout.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PayoutDecision {
    /// What the payment is known by elsewhere; of a rejection, why.
    pub reference: String,
}

/// Ask for a payout. Nothing moves before it is approved.
#[utoipa::path(post, path = "/api/v1/payouts", tag = "money", request_body = NewPayout, responses(
    (status = 201, body = PayoutView), (status = 404, body = Problem),
    (status = 409, description = "the wallet has less", body = Problem), (status = 422, body = Problem)))]
pub(super) async fn request(
    State(rooms): State<Rooms>,
    Body(new): Body<NewPayout>,
) -> Result<(StatusCode, Json<PayoutView>), Problem> {
    let owner = owners::resolve(&rooms, &new.owner).await?;
    let amount = parse("amount", &new.amount)?;
    let reason = memo("reason", new.reason.as_deref())?;
    // What vested meanwhile counts.
    rooms.wallets.vest().await?;
    let payout = rooms.wallets.ask_payout(owner.id, amount, reason).await?;
    Ok((StatusCode::CREATED, told(&rooms, "payout.requested", &payout)))
}

/// Approve a payout: its amount leaves the wallet.
#[utoipa::path(post, path = "/api/v1/payouts/{payout}/approve", tag = "money",
    params(("payout" = String, Path, description = "id")), request_body = PayoutDecision,
    responses((status = 200, body = PayoutView), (status = 404, body = Problem),
    (status = 409, description = "decided otherwise, or the wallet has less", body = Problem)))]
pub(super) async fn approve(
    State(rooms): State<Rooms>,
    Subject(payout): Subject,
    Body(decision): Body<PayoutDecision>,
) -> Result<Json<PayoutView>, Problem> {
    let reference = reference(&decision)?;
    let payout = rooms.wallets.approve_payout(act("payout", &payout)?, &reference).await?;
    Ok(told(&rooms, "payout.approved", &payout))
}

/// Reject a payout.
#[utoipa::path(post, path = "/api/v1/payouts/{payout}/reject", tag = "money",
    params(("payout" = String, Path, description = "id")), request_body = PayoutDecision,
    responses((status = 200, body = PayoutView), (status = 404, body = Problem),
    (status = 409, description = "decided otherwise", body = Problem)))]
pub(super) async fn reject(
    State(rooms): State<Rooms>,
    Subject(payout): Subject,
    Body(decision): Body<PayoutDecision>,
) -> Result<Json<PayoutView>, Problem> {
    let reference = reference(&decision)?;
    let payout = rooms.wallets.reject_payout(act("payout", &payout)?, &reference).await?;
    Ok(told(&rooms, "payout.rejected", &payout))
}

/// Which payouts to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PayoutParams {
    /// Name or id of an owner; all where nothing is said.
    #[serde(default)]
    owner: Option<String>,
    /// The `next` of the page before; nothing for the first page.
    #[serde(default)]
    after: Option<String>,
    /// How many at most: 1 to 1000, 100 where nothing is said.
    #[serde(default)]
    limit: Option<u32>,
}

/// List payouts, oldest first.
#[utoipa::path(get, path = "/api/v1/payouts", tag = "money", params(PayoutParams), responses(
    (status = 200, body = Listed<PayoutView>), (status = 404, body = Problem)))]
pub(super) async fn list(
    State(rooms): State<Rooms>,
    Params(params): Params<PayoutParams>,
) -> Result<Json<Listed<PayoutView>>, Problem> {
    let owner = match &params.owner {
        Some(owner) => Some(owners::resolve(&rooms, owner).await?.id),
        None => None,
    };
    let after = params.after.as_deref().map(|text| act("after", text)).transpose()?;
    let page = Page { after, size: page_size(params.limit) };
    let payouts = rooms.wallets.payouts(owner, page).await?;
    Ok(Json(Listed::page(&payouts, page.size, |payout| payout.id.to_string())))
}

fn reference(decision: &PayoutDecision) -> Result<weft_store::Memo, Problem> {
    let missing = || Problem::invalid("reference: want one");
    memo("reference", Some(&decision.reference))?.ok_or_else(missing)
}

fn told(rooms: &Rooms, event: &'static str, payout: &Payout) -> Json<PayoutView> {
    let view = PayoutView::from(payout);
    tracing::info!(payout = view.id, owner = view.owner, amount = view.amount, event, "payout");
    rooms.notifier.notify(event, json!(view));
    Json(view)
}
