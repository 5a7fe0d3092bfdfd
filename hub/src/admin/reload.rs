//! Reload by the API: the same as SIGHUP, with an answer.

use super::{Problem, Rooms};
use crate::config::{Change, ConfigError};
use crate::telemetry::LogError;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;
use utoipa::ToSchema;
use weft_certs::DoorError;
use weft_proto::causes::causes;

/// What the admin door needs of whoever reads the settings again.
pub trait Reloads: fmt::Debug + Send + Sync {
    /// Reads settings and certificate again and puts them in force, all or nothing. Blocks.
    ///
    /// # Errors
    /// [`ReloadRefused`] with the first mistake; nothing has changed then.
    fn reload(&self) -> Result<Reloaded, ReloadRefused>;
}

/// What a reload did.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Reloaded {
    /// Settings that are in force from now on.
    pub changed: Vec<Change>,
    /// Settings that differ from what is in force, and hold from the next start.
    pub restart: Vec<Change>,
    /// Until when the operator's own certificate, which was read again, is valid; none where the
    /// users' door shows the hub's own.
    pub users_certificate_until: Option<String>,
}

/// Why nothing was reloaded.
#[derive(Debug, thiserror::Error)]
pub enum ReloadRefused {
    /// The settings cannot be used.
    #[error(transparent)]
    Settings(#[from] ConfigError),
    /// The log takes no such level.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The operator's own certificate cannot be used.
    #[error(transparent)]
    Certificate(#[from] DoorError),
    /// The webhook cannot be used.
    #[error(transparent)]
    Webhook(Box<dyn std::error::Error + Send + Sync>),
}

/// Read settings and certificate again, as SIGHUP does; a mistake in them changes nothing.
#[utoipa::path(post, path = "/api/v1/reload", tag = "hub", responses(
    (status = 200, body = Reloaded), (status = 422, body = Problem)))]
pub(super) async fn reload(State(rooms): State<Rooms>) -> Result<Json<Reloaded>, Problem> {
    let reloads = Arc::clone(&rooms.reloads);
    // Files are read: not on a thread that carries streams. Carried through, though the caller goes.
    match tokio::task::spawn_blocking(move || reloads.reload()).await {
        Ok(Ok(reloaded)) => Ok(Json(reloaded)),
        Ok(Err(refused)) => {
            let detail = format!("nothing was changed: {}", causes(&refused));
            Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail))
        }
        Err(panic) => {
            tracing::error!(%panic, "a reload panicked");
            Err(Problem::plain(StatusCode::INTERNAL_SERVER_ERROR))
        }
    }
}
