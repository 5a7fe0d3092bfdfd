//! Exact paths through JSON: a trie of patterns, and the place in it where the tokens stand.
//!
//! A pattern is written as one would say it: `output[].content[].file_id`. A scan is then a table
//! of patterns with a mark each, and a handler of marks. `**` stands for any number of keys and
//! elements between: `content[].**.file_id`. The memory is one small level for each open container
//! and one key; the tokenizer bounds both.

use super::json::{Piece, Token};

/// The longest key that is told from others, in bytes; a longer one is in no table.
pub(super) const MAX_KEY_BYTES: usize = 32;

/// Where the tokens stand: at a stop of the trie, or off every pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place(Option<u16>);

impl Place {
    pub(super) const OFF: Self = Self(None);
    const ROOT: Self = Self(Some(0));
}

/// The trie.
pub(super) struct Paths<T> {
    stops: Vec<Stop<T>>,
}

struct Stop<T> {
    mark: Option<T>,
    /// Whatever is below here and in no pattern stays here.
    deep: bool,
    keys: Vec<(String, u16)>,
    element: Option<u16>,
}

impl<T> Stop<T> {
    const fn new() -> Self {
        Self { mark: None, deep: false, keys: Vec::new(), element: None }
    }
}

impl<T: Copy> Paths<T> {
    /// The trie of `rows`: patterns and their marks.
    pub(super) fn new<P: AsRef<str>>(rows: impl IntoIterator<Item = (P, T)>) -> Self {
        let mut paths = Self { stops: vec![Stop::new()] };
        for (pattern, mark) in rows {
            let mut at = 0;
            for segment in pattern.as_ref().split('.') {
                let name = segment.trim_end_matches("[]");
                if name == "**" {
                    paths.stops[at].deep = true;
                    continue;
                }
                debug_assert!(name.len() < MAX_KEY_BYTES, "the key {name} is never told apart");
                at = paths.below(at, name);
                for _ in 0..(segment.len() - name.len()) / 2 {
                    at = paths.element_of(at);
                }
            }
            paths.stops[at].mark = Some(mark);
        }
        paths
    }

    fn below(&mut self, at: usize, name: &str) -> usize {
        let known = self.stops[at].keys.iter().find(|(key, _)| key == name);
        if let Some((_, next)) = known {
            return usize::from(*next);
        }
        let next = self.push();
        self.stops[at].keys.push((name.to_owned(), next));
        usize::from(next)
    }

    fn element_of(&mut self, at: usize) -> usize {
        if let Some(next) = self.stops[at].element {
            return usize::from(next);
        }
        let next = self.push();
        self.stops[at].element = Some(next);
        usize::from(next)
    }

    fn push(&mut self) -> u16 {
        self.stops.push(Stop::new());
        // The tables have some dozens of stops; the last number would only ever be a wrong one.
        u16::try_from(self.stops.len() - 1).unwrap_or(u16::MAX)
    }

    fn stop(&self, place: Place) -> Option<&Stop<T>> {
        self.stops.get(usize::from(place.0?))
    }

    /// What the table says of a place.
    pub(super) fn mark(&self, place: Place) -> Option<T> {
        self.stop(place)?.mark
    }

    fn under_key(&self, place: Place, key: &[u8]) -> Place {
        let Some(stop) = self.stop(place) else { return Place::OFF };
        let known = stop.keys.iter().find(|(known, _)| known.as_bytes() == key);
        match known {
            Some((_, next)) => Place(Some(*next)),
            None if stop.deep => place,
            None => Place::OFF,
        }
    }

    fn in_array(&self, place: Place) -> Place {
        let Some(stop) = self.stop(place) else { return Place::OFF };
        match stop.element {
            Some(next) => Place(Some(next)),
            None if stop.deep => place,
            None => Place::OFF,
        }
    }
}

/// What a token is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// A key that has not ended.
    InKey,
    /// A key, which ends here: [`Walk::key`] has its text.
    KeyEnd,
    /// The value at this place: its whole token, one of its pieces, or its brackets.
    Value(Place),
}

/// Follows the tokens of one JSON value. `F` is what a scan remembers of each open container.
#[derive(Debug)]
pub(super) struct Walk<F> {
    levels: Vec<Level<F>>,
    /// The current key, or the one before the current value.
    key: Vec<u8>,
    in_key: bool,
    /// Where the value of the newest key stands.
    next: Place,
    /// Where the current string value stands.
    text: Place,
}

#[derive(Debug)]
struct Level<F> {
    place: Place,
    object: bool,
    frame: F,
}

impl<F: Default> Walk<F> {
    pub(super) const fn new() -> Self {
        Self {
            levels: Vec::new(),
            key: Vec::new(),
            in_key: false,
            next: Place::OFF,
            text: Place::OFF,
        }
    }

    /// Forgets everything, for another value.
    pub(super) fn reset(&mut self) {
        self.levels.clear();
        self.key.clear();
        self.in_key = false;
    }

    /// The text of the newest key, cut above [`MAX_KEY_BYTES`].
    pub(super) fn key(&self) -> &[u8] {
        &self.key
    }

    /// How many containers are open.
    pub(super) const fn depth(&self) -> usize {
        self.levels.len()
    }

    /// What is remembered of the innermost open container. A token that opens one has already
    /// opened it here; one that closes one has already closed it.
    pub(super) fn frame(&mut self) -> Option<&mut F> {
        self.levels.last_mut().map(|level| &mut level.frame)
    }

