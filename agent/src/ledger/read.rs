//! Reading a ledger without running it: for commands, while an agent writes to it too.
//!
//! Never writes, locks or mends. What the writer is about to write looks like a torn tail here and
//! is told as such.

use super::disk::{Disk, Files};
use super::frame::{self, Frame};
use super::log::{self, Place};
use super::recover::{self, Known, Torn};
use super::report::{HUB_PIN, HubKey};
use super::{LedgerError, READ_BYTES_MAX, Stored, key, marker};
use crate::datadir::DataDir;
use bytes::Bytes;
use weft_proto::ledger::verify::{Trust, Verifier};
use weft_proto::ledger::{Body, Entry, Hash, Position, PublicKey};
use zeroize::Zeroizing;

/// Bytes that are read of the log for one entry, and for those near it: two of the index's steps and
/// the longest entry.
const NEAR_BYTES: u64 = 256 << 10;

/// Walks along the log, so many bytes in a reading.
struct Walk<'a> {
    disk: &'a dyn Disk,
    bytes_max: u64,
    /// Where the reading begins.
    at: Place,
    bytes: Vec<u8>,
    /// What of it was walked past.
    walked: usize,
}

impl<'a> Walk<'a> {
    /// Nothing is read yet.
    const fn new(disk: &'a dyn Disk, bytes_max: u64) -> Self {
        Self { disk, bytes_max, at: Place::FIRST, bytes: Vec::new(), walked: 0 }
    }

    /// Where it stands.
    const fn here(&self) -> Place {
        Place { segment: self.at.segment, offset: self.at.offset + self.walked as u64 }
    }

    /// Goes on at `place`.
    fn go_to(&mut self, place: Place) -> Result<(), LedgerError> {
        let read = log::read_from(self.disk, place, self.bytes_max);
        self.bytes =
            read.map_err(|source| LedgerError::Disk { doing: "reading the log", source })?;
        (self.at, self.walked) = (place, 0);
        Ok(())
    }

    /// The entry where it stands, and where that stands in the chain; none at the end of the reading.
    fn entry(&self) -> Result<Option<(Position, Frame<'_>)>, LedgerError> {
        let Some(frame) = frame::take(&self.bytes[self.walked..]) else { return Ok(None) };
        Ok(Some((Entry::decode(frame.entry)?.position, frame)))
    }

    /// Reads on behind what was walked past; `false` at the end of the log.
    fn read_on(&mut self) -> Result<bool, LedgerError> {
        let here = self.here();
        let next = if self.walked > 0 { here } else { here.next_segment() };
        if self.disk.length(&log::name(next.segment)).is_err() {
            return Ok(false);
        }
        self.go_to(next)?;
        Ok(true)
    }
}

impl Stored {
    fn of(position: Position, frame: &Frame<'_>) -> Self {
        let bytes = Bytes::copy_from_slice(frame.entry);
        Self { position, bytes, leaf: Hash::leaf(frame.entry) }
    }
}

/// Entries from `from` on up to `until`, read from `place`, which is at or before `from`.
pub(super) fn entries(
    disk: &dyn Disk,
    place: Place,
    from: Position,
    until: Position,
    limit: usize,
) -> Result<Vec<Stored>, LedgerError> {
    let mut found = Vec::new();
    let mut walk = Walk::new(disk, READ_BYTES_MAX);
    walk.go_to(place)?;
    loop {
        while let Some((position, frame)) = walk.entry()? {
            if position > until || found.len() >= limit {
                return Ok(found);
            }
            if position >= from {
                found.push(Stored::of(position, &frame));
            }
            walk.walked += frame.length;
        }
        // One reading's worth is enough for one answer.
        if !found.is_empty() || !walk.read_on()? {
            return Ok(found);
        }
    }
}

/// The entries at `wanted`, which ascend; one that is not there is left out. `before` says where to
/// begin to read towards an entry: those that stand near each other are read together.
pub(super) fn exactly(
    disk: &dyn Disk,
    wanted: &[Position],
    before: impl Fn(Position) -> Result<Place, LedgerError>,
) -> Result<Vec<Stored>, LedgerError> {
    let mut found = Vec::with_capacity(wanted.len());
    let mut walk = Walk::new(disk, NEAR_BYTES);
    for &wanted in wanted {
        let place = before(wanted)?;
        if walk.bytes.is_empty() || place > walk.here() {
            walk.go_to(place)?;
        }
        loop {
            let Some((position, frame)) = walk.entry()? else {
                if walk.read_on()? {
                    continue;
                }
                return Ok(found);
            };
            if position > wanted {
                break;
            }
            if position == wanted {
                found.push(Stored::of(position, &frame));
            }
            walk.walked += frame.length;
        }
    }
    Ok(found)
}

/// What a reading of a whole ledger found.
#[derive(Debug)]
pub struct Reading {
    /// The rules held against it; its findings are what does not hold.
    pub verifier: Verifier,
    /// Bytes at its end that are no entry (yet).
    pub torn: Option<Torn>,
}

