//! The backup's file: a tar archive, version 1.
//!
//! ```text
//! manifest.json        format, agent, hub, time, and of each file: name, bytes, SHA-256
//! identity/agent.key   ┐
//! identity/agent.pem   │ then the files that the manifest names, in this order,
//! identity/hub.json    │ plain files with plain headers, mode 0600
//! vault                │
//! vault.key            │
//! agent.toml           ┘
//! ```
//! Any tar program lists it. Reading takes no name, kind or length from the archive on trust: what
//! is not in the list above, stands in it twice, or differs from the manifest, refuses all of it.

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{self, Read};
use weft_proto::ids::{AgentId, HubId};
use weft_proto::time::Timestamp;
use zeroize::Zeroizing;

/// The files of a data directory that a backup holds.
pub(super) const FILES: [&str; 6] = [
    "identity/agent.key",
    "identity/agent.pem",
    "identity/hub.json",
    "vault",
    "vault.key",
    "agent.toml",
];
/// Bytes of one file at most: a full vault.
pub(super) const FILE_BYTES_MAX: u64 = 32 << 20;
/// Bytes of a whole backup at most.
pub(super) const ARCHIVE_BYTES_MAX: u64 = 40 << 20;
/// The manifest's name in the archive.
const MANIFEST: &str = "manifest.json";
/// Bytes of the manifest at most.
const MANIFEST_BYTES_MAX: u64 = 16 * 1024;
/// What the manifest calls itself; the number is the version.
const FORMAT: &str = "weft-agent-backup/1";
/// Bytes of headers and padding for one entry, more than enough.
const ENTRY_OVERHEAD_BYTES: usize = 2 * 1024;

/// What is wrong with a backup.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveError {
    /// It is no tar archive, or ends too early.
    #[error("it is no backup, or a part of it is missing")]
    Unreadable,
    /// It does not begin with a manifest of this version.
    #[error("it has no manifest that this version of weft-agent reads")]
    Manifest,
    /// It holds something that no backup holds, or holds it twice.
    #[error("it holds an entry that does not belong into a backup")]
    Foreign,
    /// A file differs from what the manifest says.
    #[error("{0} in it is damaged or missing")]
    Damaged(String),
}

/// What the archive says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    format: String,
    pub(super) agent: AgentId,
    pub(super) hub: HubId,
    made_at: Timestamp,
    files: Vec<Listed>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    name: String,
    bytes: u64,
    sha256: String,
}

impl Listed {
    fn of(name: &str, bytes: &[u8]) -> Self {
        let digest = digest(&SHA256, bytes);
        let sha256 = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        Self { name: name.to_owned(), bytes: bytes.len() as u64, sha256 }
    }
}

impl Manifest {
    pub(super) fn of(
        agent: AgentId,
        hub: HubId,
        made_at: Timestamp,
        contents: &super::Contents,
    ) -> Self {
        let there = FILES.iter().filter_map(|name| Some((name, contents.get(name)?)));
        let files = there.map(|(name, bytes)| Listed::of(name, bytes)).collect();
        Self { format: FORMAT.to_owned(), agent, hub, made_at, files }
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.files.iter().map(|file| file.name.clone()).collect()
    }
}

/// Writes the archive.
///
/// # Errors
/// What the writer of tar said.
pub(super) fn pack(
    manifest: &Manifest,
    contents: &super::Contents,
) -> io::Result<Zeroizing<Vec<u8>>> {
    let about = serde_json::to_vec_pretty(manifest)?;
    let inside: usize = contents.values().map(|bytes| bytes.len() + ENTRY_OVERHEAD_BYTES).sum();
    // Full capacity at once: a buffer that grows leaves copies behind.
    let capacity = inside + about.len() + 4 * ENTRY_OVERHEAD_BYTES;
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
    let mut archive = tar::Builder::new(&mut *bytes);
    let mut append = |name: &str, data: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_mode(0o600);
        header.set_mtime(manifest.made_at.as_secs());
        header.set_size(data.len() as u64);
        archive.append_data(&mut header, name, data)
    };
    append(MANIFEST, &about)?;
    for name in FILES {
        if let Some(data) = contents.get(name) {
            append(name, data)?;
        }
    }
    archive.finish()?;
    drop(archive);
    Ok(bytes)
}

/// Reads an archive whole, and holds it against its manifest.
///
/// # Errors
/// [`ArchiveError`].
pub(super) fn unpack(bytes: &[u8]) -> Result<(Manifest, super::Contents), ArchiveError> {
    let mut archive = tar::Archive::new(bytes);
    let mut entries = archive.entries().map_err(|_| ArchiveError::Unreadable)?.raw(true);
    let first = entries.next().ok_or(ArchiveError::Unreadable)?;
    let (name, about) = take(first, MANIFEST_BYTES_MAX)?;
    let manifest: Manifest = (name == MANIFEST.as_bytes())
        .then(|| serde_json::from_slice(&about).ok())
        .flatten()
        .filter(|manifest: &Manifest| manifest.format == FORMAT)
        .ok_or(ArchiveError::Manifest)?;
    let mut contents: super::Contents = BTreeMap::new();
    for entry in entries {
        let (name, data) = take(entry, FILE_BYTES_MAX)?;
        let name = FILES.iter().find(|known| known.as_bytes() == name).copied();
        let name = name.ok_or(ArchiveError::Foreign)?;
        if contents.insert(name, data).is_some() {
            return Err(ArchiveError::Foreign);
        }
    }
    if manifest.files.len() != contents.len() {
        let listed = |name: &str| manifest.files.iter().any(|file| file.name == name);
        let odd = manifest.files.iter().find(|file| !contents.contains_key(file.name.as_str()));
        let odd = odd.map(|file| file.name.clone());
        let unlisted = || contents.keys().find(|name| !listed(name)).map(|name| (*name).to_owned());
        return Err(ArchiveError::Damaged(odd.or_else(unlisted).unwrap_or_default()));
    }
    for file in &manifest.files {
        let data = contents.get(file.name.as_str());
        if !data.is_some_and(|data| Listed::of(&file.name, data) == *file) {
            return Err(ArchiveError::Damaged(file.name.clone()));
        }
    }
    Ok((manifest, contents))
}

/// The name and the bytes of a plain file in the archive.
fn take(
    entry: io::Result<tar::Entry<'_, &[u8]>>,
    max: u64,
) -> Result<(Vec<u8>, Zeroizing<Vec<u8>>), ArchiveError> {
    let mut entry = entry.map_err(|_| ArchiveError::Unreadable)?;
    let length = entry.header().entry_size().map_err(|_| ArchiveError::Unreadable)?;
    if entry.header().entry_type() != tar::EntryType::Regular || length > max {
        return Err(ArchiveError::Foreign);
    }
    let name = entry.path_bytes().into_owned();
    let capacity = usize::try_from(length.min(max)).unwrap_or(0);
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity.min(1 << 20)));
    (&mut entry).take(max).read_to_end(&mut bytes).map_err(|_| ArchiveError::Unreadable)?;
    if bytes.len() as u64 != length {
        return Err(ArchiveError::Unreadable);
    }
    Ok((name, bytes))
}
