//! Terms in SQL.

use super::{Connection, Db, Row, ensure_one_row, fault, insert_fault, keys, row, users};
use crate::{
    ACCOUNT_TIERS_MAX, Key, Name, SelfDealing, SpendLimits, StoreError, Terms, Tier, User,
    ZONES_MAX, Zone,
};
use async_trait::async_trait;
use weft_proto::ids::{AccountId, KeyId, OwnerId, UserId};
use weft_proto::money::NanoUsd;

/// Whoever could profit from itself, of one owner's house or of all: the least that a user of the
/// house pays with any of its keys, against the most that any account of the owner earns.
const SELF_DEALING: &str = "SELECT u.name AS user_name, o.name AS owner_name, \
     COALESCE(z.ratio_ppm, 1000000) AS charge_ppm, t.tier_ppm AS income_ppm \
     FROM users u \
     JOIN owners o ON o.id = u.owner_id \
     JOIN (SELECT id AS user_id, zone FROM users \
           UNION ALL SELECT user_id, zone FROM user_keys \
           WHERE zone IS NOT NULL AND revoked_at IS NULL) c ON c.user_id = u.id \
     JOIN (SELECT id AS owner_id, tier_ppm FROM owners \
           UNION ALL SELECT owner_id, tier_ppm FROM account_tiers) t ON t.owner_id = o.id \
     LEFT JOIN zones z ON z.name = COALESCE(c.zone, 'standard') \
     WHERE u.owner_id = COALESCE(?, u.owner_id) AND COALESCE(z.ratio_ppm, 1000000) < t.tier_ppm \
     ORDER BY charge_ppm, income_ppm DESC, user_name LIMIT 1";

/// Waits until no other transaction changes terms: two changes that are harmless alone may not be
/// together. The row is there from the beginning, and never goes.
pub(super) async fn alone(connection: &mut Connection) -> Result<(), StoreError> {
    sqlx::query(lock!("SELECT name FROM zones WHERE name = 'standard'"))
        .fetch_optional(connection)
        .await
        .map(drop)
        .map_err(fault)
}

/// Refuses what the transaction has made true where somebody could profit from itself now.
pub(super) async fn check(
    connection: &mut Connection,
    owner: Option<OwnerId>,
) -> Result<(), StoreError> {
    let found = sqlx::query(SELF_DEALING)
        .bind(owner.map(|owner| owner.as_bytes().to_vec()))
        .fetch_optional(connection)
        .await
        .map_err(fault)?;
    let Some(found) = found else { return Ok(()) };
    Err(StoreError::SelfDealing(Box::new(SelfDealing {
        user: row::parsed(&found, "user_name", Name::parse)?,
        owner: row::parsed(&found, "owner_name", Name::parse)?,
        charge: row::ratio(&found, "charge_ppm")?,
        income: row::ratio(&found, "income_ppm")?,
    })))
}

/// How many rows a table has.
async fn count(connection: &mut Connection, statement: &'static str) -> Result<usize, StoreError> {
    let rows: i64 = sqlx::query_scalar(statement).fetch_one(connection).await.map_err(fault)?;
    usize::try_from(rows).map_err(|error| StoreError::corrupt("count", error))
}

#[async_trait]
impl Terms for Db {
    async fn set_zone(&self, zone: &Zone) -> Result<(), StoreError> {
        let zone = zone.clone();
        let changed_at = row::micros("changed_at", zone.changed_at)?;
        self.write(move |connection| {
            Box::pin(async move {
                alone(&mut *connection).await?;
                let known = sqlx::query("SELECT 1 FROM zones WHERE name = ?")
                    .bind(zone.name.as_str())
                    .fetch_optional(&mut *connection)
                    .await
                    .map_err(fault)?
                    .is_some();
                let statement = if known {
                    "UPDATE zones SET ratio_ppm = ?, changed_at = ? WHERE name = ?"
                } else {
                    let zones = count(&mut *connection, "SELECT COUNT(*) FROM zones").await?;
                    if zones >= ZONES_MAX {
                        return Err(StoreError::Conflict {
                            what: "the last place for a price zone",
                        });
                    }
                    "INSERT INTO zones (ratio_ppm, changed_at, name) VALUES (?, ?, ?)"
                };
                sqlx::query(statement)
                    .bind(i64::from(zone.ratio.ppm()))
                    .bind(changed_at)
                    .bind(zone.name.as_str())
                    .execute(&mut *connection)
                    .await
                    .map_err(fault)?;
                check(connection, None).await
            })
        })
        .await
    }

    async fn zones(&self) -> Result<Vec<Zone>, StoreError> {
        let rows = sqlx::query("SELECT name, ratio_ppm, changed_at FROM zones ORDER BY name")
            .fetch_all(&self.readers)
            .await
            .map_err(fault)?;
        rows.iter().map(zone).collect()
    }

