//! The objects that an answer makes known, told as its bytes go by.
//!
//! A provider's answer is fed as it came, in any split and under its content coding; every id that
//! stands where an object's id stands is told as soon as it is whole, so that it can be recorded
//! before the bytes that hold it go out. Answers are only watched: nothing here can fail. What
//! cannot be read (another content type, a broken or too large coding, no JSON) makes the scan
//! blind: from then on it tells nothing, and says so.

use std::collections::BTreeSet;
use std::fmt;

use http::HeaderMap;
use http::header::CONTENT_TYPE;

use self::reader::Reader;
use super::json::{JsonError, Tokenizer};
use crate::decode::Decoder;
use crate::objects::{Found, ObjectId, ObjectKind};
use crate::sse::{Part, Splitter};
use crate::tables::routes::Tap;

mod reader;
mod shapes;

/// The most objects that one answer may make known; an answer with more goes on unwatched.
pub const FOUND_MAX: usize = 4096;

/// Watches one answer.
pub struct AnswerScan {
    decoder: Decoder,
    body: Body,
    blind: bool,
}

/// What the decoded bytes are.
enum Body {
    /// One JSON value.
    Json(Json),
    /// Events, each of which holds one.
    Events { splitter: Splitter, json: Json, event: Event },
}

/// Where the scan stands in an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    /// Its JSON is read.
    Read,
    /// It is no JSON, or no more of it is wanted.
    Skipped,
}

struct Json {
    tokenizer: Tokenizer,
    reader: Reader,
}

impl fmt::Debug for AnswerScan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let form = match self.body {
            Body::Json(_) => "json",
            Body::Events { .. } => "events",
        };
        f.debug_struct("AnswerScan")
            .field("form", &form)
            .field("blind", &self.blind)
            .finish_non_exhaustive()
    }
}

impl AnswerScan {
    /// A scan at the start of the body of an answer with these `headers`, as the provider sent
    /// them. `None` where the answer cannot hold ids: it is neither JSON nor events. An answer
    /// whose coding nobody can undo gives a scan that is blind from the start.
    #[must_use]
    pub fn new(tap: Tap, headers: &HeaderMap) -> Option<Self> {
        let content_type = headers.get(CONTENT_TYPE)?.to_str().ok()?;
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        let essence = essence.to_ascii_lowercase();
        let json = |shape| Json { tokenizer: Tokenizer::new(), reader: Reader::new(shape) };
        let body = match essence.as_str() {
            "text/event-stream" => Body::Events {
                splitter: Splitter::new(),
                json: json(shapes::events(tap)?),
                event: Event::Read,
            },
            "application/json" => Body::Json(json(shapes::whole(tap))),
            other if other.starts_with("application/") && other.ends_with("+json") => {
                Body::Json(json(shapes::whole(tap)))
            }
            _ => return None,
        };
        let decoder = Decoder::of(headers);
        let blind = decoder.is_err();
        Some(Self { decoder: decoder.unwrap_or_default(), body, blind })
    }

    /// The same scan, told what the request was about: objects that are part of something, in an
    /// answer that does not say of what, are part of `parent`.
    #[must_use]
    pub fn under(mut self, parent: ObjectId) -> Self {
        self.reader().root = Some(parent);
        self
    }

    /// Reads the next bytes of the answer's body.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.blind {
            return;
        }
        let body = &mut self.body;
        let mut readable = true;
        let decoded = self.decoder.feed(bytes, |plain| readable = readable && body.feed(plain));
        self.blind = !readable || decoded.is_err();
    }

    /// The objects that have been made known since the last call, in their order. An object is
    /// told once, and once more with everything said of it where its size or its parent becomes
    /// known only after it has been taken.
    #[must_use]
    pub fn take_found(&mut self) -> Vec<Found> {
        std::mem::take(&mut self.reader().found)
    }

    /// Whether nothing more will be told, because the answer cannot be read.
    #[must_use]
    pub const fn is_blind(&self) -> bool {
        self.blind
    }

    /// Whether nothing more can be told, because the one value that the answer is has ended.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        match &self.body {
            Body::Json(json) => json.tokenizer.is_complete(),
            Body::Events { .. } => false,
        }
    }

    const fn reader(&mut self) -> &mut Reader {
        match &mut self.body {
            Body::Json(json) | Body::Events { json, .. } => &mut json.reader,
        }
    }
}

impl Body {
    /// Reads decoded bytes; whether the rest can be read too.
    fn feed(&mut self, bytes: &[u8]) -> bool {
        match self {
            Self::Json(json) => json.feed(bytes) && !json.reader.overflown(),
            Self::Events { splitter, json, event } => {
                splitter.feed(bytes, |part| match part {
                    Part::Name(_) => {}
                    Part::Data(data) => {
                        if *event == Event::Read && !json.feed(data) {
                            *event = Event::Skipped;
                        }
                    }
                    Part::End => {
                        json.reset();
                        *event = Event::Read;
                    }
                });
                !json.reader.overflown()
            }
        }
    }
}

impl Json {
    /// Reads a piece of the value; whether it is JSON so far.
    fn feed(&mut self, bytes: &[u8]) -> bool {
        let reader = &mut self.reader;
        self.tokenizer
            .feed::<JsonError>(bytes, |_, token| {
                reader.token(token);
                Ok(())
            })
            .is_ok()
    }

    fn reset(&mut self) {
        self.tokenizer = Tokenizer::new();
        self.reader.reset();
    }
}

/// The objects that an answer has told of already.
type Told = BTreeSet<(ObjectKind, ObjectId)>;

#[cfg(test)]
mod tests;
