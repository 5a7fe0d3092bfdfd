//! Where a request says what counts: one table of exact paths for each dialect.

use std::sync::LazyLock;

use crate::scan::paths::Paths;
use crate::tables::routes::Metering;

/// What stands at a place in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Model,
    Stream,
    IncludeUsage,
    OutputMax,
    Choices,
    Tier,
    Speed,
    Geo,
    Background,
    /// A tool's kind.
    ToolKind,
    /// The offer to search the web.
    Search,
    /// Text that the model reads.
    Text,
    /// The same at any depth, and its keys too.
    Schema,
    /// A message of a conversation.
    Message,
    /// Text that is spoken; a model may read it too.
    Speech,
    /// Text, or a token that comes as its number.
    Token,
    /// What is no text.
    Attachment,
    /// What names something that the provider reads too, and that stands elsewhere.
    Elsewhere,
    /// What kind of item this is.
    ItemKind,
    /// One of several questions.
    Question,
    /// How many answers are made to choose from.
    BestOf,
}

type Row = (&'static str, Mark);

/// What every dialect has.
const COMMON: &[Row] = &[
    ("model", Mark::Model),
    ("stream", Mark::Stream),
    ("max_tokens", Mark::OutputMax),
    ("service_tier", Mark::Tier),
    ("tools[].**", Mark::Schema),
    ("tools[].type", Mark::ToolKind),
];

const CHAT: &[Row] = &[
    ("stream_options.include_usage", Mark::IncludeUsage),
    ("max_completion_tokens", Mark::OutputMax),
    ("n", Mark::Choices),
    ("web_search_options", Mark::Search),
    ("messages[]", Mark::Message),
    ("messages[].content", Mark::Text),
    ("messages[].name", Mark::Text),
    ("messages[].reasoning_content", Mark::Text),
    ("messages[].content[].text", Mark::Text),
    ("messages[].content[].refusal", Mark::Text),
    ("messages[].content[].image_url", Mark::Attachment),
    ("messages[].content[].input_audio", Mark::Attachment),
    ("messages[].content[].file", Mark::Attachment),
    ("messages[].tool_calls[].function.name", Mark::Text),
    ("messages[].tool_calls[].function.arguments", Mark::Text),
    ("messages[].function_call.arguments", Mark::Text),
    ("functions[].**", Mark::Schema),
    ("response_format.json_schema.**", Mark::Schema),
    ("prediction.content", Mark::Text),
    // Completions of the older kind.
    ("prompt", Mark::Text),
    ("prompt[]", Mark::Question),
    ("suffix", Mark::Text),
    ("best_of", Mark::BestOf),
    ("data_sources", Mark::Elsewhere),
    ("messages[].audio", Mark::Elsewhere),
];

const RESPONSES: &[Row] = &[
    ("max_output_tokens", Mark::OutputMax),
    ("background", Mark::Background),
    ("instructions", Mark::Text),
    ("input", Mark::Text),
    ("input[]", Mark::Message),
    ("input[].content", Mark::Text),
    ("input[].name", Mark::Text),
    ("input[].arguments", Mark::Text),
    ("input[].input", Mark::Text),
    ("input[].output", Mark::Text),
    ("input[].output[].text", Mark::Text),
    ("input[].output[].image_url", Mark::Attachment),
    ("input[].content[].text", Mark::Text),
    ("input[].summary[].text", Mark::Text),
    ("input[].content[].image_url", Mark::Attachment),
    ("input[].content[].file_id", Mark::Attachment),
    ("input[].content[].file_url", Mark::Attachment),
    ("input[].content[].file_data", Mark::Attachment),
    ("input[].content[].input_audio", Mark::Attachment),
    ("text.format.**", Mark::Schema),
    ("previous_response_id", Mark::Elsewhere),
    ("conversation", Mark::Elsewhere),
    ("prompt", Mark::Elsewhere),
    ("context_management", Mark::Elsewhere),
    ("input[].type", Mark::ItemKind),
    ("input[].output.image_url", Mark::Elsewhere),
    ("input[].output.file_id", Mark::Elsewhere),
    ("input[].output[].file_id", Mark::Elsewhere),
    ("input[].output[].file_url", Mark::Elsewhere),
    ("input[].output[].file_data", Mark::Elsewhere),
];

const MESSAGES: &[Row] = &[
    ("inference_geo", Mark::Geo),
    ("speed", Mark::Speed),
    ("system", Mark::Text),
    ("system[].text", Mark::Text),
    ("messages[]", Mark::Message),
    ("messages[].content", Mark::Text),
    ("messages[].content[].text", Mark::Text),
    ("messages[].content[].thinking", Mark::Text),
    ("messages[].content[].name", Mark::Text),
    ("messages[].content[].input.**", Mark::Schema),
    ("messages[].content[].content", Mark::Text),
    ("messages[].content[].content[].text", Mark::Text),
    ("messages[].content[].content[].source", Mark::Attachment),
    ("messages[].content[].source", Mark::Attachment),
    ("messages[].content[].file_id", Mark::Elsewhere),
    ("container", Mark::Elsewhere),
    ("mcp_servers", Mark::Elsewhere),
    ("context_management", Mark::Elsewhere),
];

const MEDIA: &[Row] = &[
    ("n", Mark::Choices),
    ("prompt", Mark::Text),
    ("instructions", Mark::Text),
    ("images[]", Mark::Attachment),
];

const EMBEDDINGS: &[Row] =
    &[("input", Mark::Text), ("input[]", Mark::Token), ("input[][]", Mark::Token)];

const SPEECH: &[Row] = &[("input", Mark::Speech), ("instructions", Mark::Text)];

macro_rules! tables {
    ($($name:ident of $rows:ident;)*) => {
        $(static $name: LazyLock<Paths<Mark>> = LazyLock::new(|| {
            Paths::new(COMMON.iter().chain($rows).copied())
        });)*
    };
}

tables! {
    CHAT_PATHS of CHAT;
    RESPONSES_PATHS of RESPONSES;
    MESSAGES_PATHS of MESSAGES;
    MEDIA_PATHS of MEDIA;
    EMBEDDINGS_PATHS of EMBEDDINGS;
    SPEECH_PATHS of SPEECH;
}

/// The table for the requests of a route that is metered so.
pub(super) fn paths(metering: Metering) -> Option<&'static Paths<Mark>> {
    match metering {
        Metering::Chat => Some(&CHAT_PATHS),
        Metering::Responses => Some(&RESPONSES_PATHS),
        Metering::Messages => Some(&MESSAGES_PATHS),
        Metering::Embeddings => Some(&EMBEDDINGS_PATHS),
        Metering::Images | Metering::Transcription => Some(&MEDIA_PATHS),
        Metering::Speech => Some(&SPEECH_PATHS),
        Metering::Free
        | Metering::StoredResponse
        | Metering::Realtime
        | Metering::Container
        | Metering::Batch
        | Metering::BatchResults => None,
    }
}
