//! Batches: requests that are answered later, in Anthropic's shape and in OpenAI's.
//!
//! Every answer is made when the batch is, and shown once it has been asked for as often as the
//! control says (`polls`): then Anthropic's results can be read, and OpenAI's output is a file. The
//! last `errored` requests fail. A batch that is cancelled before has answered its first half. What
//! the control says an answer costs, each of them costs.

use super::call::BatchCall;
use super::files::{CREATED_TEXT, make};
use super::made::Made;
use super::shelf::{Held, Kind, Shelf};
use super::{Objects, Wanted, download, json, page};
use crate::provider::answer::{Answer, CREATED_SECS, Turn, catalog, chat, messages, responses};
use crate::provider::bill;
use crate::provider::control::{Control, Shape};
use crate::provider::refusal::Refusal;
use crate::provider::route::Endpoint;
use crate::provider::text::Text;
use bytes::Bytes;
use serde_json::{Map, Value, json};
use weft_proto::provider::Provider;
use weft_proto::usage::{ServiceTier, Usage};

/// Requests of one batch.
const REQUESTS_MAX: usize = 10_000;

/// Where a batch's document says how often it is still asked for in vain. Nobody is shown it.
const POLLS: &str = "weft_polls";

/// One request of a batch.
struct Request {
    id: Value,
    body: Map<String, Value>,
    bytes: u64,
}

/// What a batch is made of.
struct Plan {
    lines: Vec<String>,
    /// Lines that are no answers.
    errors: Vec<String>,
    usage: Usage,
}

impl Objects {
    /// Makes the batch that a request asks for.
    pub(crate) fn make_batch(
        &self,
        wanted: Wanted<'_>,
        control: &Control,
        seed: u64,
    ) -> Result<Answer, Refusal> {
        let document = wanted.document()?;
        self.with(wanted.key, |shelf| match wanted.provider {
            Provider::Anthropic => of_messages(shelf, wanted.provider, &document, control, seed),
            Provider::OpenAi | Provider::Azure | Provider::DeepSeek => {
                of_a_file(shelf, wanted.provider, &document, control, seed)
            }
        })
    }
}

fn malformed(message: &str) -> Refusal {
    Refusal::Malformed(message.to_owned())
}

fn of_messages(
    shelf: &mut Shelf,
    provider: Provider,
    document: &Map<String, Value>,
    control: &Control,
    seed: u64,
) -> Result<Answer, Refusal> {
    let listed = document.get("requests").and_then(Value::as_array);
    let listed = listed.ok_or_else(|| malformed("requests: Field required"))?;
    let requests: Option<Vec<_>> = listed
        .iter()
        .map(|request| {
            let body = request["params"].as_object()?.clone();
            let bytes = request["params"].to_string().len() as u64;
            Some(Request { id: request["custom_id"].clone(), body, bytes })
        })
        .collect();
    let requests = requests.ok_or_else(|| malformed("requests.0.params: Field required"))?;
    let plan = answered(&requests, provider, &Endpoint::Messages, control, seed)?;
    let id = shelf.id("msgbatch_01", 22);
    let batch = json!({
        "id": id, "type": "message_batch", "processing_status": "in_progress",
        "request_counts": counts(requests.len(), 0, 0, 0),
        "ended_at": null, "created_at": CREATED_TEXT, "expires_at": "2026-11-19T11:06:40Z",
        "archived_at": null, "cancel_initiated_at": null, "results_url": null,
        POLLS: control.polls, "weft_errored": plan.errors.len(),
    });
    Ok(put(shelf, &id, &batch, &plan))
}

