//! The users' door: providers' APIs over HTTPS, h1, h2 and h3.
//!
//! A head is parsed, its path mapped to a provider's, and handed to the spine; nothing of a body is
//! read here. What the hub answers by itself (health, the list of models, refusals) is answered in
//! the caller's own dialect.

mod billing;
mod catalogue;
mod connection;
mod door;
mod h3;
mod listing;
mod surface;
mod unread;

pub use door::UsersDoor;
pub use h3::Quic;

use crate::auth::Auth;
use crate::exchange::refusal::Refusal;
use crate::exchange::switch::Slot;
use crate::exchange::{Inbound, Spine};
use crate::lifecycle::Readiness;
use crate::objects::Objects;
use crate::telemetry::Metrics;
use crate::tunnel::Tunnels;
use crate::wallets::Wallets;
use axum::body::Body;
use billing::Billing;
use http::header::{
    ALLOW, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use listing::Listing;
use std::net::IpAddr;
use std::sync::Arc;
use surface::{Surface, Unanswered};
use unread::Unread;
use weft_proto::provider::Dialect;
use weft_proto::tables::target::Target;
use weft_proto::time::Clock;
use weft_proto::websocket::handshake::{self, NoHandshake};
use weft_store::Users;

/// What the door needs of the rest of the hub.
#[derive(Debug, Clone)]
pub struct Needs {
    /// Who serves exchanges.
    pub spine: Spine,
    /// Who may see the list of models.
    pub auth: Arc<Auth>,
    /// Whose models those are.
    pub tunnels: Tunnels,
    /// Whose objects are.
    pub objects: Objects,
    /// What users may ask of their own money.
    pub wallets: Wallets,
    /// Who they are.
    pub users: Arc<dyn Users>,
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
        let bodiless = request.method() == Method::HEAD;
        let answer = self.answered(request, peer).await;
        let mut answer = if bodiless { without_body(answer) } else { answer };
        if answer.status().is_client_error() || answer.status().is_server_error() {
            unread.throw_away().await;
        }
        if unread.may_be_left() {
            // For the connection, which knows when the answer has ended.
            answer.extensions_mut().insert(unread);
        }
        answer
    }

    async fn answered(&self, request: Request<Body>, peer: IpAddr) -> Response<Body> {
        let (mut head, body) = request.into_parts();
        if let Some(health) = self.health(&head.method, head.uri.path()).await {
            return health;
        }
        if let Some(billing) = Billing::of(&head.method, head.uri.path()) {
            return match self.billing(billing, &head, body, peer).await {
                Ok(answer) => answer,
                Err(refusal) => {
                    self.0.metrics.refused(refusal.cause());
                    refusal.response(Dialect::OpenAi, None)
                }
            };
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
                    switch: None,
                };
                self.0.spine.serve(inbound).await
            }
            Ok(Surface::WebSocket { asks, dialect }) => {
                // Only connections of HTTP/1.1 bring one: they can be taken over.
                let Some(slot) = head.extensions.remove::<Slot>() else {
                    let refusal = Refusal::websocket(NoHandshake::NotAsked.to_string());
                    return self.upgrade_required(&refusal, dialect);
                };
                let inbound = Inbound {
                    method: head.method,
                    asks,
                    dialect,
                    headers: head.headers,
                    body,
                    peer,
                    switch: Some(slot),
                };
                self.0.spine.serve(inbound).await
            }
            Ok(Surface::UpgradeRequired { refusal, dialect }) => {
                self.upgrade_required(&refusal, dialect)
            }
            Ok(Surface::Objects { listing, target }) => {
                match self.objects(&head.headers, listing, &target, peer).await {
                    Ok(listed) => listed,
                    Err(refusal) => {
                        self.0.metrics.refused(refusal.cause());
                        refusal.response(listing.dialect, None)
                    }
                }
            }
            Ok(Surface::Models { providers, only, dialect }) => {
                match self.models(&head, &providers, only.as_deref(), dialect, peer).await {
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

    /// Says what a path that is spoken over a WebSocket wants.
    fn upgrade_required(&self, refusal: &Refusal, dialect: Dialect) -> Response<Body> {
        self.0.metrics.refused(refusal.cause());
        let mut response = refusal.response(dialect, None);
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static(handshake::WEBSOCKET));
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        response
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

    async fn billing(
        &self,
        billing: Billing,
        head: &http::request::Parts,
        body: Body,
        peer: IpAddr,
    ) -> Result<Response<Body>, Refusal> {
        let presented = Auth::presented(&head.headers)?;
        let now = self.0.clock.now();
        let caller = self.0.auth.admit(presented, peer, now).await?;
        let Needs { wallets, users, .. } = &*self.0;
        billing.answer(wallets, &**users, &caller, head.uri.query(), body, now).await
    }

    async fn objects(
        &self,
        headers: &http::HeaderMap,
        listing: Listing,
        target: &Target,
        peer: IpAddr,
    ) -> Result<Response<Body>, Refusal> {
        let presented = Auth::presented(headers)?;
        let now = self.0.clock.now();
        let caller = self.0.auth.admit(presented, peer, now).await?;
        listing.answer(&self.0.objects, &self.0.spine, &caller, target, now).await
    }

    async fn models(
        &self,
        head: &http::request::Parts,
        providers: &[weft_proto::provider::Provider],
        only: Option<&str>,
        dialect: weft_proto::provider::Dialect,
        peer: IpAddr,
    ) -> Result<Response<Body>, Refusal> {
        let presented = Auth::presented(&head.headers)?;
        let caller = self.0.auth.admit(presented, peer, self.0.clock.now()).await?;
        let models = catalogue::of(&self.0.tunnels, &caller, providers);
        catalogue::answer(&models, only, &head.uri, dialect)
    }
}

/// The answer to a HEAD: its body's length and none of its bytes. HTTP/2 would send them.
fn without_body(answer: Response<Body>) -> Response<Body> {
    let (mut head, body) = answer.into_parts();
    if let Some(length) = http_body::Body::size_hint(&body).exact().filter(|length| *length > 0) {
        head.headers.entry(CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
    }
    Response::from_parts(head, Body::empty())
}
