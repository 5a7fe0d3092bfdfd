//! What lives at the simulated provider: files, uploads, responses, conversations, containers,
//! batches.
//!
//! Everything belongs to the key that was presented, as at the real providers: two users behind
//! one key see each other's objects here, and only a gate before it can keep them apart. A key is
//! kept as a digest. What is remembered is bounded, and the oldest is forgotten first. Ids come
//! from the seed, the key and a count, so that the same run gives the same ids.

mod batches;
pub(crate) mod call;
mod containers;
mod conversations;
mod files;
mod form;
pub(crate) mod made;
mod page;
mod references;
mod responses;
mod shelf;
mod uploads;

use super::answer::Answer;
use super::refusal::Refusal;
use bytes::Bytes;
use call::Call;
use http::HeaderMap;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use shelf::Shelf;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use weft_proto::provider::Provider;

/// Keys whose objects are remembered.
const KEYS_MAX: usize = 64;

/// What a request says about objects.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) provider: Provider,
    pub(crate) key: &'a str,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) query: Option<&'a str>,
    pub(crate) body: &'a [u8],
}

impl Wanted<'_> {
    /// The body as a JSON object; an empty one is an empty object.
    fn document(&self) -> Result<Map<String, Value>, Refusal> {
        if self.body.trim_ascii().is_empty() {
            return Ok(Map::new());
        }
        match serde_json::from_slice(self.body) {
            Ok(Value::Object(document)) => Ok(document),
            Ok(_) | Err(_) => Err(Refusal::Unparsed),
        }
    }

    /// The body as a form.
    fn form(&self) -> Result<Vec<form::Part<'_>>, Refusal> {
        form::parts(self.headers, self.body)
            .ok_or_else(|| Refusal::Malformed("the form has no boundary or no parts".to_owned()))
    }
}

/// All objects of all keys.
#[derive(Debug)]
pub(crate) struct Objects {
    seed: u64,
    shelves: Mutex<Shelves>,
}

#[derive(Debug, Default)]
struct Shelves {
    by_key: BTreeMap<[u8; 32], Shelf>,
    /// Keys in the order in which they came.
    order: Vec<[u8; 32]>,
}

impl Objects {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, shelves: Mutex::default() }
    }

    /// Answers a call on an object.
    pub(crate) fn answer(&self, call: &Call, wanted: Wanted<'_>) -> Result<Answer, Refusal> {
        self.with(wanted.key, |shelf| match call {
            Call::File(call) => files::answer(shelf, call, wanted),
            Call::Upload(call) => uploads::answer(shelf, call, wanted),
            Call::Response(call) => responses::answer(shelf, call, wanted),
            Call::Conversation(call) => conversations::answer(shelf, call, wanted),
            Call::Container(call) => containers::answer(shelf, call, wanted),
            Call::Batch(call) => batches::answer(shelf, call, wanted),
        })
    }

    /// Refuses a body that names an object which this key does not have.
    pub(crate) fn resolve(&self, wanted: Wanted<'_>) -> Result<(), Refusal> {
        if !references::may_have(wanted.body) {
            return Ok(());
        }
        let form = form::parts(wanted.headers, wanted.body);
        self.with(wanted.key, |shelf| match form {
            Some(parts) => references::in_form(shelf, &parts),
            None => references::in_document(shelf, &Value::Object(wanted.document()?)),
        })
    }

    fn with<T>(&self, key: &str, work: impl FnOnce(&mut Shelf) -> T) -> T {
        let digest: [u8; 32] = Sha256::digest(key.as_bytes()).into();
        let mut shelves = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
        let shelves = &mut *shelves;
        if !shelves.by_key.contains_key(&digest) {
            if shelves.order.len() == KEYS_MAX {
                let oldest = shelves.order.remove(0);
                shelves.by_key.remove(&oldest);
            }
            shelves.order.push(digest);
        }
        let seed = self.seed;
        work(shelves.by_key.entry(digest).or_insert_with(|| Shelf::new(seed, &digest)))
    }
}

/// Bytes as they are, in the head of a download.
fn download(bytes: Bytes) -> Answer {
    Answer {
        status: 200,
        content_type: "application/octet-stream",
        streamed: false,
        pieces: Box::new(std::iter::once(super::answer::Piece::now(bytes))),
        headers: &[],
        bill: None,
        wait: std::time::Duration::ZERO,
    }
}

fn json(document: &Value) -> Answer {
    Answer::json(200, document.to_string())
}
