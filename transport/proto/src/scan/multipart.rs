//! Which model a form asks for, and which stored objects it names, found while the form goes by.
//!
//! The file may come before the model and may be large, so nothing of a part's body is kept but
//! the values of the few fields that count. Forms have many lenient readers; this one is
//! strict (RFC 7578 with RFC 2046 delimiters, CRLF only, no preamble, no text after the end), and
//! refuses whatever could make a field read as `model` in one place and not in another.

use std::{fmt, mem};

use memchr::{memchr, memchr2};

pub use self::boundary::{Boundary, MAX_BOUNDARY_BYTES, parse_boundary};
use self::part::{Field, field_of_part};
use super::references::parsed;
use super::{MAX_MODEL_BYTES, REFERENCES_MAX, ScanError};
use crate::objects::Reference;

mod boundary;
mod part;

/// The largest header block of one part, in bytes.
pub const MAX_PART_HEAD_BYTES: usize = 8 * 1024;
/// The most parts of one form.
pub const MAX_PARTS: usize = 1024;

/// What a form breaks of its format, or of the scan's limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum FormError {
    /// The content type names no boundary, or two, or an unusable one.
    #[error("the content type has no usable boundary")]
    Boundary,
    /// The body does not begin with its boundary.
    #[error("the form does not begin with its boundary")]
    Preamble,
    /// A boundary is followed by something other than a line's end or the final `--`.
    #[error("a boundary does not end its line")]
    AfterBoundary,
    /// A boundary stands in a part's body without a proper line break before it.
    #[error("a boundary does not begin its line properly")]
    LooseBoundary,
    /// Something stands after the final boundary.
    #[error("something stands after the end of the form")]
    Epilogue,
    /// A part's header block is larger than [`MAX_PART_HEAD_BYTES`].
    #[error("the headers of a part are larger than {MAX_PART_HEAD_BYTES} bytes")]
    PartHeadTooLarge,
    /// A part's header block is malformed, or does not name its field once and plainly.
    #[error("the headers of a part are malformed")]
    PartHead,
    /// A part has a transfer encoding, which some servers would undo.
    #[error("a part has a transfer encoding")]
    TransferEncoding,
    /// More than [`MAX_PARTS`] parts.
    #[error("more than {MAX_PARTS} parts")]
    TooManyParts,
    /// The body ended before its final boundary.
    #[error("the form is incomplete")]
    Truncated,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In the delimiter that opens the body.
    Open,
    /// After a delimiter.
    AfterDelimiter,
    /// After a delimiter and CR.
    DelimiterLine,
    /// After a delimiter and one `-`.
    Final,
    /// In the header block of a part.
    Head,
    /// In the body of a part.
    Body,
    /// After the final delimiter; the bytes of the one permitted CRLF that have been seen.
    End { line_end: u8 },
}

/// What stands before a possible delimiter in the body of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LineBreak {
    /// The body's own start.
    Start,
    Cr,
    Lf,
    CrLf,
}

impl LineBreak {
    const fn bytes(self) -> &'static [u8] {
        match self {
            Self::Start => b"",
            Self::Cr => b"\r",
            Self::Lf => b"\n",
            Self::CrLf => b"\r\n",
        }
    }
}

/// Finds the fields that count in a form, in any split of its bytes.
pub struct MultipartScan {
    /// `--` and the boundary, without the line break before them.
    dashes: Vec<u8>,
    /// The line break that may begin a delimiter, while the newest bytes match it.
    line_break: Option<LineBreak>,
    /// How many bytes of `dashes` the newest bytes match.
    matched: usize,
    state: State,
    head: Vec<u8>,
    field: Field,
    /// The value of a known field so far, bounded by [`MAX_MODEL_BYTES`] and one more.
    value: Vec<u8>,
    parts: usize,
    model_seen: bool,
    model: Option<String>,
    stream: Option<bool>,
    references: Vec<Reference>,
    /// How many have been found, those that have been taken included.
    references_count: usize,
    failed: Option<ScanError>,
}

