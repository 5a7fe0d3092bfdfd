//! The spine: the way of one request from its head to its outcome.
//!
//! ```text
//! Inbound ─admit─▶ Admitted ─plan─▶ Planned ─dispatch─▶ Answering ─relay─▶ response
//!                     └──────────────┴────────┴───────────┴── settle: one outcome each
//! ```
//! Each stage is a value that only the stage before can make, and that the next consumes. From
//! admission on, an exchange carries its [`settle::Record`]: however it ends, by answer, refusal,
//! panic or a dropped connection, exactly one outcome is recorded.
//!
//! The spine carries values between the rooms (auth, routing, tunnels), which do not know each
//! other. It never keeps, changes or logs what a body holds.

pub mod admit;
mod belongings;
mod dispatch;
mod later;
mod plan;
mod readers;
pub mod refusal;
mod relay;
mod rest;
pub mod settle;
pub mod settlement;
pub mod switch;
pub mod till;
mod upload;

use crate::auth::Auth;
use crate::config::LiveLimits;
use crate::lifecycle::Tasks;
use crate::objects::Objects;
use crate::telemetry::Metrics;
use crate::tunnel::Tunnels;
use axum::body::Body;
use belongings::Watched;
use dispatch::Dispatched;
use http::{HeaderMap, Method, Response};
use readers::Readers;
use refusal::Refusal;
use settle::Settler;
use std::net::IpAddr;
use std::sync::Arc;
use till::Till;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use weft_proto::entropy::Entropy;
use weft_proto::provider::{Dialect, Provider};
use weft_proto::tables::routes::Match;
use weft_proto::tables::target::Target;
use weft_proto::time::Clock;
use weft_transport::drain::InFlight;

/// What a request asks of one provider.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Whose API.
    pub provider: Provider,
    /// Path and query at the provider.
    pub target: Target,
    /// The row of the route table that lets it pass.
    pub route: Match,
}

/// A request as the gateway hands it over: its head is parsed, its body untouched.
#[derive(Debug)]
pub struct Inbound {
    /// The method.
    pub method: Method,
    /// What it asks. Where the path alone does not say whose API is meant, a second entry for
    /// `deepseek-*` models.
    pub asks: Vec<Ask>,
    /// The shape in which the caller expects errors.
    pub dialect: Dialect,
    /// All headers as they came.
    pub headers: HeaderMap,
    /// The body, not read yet.
    pub body: Body,
    /// The caller's address.
    pub peer: IpAddr,
    /// Where the exchange goes once its provider has switched, of a request that asks for a
    /// WebSocket.
    pub switch: Option<switch::Slot>,
}

/// What the spine needs of the rest of the hub.
#[derive(Debug, Clone)]
pub struct Needs {
    /// Who may ask.
    pub auth: Arc<Auth>,
    /// Which agents are there.
    pub tunnels: Tunnels,
    /// Whose objects are.
    pub objects: Objects,
    /// Where outcomes go.
    pub settler: Settler,
    /// Who charges; `None` where nobody does.
    pub till: Option<Till>,
    /// Who looks after what goes on when its user is gone.
    pub tasks: Tasks,
    /// Where things are counted.
    pub metrics: Metrics,
    /// What may be spent at most.
    pub limits: LiveLimits,
    /// Wall-clock time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub entropy: Arc<dyn Entropy>,
    /// Cancelled when the hub no longer takes new exchanges.
    pub closing: CancellationToken,
    /// Cancelled when what still runs is cut off by force.
    pub cut_off: CancellationToken,
}

/// Serves exchanges. Cheap to clone; every clone means the same spine.
#[derive(Debug, Clone)]
pub struct Spine(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    needs: Needs,
    /// Memory that exchanges may hold, in KiB.
    memory: Arc<Semaphore>,
    running: InFlight,
    readers: Readers,
    watched: Watched,
}

/// Bytes that one permit of the memory budget stands for.
const MEMORY_UNIT_BYTES: u64 = 1024;

impl Spine {
    /// A spine with nothing on it.
    #[must_use]
    pub fn new(needs: Needs) -> Self {
        let units = usize::try_from(needs.limits.now().memory_bytes_max / MEMORY_UNIT_BYTES)
            .unwrap_or(Semaphore::MAX_PERMITS)
            .min(Semaphore::MAX_PERMITS);
        let memory = Arc::new(Semaphore::new(units));
        Self(Arc::new(Inner {
            needs,
            memory,
            running: InFlight::default(),
            readers: Readers::default(),
            watched: Watched::default(),
        }))
    }

    /// Serves one request. The answer's body goes on as the provider's comes; dropping it tells
    /// the agent at once to stop.
    ///
    /// # Cancel safety
    /// Dropping the call is what happens when the user goes away: the agent is told at once, and
    /// the outcome is recorded.
    pub async fn serve(&self, inbound: Inbound) -> Response<Body> {
        let dialect = inbound.dialect;
        let admitted = match self.admit(inbound).await {
            Ok(admitted) => admitted,
            Err(refusal) => {
                self.0.needs.metrics.refused(refusal.cause());
                return refusal.response(dialect, None);
            }
        };
        let request = admitted.id();
        let refused = |refusal: Refusal| refusal.response(dialect, Some(request));
        // One bound over all that comes before the answer: whatever blocks, the exchange ends.
        let ends_at = admitted.ends_at(self);
        let answering = async {
            let planned = admitted.plan(self).await?;
            planned.dispatch(self).await
        };
        match tokio::time::timeout_at(ends_at, answering).await {
            Ok(Ok(Dispatched::Answering(answering))) => answering.relay(self).await,
            Ok(Ok(Dispatched::Switching(switching))) => switching.accept(self),
            Ok(Err(refusal)) => refused(refusal),
            Err(_) => refused(Refusal::deadline()),
        }
    }

    /// Cuts off users that take nothing, until the hub has no more work.
    pub async fn watch_readers(&self) {
        let sweep = self.0.readers.sweep(self.0.needs.limits.now().stall);
        let done = async {
            self.0.needs.closing.cancelled().await;
            self.0.running.idle().await;
        };
        tokio::select! {
            biased;
            () = done => {}
            () = sweep => {}
        }
    }

    /// Exchanges that run now.
    #[must_use]
    pub fn running(&self) -> &InFlight {
        &self.0.running
    }
}
