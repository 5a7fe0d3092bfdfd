//! Follows the JSON of an answer and takes down what stands at the places of its shape.

use std::fmt;
use std::sync::Arc;

use super::compose::{self, Words};
use super::facts::{Choices, Counts, Facts, Field, Item, ItemKind, Kind, Name, Status};
use super::parts::{Part, Parts};
use super::settle::UNREADABLE_BYTES_PER_TOKEN;
use super::shape::{Mark, Shape};
use super::text::TextCounter;
use crate::scan::MAX_MODEL_BYTES;
use crate::scan::json::{JsonError, Piece, Token, Tokenizer};
use crate::scan::paths::{Place, Walk, append};
use crate::usage::{Class, Geo, ServiceTier, Usage};

/// What the current string is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taking {
    Nothing,
    Name(Name),
    Visible,
    Reasoning,
    Sound,
    /// A duration that is written as text.
    Seconds(Field),
}

/// Reads the JSON values of one answer, one after the other.
pub(super) struct Reader {
    shape: Shape,
    words: Words,
    tokenizer: Tokenizer,
    walk: Walk<()>,
    /// The values are pieces of one answer, and so are the texts in them.
    pieces: bool,
    /// Each value is a line, and an answer of its own.
    lines: bool,
    taking: Taking,
    name: Vec<u8>,
    /// Where the newest text stood.
    text_at: Place,
    visible: TextCounter,
    reasoning: TextCounter,
    kind: Kind,
    item: Item,
    event_item: Option<Item>,
    choice: (u64, bool),
    turn: Counts,
    /// The turn belongs to the totals.
    turn_counted: bool,
    /// The value cannot be read any further.
    broken: bool,
    /// Of an answer in lines: bytes of the current one, and whether any is no white space.
    line_bytes: u64,
    line_begun: bool,
    /// Lines that could not be read.
    lost_lines: u64,
    parts: Parts,
    /// What was used by the parts of the answer that have ended each for itself.
    pub(super) folded: Usage,
    /// What was used beside the totals.
    pub(super) beside: Usage,
    pub(super) facts: Facts,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("words", &self.words)
            .field("kind", &self.kind)
            .field("broken", &self.broken)
            .finish_non_exhaustive()
    }
}

impl Reader {
    pub(super) fn new(shape: Shape, words: Words, pieces: bool) -> Self {
        Self {
            shape,
            words,
            tokenizer: Tokenizer::new(),
            walk: Walk::of_known_keys(),
            pieces,
            lines: false,
            taking: Taking::Nothing,
            name: Vec::new(),
            text_at: Place::OFF,
            visible: TextCounter::default(),
            reasoning: TextCounter::default(),
            kind: Kind::Other,
            item: Item::default(),
            event_item: None,
            choice: (0, false),
            turn: Counts::default(),
            turn_counted: true,
            broken: false,
            line_bytes: 0,
            line_begun: false,
            lost_lines: 0,
            parts: Parts::default(),
            folded: Usage::NONE,
            beside: Usage::NONE,
            facts: Facts::default(),
        }
    }

    /// The same, for values that are lines.
    pub(super) fn of_lines(mut self) -> Self {
        self.lines = true;
        self
    }

    /// The name of the event whose data follows.
    pub(super) fn event_name(&mut self, name: &str) {
        self.kind = Kind::of(name.as_bytes());
    }

