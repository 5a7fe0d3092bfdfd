//! What is named ahead, what is let through, and what is recorded of an answer.

use super::*;
use crate::telemetry::Metrics;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method};
use std::sync::Arc;
use weft_proto::entropy::SeededEntropy;
use weft_proto::ids::{AccountId, OwnerId, UserId};
use weft_proto::provider::Provider;
use weft_proto::tables::routes;
use weft_proto::time::{Clock, ManualClock};
use weft_store::{MemoryStore, Object, Store};

/// A user with objects at OpenAI, and a home of theirs.
pub(in crate::exchange) struct World {
    pub(in crate::exchange) objects: Objects,
    pub(in crate::exchange) store: MemoryStore,
    pub(in crate::exchange) whose: Whose,
    pub(in crate::exchange) home: Home,
    clock: Arc<ManualClock>,
    entropy: SeededEntropy,
    metrics: Metrics,
}

impl World {
    pub(in crate::exchange) fn new() -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_800_000_000)));
        let entropy = SeededEntropy::new(5);
        let (store, metrics) = (MemoryStore::new(), Metrics::new());
        let time: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
        let objects = Objects::new(store.objects(), time, metrics.clone());
        let user = UserId::generate(&*clock, &entropy);
        let whose = Whose { user, provider: Provider::OpenAi };
        let home = home(&clock, &entropy);
        Self { objects, store, whose, home, clock, entropy, metrics }
    }

    pub(in crate::exchange) fn elsewhere(&self) -> Home {
        home(&self.clock, &self.entropy)
    }

    pub(in crate::exchange) fn somebody_else(&self) -> Whose {
        Whose { user: UserId::generate(&*self.clock, &self.entropy), ..self.whose }
    }

    pub(in crate::exchange) async fn made(&self, whose: Whose, home: Home, text: &str) {
        let object = Object {
            home,
            id: id(text),
            kind: ObjectKind::File,
            provider: whose.provider,
            user: whose.user,
            parent: None,
            bytes: None,
            made_at: self.clock.now(),
        };
        self.store.objects().record(&[object]).await.unwrap();
    }

    /// How many verdicts there were.
    fn verdicts(&self) -> usize {
        let shown = self.metrics.render().unwrap();
        let lines = shown.lines().filter(|line| line.contains("object_lookups_total{"));
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap()).sum()
    }

    fn keeper(&self, method: &Method, path: &str, stored: Option<bool>) -> Option<Keeper> {
        let route = route(method, path);
        let belongings = Belongings::new(self.objects.clone(), self.whose, &route, stored);
        let exchange = ExchangeId::generate(&*self.clock, &self.entropy);
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let seen = (exchange, self.clock.now());
        belongings.keeper(self.home, seen, StatusCode::OK, &headers, &Watched::default())
    }

    /// Which of `ids` the user has now.
    async fn has(&self, ids: &[&str]) -> Vec<String> {
        let ids: Vec<_> = ids.iter().map(|text| id(text)).collect();
        let found = self.store.objects().find(self.whose.user, Provider::OpenAi, &ids).await;
        let mut found: Vec<_> =
            found.unwrap().into_iter().map(|object| object.id.to_string()).collect();
        found.sort();
        found
    }
}

fn home(clock: &ManualClock, entropy: &SeededEntropy) -> Home {
    Home { account: AccountId::generate(clock, entropy), owner: OwnerId::generate(clock, entropy) }
}

pub(in crate::exchange) fn id(text: &str) -> ObjectId {
    ObjectId::parse(text).unwrap()
}

fn named(text: &str) -> Reference {
    Reference { kind: Some(ObjectKind::File), id: id(text) }
}

fn route(method: &Method, path: &str) -> Match {
    routes::find(Provider::OpenAi, method, path).unwrap()
}

fn cause<T>(result: Result<T, Refusal>) -> (u16, &'static str) {
    result.err().map(|refusal| (refusal.status().as_u16(), refusal.cause())).unwrap()
}

#[test]
fn a_path_and_a_header_name_objects_ahead_of_the_body() {
    let file = route(&Method::GET, "/v1/files/file-1/content");
    let mut headers = HeaderMap::new();
    assert_eq!(named_ahead(&file, &headers).unwrap(), [named("file-1")]);
    headers.append(OBJECT_HEADER, HeaderValue::from_static("resp_1, conv_2"));
    headers.append(OBJECT_HEADER, HeaderValue::from_static("file-3"));
    let ahead = named_ahead(&file, &headers).unwrap();
    let ids: Vec<_> = ahead.iter().map(|reference| reference.id.as_str()).collect();
    assert_eq!(ids, ["file-1", "resp_1", "conv_2", "file-3"]);
    let many = ["a"; OBJECTS_AHEAD_MAX + 1].join(",");
    for bad in ["", "a b", "a,,b", "a/b", "é", &many] {
        let mut headers = HeaderMap::new();
        headers.insert(OBJECT_HEADER, HeaderValue::from_bytes(bad.as_bytes()).unwrap());
        assert_eq!(cause(named_ahead(&file, &headers)), (400, "object_header"), "{bad:?}");
    }
}

