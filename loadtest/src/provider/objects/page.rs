//! Lists of objects, a page at a time, in both dialects.

use super::Wanted;
use super::shelf::Object;
use crate::provider::answer::Answer;
use crate::provider::route::parameter;
use serde_json::{Value, json};
use weft_proto::provider::Provider;

/// Entries on a page where the request names no number.
const PAGE_DEFAULT: usize = 20;
/// The most entries on a page.
const PAGE_MAX: usize = 1_000;

/// The page of `objects`, which come in the order of their making, that the query asks for.
/// Newest first, unless it asks for another order.
pub(super) fn of(objects: Vec<&Object>, wanted: Wanted<'_>) -> Answer {
    let mut entries: Vec<Value> = objects.into_iter().map(Object::document).collect();
    let asked = |name| parameter(wanted.query, name);
    if asked("order").as_deref() != Some("asc") {
        entries.reverse();
    }
    let limit = asked("limit").and_then(|limit| limit.parse().ok()).unwrap_or(PAGE_DEFAULT);
    let limit = limit.clamp(1, PAGE_MAX);
    let place = |id: &str| entries.iter().position(|entry| entry["id"] == id);
    let after = asked("after").or_else(|| asked("after_id"));
    let (page, has_more) = match (asked("before_id"), after) {
        (Some(before), _) => {
            let end = place(&before).unwrap_or(0);
            let start = end.saturating_sub(limit);
            (&entries[start..end], start > 0)
        }
        (None, after) => {
            let start = after.map_or(0, |id| place(&id).map_or(entries.len(), |place| place + 1));
            let end = entries.len().min(start + limit);
            (&entries[start..end], end < entries.len())
        }
    };
    let ends = (page.first().map(|entry| &entry["id"]), page.last().map(|entry| &entry["id"]));
    let mut list = json!({
        "data": page, "has_more": has_more, "first_id": ends.0, "last_id": ends.1,
    });
    match wanted.provider {
        Provider::Anthropic => {}
        Provider::OpenAi | Provider::Azure | Provider::DeepSeek => list["object"] = json!("list"),
    }
    super::json(&list)
}
