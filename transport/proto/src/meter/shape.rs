//! Where an answer says what it took: one table of exact paths for each shape.
//!
//! A row is met at its own depth alone: what a user's tool schema or metadata calls `usage`, and an
//! answer echoes, stands elsewhere.

use std::sync::LazyLock;

use super::facts::{Field, Name};
use crate::scan::paths::Paths;
use crate::tables::routes::Metering;

/// What stands at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// A number of the answer's own usage.
    Count(Field),
    /// The same in seconds.
    Seconds(Field),
    /// A number of a turn that the totals leave out.
    Beside(Field),
    /// The same in seconds.
    BesideSeconds,
    /// A word.
    Name(Name),
    /// Text that the user is given.
    Visible,
    /// The text of reasoning.
    Reasoning,
    /// A piece of text, sound or reasoning, as the kind of the event says.
    Delta,
    /// Sound in base64.
    Sound,
    /// The usage of the whole answer.
    Usage,
    /// A choice, whose number and end stand in it.
    Choice,
    /// The number of a choice.
    ChoiceIndex,
    /// The list of all items.
    Items,
    /// An item of that list, which may be the call of a tool.
    Item,
    /// The item that an event is about.
    EventItem,
    /// A thing that was made.
    Datum,
    /// A turn that the totals may leave out.
    Turn,
    /// A failure.
    Error,
}

use Mark::{
    Beside, BesideSeconds, Choice, ChoiceIndex, Count, Datum, Delta, EventItem, Item, Items,
    Reasoning, Seconds, Sound, Turn, Usage, Visible,
};

/// A shape: its paths through the JSON.
pub(super) type Shape = &'static Paths<Mark>;

