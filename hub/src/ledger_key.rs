//! The hub's ledger key: with it the hub signs price books, receipts and checkpoints.
//!
//! An Ed25519 seed in a file of the data directory that only the hub's user can read, made at the
//! first start. It is never shown and never sent; its public half goes to agents, which pin it. A hub
//! that loses it can prove nothing of what it signed before: it belongs into backups.
//!
//! A key that is replaced vouches for the one that follows it, and then is no more. Those words stand
//! beside the key, one after the other, and go to agents with it: each of them finds its way from the
//! key that it has pinned to the one in force.

use crate::keyfile::{self, KeyFileError};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use weft_proto::entropy::Entropy;
use weft_proto::ledger::{PublicKey, Signature, SigningKey};
use weft_proto::limits::HANDOVERS_MAX;
use weft_proto::wire::receipts::{HANDOVER_BYTES, Handover};
use zeroize::Zeroizing;

/// The file of the key, inside the data directory.
pub const LEDGER_KEY_FILE: &str = "ledger.key";
/// The file of the words of earlier keys, beside it: each 32 bytes of a key and its signature over the
/// next one. There is none where the key is the first.
pub const HANDOVERS_FILE: &str = "ledger.handovers";
/// Length of the seed, bytes.
const SEED_BYTES: usize = 32;

/// The hub's ledger key. Its `Debug` shows the public half alone.
#[derive(Debug, Clone)]
pub struct LedgerKey {
    key: Arc<SigningKey>,
    handovers: Arc<[Handover]>,
}

/// Why the key was not replaced: the old one is in force.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// A file cannot be used.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// It was replaced too often: agents keep no more.
    #[error("the ledger key was replaced {HANDOVERS_MAX} times already")]
    TooOften,
}

impl LedgerKey {
    /// Reads the key of the data directory; makes one where there is none.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn open(data: &Path, entropy: &dyn Entropy) -> Result<Self, KeyFileError> {
        let seed = keyfile::open::<SEED_BYTES>(data, LEDGER_KEY_FILE, entropy)?;
        let damaged = |_| KeyFileError::Damaged { path: data.join(LEDGER_KEY_FILE) };
        let key = SigningKey::from_seed(&seed).map_err(damaged)?;
        let handovers = handovers(data, &key.public())?;
        Ok(Self { key: Arc::new(key), handovers: handovers.into() })
    }

    /// Replaces the key of the data directory by a new one, for which the old one vouches. No hub may
    /// be running on it: one that does goes on with the old key until it is started again. Blocks on
    /// the disk.
    ///
    /// # Errors
    /// [`RotateError`].
    pub fn rotate(data: &Path, entropy: &dyn Entropy) -> Result<Self, RotateError> {
        let old = Self::open(data, entropy)?;
        if old.handovers.len() >= HANDOVERS_MAX {
            return Err(RotateError::TooOften);
        }
        let mut seed = Zeroizing::new([0_u8; SEED_BYTES]);
        entropy.fill(&mut *seed);
        let damaged = |_| KeyFileError::Damaged { path: data.join(LEDGER_KEY_FILE) };
        let new = SigningKey::from_seed(&seed).map_err(damaged)?;
        let word = Handover {
            from: *old.public().as_bytes(),
            signature: *old.sign(&Handover::signed(new.public().as_bytes())).as_bytes(),
        };
        let handovers = [&old.handovers[..], &[word]].concat();
        // The word first: a key that nobody vouches for would be believed by no agent. A word of the
        // key that is in force, left by a rotation that was cut short, is passed over.
        write(data, &handovers)?;
        keyfile::replace(data, LEDGER_KEY_FILE, &seed)?;
        Ok(Self { key: Arc::new(new), handovers: handovers.into() })
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        self.key.public()
    }

    /// This key's public half, and those of the keys before it: the oldest first.
    #[must_use]
    pub fn keys(&self) -> Vec<PublicKey> {
        let before = self.handovers.iter().map(|word| PublicKey::new(word.from));
        before.chain([self.public()]).collect()
    }

    /// The words of the keys before it, the oldest first.
    #[must_use]
    pub fn handovers(&self) -> Arc<[Handover]> {
        Arc::clone(&self.handovers)
    }

    /// Whether this key, or one before it, has made `signature`.
    #[must_use]
    pub fn has_signed(&self, message: &[u8], signature: &Signature) -> bool {
        self.keys().iter().any(|key| key.verifies(message, signature))
    }

    /// Signs. What is signed must begin with a text that says what it is, so that no signature can
    /// pass for another.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Signature {
        self.key.sign(message)
    }

    /// The key itself, for rooms that sign texts of their own.
    #[must_use]
    pub fn signing_key(&self) -> Arc<SigningKey> {
        Arc::clone(&self.key)
    }
}

