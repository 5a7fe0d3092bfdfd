//! Words to answer with: the same seed gives the same words.
//!
//! Some words are longer in bytes than in characters, so that a cut or a split falls inside one.
//! None needs escaping in JSON.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::iter::from_fn;

const WORDS: [&str; 32] = [
    "loom", "thread", "river", "stone", "light", "slowly", "carries", "under", "the", "a", "and",
    "of", "every", "small", "bridge", "north", "wind", "turns", "quiet", "grain", "paper", "naïve",
    "café", "über", "мост", "κύμα", "織物", "糸", "🧵", "→", "seven", "again",
];

/// Bytes from `seed`, for what is binary.
pub(crate) fn bytes(seed: u64, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    ChaCha8Rng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes
}

/// The text of one answer, in pieces.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Text {
    pub(crate) seed: u64,
    pub(crate) deltas: u32,
    pub(crate) delta_bytes: Option<u32>,
}

impl Text {
    /// The pieces in order.
    pub(crate) fn pieces(self) -> impl Iterator<Item = String> + Send + Sync + use<> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        (0..self.deltas).map(move |index| {
            let mut words = from_fn(|| Some(WORDS[rng.next_u32() as usize % WORDS.len()]));
            match self.delta_bytes {
                Some(length) => exactly(length as usize, &mut words),
                None => {
                    let gap = if index == 0 { "" } else { " " };
                    format!("{gap}{}", words.next().unwrap_or_default())
                }
            }
        })
    }

    /// All pieces in one.
    pub(crate) fn whole(self) -> String {
        self.pieces().collect()
    }
}

/// Words up to exactly `length` bytes; what no word fits into is filled with full stops.
fn exactly(length: usize, words: &mut impl Iterator<Item = &'static str>) -> String {
    let mut text = String::with_capacity(length);
    for word in words {
        if text.len() + word.len() + 1 > length {
            break;
        }
        text.push_str(word);
        text.push(' ');
    }
    text.extend(std::iter::repeat_n('.', length - text.len()));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_text_and_another_seed_another() {
        let text = |seed| Text { seed, deltas: 50, delta_bytes: None }.whole();
        assert_eq!(text(7), text(7));
        assert_ne!(text(7), text(8));
    }

    #[test]
    fn a_piece_has_exactly_the_bytes_asked_for() {
        for length in [1, 2, 7, 12, 100, 4_096] {
            let text = Text { seed: 1, deltas: 20, delta_bytes: Some(length) };
            assert!(text.pieces().all(|piece| piece.len() == length as usize));
        }
    }
}
