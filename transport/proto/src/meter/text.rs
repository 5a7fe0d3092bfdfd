//! Tokens of text that arrives in pieces, counted and forgotten.
//!
//! The tables are o200k's, whatever the model: what is counted here is an estimate by its nature,
//! for a provider that reports its usage is believed instead. Text waits in a carry of
//! [`CARRY_BYTES`] for the end of a token. When the carry is full it is counted up to its last word,
//! so that the result is the same in whatever pieces the text came.

use std::hash::{BuildHasher, RandomState};
use std::str;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use bpe_openai::Tokenizer;

use crate::scan::json::Piece;

/// Bytes of text that may wait for the end of a token.
pub const CARRY_BYTES: usize = 256;

/// From every stretch of so many bytes of a request's text …
const STRETCH_BYTES: u64 = 64 * 1024;

/// … the first ones are counted, and the rest is taken to be like them.
const SAMPLE_BYTES: u64 = 4 * 1024;

/// Words whose counts are remembered: 32 KiB for a process.
const LATELY_SLOTS: u64 = 4096;

/// Longest word whose count is remembered, in bytes.
const LATELY_BYTES_MAX: usize = 32;

/// Where a remembered count is.
const COUNT_BITS: u64 = 0xff;

/// Loads the tables that tokens are counted with, so that the first exchange need not wait for
/// them. It takes some tens of milliseconds, once.
pub fn warm_up() {
    LazyLock::force(&TABLES);
}

static TABLES: LazyLock<&Tokenizer> = LazyLock::new(bpe_openai::o200k_base);

/// Tokens of a text that stands by itself.
fn count(text: &[u8]) -> u64 {
    match str::from_utf8(text) {
        Ok(text) => words(text).map(word).sum(),
        // A text that was cut inside a character.
        Err(_) => words(&String::from_utf8_lossy(text)).map(word).sum(),
    }
}

/// Splits a text into words as the tables do. Their regular expression is asked only where a word
/// is not plain.
fn words(mut text: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let first = match plain(text.as_bytes()) {
            0 => TABLES.split(text).next()?.len(),
            plain => plain,
        };
        let (word, rest) = text.split_at_checked(first)?;
        text = rest;
        Some(word)
    })
}

/// Length of the first word, where it is plain: after at most one space a capital or none, then
/// small letters, or else one to three digits; all of ASCII, and with nothing behind that could
/// belong to it. Zero where it is not.
fn plain(text: &[u8]) -> usize {
    let run = |from: usize, of: fn(&u8) -> bool| {
        text.get(from..).map_or(0, |rest| rest.iter().take_while(|byte| of(byte)).count())
    };
    let digits = run(0, u8::is_ascii_digit);
    if digits >= 3 {
        return 3;
    }
    let end = if digits > 0 {
        digits
    } else {
        let space = usize::from(text.first() == Some(&b' '));
        let capital = usize::from(text.get(space).is_some_and(u8::is_ascii_uppercase));
        let small = run(space + capital, u8::is_ascii_lowercase);
        if small == 0 {
            return 0;
        }
        space + capital + small
    };
    match text.get(end) {
        // An ending like 's, or a letter or a digit of another script.
        Some(b'\'' | 0x80..) => 0,
        Some(_) | None => end,
    }
}

/// Counts of words that were counted lately: most words of most texts are few. Only hashes are
/// kept, under a key of the process's own, and no text.
struct Lately {
    key: RandomState,
    /// The upper bits of a word's hash above its count; zero where there is none.
    slots: Box<[AtomicU64]>,
}

static LATELY: LazyLock<Lately> = LazyLock::new(|| Lately {
    key: RandomState::new(),
    slots: (0..LATELY_SLOTS).map(|_| AtomicU64::new(0)).collect(),
});

