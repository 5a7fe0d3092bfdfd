//! The simulated provider, seen over raw sockets and through hyper's clients.

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::io::Read as _;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use weft_loadtest::provider::{
    Control, Ending, ExpectedKey, Phase, Protocols, Provider, ProviderConfig, Record,
};

#[path = "provider/objects.rs"]
mod objects;
#[path = "provider/usage.rs"]
mod usage;

const LIMIT: Duration = Duration::from_secs(20);

async fn provider() -> Provider {
    Provider::bind(ProviderConfig::default()).await.unwrap()
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One answer as it stood on the wire.
#[derive(Debug)]
struct Raw {
    head: String,
    status: u16,
    /// Without transfer coding.
    body: Vec<u8>,
    chunks: Vec<Vec<u8>>,
    /// Whether the body's framing says that it is whole.
    whole: bool,
    reset: bool,
}

impl Raw {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The documents of the `data:` lines, except `[DONE]`.
    fn events(&self) -> Vec<Value> {
        let text = std::str::from_utf8(&self.body).unwrap();
        text.lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .filter(|data| *data != "[DONE]")
            .map(|data| serde_json::from_str(data).unwrap())
            .collect()
    }

    fn parse(bytes: &[u8], reset: bool) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(bytes.len());
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        let rest = bytes.get(end + 4..).unwrap_or_default();
        let mut raw = Self { head, status, body: vec![], chunks: vec![], whole: false, reset };
        if raw.header("transfer-encoding").is_some() {
            raw.take_chunks(rest);
        } else {
            raw.body = rest.to_vec();
            raw.whole = match raw.header("content-length") {
                Some(length) => length.parse() == Ok(rest.len()),
                None => true,
            };
        }
        raw
    }

    fn take_chunks(&mut self, mut rest: &[u8]) {
        while let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
            let size = std::str::from_utf8(&rest[..end]).unwrap();
            let size = usize::from_str_radix(size, 16).unwrap();
            rest = &rest[end + 2..];
            if size == 0 {
                self.whole = true;
                return;
            }
            if rest.len() < size + 2 {
                break;
            }
            self.chunks.push(rest[..size].to_vec());
            self.body.extend_from_slice(&rest[..size]);
            rest = &rest[size + 2..];
        }
    }
}

/// A request in HTTP/1.1 that asks for the connection to be closed after it.
fn request(target: &str, headers: &[(&str, &str)], body: &str) -> String {
    let method = if body.is_empty() { "GET" } else { "POST" };
    let mut text = format!("{method} {target} HTTP/1.1\r\nhost: sim\r\nconnection: close\r\n");
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    text + &format!("content-length: {}\r\n\r\n{body}", body.len())
}

async fn read_all(stream: &mut TcpStream) -> Raw {
    let mut bytes = Vec::new();
    let reset = timeout(LIMIT, stream.read_to_end(&mut bytes)).await.unwrap().is_err();
    Raw::parse(&bytes, reset)
}

async fn call(addr: SocketAddr, target: &str, headers: &[(&str, &str)], body: &str) -> Raw {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(request(target, headers, body).as_bytes()).await.unwrap();
    read_all(&mut stream).await
}

const BEARER: (&str, &str) = ("authorization", "Bearer sk-proj-0123456789abcdef");
const ANTHROPIC: [(&str, &str); 2] =
    [("x-api-key", "sk-ant-0123456789abcdef"), ("anthropic-version", "2023-06-01")];
const CHAT: &str = "/v1/chat/completions";

fn chat(model: &str) -> String {
    format!(
        r#"{{"model":"{model}","stream":true,"stream_options":{{"include_usage":true}},"messages":[{{"role":"user","content":"Hello"}}]}}"#
    )
}

async fn ended(provider: &Provider) -> Record {
    timeout(LIMIT, provider.last_ended()).await.unwrap()
}

#[tokio::test]
async fn an_address_that_is_not_loopback_is_refused() {
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let config = ProviderConfig { listen: listen.parse().unwrap(), ..Default::default() };
        let error = Provider::bind(config).await.unwrap_err();
        assert!(error.to_string().contains("loopback"), "{error}");
    }
}

