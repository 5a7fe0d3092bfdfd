//! What a request asks for, and how much text it brings.
//!
//! The gate has judged the body; here it is only read. A body that cannot be read to its end leaves
//! what was found so far. The input is estimated, from samples of its text and from flat sums for
//! what is no text; of a form only its size and its plain fields count.

use std::fmt;

use self::batch::Batch;
use self::shape::Mark;
use super::Asked;
use super::text::SampledCounter;
use crate::decode::Decoder;
use crate::scan::MAX_MODEL_BYTES;
use crate::scan::json::{JsonError, Piece, Token, Tokenizer};
use crate::scan::multipart::{MultipartScan, parse_boundary};
use crate::scan::paths::{Paths, Place, Step, Walk, append};
use crate::tables::routes::{Match, Metering};
use crate::usage::{Geo, ServiceTier};

mod batch;
mod shape;

pub use batch::BatchedRequests;

/// Tokens that an image, a file or a sound is taken for.
const ATTACHMENT_TOKENS: u64 = 1_000;

/// Tokens that stand around a message.
const MESSAGE_TOKENS: u64 = 4;

/// Tokens that stand around a whole conversation.
const CONVERSATION_TOKENS: u64 = 3;

/// Reads one request.
pub struct RequestMeter {
    decoder: Decoder,
    /// The body is coded: its bytes say nothing of how much is read.
    coded: bool,
    body: Body,
    asked: Asked,
}

enum Body {
    /// Nothing that is read, or nothing more.
    Opaque,
    Json(Box<Json>),
    Form(Box<MultipartScan>),
    Batch(Box<Batch>),
}

struct Json {
    paths: &'static Paths<Mark>,
    tokenizer: Tokenizer,
    reading: Reading,
}

/// Where the reading of a JSON body stands.
struct Reading {
    walk: Walk<()>,
    text: SampledCounter,
    taking: Taking,
    word: Vec<u8>,
    /// Tokens for what is no text.
    flat_tokens: u64,
}

/// What the current string is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taking {
    Nothing,
    Text,
    /// Text to be spoken.
    Speech,
    Word(Mark),
}

impl fmt::Debug for RequestMeter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = match self.body {
            Body::Opaque => "opaque",
            Body::Json(_) => "json",
            Body::Form(_) => "form",
            Body::Batch(_) => "batch",
        };
        f.debug_struct("RequestMeter").field("body", &body).finish_non_exhaustive()
    }
}

impl RequestMeter {
    /// A meter at the start of a request's body, with the values of its `content-type` and
    /// `content-encoding`.
    #[must_use]
    pub fn new(
        matched: &Match,
        content_type: Option<&str>,
        content_encoding: Option<&str>,
    ) -> Self {
        let coding = content_encoding.map(str::trim).filter(|coding| !coding.is_empty());
        let decoder = Decoder::for_coding(coding.unwrap_or("identity"));
        let body = match &decoder {
            Ok(_) => Body::new(matched.route.metering, content_type),
            Err(_) => Body::Opaque,
        };
        let model = matched.named_in_path().map(str::to_owned);
        let asked = Asked { model, ..Asked::default() };
        let coded = coding.is_some_and(|coding| !coding.eq_ignore_ascii_case("identity"));
        Self { decoder: decoder.unwrap_or_default(), coded, body, asked }
    }

    /// A meter at the start of a file of a batch, each line of which is a request to `url`, whose
    /// answers are metered so.
    #[must_use]
    pub fn of_batch_file(url: &str, metering: Metering) -> Self {
        let body = Body::Batch(Box::new(Batch::of_lines_to(url, metering)));
        Self { decoder: Decoder::default(), coded: false, body, asked: Asked::default() }
    }

    /// Reads the next bytes of the body, as they are sent to the provider.
    pub fn feed(&mut self, bytes: &[u8]) {
        let Self { decoder, body, asked, .. } = self;
        asked.body_bytes = asked.body_bytes.saturating_add(bytes.len() as u64);
        let mut readable = true;
        let decoded = decoder.feed(bytes, |plain| readable = readable && body.feed(plain, asked));
        body.tell(asked);
        if !readable || decoded.is_err() {
            *body = Body::Opaque;
        }
    }

    /// The body has ended.
    pub fn finish(&mut self) {
        if let Body::Json(json) = &mut self.body {
            json.reading.text.end();
        }
        self.body.tell(&mut self.asked);
        self.asked.whole = !self.coded && self.body.is_whole();
    }

    /// What has been asked for so far.
    #[must_use]
    pub const fn asked(&self) -> &Asked {
        &self.asked
    }
}

