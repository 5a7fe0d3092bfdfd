//! The hub's own journal: what agents could not rebuild, each entry chained to the one before.

use super::transfer::numbered;
use sha2::{Digest, Sha256};
use weft_proto::time::Timestamp;

/// The longest body of an entry, bytes.
pub const JOURNAL_BODY_BYTES_MAX: usize = 4_096;

/// What the first entry is chained to.
pub const JOURNAL_GENESIS: [u8; 32] = [0; 32];

numbered! {
    /// What an entry is about. The body is canonical bytes that the writer of the kind defines.
    JournalKind {
        /// Money that came in.
        Deposit = 1, "deposit";
        /// An adjustment by the operator.
        Adjustment = 2, "adjustment";
        /// Promotional credit, by gift or by code.
        Promotion = 3, "promotion";
        /// Money that went out.
        Payout = 4, "payout";
        /// A price book, by its hash.
        PriceBook = 5, "price_book";
        /// A user's key, made or revoked.
        UserKey = 6, "user_key";
        /// An agent, joined or revoked.
        Agent = 7, "agent";
        /// A key by which somebody signs a ledger.
        LedgerKey = 8, "ledger_key";
        /// A user, an owner, their zone or tier.
        Terms = 9, "terms";
        /// A decision about an agent leg.
        Decision = 10, "decision";
    }
}

/// What is to be written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalNote {
    /// What it is about.
    pub kind: JournalKind,
    /// Canonical bytes, at most [`JOURNAL_BODY_BYTES_MAX`].
    pub body: Vec<u8>,
    /// When.
    pub at: Timestamp,
}

/// What was written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalEntry {
    /// Counts from 1.
    pub number: u64,
    /// What it is about.
    pub kind: JournalKind,
    /// Canonical bytes.
    pub body: Vec<u8>,
    /// When.
    pub at: Timestamp,
    /// The hash of the entry before, [`JOURNAL_GENESIS`] for the first.
    pub previous: [u8; 32],
    /// The hash of all of the above.
    pub hash: [u8; 32],
}

impl JournalEntry {
    /// The entry that follows `before`.
    #[must_use]
    pub fn following(before: Option<&Self>, note: &JournalNote) -> Self {
        let (number, previous) =
            before.map_or((1, JOURNAL_GENESIS), |entry| (entry.number + 1, entry.hash));
        let mut entry = Self {
            number,
            kind: note.kind,
            body: note.body.clone(),
            at: note.at,
            previous,
            hash: JOURNAL_GENESIS,
        };
        entry.hash = entry.digest();
        entry
    }

    /// Whether it follows `before` and nothing in it was changed.
    #[must_use]
    pub fn follows(&self, before: Option<&Self>) -> bool {
        let expected = before.map_or((1, JOURNAL_GENESIS), |entry| (entry.number + 1, entry.hash));
        (self.number, self.previous) == expected && self.hash == self.digest()
    }

    /// SHA-256 over a fixed layout: `0x00`, number, kind, time, hash before, length and bytes of the
    /// body; numbers big-endian.
    fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update([0]);
        hash.update(self.number.to_be_bytes());
        hash.update([self.kind.number()]);
        hash.update(self.at.as_micros().to_be_bytes());
        hash.update(self.previous);
        hash.update((self.body.len() as u64).to_be_bytes());
        hash.update(&self.body);
        hash.finalize().into()
    }
}
