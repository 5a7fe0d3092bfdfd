//! What an answer took, once it has ended: what was reported, or what was counted instead.
//!
//! A usage that the provider reported for the whole answer is believed, as far as the request can
//! have led to it ([`bounds`]). Where there is none, what was given is counted, and what was reported
//! of a part is never undercut.

use http::StatusCode;

use super::answer::words;
use super::bounds;
use super::compose::{self, Words};
use super::facts::{Facts, Field, Status};
use super::{Asked, Metered, Part};
use crate::provider::Provider;
use crate::tables::routes::Metering;
use crate::usage::{Basis, Class, Geo, ServiceTier, Usage};

/// Bytes of a recording that are taken for a millisecond, where nobody says how long it is: 128
/// kbit/s.
const RECORDING_BYTES_PER_MILLI: u64 = 16;

/// Milliseconds of a recording that are taken for one token.
const RECORDING_MILLIS_PER_TOKEN: u64 = 100;

/// Bytes of an unreadable answer that are taken for one token.
pub(super) const UNREADABLE_BYTES_PER_TOKEN: u64 = 4;

/// What is known of an answer that has ended.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) provider: Provider,
    pub(super) metering: Metering,
    pub(super) status: StatusCode,
    pub(super) body_bytes: u64,
    /// It could not be read, or not to its end.
    pub(super) unreadable: bool,
    /// It was one value, and is complete.
    pub(super) whole: bool,
    /// It was not cut.
    pub(super) proper: bool,
    /// Tokens of text counted.
    pub(super) visible: u64,
    /// Tokens of reasoning counted.
    pub(super) reasoning: u64,
    /// Tokens of sound, by its length.
    pub(super) sound: u64,
    /// What its parts have used, each of which has reported for itself.
    pub(super) folded: Usage,
    pub(super) beside: Usage,
    /// What they have used, by what prices it.
    pub(super) parts: Vec<Part>,
    pub(super) facts: Facts,
}

/// What the answer took.
pub(super) fn settle(given: Given, asked: &Asked) -> Metered {
    let (taken, basis) = taken(&given, asked);
    let (usage, held_beside) = bounds::within(given.metering, asked, &taken, &given.beside);
    let basis = match basis {
        Basis::Reported if (usage, held_beside) != (taken, given.beside) => Basis::Bounded,
        // What was counted here accuses nobody.
        Basis::Reported | Basis::Estimated | Basis::Unmetered | Basis::Bounded => basis,
    };
    let pending = given.pending(asked);
    let waived = given.facts.refused && given.counted() == 0;
    let Given { metering, whole, facts, parts, .. } = given;
    let refused = !(given.status.is_success() || given.status.is_informational());
    let tier = facts.tier.unwrap_or(asked.service_tier);
    let fast = facts.fast.unwrap_or(asked.service_tier == ServiceTier::Fast);
    Metered {
        usage,
        basis,
        model: facts.model,
        service_tier: match (fast, metering) {
            (_, Metering::BatchResults) => ServiceTier::Batch,
            (true, _) => ServiceTier::Fast,
            (false, _) => tier,
        },
        geo: if facts.geo == Geo::Unstated { asked.geo } else { facts.geo },
        finish_marker: facts.finished || whole,
        usage_seen: facts.usage_seen,
        charged_although_refused: refused && !usage.is_none(),
        pending,
        response: facts
            .response
            .filter(|_| matches!(metering, Metering::Responses | Metering::StoredResponse)),
        beside: held_beside,
        waived,
        parts,
    }
}

impl Given {
    /// Whether a response, or a batch, is still being made, and its usage comes later.
    fn pending(&self, asked: &Asked) -> bool {
        if self.metering == Metering::Batch {
            return self.status.is_success();
        }
        let made_later = self.whole || asked.background;
        matches!(self.metering, Metering::Responses | Metering::StoredResponse)
            && !self.facts.usage_seen
            && self.facts.status == Status::Pending
            && (made_later || self.metering == Metering::StoredResponse)
    }

    /// Whether the provider has reported on the whole answer.
    const fn is_reported(&self) -> bool {
        self.facts.usage_seen && (self.proper || self.facts.finished || self.whole)
    }

    fn words(&self) -> Words {
        words(self.provider, self.metering)
    }

    /// Tokens that the user was given, as counted.
    const fn counted(&self) -> u64 {
        self.visible.saturating_add(self.reasoning).saturating_add(self.sound)
    }
}

fn taken(given: &Given, asked: &Asked) -> (Usage, Basis) {
    const NOTHING: (Usage, Basis) = (Usage::NONE, Basis::Reported);
    let switched =
        given.metering == Metering::Realtime && given.status == StatusCode::SWITCHING_PROTOCOLS;
    if !(switched || given.status.is_success()) {
        // Azure reads a prompt, and charges for it, before its filter refuses it.
        return if given.facts.filtered {
            (Usage::NONE.with(Class::Input, asked.input_estimate), Basis::Estimated)
        } else {
            NOTHING
        };
    }
    match given.metering {
        // What a batch takes, its results tell.
        Metering::Free | Metering::Batch => NOTHING,
        Metering::Container => (Usage::NONE.with(Class::CodeSession, 1), Basis::Reported),
        // It was billed when it was made; reading it again costs nothing that it does not report.
        Metering::StoredResponse if !given.facts.usage_seen => NOTHING,
        Metering::Responses if given.pending(asked) => NOTHING,
        Metering::BatchResults => (given.folded, basis(given, false)),
        Metering::Transcription
            if !given.facts.usage_seen && given.facts.counts.get(Field::Duration).is_some() =>
        {
            let millis = given.facts.counts.get(Field::Duration).unwrap_or_default();
            (Usage::NONE.with(Class::AudioMillis, millis), basis(given, !given.whole))
        }
        Metering::Realtime => realtime(given),
        Metering::Chat
        | Metering::Responses
        | Metering::StoredResponse
        | Metering::Messages
        | Metering::Embeddings
        | Metering::Images
        | Metering::Transcription
        | Metering::Speech => {
            if given.is_reported() {
                (
                    with_tools(compose::usage(given.words(), &given.facts.counts), given),
                    Basis::Reported,
                )
            } else if given.facts.failed && given.counted() == 0 && !given.facts.usage_seen {
                // A failure that gave nothing.
                NOTHING
            } else {
                (with_tools(estimated(given, asked), given), basis(given, true))
            }
        }
    }
}