impl Body {
    fn new(metering: Metering, content_type: Option<&str>) -> Self {
        if metering == Metering::Batch {
            return Self::Batch(Box::new(Batch::of_messages()));
        }
        let Some(paths) = shape::paths(metering) else { return Self::Opaque };
        let form = content_type
            .filter(|value| value.trim_start().to_ascii_lowercase().starts_with("multipart/"));
        if let Some(content_type) = form {
            return parse_boundary(content_type).map_or(Self::Opaque, |boundary| {
                Self::Form(Box::new(MultipartScan::new(&boundary)))
            });
        }
        let conversation =
            matches!(metering, Metering::Chat | Metering::Responses | Metering::Messages);
        let reading = Reading::new(if conversation { CONVERSATION_TOKENS } else { 0 });
        Self::Json(Box::new(Json { paths, tokenizer: Tokenizer::new(), reading }))
    }

    /// Reads decoded bytes; whether the rest can be read too.
    fn feed(&mut self, bytes: &[u8], asked: &mut Asked) -> bool {
        match self {
            Self::Opaque => true,
            Self::Json(json) => {
                let Json { paths, tokenizer, reading } = &mut **json;
                let read = tokenizer.feed::<JsonError>(bytes, |_, token| {
                    reading.token(paths, token, asked);
                    Ok(())
                });
                read.is_ok()
            }
            Self::Form(scan) => {
                let read = scan.feed(bytes);
                drop(scan.take_references());
                read.is_ok()
            }
            Self::Batch(batch) => batch.feed(bytes, &mut asked.batch),
        }
    }

    /// Whether what was read is all there is to it.
    fn is_whole(&self) -> bool {
        match self {
            Self::Json(json) => json.tokenizer.is_complete(),
            Self::Form(_) => true,
            Self::Opaque | Self::Batch(_) => false,
        }
    }

    /// Brings the sums up to date.
    fn tell(&self, asked: &mut Asked) {
        match self {
            Self::Json(json) => {
                let Reading { text, flat_tokens, .. } = &json.reading;
                asked.text_bytes = text.bytes();
                asked.input_estimate = text.estimate().saturating_add(*flat_tokens);
            }
            Self::Form(scan) => {
                if let Some(model) = scan.model().filter(|_| asked.model.is_none()) {
                    asked.model = Some(model.to_owned());
                }
                asked.stream = scan.stream().unwrap_or_default();
                asked.attachments = 1;
                asked.input_estimate = ATTACHMENT_TOKENS;
            }
            // It tells its sums request by request.
            Self::Batch(_) | Self::Opaque => {}
        }
    }
}

impl Reading {
    fn new(flat_tokens: u64) -> Self {
        Self {
            walk: Walk::of_known_keys(),
            text: SampledCounter::default(),
            taking: Taking::Nothing,
            word: Vec::new(),
            flat_tokens,
        }
    }

    fn token(&mut self, paths: &Paths<Mark>, token: Token<'_>, asked: &mut Asked) {
        let place = match self.walk.step(paths, token) {
            Step::Value(place) => place,
            Step::InKey => return,
            Step::KeyEnd => {
                if paths.mark(self.walk.under_newest_key()) == Some(Mark::Schema) {
                    self.text.push(self.walk.key());
                    self.text.push(b":");
                }
                return;
            }
        };
        let mark = paths.mark(place);
        // What is null is not named.
        asked.elsewhere |= mark == Some(Mark::Elsewhere) && !matches!(token, Token::Null);
        asked.several |= mark == Some(Mark::Question);
        match token {
            Token::StringBegin => self.string_begin(paths, place, asked),
            Token::Text(piece) => self.text(piece, asked),
            Token::StringEnd => self.string_end(asked),
            Token::Number(digits) => self.number(paths.mark(place), digits, asked),
            Token::Bool(value) => boolean(paths.mark(place), value, asked),
            Token::ObjectBegin => self.object(paths.mark(place), asked),
            Token::ObjectEnd
            | Token::ArrayBegin
            | Token::ArrayEnd
            | Token::KeyBegin
            | Token::Null => {}
        }
    }

    fn object(&mut self, mark: Option<Mark>, asked: &mut Asked) {
        if mark == Some(Mark::Message) {
            self.flat_tokens += MESSAGE_TOKENS;
        }
        if mark == Some(Mark::Search) {
            asked.hosted_tools = true;
        }
        if mark == Some(Mark::Attachment) {
            self.attachment(asked);
        }
    }

    fn attachment(&mut self, asked: &mut Asked) {
        asked.attachments += 1;
        self.flat_tokens += ATTACHMENT_TOKENS;
    }

