//! Reported numbers made into disjoint classes.
//!
//! OpenAI reports totals and says what is part of them; Anthropic reports parts. Either way every
//! unit ends in exactly one class, and the classes sum to what the provider calls its totals: where
//! the parts of a total claim more than it has, they share what there is, in a fixed order.

use super::facts::{Counts, Field};
use crate::usage::{Class, Usage};

/// In whose words a usage is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Words {
    /// Totals with their details.
    OpenAi,
    /// The same, where the answer is made of images.
    Images,
    /// The same, where what is read is sound.
    Transcription,
    /// The same, where the answer is sound.
    Speech,
    /// Parts.
    Anthropic,
}

/// A total that its parts are taken from.
struct Total {
    left: u64,
    usage: Usage,
}

impl Total {
    fn take(&mut self, class: Class, wanted: u64) {
        let units = wanted.min(self.left);
        self.left -= units;
        self.usage.add(class, units);
    }

    fn rest(mut self, class: Class) -> Usage {
        self.usage.add(class, self.left);
        self.usage
    }
}

/// The classes of what was reported.
pub(super) fn usage(words: Words, counts: &Counts) -> Usage {
    let usage = match words {
        Words::OpenAi | Words::Images | Words::Transcription | Words::Speech => {
            let read = read(words, counts);
            written(words, counts, read)
        }
        Words::Anthropic => parts(counts),
    };
    usage
        .with(Class::AudioMillis, counts.of(Field::Millis))
        .with(Class::WebSearch, counts.of(Field::WebSearches))
        .with(Class::WebFetch, counts.of(Field::WebFetches))
        .with(Class::CodeSession, counts.of(Field::CodeRuns))
}

fn read(words: Words, counts: &Counts) -> Usage {
    let hit_or_missed = || counts.of(Field::CacheRead).saturating_add(counts.of(Field::CacheMiss));
    let left = counts.get(Field::Input).unwrap_or_else(|| match counts.get(Field::CacheMiss) {
        Some(_) => hit_or_missed(),
        None => 0,
    });
    let mut total = Total { left, usage: Usage::NONE };
    let (cached, audio, image) =
        (counts.of(Field::CacheRead), counts.of(Field::CachedAudio), counts.of(Field::CachedImage));
    total.take(Class::CacheReadAudio, audio.min(cached));
    total.take(Class::CacheReadImage, image.min(cached.saturating_sub(audio)));
    total.take(Class::CacheRead, cached.saturating_sub(audio).saturating_sub(image));
    total.take(Class::CacheWrite, counts.of(Field::CacheWrite));
    total.take(Class::InputAudio, counts.of(Field::AudioIn).saturating_sub(audio));
    total.take(Class::InputImage, counts.of(Field::ImageIn).saturating_sub(image));
    let undetailed_sound = words == Words::Transcription && counts.get(Field::AudioIn).is_none();
    total.rest(if undetailed_sound { Class::InputAudio } else { Class::Input })
}

fn written(words: Words, counts: &Counts, usage: Usage) -> Usage {
    let mut total = Total { left: counts.of(Field::Output), usage };
    total.take(Class::Reasoning, counts.of(Field::Reasoning));
    total.take(Class::OutputAudio, counts.of(Field::AudioOut));
    total.take(Class::OutputImage, counts.of(Field::ImageOut));
    total.take(Class::RejectedPrediction, counts.of(Field::Rejected));
    match words {
        Words::Images => {
            total.take(Class::Output, counts.of(Field::TextOut));
            total.rest(Class::OutputImage)
        }
        Words::Speech => total.rest(Class::OutputAudio),
        Words::OpenAi | Words::Transcription | Words::Anthropic => total.rest(Class::Output),
    }
}

