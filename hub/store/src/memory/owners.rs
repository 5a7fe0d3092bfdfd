//! Owners in memory.

use super::{Memory, page};
use crate::{Name, Owner, Owners, Page, StoreError};
use async_trait::async_trait;
use weft_proto::ids::OwnerId;

#[async_trait]
impl Owners for Memory {
    async fn find_or_create(&self, candidate: &Owner) -> Result<Owner, StoreError> {
        self.with(|tables| {
            let id = tables.owners_by_name.get(&candidate.name);
            if let Some(owner) = id.and_then(|id| tables.owners.get(id)) {
                return Ok(owner.clone());
            }
            if tables.owners.contains_key(&candidate.id) {
                return Err(StoreError::Conflict { what: "owner id" });
            }
            tables.owners_by_name.insert(candidate.name.clone(), candidate.id);
            tables.owners.insert(candidate.id, candidate.clone());
            Ok(candidate.clone())
        })
    }

    async fn find_by_name(&self, name: &Name) -> Result<Option<Owner>, StoreError> {
        self.with(|tables| {
            let id = tables.owners_by_name.get(name);
            Ok(id.and_then(|id| tables.owners.get(id)).cloned())
        })
    }

    async fn find(&self, id: OwnerId) -> Result<Option<Owner>, StoreError> {
        self.with(|tables| Ok(tables.owners.get(&id).cloned()))
    }

    async fn list(&self, wanted: Page<OwnerId>) -> Result<Vec<Owner>, StoreError> {
        self.with(|tables| Ok(page(&tables.owners, wanted)))
    }
}
