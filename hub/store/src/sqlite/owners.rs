//! Owners in SQL.

use super::{Db, Row, fault, row, was_new};
use crate::{Name, Owner, Owners, Page, StoreError};
use async_trait::async_trait;
use weft_proto::ids::OwnerId;

#[async_trait]
impl Owners for Db {
    async fn find_or_create(&self, candidate: &Owner) -> Result<Owner, StoreError> {
        let candidate = candidate.clone();
        let created_at = row::micros("created_at", candidate.created_at)?;
        self.write(move |connection| {
            Box::pin(async move {
                // Insert first and look then: the other order has a gap where two make one owner.
                let inserted = sqlx::query(
                    "INSERT INTO owners (id, name, created_at, tier_ppm) VALUES (?, ?, ?, ?)",
                )
                .bind(candidate.id.as_bytes().as_slice())
                .bind(candidate.name.as_str())
                .bind(created_at)
                .bind(i64::from(candidate.tier.ppm()))
                .execute(&mut *connection)
                .await;
                if was_new(inserted)? {
                    return Ok(candidate);
                }
                sqlx::query("SELECT id, name, created_at, tier_ppm FROM owners WHERE name = ?")
                    .bind(candidate.name.as_str())
                    .fetch_optional(connection)
                    .await
                    .map_err(fault)?
                    .as_ref()
                    .map_or(Err(StoreError::Conflict { what: "owner id" }), owner)
            })
        })
        .await
    }

    async fn find_by_name(&self, name: &Name) -> Result<Option<Owner>, StoreError> {
        sqlx::query("SELECT id, name, created_at, tier_ppm FROM owners WHERE name = ?")
            .bind(name.as_str())
            .fetch_optional(&self.readers)
            .await
            .map_err(fault)?
            .as_ref()
            .map(owner)
            .transpose()
    }

    async fn find(&self, id: OwnerId) -> Result<Option<Owner>, StoreError> {
        sqlx::query("SELECT id, name, created_at, tier_ppm FROM owners WHERE id = ?")
            .bind(id.as_bytes().as_slice())
            .fetch_optional(&self.readers)
            .await
            .map_err(fault)?
            .as_ref()
            .map(owner)
            .transpose()
    }

    async fn list(&self, page: Page<OwnerId>) -> Result<Vec<Owner>, StoreError> {
        let after = page.after.map_or_else(Vec::new, |id| id.as_bytes().to_vec());
        sqlx::query(
            "SELECT id, name, created_at, tier_ppm FROM owners WHERE id > ? ORDER BY id LIMIT ?",
        )
        .bind(after)
        .bind(page.size.rows())
        .fetch_all(&self.readers)
        .await
        .map_err(fault)?
        .iter()
        .map(owner)
        .collect()
    }
}

fn owner(row: &Row) -> Result<Owner, StoreError> {
    Ok(Owner {
        id: row::parsed(row, "id", OwnerId::from_slice)?,
        name: row::parsed(row, "name", Name::parse)?,
        created_at: row::timestamp(row, "created_at")?,
        tier: row::ratio(row, "tier_ppm")?,
    })
}
