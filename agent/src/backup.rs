//! An agent's data in one file, and back.
//!
//! ```text
//!  backup   edit lock ─▶ read all ─▶ load all ─▶ read again, the same ─▶ one file, 0600, new
//!  restore  read ─▶ names, lengths, digests ─▶ staged beside ─▶ load all ─▶ moved into place
//! ```
//! The file is a tar archive with a manifest as its first entry ([`archive`]). A backup is
//! consistent while the agent runs: the vault cannot be edited meanwhile, and a certificate that is
//! renewed meanwhile is noticed. Of the ledger, which only grows, it holds what was whole when it
//! was begun; a restored one begins a new epoch at its first start. Nothing is overwritten, by
//! either. A restored directory is whole or has no identity: the identity is moved into place last.

mod archive;

pub use archive::ArchiveError;

use crate::config::{AgentConfig, ConfigError};
use crate::datadir::{self, DataDir, DataDirError};
use crate::ledger::read::{LedgerFiles, files_of};
use crate::ledger::{LedgerError, read};
use crate::uplink::{IdentityFiles, IdentityFilesError};
use crate::vault::{Vault, VaultError};
use archive::{FILE_BYTES_MAX, FILES, Listed, Manifest};
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use weft_proto::ids::{AgentId, HubId};
use weft_proto::ledger::verify::Trust;
use weft_proto::time::Clock;
use zeroize::Zeroizing;

/// How often a directory that changes while it is read is read again.
const READS_MAX: usize = 5;
/// Where a restored directory is put together, inside the directory that it is for.
const STAGING: &str = "restoring";

/// Why there is no backup, or no restored directory.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A file or directory could not be used.
    #[error("cannot use {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is longer than it can be.
    #[error("{} is longer than it can be", path.display())]
    TooLong {
        /// Which.
        path: PathBuf,
    },
    /// The data directory kept changing.
    #[error("the data directory changes again and again: try once more")]
    Restless,
    /// The target directory is not empty.
    #[error("{} is not empty: restore into a new directory", path.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// The backup is none, or is damaged.
    #[error("{} cannot be restored; nothing was written", path.display())]
    Archive {
        /// The backup.
        path: PathBuf,
        /// What is wrong with it.
        source: ArchiveError,
    },
    /// The identity does not load.
    #[error(transparent)]
    Identity(#[from] IdentityFilesError),
    /// The vault does not open.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The settings do not parse.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The ledger does not hold.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The identity in the backup is not the one that its manifest names.
    #[error("the backup's manifest names another agent than its identity: nothing was restored")]
    OtherAgent,
}

/// What was written or restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// Whose data it is.
    pub agent: AgentId,
    /// The agent's hub.
    pub hub: HubId,
    /// The files, by their names inside the data directory.
    pub files: Vec<String>,
}

/// The files of a data directory by their names, for as short a time as possible.
type Contents = BTreeMap<&'static str, Zeroizing<Vec<u8>>>;

/// Writes the data of `data` to the new file `to`, mode 0600. Blocks on the disk.
///
/// # Errors
/// [`BackupError`]; no file is left behind, and one that was there is as it was.
pub fn write(data: &DataDir, to: &Path, clock: &dyn Clock) -> Result<Done, BackupError> {
    let lock = data.lock_edit()?;
    for _ in 0..READS_MAX {
        let contents = read_all(data.root())?;
        let (agent, hub) = check(data)?;
        if read_all(data.root())? != contents {
            continue;
        }
        drop(lock);
        let (ledger, files) = list_ledger(data)?;
        let manifest = Manifest::of(agent, hub, clock.now(), &contents, ledger);
        let failed = |source| BackupError::File { path: to.to_owned(), source };
        let bytes = archive::pack(&manifest, &contents).map_err(failed)?;
        write_new(to, |file| {
            file.write_all(&bytes)?;
            for listed in manifest.ledger() {
                let name = listed.ledger_name().ok_or(io::ErrorKind::InvalidInput)?;
                match files.small.iter().find(|(small, _)| *small == name) {
                    Some((_, bytes)) => {
                        archive::append(&manifest, listed, &mut bytes.as_slice(), file)?;
                    }
                    None => {
                        let mut from = fs::File::open(data.ledger_dir().join(name))?;
                        archive::append(&manifest, listed, &mut from, file)?;
                    }
                }
            }
            archive::finish(file)
        })?;
        return Ok(Done { agent, hub, files: manifest.names() });
    }
    Err(BackupError::Restless)
}

