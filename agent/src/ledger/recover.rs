//! What a log is worth after whatever happened to the process or the machine.
//!
//! ```text
//!  every frame in order ─▶ the verifier      all good            ─▶ go on behind the last one
//!      bad frame ─▶ a later commit follows?  yes                 ─▶ corruption: halt
//!                   below what others saw?   yes                 ─▶ corruption: halt
//!                   neither                  a torn tail         ─▶ set aside, truncated
//! ```
//! Nothing is guessed and nothing is dropped: a torn tail is copied to a `torn-…` file first. The
//! last commit is written again before anything is appended, because a sync of it may have failed
//! in the process before: the system shows such bytes and would never write them.

use super::disk::Disk;
use super::frame;
use super::log::{self, Place, SEGMENT_HEADER_BYTES};
use std::fmt;
use std::io;
use weft_proto::ledger::verify::{Finding, Verifier};
use weft_proto::ledger::{BadEntry, HeadOf, Position};

/// A log that cannot be trusted, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Corruption {
    /// The file.
    pub file: String,
    /// Bytes from its begin.
    pub offset: u64,
    /// What is wrong.
    pub what: Broken,
}

/// What is wrong with a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Broken {
    /// A frame does not hold although later ones do: bytes were changed.
    Frame,
    /// A segment is missing, or begins as none.
    Segment,
    /// An entry does not hold.
    Entry(BadEntry),
    /// An entry does not fit those before it.
    Rule(Finding),
    /// The log ends before what is known to have been in it.
    Short {
        /// The entry that is known and missing.
        known: Position,
    },
}

impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}: ", self.file, self.offset)?;
        match &self.what {
            Broken::Frame => f.write_str("bytes were changed (a later commit is whole)"),
            Broken::Segment => f.write_str("a segment is missing or damaged"),
            Broken::Entry(bad) => write!(f, "{bad}"),
            Broken::Rule(finding) => write!(f, "{finding}"),
            Broken::Short { known } => {
                write!(f, "the log ends before entry {known}, which is known to have been in it")
            }
        }
    }
}

/// Bytes at the log's end that never were whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Torn {
    /// The segment's file.
    pub file: String,
    /// Where they begin.
    pub offset: u64,
    /// How many.
    pub bytes: u64,
}

/// How a reading of the log ended.
#[derive(Debug)]
pub(super) struct Walked {
    /// Behind the last good frame; none where there is no log.
    pub(super) end: Option<Place>,
    /// Where the last commit begins.
    pub(super) last_commit: Option<Place>,
    pub(super) torn: Option<Torn>,
}

/// Why a log could not be read, or not be trusted.
#[derive(Debug)]
pub(super) enum WalkError {
    Disk(io::Error),
    Corrupt(Corruption),
}

impl From<io::Error> for WalkError {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

/// What is known of a log from outside it.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    /// A head that the hub has cosigned: the log reaches it.
    pub(super) cosigned: Option<HeadOf>,
    /// An entry that the index has: it was durable.
    pub(super) indexed: Option<Position>,
}

/// The segments of the log, which are numbered without a gap.
pub(super) fn segments(disk: &dyn Disk) -> Result<Vec<u64>, WalkError> {
    let mut numbers: Vec<u64> = disk.list()?.iter().filter_map(|name| log::number(name)).collect();
    numbers.sort_unstable();
    for (number, expected) in numbers.iter().zip(1..) {
        if *number != expected {
            return Err(corrupt(expected, 0, Broken::Segment));
        }
    }
    Ok(numbers)
}

fn corrupt(segment: u64, offset: usize, what: Broken) -> WalkError {
    let (file, offset) = (log::name(segment), offset as u64);
    WalkError::Corrupt(Corruption { file, offset, what })
}

