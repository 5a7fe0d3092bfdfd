//! What a class costs that a row says nothing of. This is the only such table.

use crate::usage::Class;

/// What stands in for a price that is not stated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallback {
    /// The price of this class, or what stands in for that.
    As(Class),
    /// It costs nothing.
    Free,
    /// Nothing stands in: a usage with units of this class cannot be priced.
    Unpriced,
}

/// What stands in for the price of `class` where a row does not state it.
///
/// | class | stands in | why |
/// |---|---|---|
/// | `input_audio`, `input_image` | `input` | providers count them as input where they list no price apart |
/// | `cache_read` | `input` | a discount that is not listed is not given |
/// | `cache_read_audio`, `cache_read_image` | `input_audio`, `input_image` | the same |
/// | `cache_write` | `input` | tokens written are read first; OpenAI lists no price apart before gpt-5.6 |
/// | `cache_write_1h` | `cache_write` | the longer life is the dearer one where it is listed |
/// | `reasoning`, `output_audio`, `output_image`, `rejected_prediction` | `output` | providers bill them as output |
/// | `web_fetch`, `tool_call`, `request` | nothing: free | providers charge the tokens of such calls alone, where they list no price |
/// | `input`, `output`, `audio_millis`, `characters`, `web_search`, `file_search`, `code_session`, `image`, `video_millis` | none | every provider that counts them charges them |
#[must_use]
pub const fn fallback(class: Class) -> Fallback {
    match class {
        Class::InputAudio | Class::InputImage | Class::CacheRead | Class::CacheWrite => {
            Fallback::As(Class::Input)
        }
        Class::CacheReadAudio => Fallback::As(Class::InputAudio),
        Class::CacheReadImage => Fallback::As(Class::InputImage),
        Class::CacheWrite1h => Fallback::As(Class::CacheWrite),
        Class::Reasoning | Class::OutputAudio | Class::OutputImage | Class::RejectedPrediction => {
            Fallback::As(Class::Output)
        }
        Class::WebFetch | Class::ToolCall | Class::Request => Fallback::Free,
        Class::Input
        | Class::Output
        | Class::AudioMillis
        | Class::Characters
        | Class::WebSearch
        | Class::FileSearch
        | Class::CodeSession
        | Class::Image
        | Class::VideoMillis => Fallback::Unpriced,
    }
}
