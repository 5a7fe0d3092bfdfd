//! One exchange on one stream: heads and raw bodies, at both ends.
//!
//! The hub calls [`open`] and gets a [`RequestWriter`] and an [`AnswerReader`]; the agent calls
//! [`accept`] and gets the head, a [`RequestReader`] and an [`AnswerWriter`]. One read at one end
//! is one write at the other: nothing is gathered, nothing waits for a timer.

mod answer;
mod request;

pub use answer::{AnswerReader, AnswerWriter, Answered, BodyReader, Piece};
pub use request::{Incoming, OpenError, RequestReader, RequestWriter, accept, open};
