//! The backup's file: a tar archive, version 2.
//!
//! ```text
//! manifest.json        format, agent, hub, time, and of each file: name, bytes, SHA-256
//! identity/agent.key   ┐
//! identity/agent.pem   │ then the files that the manifest names, in this order,
//! identity/hub.json    │ plain files with plain headers, mode 0600
//! vault                │
//! vault.key            │
//! agent.toml           ┘
//! ledger/key           ┐
//! ledger/cosigned      │ since version 2: the ledger; the log's files are streamed, prefixes
//! ledger/hub.pin       │ that a running agent only appends to
//! ledger/log-00000001  │
//! ledger/log-…         ┘
//! ```
//! Any tar program lists it. Reading takes no name, kind or length from the archive on trust: what
//! is not in the list above, stands in it twice, or differs from the manifest, refuses all of it.
//! Version 1 is read as a backup of an agent that had no ledger yet.

use crate::ledger::read::bytes_max;
use aws_lc_rs::digest::{Context, SHA256, digest};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
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
/// Where the ledger's files stand in the archive.
const LEDGER: &str = "ledger/";
/// What ends an archive.
const END: [u8; 1024] = [0; 1024];
/// Bytes that are copied at once.
const COPY_BYTES: usize = 256 << 10;
/// The manifest's name in the archive.
const MANIFEST: &str = "manifest.json";
/// Bytes of the manifest at most.
const MANIFEST_BYTES_MAX: u64 = 4 << 20;
/// What the manifest calls itself; the number is the version.
const FORMAT: &str = "weft-agent-backup/2";
/// The version before the ledger.
const FORMAT_1: &str = "weft-agent-backup/1";
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
    /// A file of the ledger could not be put where it belongs.
    #[error("a file of the ledger in it could not be written")]
    Unwritten,
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
pub(super) struct Listed {
    name: String,
    bytes: u64,
    sha256: String,
}

impl Listed {
    fn of(name: &str, bytes: &[u8]) -> Self {
        let sha256 = hex(digest(&SHA256, bytes).as_ref());
        Self { name: name.to_owned(), bytes: bytes.len() as u64, sha256 }
    }

    /// The first `bytes` bytes of a file of the ledger, which is copied to `to` on the way.
    ///
    /// # Errors
    /// What the system said; `UnexpectedEof` where it is shorter.
    pub(super) fn ledger(
        name: &str,
        bytes: u64,
        from: &mut impl Read,
        to: &mut impl Write,
    ) -> io::Result<Self> {
        let mut context = Context::new(&SHA256);
        let mut buffer = Zeroizing::new(vec![0; COPY_BYTES]);
        let mut left = bytes;
        while left > 0 {
            let want = usize::try_from(left).unwrap_or(COPY_BYTES).min(COPY_BYTES);
            let read = from.read(&mut buffer[..want])?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            context.update(&buffer[..read]);
            to.write_all(&buffer[..read])?;
            left -= read as u64;
        }
        let sha256 = hex(context.finish().as_ref());
        Ok(Self { name: format!("{LEDGER}{name}"), bytes, sha256 })
    }

    /// The file's name inside the ledger's directory, where it is one of the ledger's.
    pub(super) fn ledger_name(&self) -> Option<&str> {
        self.name.strip_prefix(LEDGER).filter(|name| bytes_max(name).is_some())
    }
}

impl Manifest {
    pub(super) fn of(
        agent: AgentId,
        hub: HubId,
        made_at: Timestamp,
        contents: &super::Contents,
        ledger: Vec<Listed>,
    ) -> Self {
        let there = FILES.iter().filter_map(|name| Some((name, contents.get(name)?)));
        let files = there.map(|(name, bytes)| Listed::of(name, bytes)).chain(ledger).collect();
        Self { format: FORMAT.to_owned(), agent, hub, made_at, files }
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.files.iter().map(|file| file.name.clone()).collect()
    }

    /// The files of the ledger.
    pub(super) fn ledger(&self) -> impl Iterator<Item = &Listed> {
        self.files.iter().filter(|file| file.name.starts_with(LEDGER))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The archive without the ledger, and without its end: [`append`] and [`finish`] follow.
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
        archive.append_data(&mut header(manifest, data.len() as u64), name, data)
    };
    append(MANIFEST, &about)?;
    for name in FILES {
        if let Some(data) = contents.get(name) {
            append(name, data)?;
        }
    }
    archive.finish()?;
    drop(archive);
    let length = bytes.len() - END.len();
    bytes.truncate(length);
    Ok(bytes)
}

fn header(manifest: &Manifest, bytes: u64) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(0o600);
    header.set_mtime(manifest.made_at.as_secs());
    header.set_size(bytes);
    header
}

