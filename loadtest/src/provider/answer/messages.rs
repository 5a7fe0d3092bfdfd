//! Anthropic's messages: named events, cumulative usage, data lines padded with spaces.

use super::{Answer, Piece, Turn, event, quoted};
use serde_json::{Value, json};
use std::iter::once;

/// The whole answer as one document.
pub(crate) fn whole(turn: &Turn) -> Answer {
    let text = quoted(&turn.text.whole());
    let usage = if turn.no_usage {
        String::new()
    } else {
        format!(r#","usage":{}"#, start_usage(turn, turn.completion_tokens()))
    };
    Answer::json(
        200,
        format!(
            r#"{{"model":{},"id":"msg_{}","type":"message","role":"assistant","content":[{}{{"type":"text","text":{text}}}],"stop_reason":"end_turn","stop_sequence":null,"stop_details":null{}{usage}}}"#,
            turn.quoted_model(),
            turn.id(),
            blocks(turn).iter().map(|block| format!("{block},")).collect::<String>(),
            container(turn),
        ),
    )
}

/// The answer as a stream of events.
pub(crate) fn streamed(turn: &Turn) -> Answer {
    let (start, end) = if turn.no_usage {
        (String::new(), String::new())
    } else {
        let (input, cached) = (turn.prompt_tokens - turn.cached_tokens(), turn.cached_tokens());
        let output = turn.completion_tokens();
        (
            format!(r#","usage":{}"#, start_usage(turn, 1)),
            format!(
                r#","usage":{{"input_tokens":{input},"cache_creation_input_tokens":0,"cache_read_input_tokens":{cached},"output_tokens":{output}}}"#
            ),
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
        r#""delta":{{"stop_reason":"end_turn","stop_sequence":null,"stop_details":null{}}}"#,
        container(turn)
    );
    let closing = [
        padded("content_block_stop", &format!(r#""index":{index}"#), 6),
        padded("message_delta", &format!("{delta}{end}"), 9),
    ];
    let stop = Piece::now(event("message_stop", r#"{"type":"message_stop"  }"#));
    Answer::events(opening.into_iter().chain(deltas).chain(closing).chain(once(stop)))
}

/// The answer of `count_tokens`.
pub(crate) fn counted(turn: &Turn) -> Answer {
    Answer::json(200, format!(r#"{{"input_tokens":{}}}"#, turn.prompt_tokens))
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

fn start_usage(turn: &Turn, output: u64) -> String {
    format!(
        r#"{{"input_tokens":{},"cache_creation_input_tokens":0,"cache_read_input_tokens":{},"cache_creation":{{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":0}},"output_tokens":{output},"service_tier":"standard","inference_geo":"global"}}"#,
        turn.prompt_tokens - turn.cached_tokens(),
        turn.cached_tokens()
    )
}
