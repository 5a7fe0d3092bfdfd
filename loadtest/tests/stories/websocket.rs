//! WebSockets end to end: what is said reaches the other end as it was said, and so does its end.

#[path = "websocket/ends.rs"]
mod ends;
#[path = "websocket/user.rs"]
pub(crate) mod user;

use crate::bad_tunnels::hostile::Hostile;
use crate::talk::*;
use http::Method;
use serde_json::Value;
use tokio::time::timeout;
use user::{Ended, User, Wish};
use weft_loadtest::mesh::Version;
use weft_loadtest::mesh::World;
use weft_loadtest::mesh::world::Plan;
use weft_loadtest::provider::websocket::frame::{Frame, opcode};
use weft_loadtest::provider::{Ending, Record};

/// Says goodbye as a client should, and fails unless the other end says it too.
async fn goodbye(user: &mut User) {
    user.send(&Frame::close(1000, "done")).await;
    let (frames, ended) = user.until_end().await;
    let last = frames.last().expect("a close frame");
    assert_eq!(last.closes(), Some((1000, "done".to_owned())));
    assert_eq!(ended, Ended::Properly);
    user.end().await;
}

/// Fails unless both ends saw the same raw bytes behind their heads, both ways.
#[track_caller]
fn same_bytes(user: &User, record: &Record) {
    let (sent, came) = user.digests();
    assert_eq!(record.body_bytes, user.sent_bytes);
    assert_eq!(record.body_sha256.as_deref(), Some(&*sent), "what the user sent");
    assert_eq!(record.answer_bytes, user.came_bytes);
    assert_eq!(record.answer_sha256.as_deref(), Some(&*came), "what the provider sent");
}