/// Reads the whole log through `verifier`. Each entry goes to `each` with its place after it held.
/// `strict` ends at the first finding; otherwise findings stay in the verifier and reading goes on.
pub(super) fn walk(
    disk: &dyn Disk,
    known: &Known,
    strict: bool,
    verifier: &mut Verifier,
    mut each: impl FnMut(Place, &[u8], &weft_proto::ledger::Entry),
) -> Result<Walked, WalkError> {
    let numbers = segments(disk)?;
    let mut walked = Walked { end: None, last_commit: None, torn: None };
    for &segment in &numbers {
        let is_last = numbers.last() == Some(&segment);
        let bytes = log::read_segment(disk, segment)?;
        let mut at = SEGMENT_HEADER_BYTES;
        let mut commit = at;
        let good = bytes.get(..SEGMENT_HEADER_BYTES) == Some(&log::header(segment)[..]);
        if !good {
            let follows = frame::later_commit_follows(&bytes, 0);
            if !is_last || follows {
                return Err(corrupt(segment, 0, Broken::Segment));
            }
            walked.torn = Some(torn(segment, 0, bytes.len()));
            walked.end = Some(Place { segment, offset: 0 });
            break;
        }
        walked.end = Some(Place { segment, offset: at as u64 });
        while at < bytes.len() {
            let Some(found) = frame::take(&bytes[at..]) else {
                if !is_last || frame::later_commit_follows(&bytes, at) {
                    return Err(corrupt(segment, at, Broken::Frame));
                }
                walked.torn = Some(torn(segment, at, bytes.len()));
                break;
            };
            if found.back == 0 {
                commit = at;
            } else if found.back != at - commit {
                return Err(corrupt(segment, at, Broken::Frame));
            }
            let entry = verifier
                .push(found.entry)
                .map_err(|bad| corrupt(segment, at, Broken::Entry(bad)))?;
            if let Some(finding) = verifier.findings().first().filter(|_| strict) {
                return Err(corrupt(segment, at, Broken::Rule(*finding)));
            }
            let place = Place { segment, offset: at as u64 };
            each(place, found.entry, &entry);
            at += found.length;
            walked.last_commit = Some(Place { segment, offset: commit as u64 });
            walked.end = Some(Place { segment, offset: at as u64 });
        }
    }
    reaches(known, verifier, &walked)?;
    Ok(walked)
}

fn torn(segment: u64, at: usize, length: usize) -> Torn {
    Torn { file: log::name(segment), offset: at as u64, bytes: (length - at) as u64 }
}

/// Whether the log is as long as it is known to have been.
fn reaches(known: &Known, verifier: &Verifier, walked: &Walked) -> Result<(), WalkError> {
    let head = verifier.head();
    let reached = Position { epoch: head.epoch, seq: head.size };
    let cosigned = known.cosigned.filter(|head| head.size > 0);
    let cosigned = cosigned.map(|head| Position { epoch: head.epoch, seq: head.size - 1 });
    let missing = cosigned.into_iter().chain(known.indexed).find(|known| *known >= reached);
    match missing {
        None => Ok(()),
        Some(known) => {
            let end = walked.end.unwrap_or(Place { segment: 1, offset: 0 });
            let offset = usize::try_from(end.offset).unwrap_or(usize::MAX);
            Err(corrupt(end.segment, offset, Broken::Short { known }))
        }
    }
}

/// Sets a torn tail aside, writes the last commit once more, and makes the first segment where
/// there is none. Returns where the next commit goes.
pub(super) fn settle(disk: &dyn Disk, walked: &Walked) -> io::Result<Place> {
    let Some(mut end) = walked.end else {
        log::Log::begin(disk, 1)?;
        return Ok(Place::FIRST);
    };
    let file = log::name(end.segment);
    if let Some(torn) = &walked.torn {
        let mut bytes = vec![0; usize::try_from(torn.bytes).unwrap_or(0)];
        let read = disk.read(&torn.file, torn.offset, &mut bytes)?;
        bytes.truncate(read);
        // One name for one tail: a restart that was cut short does it again.
        let digits = torn.file.trim_start_matches("log-");
        disk.replace(&format!("torn-{digits}-{}", torn.offset), &bytes)?;
        disk.truncate(&torn.file, torn.offset)?;
    }
    if end.offset < SEGMENT_HEADER_BYTES as u64 {
        disk.write(&file, 0, &log::header(end.segment))?;
        end.offset = SEGMENT_HEADER_BYTES as u64;
    }
    let from = walked.last_commit.filter(|commit| commit.segment == end.segment);
    // A segment that holds nothing yet is all header.
    let from = from.map_or(0, |commit| commit.offset);
    let mut again = vec![0; usize::try_from(end.offset - from).unwrap_or(0)];
    if disk.read(&file, from, &mut again)? != again.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    disk.write(&file, from, &again)?;
    disk.sync(&file)?;
    disk.sync_names()?;
    Ok(end)
}
