//! Content codings, undone as the bytes arrive.
//!
//! A decoder is fed a copy of an answer's bytes and hands on what they decode to, as early as the
//! coding allows. Its memory is bounded by the coding's window ([`ZSTD_WINDOW_LOG_MAX`]; 32 KiB for
//! deflate, 16 MiB for brotli, whose large windows are refused) and its work by
//! [`DECODED_BYTES_MAX`]. After an error it takes nothing more. Check sums are not compared: what
//! reads here only watches, and may see more than a strict reader, never less.

use std::fmt;

use http::HeaderMap;
use http::header::CONTENT_ENCODING;

use self::brotli::Brotli;
use self::deflate::Deflate;
use self::zstd::Zstd;

mod brotli;
mod deflate;
mod zstd;

/// The most bytes that one coded body may decode to.
pub const DECODED_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The largest window of a zstd frame, as a power of two: 8 MiB, what the format asks every decoder
/// to take.
pub const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// How much is decoded at a time, in bytes.
const STEP_BYTES: usize = 16 * 1024;

/// Why a body cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum DecodeError {
    /// A coding that this hub does not know, or several, one upon the other.
    #[error("unknown content coding")]
    UnknownCoding,
    /// The bytes are not in the coding that they are said to be in.
    #[error("the body is not in its content coding")]
    Malformed,
    /// It decodes to more than [`DECODED_BYTES_MAX`].
    #[error("the body decodes to more than {DECODED_BYTES_MAX} bytes")]
    TooLarge,
}

/// Undoes the coding of one body.
#[derive(Default)]
pub struct Decoder {
    coding: Coding,
    /// Where decoded bytes stand until they are handed on.
    out: Vec<u8>,
    /// How many have been handed on.
    decoded: u64,
    failed: Option<DecodeError>,
}

#[derive(Default)]
enum Coding {
    #[default]
    Identity,
    Deflate(Box<Deflate>),
    Brotli(Box<Brotli>),
    Zstd(Zstd),
}

/// What one step of a coding did.
#[derive(Debug, Clone, Copy)]
struct Progress {
    taken: usize,
    made: usize,
    /// The step found the bytes malformed, after what it made of them.
    malformed: bool,
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let coding = match self.coding {
            Coding::Identity => "identity",
            Coding::Deflate(_) => "deflate",
            Coding::Brotli(_) => "brotli",
            Coding::Zstd(_) => "zstd",
        };
        f.debug_struct("Decoder")
            .field("coding", &coding)
            .field("decoded", &self.decoded)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

impl Decoder {
    /// The decoder for a body with these headers.
    ///
    /// # Errors
    /// [`DecodeError::UnknownCoding`] where `content-encoding` names what it cannot undo.
    pub fn of(headers: &HeaderMap) -> Result<Self, DecodeError> {
        let mut found = None;
        for value in headers.get_all(CONTENT_ENCODING) {
            let text = value.to_str().map_err(|_| DecodeError::UnknownCoding)?;
            for name in text.split(',').map(str::trim) {
                let plain = name.is_empty() || name.eq_ignore_ascii_case("identity");
                if !plain && found.replace(name).is_some() {
                    return Err(DecodeError::UnknownCoding);
                }
            }
        }
        found.map_or_else(|| Ok(Self::default()), Self::for_coding)
    }

    /// The decoder for the coding called `name`, without regard to the case of its letters.
    ///
    /// # Errors
    /// [`DecodeError::UnknownCoding`] for any but `gzip`, `deflate`, `br`, `zstd` and `identity`.
    pub fn for_coding(name: &str) -> Result<Self, DecodeError> {
        let coding = match name.to_ascii_lowercase().as_str() {
            "identity" => return Ok(Self::default()),
            "gzip" | "x-gzip" => Coding::Deflate(Box::new(Deflate::gzip())),
            "deflate" => Coding::Deflate(Box::new(Deflate::zlib_or_bare())),
            "br" => Coding::Brotli(Box::default()),
            "zstd" => Coding::Zstd(Zstd::new()?),
            _ => return Err(DecodeError::UnknownCoding),
        };
        Ok(Self { coding, out: vec![0; STEP_BYTES], ..Self::default() })
    }

    /// Reads the next bytes and calls `on` with what they decode to, in pieces.
    ///
    /// # Errors
    /// [`DecodeError`] as soon as the body cannot be read any further, and the same one ever after.
    /// What was decoded before has been handed on.
    pub fn feed(&mut self, bytes: &[u8], mut on: impl FnMut(&[u8])) -> Result<(), DecodeError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.decode(bytes, &mut on).inspect_err(|error| self.failed = Some(*error))
    }

    fn decode(&mut self, bytes: &[u8], on: &mut impl FnMut(&[u8])) -> Result<(), DecodeError> {
        let mut rest = bytes;
        loop {
            let Progress { taken, made, malformed } = match &mut self.coding {
                Coding::Identity => {
                    on(rest);
                    return Ok(());
                }
                Coding::Deflate(coding) => coding.step(rest, &mut self.out),
                Coding::Brotli(coding) => coding.step(rest, &mut self.out),
                Coding::Zstd(coding) => coding.step(rest, &mut self.out),
            };
            rest = &rest[taken..];
            let room = usize::try_from(DECODED_BYTES_MAX - self.decoded).unwrap_or(usize::MAX);
            let decoded = &self.out[..made.min(room)];
            self.decoded += decoded.len() as u64;
            if !decoded.is_empty() {
                on(decoded);
            }
            if made > room {
                return Err(DecodeError::TooLarge);
            }
            if malformed {
                return Err(DecodeError::Malformed);
            }
            // A full buffer may have hidden more.
            if rest.is_empty() && made < self.out.len() {
                return Ok(());
            }
            if taken == 0 && made == 0 {
                return Err(DecodeError::Malformed);
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
