//! The end of what went out of an event stream, however it came in pieces: whether another event may
//! begin there. A line ends in LF, CR LF or CR; an event ends in an empty line.

/// As many bytes as the longest end of an event that is looked for.
const BYTES: usize = 3;

/// The last bytes that went out.
#[derive(Debug, Default)]
pub(super) struct Tail([u8; BYTES]);

impl Tail {
    /// Takes what goes out next.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        for byte in bytes.iter().skip(bytes.len().saturating_sub(BYTES)) {
            let [_, second, third] = self.0;
            self.0 = [second, third, *byte];
        }
    }

    /// Whether they end in an empty line.
    pub(super) fn is_boundary(&self) -> bool {
        self.0.ends_with(b"\n\n") || self.0 == *b"\n\r\n" || self.0.ends_with(b"\r\r")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_over_wherever_its_end_was_split() {
        let over = ["data: 1\n\n", "data: 1\r\n\r\n", "data: 1\n\r\n", "data: 1\r\r", "\n\n"];
        let open = ["data: 1", "data: 1\n", "data: 1\r\n", "data: \n\nx", "\r\n", "\n", "a\n \n"];
        for (texts, boundary) in [(&over[..], true), (&open[..], false)] {
            for text in texts {
                for size in 1..=text.len() {
                    let mut tail = Tail::default();
                    text.as_bytes().chunks(size).for_each(|piece| tail.take(piece));
                    assert_eq!(tail.is_boundary(), boundary, "{text:?} in pieces of {size}");
                    tail.take(b"");
                    assert_eq!(tail.is_boundary(), boundary, "{text:?} and nothing more");
                }
            }
        }
    }
}
