//! Payouts in memory.

use super::{Memory, page};
use crate::{Memo, Page, Payout, PayoutState, Payouts, StoreError, Subject};
use async_trait::async_trait;
use std::ops::Bound;
use weft_proto::ids::OwnerId;
use weft_proto::time::Timestamp;

#[async_trait]
impl Payouts for Memory {
    async fn request(&self, payout: &Payout) -> Result<(), StoreError> {
        self.with(|tables| {
            if !tables.owners.contains_key(&payout.owner) {
                return Err(StoreError::NotFound { what: "owner" });
            }
            if tables.payouts.contains_key(&payout.id) {
                return Err(StoreError::Conflict { what: "payout" });
            }
            tables.payouts.insert(payout.id, payout.clone());
            Ok(())
        })
    }

    async fn decide(
        &self,
        id: Subject,
        state: PayoutState,
        reference: &Memo,
        at: Timestamp,
    ) -> Result<Payout, StoreError> {
        self.with(|tables| {
            let missing = StoreError::NotFound { what: "payout" };
            let payout = tables.payouts.get_mut(&id).ok_or(missing)?;
            if payout.state == PayoutState::Requested {
                payout.state = state;
                payout.reference = Some(reference.clone());
                payout.decided_at = Some(at);
            }
            Ok(payout.clone())
        })
    }

    async fn reopen(&self, id: Subject) -> Result<Payout, StoreError> {
        self.with(|tables| {
            let missing = StoreError::NotFound { what: "payout" };
            let payout = tables.payouts.get_mut(&id).ok_or(missing)?;
            if payout.state == PayoutState::Approved {
                payout.state = PayoutState::Requested;
                payout.reference = None;
                payout.decided_at = None;
            }
            Ok(payout.clone())
        })
    }

    async fn find(&self, id: Subject) -> Result<Option<Payout>, StoreError> {
        self.with(|tables| Ok(tables.payouts.get(&id).cloned()))
    }

    async fn list(
        &self,
        owner: Option<OwnerId>,
        wanted: Page<Subject>,
    ) -> Result<Vec<Payout>, StoreError> {
        self.with(|tables| {
            let Some(owner) = owner else { return Ok(page(&tables.payouts, wanted)) };
            let start = wanted.after.map_or(Bound::Unbounded, Bound::Excluded);
            let payouts = tables.payouts.range((start, Bound::Unbounded)).map(|(_, row)| row);
            let own = payouts.filter(|payout| payout.owner == owner);
            Ok(own.take(wanted.size.as_usize()).cloned().collect())
        })
    }
}
