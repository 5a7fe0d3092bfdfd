//! Checkpoints: what the node signs of its own journal, so that it can neither deny nor invent a
//! ticket afterwards.
//!
//! ```text
//!  record ─▶ hash of (hash before ‖ record) ─▶ … ─▶ checkpoint: counts, hash, place ─▶ signed
//! ```
//! A checkpoint is a record like any other and under the hash itself: each one binds those before
//! it. The newest one stands in a file of its own too, which is written only when the journal below
//! it is on the disk: a journal that ends before it was cut.
//!
//! # Invariants
//! - The hash runs over all segments and over restarts: a segment begins with a checkpoint that
//!   carries on where the one before it ended.
//! - Nothing here reads the journal, or decides what follows from it.

use super::codec::{Reader, Writer};
use super::frame;
use super::record::Record;
use crate::ledger_key::LedgerKey;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use weft_proto::ids::NodeId;
use weft_proto::ledger::{Hash, PublicKey, Signature};
use weft_proto::time::{Clock, Timestamp};

/// What a checkpoint's signature is over begins with.
const TEXT: &[u8] = b"weft-tickets/v1\n";
/// Goes before what is hashed of a record: neither a leaf nor a node of a tree.
const LINK: [u8; 1] = [0x02];
/// The file of the newest checkpoint, in the journal's folder.
pub(super) const NEWEST_FILE: &str = "newest";
/// A place for a checkpoint in that file, bytes: two of them take turns, so that one is whole.
const SLOT_BYTES: u64 = 512;

/// A place in the journal; the order is that of writing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// The number of the segment.
    pub(crate) segment: u64,
    /// Bytes of it that come before.
    pub(crate) offset: u64,
}

/// What all records up to a place come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chain {
    /// How many there were.
    pub(crate) records: u64,
    /// How many of them were tickets.
    pub(crate) tickets: u64,
    /// The sum of their checksums: it does not depend on their order, and proves nothing.
    pub(crate) sum: u64,
    /// The hash over all of them, in their order.
    pub(crate) hash: Hash,
}

impl Chain {
    /// Of nothing.
    pub(super) const START: Self = Self { records: 0, tickets: 0, sum: 0, hash: Hash::ZERO };

    /// Adds a record by the bytes that its frame holds.
    pub(super) fn push(&mut self, payload: &[u8]) {
        self.records = self.records.saturating_add(1);
        self.tickets = self.tickets.saturating_add(u64::from(Record::is_ticket(payload)));
        self.sum = self.sum.wrapping_add(u64::from(crc32fast::hash(payload)));
        self.hash = Hash::of(&[&LINK, self.hash.as_bytes(), payload]);
    }
}

/// What a node says of its journal up to a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    /// The node.
    pub(crate) node: NodeId,
    /// Where the checkpoint itself stands.
    pub(crate) place: Place,
    /// Up to where the journal was on the disk when this was signed.
    pub(crate) synced: Place,
    /// What comes before it.
    pub(crate) chain: Chain,
    /// When it was signed.
    pub(crate) at: Timestamp,
    /// Over all of that.
    pub(crate) signature: Signature,
}

impl Checkpoint {
    /// Appends everything but the signature.
    fn facts(&self, out: &mut Writer<'_>) {
        out.id(self.node.as_bytes());
        for place in [self.place, self.synced] {
            out.number(place.segment);
            out.number(place.offset);
        }
        for count in [self.chain.records, self.chain.tickets, self.chain.sum] {
            out.number(count);
        }
        out.raw(self.chain.hash.as_bytes());
        out.moment(self.at);
    }

    /// Appends all of it.
    pub(super) fn encode(&self, out: &mut Writer<'_>) {
        self.facts(out);
        out.raw(self.signature.as_bytes());
    }

    pub(super) fn decode(from: &mut Reader<'_>) -> Option<Self> {
        let node = from.id(NodeId::from_slice)?;
        let mut place = || Some(Place { segment: from.number()?, offset: from.number()? });
        let (place, synced) = (place()?, place()?);
        let chain = Chain {
            records: from.number()?,
            tickets: from.number()?,
            sum: from.number()?,
            hash: Hash::new(from.hash()?),
        };
        let (at, signature) = (from.moment()?, Signature::new(from.signature()?));
        Some(Self { node, place, synced, chain, at, signature })
    }

    fn signed(&self) -> Vec<u8> {
        let mut bytes = TEXT.to_vec();
        self.facts(&mut Writer(&mut bytes));
        bytes
    }

    /// Whether one of these keys has signed it, for this node where that is known.
    pub(super) fn holds(&self, keys: &[PublicKey], node: Option<NodeId>) -> bool {
        let signed = self.signed();
        node.is_none_or(|node| node == self.node)
            // The key in force comes last, and has signed nearly all of them.
            && keys.iter().rev().any(|key| key.verifies(&signed, &self.signature))
    }
}

/// Who signs.
#[derive(Debug, Clone)]
pub(crate) struct Signer {
    pub(crate) node: NodeId,
    pub(crate) key: LedgerKey,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Signer {
    /// A checkpoint that stands at `place`.
    pub(super) fn sign(&self, place: Place, synced: Place, chain: Chain) -> Checkpoint {
        let unsigned = Signature::new([0; 64]);
        let (node, at) = (self.node, self.clock.now());
        let mut checkpoint = Checkpoint { node, place, synced, chain, at, signature: unsigned };
        checkpoint.signature = self.key.sign(&checkpoint.signed());
        checkpoint
    }
}

/// The file of the newest checkpoint.
#[derive(Debug)]
pub(super) struct Newest {
    file: File,
    slot: u64,
}

impl Newest {
    /// Opens the file, or makes it. What it says stays until it is written to.
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        let path = dir.join(NEWEST_FILE);
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = file.open(path)?;
        let slots = read_slots(&file)?;
        let newer = u64::from(place_of(&slots[1]) > place_of(&slots[0]));
        Ok(Self { file, slot: newer ^ 1 })
    }

    /// Writes a checkpoint over the older one of two.
    pub(super) fn write(&mut self, checkpoint: &Checkpoint) -> io::Result<()> {
        let mut frame = Vec::with_capacity(256);
        let record = Record::Checkpoint(Box::new(checkpoint.clone()));
        frame::write(&record, &mut frame).map_err(io::Error::other)?;
        self.file.write_all_at(&frame, self.slot * SLOT_BYTES)?;
        self.slot ^= 1;
        Ok(())
    }

    /// What the file in `dir` says; `None` where there is none, or nothing whole in it.
    pub(super) fn read(dir: &Path) -> io::Result<Option<Checkpoint>> {
        let file = match File::open(dir.join(NEWEST_FILE)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(read_slots(&file)?.into_iter().max_by_key(place_of).flatten())
    }
}

fn place_of(slot: &Option<Checkpoint>) -> Option<Place> {
    slot.as_ref().map(|checkpoint| checkpoint.place)
}

fn read_slots(file: &File) -> io::Result<[Option<Checkpoint>; 2]> {
    Ok([read_slot(file, 0)?, read_slot(file, 1)?])
}

fn read_slot(file: &File, slot: u64) -> io::Result<Option<Checkpoint>> {
    let mut bytes = [0; SLOT_BYTES as usize];
    let mut there = 0;
    while there < bytes.len() {
        match file.read_at(&mut bytes[there..], slot * SLOT_BYTES + there as u64)? {
            0 => break,
            more => there += more,
        }
    }
    Ok(match frame::next(&bytes[..there]) {
        Some((Record::Checkpoint(checkpoint), ..)) => Some(*checkpoint),
        Some(_) | None => None,
    })
}
