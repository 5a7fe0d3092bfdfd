//! Putting and taking the fixed-width fields of entries. Integers are big-endian.
//!
//! Never reads past the end and never allocates by a number it read.

use super::entry::BadEntry;

/// Takes from the front of what is left.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], BadEntry> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(BadEntry("length"))?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], BadEntry> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(BadEntry("length"))?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(super) fn u8(&mut self) -> Result<u8, BadEntry> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    pub(super) fn u16(&mut self) -> Result<u16, BadEntry> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    pub(super) fn u32(&mut self) -> Result<u32, BadEntry> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, BadEntry> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    pub(super) fn i64(&mut self) -> Result<i64, BadEntry> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    pub(super) fn i128(&mut self) -> Result<i128, BadEntry> {
        Ok(i128::from_be_bytes(self.array()?))
    }

    /// Whether a part that may be absent follows: 1 or 0.
    pub(super) fn flag(&mut self) -> Result<bool, BadEntry> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(BadEntry("flag")),
        }
    }

    /// An id of 16 bytes.
    pub(super) fn id<T, E>(&mut self, parse: fn(&[u8]) -> Result<T, E>) -> Result<T, BadEntry> {
        parse(self.take(16)?).map_err(|_| BadEntry("id"))
    }

    /// Nothing may follow.
    pub(super) const fn end(&self) -> Result<(), BadEntry> {
        if self.0.is_empty() { Ok(()) } else { Err(BadEntry("bytes after the end")) }
    }
}
