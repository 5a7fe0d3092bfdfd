//! Frames: a record between its length and its checksum.
//!
//! ```text
//!  length u32 │ CRC-32 of the payload u32 │ payload
//! ```

use super::TicketsError;
use super::record::Record;

/// Length and checksum, bytes.
const HEAD_BYTES: usize = 8;
/// The longest payload, bytes: a batch that was posted.
const PAYLOAD_BYTES_MAX: usize = 64 * 1024;

/// A record as it stands in the file.
pub(super) fn write(record: &Record) -> Result<Vec<u8>, TicketsError> {
    let mut frame = vec![0; HEAD_BYTES];
    record.encode(&mut frame)?;
    let (head, payload) = frame.split_at_mut(HEAD_BYTES);
    if payload.len() > PAYLOAD_BYTES_MAX {
        return Err(TicketsError::TooLong);
    }
    let length = u32::try_from(payload.len()).map_err(|_| TicketsError::TooLong)?;
    head[..4].copy_from_slice(&length.to_be_bytes());
    head[4..].copy_from_slice(&crc32fast::hash(payload).to_be_bytes());
    Ok(frame)
}

/// Reads records until the end, or the first frame that is not whole: how many bytes were read.
pub(super) fn read(bytes: &[u8], mut each: impl FnMut(Record)) -> usize {
    let mut rest = bytes;
    while let Some((record, after)) = next(rest) {
        each(record);
        rest = after;
    }
    bytes.len() - rest.len()
}

fn next(bytes: &[u8]) -> Option<(Record, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    if length > PAYLOAD_BYTES_MAX {
        return None;
    }
    let (payload, rest) = rest.split_at_checked(length)?;
    if crc32fast::hash(payload) != u32::from_be_bytes(*sum) {
        return None;
    }
    Some((Record::decode(payload)?, rest))
}
