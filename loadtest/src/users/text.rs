//! Server-sent events as bytes: where one ends, what text it brings, whether it is the last.
//!
//! Nothing is parsed as JSON: these run for every frame of every stream.

use memchr::memmem::Finder;

/// Longest event that is put together, in bytes; a longer one counts as altered.
pub(super) const EVENT_BYTES_MAX: usize = 4 * 1_024 * 1_024;

/// Cuts a body into its events, whatever pieces it comes in.
#[derive(Debug, Default)]
pub(super) struct Cutter {
    partial: Vec<u8>,
}

impl Cutter {
    /// In the middle of an event that begins with `begun`.
    pub(super) fn within(begun: &[u8]) -> Self {
        Self { partial: begun.to_vec() }
    }

    /// Takes what came, and gives each event that is whole with it to `each`, its blank line
    /// included.
    pub(super) fn take(&mut self, mut bytes: &[u8], mut each: impl FnMut(&[u8])) {
        if !self.partial.is_empty() {
            let before = self.partial.len();
            self.partial.extend_from_slice(bytes);
            // Its blank line may have begun in what was there; it ends in what came.
            let Some(end) = end_of_event(&self.partial, before) else {
                self.partial.truncate(EVENT_BYTES_MAX);
                return;
            };
            each(&self.partial[..end]);
            self.partial.clear();
            bytes = &bytes[end - before..];
        }
        while let Some(end) = end_of_event(bytes, 0) {
            each(&bytes[..end]);
            bytes = &bytes[end..];
        }
        self.partial.extend_from_slice(&bytes[..bytes.len().min(EVENT_BYTES_MAX)]);
    }

    /// Whether something is left that is no whole event.
    pub(super) const fn has_rest(&self) -> bool {
        !self.partial.is_empty()
    }
}

/// Where the first event ends whose blank line is not before `from`.
pub(super) fn end_of_event(bytes: &[u8], from: usize) -> Option<usize> {
    memchr::memchr_iter(b'\n', &bytes[from..]).map(|at| at + from).find_map(|at| {
        let line = bytes[..at].strip_suffix(b"\r").unwrap_or(&bytes[..at]);
        line.ends_with(b"\n").then_some(at + 1)
    })
}

/// Finds what events bring.
#[derive(Debug)]
pub(super) struct Reader {
    content: Finder<'static>,
    text: Finder<'static>,
    done: Finder<'static>,
    stop: Finder<'static>,
}

impl Reader {
    /// A reader of both dialects.
    pub(super) fn new() -> Self {
        Self {
            content: Finder::new("\"content\":"),
            text: Finder::new("\"text\":"),
            done: Finder::new("data: [DONE]"),
            stop: Finder::new("event: message_stop"),
        }
    }

    /// The text of a delta, as it is written in JSON; nothing where an event brings none.
    pub(super) fn text<'a>(&self, event: &'a [u8]) -> Option<&'a [u8]> {
        let found = self.content.find(event).map(|at| at + self.content.needle().len());
        let found = found.or_else(|| self.text.find(event).map(|at| at + self.text.needle().len()));
        let value = event[found?..].trim_ascii_start().strip_prefix(b"\"")?;
        let mut end = 0;
        loop {
            match value.get(end)? {
                b'"' => break,
                b'\\' => end += 2,
                _ => end += 1,
            }
        }
        (end > 0).then(|| &value[..end])
    }

    /// Whether `event` is the one that ends a stream.
    pub(super) fn is_last(&self, event: &[u8]) -> bool {
        event.starts_with(self.done.needle()) || event.starts_with(self.stop.needle())
    }
}

/// Whether an event is nothing but a comment.
pub(super) fn is_comment(event: &[u8]) -> bool {
    event.starts_with(b":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_has_the_same_events_in_whatever_pieces_it_comes() {
        let body = b"data: a\n\nevent: b\ndata: b\r\n\r\n: note\n\ndata: [DONE]\n\n";
        for size in 1..=body.len() {
            let (mut cutter, mut events) = (Cutter::default(), Vec::new());
            for piece in body.chunks(size) {
                cutter.take(piece, |event| events.push(event.to_vec()));
            }
            assert_eq!(events.concat(), body, "pieces of {size}");
            assert_eq!(events.len(), 4, "pieces of {size}");
            assert!(!cutter.has_rest());
        }
        let mut cutter = Cutter::default();
        cutter.take(b"data: cut\n", |_| panic!("no event is whole"));
        assert!(cutter.has_rest());
    }

    #[test]
    fn an_event_that_never_ends_is_not_kept_whole() {
        let mut cutter = Cutter::default();
        for _ in 0..10 {
            cutter.take(&vec![b'x'; 1 << 20], |_| panic!("no event"));
        }
        assert_eq!(cutter.partial.len(), EVENT_BYTES_MAX);
    }

    #[test]
    fn the_text_of_a_delta_is_found_in_both_dialects() {
        let reader = Reader::new();
        for (event, text) in [
            (r#"data: {"choices":[{"delta":{"content":" loom"}}]}"#, Some(" loom")),
            (r#"data: {"choices":[{"delta":{"content": "a\"b\\"}}]}"#, Some(r#"a\"b\\"#)),
            (r#"data: {"choices":[{"delta":{"role":"assistant","content":""}}]}"#, None),
            (r#"data: {"choices":[{"delta":{"content":null}}]}"#, None),
            (
                r#"data: {"type":"content_block_delta","delta":{"type":"text_delta","text":"x"}}"#,
                Some("x"),
            ),
            (
                r#"data: {"type":"content_block_start","content_block":{"type":"text","text":""}}"#,
                None,
            ),
            (r#"data: {"delta":{"content":"cut"#, None),
            (r#"data: {"delta":{"content":"cut\"#, None),
        ] {
            assert_eq!(reader.text(event.as_bytes()), text.map(str::as_bytes), "{event}");
        }
        assert!(reader.is_last(b"data: [DONE]\n\n"));
        assert!(reader.is_last(b"event: message_stop\ndata: {}\n\n"));
        assert!(!reader.is_last(b"data: {\"content\":\"data: [DONE]\"}\n\n"));
    }
}
