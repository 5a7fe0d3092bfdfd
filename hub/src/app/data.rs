//! The data directory: one hub at a time, and the small files that are nobody else's.

use super::Addresses;
use crate::keyfile::{self, KeyFileError, PRIVATE_MODE};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use weft_proto::entropy::Entropy;

/// The folder of the authority inside the data directory.
pub const CERTS_DIR: &str = "certs";
/// Held locked by the hub that runs on the directory; its text is the number of the process.
const LOCK_FILE: &str = "hub.lock";
/// The longest number of a process that is read, bytes.
const LOCK_BYTES_MAX: u64 = 16;
/// How often a held lock is tried again: [`holder`] holds it for a moment, too.
const LOCK_TRIES: u32 = 6;
/// Wait between two tries.
const LOCK_PAUSE: Duration = Duration::from_millis(50);
/// Where the doors of the running hub are, for commands on this machine.
const ADDRESSES_FILE: &str = "hub.addresses.json";
/// The longest file of addresses that is read, bytes.
const ADDRESSES_BYTES_MAX: u64 = 64 * 1024;
/// The key of stateless resets, inside the data directory.
pub const RESET_KEY_FILE: &str = "reset.key";
/// Length of the key of stateless resets, bytes.
pub(super) const RESET_KEY_BYTES: usize = 32;

/// Why the data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another hub runs on it.
    #[error("{} is in use: {holder} runs on it", data.display())]
    InUse {
        /// The directory.
        data: PathBuf,
        /// Who.
        holder: Holder,
    },
    /// A file of it cannot be used.
    #[error("{} cannot be used", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        #[source]
        source: std::io::Error,
    },
    /// The key of stateless resets cannot be read or made, or others can read it.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// The key of stateless resets has the wrong length.
    #[error("{} is damaged: remove it, a new one is made", path.display())]
    ResetKey {
        /// The file.
        path: PathBuf,
    },
}

/// A data directory that this process holds; given back when the value goes.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// The lock is the operating system's: it ends with the process, however that ends.
    _lock: File,
}

impl DataDir {
    /// Takes the directory for this process. Blocks shortly.
    ///
    /// # Errors
    /// [`DataDirError::InUse`] where another process has it, [`DataDirError::File`] where the lock
    /// cannot be taken at all.
    pub fn lock(data: &Path) -> Result<Self, DataDirError> {
        let path = data.join(LOCK_FILE);
        let failed = |source| DataDirError::File { path: path.clone(), source };
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(PRIVATE_MODE)
            .open(&path)
            .map_err(failed)?;
        for _ in 0..LOCK_TRIES {
            match file.try_lock() {
                Ok(()) => {
                    let process = std::process::id().to_string();
                    file.set_len(0)
                        .and_then(|()| (&file).write_all(process.as_bytes()))
                        .map_err(failed)?;
                    return Ok(Self { path: data.to_owned(), _lock: file });
                }
                Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
                Err(TryLockError::Error(source)) => return Err(failed(source)),
            }
        }
        Err(DataDirError::InUse { data: data.to_owned(), holder: Holder::of(&path) })
    }

    /// Writes where the doors are, whole or not at all.
    pub(super) fn announce(&self, addresses: &Addresses) -> Result<(), DataDirError> {
        let path = self.path.join(ADDRESSES_FILE);
        let partial = path.with_extension("partial");
        let failed = |source| DataDirError::File { path: path.clone(), source };
        let text = serde_json::to_vec_pretty(addresses).map_err(|error| failed(error.into()))?;
        std::fs::write(&partial, text)
            .and_then(|()| std::fs::rename(&partial, &path))
            .map_err(failed)
    }

    /// Gives the directory back: no doors are left.
    pub(super) fn release(self) {
        let path = self.path.join(ADDRESSES_FILE);
        if let Err(error) = std::fs::remove_file(&path) {
            tracing::warn!(%error, path = %path.display(), "stale file left behind");
        }
    }

    /// The key of stateless resets, made when the hub runs for the first time. It stays the same
    /// over restarts, so that agents of the process before are told at once that it is gone.
    pub(super) fn reset_key(
        &self,
        entropy: &dyn Entropy,
    ) -> Result<[u8; RESET_KEY_BYTES], DataDirError> {
        match keyfile::open::<RESET_KEY_BYTES>(&self.path, RESET_KEY_FILE, entropy) {
            Ok(key) => Ok(*key),
            // What was signed with it is worth nothing anyhow: a new one will do.
            Err(KeyFileError::Damaged { path }) => Err(DataDirError::ResetKey { path }),
            Err(error @ (KeyFileError::File { .. } | KeyFileError::Open { .. })) => {
                Err(error.into())
            }
        }
    }
}

/// The process that holds a data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// Its number, where it is known.
    pub process: Option<u32>,
}

impl Holder {
    fn of(lock: &Path) -> Self {
        let mut text = String::new();
        let read =
            File::open(lock).and_then(|file| file.take(LOCK_BYTES_MAX).read_to_string(&mut text));
        Self { process: read.ok().and_then(|_| text.trim().parse().ok()) }
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.process {
            Some(process) => write!(f, "a hub (process {process})"),
            None => f.write_str("a hub"),
        }
    }
}

/// Who holds `data`; `None` where nobody does. Changes nothing.
///
/// # Errors
/// [`DataDirError::File`] where that cannot be told.
pub fn holder(data: &Path) -> Result<Option<Holder>, DataDirError> {
    let path = data.join(LOCK_FILE);
    let failed = |source| DataDirError::File { path: path.clone(), source };
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    // Held for a moment at most; a hub that starts meanwhile tries again.
    match file.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => Ok(Some(Holder::of(&path))),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// Where the doors of the hub are that runs on `data`, or ran there and was killed; none where none
/// runs.
#[must_use]
pub fn announced(data: &Path) -> Option<Addresses> {
    let file = File::open(data.join(ADDRESSES_FILE)).ok()?;
    let mut text = Vec::new();
    file.take(ADDRESSES_BYTES_MAX).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_proto::entropy::SeededEntropy;

    #[test]
    fn a_directory_is_one_hubs_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(holder(dir.path()).unwrap(), None);
        let held = DataDir::lock(dir.path()).unwrap();
        let this = Holder { process: Some(std::process::id()) };
        assert_eq!(holder(dir.path()).unwrap(), Some(this));
        match DataDir::lock(dir.path()) {
            Err(DataDirError::InUse { holder, .. }) => assert_eq!(holder, this),
            other => panic!("{other:?}"),
        }
        drop(held);
        assert_eq!(holder(dir.path()).unwrap(), None, "the file stays, the lock does not");
        DataDir::lock(dir.path()).expect("given back");
    }

    #[test]
    fn the_reset_key_stays_and_a_damaged_one_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::lock(dir.path()).unwrap();
        let first = data.reset_key(&SeededEntropy::new(1)).unwrap();
        assert_eq!(data.reset_key(&SeededEntropy::new(2)).unwrap(), first);
        std::fs::write(dir.path().join(RESET_KEY_FILE), "short").unwrap();
        let damaged = data.reset_key(&SeededEntropy::new(3));
        assert!(matches!(damaged, Err(DataDirError::ResetKey { .. })));
    }
}
