//! Meters: what an exchange takes, read off its bytes as they go by.
//!
//! Both ends of the tunnel meter the same bytes with this code, each for itself. A meter is fed a
//! copy of what has been handed on; it can neither change nor delay it, and nothing here can fail:
//! what cannot be read makes the result [`Basis::Unmetered`]. No text is kept: of an answer a meter
//! holds counts, one number or name under inspection, and the last [`CARRY_BYTES`] of text that no
//! token boundary has ended; with the open containers of the JSON that is at most 4 KiB, beside the
//! capped decoder of a coded body. The result depends on the bytes alone, never on where they were
//! split.
//!
//! [`RequestMeter`] reads what a request asks for and bounds its input; [`AnswerMeter`] reads the
//! usage that the provider reports by its exact place in the shape of the route, and counts text
//! where the provider reports none.

use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};

use crate::provider::Provider;
use crate::tables::routes::{Metering, Route};
use crate::usage::{Basis, Geo, ServiceTier, Usage};

mod answer;
mod bounds;
mod compose;
mod facts;
mod frames;
mod parts;
mod reader;
mod request;
mod settle;
mod shape;
mod taken;
mod text;

pub use answer::AnswerMeter;
pub use parts::{PARTS_MAX, Part, worth};
pub use request::{BatchedRequests, RequestMeter};
pub use taken::{TAKEN, Taken};
pub use text::{CARRY_BYTES, warm_up};

/// What a request asks for, as far as it has been read. Where a body says something twice, the last
/// one counts, as it does for the providers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Asked {
    /// The model, bounded like the name of any model.
    pub model: Option<String>,
    /// A streamed answer is wanted.
    pub stream: bool,
    /// The stream of a chat is to end with its usage (`stream_options.include_usage`).
    pub include_usage: bool,
    /// The most tokens that the answer may have, for each choice.
    pub output_max: Option<u64>,
    /// How many answers are wanted to one question (`n`); 0 where it is not said.
    pub choices: u64,
    /// The tier that is wanted; [`ServiceTier::Standard`] where it is not said or left open.
    pub service_tier: ServiceTier,
    /// Where the answer is to be computed.
    pub geo: Geo,
    /// The answer is made, and billed, after this one.
    pub background: bool,
    /// Tokens of input, counted over a part of the text and carried on over the rest, and a flat
    /// sum for each attachment. An estimate.
    pub input_estimate: u64,
    /// Bytes of text that the input estimate stands on.
    pub text_bytes: u64,
    /// Images, files and sounds within the body or behind its links.
    pub attachments: u64,
    /// Characters of the text to be spoken.
    pub characters: u64,
    /// Tools that the provider runs, and bills by the call, are offered.
    pub hosted_tools: bool,
    /// Tools are offered that the provider knows by their kind: what it puts into the context for
    /// them, and what they bring, is its own.
    pub provider_tools: bool,
    /// Something is named that the provider reads too, and that stands elsewhere: an earlier
    /// response, a conversation, a stored prompt or file.
    pub elsewhere: bool,
    /// Several questions are asked at once, or several answers made to choose from.
    pub several: bool,
    /// All of the body was read, to the end of what it is: what is not in it is not asked.
    pub whole: bool,
    /// Bytes of the body so far.
    pub body_bytes: u64,
    /// Of a batch: what its requests ask for, those of one model together.
    pub batch: Vec<BatchedRequests>,
}

/// What the head of an answer tells its meter.
#[derive(Debug, Clone, Copy)]
pub struct AnswerFacts<'a> {
    /// Who answers.
    pub provider: Provider,
    /// How the route is metered.
    pub metering: Metering,
    /// The status.
    pub status: StatusCode,
    /// The value of `content-type`.
    pub content_type: Option<&'a str>,
    /// The value of `content-encoding`; several are joined by commas.
    pub content_encoding: Option<&'a str>,
}

impl<'a> AnswerFacts<'a> {
    /// The facts of an answer to a request of `route`, as the provider sent it.
    #[must_use]
    pub fn of(route: &Route, status: StatusCode, headers: &'a HeaderMap) -> Self {
        // A second coding is one that nobody undoes; a value that is no text is none either.
        let mut codings = headers.get_all(CONTENT_ENCODING).iter();
        let content_encoding = match (codings.next(), codings.next()) {
            (None, _) => None,
            (Some(one), None) => Some(one.to_str().unwrap_or(UNREADABLE)),
            (Some(_), Some(_)) => Some(UNREADABLE),
        };
        Self {
            provider: route.provider,
            metering: route.metering,
            status,
            content_type: headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()),
            content_encoding,
        }
    }
}

/// A coding that is not known.
const UNREADABLE: &str = "?";

/// How far an answer has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Tokens that the user has been given so far: counted, and never less than before.
    pub output_units: u64,
    /// The answer has said that it is complete; all that may follow is its usage.
    pub finish_marker: bool,
    /// The usage of the whole answer has been read.
    pub usage_seen: bool,
}

/// What an exchange took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metered {
    /// Units by class.
    pub usage: Usage,
    /// How far they can be trusted.
    pub basis: Basis,
    /// The model as the provider names it, bounded.
    pub model: Option<String>,
    /// The tier that served, as the provider says, or as the request asked where it does not.
    pub service_tier: ServiceTier,
    /// Where it was computed, likewise.
    pub geo: Geo,
    /// The answer has said that it is complete.
    pub finish_marker: bool,
    /// The usage of the whole answer has been read.
    pub usage_seen: bool,
    /// A refusal of Azure's content filter, which is charged all the same.
    pub charged_although_refused: bool,
    /// What was made is still being worked on: its usage comes later. That of a response comes under
    /// [`Metered::response`], that of a batch in its results.
    pub pending: bool,
    /// The id of the response, where the provider stores it; its usage counts once.
    pub response: Option<String>,
    /// What the provider bills beside what it calls its totals, and the totals do not hold: turns
    /// of compaction and of an advisor, transcripts in a realtime session.
    pub beside: Usage,
    /// The provider reports a usage that it does not bill: it refused before it had said anything.
    pub waived: bool,
    /// The same usage by what prices it, where that differs within one answer: the results of a
    /// batch. Empty where it does not.
    pub parts: Vec<Part>,
}

impl Metered {
    /// All that is billed: the usage, and what was used beside it; nothing where it is waived. What
    /// both ends price, and compare.
    #[must_use]
    pub fn billed(&self) -> Usage {
        if self.waived { Usage::NONE } else { self.usage.plus(&self.beside) }
    }
}

/// What a request took of which no answer has come, not even a head: what the provider may have
/// read of it. An estimate.
#[must_use]
pub fn unanswered(route: &Route, asked: &Asked) -> Metered {
    let facts = AnswerFacts {
        provider: route.provider,
        metering: route.metering,
        status: StatusCode::OK,
        content_type: None,
        content_encoding: None,
    };
    match route.metering {
        // These are made by one short call, or not at all.
        Metering::Container | Metering::Batch | Metering::Free => {
            AnswerMeter::new(&AnswerFacts { metering: Metering::Free, ..facts })
        }
        Metering::Chat
        | Metering::Responses
        | Metering::StoredResponse
        | Metering::Messages
        | Metering::Embeddings
        | Metering::Images
        | Metering::Transcription
        | Metering::Speech
        | Metering::Realtime
        | Metering::BatchResults => AnswerMeter::new(&facts),
    }
    .end(asked, false)
}
