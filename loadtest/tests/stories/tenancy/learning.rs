//! How the hub learns whose an object is: from the answer that makes it known, before it is out.

use super::tenant::{Api, Kind, Tenant};
use super::{cause, last_seq, nothing_whole_after};
use crate::talk::*;
use http::Method;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::time::timeout;
use weft_loadtest::mesh::Version;

fn tenant(world: &weft_loadtest::mesh::World, api: Api) -> Tenant<'_> {
    Tenant { world, key: &world.key.secret, api }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_streamed_responses_id_can_be_used_while_the_stream_still_runs() {
    let world = world().await;
    let user = tenant(&world, Api::OpenAi);
    let body = json!({"model": "gpt-4o", "input": "Weave slowly.", "stream": true});
    let ask = user.ask(Method::POST, "responses", Some(&body)).sim("pace=100ms,deltas=100");
    let mut connection = connect(&world, Version::H2).await;
    let response = timeout(LIMIT, connection.send(ask.request())).await.unwrap().unwrap();
    let mut stream = response.into_body();
    let mut text = String::new();
    let id = loop {
        let frame = timeout(LIMIT, stream.frame()).await.unwrap().unwrap().unwrap();
        text.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
        let event = text.lines().find_map(|line| line.strip_prefix("data: "));
        if let Some(Ok(event)) = event.map(serde_json::from_str::<Value>) {
            break event["response"]["id"].as_str().unwrap().to_owned();
        }
    };
    for one in user.uses(Kind::Response, &id, None) {
        assert_eq!(user.say(&one.ask).await.status, 200, "{}", one.place);
    }
    assert!(timeout(LIMIT, stream.frame()).await.unwrap().is_some(), "the stream still runs");
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_are_learnt_from_answers_whole_or_streamed_plain_or_compressed() {
    let world = world().await;
    let user = tenant(&world, Api::OpenAi);
    for stream in [false, true] {
        for (accepted, control) in
            [("identity", "deltas=3"), ("gzip", "deltas=3,gzip"), ("gzip", "deltas=3,gzip,split")]
        {
            let note = format!("stream={stream} {accepted} {control}");
            let seen: Vec<u64> = world.provider.received().iter().map(|one| one.seq).collect();
            let body = json!({"model": "gpt-4o", "input": "Weave.", "stream": stream,
                "reasoning": {"effort": "low"},
                "tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]});
            let ask = user.ask(Method::POST, "responses", Some(&body)).sim(control);
            let ask = ask.with("accept-encoding", accepted);
            let answer = user.say(&ask).await;
            same_at_both_ends(&ask, answer.whole(200), &last(&world).await);
            let coded = answer.header("content-encoding") == Some("gzip");
            assert_eq!(coded, accepted == "gzip", "{note}");
            let text = if coded { unzipped(&answer.body) } else { answer.text().to_owned() };
            let document = match stream {
                true => {
                    let last =
                        text.lines().filter_map(|line| line.strip_prefix("data: ")).next_back();
                    serde_json::from_str::<Value>(last.unwrap()).unwrap()["response"].take()
                }
                false => serde_json::from_str(&text).unwrap(),
            };
            let output = &document["output"];
            let message = output[2]["id"].as_str().unwrap();
            let cited = &output[2]["content"][0]["annotations"][0];
            for (kind, id) in [
                (Kind::Response, document["id"].as_str().unwrap()),
                (Kind::Item, output[0]["id"].as_str().unwrap()),
                (Kind::Item, message),
                (Kind::Container, output[1]["container_id"].as_str().unwrap()),
            ] {
                for one in user.uses(kind, id, None) {
                    assert_eq!(
                        user.say(&one.ask).await.status,
                        200,
                        "{note} {kind:?} {}",
                        one.place
                    );
                }
            }
            let (container, file) = (&cited["container_id"], cited["file_id"].as_str().unwrap());
            let tail = format!("containers/{}/files/{file}/content", container.as_str().unwrap());
            user.say(&user.ask(Method::GET, &tail, None)).await.whole(200);
            assert!(world.provider.received().len() > seen.len());
        }
    }
    world.end().await.unwrap();
}

fn unzipped(bytes: &[u8]) -> String {
    use std::io::Read as _;
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(bytes).read_to_string(&mut text).expect("gzip");
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_claude_left_behind_belongs_to_who_ran_the_code() {
    let world = world().await;
    let other = world.add_user("other").unwrap();
    let user = tenant(&world, Api::Anthropic);
    let other = Tenant { key: &other.secret, ..user };
    for stream in [false, true] {
        let body = json!({"model": "claude-sonnet-5", "max_tokens": 64, "stream": stream,
            "messages": [{"role": "user", "content": "Count."}],
            "tools": [{"type": "code_execution_20250825", "name": "code_execution"}]});
        let answer = user.say(&user.ask(Method::POST, "messages", Some(&body))).await;
        let text = answer.whole(200).text();
        let at = text.find("\"file_id\":\"").expect("a file") + 11;
        let file = text[at..].split('"').next().unwrap();
        let ask =
            |tenant: Tenant<'_>| tenant.ask(Method::GET, &format!("files/{file}/content"), None);
        user.say(&ask(user)).await.whole(200);
        other.say(&ask(other)).await.whole(404);
    }
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_completed_uploads_file_belongs_to_who_uploaded_it() {
    let world = world().await;
    let other = world.add_user("other").unwrap();
    let user = tenant(&world, Api::OpenAi);
    let other = Tenant { key: &other.secret, ..user };
    let upload = user.make(Kind::Upload).await;
    let part = user.form(&format!("uploads/{upload}/parts"), &[], Some(("data", b"warp")));
    let part = user.say(&part).await.whole(200).json()["id"].clone();
    let tail = format!("uploads/{upload}/complete");
    let complete =
        |tenant: Tenant<'_>| tenant.ask(Method::POST, &tail, Some(&json!({"part_ids": [part]})));
    other.say(&complete(other)).await.whole(404);
    let done = user.say(&complete(user)).await.whole(200).json();
    let file = done["file"]["id"].as_str().expect("a file").to_owned();
    let content =
        |tenant: Tenant<'_>| tenant.ask(Method::GET, &format!("files/{file}/content"), None);
    assert_eq!(user.say(&content(user)).await.whole(200).body, b"warp");
    other.say(&content(other)).await.whole(404);
    let cancelled = user.make(Kind::Upload).await;
    let tail = format!("uploads/{cancelled}/cancel");
    other.say(&other.ask(Method::POST, &tail, None)).await.whole(404);
    user.say(&user.ask(Method::POST, &tail, None)).await.whole(200);
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn items_that_a_list_shows_may_be_named_by_whoever_may_see_the_list() {
    let world = world().await;
    let user = tenant(&world, Api::OpenAi);
    let response = user.make(Kind::Response).await;
    let conversation = user.make(Kind::Conversation).await;
    let items = json!({"items": [{"type": "message", "role": "user", "content": "One"}]});
    let tail = format!("conversations/{conversation}/items");
    let added = user.say(&user.ask(Method::POST, &tail, Some(&items))).await.whole(200).json();
    let list = user.ask(Method::GET, &format!("responses/{response}/input_items"), None);
    let list = user.say(&list).await.whole(200).json();
    for item in [&added["data"][0]["id"], &list["data"][0]["id"]] {
        for one in user.uses(Kind::Item, item.as_str().unwrap(), None) {
            assert_eq!(user.say(&one.ask).await.status, 200, "{item} {}", one.place);
        }
    }
    let item = added["data"][0]["id"].as_str().unwrap();
    let tail = format!("{tail}/{item}");
    user.say(&user.ask(Method::GET, &tail, None)).await.whole(200);
    user.say(&user.ask(Method::DELETE, &tail, None)).await.whole(200);
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_stored_cannot_be_asked_for() {
    let world = world().await;
    let user = tenant(&world, Api::OpenAi);
    let body = json!({"model": "gpt-4o", "input": "Forget this.", "store": false});
    let made = user.say(&user.ask(Method::POST, "responses", Some(&body))).await.whole(200).json();
    let seq = last_seq(&world);
    for one in user.uses(Kind::Response, made["id"].as_str().unwrap(), None) {
        let refused = user.say(&one.ask).await;
        assert_eq!(refused.status, 404, "{}", one.place);
        assert_eq!(cause(&refused), "object_not_found", "{}", one.place);
    }
    nothing_whole_after(&world, seq, "store: false").await;
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_belongs_to_its_user_and_not_to_the_key_and_to_one_provider_alone() {
    let world = world().await;
    let user = tenant(&world, Api::OpenAi);
    let file = user.make(Kind::File).await;
    let second = world.hub.add_key("user", &[]).unwrap();
    let second = Tenant { key: &second.secret, ..user };
    for one in second.uses(Kind::File, &file, None) {
        assert_eq!(second.say(&one.ask).await.status, 200, "{}", one.place);
    }
    for api in [Api::AzureV1, Api::Anthropic] {
        let elsewhere = Tenant { api, ..user };
        let seq = last_seq(&world);
        for one in elsewhere.uses(Kind::File, &file, None) {
            assert_eq!(elsewhere.say(&one.ask).await.status, 404, "{api:?} {}", one.place);
        }
        nothing_whole_after(&world, seq, "another provider").await;
    }
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reference_that_two_parsers_would_read_differently_is_refused() {
    let world = world().await;
    let other = world.add_user("other").unwrap();
    let user = tenant(&world, Api::OpenAi);
    let other = Tenant { key: &other.secret, ..user };
    let (mine, theirs) = (user.make(Kind::Response).await, other.make(Kind::Response).await);
    let seq = last_seq(&world);
    for body in [
        format!(r#"{{"model":"gpt-4o","input":"x","previous_response_id":"{mine}","previous_response_id":"{theirs}"}}"#),
        format!(r#"{{"model":"gpt-4o","input":"x","previous_response_id":"{mine}","Previous_Response_Id":"{theirs}"}}"#),
        format!(r#"{{"model":"gpt-4o","input":"x","previous_response_id":["{theirs}"]}}"#),
        format!(r#"{{"model":"gpt-4o","input":"x","previous_response_id":"{theirs}/../{mine}"}}"#),
        r#"{"model":"gpt-4o","input":"x","prompt":{"id":"pmpt_of_the_owner"}}"#.to_owned(),
        r#"{"model":"gpt-4o","input":"x","tools":[{"type":"file_search","vector_store_ids":["vs_1"]}]}"#.to_owned(),
        r#"{"model":"gpt-4o","input":[{"type":"image_generation_call","id":"ig_1","result":"x","result":null}]}"#.to_owned(),
        r#"{"model":"gpt-4o","input":"x","audio":{"voice":{"id":"voice_of_the_owner"}}}"#.to_owned(),
    ] {
        let ask = user.ask(Method::POST, "responses", Some(&json!({})));
        let answer = user.say(&Ask { body: body.clone().into(), ..ask }).await;
        assert!([400, 403].contains(&answer.status), "{body}: {}", answer.status);
    }
    // Escapes are undone before an id is looked up.
    let escaped: String = theirs.bytes().map(|byte| format!("\\u{byte:04x}")).collect();
    let body =
        format!(r#"{{"model":"gpt-4o","input":"x","previous_respons\u0065_id":"{escaped}"}}"#);
    let ask = user.ask(Method::POST, "responses", Some(&json!({})));
    user.say(&Ask { body: body.into(), ..ask }).await.whole(404);
    nothing_whole_after(&world, seq, "ambiguous").await;
    world.end().await.unwrap();
}
