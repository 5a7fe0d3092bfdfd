//! What was received and how it ended, for tests that compare both ends.
//!
//! A request is written down when its head has come, and brought up to date while it runs. Its
//! [`Live`] handle is dropped exactly once, whichever way the request goes, and that closes the
//! record. No prompt, answer or credential is kept: only sizes, digests and times.

use super::bill::so_far;
use super::config::RECORDS_MAX;
use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;
use tokio::time::Instant;
use weft_proto::usage::Usage;

/// How far a request had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The request's body is being read.
    Upload,
    /// The whole request is here, the answer's head is not out.
    Head,
    /// The answer's body is being sent.
    Body,
    /// The answer has gone silent, as asked.
    Stall,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// The whole answer was handed to the connection.
    Complete,
    /// The client closed, or reset its stream, before that.
    ClientGone,
    /// The answer was broken off, as asked.
    Fault,
    /// The simulated provider was shut down.
    Shutdown,
}

/// One request and what became of it. Times are microseconds since the provider's start.
#[derive(Debug, Clone, Serialize)]
pub struct Record {
    /// Counts up from 1, and goes on over a reset.
    pub seq: u64,
    /// The connection's number, from 1.
    pub connection: u64,
    /// `HTTP/1.1` or `HTTP/2.0`.
    pub version: String,
    /// The method.
    pub method: String,
    /// Path and query as they came; the value of an `api-key` parameter is replaced by its digest.
    pub target: String,
    /// The provider whose dialect was spoken, by name.
    pub provider: Option<&'static str>,
    /// The model, as the request names it.
    pub model: Option<String>,
    /// Names and values in the order they came. A credential is replaced by `sha256:` and the
    /// digest of the key (without `Bearer `) in hex.
    pub headers: Vec<(String, String)>,
    /// Bytes of body received.
    pub body_bytes: u64,
    /// The digest of the body in hex, once all of it is here.
    pub body_sha256: Option<String>,
    /// The status answered.
    pub status: Option<u16>,
    /// The provider's own request id on the answer.
    pub request_id: Option<String>,
    /// Bytes of answer body handed to the connection, as encoded.
    pub answer_bytes: u64,
    /// The digest of those bytes in hex, once the request has ended.
    pub answer_sha256: Option<String>,
    /// Whole events (or pieces of another body) handed to the connection.
    pub events: u64,
    /// What the provider charges for it, by classes of units that do not overlap, told or not;
    /// nothing where it is free. An answer cut short costs the request and the deltas handed over.
    #[serde(serialize_with = "by_class")]
    pub usage: Option<Usage>,
    /// The close frame of a WebSocket's client: code and reason.
    pub client_close: Option<(u16, String)>,
    /// How far it has come, or had come at its end.
    pub phase: Phase,
    /// How it ended; nothing while it runs.
    pub ending: Option<Ending>,
    /// When the head had been received.
    pub head_us: u64,
    /// When the body's end had been received.
    pub body_end_us: Option<u64>,
    /// When the answer's head was handed over.
    pub answered_us: Option<u64>,
    /// When the first byte of the answer's body was handed over.
    pub first_byte_us: Option<u64>,
    /// When it was noticed that the client was gone.
    pub gone_us: Option<u64>,
    /// When the request ended, in whatever way.
    pub ended_us: Option<u64>,
}

/// Usage as an object of its classes.
fn by_class<S: Serializer>(usage: &Option<Usage>, serializer: S) -> Result<S::Ok, S::Error> {
    match usage {
        Some(usage) => serializer.collect_map(usage.iter().map(|(class, n)| (class.name(), n))),
        None => serializer.serialize_none(),
    }
}

/// Counts since the start or the last reset.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Requests running now.
    pub in_flight: u64,
    /// Requests begun.
    pub total: u64,
    /// Requests whose answer was handed over whole.
    pub complete: u64,
    /// Requests whose client went away.
    pub client_gone: u64,
    /// Requests broken off as asked.
    pub faults: u64,
    /// Connections open now.
    pub connections: u64,
}

/// Keeps the records.
#[derive(Debug)]
pub(crate) struct Recorder {
    start: Instant,
    book: Mutex<Book>,
    connections: AtomicU64,
    closing: AtomicBool,
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Book {
    ring: VecDeque<Arc<Mutex<Record>>>,
    last_seq: u64,
    in_flight: u64,
    stats: Stats,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|nibble| char::from(DIGITS[usize::from(nibble)]))
        .collect()
}

