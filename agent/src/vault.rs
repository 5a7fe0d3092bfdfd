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

mod entries;
mod error;
mod format;
mod key;
mod secret;
mod watch;
mod way;

pub use entries::{Changes, EGRESSES_MAX};
pub use error::VaultError;
pub use secret::{LentKey, PROXY_PASSWORD_BYTES_MAX, ProxyPassword, Secret};
pub use way::Way;

pub(crate) use watch::follow;

use crate::account::{Account, AccountDraft};
use crate::datadir::{self, DataDir};
use entries::{Inner, label_taken, load, open_entry, rewritten};
use format::SealedEntry;
use key::VaultKey;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use weft_proto::entropy::Entropy;
use weft_proto::ids::AccountId;

/// All accounts of one agent, secrets sealed.
pub struct Vault {
    path: PathBuf,
    key_path: PathBuf,
    data: DataDir,
    inner: RwLock<Inner>,
    /// One reload at a time, or an older reading could come to stand above a newer one.
    reloading: Mutex<()>,
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
        let inner = load(&path, &key_path, &Inner::default())?;
        let (inner, reloading) = (RwLock::new(inner), Mutex::default());
        Ok(Self { path, key_path, data: data.clone(), inner, reloading })
    }

    /// Reads the files again, after another process changed them. On an error the accounts that
    /// were known stay in use. Requests that run keep the keys that they were lent.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn reload(&self) -> Result<Changes, VaultError> {
        let _one = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = self.load()?;
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let changes = inner.changes_to(&fresh);
        *inner = fresh;
        Ok(changes)
    }

    fn load(&self) -> Result<Inner, VaultError> {
        let known = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        load(&self.path, &self.key_path, &known)
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
        LentKey::shape(entry.account.provider(), secret::key_of(&plain), entry.way.clone())
    }

    /// The proxy that an account's requests leave through; `None` where they leave directly.
    ///
    /// # Errors
    /// [`VaultError::Unknown`] where the account is gone.
    pub fn way(&self, id: AccountId) -> Result<Option<Arc<Way>>, VaultError> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        let entry = inner.entries.get(&id).ok_or(VaultError::Unknown(id))?;
        Ok(entry.way.clone())
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
        account.check_announcement()?;
        self.edit(|inner, key_path| {
            if inner.entries.len() >= format::ENTRIES_MAX {
                return Err(VaultError::Full);
            }
            if inner.entries.contains_key(&id) {
                return Err(label_taken(&account));
            }
            if inner.key.is_none() {
                inner.key = Some(match key_path.exists() {
                    true => VaultKey::load(key_path)?,
                    false => VaultKey::create(key_path, entropy)?,
                });
            }
            let meta = serde_json::to_vec(&draft).map_err(|_| VaultError::Seal)?;
            inner.put(&account, meta, secret, entropy)
        })?;
        Ok(account)
    }

    /// Changes what an account declares, and writes the vault; its key stays. `password` is that of
    /// its proxy, where the egress is new; otherwise the old one stays.
    ///
    /// # Errors
    /// [`VaultError`]; on any error neither file nor memory has changed.
    pub fn set(
        &self,
        id: AccountId,
        change: impl FnOnce(&mut AccountDraft),
        password: Option<ProxyPassword>,
        entropy: &dyn Entropy,
    ) -> Result<Arc<Account>, VaultError> {
        let mut changed = None;
        self.edit(|inner, _| {
            let (old, secret) = inner.take_out(id, &self.path)?;
            let mut draft = old.account.draft();
            change(&mut draft);
            let account = Arc::new(draft.clone().check(id)?);
            account.check_announcement()?;
            // A password belongs to one proxy: another one is not shown it.
            let keeps = password.is_none() && account.egress() == old.account.egress();
            let secret = if keeps { secret } else { secret.with_proxy_password(password) };
            let meta = rewritten(&old.sealed.meta, &draft).ok_or(VaultError::Seal)?;
            inner.put(&account, meta, secret, entropy)?;
            changed = Some(account);
            Ok(())
        })?;
        changed.ok_or(VaultError::Unknown(id))
    }

    /// Replaces an account's key, and writes the vault; what it declares and the password of its
    /// proxy stay.
    ///
    /// # Errors
    /// [`VaultError`]; on any error neither file nor memory has changed.
    pub fn set_key(
        &self,
        id: AccountId,
        secret: Secret,
        entropy: &dyn Entropy,
    ) -> Result<(), VaultError> {
        self.edit(|inner, _| {
            let (old, before) = inner.take_out(id, &self.path)?;
            let secret = secret.with_password_of(before);
            inner.put(&old.account, old.sealed.meta.clone(), secret, entropy)
        })
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
        let mut inner = self.load()?;
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

#[cfg(test)]
mod tests;