    fn string_begin(&mut self, paths: &Paths<Mark>, place: Place, asked: &mut Asked) {
        let Some(mark) = paths.mark(place) else {
            self.taking = Taking::Nothing;
            return;
        };
        self.taking = match mark {
            Mark::Model
            | Mark::Tier
            | Mark::Speed
            | Mark::Geo
            | Mark::ToolKind
            | Mark::ItemKind => {
                self.word.clear();
                Taking::Word(mark)
            }
            Mark::Text | Mark::Schema | Mark::Message | Mark::Token | Mark::Question => {
                Taking::Text
            }
            Mark::Speech => {
                asked.characters = 0;
                Taking::Speech
            }
            Mark::Attachment => {
                self.attachment(asked);
                Taking::Nothing
            }
            Mark::Stream
            | Mark::IncludeUsage
            | Mark::OutputMax
            | Mark::Choices
            | Mark::Background
            | Mark::Search
            | Mark::Elsewhere
            | Mark::BestOf => Taking::Nothing,
        };
    }

    fn text(&mut self, piece: Piece<'_>, asked: &mut Asked) {
        match self.taking {
            Taking::Nothing => {}
            Taking::Text => self.text.piece(piece),
            Taking::Speech => {
                asked.characters = asked.characters.saturating_add(characters(piece));
                self.text.piece(piece);
            }
            Taking::Word(_) => append(&mut self.word, piece, MAX_MODEL_BYTES + 1),
        }
    }

    fn string_end(&mut self, asked: &mut Asked) {
        match std::mem::replace(&mut self.taking, Taking::Nothing) {
            Taking::Nothing => {}
            Taking::Text | Taking::Speech => self.text.end(),
            Taking::Word(mark) => self.word(mark, asked),
        }
    }

    fn word(&self, mark: Mark, asked: &mut Asked) {
        let word = std::str::from_utf8(&self.word).unwrap_or_default();
        if word.is_empty() || word.len() > MAX_MODEL_BYTES {
            return;
        }
        match mark {
            Mark::Model => asked.model = Some(word.to_owned()),
            Mark::Tier => asked.service_tier = ServiceTier::reported(word).unwrap_or_default(),
            Mark::Speed if word == "fast" => asked.service_tier = ServiceTier::Fast,
            Mark::Geo => asked.geo = Geo::reported(word),
            Mark::ToolKind => {
                asked.hosted_tools |= is_hosted(word);
                asked.provider_tools |= !matches!(word, "function" | "custom");
            }
            Mark::ItemKind => asked.elsewhere |= word == "item_reference",
            Mark::Speed
            | Mark::Stream
            | Mark::IncludeUsage
            | Mark::OutputMax
            | Mark::Choices
            | Mark::Background
            | Mark::Search
            | Mark::Text
            | Mark::Schema
            | Mark::Message
            | Mark::Speech
            | Mark::Token
            | Mark::Attachment
            | Mark::Elsewhere
            | Mark::Question
            | Mark::BestOf => {}
        }
    }

    fn number(&mut self, mark: Option<Mark>, digits: &str, asked: &mut Asked) {
        if mark == Some(Mark::OutputMax) {
            asked.output_max = digits.parse().ok();
        }
        if mark == Some(Mark::Choices) {
            asked.choices = digits.parse().unwrap_or_default();
        }
        if mark == Some(Mark::BestOf) {
            asked.several |= digits != "1";
        }
        if matches!(mark, Some(Mark::Token)) {
            self.flat_tokens += 1;
        }
    }
}

fn boolean(mark: Option<Mark>, value: bool, asked: &mut Asked) {
    if mark == Some(Mark::Stream) {
        asked.stream = value;
    }
    if mark == Some(Mark::IncludeUsage) {
        asked.include_usage = value;
    }
    if mark == Some(Mark::Background) {
        asked.background = value;
    }
}

/// Tools that providers run themselves, and bill by the call or the session.
fn is_hosted(kind: &str) -> bool {
    const HOSTED: [&str; 7] = [
        "web_search",
        "web_fetch",
        "file_search",
        "code_interpreter",
        "code_execution",
        "image_generation",
        "shell",
    ];
    HOSTED.iter().any(|known| kind.starts_with(known))
}

/// Characters that begin in a piece of a string.
fn characters(piece: Piece<'_>) -> u64 {
    match piece {
        Piece::Raw(bytes) => bytes.iter().filter(|byte| **byte & 0xc0 != 0x80).count() as u64,
        Piece::Escaped(_) | Piece::LoneSurrogate(_) => 1,
    }
}

#[cfg(test)]
mod tests;
