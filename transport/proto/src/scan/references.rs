//! The stored objects that a JSON request names, wherever in it they stand.
//!
//! The keys count at any depth, because providers put them in many places and add more; only zones
//! that hold a user's own JSON (schemas, metadata, the input of a called tool) are left alone, by
//! exact path. A key that is given twice, or that is called almost like a known one, is refused:
//! parsers differ in what they take.
//!
//! Nothing here knows whose an object is, and nothing of the body is kept but the ids.

use std::sync::LazyLock;

use self::item::Item;
use self::keys::{Key, Lookup, Wanted};
use super::json::Token;
use super::paths::{Paths, Step, Walk, append};
use super::{REFERENCES_MAX, ScanError};
use crate::objects::{MAX_OBJECT_ID_BYTES, ObjectId, ObjectKind, Reference};
use crate::provider::Dialect;

mod item;
mod keys;
mod zones;

pub(super) use zones::Zone;

/// What is remembered of each open container.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Frame {
    /// A user's own JSON: nothing in it counts.
    free: bool,
    /// One bit for each known key that has been seen.
    seen: u32,
    /// What the container holds, where that changes the meaning of what is in it.
    holds: Holds,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Holds {
    #[default]
    Anything,
    /// Ids, in an array.
    Ids(ObjectKind),
    /// An object of this kind, whose `id` is a reference.
    Object(ObjectKind),
    /// A prompt or a voice, whose `id` names one that the owner keeps.
    Prompt,
    /// An item of a request's input.
    Item,
}

/// What the text of the current string value is for.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Collecting {
    #[default]
    Nothing,
    Id(ObjectKind),
    /// A name that may be one of the owner's ids.
    Owned,
    ItemId,
    ItemType,
    ItemSeal,
    ItemText(u16),
}

/// Finds the references. It is told every step of the walk after the walk has made it.
pub(super) struct References {
    paths: &'static Paths<Zone>,
    /// What the newest key wants of its value.
    pending: Wanted,
    collecting: Collecting,
    /// The text of the current string, where it counts; at most one byte longer than an id.
    text: Vec<u8>,
    /// The input item that is open. They do not nest.
    item: Item,
    found: Vec<Reference>,
    /// How many have been found, those that have been taken included.
    count: usize,
}

impl References {
    pub(super) fn new(dialect: Dialect) -> Self {
        static OPENAI: LazyLock<Paths<Zone>> = LazyLock::new(|| zones::paths(Dialect::OpenAi));
        static ANTHROPIC: LazyLock<Paths<Zone>> =
            LazyLock::new(|| zones::paths(Dialect::Anthropic));
        let paths = match dialect {
            Dialect::OpenAi => &OPENAI,
            Dialect::Anthropic => &ANTHROPIC,
        };
        Self {
            paths,
            pending: Wanted::Nothing,
            collecting: Collecting::Nothing,
            text: Vec::new(),
            item: Item::default(),
            found: Vec::new(),
            count: 0,
        }
    }

