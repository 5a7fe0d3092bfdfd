//! Objects at providers.

use crate::fixture::World;
use std::sync::Arc;
use std::time::Duration;
use weft_proto::ids::{AccountId, OwnerId, UserId};
use weft_proto::objects::{ObjectId, ObjectKind};
use weft_proto::provider::Provider;
use weft_store::{
    Home, OBJECTS_PER_STATEMENT_MAX, Object, ObjectOrder, ObjectsListed, ObjectsWanted, PageSize,
    Store, StoreError,
};

fn id(text: &str) -> ObjectId {
    ObjectId::parse(text).expect("an id")
}

pub(crate) fn home(world: &World) -> Home {
    Home {
        account: AccountId::from_slice(&world.bytes()[..16]).expect("an id"),
        owner: OwnerId::from_slice(&world.bytes()[..16]).expect("an id"),
    }
}

/// A file of `user` at OpenAI, later than all before.
pub(crate) fn file(world: &World, user: UserId, home: Home, text: &str) -> Object {
    Object {
        home,
        id: id(text),
        kind: ObjectKind::File,
        provider: Provider::OpenAi,
        user,
        parent: None,
        bytes: None,
        made_at: world.now(),
    }
}

async fn record(store: &Arc<dyn Store>, objects: &[Object]) -> usize {
    store.objects().record(objects).await.expect("kept")
}

async fn find(store: &Arc<dyn Store>, user: UserId, ids: &[&str]) -> Vec<Object> {
    let ids: Vec<_> = ids.iter().map(|text| id(text)).collect();
    store.objects().find(user, Provider::OpenAi, &ids).await.expect("looked")
}

pub(crate) async fn every_field_of_an_object_comes_back_as_it_went_in(store: Arc<dyn Store>) {
    let world = World::new(1);
    let (user, home) = (world.user_id(), home(&world));
    let mut made = Vec::new();
    for (index, kind) in ObjectKind::ALL.into_iter().enumerate() {
        for provider in Provider::ALL {
            made.push(Object {
                kind,
                provider,
                parent: (index % 2 == 0).then(|| id("parent:1")),
                bytes: (index % 3 == 0).then_some(i64::MAX.unsigned_abs()),
                ..file(&world, user, home, &format!("{kind}-{provider}_.:"))
            });
        }
    }
    assert_eq!(record(&store, &made).await, 0);
    for object in &made {
        let found =
            store.objects().find(user, object.provider, std::slice::from_ref(&object.id)).await;
        assert_eq!(found.expect("found"), std::slice::from_ref(object));
    }
    let huge = Object { bytes: Some(u64::MAX), ..file(&world, user, home, "huge") };
    let refused = store.objects().record(&[huge]).await;
    // Only a store with columns has numbers without a stored form.
    assert!(matches!(refused, Ok(0) | Err(StoreError::Corrupt { .. })), "{refused:?}");
    assert_eq!(record(&store, &[]).await, 0);
    assert!(find(&store, user, &[]).await.is_empty());
}

pub(crate) async fn only_whose_it_is_finds_an_object_and_only_by_its_exact_id(
    store: Arc<dyn Store>,
) {
    let world = World::new(2);
    let (user, other, home) = (world.user_id(), world.user_id(), home(&world));
    let made = file(&world, user, home, "file-AbC");
    record(&store, std::slice::from_ref(&made)).await;
    assert_eq!(find(&store, user, &["nothing", "file-AbC"]).await, std::slice::from_ref(&made));
    assert!(find(&store, other, &["file-AbC"]).await.is_empty());
    for near in ["file-abc", "FILE-ABC", "file-Ab", "file-AbCd", "file-Ab_"] {
        assert!(find(&store, user, &[near]).await.is_empty(), "{near}");
    }
    let azure = store.objects().find(user, Provider::Azure, &[id("file-AbC")]).await;
    assert!(azure.expect("looked").is_empty());
}

