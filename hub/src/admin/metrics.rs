//! The figures, for a scraper.

use super::{Problem, Rooms};
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;

/// The form that the figures are written in.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(super) async fn show(State(rooms): State<Rooms>) -> Result<impl IntoResponse, Problem> {
    match rooms.metrics.render() {
        Ok(text) => Ok(([(CONTENT_TYPE, OPENMETRICS)], text)),
        Err(error) => {
            tracing::error!(%error, "metrics not rendered");
            Err(Problem::plain(StatusCode::INTERNAL_SERVER_ERROR))
        }
    }
}
