//! Files that hold one secret of the hub: made once out of chance, for the hub's user alone, synced
//! with their folder, and never made anew.
//!
//! A file that others can read is refused, for its secret may be known; one of another length is
//! damaged, and stays as it is. Nothing here knows what a key is for.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use weft_proto::entropy::Entropy;
use zeroize::Zeroizing;

/// Readable by the hub's user alone.
pub const PRIVATE_MODE: u32 = 0o600;
/// What a mode has where others than the hub's user may do something with a file.
const OTHERS_MASK: u32 = 0o077;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file cannot be read or made.
    #[error("{} cannot be used", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        #[source]
        source: std::io::Error,
    },
    /// Others can read the file, or change it.
    #[error("{} can be used by others (mode {mode:03o}): chmod 600 it", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The file holds no key. It is not made anew: what was signed with it would be worthless.
    #[error("{} is damaged: restore it from a backup", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
}

impl KeyFileError {
    fn is_missing(&self) -> bool {
        match self {
            Self::File { source, .. } => source.kind() == ErrorKind::NotFound,
            Self::Open { .. } | Self::Damaged { .. } => false,
        }
    }
}

/// Reads the key in `folder/name`; makes one where there is none. Blocks on the disk.
///
/// # Errors
/// [`KeyFileError`].
pub fn open<const BYTES: usize>(
    folder: &Path,
    name: &str,
    entropy: &dyn Entropy,
) -> Result<Zeroizing<[u8; BYTES]>, KeyFileError> {
    match existing(folder, name) {
        Err(error) if error.is_missing() => make(folder, name, entropy),
        read => read,
    }
}

/// Reads the key in `folder/name`, and never makes one. Blocks on the disk.
///
/// # Errors
/// [`KeyFileError`].
pub fn existing<const BYTES: usize>(
    folder: &Path,
    name: &str,
) -> Result<Zeroizing<[u8; BYTES]>, KeyFileError> {
    let path = folder.join(name);
    let failed = |source| KeyFileError::File { path: path.clone(), source };
    let file = File::open(&path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
    if mode & OTHERS_MASK != 0 {
        return Err(KeyFileError::Open { path, mode });
    }
    // One byte more than a key has, so that a longer file is told from it.
    let mut bytes = Zeroizing::new(Vec::with_capacity(BYTES + 1));
    file.take(BYTES as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    match <&[u8; BYTES]>::try_from(bytes.as_slice()) {
        Ok(key) => Ok(Zeroizing::new(*key)),
        Err(_) => Err(KeyFileError::Damaged { path }),
    }
}

/// Puts another key in the place of the one in `folder/name`, at once or not at all. What was signed
/// with the old one is for the caller to have settled. Blocks on the disk.
///
/// # Errors
/// [`KeyFileError::File`]: the old one stands.
pub fn replace<const BYTES: usize>(
    folder: &Path,
    name: &str,
    key: &[u8; BYTES],
) -> Result<(), KeyFileError> {
    let path = folder.join(name);
    let next = folder.join(format!("{name}.next"));
    let replaced = || {
        // What a rotation that was cut short has left.
        match std::fs::remove_file(&next) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let opened = OpenOptions::new().write(true).create_new(true).mode(PRIVATE_MODE).open(&next);
        opened.and_then(|mut file| file.write_all(key).and_then(|()| file.sync_all()))?;
        std::fs::rename(&next, &path)?;
        File::open(folder)?.sync_all()
    };
    replaced().map_err(|source| KeyFileError::File { path: path.clone(), source })
}

fn make<const BYTES: usize>(
    folder: &Path,
    name: &str,
    entropy: &dyn Entropy,
) -> Result<Zeroizing<[u8; BYTES]>, KeyFileError> {
    let path = folder.join(name);
    let mut key = Zeroizing::new([0_u8; BYTES]);
    entropy.fill(&mut *key);
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(PRIVATE_MODE)
        .open(&path)
        .and_then(|mut file| file.write_all(&*key).and_then(|()| file.sync_all()))
        .and_then(|()| File::open(folder)?.sync_all())
        .map_err(|source| KeyFileError::File { path, source })?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_proto::entropy::SeededEntropy;

    const NAME: &str = "some.key";

    fn open_with(folder: &Path, seed: u64) -> Result<Zeroizing<[u8; 32]>, KeyFileError> {
        open(folder, NAME, &SeededEntropy::new(seed))
    }

    #[test]
    fn a_key_is_made_once_for_the_hub_alone_and_never_by_who_only_reads() {
        let dir = tempfile::tempdir().expect("a folder");
        let none = existing::<32>(dir.path(), NAME).expect_err("there is none");
        assert!(none.is_missing() && !dir.path().join(NAME).exists(), "{none}");
        let made = open_with(dir.path(), 1).expect("made");
        assert_ne!(*made, [0; 32]);
        assert_eq!(open_with(dir.path(), 2).expect("read"), made);
        assert_eq!(existing::<32>(dir.path(), NAME).expect("read"), made);
        let mode = std::fs::metadata(dir.path().join(NAME)).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, PRIVATE_MODE);
    }

    #[test]
    fn a_damaged_key_is_never_replaced_and_one_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join(NAME);
        let made = open_with(dir.path(), 1).expect("made");
        for mode in [0o640, 0o604, 0o620, 0o700] {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("changed");
            let opened = open_with(dir.path(), 2);
            match mode & OTHERS_MASK {
                0 => assert_eq!(opened.expect("the hub's alone"), made),
                _ => assert!(matches!(opened, Err(KeyFileError::Open { .. })), "{opened:?}"),
            }
        }
        for content in [&b""[..], &[7; 31], &[7; 33], &[7; 4_096]] {
            std::fs::write(&path, content).expect("written");
            let damaged = open_with(dir.path(), 2);
            assert!(matches!(damaged, Err(KeyFileError::Damaged { .. })), "{damaged:?}");
            assert_eq!(std::fs::read(&path).expect("there"), content);
        }
    }
}
