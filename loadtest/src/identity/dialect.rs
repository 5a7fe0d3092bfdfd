//! The kinds of exchange that are drawn: how each is asked, how its request is shaped, how its
//! answer is.

use super::content::{Content, Filling};
use super::events::Style;
use http::HeaderValue;
use http::header::{AUTHORIZATION, HeaderName};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use weft_proto::provider::Provider;

/// Above this size the model stands first where the path alone does not say whose it is: the hub
/// looks for it no further than its replay buffer goes.
const MODEL_FIRST_ABOVE_BYTES: u64 = 200 * 1_024;
/// What divides the parts of a form.
const BOUNDARY: &str = "weft-identity-7d1c";

/// A kind of exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dialect {
    /// OpenAI's chat completions.
    Chat,
    /// OpenAI's responses.
    Responses,
    /// Azure's chat, dated and v1.
    Azure,
    /// Anthropic's messages.
    Anthropic,
    /// DeepSeek's chat, and its messages.
    DeepSeek,
    /// Forms with a file before the model: transcriptions and image edits.
    Form,
    /// Speech: a document in, sound out.
    Speech,
}

impl Dialect {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Chat,
        Self::Responses,
        Self::Azure,
        Self::Anthropic,
        Self::DeepSeek,
        Self::Form,
        Self::Speech,
    ];
}

/// How one exchange is asked: whose API, where the user asks, what the provider is to see, and
/// where the user's key stands.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// Whose account serves it.
    pub provider: Provider,
    /// The path that the user asks for.
    pub path: &'static str,
    /// The path that the provider is to see.
    pub reached: &'static str,
    key: Key,
    shape: Shape,
    model: &'static str,
    /// Whether the path alone says whose it is, so that the model may come at any point.
    alone: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Bearer,
    Azure,
    Anthropic,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Chat,
    Responses,
    Messages,
    Form,
    Speech,
}