pub(crate) async fn the_first_user_of_an_id_keeps_it_at_its_home_alone(store: Arc<dyn Store>) {
    let world = World::new(3);
    let (user, thief, place) = (world.user_id(), world.user_id(), home(&world));
    let made = file(&world, user, place, "file-1");
    assert_eq!(record(&store, std::slice::from_ref(&made)).await, 0);
    let again = file(&world, user, place, "file-1");
    assert_eq!(record(&store, &[again]).await, 0, "one's own is nobody else's");
    let stolen = file(&world, thief, place, "file-1");
    let fresh = file(&world, thief, place, "file-2");
    assert_eq!(record(&store, &[stolen, fresh]).await, 1);
    assert_eq!(find(&store, user, &["file-1"]).await, std::slice::from_ref(&made));
    assert!(find(&store, thief, &["file-1"]).await.is_empty());
    assert_eq!(find(&store, thief, &["file-2"]).await.len(), 1, "the rest of the batch is kept");

    // The same account's name with another owner is another home.
    let posing = Home { owner: home(&world).owner, ..place };
    let forged = file(&world, thief, posing, "file-1");
    assert_eq!(record(&store, std::slice::from_ref(&forged)).await, 0);
    assert_eq!(find(&store, user, &["file-1"]).await, std::slice::from_ref(&made));
    assert_eq!(find(&store, thief, &["file-1"]).await, [forged]);
    let elsewhere = file(&world, user, home(&world), "file-1");
    record(&store, std::slice::from_ref(&elsewhere)).await;
    assert_eq!(find(&store, user, &["file-1"]).await, [made, elsewhere], "the first one first");
}

pub(crate) async fn what_is_learnt_later_of_ones_own_object_is_filled_in(store: Arc<dyn Store>) {
    let world = World::new(9);
    let (user, thief, place) = (world.user_id(), world.user_id(), home(&world));
    let made = file(&world, user, place, "file-1");
    let more = |user, made_at, bytes, parent| Object {
        user,
        made_at,
        bytes: Some(bytes),
        parent: Some(id(parent)),
        ..made.clone()
    };
    record(&store, std::slice::from_ref(&made)).await;
    assert_eq!(record(&store, &[more(thief, made.made_at, 1, "theirs")]).await, 1);
    assert_eq!(find(&store, user, &["file-1"]).await, std::slice::from_ref(&made));
    record(&store, &[more(user, world.now(), 2, "too-late-to-be-its-parent")]).await;
    let sized = Object { bytes: Some(2), ..made.clone() };
    assert_eq!(find(&store, user, &["file-1"]).await, [sized]);
    record(&store, &[more(user, made.made_at, 3, "cntr_1")]).await;
    record(&store, &[more(user, made.made_at, 4, "cntr_2")]).await;
    let whole = Object { bytes: Some(2), parent: Some(id("cntr_1")), ..made };
    assert_eq!(find(&store, user, &["file-1"]).await, [whole]);
}

pub(crate) async fn more_ids_than_one_statement_takes_are_kept_and_found(store: Arc<dyn Store>) {
    let world = World::new(4);
    let (user, home) = (world.user_id(), home(&world));
    let made: Vec<_> = (0..=OBJECTS_PER_STATEMENT_MAX * 2)
        .map(|number| file(&world, user, home, &format!("file-{number}")))
        .collect();
    assert_eq!(record(&store, &made).await, 0);
    let ids: Vec<_> = made.iter().map(|object| object.id.clone()).collect();
    let found = store.objects().find(user, Provider::OpenAi, &ids).await.expect("found");
    assert_eq!(found, made);
}

async fn list(
    store: &Arc<dyn Store>,
    user: UserId,
    order: ObjectOrder,
    after: Option<ObjectId>,
) -> Result<ObjectsListed, StoreError> {
    let wanted = ObjectsWanted {
        user,
        provider: Provider::OpenAi,
        kind: ObjectKind::File,
        order,
        after,
        size: PageSize::clamped(3),
    };
    store.objects().list(&wanted).await
}

pub(crate) async fn a_list_has_a_users_own_objects_once_each_in_both_orders(store: Arc<dyn Store>) {
    let world = World::new(5);
    let (user, other, place) = (world.user_id(), world.user_id(), home(&world));
    let mut made: Vec<_> =
        (0..8).map(|number| file(&world, user, place, &format!("file-{number}"))).collect();
    // Three of one moment: their ids say which comes first.
    for later in 4..6 {
        made[later].made_at = made[3].made_at;
    }
    let mut all = made.clone();
    all.reverse();
    all.push(file(&world, other, place, "file-of-another"));
    all.push(Object { parent: Some(id("c")), ..file(&world, user, place, "file-in-a-container") });
    all.push(Object { kind: ObjectKind::Upload, ..file(&world, user, place, "upload-1") });
    all.push(Object { provider: Provider::Azure, ..file(&world, user, place, "file-azure") });
    record(&store, &all).await;
    for order in [ObjectOrder::OldestFirst, ObjectOrder::NewestFirst] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = list(&store, user, order, after).await.expect("listed");
            assert_eq!(page.objects.len(), 3.min(made.len() - seen.len()));
            seen.extend(page.objects);
            assert_eq!(page.more, seen.len() < made.len());
            after = seen.last().map(|object: &Object| object.id.clone());
            if !page.more {
                break;
            }
        }
        if order == ObjectOrder::NewestFirst {
            seen.reverse();
        }
        assert_eq!(seen, made, "{order:?}");
        let end = list(&store, user, order, after).await.expect("listed");
        assert_eq!(end, ObjectsListed { objects: Vec::new(), more: false });
    }
    for foreign in ["file-of-another", "nothing", "upload-1", "file-in-a-container", "file-azure"] {
        let refused = list(&store, user, ObjectOrder::NewestFirst, Some(id(foreign))).await;
        assert!(
            matches!(refused, Err(StoreError::NotFound { what: "object" })),
            "{foreign}: {refused:?}"
        );
    }
    let none = list(&store, world.user_id(), ObjectOrder::NewestFirst, None).await;
    assert_eq!(none.expect("listed"), ObjectsListed { objects: Vec::new(), more: false });
}

