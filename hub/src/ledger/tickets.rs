//! The journal of tickets: an append-only file of this node, which says what was dispatched and how
//! it was settled until the store knows.
//!
//! ```text
//!  opened ─▶ grown* ─▶ settled ─▶ posted        opened ─▶ released
//! ```
//! A record is with the operating system before the call that appended it returns, so that it
//! survives the death of the process; one task syncs the file within [`SYNC_EVERY`], so that a power
//! cut loses no more than that.
//!
//! # Invariants
//! - A segment is deleted only when every exchange that began in it or in one before is over, and in
//!   order: no exchange comes back without its end.
//! - A failed sync ends the hub: what the system has marked clean would be lost in silence.
//! - Of a segment, what follows the first frame that is not whole is not read: it was being written
//!   when the power went.

mod codec;
mod frame;
mod record;

pub use record::{OpenTicket, TICKET_TERMS_BYTES_MAX};
pub(super) use record::{Record, Ticketed};

use super::orphans::Orphan;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use weft_proto::ids::ExchangeId;
use weft_store::Posting;

/// The folder of the journal inside the ledger's.
const FOLDER: &str = "tickets";
/// What the name of a segment ends with.
const SUFFIX: &str = "tickets";
/// A segment that has reached this is followed by another, bytes.
const SEGMENT_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// A segment that is larger was not written by this program, bytes.
const SEGMENT_BYTES_READ_MAX: u64 = 4 * SEGMENT_BYTES_MAX;
/// How long a record waits for the disk at most, beside the sync itself.
const SYNC_EVERY: Duration = Duration::from_millis(4);

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
    /// Settled and perhaps not posted, in the order in which they were settled.
    pub(super) unposted: Vec<Posting>,
}

/// The journal.
#[derive(Debug)]
pub(super) struct Tickets {
    dir: PathBuf,
    /// Whether syncs reach the disk, and wait for it beside the runtime's thread.
    durable: bool,
    files: Mutex<Files>,
    is_dirty: Notify,
}

#[derive(Debug)]
struct Files {
    number: u64,
    current: Arc<File>,
    bytes: u64,
    /// Segments before the current one that were not synced after their last write.
    unsynced: Vec<Arc<File>>,
    is_dirty: bool,
    has_failed: bool,
    /// In which segment each exchange began that is not over.
    began: BTreeMap<ExchangeId, u64>,
    /// How many of those began in each segment that there is; the current one included.
    running: BTreeMap<u64, usize>,
}

impl Tickets {
    /// Reads what the process before left, writes it down anew, and begins a journal with it.
    /// Blocks.
    pub(super) fn open(dir: &Path, durable: bool) -> Result<(Self, Left), TicketsError> {
        let dir = dir.join(FOLDER);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(at(&dir))?;
        let segments = segments(&dir)?;
        let mut replay = Replay::default();
        for (_, path) in &segments {
            let length = fs::metadata(path).map_err(at(path))?.len();
            if length > SEGMENT_BYTES_READ_MAX {
                let source = io::Error::other("a segment is too long");
                return Err(TicketsError::File { path: path.clone(), source });
            }
            let bytes = fs::read(path).map_err(at(path))?;
            let read = frame::read(&bytes, |record| replay.apply(record));
            if read < bytes.len() {
                let left_out = bytes.len() - read;
                tracing::warn!(path = %path.display(), left_out, "the end of a segment is torn");
            }
        }
        let number = segments.last().map_or(1, |(number, _)| number + 1);
        let current = make(&dir, number)?;
        let files = Files {
            number,
            current,
            bytes: 0,
            unsynced: Vec::new(),
            is_dirty: false,
            has_failed: false,
            began: BTreeMap::new(),
            running: BTreeMap::from([(number, 0)]),
        };
        let tickets = Self { dir, durable, files: Mutex::new(files), is_dirty: Notify::new() };
        let left = replay.left();
        for record in left.open.iter().flat_map(Orphan::records) {
            tickets.append(&record)?;
        }
        for posting in &left.unposted {
            tickets.append(&Record::Settled(Box::new(posting.clone())))?;
        }
        tickets.sync_now()?;
        for (_, path) in segments {
            fs::remove_file(&path).map_err(at(&path))?;
        }
        Ok((tickets, left))
    }

    /// Appends a record.
    pub(super) fn append(&self, record: &Record) -> Result<(), TicketsError> {
        let frame = frame::write(record)?;
        let mut files = self.files();
        if files.has_failed {
            return Err(TicketsError::Failed);
        }
        if files.bytes >= SEGMENT_BYTES_MAX {
            self.rotate(&mut files)?;
        }
        if let Err(source) = (&*files.current).write_all(&frame) {
            files.has_failed = true;
            self.is_dirty.notify_one();
            return Err(TicketsError::File { path: self.path(files.number), source });
        }
        files.bytes = files.bytes.saturating_add(frame.len() as u64);
        files.track(record);
        if !std::mem::replace(&mut files.is_dirty, true) {
            self.is_dirty.notify_one();
        }
        Ok(())
    }

    fn rotate(&self, files: &mut Files) -> Result<(), TicketsError> {
        let number = files.number + 1;
        let next = make(&self.dir, number).inspect_err(|_| files.has_failed = true)?;
        let full = std::mem::replace(&mut files.current, next);
        files.unsynced.push(full);
        files.number = number;
        files.bytes = 0;
        files.running.insert(number, 0);
        Ok(())
    }

