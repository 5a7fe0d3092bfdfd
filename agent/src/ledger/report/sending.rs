//! What was sent of the chain on one stream, and what the hub has said of it.

use super::Halted;
use crate::ledger::{Ledger, Stored};
use std::collections::{BTreeMap, BTreeSet};
use weft_proto::ledger::{Body, Entry, Position};
use weft_proto::limits::RECEIPTS_IN_FLIGHT_MAX;
use weft_proto::wire::receipts::{Receipt, Verdict};
use weft_transport::Connection;
use weft_transport::receipts::{self, ReceiptSender};
use weft_transport::stream::StreamError;

/// Entries that are read together.
const TOGETHER: usize = 256;

/// Claims that are made again in one go; further ones wait for the next.
const CLAIMS_AGAIN_MAX: usize = 1_024;

/// One stream of receipts.
#[derive(Debug)]
pub(super) struct Sending {
    sender: ReceiptSender,
    /// The next entry to send.
    next: Position,
    /// Where the stream began: the hub had everything before.
    began: Position,
    /// Closes that were sent and of which the hub has said nothing.
    in_flight: BTreeSet<Position>,
    /// Something was sent since the last checkpoint that is not about checkpoints.
    news: bool,
    /// Behind which close the next claims begin; none where all were claimed again.
    claimed: Option<Position>,
}

impl Sending {
    pub(super) async fn open(connection: &Connection, next: Position) -> Result<Self, StreamError> {
        let sender = receipts::open(connection).await?;
        Ok(Self {
            sender,
            next,
            began: next,
            in_flight: BTreeSet::new(),
            news: false,
            claimed: None,
        })
    }

    pub(super) fn stopped(
        &self,
    ) -> impl Future<Output = Option<StreamError>> + Send + Sync + 'static {
        self.sender.stopped()
    }

    /// Whether anything but checkpoints was sent since this was asked last.
    pub(super) const fn take_news(&mut self) -> bool {
        std::mem::replace(&mut self.news, false)
    }

    /// The hub has said something of these closes.
    pub(super) fn answered(&mut self, places: &[Position]) {
        for place in places {
            self.in_flight.remove(place);
        }
    }

    /// Whether something waits for the hub's window.
    pub(super) fn is_flushed(&self) -> bool {
        self.sender.is_flushed()
    }

    /// Sends what was put.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn flush(&mut self) -> Result<(), StreamError> {
        self.sender.flush().await
    }

    /// Puts the next durable entries, once those before are on their way and as far as so many
    /// closes may be without an answer. Says whether there may be more to put.
    pub(super) async fn put_next(&mut self, ledger: &Ledger) -> Result<bool, Halted> {
        let head = ledger.head();
        let is_all = self.next >= (Position { epoch: head.epoch, seq: head.size });
        if is_all {
            return Ok(false);
        }
        if !self.is_flushed() || self.in_flight.len() >= RECEIPTS_IN_FLIGHT_MAX {
            return Ok(true);
        }
        let stored = ledger.entries(self.next, TOGETHER).await?;
        let Some(last) = stored.last().map(|last| last.position) else {
            return Ok(false);
        };
        for Stored { position, bytes, .. } in stored {
            let entry = Entry::decode(&bytes).map_err(crate::ledger::LedgerError::from)?;
            self.sender.put(&Receipt::Entry(bytes.clone()))?;
            match entry.body {
                Body::Close(close) => {
                    self.in_flight.insert(position);
                    self.news = true;
                    // The hub took its OPEN on a stream before this one, and need not have it at
                    // hand: it is brought along, before any word on the close.
                    if close.open < self.began
                        && let Some(open) = exactly(ledger, close.open).await?
                    {
                        self.sender.put(&Receipt::Claim { open: open.bytes, close: bytes })?;
                    }
                }
                Body::Epoch(_) | Body::Open(_) | Body::Acks(_) => self.news = true,
                Body::Checkpoint(_) | Body::Cosigned(_) => {}
            }
        }
        self.next = Position { epoch: last.epoch, seq: last.seq + 1 };
        Ok(true)
    }

    /// Whether the last round of claims has left some out.
    pub(super) const fn is_midway(&self) -> bool {
        self.claimed.is_some()
    }

    /// Puts claims of what the hub had before this stream, or has had for long, without a final word.
    pub(super) async fn claim_again(&mut self, ledger: &Ledger) -> Result<(), Halted> {
        let open = ledger.unacknowledged(self.claimed, CLAIMS_AGAIN_MAX).await?;
        let (first, more) = (self.claimed, open.len() == CLAIMS_AGAIN_MAX);
        // Those that wait for a person's decision must not keep the others from being claimed.
        self.claimed = open.last().map(|close| close.position).filter(|_| more);
        let last = self.claimed;
        let open: Vec<_> = open.into_iter().filter(|close| close.position < self.next).collect();
        let silent = |verdict| match verdict {
            None | Some(Verdict::Later) => true,
            // What the hub keeps for a person to decide is asked after, not counted as in flight.
            Some(Verdict::Disputed | Verdict::Paid | Verdict::Refused) => false,
        };
        let unanswered = open
            .iter()
            .filter(|close| silent(close.verdict) && close.position >= self.began)
            .map(|close| close.position);
        let unanswered: Vec<_> = unanswered.collect();
        for claim in claims(ledger, open.iter().map(|close| close.position).collect()).await? {
            self.sender.put(&claim)?;
        }
        let looked_at = |at: &Position| {
            first.is_none_or(|first| *at > first) && last.is_none_or(|last| *at <= last)
        };
        self.in_flight.retain(|at| !looked_at(at));
        self.in_flight.extend(unanswered);
        Ok(())
    }
}

/// CLOSEs and their OPENs, as they stand in the log.
async fn claims(ledger: &Ledger, closes: Vec<Position>) -> Result<Vec<Receipt>, Halted> {
    let closes = ledger.exactly(closes).await?;
    let mut open_of = Vec::with_capacity(closes.len());
    for stored in &closes {
        let entry = Entry::decode(&stored.bytes).map_err(crate::ledger::LedgerError::from)?;
        open_of.push(match entry.body {
            Body::Close(close) => Some(close.open),
            Body::Epoch(_)
            | Body::Open(_)
            | Body::Acks(_)
            | Body::Checkpoint(_)
            | Body::Cosigned(_) => None,
        });
    }
    let mut opens: Vec<_> = open_of.iter().copied().flatten().collect();
    opens.sort_unstable();
    let opens = ledger.exactly(opens).await?;
    let opens: BTreeMap<_, _> = opens.into_iter().map(|open| (open.position, open)).collect();
    let pair = |(close, open): (Stored, Option<Position>)| {
        let open = opens.get(&open?)?.bytes.clone();
        Some(Receipt::Claim { open, close: close.bytes })
    };
    Ok(closes.into_iter().zip(open_of).filter_map(pair).collect())
}

async fn exactly(ledger: &Ledger, at: Position) -> Result<Option<Stored>, Halted> {
    Ok(ledger.exactly(vec![at]).await?.pop())
}
