//! What one task does behind the exchanges: it writes what waits, syncs it, signs what stands there,
//! and deletes what is over.
//!
//! ```text
//!  dirty ─ 4 ms ─▶ write what waits ─▶ sync ─┬─ 100 ms, or 256 tickets ─▶ hash, sign, write ─▶ sync
//!                                            └─ and the newest checkpoint's own file
//! ```
//! What is to be hashed is read back from the file, so that nothing is copied on the way of a
//! request, and nothing piles up while a disk is slow.

use super::checkpoint::{Chain, Checkpoint, Newest, Place};
use super::record::Record;
use super::{Files, Tickets, TicketsError, frame, reading, segments};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long a record waits for the disk at most, beside the sync itself.
pub(super) const SYNC_EVERY: Duration = Duration::from_millis(4);
/// How long a record waits for a checkpoint at most, beside the sync itself.
const SIGN_EVERY: Duration = Duration::from_millis(100);
/// As many tickets that no checkpoint covers are followed by one at the next sync.
pub(super) const TICKETS_UNSIGNED_MAX: u64 = 256;
/// A segment that has reached this is followed by another, bytes.
const SEGMENT_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// What is read of a segment at once to be hashed, bytes: more than the longest frame.
const CHUNK_BYTES: usize = 4 * frame::PAYLOAD_BYTES_MAX;

/// What the task knows of the journal, and nobody else needs.
#[derive(Debug)]
pub(super) struct Sealing {
    /// What the records up to `hashed` come to.
    chain: Chain,
    hashed: Place,
    /// Up to where a checkpoint covers it, and where that ends.
    covered: Place,
    /// Up to where the journal is on the disk.
    synced: Place,
    newest: Newest,
    /// What the newest checkpoint's own file is to say after the next sync.
    unsaid: Option<Checkpoint>,
}

impl Sealing {
    pub(super) const fn new(chain: Chain, place: Place, newest: Newest) -> Self {
        Self { chain, hashed: place, covered: place, synced: place, newest, unsaid: None }
    }

    /// Hashes what a segment holds up to `end`.
    fn hash(&mut self, file: &File, end: u64) -> io::Result<()> {
        let mut chunk = Vec::new();
        while self.hashed.offset < end {
            let left = usize::try_from(end - self.hashed.offset).unwrap_or(CHUNK_BYTES);
            chunk.resize(left.min(CHUNK_BYTES), 0);
            file.read_exact_at(&mut chunk, self.hashed.offset)?;
            match reading::payloads(&chunk, |payload| self.chain.push(payload)) {
                0 => return Err(io::Error::other("what was written is no record")),
                read => self.hashed.offset += read,
            }
        }
        Ok(())
    }
}

impl Tickets {
    /// Writes and syncs what was appended, soon after it was, and signs it, until `settled` and once
    /// more then.
    ///
    /// # Errors
    /// [`TicketsError`] where a write or a sync failed: the hub must end.
    pub(in super::super) async fn keep_synced(
        self: Arc<Self>,
        settled: CancellationToken,
    ) -> Result<(), TicketsError> {
        // Since when there is something that no checkpoint covers.
        let mut unsigned: Option<Instant> = None;
        loop {
            let signs = async {
                match unsigned {
                    Some(since) => tokio::time::sleep_until(since + SIGN_EVERY).await,
                    None => std::future::pending().await,
                }
            };
            let (stopped, is_dirty) = tokio::select! {
                biased;
                () = self.is_dirty.notified() => (false, true),
                () = signs => (false, false),
                () = settled.cancelled() => (true, true),
            };
            let since = *unsigned.get_or_insert_with(Instant::now);
            if is_dirty && !stopped {
                // What others append meanwhile shares the sync.
                tokio::select! {
                    biased;
                    () = self.is_due.notified() => {}
                    () = tokio::time::sleep(SYNC_EVERY) => {}
                }
            }
            let signs = stopped || since.elapsed() >= SIGN_EVERY;
            let signed = if self.durable {
                let tickets = Arc::clone(&self);
                let synced = tokio::task::spawn_blocking(move || tickets.sync_now(signs)).await;
                synced.map_err(|_| TicketsError::Failed)??
            } else {
                self.sync_now(signs)?
            };
            if signed {
                unsigned = None;
            }
            if stopped {
                return Ok(());
            }
        }
    }

