//! The framed body of an answer that declares trailers: `0x00 length bytes`… then `0x01 length
//! trailers`, then FIN. All other bodies are raw and pay nothing.

use super::head::{decode_fields, encode_fields};
use super::{Malformed, prefix};
use crate::limits::{FRAMED_CHUNK_BYTES_MAX, HEAD_BYTES_MAX};
use bytes::{BufMut, Bytes, BytesMut};
use http::HeaderMap;

const DATA: u8 = 0x00;
const TRAILERS: u8 = 0x01;

/// One piece of a framed body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// Bytes of the body.
    Data(Bytes),
    /// The trailers; nothing follows them.
    Trailers(HeaderMap),
}

/// Appends one chunk of body, cut into frames where it is long.
///
/// # Errors
/// Never for the limits of this build; the type is that of the codec.
pub fn encode_data(mut data: &[u8], out: &mut BytesMut) -> Result<(), Malformed> {
    while !data.is_empty() {
        let (now, rest) = data.split_at(data.len().min(FRAMED_CHUNK_BYTES_MAX));
        out.put_u8(DATA);
        prefix::encode(now, FRAMED_CHUNK_BYTES_MAX, out)?;
        data = rest;
    }
    Ok(())
}

/// Appends the trailers.
///
/// # Errors
/// [`Malformed`] where they are longer than a head may be.
pub fn encode_trailers(trailers: &HeaderMap, out: &mut BytesMut) -> Result<(), Malformed> {
    out.put_u8(TRAILERS);
    prefix::encode(&encode_fields(trailers)?, HEAD_BYTES_MAX, out)
}

/// Takes frames out of a framed body as its bytes come.
#[derive(Debug, Default)]
pub struct FrameDecoder {
    input: BytesMut,
    ended: bool,
    failed: Option<Malformed>,
}

impl FrameDecoder {
    /// Adds bytes as they came from the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// The next whole frame, or `None` where more bytes are needed.
    ///
    /// # Errors
    /// [`Malformed`] for an unknown or empty frame, a length over its limit, or bytes behind the
    /// trailers. The body stays malformed from then on.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, Malformed> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let frame = self.take_frame();
        self.failed = frame.as_ref().err().copied();
        frame
    }

    fn take_frame(&mut self) -> Result<Option<Frame>, Malformed> {
        let Some(&kind) = self.input.first() else {
            return Ok(None);
        };
        if self.ended {
            return Err(Malformed("frame behind trailers"));
        }
        let max = match kind {
            DATA => FRAMED_CHUNK_BYTES_MAX,
            TRAILERS => HEAD_BYTES_MAX,
            _ => return Err(Malformed("frame kind")),
        };
        let Some(block) = prefix::decode_behind(1, &mut self.input, max)? else {
            return Ok(None);
        };
        if kind == DATA {
            // No sender has a reason for one, and a reader would spin on a flood of them.
            if block.is_empty() {
                return Err(Malformed("empty frame"));
            }
            return Ok(Some(Frame::Data(block)));
        }
        self.ended = true;
        Ok(Some(Frame::Trailers(decode_fields(&block)?)))
    }

    /// Says that the stream ended properly.
    ///
    /// # Errors
    /// [`Malformed`] in the middle of a frame, before the trailers, or where the body was it before.
    pub fn finish(&self) -> Result<(), Malformed> {
        if let Some(error) = self.failed {
            Err(error)
        } else if self.ended && self.input.is_empty() {
            Ok(())
        } else {
            Err(Malformed("framed body end"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn body_and_trailers_come_out_however_the_bytes_are_split(
            body in proptest::collection::vec(any::<u8>(), 0..200_000),
            step in 1usize..9_000,
        ) {
            let mut trailers = HeaderMap::new();
            trailers.append(HeaderName::from_static("x-sum"), HeaderValue::from_static("7"));
            let mut wire = BytesMut::new();
            encode_data(&body, &mut wire).unwrap();
            encode_trailers(&trailers, &mut wire).unwrap();
            let mut decoder = FrameDecoder::default();
            let (mut read, mut read_trailers) = (Vec::new(), None);
            for part in wire.chunks(step) {
                prop_assert!(decoder.finish().is_err());
                decoder.push(part);
                while let Some(frame) = decoder.next_frame().unwrap() {
                    match frame {
                        Frame::Data(data) => read.extend_from_slice(&data),
                        Frame::Trailers(fields) => read_trailers = Some(fields),
                    }
                }
            }
            prop_assert_eq!(read, body);
            prop_assert_eq!(read_trailers, Some(trailers));
            prop_assert!(decoder.finish().is_ok());
        }

        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let mut decoder = FrameDecoder::default();
            decoder.push(&bytes);
            while let Ok(Some(_)) = decoder.next_frame() {}
        }
    }
}
