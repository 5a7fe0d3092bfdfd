//! Objects in SQL.

use super::{Connection, Db, Engine, Row, ensure_one_row, fault, row};
use crate::{
    Home, OBJECTS_PER_STATEMENT_MAX, Object, ObjectOrder, Objects, ObjectsListed, ObjectsWanted,
    StoreError,
};
use async_trait::async_trait;
use sqlx::QueryBuilder;
use weft_proto::ids::{AccountId, OwnerId, UserId};
use weft_proto::objects::{ObjectId, ObjectKind};
use weft_proto::provider::Provider;
use weft_proto::time::Timestamp;

/// No id is greater: where a list begins that has the greatest ids first.
const AFTER_EVERY_ID: [u8; 129] = [0xff; 129];

/// The columns of a whole row, before what chooses the rows.
macro_rules! select {
    ($which:literal) => {
        concat!(
            "SELECT account_id, owner_id, object_id, kind, provider, user_id, parent_id, bytes, \
             made_at FROM objects ",
            $which
        )
    };
}

#[async_trait]
impl Objects for Db {
    async fn record(&self, objects: &[Object]) -> Result<usize, StoreError> {
        let mut foreign = 0;
        for batch in objects.chunks(OBJECTS_PER_STATEMENT_MAX) {
            let batch = batch.to_vec();
            foreign += self.write(move |connection| Box::pin(record(connection, batch))).await?;
        }
        Ok(foreign)
    }

    async fn find(
        &self,
        user: UserId,
        provider: Provider,
        ids: &[ObjectId],
    ) -> Result<Vec<Object>, StoreError> {
        let mut found = Vec::new();
        for ids in ids.chunks(OBJECTS_PER_STATEMENT_MAX) {
            let mut query: QueryBuilder<Engine> = QueryBuilder::new(select!("WHERE user_id = "));
            query.push_bind(user.as_bytes().to_vec());
            query.push(" AND provider = ").push_bind(provider.name());
            query.push(" AND object_id IN (");
            let mut list = query.separated(", ");
            for id in ids {
                list.push_bind(id.as_str().as_bytes().to_vec());
            }
            query.push(")");
            let rows = query.build().fetch_all(&self.readers).await.map_err(fault)?;
            for row in &rows {
                found.push(object(row)?);
            }
        }
        found.sort_by_key(|object| object.made_at);
        Ok(found)
    }

    async fn list(&self, wanted: &ObjectsWanted) -> Result<ObjectsListed, StoreError> {
        let (start_at, start_id) = self.start(wanted).await?;
        let statement = match wanted.order {
            ObjectOrder::NewestFirst => select!(
                "WHERE user_id = ? AND provider = ? AND kind = ? AND parent_id IS NULL \
                 AND (made_at < ? OR (made_at = ? AND object_id < ?)) \
                 ORDER BY made_at DESC, object_id DESC LIMIT ?"
            ),
            ObjectOrder::OldestFirst => select!(
                "WHERE user_id = ? AND provider = ? AND kind = ? AND parent_id IS NULL \
                 AND (made_at > ? OR (made_at = ? AND object_id > ?)) \
                 ORDER BY made_at, object_id LIMIT ?"
            ),
        };
        let rows = sqlx::query(statement)
            .bind(wanted.user.as_bytes().as_slice())
            .bind(wanted.provider.name())
            .bind(wanted.kind.name())
            .bind(start_at)
            .bind(start_at)
            .bind(start_id)
            .bind(wanted.size.rows() + 1)
            .fetch_all(&self.readers)
            .await
            .map_err(fault)?;
        let size = wanted.size.as_usize();
        let objects = rows.iter().take(size).map(object).collect::<Result<_, _>>()?;
        Ok(ObjectsListed { objects, more: rows.len() > size })
    }

