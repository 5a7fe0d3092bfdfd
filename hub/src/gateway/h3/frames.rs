//! Cuts the bytes of a QUIC stream where HTTP/3's frames begin and end.
//!
//! The crate `h3` reads on for as long as it is polled, whatever it holds already, and it wants
//! every frame but DATA whole before it looks at it. A stream of tiny DATA frames, or one frame that
//! announces a gigabyte, would fill the memory. So it is given one piece at a time: the head of one
//! frame, or bytes of one payload. What it holds is then one piece, or one frame that is not DATA,
//! and those have a limit.
//!
//! Two of its faults end here too: an empty DATA frame reads as the end of the body, so none is
//! passed on; and an end inside a DATA frame reads as a proper one, so [`Frames::is_inside_data`]
//! tells.
//!
//! Invariants: no byte is changed, and none but those of empty DATA frames is left out. It never
//! decodes what is inside of a frame.

use bytes::Bytes;

/// The frame that carries a body.
const DATA: u64 = 0x0;

/// Longest form of one number of QUIC, bytes (RFC 9000 section 16).
const NUMBER_BYTES_MAX: usize = 8;

/// A frame that announces more than its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {announced} bytes, where {max} are the most")]
pub(super) struct FrameTooLong {
    announced: u64,
    max: u64,
}

/// Where in the stream the next byte is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Inside the number that says of what kind a unidirectional stream is.
    Kind,
    /// Inside the head of a frame.
    Head,
    /// Inside a payload.
    Payload { left: u64, data: bool },
}

/// The cutter of one stream.
#[derive(Debug)]
pub(super) struct Frames {
    place: Place,
    /// A number, or a frame's head, of which a part has come.
    begun: Vec<u8>,
    waiting: Bytes,
    max: u64,
}

impl Frames {
    /// A stream of frames, those that are not DATA being `max` bytes long at most.
    pub(super) const fn of_request(max: u64) -> Self {
        Self { place: Place::Head, begun: Vec::new(), waiting: Bytes::new(), max }
    }

    /// A unidirectional stream, whose kind comes before its frames.
    pub(super) const fn of_unidirectional(max: u64) -> Self {
        Self { place: Place::Kind, begun: Vec::new(), waiting: Bytes::new(), max }
    }

    /// Takes what was read; to be called when [`Frames::next`] has nothing left.
    pub(super) fn feed(&mut self, bytes: Bytes) {
        debug_assert!(self.waiting.is_empty(), "fed before it was hungry");
        self.waiting = bytes;
    }

    /// The next piece, which is never empty; `None` where more must be read first.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, FrameTooLong> {
        loop {
            if let Place::Payload { left, data } = self.place {
                if left == 0 {
                    self.place = Place::Head;
                    continue;
                }
                let here = usize::try_from(left).unwrap_or(usize::MAX).min(self.waiting.len());
                if here == 0 {
                    return Ok(None);
                }
                let piece = self.waiting.split_to(here);
                self.place = Place::Payload { left: left - piece.len() as u64, data };
                return Ok(Some(piece));
            }
            // Heads are a few bytes: taken one by one, until they are whole.
            let Some((&byte, _)) = self.waiting.split_first() else { return Ok(None) };
            drop(self.waiting.split_to(1));
            self.begun.push(byte);
            let Some((first, used)) = number(&self.begun) else { continue };
            if self.place == Place::Kind {
                self.place = Place::Head;
                return Ok(Some(std::mem::take(&mut self.begun).into()));
            }
            let Some((length, _)) = number(&self.begun[used..]) else { continue };
            let data = first == DATA;
            if !data && length > self.max {
                return Err(FrameTooLong { announced: length, max: self.max });
            }
            let head = std::mem::take(&mut self.begun);
            self.place = Place::Payload { left: length, data };
            if data && length == 0 {
                continue;
            }
            return Ok(Some(head.into()));
        }
    }

    /// What of a head has come when the stream ends: nothing, where it ends properly.
    pub(super) fn rest(&mut self) -> Option<Bytes> {
        let begun = std::mem::take(&mut self.begun);
        (!begun.is_empty()).then(|| begun.into())
    }

    /// Whether a DATA frame has begun whose bytes are not all here.
    pub(super) const fn is_inside_data(&self) -> bool {
        matches!(self.place, Place::Payload { left: 1.., data: true })
    }
}

