//! Outcomes in memory.

use super::Memory;
use crate::{Outcome, Outcomes, PageSize, StoreError};
use async_trait::async_trait;
use std::collections::btree_map::Entry;
use std::ops::Bound;
use weft_proto::ids::ExchangeId;

#[async_trait]
impl Outcomes for Memory {
    async fn append(&self, outcomes: &[Outcome]) -> Result<u64, StoreError> {
        self.with(|tables| {
            let mut fresh = 0;
            for outcome in outcomes {
                if let Entry::Vacant(place) = tables.outcomes.entry(outcome.exchange) {
                    place.insert(outcome.clone());
                    fresh += 1;
                }
            }
            Ok(fresh)
        })
    }

    async fn find(&self, exchange: ExchangeId) -> Result<Option<Outcome>, StoreError> {
        self.with(|tables| Ok(tables.outcomes.get(&exchange).cloned()))
    }

    async fn recent(
        &self,
        size: PageSize,
        before: Option<ExchangeId>,
    ) -> Result<Vec<Outcome>, StoreError> {
        self.with(|tables| {
            let end = before.map_or(Bound::Unbounded, Bound::Excluded);
            let rows = tables.outcomes.range((Bound::Unbounded, end)).rev();
            Ok(rows.take(size.as_usize()).map(|(_, outcome)| outcome.clone()).collect())
        })
    }

    async fn count(&self) -> Result<u64, StoreError> {
        self.with(|tables| Ok(tables.outcomes.len() as u64))
    }
}
