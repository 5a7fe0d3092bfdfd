//! Responses and what they leave behind: items, containers, files.

use super::call::ResponseCall;
use super::made::{Code, Made, Reasoning};
use super::shelf::{Held, Kind, Shelf};
use super::{Objects, Wanted, containers, files, json, page};
use crate::provider::answer::{Answer, Turn, responses as words};
use crate::provider::refusal::Refusal;
use bytes::Bytes;
use serde_json::{Map, Value, json};
use weft_proto::provider::Provider;
use weft_proto::usage::Class;

/// The longest request whose input is kept word for word; of a longer one only the ids are.
const INPUT_KEPT_MAX: usize = 64 * 1_024;
/// What a run of code leaves behind.
const CODE_OUTPUT: &[u8] = b"warp,weft\n3,4\n";
/// The name under which it does.
const CODE_OUTPUT_NAME: &str = "counts.csv";

impl Objects {
    /// Keeps the response that `turn` will be, unless it is not to be stored, and gives it its ids.
    pub(crate) fn begin_response(&self, wanted: Wanted<'_>, turn: Turn) -> Result<Turn, Refusal> {
        let document = wanted.document()?;
        Ok(self.with(wanted.key, |shelf| begin(shelf, wanted, &document, turn)))
    }

    /// Gives a message of Anthropic's its container, where it runs code.
    pub(crate) fn begin_message(
        &self,
        wanted: Wanted<'_>,
        mut turn: Turn,
    ) -> Result<Turn, Refusal> {
        let document = wanted.document()?;
        let runs = has_tool(&document, |tool| tool.starts_with("code_execution_"));
        let given = document.get("container").and_then(named);
        if !runs && given.is_none() {
            return Ok(turn);
        }
        turn.made.code = Some(self.with(wanted.key, |shelf| {
            let container = given.unwrap_or_else(|| {
                let id = shelf.id("container_011C", 20);
                shelf.put_document(Kind::Container, None, &json!({ "id": id }));
                id
            });
            let content = Bytes::from_static(CODE_OUTPUT);
            let file = files::make(shelf, wanted.provider, CODE_OUTPUT_NAME, "", content);
            Code { item: shelf.id("srvtoolu_01", 22), container, file: own_id(&file) }
        }));
        Ok(turn)
    }
}

fn begin(
    shelf: &mut Shelf,
    wanted: Wanted<'_>,
    document: &Map<String, Value>,
    mut turn: Turn,
) -> Turn {
    let refused = document.get("store").and_then(Value::as_bool) == Some(false);
    let stored = !refused && wanted.provider != Provider::DeepSeek;
    let conversation = document.get("conversation").and_then(named);
    let previous = document.get("previous_response_id").and_then(named);
    let mut made = Made { stored, conversation, previous, ..Made::default() };
    if stored {
        made.response = Some(shelf.id("resp_", 50));
        made.message = Some(shelf.id("msg_", 50));
    }
    if document.get("reasoning").is_some_and(Value::is_object) {
        let include = document.get("include").and_then(Value::as_array);
        let wants =
            include.is_some_and(|list| list.contains(&json!("reasoning.encrypted_content")));
        let encrypted = wants.then(|| shelf.id("gAAAAAB", 96));
        made.reasoning = Some(Reasoning { id: shelf.id("rs_", 50), encrypted });
    }
    if has_tool(document, |tool| tool == "code_interpreter") {
        let given = document
            .get("tools")
            .and_then(Value::as_array)
            .and_then(|tools| tools.iter().find_map(|tool| tool.get("container").and_then(named)));
        let container = given.unwrap_or_else(|| own_id(&containers::make(shelf, "auto")));
        let content = Bytes::from_static(CODE_OUTPUT);
        let file = containers::make_file(shelf, &container, CODE_OUTPUT_NAME, "assistant", content);
        turn.usage.set(Class::CodeSession, 1);
        made.code = Some(Code { item: shelf.id("ci_", 50), container, file: own_id(&file) });
    }
    turn.made = made;
    if let Some(id) = turn.made.response.clone() {
        keep(shelf, &id, wanted, document, &turn);
    }
    turn
}

/// Puts a response and its items on the shelf.
fn keep(
    shelf: &mut Shelf,
    id: &str,
    wanted: Wanted<'_>,
    document: &Map<String, Value>,
    turn: &Turn,
) {
    let held = Held::Answer(Box::new(turn.clone()));
    shelf.put(id, Kind::Response, None, held, Bytes::new());
    let parent = turn.made.conversation.as_deref().unwrap_or(id);
    let whole = if wanted.body.len() > INPUT_KEPT_MAX { 0 } else { usize::MAX };
    keep_items(shelf, parent, document.get("input"), whole);
    for item in words::extra_items(turn) {
        shelf.put_document(Kind::Item, Some(parent), &item);
    }
    if let Some(message) = &turn.made.message {
        let held = Held::Message(Box::new(turn.clone()));
        shelf.put(message, Kind::Item, Some(parent), held, Bytes::new());
    }
}