/// Makes the data directory `root`, which is new or empty, from the backup `from`. Blocks on the
/// disk.
///
/// # Errors
/// [`BackupError`]; the directory is as it was.
pub fn restore(from: &Path, root: &Path) -> Result<Done, BackupError> {
    let damaged = |source| BackupError::Archive { path: from.to_owned(), source };
    let opened = || {
        let file = fs::File::open(from).map(io::BufReader::new);
        file.map_err(|source| BackupError::File { path: from.to_owned(), source })
    };
    // Twice: nothing is written before all of it is known to hold.
    let unpacked = archive::unpack(opened()?, |_| Ok(io::sink())).map_err(damaged)?;
    let (manifest, contents) = unpacked;
    let made = make_target(root)?;
    let staging = root.join(STAGING);
    let staged = stage(&staging, &manifest, &contents, || {
        let again = archive::unpack(opened()?, |name| place_ledger(&staging, name));
        // Another backup than the one that held.
        let same = again.map_err(damaged)?.0 == manifest;
        if same { Ok(()) } else { Err(damaged(ArchiveError::Unreadable)) }
    })
    .and_then(|()| settle(&staging, root));
    if staged.is_err() {
        // Best effort: what failed is what is told.
        fs::remove_dir_all(&staging).unwrap_or_default();
        if made {
            fs::remove_dir(root).unwrap_or_default();
        }
    }
    staged?;
    Ok(Done { agent: manifest.agent, hub: manifest.hub, files: manifest.names() })
}

/// Loads everything as a run would.
fn check(data: &DataDir) -> Result<(AgentId, HubId), BackupError> {
    let (identity, record) = IdentityFiles::new(data.clone()).load()?;
    drop(Vault::open(data)?);
    drop(AgentConfig::of_file(data)?);
    Ok((identity.agent(), record.hub))
}