    async fn home(&self, user: UserId, provider: Provider) -> Result<Option<Home>, StoreError> {
        let mut latest: Option<Object> = None;
        // One short walk of the index each, where one of all kinds would sort a user's every item.
        for kind in ObjectKind::ALL.into_iter().filter(|kind| *kind != ObjectKind::Item) {
            let row = sqlx::query(select!(
                "WHERE user_id = ? AND provider = ? AND kind = ? \
                 ORDER BY made_at DESC, object_id DESC LIMIT 1"
            ))
            .bind(user.as_bytes().as_slice())
            .bind(provider.name())
            .bind(kind.name())
            .fetch_optional(&self.readers)
            .await
            .map_err(fault)?;
            let found = row.as_ref().map(object).transpose()?;
            latest = latest
                .into_iter()
                .chain(found)
                .max_by(|one, other| (one.made_at, &one.id).cmp(&(other.made_at, &other.id)));
        }
        Ok(latest.map(|object| object.home))
    }

    async fn remove(&self, user: UserId, home: Home, id: &ObjectId) -> Result<u64, StoreError> {
        let id = id.clone();
        self.write(move |connection| {
            Box::pin(async move { forget(connection, user, home, &id).await })
        })
        .await
    }

    async fn purge(&self, kinds: &[ObjectKind], before: Timestamp) -> Result<u64, StoreError> {
        let before = row::micros("made_at", before)?;
        let mut forgotten = 0;
        for &kind in kinds {
            let rows = sqlx::query(select!("WHERE kind = ? AND made_at < ? LIMIT ?"))
                .bind(kind.name())
                .bind(before)
                .bind(i64::try_from(OBJECTS_PER_STATEMENT_MAX).unwrap_or(i64::MAX))
                .fetch_all(&self.readers)
                .await
                .map_err(fault)?;
            let old = rows.iter().map(object).collect::<Result<Vec<_>, _>>()?;
            if old.is_empty() {
                continue;
            }
            forgotten += self
                .write(move |connection| {
                    Box::pin(async move {
                        let mut rows = 0;
                        for Object { user, home, id, .. } in old {
                            rows += forget(connection, user, home, &id).await?;
                        }
                        Ok(rows)
                    })
                })
                .await?;
        }
        Ok(forgotten)
    }
}

impl Db {
    /// Where a list begins: the time and the id that its first row comes after.
    async fn start(&self, wanted: &ObjectsWanted) -> Result<(i64, Vec<u8>), StoreError> {
        let Some(after) = &wanted.after else {
            return Ok(match wanted.order {
                ObjectOrder::NewestFirst => (i64::MAX, AFTER_EVERY_ID.to_vec()),
                ObjectOrder::OldestFirst => (-1, Vec::new()),
            });
        };
        let id = after.as_str().as_bytes();
        let row = sqlx::query(select!(
            "WHERE user_id = ? AND provider = ? AND object_id = ? AND kind = ? \
             AND parent_id IS NULL ORDER BY made_at LIMIT 1"
        ))
        .bind(wanted.user.as_bytes().as_slice())
        .bind(wanted.provider.name())
        .bind(id)
        .bind(wanted.kind.name())
        .fetch_optional(&self.readers)
        .await
        .map_err(fault)?
        .ok_or(StoreError::NotFound { what: "object" })?;
        Ok((row::raw(&row, "made_at")?, id.to_vec()))
    }
}

/// Inserts what is new of a batch, and counts what somebody else holds. Looks first: of two that both
/// tried to insert a row first, each would stand in the other's way when it fills it in.
async fn record(connection: &mut Connection, batch: Vec<Object>) -> Result<usize, StoreError> {
    let mut foreign = 0;
    for object in &batch {
        match complete(connection, object).await? {
            Some(own) => foreign += usize::from(!own),
            None => insert(connection, object).await?,
        }
    }
    Ok(foreign)
}

