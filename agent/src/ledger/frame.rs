//! Frames of the log: how an entry stands in a file, and what a bad one means.
//!
//! ```text
//! length  4   of the entry
//! crc     4   CRC-32C of length, back and entry
//! back    4   bytes from the begin of the commit to this frame: 0 in a commit's first frame
//! entry
//! ```
//! A commit is what was written and synced at once, and the next one is written only when it is
//! durable. So a valid frame of a *later* commit proves that the bytes before it once were whole:
//! a bad frame before it is corruption. A bad frame that only frames of its own commit follow, or
//! nothing, was never known to be durable: a torn tail. `back` is what tells the two apart where
//! the disk wrote the sectors of one commit in another order.

use crc::{CRC_32_ISCSI, Crc, Table};
use weft_proto::ledger::{ENTRY_BYTES_MAX, HEADER_BYTES};

/// Bytes before the entry.
pub(super) const FRAME_HEADER_BYTES: usize = 12;

static CRC: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISCSI);

/// A valid frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    pub(super) entry: &'a [u8],
    /// Bytes from the begin of its commit.
    pub(super) back: usize,
    /// Bytes of the whole frame.
    pub(super) length: usize,
}

/// Appends the frame of `entry`; `begin` is where the commit begins in `out`.
pub(super) fn put(out: &mut Vec<u8>, begin: usize, entry: &[u8]) {
    let back = u32::try_from(out.len() - begin).unwrap_or(u32::MAX).to_be_bytes();
    let length = u32::try_from(entry.len()).unwrap_or(u32::MAX).to_be_bytes();
    out.extend_from_slice(&length);
    out.extend_from_slice(&checksum(&length, &back, entry).to_be_bytes());
    out.extend_from_slice(&back);
    out.extend_from_slice(entry);
}

/// The frame at the front of `bytes`, if there is a valid one.
pub(super) fn take(bytes: &[u8]) -> Option<Frame<'_>> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    let (back, rest) = rest.split_first_chunk::<4>()?;
    let size = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    if !(HEADER_BYTES..=ENTRY_BYTES_MAX).contains(&size) {
        return None;
    }
    let entry = rest.get(..size)?;
    (u32::from_be_bytes(*crc) == checksum(length, back, entry)).then_some(Frame {
        entry,
        back: usize::try_from(u32::from_be_bytes(*back)).ok()?,
        length: FRAME_HEADER_BYTES + size,
    })
}

/// Whether a commit that began after `bad` left a valid frame in `bytes`.
pub(super) fn later_commit_follows(bytes: &[u8], bad: usize) -> bool {
    (bad + 1..bytes.len()).any(|at| {
        take(&bytes[at..]).is_some_and(|frame| at.checked_sub(frame.back).is_some_and(|b| b > bad))
    })
}

/// CRC-32C of all parts.
fn checksum(length: &[u8], back: &[u8], entry: &[u8]) -> u32 {
    let mut digest = CRC.digest();
    digest.update(length);
    digest.update(back);
    digest.update(entry);
    digest.finalize()
}

/// CRC-32C of a segment's header.
pub(super) fn checksum_of(bytes: &[u8]) -> u32 {
    CRC.checksum(bytes)
}
