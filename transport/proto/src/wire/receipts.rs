//! What the two ledgers say to each other: greetings, receipts, acknowledgements, checkpoints.
//!
//! Receipts are entries of the agent's own chain, as they stand on its disk, on one stream of the
//! agent's slot 0; everything the hub answers are control messages. What an entry or a batch of
//! acknowledgements proves is for [`crate::ledger`]: here entries are bounded bytes.

mod message;

use super::{Malformed, prefix};
use crate::ids::{AgentId, ExchangeId};
use crate::limits::RECEIPT_BYTES_MAX;
use crate::money::NanoUsd;
use crate::prices::BookHash;
use crate::time::Timestamp;
use bytes::{BufMut, Bytes, BytesMut};
pub(super) use message::{
    AckBatchMessage, AgentLedgerMessage, CosignedMessage, FaultMessage, HubLedgerMessage,
    PricesMessage,
};

/// Bytes of an Ed25519 public key.
pub const KEY_BYTES: usize = 32;

/// Bytes of an Ed25519 signature.
pub const SIGNATURE_BYTES: usize = 64;

/// Bytes of a key with the word of the one before it.
pub const HANDOVER_BYTES: usize = KEY_BYTES + SIGNATURE_BYTES;

/// What the signature of an [`AckBatch`] is made for.
const ACK_DOMAIN: &[u8] = b"weft/1 ack\0";

/// What the signature of an [`Accepted`] head is made for.
const ACCEPTED_DOMAIN: &[u8] = b"weft/1 accepted\0";

/// What the signature of a [`Handover`] is made for.
const HANDOVER_DOMAIN: &[u8] = b"weft/1 ledger key\0";

/// A head of an agent's chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChainHead {
    /// Grows when a backup is restored.
    pub epoch: u64,
    /// How many entries of the epoch it stands for.
    pub size: u64,
    /// The leaf of the last of them.
    pub leaf: [u8; 32],
}

/// A new key, vouched for by the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handover {
    /// The key that was in force before.
    pub from: [u8; KEY_BYTES],
    /// Its signature over [`Handover::signed`] of the new one.
    pub signature: [u8; SIGNATURE_BYTES],
}

impl Handover {
    /// What the old key signs of the new one.
    #[must_use]
    pub fn signed(new: &[u8; KEY_BYTES]) -> Vec<u8> {
        [HANDOVER_DOMAIN, new].concat()
    }
}

/// The agent's ledger, as it greets: the first word of it on a session of slot 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentLedger {
    /// Its public key.
    pub key: [u8; KEY_BYTES],
    /// Where the key follows another.
    pub handover: Option<Handover>,
    /// What is durable on its disk; none where there is no entry.
    pub head: Option<ChainHead>,
    /// Price books that it has, the newest first; at most
    /// [`BOOKS_MAX`](crate::limits::BOOKS_MAX).
    pub books: Vec<BookHash>,
}

/// What the hub has taken of an agent's chain, under its signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// The last entry that it has.
    pub head: ChainHead,
    /// The hub's ledger key over [`Accepted::signed`].
    pub signature: [u8; SIGNATURE_BYTES],
}

impl Accepted {
    /// What the hub signs of the head that it has of this agent's chain: fixed widths, big-endian.
    #[must_use]
    pub fn signed(agent: AgentId, head: &ChainHead) -> Vec<u8> {
        let numbers = [head.epoch.to_be_bytes(), head.size.to_be_bytes()].concat();
        [ACCEPTED_DOMAIN, agent.as_bytes(), &numbers, &head.leaf].concat()
    }
}

/// The hub's ledger, as it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubLedger {
    /// Its public key, with which batches of acknowledgements and cosignatures are made.
    pub key: [u8; KEY_BYTES],
    /// Where the key follows others: the word of each on the next one, the oldest first, and of the
    /// last on `key`. At most [`HANDOVERS_MAX`](crate::limits::HANDOVERS_MAX).
    pub handovers: Vec<Handover>,
    /// What the hub has taken of this agent's chain: receipts begin behind it. None where it has
    /// taken nothing.
    pub accepted: Option<Accepted>,
}

/// What became of a receipt. The number is the wire's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Verdict {
    /// Settled: the amount is the income. Nothing follows.
    Paid = 1,
    /// Taken and kept; the hub decides later. Another acknowledgement follows.
    Later = 2,
    /// The two records differ. The hub keeps both and a deadline. Another acknowledgement follows.
    Disputed = 3,
    /// It earns nothing, and the hub keeps the evidence. Nothing follows.
    Refused = 4,
}