/// The number that `bytes` begin with and how long it is; `None` where a part is missing.
fn number(bytes: &[u8]) -> Option<(u64, usize)> {
    let first = *bytes.first()?;
    let length = 1_usize << (first >> 6);
    debug_assert!(length <= NUMBER_BYTES_MAX);
    let rest = bytes.get(1..length)?;
    let value =
        rest.iter().fold(u64::from(first & 0x3f), |value, byte| value << 8 | u64::from(*byte));
    Some((value, length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MAX: u64 = 300;

    fn varint(value: u64) -> Vec<u8> {
        match value {
            0..0x40 => vec![u8::try_from(value).unwrap()],
            0x40..0x4000 => (u16::try_from(value).unwrap() | 0x4000).to_be_bytes().to_vec(),
            0x4000..0x4000_0000 => {
                (u32::try_from(value).unwrap() | 0x8000_0000).to_be_bytes().to_vec()
            }
            _ => (value | 0xc000_0000_0000_0000).to_be_bytes().to_vec(),
        }
    }

    fn frame(kind: u64, payload: &[u8]) -> Vec<u8> {
        [varint(kind), varint(payload.len() as u64), payload.to_vec()].concat()
    }

    /// Every piece of `reads`, and whether the end would be inside a DATA frame.
    fn pieces(mut frames: Frames, reads: &[Vec<u8>]) -> Result<(Vec<Bytes>, bool), FrameTooLong> {
        let mut found = Vec::new();
        for read in reads {
            frames.feed(Bytes::copy_from_slice(read));
            while let Some(piece) = frames.next()? {
                assert!(!piece.is_empty(), "an empty piece reads as nothing");
                found.push(piece);
            }
        }
        let inside = frames.is_inside_data();
        found.extend(frames.rest());
        Ok((found, inside))
    }

    #[test]
    fn an_empty_data_frame_is_left_out_and_an_end_inside_one_is_told() {
        let stream = [frame(1, b"head"), frame(0, b""), frame(0, b"body"), frame(0, b"")].concat();
        let (found, inside) = pieces(Frames::of_request(MAX), &[stream]).unwrap();
        assert!(!inside);
        assert_eq!(found, [&b"\x01\x04"[..], b"head", b"\x00\x04", b"body"]);

        let mut short = frame(0, b"body");
        short.pop();
        let (found, inside) = pieces(Frames::of_request(MAX), &[short]).unwrap();
        assert!(inside);
        assert_eq!(found, [&b"\x00\x04"[..], b"bod"]);
    }

    #[test]
    fn a_frame_beyond_the_limit_is_refused_by_its_head_and_data_has_no_limit() {
        for kind in [1, 4, 7, 0x21, 0x3fff_ffff] {
            let head = [varint(kind), varint(MAX + 1)].concat();
            assert!(pieces(Frames::of_request(MAX), &[head]).is_err(), "{kind:#x}");
        }
        let (found, inside) =
            pieces(Frames::of_request(MAX), &[[varint(0), varint(1 << 40)].concat()]).unwrap();
        assert!(inside && found.len() == 1);
    }

    #[test]
    fn the_kind_of_a_unidirectional_stream_is_a_piece_of_its_own() {
        let stream = [varint(0), frame(4, b"\x06\x05"), frame(0xf0700, b"u=1")].concat();
        let (found, inside) =
            pieces(Frames::of_unidirectional(MAX), std::slice::from_ref(&stream)).unwrap();
        assert!(!inside);
        assert_eq!(found[0], &b"\x00"[..]);
        assert_eq!(found.concat(), stream);
    }

    proptest! {
        #[test]
        fn no_byte_is_changed_or_lost_however_the_stream_is_cut(
            frames in proptest::collection::vec((0_u64..3, 1_usize..300), 1..12),
            cuts in proptest::collection::vec(1_usize..400, 0..40),
        ) {
            let stream: Vec<u8> =
                frames.iter().flat_map(|(kind, length)| frame(*kind, &vec![7; *length])).collect();
            let mut reads = Vec::new();
            let mut rest = &stream[..];
            for cut in cuts {
                let (read, after) = rest.split_at(cut.min(rest.len()));
                reads.push(read.to_vec());
                rest = after;
            }
            reads.push(rest.to_vec());
            let (found, inside) = pieces(Frames::of_request(MAX), &reads).unwrap();
            prop_assert!(!inside);
            prop_assert_eq!(found.concat(), stream);
        }

        #[test]
        fn no_stream_makes_it_fail_otherwise_or_hold_more_than_one_head(
            reads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..8),
        ) {
            let mut cutter = Frames::of_unidirectional(MAX);
            for read in reads {
                cutter.feed(read.into());
                loop {
                    match cutter.next() {
                        Ok(Some(piece)) => prop_assert!(!piece.is_empty()),
                        Ok(None) => break,
                        Err(_) => return Ok(()),
                    }
                    prop_assert!(cutter.begun.len() <= 2 * NUMBER_BYTES_MAX);
                }
            }
        }
    }
}
