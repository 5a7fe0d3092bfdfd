//! Server-sent events as the dialects write them, around seeded text.

use super::content::{Filling, UNIT_BYTES, filled};
use bytes::Bytes;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Longest text of one event, as a power of two: small answers have many events all the same.
const EVENT_BITS: u32 = 14;
/// One event in so many is a comment or a ping.
const IDLE_EVERY: u32 = 17;

/// Whose events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// OpenAI's chat, and Azure's.
    Chat,
    /// OpenAI's responses.
    Responses,
    /// Anthropic's messages.
    Messages,
    /// DeepSeek's chat, with keep-alive comments.
    DeepSeek,
}

/// The events of one answer.
pub(super) struct Events {
    style: Style,
    chance: ChaCha8Rng,
    seed: u64,
    left: u64,
    number: u32,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Begin,
    Deltas,
    Done,
}

impl Events {
    pub(super) fn new(style: Style, bytes: u64, seed: u64) -> Self {
        let chance = ChaCha8Rng::seed_from_u64(seed);
        Self { style, chance, seed, left: bytes, number: 0, stage: Stage::Begin }
    }

    fn begin(&self) -> String {
        let seed = self.seed;
        match self.style {
            Style::Chat => chat(seed, "{\"role\":\"assistant\",\"content\":\"\"}", "null"),
            Style::DeepSeek => {
                let keep_alives = ": keep-alive\n\n".repeat(seed as usize % 4);
                let first = chat(seed, "{\"role\":\"assistant\",\"content\":\"\"}", "null");
                format!("{keep_alives}{first}")
            }
            Style::Responses => named(
                "response.created",
                &format!(
                    "{{\"type\":\"response.created\",\"response\":{}}}",
                    response(seed, "in_progress", "null")
                ),
            ),
            Style::Messages => {
                let start = named(
                    "message_start",
                    &format!(
                        "{{\"type\":\"message_start\",\"message\":{{\"id\":\"msg_{seed:016x}\",\
                         \"type\":\"message\",\"role\":\"assistant\",\"content\":[],\
                         \"model\":\"claude-sonnet-5\",\"usage\":{{\"input_tokens\":7,\
                         \"output_tokens\":1}}}}}}"
                    ),
                );
                let block = named(
                    "content_block_start",
                    "{\"type\":\"content_block_start\",\"index\":0,\"content_block\":\
                     {\"type\":\"text\",\"text\":\"\"}}",
                );
                format!("{start}{block}")
            }
        }
    }

    fn delta(&mut self) -> Bytes {
        self.number += 1;
        if self.number.is_multiple_of(IDLE_EVERY) {
            return Bytes::from_static(match self.style {
                Style::Chat | Style::DeepSeek => b": keep-alive\n\n",
                Style::Responses => b":\n\n",
                Style::Messages => b"event: ping\ndata: {\"type\": \"ping\"}\n\n",
            });
        }
        let most = 1_u64 << self.chance.random_range(4..=EVENT_BITS);
        let length = self.chance.random_range(1..=most).max(UNIT_BYTES as u64).min(self.left);
        self.left -= length;
        let (before, after) = self.around();
        let mut event = Vec::with_capacity(before.len() + after.len() + length as usize);
        event.extend_from_slice(before.as_bytes());
        for piece in filled(Filling::Text, length, self.seed ^ u64::from(self.number)) {
            event.extend_from_slice(&piece);
        }
        event.extend_from_slice(after.as_bytes());
        event.into()
    }

    /// What stands before and behind the text of a delta.
    fn around(&self) -> (String, &'static str) {
        let seed = self.seed;
        match self.style {
            Style::Chat | Style::DeepSeek => {
                let whole = chat(seed, "{\"content\":\"\u{0}\"}", "null");
                let (before, _) = whole.split_once('\u{0}').unwrap_or((&whole, ""));
                (before.to_owned(), "\"},\"finish_reason\":null}],\"usage\":null}\n\n")
            }
            Style::Responses => (
                format!(
                    "event: response.output_text.delta\ndata: {{\"type\":\
                     \"response.output_text.delta\",\"item_id\":\"msg_{seed:016x}\",\
                     \"sequence_number\":{},\"delta\":\"",
                    self.number
                ),
                "\"}\n\n",
            ),
            Style::Messages => (
                "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\
                 \"delta\":{\"type\":\"text_delta\",\"text\":\""
                    .to_owned(),
                "\"}}   \n\n",
            ),
        }
    }

