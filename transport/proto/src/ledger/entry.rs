//! One entry: a header that is the same for every kind, and a body.
//!
//! ```text
//! version  1   0x01
//! kind     1   see Body
//! epoch    8   from 1
//! seq      8   inside the epoch, from 0: the leaf's number in the epoch's tree
//! at       8   microseconds since 1970-01-01 UTC; information, not order
//! prev    32   leaf of the entry before, also across epochs; zeros for the very first
//! body         by kind
//! ```
//! Decoding refuses whatever encoding would not have written, so an entry has one form in bytes.

use super::body::Body;
use super::codec::Reader;
use super::tree::Hash;
use crate::time::Timestamp;
use std::fmt;

/// The version of the layout.
pub const VERSION: u8 = 1;
/// Bytes before the body.
pub const HEADER_BYTES: usize = 58;
/// Bytes of an entry at most: a full batch of acknowledgements takes 6,988.
pub const ENTRY_BYTES_MAX: usize = 8 * 1024;

/// Bytes that are no entry, or values that cannot be one; it names the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a ledger entry: {0}")]
pub struct BadEntry(pub(super) &'static str);

/// Where an entry stands. Positions sort as the chain does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// From 1.
    pub epoch: u64,
    /// Inside the epoch, from 0.
    pub seq: u64,
}

/// `epoch.seq`
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.seq)
    }
}

/// One entry of an agent's ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it stands.
    pub position: Position,
    /// When it was made.
    pub at: Timestamp,
    /// The leaf of the entry before it.
    pub prev: Hash,
    /// What it says.
    pub body: Body,
}

impl Entry {
    /// The entry's bytes: what is hashed.
    ///
    /// # Errors
    /// [`BadEntry`] where a value is out of the bounds that decoding checks.
    pub fn encode(&self) -> Result<Vec<u8>, BadEntry> {
        if self.position.epoch == 0 {
            return Err(BadEntry("epoch"));
        }
        let mut out = Vec::with_capacity(384);
        out.push(VERSION);
        out.push(self.body.kind());
        out.extend_from_slice(&self.position.epoch.to_be_bytes());
        out.extend_from_slice(&self.position.seq.to_be_bytes());
        out.extend_from_slice(&self.at.as_micros().to_be_bytes());
        out.extend_from_slice(self.prev.as_bytes());
        self.body.put(&mut out)?;
        if out.len() > ENTRY_BYTES_MAX { Err(BadEntry("length")) } else { Ok(out) }
    }

    /// Reads an entry.
    ///
    /// # Errors
    /// [`BadEntry`] for anything that [`Entry::encode`] does not write.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadEntry> {
        if bytes.len() > ENTRY_BYTES_MAX {
            return Err(BadEntry("length"));
        }
        let mut reader = Reader::new(bytes);
        if reader.u8()? != VERSION {
            return Err(BadEntry("version"));
        }
        let kind = reader.u8()?;
        let position = Position { epoch: reader.u64()?, seq: reader.u64()? };
        if position.epoch == 0 {
            return Err(BadEntry("epoch"));
        }
        let at = Timestamp::from_micros(reader.u64()?);
        let prev = Hash::new(reader.array()?);
        let body = Body::take(kind, &mut reader)?;
        reader.end()?;
        Ok(Self { position, at, prev, body })
    }
}