/// Puts the items of `input` on the shelf under ids of the provider's own, and returns them. At
/// most `whole` of them keep their words.
pub(super) fn keep_items(
    shelf: &mut Shelf,
    parent: &str,
    input: Option<&Value>,
    whole: usize,
) -> Vec<Value> {
    let text;
    let items = match input {
        Some(Value::String(words)) => {
            let content = json!([{ "type": "input_text", "text": words }]);
            text = [json!({ "type": "message", "role": "user", "content": content })];
            &text[..]
        }
        Some(Value::Array(items)) => items.as_slice(),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => &[],
    };
    let mut kept = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let kind = item["type"].as_str().unwrap_or("message");
        if kind == "item_reference" {
            continue;
        }
        let id = shelf.id(prefix(kind), 50);
        let mut item = if index < whole { item.clone() } else { json!({ "content": [] }) };
        item["id"] = json!(id);
        item["type"] = json!(kind);
        item["status"] = json!("completed");
        shelf.put_document(Kind::Item, Some(parent), &item);
        kept.push(item);
    }
    kept
}

fn prefix(kind: &str) -> &'static str {
    match kind {
        "reasoning" => "rs_",
        "function_call" => "fc_",
        "function_call_output" => "fco_",
        _ => "msg_",
    }
}

pub(super) fn answer(
    shelf: &mut Shelf,
    call: &ResponseCall,
    wanted: Wanted<'_>,
) -> Result<Answer, Refusal> {
    Ok(match call {
        ResponseCall::Get(id) => match starting_after(wanted.query) {
            Some(after) => shelf.streamed(id, after)?,
            None => shelf.polled(id)?,
        },
        ResponseCall::Delete(id) => {
            shelf.known(Kind::Response, id)?;
            shelf.remove(id);
            json(&json!({ "id": id, "object": "response", "deleted": true }))
        }
        ResponseCall::Cancel(id) => {
            let message = "Only responses created with background=true can be cancelled.";
            let refused = || Refusal::Malformed(message.to_owned());
            json(&shelf.cancelled(id)?.ok_or_else(refused)?)
        }
        ResponseCall::Items(id) => {
            let response = shelf.known(Kind::Response, id)?;
            let parent = match &response.held {
                Held::Answer(turn) => turn.made.conversation.as_deref().unwrap_or(id),
                Held::Document(_) | Held::Message(_) => id,
            };
            let answered = |item: &&super::shelf::Object| match &item.held {
                Held::Document(document) => {
                    document["type"] != "code_interpreter_call" && document["type"] != "reasoning"
                }
                Held::Answer(_) | Held::Message(_) => false,
            };
            let items = shelf.all(Kind::Item, Some(parent)).into_iter().filter(answered);
            page::of(items.collect(), wanted)
        }
        ResponseCall::CountInput => {
            wanted.document()?;
            let tokens = (wanted.body.len() / 4).max(1);
            json(&json!({ "object": "response.input_tokens", "input_tokens": tokens }))
        }
        ResponseCall::Compact => {
            wanted.document()?;
            let (id, item) = (shelf.id("resp_", 50), shelf.id("cmp_", 50));
            let encrypted = shelf.id("gAAAAAB", 96);
            let tokens = (wanted.body.len() / 4).max(1);
            json(&json!({
                "id": id, "object": "response.compaction",
                "output": [{ "id": item, "type": "compaction", "encrypted_content": encrypted }],
                "usage": { "input_tokens": tokens, "output_tokens": 8, "total_tokens": tokens + 8 },
            }))
        }
    })
}

/// The id that a value is, or has.
fn named(value: &Value) -> Option<String> {
    value.as_str().or_else(|| value["id"].as_str()).map(str::to_owned)
}

fn own_id(document: &Value) -> String {
    document["id"].as_str().unwrap_or_default().to_owned()
}

fn has_tool(document: &Map<String, Value>, wanted: impl Fn(&str) -> bool) -> bool {
    let tools = document.get("tools").and_then(Value::as_array);
    tools.into_iter().flatten().any(|tool| tool["type"].as_str().is_some_and(&wanted))
}

/// Behind which event a response is to be streamed again, where the query asks for that.
fn starting_after(query: Option<&str>) -> Option<usize> {
    let pairs = || query.unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    let value = |name| pairs().find(|(key, _)| *key == name).map(|(_, value)| value);
    let after = value("starting_after").and_then(|after| after.parse::<usize>().ok());
    (value("stream") == Some("true")).then(|| after.map_or(0, |after| after + 1))
}
