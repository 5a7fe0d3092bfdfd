//! Bounds: the most that an answer can have taken, by what its request brought and asked for.
//!
//! A reported usage is a number that came through the hands of whoever carried the answer. What the
//! provider did cannot be proven from it, but what it cannot have done can: nothing reads more
//! tokens than there are bytes, and nobody writes more than it was allowed to. Both ends know the
//! same request, so both hold the same figures to the same bounds.
//!
//! A bound is never nearer than what an honest provider may count. Where the request leaves open how
//! much is read, only the largest context there is bounds it: images and files (their tokens have
//! nothing to do with their bytes), what is kept at the provider (an earlier response, a
//! conversation, a stored prompt), tools of the provider's own (each of their rounds reads all of it
//! again), and requests that this end has not read to their end. Batches are held to nothing here.

use super::Asked;
use crate::tables::routes::Metering;
use crate::usage::{Class, Usage};

/// Tokens that a provider adds of its own: instructions for tools and formats, and what stands
/// around messages.
const ADDED_TOKENS: u64 = 4_096;

/// Tokens that may be written beyond what a request allows: the ends of texts and of calls.
const OVER_TOKENS: u64 = 64;

/// The largest context that any model has.
const CONTEXT_TOKENS_MAX: u64 = 1 << 21;

/// The longest answer that any model writes, hidden reasoning and all.
const ANSWER_TOKENS_MAX: u64 = 1 << 19;

/// The most rounds of one answer, each of which reads the whole context.
const ROUNDS_MAX: u64 = 64;

/// The most answers to one question.
const CHOICES_MAX: u64 = 128;

/// The most calls of one tool of the provider's own.
const CALLS_MAX: u64 = 1_024;

/// The most images of one answer, where the request does not say how many.
const IMAGES_MAX: u64 = 16;

/// The most tokens of one image.
const IMAGE_TOKENS_MAX: u64 = 1 << 16;

/// The most tokens of sound that one character of text makes, spoken slowly.
const SOUND_TOKENS_PER_CHARACTER: u64 = 64;

/// Milliseconds of a recording that one of its bytes holds, at the lowest rate in use.
const MILLIS_PER_BYTE: u64 = 4;

/// Milliseconds that are billed of the shortest recording.
const RECORDING_MILLIS_MIN: u64 = 60_000;

/// Milliseconds of sound where nothing says how much there was: a day.
const MILLIS_MAX: u64 = 86_400_000;

/// The most of each kind of unit.
struct Most {
    read: u64,
    written: u64,
    calls: u64,
    searches: u64,
    images: u64,
    characters: u64,
    millis: u64,
    /// Whether there can be turns beside the answer.
    turns: bool,
}

/// The usage, and what was used beside it, as far as the request can have led to it.
pub(super) fn within(
    metering: Metering,
    asked: &Asked,
    usage: &Usage,
    beside: &Usage,
) -> (Usage, Usage) {
    let Some(most) = Most::of(metering, asked) else { return (*usage, *beside) };
    let beside = if most.turns { most.hold(beside) } else { Usage::NONE };
    (most.hold(usage), beside)
}

impl Most {
    /// What bounds the answers of a route that is metered so; `None` where nothing does.
    fn of(metering: Metering, asked: &Asked) -> Option<Self> {
        match metering {
            Metering::Free | Metering::Container | Metering::Batch | Metering::BatchResults => {
                return None;
            }
            Metering::Chat
            | Metering::Responses
            | Metering::StoredResponse
            | Metering::Messages
            | Metering::Embeddings
            | Metering::Images
            | Metering::Transcription
            | Metering::Speech
            | Metering::Realtime => {}
        }
        // Models that search by themselves are named so.
        let searches = asked.model.as_deref().is_some_and(|model| model.contains("search"));
        let tools = asked.hosted_tools || asked.provider_tools || searches;
        let open = !asked.whole || tools;
        let calls = if open || asked.elsewhere { CALLS_MAX } else { 0 };
        // A form may say how many in a field that is not read.
        let images = match asked.choices {
            0 if asked.whole && asked.attachments == 0 => 1,
            0 => IMAGES_MAX,
            choices => choices.min(CHOICES_MAX),
        };
        Some(Self {
            read: if open {
                CONTEXT_TOKENS_MAX * ROUNDS_MAX
            } else if asked.attachments > 0 || asked.elsewhere {
                CONTEXT_TOKENS_MAX
            } else {
                asked.body_bytes.saturating_add(ADDED_TOKENS)
            },
            written: written(metering, asked, open, images),
            calls,
            // Some models search once for every answer; a deployment's name need not tell.
            searches: if metering == Metering::Chat { calls.max(1) } else { calls },
            images: if metering == Metering::Images { images } else { calls },
            characters: if asked.whole { asked.characters } else { u64::MAX },
            millis: if asked.whole && metering == Metering::Transcription {
                asked.body_bytes.saturating_mul(MILLIS_PER_BYTE).max(RECORDING_MILLIS_MIN)
            } else {
                MILLIS_MAX
            },
            turns: open || asked.elsewhere,
        })
    }

    fn hold(&self, usage: &Usage) -> Usage {
        let mut held = *usage;
        share(&mut held, &Class::READ, self.read);
        share(&mut held, &Class::WRITTEN, self.written);
        for class in [Class::FileSearch, Class::WebFetch, Class::CodeSession, Class::ToolCall] {
            share(&mut held, &[class], self.calls);
        }
        share(&mut held, &[Class::WebSearch], self.searches);
        share(&mut held, &[Class::Image], self.images);
        share(&mut held, &[Class::Characters], self.characters);
        share(&mut held, &[Class::AudioMillis], self.millis);
        share(&mut held, &[Class::VideoMillis], self.millis);
        share(&mut held, &[Class::Request], 1);
        held
    }
}

/// The most tokens that can be written.
fn written(metering: Metering, asked: &Asked, open: bool, images: u64) -> u64 {
    match metering {
        Metering::Embeddings => OVER_TOKENS,
        Metering::Images => images * IMAGE_TOKENS_MAX,
        Metering::Speech if asked.whole => {
            let spoken = asked.characters.saturating_mul(SOUND_TOKENS_PER_CHARACTER);
            spoken.saturating_add(ADDED_TOKENS).min(ANSWER_TOKENS_MAX)
        }
        Metering::Speech | Metering::Transcription => ANSWER_TOKENS_MAX,
        Metering::Chat
        | Metering::Responses
        | Metering::StoredResponse
        | Metering::Messages
        | Metering::Realtime
        | Metering::Free
        | Metering::Container
        | Metering::Batch
        | Metering::BatchResults => {
            if open || asked.several {
                return ANSWER_TOKENS_MAX * ROUNDS_MAX;
            }
            let one = asked.output_max.map_or(ANSWER_TOKENS_MAX, |most| {
                most.saturating_add(OVER_TOKENS).min(ANSWER_TOKENS_MAX)
            });
            one * asked.choices.clamp(1, CHOICES_MAX)
        }
    }
}

/// Lets `classes` have no more than `most` together, the first ones first.
fn share(usage: &mut Usage, classes: &[Class], most: u64) {
    let mut left = most;
    for &class in classes {
        let units = usage.get(class).min(left);
        usage.set(class, units);
        left -= units;
    }
}

#[cfg(test)]
mod tests;
