//! `text/event-stream`, taken apart as it arrives.
//!
//! The splitter takes any split of the bytes, inside a character or between CR and LF too, and hands
//! the data of an event on in the pieces in which it came: nothing is held but the name of a field
//! and of an event. Lines end with LF, CRLF or CR; comments and unknown fields are passed over; the
//! lines of one event's data are joined by a line feed, as the standard says.

use memchr::memchr2;

/// The longest name of an event that is told, in bytes; a longer one is told as none.
pub const EVENT_NAME_MAX: usize = 64;

/// The longest name of a field that counts, and one byte more.
const FIELD_NAME_MAX: usize = "event".len() + 1;

/// The byte order mark that a stream may begin with.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A piece of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'a> {
    /// The event's name.
    Name(&'a str),
    /// The next bytes of the event's data. A piece may end inside a character.
    Data(&'a [u8]),
    /// An empty line: what came since the last one was an event, if it had data, and its name is
    /// no longer that of what follows.
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In the byte order mark; how much of it has come.
    Mark(usize),
    /// In the name of a field, or at the start of a line.
    Field,
    /// After the colon of a field, where one space is no part of the value.
    Colon,
    /// In the value of a field, or in a comment.
    Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Data,
    Event,
    Other,
}

/// Takes one stream apart.
#[derive(Debug)]
pub struct Splitter {
    state: State,
    /// The name of the current field, bounded by [`FIELD_NAME_MAX`].
    field_name: Vec<u8>,
    field: Field,
    /// The value of the current `event` field, bounded by [`EVENT_NAME_MAX`] and one byte more.
    event_name: Vec<u8>,
    /// The current event has had a line of data.
    data_begun: bool,
    /// A CR has ended a line: a LF that follows it belongs to it.
    after_cr: bool,
}

impl Default for Splitter {
    fn default() -> Self {
        Self::new()
    }
}

impl Splitter {
    /// A splitter at the start of a stream.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            state: State::Mark(0),
            field_name: Vec::new(),
            field: Field::Other,
            event_name: Vec::new(),
            data_begun: false,
            after_cr: false,
        }
    }

    /// Reads the next bytes and calls `on` for every part that they hold. What the stream ends with
    /// is told as it comes; an event without the empty line that ends it never has its
    /// [`Part::End`].
    pub fn feed(&mut self, bytes: &[u8], mut on: impl FnMut(Part<'_>)) {
        let mut rest = bytes;
        while let Some((&byte, after)) = rest.split_first() {
            if std::mem::take(&mut self.after_cr) && byte == b'\n' {
                rest = after;
                continue;
            }
            rest = match self.state {
                State::Mark(at) => self.mark(at, rest),
                State::Field => self.field(rest, &mut on),
                State::Colon => {
                    self.state = State::Value;
                    if byte == b' ' { after } else { rest }
                }
                State::Value => self.value(rest, &mut on),
            };
        }
    }

    /// Passes over the byte order mark, if there is one.
    fn mark<'b>(&mut self, at: usize, bytes: &'b [u8]) -> &'b [u8] {
        if bytes.first() == BYTE_ORDER_MARK.get(at) {
            let whole = at + 1 == BYTE_ORDER_MARK.len();
            self.state = if whole { State::Field } else { State::Mark(at + 1) };
            return &bytes[1..];
        }
        // The beginning of a mark without its end is the name of some field.
        self.field_name.extend_from_slice(&BYTE_ORDER_MARK[..at]);
        self.state = State::Field;
        bytes
    }

    /// Takes bytes of a field's name up to the colon or the end of the line.
    fn field<'b>(&mut self, bytes: &'b [u8], on: &mut impl FnMut(Part<'_>)) -> &'b [u8] {
        let end = bytes.iter().position(|byte| matches!(byte, b':' | b'\r' | b'\n'));
        let (name, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
        let room = FIELD_NAME_MAX.saturating_sub(self.field_name.len());
        self.field_name.extend_from_slice(&name[..name.len().min(room)]);
        let Some((&stop, after)) = rest.split_first() else { return rest };
        if stop != b':' && self.field_name.is_empty() {
            self.event_end(on);
            self.line_end(stop);
            return after;
        }
        self.field_begin(on);
        if stop == b':' {
            self.state = State::Colon;
            return after;
        }
        // A field without a colon has an empty value.
        self.field_end(on);
        self.line_end(stop);
        after
    }

    fn field_begin(&mut self, on: &mut impl FnMut(Part<'_>)) {
        self.field = match self.field_name.as_slice() {
            b"data" => Field::Data,
            b"event" => Field::Event,
            _ => Field::Other,
        };
        match self.field {
            Field::Data if self.data_begun => on(Part::Data(b"\n")),
            Field::Data => self.data_begun = true,
            Field::Event => self.event_name.clear(),
            Field::Other => {}
        }
    }

    /// Takes bytes of a field's value up to the end of the line.
    fn value<'b>(&mut self, bytes: &'b [u8], on: &mut impl FnMut(Part<'_>)) -> &'b [u8] {
        let end = memchr2(b'\r', b'\n', bytes);
        let (value, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
        match self.field {
            Field::Data if !value.is_empty() => on(Part::Data(value)),
            Field::Event => {
                let room = (EVENT_NAME_MAX + 1).saturating_sub(self.event_name.len());
                self.event_name.extend_from_slice(&value[..value.len().min(room)]);
            }
            Field::Data | Field::Other => {}
        }
        let Some((&stop, after)) = rest.split_first() else { return rest };
        self.field_end(on);
        self.line_end(stop);
        after
    }

    fn field_end(&mut self, on: &mut impl FnMut(Part<'_>)) {
        if self.field == Field::Event && self.event_name.len() <= EVENT_NAME_MAX {
            on(Part::Name(std::str::from_utf8(&self.event_name).unwrap_or_default()));
        }
    }

    fn line_end(&mut self, stop: u8) {
        self.after_cr = stop == b'\r';
        self.field_name.clear();
        self.field = Field::Other;
        self.state = State::Field;
    }

    fn event_end(&mut self, on: &mut impl FnMut(Part<'_>)) {
        self.data_begun = false;
        self.event_name.clear();
        on(Part::End);
    }
}

#[cfg(test)]
mod tests;