const fn asked(
    provider: Provider,
    path: &'static str,
    reached: &'static str,
    (key, shape, model, alone): (Key, Shape, &'static str, bool),
) -> Asked {
    Asked { provider, path, reached, key, shape, model, alone }
}

const CHAT: &[Asked] = &[
    asked(
        Provider::OpenAi,
        "/v1/chat/completions",
        "/v1/chat/completions",
        (Key::Bearer, Shape::Chat, "gpt-4o", false),
    ),
    asked(
        Provider::OpenAi,
        "/openai/v1/chat/completions",
        "/v1/chat/completions",
        (Key::Bearer, Shape::Chat, "gpt-4o", true),
    ),
];
const RESPONSES: &[Asked] = &[asked(
    Provider::OpenAi,
    "/openai/v1/responses",
    "/v1/responses",
    (Key::Bearer, Shape::Responses, "gpt-4o", true),
)];
const AZURE: &[Asked] = &[
    asked(
        Provider::Azure,
        "/openai/deployments/prod-chat/chat/completions",
        "/openai/deployments/prod-chat/chat/completions",
        (Key::Azure, Shape::Chat, "ignored", true),
    ),
    asked(
        Provider::Azure,
        "/azure/openai/v1/chat/completions",
        "/openai/v1/chat/completions",
        (Key::Bearer, Shape::Chat, "prod-chat", false),
    ),
];
const ANTHROPIC: &[Asked] = &[
    asked(
        Provider::Anthropic,
        "/v1/messages",
        "/v1/messages",
        (Key::Anthropic, Shape::Messages, "claude-sonnet-5", true),
    ),
    asked(
        Provider::Anthropic,
        "/anthropic/v1/messages",
        "/v1/messages",
        (Key::Anthropic, Shape::Messages, "claude-sonnet-5", true),
    ),
];
const DEEPSEEK: &[Asked] = &[
    asked(
        Provider::DeepSeek,
        "/chat/completions",
        "/chat/completions",
        (Key::Bearer, Shape::Chat, "deepseek-flash", true),
    ),
    asked(
        Provider::DeepSeek,
        "/v1/chat/completions",
        "/v1/chat/completions",
        (Key::Bearer, Shape::Chat, "deepseek-flash", false),
    ),
    asked(
        Provider::DeepSeek,
        "/deepseek/anthropic/v1/messages",
        "/anthropic/v1/messages",
        (Key::Anthropic, Shape::Messages, "deepseek-flash", true),
    ),
];
const FORM: &[Asked] = &[
    asked(
        Provider::OpenAi,
        "/v1/audio/transcriptions",
        "/v1/audio/transcriptions",
        (Key::Bearer, Shape::Form, "whisper-1", true),
    ),
    asked(
        Provider::OpenAi,
        "/v1/images/edits",
        "/v1/images/edits",
        (Key::Bearer, Shape::Form, "gpt-image-1", true),
    ),
];
const SPEECH: &[Asked] = &[asked(
    Provider::OpenAi,
    "/v1/audio/speech",
    "/v1/audio/speech",
    (Key::Bearer, Shape::Speech, "tts-1", true),
)];

impl Dialect {
    /// One way of asking.
    pub(super) fn asked(self, chance: &mut ChaCha8Rng) -> Asked {
        let all = match self {
            Self::Chat => CHAT,
            Self::Responses => RESPONSES,
            Self::Azure => AZURE,
            Self::Anthropic => ANTHROPIC,
            Self::DeepSeek => DEEPSEEK,
            Self::Form => FORM,
            Self::Speech => SPEECH,
        };
        all[chance.random_range(0..all.len())]
    }

    /// What an answer of this kind is, streamed or not, and its content type.
    pub(super) fn answer(
        self,
        asked: &Asked,
        size: u64,
        streamed: bool,
        seed: u64,
    ) -> (Content, &'static str) {
        const EVENTS: &str = "text/event-stream; charset=utf-8";
        const JSON: &str = "application/json";
        let style = match (self, asked.shape) {
            (Self::Speech, _) => {
                return (Content::plain(Filling::Noise, size, seed), "audio/mpeg");
            }
            (Self::DeepSeek, Shape::Chat) => Style::DeepSeek,
            (_, Shape::Responses) => Style::Responses,
            (_, Shape::Messages) => Style::Messages,
            (_, Shape::Chat | Shape::Form | Shape::Speech) => Style::Chat,
        };
        if size == 0 {
            return (Content::empty(), JSON);
        }
        if streamed {
            return (Content::Events { style, bytes: size, seed }, EVENTS);
        }
        let blank =
            if style == Style::DeepSeek { "\n".repeat(seed as usize % 3) } else { String::new() };
        let (before, after) = match asked.shape {
            Shape::Responses => (
                format!(
                    "{{\"id\":\"resp_{seed:016x}\",\"object\":\"response\",\"status\":\"completed\",\
                     \"model\":\"gpt-4o\",\"usage\":{{\"input_tokens\":7,\"output_tokens\":2}},\
                     \"output\":[{{\"id\":\"msg_{seed:016x}\",\"type\":\"message\",\"content\":\
                     [{{\"type\":\"output_text\",\"text\":\""
                ),
                "\"}]}]}",
            ),
            Shape::Messages => (
                format!(
                    "{{\"id\":\"msg_{seed:016x}\",\"type\":\"message\",\"role\":\"assistant\",\
                     \"usage\":{{\"input_tokens\":7,\"output_tokens\":2}},\"content\":\
                     [{{\"type\":\"text\",\"text\":\""
                ),
                "\"}]}",
            ),
            Shape::Form => {
                ("{\"text\":\"".to_owned(), "\",\"usage\":{\"type\":\"duration\",\"seconds\":7}}")
            }
            Shape::Chat | Shape::Speech => (
                format!(
                    "{blank}{{\"id\":\"chatcmpl-{seed:016x}\",\"object\":\"chat.completion\",\
                     \"choices\":[{{\"index\":0,\"message\":{{\"role\":\"assistant\",\"content\":\""
                ),
                "\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":7,\
                 \"completion_tokens\":2,\"total_tokens\":9}}\n",
            ),
        };
        (Content::between(before, Filling::Text, after.to_owned(), size, seed), JSON)
    }
}

impl Asked {
    /// The headers that carry `key` and what the dialect cannot do without.
    pub(super) fn credentials(&self, key: &str) -> Vec<(HeaderName, HeaderValue)> {
        let value = |text: &str| HeaderValue::try_from(text).ok();
        let named = |name: &'static str, text: &str| {
            value(text).map(|value| (HeaderName::from_static(name), value))
        };
        let bearer = value(&format!("Bearer {key}")).map(|value| (AUTHORIZATION, value));
        let all = match self.key {
            Key::Bearer => [bearer, None],
            Key::Azure => [named("api-key", key), None],
            Key::Anthropic => [named("x-api-key", key), named("anthropic-version", "2023-06-01")],
        };
        all.into_iter().flatten().collect()
    }

    /// A request of `size` bytes, or as few as its shape has, and its content type.
    pub(super) fn request(
        &self,
        size: u64,
        streamed: bool,
        model_last: bool,
        seed: u64,
    ) -> (Content, &'static str) {
        const JSON: &str = "application/json";
        const FORM: &str = "multipart/form-data; boundary=weft-identity-7d1c";
        let model = self.model;
        let middle = match self.shape {
            Shape::Form => {
                let before = format!(
                    "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; \
                     filename=\"sound.wav\"\r\nContent-Type: audio/wav\r\n\r\n"
                );
                let after = format!(
                    "\r\n--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n\
                     {model}\r\n--{BOUNDARY}--\r\n"
                );
                return (Content::between(before, Filling::Noise, after, size, seed), FORM);
            }
            Shape::Chat => (
                "\"messages\":[{\"role\":\"user\",\"content\":\"",
                format!("\"}}],\"stream\":{streamed}"),
            ),
            Shape::Messages => (
                "\"max_tokens\":64,\"messages\":[{\"role\":\"user\",\"content\":\"",
                format!("\"}}],\"stream\":{streamed}"),
            ),
            Shape::Responses => ("\"input\":\"", format!("\",\"stream\":{streamed}")),
            Shape::Speech => ("\"voice\":\"alloy\",\"input\":\"", "\"".to_owned()),
        };
        let last = model_last && (self.alone || size < MODEL_FIRST_ABOVE_BYTES);
        let (before, after) = if last {
            (format!("{{{}", middle.0), format!("{},\"model\":\"{model}\"}}", middle.1))
        } else {
            (format!("{{\"model\":\"{model}\",{}", middle.0), format!("{}}}", middle.1))
        };
        (Content::between(before, Filling::Text, after, size, seed), JSON)
    }
}

