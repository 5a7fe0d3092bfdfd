//! The text of a user's key: `wk-` and 49 letters and digits.
//!
//! The letters are one number in base 62: 32 random bytes, then a checksum of four. A typo, a
//! truncated paste or a key of another service is therefore refused without a look-up, and a scan
//! for leaked keys can match `wk-[0-9A-Za-z]{49}`. The hub stores the SHA-256 of the whole text,
//! which nobody can turn back: 256 random bits need no slow hash.
//!
//! Never printed but by [`KeySecret::expose`]; the bytes are wiped when the value goes.

use sha2::{Digest, Sha256};
use std::fmt;
use weft_proto::entropy::Entropy;
use zeroize::{Zeroize, Zeroizing};

/// What every key begins with.
const PREFIX: &str = "wk-";
/// The random part of a key, bytes.
const SECRET_BYTES: usize = 32;
/// The checksum behind it, bytes.
const CHECKSUM_BYTES: usize = 4;
const BODY_BYTES: usize = SECRET_BYTES + CHECKSUM_BYTES;
/// The letters that 36 bytes need in base 62: ⌈288 / log₂ 62⌉.
const BODY_LETTERS: usize = 49;
/// Length of a whole key, bytes (all ASCII).
pub const KEY_TEXT_BYTES: usize = PREFIX.len() + BODY_LETTERS;
/// Keeps the checksum from being the hash of anything else.
const CHECKSUM_DOMAIN: &[u8] = b"weft user key v1\0";
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A user's key in the clear: made once, shown once, or just presented by a request.
pub struct KeySecret([u8; SECRET_BYTES]);

/// Why a text is no key. The text itself is never repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MalformedKey {
    /// It does not begin with `wk-`.
    #[error("not a Weft key: it does not begin with \"wk-\"")]
    Prefix,
    /// It is too short or too long.
    #[error("not a Weft key: it has the wrong length, was it cut off when it was copied?")]
    Length,
    /// It holds something else than letters and digits.
    #[error("not a Weft key: it holds a character that no key has")]
    Character,
    /// The checksum does not fit.
    #[error("not a Weft key: its checksum does not fit, a character is wrong")]
    Checksum,
}

impl KeySecret {
    /// Makes a key from 32 bytes of `entropy`.
    #[must_use]
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let mut secret = [0; SECRET_BYTES];
        entropy.fill(&mut secret);
        Self(secret)
    }

    /// Reads a presented key.
    ///
    /// # Errors
    /// [`MalformedKey`] for anything that no hub can have made.
    pub fn parse(text: &str) -> Result<Self, MalformedKey> {
        let letters = text.strip_prefix(PREFIX).ok_or(MalformedKey::Prefix)?.as_bytes();
        if letters.len() != BODY_LETTERS {
            return Err(MalformedKey::Length);
        }
        let body = decode(letters)?;
        let (secret, sum) = body.split_at(SECRET_BYTES);
        if sum != checksum(secret).as_slice() {
            return Err(MalformedKey::Checksum);
        }
        let mut key = Self([0; SECRET_BYTES]);
        key.0.copy_from_slice(secret);
        Ok(key)
    }

    /// The key as its user needs it. The only way to see it.
    #[must_use]
    pub fn expose(&self) -> Zeroizing<String> {
        let mut body = Zeroizing::new([0; BODY_BYTES]);
        body[..SECRET_BYTES].copy_from_slice(&self.0);
        body[SECRET_BYTES..].copy_from_slice(&checksum(&self.0));
        let mut text = Zeroizing::new(String::with_capacity(KEY_TEXT_BYTES));
        text.push_str(PREFIX);
        encode(&body, &mut text);
        text
    }

    /// SHA-256 of the key's text: what the hub stores.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.expose().as_bytes()).into()
    }
}

impl fmt::Debug for KeySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeySecret(redacted)")
    }
}

impl Drop for KeySecret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

fn checksum(secret: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let hash = Sha256::new().chain_update(CHECKSUM_DOMAIN).chain_update(secret).finalize();
    let mut sum = [0; CHECKSUM_BYTES];
    sum.copy_from_slice(&hash[..CHECKSUM_BYTES]);
    sum
}

/// Words of 32 bits that the body fills.
const WORDS: usize = BODY_BYTES / 4;
/// Letters that a word holds: 62⁵ is the greatest power of 62 below 2³².
const LETTERS_PER_WORD: usize = 5;

