//! The figures of the hub, and the narrow handle by which rooms report to them.
//!
//! Label values come from tables of this program, never from a request, so that no stranger can
//! make a new series: routes, providers, reasons and causes, and nothing about users or models.

use super::money::LedgerFigures;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use std::fmt;
use std::sync::Arc;
use weft_proto::money::NanoUsd;
use weft_proto::provider::Provider;
use weft_proto::usage::Basis;
use weft_store::Outcome;

/// What every name begins with.
const PREFIX: &str = "weft_hub";
/// The label of an outcome whose provider was not known before its end.
const PROVIDER_UNKNOWN: &str = "unknown";
/// Upper bounds of the first-byte histogram, seconds: from loopback to a model that thinks.
const FIRST_BYTE_BOUNDS_SECONDS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0];
/// Upper bounds of the duration histogram, seconds.
const DURATION_BOUNDS_SECONDS: [f64; 12] =
    [0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0, 600.0, 3600.0];

/// Takes reports. Cheap to clone; every clone reports to the same figures.
#[derive(Clone)]
pub struct Metrics(Arc<Figures>);

struct Figures {
    registry: Registry,
    exchanges: Family<ExchangeLabels, Counter>,
    in_flight: Gauge,
    bytes: Family<DirectionLabels, Counter>,
    first_byte: Family<ProviderLabels, Histogram, Bounds>,
    duration: Family<ProviderLabels, Histogram, Bounds>,
    retries: Family<CauseLabels, Counter>,
    refusals: Family<CauseLabels, Counter>,
    key_cache: Family<ResultLabels, Counter>,
    object_lookups: Family<ResultLabels, Counter>,
    objects_recorded: Counter,
    tunnels: Gauge,
    accounts: Gauge,
    connections: Gauge,
    charged: Family<BasisLabels, Counter>,
    held: Gauge,
    lost: Counter,
    ledger: LedgerFigures,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ExchangeLabels {
    route: String,
    provider: &'static str,
    end: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProviderLabels {
    provider: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BasisLabels {
    basis: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DirectionLabels {
    direction: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CauseLabels {
    cause: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    result: &'static str,
}

/// Makes histograms with one set of bounds.
#[derive(Debug, Clone, Copy)]
struct Bounds(&'static [f64]);

impl MetricConstructor<Histogram> for Bounds {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// Figures that all stand at zero.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix(PREFIX);
        let exchanges = Family::default();
        registry.register("exchanges", "Ended exchanges, by route and reason", exchanges.clone());
        let in_flight = Gauge::default();
        registry.register("exchanges_in_flight", "Exchanges running now", in_flight.clone());
        let bytes = Family::default();
        let help = "Body bytes of ended exchanges, from users (request) and to them (response)";
        registry.register_with_unit("body", help, Unit::Bytes, bytes.clone());
        let first_byte = Family::new_with_constructor(Bounds(&FIRST_BYTE_BOUNDS_SECONDS));
        let help = "From admission to the first byte of the answer's body";
        registry.register_with_unit("first_byte", help, Unit::Seconds, first_byte.clone());
        let duration = Family::new_with_constructor(Bounds(&DURATION_BOUNDS_SECONDS));
        let help = "From admission to the end of the exchange";
        registry.register_with_unit("duration", help, Unit::Seconds, duration.clone());
        let retries = Family::default();
        let help = "Dispatches repeated on another account, by what the agent said";
        registry.register("retries", help, retries.clone());
        let refusals = Family::default();
        registry.register("refusals", "Requests refused by the hub, by cause", refusals.clone());
        let key_cache = Family::default();
        let help = "Keys found in memory (hit) or looked up in the store (miss)";
        registry.register("key_cache", help, key_cache.clone());
        let object_lookups = Family::default();
        let help = "Verdicts on objects at providers that requests name, by what was found";
        registry.register("object_lookups", help, object_lookups.clone());
        let objects_recorded = Counter::default();
        let help = "Objects at providers that answers made known, recorded as their user's own";
        registry.register("objects_recorded", help, objects_recorded.clone());
        let tunnels = Gauge::default();
        registry.register("tunnels", "Tunnels in force", tunnels.clone());
        let accounts = Gauge::default();
        registry.register("accounts", "Accounts that connected agents offer", accounts.clone());
        let connections = Gauge::default();
        let help = "Connections open at the users' door";
        registry.register("users_connections", help, connections.clone());
        let ledger = LedgerFigures::new(&mut registry);
        let charged = Family::default();
        let help = "What users were charged, in nano-USD, by how far its figures can be trusted";
        registry.register("charged_nano_usd", help, charged.clone());
        let held = Gauge::default();
        let help = "What this node holds of balances for exchanges that run, in nano-USD";
        registry.register("held_nano_usd", help, held.clone());
        let lost = Counter::default();
        let help = "What neither holds nor balances covered and the hub bears, in nano-USD";
        registry.register("loss_nano_usd", help, lost.clone());
        Self(Arc::new(Figures {
            registry,
            exchanges,
            in_flight,
            bytes,
            first_byte,
            duration,
            retries,
            refusals,
            key_cache,
            object_lookups,
            objects_recorded,
            tunnels,
            accounts,
            connections,
            charged,
            held,
            lost,
            ledger,
        }))
    }

    /// An exchange was admitted. Each call is followed by one of [`Metrics::exchange_ended`].
    pub fn exchange_started(&self) {
        self.0.in_flight.inc();
    }

    /// An exchange ended as `outcome` says.
    pub fn exchange_ended(&self, outcome: &Outcome) {
        let figures = &*self.0;
        let provider = outcome.provider.map_or(PROVIDER_UNKNOWN, Provider::name);
        figures.in_flight.dec();
        let labels =
            ExchangeLabels { route: outcome.route.clone(), provider, end: outcome.end.name() };
        figures.exchanges.get_or_create(&labels).inc();
        for (direction, bytes) in
            [("request", outcome.request_bytes), ("response", outcome.response_bytes)]
        {
            figures.bytes.get_or_create(&DirectionLabels { direction }).inc_by(bytes);
        }
        let labels = ProviderLabels { provider };
        if let Some(micros) = outcome.first_byte_after_us {
            figures.first_byte.get_or_create(&labels).observe(seconds(micros));
        }
        figures.duration.get_or_create(&labels).observe(seconds(outcome.ended_after_us));
    }

    /// A request was refused for `cause`, a name from this program's own tables.
    pub fn refused(&self, cause: &'static str) {
        self.0.refusals.get_or_create(&CauseLabels { cause }).inc();
    }

    /// A dispatch is repeated elsewhere, because the agent ended it with `cause`.
    pub fn retried(&self, cause: &'static str) {
        self.0.retries.get_or_create(&CauseLabels { cause }).inc();
    }

    /// A key was found in memory, or was not.
    pub fn key_cache(&self, hit: bool) {
        let result = if hit { "hit" } else { "miss" };
        self.0.key_cache.get_or_create(&ResultLabels { result }).inc();
    }

    /// There was a verdict on the objects that a request names, a name from this program's own tables.
    pub fn objects_looked_up(&self, result: &'static str) {
        self.0.object_lookups.get_or_create(&ResultLabels { result }).inc();
    }

    /// So many objects were recorded as their user's own.
    pub fn objects_recorded(&self, objects: usize) {
        self.0.objects_recorded.inc_by(objects as u64);
    }

    /// So many tunnels are in force now.
    pub fn tunnels(&self, now: usize) {
        self.0.tunnels.set(i64::try_from(now).unwrap_or(i64::MAX));
    }

    /// So many accounts are offered now.
    pub fn accounts(&self, now: usize) {
        self.0.accounts.set(i64::try_from(now).unwrap_or(i64::MAX));
    }

    /// A connection at the users' door was opened.
    pub fn connection_opened(&self) {
        self.0.connections.inc();
    }

    /// A connection at the users' door ended.
    pub fn connection_closed(&self) {
        self.0.connections.dec();
    }

    /// A user was charged, by figures of this basis.
    pub fn charged(&self, amount: NanoUsd, basis: Basis) {
        let nanos = u64::try_from(amount.nanos()).unwrap_or_default();
        self.0.charged.get_or_create(&BasisLabels { basis: basis.name() }).inc_by(nanos);
    }

    /// So much of balances is held now.
    pub fn held(&self, now: NanoUsd) {
        self.0.held.set(now.nanos());
    }

    /// The hub bears so much that nothing covered.
    pub fn lost(&self, amount: NanoUsd) {
        self.0.lost.inc_by(u64::try_from(amount.nanos()).unwrap_or_default());
    }

    /// The figures of money.
    pub(super) fn ledger(&self) -> &LedgerFigures {
        &self.0.ledger
    }

    /// All figures in the OpenMetrics text form.
    ///
    /// # Errors
    /// When a figure cannot be written as text.
    pub fn render(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.0.registry)?;
        Ok(text)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[expect(clippy::cast_precision_loss, reason = "a histogram needs no exact microseconds")]
fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_reported_is_rendered_with_its_labels() {
        let metrics = Metrics::new();
        metrics.exchange_started();
        metrics.tunnels(2);
        metrics.refused("key_unknown");
        metrics.key_cache(false);
        metrics.charged(NanoUsd::new(7), Basis::Estimated);
        metrics.held(NanoUsd::new(3));
        metrics.lost(NanoUsd::new(1));
        let text = metrics.render().unwrap();
        for line in [
            "weft_hub_exchanges_in_flight 1",
            "weft_hub_tunnels 2",
            "weft_hub_refusals_total{cause=\"key_unknown\"} 1",
            "weft_hub_key_cache_total{result=\"miss\"} 1",
            "weft_hub_charged_nano_usd_total{basis=\"estimated\"} 7",
            "weft_hub_held_nano_usd 3",
            "weft_hub_loss_nano_usd_total 1",
            "# EOF",
        ] {
            assert!(text.contains(line), "{line} not in:\n{text}");
        }
    }
}
