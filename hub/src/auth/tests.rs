//! The door, against a store that counts how often it is asked.

use super::*;
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use weft_proto::entropy::SeededEntropy;
use weft_proto::model::ModelName;
use weft_proto::time::{Clock, ManualClock};
use weft_store::{KeyHint, ModelAllowList, Name, Networks, Page, SpendLimits};

const START: Timestamp = Timestamp::from_secs(1_800_000_000);

/// Keys in memory; how often they were looked up; whether looking up fails.
#[derive(Debug, Default)]
struct Shelf {
    rows: Mutex<BTreeMap<KeyHash, (Key, User)>>,
    lookups: AtomicUsize,
    broken: std::sync::atomic::AtomicBool,
}

#[async_trait]
impl Keys for Shelf {
    async fn create(&self, _: &Key) -> Result<(), StoreError> {
        unreachable!("the door makes no keys")
    }

    async fn find_by_hash(&self, hash: &KeyHash) -> Result<Option<(Key, User)>, StoreError> {
        self.lookups.fetch_add(1, Ordering::Relaxed);
        // What is found was read before others are let go on: as with a real store, it may be old
        // by the time it is returned.
        let found = self.rows.lock().unwrap().get(hash).cloned();
        tokio::task::yield_now().await;
        if self.broken.load(Ordering::Relaxed) {
            return Err(StoreError::Unavailable("the disk is gone".into()));
        }
        Ok(found)
    }

    async fn list(&self, _: UserId, _: Page<KeyId>) -> Result<Vec<Key>, StoreError> {
        unreachable!("the door lists no keys")
    }

    async fn find(&self, _: KeyId) -> Result<Option<Key>, StoreError> {
        unreachable!("the door knows keys by their hashes")
    }

    async fn revoke(&self, _: KeyId, _: Timestamp) -> Result<Key, StoreError> {
        unreachable!("the door revokes no keys")
    }
}

struct House {
    shelf: Arc<Shelf>,
    auth: Auth,
    clock: ManualClock,
    entropy: SeededEntropy,
}

impl House {
    fn new() -> Self {
        let shelf = Arc::new(Shelf::default());
        let keys: Arc<dyn Keys> = Arc::<Shelf>::clone(&shelf);
        let auth = Auth::new(keys, 5, Metrics::new());
        Self { shelf, auth, clock: ManualClock::new(START), entropy: SeededEntropy::new(1) }
    }

    /// Puts a key on the shelf, changed by `change`.
    fn key(&self, change: impl FnOnce(&mut Key, &mut User)) -> (KeyId, String) {
        let secret = KeySecret::generate(&self.entropy);
        let name = || Name::parse("somebody").unwrap();
        let mut user = User {
            owner: None,
            id: UserId::generate(&self.clock, &self.entropy),
            name: name(),
            zone: None,
            created_at: START,
            disabled: false,
        };
        let mut key = Key {
            id: KeyId::generate(&self.clock, &self.entropy),
            user: user.id,
            label: name(),
            hash: KeyHash::new(secret.hash()),
            hint: KeyHint::of(&secret.expose()).unwrap(),
            models: ModelAllowList::Any,
            expires_at: None,
            networks: Networks::any(),
            zone: None,
            limits: SpendLimits::default(),
            created_at: START,
            revoked_at: None,
        };
        change(&mut key, &mut user);
        let id = key.id;
        self.shelf.rows.lock().unwrap().insert(key.hash, (key, user));
        (id, secret.expose().to_string())
    }

    fn nobodys_key(&self) -> String {
        KeySecret::generate(&self.entropy).expose().to_string()
    }

    async fn admit(&self, text: &str) -> Result<Caller, AuthRefused> {
        self.auth.admit(text, "192.0.2.1".parse().unwrap(), self.clock.now()).await
    }

    fn lookups(&self) -> usize {
        self.shelf.lookups.load(Ordering::Relaxed)
    }
}

#[tokio::test]
async fn a_key_is_looked_up_once_and_then_remembered() {
    let house = House::new();
    let (id, text) = house.key(|_, _| {});
    for _ in 0..10 {
        assert_eq!(house.admit(&text).await.unwrap().key(), id);
    }
    assert_eq!(house.lookups(), 1);
}

#[tokio::test]
async fn concurrent_requests_with_one_key_share_one_look_up() {
    let house = House::new();
    let (_, text) = house.key(|_, _| {});
    let all = futures_util::future::join_all((0..50).map(|_| house.admit(&text))).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(house.lookups(), 1);
}

#[tokio::test]
async fn a_revoked_key_is_refused_at_once_though_it_was_remembered() {
    let house = House::new();
    let (id, text) = house.key(|_, _| {});
    house.admit(&text).await.unwrap();
    for row in house.shelf.rows.lock().unwrap().values_mut() {
        row.0.revoked_at = Some(START);
    }
    house.auth.revoked(id);
    assert_eq!(house.admit(&text).await.unwrap_err(), AuthRefused::Revoked);
}

#[tokio::test]
async fn a_look_up_that_began_before_a_revocation_is_not_remembered_after_it() {
    let house = House::new();
    let (id, text) = house.key(|_, _| {});
    let mut early = std::pin::pin!(house.admit(&text));
    // The look-up has read the row and stands still before it returns it.
    assert!(futures_util::poll!(early.as_mut()).is_pending());
    assert_eq!(house.lookups(), 1);
    for row in house.shelf.rows.lock().unwrap().values_mut() {
        row.0.revoked_at = Some(START);
    }
    house.auth.revoked(id);
    early.await.expect("admitted before the revocation returned");
    assert_eq!(house.admit(&text).await.unwrap_err(), AuthRefused::Revoked);
}

