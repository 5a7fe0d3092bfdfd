//! Whether the hub lives, and whether it wants work. For balancers and service managers.

use super::{Problem, Rooms};
use axum::extract::State;
use axum::http::StatusCode;

/// The process answers.
pub(super) async fn liveness() -> &'static str {
    "alive\n"
}

/// The hub wants work.
pub(super) async fn readiness(State(rooms): State<Rooms>) -> Result<&'static str, Problem> {
    match rooms.readiness.check().await {
        Ok(()) => Ok("ready\n"),
        Err(reason) => Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, reason.to_string())),
    }
}
