//! What was sent of the chain on one stream, and what the hub has said of it.

use super::Halted;
use crate::ledger::{Ledger, Stored};
use std::collections::BTreeSet;
use weft_proto::ledger::{Body, Entry, Position};
use weft_proto::limits::RECEIPTS_IN_FLIGHT_MAX;
use weft_proto::wire::receipts::{Receipt, Verdict};
use weft_transport::Connection;
use weft_transport::receipts::{self, ReceiptSender};
use weft_transport::stream::StreamError;

/// Entries that are read and sent together.
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

    /// Sends the durable entries that were not sent, as far as so many closes may be without an
    /// answer.
    pub(super) async fn pump(&mut self, ledger: &Ledger) -> Result<(), Halted> {
        while self.in_flight.len() < RECEIPTS_IN_FLIGHT_MAX {
            let head = ledger.head();
            if self.next >= (Position { epoch: head.epoch, seq: head.size }) {
                return Ok(());
            }
            let stored = ledger.entries(self.next, TOGETHER).await?;
            let Some(last) = stored.last() else {
                return Ok(());
            };
            let next = Position { epoch: last.position.epoch, seq: last.position.seq + 1 };
            let mut frames = Vec::with_capacity(stored.len());
            for Stored { position, bytes, .. } in stored {
                let entry = Entry::decode(&bytes).map_err(crate::ledger::LedgerError::from)?;
                frames.push(Receipt::Entry(bytes.clone()));
                match entry.body {
                    Body::Close(close) => {
                        self.in_flight.insert(position);
                        self.news = true;
                        // The hub took its OPEN on a stream before this one, and need not have it
                        // at hand: it is brought along, before any word on the close.
                        if close.open < self.began
                            && let Some(open) = exactly(ledger, close.open).await?
                        {
                            frames.push(Receipt::Claim { open: open.bytes, close: bytes });
                        }
                    }
                    Body::Epoch(_) | Body::Open(_) | Body::Acks(_) => self.news = true,
                    Body::Checkpoint(_) | Body::Cosigned(_) => {}
                }
            }
            self.sender.send(&frames).await?;
            self.next = next;
        }
        Ok(())
    }

    /// Whether the last round of claims has left some out.
    pub(super) const fn is_midway(&self) -> bool {
        self.claimed.is_some()
    }

    /// Claims again what the hub had before this stream, or has had for long, without a final word.
    pub(super) async fn claim_again(&mut self, ledger: &Ledger) -> Result<(), Halted> {
        let open = ledger.unacknowledged(self.claimed, CLAIMS_AGAIN_MAX).await?;
        let (first, more) = (self.claimed, open.len() == CLAIMS_AGAIN_MAX);
        // Those that wait for a person's decision must not keep the others from being claimed.
        self.claimed = open.last().map(|close| close.position).filter(|_| more);
        let last = self.claimed;
        let mut frames = Vec::new();
        let mut unanswered = BTreeSet::new();
        for close in open.into_iter().filter(|close| close.position < self.next) {
            // What the hub keeps for a person to decide is asked after, not counted as in flight.
            let silent = match close.verdict {
                None | Some(Verdict::Later) => true,
                Some(Verdict::Disputed | Verdict::Paid | Verdict::Refused) => false,
            };
            if silent && close.position >= self.began {
                unanswered.insert(close.position);
            }
            if let Some(claim) = claim(ledger, close.position).await? {
                frames.push(claim);
            }
        }
        let looked_at = |at: &Position| {
            first.is_none_or(|first| *at > first) && last.is_none_or(|last| *at <= last)
        };
        self.in_flight.retain(|at| !looked_at(at));
        self.in_flight.extend(unanswered);
        for frames in frames.chunks(TOGETHER) {
            self.sender.send(frames).await?;
        }
        Ok(())
    }
}

/// A CLOSE and its OPEN, as they stand in the log.
async fn claim(ledger: &Ledger, at: Position) -> Result<Option<Receipt>, Halted> {
    let Some(close) = exactly(ledger, at).await? else {
        return Ok(None);
    };
    let entry = Entry::decode(&close.bytes).map_err(crate::ledger::LedgerError::from)?;
    let Body::Close(body) = entry.body else {
        return Ok(None);
    };
    let open = exactly(ledger, body.open).await?;
    Ok(open.map(|open| Receipt::Claim { open: open.bytes, close: close.bytes }))
}

async fn exactly(ledger: &Ledger, at: Position) -> Result<Option<Stored>, Halted> {
    let found = ledger.entries(at, 1).await?;
    Ok(found.into_iter().next().filter(|stored| stored.position == at))
}
