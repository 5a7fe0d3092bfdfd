//! What the records of a journal leave: exchanges that are not over, in the order of settling.

use super::record::Record;
use super::{Left, Orphan};
use std::collections::BTreeMap;
use weft_proto::ids::ExchangeId;
use weft_store::{Outcome, Posting};

/// What the records so far say.
#[derive(Debug, Default)]
pub(super) struct Replay {
    open: BTreeMap<ExchangeId, Orphan>,
    ended: BTreeMap<ExchangeId, Outcome>,
    /// In the order of settling.
    settled: BTreeMap<u64, Posting>,
    orders: BTreeMap<ExchangeId, u64>,
    next: u64,
}

impl Replay {
    pub(super) fn apply(&mut self, record: Record) {
        match record {
            Record::Opened(opened) => match self.open.get_mut(&opened.exchange) {
                Some(orphan) => orphan.attempted(opened),
                None => {
                    self.open.insert(opened.exchange, Orphan::new(opened));
                }
            },
            Record::Grown { exchange, parts } => {
                if let Some(orphan) = self.open.get_mut(&exchange) {
                    orphan.grown(parts);
                }
            }
            Record::Released { exchange } => {
                self.open.remove(&exchange);
                self.ended.remove(&exchange);
            }
            Record::Ended(outcome) => {
                self.ended.insert(outcome.exchange, *outcome);
            }
            Record::Settled(posting) => {
                let exchange = posting.settlement.exchange;
                self.open.remove(&exchange);
                self.next += 1;
                if let Some(before) = self.orders.insert(exchange, self.next) {
                    self.settled.remove(&before);
                }
                self.settled.insert(self.next, *posting);
            }
            Record::Posted { exchanges } => {
                for exchange in exchanges {
                    self.ended.remove(&exchange);
                    if let Some(order) = self.orders.remove(&exchange) {
                        self.settled.remove(&order);
                    }
                }
            }
            Record::Checkpoint(_) => {}
        }
    }

    pub(super) fn left(self) -> Left {
        Left {
            open: self.open.into_values().collect(),
            ended: self.ended.into_values().collect(),
            unposted: self.settled.into_values().collect(),
            found: Vec::new(),
        }
    }
}
