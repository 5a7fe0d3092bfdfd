//! The objects of one key: ids, documents, contents, within limits.

use crate::provider::answer::{Answer, Turn};
use crate::provider::refusal::Refusal;
use bytes::Bytes;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::time::Duration;

/// Objects of one key; the oldest is forgotten first.
const OBJECTS_MAX: usize = 4_096;
/// Bytes of content of one key; the oldest is forgotten first.
const CONTENT_BYTES_MAX: usize = 256 * 1_024 * 1_024;

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Upload,
    Part,
    Response,
    Item,
    Conversation,
    Container,
    ContainerFile,
    Batch,
}

/// How an object's document is had.
#[derive(Debug, Clone)]
pub(super) enum Held {
    /// As it was written down.
    Document(Value),
    /// A response, made again from what it was made of.
    Answer(Box<Turn>),
    /// The message of a response, made again likewise.
    Message(Box<Turn>),
}

/// One object.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) kind: Kind,
    /// The response, conversation, upload or container that it is in.
    pub(super) parent: Option<String>,
    pub(super) held: Held,
    pub(super) content: Bytes,
    /// Its place in the order of making.
    pub(super) number: u64,
}

impl Object {
    /// The object's document.
    pub(super) fn document(&self) -> Value {
        let made = |text: String| serde_json::from_str(&text).unwrap_or(Value::Null);
        match &self.held {
            Held::Document(document) => document.clone(),
            Held::Answer(turn) => made(crate::provider::answer::responses::document(turn)),
            Held::Message(turn) => made(crate::provider::answer::responses::message(turn)),
        }
    }
}

/// The objects of one key.
#[derive(Debug)]
pub(super) struct Shelf {
    objects: BTreeMap<String, Object>,
    /// Ids by number.
    order: BTreeMap<u64, String>,
    content_bytes: usize,
    numbers: u64,
    chance: ChaCha8Rng,
}

impl Shelf {
    pub(super) fn new(seed: u64, key: &[u8; 32]) -> Self {
        let mut digest = Sha256::new();
        digest.update(seed.to_le_bytes());
        digest.update(key);
        Self {
            objects: BTreeMap::new(),
            order: BTreeMap::new(),
            content_bytes: 0,
            numbers: 0,
            chance: ChaCha8Rng::from_seed(digest.finalize().into()),
        }
    }

    /// A new id: `prefix` and `chars` hexadecimal digits.
    pub(super) fn id(&mut self, prefix: &str, chars: usize) -> String {
        let mut bytes = vec![0; chars.div_ceil(2)];
        self.chance.fill_bytes(&mut bytes);
        let mut id = prefix.to_owned();
        id.push_str(&crate::provider::record::hex(&bytes));
        id.truncate(prefix.len() + chars);
        id
    }

    /// Puts an object on the shelf, and forgets the oldest for which there is no room.
    pub(super) fn put(
        &mut self,
        id: &str,
        kind: Kind,
        parent: Option<&str>,
        held: Held,
        content: Bytes,
    ) {
        self.remove(id);
        self.numbers += 1;
        self.content_bytes += content.len();
        let number = self.numbers;
        let parent = parent.map(str::to_owned);
        self.objects.insert(id.to_owned(), Object { kind, parent, held, content, number });
        self.order.insert(number, id.to_owned());
        while self.objects.len() > OBJECTS_MAX || self.content_bytes > CONTENT_BYTES_MAX {
            let Some((_, oldest)) = self.order.first_key_value() else {
                return;
            };
            let oldest = oldest.clone();
            self.remove(&oldest);
        }
    }

    /// The same for what is a document alone.
    pub(super) fn put_document(&mut self, kind: Kind, parent: Option<&str>, document: &Value) {
        let id = document["id"].as_str().unwrap_or_default().to_owned();
        self.put(&id, kind, parent, Held::Document(document.clone()), Bytes::new());
    }

    /// Changes a document where it stands.
    pub(super) fn change(&mut self, id: &str, change: impl FnOnce(&mut Value)) {
        if let Some(Object { held: Held::Document(document), .. }) = self.objects.get_mut(id) {
            change(document);
        }
    }

