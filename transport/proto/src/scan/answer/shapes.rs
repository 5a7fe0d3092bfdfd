//! Where the ids stand in answers: one table for each shape, whole and as events.

use std::sync::LazyLock;

use crate::objects::ObjectKind::{
    self, Batch, Container, Conversation, File, Item, Response, Upload,
};
use crate::scan::paths::Paths;
use crate::tables::routes::Tap;

/// What stands at a place in an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Take {
    /// The id of what the answer is about; parts that follow are its parts.
    Whole(ObjectKind),
    /// The id of a part of it.
    Part(ObjectKind),
    /// The id of something that stands for itself.
    Other(ObjectKind),
    /// The size of the object whose id stands beside it.
    Bytes,
    /// The id of what the object whose id stands beside it is part of.
    Parent,
    /// The same, where that has not been told of yet.
    Holder(ObjectKind),
}

type Rows = &'static [(&'static str, Take)];

/// A shape: its paths through the JSON.
pub(super) type Shape = &'static Paths<Take>;

const FILE: Rows =
    &[("id", Take::Whole(File)), ("bytes", Take::Bytes), ("size_bytes", Take::Bytes)];
const UPLOAD: Rows = &[
    ("id", Take::Whole(Upload)),
    ("bytes", Take::Bytes),
    ("file.id", Take::Other(File)),
    ("file.bytes", Take::Bytes),
];
const CONVERSATION: Rows = &[("id", Take::Whole(Conversation))];
const CONTAINER: Rows = &[("id", Take::Whole(Container))];
const CONTAINER_FILE: Rows =
    &[("id", Take::Part(File)), ("bytes", Take::Bytes), ("container_id", Take::Parent)];
/// Below an item of a response or a conversation.
const ITEM: Rows = &[
    ("id", Take::Part(Item)),
    ("container_id", Take::Other(Container)),
    ("environment.container_id", Take::Other(Container)),
    ("outputs[].files[].file_id", Take::Other(File)),
];
/// Below a note in a text.
const ANNOTATION: Rows =
    &[("container_id", Take::Holder(Container)), ("file_id", Take::Other(File))];
/// Below a choice of a chat completion.
const AUDIO: Rows = &[("audio.id", Take::Other(Item))];
const RESPONSE: Rows = &[("id", Take::Whole(Response))];
const BATCH: Rows = &[
    ("id", Take::Whole(Batch)),
    ("output_file_id", Take::Part(File)),
    ("error_file_id", Take::Part(File)),
];
const MESSAGE: Rows = &[("container.id", Take::Other(Container))];
/// Below a block of a message: what tools have made stands at any depth.
const BLOCK: Rows = &[("content.**.file_id", Take::Other(File))];

/// Where the rows of a shape stand.
fn shape(parts: &[(&str, Rows)]) -> Paths<Take> {
    let rows = parts.iter().flat_map(|(stem, rows)| {
        rows.iter().map(move |(path, take)| {
            let dot = if stem.is_empty() { "" } else { "." };
            (format!("{stem}{dot}{path}"), *take)
        })
    });
    Paths::new(rows)
}

/// The shape of an answer that comes as one JSON value.
pub(super) fn whole(tap: Tap) -> Shape {
    static FILE_SHAPE: LazyLock<Paths<Take>> = LazyLock::new(|| shape(&[("", FILE)]));
    static UPLOAD_SHAPE: LazyLock<Paths<Take>> = LazyLock::new(|| shape(&[("", UPLOAD)]));
    static CHAT_SHAPE: LazyLock<Paths<Take>> =
        LazyLock::new(|| shape(&[("choices[].message", AUDIO)]));
    static RESPONSE_SHAPE: LazyLock<Paths<Take>> = LazyLock::new(|| {
        shape(&[
            ("", RESPONSE),
            ("output[]", ITEM),
            ("output[].content[].annotations[]", ANNOTATION),
        ])
    });
    static CONVERSATION_SHAPE: LazyLock<Paths<Take>> =
        LazyLock::new(|| shape(&[("", CONVERSATION)]));
    static ITEMS_SHAPE: LazyLock<Paths<Take>> = LazyLock::new(|| {
        shape(&[("data[]", ITEM), ("data[].content[].annotations[]", ANNOTATION)])
    });
    static CONTAINER_SHAPE: LazyLock<Paths<Take>> = LazyLock::new(|| shape(&[("", CONTAINER)]));
    static CONTAINER_FILES_SHAPE: LazyLock<Paths<Take>> =
        LazyLock::new(|| shape(&[("", CONTAINER_FILE), ("data[]", CONTAINER_FILE)]));
    static MESSAGES_SHAPE: LazyLock<Paths<Take>> =
        LazyLock::new(|| shape(&[("", MESSAGE), ("content[]", BLOCK)]));
    static BATCH_SHAPE: LazyLock<Paths<Take>> = LazyLock::new(|| shape(&[("", BATCH)]));
    match tap {
        Tap::Batch => &BATCH_SHAPE,
        Tap::File => &FILE_SHAPE,
        Tap::Upload => &UPLOAD_SHAPE,
        Tap::Chat => &CHAT_SHAPE,
        Tap::Response => &RESPONSE_SHAPE,
        Tap::Conversation => &CONVERSATION_SHAPE,
        Tap::Items => &ITEMS_SHAPE,
        Tap::Container => &CONTAINER_SHAPE,
        Tap::ContainerFiles => &CONTAINER_FILES_SHAPE,
        Tap::Messages => &MESSAGES_SHAPE,
    }
}

/// The shape of each event of an answer that comes as events; `None` where none does.
pub(super) fn events(tap: Tap) -> Option<Shape> {
    static CHAT_SHAPE: LazyLock<Paths<Take>> =
        LazyLock::new(|| shape(&[("choices[].delta", AUDIO)]));
    static RESPONSE_SHAPE: LazyLock<Paths<Take>> = LazyLock::new(|| {
        shape(&[
            ("response", RESPONSE),
            ("response.output[]", ITEM),
            ("response.output[].content[].annotations[]", ANNOTATION),
            ("item", ITEM),
            ("item.content[].annotations[]", ANNOTATION),
            ("part.annotations[]", ANNOTATION),
            ("annotation", ANNOTATION),
        ])
    });
    static MESSAGES_SHAPE: LazyLock<Paths<Take>> = LazyLock::new(|| {
        shape(&[
            ("message", MESSAGE),
            ("message.content[]", BLOCK),
            ("delta", MESSAGE),
            ("content_block", BLOCK),
        ])
    });
    match tap {
        Tap::Chat => Some(&CHAT_SHAPE),
        Tap::Response => Some(&RESPONSE_SHAPE),
        Tap::Messages => Some(&MESSAGES_SHAPE),
        Tap::File
        | Tap::Upload
        | Tap::Conversation
        | Tap::Items
        | Tap::Container
        | Tap::ContainerFiles
        | Tap::Batch => None,
    }
}