#[tokio::test]
async fn openai_chat_streams_chunks_and_its_usage_last() {
    let provider = provider().await;
    let raw = call(provider.addr(), CHAT, &[BEARER], &chat("sim[deltas=5]")).await;
    assert_eq!(raw.status, 200);
    assert!(raw.whole && raw.body.ends_with(b"data: [DONE]\n\n"));
    let events = raw.events();
    // The role, five deltas, the finish and the usage.
    assert_eq!(events.len(), 8);
    assert_eq!(raw.chunks.len(), 9, "one chunk for each event");
    assert_eq!(events[7]["choices"], Value::Array(vec![]));
    assert_eq!(events[7]["usage"]["completion_tokens"], 5);
    assert!(events[..7].iter().all(|event| event["usage"].is_null()));
    assert_eq!(events[6]["choices"][0]["finish_reason"], "stop");

    let plain = chat("sim").replace(r#""stream_options":{"include_usage":true},"#, "");
    let raw = call(provider.addr(), CHAT, &[BEARER], &plain).await;
    assert!(raw.events().iter().all(|event| event.get("usage").is_none()));
    let whole = plain.replace("\"stream\":true,", "");
    let raw = call(provider.addr(), CHAT, &[BEARER], &whole).await;
    assert!(raw.whole && raw.header("content-length").is_some());
    assert_eq!(raw.json()["usage"]["completion_tokens"], 16);
}

#[tokio::test]
async fn openai_responses_number_their_events_and_end_with_usage() {
    let provider = provider().await;
    let body = r#"{"model":"sim[deltas=4]","stream":true,"input":"Hello"}"#;
    let raw = call(provider.addr(), "/v1/responses", &[BEARER], body).await;
    let events = raw.events();
    for (index, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], index);
    }
    assert_eq!(events[0]["type"], "response.created");
    let last = events.last().unwrap();
    assert_eq!(last["type"], "response.completed");
    assert_eq!(last["response"]["usage"]["output_tokens"], 4);
    let deltas: String = events.iter().filter_map(|event| event["delta"].as_str()).collect();
    assert_eq!(last["response"]["output"][0]["content"][0]["text"], deltas.as_str());
    assert!(!raw.body.ends_with(b"[DONE]\n\n"));

    let body = r#"{"model":"sim","input":"Hello"}"#;
    let raw = call(provider.addr(), "/v1/responses", &[BEARER], body).await;
    assert_eq!(raw.json()["status"], "completed");
}

#[tokio::test]
async fn azure_begins_with_prompt_filter_results_and_words_its_own_refusals() {
    let provider = provider().await;
    let key = [("api-key", "0123456789abcdef")];
    let dated = "/openai/deployments/my-dep/chat/completions?api-version=2024-10-21";
    let raw = call(provider.addr(), dated, &key, &chat("gpt-5.4")).await;
    let events = raw.events();
    assert_eq!(events[0]["choices"], Value::Array(vec![]));
    assert_eq!(events[0]["id"], "");
    assert!(events[0]["prompt_filter_results"].is_array());
    assert!(raw.header("apim-request-id").is_some());

    let named = "/openai/deployments/sim%5Bfault=content-filter%5D/chat/completions?api-version=1";
    let raw = call(provider.addr(), named, &key, "{}").await;
    assert_eq!(raw.status, 400);
    assert_eq!(raw.json()["error"]["code"], "content_filter");
    assert!(raw.json()["error"]["innererror"].is_object());

    let raw = call(provider.addr(), "/openai/v1/chat/completions", &[BEARER], &chat("sim")).await;
    assert_eq!(raw.status, 200);
    let provider_name = provider.received().last().unwrap().provider;
    assert_eq!(provider_name, Some("azure"));
}