impl Verdict {
    /// All verdicts, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Paid, Self::Later, Self::Disputed, Self::Refused];

    /// The verdict with this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| *verdict as u8 == number)
    }

    /// Whether nothing follows.
    #[must_use]
    pub const fn is_final(self) -> bool {
        match self {
            Self::Paid | Self::Refused => true,
            Self::Later | Self::Disputed => false,
        }
    }

    /// The name in files and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Paid => "paid",
            Self::Later => "later",
            Self::Disputed => "disputed",
            Self::Refused => "refused",
        }
    }
}

/// The hub's word on one receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack {
    /// The exchange.
    pub exchange: ExchangeId,
    /// The attempt of it that the receipt is of.
    pub attempt: u8,
    /// The sequence number of the CLOSE in the agent's chain.
    pub seq: u64,
    /// What became of it.
    pub verdict: Verdict,
    /// The income; zero unless it was paid.
    pub amount: NanoUsd,
}

/// Many acknowledgements under one signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AckBatch {
    /// Whose receipts they are.
    pub agent: AgentId,
    /// The epoch of the chain that the sequence numbers are of.
    pub epoch: u64,
    /// When the hub made it.
    pub at: Timestamp,
    /// One to [`ACKS_PER_BATCH_MAX`](crate::limits::ACKS_PER_BATCH_MAX) acknowledgements.
    pub acks: Vec<Ack>,
    /// The hub's ledger key over [`AckBatch::signed`].
    pub signature: [u8; SIGNATURE_BYTES],
}

impl AckBatch {
    /// The bytes that the signature is made over: fixed widths, big-endian.
    #[must_use]
    pub fn signed(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(ACK_DOMAIN.len() + 40 + self.acks.len() * 34);
        out.extend_from_slice(ACK_DOMAIN);
        out.extend_from_slice(self.agent.as_bytes());
        out.extend_from_slice(&self.epoch.to_be_bytes());
        out.extend_from_slice(&self.at.as_micros().to_be_bytes());
        out.extend_from_slice(&(self.acks.len() as u64).to_be_bytes());
        for ack in &self.acks {
            out.extend_from_slice(ack.exchange.as_bytes());
            out.push(ack.attempt);
            out.extend_from_slice(&ack.seq.to_be_bytes());
            out.push(ack.verdict as u8);
            out.extend_from_slice(&ack.amount.nanos().to_be_bytes());
        }
        out
    }
}

/// A price book to come, on a stream of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PricesOffer {
    /// The book's hash: its name.
    pub hash: BookHash,
    /// Bytes of it, at most [`PRICE_BOOK_BYTES_MAX`](crate::limits::PRICE_BOOK_BYTES_MAX).
    pub size: u32,
    /// The hub's ledger key over the book, as the price book's own rules say.
    pub signature: [u8; SIGNATURE_BYTES],
    /// Exchanges are priced by it from now on; otherwise it is one that tickets in flight name.
    pub active: bool,
}

/// The hub's signature under a checkpoint of the agent's chain, and over the head of its own journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cosigned {
    /// The epoch of the checkpoint.
    pub epoch: u64,
    /// The entries that it stands for.
    pub size: u64,
    /// When the hub signed, in seconds since 1970.
    pub at_secs: u64,
    /// The hub's ledger key over the checkpoint and the journal's head, as [`crate::ledger`] says.
    pub signature: [u8; SIGNATURE_BYTES],
    /// The head of the hub's own journal, for the agent's next checkpoint.
    pub journal: JournalHead,
    /// How it is shown.
    pub how: Showing,
    /// The nodes that show it, at most [`JOURNAL_NODES_MAX`](crate::limits::JOURNAL_NODES_MAX).
    pub nodes: Vec<[u8; 32]>,
}

/// How a head of the hub's journal is shown. The number is the wire's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Showing {
    /// To an agent that names no head: by the peaks of its tree.
    First = 1,
    /// As what the head that the agent names has grown to: by what was added.
    Grown = 2,
    /// In place of the head that the agent names, which the hub admits not to have: by its peaks.
    Restored = 3,
}

impl Showing {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::First, Self::Grown, Self::Restored];

    /// The one with this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|how| *how as u8 == number)
    }

    /// The word in signed texts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Grown => "grown",
            Self::Restored => "restored",
        }
    }
}

