//! The parts of an answer that are priced each for itself: the lines of a batch's results, folded.
//!
//! A price depends on the model, on where it was computed, and on how much one request read in all
//! (above a threshold everything is dearer). Lines that agree in these are added up: the sum of their
//! prices is the price of their sum. A meter keeps at most [`PARTS_MAX`] sums, however many lines
//! there are.

use std::sync::Arc;

use crate::money::ListPrice;
use crate::prices::Rates;
use crate::usage::{Geo, Usage};

/// The most sums that one meter keeps. The usage of what comes after goes to the first one: a batch
/// that is let in names fewer models.
pub const PARTS_MAX: usize = 64;

/// One sum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The model as the provider names it, bounded; `None` where it does not.
    pub model: Option<String>,
    /// Where it was computed.
    pub geo: Geo,
    /// Units by class.
    pub usage: Usage,
    /// The most that one request of it read in all. Every other one is priced as this one is.
    pub input_max: u64,
}

/// The sums of one answer.
#[derive(Debug, Default)]
pub(super) struct Parts {
    /// Totals of input above which prices change, in their order.
    bands: Arc<[u64]>,
    sums: Vec<(usize, Part)>,
}

impl Parts {
    pub(super) fn in_bands(bands: Arc<[u64]>) -> Self {
        Self { bands, sums: Vec::new() }
    }

    /// Adds what one request took.
    pub(super) fn add(&mut self, model: Option<String>, geo: Geo, usage: &Usage) {
        if usage.is_none() {
            return;
        }
        let input = usage.input_total();
        let band = self.bands.partition_point(|above| input > *above);
        let full = self.sums.len() >= PARTS_MAX;
        let same = self
            .sums
            .iter_mut()
            .find(|(of, part)| (*of, part.geo) == (band, geo) && part.model == model);
        match same {
            Some((_, part)) => part.add(usage, input),
            None if full => {
                if let Some((_, part)) = self.sums.first_mut() {
                    part.add(usage, input);
                }
            }
            None => self.sums.push((band, Part { model, geo, usage: *usage, input_max: input })),
        }
    }

    pub(super) fn take(&mut self) -> Vec<Part> {
        std::mem::take(&mut self.sums).into_iter().map(|(_, part)| part).collect()
    }
}

impl Part {
    fn add(&mut self, usage: &Usage, input: u64) {
        self.usage = self.usage.plus(usage);
        self.input_max = self.input_max.max(input);
    }
}

/// What `parts` are worth by the list. `rates` are those of a model, or of the one that was agreed on
/// where none is named; a model that has none is priced as the one that was agreed on. Units without
/// a price cost nothing. `None` where nothing prices them, or the sum is out of range.
pub fn worth(
    parts: &[Part],
    mut rates: impl FnMut(Option<&str>, Geo) -> Option<Rates>,
) -> Option<ListPrice> {
    parts.iter().try_fold(ListPrice::ZERO, |sum, part| {
        let named = part.model.as_deref().and_then(|model| rates(Some(model), part.geo));
        let rates = named.or_else(|| rates(None, part.geo))?;
        let price = rates.list_priced_at(&part.usage, part.input_max)?;
        ListPrice::from_pico(sum.pico().checked_add(price.pico())?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ModelPattern;
    use crate::money::UnitPrice;
    use crate::prices::{Draft, PriceBook, Prices, Row, Wanted};
    use crate::provider::Provider;
    use crate::time::Timestamp;
    use crate::usage::{Class, ServiceTier};
    use proptest::prelude::*;

    fn book() -> PriceBook {
        let row = |model: &str, tier, above, input: i64| {
            let price = |pico| UnitPrice::from_pico(pico).expect("a price");
            let prices =
                Prices::NONE.with(Class::Input, price(input)).with(Class::Output, price(input * 4));
            let model = ModelPattern::parse(model).expect("a pattern");
            Row { tier, above, ..Row::new(Provider::Anthropic, model, prices) }
        };
        let rows = vec![
            row("small", ServiceTier::Standard, 0, 10),
            row("small", ServiceTier::Batch, 0, 5),
            row("small", ServiceTier::Batch, 1_000, 9),
            row("large", ServiceTier::Batch, 0, 50),
            row("large", ServiceTier::Batch, 500, 70),
        ];
        PriceBook::new(Draft { rows, ..Draft::default() }).expect("a book")
    }

    fn rates(book: &PriceBook, model: &str, geo: Geo) -> Option<Rates> {
        book.rates(&Wanted {
            provider: Provider::Anthropic,
            model,
            place: None,
            at: Timestamp::from_secs(1_800_000_000),
            tier: ServiceTier::Batch,
            geo,
        })
    }

    proptest! {
        #[test]
        fn the_price_of_the_sums_is_the_sum_of_the_prices_of_all_lines(
            lines in prop::collection::vec((0_u8..3, 0_u64..2_000, 0_u64..50), 0..60),
        ) {
            let book = book();
            let mut parts = Parts::in_bands(book.thresholds().into());
            let mut wanted = 0;
            for (model, input, output) in lines {
                let model = ["small", "large", "unheard-of"][usize::from(model)];
                let usage = Usage::NONE.with(Class::Input, input).with(Class::Output, output);
                parts.add(Some(model.to_owned()), Geo::Global, &usage);
                // What has no price is priced as what was agreed on.
                let priced = if model == "unheard-of" { "large" } else { model };
                let rates = rates(&book, priced, Geo::Global).expect("rates");
                wanted += rates.list(&usage).expect("a price").pico();
            }
            let list = worth(&parts.take(), |model, geo| rates(&book, model.unwrap_or("large"), geo));
            prop_assert_eq!(list.map(ListPrice::pico), Some(wanted));
        }
    }

    #[test]
    fn what_nothing_prices_has_no_worth() {
        let book = book();
        let mut parts = Parts::default();
        let usage = Usage::NONE.with(Class::Input, 1);
        parts.add(None, Geo::Unstated, &usage);
        let parts = parts.take();
        let none = worth(&parts, |model, geo| rates(&book, model.unwrap_or("nothing"), geo));
        assert_eq!(none, None);
        assert_eq!(worth(&[], |_, _| None), Some(ListPrice::ZERO));
    }
}