    /// Begins a segment that has nothing in it yet.
    pub(super) fn begin(&self) -> Result<(), TicketsError> {
        let mut sealing = self.sealing();
        self.sign(&mut sealing, &mut self.files())
    }

    /// Writes and syncs what was appended so far, `signs` it, or where too many tickets are not
    /// signed, and deletes the segments that are over; whether all of it is signed. Blocks.
    pub(super) fn sync_now(&self, signs: bool) -> Result<bool, TicketsError> {
        let mut sealing = self.sealing();
        let signs = signs || self.files().unsigned >= TICKETS_UNSIGNED_MAX;
        if signs {
            // Most of it is hashed while others append.
            let (file, end) = {
                let mut files = self.files();
                if files.has_failed {
                    return Err(TicketsError::Failed);
                }
                self.write_out(&mut files)?;
                (Arc::clone(&files.current), files.bytes)
            };
            self.hash(&mut sealing, &file, end)?;
        }
        let (number, bytes, unsynced, current, is_new) = {
            let mut files = self.files();
            if files.has_failed {
                return Err(TicketsError::Failed);
            }
            self.write_out(&mut files)?;
            let is_full = files.bytes >= SEGMENT_BYTES_MAX;
            if signs || is_full {
                self.sign(&mut sealing, &mut files)?;
            }
            if is_full {
                self.rotate(&mut sealing, &mut files)?;
            }
            files.is_dirty = false;
            let unsynced = std::mem::take(&mut files.unsynced);
            let is_new = !unsynced.is_empty();
            (files.number, files.bytes, unsynced, Arc::clone(&files.current), is_new)
        };
        let synced = unsynced
            .iter()
            .chain([&current])
            .filter(|_| self.durable)
            .try_for_each(|file| file.sync_data())
            .and_then(|()| if is_new { File::open(&self.dir)?.sync_all() } else { Ok(()) });
        synced.map_err(|source| self.failed(number, source))?;
        sealing.synced = Place { segment: number, offset: bytes };
        if let Some(checkpoint) = sealing.unsaid.take() {
            let said = sealing.newest.write(&checkpoint);
            said.map_err(|source| self.failed(number, source))?;
        }
        drop(sealing);
        self.delete_finished()?;
        Ok(signs)
    }

    /// Writes a checkpoint of all that was written, where there is something that none covers.
    pub(super) fn sign(
        &self,
        sealing: &mut Sealing,
        files: &mut Files,
    ) -> Result<(), TicketsError> {
        self.hash(sealing, &files.current, files.bytes)?;
        let place = Place { segment: files.number, offset: files.bytes };
        if place.offset > 0 && sealing.covered == place {
            return Ok(());
        }
        let checkpoint = self.signer.sign(place, sealing.synced, sealing.chain);
        let record = Record::Checkpoint(Box::new(checkpoint.clone()));
        frame::write(&record, &mut files.waiting)?;
        self.write_out(files)?;
        self.hash(sealing, &files.current, files.bytes)?;
        sealing.covered = sealing.hashed;
        sealing.unsaid = Some(checkpoint);
        files.unsigned = 0;
        Ok(())
    }

    fn hash(&self, sealing: &mut Sealing, file: &File, end: u64) -> Result<(), TicketsError> {
        let number = sealing.hashed.segment;
        sealing
            .hash(file, end)
            .map_err(|source| TicketsError::File { path: self.path(number), source })
    }

    /// Goes on in another segment.
    pub(super) fn rotate(
        &self,
        sealing: &mut Sealing,
        files: &mut Files,
    ) -> Result<(), TicketsError> {
        let number = files.number + 1;
        let next = segments::make(&self.dir, number).inspect_err(|_| files.has_failed = true)?;
        let full = std::mem::replace(&mut files.current, next);
        files.unsynced.push(full);
        files.number = number;
        files.bytes = 0;
        files.running.insert(number, 0);
        sealing.hashed = Place { segment: number, offset: 0 };
        self.sign(sealing, files)
    }

    /// A sync failed: nothing is appended any more.
    fn failed(&self, number: u64, source: io::Error) -> TicketsError {
        self.files().has_failed = true;
        TicketsError::File { path: self.path(number), source }
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
        finished.into_iter().try_for_each(|number| segments::delete(&self.path(number)))
    }

    pub(super) fn sealing(&self) -> MutexGuard<'_, Sealing> {
        self.sealing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
