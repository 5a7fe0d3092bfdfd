//! The log: segments of frames, appended to by one writer.
//!
//! ```text
//! log-00000001   magic 8 "weftlog" 0x01, number 8, CRC-32C 4 ‖ frame ‖ frame ‖ …
//! log-00000002   made only when the one before is durable and full
//! ```
//! An append is one write and one sync; what it returns from is durable. It never retries: any error
//! is the end of this log's writer.

use super::disk::Disk;
use super::frame;
use std::io;
use std::sync::Arc;

/// Bytes of a segment, after which the next commit begins another one. A segment is read whole.
pub const SEGMENT_BYTES: u64 = 16 << 20;
/// Bytes of a segment at most: the last commit may overshoot [`SEGMENT_BYTES`].
pub(super) const SEGMENT_BYTES_MAX: u64 = SEGMENT_BYTES + COMMIT_BYTES_MAX as u64 * 2;
/// Bytes of one commit, after which nothing more is put into it.
pub(super) const COMMIT_BYTES_MAX: usize = 256 << 10;
/// Bytes of a segment's header.
pub(super) const SEGMENT_HEADER_BYTES: usize = 20;
/// How every segment begins; the last byte is the version.
const MAGIC: [u8; 8] = *b"weftlog\x01";

/// A place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// The segment's number, from 1.
    pub(super) segment: u64,
    /// Bytes from its begin.
    pub(super) offset: u64,
}

impl Place {
    /// Where the first frame of a log stands.
    pub(super) const FIRST: Self = Self { segment: 1, offset: SEGMENT_HEADER_BYTES as u64 };

    /// Where the first frame of the next segment stands.
    pub(super) const fn next_segment(self) -> Self {
        Self { segment: self.segment + 1, offset: SEGMENT_HEADER_BYTES as u64 }
    }
}

/// The name of a segment's file.
pub(super) fn name(segment: u64) -> String {
    format!("log-{segment:08}")
}

/// The number of the segment whose file is called so.
pub(super) fn number(name: &str) -> Option<u64> {
    let number = name.strip_prefix("log-").filter(|digits| digits.len() >= 8)?.parse().ok()?;
    (self::name(number) == name).then_some(number)
}

/// The header of a segment.
pub(super) fn header(segment: u64) -> [u8; SEGMENT_HEADER_BYTES] {
    let mut bytes = [0; SEGMENT_HEADER_BYTES];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..16].copy_from_slice(&segment.to_be_bytes());
    let crc = frame::checksum_of(&bytes[..16]);
    bytes[16..].copy_from_slice(&crc.to_be_bytes());
    bytes
}

/// Where an append goes.
#[derive(Debug)]
pub(super) struct Log {
    disk: Arc<dyn Disk>,
    end: Place,
    segment_bytes: u64,
}

impl Log {
    /// The log whose next byte goes to `end`, in a segment that stands there with its header.
    pub(super) fn at(disk: Arc<dyn Disk>, end: Place, segment_bytes: u64) -> Self {
        Self { disk, end, segment_bytes }
    }

    /// Makes segment `number` with its header, durably.
    pub(super) fn begin(disk: &dyn Disk, number: u64) -> io::Result<()> {
        let name = name(number);
        disk.create(&name)?;
        disk.write(&name, 0, &header(number))?;
        disk.sync(&name)?;
        disk.sync_names()
    }

    /// Appends one commit, durably.
    pub(super) fn append(&mut self, commit: &[u8]) -> io::Result<()> {
        if self.end.offset >= self.segment_bytes {
            let next = self.end.next_segment();
            Self::begin(self.disk.as_ref(), next.segment)?;
            self.end = next;
        }
        let name = name(self.end.segment);
        self.disk.write(&name, self.end.offset, commit)?;
        self.disk.sync(&name)?;
        self.end.offset += commit.len() as u64;
        Ok(())
    }
}

/// Reads a segment whole.
pub(super) fn read_segment(disk: &dyn Disk, number: u64) -> io::Result<Vec<u8>> {
    read_from(disk, Place { segment: number, offset: 0 }, SEGMENT_BYTES_MAX)
}

/// Reads a segment from a place on, at most `max` bytes.
pub(super) fn read_from(disk: &dyn Disk, from: Place, max: u64) -> io::Result<Vec<u8>> {
    let name = name(from.segment);
    let left = disk.length(&name)?.saturating_sub(from.offset);
    if from.offset + left > SEGMENT_BYTES_MAX {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            "a segment of the log is too long",
        ));
    }
    let mut bytes = vec![0; usize::try_from(left.min(max)).unwrap_or(0)];
    let read = disk.read(&name, from.offset, &mut bytes)?;
    bytes.truncate(read);
    Ok(bytes)
}