impl Recorder {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
            book: Mutex::default(),
            connections: AtomicU64::new(0),
            closing: AtomicBool::new(false),
            changes: watch::Sender::new(0),
        }
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Opens a record. `seq`, times and phase are set here.
    pub(crate) fn begin(self: &Arc<Self>, mut record: Record) -> Live {
        record.head_us = self.now_us();
        let mut book = locked(&self.book);
        book.last_seq += 1;
        book.in_flight += 1;
        book.stats.total += 1;
        record.seq = book.last_seq;
        let seq = record.seq;
        let record = Arc::new(Mutex::new(record));
        if book.ring.len() == RECORDS_MAX {
            book.ring.pop_front();
        }
        book.ring.push_back(Arc::clone(&record));
        drop(book);
        self.changed();
        Live {
            recorder: Arc::clone(self),
            record,
            seq,
            digest: Sha256::new(),
            ending: None,
            deltas: 0,
            deltas_sent: 0,
        }
    }

    pub(crate) fn after(&self, seq: u64) -> Vec<Record> {
        let cells: Vec<_> = locked(&self.book).ring.iter().map(Arc::clone).collect();
        cells.iter().map(|cell| locked(cell).clone()).filter(|record| record.seq > seq).collect()
    }

    pub(crate) fn stats(&self) -> Stats {
        let book = locked(&self.book);
        Stats {
            in_flight: book.in_flight,
            connections: self.connections.load(Ordering::Relaxed),
            ..book.stats
        }
    }

    /// Forgets all records and counts; what runs goes on unrecorded.
    pub(crate) fn reset(&self) {
        let mut book = locked(&self.book);
        book.ring.clear();
        book.stats = Stats::default();
    }

    pub(crate) fn connection_opened(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn connection_closed(&self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }

    /// From now on an end is the shutdown's doing, not the client's.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }
}

/// One running request's hold on its record. Dropping it ends the record: as the client's doing,
/// unless [`Live::end`] has said otherwise.
#[derive(Debug)]
pub(crate) struct Live {
    recorder: Arc<Recorder>,
    record: Arc<Mutex<Record>>,
    seq: u64,
    digest: Sha256,
    ending: Option<Ending>,
    /// Deltas in which the answer is written, and how many of them are out.
    deltas: u64,
    deltas_sent: u64,
}

impl Live {
    /// Says what the whole answer costs, and in how many deltas it is written; none where it is
    /// made before it is sent.
    pub(crate) fn bill(&mut self, usage: Usage, deltas: u64) {
        self.deltas = deltas;
        self.edit(|record| record.usage = Some(usage));
    }

    /// Notes that a further delta goes out.
    pub(crate) fn delta(&mut self) {
        self.deltas_sent = self.deltas_sent.saturating_add(1);
    }

    /// Adds to the bill.
    pub(crate) fn charge(&self, usage: &Usage) {
        self.edit(|record| {
            let bill = record.usage.get_or_insert_default();
            usage.iter().for_each(|(class, units)| bill.add(class, units));
        });
    }

    pub(crate) fn seq(&self) -> u64 {
        self.seq
    }

    pub(crate) fn edit(&self, change: impl FnOnce(&mut Record)) {
        change(&mut locked(&self.record));
    }

    pub(crate) fn phase(&self, phase: Phase) {
        self.edit(|record| record.phase = phase);
        self.recorder.changed();
    }

    pub(crate) fn body_end(&self, sha256: String) {
        let now = self.recorder.now_us();
        self.edit(|record| {
            record.body_sha256 = Some(sha256);
            record.body_end_us = Some(now);
            record.phase = Phase::Head;
        });
        self.recorder.changed();
    }

    pub(crate) fn answered(&self, status: u16, request_id: &str) {
        let now = self.recorder.now_us();
        self.edit(|record| {
            record.status = Some(status);
            record.request_id = Some(request_id.to_owned());
            record.answered_us = Some(now);
            record.phase = Phase::Body;
        });
        self.recorder.changed();
    }

    /// Notes bytes handed to the connection, and whether they end an event.
    pub(crate) fn sent(&mut self, bytes: &[u8], ends_event: bool) {
        self.digest.update(bytes);
        let now = self.recorder.now_us();
        let length = bytes.len() as u64;
        self.edit(|record| {
            record.answer_bytes += length;
            record.events += u64::from(ends_event);
            record.first_byte_us.get_or_insert(now);
        });
        if ends_event {
            self.recorder.changed();
        }
    }

    /// The digest, in hex, of all bytes handed over so far.
    pub(crate) fn digest_so_far(&self) -> String {
        hex(&self.digest.clone().finalize())
    }

    /// Says how the record will end when this handle is dropped.
    pub(crate) fn end(&mut self, ending: Ending) {
        self.ending = Some(ending);
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let now = self.recorder.now_us();
        let closing = self.recorder.closing.load(Ordering::Relaxed);
        let ending = match self.ending {
            Some(ending) => ending,
            None if closing => Ending::Shutdown,
            None => Ending::ClientGone,
        };
        let digest = self.digest_so_far();
        self.edit(|record| {
            record.ending = Some(ending);
            record.answer_sha256 = Some(digest);
            record.ended_us = Some(now);
            if ending != Ending::Complete {
                let bill = record.usage;
                record.usage = bill.map(|usage| so_far(usage, self.deltas_sent, self.deltas));
            }
            if ending == Ending::ClientGone {
                record.gone_us = Some(now);
            }
        });
        let mut book = locked(&self.recorder.book);
        book.in_flight -= 1;
        match ending {
            Ending::Complete => book.stats.complete += 1,
            Ending::ClientGone => book.stats.client_gone += 1,
            Ending::Fault => book.stats.faults += 1,
            Ending::Shutdown => {}
        }
        drop(book);
        self.recorder.changed();
    }
}
