//! The figures of money: refusals, overruns, losses, what is held, and whether the ledger agrees
//! with itself. No amount of any one user.

use super::Metrics;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use weft_proto::money::NanoUsd;

/// All of them.
#[derive(Debug)]
pub(super) struct LedgerFigures {
    refusals: Family<CauseLabels, Counter>,
    settlements: Counter,
    overruns: Counter,
    overrun_nanos: Counter,
    breaches: Family<CauseLabels, Counter>,
    agrees: Gauge,
    purses: Gauge,
    orphans: Gauge,
    alerts_dropped: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CauseLabels {
    cause: &'static str,
}

impl LedgerFigures {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let figures = Self {
            refusals: Family::default(),
            settlements: Counter::default(),
            overruns: Counter::default(),
            overrun_nanos: Counter::default(),
            breaches: Family::default(),
            agrees: Gauge::default(),
            purses: Gauge::default(),
            orphans: Gauge::default(),
            alerts_dropped: Counter::default(),
        };
        figures.agrees.set(1);
        let of = |name: &str| format!("ledger_{name}");
        let help = "Requests that credit or a limit refused, by cause";
        registry.register(of("refusals"), help, figures.refusals.clone());
        let help = "Exchanges settled with the store";
        registry.register(of("settlements"), help, figures.settlements.clone());
        let help = "Exchanges that cost more than they had held";
        registry.register(of("overruns"), help, figures.overruns.clone());
        let help = "Nano-USD by which exchanges cost more than they had held";
        registry.register(of("overrun_nanos"), help, figures.overrun_nanos.clone());
        let help = "Things that cannot be, by which: an alarm";
        registry.register(of("breaches"), help, figures.breaches.clone());
        let help = "Whether all debits were all credits when it was last looked at";
        registry.register(of("agrees"), help, figures.agrees.clone());
        let help = "Users of whose credit this node has leased some";
        registry.register(of("purses"), help, figures.purses.clone());
        let help = "Exchanges of the process before that were never settled";
        registry.register(of("orphans"), help, figures.orphans.clone());
        let help = "Alerts of spend limits that nobody took";
        registry.register(of("alerts_dropped"), help, figures.alerts_dropped.clone());
        figures
    }
}

impl Metrics {
    /// Nothing was held for a request, for `cause`, a name from this program's own tables.
    pub fn hold_refused(&self, cause: &'static str) {
        self.ledger().refusals.get_or_create(&CauseLabels { cause }).inc();
    }

    /// An exchange was settled, of whose charge the hold had not covered `overrun`, and nothing
    /// `loss`.
    pub fn settled(&self, overrun: NanoUsd, loss: NanoUsd) {
        let figures = self.ledger();
        figures.settlements.inc();
        if let Ok(nanos @ 1..) = u64::try_from(overrun.nanos()) {
            figures.overruns.inc();
            figures.overrun_nanos.inc_by(nanos);
        }
        if loss.is_positive() {
            self.lost(loss);
        }
    }

    /// Something was found that cannot be, a name from this program's own tables.
    pub fn ledger_breach(&self, cause: &'static str) {
        self.ledger().breaches.get_or_create(&CauseLabels { cause }).inc();
    }

    /// Whether the ledger's sums agree.
    pub fn ledger_agrees(&self, agrees: bool) {
        self.ledger().agrees.set(i64::from(agrees));
    }

    /// So much is held of so many users' credit now.
    pub fn ledger_held(&self, (held, users): (NanoUsd, usize)) {
        self.held(held);
        self.ledger().purses.set(i64::try_from(users).unwrap_or(i64::MAX));
    }

    /// So many exchanges were never settled.
    pub fn orphans(&self, now: usize) {
        self.ledger().orphans.set(i64::try_from(now).unwrap_or(i64::MAX));
    }

    /// Nobody took an alert.
    pub fn alert_dropped(&self) {
        self.ledger().alerts_dropped.inc();
    }
}