fn of_a_file(
    shelf: &mut Shelf,
    provider: Provider,
    document: &Map<String, Value>,
    control: &Control,
    seed: u64,
) -> Result<Answer, Refusal> {
    let named = |name: &str| document.get(name).and_then(Value::as_str).unwrap_or_default();
    let (input, path) = (named("input_file_id"), named("endpoint"));
    let content = shelf.known(Kind::File, input)?.content.clone();
    let endpoint = match path.trim_start_matches("/v1/") {
        "chat/completions" => Endpoint::Chat,
        "responses" => Endpoint::Responses,
        "embeddings" => Endpoint::Embeddings,
        _ => return Err(malformed("Invalid value: 'endpoint'.")),
    };
    let mut requests = Vec::new();
    for line in content.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
        let request: Value =
            serde_json::from_slice(line).map_err(|_| malformed("a line is no JSON"))?;
        let body = request["body"].as_object().cloned().unwrap_or_default();
        requests.push(Request { id: request["custom_id"].clone(), body, bytes: line.len() as u64 });
    }
    let plan = answered(&requests, provider, &endpoint, control, seed)?;
    let id = shelf.id("batch_", 32);
    let batch = json!({
        "id": id, "object": "batch", "endpoint": path, "errors": null, "input_file_id": input,
        "completion_window": "24h", "status": "validating", "output_file_id": null,
        "error_file_id": null, "created_at": CREATED_SECS, "in_progress_at": null,
        "expires_at": CREATED_SECS + 86_400, "completed_at": null, "failed_at": null,
        "expired_at": null, "cancelling_at": null, "cancelled_at": null,
        "request_counts": { "total": requests.len(), "completed": 0, "failed": 0 },
        "metadata": document.get("metadata"), POLLS: control.polls,
        "weft_errored": plan.errors.len(),
    });
    Ok(put(shelf, &id, &batch, &plan))
}

/// Keeps a batch with its results: the answers, and behind an empty line what went wrong.
fn put(shelf: &mut Shelf, id: &str, batch: &Value, plan: &Plan) -> Answer {
    let content = format!("{}\n\n{}", plan.lines.join("\n"), plan.errors.join("\n"));
    shelf.put(id, Kind::Batch, None, Held::Document(batch.clone()), content.into());
    let mut answer = json(&shown(batch.clone()));
    answer.bill = Some((plan.usage, 0));
    answer
}

/// Answers every request.
fn answered(
    requests: &[Request],
    provider: Provider,
    endpoint: &Endpoint,
    control: &Control,
    seed: u64,
) -> Result<Plan, Refusal> {
    if requests.is_empty() || requests.len() > REQUESTS_MAX {
        return Err(malformed("a batch wants between 1 and 10000 requests"));
    }
    let fail_from = requests.len().saturating_sub(control.errored as usize);
    let (lines, errors, usage) = (Vec::new(), Vec::new(), Usage::NONE);
    let mut plan = Plan { lines, errors, usage };
    for (number, request) in requests.iter().enumerate() {
        if number >= fail_from {
            plan.errors.push(failed(provider, &request.id));
            continue;
        }
        let turn = turn(request, provider, endpoint, control, seed ^ number as u64);
        plan.usage = plan.usage.plus(&turn.usage);
        let answer = match endpoint {
            Endpoint::Messages => messages::whole(&turn),
            Endpoint::Responses => responses::whole(&turn),
            Endpoint::Embeddings => catalog::embeddings(&turn, 1, Some(4), false)
                .ok_or_else(|| malformed("'$.input' is invalid."))?,
            Endpoint::Chat
            | Endpoint::CountTokens
            | Endpoint::Models
            | Endpoint::Model(_)
            | Endpoint::Images
            | Endpoint::ImageEdits
            | Endpoint::Transcriptions
            | Endpoint::Translations
            | Endpoint::Speech
            | Endpoint::Balance
            | Endpoint::Realtime
            | Endpoint::Object(_) => chat::whole(&turn),
        };
        let body: Vec<u8> = answer.pieces.flat_map(|piece| piece.bytes).collect();
        let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        plan.lines.push(line(provider, &request.id, body));
    }
    Ok(plan)
}

