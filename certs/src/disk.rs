//! Files of an authority or an identity: read with a limit, written whole or not at all.
//!
//! A private file is made with mode 0600 and is refused when somebody else may read it. A write
//! goes to a temporary file in the same folder, is synced, and takes the name in one step, so a
//! crash leaves the old file or the new one. Nothing here prints what a file holds. Calls block.

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The longest file that is read, in bytes.
pub const MAX_FILE_LEN: usize = 64 * 1024;

/// The most certificates that are read from one file.
pub const MAX_CHAIN_FILE_CERTS: usize = 16;

/// Permission bits that a private file must not have.
const FOREIGN_MODE: u32 = 0o077;

/// A file that cannot be read, written or understood; always names the file.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The operating system refused.
    #[error("{action} {} failed", path.display())]
    Io {
        /// What was tried, as a verb: `reading`, `writing`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// The file is longer than [`MAX_FILE_LEN`].
    #[error("{} is longer than {MAX_FILE_LEN} bytes", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// The file does not hold what it should.
    #[error("{} is damaged: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it; never quotes the file.
        what: &'static str,
    },
    /// A private file that other users of the machine may read.
    #[error(
        "{} may be read by others (mode {mode:03o}): run `chmod 600` on it, and think about \
         whether the key is still secret", path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
}

impl FileError {
    pub(crate) fn damaged(path: &Path, what: &'static str) -> Self {
        Self::Damaged { path: path.to_owned(), what }
    }

    /// Whether the file is simply not there.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        match self {
            Self::Io { source, .. } => source.kind() == std::io::ErrorKind::NotFound,
            Self::TooLong { .. } | Self::Damaged { .. } | Self::Exposed { .. } => false,
        }
    }
}

/// Makes `dir` and its parents, readable by the owner alone; one that exists is left as it is.
pub(crate) fn make_dir(dir: &Path) -> Result<(), FileError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|source| io("making", dir, source))
}

/// Reads a file that anybody may see.
pub(crate) fn read_public(path: &Path) -> Result<Vec<u8>, FileError> {
    let file = File::open(path).map_err(|source| io("reading", path, source))?;
    let mut bytes = Vec::new();
    read_limited(file, &mut bytes, path)?;
    Ok(bytes)
}

/// Reads a secret file; refuses one that others may read.
pub(crate) fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let file = File::open(path).map_err(|source| io("reading", path, source))?;
    let mode =
        file.metadata().map_err(|source| io("reading", path, source))?.permissions().mode() & 0o777;
    if mode & FOREIGN_MODE != 0 {
        return Err(FileError::Exposed { path: path.to_owned(), mode });
    }
    read_secret(file, path)
}

/// Reads a secret file that somebody else keeps, such as a mounted key; its mode is theirs to set.
pub(crate) fn read_foreign_private(path: &Path) -> Result<Zeroizing<Vec<u8>>, FileError> {
    read_secret(File::open(path).map_err(|source| io("reading", path, source))?, path)
}

/// Writes a file that anybody may see.
pub(crate) fn write_public(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    replace(path, bytes, 0o644)
}

/// Writes a file that the owner alone may read.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    replace(path, bytes, 0o600)
}

/// Removes a file; one that is not there is as good.
pub(crate) fn remove(path: &Path) -> Result<(), FileError> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(()),
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(io("removing", path, source)),
    }
}

/// Reads the certificates of a PEM file, at least one.
pub(crate) fn read_certs(path: &Path) -> Result<Vec<CertificateDer<'static>>, FileError> {
    let text = read_public(path)?;
    let mut certs = Vec::new();
    for cert in CertificateDer::pem_slice_iter(&text) {
        if certs.len() == MAX_CHAIN_FILE_CERTS {
            return Err(FileError::damaged(path, "it holds too many certificates"));
        }
        certs.push(cert.map_err(|_| FileError::damaged(path, "it is not well-formed PEM"))?);
    }
    if certs.is_empty() {
        return Err(FileError::damaged(path, "it holds no PEM certificate"));
    }
    Ok(certs)
}

/// Writes certificates as one PEM file.
pub(crate) fn write_certs(path: &Path, certs: &[CertificateDer<'_>]) -> Result<(), FileError> {
    let mut text = String::new();
    for cert in certs {
        text.push_str(&pem_text("CERTIFICATE", cert));
    }
    write_public(path, text.as_bytes())
}

/// DER as PEM text; the buffer is wiped when it is dropped.
pub(crate) fn pem_text(label: &str, der: &[u8]) -> Zeroizing<String> {
    use base64::Engine as _;
    /// Characters in a line of PEM (RFC 7468).
    const LINE_LEN: usize = 64;
    let body = Zeroizing::new(base64::engine::general_purpose::STANDARD.encode(der));
    // Sized once, so that growing leaves no copy of a secret behind.
    let mut text = Zeroizing::new(String::with_capacity(
        body.len() + body.len() / LINE_LEN + 2 * label.len() + 64,
    ));
    text.push_str("-----BEGIN ");
    text.push_str(label);
    text.push_str("-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(LINE_LEN));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}

fn read_secret(file: File, path: &Path) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_FILE_LEN + 1));
    read_limited(file, &mut bytes, path)?;
    Ok(bytes)
}

fn read_limited(file: File, bytes: &mut Vec<u8>, path: &Path) -> Result<(), FileError> {
    let limit = u64::try_from(MAX_FILE_LEN).unwrap_or(u64::MAX).saturating_add(1);
    file.take(limit).read_to_end(bytes).map_err(|source| io("reading", path, source))?;
    if bytes.len() > MAX_FILE_LEN {
        return Err(FileError::TooLong { path: path.to_owned() });
    }
    Ok(())
}

/// Puts `bytes` under the name `path` in one step.
fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    let failed = |source| io("writing", path, source);
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(FileError::damaged(path, "it has no folder"));
    };
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    let mut partial_name = std::ffi::OsString::from(".");
    partial_name.push(name);
    partial_name.push(format!(".{}.partial", std::process::id()));
    let partial = dir.join(partial_name);
    // A leftover of a crash may have another mode: it goes, so that ours is made fresh.
    if let Err(source) = std::fs::remove_file(&partial)
        && source.kind() != std::io::ErrorKind::NotFound
    {
        return Err(failed(source));
    }
    let written = write_new(&partial, bytes, mode)
        .and_then(|()| std::fs::rename(&partial, path))
        .and_then(|()| File::open(dir)?.sync_all());
    if let Err(source) = written {
        // The first failure is the one to report; a leftover is harmless.
        drop(std::fs::remove_file(&partial));
        return Err(failed(source));
    }
    Ok(())
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn io(action: &'static str, path: &Path, source: std::io::Error) -> FileError {
    FileError::Io { action, path: path.to_owned(), source }
}
