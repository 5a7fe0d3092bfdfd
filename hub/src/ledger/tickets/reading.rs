//! Reads a journal from its first byte to its last, and holds it against what its node has signed.
//!
//! ```text
//!  segments ─▶ frames, holes ─▶ below what was on the disk at a checkpoint? ─ yes ▶ a finding
//!                                                                           └ no ▶ a torn tail
//!  records ─▶ hash over them ─▶ equal to that of each checkpoint? ─ no ▶ a finding, by what differs
//! ```
//! A place was on the disk if the newest checkpoint's own file names it, or a later checkpoint says
//! so: whatever is missing or bent below that was there once, and is damage. Above it a power cut
//! may leave anything, and nothing is read behind the first hole.
//!
//! # Invariants
//! - Nothing is changed, and a journal that is being written is read without a false finding: what
//!   the newest checkpoint says is read first.
//! - What is readable behind damage is read: a bent ticket does not hide the settlements after it.

use super::super::{OpenError, node};
use super::checkpoint::{Chain, Checkpoint, Newest, Place};
use super::frame::{HEAD_BYTES, Piece, Pieces};
use super::record::Record;
use super::{FOLDER, TicketsError, segments};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use weft_proto::ids::NodeId;
use weft_proto::ledger::PublicKey;

/// How often a journal is listed again of which a segment went while it was read.
const TRIES_MAX: usize = 8;

/// What is wrong with a journal of tickets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TicketFinding {
    /// Its name: one of those that `settlement.md` lists.
    pub name: &'static str,
    /// Where, and how.
    pub detail: String,
}

/// What a look at a journal came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TicketAudit {
    /// Records that were read.
    pub records: u64,
    /// Tickets among them.
    pub tickets: u64,
    /// Checkpoints among them that hold.
    pub checkpoints: u64,
    /// Records behind the last checkpoint, which nobody has signed yet.
    pub unsigned: u64,
    /// Bytes behind the last whole record: they were being written when the power went.
    pub torn: u64,
    /// What is wrong.
    pub findings: Vec<TicketFinding>,
}

impl TicketAudit {
    /// Looks at the journal of the node whose ledger is in `dir`, offline or beside the hub that
    /// writes it. `keys` are the hub's ledger key and those before it, the oldest first. Blocks.
    ///
    /// # Errors
    /// [`OpenError`] where a file cannot be read.
    pub fn of(dir: &Path, keys: &[PublicKey]) -> Result<Self, OpenError> {
        let node = node::read(dir).map_err(OpenError::Folder)?;
        Self::of_node(dir, node, keys).map_err(OpenError::Tickets)
    }

    pub(super) fn of_node(
        dir: &Path,
        node: Option<NodeId>,
        keys: &[PublicKey],
    ) -> Result<Self, TicketsError> {
        let dir = dir.join(FOLDER);
        if !dir.is_dir() {
            return Ok(Self::default());
        }
        for _ in 0..TRIES_MAX {
            if let Some(read) = Read::whole(&dir, node, keys, |_| {})? {
                let mut audit = read.audit;
                for (_, path) in segments::aside(&dir)? {
                    let detail = format!("{} was set aside at a start", path.display());
                    audit.findings.push(TicketFinding { name: "segment_set_aside", detail });
                }
                return Ok(audit);
            }
        }
        let source = std::io::Error::other("its segments go faster than they can be read");
        Err(TicketsError::File { path: dir, source })
    }
}

/// A journal that was read.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) audit: TicketAudit,
    /// Its segments.
    pub(super) segments: Vec<(u64, PathBuf)>,
    /// Those of them in which something is wrong.
    pub(super) wrong: BTreeSet<u64>,
    /// What all that was read comes to.
    pub(super) chain: Chain,
}

/// What is known where the reader stands.
struct Reader<'a> {
    node: Option<NodeId>,
    keys: &'a [PublicKey],
    /// Up to where the journal has been on the disk.
    durable: Place,
    /// `None` where it is not known what came before.
    chain: Option<Chain>,
    /// Something before this place was not read.
    after_hole: bool,
    newest: Option<Checkpoint>,
    newest_met: bool,
    read: Read,
}

impl Read {
    /// Reads all of it; `None` where a segment went meanwhile.
    pub(super) fn whole(
        dir: &Path,
        node: Option<NodeId>,
        keys: &[PublicKey],
        mut each: impl FnMut(Record),
    ) -> Result<Option<Self>, TicketsError> {
        // First: all that it names is there then, or is over.
        let newest = Newest::read(dir).map_err(segments::at(dir))?;
        let list = segments::list(dir)?;
        let mut reader = Reader {
            node,
            keys,
            durable: Place::default(),
            chain: None,
            after_hole: false,
            newest: None,
            newest_met: false,
            read: Self {
                audit: TicketAudit::default(),
                segments: list.clone(),
                wrong: BTreeSet::new(),
                chain: Chain::START,
            },
        };
        reader.take_newest(newest);
        for (number, path) in &list {
            let Some(bytes) = segments::read(path)? else { return Ok(None) };
            reader.looks_for_checkpoints(*number, &bytes);
        }
        let mut before: Option<u64> = None;
        for (number, path) in &list {
            let Some(bytes) = segments::read(path)? else { return Ok(None) };
            if let Some(before) = before.filter(|before| before + 1 != *number) {
                let detail = format!("between segments {before} and {number}");
                reader.finds(*number, "segment_missing", detail);
                (reader.chain, reader.after_hole) = (None, true);
            }
            reader.segment(*number, &bytes, &mut each);
            before = Some(*number);
        }
        reader.ends(list.first().map(|(number, _)| *number), before);
        Ok(Some(reader.read))
    }
}

