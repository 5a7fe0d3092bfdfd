//! The files under the log, as a seam: the machine's, or a simulated disk whose power can fail.
//!
//! Names are plain names inside the ledger's one directory. Nothing here knows what the bytes mean,
//! retries anything, or hides a failed sync: a page that failed to reach the disk is marked clean by
//! the system, so a second sync would "succeed" over lost bytes.

use crate::datadir;
use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// What the log needs of a directory.
pub trait Disk: fmt::Debug + Send + Sync {
    /// The names of all files.
    ///
    /// # Errors
    /// What the system said, as with all of these.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Bytes of a file.
    ///
    /// # Errors
    /// See [`Disk::list`].
    fn length(&self, name: &str) -> io::Result<u64>;

    /// Reads at `offset` as far as the file goes. Returns how much was read: less than asked for
    /// means the end.
    ///
    /// # Errors
    /// See [`Disk::list`].
    fn read(&self, name: &str, offset: u64, into: &mut [u8]) -> io::Result<usize>;

    /// Makes an empty file that must not exist.
    ///
    /// # Errors
    /// See [`Disk::list`].
    fn create(&self, name: &str) -> io::Result<()>;

    /// Writes all of `bytes` at `offset`; durable after the next [`Disk::sync`].
    ///
    /// # Errors
    /// See [`Disk::list`]; a part of the bytes may stand.
    fn write(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes what was written to a file durable.
    ///
    /// # Errors
    /// See [`Disk::list`]; what was written may be lost, and must not be synced again.
    fn sync(&self, name: &str) -> io::Result<()>;

    /// Cuts a file to `length`, durably.
    ///
    /// # Errors
    /// See [`Disk::list`].
    fn truncate(&self, name: &str, length: u64) -> io::Result<()>;

    /// Makes the names of new files durable.
    ///
    /// # Errors
    /// See [`Disk::list`].
    fn sync_names(&self) -> io::Result<()>;

    /// Replaces a small file, whole or not at all, durably.
    ///
    /// # Errors
    /// See [`Disk::list`]; the old file then still stands.
    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()>;
}

/// A directory of the machine.
#[derive(Debug)]
pub struct Files {
    root: PathBuf,
    /// Whether syncs reach the disk: off in a simulation, whose machine never loses power.
    durable: bool,
    /// The file that was written last: the log writes one for a long time.
    written: Mutex<Option<(String, Arc<File>)>>,
}

impl Files {
    /// The directory at `root`, made (mode 0700) where it does not exist.
    ///
    /// # Errors
    /// What the system said.
    pub fn open(root: impl Into<PathBuf>, durable: bool) -> io::Result<Self> {
        let root = root.into();
        DirBuilder::new().recursive(true).mode(0o700).create(&root)?;
        Ok(Self::existing(root, durable))
    }

    /// The directory at `root` as it is, for what only reads.
    #[must_use]
    pub fn existing(root: impl Into<PathBuf>, durable: bool) -> Self {
        Self { root: root.into(), durable, written: Mutex::new(None) }
    }

    /// Where it is.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn writable(&self, name: &str) -> io::Result<Arc<File>> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((open, file)) = written.as_ref()
            && open == name
        {
            return Ok(Arc::clone(file));
        }
        let file = Arc::new(OpenOptions::new().write(true).open(self.root.join(name))?);
        *written = Some((name.to_owned(), Arc::clone(&file)));
        Ok(file)
    }
}

impl Disk for Files {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.root)? {
            // A name that is no text is none of ours.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn length(&self, name: &str) -> io::Result<u64> {
        Ok(fs::metadata(self.root.join(name))?.len())
    }

    fn read(&self, name: &str, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let file = File::open(self.root.join(name))?;
        let mut read = 0;
        while read < into.len() {
            match file.read_at(&mut into[read..], offset + read as u64) {
                Ok(0) => break,
                Ok(more) => read += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(read)
    }

    fn create(&self, name: &str) -> io::Result<()> {
        let path = self.root.join(name);
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map(drop)
    }

    fn write(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.writable(name)?.write_all_at(bytes, offset)
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        if self.durable { self.writable(name)?.sync_data() } else { Ok(()) }
    }

    fn truncate(&self, name: &str, length: u64) -> io::Result<()> {
        let file = self.writable(name)?;
        file.set_len(length)?;
        if self.durable { file.sync_all() } else { Ok(()) }
    }

    fn sync_names(&self) -> io::Result<()> {
        if self.durable { File::open(&self.root)?.sync_all() } else { Ok(()) }
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        datadir::replace_file(&self.root.join(name), bytes)
    }
}
