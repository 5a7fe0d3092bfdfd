//! The agent's data directory: where its files stand, who may read them, how they are replaced.
//!
//! Invariants: the directory and every file in it belong to the owner alone (0700 and 0600); a file
//! is replaced whole or not at all (written beside, synced, renamed, directory synced); at most one
//! process runs on a directory, because two runs of one identity would evict each other at the hub.
//! It never decides what a file holds.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Mode of the directory when it is made here.
const DIRECTORY_MODE: u32 = 0o700;
/// The file whose lock a run holds.
const RUN_LOCK: &str = "run.lock";
/// How often a run tries to claim its directory, and how long it waits in between.
const LOCK_TRIES: u32 = 5;
/// See [`LOCK_TRIES`].
const LOCK_PAUSE: Duration = Duration::from_millis(40);
/// Mode of every file made here.
const FILE_MODE: u32 = 0o600;

/// A data directory that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// The directory could not be made or opened.
    #[error("cannot use the data directory {}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process runs on this directory.
    #[error("another weft-agent already runs on {}: stop it first", path.display())]
    Busy {
        /// The directory.
        path: PathBuf,
    },
}

/// One agent's data directory.
#[derive(Debug, Clone)]
pub struct DataDir {
    root: PathBuf,
}

impl DataDir {
    /// Opens the directory and makes it (mode 0700) where it does not exist.
    ///
    /// # Errors
    /// [`DataDirError::Directory`] when it cannot be made, or is not a directory.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, DataDirError> {
        let root = root.into();
        let made = DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(&root);
        match made {
            Ok(()) => Ok(Self { root }),
            Err(source) => Err(DataDirError::Directory { path: root, source }),
        }
    }

    /// The directory at `root`, as it is: nothing is made.
    ///
    /// # Errors
    /// [`DataDirError::Directory`] where there is none.
    pub fn existing(root: impl Into<PathBuf>) -> Result<Self, DataDirError> {
        let root = root.into();
        match fs::metadata(&root) {
            Ok(metadata) if metadata.is_dir() => Ok(Self { root }),
            Ok(_) => {
                let source = io::ErrorKind::NotADirectory.into();
                Err(DataDirError::Directory { path: root, source })
            }
            Err(source) => Err(DataDirError::Directory { path: root, source }),
        }
    }

    /// The directory itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The settings file; it may be absent.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.root.join("agent.toml")
    }

    /// The sealed accounts.
    #[must_use]
    pub fn vault_file(&self) -> PathBuf {
        self.root.join("vault")
    }

    /// The key that the vault is sealed under.
    #[must_use]
    pub fn vault_key_file(&self) -> PathBuf {
        self.root.join("vault.key")
    }

    /// What the running agent says about itself.
    #[must_use]
    pub fn status_file(&self) -> PathBuf {
        self.root.join("status.json")
    }

    /// The directory of the identity key, the certificate and the pins.
    #[must_use]
    pub fn identity_dir(&self) -> PathBuf {
        self.root.join("identity")
    }

    /// The directory of the ledger: its log, its key, its index.
    #[must_use]
    pub fn ledger_dir(&self) -> PathBuf {
        self.root.join("ledger")
    }

    /// Claims the directory for a run; the claim ends when the lock is dropped or the process dies.
    /// Blocks shortly where it is held: a `status` or `doctor` that looks holds it for a moment.
    ///
    /// # Errors
    /// [`DataDirError::Busy`] while another process holds it.
    pub fn lock_run(&self) -> Result<DirLock, DataDirError> {
        for _ in 1..LOCK_TRIES {
            match self.try_lock_run() {
                Err(DataDirError::Busy { .. }) => std::thread::sleep(LOCK_PAUSE),
                other => return other,
            }
        }
        self.try_lock_run()
    }

    fn try_lock_run(&self) -> Result<DirLock, DataDirError> {
        let file = self.lock_file(RUN_LOCK)?;
        match file.try_lock() {
            Ok(()) => Ok(DirLock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(DataDirError::Busy { path: self.root.clone() }),
            Err(TryLockError::Error(source)) => {
                Err(DataDirError::Directory { path: self.root.clone(), source })
            }
        }
    }

    /// Whether a process holds the run lock at this moment.
    ///
    /// # Errors
    /// [`DataDirError::Directory`] when the lock file cannot be read.
    pub fn is_running(&self) -> Result<bool, DataDirError> {
        // Where no agent ever ran, the question makes no file that its user could not open.
        if !self.root.join(RUN_LOCK).exists() {
            return Ok(false);
        }
        // Shared: two that look at the same moment do not take each other for a run.
        match self.lock_file(RUN_LOCK)?.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(source)) => {
                Err(DataDirError::Directory { path: self.root.clone(), source })
            }
        }
    }

    /// Waits for the right to change the vault: one command edits it at a time.
    ///
    /// # Errors
    /// [`DataDirError::Directory`] when the lock file cannot be made or locked.
    pub(crate) fn lock_edit(&self) -> Result<DirLock, DataDirError> {
        let file = self.lock_file("vault.lock")?;
        match file.lock() {
            Ok(()) => Ok(DirLock { _file: file }),
            Err(source) => Err(DataDirError::Directory { path: self.root.clone(), source }),
        }
    }

    fn lock_file(&self, name: &str) -> Result<File, DataDirError> {
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(FILE_MODE)
            .open(self.root.join(name))
            .map_err(|source| DataDirError::Directory { path: self.root.clone(), source })
    }
}

