//! What answers say of their own cost, in the fields of each endpoint.
//!
//! The bill comes in disjoint classes; here it becomes the totals and details that providers send.
//! Nothing is counted here.

use super::Turn;
use serde_json::{Value, json};
use weft_proto::provider::Provider;
use weft_proto::usage::{Class, Usage};

impl Turn {
    /// Units of `class` on the bill.
    pub(super) fn units(&self, class: Class) -> u64 {
        self.usage.get(class)
    }

    fn cache_read(&self) -> u64 {
        [Class::CacheRead, Class::CacheReadAudio, Class::CacheReadImage]
            .into_iter()
            .fold(0, |sum, class| sum.saturating_add(self.units(class)))
    }
}

/// `usage` of chat completions.
pub(super) fn chat(turn: &Turn) -> String {
    let (prompt, completion) = (turn.usage.input_total(), turn.usage.output_total());
    let (cached, reasoning) = (turn.cache_read(), turn.units(Class::Reasoning));
    let total = prompt.saturating_add(completion);
    let details = match turn.provider {
        Provider::DeepSeek => format!(
            r#""prompt_tokens_details":{{"cached_tokens":{cached}}},"completion_tokens_details":{{"reasoning_tokens":{reasoning}}},"prompt_cache_hit_tokens":{cached},"prompt_cache_miss_tokens":{}"#,
            prompt.saturating_sub(cached)
        ),
        Provider::OpenAi | Provider::Azure | Provider::Anthropic => {
            let written = written(turn.units(Class::CacheWrite));
            format!(
                r#""prompt_tokens_details":{{"cached_tokens":{cached},"audio_tokens":{}{written}}},"completion_tokens_details":{{"reasoning_tokens":{reasoning},"audio_tokens":{},"accepted_prediction_tokens":0,"rejected_prediction_tokens":{}}}"#,
                turn.units(Class::InputAudio),
                turn.units(Class::OutputAudio),
                turn.units(Class::RejectedPrediction),
            )
        }
    };
    format!(
        r#"{{"prompt_tokens":{prompt},"completion_tokens":{completion},"total_tokens":{total},{details}}}"#
    )
}

/// `usage` of responses.
pub(super) fn responses(turn: &Turn) -> String {
    let (input, output) = (turn.usage.input_total(), turn.usage.output_total());
    format!(
        r#"{{"input_tokens":{input},"input_tokens_details":{{"cached_tokens":{}{}}},"output_tokens":{output},"output_tokens_details":{{"reasoning_tokens":{}}},"total_tokens":{}}}"#,
        turn.cache_read(),
        written(turn.units(Class::CacheWrite)),
        turn.units(Class::Reasoning),
        input.saturating_add(output)
    )
}

