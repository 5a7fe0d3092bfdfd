//! What the requests of a batch ask for, request by request, and at most.
//!
//! Nobody can cut a batch when it has become too dear, so that what is held for it is a bound: a
//! token of text is at least one byte of it. What is no text (images, files) is a flat sum as in any
//! other request. A request that sets no limit to its answer has no bound, and is counted as such.

use super::{ATTACHMENT_TOKENS, CONVERSATION_TOKENS, Reading, shape};
use crate::meter::Asked;
use crate::scan::ScanError;
use crate::scan::batch::BATCH_MODELS_MAX;
use crate::scan::json::{Piece, Token, Tokenizer};
use crate::scan::nest::{Holder, Nest, Nested};
use crate::scan::paths::Paths;
use crate::tables::routes::Metering;
use crate::usage::Geo;

/// Times the usual estimate that what is no text may come to beyond it.
const ATTACHMENT_MARGIN: u64 = 4;

/// What an escaped character is at most, bytes.
const ESCAPED_BYTES: u64 = 4;

/// The requests of a batch that are priced alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchedRequests {
    /// The model that they name.
    pub model: String,
    /// Where they are to be computed.
    pub geo: Geo,
    /// How many there are.
    pub requests: u64,
    /// Tokens that they bring, at most.
    pub input: u64,
    /// The most that one of them brings.
    pub input_max: u64,
    /// Tokens that they may be answered, where all of them say.
    pub output: u64,
    /// Those that set no limit to their answer.
    pub unbounded: u64,
    /// Those that offer tools which the provider runs.
    pub with_tools: u64,
}

/// Reads the requests of a batch.
pub(super) struct Batch {
    paths: Option<&'static Paths<shape::Mark>>,
    tokenizer: Tokenizer,
    nest: Nest,
    one: One,
    metering: Metering,
    /// It is a file of lines, each of which is one request.
    lines: bool,
}

/// The request under inspection.
struct One {
    reading: Reading,
    asked: Asked,
    /// Bytes of its text, keys and signs.
    bytes: u64,
    /// The depth of an attachment that is being passed over.
    attached: Option<usize>,
}

impl One {
    fn new() -> Self {
        let reading = Reading::new(CONVERSATION_TOKENS);
        Self { reading, asked: Asked::default(), bytes: 0, attached: None }
    }

    fn token(&mut self, paths: &Paths<shape::Mark>, depth: usize, token: Token<'_>) {
        let before = self.asked.attachments;
        self.reading.token(paths, token, &mut self.asked);
        if self.attached.is_none() && self.asked.attachments > before {
            self.attached = Some(depth);
            return;
        }
        if let Some(at) = self.attached {
            let ends = matches!(token, Token::ObjectEnd | Token::ArrayEnd | Token::StringEnd);
            if ends && depth == at {
                self.attached = None;
            }
            return;
        }
        let bytes = match token {
            Token::Text(Piece::Raw(bytes)) => bytes.len() as u64,
            Token::Text(Piece::Escaped(_) | Piece::LoneSurrogate(_)) => ESCAPED_BYTES,
            Token::Number(digits) => digits.len() as u64,
            Token::ObjectBegin
            | Token::ObjectEnd
            | Token::ArrayBegin
            | Token::ArrayEnd
            | Token::KeyBegin
            | Token::StringBegin
            | Token::StringEnd
            | Token::Bool(_)
            | Token::Null => 1,
        };
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Adds what was asked to the sums of its model; whether an answer writes anything.
    fn tell(self, writes: bool, sums: &mut Vec<BatchedRequests>) {
        let Self { reading, asked, bytes, .. } = self;
        let attached = asked.attachments.saturating_mul(ATTACHMENT_TOKENS * ATTACHMENT_MARGIN);
        let input = bytes.saturating_add(reading.flat_tokens).saturating_add(attached);
        let output = match asked.output_max.filter(|_| writes) {
            Some(max) => Some(max.saturating_mul(asked.choices.max(1))),
            None => (!writes).then_some(0),
        };
        let model = asked.model.unwrap_or_default();
        let same = sums.iter().position(|sum| sum.model == model && sum.geo == asked.geo);
        // The gate lets no more models in.
        let full = sums.len() >= BATCH_MODELS_MAX * Geo::ALL.len();
        let at = same.or_else(|| full.then_some(0)).unwrap_or_else(|| {
            let (requests, input, input_max, output, unbounded, with_tools) = (0, 0, 0, 0, 0, 0);
            let geo = asked.geo;
            let sum = BatchedRequests {
                model,
                geo,
                requests,
                input,
                input_max,
                output,
                unbounded,
                with_tools,
            };
            sums.push(sum);
            sums.len() - 1
        });
        let Some(sum) = sums.get_mut(at) else { return };
        sum.requests += 1;
        sum.input = sum.input.saturating_add(input);
        sum.input_max = sum.input_max.max(input);
        sum.output = sum.output.saturating_add(output.unwrap_or_default());
        sum.unbounded += u64::from(output.is_none());
        sum.with_tools += u64::from(asked.hosted_tools);
    }
}

impl Batch {
    /// A reader of requests for messages.
    pub(super) fn of_messages() -> Self {
        let metering = Metering::Messages;
        Self {
            paths: shape::paths(metering),
            tokenizer: Tokenizer::new(),
            nest: Nest::new(Holder::Requests),
            one: One::new(),
            metering,
            lines: false,
        }
    }

    /// A reader of a file each line of which is a request to `url`, whose answers are metered so.
    pub(super) fn of_lines_to(url: &str, metering: Metering) -> Self {
        Self {
            paths: shape::paths(metering),
            nest: Nest::of_lines_to(url),
            metering,
            lines: true,
            ..Self::of_messages()
        }
    }

    /// Reads decoded bytes, and tells each request that ends in them; whether the rest can be read
    /// too.
    pub(super) fn feed(&mut self, bytes: &[u8], sums: &mut Vec<BatchedRequests>) -> bool {
        if !self.lines {
            return self.feed_value(bytes, sums);
        }
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            if !self.feed_value(piece, sums) {
                return false;
            }
            if piece.ends_with(b"\n") {
                self.tokenizer.reset();
                self.nest.next_line();
                self.one = One::new();
            }
        }
        true
    }

    fn feed_value(&mut self, bytes: &[u8], sums: &mut Vec<BatchedRequests>) -> bool {
        let Self { paths, tokenizer, nest, one, metering, .. } = self;
        let writes = *metering != Metering::Embeddings;
        let Some(paths) = *paths else { return false };
        let read = tokenizer.feed::<ScanError>(bytes, |depth, token| {
            match nest.step(depth, token)? {
                Nested::Around => {}
                Nested::Inside(own) => one.token(paths, own, token),
                Nested::Last => {
                    one.token(paths, 0, token);
                    std::mem::replace(one, One::new()).tell(writes, sums);
                }
            }
            Ok(())
        });
        read.is_ok()
    }
}
