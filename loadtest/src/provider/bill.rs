//! What an answer costs at the provider, in disjoint classes of units.
//!
//! A control may name classes (`input=100,output=7`); the rest is then nothing. Where none is named,
//! the bill follows from the request's length and the answer's deltas. Classes that an endpoint has
//! no field for are counted where its totals put them, so that a meter which reads the answer well
//! comes to exactly this bill. Refusals cost nothing, but for Azure's content filter.

use super::route::Endpoint;
use weft_proto::provider::Provider;
use weft_proto::usage::{Class, Usage};

/// Output tokens of an image for each delta, where no class is named.
const IMAGE_TOKENS_PER_DELTA: u64 = 17;

/// What the bill follows from where the control names no class.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts<'a> {
    /// Tokens of the request, by its length.
    pub(crate) prompt: u64,
    /// Deltas of the answer.
    pub(crate) deltas: u64,
    /// The model asked for.
    pub(crate) model: &'a str,
    /// Characters to be spoken.
    pub(crate) characters: u64,
    /// Whether speech comes as events, which tell tokens.
    pub(crate) speech_events: bool,
}

/// Whether a transcription by `model` is counted in seconds.
pub(crate) fn by_duration(model: &str) -> bool {
    model.starts_with("whisper")
}

/// The bill of an answer at `endpoint`; nothing where it is free of charge.
pub(crate) fn of(
    endpoint: &Endpoint,
    provider: Provider,
    named: Option<Usage>,
    facts: Facts<'_>,
) -> Option<Usage> {
    let usage = match endpoint {
        Endpoint::Chat | Endpoint::Responses | Endpoint::Messages => {
            named.unwrap_or_else(|| text(facts))
        }
        Endpoint::Embeddings => {
            named.unwrap_or_else(|| Usage::NONE.with(Class::Input, facts.prompt))
        }
        Endpoint::Images | Endpoint::ImageEdits => named.unwrap_or_else(|| {
            let output = facts.deltas * IMAGE_TOKENS_PER_DELTA;
            Usage::NONE.with(Class::Input, facts.prompt).with(Class::OutputImage, output)
        }),
        Endpoint::Transcriptions | Endpoint::Translations => named.unwrap_or_else(|| heard(facts)),
        Endpoint::Speech => named.unwrap_or_else(|| spoken(facts)),
        Endpoint::CountTokens
        | Endpoint::Models
        | Endpoint::Model(_)
        | Endpoint::Balance
        | Endpoint::Realtime
        | Endpoint::Object(_) => return None,
    };
    Some(folded(endpoint, provider, usage))
}

/// The bill of a realtime response.
pub(crate) fn realtime(named: Option<Usage>) -> Usage {
    named.unwrap_or_else(|| {
        Usage::NONE
            .with(Class::Input, 24)
            .with(Class::InputAudio, 16)
            .with(Class::Output, 6)
            .with(Class::OutputAudio, 10)
    })
}

/// What a refused prompt costs, where the provider charges for reading it.
pub(crate) fn filtered(named: Option<Usage>, prompt: u64) -> Usage {
    let usage = named.unwrap_or_else(|| Usage::NONE.with(Class::Input, prompt));
    Usage::NONE.with(Class::Input, usage.input_total())
}

/// The part of `usage` that a provider has made when `sent` of `of` deltas are out: all that was
/// read, and a share of what is written.
pub(crate) fn so_far(usage: Usage, sent: u64, of: u64) -> Usage {
    if of == 0 || sent >= of {
        return usage;
    }
    usage
        .iter()
        .map(|(class, units)| match class {
            Class::Output
            | Class::Reasoning
            | Class::OutputAudio
            | Class::OutputImage
            | Class::RejectedPrediction => {
                let share = u128::from(units) * u128::from(sent);
                (class, u64::try_from(share.div_ceil(u128::from(of))).unwrap_or(units))
            }
            Class::Input
            | Class::InputAudio
            | Class::InputImage
            | Class::CacheRead
            | Class::CacheReadAudio
            | Class::CacheReadImage
            | Class::CacheWrite
            | Class::CacheWrite1h
            | Class::AudioMillis
            | Class::Characters
            | Class::WebSearch
            | Class::WebFetch
            | Class::FileSearch
            | Class::CodeSession
            | Class::Image
            | Class::ToolCall
            | Class::Request
            | Class::VideoMillis => (class, units),
        })
        .collect()
}

fn text(facts: Facts<'_>) -> Usage {
    let cached = facts.prompt / 4;
    Usage::NONE
        .with(Class::Input, facts.prompt - cached)
        .with(Class::CacheRead, cached)
        .with(Class::Output, facts.deltas)
}

