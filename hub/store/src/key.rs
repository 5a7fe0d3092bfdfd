//! Keys: the secrets by which users are known, kept as hashes.

use crate::{InvalidName, KeyHash, Name, Networks, Page, SpendLimits, StoreError, User};
use async_trait::async_trait;
use serde::Serialize;
use std::fmt;
use weft_proto::ids::{KeyId, UserId};
use weft_proto::model::ModelPatterns;
use weft_proto::time::Timestamp;

/// How many characters of a secret its hint shows.
pub const KEY_HINT_CHARS: usize = 4;

/// The last characters of a secret, by which its owner recognises it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub struct KeyHint([u8; KEY_HINT_CHARS]);

impl KeyHint {
    /// Takes the last [`KEY_HINT_CHARS`] characters of a secret.
    ///
    /// # Errors
    /// [`InvalidName`] where the secret is shorter, or these are not visible ASCII characters.
    pub fn of(secret: &str) -> Result<Self, InvalidName> {
        secret
            .as_bytes()
            .last_chunk::<KEY_HINT_CHARS>()
            .filter(|chars| chars.iter().all(u8::is_ascii_graphic))
            .map(|chars| Self(*chars))
            .ok_or(InvalidName::new())
    }
}

impl fmt::Display for KeyHint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|&byte| fmt::Write::write_char(f, char::from(byte)))
    }
}

impl From<KeyHint> for String {
    fn from(hint: KeyHint) -> Self {
        hint.to_string()
    }
}

/// Which models a key may ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ModelAllowList {
    /// Every model, also a request in which none is named.
    Any,
    /// The models that one of the patterns matches. An empty list allows none.
    Only(ModelPatterns),
}

impl ModelAllowList {
    /// Whether the key may ask for `model`.
    #[must_use]
    pub fn allows(&self, model: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Only(patterns) => patterns.allows(model),
        }
    }

    /// Whether no model is refused, so that a request need not name one.
    #[must_use]
    pub fn allows_all(&self) -> bool {
        match self {
            Self::Any => true,
            Self::Only(patterns) => patterns.allows_all(),
        }
    }
}

/// One secret of a user. The secret itself is shown once, when it is made, and kept nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Key {
    /// Its id, which is not secret.
    pub id: KeyId,
    /// Whose it is.
    pub user: UserId,
    /// What its user calls it.
    pub label: Name,
    /// The secret's hash; no two keys share one. Not serialised.
    #[serde(skip)]
    pub hash: KeyHash,
    /// The secret's last characters.
    pub hint: KeyHint,
    /// Which models it may ask for.
    pub models: ModelAllowList,
    /// From when on it may not be used, in microseconds since 1970.
    pub expires_at: Option<Timestamp>,
    /// Where it may be used from.
    pub networks: Networks,
    /// The price zone; `None` for its user's.
    pub zone: Option<Name>,
    /// The most that it may spend. Not serialised.
    #[serde(skip)]
    pub limits: SpendLimits,
    /// When it was made, in microseconds since 1970.
    pub created_at: Timestamp,
    /// When it was revoked, in microseconds since 1970.
    pub revoked_at: Option<Timestamp>,
}

/// The keys.
#[async_trait]
pub trait Keys: fmt::Debug + Send + Sync {
    /// Keeps a new key.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where the hash is taken, [`StoreError::NotFound`] where there is no
    /// such user or zone, [`StoreError::SelfDealing`].
    async fn create(&self, key: &Key) -> Result<(), StoreError>;

    /// The key with this hash and its user, also where it is revoked or expired, or the user
    /// disabled: that is the caller's to judge.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Corrupt`].
    async fn find_by_hash(&self, hash: &KeyHash) -> Result<Option<(Key, User)>, StoreError>;

    /// One page of a user's keys; none for a user that does not exist.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Corrupt`].
    async fn list(&self, user: UserId, page: Page<KeyId>) -> Result<Vec<Key>, StoreError>;

    /// The key with this id.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Corrupt`].
    async fn find(&self, id: KeyId) -> Result<Option<Key>, StoreError>;

    /// Revokes a key at `at`, and returns it as it stands then. The first revocation stands.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where there is no such key.
    async fn revoke(&self, id: KeyId, at: Timestamp) -> Result<Key, StoreError>;
}