/// All files that are there.
fn read_all(root: &Path) -> Result<Contents, BackupError> {
    let mut contents = Contents::new();
    for name in FILES {
        let path = root.join(name);
        match read_bounded(&path, FILE_BYTES_MAX) {
            Ok(bytes) => drop(contents.insert(name, bytes)),
            Err(BackupError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(contents)
}

fn read_bounded(path: &Path, max: u64) -> Result<Zeroizing<Vec<u8>>, BackupError> {
    let failed = |source| BackupError::File { path: path.to_owned(), source };
    let file = fs::File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    if length > max {
        return Err(BackupError::TooLong { path: path.to_owned() });
    }
    // Full capacity at once: a buffer that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(length).unwrap_or(0) + 1));
    file.take(max + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > max {
        return Err(BackupError::TooLong { path: path.to_owned() });
    }
    Ok(bytes)
}

/// The ledger's files as they are to be backed up, with their digests.
fn list_ledger(data: &DataDir) -> Result<(Vec<Listed>, LedgerFiles), BackupError> {
    let files = files_of(data, !data.is_running()?)?;
    let mut listed = Vec::new();
    let failed = |name: &str| {
        let path = data.ledger_dir().join(name);
        |source| BackupError::File { path, source }
    };
    for (name, bytes) in &files.small {
        let mut from = bytes.as_slice();
        let made = Listed::ledger(name, bytes.len() as u64, &mut from, &mut io::sink());
        listed.push(made.map_err(failed(name))?);
    }
    for (name, bytes) in &files.log {
        let file = fs::File::open(data.ledger_dir().join(name));
        let made =
            file.and_then(|mut from| Listed::ledger(name, *bytes, &mut from, &mut io::sink()));
        listed.push(made.map_err(failed(name))?);
    }
    Ok((listed, files))
}

/// Where a file of the ledger goes in the staged directory. Its name is one that a ledger has.
fn place_ledger(staging: &Path, name: &str) -> io::Result<SyncedFile> {
    let root = staging.join("ledger");
    DirBuilder::new().recursive(true).mode(0o700).create(&root)?;
    let mut new = fs::OpenOptions::new();
    new.write(true).create_new(true).mode(0o600).open(root.join(name)).map(SyncedFile)
}

/// A file whose flush reaches the disk.
#[derive(Debug)]
struct SyncedFile(fs::File);

impl Write for SyncedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.sync_all()
    }
}

/// Writes a file that must not exist; a half-written one does not stay.
fn write_new(
    to: &Path,
    write: impl FnOnce(&mut fs::File) -> io::Result<()>,
) -> Result<(), BackupError> {
    let existed = to.symlink_metadata().is_ok();
    // A bare name stands in the current directory, which has to be named to be synced.
    let path = if to.parent() == Some(Path::new("")) { Path::new(".").join(to) } else { to.into() };
    let written = || {
        // Without a buffer of its own, which would keep copies of keys.
        let mut new = fs::OpenOptions::new();
        let mut file = new.write(true).create_new(true).mode(0o600).open(&path)?;
        write(&mut file)?;
        file.sync_all()?;
        fs::File::open(path.parent().ok_or(io::ErrorKind::InvalidInput)?)?.sync_all()
    };
    written().map_err(|source| {
        if !existed {
            fs::remove_file(&path).unwrap_or_default();
        }
        BackupError::File { path: to.to_owned(), source }
    })
}

/// Makes the target where it does not exist. Returns whether it did.
fn make_target(root: &Path) -> Result<bool, BackupError> {
    let failed = |source| BackupError::File { path: root.to_owned(), source };
    match fs::read_dir(root) {
        Ok(mut entries) => match entries.next() {
            None => Ok(false),
            Some(_) => Err(BackupError::NotEmpty { path: root.to_owned() }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            DirBuilder::new().recursive(true).mode(0o700).create(root).map_err(failed)?;
            Ok(true)
        }
        Err(source) => Err(failed(source)),
    }
}

/// Puts the directory together beside its place, and loads it there as a run would.
fn stage(
    staging: &Path,
    manifest: &Manifest,
    contents: &Contents,
    ledger: impl FnOnce() -> Result<(), BackupError>,
) -> Result<(), BackupError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| BackupError::File { path, source }
    };
    for dir in [staging.to_owned(), staging.join("identity")] {
        DirBuilder::new().mode(0o700).create(&dir).map_err(failed(&dir))?;
    }
    for (name, bytes) in contents {
        let path = staging.join(name);
        datadir::create_file(&path, bytes).map_err(failed(&path))?;
    }
    ledger()?;
    let staged = DataDir::open(staging)?;
    if check(&staged)? != (manifest.agent, manifest.hub) {
        return Err(BackupError::OtherAgent);
    }
    let (agent, hub) = (Some(manifest.agent), Some(manifest.hub));
    if manifest.ledger().next().is_some() {
        let trust = Trust { agent, hub, ..Trust::default() };
        read::read(&staged, trust, false, |_| {})?;
    }
    Ok(())
}

/// Moves everything into place, the identity last: a directory without one is no agent's.
fn settle(staging: &Path, root: &Path) -> Result<(), BackupError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| BackupError::File { path, source }
    };
    let mut names = Vec::new();
    for entry in fs::read_dir(staging).map_err(failed(staging))? {
        names.push(entry.map_err(failed(staging))?.file_name());
    }
    names.sort_by_key(|name| name == "identity");
    for name in names {
        let to = root.join(&name);
        fs::rename(staging.join(&name), &to).map_err(failed(&to))?;
    }
    fs::remove_dir(staging).map_err(failed(staging))?;
    fs::File::open(root).and_then(|dir| dir.sync_all()).map_err(failed(root))
}

#[cfg(test)]
mod tests;
