//! Frames: a record between its length and its checksum.
//!
//! ```text
//!  length u32 │ CRC-32 of the payload u32 │ payload
//! ```

use super::TicketsError;
use super::record::Record;

/// Length and checksum, bytes.
pub(super) const HEAD_BYTES: usize = 8;
/// The longest payload, bytes: a batch that was posted.
pub(super) const PAYLOAD_BYTES_MAX: usize = 64 * 1024;
/// How far the next frame is looked for behind one that is not whole, bytes.
const LOOK_BYTES_MAX: usize = 2 * PAYLOAD_BYTES_MAX;

/// Appends a record as it stands in the file; nothing where it fails.
pub(super) fn write(record: &Record, out: &mut Vec<u8>) -> Result<(), TicketsError> {
    let start = out.len();
    out.extend_from_slice(&[0; HEAD_BYTES]);
    let written = record.encode(out).and_then(|()| {
        let (head, payload) = out[start..].split_at_mut(HEAD_BYTES);
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(TicketsError::TooLong);
        }
        let length = u32::try_from(payload.len()).map_err(|_| TicketsError::TooLong)?;
        head[..4].copy_from_slice(&length.to_be_bytes());
        head[4..].copy_from_slice(&crc32fast::hash(payload).to_be_bytes());
        Ok(())
    });
    if written.is_err() {
        out.truncate(start);
    }
    written
}

/// The payload of the first frame, and what follows it; `None` where it is not whole.
pub(super) fn payload(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    if length > PAYLOAD_BYTES_MAX {
        return None;
    }
    let (payload, rest) = rest.split_at_checked(length)?;
    (crc32fast::hash(payload) == u32::from_be_bytes(*sum)).then_some((payload, rest))
}

/// The first frame: its record, its payload, and what follows it.
pub(super) fn next(bytes: &[u8]) -> Option<(Record, &[u8], &[u8])> {
    let (payload, rest) = payload(bytes)?;
    Some((Record::decode(payload)?, payload, rest))
}

/// A piece of a segment.
#[derive(Debug)]
pub(super) enum Piece<'b> {
    /// A record.
    Whole(Record, &'b [u8]),
    /// Bytes that are no frame.
    Hole,
}

/// Cuts a segment into pieces: each with where it begins and ends.
pub(super) struct Pieces<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Pieces<'b> {
    pub(super) const fn new(bytes: &'b [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Where a frame begins again behind bytes that are none; the end where it does not.
    fn resumes(&self) -> usize {
        let rest = &self.bytes[self.at..];
        let last = rest.len().min(LOOK_BYTES_MAX);
        let found = (1..last).find(|from| next(&rest[*from..]).is_some());
        self.at + found.unwrap_or(rest.len())
    }
}

impl<'b> Iterator for Pieces<'b> {
    type Item = (u64, u64, Piece<'b>);

    fn next(&mut self) -> Option<Self::Item> {
        let start = self.at;
        if start >= self.bytes.len() {
            return None;
        }
        let piece = match next(&self.bytes[start..]) {
            Some((record, payload, _)) => {
                self.at += HEAD_BYTES + payload.len();
                Piece::Whole(record, payload)
            }
            None => {
                self.at = self.resumes();
                Piece::Hole
            }
        };
        Some((start as u64, self.at as u64, piece))
    }
}