    /// The response's document: queued as often as its maker said, then whole.
    pub(super) fn polled(&mut self, id: &str) -> Result<Answer, Refusal> {
        let mut wait = Duration::ZERO;
        if let Some(turn) = self.turn(id) {
            if turn.shape.background && turn.polls > 0 {
                turn.polls -= 1;
                let queued = crate::provider::answer::responses::queued(turn);
                return Ok(Answer::json(200, queued));
            }
            wait = turn.reading;
        }
        let document = self.known(Kind::Response, id).map(Object::document)?;
        Ok(Answer { wait, ..super::json(&document) })
    }

    /// The response's events from a number on; it has been made by then.
    pub(super) fn streamed(&mut self, id: &str, from: usize) -> Result<Answer, Refusal> {
        let turn = self.turn(id).ok_or_else(|| missing(Kind::Response, id, 404))?;
        turn.polls = 0;
        let whole = crate::provider::answer::responses::streamed(turn);
        Ok(Answer { pieces: Box::new(whole.pieces.skip(from)), bill: None, ..whole })
    }

    /// The document of a response that is made in the background, after its maker wanted no more of
    /// it; none where it is made while it is answered.
    pub(super) fn cancelled(&mut self, id: &str) -> Result<Option<Value>, Refusal> {
        self.known(Kind::Response, id)?;
        let Some(turn) = self.turn(id).filter(|turn| turn.shape.background) else {
            return Ok(None);
        };
        if turn.polls > 0 {
            let queued = crate::provider::answer::responses::queued(turn);
            let mut document: Value = serde_json::from_str(&queued).unwrap_or(Value::Null);
            document["status"] = "cancelled".into();
            if let Some(object) = self.objects.get_mut(id) {
                object.held = Held::Document(document);
            }
        }
        self.known(Kind::Response, id).map(|object| Some(object.document()))
    }

    /// What makes a response.
    fn turn(&mut self, id: &str) -> Option<&mut Turn> {
        match self.objects.get_mut(id)? {
            Object { kind: Kind::Response, held: Held::Answer(turn), .. } => Some(turn),
            Object { .. } => None,
        }
    }

    pub(super) fn get(&self, kind: Kind, id: &str) -> Option<&Object> {
        self.objects.get(id).filter(|object| object.kind == kind)
    }

    /// The object, or the 404 of its kind.
    pub(super) fn known(&self, kind: Kind, id: &str) -> Result<&Object, Refusal> {
        self.get(kind, id).ok_or_else(|| missing(kind, id, 404))
    }

    /// Takes an object away, with what is in it.
    pub(super) fn remove(&mut self, id: &str) {
        let Some(object) = self.objects.remove(id) else {
            return;
        };
        self.order.remove(&object.number);
        self.content_bytes -= object.content.len();
        let inside: Vec<String> = self
            .objects
            .iter()
            .filter(|(_, inner)| inner.parent.as_deref() == Some(id))
            .map(|(id, _)| id.clone())
            .collect();
        for inner in inside {
            self.remove(&inner);
        }
    }

    /// The objects of a kind in the order of their making, inside `parent` where one is given.
    pub(super) fn all(&self, kind: Kind, parent: Option<&str>) -> Vec<&Object> {
        self.order
            .values()
            .filter_map(|id| self.objects.get(id))
            .filter(|object| object.kind == kind)
            .filter(|object| parent.is_none() || object.parent.as_deref() == parent)
            .collect()
    }
}

/// The refusal for an object that is not on the shelf.
pub(super) fn missing(kind: Kind, id: &str, status: u16) -> Refusal {
    let (message, param) = match kind {
        Kind::File => (format!("No such File object: {id}"), "id"),
        Kind::Upload => (format!("No such Upload object: {id}"), "id"),
        Kind::Part => (format!("No such Part object: {id}"), "part_ids"),
        Kind::Response => (format!("Response with id '{id}' not found."), "response_id"),
        Kind::Item => (format!("Item with id '{id}' not found."), "input"),
        Kind::Conversation => (format!("Conversation with id '{id}' not found."), "conversation"),
        Kind::Container => (format!("Container with id '{id}' not found."), "container"),
        Kind::Batch => (format!("No batch found with id '{id}'."), "batch_id"),
        Kind::ContainerFile => (format!("No file with id '{id}' in this container."), "file_id"),
    };
    Refusal::NoSuchObject { status, message, param }
}