    fn end(&self) -> String {
        let (seed, count) = (self.seed, self.number);
        match self.style {
            Style::Chat | Style::DeepSeek => {
                let stop = chat(seed, "{}", "\"stop\"");
                let usage = format!(
                    "{{\"prompt_tokens\":7,\"completion_tokens\":{count},\"total_tokens\":{}}}",
                    count + 7
                );
                format!("{stop}{}data: [DONE]\n\n", usage_chunk(seed, &usage))
            }
            Style::Responses => {
                let usage = format!("{{\"input_tokens\":7,\"output_tokens\":{count}}}");
                named(
                    "response.completed",
                    &format!(
                        "{{\"type\":\"response.completed\",\"response\":{}}}",
                        response(seed, "completed", &usage)
                    ),
                )
            }
            Style::Messages => {
                let stop =
                    named("content_block_stop", "{\"type\":\"content_block_stop\",\"index\":0}");
                let delta = named(
                    "message_delta",
                    &format!(
                        "{{\"type\":\"message_delta\",\"delta\":{{\"stop_reason\":\"end_turn\"}},\
                         \"usage\":{{\"output_tokens\":{count}}}}}"
                    ),
                );
                let end = named("message_stop", "{\"type\":\"message_stop\"}");
                format!("{stop}{delta}{end}")
            }
        }
    }
}

impl Iterator for Events {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        match self.stage {
            Stage::Begin => {
                self.stage = Stage::Deltas;
                Some(self.begin().into())
            }
            Stage::Deltas if self.left > 0 => Some(self.delta()),
            Stage::Deltas => {
                self.stage = Stage::Done;
                Some(self.end().into())
            }
            Stage::Done => None,
        }
    }
}

fn named(name: &str, document: &str) -> String {
    format!("event: {name}\ndata: {document}\n\n")
}

fn chat(seed: u64, delta: &str, finish: &str) -> String {
    format!(
        "data: {{\"id\":\"chatcmpl-{seed:016x}\",\"object\":\"chat.completion.chunk\",\
         \"created\":1795000000,\"model\":\"gpt-4o\",\"choices\":[{{\"index\":0,\"delta\":{delta},\
         \"finish_reason\":{finish}}}],\"usage\":null}}\n\n"
    )
}

fn usage_chunk(seed: u64, usage: &str) -> String {
    format!(
        "data: {{\"id\":\"chatcmpl-{seed:016x}\",\"object\":\"chat.completion.chunk\",\
         \"created\":1795000000,\"model\":\"gpt-4o\",\"choices\":[],\"usage\":{usage}}}\n\n"
    )
}

fn response(seed: u64, status: &str, usage: &str) -> String {
    format!(
        "{{\"id\":\"resp_{seed:016x}\",\"object\":\"response\",\"created_at\":1795000000,\
         \"status\":\"{status}\",\"model\":\"gpt-4o\",\"output\":[],\"usage\":{usage}}}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn every_event_of_every_style_is_whole_and_its_data_is_json() {
        for style in [Style::Chat, Style::Responses, Style::Messages, Style::DeepSeek] {
            for bytes in [0, 1, 15, 100, 90_000] {
                let whole: Vec<u8> = Events::new(style, bytes, 9 + bytes).flatten().collect();
                let text = String::from_utf8(whole).unwrap();
                assert!(text.ends_with("\n\n"));
                for line in text.lines().filter_map(|line| line.strip_prefix("data: ")) {
                    let json = line == "[DONE]" || serde_json::from_str::<Value>(line).is_ok();
                    assert!(json, "{style:?} {bytes}: {line}");
                }
            }
        }
    }
}
