//! The agent's ledger without its disk: what an entry is, how entries are chained and proven.
//!
//! ```text
//!  EPOCH ◀─ OPEN ◀─ CLOSE ◀─ ACK ◀─ CHECKPOINT ◀─ COSIGNATURE      each names the leaf before it
//!    └───────┴────────┴───────┴──── leaf = SHA-256(0x00 ‖ entry) ──▶ RFC 6962 tree, one an epoch
//! ```
//! An entry is a fixed binary layout ([`Entry`], big-endian); no JSON is ever hashed. One leaf hash
//! serves the linear chain and the [`tree`]; one signature covers a checkpoint ([`note`], a C2SP
//! signed note), which the hub cosigns. [`verify`] proves a whole log offline, entry by entry. The
//! bytes are described in `agent/docs/ledger-format.md`, and they hold ids, counts, times and
//! amounts: never a prompt, an answer or a hash of one.

pub mod ack;
pub mod body;
mod codec;
mod entry;
pub mod journal;
pub mod note;
pub mod tree;
pub mod verify;

pub use ack::{Ack, AckBatch, SignedAcks, Verdict};
pub use body::{Body, Checkpoint, Close, Cosigned, End, Epoch, HeadOf, HubHead, Open, Why};
pub use entry::{BadEntry, ENTRY_BYTES_MAX, Entry, HEADER_BYTES, Position, VERSION};
pub use journal::{Shown, Witness};
pub use note::{PublicKey, SIGNATURE_BYTES, Signature, SigningKey};
pub use tree::{Frontier, HASH_BYTES, Hash};

/// Where a ledger stands: the size and root of its current epoch's tree, and the leaf that the next
/// entry names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The current epoch; 0 before the first entry.
    pub epoch: u64,
    /// Entries of that epoch.
    pub size: u64,
    /// The root of that epoch's tree.
    pub root: Hash,
    /// The newest entry's leaf, zeros before the first.
    pub last: Hash,
}