/// Models before those that charge for it have no such field.
fn written(units: u64) -> String {
    if units == 0 { String::new() } else { format!(r#","cache_write_tokens":{units}"#) }
}

/// `usage` of a message at its start, or of a whole one. With `late`, the input is told only at the
/// stream's end, as where tools of the provider's own read more.
pub(super) fn message_start(turn: &Turn, output: u64, late: bool) -> String {
    let input = turn.units(Class::Input);
    let input = if late { input / 160 + 1 } else { input };
    let (five, hour) = (turn.units(Class::CacheWrite), turn.units(Class::CacheWrite1h));
    let split = if turn.shape.no_cache_split {
        String::new()
    } else {
        format!(
            r#""cache_creation":{{"ephemeral_5m_input_tokens":{five},"ephemeral_1h_input_tokens":{hour}}},"#
        )
    };
    let tools = if late { String::new() } else { server_tools(turn) };
    let tier = turn.shape.tier.as_deref().unwrap_or("standard");
    let geo = turn.shape.geo.as_deref().unwrap_or("global");
    let fast = if turn.shape.fast { r#","speed":"fast""# } else { "" };
    format!(
        r#"{{"input_tokens":{input},"cache_creation_input_tokens":{},"cache_read_input_tokens":{},{split}"output_tokens":{output}{tools},"service_tier":"{tier}","inference_geo":"{geo}"{fast}}}"#,
        five.saturating_add(hour),
        turn.units(Class::CacheRead),
    )
}

/// `usage` of a message's last delta: cumulative.
pub(super) fn message_end(turn: &Turn) -> String {
    let written = turn.units(Class::CacheWrite).saturating_add(turn.units(Class::CacheWrite1h));
    format!(
        r#"{{"input_tokens":{},"cache_creation_input_tokens":{written},"cache_read_input_tokens":{},"output_tokens":{}{}}}"#,
        turn.units(Class::Input),
        turn.units(Class::CacheRead),
        turn.units(Class::Output),
        server_tools(turn),
    )
}

fn server_tools(turn: &Turn) -> String {
    let (searches, fetches) = (turn.units(Class::WebSearch), turn.units(Class::WebFetch));
    if searches == 0 && fetches == 0 {
        return String::new();
    }
    format!(
        r#","server_tool_use":{{"web_search_requests":{searches},"web_fetch_requests":{fetches}}}"#
    )
}

/// `usage` of embeddings.
pub(super) fn embeddings(turn: &Turn) -> Value {
    let tokens = turn.usage.input_total();
    json!({ "prompt_tokens": tokens, "total_tokens": tokens })
}

/// `usage` of images.
pub(super) fn image(turn: &Turn) -> Value {
    let (input, output) = (turn.usage.input_total(), turn.usage.output_total());
    let mut usage = json!({
        "input_tokens": input, "output_tokens": output,
        "total_tokens": input.saturating_add(output),
        "input_tokens_details": {
            "text_tokens": turn.units(Class::Input) + turn.units(Class::CacheRead),
            "image_tokens": turn.units(Class::InputImage) + turn.units(Class::CacheReadImage),
        },
        "output_tokens_details": {
            "image_tokens": turn.units(Class::OutputImage), "text_tokens": turn.units(Class::Output),
        },
    });
    if turn.cache_read() > 0 {
        usage["input_tokens_details"]["cached_tokens"] = json!(turn.cache_read());
        usage["input_tokens_details"]["cached_tokens_details"] = json!({
            "text_tokens": turn.units(Class::CacheRead),
            "image_tokens": turn.units(Class::CacheReadImage),
        });
    }
    usage
}

/// `usage` of a transcript: seconds, or tokens.
pub(super) fn transcript(turn: &Turn) -> Value {
    let millis = turn.units(Class::AudioMillis);
    if millis > 0 {
        let seconds = if millis.is_multiple_of(1_000) {
            json!(millis / 1_000)
        } else {
            // The bill of a simulation; providers send such fractions.
            json!(millis as f64 / 1_000.0)
        };
        return json!({ "type": "duration", "seconds": seconds });
    }
    let (input, output) = (turn.usage.input_total(), turn.usage.output_total());
    json!({
        "type": "tokens", "input_tokens": input, "output_tokens": output,
        "total_tokens": input.saturating_add(output),
        "input_token_details": {
            "text_tokens": turn.units(Class::Input), "audio_tokens": turn.units(Class::InputAudio),
        },
    })
}

/// `usage` of speech in events.
pub(super) fn speech(turn: &Turn) -> Value {
    let (input, output) = (turn.usage.input_total(), turn.usage.output_total());
    json!({
        "input_tokens": input, "output_tokens": output,
        "total_tokens": input.saturating_add(output),
    })
}

/// `usage` of a realtime response.
pub(crate) fn realtime(usage: &Usage) -> Value {
    let units = |class| usage.get(class);
    let (input, output) = (usage.input_total(), usage.output_total());
    let cached = units(Class::CacheRead)
        .saturating_add(units(Class::CacheReadAudio))
        .saturating_add(units(Class::CacheReadImage));
    json!({
        "total_tokens": input.saturating_add(output),
        "input_tokens": input, "output_tokens": output,
        "input_token_details": {
            "text_tokens": units(Class::Input).saturating_add(units(Class::CacheRead)),
            "audio_tokens": units(Class::InputAudio).saturating_add(units(Class::CacheReadAudio)),
            "image_tokens": units(Class::InputImage).saturating_add(units(Class::CacheReadImage)),
            "cached_tokens": cached,
            "cached_tokens_details": {
                "text_tokens": units(Class::CacheRead),
                "audio_tokens": units(Class::CacheReadAudio),
                "image_tokens": units(Class::CacheReadImage),
            },
        },
        "output_token_details": {
            "text_tokens": units(Class::Output), "audio_tokens": units(Class::OutputAudio),
        },
    })
}
