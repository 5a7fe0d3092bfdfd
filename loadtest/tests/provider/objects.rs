//! What lives at the simulated provider, in the shapes of the real ones.

use super::{ANTHROPIC, BEARER, Raw, call, provider, read_all};
use serde_json::{Value, json};
use std::net::SocketAddr;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const OTHER: (&str, &str) = ("authorization", "Bearer sk-proj-another-key-0001");
const FORM: (&str, &str) = ("content-type", "multipart/form-data; boundary=weave");

/// A request with any method.
async fn ask(
    addr: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Raw {
    let mut text = format!("{method} {target} HTTP/1.1\r\nhost: sim\r\nconnection: close\r\n");
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    text += &format!("content-length: {}\r\n\r\n{body}", body.len());
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    read_all(&mut stream).await
}

async fn get(addr: SocketAddr, target: &str) -> Raw {
    ask(addr, "GET", target, &[BEARER], "").await
}

async fn post(addr: SocketAddr, target: &str, body: &Value) -> Raw {
    call(addr, target, &[BEARER], &body.to_string()).await
}

fn form(fields: &[(&str, &str)], file: (&str, &str)) -> String {
    let mut text = String::new();
    for (name, value) in fields {
        text += &format!(
            "--weave\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
        );
    }
    let (name, content) = file;
    text + &format!(
        "--weave\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"a.txt\"\r\n\
         Content-Type: text/plain\r\n\r\n{content}\r\n--weave--\r\n"
    )
}

#[track_caller]
fn id(document: &Value, prefix: &str) -> String {
    let id = document["id"].as_str().unwrap_or_else(|| panic!("no id: {document}"));
    assert!(id.starts_with(prefix), "{id} does not begin with {prefix}");
    id.to_owned()
}

#[tokio::test]
async fn a_file_is_kept_for_its_key_alone_and_read_back_until_it_is_deleted() {
    let provider = provider().await;
    let addr = provider.addr();
    let body = form(&[("purpose", "user_data")], ("file", "three\r\nthreads"));
    let made = call(addr, "/v1/files", &[BEARER, FORM], &body).await;
    let file = id(&made.json(), "file-");
    assert_eq!(made.json()["bytes"], 14);
    let content = get(addr, &format!("/v1/files/{file}/content")).await;
    assert_eq!(content.body, b"three\r\nthreads");
    assert_eq!(get(addr, &format!("/v1/files/{file}")).await.json(), made.json());
    assert_eq!(get(addr, "/v1/files").await.json()["data"][0]["id"], file.as_str());
    let foreign = ask(addr, "GET", &format!("/v1/files/{file}"), &[OTHER], "").await;
    assert_eq!(foreign.status, 404, "another key has another shelf");
    let named = json!({"model": "sim", "messages": [{"role": "user", "content": [
        {"type": "file", "file": {"file_id": file}}]}]});
    assert_eq!(post(addr, "/v1/chat/completions", &named).await.status, 200);
    let gone = ask(addr, "DELETE", &format!("/v1/files/{file}"), &[BEARER], "").await;
    assert_eq!(gone.json()["deleted"], true);
    assert_eq!(get(addr, &format!("/v1/files/{file}")).await.status, 404);
    assert_eq!(post(addr, "/v1/chat/completions", &named).await.status, 404);
}

#[tokio::test]
async fn files_of_anthropics_have_its_shape_and_its_pages() {
    let provider = provider().await;
    let addr = provider.addr();
    let mut files = Vec::new();
    for text in ["one", "two", "three"] {
        let headers = [ANTHROPIC[0], ANTHROPIC[1], FORM];
        let made = call(addr, "/v1/files", &headers, &form(&[], ("file", text))).await;
        assert_eq!(made.json()["size_bytes"], text.len());
        files.push(id(&made.json(), "file_"));
    }
    let page = ask(addr, "GET", "/v1/files?limit=2", &ANTHROPIC, "").await.json();
    assert_eq!((&page["data"][0]["id"], &page["has_more"]), (&json!(files[2]), &json!(true)));
    let target = format!("/v1/files?limit=2&after_id={}", page["last_id"].as_str().unwrap());
    let page = ask(addr, "GET", &target, &ANTHROPIC, "").await.json();
    assert_eq!((&page["data"][0]["id"], &page["has_more"]), (&json!(files[0]), &json!(false)));
    let body = json!({"model": "claude-sonnet-5-5", "max_tokens": 9, "messages": [{"role": "user",
        "content": [{"type": "document", "source": {"type": "file", "file_id": "file_none"}}]}]});
    let refused = call(addr, "/v1/messages", &ANTHROPIC, &body.to_string()).await;
    assert_eq!((refused.status, &refused.json()["type"]), (404, &json!("error")));
}

#[tokio::test]
async fn an_upload_becomes_the_file_of_its_parts() {
    let provider = provider().await;
    let addr = provider.addr();
    let asked =
        json!({"bytes": 8, "filename": "b.txt", "purpose": "user_data", "mime_type": "text/plain"});
    let upload = id(&post(addr, "/v1/uploads", &asked).await.json(), "upload_");
    let mut parts = Vec::new();
    for text in ["warp", "weft"] {
        let target = format!("/v1/uploads/{upload}/parts");
        let made = call(addr, &target, &[BEARER, FORM], &form(&[], ("data", text))).await;
        parts.push(id(&made.json(), "part_"));
    }
    let target = format!("/v1/uploads/{upload}/complete");
    let done = post(addr, &target, &json!({"part_ids": parts})).await.json();
    assert_eq!(done["status"], "completed");
    let file = id(&done["file"], "file-");
    assert_eq!(get(addr, &format!("/v1/files/{file}/content")).await.body, b"warpweft");
    assert_eq!(post(addr, &target, &json!({"part_ids": parts})).await.status, 400);
}

#[tokio::test]
async fn a_response_is_stored_unless_it_must_not_be_and_the_next_goes_on_from_it() {
    let provider = provider().await;
    let addr = provider.addr();
    let asked = json!({"model": "sim", "input": "Hello", "reasoning": {}});
    let made = post(addr, "/v1/responses", &asked).await.json();
    let response = id(&made, "resp_");
    let reasoning = id(&made["output"][0], "rs_");
    let message = id(&made["output"][1], "msg_");
    assert_eq!(get(addr, &format!("/v1/responses/{response}")).await.json(), made);
    let items = get(addr, &format!("/v1/responses/{response}/input_items")).await.json();
    assert_eq!(items["data"][0]["content"][0]["text"], "Hello");

    let next = json!({"model": "sim", "previous_response_id": response, "input": [
        {"type": "item_reference", "id": message}, {"type": "reasoning", "id": reasoning, "summary": []},
        {"type": "message", "role": "user", "content": "More", "id": "msg_of_my_own"}]});
    let next = post(addr, "/v1/responses", &next).await;
    assert_eq!((next.status, &next.json()["previous_response_id"]), (200, &json!(response)));
    for unknown in [
        json!({"model": "sim", "previous_response_id": "resp_none", "input": "x"}),
        json!({"model": "sim", "conversation": "conv_none", "input": "x"}),
        json!({"model": "sim", "input": [{"type": "item_reference", "id": "msg_none"}]}),
        json!({"model": "sim", "input": [{"type": "reasoning", "id": "rs_none", "summary": []}]}),
    ] {
        let refused = post(addr, "/v1/responses", &unknown).await;
        assert!([400, 404].contains(&refused.status), "{unknown}: {}", refused.status);
    }
    let passing = json!({"model": "sim", "input": "Hello", "store": false});
    let passing = post(addr, "/v1/responses", &passing).await.json();
    let gone = get(addr, &format!("/v1/responses/{}", id(&passing, "resp_"))).await;
    assert_eq!((gone.status, &passing["store"]), (404, &json!(false)));
    let deleted = ask(addr, "DELETE", &format!("/v1/responses/{response}"), &[BEARER], "").await;
    assert_eq!(deleted.json()["deleted"], true);
    assert_eq!(get(addr, &format!("/v1/responses/{response}")).await.status, 404);
}

#[tokio::test]
async fn a_streamed_response_tells_its_ids_from_the_first_event_on() {
    let provider = provider().await;
    let addr = provider.addr();
    let asked = json!({"model": "sim", "stream": true, "input": "Count", "reasoning": {},
        "include": ["reasoning.encrypted_content"],
        "tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]});
    let events = post(addr, "/v1/responses", &asked).await.events();
    let response = id(&events[0]["response"], "resp_");
    for (index, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], index);
    }
    let added: Vec<&Value> =
        events.iter().filter(|event| event["type"] == "response.output_item.added").collect();
    assert!(added[0]["item"]["encrypted_content"].is_string());
    let container = added[1]["item"]["container_id"].as_str().unwrap();
    let last = events.last().unwrap();
    assert_eq!(last["type"], "response.completed");
    assert_eq!(get(addr, &format!("/v1/responses/{response}")).await.json(), last["response"]);
    let cited = &last["response"]["output"][2]["content"][0]["annotations"][0];
    let file = cited["file_id"].as_str().unwrap();
    let content = get(addr, &format!("/v1/containers/{container}/files/{file}/content")).await;
    assert_eq!((content.status, content.body.is_empty()), (200, false));
}

#[tokio::test]
async fn a_conversation_holds_what_is_added_to_it() {
    let provider = provider().await;
    let addr = provider.addr();
    let asked = json!({"items": [{"type": "message", "role": "user", "content": "One"}]});
    let conversation = id(&post(addr, "/v1/conversations", &asked).await.json(), "conv_");
    let items = format!("/v1/conversations/{conversation}/items");
    let two = json!({"items": [{"type": "message", "role": "user", "content": "Two"}]});
    let item = id(&post(addr, &items, &two).await.json()["data"][0], "msg_");
    let asked = json!({"model": "sim", "conversation": {"id": conversation}, "input": "Three"});
    let made = post(addr, "/v1/responses", &asked).await.json();
    assert_eq!(made["conversation"]["id"], conversation.as_str());
    let listed = get(addr, &format!("{items}?order=asc&limit=100")).await.json();
    assert_eq!(listed["data"].as_array().unwrap().len(), 4, "{listed}");
    assert_eq!(get(addr, &format!("{items}/{item}")).await.json()["content"], "Two");
    let gone = ask(addr, "DELETE", &format!("{items}/{item}"), &[BEARER], "").await;
    assert_eq!((gone.status, get(addr, &format!("{items}/{item}")).await.status), (200, 404));
    let target = format!("/v1/conversations/{conversation}");
    ask(addr, "DELETE", &target, &[BEARER], "").await;
    assert_eq!(get(addr, &target).await.status, 404);
}

#[tokio::test]
async fn a_container_takes_files_by_their_bytes_and_by_their_ids() {
    let provider = provider().await;
    let addr = provider.addr();
    let body = form(&[("purpose", "user_data")], ("file", "shared"));
    let file = id(&call(addr, "/v1/files", &[BEARER, FORM], &body).await.json(), "file-");
    let asked = json!({"name": "loom", "file_ids": [file]});
    let container = id(&post(addr, "/v1/containers", &asked).await.json(), "cntr_");
    let files = format!("/v1/containers/{container}/files");
    let own = call(addr, &files, &[BEARER, FORM], &form(&[], ("file", "own"))).await.json();
    let own = id(&own, "cfile_");
    assert_eq!(post(addr, &files, &json!({"file_id": file})).await.status, 200);
    assert_eq!(post(addr, &files, &json!({"file_id": "file-none"})).await.status, 404);
    assert_eq!(get(addr, &files).await.json()["data"].as_array().unwrap().len(), 3);
    assert_eq!(get(addr, &format!("{files}/{own}/content")).await.body, b"own");
    assert_eq!(get(addr, "/v1/containers").await.json()["data"][0]["name"], "loom");
    ask(addr, "DELETE", &format!("/v1/containers/{container}"), &[BEARER], "").await;
    assert_eq!(get(addr, &format!("{files}/{own}")).await.status, 404);
}

#[tokio::test]
async fn a_message_that_runs_code_tells_its_container_and_its_file() {
    let provider = provider().await;
    let addr = provider.addr();
    let mut asked = json!({"model": "claude-sonnet-5-5", "max_tokens": 9, "stream": true,
        "messages": [{"role": "user", "content": "Count"}],
        "tools": [{"type": "code_execution_20250825", "name": "code_execution"}]});
    let events = call(addr, "/v1/messages", &ANTHROPIC, &asked.to_string()).await.events();
    let container = id(&events[0]["message"]["container"], "container_");
    let delta = events.iter().find(|event| event["type"] == "message_delta").unwrap();
    assert_eq!(delta["delta"]["container"]["id"], container.as_str());
    asked["stream"] = json!(false);
    asked["container"] = json!(container);
    let made = call(addr, "/v1/messages", &ANTHROPIC, &asked.to_string()).await.json();
    assert_eq!(made["container"]["id"], container.as_str());
    let file = made["content"][1]["content"]["content"][0]["file_id"].as_str().unwrap();
    let content = ask(addr, "GET", &format!("/v1/files/{file}/content"), &ANTHROPIC, "").await;
    assert_eq!(content.status, 200);
    asked["container"] = json!("container_none");
    assert_eq!(call(addr, "/v1/messages", &ANTHROPIC, &asked.to_string()).await.status, 404);
}
