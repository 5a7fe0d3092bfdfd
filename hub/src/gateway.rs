//! The users' door: providers' APIs over HTTPS, h1 and h2.
//!
//! A head is parsed, its path mapped to a provider's, and handed to the spine; nothing of a body is
//! read here. What the hub answers by itself (health, the list of models, refusals) is answered in
//! the caller's own dialect.

mod catalogue;
mod connection;
mod door;
mod surface;
mod unread;

pub use door::UsersDoor;

use crate::auth::Auth;
use crate::exchange::refusal::Refusal;
use crate::exchange::{Inbound, Spine};
use crate::lifecycle::Readiness;
use crate::telemetry::Metrics;
use crate::tunnel::Tunnels;
use axum::body::Body;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use std::net::IpAddr;
use std::sync::Arc;
use surface::{Surface, Unanswered};
use unread::Unread;
use weft_proto::time::Clock;

/// What the door needs of the rest of the hub.
#[derive(Debug, Clone)]
pub struct Needs {
    /// Who serves exchanges.
    pub spine: Spine,
    /// Who may see the list of models.
    pub auth: Arc<Auth>,
    /// Whose models those are.
    pub tunnels: Tunnels,
    /// Whether the node wants work.
    pub readiness: Readiness,
    /// Where refusals are counted.
    pub metrics: Metrics,
    /// Wall-clock time.
    pub clock: Arc<dyn Clock>,
}

/// Answers requests of users. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Gateway(Arc<Needs>);

impl Gateway {
    /// A gateway to `needs`.
    #[must_use]
    pub fn new(needs: Needs) -> Self {
        Self(Arc::new(needs))
    }

    /// Answers one request from `peer`.
    ///
    /// # Cancel safety
    /// Dropping the call is what happens when the user goes away; see [`Spine::serve`].
    pub async fn answer(&self, request: Request<Body>, peer: IpAddr) -> Response<Body> {
        let (unread, request) = Unread::of(request);
        let answer = self.answered(request, peer).await;
        if answer.status().is_client_error() || answer.status().is_server_error() {
            unread.throw_away().await;
        }
        answer
    }

    async fn answered(&self, request: Request<Body>, peer: IpAddr) -> Response<Body> {
        let (head, body) = request.into_parts();
        if let Some(health) = self.health(&head.method, head.uri.path()).await {
            return health;
        }
        match surface::of(&head) {
            Ok(Surface::Relay { asks, dialect }) => {
                let inbound = Inbound {
                    method: head.method,
                    asks,
                    dialect,
                    headers: head.headers,
                    body,
                    peer,
                };
                self.0.spine.serve(inbound).await
            }
            Ok(Surface::Models { providers, only, dialect }) => {
                match self.models(&head.headers, &providers, only.as_deref(), dialect, peer).await {
                    Ok(listed) => listed,
                    Err(refusal) => {
                        self.0.metrics.refused(refusal.cause());
                        refusal.response(dialect, None)
                    }
                }
            }
            Err(Unanswered { refusal, dialect, allow }) => {
                self.0.metrics.refused(refusal.cause());
                let mut response = refusal.response(dialect, None);
                let allow = allow.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
                if let Some(value) =
                    HeaderValue::try_from(allow).ok().filter(|value| !value.is_empty())
                {
                    response.headers_mut().insert(ALLOW, value);
                }
                response
            }
        }
    }

    /// `/health/…`, which wants no key.
    async fn health(&self, method: &Method, path: &str) -> Option<Response<Body>> {
        let ready = match path {
            "/health/liveness" => Ok(()),
            "/health/readiness" => self.0.readiness.check().await.map_err(|why| why.to_string()),
            _ => return None,
        };
        if *method != Method::GET && *method != Method::HEAD {
            return None;
        }
        let (status, text) = match ready {
            Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
            Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
        };
        let mut response = Response::new(Body::from(text));
        *response.status_mut() = status;
        let kind = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, kind);
        Some(response)
    }

    async fn models(
        &self,
        headers: &http::HeaderMap,
        providers: &[weft_proto::provider::Provider],
        only: Option<&str>,
        dialect: weft_proto::provider::Dialect,
        peer: IpAddr,
    ) -> Result<Response<Body>, Refusal> {
        let presented = Auth::presented(headers)?;
        let caller = self.0.auth.admit(presented, peer, self.0.clock.now()).await?;
        let models = catalogue::of(&self.0.tunnels, &caller, providers);
        catalogue::answer(&models, only, dialect)
    }
}
