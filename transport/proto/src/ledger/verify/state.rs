//! What a verifier remembers of entries that later ones speak of, and the sums it keeps.

use crate::ids::ExchangeId;
use crate::ledger::ack::{Ack, Verdict};
use crate::ledger::body::{Close, End, Open};
use crate::ledger::note::PublicKey;
use crate::money::NanoUsd;
use std::collections::BTreeMap;

/// An OPEN that is not closed.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) open: Open,
}

/// A CLOSE, and the hub's newest word on it.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) exchange: (ExchangeId, u8),
    pub(super) amount: NanoUsd,
    pub(super) word: Option<Seen>,
}

/// A word of the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) verdict: Verdict,
    pub(super) amount: NanoUsd,
}

impl Seen {
    pub(super) const fn is_final(self) -> bool {
        self.verdict.is_final()
    }
}

/// Keys of a hub kept by name at most: a log that names more is no agent's.
const HUB_KEYS_MAX: usize = 64;

/// Counts and sums of a ledger. Sums are exact: an `i128` holds all nano-USD of any log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// Entries.
    pub entries: u64,
    /// Epochs.
    pub epochs: u64,
    /// Exchanges that were opened.
    pub opened: u64,
    /// Closed after a proper end.
    pub closed_proper: u64,
    /// Closed after a cut.
    pub closed_cut: u64,
    /// Closed because the agent did not know.
    pub closed_interrupted: u64,
    /// Final acknowledgements that paid.
    pub paid: u64,
    /// Final acknowledgements that refused.
    pub refused: u64,
    /// Words that were not final.
    pub pending_words: u64,
    /// Checkpoints.
    pub checkpoints: u64,
    /// Checkpoints that the hub cosigned.
    pub cosigned: u64,
    /// Claimed, in nano-USD.
    pub claimed_nanos: i128,
    /// Acknowledged as income, in nano-USD.
    pub income_nanos: i128,
    /// The keys that signed for the hub, with how often.
    pub hub_keys: BTreeMap<PublicKey, u64>,
}

impl Totals {
    pub(super) fn closed(&mut self, close: &Close) {
        match close.end {
            End::Proper => self.closed_proper += 1,
            End::Cut { .. } => self.closed_cut += 1,
            End::Interrupted => self.closed_interrupted += 1,
        }
        self.claimed_nanos += i128::from(close.income.nanos());
    }

    pub(super) fn acked(&mut self, ack: &Ack) {
        match ack.verdict {
            Verdict::Paid => self.paid += 1,
            Verdict::Refused => self.refused += 1,
            Verdict::Later | Verdict::Disputed => self.pending_words += 1,
        }
        self.income_nanos += i128::from(ack.amount.nanos());
    }

    pub(super) fn hub_key(&mut self, key: PublicKey) {
        if self.hub_keys.len() < HUB_KEYS_MAX || self.hub_keys.contains_key(&key) {
            *self.hub_keys.entry(key).or_default() += 1;
        }
    }
}