#[tokio::test]
async fn anthropic_messages_count_up_their_usage_and_pad_their_lines() {
    let provider = provider().await;
    let body = r#"{"max_tokens":9,"messages":[],"model":"sim[deltas=3]","stream":true}"#;
    let raw = call(provider.addr(), "/v1/messages", &ANTHROPIC, body).await;
    let events = raw.events();
    let kinds: Vec<_> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    let delta = "content_block_delta";
    assert_eq!(
        kinds,
        [
            "message_start",
            "content_block_start",
            "ping",
            delta,
            delta,
            delta,
            "content_block_stop",
            "message_delta",
            "message_stop",
        ]
    );
    assert_eq!(events[0]["message"]["usage"]["output_tokens"], 1);
    assert_eq!(events[7]["usage"]["output_tokens"], 3);
    assert!(String::from_utf8_lossy(&raw.body).contains("        }\n"));

    let raw =
        call(provider.addr(), "/v1/messages", &ANTHROPIC, &body.replace("true", "false")).await;
    assert_eq!(raw.json()["usage"]["output_tokens"], 3);
    assert!(raw.header("anthropic-organization-id").is_some());
    let raw = call(provider.addr(), "/v1/messages/count_tokens", &ANTHROPIC, body).await;
    assert!(raw.json()["input_tokens"].as_u64().unwrap() > 0);
    let raw = call(provider.addr(), "/v1/messages", &ANTHROPIC[..1], body).await;
    assert_eq!(raw.status, 400);
}

#[tokio::test]
async fn deepseek_puts_usage_into_its_last_choice_and_keeps_alive() {
    let provider = provider().await;
    let body = r#"{"model":"deepseek-flash","stream":true,"messages":[]}"#;
    let control = ("x-weft-sim", "keep-alive=2;deltas=3");
    let raw = call(provider.addr(), "/chat/completions", &[BEARER, control], body).await;
    assert!(raw.body.starts_with(b": keep-alive\n\n: keep-alive\n\ndata: "));
    let last = raw.events().pop().unwrap();
    assert_eq!(last["choices"][0]["finish_reason"], "stop");
    assert_eq!(last["usage"]["completion_tokens"], 3);
    assert!(last["usage"]["prompt_cache_hit_tokens"].is_u64());

    let whole = body.replace("true", "false");
    let raw = call(provider.addr(), CHAT, &[BEARER, control], &whole).await;
    assert!(raw.body.starts_with(b"\n\n{"), "blank lines under load");
    assert_eq!(provider.received().last().unwrap().provider, Some("deepseek"));
    let body = r#"{"model":"deepseek-flash","stream":true,"messages":[]}"#;
    let raw = call(provider.addr(), "/anthropic/v1/messages", &ANTHROPIC, body).await;
    assert_eq!(raw.events()[0]["type"], "message_start");
    let raw = call(provider.addr(), "/user/balance", &[BEARER], "").await;
    assert_eq!(raw.json()["is_available"], true);
}

#[tokio::test]
async fn models_are_listed_in_the_shape_of_the_asker() {
    let provider = provider().await;
    let raw = call(provider.addr(), "/v1/models", &[BEARER], "").await;
    assert_eq!(raw.json()["object"], "list");
    let raw = call(provider.addr(), "/v1/models", &ANTHROPIC, "").await;
    assert_eq!(raw.json()["has_more"], false);
    let raw = call(provider.addr(), "/v1/models/claude-opus-5-5", &ANTHROPIC, "").await;
    assert_eq!(raw.json()["type"], "model");
    let raw = call(provider.addr(), "/models", &[BEARER], "").await;
    assert_eq!(raw.json()["data"][0]["id"], "deepseek-flash");
    let raw = call(provider.addr(), "/v1/models/none", &[BEARER], "").await;
    assert_eq!((raw.status, raw.json()["error"]["code"].as_str()), (404, Some("model_not_found")));
    let raw = call(provider.addr(), "/v1/nothing", &[BEARER], "").await;
    assert_eq!(raw.status, 404);
}

