//! What handlers take from a request, and how they give lists back. Refusals are problem documents
//! that name the field.

use super::Problem;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Json, Path, Query, Request};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fmt::Display;
use std::str::FromStr;
use utoipa::{IntoParams, ToSchema};
use weft_proto::ids::ExchangeId;
use weft_proto::money::{NanoUsd, Ratio};
use weft_proto::time::Timestamp;
use weft_store::{Page, PageSize, RATIO_MAX};

/// A JSON body.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        match Json::from_request(request, state).await {
            Ok(Json(value)) => Ok(Self(value)),
            Err(rejection) => Err(refused(&rejection)),
        }
    }
}

fn refused(rejection: &JsonRejection) -> Problem {
    Problem::new(rejection.status(), rejection.body_text())
}

/// Parameters of the query.
pub(super) struct Params<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let parsed: Result<Query<T>, QueryRejection> =
            Query::from_request_parts(parts, state).await;
        match parsed {
            Ok(Query(value)) => Ok(Self(value)),
            Err(rejection) => Err(Problem::new(rejection.status(), rejection.body_text())),
        }
    }
}

/// The one variable of a path.
pub(super) struct Subject(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Subject {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let parsed: Result<Path<String>, PathRejection> =
            Path::from_request_parts(parts, state).await;
        match parsed {
            Ok(Path(text)) => Ok(Self(text)),
            Err(rejection) => Err(Problem::new(rejection.status(), rejection.body_text())),
        }
    }
}

/// Reads a field; the problem names it.
pub(super) fn parse<T>(field: &str, text: &str) -> Result<T, Problem>
where
    T: FromStr,
    T::Err: Display,
{
    text.parse().map_err(|error| Problem::invalid(format!("{field}: {error}")))
}

/// A share of list prices as people write it: a decimal such as `0.8`, never through floats.
pub(super) fn ratio(field: &str, text: &str) -> Result<Ratio, Problem> {
    // Nano-parts of a whole are the same digits as nano-USD of a dollar.
    let parts: NanoUsd = parse(field, text)?;
    let ppm = (parts.nanos() % 1_000 == 0).then(|| parts.nanos() / 1_000);
    let ratio = ppm.and_then(|ppm| u32::try_from(ppm).ok()).map(Ratio::from_ppm);
    ratio.filter(|ratio| *ratio <= RATIO_MAX).ok_or_else(|| {
        Problem::invalid(format!("{field}: want a decimal from 0 to 10 with at most 6 decimals"))
    })
}

/// Which part of a list is wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListParams {
    /// The `next` of the page before; nothing for the first page.
    #[serde(default)]
    pub(super) after: Option<String>,
    /// How many at most: 1 to 1000, 100 where nothing is said.
    #[serde(default)]
    pub(super) limit: Option<u32>,
}

impl ListParams {
    /// The page of rows with ids of type `Id`.
    pub(super) fn page<Id>(&self) -> Result<Page<Id>, Problem>
    where
        Id: FromStr,
        Id::Err: Display,
    {
        let after = self.after.as_deref().map(|text| parse("after", text)).transpose()?;
        Ok(Page { after, size: page_size(self.limit) })
    }
}

/// The id of an act of money.
pub(super) fn act(field: &str, text: &str) -> Result<weft_store::Subject, Problem> {
    parse::<ExchangeId>(field, text).map(weft_store::Subject::from)
}

/// The size of a page that a request asked for.
pub(super) fn page_size(limit: Option<u32>) -> PageSize {
    limit.map(PageSize::clamped).unwrap_or_default()
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Listed<T> {
    /// The rows.
    pub items: Vec<T>,
    /// What to send as `after` for the next page; nothing where this page is not full.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl<T> Listed<T> {
    /// A page of `rows`, of which `size` were asked for; `id` names the last one.
    pub(super) fn page<R>(rows: &[R], size: PageSize, id: impl Fn(&R) -> String) -> Self
    where
        T: for<'a> From<&'a R>,
    {
        Self::page_of(rows, size, id, |row| T::from(row))
    }

    /// The same, of rows whose `view` needs more than the row.
    pub(super) fn page_of<R>(
        rows: &[R],
        size: PageSize,
        id: impl Fn(&R) -> String,
        view: impl Fn(&R) -> T,
    ) -> Self {
        let full = rows.len() >= size.rows() as usize;
        let next = rows.last().filter(|_| full).map(id);
        Self { items: rows.iter().map(view).collect(), next }
    }
}

/// A time as people and scripts read it: RFC 3339, UTC.
pub(super) fn time_text(time: Timestamp) -> String {
    let micros = i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
    // Out of range only for years after 9999: the number still says when.
    jiff::Timestamp::from_microsecond(micros)
        .map_or_else(|_| time.as_micros().to_string(), |time| time.to_string())
}
