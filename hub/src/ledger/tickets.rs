//! The journal of tickets: an append-only file of this node, which says what was dispatched and how
//! it was settled until the store knows.
//!
//! ```text
//!  opened ─▶ grown* ─▶ ended ─▶ settled ─▶ posted        opened ─▶ released
//! ```
//! A ticket, and what it may cost, is with the operating system before the call that appended it
//! returns, so that it survives the death of the process. How its exchange ended follows within
//! [`keeping::SYNC_EVERY`]: a process that dies in between leaves an orphan, which a claim proves.
//! One task writes that, syncs the file, and signs what stands there ([`checkpoint`]), so that a
//! power cut loses no more than a few milliseconds, and nothing that is signed can be changed in
//! silence.
//!
//! # Invariants
//! - Records stand in the order in which they were appended, whichever of them waited.
//! - A segment is deleted only when every exchange that began in it or in one before is over, and in
//!   order: no exchange comes back without its end.
//! - A failed sync ends the hub: what the system has marked clean would be lost in silence.
//! - Of what no checkpoint covers, what follows the first frame that is not whole is not read: it was
//!   being written when the power went. Damage below a checkpoint has a name, is told, and the
//!   segment is kept aside.

mod checkpoint;
mod codec;
mod frame;
mod keeping;
mod reading;
mod record;
mod replay;
mod segments;

pub(super) use checkpoint::Signer;
pub use reading::{TicketAudit, TicketFinding};
pub use record::{OpenTicket, TICKET_TERMS_BYTES_MAX};
pub(super) use record::{Record, Ticketed};

use super::orphans::Orphan;
use checkpoint::{Newest, Place};
use keeping::Sealing;
use reading::Read;
use replay::Replay;
use std::collections::BTreeMap;
use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use weft_proto::ids::ExchangeId;
use weft_store::{Outcome, Posting};

/// The folder of the journal inside the ledger's.
const FOLDER: &str = "tickets";
/// Records that wait to be written are written at once when they have come to this, bytes.
const WAITING_BYTES_MAX: usize = 64 * 1024;

/// Why the journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TicketsError {
    /// A file of it cannot be read or written.
    #[error("{} cannot be used", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        #[source]
        source: io::Error,
    },
    /// A write or a sync has failed before: nothing that follows it could be trusted.
    #[error("the journal of tickets has failed")]
    Failed,
    /// A ticket's terms are longer than [`TICKET_TERMS_BYTES_MAX`].
    #[error("the terms of a ticket are too long")]
    TooLong,
    /// The hold is over.
    #[error("the hold is over")]
    Over,
}

/// What the process before left.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// Dispatched and never settled.
    pub(super) open: Vec<Orphan>,
    /// How those ended of which the store may not know it, in the order of admission.
    pub(super) ended: Vec<Outcome>,
    /// Settled and perhaps not posted, in the order in which they were settled.
    pub(super) unposted: Vec<Posting>,
    /// What is wrong with what it left.
    pub(super) found: Vec<TicketFinding>,
}

/// The journal.
#[derive(Debug)]
pub(super) struct Tickets {
    dir: PathBuf,
    /// Whether syncs reach the disk, and wait for it beside the runtime's thread.
    durable: bool,
    signer: Signer,
    /// Of the one task that signs; locked before `files`, never behind it.
    sealing: Mutex<Sealing>,
    files: Mutex<Files>,
    is_dirty: Notify,
    /// As many tickets wait for a checkpoint as may.
    is_due: Notify,
}

#[derive(Debug)]
struct Files {
    number: u64,
    current: Arc<File>,
    /// Bytes of the current segment that the operating system has.
    bytes: u64,
    /// What goes into it next: it was appended, and may wait.
    waiting: Vec<u8>,
    /// Segments before the current one that were not synced after their last write.
    unsynced: Vec<Arc<File>>,
    is_dirty: bool,
    has_failed: bool,
    /// Tickets that no checkpoint covers.
    unsigned: u64,
    /// In which segment each exchange began that is not over.
    began: BTreeMap<ExchangeId, u64>,
    /// How many of those began in each segment that there is; the current one included.
    running: BTreeMap<u64, usize>,
}

