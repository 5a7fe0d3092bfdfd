//! The meter of one answer: its coding undone in a copy, its form recognised, its usage settled.

use std::sync::Arc;

use http::StatusCode;

use super::compose::Words;
use super::frames::{FramePart, Frames};
use super::reader::Reader;
use super::settle::{self, Given};
use super::text::TextCounter;
use super::{AnswerFacts, Asked, Metered, Progress, shape};
use crate::decode::Decoder;
use crate::provider::Provider;
use crate::sse::{Part, Splitter};
use crate::tables::routes::Metering;
use crate::usage::Usage;

/// Base64 characters that hold the sound of one token: 20 tokens a second of 16 bits at 24 kHz.
const SOUND_CHARS_PER_TOKEN: u64 = 3200;

/// Reads one answer.
#[derive(Debug)]
pub struct AnswerMeter {
    provider: Provider,
    metering: Metering,
    status: StatusCode,
    decoder: Decoder,
    /// The coding cannot be undone, or not any further.
    blind: bool,
    body_bytes: u64,
    content: Content,
}

/// What the decoded bytes are.
#[derive(Debug)]
struct Content {
    form: Form,
    reader: Option<Reader>,
    /// Text that stands by itself.
    bare: TextCounter,
}

#[derive(Debug)]
enum Form {
    /// Nothing that a meter reads.
    Opaque,
    /// Not known before its first byte that is no white space.
    Unknown { metering: Metering, provider: Provider, failure: bool, events: bool, mark: usize },
    /// One JSON value.
    Whole,
    /// Events, each of which holds one.
    Events(Splitter),
    /// Lines, each of which is one.
    Lines,
    /// Frames, whose messages each are one.
    Frames(Frames),
    /// Text.
    Bare,
    /// Nothing that this route could answer.
    Unreadable,
}

/// The byte order mark that a body may begin with.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

impl AnswerMeter {
    /// A meter at the start of an answer's body.
    #[must_use]
    pub fn new(facts: &AnswerFacts<'_>) -> Self {
        let AnswerFacts { provider, metering, status, content_type, content_encoding } = *facts;
        let coding = content_encoding.map(str::trim).filter(|coding| !coding.is_empty());
        let decoder = Decoder::for_coding(coding.unwrap_or("identity"));
        let form = Form::of(provider, metering, status, content_type);
        Self {
            provider,
            metering,
            status,
            blind: decoder.is_err() && !matches!(form, Form::Opaque),
            decoder: decoder.unwrap_or_default(),
            body_bytes: 0,
            content: Content::new(form, provider, metering),
        }
    }

    /// The same, where prices differ with what one request read in all: above each of `bands`, in
    /// their order. Only the results of a batch hold more than one request.
    #[must_use]
    pub fn in_bands(mut self, bands: Arc<[u64]>) -> Self {
        if let Some(reader) = &mut self.content.reader {
            reader.in_bands(bands);
        }
        self
    }