    /// Syncs what was appended, soon after it was, until `settled` and once more then.
    ///
    /// # Errors
    /// [`TicketsError`] where a write or a sync failed: the hub must end.
    pub(super) async fn keep_synced(
        self: Arc<Self>,
        settled: CancellationToken,
    ) -> Result<(), TicketsError> {
        loop {
            let stopped = tokio::select! {
                biased;
                () = self.is_dirty.notified() => false,
                () = settled.cancelled() => true,
            };
            if !stopped {
                // What others append meanwhile shares the sync.
                tokio::time::sleep(SYNC_EVERY).await;
            }
            if self.durable {
                let tickets = Arc::clone(&self);
                let synced = tokio::task::spawn_blocking(move || tickets.sync_now()).await;
                synced.map_err(|_| TicketsError::Failed)??;
            } else {
                self.sync_now()?;
            }
            if stopped {
                return Ok(());
            }
        }
    }

    /// Syncs what was appended so far, and deletes the segments that are over. Blocks.
    fn sync_now(&self) -> Result<(), TicketsError> {
        let (number, unsynced, current, is_new) = {
            let mut files = self.files();
            if files.has_failed {
                return Err(TicketsError::Failed);
            }
            files.is_dirty = false;
            let unsynced = std::mem::take(&mut files.unsynced);
            let is_new = !unsynced.is_empty();
            (files.number, unsynced, Arc::clone(&files.current), is_new)
        };
        let synced = unsynced
            .iter()
            .chain([&current])
            .filter(|_| self.durable)
            .try_for_each(|file| file.sync_data())
            .and_then(|()| if is_new { File::open(&self.dir)?.sync_all() } else { Ok(()) });
        if let Err(source) = synced {
            self.files().has_failed = true;
            return Err(TicketsError::File { path: self.path(number), source });
        }
        self.delete_finished()
    }

    /// Deletes segments from the oldest on whose exchanges are all over.
    fn delete_finished(&self) -> Result<(), TicketsError> {
        let finished = {
            let mut files = self.files();
            let mut finished = Vec::new();
            while let Some((&number, &running)) = files.running.first_key_value() {
                if running > 0 || number == files.number {
                    break;
                }
                files.running.remove(&number);
                finished.push(number);
            }
            finished
        };
        for number in finished {
            let path = self.path(number);
            match fs::remove_file(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(TicketsError::File { path, source }),
            }
        }
        Ok(())
    }

    fn path(&self, number: u64) -> PathBuf {
        path(&self.dir, number)
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Files {
    /// Keeps count of what runs.
    fn track(&mut self, record: &Record) {
        match record {
            Record::Opened(opened) => self.begins(opened.exchange),
            Record::Settled(posting) => self.begins(posting.settlement.exchange),
            Record::Grown { .. } => {}
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

/// What the records so far say.
#[derive(Debug, Default)]
struct Replay {
    open: BTreeMap<ExchangeId, Orphan>,
    /// In the order of settling.
    settled: BTreeMap<u64, Posting>,
    orders: BTreeMap<ExchangeId, u64>,
    next: u64,
}

impl Replay {
    fn apply(&mut self, record: Record) {
        match record {
            Record::Opened(opened) => match self.open.get_mut(&opened.exchange) {
                Some(orphan) => orphan.attempted(opened),
                None => {
                    self.open.insert(opened.exchange, Orphan::new(opened));
                }
            },
            Record::Grown { exchange, parts } => {
                if let Some(orphan) = self.open.get_mut(&exchange) {
                    orphan.grown(parts);
                }
            }
            Record::Released { exchange } => {
                self.open.remove(&exchange);
            }
            Record::Settled(posting) => {
                let exchange = posting.settlement.exchange;
                self.open.remove(&exchange);
                self.next += 1;
                if let Some(before) = self.orders.insert(exchange, self.next) {
                    self.settled.remove(&before);
                }
                self.settled.insert(self.next, *posting);
            }
            Record::Posted { exchanges } => {
                for exchange in exchanges {
                    if let Some(order) = self.orders.remove(&exchange) {
                        self.settled.remove(&order);
                    }
                }
            }
        }
    }

    fn left(self) -> Left {
        Left {
            open: self.open.into_values().collect(),
            unposted: self.settled.into_values().collect(),
        }
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> TicketsError {
    let path = path.to_owned();
    move |source| TicketsError::File { path, source }
}

fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:012}.{SUFFIX}"))
}

/// The segments that there are, the oldest first.
fn segments(dir: &Path) -> Result<Vec<(u64, PathBuf)>, TicketsError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(at(dir))? {
        let path = entry.map_err(at(dir))?.path();
        if path.extension().is_none_or(|extension| extension != SUFFIX) {
            continue;
        }
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
        if let Some(number) = number {
            found.push((number, path));
        }
    }
    found.sort_unstable();
    Ok(found)
}

fn make(dir: &Path, number: u64) -> Result<Arc<File>, TicketsError> {
    let path = path(dir, number);
    let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path);
    let file = file.map_err(at(&path))?;
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(at(dir))?;
    Ok(Arc::new(file))
}

#[cfg(test)]
mod tests;
