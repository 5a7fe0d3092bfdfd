//! The key that the vault is sealed under: a file of its own, readable by its owner alone.
//!
//! The file is one line of text, `weft-vault-key/1 <base64 of 32 bytes>`, mode 0600. It leaves the
//! data directory by `weft-agent backup` alone. A copy of the vault without it is worthless, which
//! is why the two are two files.

use super::VaultError;
use crate::datadir;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use weft_proto::entropy::Entropy;
use zeroize::Zeroizing;

/// Length of the key in bytes (AES-256).
const KEY_BYTES: usize = 32;
/// Length of a nonce in bytes (AES-GCM).
pub(super) const NONCE_BYTES: usize = 12;
/// Length of the authentication tag in bytes.
pub(super) const TAG_BYTES: usize = 16;
/// A key file longer than this is not one of ours.
const KEY_FILE_BYTES_MAX: u64 = 256;
/// What a key file begins with; the number is the version.
const KEY_FILE_PREFIX: &str = "weft-vault-key/1 ";
/// Permission bits that anyone but the owner would need.
const OTHERS_MASK: u32 = 0o077;

/// The vault's key, ready to seal and open.
pub(super) struct VaultKey(LessSafeKey);

impl fmt::Debug for VaultKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VaultKey(redacted)")
    }
}

impl VaultKey {
    /// Reads the key file.
    ///
    /// # Errors
    /// [`VaultError::KeyMissing`], [`VaultError::KeyPermissions`], [`VaultError::KeyMalformed`] or
    /// [`VaultError::File`].
    pub(super) fn load(path: &Path) -> Result<Self, VaultError> {
        let metadata = match fs::metadata(path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(VaultError::KeyMissing { path: path.to_owned() });
            }
            Err(source) => {
                return Err(VaultError::File { path: path.to_owned(), source });
            }
        };
        let mode = metadata.permissions().mode() & 0o777;
        if mode & OTHERS_MASK != 0 {
            return Err(VaultError::KeyPermissions { path: path.to_owned(), mode });
        }
        if !metadata.is_file() || metadata.len() > KEY_FILE_BYTES_MAX {
            return Err(VaultError::KeyMalformed { path: path.to_owned() });
        }
        let text = fs::read(path)
            .map(Zeroizing::new)
            .map_err(|source| VaultError::File { path: path.to_owned(), source })?;
        Self::parse(&text).ok_or_else(|| VaultError::KeyMalformed { path: path.to_owned() })
    }

    /// Makes a fresh key file. An existing one is never overwritten.
    ///
    /// # Errors
    /// [`VaultError::File`] when the file cannot be written or exists already.
    pub(super) fn create(path: &Path, entropy: &dyn Entropy) -> Result<Self, VaultError> {
        let mut bytes = Zeroizing::new([0u8; KEY_BYTES]);
        entropy.fill(bytes.as_mut_slice());
        let encoded = Zeroizing::new(STANDARD.encode(bytes.as_slice()));
        let line = Zeroizing::new(format!("{KEY_FILE_PREFIX}{}\n", encoded.as_str()));
        datadir::create_file(path, line.as_bytes())
            .map_err(|source| VaultError::File { path: path.to_owned(), source })?;
        Self::from_bytes(bytes.as_slice())
            .ok_or_else(|| VaultError::KeyMalformed { path: path.to_owned() })
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let encoded = text.strip_prefix(KEY_FILE_PREFIX)?.trim_end_matches(['\r', '\n']);
        let bytes = Zeroizing::new(STANDARD.decode(encoded).ok()?);
        Self::from_bytes(&bytes)
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        UnboundKey::new(&AES_256_GCM, bytes).ok().map(|key| Self(LessSafeKey::new(key)))
    }

    /// Seals `plain`, bound to `aad`. `nonce` must be fresh chance.
    pub(super) fn seal(
        &self,
        nonce: [u8; NONCE_BYTES],
        aad: &[u8],
        plain: &[u8],
    ) -> Result<Vec<u8>, VaultError> {
        let mut sealed = Vec::with_capacity(plain.len() + TAG_BYTES);
        sealed.extend_from_slice(plain);
        self.0
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(aad),
                &mut sealed,
            )
            .map_err(|_| VaultError::Seal)?;
        Ok(sealed)
    }

    /// Opens what [`Self::seal`] made with the same `aad`; `None` where anything differs.
    pub(super) fn open(
        &self,
        nonce: [u8; NONCE_BYTES],
        aad: &[u8],
        sealed: &[u8],
    ) -> Option<Zeroizing<Vec<u8>>> {
        let mut buffer = Zeroizing::new(sealed.to_vec());
        let length = self
            .0
            .open_in_place(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(aad),
                buffer.as_mut_slice(),
            )
            .ok()?
            .len();
        buffer.truncate(length);
        Some(buffer)
    }
}
