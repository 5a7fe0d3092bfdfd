//! The names of what can be wrong with a ledger, and of whose doing it speaks.

use crate::ledger::entry::Position;
use std::fmt;

macro_rules! checks {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $says:literal;)*) => {
        /// One rule that did not hold.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Check {
            $($(#[$doc])* $name,)*
        }

        impl Check {
            /// All checks.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name in reports and exit messages.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// What it means, for a person.
            #[must_use]
            pub const fn says(self) -> &'static str {
                match self { $(Self::$name => $says,)* }
            }
        }
    };
}

checks! {
    /// Bytes that are no entry.
    Unreadable = "unreadable", "bytes that are no entry of this version";
    /// An entry does not name the leaf before it.
    ChainBroken = "chain_broken", "an entry does not follow the one before it: something was changed, taken out or put in";
    /// The log does not begin with an EPOCH.
    NoEpoch = "no_epoch", "the log does not begin with an EPOCH";
    /// An epoch begins out of order, or an entry is of another one.
    EpochOrder = "epoch_order", "an epoch begins out of order, or an entry belongs to another epoch";
    /// A sequence number is missing or doubled.
    Gap = "gap", "a sequence number is missing or doubled";
    /// The epoch is another agent's or hub's.
    Stranger = "stranger", "the epoch names another agent or hub";
    /// One attempt was opened twice.
    OpenedTwice = "opened_twice", "one attempt of one exchange was opened twice";
    /// An OPEN that nothing closes.
    OpenWithoutClose = "open_without_close", "an OPEN that nothing closes";
    /// A CLOSE without its OPEN, or a second one.
    CloseWithoutOpen = "close_without_open", "a CLOSE whose OPEN is missing, another exchange's, or closed already";
    /// A claim above what the ticket's terms give.
    ClaimAboveTerms = "claim_above_terms", "a CLOSE claims more than list price and ticket give";
    /// An acknowledgement of nothing.
    AckWithoutClose = "ack_without_close", "an acknowledgement of a CLOSE that is not there";
    /// More was acknowledged than claimed.
    AckAboveClaim = "ack_above_claim", "more was acknowledged than claimed";
    /// Two different final words.
    AckedTwice = "acked_twice", "a second word on a CLOSE whose first was final";
    /// A batch that its key did not sign.
    BadAckSignature = "bad_ack_signature", "a batch of acknowledgements that its key did not sign for this agent";
    /// A key that is not the hub's.
    UnknownHubKey = "unknown_hub_key", "a signature by a key that is not known as the hub's";
    /// A checkpoint that does not count its entries.
    CheckpointSize = "checkpoint_size", "a checkpoint that does not count the entries before it";
    /// A checkpoint over other entries.
    CheckpointRoot = "checkpoint_root", "a checkpoint over other entries than those before it";
    /// A checkpoint that the ledger's key did not sign.
    BadSignature = "bad_signature", "a checkpoint that the ledger's key did not sign";
    /// A cosignature of nothing.
    CosignatureWithoutCheckpoint = "cosignature_without_checkpoint", "a cosignature of a checkpoint that is not there";
    /// A cosignature that does not hold.
    BadCosignature = "bad_cosignature", "a cosignature that its key did not make";
    /// A checkpoint names a head of the hub's journal that the hub did not show.
    JournalUnseen = "journal_unseen", "a checkpoint names a head of the hub's journal that was not shown to this agent";
    /// What was shown of the hub's journal shows nothing.
    JournalUnfit = "journal_unfit", "a cosignature that shows a head of the hub's journal by what shows nothing";
    /// The hub's journal is older than it was.
    OldHead = "old_head", "the hub signed a head of its journal that is older than one it had signed before";
    /// The hub's journal is another one than it was.
    TwoFaces = "two_faces", "the hub signed two journals of which neither continues the other";
    /// The hub changed a receipt, or its word on one.
    ChangedReceipt = "changed_receipt", "the hub signed a receipt, or a word on one, that is not what was given or said before";
    /// The log is shorter than somebody else has seen it.
    HeadNotReached = "head_not_reached", "the log is shorter than what was cosigned: its end is missing";
    /// The log is another one than somebody else has seen.
    HeadMismatch = "head_mismatch", "the log is not the one that was cosigned: it was rewritten or forked";
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A rule that did not hold, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finding {
    /// The rule.
    pub check: Check,
    /// The entry, or the place where one is missing.
    pub position: Position,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}: {}", self.check, self.position, self.check.says())
    }
}
