//! Answers as sequences of pieces: one SSE event, one chunk of audio, or one JSON document each.
//!
//! Pieces are made one at a time while they are sent. The same request and settings give the same
//! bytes: ids, times and words come from the seed, never from a clock.

pub(crate) mod catalog;
pub(crate) mod chat;
pub(crate) mod cost;
pub(crate) mod media;
pub(crate) mod messages;
pub(crate) mod responses;

use super::control::Shape;
use super::objects::made::Made;
use super::text::Text;
use bytes::Bytes;
use serde_json::Value;
use std::iter::once;
use std::time::Duration;
use weft_proto::provider::Provider;
use weft_proto::usage::Usage;

/// The one moment at which everything simulated is created, seconds since 1970.
pub(crate) const CREATED_SECS: u64 = 1_795_000_000;

/// What is sent in one go.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    pub(crate) bytes: Bytes,
    /// Whether it waits for the pace.
    pub(crate) paced: bool,
}

impl Piece {
    /// A piece that goes out at once.
    pub(crate) fn now(bytes: impl Into<Bytes>) -> Self {
        Self { bytes: bytes.into(), paced: false }
    }

    /// A piece that waits for its turn.
    pub(crate) fn paced(bytes: impl Into<Bytes>) -> Self {
        Self { bytes: bytes.into(), paced: true }
    }
}

/// The pieces of a body, in order.
pub(crate) type Pieces = Box<dyn Iterator<Item = Piece> + Send + Sync>;

/// What is answered.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    /// Whether the length is unknown when the head goes out.
    pub(crate) streamed: bool,
    pub(crate) pieces: Pieces,
    /// Headers beyond the ordinary ones.
    pub(crate) headers: &'static [(&'static str, &'static str)],
    /// What it costs, and in how many deltas it is written; nothing where it is free of charge.
    pub(crate) bill: Option<(Usage, u64)>,
    /// How long its head waits.
    pub(crate) wait: Duration,
}

impl Answer {
    /// The same, charged as `turn`'s bill says.
    pub(crate) fn billed(mut self, turn: &Turn) -> Self {
        let deltas = if self.is_events() { u64::from(turn.text.deltas) } else { 0 };
        self.bill = Some((turn.usage, deltas));
        self
    }

    /// A JSON document of known length.
    pub(crate) fn json(status: u16, document: String) -> Self {
        Self {
            status,
            content_type: "application/json",
            streamed: false,
            pieces: Box::new(once(Piece::now(document))),
            headers: &[],
            bill: None,
            wait: Duration::ZERO,
        }
    }

    /// A stream of server-sent events.
    pub(crate) fn events(pieces: impl Iterator<Item = Piece> + Send + Sync + 'static) -> Self {
        Self {
            status: 200,
            content_type: "text/event-stream; charset=utf-8",
            streamed: true,
            pieces: Box::new(pieces),
            headers: &[],
            bill: None,
            wait: Duration::ZERO,
        }
    }

    /// Whether the body is a stream of server-sent events.
    pub(crate) fn is_events(&self) -> bool {
        self.content_type.starts_with("text/event-stream")
    }

    /// The same with `count` keep-alives ahead: comments in a stream, blank lines in JSON.
    pub(crate) fn kept_alive(mut self, count: u32) -> Self {
        if count > 0 {
            let line: &'static str = if self.is_events() { ": keep-alive\n\n" } else { "\n" };
            let lines = (0..count).map(move |_| Piece::paced(line));
            self.pieces = Box::new(lines.chain(self.pieces));
            self.streamed = true;
        }
        self
    }
}

/// What every answer of a model is made from.
#[derive(Debug, Clone)]
pub(crate) struct Turn {
    pub(crate) provider: Provider,
    /// As it is repeated in the answer.
    pub(crate) model: String,
    pub(crate) text: Text,
    /// What the answer costs, in the classes that its endpoint can tell.
    pub(crate) usage: Usage,
    /// The oddities that the control asks for.
    pub(crate) shape: Shape,
    /// How often it is asked for in vain where it is made in the background.
    pub(crate) polls: u32,
    /// How long it keeps who asks for it again waiting, once it has been made.
    pub(crate) reading: Duration,
    /// Chat only: `stream_options.include_usage`.
    pub(crate) include_usage: bool,
    pub(crate) no_usage: bool,
    /// What the answer makes at the provider.
    pub(crate) made: Made,
}

impl Turn {
    /// A stable suffix for ids.
    pub(crate) fn id(&self) -> String {
        format!("{:016x}{:08x}", self.text.seed, self.text.deltas)
    }

    /// The model's name as a JSON string.
    pub(crate) fn quoted_model(&self) -> String {
        quoted(&self.model)
    }
}

/// `text` as a JSON string.
pub(crate) fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// A `data:` line as an event without a name.
pub(crate) fn data(document: &str) -> String {
    format!("data: {document}\n\n")
}

/// An event with a name.
pub(crate) fn event(name: &str, document: &str) -> String {
    format!("event: {name}\ndata: {document}\n\n")
}

/// Padding of a length that changes with `index`, as vendors put beside short deltas.
pub(crate) fn padding(index: usize) -> &'static str {
    const LETTERS: &str = "Qz7LmT2xVb9KpR4e";
    &LETTERS[..(index * 7 + 3) % LETTERS.len()]
}