#[tokio::test]
async fn embeddings_images_and_audio_answer_in_their_formats() {
    let provider = provider().await;
    let addr = provider.addr();
    let body = r#"{"model":"sim","input":["a","b"],"dimensions":8}"#;
    let raw = call(addr, "/v1/embeddings", &[BEARER], body).await;
    assert_eq!(raw.json()["data"][1]["embedding"].as_array().unwrap().len(), 8);
    let body = r#"{"model":"sim","input":"a","dimensions":8,"encoding_format":"base64"}"#;
    let raw = call(addr, "/v1/embeddings", &[BEARER], body).await;
    assert_eq!(raw.json()["data"][0]["embedding"].as_str().unwrap().len(), 44);
    assert!(raw.json()["usage"]["prompt_tokens"].is_u64());

    let body = r#"{"model":"gpt-image-2","prompt":"x"}"#;
    let raw = call(addr, "/v1/images/generations", &[BEARER], body).await;
    assert!(raw.json()["data"][0]["b64_json"].as_str().unwrap().starts_with("iVBOR"));
    let body = r#"{"model":"gpt-image-2","prompt":"x","stream":true}"#;
    let raw = call(addr, "/v1/images/generations", &[BEARER], body).await;
    assert_eq!(raw.events().last().unwrap()["type"], "image_generation.completed");

    let form = ("content-type", "multipart/form-data; boundary=b");
    let parts = |stream: &str| {
        format!(
            "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\nRIFF\r\n\
             --b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nsim[deltas=2]\r\n\
             --b\r\nContent-Disposition: form-data; name=\"stream\"\r\n\r\n{stream}\r\n--b--\r\n"
        )
    };
    let raw = call(addr, "/v1/audio/transcriptions", &[BEARER, form], &parts("false")).await;
    assert_eq!(raw.json()["usage"]["output_tokens"], 2);
    let raw = call(addr, "/v1/audio/transcriptions", &[BEARER, form], &parts("true")).await;
    assert_eq!(raw.events().last().unwrap()["type"], "transcript.text.done");
    let raw = call(addr, "/v1/audio/translations", &[BEARER, form], &parts("false")).await;
    assert!(raw.json()["text"].is_string());
    let raw = call(addr, "/v1/images/edits", &[BEARER, form], &parts("true")).await;
    assert_eq!(raw.events().last().unwrap()["type"], "image_edit.completed");

    let body = r#"{"model":"sim[deltas=4,delta-bytes=1000]","input":"x","voice":"alloy"}"#;
    let raw = call(addr, "/v1/audio/speech", &[BEARER], body).await;
    assert_eq!(raw.header("content-type"), Some("audio/mpeg"));
    assert_eq!(raw.chunks.iter().map(Vec::len).collect::<Vec<_>>(), [1_000; 4]);
}

#[tokio::test]
async fn a_refusal_has_its_status_its_shape_and_its_hints() {
    let provider = provider().await;
    for (name, status) in [
        ("400", 400),
        ("401", 401),
        ("402", 402),
        ("403", 403),
        ("429", 429),
        ("429-quota", 429),
        ("500", 500),
        ("503", 503),
        ("529", 529),
    ] {
        let control = ("x-weft-sim", name);
        let raw = call(provider.addr(), CHAT, &[BEARER, control], &chat("gpt-4o-mini")).await;
        assert_eq!(raw.status, status, "{name}");
        let error = &raw.json()["error"];
        assert!(error["message"].is_string() && error["type"].is_string(), "{name}: {error}");
        match name {
            "401" => {
                let message = error["message"].as_str().unwrap();
                assert!(message.contains("sk-proj") && message.contains("cdef"), "{message}");
                assert!(!message.contains(&BEARER.1[7..]), "not the whole key");
            }
            "429" => {
                assert!(
                    error["message"].as_str().unwrap().contains("gpt-4o-mini in organization org-")
                );
                assert_eq!(raw.header("retry-after-ms"), Some("1840"));
                assert!(raw.header("x-ratelimit-reset-tokens").is_some());
            }
            "429-quota" => assert_eq!(error["code"], "insufficient_quota"),
            _ => {}
        }
        let headers = [ANTHROPIC[0], ANTHROPIC[1], control];
        let raw = call(provider.addr(), "/v1/messages", &headers, &chat("claude")).await;
        assert_eq!(raw.status, status);
        assert_eq!(raw.json()["type"], "error");
        assert_eq!(raw.json()["request_id"].as_str(), raw.header("request-id"));
        let raw = call(provider.addr(), "/chat/completions", &[BEARER, control], &chat("x")).await;
        assert_eq!(raw.status, status);
        assert!(raw.json()["error"]["message"].is_string());
    }
}

