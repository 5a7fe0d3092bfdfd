//! Which model a JSON body asks for, and which stored objects it names: the gate's questions,
//! answered as the bytes go by.
//!
//! The scan reads the whole body, not only up to the model: two parsers may disagree about which
//! of two `model` keys counts, so a second one refuses the body, and a body that turns out to be
//! no JSON object is refused while its last bytes are still held back. It keeps the model's name,
//! the ids of objects until they are taken, and nothing else of the body.

use std::fmt;

use super::json::{Piece, Token, Tokenizer};
use super::paths::{Step, Walk, append};
use super::references::{Frame, References, alike};
use super::{MAX_MODEL_BYTES, ScanError};
use crate::objects::Reference;
use crate::provider::Dialect;

/// Reads a JSON object for what the gate must know of it, in any split of its bytes.
pub struct ModelScan {
    tokenizer: Tokenizer,
    reader: Reader,
    /// Nothing at all is as good as an object.
    optional: bool,
    begun: bool,
    failed: Option<ScanError>,
}

/// Follows the tokens; apart from the tokenizer, so that both can be borrowed at once.
pub(super) struct Reader {
    walk: Walk<Frame>,
    references: References,
    top: TopLevel,
}

/// What the outermost object says.
#[derive(Default)]
struct TopLevel {
    /// Which known key's value comes next.
    pending: Pending,
    /// The name of the model so far, while its string is open.
    text: Option<Vec<u8>>,
    /// A `model` key was seen, whatever its value.
    model_seen: bool,
    model: Option<String>,
    stream: Option<bool>,
    store: Option<bool>,
    /// An answer that is made later may be asked for.
    takes_later: bool,
    /// Whether it is was said.
    later_seen: bool,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Pending {
    #[default]
    Other,
    Model,
    Stream,
    Store,
    /// Asks for an answer that is made and billed after this one.
    Later,
    /// The same, where that may be.
    TakenLater,
}

impl fmt::Debug for ModelScan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelScan")
            .field("model", &self.reader.top.model)
            .field("stream", &self.reader.top.stream)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

impl ModelScan {
    /// A scan at the start of a body in `dialect`.
    #[must_use]
    pub fn new(dialect: Dialect) -> Self {
        let reader = Reader::new(dialect);
        Self { tokenizer: Tokenizer::new(), reader, optional: false, begun: false, failed: None }
    }

    /// The same scan, for a body that may also be left out.
    #[must_use]
    pub fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// Reads the next bytes of the body.
    ///
    /// # Errors
    /// [`ScanError`] as soon as the body cannot be accepted any more, and the same one ever after.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), ScanError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.begun |= !bytes.is_empty();
        let reader = &mut self.reader;
        let fed = self.tokenizer.feed(bytes, |depth, token| reader.token(depth, token));
        fed.inspect_err(|error| self.failed = Some(*error))
    }

    /// From here on the body may ask for an answer that is made later: once, and as it is written.
    pub const fn takes_later(&mut self) {
        self.reader.top.takes_later = true;
    }

    /// The model, once its whole name has been read.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        self.reader.top.model.as_deref()
    }

    /// The top-level `stream`, where it has been read and is a boolean. The last one counts.
    #[must_use]
    pub const fn stream(&self) -> Option<bool> {
        self.reader.top.stream
    }

    /// The top-level `store`, where it has been read and is a boolean. The last one counts.
    #[must_use]
    pub const fn store(&self) -> Option<bool> {
        self.reader.top.store
    }

    /// The objects that the bytes read since the last call have named, in their order.
    #[must_use]
    pub fn take_references(&mut self) -> Vec<Reference> {
        self.reader.references.take()
    }

    /// Ends the body: the model, or `None` where the object names none.
    ///
    /// # Errors
    /// [`ScanError`] of an earlier [`ModelScan::feed`], or that the body is incomplete.
    pub fn finish(&mut self) -> Result<Option<String>, ScanError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if self.optional && !self.begun {
            return Ok(None);
        }
        let reader = &mut self.reader;
        let ended = self.tokenizer.finish(|depth, token| reader.token(depth, token));
        ended.inspect_err(|error| self.failed = Some(*error))?;
        Ok(self.reader.top.model.clone())
    }
}

