//! What an answer has said of itself, before it is made into classes of units.
//!
//! Numbers stand here as they were reported, each in its field; a later one takes the place of an
//! earlier one, `null` says nothing. Names are matched against the words that count and forgotten.

use crate::usage::{Geo, ServiceTier};

macro_rules! fields {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// A number that an answer may report.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Field {
            $($(#[$doc])* $name,)*
        }

        /// How many fields there are.
        const FIELDS: usize = [$(Field::$name,)*].len();
    };
}

fields! {
    /// Tokens read: all of them in OpenAI's words, the fresh ones in Anthropic's.
    Input,
    /// Tokens written, all of them.
    Output,
    /// Tokens that the cache held.
    CacheRead,
    /// Tokens that it did not hold, where that is what is told.
    CacheMiss,
    /// Tokens written to the cache, for whatever lifetime.
    CacheWrite,
    /// Those of them that stay for five minutes.
    CacheWrite5m,
    /// Those of them that stay for an hour.
    CacheWrite1h,
    /// Audio tokens read.
    AudioIn,
    /// Image tokens read.
    ImageIn,
    /// Audio tokens that the cache held.
    CachedAudio,
    /// Image tokens that the cache held.
    CachedImage,
    /// Tokens of hidden reasoning.
    Reasoning,
    /// Audio tokens written.
    AudioOut,
    /// Image tokens written.
    ImageOut,
    /// Text tokens written, where images are made.
    TextOut,
    /// Tokens of a prediction that was not taken.
    Rejected,
    /// Milliseconds of audio that are billed.
    Millis,
    /// Milliseconds that a recording lasts, whatever is billed.
    Duration,
    /// Searches of the web.
    WebSearches,
    /// Pages fetched.
    WebFetches,
    /// Runs of code.
    CodeRuns,
}

/// The numbers that have been reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counts([Option<u64>; FIELDS]);

impl Counts {
    pub(super) const fn get(&self, field: Field) -> Option<u64> {
        self.0[field as usize]
    }

    pub(super) const fn set(&mut self, field: Field, count: u64) {
        self.0[field as usize] = Some(count);
    }

    /// The number, or none of it.
    pub(super) fn of(&self, field: Field) -> u64 {
        self.get(field).unwrap_or_default()
    }

    /// Whether tokens or a duration have been reported.
    pub(super) const fn any_use(&self) -> bool {
        self.get(Field::Input).is_some()
            || self.get(Field::Output).is_some()
            || self.get(Field::Millis).is_some()
            || self.get(Field::CacheMiss).is_some()
    }
}

/// What a word says in an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    /// The model.
    Model,
    /// The id of a response.
    Response,
    /// The tier that serves.
    Tier,
    /// How fast it is served.
    Speed,
    /// Where it is computed.
    Geo,
    /// What kind of event this is.
    Kind,
    /// How far a response has come.
    Status,
    /// Why an answer, or the current choice, has ended.
    Stop,
    /// What is wrong.
    ErrorCode,
    /// What kind of item the current one is.
    ItemKind,
    /// What the current item did.
    ItemAction,
    /// The container that the current item ran in.
    ItemContainer,
    /// What kind of turn beside the answer the current one is.
    TurnKind,
}

/// What kind of event the current one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Kind {
    /// Another, or not told yet.
    #[default]
    Other,
    /// The last one of an answer, with its usage.
    Last,
    /// The end of a response in a realtime session.
    RealtimeDone,
    /// The end of a transcript beside the responses of a realtime session.
    TranscriptDone,
    /// An item is complete.
    ItemDone,
    /// A piece of hidden reasoning.
    ReasoningDelta,
    /// A piece of sound.
    AudioDelta,
    /// A failure.
    Error,
}

impl Kind {
    /// The kind with this name.
    pub(super) fn of(name: &[u8]) -> Self {
        match name {
            b"response.completed"
            | b"response.incomplete"
            | b"response.failed"
            | b"message_stop"
            | b"image_generation.completed"
            | b"image_edit.completed"
            | b"transcript.text.done"
            | b"speech.audio.done" => Self::Last,
            b"response.done" => Self::RealtimeDone,
            b"conversation.item.input_audio_transcription.completed" => Self::TranscriptDone,
            b"response.output_item.done" => Self::ItemDone,
            b"response.reasoning_text.delta" | b"response.reasoning_summary_text.delta" => {
                Self::ReasoningDelta
            }
            b"response.audio.delta" | b"response.output_audio.delta" => Self::AudioDelta,
            b"error" => Self::Error,
            _ => Self::Other,
        }
    }
}

