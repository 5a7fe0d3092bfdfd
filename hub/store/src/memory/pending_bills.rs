//! What is to be billed later, in memory.

use super::Memory;
use crate::{Home, PageSize, PendingBill, PendingBills, StoreError, Tending};
use async_trait::async_trait;
use std::collections::{BTreeMap, BTreeSet};
use weft_proto::ids::{ExchangeId, NodeId, UserId};
use weft_proto::objects::ObjectId;
use weft_proto::time::Timestamp;

/// The bills, and the ids of what they are for.
#[derive(Debug, Default)]
pub(super) struct PendingTables {
    bills: BTreeMap<ExchangeId, Kept>,
    responses: BTreeSet<(Home, ObjectId)>,
}

/// A bill as it is kept.
#[derive(Debug)]
struct Kept {
    bill: PendingBill,
    /// Who looks after it, and until when.
    node: (NodeId, Timestamp),
    closed: Option<Timestamp>,
}

impl Kept {
    /// Whether that node may look after it.
    fn is_for(&self, tending: &Tending) -> bool {
        self.node.0 == tending.node || self.node.1 <= tending.at
    }

    /// That node looks after it from now on.
    fn tended(&mut self, tending: &Tending) {
        if self.node.0 != tending.node || tending.renews(self.node.1) {
            self.node = (tending.node, tending.until);
        }
    }
}

impl PendingTables {
    /// The open bill of an exchange.
    fn opened(&mut self, made_by: ExchangeId) -> Option<&mut Kept> {
        self.bills.get_mut(&made_by).filter(|kept| kept.closed.is_none())
    }
}

#[async_trait]
impl PendingBills for Memory {
    async fn keep(&self, bill: &PendingBill, tending: &Tending) -> Result<bool, StoreError> {
        self.with(|tables| {
            let PendingTables { bills, responses } = &mut tables.pending_bills;
            let response = (bill.home, bill.response.clone());
            if bills.contains_key(&bill.made_by) || !responses.insert(response) {
                return Ok(false);
            }
            let node = (tending.node, tending.until);
            bills.insert(bill.made_by, Kept { bill: bill.clone(), node, closed: None });
            Ok(true)
        })
    }

    async fn tend(
        &self,
        tending: &Tending,
        after: Option<ExchangeId>,
        size: PageSize,
    ) -> Result<Vec<PendingBill>, StoreError> {
        self.with(|tables| {
            let bills = tables.pending_bills.bills.iter_mut();
            let ours = bills.filter(|(made_by, kept)| {
                kept.closed.is_none()
                    && after.is_none_or(|after| **made_by > after)
                    && kept.is_for(tending)
            });
            let tended = ours.take(size.as_usize()).map(|(_, kept)| {
                kept.tended(tending);
                kept.bill.clone()
            });
            Ok(tended.collect())
        })
    }

    async fn open(
        &self,
        after: Option<ExchangeId>,
        size: PageSize,
    ) -> Result<Vec<PendingBill>, StoreError> {
        self.with(|tables| {
            let bills = tables.pending_bills.bills.iter();
            let open = bills.filter(|(made_by, kept)| {
                kept.closed.is_none() && after.is_none_or(|after| **made_by > after)
            });
            Ok(open.take(size.as_usize()).map(|(_, kept)| kept.bill.clone()).collect())
        })
    }

    async fn owes(&self, user: UserId, response: &ObjectId) -> Result<bool, StoreError> {
        self.with(|tables| {
            let mut open = tables.pending_bills.bills.values().filter(|kept| kept.closed.is_none());
            Ok(open.any(|kept| kept.bill.user == user && kept.bill.response == *response))
        })
    }

    async fn bill_by(
        &self,
        made_by: ExchangeId,
        before: ExchangeId,
        read: ExchangeId,
        tending: &Tending,
    ) -> Result<bool, StoreError> {
        self.with(|tables| {
            let is_nothing = tables.ledger.is_settled_at_nothing(before);
            let open = tables.pending_bills.opened(made_by);
            let Some(kept) = open
                .filter(|kept| is_nothing && kept.bill.biller() == before && kept.is_for(tending))
            else {
                return Ok(false);
            };
            kept.bill.billed_by = Some(read);
            kept.node = (tending.node, tending.until);
            Ok(true)
        })
    }

    async fn close_bill(&self, made_by: ExchangeId, at: Timestamp) -> Result<bool, StoreError> {
        self.with(|tables| {
            let open = tables.pending_bills.opened(made_by);
            Ok(open.map(|kept| kept.closed = Some(at)).is_some())
        })
    }

    async fn forget(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.with(|tables| {
            let PendingTables { bills, responses } = &mut tables.pending_bills;
            let had = bills.len();
            bills.retain(|_, kept| {
                let old = kept.closed.is_some_and(|closed| closed < before);
                if old {
                    responses.remove(&(kept.bill.home, kept.bill.response.clone()));
                }
                !old
            });
            Ok((had - bills.len()) as u64)
        })
    }
}
