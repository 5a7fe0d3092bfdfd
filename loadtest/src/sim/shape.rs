//! What a request and its answer look like at each provider, and what the answer says that it took.
//!
//! The figures are the seed's, not a count of the text: where an end of the mesh counts by itself
//! although it was told, the sums do not agree.

use super::dice::Dice;
use super::plan::{ProviderFault, RequestPlan, Shape};
use bytes::Bytes;
use weft_proto::provider::Provider;

/// Pieces from which on the end of an event stream comes piece by piece, so that it can break
/// between the finish marker and the figures.
const PIECES_OF_AN_END: usize = 4;

/// What an answer takes, as the provider counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Figures {
    /// Tokens of input.
    pub(super) input: u64,
    /// Tokens of output.
    pub(super) output: u64,
    /// Whether the answer says so.
    pub(super) told: bool,
}

impl Figures {
    /// Draws what a request to `provider` takes.
    pub(super) fn draw(dice: &Dice, provider: Provider) -> Self {
        // No more than a short request can have led to: what is beyond is not believed.
        let (input, output) = (dice.within(1..4_000), dice.within(1..2_000));
        // Anthropic always tells.
        let told = dice.chance(75) || provider == Provider::Anthropic;
        Self { input, output, told }
    }

    /// What a probe takes.
    pub(super) const PROBE: Self = Self { input: 11, output: 7, told: true };

    /// What so much costs by the price list of the tests, nano-USD: worked out apart from the mesh.
    pub(super) const fn cost(provider: Provider, input: u64, output: u64) -> u64 {
        let (of_input, of_output) = match provider {
            Provider::OpenAi => (1_000, 4_000),
            Provider::Azure => (1_100, 4_400),
            Provider::Anthropic => (3_000, 15_000),
            Provider::DeepSeek => (280, 420),
        };
        of_input * input + of_output * output
    }
}

impl RequestPlan {
    /// The body that its user means to send.
    pub(super) fn body(&self) -> Bytes {
        let mut text = format!(
            "{{\"model\":\"{}\",\"max_tokens\":2048,\"stream\":{},",
            self.model(),
            self.answer.shape == Shape::Events
        );
        if self.answer.shape == Shape::Events && self.figures.told {
            text.push_str("\"stream_options\":{\"include_usage\":true},");
        }
        text.push_str("\"messages\":[{\"role\":\"user\",\"content\":\"");
        let pad = self.upload.bytes.saturating_sub(text.len() + 4);
        text.extend(words(self.marker as u64 ^ 0x5eed, pad));
        text.push_str("\"}]}");
        text.into()
    }

    /// The answer in its pieces, as it is where nothing goes wrong.
    pub(super) fn pieces(&self) -> Vec<Bytes> {
        let (chunks, size) = (self.answer.chunks, self.answer.chunk);
        let text = |index: usize| {
            words((self.marker as u64) << 16 | index as u64, size).collect::<String>()
        };
        if self.answer.status != 200 {
            return (0..chunks).map(|index| text(index).into()).collect();
        }
        match self.answer.shape {
            Shape::Events => {
                let mut pieces = vec![String::new(); chunks];
                let end = self.end();
                let apart = if chunks >= PIECES_OF_AN_END { end.len() } else { 0 };
                for (index, piece) in pieces.iter_mut().take(chunks - apart).enumerate() {
                    if index == 0 {
                        piece.push_str(&self.beginning());
                    }
                    piece.push_str(&self.content(&text(index)));
                }
                // Few pieces: all of the end is in the last one.
                let last = chunks - apart.max(1);
                for (offset, event) in end.into_iter().enumerate() {
                    let place = if apart > 0 { last + offset } else { last };
                    if let Some(piece) = pieces.get_mut(place) {
                        piece.push_str(&event);
                    }
                }
                pieces.into_iter().map(Bytes::from).collect()
            }
            Shape::Chunked | Shape::Length => {
                let content: String = (0..chunks).map(text).collect();
                let whole = Bytes::from(self.whole_json(&content));
                let place = |index: usize| whole.len() * index / chunks;
                (0..chunks).map(|index| whole.slice(place(index)..place(index + 1))).collect()
            }
        }
    }

    /// The whole answer, as it is where nothing goes wrong.
    pub(super) fn whole_answer(&self) -> Vec<u8> {
        self.pieces().concat()
    }