/// Appends a file of the ledger, as it is listed.
///
/// # Errors
/// What the system said; `InvalidData` where it is another file than the one that was listed.
pub(super) fn append(
    manifest: &Manifest,
    listed: &Listed,
    from: &mut impl Read,
    to: &mut impl Write,
) -> io::Result<()> {
    let name = listed.ledger_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut header = header(manifest, listed.bytes);
    header.set_path(&listed.name)?;
    header.set_cksum();
    to.write_all(header.as_bytes())?;
    if Listed::ledger(name, listed.bytes, from, to)? != *listed {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let over = usize::try_from(listed.bytes % 512).unwrap_or(0);
    to.write_all(&END[..(512 - over) % 512])
}

/// Ends the archive.
///
/// # Errors
/// What the system said.
pub(super) fn finish(to: &mut impl Write) -> io::Result<()> {
    to.write_all(&END)
}

/// Reads an archive whole, and holds it against its manifest. Each file of the ledger goes where
/// `place` says, by its name inside the ledger's directory, while it is read: what was placed counts
/// only when this has returned without an error.
///
/// # Errors
/// [`ArchiveError`].
pub(super) fn unpack<W: Write>(
    from: impl Read,
    mut place: impl FnMut(&str) -> io::Result<W>,
) -> Result<(Manifest, super::Contents), ArchiveError> {
    let mut archive = tar::Archive::new(from);
    let mut entries = archive.entries().map_err(|_| ArchiveError::Unreadable)?.raw(true);
    let first = entries.next().ok_or(ArchiveError::Unreadable)?;
    let (name, about) = take(first, MANIFEST_BYTES_MAX)?;
    let manifest: Manifest = (name == MANIFEST.as_bytes())
        .then(|| serde_json::from_slice(&about).ok())
        .flatten()
        .filter(|manifest: &Manifest| [FORMAT, FORMAT_1].contains(&manifest.format.as_str()))
        .ok_or(ArchiveError::Manifest)?;
    let mut contents: super::Contents = BTreeMap::new();
    let mut ledger: BTreeMap<String, Listed> = BTreeMap::new();
    for entry in entries {
        let entry = entry.map_err(|_| ArchiveError::Unreadable)?;
        let path = entry.path_bytes().into_owned();
        let inside =
            path.strip_prefix(LEDGER.as_bytes()).and_then(|name| str::from_utf8(name).ok());
        if let Some((name, max)) = inside.and_then(|name| Some((name, bytes_max(name)?))) {
            let listed = stream(entry, name, max, &mut place)?;
            if ledger.insert(listed.name.clone(), listed).is_some() {
                return Err(ArchiveError::Foreign);
            }
            continue;
        }
        let (name, data) = take(Ok(entry), FILE_BYTES_MAX)?;
        let name = FILES.iter().find(|known| known.as_bytes() == name).copied();
        let name = name.ok_or(ArchiveError::Foreign)?;
        if contents.insert(name, data).is_some() {
            return Err(ArchiveError::Foreign);
        }
    }
    let found = contents.iter().map(|(name, data)| Listed::of(name, data));
    let found: BTreeMap<String, Listed> =
        found.map(|listed| (listed.name.clone(), listed)).chain(ledger).collect();
    for file in &manifest.files {
        if found.get(&file.name) != Some(file) {
            return Err(ArchiveError::Damaged(file.name.clone()));
        }
    }
    let listed = |name: &str| manifest.files.iter().any(|file| file.name == name);
    match found.into_keys().find(|name| !listed(name)) {
        Some(unlisted) => Err(ArchiveError::Damaged(unlisted)),
        None => Ok((manifest, contents)),
    }
}

/// Streams a file of the ledger to its place.
fn stream<W: Write>(
    mut entry: tar::Entry<'_, impl Read>,
    name: &str,
    max: u64,
    place: &mut impl FnMut(&str) -> io::Result<W>,
) -> Result<Listed, ArchiveError> {
    let length = entry.header().entry_size().map_err(|_| ArchiveError::Unreadable)?;
    if entry.header().entry_type() != tar::EntryType::Regular || length > max {
        return Err(ArchiveError::Foreign);
    }
    let mut to = place(name).map_err(|_| ArchiveError::Unwritten)?;
    let listed = Listed::ledger(name, length, &mut entry, &mut to);
    let listed = listed.map_err(|_| ArchiveError::Unreadable)?;
    to.flush().map_err(|_| ArchiveError::Unwritten)?;
    Ok(listed)
}

/// The name and the bytes of a plain file in the archive.
fn take(
    entry: io::Result<tar::Entry<'_, impl Read>>,
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
