//! What requests ask for, in any split.

use super::*;
use crate::provider::Provider;
use crate::tables::routes;
use http::Method;
use proptest::prelude::*;

fn asked_of(provider: Provider, path: &str, kind: Option<&str>, body: &[u8]) -> Asked {
    let matched = routes::find(provider, &Method::POST, path).expect("a route");
    let run = |size: usize| {
        let mut meter = RequestMeter::new(&matched, kind, None);
        body.chunks(size).for_each(|piece| meter.feed(piece));
        meter.finish();
        meter.asked().clone()
    };
    let whole = run(body.len().max(1));
    for size in [1, 3, 50] {
        assert_eq!(run(size), whole, "in pieces of {size}");
    }
    whole
}

#[test]
fn a_chat_says_what_it_wants() {
    let body = br#"{"messages":[{"role":"user","content":"hello world"},{"role":"user","content":
        [{"type":"text","text":"hello world"},{"type":"image_url","image_url":{"url":"data:,AAAA"}}]}],
        "model":"gpt-x","stream":true,"stream_options":{"include_usage":true},"n":2,
        "max_completion_tokens":100,"service_tier":"flex","metadata":{"model":"y","stream":false},
        "web_search_options":{}}"#;
    let asked = asked_of(Provider::OpenAi, "/v1/chat/completions", None, body);
    assert_eq!(asked.model.as_deref(), Some("gpt-x"));
    assert!(asked.stream && asked.include_usage && asked.hosted_tools && !asked.background);
    assert_eq!((asked.output_max, asked.choices), (Some(100), 2));
    assert_eq!(asked.service_tier, ServiceTier::Flex);
    assert_eq!(asked.attachments, 1);
    let wanted = CONVERSATION_TOKENS + 2 * MESSAGE_TOKENS + 4 + ATTACHMENT_TOKENS;
    assert_eq!(asked.input_estimate, wanted);
    assert_eq!(asked.text_bytes, 22);
}

#[test]
fn a_message_and_a_response_say_it_in_their_own_words() {
    let message = br#"{"max_tokens":64,"messages":[{"role":"user","content":"hi"}],"system":
        [{"text":"be kind"}],"speed":"fast","inference_geo":"us","model":"claude-x","tools":
        [{"type":"web_search_20260101","name":"s"}]}"#;
    let asked = asked_of(Provider::Anthropic, "/v1/messages", Some("application/json"), message);
    assert_eq!((asked.output_max, asked.geo), (Some(64), Geo::Us));
    assert_eq!(asked.service_tier, ServiceTier::Fast);
    assert!(asked.hosted_tools && !asked.stream);
    let response = br#"{"input":"hello world","background":true,"max_output_tokens":5,"model":"m",
        "tools":[{"type":"function","parameters":{"properties":{"usage":{"type":"string"}}}}]}"#;
    let asked = asked_of(Provider::OpenAi, "/v1/responses", None, response);
    assert!(asked.background && !asked.hosted_tools);
    assert_eq!(asked.output_max, Some(5));
    assert!(asked.input_estimate > CONVERSATION_TOKENS + 2);
}

#[test]
fn text_to_be_spoken_is_counted_in_characters() {
    let body = r#"{"model":"tts-1","input":"h\u00e9ll\u00f6 wörld 😀","voice":"x"}"#.as_bytes();
    let asked = asked_of(Provider::OpenAi, "/v1/audio/speech", None, body);
    assert_eq!(asked.characters, 13);
}

#[test]
fn embeddings_count_texts_and_tokens() {
    let of = |body: &[u8]| asked_of(Provider::OpenAi, "/v1/embeddings", None, body).input_estimate;
    assert_eq!(of(br#"{"input":"hello world","model":"e"}"#), 2);
    assert_eq!(of(br#"{"input":["hello world","hello"],"model":"e"}"#), 3);
    assert_eq!(of(br#"{"input":[1,2,3],"model":"e"}"#), 3);
    assert_eq!(of(br#"{"input":[[1,2],[3]],"model":"e"}"#), 3);
}

#[test]
fn a_form_tells_its_model_and_its_size() {
    let body = b"--b\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n\
        --b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n\x00\x01\r\n--b--\r\n";
    let kind = Some("multipart/form-data; boundary=b");
    let asked = asked_of(Provider::OpenAi, "/v1/audio/transcriptions", kind, body);
    assert_eq!(asked.model.as_deref(), Some("whisper-1"));
    assert_eq!((asked.attachments, asked.body_bytes), (1, body.len() as u64));
}

#[test]
fn the_deployment_in_a_path_is_the_model_until_the_body_names_one() {
    let path = "/openai/deployments/dep-1/chat/completions";
    let asked = asked_of(Provider::Azure, path, None, br#"{"messages":[]}"#);
    assert_eq!(asked.model.as_deref(), Some("dep-1"));
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        asked_of(Provider::OpenAi, "/v1/chat/completions", None, &body);
        asked_of(Provider::OpenAi, "/v1/responses", None, &[b"{\"input\":", &body[..]].concat());
    }
}

#[test]
fn a_batch_is_bound_request_by_request_however_it_is_split() {
    let route = crate::tables::routes::find(
        crate::provider::Provider::Anthropic,
        &http::Method::POST,
        "/v1/messages/batches",
    )
    .expect("a route");
    let text = "weave ".repeat(1_000);
    let image = "A".repeat(100_000);
    let body = format!(
        r#"{{"requests":[
            {{"custom_id":"a","params":{{"model":"m-1","max_tokens":50,"messages":[
                {{"role":"user","content":"{text}"}}]}}}},
            {{"custom_id":"b","params":{{"model":"m-1","max_tokens":7,"inference_geo":"us",
                "messages":[{{"role":"user","content":"hi"}}]}}}},
            {{"custom_id":"c","params":{{"messages":[{{"role":"user","content":[{{"type":"image",
                "source":{{"type":"base64","data":"{image}"}}}},{{"type":"text","text":"this?"}}]}}],
                "model":"m-2","tools":[{{"type":"web_search_20250305"}}]}}}},
            {{"custom_id":"d","params":{{"model":"m-1","max_tokens":1,"messages":[]}}}}]}}"#
    );
    let read = |size: usize| {
        let mut meter = RequestMeter::new(&route, Some("application/json"), None);
        body.as_bytes().chunks(size).for_each(|piece| meter.feed(piece));
        meter.finish();
        meter.asked().batch.clone()
    };
    let sums = read(usize::MAX);
    for size in [1, 3, 1_000] {
        assert_eq!(read(size), sums, "in pieces of {size}");
    }
    let [first, us, second] = sums.as_slice() else { panic!("{sums:?}") };
    assert_eq!((first.model.as_str(), first.requests, first.output), ("m-1", 2, 51));
    assert_eq!((first.unbounded, first.with_tools), (0, 0));
    // No token is less than a byte.
    assert!((6_000..6_400).contains(&first.input_max), "{first:?}");
    assert!(first.input > first.input_max && first.input < first.input_max + 400, "{first:?}");
    assert_eq!((us.geo, us.requests, us.output), (Geo::Us, 1, 7));
    // An image is what images are taken for, not its bytes.
    assert_eq!((second.model.as_str(), second.unbounded, second.with_tools), ("m-2", 1, 1));
    assert!((5_000..6_000).contains(&second.input), "{second:?}");
}
