//! Objects that live at a provider belong to the user who made them.
//!
//! Two users share one account, so that the provider itself would show each what the other made.
//! For every kind: whoever made an object may name it in every place where it can be named; to
//! anybody else it is as if it were not there, and nothing of the question reaches the provider
//! whole. Then: what lists show, what a deletion leaves, and which of two accounts is asked.

#[path = "tenancy/accounts.rs"]
mod accounts;
#[path = "tenancy/codings.rs"]
mod codings;
#[path = "tenancy/learning.rs"]
mod learning;
#[path = "tenancy/lists.rs"]
mod lists;
#[path = "tenancy/store_away.rs"]
mod store_away;
#[path = "tenancy/tenant.rs"]
mod tenant;

use crate::talk::*;
use serde_json::Value;
use tenant::{Api, Kind, Tenant, unknown_like};
use tokio::time::Instant;
use weft_loadtest::mesh::world::World;
use weft_loadtest::provider::Record;

const ALL_OF_OPENAIS: [Api; 2] = [Api::OpenAi, Api::AzureV1];

#[tokio::test(flavor = "multi_thread")]
async fn files_of_another_user_cannot_be_named_anywhere() {
    kept_apart(Kind::File, &[Api::OpenAi, Api::AzureV1, Api::AzureDated]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_at_anthropic_of_another_user_cannot_be_named_anywhere() {
    kept_apart(Kind::File, &[Api::Anthropic]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_of_another_user_cannot_be_named_anywhere() {
    kept_apart(Kind::Upload, &ALL_OF_OPENAIS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn responses_of_another_user_cannot_be_named_anywhere() {
    kept_apart(Kind::Response, &[Api::OpenAi, Api::AzureV1, Api::AzureDated]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conversations_of_another_user_cannot_be_named_anywhere() {
    kept_apart(Kind::Conversation, &ALL_OF_OPENAIS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_of_another_user_cannot_be_named_anywhere() {
    kept_apart(Kind::Container, &ALL_OF_OPENAIS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_at_anthropic_of_another_user_cannot_be_named_anywhere() {
    kept_apart(Kind::Container, &[Api::Anthropic]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn items_of_another_user_cannot_be_named_anywhere() {
    kept_apart(Kind::Item, &ALL_OF_OPENAIS).await;
}

async fn kept_apart(kind: Kind, apis: &[Api]) {
    let world = world().await;
    let other = world.add_user("other").unwrap();
    for &api in apis {
        let maker = Tenant { world: &world, key: &world.key.secret, api };
        let other = Tenant { world: &world, key: &other.secret, api };
        let (mine, theirs) = (container_of(maker).await, container_of(other).await);
        let id = maker.make(kind).await;
        let unknown = unknown_like(&id);
        for one in maker.uses(kind, &id, mine.as_deref()) {
            let answer = maker.say(&one.ask).await;
            let note = format!("{kind:?} {api:?} {}", one.place);
            assert_eq!(answer.status, 200, "{note}: {}", shown(&answer));
            same_at_both_ends(&one.ask, &answer, &last(&world).await);
        }
        let foreign = other.uses(kind, &id, theirs.as_deref());
        let nowhere = other.uses(kind, &unknown, theirs.as_deref());
        let ends = other.ends(kind, &id).into_iter().zip(other.ends(kind, &unknown));
        let ends = ends.map(|(foreign, nowhere)| ("deletion", foreign, nowhere));
        let uses = foreign.into_iter().zip(nowhere);
        let uses = uses.map(|(foreign, nowhere)| (foreign.place, foreign.ask, nowhere.ask));
        for (place, foreign, nowhere) in uses.chain(ends) {
            let note = format!("{kind:?} {api:?} {place}");
            let seq = last_seq(&world);
            let refused = other.say(&foreign).await;
            nothing_whole_after(&world, seq, &note).await;
            let unknown = other.say(&nowhere).await;
            nothing_whole_after(&world, seq, &note).await;
            assert_eq!(refused.status, 404, "{note}: {}", shown(&refused));
            assert_eq!(told(&refused), told(&unknown), "{note}: they can be told apart");
        }
        let still = &maker.uses(kind, &id, mine.as_deref())[0].ask;
        maker.say(still).await.whole(200);
        if let Some(end) = maker.ends(kind, &id) {
            maker.say(&end).await.whole(200);
            for one in maker.uses(kind, &id, mine.as_deref()) {
                let note = format!("{kind:?} {api:?} {} after the end", one.place);
                let seq = last_seq(&world);
                assert_eq!(maker.say(&one.ask).await.status, 404, "{note}");
                nothing_whole_after(&world, seq, &note).await;
            }
        }
    }
    world.end().await.unwrap();
}

/// A container of this user's own, where the API has such.
async fn container_of(tenant: Tenant<'_>) -> Option<String> {
    match tenant.api {
        Api::OpenAi | Api::AzureV1 => Some(tenant.make(Kind::Container).await),
        Api::AzureDated | Api::Anthropic => None,
    }
}

/// Status, headers and body without what is the request's own.
fn told(answer: &Answer) -> (u16, Vec<(String, String)>, String) {
    let id = answer.header("weft-request-id").unwrap_or("-").to_owned();
    let mut headers: Vec<_> = answer
        .headers
        .iter()
        .filter(|(name, _)| !["date", "weft-request-id"].contains(&name.as_str()))
        .map(|(name, value)| (name.to_string(), format!("{value:?}")))
        .collect();
    headers.sort();
    (answer.status, headers, answer.text().replace(&id, "-"))
}

fn shown(answer: &Answer) -> String {
    String::from_utf8_lossy(&answer.body[..answer.body.len().min(400)]).into_owned()
}

fn last_seq(world: &World) -> u64 {
    world.provider.received().last().map_or(0, |record| record.seq)
}

/// Fails where the provider has received a whole request after `seq`. Waits for those that were
/// cut off to have ended.
async fn nothing_whole_after(world: &World, seq: u64, note: &str) {
    let began = Instant::now();
    loop {
        let records: Vec<Record> = world.provider.received_after(seq);
        if let Some(whole) = records.iter().find(|record| record.body_sha256.is_some()) {
            panic!("{note}: {} {} reached the provider", whole.method, whole.target);
        }
        if records.iter().all(|record| record.ending.is_some()) {
            return;
        }
        assert!(began.elapsed() < LIMIT, "{note}: a request hangs");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

/// The cause that a refusal of the hub's names.
fn cause(answer: &Answer) -> String {
    let document: Value = answer.json();
    document["error"]["code"].as_str().unwrap_or_default().to_owned()
}