/// A head of the hub's own journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct JournalHead {
    /// How many entries it has.
    pub size: u64,
    /// The root of the tree over their hashes.
    pub root: [u8; 32],
}

/// What the hub found wrong with the agent's chain. The number is the wire's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum ChainFault {
    /// Two different entries with one sequence number.
    Fork = 1,
    /// The agent's head is behind what the hub has taken, without a new epoch: a restored backup.
    Regress = 2,
    /// An entry does not follow the one before it.
    Broken = 3,
    /// The ledger's key is not the one that the hub knows, and nothing vouches for it.
    Key = 4,
    /// A checkpoint does not agree with the entries before it.
    Checkpoint = 5,
}

impl ChainFault {
    /// All faults, in the order of their numbers.
    pub const ALL: [Self; 5] =
        [Self::Fork, Self::Regress, Self::Broken, Self::Key, Self::Checkpoint];

    /// What a person reads.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Fork => "the agent's chain forks: two entries have one number (chain_fork)",
            Self::Regress => {
                "the agent's chain is shorter than what the hub has taken of it (chain_regress)"
            }
            Self::Broken => "an entry does not follow the one before it (chain_broken)",
            Self::Key => "the agent's ledger key changed without the old one's word (ledger_key)",
            Self::Checkpoint => "a checkpoint contradicts its entries (checkpoint_mismatch)",
        }
    }
}

/// The hub takes no more receipts on this session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LedgerFault {
    /// Why.
    pub fault: ChainFault,
    /// Of which epoch.
    pub epoch: u64,
    /// At which entry.
    pub seq: u64,
}

/// One frame of the receipts stream: `kind | block`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Receipt {
    /// An entry of the chain, as it stands on the agent's disk. Each follows the one before.
    Entry(Bytes),
    /// A CLOSE that the hub has taken before and not said its last word of, with its OPEN: both as
    /// they stand on the agent's disk. A claim is the same receipt once more.
    Claim {
        /// The OPEN.
        open: Bytes,
        /// The CLOSE.
        close: Bytes,
    },
}

const ENTRY: u8 = 0x01;
const CLAIM: u8 = 0x02;

impl Receipt {
    /// Appends the frame.
    ///
    /// # Errors
    /// [`Malformed`] for what [`Receipt::take`] would refuse.
    pub fn encode(&self, out: &mut BytesMut) -> Result<(), Malformed> {
        let pair;
        let (kind, block): (u8, &[u8]) = match self {
            Self::Entry(entry) => (ENTRY, entry),
            Self::Claim { open, close } => {
                let length = u16::try_from(open.len()).map_err(|_| Malformed("claim"))?;
                if open.is_empty() || close.is_empty() {
                    return Err(Malformed("claim"));
                }
                pair = [&length.to_be_bytes(), &open[..], &close[..]].concat();
                (CLAIM, &pair)
            }
        };
        if block.is_empty() {
            return Err(Malformed("empty receipt"));
        }
        out.put_u8(kind);
        prefix::encode(block, RECEIPT_BYTES_MAX, out)
    }

    /// Takes one whole frame from the front of `input`, or `None` where more bytes are needed.
    ///
    /// # Errors
    /// [`Malformed`] for an unknown kind, an empty frame or one over its limit: nothing is buffered
    /// for it.
    pub fn take(input: &mut BytesMut) -> Result<Option<Self>, Malformed> {
        let Some(&kind) = input.first() else {
            return Ok(None);
        };
        if !matches!(kind, ENTRY | CLAIM) {
            return Err(Malformed("receipt kind"));
        }
        let Some(block) = prefix::decode_behind(1, input, RECEIPT_BYTES_MAX)? else {
            return Ok(None);
        };
        if block.is_empty() {
            return Err(Malformed("empty receipt"));
        }
        if kind == ENTRY {
            return Ok(Some(Self::Entry(block)));
        }
        let (length, mut pair) = block.split_first_chunk::<2>().ok_or(Malformed("claim"))?;
        let length = usize::from(u16::from_be_bytes(*length));
        if length == 0 || length >= pair.len() {
            return Err(Malformed("claim"));
        }
        let open = block.slice_ref(pair.split_off(..length).ok_or(Malformed("claim"))?);
        Ok(Some(Self::Claim { open, close: block.slice_ref(pair) }))
    }
}
