//! Lists and lookups: models, balance, embeddings.

use super::{Answer, CREATED_SECS, Turn, cost};
use crate::provider::text;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use weft_proto::provider::Provider;

/// The longest vector that is made.
const DIMENSIONS_MAX: u32 = 4_096;
/// The length of a vector where the request names none.
const DIMENSIONS_DEFAULT: u32 = 256;

const fn known(provider: Provider) -> &'static [&'static str] {
    match provider {
        Provider::OpenAi => {
            &["gpt-6-luna", "gpt-5.4-mini", "gpt-4o-mini", "text-embedding-3-small", "whisper-1"]
        }
        Provider::Azure => &["gpt-5.4", "gpt-4o-mini", "text-embedding-3-small"],
        Provider::Anthropic => &["claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5"],
        Provider::DeepSeek => &["deepseek-flash", "deepseek-v4-pro"],
    }
}

fn described(provider: Provider, id: &str) -> Value {
    match provider {
        Provider::Anthropic => json!({
            "type": "model", "id": id, "display_name": id, "created_at": "2026-10-01T00:00:00Z",
        }),
        Provider::OpenAi | Provider::Azure | Provider::DeepSeek => json!({
            "id": id, "object": "model", "created": CREATED_SECS, "owned_by": provider.name(),
        }),
    }
}

/// The list of models.
pub(crate) fn models(provider: Provider) -> Answer {
    let names = known(provider);
    let data: Vec<Value> = names.iter().map(|id| described(provider, id)).collect();
    let list = match provider {
        Provider::Anthropic => json!({
            "data": data, "has_more": false, "first_id": names.first(), "last_id": names.last(),
        }),
        Provider::OpenAi | Provider::Azure | Provider::DeepSeek => {
            json!({ "object": "list", "data": data })
        }
    };
    Answer::json(200, list.to_string())
}

/// One model: a listed one, or any whose name begins with `sim`.
pub(crate) fn model(provider: Provider, id: &str) -> Option<Answer> {
    let exists = known(provider).contains(&id) || id.starts_with("sim");
    exists.then(|| Answer::json(200, described(provider, id).to_string()))
}

/// DeepSeek's balance.
pub(crate) fn balance() -> Answer {
    let balance = json!({ "is_available": true, "balance_infos": [{
        "currency": "USD", "total_balance": "110.00",
        "granted_balance": "10.00", "topped_up_balance": "100.00",
    }] });
    Answer::json(200, balance.to_string())
}

/// Vectors for `inputs` inputs, as numbers or in base64; nothing where they would be too long.
pub(crate) fn embeddings(
    turn: &Turn,
    inputs: usize,
    dimensions: Option<u32>,
    base64: bool,
) -> Option<Answer> {
    let dimensions = dimensions.unwrap_or(DIMENSIONS_DEFAULT);
    if !(1..=DIMENSIONS_MAX).contains(&dimensions) {
        return None;
    }
    let mut data = Vec::with_capacity(inputs);
    for index in 0..inputs {
        let seed = turn.text.seed.wrapping_add(index as u64);
        let floats = text::bytes(seed, dimensions as usize)
            .into_iter()
            .map(|byte| f32::from(byte) / 128.0 - 1.0);
        let embedding = if base64 {
            let bytes: Vec<u8> = floats.flat_map(f32::to_le_bytes).collect();
            Value::from(STANDARD.encode(bytes))
        } else {
            floats.collect()
        };
        data.push(json!({ "object": "embedding", "index": index, "embedding": embedding }));
    }
    let mut list = json!({ "object": "list", "data": data, "model": turn.model });
    if !turn.no_usage {
        list["usage"] = cost::embeddings(turn);
    }
    Some(Answer::json(200, list.to_string()).billed(turn))
}
