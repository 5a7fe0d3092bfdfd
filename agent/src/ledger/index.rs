//! The index: what is looked up by exchange, and what the hub has not answered.
//!
//! SQLite (WAL, FULL), derived from the log and behind it, never ahead of what is durable there. It
//! decides nothing: where it lags it catches up, and where it does not fit the log it is made anew.

use super::LedgerError;
use super::disk::Disk;
use super::frame;
use super::log::{self, Place};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Transaction, params};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;
use weft_proto::ids::ExchangeId;
use weft_proto::ledger::{Body, Entry, Position, Verdict};
use weft_proto::money::NanoUsd;

/// The oldest SQLite that does not lose committed rows (sqlite.org/wal.html, the WAL-reset race).
const SQLITE_MIN: i32 = 3_051_003;
/// Every so many bytes the index remembers a place.
const PLACE_EVERY_BYTES: u64 = 32 << 10;
/// Entries taken over in one transaction at most.
const ENTRIES_PER_STEP: usize = 4_096;
/// The shape of the tables; another one is made anew.
const SCHEMA: i64 = 1;

/// Where the index stands.
#[derive(Debug, Clone)]
pub enum IndexAt {
    /// A file.
    File(PathBuf),
    /// Memory: it is made from the log at every start.
    Memory,
}

/// A CLOSE without a final word of the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unacknowledged {
    /// Where it stands.
    pub position: Position,
    /// The exchange.
    pub exchange: ExchangeId,
    /// The attempt of it.
    pub attempt: u8,
    /// What it claims.
    pub income: NanoUsd,
    /// The hub's newest word, if there is one.
    pub verdict: Option<Verdict>,
}

/// What the index knows of one CLOSE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Indexed {
    /// Where it stands.
    pub position: Position,
    /// The exchange.
    pub exchange: ExchangeId,
    /// The attempt of it.
    pub attempt: u8,
    /// What it claims.
    pub income: NanoUsd,
    /// The hub's newest word and what it pays.
    pub word: Option<(Verdict, NanoUsd)>,
}

#[derive(Debug)]
struct State {
    sql: Connection,
    /// Behind the last entry that is indexed.
    end: Place,
    /// The last entry that is indexed.
    last: Option<Position>,
}

/// The index of one log.
#[derive(Debug)]
pub(super) struct Index {
    state: Mutex<State>,
    disk: Arc<dyn Disk>,
    reached: watch::Sender<Option<Position>>,
}

impl Index {
    /// Opens it, or makes it where there is none or where it is of another shape.
    pub(super) fn open(at: &IndexAt, disk: Arc<dyn Disk>) -> Result<Self, LedgerError> {
        if rusqlite::version_number() < SQLITE_MIN {
            return Err(LedgerError::OldSqlite { version: rusqlite::version() });
        }
        let sql = match at {
            IndexAt::Memory => Connection::open_in_memory()?,
            IndexAt::File(path) => {
                let flags = OpenFlags::default() | OpenFlags::SQLITE_OPEN_NO_MUTEX;
                Connection::open_with_flags(path, flags)?
            }
        };
        sql.pragma_update(None, "journal_mode", "wal")?;
        sql.pragma_update(None, "synchronous", "full")?;
        let shape: i64 = sql.pragma_query_value(None, "user_version", |row| row.get(0))?;
        let mut state = State { sql, end: Place::FIRST, last: None };
        if shape == SCHEMA {
            state.load()?
        } else {
            state.reset()?
        }
        let reached = watch::Sender::new(state.last);
        Ok(Self { state: Mutex::new(state), disk, reached })
    }

    /// The last entry that is indexed: it was durable.
    pub(super) fn last(&self) -> Option<Position> {
        *self.reached.borrow()
    }

    /// Behind the last entry that is indexed.
    pub(super) fn end(&self) -> Place {
        self.state().end
    }

    /// Tells how far the index is.
    pub(super) fn reached(&self) -> watch::Receiver<Option<Position>> {
        self.reached.subscribe()
    }

