//! The messages of a WebSocket's server, taken out of its frames as they arrive.
//!
//! Only what a server may send without an extension is read: unmasked frames whose reserved bits
//! are zero. Anything else is lost, and says so. Fragments of one message are handed on as they
//! come, control frames between them are passed over.

/// A piece of the server's direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FramePart<'a> {
    /// The next bytes of a text message.
    Data(&'a [u8]),
    /// The message is complete.
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Start,
    Length,
    Extended { left: u8, length: u64 },
    Payload { left: u64 },
    Lost,
}

/// Reads the frames of one direction, in any split.
#[derive(Debug)]
pub(super) struct Frames {
    place: Place,
    /// The frame is the last one of its message.
    last: bool,
    /// The frame is part of a message, and no control frame.
    message: bool,
    /// The message is text.
    text: bool,
}

impl Frames {
    pub(super) const fn new() -> Self {
        Self { place: Place::Start, last: false, message: false, text: false }
    }

    /// Whether the bytes are none that could be read.
    pub(super) const fn is_lost(&self) -> bool {
        matches!(self.place, Place::Lost)
    }

    /// Reads the next bytes and calls `on` for every part that they hold.
    pub(super) fn feed(&mut self, mut bytes: &[u8], mut on: impl FnMut(FramePart<'_>)) {
        while let Some((&byte, rest)) = bytes.split_first() {
            match self.place {
                Place::Lost => return,
                Place::Start => {
                    self.place = self.start(byte);
                    bytes = rest;
                }
                Place::Length => {
                    match byte {
                        126 => self.place = Place::Extended { left: 2, length: 0 },
                        127 => self.place = Place::Extended { left: 8, length: 0 },
                        // With the highest bit set it is masked, which a server's never is.
                        128.. => self.place = Place::Lost,
                        short => self.payload(u64::from(short), &mut on),
                    }
                    bytes = rest;
                }
                Place::Extended { left, length } => {
                    let length = length << 8 | u64::from(byte);
                    if left > 1 {
                        self.place = Place::Extended { left: left - 1, length };
                    } else {
                        self.payload(length, &mut on);
                    }
                    bytes = rest;
                }
                Place::Payload { left } => {
                    let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    let (data, rest) = bytes.split_at(here);
                    if self.message && self.text {
                        on(FramePart::Data(data));
                    }
                    self.payload(left - here as u64, &mut on);
                    bytes = rest;
                }
            }
        }
    }

    fn start(&mut self, byte: u8) -> Place {
        self.last = byte & 0x80 != 0;
        match byte & 0x7f {
            0x0 => self.message = true,
            0x1 => (self.message, self.text) = (true, true),
            0x2 => (self.message, self.text) = (true, false),
            0x8..=0xf => self.message = false,
            _ => return Place::Lost,
        }
        Place::Length
    }

    fn payload(&mut self, left: u64, on: &mut impl FnMut(FramePart<'_>)) {
        if left > 0 {
            self.place = Place::Payload { left };
            return;
        }
        self.place = Place::Start;
        if self.message && self.last && self.text {
            on(FramePart::End);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pieces: &[&[u8]]) -> (Vec<String>, bool) {
        let (mut frames, mut messages, mut text) = (Frames::new(), Vec::new(), Vec::new());
        for piece in pieces {
            frames.feed(piece, |part| match part {
                FramePart::Data(data) => text.extend_from_slice(data),
                FramePart::End => {
                    messages.push(String::from_utf8(std::mem::take(&mut text)).expect("text"));
                }
            });
        }
        (messages, frames.is_lost())
    }

    #[test]
    fn messages_are_read_over_fragments_and_control_frames_in_any_split() {
        let mut bytes =
            b"\x01\x02{\"\x89\x01p\x80\x03a\":\x82\x02\x00\xff\x81\x7e\x01\x00".to_vec();
        bytes.extend([b'x'; 256]);
        let wanted = (vec!["{\"a\":".to_owned(), "x".repeat(256)], false);
        assert_eq!(read(&[&bytes]), wanted);
        let single: Vec<_> = bytes.chunks(1).collect();
        assert_eq!(read(&single), wanted);
    }

    #[test]
    fn compressed_and_masked_frames_are_lost() {
        assert!(read(&[b"\xc1\x01a"]).1);
        assert!(read(&[b"\x81\x81abcd"]).1);
    }
}