#[tokio::test]
async fn a_disabled_user_is_refused_and_let_in_again_when_enabled() {
    let house = House::new();
    let (_, text) = house.key(|_, _| {});
    let user = house.admit(&text).await.unwrap().user();
    for (disabled, expected) in [(true, Some(AuthRefused::UserDisabled)), (false, None)] {
        for row in house.shelf.rows.lock().unwrap().values_mut() {
            row.1.disabled = disabled;
        }
        house.auth.user_changed(user);
        assert_eq!(house.admit(&text).await.err(), expected);
    }
}

#[tokio::test]
async fn expiry_and_network_are_judged_at_each_request() {
    let house = House::new();
    let end = START.after(Duration::from_secs(10));
    let (_, text) = house.key(|key, _| {
        key.expires_at = Some(end);
        key.networks = "192.0.2.0/24".parse().unwrap();
    });
    house.admit(&text).await.unwrap();
    let elsewhere = house.auth.admit(&text, "198.51.100.1".parse().unwrap(), START).await;
    assert_eq!(elsewhere.unwrap_err(), AuthRefused::Network);
    house.clock.set(end);
    assert_eq!(house.admit(&text).await.unwrap_err(), AuthRefused::Expired);
    assert_eq!(house.lookups(), 1);
}

#[tokio::test]
async fn the_model_list_of_the_key_is_the_callers() {
    let house = House::new();
    let (_, text) = house.key(|key, _| key.models = ModelAllowList::Only("gpt-*".parse().unwrap()));
    let caller = house.admit(&text).await.unwrap();
    assert!(caller.allows(&ModelName::parse("gpt-6-sol").unwrap()));
    assert!(!caller.allows(&ModelName::parse("claude-5").unwrap()));
}

#[tokio::test]
async fn a_text_that_is_no_key_never_reaches_the_store() {
    let house = House::new();
    let (_, mut text) = house.key(|_, _| {});
    let last = if text.pop() == Some('0') { '1' } else { '0' };
    text.push(last);
    assert!(matches!(house.admit(&text).await, Err(AuthRefused::Malformed(_))));
    assert!(matches!(house.admit("sk-ant-1").await, Err(AuthRefused::Malformed(_))));
    assert_eq!(house.lookups(), 0);
}

#[tokio::test]
async fn nobodys_key_is_looked_up_once_until_a_key_is_made() {
    let house = House::new();
    let text = house.nobodys_key();
    for _ in 0..3 {
        assert_eq!(house.admit(&text).await.unwrap_err(), AuthRefused::Unknown);
    }
    assert_eq!(house.lookups(), 1);
    let (made, _) = house.key(|_, _| {});
    house.auth.created(made);
    assert_eq!(house.admit(&text).await.unwrap_err(), AuthRefused::Unknown);
    assert_eq!(house.lookups(), 2);
}

#[tokio::test]
async fn what_is_remembered_of_wrong_keys_is_bounded() {
    let house = House::new();
    for last in 0..=255u8 {
        for next in 0..=79u8 {
            // Many addresses, so that no address's own limit ends the attack.
            let peer = IpAddr::from([10, next, last, 1]);
            let refused = house.auth.admit(&house.nobodys_key(), peer, START).await;
            assert_eq!(refused.unwrap_err(), AuthRefused::Unknown);
        }
    }
    house.auth.unknown.run_pending_tasks().await;
    assert!(house.auth.unknown.entry_count() <= UNKNOWN_KEYS_MAX);
    assert_eq!(house.auth.known.entry_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_address_that_fails_too_often_waits_but_a_key_in_use_there_goes_on() {
    let house = House::new();
    let (_, in_use) = house.key(|_, _| {});
    let (_, not_in_use) = house.key(|_, _| {});
    house.admit(&in_use).await.unwrap();
    for _ in 0..5 {
        assert_eq!(house.admit(&house.nobodys_key()).await.unwrap_err(), AuthRefused::Unknown);
    }
    let limited = |refused| matches!(refused, Err(AuthRefused::TooManyFailures { .. }));
    let before = house.lookups();
    assert!(limited(house.admit(&house.nobodys_key()).await));
    assert!(limited(house.admit("wk-torn").await));
    assert!(limited(house.admit(&not_in_use).await));
    assert_eq!(house.lookups(), before, "the store is left alone");
    house.admit(&in_use).await.expect("a key that was used lately");
    tokio::time::advance(Duration::from_secs(61)).await;
    house.admit(&not_in_use).await.expect("the minute is over");
}

#[tokio::test]
async fn a_store_that_fails_refuses_without_blaming_the_key_and_is_asked_again() {
    let house = House::new();
    let (_, text) = house.key(|_, _| {});
    house.shelf.broken.store(true, Ordering::Relaxed);
    for _ in 0..10 {
        assert_eq!(house.admit(&text).await.unwrap_err(), AuthRefused::Unavailable);
    }
    house.shelf.broken.store(false, Ordering::Relaxed);
    house.admit(&text).await.expect("failures were not remembered");
}