impl Tickets {
    /// Reads what the process before left, holds it against what it had signed, writes it down anew,
    /// and begins a journal with it. Blocks.
    pub(super) fn open(
        dir: &Path,
        signer: Signer,
        durable: bool,
    ) -> Result<(Self, Left), TicketsError> {
        let dir = dir.join(FOLDER);
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&dir);
        made.map_err(segments::at(&dir))?;
        let mut replay = Replay::default();
        let keys = signer.key.keys();
        let read = Read::whole(&dir, Some(signer.node), &keys, |record| replay.apply(record))?;
        // Nobody else deletes any of it.
        let read = read.ok_or(TicketsError::Failed)?;
        if read.audit.torn > 0 {
            let bytes = read.audit.torn;
            tracing::warn!(dir = %dir.display(), bytes, "the end of the journal of tickets is torn");
        }
        let number = read.segments.last().map_or(1, |(number, _)| number + 1);
        let files = Files {
            number,
            current: segments::make(&dir, number)?,
            bytes: 0,
            waiting: Vec::new(),
            unsynced: Vec::new(),
            is_dirty: false,
            has_failed: false,
            unsigned: 0,
            began: BTreeMap::new(),
            running: BTreeMap::from([(number, 0)]),
        };
        let newest = Newest::open(&dir).map_err(segments::at(&dir))?;
        let sealing = Sealing::new(read.chain, Place { segment: number, offset: 0 }, newest);
        let tickets = Self {
            dir,
            durable,
            signer,
            sealing: Mutex::new(sealing),
            files: Mutex::new(files),
            is_dirty: Notify::new(),
            is_due: Notify::new(),
        };
        let mut left = replay.left();
        left.found = read.audit.findings;
        tickets.begin()?;
        for record in left.open.iter().flat_map(Orphan::records) {
            tickets.append(&record)?;
        }
        for outcome in &left.ended {
            tickets.append(&Record::Ended(Box::new(outcome.clone())))?;
        }
        for posting in &left.unposted {
            tickets.append(&Record::Settled(Box::new(posting.clone())))?;
        }
        tickets.sync_now(true)?;
        for (number, path) in read.segments {
            match read.wrong.contains(&number) {
                true => segments::set_aside(&path)?,
                false => segments::delete(&path)?,
            }
        }
        Ok((tickets, left))
    }

    /// Appends a record. One that [may wait](Record::may_wait) is with the operating system
    /// within [`SYNC_EVERY`](keeping::SYNC_EVERY), any other before this returns.
    pub(super) fn append(&self, record: &Record) -> Result<(), TicketsError> {
        let mut files = self.files();
        if files.has_failed {
            return Err(TicketsError::Failed);
        }
        frame::write(record, &mut files.waiting)?;
        files.track(record);
        if !record.may_wait() || files.waiting.len() >= WAITING_BYTES_MAX {
            self.write_out(&mut files)?;
        }
        if files.unsigned >= keeping::TICKETS_UNSIGNED_MAX {
            self.is_due.notify_one();
        }
        if !std::mem::replace(&mut files.is_dirty, true) {
            self.is_dirty.notify_one();
        }
        Ok(())
    }

    /// Gives the operating system what waits: a settlement is in the journal before it is in the
    /// store.
    pub(super) fn flush(&self) -> Result<(), TicketsError> {
        let mut files = self.files();
        if files.has_failed {
            return Err(TicketsError::Failed);
        }
        self.write_out(&mut files)
    }

    fn write_out(&self, files: &mut Files) -> Result<(), TicketsError> {
        if files.waiting.is_empty() {
            return Ok(());
        }
        if let Err(source) = (&*files.current).write_all(&files.waiting) {
            files.has_failed = true;
            self.is_dirty.notify_one();
            return Err(TicketsError::File { path: self.path(files.number), source });
        }
        files.bytes = files.bytes.saturating_add(files.waiting.len() as u64);
        files.waiting.clear();
        Ok(())
    }

    /// What would be lost if the process died now.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> Vec<Record> {
        let files = self.files();
        let pieces = frame::Pieces::new(&files.waiting);
        pieces
            .filter_map(|(_, _, piece)| match piece {
                frame::Piece::Whole(record, _) => Some(record),
                frame::Piece::Hole => None,
            })
            .collect()
    }

    fn path(&self, number: u64) -> PathBuf {
        segments::path(&self.dir, number)
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Files {
    /// Keeps count of what runs.
    fn track(&mut self, record: &Record) {
        match record {
            Record::Opened(opened) => {
                self.unsigned += 1;
                self.begins(opened.exchange);
            }
            Record::Ended(outcome) => self.begins(outcome.exchange),
            Record::Settled(posting) => self.begins(posting.settlement.exchange),
            Record::Grown { .. } | Record::Checkpoint(_) => {}
            Record::Released { exchange } => self.ends(*exchange),
            Record::Posted { exchanges } => {
                for exchange in exchanges {
                    self.ends(*exchange);
                }
            }
        }
    }

    fn begins(&mut self, exchange: ExchangeId) {
        if let std::collections::btree_map::Entry::Vacant(place) = self.began.entry(exchange) {
            place.insert(self.number);
            *self.running.entry(self.number).or_default() += 1;
        }
    }

    fn ends(&mut self, exchange: ExchangeId) {
        let Some(segment) = self.began.remove(&exchange) else { return };
        if let Some(running) = self.running.get_mut(&segment) {
            *running = running.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests;
