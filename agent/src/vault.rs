//! The vault: the only place where a provider secret exists, sealed on disk and in memory.
//!
//! ```text
//!  owner's stdin ─▶ Secret ─seal─▶ vault file (0600) ◀─ key file (0600, own file)
//!                                       │ open, per request
//!                                       ▼
//!                                    LentKey ─▶ one request's sensitive header ─▶ zeroed
//! ```
//! Invariants: secrets are sealed in memory too, and opened for one request at a time; a file that
//! does not open whole is an error and is never written over; every write is a whole new file. The
//! vault never logs, never serialises a secret, and has no call that gives one out but
//! [`Vault::lend`].

mod format;
mod key;
mod secret;
mod watch;

pub use secret::{LentKey, Secret};

pub(crate) use watch::follow;

use crate::account::{Account, AccountDraft, AccountRefused};
use crate::datadir::{self, DataDir, DataDirError};
use format::SealedEntry;
use key::{NONCE_BYTES, VaultKey};
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use weft_proto::entropy::Entropy;
use weft_proto::ids::AccountId;

/// What can be wrong with the vault, its key, or a request to it.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// There is a vault but no key file.
    #[error(
        "the vault's key file {} is missing: put it back from your backup; without it the accounts \
         must be added again",
        path.display()
    )]
    KeyMissing {
        /// Where it should stand.
        path: PathBuf,
    },
    /// Others than the owner may read the key file.
    #[error(
        "the vault's key file {} can be read by others (mode {mode:03o}): run `chmod 600 {}` and \
         think about whether the keys were seen",
        path.display(), path.display()
    )]
    KeyPermissions {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The key file does not hold a key.
    #[error("{} is not a vault key file: put it back from your backup", path.display())]
    KeyMalformed {
        /// The key file.
        path: PathBuf,
    },
    /// No entry opens: the key is another one's.
    #[error("the key file does not belong to the vault {}: nothing was changed", path.display())]
    WrongKey {
        /// The vault file.
        path: PathBuf,
    },
    /// Some entries open and this one does not, or what it says is no account.
    #[error(
        "account {account} in the vault {} is damaged: restore the file from your backup; nothing \
         was changed",
        path.display()
    )]
    Damaged {
        /// The vault file.
        path: PathBuf,
        /// The account that does not open.
        account: AccountId,
    },
    /// The file is not a vault of this version.
    #[error("the vault {} cannot be read: {what}; nothing was changed", path.display())]
    Malformed {
        /// The vault file.
        path: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
    /// The system refused.
    #[error("cannot use {}", path.display())]
    File {
        /// The file in question.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The declaration is not an account.
    #[error(transparent)]
    Account(#[from] AccountRefused),
    /// Another account of this provider has this label.
    #[error("there is already a {provider} account labelled {label:?}")]
    LabelTaken {
        /// The provider.
        provider: weft_proto::provider::Provider,
        /// The label.
        label: String,
    },
    /// The vault is full.
    #[error("the vault holds {} accounts, which is the most it may", format::ENTRIES_MAX)]
    Full,
    /// No such account.
    #[error("there is no account {0}")]
    Unknown(AccountId),
    /// The secret is not one that a provider gives out.
    #[error("that is no provider key: want 1 to 4096 visible ASCII characters on one line")]
    SecretInvalid,
    /// The cipher refused.
    #[error("sealing failed")]
    Seal,
}

/// One account in memory: what is known of it, and its sealed secret.
#[derive(Debug)]
struct Entry {
    account: Arc<Account>,
    sealed: SealedEntry,
}

/// All accounts of one agent, secrets sealed.
pub struct Vault {
    path: PathBuf,
    key_path: PathBuf,
    data: DataDir,
    inner: RwLock<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    key: Option<VaultKey>,
    /// In the order of their ids, which is the order of their making.
    entries: BTreeMap<AccountId, Entry>,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Vault {
    /// Opens the vault of a data directory; an absent vault file is an empty vault. Every entry is
    /// opened once, so that a wrong key or a damaged file shows now and not in a user's request.
    ///
    /// # Errors
    /// [`VaultError`] as its variants say; no file is changed.
    pub fn open(data: &DataDir) -> Result<Self, VaultError> {
        let path = data.vault_file();
        let key_path = data.vault_key_file();
        let inner = load(&path, &key_path)?;
        Ok(Self { path, key_path, data: data.clone(), inner: RwLock::new(inner) })
    }

    /// Reads the files again, after another process changed them. On an error the accounts that
    /// were known stay in use.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn reload(&self) -> Result<(), VaultError> {
        let inner = load(&self.path, &self.key_path)?;
        *self.inner.write().unwrap_or_else(PoisonError::into_inner) = inner;
        Ok(())
    }

    /// All accounts, in the order of their making.
    #[must_use]
    pub fn accounts(&self) -> Vec<Arc<Account>> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        inner.entries.values().map(|entry| Arc::clone(&entry.account)).collect()
    }

    /// One account.
    #[must_use]
    pub fn account(&self, id: AccountId) -> Option<Arc<Account>> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        inner.entries.get(&id).map(|entry| Arc::clone(&entry.account))
    }

    /// Lends an account's credential to one request.
    ///
    /// # Errors
    /// [`VaultError::Unknown`] where the account is gone, [`VaultError::Damaged`] where it does not
    /// open any more.
    pub fn lend(&self, id: AccountId) -> Result<LentKey, VaultError> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        let (Some(entry), Some(key)) = (inner.entries.get(&id), inner.key.as_ref()) else {
            return Err(VaultError::Unknown(id));
        };
        let plain = open_entry(key, &entry.sealed)
            .ok_or_else(|| VaultError::Damaged { path: self.path.clone(), account: id })?;
        LentKey::shape(entry.account.provider(), &plain)
    }

    /// Adds an account and writes the vault. Makes the key file with the first account.
    ///
    /// # Errors
    /// [`VaultError`]; on any error neither file nor memory has changed.
    pub fn add(
        &self,
        id: AccountId,
        draft: AccountDraft,
        secret: Secret,
        entropy: &dyn Entropy,
    ) -> Result<Arc<Account>, VaultError> {
        let account = Arc::new(draft.clone().check(id)?);
        self.edit(|inner, key_path| {
            if inner.entries.len() >= format::ENTRIES_MAX {
                return Err(VaultError::Full);
            }
            let taken = inner.entries.values().any(|entry| {
                entry.account.provider() == account.provider()
                    && entry.account.label() == account.label()
            });
            if taken || inner.entries.contains_key(&id) {
                return Err(VaultError::LabelTaken {
                    provider: account.provider(),
                    label: account.label().to_owned(),
                });
            }
            let key = match inner.key.take() {
                Some(key) => key,
                None if key_path.exists() => VaultKey::load(key_path)?,
                None => VaultKey::create(key_path, entropy)?,
            };
            let meta = serde_json::to_vec(&draft).map_err(|_| VaultError::Seal)?;
            if meta.len() > format::META_BYTES_MAX {
                return Err(VaultError::Account(AccountRefused::Deployments));
            }
            let mut nonce = [0; NONCE_BYTES];
            entropy.fill(&mut nonce);
            let aad = format::additional_data(id, &meta);
            let sealed = key.seal(nonce, &aad, secret.expose())?;
            let sealed = SealedEntry { id, meta, nonce, sealed };
            inner.key = Some(key);
            inner.entries.insert(id, Entry { account: Arc::clone(&account), sealed });
            Ok(())
        })?;
        Ok(account)
    }

    /// Removes an account and writes the vault.
    ///
    /// # Errors
    /// [`VaultError::Unknown`] where there is none; on any error nothing has changed.
    pub fn remove(&self, id: AccountId) -> Result<(), VaultError> {
        self.edit(|inner, _| match inner.entries.remove(&id) {
            Some(_) => Ok(()),
            None => Err(VaultError::Unknown(id)),
        })
    }

    /// Reads the file afresh under the edit lock, changes it, writes it, and only then takes the
    /// change over into memory.
    fn edit(
        &self,
        change: impl FnOnce(&mut Inner, &Path) -> Result<(), VaultError>,
    ) -> Result<(), VaultError> {
        let lock = self.data.lock_edit()?;
        let mut inner = load(&self.path, &self.key_path)?;
        change(&mut inner, &self.key_path)?;
        let entries: Vec<SealedEntry> =
            inner.entries.values().map(|entry| entry.sealed.clone()).collect();
        let bytes = format::encode(&entries).map_err(|malformed| VaultError::Malformed {
            path: self.path.clone(),
            what: malformed.0,
        })?;
        datadir::replace_file(&self.path, &bytes)
            .map_err(|source| VaultError::File { path: self.path.clone(), source })?;
        *self.inner.write().unwrap_or_else(PoisonError::into_inner) = inner;
        drop(lock);
        Ok(())
    }
}