/// How far a response has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Status {
    /// Not told.
    #[default]
    Untold,
    /// It is still being made.
    Pending,
    /// It has ended with an answer.
    Ended,
    /// It has ended without one.
    Failed,
}

impl Status {
    pub(super) fn of(name: &[u8]) -> Self {
        match name {
            b"queued" | b"in_progress" => Self::Pending,
            b"completed" | b"incomplete" => Self::Ended,
            b"failed" | b"cancelled" => Self::Failed,
            _ => Self::Untold,
        }
    }
}

/// The most containers that are told apart in one answer.
const CONTAINERS_MAX: usize = 16;

/// Tools that the provider ran.
#[derive(Debug, Clone, Default)]
pub(super) struct Tools {
    pub(super) web_searches: u64,
    pub(super) file_searches: u64,
    pub(super) images: u64,
    /// Runs of code whose container is not named.
    unnamed_runs: u64,
    /// The others, by a hash of the container's id.
    containers: Vec<u64>,
}

/// What is known of the current item.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Item {
    pub(super) kind: ItemKind,
    /// The action is another than a search.
    pub(super) no_search: bool,
    /// A hash of the container's id.
    pub(super) container: Option<u64>,
}

/// What kind of item the current one is, as far as it is billed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum ItemKind {
    /// Another, or not told yet.
    #[default]
    Other,
    WebSearch,
    FileSearch,
    Code,
    Image,
}

impl ItemKind {
    pub(super) fn of(name: &[u8]) -> Self {
        match name {
            b"web_search_call" => Self::WebSearch,
            b"file_search_call" => Self::FileSearch,
            b"code_interpreter_call" => Self::Code,
            b"image_generation_call" => Self::Image,
            _ => Self::Other,
        }
    }
}

impl Tools {
    pub(super) fn add(&mut self, item: Item) {
        match item.kind {
            ItemKind::Other => {}
            // A page that is opened, or text that is found in it, is part of the search before.
            ItemKind::WebSearch => self.web_searches += u64::from(!item.no_search),
            ItemKind::FileSearch => self.file_searches += 1,
            ItemKind::Image => self.images += 1,
            ItemKind::Code => match item.container {
                Some(hash) if self.containers.contains(&hash) => {}
                Some(hash) if self.containers.len() < CONTAINERS_MAX => self.containers.push(hash),
                Some(_) | None => self.unnamed_runs += 1,
            },
        }
    }

    /// Containers in which code ran. Runs that do not say where are taken to share one.
    pub(super) fn code_sessions(&self) -> u64 {
        let named = self.containers.len() as u64;
        if named > 0 { named } else { self.unnamed_runs.min(1) }
    }

    #[cfg(test)]
    pub(super) fn heap_bytes(&self) -> usize {
        self.containers.capacity() * size_of::<u64>()
    }
}

/// The choices of a chat, by their numbers: those that have been seen, and those that have ended.
/// Numbers above 63 share one place, which counts as ended with any of them.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Choices {
    seen: u64,
    ended: u64,
}

impl Choices {
    pub(super) fn note(&mut self, index: u64, ended: bool) {
        let bit = 1 << index.min(63);
        self.seen |= bit;
        if ended {
            self.ended |= bit;
        }
    }

    pub(super) const fn all_ended(self) -> bool {
        self.seen != 0 && self.seen == self.ended
    }
}

/// Everything that an answer has said of itself.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    pub(super) counts: Counts,
    pub(super) model: Option<String>,
    /// The model, and the place, of the current line.
    pub(super) line_model: Option<String>,
    pub(super) line_geo: Geo,
    pub(super) response: Option<String>,
    pub(super) tier: Option<ServiceTier>,
    pub(super) fast: Option<bool>,
    pub(super) geo: Geo,
    pub(super) status: Status,
    pub(super) choices: Choices,
    /// The usage of the whole answer has been read.
    pub(super) usage_seen: bool,
    /// The answer has said that it is complete.
    pub(super) finished: bool,
    /// The answer is, or has ended with, a failure.
    pub(super) failed: bool,
    /// The model has refused to answer.
    pub(super) refused: bool,
    /// The failure is a refusal of a content filter.
    pub(super) filtered: bool,
    /// Things made: images, embeddings.
    pub(super) data: u64,
    /// Characters of base64 that hold sound.
    pub(super) sound_chars: u64,
    /// The tools that the answer as a whole lists.
    pub(super) tools: Tools,
    /// The same, told item by item.
    pub(super) tools_by_item: Tools,
}