async fn row(world: &World) -> Value {
    rows_when(world, 1).await.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_every_kind_and_size_come_back_bit_by_bit() {
    let world = world().await;
    let mut user = Wish::realtime(&world).open(&world).await;
    user.echo(&Frame::whole(opcode::TEXT, "a word – naïvely, in 三 words")).await;
    user.echo(&Frame::whole(opcode::BINARY, vec![0, 255, 10, 13, 0])).await;
    user.echo(&Frame::whole(opcode::TEXT, "")).await;
    for bytes in [125, 126, 65_535, 65_536, 70_000, 5 * 1024 * 1024] {
        let payload: Vec<u8> = (0..bytes).map(|index: usize| index.to_le_bytes()[1]).collect();
        user.echo(&Frame::whole(opcode::BINARY, payload)).await;
    }
    // A message in fragments, with a question between two of them.
    user.echo(&Frame { first: opcode::TEXT, payload: b"one ".to_vec() }).await;
    user.send(&Frame::whole(opcode::PING, "are you there")).await;
    assert_eq!(user.next().await, Frame::whole(opcode::PONG, "are you there"));
    user.echo(&Frame { first: opcode::CONTINUATION, payload: b"two ".to_vec() }).await;
    user.echo(&Frame { first: 0x80, payload: b"three".to_vec() }).await;
    // The provider's own: a question, and a large message in fragments.
    user.text(r#"{"type": "sim.ping", "text": "and you?"}"#).await;
    assert_eq!(user.next().await, Frame::whole(opcode::PING, "and you?"));
    user.send(&Frame::whole(opcode::PONG, "and you?")).await;
    user.text(r#"{"type": "sim.send", "bytes": 3000000, "fragments": 7}"#).await;
    let mut bytes = 0;
    loop {
        let frame = user.next().await;
        bytes += frame.payload.len();
        if frame.first & 0x80 != 0 {
            break;
        }
    }
    assert_eq!(bytes, 3_000_000);
    // One byte at a time, which no reader may mind.
    for byte in Frame::whole(opcode::TEXT, "slowly").bytes(Some([9; 4])) {
        user.raw(&[byte]).await.unwrap();
    }
    assert_eq!(user.next().await, Frame::whole(opcode::TEXT, "slowly"));
    goodbye(&mut user).await;

    let record = last(&world).await;
    same_bytes(&user, &record);
    assert_eq!((record.ending, record.status), (Some(Ending::Complete), Some(101)));
    assert_eq!(record.target, "/v1/realtime?model=gpt-realtime");
    assert_eq!(record.version, "HTTP/1.1");
    let row = row(&world).await;
    assert_eq!(
        (row["end"].as_str(), row["status"].as_u64()),
        (Some("complete"), Some(101)),
        "{row}"
    );
    assert_eq!(row["request_bytes"].as_u64(), Some(user.sent_bytes), "{row}");
    assert_eq!(row["response_bytes"].as_u64(), Some(user.came_bytes), "{row}");
    assert_eq!(row["model"], "gpt-realtime", "{row}");
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_sent_with_the_handshake_is_not_lost() {
    let world = world().await;
    let early = Frame::whole(opcode::TEXT, "before anybody agreed");
    let mut user = Wish::realtime(&world).ask_with(&world, std::slice::from_ref(&early)).await;
    assert_eq!(user.status, 101);
    assert!(user.next().await.payload.starts_with(b"{"), "the provider's greeting");
    assert_eq!(user.next().await, early);
    goodbye(&mut user).await;
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn sub_protocols_stay_and_the_key_among_them_ends_at_the_hub() {
    let world = world().await;
    let key = &world.key.secret;
    let wish = Wish::bare("/v1/realtime?model=gpt-realtime").with(
        "sec-websocket-protocol",
        &format!("realtime, openai-insecure-api-key.{key}, openai-beta.realtime-v1"),
    );
    let mut user = wish.open(&world).await;
    assert_eq!(user.headers["sec-websocket-protocol"], "realtime");
    user.echo(&Frame::whole(opcode::TEXT, "hello")).await;
    goodbye(&mut user).await;
    let record = last(&world).await;
    let went = received(&record, "sec-websocket-protocol");
    assert_eq!(went, Some("realtime, openai-beta.realtime-v1"));

    // With a header's key, the list is the user's own to the last space.
    let wish = Wish::realtime(&world).with("sec-websocket-protocol", "b ,  a");
    let mut user = wish.open(&world).await;
    assert_eq!(user.headers["sec-websocket-protocol"], "b");
    goodbye(&mut user).await;
    assert_eq!(received(&last(&world).await, "sec-websocket-protocol"), Some("b ,  a"));

    // A list of the key alone is no list any more.
    let alone = format!("openai-insecure-api-key.{key}");
    let wish = Wish::bare("/v1/realtime?model=gpt-realtime");
    let mut user = wish.with("sec-websocket-protocol", &alone).open(&world).await;
    assert!(!user.headers.contains_key("sec-websocket-protocol"));
    goodbye(&mut user).await;
    let record = last(&world).await;
    assert_eq!(received(&record, "sec-websocket-protocol"), None);
    for name in ["sec-websocket-key", "sec-websocket-version", "via"] {
        assert!(received(&record, name).is_some(), "{name}");
    }
    assert!(!format!("{:?}", world.provider.received()).contains(&**key));

    let log = std::fs::read_to_string(world.hub_log()).unwrap();
    assert!(!log.contains(&**key), "the key stands in the hub's log");
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_opens_a_websocket_and_no_other_number_of_them() {
    let world = world().await;
    let key = &world.key.secret;
    let among = format!("realtime, openai-insecure-api-key.{key}");
    let target = "/v1/realtime?model=gpt-realtime";
    let refused = [
        Wish::bare(target),
        Wish::bare(target).with("sec-websocket-protocol", "openai-insecure-api-key.wk-not-one"),
        Wish::realtime(&world).with("sec-websocket-protocol", &among),
        Wish::bare(target).with("sec-websocket-protocol", &format!("{among}, {among}")),
    ];
    for wish in refused {
        let mut user = wish.ask(&world).await;
        let text = user.rest().await;
        assert_eq!(user.status, 401, "{text}");
        let error: Value = serde_json::from_str(&text).unwrap();
        assert!(error["error"]["message"].is_string(), "{error}");
    }
    // Without an upgrade, a sub-protocol is no place for a key.
    let ask = Ask::bare(Method::GET, "/v1/models", "").with("sec-websocket-protocol", &among);
    ask.over(&world, Version::H1).await.whole(401);
    assert_eq!(world.provider.stats().total, 0);
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_opens_websockets_for_its_own_models_only() {
    let world = world().await;
    let only = world.hub.add_key("user", &["--models", "gpt-realtime-mini*"]).unwrap();
    let with =
        |target: &str| Wish::bare(target).with("authorization", &format!("Bearer {}", only.secret));
    let mut user = with("/v1/realtime?model=gpt-realtime-mini-2").open(&world).await;
    goodbye(&mut user).await;
    for (target, status) in [
        ("/v1/realtime?model=gpt-realtime", 403),
        ("/v1/realtime?model=gpt-realtime-mini&model=gpt-realtime", 400),
        ("/v1/realtime?mod%65l=gpt-realtime", 400),
        ("/v1/realtime?model=gpt-realtime-mini&call_id=rtc_1", 400),
        ("/v1/realtime?model=gpt-realtime-mini&api-key=wk-1", 400),
        ("/v1/realtime", 400),
    ] {
        let user = with(target).ask(&world).await;
        assert_eq!(user.status, status, "{target}");
    }
    assert_eq!(world.provider.stats().total, 1);
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn azure_is_asked_by_deployment_and_only_for_one_that_exists() {
    let world = world().await;
    let key = &world.key.secret;
    for target in [
        "/openai/realtime?api-version=2024-10-01-preview&deployment=prod-chat",
        "/openai/v1/realtime?model=prod-chat",
    ] {
        let mut user = Wish::bare(target).with("api-key", key).open(&world).await;
        user.echo(&Frame::whole(opcode::TEXT, "hello")).await;
        goodbye(&mut user).await;
        let record = last(&world).await;
        assert_eq!((record.target.as_str(), record.provider), (target, Some("azure")));
    }
    let target = "/openai/v1/realtime?model=no-such-deployment";
    let user = Wish::bare(target).with("api-key", key).ask(&world).await;
    assert_eq!(user.status, 404);
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_handshake_is_a_426_that_says_what_is_wanted() {
    let world = world().await;
    let good = Wish::realtime(&world);
    let wishes = [
        good.clone().without("upgrade"),
        good.clone().without("connection").with("connection", "keep-alive"),
        good.clone().without("sec-websocket-key"),
        good.clone().without("sec-websocket-key").with("sec-websocket-key", "no=="),
        good.clone().without("sec-websocket-version").with("sec-websocket-version", "8"),
        good.clone().with("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA=="),
    ];
    for wish in wishes {
        let mut user = wish.ask(&world).await;
        assert_eq!(user.status, 426, "{:?}", wish.headers);
        assert_eq!(user.headers["upgrade"], "websocket");
        assert_eq!(user.headers["sec-websocket-version"], "13");
        let error: Value = serde_json::from_str(&user.rest().await).unwrap();
        assert!(error["error"]["message"].is_string(), "{error}");
    }
    // HTTP/2 has no way to switch here.
    let bearer = format!("Bearer {}", world.key.secret);
    let ask = Ask::bare(Method::GET, "/v1/realtime?model=gpt-realtime", "")
        .with("authorization", &bearer);
    ask.over(&world, Version::H2).await.whole(426);

    let user = good.clone().with("content-length", "5").ask(&world).await;
    assert_eq!(user.status, 400);
    let user = good.with("transfer-encoding", "chunked").ask(&world).await;
    assert_eq!(user.status, 400);

    // What Codex tries first: this and nothing else makes it go on over HTTP.
    let mut user = Wish::of(&world, "/v1/responses").ask(&world).await;
    assert_eq!(user.status, 426);
    assert!(user.rest().await.contains("HTTP"));
    assert_eq!(world.provider.stats().total, 0);
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn compression_is_agreed_on_by_the_two_ends_alone() {
    let world = world().await;
    let offer = "permessage-deflate; client_max_window_bits";
    let target = "/v1/realtime?model=gpt-realtime&sim-deflate=on";
    let wish = Wish::of(&world, target).with("sec-websocket-extensions", offer);
    let mut user = wish.open(&world).await;
    assert_eq!(user.headers["sec-websocket-extensions"], "permessage-deflate");
    // A compressed message has its first reserved bit set; nobody on the way opens it.
    user.echo(&Frame { first: 0xc0 | opcode::TEXT, payload: vec![0xf2, 0x48, 0xcd, 0xc9] }).await;
    goodbye(&mut user).await;
    let record = last(&world).await;
    assert_eq!(received(&record, "sec-websocket-extensions"), Some(offer));
    same_bytes(&user, &record);
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_does_not_switch_is_heard_as_on_any_other_path() {
    let world = world().await;
    let refused = |fault: &str| {
        Wish::of(&world, &format!("/v1/realtime?model=gpt-realtime&weft-sim=fault%3D{fault}"))
    };
    let mut user = refused("429").ask(&world).await;
    assert_eq!(user.status, 429);
    assert_eq!(user.headers["retry-after"], "2");
    assert!(user.rest().await.contains("error"));
    // About the account: the hub's own words, and none of the provider's.
    let mut user = refused("401").ask(&world).await;
    assert_eq!(user.status, 503);
    assert!(!user.rest().await.contains("sk-"));
    let ends: Vec<_> =
        rows_when(&world, 2).await.iter().map(|row| row["end"].to_string()).collect();
    assert!(ends.contains(&"\"complete\"".to_owned()), "{ends:?}");
    assert!(ends.contains(&"\"account_fault\"".to_owned()), "{ends:?}");
    world.end().await.unwrap();
}

/// An agent of before: it never heard of WebSockets, and would call for a plain answer.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_did_not_announce_websockets_is_not_asked_for_one() {
    let mut world = begin(Plan { agents: 0, ..Plan::default() }).await;
    let old = Hostile::join(&world, "old");
    let (connection, _send, _recv) = old.session(&mut world).await;
    let mut user = Wish::realtime(&world).ask(&world).await;
    let text = user.rest().await;
    assert_eq!(user.status, 503, "{text}");
    assert!(text.contains("no_websocket_agent") && user.headers.contains_key("retry-after"));
    let asked = connection.accept_bi();
    let asked = timeout(std::time::Duration::from_millis(200), asked).await;
    assert!(asked.is_err(), "the agent was asked");
    assert_eq!(row(&world).await["end"], "refused");
    world.end().await.unwrap();
}

/// An agent of before, which keeps no ledger: it could prove nothing of what it serves.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_keeps_no_ledger_is_given_nothing_that_has_a_price() {
    let mut world = begin(Plan { agents: 0, ..Plan::default() }).await;
    let mut old = Hostile::join(&world, "old");
    old.features = weft_proto::wire::control::Features::WEBSOCKET;
    let (connection, _send, _recv) = old.session(&mut world).await;
    let refused = Ask::chat(&world, true, "").over(&world, Version::H2).await;
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.text().contains("no_ledger_agent"), "{refused:?}");
    let asked = connection.accept_bi();
    let asked = timeout(std::time::Duration::from_millis(200), asked).await;
    assert!(asked.is_err(), "the agent was asked");
    let row = row(&world).await;
    assert_eq!((&row["end"], &row["attempts"]), (&"refused".into(), &0.into()), "{row}");
    world.end().await.unwrap();
}

/// The newest record, once its user's end of the WebSocket is known.
async fn gone(world: &World) -> Record {
    timeout(LIMIT, world.provider.last_ended()).await.expect("the provider knows")
}

/// A world with other limits.
async fn limited(hub: Vec<(&'static str, &'static str)>) -> World {
    begin(Plan { hub, ..Plan::default() }).await
}
