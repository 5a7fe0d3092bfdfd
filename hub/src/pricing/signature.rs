//! The hub's ledger key: with it the hub signs price books, receipts and checkpoints.
//!
//! An Ed25519 seed in a file of the data directory that only the hub's user can read, made at the
//! first start. It is never shown and never sent; its public half goes to agents. A hub that loses
//! it can prove nothing of what it signed before: it belongs into backups.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use weft_proto::entropy::Entropy;
use weft_proto::ledger::{PublicKey, Signature, SigningKey};
use zeroize::Zeroizing;

/// The file of the key, inside the data directory.
pub const LEDGER_KEY_FILE: &str = "ledger.key";
/// Length of the seed, bytes.
const SEED_BYTES: usize = 32;
/// Readable by the hub's user alone.
const PRIVATE_MODE: u32 = 0o600;

/// Why there is no ledger key.
#[derive(Debug, thiserror::Error)]
pub enum LedgerKeyError {
    /// The file cannot be read or made.
    #[error("{} cannot be used", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        #[source]
        source: std::io::Error,
    },
    /// The file holds no key. It is not made anew: what it signed could not be proven any more.
    #[error("{} is damaged: restore it from a backup", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
}

/// The hub's ledger key. Its `Debug` shows the public half alone.
#[derive(Debug, Clone)]
pub struct LedgerKey(Arc<SigningKey>);

impl LedgerKey {
    /// Reads the key of the data directory; makes one where there is none.
    ///
    /// # Errors
    /// [`LedgerKeyError`].
    pub fn open(data: &Path, entropy: &dyn Entropy) -> Result<Self, LedgerKeyError> {
        let path = data.join(LEDGER_KEY_FILE);
        let failed = |source| LedgerKeyError::File { path: path.clone(), source };
        let mut seed = Zeroizing::new([0_u8; SEED_BYTES]);
        match File::open(&path) {
            Ok(file) => {
                let mut bytes = Zeroizing::new(Vec::with_capacity(SEED_BYTES + 1));
                file.take(SEED_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
                if bytes.len() != SEED_BYTES {
                    return Err(LedgerKeyError::Damaged { path });
                }
                seed.copy_from_slice(&bytes);
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                entropy.fill(&mut *seed);
                OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .mode(PRIVATE_MODE)
                    .open(&path)
                    .and_then(|mut file| file.write_all(&*seed).and_then(|()| file.sync_all()))
                    .and_then(|()| File::open(data)?.sync_all())
                    .map_err(failed)?;
            }
            Err(error) => return Err(failed(error)),
        }
        let damaged = |_| LedgerKeyError::Damaged { path: path.clone() };
        SigningKey::from_seed(&seed).map(|key| Self(Arc::new(key))).map_err(damaged)
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        self.0.public()
    }

    /// Signs. What is signed must begin with a text that says what it is, so that no signature can
    /// pass for another.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Signature {
        self.0.sign(message)
    }

    /// The key itself, for rooms that sign texts of their own.
    #[must_use]
    pub fn signing_key(&self) -> Arc<SigningKey> {
        Arc::clone(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use weft_proto::entropy::SeededEntropy;

    #[test]
    fn the_ledger_key_is_made_once_for_the_hub_alone_and_a_damaged_one_is_never_replaced() {
        let dir = tempfile::tempdir().expect("a folder");
        let made = LedgerKey::open(dir.path(), &SeededEntropy::new(1)).expect("made");
        let again = LedgerKey::open(dir.path(), &SeededEntropy::new(2)).expect("read");
        assert_eq!(made.public(), again.public());
        assert!(made.public().verifies(b"text", &again.sign(b"text")));
        assert!(!made.public().verifies(b"texts", &again.sign(b"text")));
        let path = dir.path().join(LEDGER_KEY_FILE);
        let mode = std::fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::write(&path, "short").expect("written");
        let damaged = LedgerKey::open(dir.path(), &SeededEntropy::new(3));
        assert!(matches!(damaged, Err(LedgerKeyError::Damaged { .. })), "{damaged:?}");
        assert_eq!(std::fs::read(&path).expect("there"), b"short");
    }
}