pub(crate) async fn a_users_home_is_where_the_latest_object_lives(store: Arc<dyn Store>) {
    let world = World::new(6);
    let (user, first, second) = (world.user_id(), home(&world), home(&world));
    let of = async |provider| store.objects().home(user, provider).await.expect("looked");
    assert_eq!(of(Provider::OpenAi).await, None);
    for (place, kind) in [(first, ObjectKind::File), (second, ObjectKind::Response)] {
        let made = Object { kind, ..file(&world, user, place, kind.name()) };
        record(&store, &[made]).await;
        assert_eq!(of(Provider::OpenAi).await, Some(place));
    }
    let item = Object { kind: ObjectKind::Item, ..file(&world, user, first, "msg_1") };
    record(&store, &[item, file(&world, world.user_id(), first, "file-2")]).await;
    assert_eq!(of(Provider::OpenAi).await, Some(second));
    assert_eq!(of(Provider::Azure).await, None);
}

pub(crate) async fn a_removed_object_goes_with_its_parts_and_takes_nothing_else(
    store: Arc<dyn Store>,
) {
    let world = World::new(7);
    let (user, other) = (world.user_id(), world.user_id());
    let (place, elsewhere) = (home(&world), home(&world));
    let part =
        |home, user, text| Object { parent: Some(id("c")), ..file(&world, user, home, text) };
    let whole = file(&world, user, place, "c");
    let stay = [
        file(&world, user, place, "d"),
        part(elsewhere, user, "part-elsewhere"),
        part(place, other, "part-of-another"),
        file(&world, user, elsewhere, "c"),
    ];
    record(&store, &[whole, part(place, user, "p1"), part(place, user, "p2")]).await;
    record(&store, &stay).await;
    let remove = async |user| store.objects().remove(user, place, &id("c")).await.expect("removed");
    assert_eq!(remove(world.user_id()).await, 0, "nobody's to remove but the user's own");
    assert_eq!(remove(user).await, 3);
    assert_eq!(remove(user).await, 0);
    for object in &stay {
        let found = find(&store, object.user, &[object.id.as_str()]).await;
        assert_eq!(found, std::slice::from_ref(object));
    }
    assert!(find(&store, user, &["p1", "p2"]).await.is_empty());
    // What was removed can be somebody's again.
    assert_eq!(record(&store, &[file(&world, other, place, "c")]).await, 0);
}

pub(crate) async fn only_what_is_old_and_of_the_kinds_named_is_purged(store: Arc<dyn Store>) {
    let world = World::new(8);
    let (user, place) = (world.user_id(), home(&world));
    let response =
        |text: &str| Object { kind: ObjectKind::Response, ..file(&world, user, place, text) };
    let old: Vec<_> = (0..OBJECTS_PER_STATEMENT_MAX + 10)
        .map(|number| response(&format!("resp_{number}")))
        .collect();
    let part = Object {
        kind: ObjectKind::Item,
        parent: Some(old[0].id.clone()),
        ..file(&world, user, place, "msg_1")
    };
    let kept = file(&world, user, place, "file-1");
    let now = world.now();
    let young = response("resp_young");
    record(&store, &old).await;
    record(&store, &[part, kept.clone(), young.clone()]).await;
    let kinds = [ObjectKind::Response, ObjectKind::Container];
    let purge = async || store.objects().purge(&kinds, now).await.expect("purged");
    let long_ago = weft_proto::time::Timestamp::from_micros(
        old[0].made_at.as_micros()
            - u64::try_from(Duration::from_secs(1).as_micros()).expect("small"),
    );
    assert_eq!(store.objects().purge(&kinds, long_ago).await.expect("purged"), 0);
    let mut gone = 0;
    loop {
        match purge().await {
            0 => break,
            rows => gone += rows,
        }
    }
    assert_eq!(gone, old.len() as u64 + 1);
    let left = find(&store, user, &["msg_1", "file-1", "resp_young", "resp_0", "resp_265"]).await;
    assert_eq!(left, [kept, young]);
}
