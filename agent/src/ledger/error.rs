//! Why the ledger does not work, and why it does not take a word of the hub.

use super::key::KeyError;
use super::recover::Corruption;
use std::io;
use std::sync::Arc;
use weft_proto::ledger::journal::NotTaken;
use weft_proto::ledger::{BadEntry, Position};

/// Why the ledger does not work.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The disk refused.
    #[error("the ledger's disk failed ({doing})")]
    Disk {
        /// What was tried.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The log cannot be trusted.
    #[error(
        "the ledger is corrupt: {0}. Nothing was changed. Restore a backup of this agent into a new \
         directory (it goes on in a new epoch, and the hub still has what it was sent); keep this \
         one as evidence"
    )]
    Corrupt(Corruption),
    /// The key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The index failed.
    #[error("the ledger's index failed")]
    Index(#[from] rusqlite::Error),
    /// A row of the index cannot be read.
    #[error("the ledger's index is damaged: delete index.db beside the log, it is made anew")]
    IndexRow,
    /// This build has a SQLite that can lose rows.
    #[error("SQLite {version} can lose committed rows: this build cannot be used")]
    OldSqlite {
        /// The version.
        version: &'static str,
    },
    /// A value that no entry can hold.
    #[error(transparent)]
    Entry(#[from] BadEntry),
    /// The writer is gone.
    #[error("the ledger is closed")]
    Closed,
    /// It failed before, and says why.
    #[error(transparent)]
    Failed(Arc<Self>),
}

/// Why a word of the hub was not taken into the ledger.
#[derive(Debug, thiserror::Error)]
pub enum AckError {
    /// Its key did not sign it, or not for this agent.
    #[error("the hub's signature does not hold")]
    Signature,
    /// There is no such CLOSE, or it is another exchange's.
    #[error("there is no close {0} of that exchange")]
    Unknown(Position),
    /// More than was claimed.
    #[error("more is acknowledged than close {0} claims")]
    AboveClaim(Position),
    /// The word before was final, and another one.
    #[error("close {0} has another final word")]
    Twice(Position),
    /// A cosignature of no checkpoint that waits for one, or one that does not hold.
    #[error("the cosignature fits no checkpoint")]
    Cosignature,
    /// It shows a journal of the hub that contradicts what the hub has shown before.
    #[error(transparent)]
    Journal(NotTaken),
    /// The ledger does not work.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}