/// Tokens of a word, as the tables split texts into words: no token reaches over two of them.
fn word(word: &str) -> u64 {
    let counted = || TABLES.bpe.count(word.as_bytes()) as u64;
    if word.len() > LATELY_BYTES_MAX {
        return counted();
    }
    let lately = &*LATELY;
    let hash = lately.key.hash_one(word);
    let (name, at) = (hash & !COUNT_BITS, hash % LATELY_SLOTS);
    let Some(slot) = usize::try_from(at).ok().and_then(|at| lately.slots.get(at)) else {
        return counted();
    };
    let kept = slot.load(Ordering::Relaxed);
    if kept & !COUNT_BITS == name && kept & COUNT_BITS != 0 {
        return kept & COUNT_BITS;
    }
    let tokens = counted();
    if tokens <= COUNT_BITS {
        slot.store(name | tokens, Ordering::Relaxed);
    }
    tokens
}

/// Hands on the text that a piece of a JSON string stands for.
fn with_text(piece: Piece<'_>, push: impl FnOnce(&[u8])) {
    match piece {
        Piece::Raw(bytes) => push(bytes),
        Piece::Escaped(character) => push(character.encode_utf8(&mut [0; 4]).as_bytes()),
        Piece::LoneSurrogate(_) => push("\u{fffd}".as_bytes()),
    }
}

/// Counts the tokens of a text.
#[derive(Debug, Default)]
pub(super) struct TextCounter {
    carry: Vec<u8>,
    tokens: u64,
}

impl TextCounter {
    /// The next piece of a JSON string.
    pub(super) fn piece(&mut self, piece: Piece<'_>) {
        with_text(piece, |text| self.push(text));
    }

    /// The next bytes of the text.
    pub(super) fn push(&mut self, mut bytes: &[u8]) {
        loop {
            let room = CARRY_BYTES - self.carry.len();
            let (now, rest) = bytes.split_at(room.min(bytes.len()));
            self.carry.extend_from_slice(now);
            if self.carry.len() < CARRY_BYTES {
                return;
            }
            let cut = cut(&self.carry);
            self.tokens += count(&self.carry[..cut]);
            self.carry.drain(..cut);
            bytes = rest;
        }
    }

    /// Ends the text: what follows is another.
    pub(super) fn end(&mut self) {
        if !self.carry.is_empty() {
            self.tokens += count(&self.carry);
            self.carry.clear();
        }
    }

    /// Tokens so far; what waits is guessed, and guessed low.
    pub(super) fn about(&self) -> u64 {
        self.tokens + (self.carry.len() / 8) as u64
    }

    /// Tokens of all texts, the last of which has ended here.
    pub(super) fn total(&mut self) -> u64 {
        self.end();
        self.tokens
    }

    /// Forgets what was counted.
    pub(super) fn clear(&mut self) {
        self.carry.clear();
        self.tokens = 0;
    }

    /// Bytes of memory behind this one.
    #[cfg(test)]
    pub(super) fn heap_bytes(&self) -> usize {
        self.carry.capacity()
    }
}

/// Where a full carry is cut: before its last word, or else between two characters.
fn cut(carry: &[u8]) -> usize {
    let word = (1..carry.len())
        .rev()
        .find(|&at| carry[at] == b' ' && !carry[at - 1].is_ascii_whitespace());
    word.unwrap_or_else(|| {
        let first_of_character = |byte: &u8| byte & 0xc0 != 0x80;
        let tail = carry.iter().rposition(first_of_character).unwrap_or_default();
        let whole = str::from_utf8(&carry[tail..]).is_ok();
        // What is no text at all is taken as it is.
        if whole || tail == 0 { carry.len() } else { tail }
    })
}

/// Counts the tokens of a request's text by samples: a provider is waiting for nothing here, but
/// the hub's other exchanges are.
#[derive(Debug, Default)]
pub(super) struct SampledCounter {
    counter: TextCounter,
    /// Tokens of the samples that have ended.
    seen: u64,
    sampled: u64,
}

impl SampledCounter {
    /// The next piece of a JSON string.
    pub(super) fn piece(&mut self, piece: Piece<'_>) {
        with_text(piece, |text| self.push(text));
    }

