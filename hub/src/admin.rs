//! The admin door: a REST API for the operator of this machine, over HTTPS on loopback.
//!
//! One file for each resource: its views, its verbs, their errors. Every answer of `/api` needs the
//! token that lies in the data directory. `/health/*` needs none, nor does the description of the
//! API. `/metrics` needs none from this machine, so that a scraper needs no secret; the figures say
//! nothing about users or models. From elsewhere it needs the token too.
//!
//! Invariants: bodies and lists have limits; every error is a problem document (RFC 9457); a secret
//! is in exactly one answer, the one to the request that made it. Never reached by users or agents.

mod access;
mod accounts;
mod agents;
mod credit;
mod disputes;
mod door;
mod exchanges;
mod extract;
mod health;
mod invites;
mod keys;
mod ledger;
mod metrics;
mod owners;
mod payouts;
mod prices;
mod problem;
mod reload;
mod tunnels;
mod users;
mod zones;

pub use access::{AdminToken, TOKEN_FILE, TokenError};
pub use accounts::AccountView;
pub use agents::{AgentView, RevokedAgent, TunnelView};
pub use credit::{AddedCodes, BatchView, CreditView, NewCodes, NewCredit, Redemption};
pub use disputes::{DisputeDecision, DisputeView, EvidenceView, LedgerFindingView};
pub use door::AdminDoor;
pub use exchanges::ExchangeView;
pub use extract::Listed;
pub use invites::{AddedInvite, InviteDesk, InviteView, NewInvite};
pub use keys::{AddedKey, KeyChange, KeyView, NewKey};
pub use ledger::{BalanceView, FindingView, LineView, StatementView, VerifyView, VestedView};
pub use owners::{NewTier, OwnerView};
pub use payouts::{NewPayout, PayoutDecision, PayoutView};
pub use prices::{
    ActivationView, BookView, BooksView, ChangedRow, DiffView, ImportedBook, RowView, WholeBookView,
};
pub use problem::Problem;
pub use reload::{ReloadRefused, Reloaded, Reloads};
pub use tunnels::Tunnels;
pub use users::{NewUser, UserChange, UserView};
pub use zones::{NewZone, ZoneView};

use crate::auth::Auth;
use crate::lifecycle::Readiness;
use crate::pricing::Pricing;
use crate::telemetry::Metrics;
use crate::terms::Terms;
use crate::trust::Trust;
use crate::wallets::Wallets;
use crate::webhook::Notifier;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router, middleware};
use std::sync::Arc;
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use weft_proto::entropy::Entropy;
use weft_proto::time::Clock;
use weft_store::Store;

/// The longest request body, bytes.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// What the admin door needs of the rooms.
#[derive(Debug)]
pub struct AdminRooms {
    /// All repositories: the admin door is where they are filled.
    pub store: Arc<dyn Store>,
    /// Told of every change of keys and users.
    pub auth: Arc<Auth>,
    /// Told of every revoked agent.
    pub trust: Arc<Trust>,
    /// Closes tunnels of revoked agents, and tells which there are.
    pub tunnels: Arc<dyn Tunnels>,
    /// Writes invites.
    pub invites: InviteDesk,
    /// The figures to show.
    pub metrics: Metrics,
    /// Whether the hub wants work.
    pub readiness: Readiness,
    /// The token that callers must know.
    pub token: AdminToken,
    /// The price books.
    pub pricing: Pricing,
    /// Reads the settings again.
    pub reloads: Arc<dyn Reloads>,
    /// What users pay and owners earn; told of every change.
    pub terms: Terms,
    /// People's money.
    pub wallets: Wallets,
    /// Told of what somebody may want to act on.
    pub notifier: Notifier,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Chance, for ids and secrets.
    pub entropy: Arc<dyn Entropy>,
}

/// The state of all handlers.
type Rooms = Arc<AdminRooms>;

#[derive(OpenApi)]
#[openapi(info(
    title = "Weft hub: admin API",
    description = "What `weft-hub user`, `key`, `invite`, `agent`, `account` and `exchange` speak. \
                   Every request carries `authorization: Bearer` with the token of the file \
                   `admin.token` in the hub's data directory."
))]
struct Description;

/// All routes of the door, and the description of those under `/api`.
pub fn routes(rooms: AdminRooms) -> Router {
    let rooms = Arc::new(rooms);
    let (api, description) = described();
    let api = api
        .layer(middleware::from_fn_with_state(Arc::clone(&rooms), access::require_token))
        .with_state(Arc::clone(&rooms));
    let metrics = Router::new()
        .route("/metrics", get(metrics::show))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&rooms),
            access::require_token_from_elsewhere,
        ))
        .with_state(Arc::clone(&rooms));
    let open = Router::new()
        .route("/health/liveness", get(health::liveness))
        .route("/health/readiness", get(health::readiness))
        .route("/api/v1/openapi.json", get(move || std::future::ready(Json(description.clone()))))
        .with_state(rooms);
    api.merge(metrics)
        .merge(open)
        .fallback(|| std::future::ready(Problem::plain(StatusCode::NOT_FOUND)))
        .method_not_allowed_fallback(|| {
            std::future::ready(Problem::plain(StatusCode::METHOD_NOT_ALLOWED))
        })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
}

/// The routes that need the token, and their description.
fn described() -> (Router<Rooms>, utoipa::openapi::OpenApi) {
    let (router, mut description) = OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(users::add, users::list))
        .routes(routes!(users::change))
        .routes(routes!(users::disable))
        .routes(routes!(users::enable))
        .routes(routes!(keys::add, keys::list))
        .routes(routes!(keys::change))
        .routes(routes!(keys::revoke))
        .routes(routes!(owners::list))
        .routes(routes!(owners::set_tier))
        .routes(routes!(zones::set, zones::list))
        .routes(routes!(credit::give))
        .routes(routes!(credit::make_codes, credit::list_codes))
        .routes(routes!(credit::redeem))
        .routes(routes!(payouts::request, payouts::list))
        .routes(routes!(payouts::approve))
        .routes(routes!(payouts::reject))
        .routes(routes!(ledger::balances))
        .routes(routes!(ledger::statement))
        .routes(routes!(ledger::verify))
        .routes(routes!(disputes::disputes))
        .routes(routes!(disputes::decide))
        .routes(routes!(disputes::findings))
        .routes(routes!(disputes::finding))
        .routes(routes!(ledger::vest))
        .routes(routes!(invites::add, invites::list))
        .routes(routes!(agents::list))
        .routes(routes!(agents::revoke))
        .routes(routes!(accounts::list))
        .routes(routes!(exchanges::list))
        .routes(routes!(exchanges::find))
        .routes(routes!(reload::reload))
        .merge(prices::routes())
        .split_for_parts();
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    description
        .components
        .get_or_insert_default()
        .add_security_scheme("token", SecurityScheme::Http(bearer));
    description.security =
        Some(vec![utoipa::openapi::SecurityRequirement::new("token", Vec::<String>::new())]);
    (router, description)
}