    /// Reads the next bytes of the answer's body, as the provider sent them.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.body_bytes = self.body_bytes.saturating_add(bytes.len() as u64);
        if self.blind || matches!(self.content.form, Form::Opaque | Form::Unreadable) {
            return;
        }
        let content = &mut self.content;
        self.blind = self.decoder.feed(bytes, |plain| content.feed(plain)).is_err();
    }

    /// How far the answer has come.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let Content { form, reader, bare } = &self.content;
        let Some(reader) = reader else {
            return Progress { output_units: bare.about(), ..Progress::default() };
        };
        let sound = reader.facts.sound_chars / SOUND_CHARS_PER_TOKEN;
        let before = reader.folded.output_total();
        let whole = matches!(form, Form::Whole) && reader.is_complete();
        Progress {
            output_units: before.saturating_add(reader.about()).saturating_add(sound),
            finish_marker: reader.facts.finished || whole,
            usage_seen: reader.facts.usage_seen,
        }
    }

    /// What the parts of the answer have used that have ended each for itself: those of a realtime
    /// session. Never less than before.
    #[must_use]
    pub fn folded(&self) -> Usage {
        let reader = self.content.reader.as_ref();
        reader.map_or(Usage::NONE, |reader| reader.folded.plus(&reader.beside))
    }

    /// Ends the answer: what it took. `asked` is what the whole request asked for; `proper` is
    /// whether the answer ended as its provider meant it to, and was not cut.
    #[must_use]
    pub fn end(mut self, asked: &Asked, proper: bool) -> Metered {
        self.content.end();
        let Content { form, reader, mut bare } = self.content;
        let whole = matches!(form, Form::Whole);
        let lost = match &form {
            Form::Unreadable => true,
            Form::Frames(frames) => frames.is_lost(),
            // A value that is cut is only cut; one that ends short is none.
            Form::Whole => reader
                .as_ref()
                .is_some_and(|reader| reader.is_broken() || (proper && !reader.is_complete())),
            Form::Lines => reader.as_ref().is_some_and(Reader::has_lost_lines),
            Form::Opaque | Form::Unknown { .. } | Form::Events(_) | Form::Bare => false,
        };
        let complete = whole && reader.as_ref().is_some_and(Reader::is_complete);
        let mut given = Given {
            provider: self.provider,
            metering: self.metering,
            status: self.status,
            body_bytes: self.body_bytes,
            unreadable: self.blind || lost,
            whole: complete,
            proper,
            visible: bare.total(),
            reasoning: 0,
            sound: 0,
            folded: Default::default(),
            beside: Default::default(),
            parts: Vec::new(),
            facts: Default::default(),
        };
        if let Some(mut reader) = reader {
            let (visible, reasoning) = reader.texts();
            given.visible += visible;
            given.reasoning = reasoning;
            given.sound = reader.facts.sound_chars.div_ceil(SOUND_CHARS_PER_TOKEN);
            given.folded = reader.folded;
            given.beside = reader.beside;
            given.parts = reader.take_parts();
            given.facts = reader.facts;
        }
        settle::settle(given, asked)
    }

    /// Bytes of memory of this one, without the decoder.
    #[cfg(test)]
    pub(super) fn memory_bytes(&self) -> usize {
        let reader = self.content.reader.as_ref().map_or(0, Reader::heap_bytes);
        size_of::<Self>() + reader + self.content.bare.heap_bytes()
    }
}

impl Form {
    fn of(
        provider: Provider,
        metering: Metering,
        status: StatusCode,
        content_type: Option<&str>,
    ) -> Self {
        let essence = content_type.and_then(|value| value.split(';').next()).unwrap_or_default();
        let essence = essence.trim().to_ascii_lowercase();
        let events = essence == "text/event-stream";
        let json = essence == "application/json" || essence.ends_with("+json");
        let unknown = |failure| Self::Unknown { metering, provider, failure, events, mark: 0 };
        match metering {
            Metering::Free | Metering::Container | Metering::Batch => Self::Opaque,
            Metering::Realtime if status == StatusCode::SWITCHING_PROTOCOLS => {
                Self::Frames(Frames::new())
            }
            Metering::Realtime => Self::Opaque,
            // The one refusal that is charged.
            _ if status == StatusCode::BAD_REQUEST && provider == Provider::Azure => unknown(true),
            _ if !status.is_success() => Self::Opaque,
            Metering::BatchResults => Self::Lines,
            Metering::Speech if !events && !json => Self::Opaque,
            Metering::Transcription if !events && !json && !essence.is_empty() => Self::Bare,
            Metering::Chat
            | Metering::Responses
            | Metering::StoredResponse
            | Metering::Messages
            | Metering::Embeddings
            | Metering::Images
            | Metering::Transcription
            | Metering::Speech => unknown(false),
        }
    }
}

impl Content {
    fn new(form: Form, provider: Provider, metering: Metering) -> Self {
        let reader = match &form {
            Form::Lines => shape::events(metering)
                .map(|shape| Reader::new(shape, words(provider, metering), true).of_lines()),
            Form::Frames(_) => shape::events(metering)
                .map(|shape| Reader::new(shape, words(provider, metering), true)),
            Form::Opaque
            | Form::Unknown { .. }
            | Form::Whole
            | Form::Events(_)
            | Form::Bare
            | Form::Unreadable => None,
        };
        Self { form, reader, bare: TextCounter::default() }
    }