#[tokio::test]
async fn a_credential_is_wanted_and_recorded_only_as_a_digest() {
    let expect_key = Some(ExpectedKey::of("sk-right"));
    let provider =
        Provider::bind(ProviderConfig { expect_key, ..Default::default() }).await.unwrap();
    assert_eq!(call(provider.addr(), CHAT, &[], &chat("sim")).await.status, 401);
    assert_eq!(call(provider.addr(), CHAT, &[BEARER], &chat("sim")).await.status, 401);
    let right = [("authorization", "Bearer sk-right")];
    assert_eq!(call(provider.addr(), CHAT, &right, &chat("sim")).await.status, 200);
    let record = ended(&provider).await;
    let value = &record.headers.iter().find(|(name, _)| name == "authorization").unwrap().1;
    assert_eq!(*value, format!("sha256:{}", hex(b"sk-right")));
}

#[tokio::test]
async fn a_record_has_the_digests_that_the_client_saw() {
    let provider = provider().await;
    let body = chat("sim[deltas=40]");
    let raw = call(provider.addr(), CHAT, &[BEARER], &body).await;
    let record = ended(&provider).await;
    assert_eq!(record.ending, Some(Ending::Complete));
    assert_eq!(record.body_bytes as usize, body.len());
    assert_eq!(record.body_sha256, Some(hex(body.as_bytes())));
    assert_eq!(record.answer_bytes as usize, raw.body.len());
    assert_eq!(record.answer_sha256, Some(hex(&raw.body)));
    assert_eq!(record.events as usize, raw.chunks.len());
    assert_eq!(record.request_id.as_deref(), raw.header("x-request-id"));
    assert_eq!(record.model.as_deref(), Some("sim[deltas=40]"));
    assert!(record.head_us <= record.body_end_us.unwrap());
    assert!(record.answered_us <= record.first_byte_us && record.gone_us.is_none());
    let again = call(provider.addr(), CHAT, &[BEARER], &body).await;
    assert_eq!(raw.body, again.body, "the same request gets the same bytes");
}