#[test]
fn the_header_for_objects_goes_no_further_than_the_hub() {
    let mut headers = HeaderMap::new();
    headers.insert(OBJECT_HEADER, HeaderValue::from_static("file-1"));
    assert!(weft_proto::tables::headers::request_headers(&headers).is_empty());
}

#[test]
fn what_is_foreign_and_what_is_unknown_are_refused_in_the_same_words_for_good() {
    use weft_proto::provider::Dialect;
    let refusal = Refusal::from(Unusable::NotFound);
    for dialect in [Dialect::OpenAi, Dialect::Anthropic] {
        let response = refusal.response(dialect, None);
        assert_eq!(response.status(), 404);
        assert_eq!(response.headers()["x-should-retry"], "false");
    }
    assert_eq!(refusal.cause(), "object_not_found");
    assert_eq!(Refusal::from(Unusable::Apart).status(), 400);
    assert_eq!(Refusal::from(Unusable::Unavailable).status(), 503);
}

#[tokio::test]
async fn a_guard_passes_what_lives_where_the_body_goes_and_asks_once() {
    let world = World::new();
    let (other, elsewhere) = (world.somebody_else(), world.elsewhere());
    world.made(world.whose, world.home, "file-1").await;
    world.made(world.whose, world.home, "file-2").await;
    world.made(world.whose, elsewhere, "file-far").await;
    world.made(other, world.home, "file-theirs").await;
    let create = route(&Method::POST, "/v1/responses");
    let belongings = Belongings::new(world.objects.clone(), world.whose, &create, None);
    let mut guard = belongings.guard(vec![named("file-1")]);
    guard.goes_to(world.home);
    guard.pass(&[]).await.unwrap();
    guard.pass(&[named("file-1")]).await.unwrap();
    assert_eq!(world.verdicts(), 0, "what is accounted for is not looked up");
    for _ in 0..3 {
        guard.pass(&[named("file-2"), named("file-1"), named("file-2")]).await.unwrap();
    }
    assert_eq!(world.verdicts(), 1);
    assert_eq!(cause(guard.pass(&[named("file-far")]).await), (400, "objects_apart"));
    let unknown = guard.pass(&[named("file-unknown")]).await.unwrap_err();
    let foreign = guard.pass(&[named("file-2"), named("file-theirs")]).await.unwrap_err();
    assert_eq!(foreign, unknown);
    assert_eq!((foreign.status().as_u16(), foreign.cause()), (404, "object_not_found"));
    world.store.close().await;
    assert_eq!(cause(guard.pass(&[named("file-3")]).await), (503, "object_store"));
}

#[tokio::test]
async fn an_id_is_recorded_by_the_read_that_makes_it_known() {
    let world = World::new();
    let mut keeper = world.keeper(&Method::POST, "/v1/files", None).unwrap();
    assert!(keeper.sees(b"{\"object\":\"file\",\"id\":\"fil").is_none());
    let recording = keeper.sees(b"e-1\",\"by").expect("a record");
    assert!(world.has(&["file-1"]).await.is_empty());
    recording.await.unwrap();
    assert_eq!(world.has(&["file-1"]).await, ["file-1"]);
    if let Some(recording) = keeper.sees(b"tes\":12}") {
        recording.await.unwrap();
    }
    let rows = world.store.objects();
    let held = rows.find(world.whose.user, Provider::OpenAi, &[id("file-1")]).await.unwrap();
    assert_eq!(held[0].bytes, Some(12));
}

#[tokio::test]
async fn what_a_provider_is_asked_not_to_keep_is_not_recorded_but_its_container_is() {
    let answer = br#"{"id":"resp_1","output":[
        {"type":"code_interpreter_call","id":"ci_1","container_id":"cntr_1"}]}"#;
    for (stored, expected) in [
        (None, &["ci_1", "cntr_1", "resp_1"][..]),
        (Some(true), &["ci_1", "cntr_1", "resp_1"]),
        (Some(false), &["cntr_1"]),
    ] {
        let world = World::new();
        let mut keeper = world.keeper(&Method::POST, "/v1/responses", stored).unwrap();
        keeper.sees(answer).expect("a record").await.unwrap();
        assert_eq!(world.has(&["resp_1", "ci_1", "cntr_1"]).await, expected, "{stored:?}");
    }
}

