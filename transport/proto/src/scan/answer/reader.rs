//! Follows the tokens of an answer and tells the ids that stand where its shape says.

use super::shapes::{Shape, Take};
use super::{FOUND_MAX, Told};
use crate::objects::{Found, MAX_OBJECT_ID_BYTES, ObjectId};
use crate::scan::json::Token;
use crate::scan::paths::{Place, Step, Walk, append};
use crate::scan::references::parsed;

/// What is known of the object that an open container describes.
#[derive(Debug, Default)]
struct Frame {
    /// The object, once its id is known.
    object: Option<Found>,
    bytes: Option<u64>,
    parent: Option<ObjectId>,
}

pub(super) struct Reader {
    shape: Shape,
    walk: Walk<Frame>,
    /// What stands at the current string, if it counts.
    taking: Option<Take>,
    text: Vec<u8>,
    /// What the answer is about.
    pub(super) root: Option<ObjectId>,
    pub(super) found: Vec<Found>,
    told: Told,
}

impl Reader {
    pub(super) fn new(shape: Shape) -> Self {
        Self {
            shape,
            walk: Walk::new(),
            taking: None,
            text: Vec::new(),
            root: None,
            found: Vec::new(),
            told: Told::new(),
        }
    }

    /// Gets ready for another value of the same answer.
    pub(super) fn reset(&mut self) {
        self.walk.reset();
        self.taking = None;
    }

    /// Whether there was more to tell than [`FOUND_MAX`] objects.
    pub(super) fn overflown(&self) -> bool {
        self.told.len() > FOUND_MAX
    }

    pub(super) fn token(&mut self, token: Token<'_>) {
        let Step::Value(place) = self.walk.step(self.shape, token) else { return };
        match token {
            Token::StringBegin => self.string_begin(place),
            Token::Text(piece) => {
                if self.taking.is_some() {
                    append(&mut self.text, piece, MAX_OBJECT_ID_BYTES + 1);
                }
            }
            Token::StringEnd => self.string_end(),
            Token::Number(digits) => {
                if self.shape.mark(place) == Some(Take::Bytes)
                    && let Ok(bytes) = digits.parse()
                {
                    self.know(|frame| frame.bytes = Some(bytes));
                }
            }
            Token::ObjectBegin
            | Token::ObjectEnd
            | Token::ArrayBegin
            | Token::ArrayEnd
            | Token::KeyBegin
            | Token::Bool(_)
            | Token::Null => {}
        }
    }

    fn string_begin(&mut self, place: Place) {
        self.taking = self.shape.mark(place).filter(|take| *take != Take::Bytes);
        self.text.clear();
    }

    fn string_end(&mut self) {
        let Some(take) = self.taking.take() else { return };
        // What no request could name again is nothing to keep account of.
        let Some(id) = parsed(&self.text) else { return };
        let (kind, parent) = match take {
            Take::Whole(kind) => {
                self.root = Some(id.clone());
                (kind, None)
            }
            Take::Part(kind) => (kind, self.root.clone()),
            Take::Other(kind) => (kind, None),
            Take::Parent => return self.know(|frame| frame.parent = Some(id)),
            Take::Holder(kind) => {
                self.tell(Found { kind, id: id.clone(), parent: None, bytes: None });
                return self.know(|frame| frame.parent = Some(id));
            }
            Take::Bytes => return,
        };
        let mut found = Found { kind, id, parent, bytes: None };
        if let Some(frame) = self.walk.frame() {
            found.bytes = frame.bytes;
            found.parent = frame.parent.clone().or(found.parent);
            frame.object = Some(found.clone());
        }
        self.tell(found);
    }

    /// Notes something of the object that the open container describes, and tells the object again
    /// where it has been told without it.
    fn know(&mut self, note: impl FnOnce(&mut Frame)) {
        let Some(frame) = self.walk.frame() else { return };
        note(frame);
        let Some(object) = &mut frame.object else { return };
        let known = Found {
            bytes: frame.bytes.or(object.bytes),
            parent: frame.parent.clone().or_else(|| object.parent.clone()),
            ..object.clone()
        };
        if known == *object {
            return;
        }
        *object = known.clone();
        match self.found.iter_mut().rev().find(|waiting| waiting.id == known.id) {
            Some(waiting) => *waiting = known,
            None => self.found.push(known),
        }
    }

    fn tell(&mut self, found: Found) {
        if self.overflown() {
            return;
        }
        let news = self.told.insert((found.kind, found.id.clone()));
        if news && !self.overflown() {
            self.found.push(found);
        }
    }
}