    fn feed(&mut self, bytes: &[u8]) {
        let bytes = self.recognise(bytes);
        let Self { form, reader, bare } = self;
        match (form, reader) {
            (Form::Bare, _) => bare.push(bytes),
            (Form::Whole, Some(reader)) => reader.feed(bytes),
            (Form::Events(splitter), Some(reader)) => splitter.feed(bytes, |part| match part {
                Part::Name(name) => reader.event_name(name),
                Part::Data(data) => reader.feed(data),
                Part::End => reader.end_value(),
            }),
            (Form::Frames(frames), Some(reader)) => frames.feed(bytes, |part| match part {
                FramePart::Data(data) => reader.feed(data),
                FramePart::End => reader.end_value(),
            }),
            (Form::Lines, Some(reader)) => {
                for line in bytes.split_inclusive(|byte| *byte == b'\n') {
                    reader.feed_line(line);
                    if line.ends_with(b"\n") {
                        reader.end_line();
                    }
                }
            }
            (
                Form::Opaque
                | Form::Unknown { .. }
                | Form::Unreadable
                | Form::Whole
                | Form::Events(_)
                | Form::Frames(_)
                | Form::Lines,
                _,
            ) => {}
        }
    }

    /// Recognises the form by its first byte that is no white space: a `{` begins no event, and
    /// the name of no field begins JSON. Content types are not always what they say.
    fn recognise<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let Form::Unknown { metering, provider, failure, events, ref mut mark } = self.form else {
            return bytes;
        };
        for (at, &byte) in bytes.iter().enumerate() {
            if BYTE_ORDER_MARK.get(*mark) == Some(&byte) {
                *mark += 1;
                continue;
            }
            let reader = |shape: Option<shape::Shape>, pieces| {
                shape.map(|shape| Reader::new(shape, words(provider, metering), pieces))
            };
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' => continue,
                b'{' | b'[' => {
                    let shape =
                        if failure { Some(shape::failure()) } else { shape::whole(metering) };
                    self.reader = reader(shape, false);
                    self.form = Form::Whole;
                }
                b'd' | b'e' | b'i' | b'r' | b':' if !failure => {
                    self.reader = reader(shape::events(metering), true);
                    self.form = Form::Events(Splitter::new());
                }
                _ if events && !failure => {
                    self.reader = reader(shape::events(metering), true);
                    self.form = Form::Events(Splitter::new());
                }
                _ => self.form = if failure { Form::Opaque } else { Form::Unreadable },
            }
            return &bytes[at..];
        }
        &[]
    }

    /// Ends what a last empty line, or a last line's end, would have ended.
    fn end(&mut self) {
        let Some(reader) = &mut self.reader else { return };
        match self.form {
            Form::Events(_) if reader.is_complete() => reader.end_value(),
            Form::Lines => reader.end_line(),
            Form::Opaque
            | Form::Unknown { .. }
            | Form::Whole
            | Form::Events(_)
            | Form::Frames(_)
            | Form::Bare
            | Form::Unreadable => {}
        }
    }
}

/// In whose words the usage of a route's answers is reported.
pub(super) const fn words(provider: Provider, metering: Metering) -> Words {
    match metering {
        Metering::Messages => Words::Anthropic,
        Metering::BatchResults => match provider {
            Provider::Anthropic => Words::Anthropic,
            Provider::OpenAi | Provider::Azure | Provider::DeepSeek => Words::OpenAi,
        },
        Metering::Images => Words::Images,
        Metering::Transcription => Words::Transcription,
        Metering::Speech => Words::Speech,
        Metering::Free
        | Metering::Container
        | Metering::Batch
        | Metering::Chat
        | Metering::Responses
        | Metering::StoredResponse
        | Metering::Embeddings
        | Metering::Realtime => Words::OpenAi,
    }
}

#[cfg(test)]
mod tests;