fn basis(given: &Given, counted: bool) -> Basis {
    match (given.unreadable, counted) {
        (true, _) => Basis::Unmetered,
        (false, true) => Basis::Estimated,
        (false, false) => Basis::Reported,
    }
}

/// Responses that have reported, and the one that was being spoken when the session ended.
fn realtime(given: &Given) -> (Usage, Basis) {
    let mut counts = given.facts.counts;
    counts.set(Field::Output, given.counted().max(counts.of(Field::Output)));
    counts.set(Field::AudioOut, given.sound);
    let rest = compose::usage(Words::OpenAi, &counts);
    (given.folded.plus(&rest), basis(given, !rest.is_none()))
}

/// What is counted where nothing, or only a part, was reported.
fn estimated(given: &Given, asked: &Asked) -> Usage {
    let mut counts = given.facts.counts;
    let input = counts.get(Field::Input).unwrap_or(asked.input_estimate);
    match given.metering {
        Metering::Images => {
            let made = given.facts.data.max(u64::from(given.facts.finished));
            if counts.any_use() {
                return compose::usage(Words::Images, &counts);
            }
            return Usage::NONE.with(Class::Image, made);
        }
        Metering::Speech if counts.get(Field::Output).is_none() => return spoken(asked),
        Metering::Transcription if !counts.any_use() => return transcribed(given, asked),
        Metering::Chat
        | Metering::Responses
        | Metering::StoredResponse
        | Metering::Messages
        | Metering::Embeddings
        | Metering::Transcription
        | Metering::Speech
        | Metering::Realtime
        | Metering::BatchResults
        | Metering::Batch
        | Metering::Container
        | Metering::Free => {}
    }
    let mut output = given.counted().max(counts.of(Field::Output));
    if given.unreadable {
        output = output.max(given.body_bytes / UNREADABLE_BYTES_PER_TOKEN);
    }
    if given.metering == Metering::Embeddings {
        output = 0;
    }
    counts.set(Field::Input, input);
    counts.set(Field::Output, output);
    if given.sound > 0 {
        counts.set(Field::AudioOut, given.sound);
    }
    compose::usage(given.words(), &counts)
}

/// Spoken text: by the character where the model is billed so, or else by tokens, of which one
/// character makes four thirds: 15 characters and 20 tokens a second.
fn spoken(asked: &Asked) -> Usage {
    let model = asked.model.as_deref().unwrap_or_default();
    if model.starts_with("tts-") || model.is_empty() {
        return Usage::NONE.with(Class::Characters, asked.characters);
    }
    Usage::NONE
        .with(Class::Input, asked.input_estimate)
        .with(Class::OutputAudio, asked.characters.saturating_mul(4).div_ceil(3))
}

/// A recording whose length nobody told: by the size of the form that it came in.
fn transcribed(given: &Given, asked: &Asked) -> Usage {
    let millis = asked.body_bytes / RECORDING_BYTES_PER_MILLI;
    let model = asked.model.as_deref().unwrap_or_default();
    if model.contains("transcribe") {
        return Usage::NONE
            .with(Class::InputAudio, millis.div_ceil(RECORDING_MILLIS_PER_TOKEN))
            .with(Class::Output, given.visible);
    }
    Usage::NONE.with(Class::AudioMillis, millis)
}

/// Adds the calls of hosted tools, which are billed by the piece.
fn with_tools(mut usage: Usage, given: &Given) -> Usage {
    let facts = &given.facts;
    match given.metering {
        Metering::Responses | Metering::StoredResponse => {
            let listed = facts.finished || given.whole;
            let tools = if listed { &facts.tools } else { &facts.tools_by_item };
            if facts.counts.get(Field::WebSearches).is_none() {
                usage.set(Class::WebSearch, tools.web_searches);
            }
            usage
                .with(Class::FileSearch, tools.file_searches)
                .with(Class::CodeSession, tools.code_sessions())
                .with(Class::Image, tools.images)
        }
        // These models search once for every answer, and do not say so.
        Metering::Chat if facts.model.as_deref().is_some_and(searches) && !usage.is_none() => {
            usage.with(Class::WebSearch, 1)
        }
        Metering::Chat
        | Metering::Messages
        | Metering::Embeddings
        | Metering::Images
        | Metering::Transcription
        | Metering::Speech
        | Metering::Realtime
        | Metering::BatchResults
        | Metering::Batch
        | Metering::Container
        | Metering::Free => usage,
    }
}

fn searches(model: &str) -> bool {
    model.contains("-search-preview") || model.contains("-search-api")
}
