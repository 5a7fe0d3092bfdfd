//! Responses that are to be billed, in memory.

use super::Memory;
use crate::{Home, PageSize, PendingBill, PendingBills, StoreError};
use async_trait::async_trait;
use std::collections::{BTreeMap, BTreeSet};
use weft_proto::ids::{ExchangeId, UserId};
use weft_proto::objects::ObjectId;
use weft_proto::time::Timestamp;

/// The bills, with the moment at which each was closed, and the ids of their responses.
#[derive(Debug, Default)]
pub(super) struct PendingTables {
    bills: BTreeMap<ExchangeId, (PendingBill, Option<Timestamp>)>,
    responses: BTreeSet<(Home, ObjectId)>,
}

impl PendingTables {
    /// Changes an open bill, and says whether there is one.
    fn change(
        &mut self,
        made_by: ExchangeId,
        change: impl FnOnce(&mut (PendingBill, Option<Timestamp>)),
    ) -> bool {
        let open = self.bills.get_mut(&made_by).filter(|(_, closed)| closed.is_none());
        open.map(change).is_some()
    }
}

#[async_trait]
impl PendingBills for Memory {
    async fn keep(&self, bill: &PendingBill) -> Result<bool, StoreError> {
        self.with(|tables| {
            let PendingTables { bills, responses } = &mut tables.pending_bills;
            let response = (bill.home, bill.response.clone());
            if bills.contains_key(&bill.made_by) || !responses.insert(response) {
                return Ok(false);
            }
            bills.insert(bill.made_by, (bill.clone(), None));
            Ok(true)
        })
    }

    async fn open(
        &self,
        after: Option<ExchangeId>,
        size: PageSize,
    ) -> Result<Vec<PendingBill>, StoreError> {
        self.with(|tables| {
            let bills = tables.pending_bills.bills.iter();
            let open = bills.filter(|(made_by, (_, closed))| {
                closed.is_none() && after.is_none_or(|after| **made_by > after)
            });
            Ok(open.take(size.as_usize()).map(|(_, (bill, _))| bill.clone()).collect())
        })
    }

    async fn owes(&self, user: UserId, response: &ObjectId) -> Result<bool, StoreError> {
        self.with(|tables| {
            let mut open =
                tables.pending_bills.bills.values().filter(|(_, closed)| closed.is_none());
            Ok(open.any(|(bill, _)| bill.user == user && bill.response == *response))
        })
    }

    async fn bill_by(&self, made_by: ExchangeId, read: ExchangeId) -> Result<bool, StoreError> {
        self.with(|tables| {
            Ok(tables.pending_bills.change(made_by, |(bill, _)| bill.billed_by = Some(read)))
        })
    }

    async fn close_bill(&self, made_by: ExchangeId, at: Timestamp) -> Result<bool, StoreError> {
        self.with(|tables| {
            Ok(tables.pending_bills.change(made_by, |(_, closed)| *closed = Some(at)))
        })
    }

    async fn forget(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.with(|tables| {
            let PendingTables { bills, responses } = &mut tables.pending_bills;
            let had = bills.len();
            bills.retain(|_, (bill, closed)| {
                let old = closed.is_some_and(|closed| closed < before);
                if old {
                    responses.remove(&(bill.home, bill.response.clone()));
                }
                !old
            });
            Ok((had - bills.len()) as u64)
        })
    }
}