    /// Forgets all of it: the log is another one.
    pub(super) fn reset(&self) -> Result<(), LedgerError> {
        self.state().reset()?;
        self.reached.send_replace(None);
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the log over up to `until`, which is durable.
    pub(super) fn catch_up(&self, until: Position) -> Result<(), LedgerError> {
        while self.last().is_none_or(|last| last < until) {
            let mut state = self.state();
            let taken = state.step(self.disk.as_ref(), until)?;
            self.reached.send_replace(state.last);
            if taken == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Closes behind `after` without a final word, in chain order.
    pub(super) fn unacknowledged(
        &self,
        after: Option<Position>,
        limit: usize,
    ) -> Result<Vec<Unacknowledged>, LedgerError> {
        let (epoch, seq) = after.map_or((0, -1), pair);
        let state = self.state();
        let mut query = state.sql.prepare_cached(
            "SELECT epoch, seq, exchange, attempt, income, verdict FROM closes
             WHERE final = 0 AND (epoch, seq) > (?1, ?2) ORDER BY epoch, seq LIMIT ?3",
        )?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = query.query_map(params![epoch, seq, limit], |row| {
            Ok((
                position(row.get(0)?, row.get(1)?),
                row.get(2)?,
                row.get(3)?,
                row.get(4)?,
                row.get(5)?,
            ))
        })?;
        let mut found = Vec::new();
        for row in rows {
            let (position, exchange, attempt, income, verdict): (_, Vec<u8>, _, _, Option<u8>) =
                row?;
            found.push(Unacknowledged {
                position,
                exchange: ExchangeId::from_slice(&exchange).map_err(|_| LedgerError::IndexRow)?,
                attempt,
                income: NanoUsd::new(income),
                verdict: verdict.and_then(Verdict::from_number),
            });
        }
        Ok(found)
    }

    /// The CLOSE at `at`.
    pub(super) fn close_at(&self, at: Position) -> Result<Option<Indexed>, LedgerError> {
        let (epoch, seq) = pair(at);
        let sql = "SELECT epoch, seq, exchange, attempt, income, verdict, amount FROM closes
                   WHERE epoch = ?1 AND seq = ?2";
        Ok(self.closes(sql, params![epoch, seq])?.pop())
    }

    /// Every CLOSE of an exchange, in chain order.
    pub(super) fn closes_of(&self, exchange: ExchangeId) -> Result<Vec<Indexed>, LedgerError> {
        let sql = "SELECT epoch, seq, exchange, attempt, income, verdict, amount FROM closes
                   WHERE exchange = ?1 ORDER BY epoch, seq";
        self.closes(sql, params![exchange.as_bytes()])
    }

    fn closes(&self, sql: &str, given: impl rusqlite::Params) -> Result<Vec<Indexed>, LedgerError> {
        let state = self.state();
        let mut query = state.sql.prepare_cached(sql)?;
        let rows = query.query_map(given, |row| {
            let at = position(row.get(0)?, row.get(1)?);
            Ok((at, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?))
        })?;
        let mut found = Vec::new();
        for row in rows {
            type Row = (Position, Vec<u8>, u8, i64, Option<u8>, i64);
            let (position, exchange, attempt, income, verdict, amount): Row = row?;
            let verdict = verdict.and_then(Verdict::from_number);
            found.push(Indexed {
                position,
                exchange: ExchangeId::from_slice(&exchange).map_err(|_| LedgerError::IndexRow)?,
                attempt,
                income: NanoUsd::new(income),
                word: verdict.map(|verdict| (verdict, NanoUsd::new(amount))),
            });
        }
        Ok(found)
    }

    /// A place at or before the entry at `at`, from which the log can be read towards it.
    pub(super) fn place_before(&self, at: Position) -> Result<Place, LedgerError> {
        let (epoch, seq) = pair(at);
        let state = self.state();
        let mut query = state.sql.prepare_cached(
            "SELECT segment, offset FROM places WHERE (epoch, seq) <= (?1, ?2)
             ORDER BY epoch DESC, seq DESC LIMIT 1",
        )?;
        let found = query.query_row(params![epoch, seq], |row| Ok(place(row.get(0)?, row.get(1)?)));
        Ok(found.optional()?.unwrap_or(Place::FIRST))
    }
}

impl State {
    /// Where an index that was made before ended.
    fn load(&mut self) -> Result<(), LedgerError> {
        let found =
            self.sql.query_row("SELECT segment, offset, epoch, seq FROM reached", [], |row| {
                let last: (Option<i64>, Option<i64>) = (row.get(2)?, row.get(3)?);
                Ok((
                    place(row.get(0)?, row.get(1)?),
                    last.0.zip(last.1).map(|(e, s)| position(e, s)),
                ))
            });
        (self.end, self.last) = found?;
        Ok(())
    }

    /// Makes the tables anew.
    fn reset(&mut self) -> Result<(), LedgerError> {
        let all = self.sql.transaction()?;
        all.execute_batch(
            "DROP TABLE IF EXISTS reached; DROP TABLE IF EXISTS closes; DROP TABLE IF EXISTS places;
             CREATE TABLE reached (segment INTEGER NOT NULL, offset INTEGER NOT NULL,
                                   epoch INTEGER, seq INTEGER);
             CREATE TABLE closes (epoch INTEGER NOT NULL, seq INTEGER NOT NULL,
                                  exchange BLOB NOT NULL, attempt INTEGER NOT NULL,
                                  income INTEGER NOT NULL, verdict INTEGER,
                                  amount INTEGER NOT NULL DEFAULT 0,
                                  final INTEGER NOT NULL DEFAULT 0,
                                  PRIMARY KEY (epoch, seq)) WITHOUT ROWID;
             CREATE INDEX closes_exchange ON closes (exchange);
             CREATE INDEX closes_waiting ON closes (epoch, seq) WHERE final = 0;
             CREATE TABLE places (epoch INTEGER NOT NULL, seq INTEGER NOT NULL,
                                  segment INTEGER NOT NULL, offset INTEGER NOT NULL,
                                  PRIMARY KEY (epoch, seq)) WITHOUT ROWID;",
        )?;
        let Place { segment, offset } = Place::FIRST;
        let first = (segment.cast_signed(), offset.cast_signed());
        all.execute("INSERT INTO reached VALUES (?1, ?2, NULL, NULL)", first)?;
        all.pragma_update(None, "user_version", SCHEMA)?;
        all.commit()?;
        (self.end, self.last) = (Place::FIRST, None);
        Ok(())
    }

    /// Takes over some entries up to `until`. Returns how many.
    fn step(&mut self, disk: &dyn Disk, until: Position) -> Result<usize, LedgerError> {
        let reading = |source| LedgerError::Disk { doing: "reading the log for the index", source };
        let mut at = self.end;
        let mut bytes = log::read_from(disk, at, super::READ_BYTES_MAX).map_err(reading)?;
        if bytes.is_empty() {
            // The segment is over where there is a next one.
            let next = at.next_segment();
            if disk.length(&log::name(next.segment)).is_err() {
                return Ok(0);
            }
            at = next;
            bytes = log::read_from(disk, at, super::READ_BYTES_MAX).map_err(reading)?;
        }
        let all = self.sql.transaction()?;
        let (mut taken, mut from, mut last, mut placed) = (0, 0, self.last, None);
        while taken < ENTRIES_PER_STEP
            && last.is_none_or(|last| last < until)
            && let Some(found) = frame::take(&bytes[from..])
        {
            let entry = Entry::decode(found.entry)?;
            let here = Place { offset: at.offset + from as u64, ..at };
            if placed.is_none_or(|placed| here.offset - placed >= PLACE_EVERY_BYTES) {
                place_of(&all, entry.position, here)?;
                placed = Some(here.offset);
            }
            take(&all, &entry)?;
            last = Some(entry.position);
            from += found.length;
            taken += 1;
        }
        let end = Place { offset: at.offset + from as u64, ..at };
        let (epoch, seq) = last.map(pair).unzip();
        all.execute(
            "UPDATE reached SET segment = ?1, offset = ?2, epoch = ?3, seq = ?4",
            params![end.segment.cast_signed(), end.offset.cast_signed(), epoch, seq],
        )?;
        all.commit()?;
        (self.end, self.last) = (end, last);
        Ok(taken)
    }
}

/// Takes one entry over.
fn take(all: &Transaction<'_>, entry: &Entry) -> Result<(), LedgerError> {
    let (epoch, seq) = pair(entry.position);
    match &entry.body {
        Body::Close(close) => {
            let mut insert = all.prepare_cached(
                "INSERT OR REPLACE INTO closes (epoch, seq, exchange, attempt, income)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
            )?;
            let (exchange, income) = (close.exchange.as_bytes(), close.income.nanos());
            insert.execute(params![epoch, seq, exchange, close.attempt, income])?;
        }
        Body::Acks(acks) => {
            let mut update = all.prepare_cached(
                "UPDATE closes SET verdict = ?3, amount = ?4, final = ?5
                 WHERE epoch = ?1 AND seq = ?2 AND final = 0",
            )?;
            for ack in &acks.batch.acks {
                let (epoch, seq) = pair(acks.close_of(ack));
                let (amount, is_final) = (ack.amount.nanos(), ack.verdict.is_final());
                update.execute(params![epoch, seq, ack.verdict as u8, amount, is_final])?;
            }
        }
        Body::Epoch(_) | Body::Open(_) | Body::Checkpoint(_) | Body::Cosigned(_) => {}
    }
    Ok(())
}

fn place_of(all: &Transaction<'_>, at: Position, here: Place) -> Result<(), LedgerError> {
    let (epoch, seq) = pair(at);
    let mut insert = all.prepare_cached("INSERT OR REPLACE INTO places VALUES (?1, ?2, ?3, ?4)")?;
    insert.execute((epoch, seq, here.segment.cast_signed(), here.offset.cast_signed()))?;
    Ok(())
}

fn pair(at: Position) -> (i64, i64) {
    (at.epoch.cast_signed(), at.seq.cast_signed())
}

fn position(epoch: i64, seq: i64) -> Position {
    Position { epoch: epoch.cast_unsigned(), seq: seq.cast_unsigned() }
}

fn place(segment: i64, offset: i64) -> Place {
    Place { segment: segment.cast_unsigned(), offset: offset.cast_unsigned() }
}