    async fn set_user(
        &self,
        id: UserId,
        zone: Option<&Name>,
        owner: Option<OwnerId>,
    ) -> Result<User, StoreError> {
        let zone = zone.map(|zone| zone.as_str().to_owned());
        self.write(move |connection| {
            Box::pin(async move {
                alone(&mut *connection).await?;
                let updated = sqlx::query("UPDATE users SET zone = ?, owner_id = ? WHERE id = ?")
                    .bind(zone)
                    .bind(owner.map(|owner| owner.as_bytes().to_vec()))
                    .bind(id.as_bytes().as_slice())
                    .execute(&mut *connection)
                    .await
                    .map_err(|error| insert_fault(error, "user", "owner or price zone"))?;
                ensure_one_row(&updated, "user")?;
                if owner.is_some() {
                    check(&mut *connection, owner).await?;
                }
                users::by_id(connection, id).await
            })
        })
        .await
    }

    async fn set_key(
        &self,
        id: KeyId,
        zone: Option<&Name>,
        limits: SpendLimits,
    ) -> Result<Key, StoreError> {
        let zone = zone.map(|zone| zone.as_str().to_owned());
        self.write(move |connection| {
            Box::pin(async move {
                alone(&mut *connection).await?;
                let updated = sqlx::query(
                    "UPDATE user_keys SET zone = ?, day_limit = ?, month_limit = ? WHERE id = ?",
                )
                .bind(zone)
                .bind(limits.day.map(NanoUsd::nanos))
                .bind(limits.month.map(NanoUsd::nanos))
                .bind(id.as_bytes().as_slice())
                .execute(&mut *connection)
                .await
                .map_err(|error| insert_fault(error, "key", "price zone"))?;
                ensure_one_row(&updated, "key")?;
                check(&mut *connection, None).await?;
                keys::by_id(connection, id).await
            })
        })
        .await
    }

    async fn set_tier(&self, tier: &Tier) -> Result<(), StoreError> {
        let tier = *tier;
        let changed_at = row::micros("changed_at", tier.changed_at)?;
        self.write(move |connection| {
            Box::pin(async move {
                alone(&mut *connection).await?;
                match tier.account {
                    Some(account) => {
                        set_account(&mut *connection, tier, account, changed_at).await?
                    }
                    None => {
                        let updated = sqlx::query("UPDATE owners SET tier_ppm = ? WHERE id = ?")
                            .bind(i64::from(tier.ratio.ppm()))
                            .bind(tier.owner.as_bytes().as_slice())
                            .execute(&mut *connection)
                            .await
                            .map_err(fault)?;
                        ensure_one_row(&updated, "owner")?;
                    }
                }
                check(connection, Some(tier.owner)).await
            })
        })
        .await
    }

    async fn account_tiers(&self) -> Result<Vec<Tier>, StoreError> {
        let rows = sqlx::query(
            "SELECT owner_id, account_id, tier_ppm, changed_at FROM account_tiers \
             ORDER BY owner_id, account_id LIMIT ?",
        )
        .bind(i64::try_from(ACCOUNT_TIERS_MAX).unwrap_or(i64::MAX))
        .fetch_all(&self.readers)
        .await
        .map_err(fault)?;
        rows.iter().map(account_tier).collect()
    }
}

async fn set_account(
    connection: &mut Connection,
    tier: Tier,
    account: AccountId,
    changed_at: i64,
) -> Result<(), StoreError> {
    let known = sqlx::query("SELECT 1 FROM account_tiers WHERE owner_id = ? AND account_id = ?")
        .bind(tier.owner.as_bytes().as_slice())
        .bind(account.as_bytes().as_slice())
        .fetch_optional(&mut *connection)
        .await
        .map_err(fault)?
        .is_some();
    let statement = if known {
        "UPDATE account_tiers SET tier_ppm = ?, changed_at = ? WHERE owner_id = ? AND account_id = ?"
    } else {
        let tiers = count(&mut *connection, "SELECT COUNT(*) FROM account_tiers").await?;
        if tiers >= ACCOUNT_TIERS_MAX {
            return Err(StoreError::Conflict { what: "the last place for an account's tier" });
        }
        "INSERT INTO account_tiers (tier_ppm, changed_at, owner_id, account_id) VALUES (?, ?, ?, ?)"
    };
    sqlx::query(statement)
        .bind(i64::from(tier.ratio.ppm()))
        .bind(changed_at)
        .bind(tier.owner.as_bytes().as_slice())
        .bind(account.as_bytes().as_slice())
        .execute(connection)
        .await
        .map(drop)
        .map_err(|error| insert_fault(error, "account's tier", "owner"))
}

fn zone(row: &Row) -> Result<Zone, StoreError> {
    Ok(Zone {
        name: row::parsed(row, "name", Name::parse)?,
        ratio: row::ratio(row, "ratio_ppm")?,
        changed_at: row::timestamp(row, "changed_at")?,
    })
}

fn account_tier(row: &Row) -> Result<Tier, StoreError> {
    Ok(Tier {
        owner: row::parsed(row, "owner_id", OwnerId::from_slice)?,
        account: Some(row::parsed(row, "account_id", AccountId::from_slice)?),
        ratio: row::ratio(row, "tier_ppm")?,
        changed_at: row::timestamp(row, "changed_at")?,
    })
}
