//! The disk of a machine whose process dies: what stood on it at that moment is what stands later.
//!
//! A simulated process that is killed has its tasks dropped, and what is dropped has last words: an
//! exchange is closed, a hold is released. A real one has none. What goes with the power is told in
//! [`super::power`].

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The files of a directory and of those in it, as they stood.
#[derive(Debug, Clone)]
pub(super) struct Stood {
    root: PathBuf,
    pub(super) files: BTreeMap<PathBuf, Vec<u8>>,
}

impl Stood {
    /// Remembers what stands in `root`.
    pub(super) fn of(root: &Path) -> io::Result<Self> {
        let mut files = BTreeMap::new();
        for path in all(root)? {
            let bytes = fs::read(&path)?;
            files.insert(path, bytes);
        }
        Ok(Self { root: root.to_owned(), files })
    }

    /// Makes it so again.
    pub(super) fn restore(&self) -> io::Result<()> {
        for path in all(&self.root)? {
            if !self.files.contains_key(&path) {
                fs::remove_file(path)?;
            }
        }
        for (path, bytes) in &self.files {
            if fs::read(path).ok().as_ref() != Some(bytes) {
                fs::write(path, bytes)?;
            }
        }
        Ok(())
    }
}

fn all(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}
