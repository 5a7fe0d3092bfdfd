//! Plain values as bytes and back: fixed widths, big-endian, lengths before what varies. A reader
//! that meets anything else says so by `None`.

use weft_proto::money::NanoUsd;
use weft_proto::time::Timestamp;

/// The longest text or list, in bytes or members: a frame holds no more.
const LENGTH_MAX: usize = u16::MAX as usize;

/// Appends values.
#[derive(Debug)]
pub(super) struct Writer<'b>(pub(super) &'b mut Vec<u8>);

impl Writer<'_> {
    pub(super) fn byte(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(super) fn number(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    pub(super) fn amount(&mut self, value: NanoUsd) {
        self.0.extend_from_slice(&value.nanos().to_be_bytes());
    }

    pub(super) fn moment(&mut self, value: Timestamp) {
        self.number(value.as_micros());
    }

    pub(super) fn id(&mut self, value: &[u8; 16]) {
        self.0.extend_from_slice(value);
    }

    /// Bytes of a length that the reader knows.
    pub(super) fn raw(&mut self, value: &[u8]) {
        self.0.extend_from_slice(value);
    }

    /// Bytes behind their length; longer ones are cut, which callers rule out.
    pub(super) fn bytes(&mut self, value: &[u8]) {
        let value = &value[..value.len().min(LENGTH_MAX)];
        self.length(value.len());
        self.0.extend_from_slice(value);
    }

    pub(super) fn length(&mut self, value: usize) {
        let value = u16::try_from(value).unwrap_or(u16::MAX);
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    /// Whether there is one, and what it is.
    pub(super) fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.byte(u8::from(value.is_some()));
        if let Some(value) = value {
            write(self, value);
        }
    }
}

/// Takes values.
#[derive(Debug)]
pub(super) struct Reader<'b>(pub(super) &'b [u8]);

impl<'b> Reader<'b> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    pub(super) fn number(&mut self) -> Option<u64> {
        self.take().map(u64::from_be_bytes)
    }

    pub(super) fn ppm(&mut self) -> Option<u32> {
        self.number().and_then(|value| u32::try_from(value).ok())
    }

    pub(super) fn amount(&mut self) -> Option<NanoUsd> {
        self.take().map(i64::from_be_bytes).map(NanoUsd::new)
    }

    pub(super) fn moment(&mut self) -> Option<Timestamp> {
        self.number().map(Timestamp::from_micros)
    }

    /// An id of any kind, by the function that takes its bytes.
    pub(super) fn id<T, E>(&mut self, parse: impl FnOnce(&[u8]) -> Result<T, E>) -> Option<T> {
        self.take::<16>().and_then(|bytes| parse(&bytes).ok())
    }

    pub(super) fn hash(&mut self) -> Option<[u8; 32]> {
        self.take()
    }

    pub(super) fn signature(&mut self) -> Option<[u8; 64]> {
        self.take()
    }

    pub(super) fn length(&mut self) -> Option<usize> {
        self.take().map(u16::from_be_bytes).map(usize::from)
    }

    pub(super) fn bytes(&mut self) -> Option<&'b [u8]> {
        let length = self.length()?;
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn text(&mut self) -> Option<&'b str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    pub(super) fn option<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Option<Option<T>> {
        match self.byte()? {
            0 => Some(None),
            1 => read(self).map(Some),
            _ => None,
        }
    }

    pub(super) fn list<T>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        let length = self.length()?;
        (0..length).map(|_| read(self)).collect()
    }

    /// Whether everything was taken.
    pub(super) const fn is_done(&self) -> bool {
        self.0.is_empty()
    }
}
