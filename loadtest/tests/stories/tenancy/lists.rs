//! What lists show: one's own, in the caller's dialect, a page at a time, and never the provider's.

use super::tenant::{Api, Kind, Tenant};
use super::{last_seq, nothing_whole_after};
use crate::talk::*;
use http::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use weft_loadtest::mesh::world::secret;
use weft_proto::provider::Provider;

/// The lists that would show what everybody behind a key has made.
const LISTS: [(Kind, Api, &str); 5] = [
    (Kind::File, Api::OpenAi, "files"),
    (Kind::File, Api::AzureV1, "files"),
    (Kind::File, Api::AzureDated, "files"),
    (Kind::Container, Api::OpenAi, "containers"),
    (Kind::File, Api::Anthropic, "files"),
];

fn ids(list: &Value) -> Vec<String> {
    let data = list["data"].as_array().unwrap_or_else(|| panic!("no list: {list}"));
    data.iter().map(|entry| entry["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_show_ones_own_objects_alone_and_are_the_hubs_own() {
    let world = world().await;
    let other = world.add_user("other").unwrap();
    let mut foreign = Vec::new();
    for (kind, api, tail) in LISTS {
        let note = format!("{kind:?} {api:?}");
        let maker = Tenant { world: &world, key: &world.key.secret, api };
        let other = Tenant { world: &world, key: &other.secret, api };
        let (mine, theirs) = (maker.make(kind).await, other.make(kind).await);
        let seq = last_seq(&world);
        let list = maker.say(&maker.ask(Method::GET, tail, None)).await.whole(200).json();
        assert!(ids(&list).contains(&mine), "{note}: {list}");
        assert!(!ids(&list).contains(&theirs), "{note}: {list}");
        assert_eq!(list["object"] == "list", api != Api::Anthropic, "{note}: {list}");
        let list = other.say(&other.ask(Method::GET, tail, None)).await.whole(200).json();
        foreign.push(mine);
        assert!(ids(&list).contains(&theirs), "{note}: {list}");
        assert!(ids(&list).iter().all(|id| !foreign.contains(id)), "{note}: {list}");
        nothing_whole_after(&world, seq, &note).await;
    }
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_paged_newest_first_in_both_dialects() {
    let world = world().await;
    for (api, after) in [(Api::OpenAi, "after"), (Api::Anthropic, "after_id")] {
        let tenant = Tenant { world: &world, key: &world.key.secret, api };
        let mut made = Vec::new();
        for _ in 0..5 {
            made.push(tenant.make(Kind::File).await);
        }
        made.reverse();
        let mut seen = Vec::new();
        let mut tail = "files?limit=2".to_owned();
        loop {
            let page = tenant.say(&tenant.ask(Method::GET, &tail, None)).await.whole(200).json();
            let page_ids = ids(&page);
            assert!(page_ids.len() <= 2, "{page}");
            assert_eq!(page["first_id"], json!(page_ids.first()), "{page}");
            assert_eq!(page["last_id"], json!(page_ids.last()), "{page}");
            seen.extend(page_ids);
            if page["has_more"] != true {
                break;
            }
            tail = format!("files?limit=2&{after}={}", seen.last().unwrap());
        }
        assert_eq!(seen, made, "{api:?}");
    }
    let tenant = Tenant { world: &world, key: &world.key.secret, api: Api::OpenAi };
    let oldest = tenant.ask(Method::GET, "files?order=asc&limit=1", None);
    let newest = tenant.ask(Method::GET, "files?limit=1", None);
    let (oldest, newest) = (tenant.say(&oldest).await.json(), tenant.say(&newest).await.json());
    assert_ne!(ids(&oldest), ids(&newest));
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_leaves_the_list() {
    let world = world().await;
    for api in [Api::OpenAi, Api::Anthropic] {
        let tenant = Tenant { world: &world, key: &world.key.secret, api };
        let (gone, kept) = (tenant.make(Kind::File).await, tenant.make(Kind::File).await);
        tenant.say(&tenant.ends(Kind::File, &gone).unwrap()).await.whole(200);
        let list = tenant.say(&tenant.ask(Method::GET, "files", None)).await.json();
        assert_eq!(ids(&list), [kept], "{api:?}");
    }
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_its_owner_deleted_at_the_provider_can_be_cleared_away() {
    let world = world().await;
    let user = Tenant { world: &world, key: &world.key.secret, api: Api::OpenAi };
    let file = user.make(Kind::File).await;
    let mut provider = TcpStream::connect(world.provider.addr()).await.unwrap();
    let head = format!(
        "DELETE /v1/files/{file} HTTP/1.1\r\nhost: provider\r\nconnection: close\r\n\
         authorization: Bearer {}\r\n\r\n",
        secret(Provider::OpenAi)
    );
    provider.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    provider.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");

    let listed = user.ask(Method::GET, "files", None);
    assert!(ids(&user.say(&listed).await.json()).contains(&file), "the hub cannot know");
    let ask = user.ask(Method::GET, &format!("files/{file}"), None);
    let gone = user.say(&ask).await;
    same_at_both_ends(&ask, gone.whole(404), &last(&world).await);
    let end = user.ends(Kind::File, &file).unwrap();
    let gone = user.say(&end).await;
    same_at_both_ends(&end, gone.whole(404), &last(&world).await);
    assert!(ids(&user.say(&listed).await.json()).is_empty(), "the row is still there");
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_shows_no_more_than_a_get_would() {
    let world = world().await;
    let other = world.add_user("other").unwrap();
    let user = Tenant { world: &world, key: &world.key.secret, api: Api::OpenAi };
    let other = Tenant { key: &other.secret, ..user };
    let file = user.make(Kind::File).await;
    for tail in [format!("files/{file}"), format!("files/{file}/content")] {
        let seen = user.say(&user.ask(Method::HEAD, &tail, None)).await;
        assert_eq!((seen.status, seen.body.len()), (200, 0), "{tail}");
        let seq = last_seq(&world);
        let hidden = other.say(&other.ask(Method::HEAD, &tail, None)).await;
        assert_eq!((hidden.status, hidden.body.len()), (404, 0), "{tail}");
        nothing_whole_after(&world, seq, &tail).await;
    }
    let list = user.say(&user.ask(Method::HEAD, "files", None)).await;
    assert_eq!((list.status, list.body.len()), (200, 0));
    world.end().await.unwrap();
}
