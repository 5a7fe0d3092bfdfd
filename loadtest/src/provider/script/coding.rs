//! Content codings as providers' front ends apply them: real compressors, fed piece by piece.
//!
//! Flushed after each piece, what went in can be decoded by whoever has what came out so far. zstd
//! has no flush here: each flushed piece is a frame of its own, which is as legal.

use brotli::CompressorWriter;
use brotli::enc::BrotliEncoderParams;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use std::io::{self, Write};
use std::mem;

/// Working buffer of the brotli encoder, bytes.
const BROTLI_BUFFER_BYTES: usize = 4 * 1_024;
/// Quality of brotli: front ends that compress while they stream use a low one.
const BROTLI_QUALITY: i32 = 1;
/// Window of brotli, as a power of two.
const BROTLI_WINDOW: i32 = 18;
/// Bytes that a zstd frame takes before it is ended, where nothing flushes it.
const ZSTD_FRAME_BYTES: usize = 1_024 * 1_024;

/// A content coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// None.
    Identity,
    /// RFC 1952.
    Gzip,
    /// RFC 1950, as `deflate` means in HTTP.
    Deflate,
    /// RFC 7932.
    Brotli,
    /// RFC 8878.
    Zstd,
}

impl Coding {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Identity, Self::Gzip, Self::Deflate, Self::Brotli, Self::Zstd];

    /// The value of `content-encoding`; nothing for none.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some("gzip"),
            Self::Deflate => Some("deflate"),
            Self::Brotli => Some("br"),
            Self::Zstd => Some("zstd"),
        }
    }
}

/// A coding at work.
pub(super) enum Encoder {
    Identity,
    Gzip(GzEncoder<Vec<u8>>),
    Deflate(ZlibEncoder<Vec<u8>>),
    Brotli(Box<CompressorWriter<Vec<u8>>>),
    Zstd(Vec<u8>),
}

impl Encoder {
    pub(super) fn new(coding: Coding) -> Self {
        match coding {
            Coding::Identity => Self::Identity,
            Coding::Gzip => Self::Gzip(GzEncoder::new(Vec::new(), Compression::fast())),
            Coding::Deflate => Self::Deflate(ZlibEncoder::new(Vec::new(), Compression::fast())),
            Coding::Brotli => {
                let params = BrotliEncoderParams {
                    quality: BROTLI_QUALITY,
                    lgwin: BROTLI_WINDOW,
                    ..BrotliEncoderParams::default()
                };
                let buffer = BROTLI_BUFFER_BYTES;
                Self::Brotli(Box::new(CompressorWriter::with_params(Vec::new(), buffer, &params)))
            }
            Coding::Zstd => Self::Zstd(Vec::new()),
        }
    }

    /// Takes a piece in, and gives out what is ready.
    pub(super) fn push(&mut self, piece: Bytes, flush: bool) -> io::Result<Bytes> {
        match self {
            Self::Identity => Ok(piece),
            Self::Gzip(encoder) => {
                written(encoder, &piece, flush)?;
                Ok(mem::take(encoder.get_mut()).into())
            }
            Self::Deflate(encoder) => {
                written(encoder, &piece, flush)?;
                Ok(mem::take(encoder.get_mut()).into())
            }
            Self::Brotli(encoder) => {
                written(encoder, &piece, flush)?;
                Ok(mem::take(encoder.get_mut()).into())
            }
            Self::Zstd(held) => {
                held.extend_from_slice(&piece);
                let full = flush || held.len() >= ZSTD_FRAME_BYTES;
                Ok(if full { zstd_frame(held) } else { Bytes::new() })
            }
        }
    }

    /// Ends the coding, and gives out the rest.
    pub(super) fn finish(self) -> io::Result<Bytes> {
        Ok(match self {
            Self::Identity => Bytes::new(),
            Self::Gzip(encoder) => encoder.finish()?.into(),
            Self::Deflate(encoder) => encoder.finish()?.into(),
            Self::Brotli(encoder) => encoder.into_inner().into(),
            Self::Zstd(mut held) => {
                if held.is_empty() {
                    Bytes::new()
                } else {
                    zstd_frame(&mut held)
                }
            }
        })
    }
}

fn written(encoder: &mut impl Write, piece: &[u8], flush: bool) -> io::Result<()> {
    encoder.write_all(piece)?;
    if flush { encoder.flush() } else { Ok(()) }
}

fn zstd_frame(held: &mut Vec<u8>) -> Bytes {
    compress_to_vec(&mem::take(held)[..], CompressionLevel::Fastest).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::{GzDecoder, ZlibDecoder};
    use std::io::Read;

    fn decoded(coding: Coding, bytes: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        match coding {
            Coding::Identity => plain.extend_from_slice(bytes),
            Coding::Gzip => assert!(GzDecoder::new(bytes).read_to_end(&mut plain).unwrap() > 0),
            Coding::Deflate => {
                assert!(ZlibDecoder::new(bytes).read_to_end(&mut plain).unwrap() > 0)
            }
            Coding::Brotli => {
                let mut decoder = brotli::Decompressor::new(bytes, 4_096);
                assert!(decoder.read_to_end(&mut plain).unwrap() > 0);
            }
            Coding::Zstd => {
                let mut rest = bytes;
                while !rest.is_empty() {
                    let mut frame = ruzstd::decoding::StreamingDecoder::new(&mut rest).unwrap();
                    frame.read_to_end(&mut plain).unwrap();
                }
            }
        }
        plain
    }

    #[test]
    fn what_a_coding_gives_out_decodes_to_what_went_in() {
        let pieces: Vec<Bytes> = (0..40_u32)
            .map(|n| Bytes::from(format!("data: {{\"n\":{n}}}\n\n").repeat(60)))
            .collect();
        let whole = pieces.concat();
        for coding in Coding::ALL {
            for flush in [false, true] {
                let mut encoder = Encoder::new(coding);
                let mut coded = Vec::new();
                for piece in &pieces {
                    let ready = encoder.push(piece.clone(), flush).unwrap();
                    assert!(!flush || !ready.is_empty(), "{coding:?} holds back what was flushed");
                    coded.extend_from_slice(&ready);
                }
                coded.extend_from_slice(&encoder.finish().unwrap());
                assert_eq!(decoded(coding, &coded), whole, "{coding:?} flush={flush}");
                let smaller = coding == Coding::Identity || coded.len() < whole.len();
                assert!(smaller, "{coding:?} does not compress");
            }
        }
    }
}
