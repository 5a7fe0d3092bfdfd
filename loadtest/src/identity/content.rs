//! What bodies are made of: seeded bytes of any size in the shape of a document, of events, of a
//! form or of sound, piece by piece and never whole in memory.
//!
//! The same content gives the same bytes each time it is asked, so that either end can be checked
//! against a third copy.

use super::events::{Events, Style};
use crate::provider::script::Pieces;
use bytes::Bytes;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};
use std::iter::{from_fn, once};
use std::sync::LazyLock;

/// Bytes of the two blocks from which all filling is cut.
const BLOCK_BYTES: usize = 1 << 20;
/// Bytes of a unit of text: any number of units is a JSON string's inside.
pub(super) const UNIT_BYTES: usize = 16;
/// Longest piece of filling, as a power of two.
const PIECE_BITS: u32 = 18;

/// Random bytes.
static NOISE: LazyLock<Bytes> = LazyLock::new(|| {
    let mut noise = vec![0; BLOCK_BYTES];
    ChaCha8Rng::seed_from_u64(1).fill_bytes(&mut noise);
    noise.into()
});

/// Units of text: words, escapes, characters of up to four bytes.
static TEXT: LazyLock<Bytes> = LazyLock::new(|| {
    const UNITS: [&str; 12] = [
        "warp and weft of",
        "a quiet thread. ",
        "\\n\\t\\\"quoted\\\" x",
        "\\u00e9\\u4e09!!!!",
        "\\ud83e\\uddf5 etc",
        "naïve café üb",
        "織物織物織",
        "🧵🧵🧵🧵",
        "}],\\\"model\\\":1",
        "{[<data: event>]",
        "[DONE] ... [DONE",
        "\\\\n \\/ \\\\u0000 ",
    ];
    let mut chance = ChaCha8Rng::seed_from_u64(2);
    let mut text = Vec::with_capacity(BLOCK_BYTES);
    while text.len() < BLOCK_BYTES {
        let unit = UNITS[chance.random_range(0..UNITS.len())].as_bytes();
        text.extend_from_slice(unit);
        text.resize(text.len().next_multiple_of(UNIT_BYTES), b'.');
    }
    text.truncate(BLOCK_BYTES);
    text.into()
});

/// What the middle of a body is filled with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filling {
    /// The inside of a JSON string.
    Text,
    /// Any bytes.
    Noise,
}

/// The bytes of one body.
#[derive(Debug, Clone)]
pub enum Content {
    /// So many bytes between two fixed texts.
    Filled {
        /// What comes first.
        before: String,
        /// What is in the middle.
        filling: Filling,
        /// How much of it, bytes.
        bytes: u64,
        /// What comes last.
        after: String,
        /// Which bytes.
        seed: u64,
    },
    /// Server-sent events.
    Events {
        /// Whose.
        style: Style,
        /// Bytes of text in all of them.
        bytes: u64,
        /// Which.
        seed: u64,
    },
}

impl Content {
    /// No bytes.
    #[must_use]
    pub const fn empty() -> Self {
        Self::plain(Filling::Noise, 0, 0)
    }

    /// `bytes` bytes of `filling` alone.
    #[must_use]
    pub const fn plain(filling: Filling, bytes: u64, seed: u64) -> Self {
        Self::Filled { before: String::new(), filling, bytes, after: String::new(), seed }
    }

    /// `filling` between two texts, all of it `size` bytes long where there is room for any.
    #[must_use]
    pub fn between(before: String, filling: Filling, after: String, size: u64, seed: u64) -> Self {
        let bytes = size.saturating_sub((before.len() + after.len()) as u64);
        Self::Filled { before, filling, bytes, after, seed }
    }

    /// The bytes in their order.
    #[must_use]
    pub fn pieces(&self) -> Pieces {
        match self.clone() {
            Self::Filled { before, filling, bytes, after, seed } => {
                let all = once(Bytes::from(before))
                    .chain(filled(filling, bytes, seed))
                    .chain(once(Bytes::from(after)));
                Box::new(all.filter(|piece| !piece.is_empty()))
            }
            Self::Events { style, bytes, seed } => Box::new(Events::new(style, bytes, seed)),
        }
    }

    /// How many there are.
    #[must_use]
    pub fn length(&self) -> u64 {
        match self {
            Self::Filled { before, bytes, after, .. } => {
                before.len() as u64 + bytes + after.len() as u64
            }
            Self::Events { .. } => self.pieces().map(|piece| piece.len() as u64).sum(),
        }
    }

    /// The digest of the first `count` bytes, in hex.
    #[must_use]
    pub fn digest_of_first(&self, count: u64) -> String {
        let (mut left, mut digest) = (count, Sha256::new());
        for piece in self.pieces() {
            let take = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            digest.update(&piece[..take]);
            left -= take as u64;
            if left == 0 {
                break;
            }
        }
        hex(&digest.finalize())
    }
}

/// Lower-case hex.
pub(super) fn hex(bytes: &[u8]) -> String {
    crate::provider::hex(bytes)
}

/// `bytes` bytes of `filling`, in pieces of every size.
pub(super) fn filled(
    filling: Filling,
    bytes: u64,
    seed: u64,
) -> impl Iterator<Item = Bytes> + Send + Sync {
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    let mut left = bytes;
    from_fn(move || {
        let piece = cut(filling, left, &mut chance);
        left -= piece.len() as u64;
        (!piece.is_empty()).then_some(piece)
    })
}

/// At most `left` bytes.
fn cut(filling: Filling, left: u64, chance: &mut ChaCha8Rng) -> Bytes {
    let bits = chance.random_range(4..=PIECE_BITS);
    let wanted = chance.random_range(1..=1_usize << bits);
    let room = usize::try_from(left).unwrap_or(usize::MAX);
    match filling {
        Filling::Noise => {
            let length = wanted.min(room);
            let at = chance.random_range(0..=BLOCK_BYTES - length);
            NOISE.slice(at..at + length)
        }
        Filling::Text if room < UNIT_BYTES => Bytes::from("x".repeat(room)),
        Filling::Text => {
            let units = wanted.min(room).div_ceil(UNIT_BYTES).min(room / UNIT_BYTES);
            let at = chance.random_range(0..=BLOCK_BYTES / UNIT_BYTES - units);
            TEXT.slice(at * UNIT_BYTES..(at + units) * UNIT_BYTES)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn bytes(content: &Content) -> Vec<u8> {
        content.pieces().flatten().collect()
    }

    #[test]
    fn text_of_every_length_is_the_inside_of_a_json_string() {
        for size in (2..200).chain([4_096, 70_001, 1_000_003]) {
            let quote = || "\"".to_owned();
            let content = Content::between(quote(), Filling::Text, quote(), size, size);
            let whole = bytes(&content);
            assert_eq!((whole.len() as u64, content.length()), (size, size));
            assert!(serde_json::from_slice::<Value>(&whole).is_ok(), "{size}");
        }
    }

    #[test]
    fn the_same_content_gives_the_same_bytes_and_another_seed_others() {
        let content = |seed| Content::plain(Filling::Noise, 100_000, seed);
        assert_eq!(bytes(&content(7)), bytes(&content(7)));
        assert_ne!(bytes(&content(7)), bytes(&content(8)));
        let whole = bytes(&content(7));
        let digest = hex(&Sha256::digest(&whole[..50_000]));
        assert_eq!(content(7).digest_of_first(50_000), digest);
    }
}