impl Reader<'_> {
    fn finds(&mut self, segment: u64, name: &'static str, detail: String) {
        self.read.wrong.insert(segment);
        self.read.audit.findings.push(TicketFinding { name, detail });
    }

    fn take_newest(&mut self, newest: Option<Checkpoint>) {
        let Some(newest) = newest else { return };
        if !newest.holds(self.keys, self.node) {
            let detail = "the newest checkpoint has no signature of this node's hub".to_owned();
            return self.finds(newest.place.segment, "checkpoint_forged", detail);
        }
        self.durable = newest.place;
        self.newest = Some(newest);
    }

    /// What the checkpoints of a segment say was on the disk.
    fn looks_for_checkpoints(&mut self, number: u64, bytes: &[u8]) {
        for (at, _, piece) in Pieces::new(bytes) {
            if let Piece::Whole(Record::Checkpoint(checkpoint), _) = piece
                && checkpoint.place == (Place { segment: number, offset: at })
                && checkpoint.synced < checkpoint.place
                && checkpoint.synced > self.durable
                && checkpoint.holds(self.keys, self.node)
            {
                self.durable = checkpoint.synced;
            }
        }
    }

    fn segment(&mut self, number: u64, bytes: &[u8], each: &mut impl FnMut(Record)) {
        let length = bytes.len() as u64;
        // Of a segment behind which there is another, nobody knows how long it was.
        let was = match self.durable.segment == number {
            true => Some(self.durable.offset),
            false => None,
        };
        let mut is_cut = false;
        for (at, end, piece) in Pieces::new(bytes) {
            let place = Place { segment: number, offset: at };
            let (record, payload) = match piece {
                Piece::Whole(record, payload) => (record, payload),
                Piece::Hole if place < self.durable => {
                    is_cut |= end == length && was.is_none_or(|was| was > length);
                    let name = if is_cut { "tickets_cut" } else { "tickets_damaged" };
                    let detail = format!("segment {number}, bytes {at} to {end}");
                    self.finds(number, name, detail);
                    (self.chain, self.after_hole) = (None, true);
                    continue;
                }
                Piece::Hole => {
                    self.read.audit.torn += length - at;
                    // The segment after it may carry on from what is gone.
                    (self.chain, self.after_hole) = (None, true);
                    break;
                }
            };
            if let Record::Checkpoint(checkpoint) = &record {
                self.checkpoint(place, checkpoint);
            } else {
                self.read.audit.unsigned += 1;
            }
            let mut chain = self.chain.unwrap_or(self.read.chain);
            chain.push(payload);
            self.chain = self.chain.map(|_| chain);
            self.read.chain = chain;
            self.read.audit.records += 1;
            self.read.audit.tickets += u64::from(Record::is_ticket(payload));
            each(record);
        }
        // The newest checkpoint stands further up where something before it is gone: that has a name.
        if let Some(was) = was.filter(|was| *was > length && !is_cut && !self.newest_met) {
            let detail = format!("segment {number} ends at byte {length} of {was} at least");
            self.finds(number, "tickets_cut", detail);
            (self.chain, self.after_hole) = (None, true);
        }
    }

    fn checkpoint(&mut self, place: Place, checkpoint: &Checkpoint) {
        let Place { segment, offset } = place;
        let here = format!("segment {segment}, byte {offset}");
        if !checkpoint.holds(self.keys, self.node) {
            let detail = format!("{here}: no signature of this node's hub");
            return self.finds(segment, "checkpoint_forged", detail);
        }
        self.newest_met |= self.newest.as_ref() == Some(checkpoint);
        self.read.audit.checkpoints += 1;
        self.read.audit.unsigned = 0;
        let signed = checkpoint.chain;
        match self.chain {
            // The first segment that is left carries on what is over.
            None if offset == 0 || self.after_hole => {}
            None => {
                let detail = format!("{here}: nothing is signed of what comes before");
                self.finds(segment, "checkpoint_missing", detail);
            }
            Some(read) if read == signed => {}
            Some(read) => {
                let name = match read.records.cmp(&signed.records) {
                    std::cmp::Ordering::Less => "tickets_removed",
                    std::cmp::Ordering::Greater => "tickets_added",
                    std::cmp::Ordering::Equal if read.sum == signed.sum => "tickets_reordered",
                    std::cmp::Ordering::Equal => "tickets_changed",
                };
                let (is, was) = (read.records, signed.records);
                let detail = format!("before {here}: {is} records, {was} signed");
                self.finds(segment, name, detail);
            }
        }
        (self.chain, self.after_hole) = (Some(signed), false);
    }

    /// What is missing altogether.
    fn ends(&mut self, first: Option<u64>, last: Option<u64>) {
        let Some(newest) = self.newest.take() else { return };
        let segment = newest.place.segment;
        if last.is_none_or(|last| segment > last) {
            let detail = format!("segment {segment}, which the newest checkpoint is in");
            self.finds(segment, "segment_missing", detail);
        } else if !self.newest_met
            && first.is_some_and(|first| segment >= first)
            && !self.read.wrong.contains(&segment)
        {
            let detail = format!("segment {segment}, byte {}: the newest", newest.place.offset);
            self.finds(segment, "checkpoint_missing", detail);
        }
    }
}

/// How many bytes at the start of `bytes` are whole frames, each of which is handed to `each`.
pub(super) fn payloads(bytes: &[u8], mut each: impl FnMut(&[u8])) -> u64 {
    let mut read = 0;
    while let Some((payload, _)) = super::frame::payload(&bytes[read..]) {
        each(payload);
        read += HEAD_BYTES + payload.len();
    }
    read as u64
}
