//! Users in memory.

use super::{Memory, page};
use crate::{Name, Page, StoreError, User, Users};
use async_trait::async_trait;
use weft_proto::ids::UserId;

#[async_trait]
impl Users for Memory {
    async fn create(&self, user: &User) -> Result<(), StoreError> {
        self.with(|tables| {
            let taken = tables.users_by_name.contains_key(&user.name);
            if taken || tables.users.contains_key(&user.id) {
                return Err(StoreError::Conflict { what: "user name" });
            }
            tables.known_zone(user.zone.as_ref())?;
            tables.known_owner(user.owner)?;
            tables.users.insert(user.id, user.clone());
            if let Err(refused) = tables.check_terms() {
                tables.users.remove(&user.id);
                return Err(refused);
            }
            tables.users_by_name.insert(user.name.clone(), user.id);
            Ok(())
        })
    }

    async fn list(&self, wanted: Page<UserId>) -> Result<Vec<User>, StoreError> {
        self.with(|tables| Ok(page(&tables.users, wanted)))
    }

    async fn find_by_name(&self, name: &Name) -> Result<Option<User>, StoreError> {
        self.with(|tables| {
            let id = tables.users_by_name.get(name);
            Ok(id.and_then(|id| tables.users.get(id)).cloned())
        })
    }

    async fn find(&self, id: UserId) -> Result<Option<User>, StoreError> {
        self.with(|tables| Ok(tables.users.get(&id).cloned()))
    }

    async fn set_disabled(&self, id: UserId, disabled: bool) -> Result<User, StoreError> {
        self.with(|tables| {
            let user = tables.users.get_mut(&id).ok_or(StoreError::NotFound { what: "user" })?;
            user.disabled = disabled;
            Ok(user.clone())
        })
    }
}
