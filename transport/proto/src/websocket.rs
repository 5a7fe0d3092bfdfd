//! WebSockets as they pass (RFC 6455): what opens one, where its frames end, how one is closed.
//!
//! The bytes of a switched connection are never changed and never kept. [`FrameFollower`] reads the
//! headers of frames alone, so that both ends know two things about a direction: whether it stands
//! between two frames, where a frame of the hub's own corrupts nothing, and whether a close frame
//! went through, which is what makes its end a proper one. It knows no extensions: they change what
//! a payload means, not where it ends.

pub mod handshake;

/// Longest payload of a control frame, in bytes.
const CONTROL_PAYLOAD_BYTES_MAX: usize = 125;

/// First byte of a close frame: the last (and only) fragment, opcode 8.
const CLOSE_FRAME: u8 = 0x88;

/// The four bits of a frame's first byte that are its opcode.
const OPCODE_BITS: u8 = 0x0f;

/// The opcode of a close frame.
const CLOSE_OPCODE: u8 = 0x8;

/// The bit of a frame's second byte that announces a masking key.
const MASK_BIT: u8 = 0x80;

/// Bytes of a masking key.
const MASK_BYTES: u64 = 4;

/// Where in a frame a direction stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Between two frames.
    Boundary,
    /// Behind the first byte.
    Length,
    /// Inside a longer length: bytes still to come, and what came so far.
    Extended { left: u8, length: u64, masked: bool },
    /// Inside the masking key and the payload: bytes still to come, at least one.
    Payload { left: u64 },
    /// Nowhere: the bytes are no frames, and there will be no boundary any more.
    Lost,
}

/// Follows the frames of one direction, in any split, without keeping a byte of them.
#[derive(Debug, Clone)]
pub struct FrameFollower {
    place: Place,
    /// The frame that the direction stands in is a close frame.
    closing: bool,
    closed: bool,
}

impl Default for FrameFollower {
    fn default() -> Self {
        Self { place: Place::Boundary, closing: false, closed: false }
    }
}

impl FrameFollower {
    /// Takes note of bytes that went through.
    pub fn pass(&mut self, mut bytes: &[u8]) {
        while let Some((&byte, rest)) = bytes.split_first() {
            match self.place {
                Place::Boundary => {
                    self.closing = byte & OPCODE_BITS == CLOSE_OPCODE;
                    self.place = Place::Length;
                    bytes = rest;
                }
                Place::Length => {
                    self.length(byte);
                    bytes = rest;
                }
                Place::Extended { left, length, masked } => {
                    self.extended(left - 1, length << 8 | u64::from(byte), masked);
                    bytes = rest;
                }
                Place::Payload { left } => {
                    let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    bytes = &bytes[here..];
                    self.payload(left - here as u64);
                }
                Place::Lost => return,
            }
        }
    }

    /// Whether the bytes so far end between two frames: here, and only here, another frame fits.
    #[must_use]
    pub const fn at_boundary(&self) -> bool {
        matches!(self.place, Place::Boundary)
    }

    /// Whether a whole close frame went through: its sender has said all that it had to say.
    #[must_use]
    pub const fn closed(&self) -> bool {
        self.closed
    }

    fn length(&mut self, byte: u8) {
        let masked = byte & MASK_BIT != 0;
        match byte & !MASK_BIT {
            126 => self.place = Place::Extended { left: 2, length: 0, masked },
            127 => self.place = Place::Extended { left: 8, length: 0, masked },
            short => self.extended(0, u64::from(short), masked),
        }
    }

    fn extended(&mut self, left: u8, length: u64, masked: bool) {
        if left > 0 {
            self.place = Place::Extended { left, length, masked };
            return;
        }
        // The highest bit of a length must be zero: with it set, these are no frames.
        if length > i64::MAX as u64 {
            self.place = Place::Lost;
            return;
        }
        self.payload(length + if masked { MASK_BYTES } else { 0 });
    }

    fn payload(&mut self, left: u64) {
        if left > 0 {
            self.place = Place::Payload { left };
            return;
        }
        self.place = Place::Boundary;
        self.closed |= self.closing;
    }
}

/// Why a server closes a WebSocket of its own accord.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloseStatus {
    /// The server goes away.
    GoingAway,
    /// The server cannot go on.
    InternalError,
}

impl CloseStatus {
    /// The number in the close frame.
    #[must_use]
    pub const fn number(self) -> u16 {
        match self {
            Self::GoingAway => 1001,
            Self::InternalError => 1011,
        }
    }
}

/// A server's close frame with `reason`, which is cut where it is too long for one.
#[must_use]
pub fn close_frame(status: CloseStatus, reason: &str) -> Vec<u8> {
    let mut cut = reason.len().min(CONTROL_PAYLOAD_BYTES_MAX - 2);
    while !reason.is_char_boundary(cut) {
        cut -= 1;
    }
    let reason = &reason.as_bytes()[..cut];
    let mut frame = vec![CLOSE_FRAME, u8::try_from(reason.len() + 2).unwrap_or(2)];
    frame.extend_from_slice(&status.number().to_be_bytes());
    frame.extend_from_slice(reason);
    frame
}

#[cfg(test)]
mod tests;
