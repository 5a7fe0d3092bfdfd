//! Verdicts, records and their end, over a store in memory.

use super::*;
use std::time::Duration;
use weft_proto::entropy::SeededEntropy;
use weft_proto::ids::{AccountId, OwnerId};
use weft_proto::objects::ObjectKind;
use weft_proto::time::ManualClock;
use weft_store::{MemoryStore, Store};

struct World {
    objects: Objects,
    store: MemoryStore,
    clock: Arc<ManualClock>,
    entropy: SeededEntropy,
    metrics: Metrics,
}

impl World {
    fn new() -> Self {
        let store = MemoryStore::new();
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_800_000_000)));
        let metrics = Metrics::new();
        let time: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
        let objects = Objects::new(store.objects(), time, metrics.clone());
        Self { objects, store, clock, entropy: SeededEntropy::new(3), metrics }
    }

    fn whose(&self) -> Whose {
        let user = UserId::generate(&*self.clock, &self.entropy);
        Whose { user, provider: Provider::OpenAi }
    }

    fn home(&self) -> Home {
        Home {
            account: AccountId::generate(&*self.clock, &self.entropy),
            owner: OwnerId::generate(&*self.clock, &self.entropy),
        }
    }

    async fn made(&self, whose: Whose, home: Home, kind: ObjectKind, text: &str) -> usize {
        let found = Found { kind, id: id(text), parent: None, bytes: None };
        let now = self.clock.now();
        self.objects.record(whose, home, vec![found], now).await.unwrap()
    }
}

fn id(text: &str) -> ObjectId {
    ObjectId::parse(text).unwrap()
}

fn named(kind: Option<ObjectKind>, text: &str) -> Reference {
    Reference { kind, id: id(text) }
}

#[tokio::test]
async fn a_foreign_object_and_an_unknown_one_are_the_same_to_a_caller() {
    let world = World::new();
    let (own, other, home) = (world.whose(), world.whose(), world.home());
    world.made(own, home, ObjectKind::File, "file-1").await;
    for kind in [None, Some(ObjectKind::File)] {
        let file = [named(kind, "file-1")];
        assert_eq!(world.objects.home_of(own, &file).await, Ok(Some(home)));
        assert_eq!(world.objects.home_of(other, &file).await, Err(Unusable::NotFound));
        assert_eq!(world.objects.live_at(other, home, &file).await, Err(Unusable::NotFound));
    }
    let azure = Whose { provider: Provider::Azure, ..own };
    for (whose, reference) in [
        (own, named(None, "file-2")),
        (own, named(Some(ObjectKind::Response), "file-1")),
        (azure, named(None, "file-1")),
    ] {
        let asked = [named(None, "file-1"), reference];
        assert_eq!(world.objects.home_of(whose, &asked).await, Err(Unusable::NotFound));
    }
    assert_eq!(world.objects.home_of(own, &[]).await, Ok(None));
    let shown = world.metrics.render().unwrap();
    for line in ["object_lookups_total{result=\"not_found\"} 7", "objects_recorded_total 1"] {
        assert!(shown.contains(line), "{line} not in:\n{shown}");
    }
}

#[tokio::test]
async fn objects_of_two_accounts_are_apart_and_one_home_must_have_all() {
    let world = World::new();
    let (own, here, there) = (world.whose(), world.home(), world.home());
    world.made(own, here, ObjectKind::File, "file-1").await;
    world.made(own, here, ObjectKind::Response, "resp_1").await;
    world.made(own, there, ObjectKind::Container, "cntr_1").await;
    let all = [
        named(None, "file-1"),
        named(Some(ObjectKind::Response), "resp_1"),
        named(Some(ObjectKind::Container), "cntr_1"),
    ];
    assert_eq!(world.objects.home_of(own, &all[..2]).await, Ok(Some(here)));
    assert_eq!(world.objects.home_of(own, &all).await, Err(Unusable::Apart));
    assert_eq!(world.objects.live_at(own, here, &all[..2]).await, Ok(()));
    assert_eq!(world.objects.live_at(own, there, &all[..2]).await, Err(Unusable::Apart));

    // Somebody who answers under another account with ids that are the caller's already does not
    // draw the caller's requests to that account.
    world.clock.advance(Duration::from_secs(1));
    world.made(own, there, ObjectKind::File, "file-1").await;
    assert_eq!(world.objects.home_of(own, &all[..1]).await, Ok(Some(here)));
    // But where all that is asked for is said to be there, it is.
    assert_eq!(
        world.objects.home_of(own, &[all[0].clone(), all[2].clone()]).await,
        Ok(Some(there))
    );
}

