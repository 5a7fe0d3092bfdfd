//! The files of the journal: how they are called, which there are, and what becomes of them.

use super::TicketsError;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the name of a segment ends with.
const SUFFIX: &str = "tickets";
/// What the name of a segment ends with in which something was wrong: a person may look at it.
const ASIDE: &str = "damaged";
/// A segment that is larger was not written by this program, bytes.
const BYTES_READ_MAX: u64 = 1024 * 1024 * 1024;

pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> TicketsError {
    let path = path.to_owned();
    move |source| TicketsError::File { path, source }
}

pub(super) fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:012}.{SUFFIX}"))
}

/// The segments that there are, the oldest first.
pub(super) fn list(dir: &Path) -> Result<Vec<(u64, PathBuf)>, TicketsError> {
    ending(dir, SUFFIX)
}

/// The segments that were set aside, the oldest first.
pub(super) fn aside(dir: &Path) -> Result<Vec<(u64, PathBuf)>, TicketsError> {
    ending(dir, ASIDE)
}

fn ending(dir: &Path, suffix: &str) -> Result<Vec<(u64, PathBuf)>, TicketsError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(at(dir))? {
        let path = entry.map_err(at(dir))?.path();
        if path.extension().is_none_or(|extension| extension != suffix) {
            continue;
        }
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
        if let Some(number) = number {
            found.push((number, path));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// The bytes of a segment; `None` where it is gone.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, TicketsError> {
    let read = || {
        if fs::metadata(path)?.len() > BYTES_READ_MAX {
            return Err(io::Error::other("a segment is too long"));
        }
        fs::read(path)
    };
    match read() {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(TicketsError::File { path: path.to_owned(), source }),
    }
}

/// Begins a segment.
pub(super) fn make(dir: &Path, number: u64) -> Result<Arc<File>, TicketsError> {
    let path = path(dir, number);
    let mut options = OpenOptions::new();
    let file = options.read(true).append(true).create_new(true).mode(0o600).open(&path);
    let file = file.map_err(at(&path))?;
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(at(dir))?;
    Ok(Arc::new(file))
}

/// Deletes a segment.
pub(super) fn delete(path: &Path) -> Result<(), TicketsError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(TicketsError::File { path: path.to_owned(), source }),
    }
}

/// Keeps a segment for a person to look at, where nothing reads it as a part of the journal.
pub(super) fn set_aside(path: &Path) -> Result<(), TicketsError> {
    fs::rename(path, path.with_extension(ASIDE)).map_err(at(path))
}