/// The body of an answer with an error's status.
pub(super) fn error(size: u64, seed: u64) -> Content {
    let before = "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"code\":\
                  \"drawn\",\"param\":null,\"message\":\"";
    Content::between(before.to_owned(), Filling::Text, "\"}}".to_owned(), size, seed)
}

#[cfg(test)]
mod tests {
    use super::super::fields::chance;
    use super::*;
    use serde_json::Value;

    fn bytes(content: &Content) -> Vec<u8> {
        content.pieces().flatten().collect()
    }

    #[test]
    fn requests_and_answers_are_of_their_size_and_well_formed() {
        let mut chance = chance(3, 3);
        for dialect in Dialect::ALL {
            for size in [600, 5_000] {
                for last in [false, true] {
                    let asked = dialect.asked(&mut chance);
                    let (request, kind) = asked.request(size, true, last, 5);
                    assert_eq!(request.length(), size);
                    if kind == "application/json" {
                        let document: Value = serde_json::from_slice(&bytes(&request)).unwrap();
                        assert_eq!(document["model"], asked.model);
                    }
                    let (answer, kind) = dialect.answer(&asked, size, false, 5);
                    assert_eq!(answer.length(), size, "{dialect:?}");
                    if kind == "application/json" {
                        assert!(serde_json::from_slice::<Value>(&bytes(&answer)).is_ok());
                    }
                }
            }
        }
    }
}