/// Reads the ledger in `data`, entry by entry, through a verifier with this `trust`; each entry also
/// goes to `each`. `idle` says that no agent runs on it, so that everything must be closed.
///
/// # Errors
/// [`LedgerError::Corrupt`] where the bytes do not hold, so that nothing after them can be read;
/// [`LedgerError::Disk`] where it cannot be read.
pub fn read(
    data: &DataDir,
    mut trust: Trust,
    idle: bool,
    mut each: impl FnMut(&Entry),
) -> Result<Reading, LedgerError> {
    let disk = Files::existing(data.ledger_dir(), false);
    let reading = |source| LedgerError::Disk { doing: "reading the log", source };
    if !disk.root().is_dir() || recover::segments(&disk)?.is_empty() {
        // An agent that never ran.
        return Ok(Reading { verifier: Verifier::new(trust), torn: None });
    }
    // The note beside the log is held against the key that the log itself names first.
    let start = log::read_from(&disk, Place::FIRST, READ_BYTES_MAX).map_err(reading)?;
    let first = frame::take(&start).and_then(|first| Entry::decode(first.entry).ok());
    if let Some(Body::Epoch(epoch)) = first.map(|first| first.body) {
        trust.heads.extend(marker::cosigned(&disk, &epoch.key).map_err(reading)?);
    }
    let mut verifier = Verifier::new(trust);
    let known = Known::default();
    let walked = recover::walk(&disk, &known, false, &mut verifier, |_, _, entry| each(entry))?;
    verifier.finish(idle);
    Ok(Reading { verifier, torn: walked.torn })
}

/// The hub's ledger keys that the agent in `data` has pinned, the oldest first; none where it has met
/// no hub yet.
///
/// # Errors
/// [`LedgerError::Disk`] where they cannot be read.
pub fn pinned(data: &DataDir) -> Result<Vec<PublicKey>, LedgerError> {
    let doing = "reading the hub's pinned key";
    let known = HubKey::open(data.ledger_dir().join(HUB_PIN));
    Ok(known.map_err(|source| LedgerError::Disk { doing, source })?.keys())
}

/// What a backup holds of a ledger.
#[derive(Default)]
pub(crate) struct LedgerFiles {
    /// Small files, which a running agent replaces whole: their names, and what they hold.
    pub(crate) small: Vec<(&'static str, Zeroizing<Vec<u8>>)>,
    /// The log's files, which a running agent only appends to: their names, and how much of each.
    pub(crate) log: Vec<(String, u64)>,
}

/// The small files that a backup holds: the key, the newest note that the hub has cosigned, and what
/// is known of the hub. Without the last one a restored agent would believe any key and any journal.
const SMALL: [&str; 3] = [key::FILE, marker::COSIGNED, HUB_PIN];

/// What a backup holds of a ledger. The log is as long as it holds; of one that is being written to,
/// the last commit is left out, because it may not be durable yet. The marker and the index stay
/// behind: a restored ledger begins a new epoch.
///
/// # Errors
/// [`LedgerError`].
pub(crate) fn files_of(data: &DataDir, idle: bool) -> Result<LedgerFiles, LedgerError> {
    let root = data.ledger_dir();
    if !root.is_dir() {
        return Ok(LedgerFiles::default());
    }
    let disk = Files::existing(root, false);
    let reading = |source| LedgerError::Disk { doing: "reading the log", source };
    let names = disk.list().map_err(reading)?;
    let mut files = LedgerFiles::default();
    // Before the log: a cosigned note must speak of entries that the backup has.
    for name in SMALL {
        if names.iter().any(|there| there == name) {
            // Full capacity at once: a buffer that grows leaves copies behind.
            let mut bytes = Zeroizing::new(vec![0; marker::FILE_BYTES_MAX]);
            let read = disk.read(name, 0, &mut bytes).map_err(reading)?;
            bytes.truncate(read);
            files.small.push((name, bytes));
        }
    }
    let mut verifier = Verifier::new(Trust::default());
    let walked = recover::walk(&disk, &Known::default(), false, &mut verifier, |_, _, _| {})?;
    let end = if idle { walked.end } else { walked.last_commit.or(walked.end) };
    for segment in 1..=end.map_or(0, |end| end.segment) {
        let name = log::name(segment);
        let last = end.filter(|end| end.segment == segment).map(|end| end.offset);
        let length = last.map_or_else(|| disk.length(&name).map_err(reading), Ok)?;
        files.log.push((name, length));
    }
    Ok(files)
}

/// Bytes at most of the file of a backup's ledger that is called so; none for any other name.
pub(crate) fn bytes_max(name: &str) -> Option<u64> {
    match name {
        name if SMALL.contains(&name) => Some(marker::FILE_BYTES_MAX as u64),
        name => log::number(name).map(|_| log::SEGMENT_BYTES_MAX),
    }
}
