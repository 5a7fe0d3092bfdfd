//! What a realtime model answers to `response.create`: a few events, with the cost in the last.

use crate::provider::answer::cost;
use serde_json::{Value, json};
use weft_proto::usage::Usage;

/// The events of the answer numbered `number`, in order. Without `told`, nothing is said of its cost.
pub(super) fn events(number: u64, usage: &Usage, told: bool) -> Vec<String> {
    let id = format!("resp_{number:08x}");
    let response = |status: &str, usage: Value| {
        json!({
            "id": id, "object": "realtime.response", "status": status, "status_details": null,
            "output": [], "usage": usage, "metadata": null,
        })
    };
    let usage = if told { cost::realtime(usage) } else { Value::Null };
    [
        json!({
            "type": "response.created", "event_id": format!("event_{number}_1"),
            "response": response("in_progress", Value::Null),
        }),
        json!({
            "type": "response.output_audio_transcript.delta",
            "event_id": format!("event_{number}_2"), "response_id": id, "output_index": 0,
            "content_index": 0, "item_id": "item_1", "delta": "seven again",
        }),
        json!({
            "type": "response.done", "event_id": format!("event_{number}_3"),
            "response": response("completed", usage),
        }),
    ]
    .iter()
    .map(Value::to_string)
    .collect()
}