impl Reader {
    pub(super) fn new(dialect: Dialect) -> Self {
        Self { walk: Walk::new(), references: References::new(dialect), top: TopLevel::default() }
    }

    /// The model, once its whole name has been read.
    pub(super) fn model(&self) -> Option<&str> {
        self.top.model.as_deref()
    }

    /// The objects that were named since the last call.
    pub(super) fn take_references(&mut self) -> Vec<Reference> {
        self.references.take()
    }

    pub(super) fn token(&mut self, depth: usize, token: Token<'_>) -> Result<(), ScanError> {
        if depth == 0 && !matches!(token, Token::ObjectBegin | Token::ObjectEnd) {
            return Err(ScanError::NotAnObject);
        }
        let step = self.walk.step(self.references.paths(), token);
        self.references.token(&mut self.walk, step, token)?;
        match step {
            Step::KeyEnd if depth == 1 => self.top.key(self.walk.key()),
            Step::Value(_) if depth == 1 => self.top.value(token),
            Step::InKey | Step::KeyEnd | Step::Value(_) => Ok(()),
        }
    }
}

impl TopLevel {
    fn key(&mut self, key: &[u8]) -> Result<(), ScanError> {
        self.pending = match key {
            b"model" if self.model_seen => return Err(ScanError::DuplicateModel),
            b"model" => {
                self.model_seen = true;
                Pending::Model
            }
            // Some parsers match keys without regard to case.
            other if other.eq_ignore_ascii_case(b"model") => return Err(ScanError::AmbiguousModel),
            b"stream" => Pending::Stream,
            b"store" => Pending::Store,
            // Of two, the provider might take the one that was not believed.
            b"background" if self.takes_later && self.later_seen => {
                return Err(ScanError::BilledLater);
            }
            b"background" if self.takes_later => {
                self.later_seen = true;
                Pending::TakenLater
            }
            other if alike("background", other) => Pending::Later,
            _ => Pending::Other,
        };
        Ok(())
    }

    fn value(&mut self, token: Token<'_>) -> Result<(), ScanError> {
        match token {
            Token::StringBegin => {
                if self.pending == Pending::Model {
                    self.pending = Pending::Other;
                    self.text = Some(Vec::new());
                    return Ok(());
                }
                self.other_value(None)
            }
            Token::Text(piece) => self.piece(piece),
            Token::StringEnd => match self.text.take() {
                Some(text) => {
                    let model = String::from_utf8(text).map_err(|_| ScanError::ModelNotText)?;
                    self.model = Some(model);
                    Ok(())
                }
                None => Ok(()),
            },
            Token::Bool(value) => self.other_value(Some(value)),
            // `null` says nothing, where something may be left out.
            Token::Null if matches!(self.pending, Pending::Later | Pending::TakenLater) => {
                self.pending = Pending::Other;
                Ok(())
            }
            Token::ObjectBegin | Token::ArrayBegin | Token::Number(_) | Token::Null => {
                self.other_value(None)
            }
            Token::ObjectEnd | Token::ArrayEnd | Token::KeyBegin => Ok(()),
        }
    }

    fn piece(&mut self, piece: Piece<'_>) -> Result<(), ScanError> {
        let Some(text) = &mut self.text else { return Ok(()) };
        if matches!(piece, Piece::LoneSurrogate(_)) {
            return Err(ScanError::ModelNotText);
        }
        append(text, piece, MAX_MODEL_BYTES + 1);
        if text.len() > MAX_MODEL_BYTES { Err(ScanError::ModelTooLong) } else { Ok(()) }
    }

    /// A value that is no model's name.
    fn other_value(&mut self, boolean: Option<bool>) -> Result<(), ScanError> {
        match std::mem::take(&mut self.pending) {
            Pending::Model => Err(ScanError::ModelNotText),
            Pending::Stream => {
                self.stream = boolean;
                Ok(())
            }
            Pending::Store => {
                self.store = boolean;
                Ok(())
            }
            Pending::Later if boolean != Some(false) => Err(ScanError::BilledLater),
            Pending::TakenLater if boolean.is_none() => Err(ScanError::BilledLater),
            Pending::Later | Pending::TakenLater | Pending::Other => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