fn turn(
    request: &Request,
    provider: Provider,
    endpoint: &Endpoint,
    control: &Control,
    seed: u64,
) -> Turn {
    let model = request.body.get("model").and_then(Value::as_str).unwrap_or("sim");
    let facts = bill::Facts {
        prompt: (request.bytes / 4).max(1),
        deltas: u64::from(control.deltas),
        model,
        characters: 0,
        speech_events: false,
    };
    let usage = bill::of(endpoint, provider, control.usage, facts).unwrap_or_default();
    let tier = Some(ServiceTier::Batch.name().to_owned());
    Turn {
        provider,
        model: model.to_owned(),
        text: Text { seed, deltas: control.deltas, delta_bytes: control.delta_bytes },
        usage,
        shape: Shape { tier, background: false, ..control.shape.clone() },
        polls: 0,
        reading: std::time::Duration::ZERO,
        include_usage: false,
        no_usage: control.no_usage,
        made: Made::default(),
    }
}

fn line(provider: Provider, id: &Value, body: Value) -> String {
    let line = match provider {
        Provider::Anthropic => {
            json!({ "custom_id": id, "result": { "type": "succeeded", "message": body } })
        }
        Provider::OpenAi | Provider::Azure | Provider::DeepSeek => json!({
            "id": format!("batch_req_{}", id.as_str().unwrap_or_default()), "custom_id": id,
            "response": { "status_code": 200, "request_id": "req_sim", "body": body },
            "error": null,
        }),
    };
    line.to_string()
}

fn failed(provider: Provider, id: &Value) -> String {
    let line = match provider {
        Provider::Anthropic => {
            let error = json!({ "type": "invalid_request_error", "message": "Weave failed." });
            json!({
                "custom_id": id,
                "result": { "type": "errored", "error": { "type": "error", "error": error } },
            })
        }
        Provider::OpenAi | Provider::Azure | Provider::DeepSeek => json!({
            "id": format!("batch_req_{}", id.as_str().unwrap_or_default()), "custom_id": id,
            "response": {
                "status_code": 400, "request_id": "req_sim",
                "body": { "error": { "message": "Weave failed.", "type": "invalid_request_error" } },
            },
            "error": null,
        }),
    };
    line.to_string()
}

fn counts(processing: usize, succeeded: usize, errored: usize, canceled: usize) -> Value {
    json!({
        "processing": processing, "succeeded": succeeded, "errored": errored,
        "canceled": canceled, "expired": 0,
    })
}

/// A batch's document as it is shown.
fn shown(mut batch: Value) -> Value {
    if let Some(fields) = batch.as_object_mut() {
        fields.retain(|name, _| !name.starts_with("weft_"));
    }
    batch
}

pub(super) fn answer(
    shelf: &mut Shelf,
    call: &BatchCall,
    wanted: Wanted<'_>,
) -> Result<Answer, Refusal> {
    match call {
        // Made elsewhere, with the control.
        BatchCall::Create => Err(Refusal::NotFound),
        BatchCall::List => Ok(page::of(shelf.all(Kind::Batch, None), wanted)),
        BatchCall::Get(id) => {
            shelf.known(Kind::Batch, id)?;
            Ok(json(&shown(looked_at(shelf, id, wanted.provider))))
        }
        BatchCall::Cancel(id) => {
            shelf.known(Kind::Batch, id)?;
            cancel(shelf, id, wanted.provider);
            Ok(json(&shown(shelf.known(Kind::Batch, id)?.document())))
        }
        BatchCall::Results(id) => {
            let batch = shelf.known(Kind::Batch, id)?;
            if batch.document()["processing_status"] != "ended" {
                return Err(Refusal::NotFound);
            }
            let (lines, errors) = parts(&batch.content);
            let joined = [lines, errors].concat().join("\n") + "\n";
            let answer = download(joined.into());
            Ok(Answer { content_type: "application/x-jsonl", ..answer })
        }
        BatchCall::Delete(id) => {
            let batch = shelf.known(Kind::Batch, id)?;
            if batch.document()["processing_status"] == "in_progress" {
                return Err(malformed("Batches that are in progress cannot be deleted."));
            }
            shelf.remove(id);
            Ok(json(&json!({ "id": id, "type": "message_batch_deleted" })))
        }
    }
}

/// The lines of a batch's content: answers, and what went wrong.
fn parts(content: &Bytes) -> (Vec<String>, Vec<String>) {
    let text = String::from_utf8_lossy(content).into_owned();
    let (lines, errors) = text.split_once("\n\n").unwrap_or((&text, ""));
    let of = |text: &str| text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
    (of(lines), of(errors))
}

