//! Objects in memory.

use super::{Memory, Tables};
use crate::{
    Home, OBJECTS_PER_STATEMENT_MAX, Object, ObjectOrder, Objects, ObjectsListed, ObjectsWanted,
    StoreError,
};
use async_trait::async_trait;
use std::collections::btree_map::Entry;
use weft_proto::ids::UserId;
use weft_proto::objects::{ObjectId, ObjectKind};
use weft_proto::provider::Provider;
use weft_proto::time::Timestamp;

#[async_trait]
impl Objects for Memory {
    async fn record(&self, objects: &[Object]) -> Result<usize, StoreError> {
        self.with(|tables| {
            let mut foreign = 0;
            for object in objects {
                match tables.objects.entry((object.home, object.id.clone())) {
                    Entry::Vacant(place) => drop(place.insert(object.clone())),
                    Entry::Occupied(held) if held.get().user != object.user => foreign += 1,
                    Entry::Occupied(mut held) => {
                        let held = held.get_mut();
                        held.bytes = held.bytes.or(object.bytes);
                        if held.made_at == object.made_at && held.parent.is_none() {
                            held.parent.clone_from(&object.parent);
                        }
                    }
                }
            }
            Ok(foreign)
        })
    }

    async fn find(
        &self,
        user: UserId,
        provider: Provider,
        ids: &[ObjectId],
    ) -> Result<Vec<Object>, StoreError> {
        self.with(|tables| {
            let own = tables.own(user, provider).filter(|object| ids.contains(&object.id));
            let mut found: Vec<_> = own.cloned().collect();
            found.sort_by_key(|object| object.made_at);
            Ok(found)
        })
    }

    async fn list(&self, wanted: &ObjectsWanted) -> Result<ObjectsListed, StoreError> {
        self.with(|tables| {
            let mut all: Vec<_> = tables
                .own(wanted.user, wanted.provider)
                .filter(|object| object.kind == wanted.kind && object.parent.is_none())
                .collect();
            all.sort_by_key(|object| (object.made_at, &object.id));
            if wanted.order == ObjectOrder::NewestFirst {
                all.reverse();
            }
            let from = match &wanted.after {
                None => 0,
                Some(after) => {
                    let at = all.iter().position(|object| object.id == *after);
                    at.ok_or(StoreError::NotFound { what: "object" })? + 1
                }
            };
            let rest = all.get(from..).unwrap_or_default();
            let page = rest.iter().take(wanted.size.as_usize());
            Ok(ObjectsListed {
                objects: page.map(|object| Object::clone(object)).collect(),
                more: rest.len() > wanted.size.as_usize(),
            })
        })
    }

    async fn home(&self, user: UserId, provider: Provider) -> Result<Option<Home>, StoreError> {
        self.with(|tables| {
            let own = tables.own(user, provider).filter(|object| object.kind != ObjectKind::Item);
            Ok(own.max_by_key(|object| (object.made_at, &object.id)).map(|object| object.home))
        })
    }

    async fn remove(&self, user: UserId, home: Home, id: &ObjectId) -> Result<u64, StoreError> {
        self.with(|tables| Ok(tables.forget(user, home, id)))
    }

    async fn purge(&self, kinds: &[ObjectKind], before: Timestamp) -> Result<u64, StoreError> {
        self.with(|tables| {
            let mut forgotten = 0;
            for &kind in kinds {
                let old: Vec<_> = tables
                    .objects
                    .values()
                    .filter(|object| object.kind == kind && object.made_at < before)
                    .map(|object| (object.user, object.home, object.id.clone()))
                    .take(OBJECTS_PER_STATEMENT_MAX)
                    .collect();
                for (user, home, id) in old {
                    forgotten += tables.forget(user, home, &id);
                }
            }
            Ok(forgotten)
        })
    }
}

impl Tables {
    fn own(&self, user: UserId, provider: Provider) -> impl Iterator<Item = &Object> {
        let of_user = move |object: &&Object| object.user == user && object.provider == provider;
        self.objects.values().filter(of_user)
    }

    /// Takes out the user's object and what is part of it.
    fn forget(&mut self, user: UserId, home: Home, id: &ObjectId) -> u64 {
        let before = self.objects.len();
        self.objects.retain(|(at, held), object| {
            let goes = held == id || object.parent.as_ref() == Some(id);
            *at != home || object.user != user || !goes
        });
        (before - self.objects.len()) as u64
    }
}