type Row = (&'static str, Mark);

/// Below a usage in OpenAI's words; the words for one thing differ from shape to shape.
const USAGE: &[Row] = &[
    ("prompt_tokens", Count(Field::Input)),
    ("input_tokens", Count(Field::Input)),
    ("completion_tokens", Count(Field::Output)),
    ("output_tokens", Count(Field::Output)),
    ("prompt_cache_hit_tokens", Count(Field::CacheRead)),
    ("prompt_cache_miss_tokens", Count(Field::CacheMiss)),
    ("seconds", Seconds(Field::Millis)),
];

/// Below the details of what was read.
const INPUT_DETAILS: &[Row] = &[
    ("cached_tokens", Count(Field::CacheRead)),
    ("cache_write_tokens", Count(Field::CacheWrite)),
    ("audio_tokens", Count(Field::AudioIn)),
    ("image_tokens", Count(Field::ImageIn)),
    ("cached_tokens_details.audio_tokens", Count(Field::CachedAudio)),
    ("cached_tokens_details.image_tokens", Count(Field::CachedImage)),
];

/// Below the details of what was written.
const OUTPUT_DETAILS: &[Row] = &[
    ("reasoning_tokens", Count(Field::Reasoning)),
    ("audio_tokens", Count(Field::AudioOut)),
    ("image_tokens", Count(Field::ImageOut)),
    ("text_tokens", Count(Field::TextOut)),
    ("rejected_prediction_tokens", Count(Field::Rejected)),
];

/// Below a usage in Anthropic's words.
const MESSAGE_USAGE: &[Row] = &[
    ("input_tokens", Count(Field::Input)),
    ("output_tokens", Count(Field::Output)),
    ("cache_read_input_tokens", Count(Field::CacheRead)),
    ("cache_creation_input_tokens", Count(Field::CacheWrite)),
    ("cache_creation.ephemeral_5m_input_tokens", Count(Field::CacheWrite5m)),
    ("cache_creation.ephemeral_1h_input_tokens", Count(Field::CacheWrite1h)),
    ("output_tokens_details.thinking_tokens", Count(Field::Reasoning)),
    ("server_tool_use.web_search_requests", Count(Field::WebSearches)),
    ("server_tool_use.web_fetch_requests", Count(Field::WebFetches)),
    ("server_tool_use.code_execution_requests", Count(Field::CodeRuns)),
    ("service_tier", Mark::Name(Name::Tier)),
    ("inference_geo", Mark::Name(Name::Geo)),
    ("speed", Mark::Name(Name::Speed)),
];

/// Below a turn of a message that its totals may leave out.
const TURN: &[Row] = &[
    ("type", Mark::Name(Name::TurnKind)),
    ("input_tokens", Beside(Field::Input)),
    ("output_tokens", Beside(Field::Output)),
    ("cache_read_input_tokens", Beside(Field::CacheRead)),
    ("cache_creation_input_tokens", Beside(Field::CacheWrite)),
    ("cache_creation.ephemeral_5m_input_tokens", Beside(Field::CacheWrite5m)),
    ("cache_creation.ephemeral_1h_input_tokens", Beside(Field::CacheWrite1h)),
];

/// Below what a choice of a chat holds, whole or as a piece.
const CHOICE: &[Row] = &[
    ("content", Visible),
    ("refusal", Visible),
    ("reasoning_content", Reasoning),
    ("reasoning", Reasoning),
    ("tool_calls[].function.name", Visible),
    ("tool_calls[].function.arguments", Visible),
    ("tool_calls[].custom.name", Visible),
    ("tool_calls[].custom.input", Visible),
    ("function_call.name", Visible),
    ("function_call.arguments", Visible),
    ("audio.data", Sound),
];

/// Below an item of a response.
const ITEM: &[Row] = &[
    ("type", Mark::Name(Name::ItemKind)),
    ("action.type", Mark::Name(Name::ItemAction)),
    ("container_id", Mark::Name(Name::ItemContainer)),
];

/// Below an item of a response that comes whole.
const ITEM_TEXT: &[Row] = &[
    ("content[].text", Visible),
    ("content[].refusal", Visible),
    ("summary[].text", Reasoning),
    ("name", Visible),
    ("arguments", Visible),
    ("input", Visible),
    ("code", Visible),
];

/// Below a response.
const RESPONSE: &[Row] = &[
    ("id", Mark::Name(Name::Response)),
    ("model", Mark::Name(Name::Model)),
    ("service_tier", Mark::Name(Name::Tier)),
    ("status", Mark::Name(Name::Status)),
    ("usage", Usage),
    ("output", Items),
    ("output[]", Item),
    ("tool_usage.web_search.num_requests", Count(Field::WebSearches)),
    ("error", Mark::Error),
];

/// Below a message.
const MESSAGE: &[Row] = &[("model", Mark::Name(Name::Model))];

/// Below a block of a message.
const BLOCK: &[Row] =
    &[("text", Visible), ("thinking", Reasoning), ("partial_json", Visible), ("name", Visible)];

/// Below a failure.
const ERROR: &[Row] = &[
    ("error", Mark::Error),
    ("error.code", Mark::Name(Name::ErrorCode)),
    ("error.innererror.code", Mark::Name(Name::ErrorCode)),
];

/// The rows of a table below `stem`.
fn below(stem: &str, rows: &[Row]) -> Vec<(String, Mark)> {
    rows.iter().map(|(path, mark)| (format!("{stem}{path}"), *mark)).collect()
}

/// A usage in OpenAI's words at `stem`.
fn usage_at(stem: &str) -> Vec<(String, Mark)> {
    let mut rows = below(stem, USAGE);
    for details in ["prompt_tokens_details.", "input_tokens_details.", "input_token_details."] {
        rows.extend(below(&format!("{stem}{details}"), INPUT_DETAILS));
    }
    for details in ["completion_tokens_details.", "output_tokens_details.", "output_token_details."]
    {
        rows.extend(below(&format!("{stem}{details}"), OUTPUT_DETAILS));
    }
    rows
}

fn chat() -> Vec<(String, Mark)> {
    let mut rows = usage_at("usage.");
    rows.extend(below(
        "",
        &[
            ("usage", Usage),
            ("model", Mark::Name(Name::Model)),
            ("service_tier", Mark::Name(Name::Tier)),
            ("choices[]", Choice),
            ("choices[].index", ChoiceIndex),
            ("choices[].finish_reason", Mark::Name(Name::Stop)),
            ("choices[].text", Visible),
        ],
    ));
    rows.extend(below("choices[].delta.", CHOICE));
    rows.extend(below("choices[].message.", CHOICE));
    rows.extend(below("", ERROR));
    rows
}

/// A response that is the whole answer.
fn response() -> Vec<(String, Mark)> {
    let mut rows = below("", RESPONSE);
    rows.extend(usage_at("usage."));
    rows.extend(below("output[].", ITEM));
    rows.extend(below("output[].", ITEM_TEXT));
    rows
}

/// The events of a response.
fn response_events() -> Vec<(String, Mark)> {
    let mut rows = below("response.", RESPONSE);
    rows.extend(usage_at("response.usage."));
    rows.extend(below("response.output[].", ITEM));
    rows.extend(below("item.", ITEM));
    rows.extend(below(
        "",
        &[("type", Mark::Name(Name::Kind)), ("delta", Delta), ("item", EventItem)],
    ));
    rows
}

/// A message, whole or as events.
fn message() -> Vec<(String, Mark)> {
    let mut rows = below("", MESSAGE);
    rows.extend(below("message.", MESSAGE));
    rows.extend(below("usage.", MESSAGE_USAGE));
    rows.extend(below("message.usage.", MESSAGE_USAGE));
    rows.extend(below("usage.iterations[].", TURN));
    rows.extend(below("content[].", BLOCK));
    rows.extend(below("delta.", BLOCK));
    rows.extend(below("content_block.", BLOCK));
    rows.extend(below(
        "",
        &[
            ("usage", Usage),
            ("usage.iterations[]", Turn),
            ("type", Mark::Name(Name::Kind)),
            ("content[].input.**", Visible),
            ("stop_reason", Mark::Name(Name::Stop)),
            ("delta.stop_reason", Mark::Name(Name::Stop)),
            ("error", Mark::Error),
        ],
    ));
    rows
}

/// Images, embeddings, transcripts and spoken text, whole or as events.
fn media() -> Vec<(String, Mark)> {
    let mut rows = usage_at("usage.");
    rows.extend(below(
        "",
        &[
            ("usage", Usage),
            ("model", Mark::Name(Name::Model)),
            ("type", Mark::Name(Name::Kind)),
            ("duration", Seconds(Field::Duration)),
            ("text", Visible),
            ("data[]", Datum),
            ("error", Mark::Error),
        ],
    ));
    rows
}

/// The server's events in a realtime session.
fn realtime() -> Vec<(String, Mark)> {
    let mut rows = usage_at("response.usage.");
    rows.extend(below(
        "",
        &[
            ("type", Mark::Name(Name::Kind)),
            ("session.model", Mark::Name(Name::Model)),
            ("response.usage", Usage),
            ("delta", Delta),
            ("usage.input_tokens", Beside(Field::Input)),
            ("usage.output_tokens", Beside(Field::Output)),
            ("usage.input_token_details.audio_tokens", Beside(Field::AudioIn)),
            ("usage.seconds", BesideSeconds),
        ],
    ));
    rows
}

/// A line of a batch's results, in either dialect.
fn batch() -> Vec<(String, Mark)> {
    let mut rows = usage_at("response.body.usage.");
    rows.extend(below("result.message.usage.", MESSAGE_USAGE));
    rows.extend(below(
        "",
        &[
            ("response.body.usage", Usage),
            ("response.body.model", Mark::Name(Name::Model)),
            ("result.message.usage", Usage),
            ("result.message.model", Mark::Name(Name::Model)),
        ],
    ));
    rows
}

static CHAT: LazyLock<Paths<Mark>> = LazyLock::new(|| Paths::new(chat()));
static WHOLE_RESPONSE: LazyLock<Paths<Mark>> = LazyLock::new(|| Paths::new(response()));
static RESPONSE_EVENTS: LazyLock<Paths<Mark>> = LazyLock::new(|| Paths::new(response_events()));
static MESSAGES: LazyLock<Paths<Mark>> = LazyLock::new(|| Paths::new(message()));
static MEDIA: LazyLock<Paths<Mark>> = LazyLock::new(|| Paths::new(media()));
static REALTIME: LazyLock<Paths<Mark>> = LazyLock::new(|| Paths::new(realtime()));
static BATCH: LazyLock<Paths<Mark>> = LazyLock::new(|| Paths::new(batch()));
static FAILURE: LazyLock<Paths<Mark>> = LazyLock::new(|| Paths::new(ERROR.iter().copied()));

/// The shape of an answer that is one JSON value.
pub(super) fn whole(metering: Metering) -> Option<Shape> {
    match metering {
        Metering::Responses | Metering::StoredResponse => Some(&WHOLE_RESPONSE),
        Metering::Free
        | Metering::Container
        | Metering::Batch
        | Metering::Chat
        | Metering::Messages
        | Metering::Embeddings
        | Metering::Images
        | Metering::Transcription
        | Metering::Speech
        | Metering::Realtime
        | Metering::BatchResults => events(metering),
    }
}

/// The shape of each event, frame or line of an answer.
pub(super) fn events(metering: Metering) -> Option<Shape> {
    match metering {
        Metering::Free | Metering::Container | Metering::Batch => None,
        Metering::Chat => Some(&CHAT),
        Metering::Responses | Metering::StoredResponse => Some(&RESPONSE_EVENTS),
        Metering::Messages => Some(&MESSAGES),
        Metering::Embeddings | Metering::Images | Metering::Transcription | Metering::Speech => {
            Some(&MEDIA)
        }
        Metering::Realtime => Some(&REALTIME),
        Metering::BatchResults => Some(&BATCH),
    }
}

/// The shape of a refusal.
pub(super) fn failure() -> Shape {
    &FAILURE
}
