//! Anthropic's messages: named events, cumulative usage, data lines padded with spaces.

use super::{Answer, Piece, Turn, cost, event, quoted};
use crate::provider::control::Finish;
use serde_json::{Value, json};
use std::iter::once;
use weft_proto::usage::Class;

/// The whole answer as one document.
pub(crate) fn whole(turn: &Turn) -> Answer {
    let text = quoted(&turn.text.whole());
    let usage = if turn.no_usage {
        String::new()
    } else {
        format!(r#","usage":{}"#, cost::message_start(turn, turn.units(Class::Output), false))
    };
    Answer::json(
        200,
        format!(
            r#"{{"model":{},"id":"msg_{}","type":"message","role":"assistant","content":[{}{{"type":"text","text":{text}}}],"stop_reason":"{}","stop_sequence":null,"stop_details":null{}{usage}}}"#,
            turn.quoted_model(),
            turn.id(),
            blocks(turn).iter().map(|block| format!("{block},")).collect::<String>(),
            stop_reason(turn),
            container(turn),
        ),
    )
    .billed(turn)
}

/// The answer as a stream of events.
pub(crate) fn streamed(turn: &Turn) -> Answer {
    let (start, end) = if turn.no_usage {
        (String::new(), String::new())
    } else {
        let first = turn.units(Class::Output).min(1);
        (
            format!(r#","usage":{}"#, cost::message_start(turn, first, turn.shape.late_input)),
            format!(r#","usage":{}"#, cost::message_end(turn)),
        )
    };
    let message = format!(
        r#""message":{{"model":{},"id":"msg_{}","type":"message","role":"assistant","content":[],"stop_reason":null,"stop_sequence":null,"stop_details":null{}{start}}}"#,
        turn.quoted_model(),
        turn.id(),
        container(turn),
    );
    let blocks = blocks(turn);
    let index = blocks.len();
    let mut opening = vec![padded("message_start", &message, 8)];
    for (index, block) in blocks.iter().enumerate() {
        let fields = format!(r#""index":{index},"content_block":{block}"#);
        opening.push(padded("content_block_start", &fields, 4));
        opening.push(padded("content_block_stop", &format!(r#""index":{index}"#), 2));
    }
    let text = format!(r#""index":{index},"content_block":{{"type":"text","text":""}}"#);
    opening.push(padded("content_block_start", &text, 10));
    opening.push(Piece::now(event("ping", r#"{"type": "ping"}"#)));
    let deltas = turn.text.pieces().enumerate().map(move |(number, text)| {
        let fields =
            format!(r#""index":{index},"delta":{{"type":"text_delta","text":{}}}"#, quoted(&text));
        Piece { paced: true, ..padded("content_block_delta", &fields, (number * 5 + 2) % 16) }
    });
    let delta = format!(
        r#""delta":{{"stop_reason":"{}","stop_sequence":null,"stop_details":null{}}}"#,
        stop_reason(turn),
        container(turn)
    );
    let closing = [
        padded("content_block_stop", &format!(r#""index":{index}"#), 6),
        padded("message_delta", &format!("{delta}{end}"), 9),
    ];
    let stop = Piece::now(event("message_stop", r#"{"type":"message_stop"  }"#));
    Answer::events(opening.into_iter().chain(deltas).chain(closing).chain(once(stop))).billed(turn)
}

/// The answer of `count_tokens`.
pub(crate) fn counted(turn: &Turn) -> Answer {
    Answer::json(200, format!(r#"{{"input_tokens":{}}}"#, turn.usage.input_total()))
}

fn stop_reason(turn: &Turn) -> &'static str {
    match turn.shape.finish {
        Finish::Stop | Finish::Failed => "end_turn",
        Finish::Length => "max_tokens",
        Finish::ContentFilter => "refusal",
    }
}

/// The blocks ahead of the text: a run of code, and the file that it left behind.
fn blocks(turn: &Turn) -> Vec<Value> {
    let Some(code) = &turn.made.code else {
        return Vec::new();
    };
    let output = json!([{ "type": "bash_code_execution_output", "file_id": code.file }]);
    vec![
        json!({
            "type": "server_tool_use", "id": code.item, "name": "bash_code_execution",
            "input": { "command": "weave" },
        }),
        json!({
            "type": "bash_code_execution_tool_result", "tool_use_id": code.item,
            "content": {
                "type": "bash_code_execution_result", "stdout": "", "stderr": "",
                "return_code": 0, "content": output,
            },
        }),
    ]
}

/// The container's field, where there is one.
fn container(turn: &Turn) -> String {
    match &turn.made.code {
        Some(code) => {
            let container = json!({ "id": code.container, "expires_at": "2026-11-18T12:06:40Z" });
            format!(r#","container":{container}"#)
        }
        None => String::new(),
    }
}

fn padded(name: &str, fields: &str, spaces: usize) -> Piece {
    let document = format!(r#"{{"type":"{name}",{fields}{:spaces$}}}"#, "");
    Piece::now(event(name, &document))
}