fn parts(counts: &Counts) -> Usage {
    // The split may be missing, and in a stream it may be older than the sum.
    let (five_minutes, hour) = (counts.of(Field::CacheWrite5m), counts.of(Field::CacheWrite1h));
    let written =
        counts.get(Field::CacheWrite).unwrap_or_else(|| five_minutes.saturating_add(hour));
    let hour = hour.min(written);
    let usage = Usage::NONE
        .with(Class::Input, counts.of(Field::Input))
        .with(Class::CacheRead, counts.of(Field::CacheRead))
        .with(Class::CacheWrite, written - hour)
        .with(Class::CacheWrite1h, hour);
    let mut total = Total { left: counts.of(Field::Output), usage };
    total.take(Class::Reasoning, counts.of(Field::Reasoning));
    total.rest(Class::Output)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn counts(rows: &[(Field, u64)]) -> Counts {
        let mut counts = Counts::default();
        rows.iter().for_each(|(field, count)| counts.set(*field, *count));
        counts
    }

    #[test]
    fn parts_of_a_total_are_taken_out_of_it() {
        let usage = usage(
            Words::OpenAi,
            &counts(&[
                (Field::Input, 100),
                (Field::CacheRead, 30),
                (Field::CachedAudio, 10),
                (Field::CacheWrite, 5),
                (Field::AudioIn, 25),
                (Field::Output, 50),
                (Field::Reasoning, 20),
                (Field::Rejected, 4),
            ]),
        );
        let wanted = [
            (Class::Input, 50),
            (Class::InputAudio, 15),
            (Class::CacheRead, 20),
            (Class::CacheReadAudio, 10),
            (Class::CacheWrite, 5),
            (Class::Output, 26),
            (Class::Reasoning, 20),
            (Class::RejectedPrediction, 4),
        ];
        assert_eq!(usage, wanted.into_iter().collect());
    }

    #[test]
    fn what_was_written_to_the_cache_is_split_as_far_as_it_is_told() {
        for (rows, wanted) in [
            (vec![(Field::CacheWrite, 9)], (9, 0)),
            (vec![(Field::CacheWrite1h, 4), (Field::CacheWrite5m, 5)], (5, 4)),
            (vec![(Field::CacheWrite, 20), (Field::CacheWrite1h, 4)], (16, 4)),
            (vec![(Field::CacheWrite, 3), (Field::CacheWrite1h, 4)], (0, 3)),
        ] {
            let usage = usage(Words::Anthropic, &counts(&rows));
            let split = (usage.get(Class::CacheWrite), usage.get(Class::CacheWrite1h));
            assert_eq!(split, wanted, "{rows:?}");
        }
    }

    #[test]
    fn hits_and_misses_of_the_cache_make_a_total_where_there_is_none() {
        let usage = usage(Words::OpenAi, &counts(&[(Field::CacheRead, 7), (Field::CacheMiss, 5)]));
        assert_eq!((usage.get(Class::CacheRead), usage.get(Class::Input)), (7, 5));
    }

    proptest! {
        #[test]
        fn classes_sum_to_the_totals_whatever_the_parts_claim(
            numbers in prop::collection::vec(prop::option::of(0_u64..1000), 12),
        ) {
            let fields = [
                Field::Input, Field::Output, Field::CacheRead, Field::CacheWrite, Field::AudioIn,
                Field::ImageIn, Field::CachedAudio, Field::CachedImage, Field::Reasoning,
                Field::AudioOut, Field::ImageOut, Field::Rejected,
            ];
            let mut counts = Counts::default();
            for (field, number) in fields.into_iter().zip(numbers) {
                if let Some(number) = number {
                    counts.set(field, number);
                }
            }
            for words in [Words::OpenAi, Words::Images, Words::Transcription, Words::Speech] {
                let usage = usage(words, &counts);
                prop_assert_eq!(usage.input_total(), counts.of(Field::Input));
                prop_assert_eq!(usage.output_total(), counts.of(Field::Output));
            }
            let parts = usage(Words::Anthropic, &counts);
            let read = [Field::Input, Field::CacheRead, Field::CacheWrite];
            let sum: u64 = read.into_iter().map(|field| counts.of(field)).sum();
            prop_assert_eq!(parts.input_total(), sum);
            prop_assert_eq!(parts.output_total(), counts.of(Field::Output));
        }
    }
}
