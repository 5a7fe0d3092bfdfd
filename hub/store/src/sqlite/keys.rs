//! Keys in SQL.

use super::{Connection, Db, Row, ensure_one_row, fault, insert_fault, row, terms};
use crate::{
    Key, KeyHash, KeyHint, Keys, ModelAllowList, Name, Page, SpendLimits, StoreError, User,
};
use async_trait::async_trait;
use weft_proto::ids::{KeyId, OwnerId, UserId};
use weft_proto::model::{InvalidModel, ModelPatterns};
use weft_proto::money::NanoUsd;
use weft_proto::time::Timestamp;

/// The columns of a whole row, before what chooses the rows.
macro_rules! select {
    ($which:literal) => {
        concat!(
            "SELECT id, user_id, label, hash, hint, models, expires_at, networks, zone, day_limit, \
             month_limit, created_at, revoked_at FROM user_keys ",
            $which
        )
    };
}

#[async_trait]
impl Keys for Db {
    async fn create(&self, key: &Key) -> Result<(), StoreError> {
        let key = key.clone();
        let created_at = row::micros("created_at", key.created_at)?;
        let expires_at = key.expires_at.map(|at| row::micros("expires_at", at)).transpose()?;
        let revoked_at = key.revoked_at.map(|at| row::micros("revoked_at", at)).transpose()?;
        self.write(move |connection| {
            Box::pin(async move {
                if key.zone.is_some() {
                    terms::alone(&mut *connection).await?;
                }
                sqlx::query(
                    "INSERT INTO user_keys (id, user_id, label, hash, hint, models, expires_at, \
                     networks, zone, day_limit, month_limit, created_at, revoked_at) \
                     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                )
                .bind(key.id.as_bytes().as_slice())
                .bind(key.user.as_bytes().as_slice())
                .bind(key.label.as_str())
                .bind(key.hash.as_bytes().as_slice())
                .bind(key.hint.to_string())
                .bind(stored_models(&key.models))
                .bind(expires_at)
                .bind(key.networks.to_string())
                .bind(key.zone.as_ref().map(|zone| zone.as_str().to_owned()))
                .bind(key.limits.day.map(NanoUsd::nanos))
                .bind(key.limits.month.map(NanoUsd::nanos))
                .bind(created_at)
                .bind(revoked_at)
                .execute(&mut *connection)
                .await
                .map_err(|error| insert_fault(error, "key", "user"))?;
                match key.zone {
                    Some(_) => terms::check(connection, None).await,
                    None => Ok(()),
                }
            })
        })
        .await
    }

    async fn find_by_hash(&self, hash: &KeyHash) -> Result<Option<(Key, User)>, StoreError> {
        let found = sqlx::query(
            "SELECT k.id, k.user_id, k.label, k.hash, k.hint, k.models, k.expires_at, k.networks, \
             k.zone, k.day_limit, k.month_limit, k.created_at, k.revoked_at, u.name AS user_name, u.owner_id AS user_owner_id, u.zone AS user_zone, u.created_at AS user_created_at, \
             u.disabled AS user_disabled \
             FROM user_keys k JOIN users u ON u.id = k.user_id WHERE k.hash = ?",
        )
        .bind(hash.as_bytes().as_slice())
        .fetch_optional(&self.readers)
        .await
        .map_err(fault)?;
        let Some(row) = found else { return Ok(None) };
        let key = key(&row)?;
        let user = User {
            id: key.user,
            name: row::parsed(&row, "user_name", Name::parse)?,
            owner: row::parsed_option(&row, "user_owner_id", OwnerId::from_slice)?,
            zone: row::parsed_option(&row, "user_zone", Name::parse)?,
            created_at: row::timestamp(&row, "user_created_at")?,
            disabled: row::raw(&row, "user_disabled")?,
        };
        Ok(Some((key, user)))
    }

    async fn list(&self, user: UserId, page: Page<KeyId>) -> Result<Vec<Key>, StoreError> {
        let after = page.after.map_or_else(Vec::new, |id| id.as_bytes().to_vec());
        sqlx::query(select!("WHERE user_id = ? AND id > ? ORDER BY id LIMIT ?"))
            .bind(user.as_bytes().as_slice())
            .bind(after)
            .bind(page.size.rows())
            .fetch_all(&self.readers)
            .await
            .map_err(fault)?
            .iter()
            .map(key)
            .collect()
    }

    async fn find(&self, id: KeyId) -> Result<Option<Key>, StoreError> {
        sqlx::query(select!("WHERE id = ?"))
            .bind(id.as_bytes().as_slice())
            .fetch_optional(&self.readers)
            .await
            .map_err(fault)?
            .as_ref()
            .map(key)
            .transpose()
    }

    async fn revoke(&self, id: KeyId, at: Timestamp) -> Result<Key, StoreError> {
        let at = row::micros("revoked_at", at)?;
        self.write(move |connection| {
            Box::pin(async move {
                let updated = sqlx::query(
                    "UPDATE user_keys SET revoked_at = COALESCE(revoked_at, ?) WHERE id = ?",
                )
                .bind(at)
                .bind(id.as_bytes().as_slice())
                .execute(&mut *connection)
                .await
                .map_err(fault)?;
                ensure_one_row(&updated, "key")?;
                by_id(connection, id).await
            })
        })
        .await
    }
}

/// The key with this id, which is there.
pub(super) async fn by_id(connection: &mut Connection, id: KeyId) -> Result<Key, StoreError> {
    let row = sqlx::query(select!("WHERE id = ?"))
        .bind(id.as_bytes().as_slice())
        .fetch_one(connection)
        .await
        .map_err(fault)?;
    key(&row)
}

fn key(row: &Row) -> Result<Key, StoreError> {
    Ok(Key {
        id: row::parsed(row, "id", KeyId::from_slice)?,
        user: row::parsed(row, "user_id", UserId::from_slice)?,
        label: row::parsed(row, "label", Name::parse)?,
        hash: row::digest(row, "hash")?,
        hint: row::parsed(row, "hint", KeyHint::of)?,
        models: row::parsed(row, "models", read_models)?,
        expires_at: row::timestamp_option(row, "expires_at")?,
        networks: row::parsed(row, "networks", str::parse)?,
        zone: row::parsed_option(row, "zone", Name::parse)?,
        limits: SpendLimits {
            day: row::amount_option(row, "day_limit")?,
            month: row::amount_option(row, "month_limit")?,
        },
        created_at: row::timestamp(row, "created_at")?,
        revoked_at: row::timestamp_option(row, "revoked_at")?,
    })
}

/// NULL means any model; the empty text means none.
fn stored_models(models: &ModelAllowList) -> Option<String> {
    match models {
        ModelAllowList::Any => None,
        ModelAllowList::Only(patterns) => Some(patterns.to_string()),
    }
}

fn read_models(stored: Option<&str>) -> Result<ModelAllowList, InvalidModel> {
    match stored {
        None => Ok(ModelAllowList::Any),
        Some(text) => text.parse::<ModelPatterns>().map(ModelAllowList::Only),
    }
}
