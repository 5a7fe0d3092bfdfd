//! Which model a JSON body asks for: the gate's question, answered as the bytes go by.
//!
//! The scan reads the whole body, not only up to the model: two parsers may disagree about which
//! of two `model` keys counts, so a second one refuses the body, and a body that turns out to be
//! no JSON object is refused while its last bytes are still held back. It keeps the model's name
//! and nothing else of the body.

use std::fmt;

use super::json::{Piece, Token, Tokenizer};
use super::{MAX_MODEL_BYTES, ScanError};

/// The longest key that is looked at: one byte more than the longest known one.
const MAX_KEY_BYTES: usize = "previous_response_id".len() + 1;

/// Finds the top-level `model` and `stream` of a JSON object, in any split of its bytes.
pub struct ModelScan {
    tokenizer: Tokenizer,
    reader: Reader,
    failed: Option<ScanError>,
}

/// Follows the tokens; apart from the tokenizer, so that both can be borrowed at once.
#[derive(Default)]
struct Reader {
    /// What the current top-level string or key is for.
    collecting: Collecting,
    /// The text of it so far, bounded by [`MAX_KEY_BYTES`] or [`MAX_MODEL_BYTES`].
    text: Vec<u8>,
    /// Which known key's value comes next at the top level.
    pending: Pending,
    /// A `model` key was seen, whatever its value.
    model_seen: bool,
    model: Option<String>,
    stream: Option<bool>,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Collecting {
    #[default]
    Nothing,
    Key,
    Model,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Pending {
    #[default]
    Other,
    Model,
    Stream,
    /// Names an object stored at the provider.
    Object,
    /// Asks for an answer that is made and billed after this one.
    Later,
}

impl Default for ModelScan {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ModelScan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelScan")
            .field("model", &self.reader.model)
            .field("stream", &self.reader.stream)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

impl ModelScan {
    /// A scan at the start of a body.
    #[must_use]
    pub fn new() -> Self {
        Self { tokenizer: Tokenizer::new(), reader: Reader::default(), failed: None }
    }

    /// Reads the next bytes of the body.
    ///
    /// # Errors
    /// [`ScanError`] as soon as the body cannot be accepted any more, and the same one ever after.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), ScanError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let reader = &mut self.reader;
        let fed = self.tokenizer.feed(bytes, |depth, token| reader.token(depth, token));
        fed.inspect_err(|error| self.failed = Some(*error))
    }

    /// The model, once its whole name has been read.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        self.reader.model.as_deref()
    }

    /// The top-level `stream`, where it has been read and is a boolean. The last one counts.
    #[must_use]
    pub const fn stream(&self) -> Option<bool> {
        self.reader.stream
    }

    /// Ends the body: the model, or `None` where the object names none.
    ///
    /// # Errors
    /// [`ScanError`] of an earlier [`ModelScan::feed`], or that the body is incomplete.
    pub fn finish(&mut self) -> Result<Option<String>, ScanError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let reader = &mut self.reader;
        let ended = self.tokenizer.finish(|depth, token| reader.token(depth, token));
        ended.inspect_err(|error| self.failed = Some(*error))?;
        Ok(self.reader.model.clone())
    }
}

impl Reader {
    fn token(&mut self, depth: usize, token: Token<'_>) -> Result<(), ScanError> {
        match depth {
            0 => match token {
                Token::ObjectBegin | Token::ObjectEnd => Ok(()),
                Token::ArrayBegin
                | Token::ArrayEnd
                | Token::KeyBegin
                | Token::StringBegin
                | Token::Text(_)
                | Token::StringEnd
                | Token::Number(_)
                | Token::Bool(_)
                | Token::Null => Err(ScanError::NotAnObject),
            },
            1 => self.top_level(token),
            _ => Ok(()),
        }
    }

    fn top_level(&mut self, token: Token<'_>) -> Result<(), ScanError> {
        match token {
            Token::KeyBegin => {
                self.text.clear();
                self.collecting = Collecting::Key;
                Ok(())
            }
            Token::StringBegin => {
                self.text.clear();
                let pending = std::mem::take(&mut self.pending);
                self.collecting = match pending {
                    Pending::Model => Collecting::Model,
                    Pending::Stream => {
                        self.stream = None;
                        Collecting::Nothing
                    }
                    Pending::Object => return Err(ScanError::StoredObject),
                    Pending::Later | Pending::Other => Collecting::Nothing,
                };
                Ok(())
            }
            Token::Text(piece) => self.piece(piece),
            Token::StringEnd => match std::mem::take(&mut self.collecting) {
                Collecting::Key => self.key_end(),
                Collecting::Model => self.model_end(),
                Collecting::Nothing => Ok(()),
            },
            Token::Bool(value) => self.other_value(Some(value)),
            Token::Null => self.null(),
            Token::ObjectBegin | Token::ArrayBegin | Token::Number(_) => self.other_value(None),
            Token::ObjectEnd | Token::ArrayEnd => Ok(()),
        }
    }

    fn piece(&mut self, piece: Piece<'_>) -> Result<(), ScanError> {
        let max = match self.collecting {
            Collecting::Nothing => return Ok(()),
            Collecting::Key => MAX_KEY_BYTES,
            Collecting::Model => MAX_MODEL_BYTES + 1,
        };
        let mut encoded = [0; 4];
        let bytes = match piece {
            Piece::Raw(bytes) => bytes,
            Piece::Escaped(character) => character.encode_utf8(&mut encoded).as_bytes(),
            // Not text, so no known key; a model must be text.
            Piece::LoneSurrogate(_) if self.collecting == Collecting::Model => {
                return Err(ScanError::ModelNotText);
            }
            Piece::LoneSurrogate(_) => &[0xff],
        };
        let room = max.saturating_sub(self.text.len());
        self.text.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if self.collecting == Collecting::Model && self.text.len() > MAX_MODEL_BYTES {
            return Err(ScanError::ModelTooLong);
        }
        Ok(())
    }

    fn key_end(&mut self) -> Result<(), ScanError> {
        self.pending = match self.text.as_slice() {
            b"model" if self.model_seen => return Err(ScanError::DuplicateModel),
            b"model" => {
                self.model_seen = true;
                Pending::Model
            }
            // Some parsers match keys without regard to case.
            other if other.eq_ignore_ascii_case(b"model") => return Err(ScanError::AmbiguousModel),
            b"stream" => Pending::Stream,
            b"previous_response_id" | b"conversation" => Pending::Object,
            b"background" => Pending::Later,
            _ => Pending::Other,
        };
        Ok(())
    }

    fn model_end(&mut self) -> Result<(), ScanError> {
        let model = String::from_utf8(std::mem::take(&mut self.text));
        self.model = Some(model.map_err(|_| ScanError::ModelNotText)?);
        Ok(())
    }

    fn other_value(&mut self, boolean: Option<bool>) -> Result<(), ScanError> {
        match std::mem::take(&mut self.pending) {
            Pending::Model => Err(ScanError::ModelNotText),
            Pending::Stream => {
                self.stream = boolean;
                Ok(())
            }
            Pending::Object => Err(ScanError::StoredObject),
            Pending::Later if boolean != Some(false) => Err(ScanError::BilledLater),
            Pending::Later | Pending::Other => Ok(()),
        }
    }

    /// `null` says nothing, wherever something may be left out.
    fn null(&mut self) -> Result<(), ScanError> {
        match self.pending {
            Pending::Object | Pending::Later => {
                self.pending = Pending::Other;
                Ok(())
            }
            Pending::Model | Pending::Stream | Pending::Other => self.other_value(None),
        }
    }
}

#[cfg(test)]
mod tests;
