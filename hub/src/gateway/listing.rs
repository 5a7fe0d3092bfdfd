//! Lists of objects, made by the hub: a caller's own, where the provider would list those of
//! everybody who uses the account.
//!
//! What the hub knows of an object is its id, its size and when it saw it first. It knows no name:
//! where a dialect wants one it says the id, and a list cannot be filtered by what is not known.
//! Files that are part of a container are listed with it, by the provider. A batch has ended for the
//! hub when it has been billed, a moment after it has ended at its provider.

use crate::auth::Caller;
use crate::exchange::Spine;
use crate::exchange::refusal::Refusal;
use crate::objects::Objects;
use axum::body::Body;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response};
use serde_json::{Value, json};
use std::time::Duration;
use weft_proto::objects::{ObjectId, ObjectKind};
use weft_proto::provider::{Dialect, Provider};
use weft_proto::tables::target::Target;
use weft_proto::time::Timestamp;
use weft_store::{Object, ObjectOrder, ObjectsWanted, PAGE_ROWS_MAX, PageSize};

/// Entries of OpenAI's list of files where the caller names no limit, and the most that it may name.
/// A page has at most [`PAGE_ROWS_MAX`] of them and says that there are more.
const FILES_MAX: u32 = 10_000;

/// Entries of OpenAI's other lists where the caller names no limit.
const ENTRIES_DEFAULT: u32 = 20;

/// The most that a caller may name for them.
const ENTRIES_MAX: u32 = 100;

/// The most that a caller may name in Anthropic's dialect.
const ANTHROPIC_ENTRIES_MAX: u32 = PAGE_ROWS_MAX;

/// What OpenAI calls a file for any purpose: the hub knows no other.
const ANY_PURPOSE: &str = "user_data";

/// What providers let a batch run, seconds.
const BATCH_RUNS_SECS: u64 = 24 * 60 * 60;

/// What a caller is told to wait while the store cannot be asked.
const STORE_WAIT: Duration = Duration::from_secs(2);

/// Which list a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Listing {
    /// At which provider.
    pub(super) provider: Provider,
    /// Of what.
    pub(super) kind: ObjectKind,
    /// The shape of the list.
    pub(super) dialect: Dialect,
}

/// The part of a list that a query asks for.
#[derive(Debug, PartialEq, Eq)]
struct Part {
    order: ObjectOrder,
    after: Option<ObjectId>,
    size: u32,
    /// What comes before an entry was asked for: it is read backwards.
    backwards: bool,
}