fn heard(facts: Facts<'_>) -> Usage {
    if by_duration(facts.model) {
        return Usage::NONE.with(Class::AudioMillis, facts.prompt * 1_000);
    }
    Usage::NONE.with(Class::InputAudio, facts.prompt).with(Class::Output, facts.deltas)
}

fn spoken(facts: Facts<'_>) -> Usage {
    if facts.speech_events {
        return Usage::NONE.with(Class::Input, facts.prompt).with(Class::OutputAudio, facts.deltas);
    }
    Usage::NONE.with(Class::Characters, facts.characters)
}

/// Moves units of classes that the endpoint cannot tell apart to where its totals put them.
fn folded(endpoint: &Endpoint, provider: Provider, mut usage: Usage) -> Usage {
    let moves: &[(Class, Class)] = match endpoint {
        Endpoint::Messages => &[
            (Class::InputAudio, Class::Input),
            (Class::InputImage, Class::Input),
            (Class::CacheReadAudio, Class::CacheRead),
            (Class::CacheReadImage, Class::CacheRead),
            (Class::Reasoning, Class::Output),
            (Class::OutputAudio, Class::Output),
            (Class::OutputImage, Class::Output),
            (Class::RejectedPrediction, Class::Output),
        ],
        Endpoint::Chat => &[
            (Class::InputImage, Class::Input),
            (Class::CacheReadAudio, Class::CacheRead),
            (Class::CacheReadImage, Class::CacheRead),
            (Class::CacheWrite1h, Class::CacheWrite),
            (Class::OutputImage, Class::Output),
        ],
        Endpoint::Responses => &[
            (Class::InputAudio, Class::Input),
            (Class::InputImage, Class::Input),
            (Class::CacheReadAudio, Class::CacheRead),
            (Class::CacheReadImage, Class::CacheRead),
            (Class::CacheWrite1h, Class::CacheWrite),
            (Class::OutputAudio, Class::Output),
            (Class::OutputImage, Class::Output),
            (Class::RejectedPrediction, Class::Output),
        ],
        Endpoint::Embeddings
        | Endpoint::Images
        | Endpoint::ImageEdits
        | Endpoint::Transcriptions
        | Endpoint::Translations
        | Endpoint::Speech
        | Endpoint::CountTokens
        | Endpoint::Models
        | Endpoint::Model(_)
        | Endpoint::Balance
        | Endpoint::Realtime
        | Endpoint::Object(_) => &[],
    };
    for (from, to) in moves {
        let units = usage.get(*from);
        usage.set(*from, 0);
        usage.add(*to, units);
    }
    if provider == Provider::DeepSeek {
        // It charges nothing for writing its cache, and tells nothing of it.
        let written = usage.get(Class::CacheWrite);
        usage.set(Class::CacheWrite, 0);
        usage.add(Class::Input, written);
    }
    usage
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACTS: Facts<'static> =
        Facts { prompt: 40, deltas: 9, model: "sim", characters: 12, speech_events: false };

    #[test]
    fn named_classes_are_the_whole_bill_and_their_sum_stays_when_they_are_folded() {
        let named = Usage::NONE
            .with(Class::Input, 5)
            .with(Class::Reasoning, 3)
            .with(Class::CacheWrite1h, 2)
            .with(Class::Output, 1);
        let of = |endpoint| of(&endpoint, Provider::OpenAi, Some(named), FACTS).expect("billed");
        for endpoint in [Endpoint::Chat, Endpoint::Responses, Endpoint::Messages] {
            let usage = of(endpoint);
            assert_eq!((usage.input_total(), usage.output_total()), (7, 4));
        }
        assert_eq!(of(Endpoint::Messages).get(Class::Output), 4);
        assert_eq!(of(Endpoint::Chat).get(Class::CacheWrite), 2);
    }

    #[test]
    fn what_reads_only_is_free_and_what_answers_is_billed() {
        let of = |endpoint| of(&endpoint, Provider::OpenAi, None, FACTS);
        assert_eq!(of(Endpoint::Models), None);
        assert_eq!(of(Endpoint::CountTokens), None);
        let chat = of(Endpoint::Chat).expect("billed");
        assert_eq!((chat.get(Class::Input), chat.get(Class::CacheRead)), (30, 10));
        assert_eq!(of(Endpoint::Speech).expect("billed").get(Class::Characters), 12);
    }

    #[test]
    fn an_answer_cut_short_costs_what_was_read_and_a_share_of_what_is_written() {
        let usage = Usage::NONE.with(Class::Input, 100).with(Class::Output, 10);
        let cut = so_far(usage, 1, 4);
        assert_eq!((cut.get(Class::Input), cut.get(Class::Output)), (100, 3));
        assert_eq!(so_far(usage, 4, 4), usage);
        assert_eq!(so_far(usage, 0, 4).get(Class::Output), 0);
    }
}
