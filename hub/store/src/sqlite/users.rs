//! Users in SQL.

use super::{Connection, Db, Row, ensure_one_row, fault, insert_fault, row, terms};
use crate::{Name, Page, StoreError, User, Users};
use async_trait::async_trait;
use weft_proto::ids::{OwnerId, UserId};

/// The columns of a whole row, before what chooses the rows.
macro_rules! select {
    ($which:literal) => {
        concat!("SELECT id, name, owner_id, zone, created_at, disabled FROM users ", $which)
    };
}

#[async_trait]
impl Users for Db {
    async fn create(&self, user: &User) -> Result<(), StoreError> {
        let user = user.clone();
        let created_at = row::micros("created_at", user.created_at)?;
        self.write(move |connection| {
            Box::pin(async move {
                if user.owner.is_some() {
                    terms::alone(&mut *connection).await?;
                }
                sqlx::query(
                    "INSERT INTO users (id, name, owner_id, zone, created_at, disabled) \
                     VALUES (?, ?, ?, ?, ?, ?)",
                )
                .bind(user.id.as_bytes().as_slice())
                .bind(user.name.as_str())
                .bind(user.owner.map(|owner| owner.as_bytes().to_vec()))
                .bind(user.zone.as_ref().map(|zone| zone.as_str().to_owned()))
                .bind(created_at)
                .bind(user.disabled)
                .execute(&mut *connection)
                .await
                .map_err(|error| insert_fault(error, "user name", "owner or price zone"))?;
                match user.owner {
                    Some(owner) => terms::check(connection, Some(owner)).await,
                    None => Ok(()),
                }
            })
        })
        .await
    }

    async fn list(&self, page: Page<UserId>) -> Result<Vec<User>, StoreError> {
        // No id is shorter than the empty one: the first page needs no statement of its own.
        let after = page.after.map_or_else(Vec::new, |id| id.as_bytes().to_vec());
        sqlx::query(select!("WHERE id > ? ORDER BY id LIMIT ?"))
            .bind(after)
            .bind(page.size.rows())
            .fetch_all(&self.readers)
            .await
            .map_err(fault)?
            .iter()
            .map(user)
            .collect()
    }

    async fn find_by_name(&self, name: &Name) -> Result<Option<User>, StoreError> {
        sqlx::query(select!("WHERE name = ?"))
            .bind(name.as_str())
            .fetch_optional(&self.readers)
            .await
            .map_err(fault)?
            .as_ref()
            .map(user)
            .transpose()
    }

    async fn find(&self, id: UserId) -> Result<Option<User>, StoreError> {
        sqlx::query(select!("WHERE id = ?"))
            .bind(id.as_bytes().as_slice())
            .fetch_optional(&self.readers)
            .await
            .map_err(fault)?
            .as_ref()
            .map(user)
            .transpose()
    }

    async fn set_disabled(&self, id: UserId, disabled: bool) -> Result<User, StoreError> {
        self.write(move |connection| {
            Box::pin(async move {
                let updated = sqlx::query("UPDATE users SET disabled = ? WHERE id = ?")
                    .bind(disabled)
                    .bind(id.as_bytes().as_slice())
                    .execute(&mut *connection)
                    .await
                    .map_err(fault)?;
                ensure_one_row(&updated, "user")?;
                by_id(connection, id).await
            })
        })
        .await
    }
}

/// The user with this id, who is there.
pub(super) async fn by_id(connection: &mut Connection, id: UserId) -> Result<User, StoreError> {
    let row = sqlx::query(select!("WHERE id = ?"))
        .bind(id.as_bytes().as_slice())
        .fetch_one(connection)
        .await
        .map_err(fault)?;
    user(&row)
}

fn user(row: &Row) -> Result<User, StoreError> {
    Ok(User {
        id: row::parsed(row, "id", UserId::from_slice)?,
        name: row::parsed(row, "name", Name::parse)?,
        owner: row::parsed_option(row, "owner_id", OwnerId::from_slice)?,
        zone: row::parsed_option(row, "zone", Name::parse)?,
        created_at: row::timestamp(row, "created_at")?,
        disabled: row::raw(row, "disabled")?,
    })
}
