//! The Responses API: an envelope that is repeated whole at both ends of the stream, usage in its
//! middle, events with names and sequence numbers, and no `[DONE]`.

use super::{Answer, CREATED_SECS, Piece, Turn, cost, event, padding, quoted};
use crate::provider::control::Finish;
use serde_json::{Value, json};
use std::iter::once_with;
use weft_proto::provider::Provider;
use weft_proto::usage::Class;

/// The whole answer as one document.
pub(crate) fn whole(turn: &Turn) -> Answer {
    let told = if turn.shape.background { queued(turn) } else { document(turn) };
    Answer::json(200, told).billed(turn)
}

/// A response that is still to be made: what its maker gets, and who asks too early.
pub(crate) fn queued(turn: &Turn) -> String {
    envelope(turn, "queued", "", "null")
}

/// The same, as text: what a later question for the stored response gets.
pub(crate) fn document(turn: &Turn) -> String {
    envelope(turn, status(turn), &output(turn), &usage(turn))
}

/// The message of the answer, as text.
pub(crate) fn message(turn: &Turn) -> String {
    item(turn, "completed", Some(&turn.text.whole()))
}

/// The answer as a stream of events.
pub(crate) fn streamed(turn: &Turn) -> Answer {
    let message = message_id(turn);
    let started = envelope(turn, "in_progress", "", "null");
    let extra = extra_items(turn);
    let output_index = extra.len();
    let place = format!(r#""item_id":"{message}","output_index":{output_index},"content_index":0"#);
    let mut opening = vec![
        ("response.created", format!(r#""response":{started}"#)),
        ("response.in_progress", format!(r#""response":{started}"#)),
    ];
    for (index, item) in extra.iter().enumerate() {
        let fields = format!(r#""output_index":{index},"item":{item}"#);
        opening.push(("response.output_item.added", fields.clone()));
        opening.push(("response.output_item.done", fields));
    }
    opening.push((
        "response.output_item.added",
        format!(r#""output_index":{output_index},"item":{}"#, item(turn, "in_progress", None)),
    ));
    opening.push(("response.content_part.added", format!(r#"{place},"part":{}"#, part("", "[]"))));
    let opened = opening.len();
    let opening = opening
        .into_iter()
        .enumerate()
        .map(|(sequence, (name, fields))| named(name, sequence, &fields));
    let at = place.clone();
    let deltas = turn.text.pieces().enumerate().map(move |(index, text)| {
        let fields = format!(
            r#"{at},"delta":{},"logprobs":[],"obfuscation":"{}""#,
            quoted(&text),
            padding(index)
        );
        Piece { paced: true, ..named("response.output_text.delta", index + opened, &fields) }
    });
    let (turn, billed) = (turn.clone(), turn);
    let next = turn.text.deltas as usize + opened;
    // The text is made a second time here, so that nothing is kept while the deltas go out.
    let closing = once_with(move || {
        let text = turn.text.whole();
        let item = item(&turn, "completed", Some(&text));
        let whole = document(&turn);
        let quoted_text = quoted(&text);
        [
            named(
                "response.output_text.done",
                next,
                &format!(r#"{place},"text":{quoted_text},"logprobs":[]"#),
            ),
            named(
                "response.content_part.done",
                next + 1,
                &format!(r#"{place},"part":{}"#, part(&text, &annotations(&turn))),
            ),
            named(
                "response.output_item.done",
                next + 2,
                &format!(r#""output_index":{output_index},"item":{item}"#),
            ),
            named(
                &format!("response.{}", status(&turn)),
                next + 3,
                &format!(r#""response":{whole}"#),
            ),
        ]
    })
    .flatten();
    Answer::events(opening.chain(deltas).chain(closing)).billed(billed)
}

/// The items ahead of the message.
pub(crate) fn extra_items(turn: &Turn) -> Vec<Value> {
    let reasoning = turn.made.reasoning.iter().map(|reasoning| {
        let mut item = json!({ "id": reasoning.id, "type": "reasoning", "summary": [] });
        if let Some(encrypted) = &reasoning.encrypted {
            item["encrypted_content"] = json!(encrypted);
        }
        item
    });
    let code = turn.made.code.iter().map(|code| {
        json!({
            "id": code.item, "type": "code_interpreter_call", "status": "completed",
            "code": "weave()", "container_id": code.container, "outputs": null,
        })
    });
    let id = turn.id();
    let searches = (0..turn.units(Class::WebSearch)).map(|index| {
        json!({
            "id": format!("ws_{id}{index:04x}"), "type": "web_search_call", "status": "completed",
            "action": { "type": "search", "query": "weft" },
        })
    });
    let files = (0..turn.units(Class::FileSearch)).map(|index| {
        json!({
            "id": format!("fs_{id}{index:04x}"), "type": "file_search_call",
            "status": "completed", "queries": ["weft"], "results": null,
        })
    });
    reasoning.chain(code).chain(searches).chain(files).collect()
}

/// How it ended, in the words of the status.
const fn status(turn: &Turn) -> &'static str {
    match turn.shape.finish {
        Finish::Stop => "completed",
        Finish::Length | Finish::ContentFilter => "incomplete",
        Finish::Failed => "failed",
    }
}

fn output(turn: &Turn) -> String {
    let mut items: Vec<String> = extra_items(turn).iter().map(Value::to_string).collect();
    items.push(message(turn));
    items.join(",")
}

fn named(name: &str, sequence: usize, fields: &str) -> Piece {
    let document = format!(r#"{{"type":"{name}","sequence_number":{sequence},{fields}}}"#);
    Piece::now(event(name, &document))
}

fn response_id(turn: &Turn) -> String {
    turn.made.response.clone().unwrap_or_else(|| format!("resp_{}", turn.id()))
}

fn message_id(turn: &Turn) -> String {
    turn.made.message.clone().unwrap_or_else(|| format!("msg_{}", turn.id()))
}

fn part(text: &str, annotations: &str) -> String {
    format!(
        r#"{{"type":"output_text","annotations":{annotations},"logprobs":[],"text":{}}}"#,
        quoted(text)
    )
}

fn annotations(turn: &Turn) -> String {
    let cited = turn.made.code.iter().map(|code| {
        json!({
            "type": "container_file_citation", "container_id": code.container,
            "file_id": code.file, "filename": "counts.csv", "start_index": 0, "end_index": 1,
        })
    });
    Value::Array(cited.collect()).to_string()
}

fn item(turn: &Turn, status: &str, text: Option<&str>) -> String {
    let content = text.map_or(String::new(), |text| part(text, &annotations(turn)));
    format!(
        r#"{{"id":"{}","type":"message","status":"{status}","content":[{content}],"role":"assistant"}}"#,
        message_id(turn)
    )
}

fn usage(turn: &Turn) -> String {
    if turn.no_usage { "null".to_owned() } else { cost::responses(turn) }
}

fn envelope(turn: &Turn, status: &str, output: &str, usage: &str) -> String {
    let id = response_id(turn);
    let model = turn.quoted_model();
    let previous = json!(turn.made.previous);
    let conversation = match &turn.made.conversation {
        Some(id) => format!(r#""conversation":{},"#, json!({ "id": id })),
        None => String::new(),
    };
    let stored = turn.made.stored;
    let completed = if status == "completed" { CREATED_SECS.to_string() } else { "null".into() };
    let (mut error, mut incomplete) = (Value::Null, Value::Null);
    match status {
        "failed" => error = json!({ "code": "server_error", "message": "The model failed." }),
        "incomplete" => {
            let filtered = turn.shape.finish == Finish::ContentFilter;
            let reason = if filtered { "content_filter" } else { "max_output_tokens" };
            incomplete = json!({ "reason": reason });
        }
        _ => {}
    }
    // What the user sent comes back, whatever it is called.
    let (tools, metadata) = if turn.shape.echo {
        let usage = json!({ "input_tokens": 9_999_999, "output_tokens": 9_999_999 });
        let parameters = json!({ "type": "object", "properties": { "usage": usage } });
        let tool = json!({
            "type": "function", "name": "usage", "parameters": parameters, "usage": usage,
        });
        (json!([tool]), json!({ "usage": usage.to_string() }))
    } else {
        (json!([]), json!({}))
    };
    let background = turn.shape.background;
    let tier = quoted(turn.shape.tier.as_deref().unwrap_or("default"));
    let filters = match turn.provider {
        Provider::Azure => r#""content_filters":[],"#,
        Provider::DeepSeek => r#""content_filters":null,"#,
        Provider::OpenAi | Provider::Anthropic => "",
    };
    format!(
        r#"{{"id":"{id}","object":"response","created_at":{CREATED_SECS},"status":"{status}","background":{background},"completed_at":{completed},{filters}{conversation}"error":{error},"frequency_penalty":0.0,"incomplete_details":{incomplete},"instructions":null,"max_output_tokens":null,"max_tool_calls":null,"model":{model},"output":[{output}],"parallel_tool_calls":true,"presence_penalty":0.0,"previous_response_id":{previous},"prompt_cache_key":null,"reasoning":{{"effort":null,"summary":null}},"safety_identifier":null,"service_tier":{tier},"store":{stored},"temperature":1.0,"text":{{"format":{{"type":"text"}},"verbosity":"medium"}},"tool_choice":"auto","tools":{tools},"top_logprobs":0,"top_p":1.0,"truncation":"disabled","usage":{usage},"user":null,"metadata":{metadata}}}"#
    )
}