/// The batch's document at one more look: in progress as often as its maker said, then ended.
fn looked_at(shelf: &mut Shelf, id: &str, provider: Provider) -> Value {
    let Some(object) = shelf.get(Kind::Batch, id) else { return Value::Null };
    let (mut batch, content) = (object.document(), object.content.clone());
    let ended = batch["processing_status"] == "ended"
        || matches!(batch["status"].as_str(), Some("completed" | "cancelled"));
    if ended {
        return batch;
    }
    let polls = batch[POLLS].as_u64().unwrap_or_default();
    if polls > 0 {
        batch[POLLS] = json!(polls - 1);
        if batch["status"] == "validating" {
            batch["status"] = json!("in_progress");
        }
    } else {
        let (lines, errors) = parts(&content);
        end(shelf, id, provider, &mut batch, &lines, &errors);
    }
    let after = batch.clone();
    shelf.change(id, move |document| *document = after);
    batch
}

fn end(
    shelf: &mut Shelf,
    id: &str,
    provider: Provider,
    batch: &mut Value,
    lines: &[String],
    errors: &[String],
) {
    let canceled = batch["weft_canceled"].as_u64().unwrap_or_default() as usize;
    if provider == Provider::Anthropic {
        batch["processing_status"] = json!("ended");
        batch["ended_at"] = json!(CREATED_TEXT);
        let errored = errors.len() - canceled;
        batch["request_counts"] = counts(0, lines.len(), errored, canceled);
        let url = format!("https://api.anthropic.com/v1/messages/batches/{id}/results");
        batch["results_url"] = json!(url);
        return;
    }
    let cancelling = batch["status"] == "cancelling";
    batch["status"] = json!(if cancelling { "cancelled" } else { "completed" });
    batch["completed_at"] = json!(CREATED_SECS + 60);
    let total = &batch["request_counts"]["total"];
    batch["request_counts"] =
        json!({ "total": total, "completed": lines.len(), "failed": errors.len() });
    for (field, lines) in [("output_file_id", lines), ("error_file_id", errors)] {
        if !lines.is_empty() {
            let content = Bytes::from(lines.join("\n") + "\n");
            let file =
                make(shelf, provider, &format!("{id}_{field}.jsonl"), "batch_output", content);
            batch[field] = file["id"].clone();
        }
    }
}

/// Only the first half of a batch that is cancelled was answered.
fn cancel(shelf: &mut Shelf, id: &str, provider: Provider) {
    let Some(object) = shelf.get(Kind::Batch, id) else { return };
    let (mut batch, content) = (object.document(), object.content.clone());
    let open = batch["processing_status"] == "in_progress"
        || matches!(batch["status"].as_str(), Some("validating" | "in_progress"));
    if !open {
        return;
    }
    let (mut lines, mut errors) = parts(&content);
    let gone = lines.split_off(lines.len().div_ceil(2));
    let canceled = gone.iter().map(|line| {
        let line: Value = serde_json::from_str(line).unwrap_or(Value::Null);
        match provider {
            Provider::Anthropic => {
                json!({ "custom_id": line["custom_id"], "result": { "type": "canceled" } })
            }
            Provider::OpenAi | Provider::Azure | Provider::DeepSeek => json!({
                "id": line["id"], "custom_id": line["custom_id"], "response": null,
                "error": { "code": "batch_cancelled", "message": "The batch was cancelled." },
            }),
        }
        .to_string()
    });
    errors.extend(canceled);
    batch["weft_canceled"] = json!(gone.len());
    match provider {
        Provider::Anthropic => {
            batch["processing_status"] = json!("canceling");
            batch["cancel_initiated_at"] = json!(CREATED_TEXT);
        }
        Provider::OpenAi | Provider::Azure | Provider::DeepSeek => {
            batch["status"] = json!("cancelling");
            batch["cancelling_at"] = json!(CREATED_SECS + 30);
        }
    }
    let content = format!("{}\n\n{}", lines.join("\n"), errors.join("\n"));
    shelf.put(id, Kind::Batch, None, Held::Document(batch), content.into());
}