impl Listing {
    /// Answers with the caller's own objects.
    pub(super) async fn answer(
        self,
        objects: &Objects,
        spine: &Spine,
        caller: &Caller,
        target: &Target,
        now: Timestamp,
    ) -> Result<Response<Body>, Refusal> {
        let Part { order, after, size, backwards } = self.part(target)?;
        let wanted = ObjectsWanted {
            user: caller.user(),
            provider: self.provider,
            kind: self.kind,
            order,
            after,
            size: PageSize::clamped(size),
        };
        let mut listed = objects.list(&wanted).await?;
        if backwards {
            listed.objects.reverse();
        }
        let batches = listed.objects.iter().filter(|object| object.kind == ObjectKind::Batch);
        let running = spine.made_yet(caller.user(), batches.map(|object| &object.id)).await;
        let running = running.map_err(|error| {
            tracing::error!(%error, "pending bills cannot be looked up");
            Refusal::unavailable("object_store", "objects cannot be looked up", STORE_WAIT)
        })?;
        let runs = |object: &Object| match &running {
            Some(running) => running.contains(&object.id),
            None => object.made_at.after(Duration::from_secs(BATCH_RUNS_SECS)) > now,
        };
        let body = self.body(&listed.objects, listed.more, runs);
        let mut response = Response::new(Body::from(body.to_string()));
        let kind = HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, kind);
        Ok(response)
    }

    fn part(self, target: &Target) -> Result<Part, Refusal> {
        let (default, max) = match (self.dialect, self.kind) {
            (Dialect::OpenAi, ObjectKind::File) => (FILES_MAX, FILES_MAX),
            (
                Dialect::OpenAi,
                ObjectKind::Upload
                | ObjectKind::Response
                | ObjectKind::Conversation
                | ObjectKind::Container
                | ObjectKind::Item
                | ObjectKind::Batch,
            ) => (ENTRIES_DEFAULT, ENTRIES_MAX),
            (Dialect::Anthropic, _) => (ENTRIES_DEFAULT, ANTHROPIC_ENTRIES_MAX),
        };
        let size = match given(target, "limit") {
            None => default,
            Some(text) => text
                .parse()
                .ok()
                .filter(|limit| (1..=max).contains(limit))
                .ok_or_else(|| malformed(format!("limit wants a number from 1 to {max}")))?,
        };
        let forwards = |order, after| Part { order, after, size, backwards: false };
        match self.dialect {
            Dialect::OpenAi => {
                let order = match given(target, "order") {
                    None | Some("desc") => ObjectOrder::NewestFirst,
                    Some("asc") => ObjectOrder::OldestFirst,
                    Some(_) => return Err(malformed("order wants asc or desc")),
                };
                Ok(forwards(order, entry_named(target, "after")?))
            }
            Dialect::Anthropic => {
                let after = entry_named(target, "after_id")?;
                match (after, entry_named(target, "before_id")?) {
                    (Some(_), Some(_)) => {
                        Err(malformed("a list begins at after_id or at before_id, not at both"))
                    }
                    (after, None) => Ok(forwards(ObjectOrder::NewestFirst, after)),
                    (None, before) => {
                        let order = ObjectOrder::OldestFirst;
                        Ok(Part { order, after: before, size, backwards: true })
                    }
                }
            }
        }
    }

    fn body(self, objects: &[Object], more: bool, runs: impl Fn(&Object) -> bool) -> Value {
        let entries: Vec<_> =
            objects.iter().map(|object| self.entry(object, runs(object))).collect();
        let id_of = |object: Option<&Object>| object.map(|object| object.id.as_str().to_owned());
        let mut body = json!({
            "data": entries,
            "first_id": id_of(objects.first()),
            "last_id": id_of(objects.last()),
            "has_more": more,
        });
        if self.dialect == Dialect::OpenAi {
            body["object"] = json!("list");
        }
        body
    }

    /// One entry; a batch `runs`, or has ended.
    fn entry(self, object: &Object, runs: bool) -> Value {
        let id = object.id.as_str();
        let made = object.made_at.as_micros() / 1_000_000;
        match (self.dialect, object.kind) {
            (Dialect::Anthropic, ObjectKind::Batch) => json!({
                "type": "message_batch",
                "id": id,
                "created_at": rfc3339(made),
                "expires_at": rfc3339(made + BATCH_RUNS_SECS),
                "processing_status": if runs { "in_progress" } else { "ended" },
                "request_counts": {
                    "processing": 0, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0,
                },
                "results_url": null,
            }),
            (Dialect::Anthropic, _) => json!({
                "type": object.kind.name(),
                "id": id,
                "filename": id,
                "mime_type": "application/octet-stream",
                "size_bytes": object.bytes.unwrap_or_default(),
                "created_at": rfc3339(made),
            }),
            (Dialect::OpenAi, ObjectKind::Batch) => json!({
                "id": id,
                "object": "batch",
                "created_at": made,
                "expires_at": made + BATCH_RUNS_SECS,
                "completion_window": "24h",
                // How it ended the provider says, when it is asked for the batch.
                "status": if runs { "in_progress" } else { "completed" },
            }),
            (Dialect::OpenAi, ObjectKind::File) => json!({
                "id": id,
                "object": "file",
                "bytes": object.bytes.unwrap_or_default(),
                "created_at": made,
                "filename": id,
                "purpose": ANY_PURPOSE,
                "status": "processed",
            }),
            (
                Dialect::OpenAi,
                ObjectKind::Upload
                | ObjectKind::Response
                | ObjectKind::Conversation
                | ObjectKind::Container
                | ObjectKind::Item,
            ) => json!({
                "id": id,
                "object": object.kind.name(),
                "created_at": made,
                "name": id,
            }),
        }
    }
}

/// A parameter of the query; an empty one says nothing.
fn given<'a>(target: &'a Target, name: &str) -> Option<&'a str> {
    target.query_value(name).filter(|value| !value.is_empty())
}

/// The entry of the list at which a part of it begins.
fn entry_named(target: &Target, name: &str) -> Result<Option<ObjectId>, Refusal> {
    let id = given(target, name).map(ObjectId::parse).transpose();
    id.map_err(|_| malformed(format!("{name} wants the id of an entry")))
}

fn malformed(message: impl Into<String>) -> Refusal {
    Refusal::malformed("list_query", message)
}

fn rfc3339(seconds: u64) -> String {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests;
