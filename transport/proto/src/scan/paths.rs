//! Exact paths through JSON: a trie of patterns, and the place in it where the tokens stand.
//!
//! A pattern is written as one would say it: `output[].content[].file_id`. A scan is then a table
//! of patterns with a mark each, and a handler of marks. `**` stands for any number of keys and
//! elements between: `content[].**.file_id`. The memory is one small level for each open container
//! and one key; the tokenizer bounds both.

use super::json::{Piece, Token};

/// The longest key that is told from others, in bytes; a longer one is in no table.
pub(crate) const MAX_KEY_BYTES: usize = 32;

/// Where the tokens stand: at a stop of the trie, or off every pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place(Option<u16>);

impl Place {
    pub(crate) const OFF: Self = Self(None);
    const ROOT: Self = Self(Some(0));
}

/// The trie.
pub(crate) struct Paths<T> {
    stops: Vec<Stop<T>>,
}

struct Stop<T> {
    mark: Option<T>,
    /// Whatever is below here and in no pattern stays here.
    deep: bool,
    keys: Vec<Key>,
    element: Option<u16>,
}

/// A key that leads on. Its length and first byte stand apart: nearly every other key differs in
/// them, and is told by them alone.
struct Key {
    length: usize,
    first: u8,
    name: Box<[u8]>,
    next: u16,
}

impl Key {
    fn is(&self, key: &[u8]) -> bool {
        self.length == key.len() && key.first() == Some(&self.first) && *self.name == *key
    }
}

impl<T> Stop<T> {
    const fn new() -> Self {
        Self { mark: None, deep: false, keys: Vec::new(), element: None }
    }
}

