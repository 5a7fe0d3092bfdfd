//! Ids are learnt out of every coding and every way to split an answer, whole or given up.
//!
//! Scripts answer with ids that the provider's own shelves do not know. Where the hub has learnt
//! such an id, its user's next question reaches the provider, which says itself that it knows
//! nothing; where it has not, the hub refuses.

use super::tenant::{Api, Tenant};
use super::{cause, last_seq, nothing_whole_after};
use crate::talk::*;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::time::timeout;
use weft_loadtest::provider::script::{Breath, Coding, End, Framing, Script, Split, When};

/// Words between the ids: more than a decoder's window of brotli, as the scripts set it, has room
/// for, and more than one record of TLS.
const FILLER_BYTES: usize = 400 * 1_024;
const SPLITS: [Split; 3] = [Split::Pieces, Split::Random(9), Split::Dribble];

/// The ids of one scripted answer.
struct Ids {
    response: String,
    message: String,
    container: String,
}

impl Ids {
    fn numbered(number: usize) -> Self {
        Self {
            response: format!("resp_scripted{number:04}"),
            message: format!("msg_scripted{number:04}"),
            container: format!("cntr_scripted{number:04}"),
        }
    }

    fn document(&self) -> Value {
        json!({
            "id": self.response, "object": "response", "status": "completed", "store": true,
            // What a user wrote names nothing, whatever it looks like.
            "instructions": "\"id\":\"resp_of_nobody\"", "metadata": {"id": "resp_of_nobody"},
            "output": [
                {"id": self.message, "type": "message", "role": "assistant", "content": [
                    {"type": "output_text", "annotations": [], "text": filler()}]},
                {"id": "ci_1", "type": "code_interpreter_call", "container_id": self.container},
            ],
        })
    }

    /// The same as events: the response at the beginning, the container at the very end.
    fn events(&self) -> Vec<String> {
        let event = |kind: &str, mut fields: Value| {
            fields["type"] = json!(kind);
            format!("event: {kind}\ndata: {fields}\n\n")
        };
        let started = json!({"id": self.response, "object": "response", "output": []});
        let message = json!({"id": self.message, "type": "message", "content": []});
        let mut events = vec![
            event("response.created", json!({"response": started})),
            event("response.output_item.added", json!({"output_index": 0, "item": message})),
        ];
        let delta = json!({"delta": "warp and weft, \"id\":\"resp_of_nobody\" ".repeat(20)});
        let count = FILLER_BYTES / 700;
        events.extend((0..count).map(|_| event("response.output_text.delta", delta.clone())));
        events.push(event("response.completed", json!({"response": self.document()})));
        events
    }
}

fn filler() -> String {
    "warp and weft, naïvely; ".repeat(FILLER_BYTES / 25)
}

fn script(pieces: Vec<String>, kind: &'static str, coding: Coding, split: Split) -> Script {
    let mut fields = HeaderMap::new();
    fields.insert("content-type", HeaderValue::from_static(kind));
    if let Some(name) = coding.name() {
        fields.insert("content-encoding", HeaderValue::from_static(name));
    }
    Script {
        when: When::Read,
        status: StatusCode::OK,
        fields,
        pieces: Box::new(pieces.into_iter().map(Bytes::from)),
        coding,
        flush: kind == "text/event-stream",
        framing: if kind == "text/event-stream" { Framing::Chunked } else { Framing::Length },
        split,
        breath: Breath::None,
        seed: 7,
        trailers: None,
        end: End::Proper,
    }
}

/// Whether the hub lets this user ask for what is at `tail`.
async fn is_known(user: Tenant<'_>, tail: &str) -> bool {
    let seq = last_seq(user.world);
    let answer = user.say(&user.ask(Method::GET, tail, None)).await;
    answer.whole(404);
    if cause(&answer) == "object_not_found" {
        nothing_whole_after(user.world, seq, tail).await;
        return false;
    }
    assert!(last_seq(user.world) > seq, "{tail}: nobody asked the provider");
    true
}

fn respond(user: Tenant<'_>, control: &str) -> Ask {
    let body = json!({"model": "gpt-4o", "input": "Weave."});
    user.ask(Method::POST, "responses", Some(&body)).sim(control)
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_are_learnt_out_of_every_coding_however_it_is_cut() {
    let world = world().await;
    let other = world.add_user("other").unwrap();
    let user = Tenant { world: &world, key: &world.key.secret, api: Api::OpenAi };
    let other = Tenant { key: &other.secret, ..user };
    let mut number = 0;
    for coding in Coding::ALL {
        for split in SPLITS {
            for stream in [false, true] {
                number += 1;
                let ids = Ids::numbered(number);
                let note = format!("{coding:?} {split:?} stream={stream}");
                let (pieces, kind) = match stream {
                    true => (ids.events(), "text/event-stream"),
                    false => (vec![ids.document().to_string()], "application/json"),
                };
                let mut ticket = world.provider.script(script(pieces, kind, coding, split));
                let answer = user.say(&respond(user, &ticket.control())).await;
                answer.whole(200);
                let seen = ticket.when(weft_loadtest::provider::script::Seen::is_over).await;
                assert_eq!(seen.answer_sha256.as_deref(), Some(&*sha256(&answer.body)), "{note}");
                for tail in
                    [format!("responses/{}", ids.response), format!("containers/{}", ids.container)]
                {
                    assert!(is_known(user, &tail).await, "{note}: {tail} is not known");
                    assert!(!is_known(other, &tail).await, "{note}: {tail} is anybody's");
                }
                let seq = last_seq(&world);
                let item = json!({"model": "gpt-4o",
                    "input": [{"type": "item_reference", "id": ids.message}]});
                let ask = |user: Tenant<'_>| user.ask(Method::POST, "responses", Some(&item));
                other.say(&ask(other)).await.whole(404);
                nothing_whole_after(&world, seq, &note).await;
                user.say(&ask(user)).await.whole(404);
                assert!(last_seq(&world) > seq, "{note}: the message is not known");
            }
        }
    }
    assert!(!is_known(user, "responses/resp_of_nobody").await, "a user's words made an object");
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_is_known_though_its_user_left_in_the_middle_of_the_answer() {
    let world = world().await;
    let user = Tenant { world: &world, key: &world.key.secret, api: Api::OpenAi };
    for (number, version) in (9_000..).zip(VERSIONS) {
        let ids = Ids::numbered(number);
        let events = ids.events();
        let opening = events[0].len() as u64 + 5;
        let kind = "text/event-stream";
        let script = script(events, kind, Coding::Identity, Split::Pieces);
        let ticket = world.provider.script(Script { end: End::Silence(opening), ..script });
        let mut connection = connect(&world, version).await;
        let request = respond(user, &ticket.control()).request();
        let response = timeout(LIMIT, connection.send(request)).await.unwrap().unwrap();
        let (mut body, mut text) = (response.into_body(), Vec::new());
        while !String::from_utf8_lossy(&text).contains(&ids.response) {
            let frame = timeout(LIMIT, body.frame()).await.unwrap().unwrap().unwrap();
            text.extend_from_slice(frame.data_ref().unwrap());
        }
        drop(connection);
        assert!(is_known(user, &format!("responses/{}", ids.response)).await, "{version:?}");
    }
    world.end().await.unwrap();
}