/// Fills in what the row of an id did not know yet, and says whether it is the same user's: nobody
/// else's row is touched. `None` where there is no such row.
async fn complete(
    connection: &mut Connection,
    object: &Object,
) -> Result<Option<bool>, StoreError> {
    let held =
        sqlx::query(lock!(select!("WHERE account_id = ? AND owner_id = ? AND object_id = ?")))
            .bind(object.home.account.as_bytes().as_slice())
            .bind(object.home.owner.as_bytes().as_slice())
            .bind(object.id.as_str().as_bytes())
            .fetch_optional(&mut *connection)
            .await
            .map_err(fault)?;
    let Some(held) = held else { return Ok(None) };
    let held = self::object(&held)?;
    if held.user != object.user {
        return Ok(Some(false));
    }
    let same_moment = held.made_at == object.made_at;
    let parent = held.parent.as_ref().or_else(|| object.parent.as_ref().filter(|_| same_moment));
    let bytes = held.bytes.or(object.bytes);
    if (parent, bytes) != (held.parent.as_ref(), held.bytes) {
        let updated = sqlx::query(
            "UPDATE objects SET parent_id = ?, bytes = ? \
             WHERE account_id = ? AND owner_id = ? AND object_id = ?",
        )
        .bind(parent.map(|parent| parent.as_str().as_bytes()))
        .bind(row::number_option("bytes", bytes)?)
        .bind(held.home.account.as_bytes().as_slice())
        .bind(held.home.owner.as_bytes().as_slice())
        .bind(held.id.as_str().as_bytes())
        .execute(connection)
        .await
        .map_err(fault)?;
        ensure_one_row(&updated, "object")?;
    }
    Ok(Some(true))
}

async fn insert(connection: &mut Connection, object: &Object) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO objects (account_id, owner_id, object_id, kind, provider, user_id, \
         parent_id, bytes, made_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(object.home.account.as_bytes().as_slice())
    .bind(object.home.owner.as_bytes().as_slice())
    .bind(object.id.as_str().as_bytes())
    .bind(object.kind.name())
    .bind(object.provider.name())
    .bind(object.user.as_bytes().as_slice())
    .bind(object.parent.as_ref().map(|parent| parent.as_str().as_bytes()))
    .bind(row::number_option("bytes", object.bytes)?)
    .bind(row::micros("made_at", object.made_at)?)
    .execute(connection)
    .await
    .map(drop)
    .map_err(fault)
}

/// Deletes the user's object and what is part of it. How many rows that is, nobody can know ahead.
async fn forget(
    connection: &mut Connection,
    user: UserId,
    home: Home,
    id: &ObjectId,
) -> Result<u64, StoreError> {
    let mut rows = 0;
    for statement in [
        "DELETE FROM objects \
         WHERE account_id = ? AND owner_id = ? AND object_id = ? AND user_id = ?",
        "DELETE FROM objects \
         WHERE account_id = ? AND owner_id = ? AND parent_id = ? AND user_id = ?",
    ] {
        let deleted = sqlx::query(statement)
            .bind(home.account.as_bytes().as_slice())
            .bind(home.owner.as_bytes().as_slice())
            .bind(id.as_str().as_bytes())
            .bind(user.as_bytes().as_slice())
            .execute(&mut *connection)
            .await
            .map_err(fault)?;
        rows += deleted.rows_affected();
    }
    Ok(rows)
}

fn object(row: &Row) -> Result<Object, StoreError> {
    Ok(Object {
        home: Home {
            account: row::parsed(row, "account_id", AccountId::from_slice)?,
            owner: row::parsed(row, "owner_id", OwnerId::from_slice)?,
        },
        id: row::parsed(row, "object_id", id)?,
        kind: row::parsed(row, "kind", str::parse::<ObjectKind>)?,
        provider: row::parsed(row, "provider", str::parse::<Provider>)?,
        user: row::parsed(row, "user_id", UserId::from_slice)?,
        parent: row::parsed_option(row, "parent_id", id)?,
        bytes: row::parsed_option(row, "bytes", |value: i64| u64::try_from(value))?,
        made_at: row::timestamp(row, "made_at")?,
    })
}

/// An id as it is stored: bytes, because case counts.
fn id(bytes: &[u8]) -> Result<ObjectId, &'static str> {
    let text = std::str::from_utf8(bytes).map_err(|_| "no text")?;
    ObjectId::parse(text).map_err(|_| "no id")
}