    /// What is remembered of the container around the innermost one.
    pub(super) fn outer_frame(&self) -> Option<&F> {
        let at = self.levels.len().checked_sub(2)?;
        self.levels.get(at).map(|level| &level.frame)
    }

    /// Takes the next token.
    pub(super) fn step<T: Copy>(&mut self, paths: &Paths<T>, token: Token<'_>) -> Step {
        match token {
            Token::KeyBegin => {
                self.key.clear();
                self.in_key = true;
                Step::InKey
            }
            Token::Text(piece) if self.in_key => {
                append(&mut self.key, piece, MAX_KEY_BYTES);
                Step::InKey
            }
            Token::StringEnd if self.in_key => {
                self.in_key = false;
                let place = self.levels.last().map_or(Place::OFF, |level| level.place);
                self.next = paths.under_key(place, &self.key);
                Step::KeyEnd
            }
            Token::Text(_) | Token::StringEnd => Step::Value(self.text),
            Token::ObjectEnd | Token::ArrayEnd => {
                Step::Value(self.levels.pop().map_or(Place::OFF, |level| level.place))
            }
            Token::ObjectBegin
            | Token::ArrayBegin
            | Token::StringBegin
            | Token::Number(_)
            | Token::Bool(_)
            | Token::Null => {
                let place = match self.levels.last() {
                    None => Place::ROOT,
                    Some(level) if level.object => self.next,
                    Some(level) => paths.in_array(level.place),
                };
                if token == Token::StringBegin {
                    self.text = place;
                }
                if matches!(token, Token::ObjectBegin | Token::ArrayBegin) {
                    let object = token == Token::ObjectBegin;
                    self.levels.push(Level { place, object, frame: F::default() });
                }
                Step::Value(place)
            }
        }
    }
}

/// Appends a piece of a string to `text`, up to `max` bytes in all. What is no text becomes a byte
/// that UTF-8 does not have.
pub(super) fn append(text: &mut Vec<u8>, piece: Piece<'_>, max: usize) {
    let mut encoded = [0; 4];
    let bytes = match piece {
        Piece::Raw(bytes) => bytes,
        Piece::Escaped(character) => character.encode_utf8(&mut encoded).as_bytes(),
        Piece::LoneSurrogate(_) => &[0xff],
    };
    let room = max.saturating_sub(text.len());
    text.extend_from_slice(&bytes[..bytes.len().min(room)]);
}

#[cfg(test)]
mod tests {
    use super::super::json::{JsonError, Tokenizer};
    use super::*;

    /// The marks that a text meets, with the values that stand there as written.
    fn met(rows: &[(&str, u8)], text: &str) -> Vec<u8> {
        let paths = Paths::new(rows.iter().copied());
        let mut walk = Walk::<()>::new();
        let mut met = Vec::new();
        let mut tokenizer = Tokenizer::new();
        tokenizer
            .feed::<JsonError>(text.as_bytes(), |depth, token| {
                let opens = matches!(token, Token::ObjectBegin | Token::ArrayBegin);
                let step = walk.step(&paths, token);
                assert_eq!(walk.depth(), depth + usize::from(opens), "{token:?}");
                let ends = matches!(
                    token,
                    Token::Text(_) | Token::StringEnd | Token::ObjectEnd | Token::ArrayEnd
                );
                if let (Step::Value(place), false) = (step, ends) {
                    met.extend(paths.mark(place));
                }
                Ok(())
            })
            .expect("json");
        met
    }

    #[test]
    fn a_path_is_met_at_its_own_depth_alone() {
        let rows = [("id", 1), ("output[].id", 2), ("output[].content[].a.id", 3)];
        for (text, wanted) in [
            (r#"{"id":"x"}"#, vec![1]),
            (r#"{"a":{"id":1},"id":{"id":2}}"#, vec![1]),
            (r#"{"output":[{"id":1},{"x":{"id":2},"id":3}],"id":4}"#, vec![2, 2, 1]),
            (r#"{"output":{"id":1}}"#, vec![]),
            (r#"{"output":[[{"id":1}]]}"#, vec![]),
            (r#"{"output":[{"content":[{"a":{"id":1}},{"id":2}]}]}"#, vec![3]),
            (r#"[{"id":1}]"#, vec![]),
            (r#"{"\u0069\u0064":null}"#, vec![1]),
        ] {
            assert_eq!(met(&rows, text), wanted, "{text}");
        }
    }

    #[test]
    fn a_deep_pattern_is_met_at_any_depth_below_its_stem() {
        let rows = [("c[].d.**.id", 1), ("c[].id", 2)];
        for (text, wanted) in [
            (r#"{"c":[{"id":1,"d":{"id":2,"x":{"y":[[{"id":3}]]}}}]}"#, vec![2, 1, 1]),
            (r#"{"c":[{"d":[{"id":1}]}]}"#, vec![1]),
            (r#"{"d":{"id":1},"c":[{"e":{"id":1}}]}"#, vec![]),
        ] {
            assert_eq!(met(&rows, text), wanted, "{text}");
        }
    }

    #[test]
    fn a_key_that_only_begins_like_a_known_one_is_another() {
        let long = format!(r#"{{"{}":1,"id":2}}"#, "i".repeat(10_000));
        assert_eq!(met(&[("id", 1)], &long), vec![1]);
        assert_eq!(met(&[("id", 1)], r#"{"idx":1,"i":2,"id\ud800":3,"":4}"#), Vec::<u8>::new());
    }
}