    /// The next bytes of the text.
    pub(super) fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let at = self.seen % STRETCH_BYTES;
            let sampling = at < SAMPLE_BYTES;
            let end = if sampling { SAMPLE_BYTES } else { STRETCH_BYTES };
            let room = usize::try_from(end - at).unwrap_or(usize::MAX);
            let (now, rest) = bytes.split_at(room.min(bytes.len()));
            if sampling {
                self.counter.push(now);
                self.sampled += now.len() as u64;
                if now.len() == room {
                    self.counter.end();
                }
            }
            self.seen += now.len() as u64;
            bytes = rest;
        }
    }

    /// Ends the text: what follows is another.
    pub(super) fn end(&mut self) {
        self.counter.end();
    }

    /// Bytes of text so far.
    pub(super) const fn bytes(&self) -> u64 {
        self.seen
    }

    /// Tokens of all of it, as far as the samples tell.
    pub(super) fn estimate(&self) -> u64 {
        if self.sampled == 0 {
            return 0;
        }
        let waiting = (self.counter.carry.len() as u64).div_ceil(4);
        let tokens = u128::from(self.counter.tokens + waiting) * u128::from(self.seen);
        u64::try_from(tokens.div_ceil(u128::from(self.sampled))).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn counted(pieces: &[&[u8]]) -> u64 {
        let mut counter = TextCounter::default();
        for piece in pieces {
            counter.push(piece);
            assert!(counter.carry.len() < CARRY_BYTES);
        }
        counter.total()
    }

    #[test]
    fn words_count_as_the_tables_say() {
        assert_eq!(counted(&[b"hello world"]), 2);
        assert_eq!(counted(&[b"hel", b"lo wor", b"ld"]), 2);
        assert_eq!(counted(&["\u{1f600}".as_bytes()]), counted(&[b"\xf0\x9f", b"\x98\x80"]));
        assert_eq!(counted(&[]), 0);
    }

    #[test]
    fn a_word_counts_alike_whether_it_is_remembered_or_not() {
        for text in
            ["hello", " hello", "naïve", "antidisestablishmentarianism", "1234", "\u{1f600}"]
        {
            let whole = bpe_openai::o200k_base().count(text) as u64;
            for _ in 0..3 {
                assert_eq!(count(text.as_bytes()), whole, "{text}");
            }
        }
    }

    #[test]
    fn a_long_text_counts_as_if_it_were_whole() {
        let text = "The quick brown fox jumps over 12345 lazy dogs, doesn't it?\n\n  ".repeat(200);
        let whole = bpe_openai::o200k_base().count(text.as_str()) as u64;
        let counted = counted(&[text.as_bytes()]);
        assert_eq!(counted, whole);
    }

    #[test]
    fn a_text_without_spaces_counts_nearly_as_if_it_were_whole() {
        let text = "我们的计数不保存任何文字。".repeat(100);
        let whole = bpe_openai::o200k_base().count(text.as_str()) as u64;
        let counted = counted(&[text.as_bytes()]);
        assert!(counted.abs_diff(whole) <= 1 + text.len() as u64 / CARRY_BYTES as u64);
    }

    #[test]
    fn a_sampled_text_is_estimated_close_to_its_count() {
        let text = "A plain sentence with nine words in it, again. ".repeat(20_000);
        let whole = bpe_openai::o200k_base().count(text.as_str()) as u64;
        let mut sampled = SampledCounter::default();
        sampled.push(text.as_bytes());
        sampled.end();
        assert!(sampled.estimate().abs_diff(whole) < whole / 50, "{} {whole}", sampled.estimate());
        assert!(sampled.sampled < sampled.seen / 10);
    }

    proptest! {
        #[test]
        fn words_are_those_of_the_tables(
            text in "(\\PC|[ \n'A-Z0-9é२]|[a-z]{1,9}|[A-Z]?[a-z]{1,9}('(s|LL|x))?){0,40}",
        ) {
            let (ours, theirs): (Vec<_>, Vec<_>) = (words(&text).collect(), TABLES.split(&text).collect());
            prop_assert_eq!(ours, theirs);
        }

        #[test]
        fn the_count_does_not_depend_on_the_pieces(
            text in "(\\PC| |\n|[a-z]{1,9}){0,200}",
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<_> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            prop_assert_eq!(counted(&pieces), counted(&[bytes]));
            let (mut in_pieces, mut whole) = (SampledCounter::default(), SampledCounter::default());
            pieces.iter().for_each(|piece| in_pieces.push(piece));
            whole.push(bytes);
            prop_assert_eq!(in_pieces.estimate(), whole.estimate());
        }
    }
}
