//! Keys in memory.

use super::Memory;
use crate::{Key, KeyHash, Keys, Page, StoreError, User};
use async_trait::async_trait;
use std::ops::Bound;
use weft_proto::ids::{KeyId, UserId};
use weft_proto::time::Timestamp;

#[async_trait]
impl Keys for Memory {
    async fn create(&self, key: &Key) -> Result<(), StoreError> {
        self.with(|tables| {
            if !tables.users.contains_key(&key.user) {
                return Err(StoreError::NotFound { what: "user" });
            }
            let taken = tables.keys_by_hash.contains_key(&key.hash);
            if taken || tables.keys.contains_key(&key.id) {
                return Err(StoreError::Conflict { what: "key" });
            }
            tables.known_zone(key.zone.as_ref())?;
            tables.keys.insert(key.id, key.clone());
            if let Err(refused) = tables.check_terms() {
                tables.keys.remove(&key.id);
                return Err(refused);
            }
            tables.keys_by_hash.insert(key.hash, key.id);
            Ok(())
        })
    }

    async fn find_by_hash(&self, hash: &KeyHash) -> Result<Option<(Key, User)>, StoreError> {
        self.with(|tables| {
            let key = tables.keys_by_hash.get(hash).and_then(|id| tables.keys.get(id));
            let found = key.and_then(|key| Some((key, tables.users.get(&key.user)?)));
            Ok(found.map(|(key, user)| (key.clone(), user.clone())))
        })
    }

    async fn list(&self, user: UserId, page: Page<KeyId>) -> Result<Vec<Key>, StoreError> {
        self.with(|tables| {
            let start = page.after.map_or(Bound::Unbounded, Bound::Excluded);
            let keys = tables.keys.range((start, Bound::Unbounded)).map(|(_, key)| key);
            let own = keys.filter(|key| key.user == user);
            Ok(own.take(page.size.as_usize()).cloned().collect())
        })
    }

    async fn find(&self, id: KeyId) -> Result<Option<Key>, StoreError> {
        self.with(|tables| Ok(tables.keys.get(&id).cloned()))
    }

    async fn revoke(&self, id: KeyId, at: Timestamp) -> Result<Key, StoreError> {
        self.with(|tables| {
            let key = tables.keys.get_mut(&id).ok_or(StoreError::NotFound { what: "key" })?;
            key.revoked_at.get_or_insert(at);
            Ok(key.clone())
        })
    }
}