    /// The zones of the dialect, for the walk.
    pub(super) const fn paths(&self) -> &'static Paths<Zone> {
        self.paths
    }

    /// What has been found since the last call.
    pub(super) fn take(&mut self) -> Vec<Reference> {
        std::mem::take(&mut self.found)
    }

    /// Takes one token, with the step that it was.
    pub(super) fn token(
        &mut self,
        walk: &mut Walk<Frame>,
        step: Step,
        token: Token<'_>,
    ) -> Result<(), ScanError> {
        match (step, token) {
            (Step::InKey, _) => Ok(()),
            (Step::KeyEnd, _) => self.key(walk),
            (Step::Value(_), Token::Text(piece)) => {
                if self.collecting != Collecting::Nothing {
                    append(&mut self.text, piece, MAX_OBJECT_ID_BYTES + 1);
                }
                Ok(())
            }
            (Step::Value(_), Token::StringEnd) => self.text_end(),
            (Step::Value(place), Token::ObjectBegin | Token::ArrayBegin) => {
                let free = walk.outer_frame().is_some_and(|outer| outer.free);
                let zone = self.paths.mark(place);
                let holds = self.opened(walk, token)?;
                if let Some(frame) = walk.frame() {
                    frame.free = free || zone == Some(Zone::Free);
                    frame.holds = match (holds, zone, token) {
                        (Holds::Anything, Some(Zone::Item), Token::ObjectBegin) if !free => {
                            self.item = Item::default();
                            Holds::Item
                        }
                        (Holds::Anything, Some(Zone::Audio), Token::ObjectBegin) if !free => {
                            Holds::Object(ObjectKind::Item)
                        }
                        (holds, _, _) => holds,
                    };
                }
                Ok(())
            }
            // The walk has closed the container already; an item is told by its zone.
            (Step::Value(place), Token::ObjectEnd) => match self.paths.mark(place) {
                Some(Zone::Item) => self.item_end(),
                Some(Zone::Free | Zone::Audio) | None => Ok(()),
            },
            (Step::Value(_), Token::ArrayEnd) => Ok(()),
            (
                Step::Value(_),
                Token::KeyBegin
                | Token::StringBegin
                | Token::Number(_)
                | Token::Bool(_)
                | Token::Null,
            ) => self.scalar(walk, token),
        }
    }

    fn key(&mut self, walk: &mut Walk<Frame>) -> Result<(), ScanError> {
        self.pending = Wanted::Nothing;
        let top = walk.depth() == 1;
        let frame = walk.frame().map(|frame| *frame).unwrap_or_default();
        if frame.free {
            return Ok(());
        }
        let known = match keys::lookup(walk.key(), top, frame.holds) {
            Lookup::Unknown => return Ok(()),
            Lookup::Almost => return Err(ScanError::AmbiguousReference),
            Lookup::Known(known) => known,
        };
        let Key { bit, wanted } = known;
        if let Some(frame) = walk.frame() {
            if frame.seen & bit != 0 {
                return Err(ScanError::DuplicateReference);
            }
            frame.seen |= bit;
        }
        self.pending = wanted;
        Ok(())
    }

    /// What a container that has just been opened holds.
    fn opened(&mut self, walk: &Walk<Frame>, token: Token<'_>) -> Result<Holds, ScanError> {
        let object = token == Token::ObjectBegin;
        if walk.outer_frame().is_some_and(|outer| matches!(outer.holds, Holds::Ids(_))) {
            return Err(ScanError::ReferenceNotText);
        }
        match std::mem::take(&mut self.pending) {
            Wanted::Ids(kind) if !object => Ok(Holds::Ids(kind)),
            Wanted::IdOrObject(kind) if object => Ok(Holds::Object(kind)),
            Wanted::Prompt | Wanted::Voice if object => Ok(Holds::Prompt),
            Wanted::Id(_) | Wanted::Ids(_) | Wanted::IdOrObject(_) | Wanted::ItemId => {
                Err(ScanError::ReferenceNotText)
            }
            Wanted::NoneOfTheirs => Err(ScanError::StoredObject),
            Wanted::Owners => Err(ScanError::OwnerState),
            Wanted::ItemContent(at) => {
                self.item.content(at);
                Ok(Holds::Anything)
            }
            Wanted::Nothing
            | Wanted::Prompt
            | Wanted::Skill
            | Wanted::Voice
            | Wanted::ItemType
            | Wanted::ItemSeal
            | Wanted::ItemText(_) => Ok(Holds::Anything),
        }
    }

    /// A value that is no container. Of a string this is the beginning.
    fn scalar(&mut self, walk: &mut Walk<Frame>, token: Token<'_>) -> Result<(), ScanError> {
        let text = token == Token::StringBegin;
        let wanted = match walk.frame().map(|frame| frame.holds) {
            Some(Holds::Ids(kind)) => Wanted::Id(kind),
            _ => std::mem::take(&mut self.pending),
        };
        let list = walk.frame().is_some_and(|frame| matches!(frame.holds, Holds::Ids(_)));
        let null = token == Token::Null && !list;
        self.text.clear();
        self.collecting = match wanted {
            Wanted::Id(kind) | Wanted::IdOrObject(kind) if text => Collecting::Id(kind),
            Wanted::ItemId if text => Collecting::ItemId,
            Wanted::ItemType if text => Collecting::ItemType,
            Wanted::ItemSeal if text => Collecting::ItemSeal,
            Wanted::Skill | Wanted::Voice if text => Collecting::Owned,
            Wanted::ItemText(at) if text => Collecting::ItemText(at),
            Wanted::ItemContent(at) => {
                if !null {
                    self.item.content(at);
                }
                Collecting::Nothing
            }
            // `null` says nothing, wherever something may be left out.
            _ if null => Collecting::Nothing,
            Wanted::Id(_) | Wanted::Ids(_) | Wanted::IdOrObject(_) | Wanted::ItemId => {
                return Err(ScanError::ReferenceNotText);
            }
            Wanted::NoneOfTheirs => return Err(ScanError::StoredObject),
            Wanted::Owners => return Err(ScanError::OwnerState),
            Wanted::Nothing
            | Wanted::Prompt
            | Wanted::Skill
            | Wanted::Voice
            | Wanted::ItemType
            | Wanted::ItemSeal
            | Wanted::ItemText(_) => Collecting::Nothing,
        };
        Ok(())
    }

    fn text_end(&mut self) -> Result<(), ScanError> {
        match std::mem::take(&mut self.collecting) {
            Collecting::Nothing => Ok(()),
            Collecting::Id(kind) => {
                let id = parsed(&self.text).ok_or(ScanError::BadReference)?;
                self.push(Reference { kind: Some(kind), id })
            }
            Collecting::Owned if keys::is_owners(&self.text) => Err(ScanError::OwnerState),
            Collecting::Owned => Ok(()),
            Collecting::ItemId => {
                self.item.named(parsed(&self.text));
                Ok(())
            }
            Collecting::ItemType => {
                self.item.typed(&self.text);
                Ok(())
            }
            Collecting::ItemSeal => {
                if !self.text.is_empty() {
                    self.item.sealed();
                }
                Ok(())
            }
            Collecting::ItemText(at) => {
                if !self.text.is_empty() {
                    self.item.content(at);
                }
                Ok(())
            }
        }
    }

    fn item_end(&mut self) -> Result<(), ScanError> {
        match std::mem::take(&mut self.item).reference()? {
            Some(id) => self.push(Reference { kind: Some(ObjectKind::Item), id }),
            None => Ok(()),
        }
    }

    fn push(&mut self, reference: Reference) -> Result<(), ScanError> {
        if self.count == REFERENCES_MAX {
            return Err(ScanError::TooManyReferences);
        }
        self.count += 1;
        self.found.push(reference);
        Ok(())
    }
}

/// What a form's field is, by its name.
pub(super) use keys::{FormField, alike, form_field};

/// The id that `text` is.
pub(super) fn parsed(text: &[u8]) -> Option<ObjectId> {
    ObjectId::parse(std::str::from_utf8(text).ok()?).ok()
}

#[cfg(test)]
mod tests;
