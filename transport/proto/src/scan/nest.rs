//! Where the requests of a batch stand in the JSON that holds them.
//!
//! Around them is a closed shape: whatever else stands there, or stands there twice, is refused,
//! because another parser might read another request. What stands inside of one is for the reader
//! of that request.

use super::ScanError;
use super::json::Token;
use super::paths::append;

/// The longest key that is told from others, bytes.
const KEY_BYTES_MAX: usize = 16;

/// The longest word that is, bytes.
const WORD_BYTES_MAX: usize = 64;

/// What holds the requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holder {
    /// One object: `{"requests": [{"custom_id": …, "params": {request}}, …]}`.
    Requests,
    /// One line of a file: `{"custom_id": …, "method": "POST", "url": …, "body": {request}}`.
    Line,
}

impl Holder {
    /// How deep a request stands in it.
    const fn depth(self) -> usize {
        match self {
            Self::Requests => 3,
            Self::Line => 1,
        }
    }
}

/// What a token is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nested {
    /// What holds the requests.
    Around,
    /// A request, at this depth of its own.
    Inside(usize),
    /// The same: its last brace.
    Last,
}

/// What a key around the requests holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Requests,
    Id,
    Body,
    Method,
    Url,
}

/// Follows the tokens of one holder.
#[derive(Debug)]
pub(crate) struct Nest {
    holder: Holder,
    /// A request is being read.
    inside: bool,
    key: Vec<u8>,
    in_key: bool,
    /// What the value that follows is.
    field: Option<Field>,
    requests_seen: bool,
    id_seen: bool,
    body_seen: bool,
    method_seen: bool,
    url_seen: bool,
    /// The word that is being read.
    word: Vec<u8>,
    /// Where each line's request must go.
    url: Vec<u8>,
}

impl Nest {
    pub(crate) const fn new(holder: Holder) -> Self {
        Self {
            holder,
            inside: false,
            key: Vec::new(),
            in_key: false,
            field: None,
            requests_seen: false,
            id_seen: false,
            body_seen: false,
            method_seen: false,
            url_seen: false,
            word: Vec::new(),
            url: Vec::new(),
        }
    }

    /// The nest of one line after the other, each of which is a request to `url`.
    pub(crate) fn of_lines_to(url: &str) -> Self {
        Self { url: url.as_bytes().to_vec(), ..Self::new(Holder::Line) }
    }

    /// Gets ready for the next line.
    pub(crate) fn next_line(&mut self) {
        let url = std::mem::take(&mut self.url);
        *self = Self { url, ..Self::new(self.holder) };
    }

    /// Takes the next token.
    pub(crate) fn step(&mut self, depth: usize, token: Token<'_>) -> Result<Nested, ScanError> {
        let base = self.holder.depth();
        if self.inside {
            let own = depth.saturating_sub(base);
            if own == 0 && token == Token::ObjectEnd {
                self.inside = false;
                return Ok(Nested::Last);
            }
            return Ok(Nested::Inside(own));
        }
        if self.in_key {
            return self.in_key(token);
        }
        if self.holder == Holder::Line {
            return self.line(depth, token);
        }
        match (depth, token) {
            (1 | 3, Token::KeyBegin) => {
                self.key.clear();
                self.in_key = true;
            }
            (0, Token::ObjectBegin) => {}
            (0, Token::ObjectEnd) if self.requests_seen => {}
            (0, Token::ObjectEnd) => return Err(ScanError::NotABatch),
            (0, _) => return Err(ScanError::NotAnObject),
            (1, Token::ArrayBegin | Token::ArrayEnd) if self.field == Some(Field::Requests) => {}
            (2, Token::ObjectBegin) => {
                (self.id_seen, self.body_seen) = (false, false);
            }
            (2, Token::ObjectEnd) if self.body_seen => self.field = Some(Field::Requests),
            (3, Token::StringBegin | Token::Text(_) | Token::StringEnd)
                if self.field == Some(Field::Id) => {}
            (3, Token::ObjectBegin) if self.field == Some(Field::Body) => {
                self.inside = true;
                return Ok(Nested::Inside(0));
            }
            (_, _) => return Err(ScanError::NotABatch),
        }
        Ok(Nested::Around)
    }

    /// A token of a line, outside of its request.
    fn line(&mut self, depth: usize, token: Token<'_>) -> Result<Nested, ScanError> {
        match (depth, token, self.field) {
            (1, Token::KeyBegin, _) => {
                self.key.clear();
                self.in_key = true;
            }
            (0, Token::ObjectBegin, _) => {}
            (0, Token::ObjectEnd, _) => {
                if !(self.body_seen && self.method_seen && self.url_seen) {
                    return Err(ScanError::NotABatch);
                }
            }
            (0, _, _) => return Err(ScanError::NotAnObject),
            (1, Token::StringBegin, Some(Field::Id | Field::Method | Field::Url)) => {
                self.word.clear();
            }
            (1, Token::Text(piece), Some(Field::Id | Field::Method | Field::Url)) => {
                append(&mut self.word, piece, WORD_BYTES_MAX);
            }
            (1, Token::StringEnd, Some(Field::Id)) => {}
            (1, Token::StringEnd, Some(Field::Method)) if self.word == b"POST" => {}
            (1, Token::StringEnd, Some(Field::Url)) if self.word == self.url => {}
            (1, Token::ObjectBegin, Some(Field::Body)) => {
                self.inside = true;
                return Ok(Nested::Inside(0));
            }
            (_, _, _) => return Err(ScanError::NotABatch),
        }
        Ok(Nested::Around)
    }

    fn in_key(&mut self, token: Token<'_>) -> Result<Nested, ScanError> {
        match token {
            Token::Text(piece) => append(&mut self.key, piece, KEY_BYTES_MAX),
            Token::StringEnd => {
                self.in_key = false;
                let (field, seen) = match (self.holder, self.key.as_slice()) {
                    (Holder::Requests, b"requests") => (Field::Requests, &mut self.requests_seen),
                    (Holder::Requests, b"params") => (Field::Body, &mut self.body_seen),
                    (_, b"custom_id") => (Field::Id, &mut self.id_seen),
                    (Holder::Line, b"body") => (Field::Body, &mut self.body_seen),
                    (Holder::Line, b"method") => (Field::Method, &mut self.method_seen),
                    (Holder::Line, b"url") => (Field::Url, &mut self.url_seen),
                    (Holder::Requests | Holder::Line, _) => return Err(ScanError::NotABatch),
                };
                if std::mem::replace(seen, true) {
                    return Err(ScanError::NotABatch);
                }
                self.field = Some(field);
            }
            Token::ObjectBegin
            | Token::ObjectEnd
            | Token::ArrayBegin
            | Token::ArrayEnd
            | Token::KeyBegin
            | Token::StringBegin
            | Token::Number(_)
            | Token::Bool(_)
            | Token::Null => return Err(ScanError::NotABatch),
        }
        Ok(Nested::Around)
    }
}
