//! The Responses API: an envelope that is repeated whole at both ends of the stream, usage in its
//! middle, events with names and sequence numbers, and no `[DONE]`.

use super::{Answer, CREATED_SECS, Piece, Turn, event, padding, quoted};
use std::iter::once_with;
use weft_proto::provider::Provider;

/// The whole answer as one document.
pub(crate) fn whole(turn: &Turn) -> Answer {
    let item = item(turn, "completed", Some(&turn.text.whole()));
    Answer::json(200, envelope(turn, "completed", &item, &usage(turn)))
}

/// The answer as a stream of events.
pub(crate) fn streamed(turn: &Turn) -> Answer {
    let message = message_id(turn);
    let started = envelope(turn, "in_progress", "", "null");
    let place = format!(r#""item_id":"{message}","output_index":0,"content_index":0"#);
    let empty = part("");
    let opening = [
        named("response.created", 0, &format!(r#""response":{started}"#)),
        named("response.in_progress", 1, &format!(r#""response":{started}"#)),
        named(
            "response.output_item.added",
            2,
            &format!(r#""output_index":0,"item":{}"#, item(turn, "in_progress", None)),
        ),
        named("response.content_part.added", 3, &format!(r#"{place},"part":{empty}"#)),
    ];
    let at = place.clone();
    let deltas = turn.text.pieces().enumerate().map(move |(index, text)| {
        let fields = format!(
            r#"{at},"delta":{},"logprobs":[],"obfuscation":"{}""#,
            quoted(&text),
            padding(index)
        );
        Piece { paced: true, ..named("response.output_text.delta", index + 4, &fields) }
    });
    let turn = turn.clone();
    let next = turn.text.deltas as usize + 4;
    // The text is made a second time here, so that nothing is kept while the deltas go out.
    let closing = once_with(move || {
        let text = turn.text.whole();
        let item = item(&turn, "completed", Some(&text));
        let whole = envelope(&turn, "completed", &item, &usage(&turn));
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
                &format!(r#"{place},"part":{}"#, part(&text)),
            ),
            named(
                "response.output_item.done",
                next + 2,
                &format!(r#""output_index":0,"item":{item}"#),
            ),
            named("response.completed", next + 3, &format!(r#""response":{whole}"#)),
        ]
    })
    .flatten();
    Answer::events(opening.into_iter().chain(deltas).chain(closing))
}

fn named(name: &str, sequence: usize, fields: &str) -> Piece {
    let document = format!(r#"{{"type":"{name}","sequence_number":{sequence},{fields}}}"#);
    Piece::now(event(name, &document))
}

fn message_id(turn: &Turn) -> String {
    format!("msg_{}", turn.id())
}

fn part(text: &str) -> String {
    format!(r#"{{"type":"output_text","annotations":[],"logprobs":[],"text":{}}}"#, quoted(text))
}

fn item(turn: &Turn, status: &str, text: Option<&str>) -> String {
    let content = text.map_or(String::new(), part);
    format!(
        r#"{{"id":"{}","type":"message","status":"{status}","content":[{content}],"role":"assistant"}}"#,
        message_id(turn)
    )
}

fn usage(turn: &Turn) -> String {
    if turn.no_usage {
        return "null".to_owned();
    }
    let (input, output) = (turn.prompt_tokens, turn.completion_tokens());
    format!(
        r#"{{"input_tokens":{input},"input_tokens_details":{{"cached_tokens":{}}},"output_tokens":{output},"output_tokens_details":{{"reasoning_tokens":0}},"total_tokens":{}}}"#,
        turn.cached_tokens(),
        input + output
    )
}

fn envelope(turn: &Turn, status: &str, output: &str, usage: &str) -> String {
    let id = turn.id();
    let model = turn.quoted_model();
    let completed = if status == "completed" { CREATED_SECS.to_string() } else { "null".into() };
    let filters = match turn.provider {
        Provider::Azure => r#""content_filters":[],"#,
        Provider::DeepSeek => r#""content_filters":null,"#,
        Provider::OpenAi | Provider::Anthropic => "",
    };
    format!(
        r#"{{"id":"resp_{id}","object":"response","created_at":{CREATED_SECS},"status":"{status}","background":false,"completed_at":{completed},{filters}"error":null,"frequency_penalty":0.0,"incomplete_details":null,"instructions":null,"max_output_tokens":null,"max_tool_calls":null,"model":{model},"output":[{output}],"parallel_tool_calls":true,"presence_penalty":0.0,"previous_response_id":null,"prompt_cache_key":null,"reasoning":{{"effort":null,"summary":null}},"safety_identifier":null,"service_tier":"default","store":true,"temperature":1.0,"text":{{"format":{{"type":"text"}},"verbosity":"medium"}},"tool_choice":"auto","tools":[],"top_logprobs":0,"top_p":1.0,"truncation":"disabled","usage":{usage},"user":null,"metadata":{{}}}}"#
    )
}
