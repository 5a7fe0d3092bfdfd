//! The bytes of `weft/1`: stream kinds, length-prefixed messages, heads and framed bodies.
//!
//! Domain values go in and come out; the protobuf shapes they travel in stay inside this module.
//! Unknown fields are skipped, so that a newer peer may add some; anything else that does not fit
//! is [`Malformed`], with the name of what was wrong. Decoding never reads past a named limit and
//! never allocates more than the bytes it was given justify.

pub mod control;
pub mod framed;
pub mod head;
pub mod join;
pub mod prefix;
pub mod receipts;
pub mod ticket;
pub mod varint;

use crate::prices::Label;

/// The first byte of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum StreamKind {
    /// Opened by the agent, first of all: control messages, both ways.
    Control = 0x01,
    /// Opened by the hub: one exchange.
    Exchange = 0x02,
    /// Opened by a joining agent on `weft-join/1`: one request to join and its answer.
    Join = 0x03,
    /// Opened by the agent on its slot 0, one way: entries of its ledger, in chain order.
    Receipts = 0x04,
    /// Opened by the hub, one way: one price book.
    Prices = 0x05,
}

impl StreamKind {
    /// The kind with this first byte.
    ///
    /// # Errors
    /// [`Malformed`] for a byte that is no kind.
    pub const fn from_byte(byte: u8) -> Result<Self, Malformed> {
        match byte {
            0x01 => Ok(Self::Control),
            0x02 => Ok(Self::Exchange),
            0x03 => Ok(Self::Join),
            0x04 => Ok(Self::Receipts),
            0x05 => Ok(Self::Prices),
            _ => Err(Malformed("stream kind")),
        }
    }
}

/// The first byte of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum AnswerKind {
    /// A final answer: head, then body to FIN.
    Final = 0x10,
    /// The provider switched protocols, as it was asked to: head, then raw bytes both ways, each to
    /// its own FIN.
    Switched = 0x11,
}

impl AnswerKind {
    /// The kind with this first byte.
    ///
    /// # Errors
    /// [`Malformed`] for a byte that is no kind this build takes.
    pub const fn from_byte(byte: u8) -> Result<Self, Malformed> {
        match byte {
            0x10 => Ok(Self::Final),
            0x11 => Ok(Self::Switched),
            _ => Err(Malformed("answer kind")),
        }
    }
}

/// Bytes that break the rules of the wire; the text names the rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed {0}")]
pub struct Malformed(pub &'static str);

/// A text of at most [`TEXT_BYTES_MAX`](crate::limits::TEXT_BYTES_MAX) bytes without control
/// characters.
pub(crate) fn bounded_text(text: &str, what: &'static str) -> Result<String, Malformed> {
    if text.len() > crate::limits::TEXT_BYTES_MAX || text.chars().any(char::is_control) {
        return Err(Malformed(what));
    }
    Ok(text.to_owned())
}

/// A place as price books name it; the empty text is none.
pub(crate) fn place(text: &str) -> Result<Option<Label>, Malformed> {
    if text.is_empty() {
        return Ok(None);
    }
    Label::parse(text).map(Some).map_err(|_| Malformed("place"))
}

/// What [`place`] reads back.
pub(crate) fn place_text(place: Option<&Label>) -> String {
    place.map_or_else(String::new, ToString::to_string)
}

/// A message of the control stream or of joining, of at most
/// [`MESSAGE_BYTES_MAX`](crate::limits::MESSAGE_BYTES_MAX) bytes.
pub(crate) fn bounded_message(bytes: Vec<u8>) -> Result<Vec<u8>, Malformed> {
    if bytes.len() > crate::limits::MESSAGE_BYTES_MAX {
        return Err(Malformed("message length"));
    }
    Ok(bytes)
}