    /// Reads a piece of the current value. What follows a whole value is passed over.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        if self.broken {
            return;
        }
        // The tokenizer is taken out for the call: its tokens go to the rest of the reader.
        let mut tokenizer = std::mem::take(&mut self.tokenizer);
        let read = tokenizer.feed::<JsonError>(bytes, |_, token| {
            self.token(token);
            Ok(())
        });
        self.broken = read.is_err();
        self.tokenizer = tokenizer;
    }

    /// Whether the current value is complete.
    pub(super) const fn is_complete(&self) -> bool {
        self.tokenizer.is_complete()
    }

    /// Whether the current value was none, or broke off.
    pub(super) const fn is_broken(&self) -> bool {
        self.broken && !self.tokenizer.is_complete()
    }

    /// Ends the current value, which was an event, a frame or a line.
    pub(super) fn end_value(&mut self) {
        match self.kind {
            Kind::Other | Kind::ReasoningDelta | Kind::AudioDelta => {}
            Kind::Last => self.facts.finished = true,
            Kind::ItemDone => {
                if let Some(item) = self.event_item {
                    self.facts.tools_by_item.add(item);
                }
            }
            Kind::RealtimeDone => self.fold(),
            Kind::TranscriptDone => {
                let turn = compose::usage(Words::Transcription, &self.turn);
                self.beside = self.beside.plus(&turn);
            }
            Kind::Error => self.facts.failed = true,
        }
        self.turn = Counts::default();
        self.event_item = None;
        self.kind = Kind::Other;
        self.tokenizer.reset();
        self.walk.reset();
        self.taking = Taking::Nothing;
        self.broken = false;
    }

    /// Lines are told apart by what one request read in all.
    pub(super) fn in_bands(&mut self, bands: Arc<[u64]>) {
        self.parts = Parts::in_bands(bands);
    }

    /// Reads a piece of a line.
    pub(super) fn feed_line(&mut self, bytes: &[u8]) {
        self.line_bytes = self.line_bytes.saturating_add(bytes.len() as u64);
        self.line_begun |= !bytes.trim_ascii().is_empty();
        self.feed(bytes);
    }

    /// Ends a line, which is an answer of its own.
    pub(super) fn end_line(&mut self) {
        let lost = self.line_begun && !self.is_complete();
        let mut usage = compose::usage(self.words, &self.facts.counts);
        if lost {
            // What nobody can read is taken for text, as a whole answer would be.
            self.lost_lines += 1;
            let bound = self.line_bytes / UNREADABLE_BYTES_PER_TOKEN;
            usage.set(Class::Output, usage.get(Class::Output).max(bound));
        }
        let model = self.facts.line_model.take();
        let geo = std::mem::take(&mut self.facts.line_geo);
        self.folded = self.folded.plus(&usage);
        self.parts.add(model, geo, &usage);
        (self.line_bytes, self.line_begun) = (0, false);
        self.clear_part();
        self.end_value();
    }

    /// Whether there were lines that could not be read.
    pub(super) const fn has_lost_lines(&self) -> bool {
        self.lost_lines > 0
    }

    /// What the lines have used, by what prices it.
    pub(super) fn take_parts(&mut self) -> Vec<Part> {
        self.parts.take()
    }

    /// Ends a part of the answer that has a usage of its own.
    pub(super) fn fold(&mut self) {
        let part = compose::usage(self.words, &self.facts.counts);
        self.folded = self.folded.plus(&part);
        self.clear_part();
    }

    fn clear_part(&mut self) {
        self.facts.counts = Counts::default();
        self.facts.sound_chars = 0;
        self.visible.clear();
        self.reasoning.clear();
    }

    /// Tokens of text so far, about.
    pub(super) fn about(&self) -> u64 {
        self.visible.about() + self.reasoning.about()
    }

    /// Tokens of text: what the user sees, and reasoning.
    pub(super) fn texts(&mut self) -> (u64, u64) {
        (self.visible.total(), self.reasoning.total())
    }

    fn token(&mut self, token: Token<'_>) {
        let (shape, walk) = (self.shape, &mut self.walk);
        match token {
            Token::KeyBegin => walk.key_begin(),
            Token::Text(piece) if walk.in_key() => walk.key_piece(piece),
            Token::Text(piece) => self.text(piece),
            Token::StringEnd if walk.in_key() => walk.key_end(shape),
            Token::StringEnd => self.string_end(),
            Token::StringBegin => {
                let place = walk.value(shape);
                match shape.mark(place) {
                    Some(mark) => self.string_begin(place, mark),
                    None => self.taking = Taking::Nothing,
                }
            }
            Token::Number(digits) => {
                if let Some(mark) = shape.mark(walk.value(shape)) {
                    self.number(mark, digits);
                }
            }
            Token::ObjectBegin => {
                if let Some(mark) = shape.mark(walk.open(shape, true)) {
                    self.opened(mark);
                }
            }
            Token::ArrayBegin => {
                if let Some(mark) = shape.mark(walk.open(shape, false)) {
                    self.opened(mark);
                }
            }
            Token::ObjectEnd => {
                if let Some(mark) = shape.mark(walk.close()) {
                    self.closed(mark);
                }
            }
            Token::ArrayEnd => {
                walk.close();
            }
            Token::Bool(_) | Token::Null => {}
        }
    }

    fn opened(&mut self, mark: Mark) {
        match mark {
            Mark::Items => self.facts.tools = Default::default(),
            Mark::Item | Mark::EventItem => self.item = Item::default(),
            Mark::Choice => self.choice = (0, false),
            Mark::Turn => {
                self.turn = Counts::default();
                self.turn_counted = true;
            }
            Mark::Datum => self.facts.data += 1,
            Mark::Error => self.facts.failed = true,
            Mark::Count(_)
            | Mark::Seconds(_)
            | Mark::Beside(_)
            | Mark::BesideSeconds
            | Mark::Name(_)
            | Mark::Visible
            | Mark::Reasoning
            | Mark::Delta
            | Mark::Sound
            | Mark::Usage
            | Mark::ChoiceIndex => {}
        }
    }

    fn closed(&mut self, mark: Mark) {
        match mark {
            Mark::Usage => self.facts.usage_seen |= self.facts.counts.any_use(),
            Mark::Item => self.facts.tools.add(self.item),
            Mark::EventItem => self.event_item = Some(self.item),
            Mark::Choice => {
                let (index, ended) = self.choice;
                self.facts.choices.note(index, ended);
                self.facts.finished |= self.pieces && Choices::all_ended(self.facts.choices);
            }
            Mark::Turn => {
                if !self.turn_counted {
                    self.beside = self.beside.plus(&compose::usage(self.words, &self.turn));
                }
            }
            Mark::Count(_)
            | Mark::Seconds(_)
            | Mark::Beside(_)
            | Mark::BesideSeconds
            | Mark::Name(_)
            | Mark::Visible
            | Mark::Reasoning
            | Mark::Delta
            | Mark::Sound
            | Mark::ChoiceIndex
            | Mark::Items
            | Mark::Datum
            | Mark::Error => {}
        }
    }

    fn number(&mut self, mark: Mark, digits: &str) {
        match mark {
            Mark::Count(field) => {
                if let Some(count) = units(digits) {
                    self.facts.counts.set(field, count);
                }
            }
            Mark::Beside(field) => {
                if let Some(count) = units(digits) {
                    self.turn.set(field, count);
                }
            }
            Mark::Seconds(field) => {
                if let Some(millis) = millis(digits) {
                    self.facts.counts.set(field, millis);
                }
            }
            Mark::BesideSeconds => {
                if let Some(millis) = millis(digits) {
                    self.turn.set(Field::Millis, millis);
                }
            }
            Mark::ChoiceIndex => self.choice.0 = units(digits).unwrap_or_default(),
            Mark::Name(_)
            | Mark::Visible
            | Mark::Reasoning
            | Mark::Delta
            | Mark::Sound
            | Mark::Usage
            | Mark::Choice
            | Mark::Items
            | Mark::Item
            | Mark::EventItem
            | Mark::Datum
            | Mark::Turn
            | Mark::Error => {}
        }
    }

    fn string_begin(&mut self, place: Place, mark: Mark) {
        self.taking = match mark {
            Mark::Name(name) => Taking::Name(name),
            Mark::Visible => Taking::Visible,
            Mark::Reasoning => Taking::Reasoning,
            Mark::Sound => Taking::Sound,
            Mark::Delta => match self.kind {
                Kind::AudioDelta => Taking::Sound,
                Kind::ReasoningDelta => Taking::Reasoning,
                Kind::Other
                | Kind::Last
                | Kind::RealtimeDone
                | Kind::TranscriptDone
                | Kind::ItemDone
                | Kind::Error => Taking::Visible,
            },
            Mark::Seconds(field) => Taking::Seconds(field),
            Mark::Count(_)
            | Mark::Beside(_)
            | Mark::BesideSeconds
            | Mark::Usage
            | Mark::Choice
            | Mark::ChoiceIndex
            | Mark::Items
            | Mark::Item
            | Mark::EventItem
            | Mark::Datum
            | Mark::Turn
            | Mark::Error => Taking::Nothing,
        };
        match self.taking {
            Taking::Name(_) | Taking::Seconds(_) => self.name.clear(),
            Taking::Visible | Taking::Reasoning => {
                // Text of another place is another text.
                if self.text_at != place {
                    self.text_at = place;
                    self.visible.end();
                    self.reasoning.end();
                }
            }
            Taking::Nothing | Taking::Sound => {}
        }
    }

    fn text(&mut self, piece: Piece<'_>) {
        match self.taking {
            Taking::Nothing => {}
            Taking::Visible => self.visible.piece(piece),
            Taking::Reasoning => self.reasoning.piece(piece),
            Taking::Name(_) | Taking::Seconds(_) => {
                append(&mut self.name, piece, MAX_MODEL_BYTES + 1)
            }
            Taking::Sound => {
                if let Piece::Raw(bytes) = piece {
                    self.facts.sound_chars += bytes.len() as u64;
                }
            }
        }
    }

    fn string_end(&mut self) {
        match std::mem::replace(&mut self.taking, Taking::Nothing) {
            Taking::Nothing | Taking::Sound => {}
            Taking::Visible | Taking::Reasoning => {
                if !self.pieces {
                    self.visible.end();
                    self.reasoning.end();
                }
            }
            Taking::Seconds(field) => {
                let text = std::str::from_utf8(&self.name).ok();
                if let Some(millis) = text.and_then(millis) {
                    self.facts.counts.set(field, millis);
                }
            }
            Taking::Name(name) => self.named(name),
        }
    }

    /// A word has been read.
    fn named(&mut self, name: Name) {
        let facts = &mut self.facts;
        let word = self.name.as_slice();
        let text = std::str::from_utf8(word)
            .ok()
            .filter(|text| !text.is_empty() && text.len() <= MAX_MODEL_BYTES);
        match name {
            Name::Model => {
                if let Some(text) = text.filter(|text| facts.model.as_deref() != Some(*text)) {
                    facts.model = Some(text.to_owned());
                }
                if self.lines {
                    facts.line_model = text.map(str::to_owned);
                }
            }
            Name::Response => {
                if let Some(text) = text.filter(|text| facts.response.as_deref() != Some(*text)) {
                    facts.response = Some(text.to_owned());
                }
            }
            Name::Tier => facts.tier = text.and_then(ServiceTier::reported).or(facts.tier),
            Name::Speed => facts.fast = Some(word == b"fast"),
            Name::Geo => {
                facts.geo = Geo::reported(text.unwrap_or_default());
                facts.line_geo = facts.geo;
            }
            Name::Kind => {
                let kind = Kind::of(word);
                if kind != Kind::Other {
                    self.kind = kind;
                }
            }
            Name::Status => {
                facts.status = Status::of(word);
                facts.failed |= facts.status == Status::Failed;
            }
            Name::Stop => {
                self.choice.1 = true;
                // A message has one end; a chat has one for each choice.
                if self.words == Words::Anthropic {
                    facts.finished |= self.pieces;
                    facts.refused = word == b"refusal";
                }
            }
            Name::ErrorCode => {
                facts.filtered |=
                    matches!(word, b"content_filter" | b"ResponsibleAIPolicyViolation");
            }
            Name::ItemKind => self.item.kind = ItemKind::of(word),
            Name::ItemAction => self.item.no_search = word != b"search",
            Name::ItemContainer => self.item.container = Some(hash(word)),
            Name::TurnKind => self.turn_counted = word == b"message",
        }
    }

    /// Bytes of memory behind this one, as large as they may become.
    #[cfg(test)]
    pub(super) fn heap_bytes(&self) -> usize {
        let texts = self.visible.heap_bytes() + self.reasoning.heap_bytes();
        let tools = self.facts.tools.heap_bytes() + self.facts.tools_by_item.heap_bytes();
        texts + tools + self.name.capacity() + self.walk.heap_bytes()
    }
}