#[tokio::test]
async fn the_first_user_keeps_an_object_until_the_provider_has_deleted_it() {
    let world = World::new();
    let (own, other, home) = (world.whose(), world.whose(), world.home());
    assert_eq!(world.made(own, home, ObjectKind::File, "file-1").await, 0);
    assert_eq!(world.made(other, home, ObjectKind::File, "file-1").await, 1);
    let file = [named(None, "file-1")];
    world.objects.deleted(other, home, &file[0].id).await.unwrap();
    assert_eq!(world.objects.home_of(own, &file).await, Ok(Some(home)));
    assert_eq!(world.objects.latest_home(own).await, Ok(Some(home)));
    world.objects.deleted(own, home, &file[0].id).await.unwrap();
    assert_eq!(world.objects.home_of(own, &file).await, Err(Unusable::NotFound));
    assert_eq!(world.objects.latest_home(own).await, Ok(None));
}

#[tokio::test]
async fn what_providers_forget_is_forgotten_and_nothing_else() {
    let world = World::new();
    let (own, home) = (world.whose(), world.home());
    for kind in ObjectKind::ALL {
        world.made(own, home, kind, &format!("{kind}-old")).await;
    }
    world.clock.advance(FORGOTTEN_AFTER);
    for kind in ObjectKind::ALL {
        world.made(own, home, kind, &format!("{kind}-new")).await;
    }
    let left = async || {
        let mut left = Vec::new();
        for kind in ObjectKind::ALL {
            for age in ["old", "new"] {
                let text = format!("{kind}-{age}");
                if world.objects.home_of(own, &[named(Some(kind), &text)]).await.is_ok() {
                    left.push(text);
                }
            }
        }
        left
    };
    world.objects.forget_old().await;
    assert_eq!(left().await.len(), 14, "not a moment too early");
    world.clock.advance(Duration::from_secs(1));
    world.objects.forget_old().await;
    let expected = [
        "file-old",
        "file-new",
        "upload-old",
        "upload-new",
        "response-new",
        "conversation-old",
        "conversation-new",
        "container-new",
        "item-new",
        "batch-new",
    ];
    assert_eq!(left().await, expected);
}

#[tokio::test]
async fn a_store_that_is_away_lets_nothing_through() {
    let world = World::new();
    let (own, home) = (world.whose(), world.home());
    world.made(own, home, ObjectKind::File, "file-1").await;
    world.store.close().await;
    let file = [named(None, "file-1")];
    assert_eq!(world.objects.home_of(own, &file).await, Err(Unusable::Unavailable));
    assert_eq!(world.objects.live_at(own, home, &file).await, Err(Unusable::Unavailable));
    assert_eq!(world.objects.latest_home(own).await, Err(Unusable::Unavailable));
    assert_eq!(world.objects.deleted(own, home, &file[0].id).await, Err(Unusable::Unavailable));
    let found = vec![Found { kind: ObjectKind::File, id: id("file-2"), parent: None, bytes: None }];
    let now = world.clock.now();
    assert_eq!(world.objects.record(own, home, found, now).await, Err(Unrecorded));
}

#[tokio::test]
async fn more_answers_at_once_than_the_store_lets_wait_are_recorded_all_the_same() {
    const ANSWERS: usize = 1_500;
    let folder = tempfile::tempdir().unwrap();
    let store = weft_store::SqliteStore::open(&folder.path().join("hub.db")).await.unwrap();
    let world = World::new();
    let time: Arc<dyn Clock> = Arc::<ManualClock>::clone(&world.clock);
    let objects = Objects::new(store.objects(), time, Metrics::new());
    let (whose, home, now) = (world.whose(), world.home(), world.clock.now());
    let records = (0..ANSWERS).map(|at| {
        let kind = ObjectKind::Response;
        let found = Found { kind, id: id(&format!("resp_{at}")), parent: None, bytes: None };
        objects.record(whose, home, vec![found], now)
    });
    let kept = futures_util::future::join_all(records).await;
    assert_eq!(kept.iter().filter(|kept| **kept == Ok(0)).count(), ANSWERS);
    store.close().await;
}