impl fmt::Debug for MultipartScan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MultipartScan")
            .field("model", &self.model)
            .field("stream", &self.stream)
            .field("parts", &self.parts)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

impl MultipartScan {
    /// A scan at the start of a body with this boundary.
    #[must_use]
    pub fn new(boundary: &Boundary) -> Self {
        Self {
            dashes: [b"--", boundary.as_str().as_bytes()].concat(),
            line_break: None,
            matched: 0,
            state: State::Open,
            head: Vec::new(),
            field: Field::Other,
            value: Vec::new(),
            parts: 0,
            model_seen: false,
            model: None,
            stream: None,
            references: Vec::new(),
            references_count: 0,
            failed: None,
        }
    }

    /// Reads the next bytes of the body.
    ///
    /// # Errors
    /// [`ScanError`] as soon as the body cannot be accepted any more, and the same one ever after.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), ScanError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.read(bytes).inspect_err(|error| self.failed = Some(*error))
    }

    /// The model, once its whole field has been read.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// The field `stream`, where it has been read and is `true` or `false`. The last one counts.
    #[must_use]
    pub const fn stream(&self) -> Option<bool> {
        self.stream
    }

    /// The objects that the bytes read since the last call have named, in their order.
    #[must_use]
    pub fn take_references(&mut self) -> Vec<Reference> {
        mem::take(&mut self.references)
    }

    /// Ends the body: the model, or `None` where the form names none.
    ///
    /// # Errors
    /// [`ScanError`] of an earlier [`MultipartScan::feed`], or that the form is incomplete.
    pub fn finish(&mut self) -> Result<Option<String>, ScanError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        match self.state {
            State::End { line_end: 0 | 2 } => Ok(self.model.clone()),
            State::Open
            | State::AfterDelimiter
            | State::DelimiterLine
            | State::Final
            | State::Head
            | State::Body
            | State::End { .. } => {
                let error = FormError::Truncated.into();
                self.failed = Some(error);
                Err(error)
            }
        }
    }

    fn read(&mut self, bytes: &[u8]) -> Result<(), ScanError> {
        let mut rest = bytes;
        while let Some((&byte, after)) = rest.split_first() {
            rest = match self.state {
                State::Body => self.body(rest)?,
                State::Head => self.head(rest)?,
                State::Open => {
                    if byte != self.dashes[self.matched] {
                        return Err(FormError::Preamble.into());
                    }
                    self.matched += 1;
                    if self.matched == self.dashes.len() {
                        self.state = State::AfterDelimiter;
                    }
                    after
                }
                State::AfterDelimiter | State::DelimiterLine | State::Final | State::End { .. } => {
                    self.state = self.delimiter_tail(byte)?;
                    after
                }
            };
        }
        Ok(())
    }

    /// The bytes between a delimiter and the next part, and those after the last delimiter.
    fn delimiter_tail(&mut self, byte: u8) -> Result<State, ScanError> {
        match (self.state, byte) {
            (State::AfterDelimiter, b'\r') => Ok(State::DelimiterLine),
            (State::AfterDelimiter, b'-') => Ok(State::Final),
            (State::DelimiterLine, b'\n') => {
                self.parts += 1;
                if self.parts > MAX_PARTS {
                    return Err(FormError::TooManyParts.into());
                }
                self.head.clear();
                Ok(State::Head)
            }
            (State::Final, b'-') => Ok(State::End { line_end: 0 }),
            (State::End { line_end: 0 }, b'\r') => Ok(State::End { line_end: 1 }),
            (State::End { line_end: 1 }, b'\n') => Ok(State::End { line_end: 2 }),
            (State::End { .. }, _) => Err(FormError::Epilogue.into()),
            _ => Err(FormError::AfterBoundary.into()),
        }
    }

    /// Collects a part's header block up to its empty line.
    fn head<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8], ScanError> {
        // Line by line: the block can only end where a line does.
        let line = memchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1);
        let (line, rest) = bytes.split_at(line);
        if self.head.len() + line.len() > MAX_PART_HEAD_BYTES {
            return Err(FormError::PartHeadTooLarge.into());
        }
        self.head.extend_from_slice(line);
        // A part without any header ends its block at once, and names no field: refused below.
        if self.head.ends_with(b"\r\n\r\n") || self.head == b"\r\n" {
            self.field = field_of_part(&self.head)?;
            if self.field == Field::Model {
                if self.model_seen {
                    return Err(ScanError::DuplicateModel);
                }
                self.model_seen = true;
            }
            self.value.clear();
            self.matched = 0;
            self.line_break = Some(LineBreak::Start);
            self.state = State::Body;
        }
        Ok(rest)
    }

    /// Takes body bytes up to a delimiter or the end.
    ///
    /// A delimiter holds line breaks at its front alone: after a mismatch only a line break can
    /// begin a new match, and everything up to the next one is plain data. A boundary after a bare
    /// CR or LF, or at the very start of the body, ends the part for some parsers and not for
    /// others, so it refuses the form.
    fn body<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8], ScanError> {
        let Some((&byte, after)) = bytes.split_first() else {
            return Ok(bytes);
        };
        match self.line_break {
            None => {
                let len = memchr2(b'\r', b'\n', bytes).unwrap_or(bytes.len());
                let (data, rest) = bytes.split_at(len);
                self.data(data)?;
                let Some((&first, after)) = rest.split_first() else {
                    return Ok(rest);
                };
                self.line_break = Some(if first == b'\r' { LineBreak::Cr } else { LineBreak::Lf });
                Ok(after)
            }
            Some(LineBreak::Cr) if self.matched == 0 && byte == b'\n' => {
                self.line_break = Some(LineBreak::CrLf);
                Ok(after)
            }
            Some(line_break) if byte == self.dashes[self.matched] => {
                self.matched += 1;
                if self.matched < self.dashes.len() {
                    return Ok(after);
                }
                match line_break {
                    LineBreak::CrLf => self.part_end()?,
                    LineBreak::Start | LineBreak::Cr | LineBreak::Lf => {
                        return Err(FormError::LooseBoundary.into());
                    }
                }
                self.state = State::AfterDelimiter;
                Ok(after)
            }
            Some(line_break) => {
                // What had matched was data after all; the byte itself is looked at again.
                let matched = mem::take(&mut self.matched);
                self.line_break = None;
                if self.field != Field::Other {
                    let data = [line_break.bytes(), &self.dashes[..matched]].concat();
                    self.data(&data)?;
                }
                Ok(bytes)
            }
        }
    }

    fn data(&mut self, data: &[u8]) -> Result<(), ScanError> {
        let room = (MAX_MODEL_BYTES + 1).saturating_sub(self.value.len());
        match self.field {
            Field::Other => return Ok(()),
            Field::Model if data.len() >= room => return Err(ScanError::ModelTooLong),
            Field::Model | Field::Stream | Field::Reference(_) => {}
        }
        self.value.extend_from_slice(&data[..data.len().min(room)]);
        Ok(())
    }

    fn part_end(&mut self) -> Result<(), ScanError> {
        match mem::take(&mut self.field) {
            Field::Other => {}
            Field::Model => {
                let model = String::from_utf8(mem::take(&mut self.value));
                self.model = Some(model.map_err(|_| ScanError::ModelNotText)?);
            }
            Field::Stream => {
                self.stream = match self.value.as_slice() {
                    b"true" => Some(true),
                    b"false" => Some(false),
                    _ => None,
                };
            }
            Field::Reference(kind) => {
                let id = parsed(&self.value).ok_or(ScanError::BadReference)?;
                if self.references_count == REFERENCES_MAX {
                    return Err(ScanError::TooManyReferences);
                }
                self.references_count += 1;
                self.references.push(Reference { kind: Some(kind), id });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
