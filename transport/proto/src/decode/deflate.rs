//! Deflate (RFC 1951) in the wrappings of HTTP: `gzip` (RFC 1952, any number of members), and
//! `deflate`, which is zlib (RFC 1950) by the standard and bare by some servers.

use flate2::{Decompress, FlushDecompress, Status};

use super::Progress;

/// The bytes of a gzip trailer: check sum and size.
const TRAILER_BYTES: u8 = 8;

/// Undoes one body.
#[derive(Debug)]
pub(super) struct Deflate {
    gzip: bool,
    state: State,
    inflate: Decompress,
}

#[derive(Debug)]
enum State {
    /// In a gzip header.
    Header(Header),
    /// At the first bytes of `deflate`, which tell zlib from bare.
    Sniff(Option<u8>),
    /// In the compressed bytes.
    Body,
    /// In a gzip trailer; how many of its bytes are to come.
    Trailer(u8),
    /// After the only stream.
    End,
}

impl Deflate {
    pub(super) fn gzip() -> Self {
        let state = State::Header(Header::new());
        Self { gzip: true, state, inflate: Decompress::new(false) }
    }

    pub(super) fn zlib_or_bare() -> Self {
        Self { gzip: false, state: State::Sniff(None), inflate: Decompress::new(true) }
    }

    /// Decodes until `out` is full or `input` is empty.
    pub(super) fn step(&mut self, input: &[u8], out: &mut [u8]) -> Progress {
        let mut done = Progress { taken: 0, made: 0, malformed: false };
        loop {
            let before = done.taken;
            match &mut self.state {
                State::Body => self.inflate(input, out, &mut done),
                State::Header(_) | State::Sniff(_) | State::Trailer(_) | State::End => {
                    let Some(&byte) = input.get(done.taken) else { return done };
                    done.taken += 1;
                    done.malformed = self.wrapping(byte, out, &mut done.made).is_none();
                }
            }
            let stuck = done.taken == before && matches!(self.state, State::Body);
            if done.malformed || stuck || done.made == out.len() {
                return done;
            }
        }
    }

    fn inflate(&mut self, input: &[u8], out: &mut [u8], done: &mut Progress) {
        let (taken, made) = (self.inflate.total_in(), self.inflate.total_out());
        let result = self.inflate.decompress(
            &input[done.taken..],
            &mut out[done.made..],
            FlushDecompress::None,
        );
        // What was decoded before a fault counts too. Neither can pass the length of its slice.
        let since = |now: u64, then: u64| usize::try_from(now - then).unwrap_or(usize::MAX);
        done.taken += since(self.inflate.total_in(), taken);
        done.made += since(self.inflate.total_out(), made);
        match result {
            Ok(Status::Ok | Status::BufError) => {}
            Ok(Status::StreamEnd) => {
                self.state = if self.gzip { State::Trailer(TRAILER_BYTES) } else { State::End };
            }
            Err(_) => done.malformed = true,
        }
    }

    /// Takes one byte outside of the compressed ones; `None` where it may not stand there.
    fn wrapping(&mut self, byte: u8, out: &mut [u8], made: &mut usize) -> Option<()> {
        match &mut self.state {
            State::Header(header) => {
                if header.take(byte)? {
                    self.inflate.reset(false);
                    self.state = State::Body;
                }
            }
            State::Trailer(1) => self.state = State::Header(Header::new()),
            State::Trailer(left) => *left -= 1,
            State::Sniff(None) => self.state = State::Sniff(Some(byte)),
            State::Sniff(Some(first)) => {
                let first = *first;
                let zlib =
                    first & 0x0f == 8 && u16::from_be_bytes([first, byte]).is_multiple_of(31);
                self.inflate.reset(zlib);
                self.state = State::Body;
                let mut head = Progress { taken: 0, made: *made, malformed: false };
                self.inflate(&[first, byte], out, &mut head);
                *made = head.made;
                if head.malformed || head.taken < 2 {
                    return None;
                }
            }
            State::End | State::Body => return None,
        }
        Some(())
    }
}

/// A gzip header, read byte by byte and not kept.
#[derive(Debug)]
struct Header {
    /// Where the next byte stands.
    at: Field,
    flags: u8,
}

#[derive(Debug, Clone, Copy)]
enum Field {
    /// The ten bytes that every header has.
    Fixed(u8),
    ExtraLength(Option<u8>),
    Extra(u16),
    Name,
    Comment,
    CheckSum(u8),
}

const HAS_CHECK_SUM: u8 = 1 << 1;
const HAS_EXTRA: u8 = 1 << 2;
const HAS_NAME: u8 = 1 << 3;
const HAS_COMMENT: u8 = 1 << 4;
const RESERVED: u8 = 0b1110_0000;

impl Header {
    const fn new() -> Self {
        Self { at: Field::Fixed(0), flags: 0 }
    }

    /// Takes one byte; whether the header ends with it. `None` where it may not stand there.
    fn take(&mut self, byte: u8) -> Option<bool> {
        let next = match self.at {
            Field::Fixed(at) => {
                let fits = match at {
                    0 => byte == 0x1f,
                    1 => byte == 0x8b,
                    // Deflate, the one method that there is.
                    2 => byte == 8,
                    3 => {
                        self.flags = byte;
                        byte & RESERVED == 0
                    }
                    _ => true,
                };
                if !fits {
                    return None;
                }
                if at == 9 { self.after(0) } else { Some(Field::Fixed(at + 1)) }
            }
            Field::ExtraLength(None) => Some(Field::ExtraLength(Some(byte))),
            Field::ExtraLength(Some(low)) => match u16::from_le_bytes([low, byte]) {
                0 => self.after(HAS_EXTRA),
                length => Some(Field::Extra(length)),
            },
            Field::Extra(1) => self.after(HAS_EXTRA),
            Field::Extra(left) => Some(Field::Extra(left - 1)),
            Field::Name if byte == 0 => self.after(HAS_NAME),
            Field::Comment if byte == 0 => self.after(HAS_COMMENT),
            Field::Name | Field::Comment => Some(self.at),
            Field::CheckSum(0) => Some(Field::CheckSum(1)),
            Field::CheckSum(_) => None,
        };
        match next {
            Some(next) => {
                self.at = next;
                Some(false)
            }
            None => Some(true),
        }
    }

    /// The field that follows the optional one of this flag; 0 stands for the fixed bytes.
    const fn after(&self, flag: u8) -> Option<Field> {
        // The fields stand in the order of extra, name, comment, check sum.
        let rest = match flag {
            0 => HAS_EXTRA | HAS_NAME | HAS_COMMENT | HAS_CHECK_SUM,
            HAS_EXTRA => HAS_NAME | HAS_COMMENT | HAS_CHECK_SUM,
            HAS_NAME => HAS_COMMENT | HAS_CHECK_SUM,
            _ => HAS_CHECK_SUM,
        };
        let has = self.flags & rest;
        if has & HAS_EXTRA != 0 {
            Some(Field::ExtraLength(None))
        } else if has & HAS_NAME != 0 {
            Some(Field::Name)
        } else if has & HAS_COMMENT != 0 {
            Some(Field::Comment)
        } else if has & HAS_CHECK_SUM != 0 {
            Some(Field::CheckSum(0))
        } else {
            None
        }
    }
}
