//! What the simulated provider charges, what it tells of it, and what the mesh's own meter reads.

use super::{ANTHROPIC, BEARER, Raw, call, ended, provider};
use http::{HeaderMap, Method, StatusCode};
use weft_loadtest::provider::Provider;
use weft_proto::meter::{AnswerFacts, AnswerMeter, Metered, RequestMeter};
use weft_proto::provider::Provider as Of;
use weft_proto::tables::routes;
use weft_proto::usage::{Class, Usage};

/// One request, and the provider's path by which the mesh knows it.
struct Case {
    of: Of,
    /// At the simulated provider.
    target: &'static str,
    /// At the real one.
    path: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: String,
}

const JSON: (&str, &str) = ("content-type", "application/json");

fn chat(of: Of, sim: &str, stream: &str) -> Case {
    let (target, path) = match of {
        Of::Azure => ("/openai/v1/chat/completions", "/openai/v1/chat/completions"),
        Of::DeepSeek => ("/chat/completions", "/chat/completions"),
        Of::OpenAi | Of::Anthropic => ("/v1/chat/completions", "/v1/chat/completions"),
    };
    let body =
        format!(r#"{{"model":"m[{sim}]",{stream}"messages":[{{"role":"user","content":"Hi"}}]}}"#);
    Case { of, target, path, headers: &[BEARER, JSON], body }
}

fn responses(of: Of, sim: &str, stream: bool) -> Case {
    let (target, path) = match of {
        Of::Azure => ("/openai/v1/responses", "/openai/v1/responses"),
        Of::OpenAi | Of::DeepSeek | Of::Anthropic => ("/v1/responses", "/v1/responses"),
    };
    let body = format!(r#"{{"model":"m[{sim}]","stream":{stream},"input":"Hi"}}"#);
    Case { of, target, path, headers: &[BEARER, JSON], body }
}

fn messages(sim: &str, stream: bool) -> Case {
    let path = "/v1/messages";
    let body = format!(
        r#"{{"max_tokens":64,"messages":[{{"role":"user","content":"Hi"}}],"model":"m[{sim}]","stream":{stream}}}"#
    );
    Case {
        of: Of::Anthropic,
        target: path,
        path,
        headers: &[ANTHROPIC[0], ANTHROPIC[1], JSON],
        body,
    }
}

fn other(path: &'static str, body: &str) -> Case {
    Case { of: Of::OpenAi, target: path, path, headers: &[BEARER, JSON], body: body.to_owned() }
}

const STREAM: &str = r#""stream":true,"stream_options":{"include_usage":true},"#;

/// Sends it, and returns the provider's bill and what the meter read, fed byte by byte or at once.
async fn run(provider: &Provider, case: &Case, whole: bool) -> (Raw, Option<Usage>, Metered) {
    let raw = call(provider.addr(), case.target, case.headers, &case.body).await;
    let bill = ended(provider).await.usage;
    let route = routes::find(case.of, &Method::POST, case.path).expect("a route");
    let mut request = RequestMeter::new(&route, Some("application/json"), None);
    request.feed(case.body.as_bytes());
    request.finish();
    let mut headers = HeaderMap::new();
    for name in ["content-type", "content-encoding"] {
        if let Some(value) = raw.header(name) {
            headers.insert(name, value.parse().expect("a value"));
        }
    }
    let status = StatusCode::from_u16(raw.status).expect("a status");
    let mut answer = AnswerMeter::new(&AnswerFacts::of(route.route, status, &headers));
    if whole {
        answer.feed(&raw.body);
    } else {
        raw.body.chunks(1).for_each(|byte| answer.feed(byte));
    }
    let metered = answer.end(request.asked(), true);
    (raw, bill, metered)
}

#[tokio::test]
async fn what_the_meter_reads_is_the_providers_bill_in_every_shape_of_usage() {
    let provider = provider().await;
    let all = "input=100,cache_read=20,output=7,reasoning=5";
    let open = format!("{all},cache_write=3");
    let mut cases = Vec::new();
    for of in [Of::OpenAi, Of::Azure, Of::DeepSeek] {
        let sim = format!("{all},dialect={}", of.name());
        let shapes =
            format!("{open},dialect={},usage-not-last,async-filter,keep-alive=3", of.name());
        cases.push(chat(of, &sim, ""));
        cases.push(chat(of, &sim, STREAM));
        cases.push(chat(of, &format!("{sim},keep-alive=3"), ""));
        if of != Of::DeepSeek {
            cases.push(chat(of, &shapes, STREAM));
        }
        cases.push(chat(of, &format!("{sim},finish=content-filter,gzip"), STREAM));
        for finish in ["stop", "length", "failed", "content-filter"] {
            let sim = format!("{open},finish={finish},echo,dialect={}", of.name());
            cases.push(responses(of, &sim, true));
            cases.push(responses(of, &sim, false));
        }
    }
    for stream in [false, true] {
        cases.push(messages("input=100,cache_read=20,output=7", stream));
        cases.push(messages("input=9000,output=7,late-input,web_search=2,web_fetch=1", stream));
        let written = "input=100,cache_write=30,cache_write_1h=40,output=7";
        cases.push(messages(written, stream));
        cases.push(messages("input=100,cache_write=30,output=7,no-cache-split", stream));
    }
    cases.push(other("/v1/embeddings", r#"{"model":"m[input=11]","input":"Hi"}"#));
    for stream in [false, true] {
        let sim = "input=11,input_image=9,output_image=300";
        let body = format!(r#"{{"model":"m[{sim}]","prompt":"Hi","stream":{stream}}}"#);
        cases.push(other("/v1/images/generations", &body));
    }
    let speech =
        r#"{"model":"m[input=11,output_audio=30]","input":"Hi","voice":"v","stream_format":"sse"}"#;
    cases.push(other("/v1/audio/speech", speech));
    for case in &cases {
        for whole in [true, false] {
            let (raw, bill, metered) = run(&provider, case, whole).await;
            assert_eq!(raw.status, 200, "{}: {}", case.body, String::from_utf8_lossy(&raw.body));
            assert_eq!(Some(metered.billed()), bill, "{} {}", case.path, case.body);
            assert!(metered.usage_seen, "{} {}", case.path, case.body);
        }
    }
}

#[tokio::test]
async fn a_realtime_answer_a_free_route_and_a_refusal_cost_what_they_cost() {
    let provider = provider().await;
    let filtered = chat(Of::Azure, "input=50,content-filter,dialect=azure", "");
    let (raw, bill, metered) = run(&provider, &filtered, true).await;
    assert_eq!((raw.status, bill), (400, Some(Usage::NONE.with(Class::Input, 50))));
    assert!(metered.charged_although_refused);
    let limited = chat(Of::OpenAi, "input=50,429", "");
    let (raw, bill, metered) = run(&provider, &limited, true).await;
    assert_eq!((raw.status, bill), (429, None));
    assert!(metered.billed().is_none());
    let count = r#"{"model":"m[input=50]","messages":[]}"#;
    let counted = call(provider.addr(), "/v1/messages/count_tokens", &ANTHROPIC, count).await;
    assert_eq!((counted.status, ended(&provider).await.usage), (200, None));
}

#[tokio::test]
async fn an_answer_cut_short_is_charged_for_what_was_made_of_it() {
    let provider = provider().await;
    let sim = "input=100,output=40,deltas=10,cut,at=4";
    let raw = call(
        provider.addr(),
        "/v1/chat/completions",
        &[BEARER, JSON],
        &chat(Of::OpenAi, sim, STREAM).body,
    )
    .await;
    assert!(!raw.whole);
    let bill = ended(&provider).await.usage.expect("a bill");
    // The role, three deltas, and half of a fourth.
    assert_eq!((bill.get(Class::Input), bill.get(Class::Output)), (100, 12));
}

#[tokio::test]
async fn a_background_response_is_charged_once_and_told_when_it_is_there() {
    let provider = provider().await;
    let body = r#"{"model":"m[input=10,output=3,polls=2]","background":true,"input":"Hi"}"#;
    let made = call(provider.addr(), "/v1/responses", &[BEARER, JSON], body).await;
    assert_eq!(
        (made.json()["status"].as_str(), made.json()["usage"].is_null()),
        (Some("queued"), true)
    );
    let bill = ended(&provider).await.usage.expect("a bill");
    assert_eq!((bill.input_total(), bill.output_total()), (10, 3));
    let path = format!("/v1/responses/{}", made.json()["id"].as_str().expect("an id"));
    for status in ["queued", "queued", "completed", "completed"] {
        let got = call(provider.addr(), &path, &[BEARER], "").await;
        assert_eq!(got.json()["status"], status);
        assert_eq!(got.json()["usage"]["output_tokens"].as_u64().is_some(), status == "completed");
        assert_eq!(ended(&provider).await.usage, None);
    }
}