/// Writes the big-endian number `body` in base 62, most significant letter first.
fn encode(body: &[u8; BODY_BYTES], text: &mut String) {
    let mut number = Zeroizing::new([0u32; WORDS]);
    for (word, bytes) in number.iter_mut().zip(body.as_chunks().0) {
        *word = u32::from_be_bytes(*bytes);
    }
    let mut letters = Zeroizing::new([0; BODY_LETTERS]);
    for letters in letters.rchunks_mut(LETTERS_PER_WORD) {
        let (mut rest, base) = (0, 62u64.pow(letters.len() as u32));
        for word in number.iter_mut() {
            let part = (rest << 32) | u64::from(*word);
            *word = (part / base) as u32;
            rest = part % base;
        }
        for letter in letters.iter_mut().rev() {
            *letter = ALPHABET[(rest % 62) as usize];
            rest /= 62;
        }
    }
    text.extend(letters.iter().map(|letter| char::from(*letter)));
}

/// Reads 49 letters of base 62; a number above 288 bits was not made by [`encode`].
fn decode(letters: &[u8]) -> Result<Zeroizing<[u8; BODY_BYTES]>, MalformedKey> {
    let mut number = Zeroizing::new([0u32; WORDS]);
    for letters in letters.chunks(LETTERS_PER_WORD) {
        let mut carry = 0;
        for letter in letters {
            carry = carry * 62 + u64::from(digit(*letter).ok_or(MalformedKey::Character)?);
        }
        let base = 62u64.pow(letters.len() as u32);
        for word in number.iter_mut().rev() {
            let part = u64::from(*word) * base + carry;
            *word = part as u32;
            carry = part >> 32;
        }
        if carry != 0 {
            return Err(MalformedKey::Checksum);
        }
    }
    let mut body = Zeroizing::new([0; BODY_BYTES]);
    for (bytes, word) in body.as_chunks_mut().0.iter_mut().zip(number.iter()) {
        *bytes = word.to_be_bytes();
    }
    Ok(body)
}

const fn digit(letter: u8) -> Option<u8> {
    match letter {
        b'0'..=b'9' => Some(letter - b'0'),
        b'A'..=b'Z' => Some(letter - b'A' + 10),
        b'a'..=b'z' => Some(letter - b'a' + 36),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use weft_proto::entropy::SeededEntropy;

    #[test]
    fn a_key_is_never_printed_by_debug_and_its_hash_is_that_of_its_text() {
        let key = KeySecret::generate(&SeededEntropy::new(1));
        let text = key.expose();
        assert_eq!(format!("{key:?}"), "KeySecret(redacted)");
        assert_eq!(text.len(), KEY_TEXT_BYTES);
        let hash: [u8; 32] = Sha256::digest(text.as_bytes()).into();
        assert_eq!(key.hash(), hash);
    }

    #[test]
    fn the_text_of_a_known_key_never_changes() {
        // Frozen: keys in users' hands must stay readable by every later hub.
        let all_zero = KeySecret([0; SECRET_BYTES]).expose();
        let all_ones = KeySecret([0xff; SECRET_BYTES]).expose();
        assert_eq!(all_zero.as_str(), "wk-00000000000000000000000000000000000000000000w1AKJ");
        assert_eq!(all_ones.as_str(), "wk-4aayPrHErxRw4RlpBrwySYBqld0KYBESq8ER8ckHOABvGFFxG");
    }

    #[test]
    fn other_services_keys_and_torn_pastes_are_told_apart() {
        let text = KeySecret::generate(&SeededEntropy::new(2)).expose();
        let refused = |text: &str| KeySecret::parse(text).map(|_| ()).unwrap_err();
        assert_eq!(refused("sk-proj-abc"), MalformedKey::Prefix);
        assert_eq!(refused(""), MalformedKey::Prefix);
        assert_eq!(refused(&text[..40]), MalformedKey::Length);
        assert_eq!(refused(&format!("wk-{}", "z".repeat(49))), MalformedKey::Checksum);
        assert_eq!(refused(&format!("wk-{}", "-".repeat(49))), MalformedKey::Character);
        assert_eq!(refused(&format!("wk-{}0", "é".repeat(24))), MalformedKey::Character);
    }

    proptest! {
        #[test]
        fn every_key_round_trips(secret: [u8; SECRET_BYTES]) {
            let key = KeySecret(secret);
            let back = KeySecret::parse(&key.expose()).unwrap();
            prop_assert_eq!(back.0, secret);
            prop_assert_eq!(back.hash(), key.hash());
        }

        #[test]
        fn one_wrong_letter_is_always_noticed(seed: u64, at in 0..BODY_LETTERS, letter in 0..62usize) {
            let mut text = KeySecret::generate(&SeededEntropy::new(seed)).expose().as_bytes().to_vec();
            let wrong = ALPHABET[letter];
            prop_assume!(text[PREFIX.len() + at] != wrong);
            text[PREFIX.len() + at] = wrong;
            prop_assert!(KeySecret::parse(std::str::from_utf8(&text).unwrap()).is_err());
        }

        #[test]
        fn no_text_makes_the_parser_panic(text: String) {
            prop_assert!(KeySecret::parse(&text).is_err());
        }
    }
}
