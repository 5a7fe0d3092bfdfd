//! Small files beside the log that say what the log alone cannot.
//!
//! `marker` names the current epoch and its first leaf. Backups leave it out: a log without its
//! marker, or with another's, was restored, and what was written after the backup is missing, so a
//! new epoch begins. `cosigned` is the newest checkpoint that the hub has cosigned, as a signed note:
//! a log that is shorter was cut, whatever its bytes say.

use super::disk::Disk;
use std::io;
use weft_proto::ledger::note::SignedNote;
use weft_proto::ledger::{Hash, HeadOf, PublicKey};

/// The marker's file.
pub(super) const MARKER: &str = "marker";
/// The newest cosigned checkpoint.
pub(super) const COSIGNED: &str = "cosigned";
/// Bytes of either at most.
pub(super) const FILE_BYTES_MAX: usize = 4 * 1024;

/// Which epoch this directory is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Marker {
    pub(super) epoch: u64,
    /// The leaf of the epoch's first entry.
    pub(super) leaf: Hash,
}

impl Marker {
    pub(super) fn read(disk: &dyn Disk) -> io::Result<Option<Self>> {
        Ok(read(disk, MARKER)?.and_then(|text| Self::parse(&text)))
    }

    pub(super) fn write(&self, disk: &dyn Disk) -> io::Result<()> {
        disk.replace(MARKER, self.text().as_bytes())
    }

    fn text(&self) -> String {
        format!("weft ledger marker 1\nepoch {}\nleaf {}\n", self.epoch, self.leaf)
    }

    fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("weft ledger marker 1\nepoch ")?;
        let (epoch, digits) = rest.split_once("\nleaf ")?;
        let digits = digits.trim_end().as_bytes();
        let mut leaf = [0; 32];
        if digits.len() != 64 {
            return None;
        }
        for (byte, pair) in leaf.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()?;
        }
        let marker = Self { epoch: epoch.parse().ok()?, leaf: Hash::new(leaf) };
        (marker.text() == text).then_some(marker)
    }
}

/// The newest cosigned head, as the note beside the log proves it by the agent's own signature.
/// A note that does not hold says nothing.
pub(super) fn cosigned(disk: &dyn Disk, key: &PublicKey) -> io::Result<Option<HeadOf>> {
    let note = read(disk, COSIGNED)?;
    let note = note.and_then(|note| SignedNote::open(note.as_bytes(), key, None).ok());
    Ok(note.map(|note| {
        let said = note.statement;
        HeadOf { epoch: said.epoch, size: said.size, root: said.root }
    }))
}

fn read(disk: &dyn Disk, name: &str) -> io::Result<Option<String>> {
    let mut bytes = vec![0; FILE_BYTES_MAX];
    match disk.read(name, 0, &mut bytes) {
        Ok(read) => {
            bytes.truncate(read);
            Ok(String::from_utf8(bytes).ok())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
