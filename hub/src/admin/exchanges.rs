//! Exchanges: how the latest ones ended. Sizes, counts and times; never what was said.

use super::extract::{Listed, Params, Subject, page_size, parse, time_text};
use super::{Problem, Rooms};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use weft_store::Outcome;

/// An ended exchange as the API shows it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ExchangeView {
    /// Its id, which the user saw as `weft-request-id`.
    pub id: String,
    /// Who asked.
    pub user: String,
    /// With which key.
    pub key: String,
    /// The agent of the last attempt.
    pub agent: Option<String>,
    /// The account of the last attempt.
    pub account: Option<String>,
    /// Whose API was asked.
    pub provider: Option<String>,
    /// The name of the route.
    pub route: String,
    /// The model that the request named.
    pub model: Option<String>,
    /// How often it was dispatched.
    pub attempts: u32,
    /// The status that the user was sent.
    pub status: Option<u16>,
    /// How it ended.
    pub end: String,
    /// The code with which a stream was cut.
    pub abort: Option<String>,
    /// Bytes of the request's body.
    pub request_bytes: u64,
    /// Bytes of the answer's body.
    pub response_bytes: u64,
    /// When it was admitted, RFC 3339.
    pub admitted_at: String,
    /// From admission to the last dispatch, microseconds.
    pub dispatched_after_us: Option<u64>,
    /// From admission to the answer's head, microseconds.
    pub head_after_us: Option<u64>,
    /// From admission to the first byte of the answer's body, microseconds.
    pub first_byte_after_us: Option<u64>,
    /// From admission to the end, microseconds.
    pub ended_after_us: u64,
}

impl From<&Outcome> for ExchangeView {
    fn from(outcome: &Outcome) -> Self {
        Self {
            id: outcome.exchange.to_string(),
            user: outcome.user.to_string(),
            key: outcome.key.to_string(),
            agent: outcome.agent.map(|id| id.to_string()),
            account: outcome.account.map(|id| id.to_string()),
            provider: outcome.provider.map(|provider| provider.name().to_owned()),
            route: outcome.route.clone(),
            model: outcome.model.as_ref().map(ToString::to_string),
            attempts: outcome.attempts,
            status: outcome.status,
            end: outcome.end.name().to_owned(),
            abort: outcome.abort.map(|code| code.name().to_owned()),
            request_bytes: outcome.request_bytes,
            response_bytes: outcome.response_bytes,
            admitted_at: time_text(outcome.admitted_at),
            dispatched_after_us: outcome.dispatched_after_us,
            head_after_us: outcome.head_after_us,
            first_byte_after_us: outcome.first_byte_after_us,
            ended_after_us: outcome.ended_after_us,
        }
    }
}

/// Which exchanges to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct RecentParams {
    /// The `next` of the page before; nothing for the latest.
    #[serde(default)]
    after: Option<String>,
    /// How many at most: 1 to 1000, 100 where nothing is said.
    #[serde(default)]
    limit: Option<u32>,
}

/// List ended exchanges, the latest admitted first.
#[utoipa::path(get, path = "/api/v1/exchanges", tag = "exchanges", params(RecentParams), responses(
    (status = 200, body = Listed<ExchangeView>)))]
pub(super) async fn list(
    State(rooms): State<Rooms>,
    Params(params): Params<RecentParams>,
) -> Result<Json<Listed<ExchangeView>>, Problem> {
    let size = page_size(params.limit);
    let before = params.after.as_deref().map(|text| parse("after", text)).transpose()?;
    let outcomes = rooms.store.outcomes().recent(size, before).await?;
    let id = |outcome: &Outcome| outcome.exchange.to_string();
    Ok(Json(Listed::page(&outcomes, size, id)))
}

/// Show how one exchange ended.
#[utoipa::path(get, path = "/api/v1/exchanges/{exchange}", tag = "exchanges",
    params(("exchange" = String, Path, description = "id")),
    responses((status = 200, body = ExchangeView), (status = 404, body = Problem)))]
pub(super) async fn find(
    State(rooms): State<Rooms>,
    Subject(exchange): Subject,
) -> Result<Json<ExchangeView>, Problem> {
    match rooms.store.outcomes().find(parse("exchange", &exchange)?).await? {
        Some(outcome) => Ok(Json(ExchangeView::from(&outcome))),
        None => Err(Problem::new(StatusCode::NOT_FOUND, "no such exchange, or it has not ended")),
    }
}