/// A claim on a data directory, held by the file's lock.
#[derive(Debug)]
#[must_use = "the claim ends when this value is dropped"]
pub struct DirLock {
    _file: File,
}

/// Replaces the file at `path` by `bytes`, whole or not at all, mode 0600.
///
/// # Errors
/// What the system said; the old file then still stands.
pub(crate) fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let parent = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut beside = name.to_os_string();
    beside.push(".new");
    let beside = parent.join(beside);
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(FILE_MODE).open(&beside)?;
    // An older file of this name keeps its mode through `open`: set it in any case.
    file.set_permissions(fs::Permissions::from_mode(FILE_MODE))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    File::open(parent)?.sync_all()
}

/// Makes a file that must not exist yet, mode 0600, synced.
///
/// # Errors
/// What the system said; `AlreadyExists` where the file is there.
pub(crate) fn create_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let parent = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    File::open(parent)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_run_on_one_directory_is_refused_until_the_first_ends() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let data = DataDir::open(dir.path().join("agent")).expect("open");
        let lock = data.lock_run().expect("first");
        assert!(matches!(data.lock_run(), Err(DataDirError::Busy { .. })));
        assert!(data.is_running().expect("probe"));
        drop(lock);
        assert!(!data.is_running().expect("probe"));
    }

    #[test]
    fn who_looks_whether_a_run_is_on_neither_hinders_it_nor_is_taken_for_one() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let data = DataDir::open(dir.path()).expect("open");
        drop(data.lock_run().expect("a run before"));
        let looking = data.lock_file(RUN_LOCK).expect("lock file");
        looking.lock_shared().expect("a look");
        assert!(!data.is_running().expect("another look"));
        let looked = std::thread::spawn(move || {
            std::thread::sleep(LOCK_PAUSE);
            drop(looking);
        });
        drop(data.lock_run().expect("the run waits for the look to be over"));
        looked.join().expect("join");
    }

    #[test]
    fn a_replaced_file_is_whole_and_readable_by_its_owner_alone() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("file");
        fs::write(&path, b"old").expect("write");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("chmod");
        replace_file(&path, b"new").expect("replace");
        assert_eq!(fs::read(&path).expect("read"), b"new");
        let mode = fs::metadata(&path).expect("stat").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).expect("list").count(), 1);
    }
}
