//! Errors of the admin door, as problem documents (RFC 9457).

use crate::wallets::NotDone;
use axum::Json;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use weft_store::StoreError;

/// Why a request was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// The status of the answer.
    pub status: u16,
    /// The status in words.
    pub title: String,
    /// What is wrong with this request, where more can be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Problem {
    /// A problem of which the status says all.
    #[must_use]
    pub fn plain(status: StatusCode) -> Self {
        let title = status.canonical_reason().unwrap_or("Error").to_owned();
        Self { status: status.as_u16(), title, detail: None }
    }

    /// A problem with a sentence for the operator.
    #[must_use]
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..Self::plain(status) }
    }

    /// A value that the request should not have had.
    #[must_use]
    pub fn invalid(detail: impl ToString) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail.to_string())
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let status = match &error {
            StoreError::NotFound { .. } => StatusCode::NOT_FOUND,
            StoreError::Conflict { .. } | StoreError::SelfDealing(_) => StatusCode::CONFLICT,
            StoreError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            StoreError::Corrupt { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        };
        if status.is_server_error() {
            tracing::error!(error = &error as &dyn std::error::Error, "admin request not done");
        }
        Self::new(status, error.to_string())
    }
}

impl From<NotDone> for Problem {
    fn from(not_done: NotDone) -> Self {
        let status = match not_done {
            NotDone::Store(error) => return Self::from(error),
            NotDone::Amount | NotDone::Reason | NotDone::AboveDispute { .. } => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            NotDone::Unknown(_) => StatusCode::NOT_FOUND,
            NotDone::LinkedPromotion { .. }
            | NotDone::Short { .. }
            | NotDone::CodeTaken
            | NotDone::CodeExpired
            | NotDone::NotDisputed(_)
            | NotDone::Decided(_) => StatusCode::CONFLICT,
        };
        Self::new(status, not_done.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self)).into_response();
        let problem = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(CONTENT_TYPE, problem);
        if status == StatusCode::UNAUTHORIZED {
            let bearer = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(axum::http::header::WWW_AUTHENTICATE, bearer);
        }
        response
    }
}
