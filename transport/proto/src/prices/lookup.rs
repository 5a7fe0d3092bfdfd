//! Which row answers a question.

use super::{Draft, Place, Rates, Row, is_name};
use crate::provider::Provider;
use crate::time::Timestamp;
use crate::usage::{Geo, ServiceTier};
use std::collections::BTreeMap;

/// A question to a price book.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// Whose API.
    pub provider: Provider,
    /// The model, as the hub routed it.
    pub model: &'a str,
    /// Where the account is served: the label of a region or a data zone; `None` for a provider's
    /// global host.
    pub place: Option<&'a str>,
    /// The pricing instant.
    pub at: Timestamp,
    /// The service tier in which the provider answered, or is asked to.
    pub tier: ServiceTier,
    /// The geography that the provider reports; where it is a named one, it is the place.
    pub geo: Geo,
}

impl Wanted<'_> {
    fn place(&self) -> Option<&str> {
        match self.geo {
            Geo::Unstated | Geo::Global => self.place.filter(|place| !place.is_empty()),
            Geo::Us | Geo::Other => Some(self.geo.name()),
        }
    }
}

/// Where the rows of a model are.
#[derive(Debug, Clone, Default)]
pub(super) struct Index {
    /// Rows of one model's very name.
    named: BTreeMap<Provider, BTreeMap<String, Vec<usize>>>,
    /// Rows of patterns.
    patterns: BTreeMap<Provider, Vec<usize>>,
}

impl Index {
    pub(super) fn of(rows: &[Row]) -> Self {
        let mut index = Self::default();
        for (at, row) in rows.iter().enumerate() {
            if is_name(&row.model) {
                let models = index.named.entry(row.provider).or_default();
                models.entry(row.model.as_str().to_owned()).or_default().push(at);
            } else {
                index.patterns.entry(row.provider).or_default().push(at);
            }
        }
        index
    }

    /// The rows whose model fits, others among them only if they are of patterns.
    pub(super) fn near(&self, provider: Provider, model: &str) -> impl Iterator<Item = usize> + '_ {
        let named = self.named.get(&provider).and_then(|models| models.get(model));
        let patterns = self.patterns.get(&provider);
        named.into_iter().chain(patterns).flatten().copied()
    }
}

/// How specific a row is about the model; more is more.
pub(super) fn precision(row: &Row) -> usize {
    if is_name(&row.model) {
        return usize::MAX;
    }
    row.model.as_str().bytes().filter(|byte| *byte != b'*').count()
}

pub(super) fn rates(book: &Draft, index: &Index, wanted: &Wanted<'_>) -> Option<Rates> {
    let place = wanted.place();
    let fits = |row: &&Row| {
        row.holds_at(wanted.at)
            && (row.tier == wanted.tier || row.tier == ServiceTier::Standard)
            && row.place.fits(place)
            && scheduled(book, row, wanted.at)
            && row.model.matches(wanted.model)
    };
    let near = || index.near(wanted.provider, wanted.model).filter_map(|at| book.rows.get(at));
    let rank = |row: &&Row| {
        (precision(row), row.tier == wanted.tier, row.place.rank(), row.schedule.is_some())
    };
    let base = near().filter(|row| row.above == 0).filter(fits).max_by_key(rank)?;
    let steps = near().filter(|row| row.above > 0 && same_but_steps(base, row)).filter(fits);
    Rates::of(base, steps)
}

/// Whether `row` is about the very same exchanges as `base`, apart from their size and time.
pub(super) fn same_but_steps(base: &Row, row: &Row) -> bool {
    base.provider == row.provider
        && base.model == row.model
        && base.tier == row.tier
        && base.place == row.place
        && base.schedule == row.schedule
}

fn scheduled(book: &Draft, row: &Row, at: Timestamp) -> bool {
    let Some(name) = &row.schedule else {
        return true;
    };
    let Ok(found) = book.schedules.binary_search_by(|schedule| schedule.name().cmp(name)) else {
        return false;
    };
    let Some(schedule) = book.schedules.get(found) else {
        return false;
    };
    let holidays = schedule.except().and_then(|name| {
        let found = book.holidays.binary_search_by(|list| list.name().cmp(name)).ok()?;
        book.holidays.get(found)
    });
    schedule.holds_at(at, holidays)
}

/// Whether one exchange can be at a place that both mean, and both are equally specific about it.
pub(super) fn places_tie(one: &Place, other: &Place) -> bool {
    one == other
}