#[tokio::test]
async fn records_are_asked_for_over_http() {
    let provider = provider().await;
    for _ in 0..3 {
        call(provider.addr(), CHAT, &[BEARER], &chat("sim")).await;
    }
    ended(&provider).await;
    let raw = call(provider.addr(), "/_sim/requests?after=1", &[], "").await;
    let seqs: Vec<_> = raw.json()["requests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| record["seq"].as_u64().unwrap())
        .collect();
    assert_eq!(seqs, [2, 3]);
    assert_eq!(raw.json()["requests"][1]["ending"], "complete");
    let raw = call(provider.addr(), "/_sim/stats", &[], "").await;
    assert_eq!(
        (raw.json()["total"].as_u64(), raw.json()["in_flight"].as_u64()),
        (Some(3), Some(0))
    );
    call(provider.addr(), "/_sim/reset", &[], "{}").await;
    assert!(provider.received().is_empty() && provider.stats().total == 0);
    assert_eq!(call(provider.addr(), "/_sim/requests?after=x", &[], "").await.status, 400);
}

#[tokio::test]
async fn a_cut_answer_lacks_its_last_chunk_and_ends_inside_an_event() {
    let provider = provider().await;
    let raw = call(provider.addr(), CHAT, &[BEARER], &chat("sim[fault=cut,at=4]")).await;
    assert_eq!(raw.status, 200);
    assert!(!raw.whole && !raw.reset);
    assert_eq!(raw.chunks.len(), 5, "four events and half of the fifth");
    assert!(raw.chunks[3].ends_with(b"\n\n") && !raw.chunks[4].ends_with(b"\n"));
    let record = ended(&provider).await;
    assert_eq!((record.ending, record.events), (Some(Ending::Fault), 4));
    assert_eq!(record.answer_sha256, Some(hex(&raw.body)));

    let whole = chat("sim[fault=cut]").replace("true", "false");
    let raw = call(provider.addr(), CHAT, &[BEARER], &whole).await;
    assert!(!raw.whole && !raw.body.is_empty(), "a document is cut inside too");
}

#[tokio::test]
async fn a_cut_length_answer_does_not_reach_its_length() {
    let provider = provider().await;
    let raw = call(provider.addr(), CHAT, &[BEARER], &chat("sim[cut-length]")).await;
    let promised: usize = raw.header("content-length").unwrap().parse().unwrap();
    assert!(raw.body.len() < promised && !raw.body.is_empty());
    assert_eq!(ended(&provider).await.ending, Some(Ending::Fault));
}

#[tokio::test]
async fn a_reset_comes_as_a_tcp_reset_after_the_bytes_before_it() {
    let provider = provider().await;
    let raw = call(provider.addr(), CHAT, &[BEARER], &chat("sim[reset,at=2]")).await;
    assert!(raw.reset && !raw.whole && raw.status == 200, "{raw:?}");
    assert_eq!(ended(&provider).await.ending, Some(Ending::Fault));
    let raw = call(provider.addr(), CHAT, &[BEARER], &chat("sim[reset-head]")).await;
    assert!(raw.reset && raw.head.is_empty());
    let raw = call(provider.addr(), CHAT, &[BEARER], &chat("sim[close-head]")).await;
    assert!(!raw.reset && raw.head.is_empty());
}

#[tokio::test]
async fn every_byte_of_a_split_answer_is_its_own_chunk() {
    let provider = provider().await;
    let plain = call(provider.addr(), CHAT, &[BEARER], &chat("sim")).await;
    let split = [BEARER, ("x-weft-sim", "split")];
    let raw = call(provider.addr(), CHAT, &split, &chat("sim")).await;
    assert!(raw.whole && raw.chunks.iter().all(|chunk| chunk.len() == 1));
    assert_eq!(raw.body, plain.body);
    assert_eq!(ended(&provider).await.events as usize, plain.chunks.len());
}

#[tokio::test]
async fn an_error_event_ends_a_stream_that_had_begun_well() {
    let provider = provider().await;
    let headers = [ANTHROPIC[0], ANTHROPIC[1], ("x-weft-sim", "error-event;at=4")];
    let raw = call(provider.addr(), "/v1/messages", &headers, &chat("sim")).await;
    assert!(raw.whole);
    assert_eq!(raw.events().len(), 5);
    assert_eq!(raw.events()[4]["error"]["type"], "overloaded_error");
}

#[tokio::test]
async fn a_client_that_leaves_a_silent_answer_is_noticed() {
    let provider = provider().await;
    for (control, phase) in [("stall-head", Phase::Stall), ("stall;at=2", Phase::Stall)] {
        let mut stream = TcpStream::connect(provider.addr()).await.unwrap();
        let text = request(CHAT, &[BEARER, ("x-weft-sim", control)], &chat("sim"));
        stream.write_all(text.as_bytes()).await.unwrap();
        let stalled = |records: &[Record]| {
            records
                .last()
                .filter(|last| last.phase == Phase::Stall && last.ending.is_none())
                .cloned()
        };
        let record = timeout(LIMIT, provider.wait_for(stalled)).await.unwrap();
        assert_eq!(record.events, if control == "stall-head" { 0 } else { 2 });
        assert_eq!(provider.stats().in_flight, 1);
        drop(stream);
        let record = ended(&provider).await;
        assert_eq!((record.ending, record.phase), (Some(Ending::ClientGone), phase));
        assert!(record.gone_us.is_some());
    }
    assert_eq!(provider.stats().client_gone, 2);
}

#[tokio::test]
async fn a_client_that_leaves_while_it_uploads_or_reads_is_noticed_with_its_phase() {
    let provider = provider().await;
    let mut stream = TcpStream::connect(provider.addr()).await.unwrap();
    let head = format!("POST {CHAT} HTTP/1.1\r\nhost: sim\r\ncontent-length: 1000\r\n\r\n{{");
    stream.write_all(head.as_bytes()).await.unwrap();
    let uploading =
        |records: &[Record]| records.iter().any(|one| one.body_bytes == 1).then_some(());
    timeout(LIMIT, async {
        while uploading(&provider.received()).is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap();
    drop(stream);
    let record = ended(&provider).await;
    assert_eq!((record.ending, record.phase), (Some(Ending::ClientGone), Phase::Upload));
    assert_eq!(record.body_sha256, None);

    let mut stream = TcpStream::connect(provider.addr()).await.unwrap();
    let text = request(CHAT, &[BEARER], &chat("sim[pace=50ms,deltas=1000]"));
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut some = [0; 64];
    stream.read_exact(&mut some).await.unwrap();
    drop(stream);
    let record = ended(&provider).await;
    assert_eq!((record.ending, record.phase), (Some(Ending::ClientGone), Phase::Body));
}

#[tokio::test]
async fn an_early_answer_comes_while_the_upload_still_runs() {
    let provider = provider().await;
    let mut stream = TcpStream::connect(provider.addr()).await.unwrap();
    let head = format!(
        "POST {CHAT}?weft-sim=early HTTP/1.1\r\nhost: sim\r\n{}: {}\r\ncontent-length: 1000000\r\n\r\n{{",
        BEARER.0, BEARER.1
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let raw = read_all(&mut stream).await;
    assert_eq!((raw.status, raw.whole), (413, true));
    let record = ended(&provider).await;
    assert_eq!((record.ending, record.body_sha256), (Some(Ending::Complete), None));
}

#[tokio::test]
async fn gzip_is_flushed_with_every_event() {
    let provider = provider().await;
    let accept = ("accept-encoding", "gzip, deflate");
    let raw = call(provider.addr(), CHAT, &[BEARER, accept], &chat("sim[gzip,deltas=6]")).await;
    assert_eq!(raw.header("content-encoding"), Some("gzip"));
    let inflate = |bytes: &[u8]| {
        let mut text = Vec::new();
        // A prefix ends with an error, after everything in it came out.
        let whole = MultiGzDecoder::new(bytes).read_to_end(&mut text).is_ok();
        (text, whole)
    };
    let (text, whole) = inflate(&raw.body);
    assert!(whole && text.ends_with(b"[DONE]\n\n"));
    let prefix: Vec<u8> = raw.chunks[..3].concat();
    assert_eq!(inflate(&prefix).0.iter().filter(|byte| **byte == b'\n').count(), 6);
    let plain = call(provider.addr(), CHAT, &[BEARER], &chat("sim[gzip,deltas=6]")).await;
    assert_eq!(plain.header("content-encoding"), None, "not asked for");
    assert_eq!(plain.body, text);
}

#[tokio::test]
async fn trailers_and_a_close_delimited_body_end_as_they_should() {
    let provider = provider().await;
    let mut stream = TcpStream::connect(provider.addr()).await.unwrap();
    let text = request(CHAT, &[BEARER, ("te", "trailers")], &chat("sim[trailers]"));
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    timeout(LIMIT, stream.read_to_end(&mut bytes)).await.unwrap().unwrap();
    let raw = Raw::parse(&bytes, false);
    let trailer = format!("0\r\nx-weft-sim-sha256: {}\r\n\r\n", hex(&raw.body));
    assert!(bytes.ends_with(trailer.as_bytes()));

    let raw = call(provider.addr(), CHAT, &[BEARER], &chat("sim[close-delimited]")).await;
    assert!(raw.head.starts_with("HTTP/1.0 200"));
    assert!(raw.header("transfer-encoding").is_none() && raw.header("content-length").is_none());
    assert!(raw.body.ends_with(b"data: [DONE]\n\n"));
    assert_eq!(ended(&provider).await.answer_sha256, Some(hex(&raw.body)));
}

#[tokio::test]
async fn no_usage_hides_tokens_and_a_misspelt_control_is_an_error() {
    let provider = provider().await;
    let raw = call(provider.addr(), CHAT, &[BEARER], &chat("sim[no-usage]")).await;
    assert!(raw.events().iter().all(|event| event.get("usage").is_none()));
    let raw = call(provider.addr(), CHAT, &[BEARER], &chat("sim[fault=cutt]")).await;
    assert_eq!(raw.status, 400);
    assert!(raw.json()["error"]["message"].as_str().unwrap().contains("cutt"));
}

#[tokio::test]
async fn what_a_header_asks_wins_over_the_model_and_that_over_the_defaults() {
    let defaults = Control::default().overlaid("deltas=9;fault=500").unwrap();
    let provider = Provider::bind(ProviderConfig { defaults, ..Default::default() }).await.unwrap();
    assert_eq!(call(provider.addr(), CHAT, &[BEARER], &chat("sim")).await.status, 500);
    let headers = [BEARER, ("x-weft-sim", "deltas=2")];
    let raw = call(provider.addr(), CHAT, &headers, &chat("sim[fault=none,deltas=5]")).await;
    assert_eq!(raw.events().last().unwrap()["usage"]["completion_tokens"], 2);
}

async fn h2(
    addr: SocketAddr,
    tasks: &mut JoinSet<()>,
) -> hyper::client::conn::http2::SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(addr).await.unwrap();
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tasks.spawn(async move { drop(connection.await) });
    sender
}

fn h2_request(addr: SocketAddr, model: &str) -> http::Request<Full<Bytes>> {
    http::Request::post(format!("http://{addr}{CHAT}"))
        .header(BEARER.0, BEARER.1)
        .body(Full::from(chat(model)))
        .unwrap()
}

#[tokio::test]
async fn h2_answers_whole_breaks_a_cut_stream_and_notices_a_stream_that_is_given_up() {
    let config = ProviderConfig { protocols: Protocols::H2Only, ..Default::default() };
    let provider = Provider::bind(config).await.unwrap();
    let (addr, mut tasks) = (provider.addr(), JoinSet::new());
    let mut client = h2(addr, &mut tasks).await;

    let response = client.send_request(h2_request(addr, "sim[trailers]")).await.unwrap();
    assert_eq!(response.version(), http::Version::HTTP_2);
    let collected = response.into_body().collect().await.unwrap();
    let trailer = collected.trailers().unwrap()["x-weft-sim-sha256"].clone();
    assert_eq!(trailer, hex(&collected.to_bytes()));

    let response = client.send_request(h2_request(addr, "sim[cut]")).await.unwrap();
    assert!(response.into_body().collect().await.is_err(), "not a clean end");
    assert_eq!(ended(&provider).await.ending, Some(Ending::Fault));

    let mut response = client.send_request(h2_request(addr, "sim[stall,at=1]")).await.unwrap();
    response.body_mut().frame().await.unwrap().unwrap();
    drop(response);
    let record = ended(&provider).await;
    assert_eq!((record.ending, record.version.as_str()), (Some(Ending::ClientGone), "HTTP/2.0"));

    let response = client.send_request(h2_request(addr, "sim[reset]")).await.unwrap();
    assert!(response.into_body().collect().await.is_err());
    assert!(client.send_request(h2_request(addr, "sim")).await.is_err(), "the connection is gone");
}

#[tokio::test]
async fn a_kept_connection_serves_one_request_after_another() {
    let provider = provider().await;
    let stream = TcpStream::connect(provider.addr()).await.unwrap();
    let (mut client, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { drop(connection.await) });
    for _ in 0..3 {
        let mut request = h2_request(provider.addr(), "sim");
        *request.uri_mut() = CHAT.parse().unwrap();
        client.ready().await.unwrap();
        let response = client.send_request(request).await.unwrap();
        response.into_body().collect().await.unwrap();
    }
    ended(&provider).await;
    assert!(provider.received().iter().all(|record| record.connection == 1));
}

#[tokio::test]
async fn a_shutdown_ends_what_still_runs() {
    let provider = provider().await;
    let mut stream = TcpStream::connect(provider.addr()).await.unwrap();
    let text = request(CHAT, &[BEARER], &chat("sim[stall,at=1]"));
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut some = [0; 8];
    stream.read_exact(&mut some).await.unwrap();
    timeout(LIMIT, provider.shutdown()).await.unwrap();
    assert!(!read_all(&mut stream).await.body.ends_with(b"[DONE]\n\n"));
}