/// The words that lead to `key`; damaged where one does not hold.
fn handovers(data: &Path, key: &PublicKey) -> Result<Vec<Handover>, KeyFileError> {
    let path = data.join(HANDOVERS_FILE);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(KeyFileError::File { path, source }),
    };
    let parsed = parse(&bytes).map(|mut words| {
        words.pop_if(|last| last.from == *key.as_bytes());
        words
    });
    let holds = |words: &Vec<Handover>| {
        let next = words.iter().skip(1).map(|word| word.from);
        words.iter().zip(next.chain([*key.as_bytes()])).all(|(word, to)| {
            let signature = Signature::new(word.signature);
            PublicKey::new(word.from).verifies(&Handover::signed(&to), &signature)
        })
    };
    parsed.filter(holds).ok_or(KeyFileError::Damaged { path })
}

fn parse(bytes: &[u8]) -> Option<Vec<Handover>> {
    let (words, []) = bytes.as_chunks::<HANDOVER_BYTES>() else {
        return None;
    };
    let word = |word: &[u8; HANDOVER_BYTES]| {
        let (from, signature) = word.split_first_chunk()?;
        Some(Handover { from: *from, signature: signature.try_into().ok()? })
    };
    words.iter().map(word).collect()
}

fn write(data: &Path, words: &[Handover]) -> Result<(), KeyFileError> {
    let path = data.join(HANDOVERS_FILE);
    let next = data.join(format!("{HANDOVERS_FILE}.next"));
    let bytes: Vec<u8> =
        words.iter().flat_map(|word| [&word.from[..], &word.signature[..]].concat()).collect();
    let written = || {
        let mut file = fs::File::create(&next)?;
        io::Write::write_all(&mut file, &bytes)?;
        file.sync_all()?;
        fs::rename(&next, &path)?;
        fs::File::open(data)?.sync_all()
    };
    written().map_err(|source| KeyFileError::File { path: path.clone(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_proto::entropy::SeededEntropy;

    #[test]
    fn the_ledger_key_is_made_once_and_a_damaged_one_is_never_replaced() {
        let dir = tempfile::tempdir().expect("a folder");
        let made = LedgerKey::open(dir.path(), &SeededEntropy::new(1)).expect("made");
        let again = LedgerKey::open(dir.path(), &SeededEntropy::new(2)).expect("read");
        assert_eq!(made.public(), again.public());
        assert!(made.public().verifies(b"text", &again.sign(b"text")));
        assert!(!made.public().verifies(b"texts", &again.sign(b"text")));
        let path = dir.path().join(LEDGER_KEY_FILE);
        std::fs::write(&path, "short").expect("written");
        let damaged = LedgerKey::open(dir.path(), &SeededEntropy::new(3));
        assert!(matches!(damaged, Err(KeyFileError::Damaged { .. })), "{damaged:?}");
        assert_eq!(std::fs::read(&path).expect("there"), b"short");
    }

    #[test]
    fn each_key_vouches_for_the_next_and_a_rotation_that_was_cut_short_changes_nothing() {
        let dir = tempfile::tempdir().expect("a folder");
        let entropy = SeededEntropy::new(1);
        let first = LedgerKey::open(dir.path(), &entropy).expect("made");
        let signed = first.sign(b"a price book");
        let second = LedgerKey::rotate(dir.path(), &entropy).expect("rotated");
        let before = fs::read(dir.path().join(LEDGER_KEY_FILE)).expect("read");
        let third = LedgerKey::rotate(dir.path(), &entropy).expect("rotated");
        let opened = LedgerKey::open(dir.path(), &entropy).expect("read");
        assert_eq!(opened.public(), third.public());
        let froms: Vec<_> = opened.handovers().iter().map(|word| word.from).collect();
        assert_eq!(froms, [*first.public().as_bytes(), *second.public().as_bytes()]);
        assert!(opened.has_signed(b"a price book", &signed));
        assert!(!opened.public().verifies(b"a price book", &signed));

        // Killed between the word and the key: the old one stands, and can be replaced again.
        fs::write(dir.path().join(LEDGER_KEY_FILE), before).expect("written");
        let stands = LedgerKey::open(dir.path(), &entropy).expect("read");
        assert_eq!((stands.public(), stands.handovers().len()), (second.public(), 1));
        LedgerKey::rotate(dir.path(), &entropy).expect("rotated");
        assert_eq!(LedgerKey::open(dir.path(), &entropy).expect("read").handovers().len(), 2);

        let words = dir.path().join(HANDOVERS_FILE);
        let mut bytes = fs::read(&words).expect("read");
        bytes[50] ^= 1;
        fs::write(&words, bytes).expect("changed");
        let damaged = LedgerKey::open(dir.path(), &entropy);
        assert!(matches!(damaged, Err(KeyFileError::Damaged { .. })), "{damaged:?}");
    }
}
