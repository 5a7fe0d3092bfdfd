//! What a ledger says about exchanges and income, for people: rows, and sums by account.
//!
//! Read from the log alone. The log is walked twice: the hub's words stand behind what they answer.

use super::LedgerError;
use super::read::{Reading, read};
use crate::datadir::DataDir;
use std::collections::BTreeMap;
use std::ops::Range;
use weft_proto::ids::AccountId;
use weft_proto::ledger::verify::Trust;
use weft_proto::ledger::{Body, Close, Entry, Open, Position, Verdict};
use weft_proto::money::NanoUsd;
use weft_proto::provider::Provider;
use weft_proto::time::Timestamp;

/// One exchange that was closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Where its CLOSE stands.
    pub position: Position,
    /// When it was opened; none where the OPEN is missing.
    pub opened_at: Option<Timestamp>,
    /// When it was closed.
    pub closed_at: Timestamp,
    /// What was opened.
    pub open: Option<Open>,
    /// What became of it.
    pub close: Close,
    /// The hub's newest word, and the income that it is.
    pub word: Option<(Verdict, NanoUsd)>,
}

/// Sums of one account, in nano-USD where they are money.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sums {
    /// Exchanges that were closed.
    pub exchanges: u64,
    /// Claimed.
    pub claimed_nanos: i128,
    /// Acknowledged: the income.
    pub income_nanos: i128,
    /// Claimed, and without a final word.
    pub waiting_nanos: i128,
    /// Exchanges without a final word.
    pub waiting: u64,
    /// Exchanges of those that are disputed.
    pub disputed: u64,
    /// Exchanges that were refused.
    pub refused: u64,
}

impl Sums {
    fn add(&mut self, row: &Row) {
        let claimed = i128::from(row.close.income.nanos());
        self.exchanges += 1;
        self.claimed_nanos += claimed;
        match row.word {
            Some((Verdict::Paid, amount)) => self.income_nanos += i128::from(amount.nanos()),
            Some((Verdict::Refused, _)) => self.refused += 1,
            Some((Verdict::Disputed, _)) => {
                self.disputed += 1;
                self.waiting += 1;
                self.waiting_nanos += claimed;
            }
            Some((Verdict::Later, _)) | None => {
                self.waiting += 1;
                self.waiting_nanos += claimed;
            }
        }
    }
}

/// Whose sums they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Earner {
    /// The account; none where the OPEN is missing.
    pub account: Option<AccountId>,
    /// Its provider.
    pub provider: Option<Provider>,
}

/// The sums of a ledger over a time.
#[derive(Debug)]
pub struct Statement {
    /// By account.
    pub accounts: BTreeMap<Earner, Sums>,
    /// All of it.
    pub total: Sums,
    /// The rules held against the whole log: a statement of a log that does not hold says so.
    pub reading: Reading,
}

/// Gives every exchange that was closed in `when`, in chain order, to `each`.
///
/// # Errors
/// See [`read`].
pub fn rows(
    data: &DataDir,
    when: &Range<Timestamp>,
    idle: bool,
    mut each: impl FnMut(&Row),
) -> Result<Reading, LedgerError> {
    let mut words = BTreeMap::new();
    read(data, Trust::default(), idle, |entry| {
        if let Body::Acks(acks) = &entry.body {
            for ack in &acks.batch.acks {
                let word = words.entry(acks.close_of(ack)).or_insert((ack.verdict, ack.amount));
                if !word.0.is_final() {
                    *word = (ack.verdict, ack.amount);
                }
            }
        }
    })?;
    let mut opens: BTreeMap<Position, (Timestamp, Open)> = BTreeMap::new();
    read(data, Trust::default(), idle, |entry| {
        let Entry { position, at, prev: _, body } = entry;
        match body {
            Body::Open(open) => drop(opens.insert(*position, (*at, open.clone()))),
            Body::Close(close) => {
                let (opened_at, open) = opens.remove(&close.open).unzip();
                if when.contains(at) {
                    let (word, close) = (words.get(position).copied(), close.clone());
                    let (position, closed_at) = (*position, *at);
                    each(&Row { position, opened_at, closed_at, open, close, word });
                }
            }
            Body::Epoch(_) | Body::Acks(_) | Body::Checkpoint(_) | Body::Cosigned(_) => {}
        }
    })
}

/// Sums what was closed in `when`.
///
/// # Errors
/// See [`read`].
pub fn statement(
    data: &DataDir,
    when: &Range<Timestamp>,
    idle: bool,
) -> Result<Statement, LedgerError> {
    let mut accounts: BTreeMap<Earner, Sums> = BTreeMap::new();
    let mut total = Sums::default();
    let reading = rows(data, when, idle, |row| {
        let open = row.open.as_ref();
        let earner = Earner {
            account: open.map(|open| open.ticket.account),
            provider: open.map(|open| open.provider),
        };
        accounts.entry(earner).or_default().add(row);
        total.add(row);
    })?;
    Ok(Statement { accounts, total, reading })
}