    /// How many pieces the provider gives before it breaks off, if it does.
    pub(super) fn pieces_given(&self) -> usize {
        match self.answer.fault {
            ProviderFault::NoAnswer => 0,
            ProviderFault::Cut(after) | ProviderFault::Stall(after) => {
                after.min(self.answer.chunks)
            }
            ProviderFault::None | ProviderFault::Early => self.answer.chunks,
        }
    }

    fn is_messages(&self) -> bool {
        self.provider == Provider::Anthropic
    }

    /// What comes before the content of an event stream.
    fn beginning(&self) -> String {
        if !self.is_messages() {
            return String::new();
        }
        let (model, input) = (self.model(), self.figures.input);
        let start = event(
            "message_start",
            &format!(
                "\"message\":{{\"id\":\"a\",\"type\":\"message\",\"role\":\"assistant\",\
                 \"model\":\"{model}\",\"content\":[],\"stop_reason\":null,\
                 \"usage\":{{\"input_tokens\":{input},\"output_tokens\":1}}}}"
            ),
        );
        let block = "\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}";
        start + &event("content_block_start", block)
    }

    fn content(&self, text: &str) -> String {
        if self.is_messages() {
            let delta =
                format!("\"index\":0,\"delta\":{{\"type\":\"text_delta\",\"text\":\"{text}\"}}");
            return event("content_block_delta", &delta);
        }
        self.chunk(
            &format!("{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}},\"finish_reason\":null}}"),
            "",
        )
    }

    /// The end of an event stream, event by event: the finish marker, the figures, the last word.
    fn end(&self) -> Vec<String> {
        let Figures { input, output, told } = self.figures;
        if self.is_messages() {
            let delta = format!(
                "\"delta\":{{\"stop_reason\":\"end_turn\",\"stop_sequence\":null}},\
                 \"usage\":{{\"output_tokens\":{output}}}"
            );
            let stop = event("content_block_stop", "\"index\":0");
            return vec![
                stop + &event("message_delta", &delta),
                event("message_stop", "\"index\":0"),
            ];
        }
        let mut events =
            vec![self.chunk("{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}", "")];
        if told {
            events.push(self.chunk("", &format!(",{}", chat_usage(input, output))));
        }
        events.push("data: [DONE]\n\n".to_owned());
        events
    }

    fn chunk(&self, choice: &str, more: &str) -> String {
        let model = self.model();
        format!(
            "data: {{\"id\":\"a\",\"object\":\"chat.completion.chunk\",\"created\":1,\
             \"model\":\"{model}\",\"choices\":[{choice}]{more}}}\n\n"
        )
    }

    /// The answer in one piece of JSON.
    fn whole_json(&self, content: &str) -> String {
        let Figures { input, output, told } = self.figures;
        let model = self.model();
        if self.is_messages() {
            return format!(
                "{{\"id\":\"a\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"{model}\",\
                 \"content\":[{{\"type\":\"text\",\"text\":\"{content}\"}}],\
                 \"stop_reason\":\"end_turn\",\
                 \"usage\":{{\"input_tokens\":{input},\"output_tokens\":{output}}}}}"
            );
        }
        let usage = if told { format!(",{}", chat_usage(input, output)) } else { String::new() };
        format!(
            "{{\"id\":\"a\",\"object\":\"chat.completion\",\"created\":1,\"model\":\"{model}\",\
             \"choices\":[{{\"index\":0,\"message\":{{\"role\":\"assistant\",\
             \"content\":\"{content}\"}},\"finish_reason\":\"stop\"}}]{usage}}}"
        )
    }
}

fn chat_usage(input: u64, output: u64) -> String {
    let total = input + output;
    format!(
        "\"usage\":{{\"prompt_tokens\":{input},\"completion_tokens\":{output},\
         \"total_tokens\":{total}}}"
    )
}

fn event(name: &str, fields: &str) -> String {
    format!("event: {name}\ndata: {{\"type\":\"{name}\",{fields}}}\n\n")
}

/// `count` letters in short words that depend on `seed` and their place.
fn words(seed: u64, count: usize) -> impl Iterator<Item = char> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..count).map(move |place| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        if place % 7 == 6 { ' ' } else { char::from(b'a' + (state % 26) as u8) }
    })
}