impl<T: Copy> Paths<T> {
    /// The trie of `rows`: patterns and their marks.
    pub(crate) fn new<P: AsRef<str>>(rows: impl IntoIterator<Item = (P, T)>) -> Self {
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
        if let Some(known) = self.stops[at].keys.iter().find(|key| key.is(name.as_bytes())) {
            return usize::from(known.next);
        }
        let next = self.push();
        self.stops[at].keys.push(Key {
            length: name.len(),
            first: name.bytes().next().unwrap_or_default(),
            name: name.as_bytes().into(),
            next,
        });
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
    pub(crate) fn mark(&self, place: Place) -> Option<T> {
        self.stop(place)?.mark
    }

    fn under_key(&self, place: Place, key: &[u8]) -> Place {
        let Some(stop) = self.stop(place) else { return Place::OFF };
        let known = stop.keys.iter().find(|known| known.is(key));
        match known {
            Some(known) => Place(Some(known.next)),
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
pub(crate) enum Step {
    /// A key that has not ended.
    InKey,
    /// A key, which ends here: [`Walk::key`] has its text.
    KeyEnd,
    /// The value at this place: its whole token, one of its pieces, or its brackets.
    Value(Place),
}

/// Follows the tokens of one JSON value. `F` is what a scan remembers of each open container.
#[derive(Debug)]
pub(crate) struct Walk<F> {
    levels: Vec<Level<F>>,
    /// The current key, or the one before the current value.
    key: Vec<u8>,
    in_key: bool,
    /// Where the value of the newest key stands.
    next: Place,
    /// Where the current string value stands.
    text: Place,
    /// Keys are kept where no pattern stands, too.
    all_keys: bool,
    /// The current key is kept.
    keeping: bool,
}

#[derive(Debug)]
struct Level<F> {
    place: Place,
    object: bool,
    frame: F,
}

impl<F: Default> Walk<F> {
    pub(crate) const fn new() -> Self {
        Self {
            levels: Vec::new(),
            key: Vec::new(),
            in_key: false,
            next: Place::OFF,
            text: Place::OFF,
            all_keys: true,
            keeping: true,
        }
    }

    /// The same, whose [`Walk::key`] is empty where no pattern stands.
    pub(crate) const fn of_known_keys() -> Self {
        let mut walk = Self::new();
        walk.all_keys = false;
        walk
    }

    /// Forgets everything, for another value.
    pub(crate) fn reset(&mut self) {
        self.levels.clear();
        self.key.clear();
        self.in_key = false;
    }

    /// The text of the newest key, cut above [`MAX_KEY_BYTES`].
    pub(crate) fn key(&self) -> &[u8] {
        &self.key
    }

    /// Where the value of the newest key will stand.
    pub(crate) const fn under_newest_key(&self) -> Place {
        self.next
    }

    /// How many containers are open.
    pub(crate) const fn depth(&self) -> usize {
        self.levels.len()
    }

    /// Bytes of memory behind this one.
    #[cfg(test)]
    pub(crate) fn heap_bytes(&self) -> usize {
        self.levels.capacity() * size_of::<Level<F>>() + self.key.capacity()
    }

    /// What is remembered of the innermost open container. A token that opens one has already
    /// opened it here; one that closes one has already closed it.
    pub(crate) fn frame(&mut self) -> Option<&mut F> {
        self.levels.last_mut().map(|level| &mut level.frame)
    }

    /// What is remembered of the container around the innermost one.
    pub(crate) fn outer_frame(&self) -> Option<&F> {
        let at = self.levels.len().checked_sub(2)?;
        self.levels.get(at).map(|level| &level.frame)
    }

    /// Takes the next token.
    pub(crate) fn step<T: Copy>(&mut self, paths: &Paths<T>, token: Token<'_>) -> Step {
        match token {
            Token::KeyBegin => {
                self.key_begin();
                Step::InKey
            }
            Token::Text(piece) if self.in_key => {
                self.key_piece(piece);
                Step::InKey
            }
            Token::StringEnd if self.in_key => {
                self.key_end(paths);
                Step::KeyEnd
            }
            Token::Text(_) | Token::StringEnd => Step::Value(self.text),
            Token::ObjectEnd | Token::ArrayEnd => Step::Value(self.close()),
            Token::ObjectBegin => Step::Value(self.open(paths, true)),
            Token::ArrayBegin => Step::Value(self.open(paths, false)),
            Token::StringBegin => {
                self.text = self.value(paths);
                Step::Value(self.text)
            }
            Token::Number(_) | Token::Bool(_) | Token::Null => Step::Value(self.value(paths)),
        }
    }

    // The steps one by one, for a reader that looks at each token once.

    /// Whether the current string is a key.
    pub(crate) const fn in_key(&self) -> bool {
        self.in_key
    }

    pub(crate) fn key_begin(&mut self) {
        self.key.clear();
        self.in_key = true;
        self.keeping =
            self.all_keys || self.levels.last().is_some_and(|level| level.place != Place::OFF);
    }

    pub(crate) fn key_piece(&mut self, piece: Piece<'_>) {
        if self.keeping {
            append(&mut self.key, piece, MAX_KEY_BYTES);
        }
    }

    pub(crate) fn key_end<T: Copy>(&mut self, paths: &Paths<T>) {
        self.in_key = false;
        let place = self.levels.last().map_or(Place::OFF, |level| level.place);
        self.next = paths.under_key(place, &self.key);
    }

    /// Where a value stands that is no container.
    pub(crate) fn value<T: Copy>(&self, paths: &Paths<T>) -> Place {
        match self.levels.last() {
            None => Place::ROOT,
            Some(level) if level.object => self.next,
            Some(level) => paths.in_array(level.place),
        }
    }

    /// Where a container stands that begins.
    pub(crate) fn open<T: Copy>(&mut self, paths: &Paths<T>, object: bool) -> Place {
        let place = self.value(paths);
        self.levels.push(Level { place, object, frame: F::default() });
        place
    }

    /// Where the container stands that ends.
    pub(crate) fn close(&mut self) -> Place {
        self.levels.pop().map_or(Place::OFF, |level| level.place)
    }
}

/// Appends a piece of a string to `text`, up to `max` bytes in all. What is no text becomes a byte
/// that UTF-8 does not have.
pub(crate) fn append(text: &mut Vec<u8>, piece: Piece<'_>, max: usize) {
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
