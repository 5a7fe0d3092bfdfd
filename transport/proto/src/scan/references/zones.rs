//! Where a request holds a user's own JSON, and where the items of its input stand: data.

use crate::provider::Dialect;
use crate::scan::paths::Paths;

/// What the table says of a place in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::scan) enum Zone {
    /// A user's own JSON, in which a key means what the user likes.
    Free,
    /// An item of the input of a response, or of a conversation.
    Item,
    /// An object whose `id` stands for audio that an answer has brought.
    Audio,
}

/// The JSON dialect of OpenAI, Azure and DeepSeek: responses, conversations, chat.
const OPENAI_FREE: &[&str] = &[
    "metadata",
    "client_metadata",
    "response_format",
    "text.format",
    "functions[].parameters",
    "tools[].parameters",
    "tools[].function.parameters",
    "tools[].input_schema",
    "tools[].output_schema",
    "tools[].filters",
    // By the names of headers that the caller's own server wants.
    "tools[].headers",
    // Tools in a namespace.
    "tools[].tools[].parameters",
];

/// Below an item of `input` or `items`: what a tool was called with, and the tools that a search or
/// a server has listed.
const ITEM_FREE: &[&str] = &[
    "arguments",
    "action.env",
    "tools[].parameters",
    "tools[].input_schema",
    "tools[].tools[].parameters",
    "results[].attributes",
];

/// The arrays of items.
const ITEMS: &[&str] = &["input[]", "items[]"];

/// Audio of an earlier answer, in a chat.
const AUDIO: &str = "messages[].audio";

/// Anthropic's messages.
const ANTHROPIC_FREE: &[&str] = &[
    "metadata",
    "messages[].content[].input",
    "output_format",
    "output_config.format",
    // By the names of the caller's own tools.
    "tools[].configs",
    "tools[].input_examples",
    "tools[].input_schema",
];

pub(super) fn paths(dialect: Dialect) -> Paths<Zone> {
    let free = |pattern: &&str| ((*pattern).to_owned(), Zone::Free);
    match dialect {
        Dialect::Anthropic => Paths::new(ANTHROPIC_FREE.iter().map(free)),
        Dialect::OpenAi => {
            let items = ITEMS.iter().map(|pattern| ((*pattern).to_owned(), Zone::Item));
            let below = ITEMS.iter().flat_map(|stem| {
                ITEM_FREE.iter().map(move |pattern| (format!("{stem}.{pattern}"), Zone::Free))
            });
            let audio = [(AUDIO.to_owned(), Zone::Audio)];
            Paths::new(OPENAI_FREE.iter().map(free).chain(items).chain(below).chain(audio))
        }
    }
}
