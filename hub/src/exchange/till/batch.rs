//! What a batch holds of its user's balance: a bound for everything that its requests may come to.
//!
//! Nobody can cut a batch when it has become dear, and its results come within a day: the hold is
//! the bound of what they can cost, and is kept until they are billed. A batch whose bound cannot be
//! known is refused.

use super::estimate::price_of_batched;
use super::tab::cap;
use super::{Order, PLACES_MAX, Tab, Till, not_priced};
use crate::config::Unpriced;
use crate::exchange::refusal::Refusal;
use crate::ledger::UserLeg;
use crate::pricing::Quote;
use weft_proto::codes::EndReason;
use weft_proto::meter::{self, AnswerMeter, BatchedRequests, Metered};
use weft_proto::model::ModelName;
use weft_proto::money::{ListPrice, NanoUsd, Ratio};
use weft_proto::tables::routes::Metering;
use weft_proto::usage::{Basis, Class, Geo, ServiceTier, Usage};
use weft_store::{Bearer, Outlay};

impl Till {
    /// Holds what a batch may cost; `None` where it costs nothing.
    pub(super) async fn open_batch(&self, order: Order<'_>) -> Result<Option<Box<Tab>>, Refusal> {
        let Order { caller, ask, places, .. } = order;
        let asked = order.reading.asked().batch;
        if let Some(sum) = asked.iter().find(|sum| sum.unbounded > 0) {
            return Err(unbounded(&sum.model));
        }
        self.has_room_for_later()?;
        let (zone, at) = (self.0.terms.charge(caller.zone()), self.0.clock.now());
        let Some(first) = asked.first() else {
            return Err(Refusal::malformed("batch_empty", "the batch holds no request"));
        };
        let quotes = match ModelName::parse(&first.model) {
            Ok(model) => self.quotes(ask.provider, &model, places, at, zone),
            Err(_) => Vec::new(),
        };
        // It may be served at any of the places: the hold is for the dearest.
        let priced = quotes.iter().take(PLACES_MAX).filter_map(|quote| whole(quote, &asked));
        let Some((list, quote)) = priced.max_by_key(|(list, _)| list.pico()) else {
            return match self.0.money.now().unpriced {
                Unpriced::Refuse => Err(not_priced(&unpriced(&quotes, &asked))),
                Unpriced::Free => Ok(None),
            };
        };
        let amount = list.charge(zone).ok_or_else(|| {
            Refusal::malformed("request_too_dear", "the batch wants more than can be priced")
        })?;
        self.held(order, amount, quote, 0).await.map(Some)
    }
}

/// What all of it may cost at one place, and the quote of its dearest model: by that, results are
/// priced that name a model without a price. `None` where one of its models has none.
fn whole(quote: &Quote, asked: &[BatchedRequests]) -> Option<(ListPrice, Quote)> {
    let mut list = 0_i128;
    let mut dearest: Option<(ListPrice, Quote)> = None;
    for sum in asked {
        let quote = quote.for_model(&sum.model)?;
        let rates = quote.rates(ServiceTier::Batch, sum.geo)?;
        list = list.checked_add(price_of_batched(&rates, sum)?.pico())?;
        let token = |price| ListPrice::ZERO.plus(1, price);
        let unit = token(rates.price(Class::Output, sum.input_max)?)?;
        if dearest.as_ref().is_none_or(|(known, _)| unit.pico() > known.pico()) {
            dearest = Some((unit, quote));
        }
    }
    Some((ListPrice::from_pico(list)?, dearest?.1))
}

/// The first model that has no price.
fn unpriced(quotes: &[Quote], asked: &[BatchedRequests]) -> String {
    let without = asked.iter().find(|sum| {
        let mut priced = quotes.iter().filter_map(|quote| quote.for_model(&sum.model));
        priced.next().is_none()
    });
    without.or_else(|| asked.first()).map(|sum| sum.model.clone()).unwrap_or_default()
}

fn unbounded(model: &str) -> Refusal {
    Refusal::malformed(
        "batch_unbounded",
        format!(
            "a request of the batch for {model} sets no limit to its answer, so that nobody could \
             say what it may cost: every request of a batch must set one (`max_tokens`)"
        ),
    )
}

impl Tab {
    /// The meter of its answer, told what sets the prices of a batch's results apart.
    pub(super) fn in_bands(&self, meter: AnswerMeter) -> AnswerMeter {
        if self.metering != Metering::BatchResults {
            return meter;
        }
        meter.in_bands(self.quote.book().thresholds().into())
    }

    /// What a usage costs by the list: where every class of it has a price, and at any rate.
    pub(super) fn list(
        &self,
        usage: &Usage,
        read: &Metered,
    ) -> (Option<ListPrice>, Option<ListPrice>) {
        if !usage.is_none() && !read.parts.is_empty() {
            let list = meter::worth(&read.parts, |model, geo| {
                self.quote.rates_of(model, read.service_tier, geo)
            });
            return (list, list);
        }
        let rates = self.quote.rates(read.service_tier, read.geo);
        let whole = rates.as_ref().and_then(|rates| rates.list(usage));
        let list = whole.or_else(|| rates.as_ref().and_then(|rates| rates.list_priced(usage)));
        (whole, list)
    }

    /// What results may cost at most: what was held for their batch, whatever they say. What goes
    /// beyond it nobody was asked to pay.
    pub(super) fn bounded(&self, mut leg: UserLeg) -> UserLeg {
        let Some(bound) = self.bound.filter(|bound| leg.outlay.charge > *bound) else {
            return leg;
        };
        let charge = leg.outlay.charge;
        tracing::warn!(exchange = %self.exchange, %charge, %bound, "results beyond their bound");
        let income = cap(bound, self.quote.zone(), leg.metered.tier).min(leg.outlay.income);
        leg.outlay = Outlay { charge: bound, income, ..leg.outlay };
        leg.outlay.rounding = leg.outlay.rounding.min(bound);
        leg.metered.basis = Basis::Bounded;
        leg
    }

    /// What it was to bill can be read by nobody any more: all that was held is charged, and marked as
    /// an estimate. Nobody earns it, for nobody has proven it.
    pub(in super::super) fn owes_bound(mut self, bound: NanoUsd) {
        let Some(hold) = self.hold.take() else { return };
        let metered = weft_store::Metered {
            provider: Some(self.quote.provider()),
            model: ModelName::parse(self.quote.model()).ok(),
            usage: Usage::NONE.with(Class::Request, 1),
            basis: Basis::Estimated,
            service: ServiceTier::Batch.number(),
            geo: Geo::Unstated.number(),
            book: Some(*self.quote.hash().as_bytes()),
            priced_at: self.quote.at(),
            zone: self.quote.zone(),
            tier: Ratio::ZERO,
        };
        self.till.charged(bound, metered.basis);
        let (income, rounding, bearer) = (NanoUsd::ZERO, NanoUsd::ZERO, Bearer::User);
        let outlay = Outlay { charge: bound, income, rounding, bearer };
        let end = EndReason::Complete;
        hold.settle(UserLeg { served: None, metered, end, outlay, linked: false });
    }
}
