//! What a vault holds in memory: its accounts, their sealed secrets, their ways out; and how that
//! is read from the files. Nothing here writes a file.

use super::error::VaultError;
use super::format::{self, SealedEntry};
use super::key::{NONCE_BYTES, VaultKey};
use super::secret::Secret;
use super::way::Way;
use crate::account::{Account, AccountDraft, AccountRefused};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use weft_proto::entropy::Entropy;
use weft_proto::ids::AccountId;

/// Different proxies, users and passwords in one vault at most: each has connections of its own.
pub const EGRESSES_MAX: usize = 64;

/// One account in memory: what is known of it, and its sealed secret.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) account: Arc<Account>,
    pub(super) sealed: SealedEntry,
    pub(super) way: Option<Arc<Way>>,
}

/// What a reload found, in the order of the accounts' making.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Accounts that are new.
    pub added: Vec<AccountId>,
    /// Accounts that are gone.
    pub removed: Vec<AccountId>,
    /// Accounts whose declaration, key or password was written anew.
    pub changed: Vec<AccountId>,
}

impl Changes {
    /// Whether nothing is different.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

/// All accounts, and the key that their secrets are sealed under.
#[derive(Debug, Default)]
pub(super) struct Inner {
    pub(super) key: Option<VaultKey>,
    /// In the order of their ids, which is the order of their making.
    pub(super) entries: BTreeMap<AccountId, Entry>,
}

impl Inner {
    /// The entry of an account and its secret, taken out to be put back in another form.
    pub(super) fn take_out(
        &mut self,
        id: AccountId,
        path: &Path,
    ) -> Result<(Entry, Secret), VaultError> {
        let entry = self.entries.remove(&id).ok_or(VaultError::Unknown(id))?;
        let secret = self
            .key
            .as_ref()
            .and_then(|key| open_entry(key, &entry.sealed))
            .and_then(|plain| Secret::from_plain(&plain, !entry.account.egress().is_direct()))
            .ok_or_else(|| VaultError::Damaged { path: path.to_owned(), account: id })?;
        Ok((entry, secret))
    }

    /// Seals `secret` to `meta` with fresh chance, under the account's id.
    pub(super) fn put(
        &mut self,
        account: &Arc<Account>,
        meta: Vec<u8>,
        secret: Secret,
        entropy: &dyn Entropy,
    ) -> Result<(), VaultError> {
        let taken = self.entries.values().any(|entry| {
            entry.account.provider() == account.provider()
                && entry.account.label() == account.label()
        });
        if taken {
            return Err(label_taken(account));
        }
        if meta.len() > format::META_BYTES_MAX {
            return Err(VaultError::Account(AccountRefused::TooLarge));
        }
        match (account.egress().wants_password(), secret.has_password()) {
            (true, false) => return Err(VaultError::PasswordMissing),
            (false, true) => return Err(VaultError::PasswordWithoutUser),
            (true, true) | (false, false) => {}
        }
        let key = self.key.as_ref().ok_or(VaultError::Seal)?;
        let mut nonce = [0; NONCE_BYTES];
        entropy.fill(&mut nonce);
        let aad = format::additional_data(account.id(), &meta);
        let plain = secret.to_plain(!account.egress().is_direct())?;
        let sealed = key.seal(nonce, &aad, &plain)?;
        let sealed = SealedEntry { id: account.id(), meta, nonce, sealed };
        let way = self.way_of(account, secret, &Self::default());
        let entry = Entry { account: Arc::clone(account), sealed, way };
        self.entries.insert(account.id(), entry);
        if self.ways() > EGRESSES_MAX {
            return Err(VaultError::TooManyEgresses);
        }
        Ok(())
    }

    /// The way of an account: one that is known already, where there is the same.
    fn way_of(&self, account: &Account, secret: Secret, known: &Self) -> Option<Arc<Way>> {
        let way = Way::new(account.egress().proxy()?.clone(), secret.into_password());
        let mut all = self.entries.values().chain(known.entries.values());
        let same = all.find_map(|entry| entry.way.as_ref().filter(|one| one.is(&way)));
        Some(same.map_or_else(|| Arc::new(way), Arc::clone))
    }

    /// How many different ways there are.
    fn ways(&self) -> usize {
        let mut ways: Vec<*const Way> =
            self.entries.values().filter_map(|entry| entry.way.as_ref().map(Arc::as_ptr)).collect();
        ways.sort_unstable();
        ways.dedup();
        ways.len()
    }

    pub(super) fn changes_to(&self, fresh: &Self) -> Changes {
        let mut changes = Changes::default();
        for (id, entry) in &fresh.entries {
            match self.entries.get(id) {
                None => changes.added.push(*id),
                Some(old) if old.sealed != entry.sealed => changes.changed.push(*id),
                Some(_) => {}
            }
        }
        let gone = self.entries.keys().filter(|id| !fresh.entries.contains_key(id));
        changes.removed = gone.copied().collect();
        changes
    }
}

pub(super) fn label_taken(account: &Account) -> VaultError {
    VaultError::LabelTaken { provider: account.provider(), label: account.label().to_owned() }
}

/// The readable half of a changed account. What a newer build wrote into it, and this one does not
/// know, stays.
pub(super) fn rewritten(old: &[u8], draft: &AccountDraft) -> Option<Vec<u8>> {
    type Fields = serde_json::Map<String, serde_json::Value>;
    let mut fields: Fields = serde_json::from_slice(old).ok()?;
    if draft.egress.is_direct() {
        // The one field that is left out where it says nothing.
        drop(fields.remove("egress"));
    }
    let fresh: Fields = serde_json::from_slice(&serde_json::to_vec(draft).ok()?).ok()?;
    fields.extend(fresh);
    serde_json::to_vec(&fields).ok()
}

pub(super) fn open_entry(
    key: &VaultKey,
    entry: &SealedEntry,
) -> Option<zeroize::Zeroizing<Vec<u8>>> {
    key.open(entry.nonce, &format::additional_data(entry.id, &entry.meta), &entry.sealed)
}

/// Reads the files. Ways that `known` has already are used again.
pub(super) fn load(path: &Path, key_path: &Path, known: &Inner) -> Result<Inner, VaultError> {
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
    let opened: Vec<_> = sealed.iter().map(|entry| open_entry(&key, entry)).collect();
    if !sealed.is_empty() && opened.iter().all(Option::is_none) {
        return Err(VaultError::WrongKey { path: path.to_owned() });
    }
    let mut inner = Inner::default();
    for (sealed, plain) in sealed.into_iter().zip(opened) {
        let id = sealed.id;
        let damaged = || VaultError::Damaged { path: path.to_owned(), account: id };
        let plain = plain.ok_or_else(damaged)?;
        let account = serde_json::from_slice::<AccountDraft>(&sealed.meta)
            .ok()
            .and_then(|draft| draft.check(id).ok())
            .ok_or_else(damaged)?;
        let secret =
            Secret::from_plain(&plain, !account.egress().is_direct()).ok_or_else(damaged)?;
        if account.egress().wants_password() != secret.has_password() {
            return Err(damaged());
        }
        let way = inner.way_of(&account, secret, known);
        inner.entries.insert(id, Entry { account: Arc::new(account), sealed, way });
    }
    inner.key = Some(key);
    Ok(inner)
}
