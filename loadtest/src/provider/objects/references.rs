//! The objects that a body names: each must be on the shelf of the key that was presented.

use super::form::Part;
use super::shelf::{Kind, Shelf, missing};
use crate::provider::refusal::Refusal;
use memchr::memmem;
use serde_json::{Map, Value};

/// Words without which a body names no object.
const WORDS: [&[u8]; 6] =
    [b"_id\"", b"file_id", b"conversation", b"container", b"\"input\"", b"\"items\""];
/// Keys whose values are the user's own JSON.
const FREE: [&str; 6] =
    ["metadata", "parameters", "input_schema", "response_format", "schema", "filters"];

/// Whether `body` is worth being looked through.
pub(super) fn may_have(body: &[u8]) -> bool {
    WORDS.iter().any(|word| memmem::find(body, word).is_some())
}

/// Looks through the fields of a form.
pub(super) fn in_form(shelf: &Shelf, parts: &[Part<'_>]) -> Result<(), Refusal> {
    let named = |part: &&Part<'_>| {
        part.filename.is_none() && (part.name == "file_id" || part.name.ends_with("[file_id]"))
    };
    for part in parts.iter().filter(named) {
        file(shelf, part.text().unwrap_or_default())?;
    }
    Ok(())
}

/// Looks through a document.
pub(super) fn in_document(shelf: &Shelf, document: &Value) -> Result<(), Refusal> {
    for list in ["input", "items"] {
        for item in document[list].as_array().into_iter().flatten().filter_map(Value::as_object) {
            if let Some(id) = item_reference(item) {
                known(shelf, Kind::Item, id, 404)?;
            }
        }
    }
    walk(shelf, document)
}

fn walk(shelf: &Shelf, value: &Value) -> Result<(), Refusal> {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                entry(shelf, object, key, value)?;
            }
            Ok(())
        }
        Value::Array(values) => values.iter().try_for_each(|value| walk(shelf, value)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

fn entry(
    shelf: &Shelf,
    object: &Map<String, Value>,
    key: &str,
    value: &Value,
) -> Result<(), Refusal> {
    let id = || value.as_str().or_else(|| value["id"].as_str());
    match key {
        "previous_response_id" => match value.as_str() {
            Some(id) => known(shelf, Kind::Response, id, 400),
            None => Ok(()),
        },
        "conversation" => id().map_or(Ok(()), |id| known(shelf, Kind::Conversation, id, 404)),
        "container" | "container_id" => match id() {
            Some(id) => known(shelf, Kind::Container, id, 404),
            None => walk(shelf, value),
        },
        "file_id" => value.as_str().map_or(Ok(()), |id| file(shelf, id)),
        "file_ids" => value
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .try_for_each(|id| file(shelf, id)),
        // What a model asked of the user's own tool.
        "input" if object.get("type").is_some_and(|kind| kind == "tool_use") => Ok(()),
        _ if FREE.contains(&key) => Ok(()),
        _ => walk(shelf, value),
    }
}

/// The id of an item that stands for one the provider has, if this is such an item.
fn item_reference(item: &Map<String, Value>) -> Option<&str> {
    let text = |key: &str| item.get(key).and_then(Value::as_str);
    let bare = match text("type") {
        Some("item_reference") => true,
        Some("reasoning") => text("encrypted_content").is_none(),
        Some("image_generation_call") => text("result").is_none(),
        Some(_) => false,
        None => !item.contains_key("role"),
    };
    text("id").filter(|_| bare)
}

fn known(shelf: &Shelf, kind: Kind, id: &str, status: u16) -> Result<(), Refusal> {
    shelf.get(kind, id).map(drop).ok_or_else(|| missing(kind, id, status))
}

fn file(shelf: &Shelf, id: &str) -> Result<(), Refusal> {
    let found = shelf.get(Kind::File, id).or_else(|| shelf.get(Kind::ContainerFile, id));
    found.map(drop).ok_or_else(|| missing(Kind::File, id, 404))
}