fn open_entry(key: &VaultKey, entry: &SealedEntry) -> Option<zeroize::Zeroizing<Vec<u8>>> {
    key.open(entry.nonce, &format::additional_data(entry.id, &entry.meta), &entry.sealed)
}

fn load(path: &Path, key_path: &Path) -> Result<Inner, VaultError> {
    let file_error = |source| VaultError::File { path: path.to_owned(), source };
    let malformed = |what| VaultError::Malformed { path: path.to_owned(), what };
    let bytes = match fs::metadata(path) {
        Ok(metadata) if metadata.len() > format::FILE_BYTES_MAX => {
            return Err(malformed("it is longer than a vault can be"));
        }
        Ok(_) => fs::read(path).map_err(file_error)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Inner::default()),
        Err(source) => return Err(file_error(source)),
    };
    let sealed = format::decode(&bytes).map_err(|what| malformed(what.0))?;
    let key = VaultKey::load(key_path)?;
    let opens: Vec<bool> = sealed.iter().map(|entry| open_entry(&key, entry).is_some()).collect();
    if !sealed.is_empty() && !opens.contains(&true) {
        return Err(VaultError::WrongKey { path: path.to_owned() });
    }
    let mut entries = BTreeMap::new();
    for (sealed, opens) in sealed.into_iter().zip(opens) {
        let id = sealed.id;
        let account = opens
            .then(|| serde_json::from_slice::<AccountDraft>(&sealed.meta).ok())
            .flatten()
            .and_then(|draft| draft.check(id).ok())
            .ok_or_else(|| VaultError::Damaged { path: path.to_owned(), account: id })?;
        entries.insert(id, Entry { account: Arc::new(account), sealed });
    }
    Ok(Inner { key: Some(key), entries })
}

#[cfg(test)]
mod tests;