#[tokio::test]
async fn another_users_object_stays_theirs_and_nothing_beyond_the_limit_is_kept() {
    let world = World::new();
    let other = world.somebody_else();
    world.made(other, world.home, "file-1").await;
    let mut keeper = world.keeper(&Method::POST, "/v1/files", None).unwrap();
    keeper.left = 1;
    keeper.sees(br#"{"id":"file-1"}"#).expect("a record").await.unwrap();
    assert!(world.has(&["file-1"]).await.is_empty());
    let theirs = world.store.objects().find(other.user, Provider::OpenAi, &[id("file-1")]).await;
    assert_eq!(theirs.unwrap().len(), 1);

    let mut keeper = world.keeper(&Method::POST, "/v1/files", None).unwrap();
    keeper.left = 0;
    assert!(keeper.sees(br#"{"id":"file-2"}"#).is_none());
}

#[tokio::test]
async fn only_answers_that_make_objects_known_are_looked_at() {
    let world = World::new();
    for (method, path) in [
        (Method::POST, "/v1/embeddings"),
        (Method::GET, "/v1/files/file-1"),
        (Method::DELETE, "/v1/files/file-1"),
    ] {
        assert!(world.keeper(&method, path, None).is_none(), "{method} {path}");
    }
    let files = route(&Method::POST, "/v1/files");
    let belongings = Belongings::new(world.objects.clone(), world.whose, &files, None);
    let exchange = ExchangeId::generate(&*world.clock, &world.entropy);
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let seen = (exchange, world.clock.now());
    let watched = Watched::default();
    let keeper = |status, headers: &HeaderMap| {
        belongings.clone().keeper(world.home, seen, status, headers, &watched)
    };
    assert!(keeper(StatusCode::BAD_REQUEST, &headers).is_none());
    assert!(keeper(StatusCode::CREATED, &headers).is_some());
}

#[tokio::test]
async fn only_so_many_coded_answers_are_watched_at_once() {
    let world = World::new();
    let files = route(&Method::POST, "/v1/files");
    let belongings = Belongings::new(world.objects.clone(), world.whose, &files, None);
    let seen = (ExchangeId::generate(&*world.clock, &world.entropy), world.clock.now());
    let watched = Watched::default();
    let keeper = |coding: &'static str| {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
        belongings.clone().keeper(world.home, seen, StatusCode::OK, &headers, &watched)
    };
    // Whether an answer in this coding is watched once it has begun, and not ended.
    let begun = |coding| {
        let mut keeper = keeper(coding).unwrap();
        assert!(keeper.room.is_none(), "an answer that nobody reads holds nothing");
        assert!(keeper.sees(b"").is_none());
        keeper.scan.is_some().then_some(keeper)
    };
    let mut held = Vec::new();
    while let Some(keeper) = begun("br") {
        held.push(keeper);
    }
    assert_eq!(held.len(), 7, "16 MiB and a little each, of 128");
    assert!(begun("zstd").is_some() && begun("gzip").is_some() && begun("identity").is_some());
    held.pop();
    assert!(begun("BR").is_some(), "what ended gave its room back");
    let mut whole = keeper("identity").unwrap();
    assert!(whole.sees(br#"{"id":"file-1""#).is_some() && whole.room.is_some());
    assert!(whole.sees(b"}").is_none() && whole.room.is_none(), "nothing more can come");
    assert!(whole.sees(b"\n").is_none());
}

#[tokio::test]
async fn an_object_is_forgotten_when_the_provider_says_that_it_is_gone() {
    let world = World::new();
    let delete = route(&Method::DELETE, "/v1/files/file-1");
    let belongings = Belongings::new(world.objects.clone(), world.whose, &delete, None);
    let read = route(&Method::GET, "/v1/files/file-1");
    let reading = Belongings::new(world.objects.clone(), world.whose, &read, None);
    for (status, gone) in [(200, true), (204, true), (404, true), (400, false), (500, false)] {
        world.made(world.whose, world.home, "file-1").await;
        let status = StatusCode::from_u16(status).unwrap();
        reading.settled(world.home, status).await.unwrap();
        assert_eq!(world.has(&["file-1"]).await, ["file-1"]);
        belongings.settled(world.elsewhere(), status).await.unwrap();
        assert_eq!(world.has(&["file-1"]).await, ["file-1"]);
        belongings.settled(world.home, status).await.unwrap();
        assert_eq!(world.has(&["file-1"]).await.is_empty(), gone, "{status}");
    }
    world.store.close().await;
    assert_eq!(cause(belongings.settled(world.home, StatusCode::OK).await), (503, "object_store"));
}