/// A count as JSON writes it; a fraction counts as one more.
fn units(digits: &str) -> Option<u64> {
    if let Ok(count) = digits.parse() {
        return Some(count);
    }
    let (whole, fraction) = digits.split_once('.')?;
    let whole: u64 = whole.parse().ok()?;
    let fraction = fraction
        .bytes()
        .try_fold(false, |any, digit| digit.is_ascii_digit().then_some(any || digit != b'0'))?;
    whole.checked_add(u64::from(fraction))
}

/// Seconds as JSON writes them, in milliseconds, rounded up.
fn millis(digits: &str) -> Option<u64> {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let whole: u64 = whole.parse().ok()?;
    if !fraction.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let (kept, rest) = fraction.split_at(fraction.len().min(3));
    let part = kept.bytes().chain([b'0'; 3]).take(3);
    let part = part.fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    let up = u64::from(rest.bytes().any(|digit| digit != b'0'));
    whole.checked_mul(1000)?.checked_add(part + up)
}

/// FNV-1a: tells the few containers of one answer apart, and need not withstand anybody.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_seconds_are_read_without_floating_point() {
        for (digits, count) in [
            ("0", Some(0)),
            ("12", Some(12)),
            ("12.0", Some(12)),
            ("12.01", Some(13)),
            ("-1", None),
            ("1e3", None),
            ("18446744073709551616", None),
        ] {
            assert_eq!(units(digits), count, "{digits}");
        }
        for (digits, wanted) in [
            ("9", Some(9000)),
            ("9.5", Some(9500)),
            ("0.0001", Some(1)),
            ("3.1234", Some(3124)),
            ("3.120", Some(3120)),
            ("-2", None),
            ("1e2", None),
            ("x", None),
        ] {
            assert_eq!(millis(digits), wanted, "{digits}");
        }
    }
}
