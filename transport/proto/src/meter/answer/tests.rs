//! Shapes of every kind, in any split, poisoned and broken.

use super::*;
use crate::tables::routes::Metering::{
    Chat, Container, Embeddings, Free, Images, Messages, Realtime, Responses, Speech,
    StoredResponse, Transcription,
};
use crate::usage::{Basis, Class, Geo, ServiceTier, Usage};
use proptest::prelude::*;

/// An answer: who gives it, how it is metered, and what its head says.
fn facts(metering: Metering, content_type: &'static str) -> AnswerFacts<'static> {
    let provider = match metering {
        Messages => Provider::Anthropic,
        Free
        | Chat
        | Responses
        | StoredResponse
        | Embeddings
        | Images
        | Transcription
        | Speech
        | Realtime
        | Container
        | Metering::Batch
        | Metering::BatchResults => Provider::OpenAi,
    };
    let status =
        if metering == Realtime { StatusCode::SWITCHING_PROTOCOLS } else { StatusCode::OK };
    let content_type = Some(content_type).filter(|text| !text.is_empty());
    AnswerFacts { provider, metering, status, content_type, content_encoding: None }
}

fn metered(facts: &AnswerFacts<'_>, body: &[u8], asked: &Asked, proper: bool) -> Metered {
    let run = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let mut meter = AnswerMeter::new(facts);
        pieces.for_each(|piece| meter.feed(piece));
        assert!(meter.memory_bytes() <= 4096, "{} bytes", meter.memory_bytes());
        meter.end(asked, proper)
    };
    let whole = run(&mut std::iter::once(body));
    for size in [1, 2, 3, 7, 64] {
        assert_eq!(run(&mut body.chunks(size)), whole, "in pieces of {size}");
    }
    whole
}

fn json(metering: Metering, body: &str) -> Metered {
    metered(&facts(metering, "application/json"), body.as_bytes(), &Asked::default(), true)
}

fn events(metering: Metering, body: &str) -> Metered {
    metered(&facts(metering, "text/event-stream"), body.as_bytes(), &Asked::default(), true)
}

fn classes(rows: &[(Class, u64)]) -> Usage {
    rows.iter().copied().collect()
}

/// A reported usage of these classes.
#[track_caller]
fn reported(metered: &Metered, rows: &[(Class, u64)]) {
    assert_eq!(metered.usage, classes(rows));
    assert_eq!(metered.basis, Basis::Reported);
}

const CHAT_USAGE: &str = r#"{"prompt_tokens":40,"completion_tokens":30,"total_tokens":70,
    "prompt_tokens_details":{"cached_tokens":16,"audio_tokens":0,"cache_write_tokens":4},
    "completion_tokens_details":{"reasoning_tokens":12,"audio_tokens":0,
    "accepted_prediction_tokens":2,"rejected_prediction_tokens":3}}"#;

const CHAT_CLASSES: &[(Class, u64)] = &[
    (Class::Input, 20),
    (Class::CacheRead, 16),
    (Class::CacheWrite, 4),
    (Class::Output, 15),
    (Class::Reasoning, 12),
    (Class::RejectedPrediction, 3),
];

#[test]
fn a_chat_is_read_whole() {
    let body = format!(
        r#"{{"id":"c","model":"gpt-x-2026","choices":[{{"index":0,"message":{{"content":"hi"}},
        "finish_reason":"stop"}}],"service_tier":"priority","usage":{CHAT_USAGE}}}"#
    );
    let metered = json(Chat, &body);
    reported(&metered, CHAT_CLASSES);
    assert_eq!(metered.model.as_deref(), Some("gpt-x-2026"));
    assert_eq!(metered.service_tier, ServiceTier::Priority);
    assert!(metered.finish_marker && metered.usage_seen);
}

#[test]
fn a_streamed_chat_is_read_wherever_its_usage_stands_and_however_its_lines_end() {
    let usage = CHAT_USAGE.replace('\n', " ");
    let events_of = |end: &str| {
        [
            r#": queued"#.to_owned(),
            String::new(),
            r#"data: {"model":"","choices":[],"prompt_filter_results":[],"usage":null}"#.to_owned(),
            String::new(),
            r#"data:{"model":"m","choices":[{"index":0,"delta":{"content":"hé"}}],"usage":null}"#
                .to_owned(),
            String::new(),
            r#"data: {"model":"m","choices":[{"index":0,"#.to_owned(),
            r#"data: "delta":{},"finish_reason":"stop"}],"usage":null}"#.to_owned(),
            String::new(),
            format!(r#"data: {{"model":"m","choices":[],"usage":{usage}}}"#),
            String::new(),
            r#"data: {"model":"m","choices":[],"moderation":{"usage":{"prompt_tokens":9}}}     "#
                .to_owned(),
            String::new(),
            "data: [DONE]".to_owned(),
            String::new(),
            String::new(),
        ]
        .join(end)
    };
    for end in ["\n", "\r\n", "\r"] {
        let metered = events(Chat, &events_of(end));
        reported(&metered, CHAT_CLASSES);
        assert_eq!(metered.model.as_deref(), Some("m"));
    }
}

#[test]
fn blank_lines_and_comments_of_a_busy_provider_are_passed_over() {
    let body = "\n\n  \r\n".to_owned()
        + r#"{"model":"deepseek-x","choices":[],"usage":{"prompt_tokens":10,"completion_tokens":5,
        "prompt_cache_hit_tokens":6,"prompt_cache_miss_tokens":4}}"#;
    let wanted = [(Class::Input, 4), (Class::CacheRead, 6), (Class::Output, 5)];
    reported(&json(Chat, &body), &wanted);
    let stream = ": keep-alive\n\n: keep-alive\n\ndata: ".to_owned()
        + r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":10,
        "completion_tokens":5,"prompt_cache_hit_tokens":6}}"#
            .replace('\n', " ")
            .as_str() + "\n\ndata: [DONE]\n\n";
    reported(&events(Chat, &stream), &wanted);
}

#[test]
fn a_missing_or_wrong_content_type_hides_nothing() {
    let whole = r#"{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#;
    let stream = format!("data: {whole}\n\n");
    for body in [whole, &format!("\u{feff}{whole}"), &stream, &format!("\u{feff}{stream}")] {
        for kind in ["", "text/event-stream;charset=utf-8", "application/json", "text/html"] {
            let metered = metered(&facts(Chat, kind), body.as_bytes(), &Asked::default(), true);
            reported(&metered, &[(Class::Input, 1), (Class::Output, 2)]);
        }
    }
}

const RESPONSE: &str = r#"{"id":"resp_1","object":"response","status":"completed","model":"m-1",
    "metadata":{"usage":"{\"input_tokens\":1}"},"tools":[{"name":"usage","parameters":{"properties":
    {"usage":{"input_tokens":9,"output_tokens":9}},"usage":{"input_tokens":9}}}],
    "instructions":"\"usage\":{\"input_tokens\":7}","usage":{"input_tokens":100,
    "input_tokens_details":{"cached_tokens":60,"cache_write_tokens":10},"output_tokens":50,
    "output_tokens_details":{"reasoning_tokens":20},"total_tokens":150},"service_tier":"flex",
    "output":[{"type":"web_search_call","action":{"type":"search","query":"usage"}},
    {"type":"web_search_call","action":{"type":"open_page"}},{"type":"file_search_call"},
    {"type":"code_interpreter_call","container_id":"c1"},
    {"type":"code_interpreter_call","container_id":"c1"},{"type":"image_generation_call"},
    {"type":"message","content":[{"type":"output_text","text":"{\"usage\":{\"input_tokens\":3}}"}]}],
    "text":{"format":{"schema":{"usage":{"output_tokens":5}}}}}"#;

const RESPONSE_CLASSES: &[(Class, u64)] = &[
    (Class::Input, 30),
    (Class::CacheRead, 60),
    (Class::CacheWrite, 10),
    (Class::Output, 30),
    (Class::Reasoning, 20),
    (Class::WebSearch, 1),
    (Class::FileSearch, 1),
    (Class::CodeSession, 1),
    (Class::Image, 1),
];

#[test]
fn echoed_schemas_and_metadata_do_not_poison_the_usage_of_a_response() {
    let metered = json(Responses, RESPONSE);
    reported(&metered, RESPONSE_CLASSES);
    assert_eq!(metered.service_tier, ServiceTier::Flex);
    assert_eq!(metered.response.as_deref(), Some("resp_1"));
    assert!(!metered.pending);
}

#[test]
fn a_streamed_response_reports_with_its_last_event_however_it_ended() {
    let response = RESPONSE.replace('\n', " ");
    let asked = RESPONSE.replace('\n', " ").replace(r#""status":"completed""#, r#""status":"x""#);
    let empty = asked.split_once(r#""usage":{"input_tokens":100"#).map(|(front, _)| front);
    let began = format!(
        "event: response.created\ndata: {{\"type\":\"response.created\",\"response\":{}\
         \"usage\":null,\"output\":[]}}}}\n\n",
        empty.expect("a front")
    );
    let delta = "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\
                 \"delta\":\"text\",\"obfuscation\":\"xxxxxxx\"}\n\n";
    let item = "event: response.output_item.done\ndata: {\"type\":\"response.output_item.done\",\
                \"item\":{\"type\":\"file_search_call\"}}\n\n";
    for last in ["completed", "incomplete", "failed"] {
        let ended = format!("data: {{\"response\":{response},\"type\":\"response.{last}\"}}\n\n");
        let body = format!("{began}{delta}{item}{ended}");
        let metered = events(Responses, &body);
        reported(&metered, RESPONSE_CLASSES);
        assert!(metered.finish_marker);
        // The same answer, cut behind its last event, is complete too.
        let facts = facts(Responses, "text/event-stream");
        let cut = super::tests::metered(&facts, body.as_bytes(), &Asked::default(), false);
        reported(&cut, RESPONSE_CLASSES);
    }
    let cut = format!("{began}{delta}{item}");
    let asked = Asked { input_estimate: 77, ..Asked::default() };
    let facts = facts(Responses, "text/event-stream");
    let metered = super::tests::metered(&facts, cut.as_bytes(), &asked, false);
    let wanted = [(Class::Input, 77), (Class::Output, 1), (Class::FileSearch, 1)];
    assert_eq!((metered.usage, metered.basis), (classes(&wanted), Basis::Estimated));
}

#[test]
fn a_response_that_is_still_being_made_costs_nothing_yet() {
    let queued = r#"{"id":"resp_2","status":"queued","background":true,"usage":null,"output":[]}"#;
    let metered = json(Responses, queued);
    reported(&metered, &[]);
    assert!(metered.pending && !metered.usage_seen);
    assert_eq!(metered.response.as_deref(), Some("resp_2"));
    assert!(json(StoredResponse, queued).pending);
    reported(&json(StoredResponse, r#"{"id":"resp_2","status":"cancelled","usage":null}"#), &[]);
    reported(&json(StoredResponse, RESPONSE), RESPONSE_CLASSES);
}

fn message(start: &str, last: &str) -> String {
    [
        format!(
            r#"event: message_start
data: {{"type":"message_start","message":{{"model":"claude-x","usage":{start}}}}}           "#
        ),
        r#"event: ping
data: {"type": "ping"}"#
            .to_owned(),
        r#"event: content_block_start
data: {"type":"content_block_start","content_block":{"type":"tool_use","name":"t","input":{}}}"#
            .to_owned(),
        r#"event: content_block_delta
data: {"type":"content_block_delta","delta":{"partial_json":"{\"usage\":{\"input_tokens\":1}}"}}"#
            .to_owned(),
        format!(
            r#"event: message_delta
data: {{"type":"message_delta","delta":{{"stop_reason":"end_turn"}},"usage":{last}}}  "#
        ),
        r#"event: message_stop
data: {"type":"message_stop"      }"#
            .to_owned(),
        String::new(),
    ]
    .join("\n\n")
}

#[test]
fn of_a_message_the_last_value_of_each_field_counts() {
    let start = r#"{"input_tokens":2479,"cache_creation_input_tokens":9,
        "cache_creation":{"ephemeral_5m_input_tokens":5,"ephemeral_1h_input_tokens":4},
        "cache_read_input_tokens":3,"output_tokens":1,"service_tier":"standard",
        "inference_geo":"us"}"#
        .replace('\n', " ");
    let last = r#"{"input_tokens":404500,"cache_creation_input_tokens":null,"output_tokens":80,
        "output_tokens_details":{"thinking_tokens":30},
        "server_tool_use":{"web_search_requests":2,"web_fetch_requests":1}}"#
        .replace('\n', " ");
    let metered = events(Messages, &message(&start, &last));
    let wanted = [
        (Class::Input, 404_500),
        (Class::CacheRead, 3),
        (Class::CacheWrite, 5),
        (Class::CacheWrite1h, 4),
        (Class::Output, 50),
        (Class::Reasoning, 30),
        (Class::WebSearch, 2),
        (Class::WebFetch, 1),
    ];
    reported(&metered, &wanted);
    assert_eq!((metered.geo, metered.model.as_deref()), (Geo::Us, Some("claude-x")));
}

#[test]
fn a_refusal_before_any_output_is_waived_and_one_after_it_is_not() {
    let refused = |text: &str| {
        let body = format!(
            r#"{{"stop_reason":"refusal","content":[{{"type":"text","text":"{text}"}}],
            "usage":{{"input_tokens":9,"output_tokens":1}}}}"#
        );
        let metered = json(Messages, &body);
        reported(&metered, &[(Class::Input, 9), (Class::Output, 1)]);
        (metered.waived, metered.billed().is_none())
    };
    assert_eq!(refused(""), (true, true));
    assert_eq!(refused("no"), (false, false));
}

#[test]
fn a_message_that_is_cut_costs_its_input_and_what_was_given() {
    let body = message(r#"{"input_tokens":50,"output_tokens":1}"#, "{}");
    let cut = body.split("event: message_delta").next().expect("a front");
    let facts = facts(Messages, "text/event-stream");
    let metered = super::tests::metered(&facts, cut.as_bytes(), &Asked::default(), false);
    assert_eq!(metered.basis, Basis::Estimated);
    assert_eq!(metered.usage.get(Class::Input), 50);
    assert!((5..20).contains(&metered.usage.get(Class::Output)), "{:?}", metered.usage);
    assert!(!metered.finish_marker && !metered.usage_seen);
}

#[test]
fn turns_that_the_totals_of_a_message_leave_out_stand_beside_them() {
    let metered = json(
        Messages,
        r#"{"model":"claude-x","usage":{"input_tokens":181,"output_tokens":8,"speed":"fast",
        "iterations":[{"type":"compaction","input_tokens":100,"output_tokens":83,
        "cache_read_input_tokens":55096},{"type":"message","input_tokens":181,"output_tokens":8}]}}"#,
    );
    reported(&metered, &[(Class::Input, 181), (Class::Output, 8)]);
    let beside = [(Class::Input, 100), (Class::CacheRead, 55_096), (Class::Output, 83)];
    assert_eq!(metered.beside, classes(&beside));
    assert_eq!(metered.billed().get(Class::Input), 281);
    assert_eq!(metered.service_tier, ServiceTier::Fast);
}

#[test]
fn embeddings_images_and_containers_are_metered() {
    reported(
        &json(
            Embeddings,
            r#"{"data":[{"embedding":[0.1]}],"model":"e","usage":{"prompt_tokens":8}}"#,
        ),
        &[(Class::Input, 8)],
    );
    let usage = r#"{"input_tokens":50,"input_tokens_details":{"text_tokens":10,"image_tokens":40},
        "output_tokens":200}"#
        .replace('\n', " ");
    let wanted = [(Class::Input, 10), (Class::InputImage, 40), (Class::OutputImage, 200)];
    reported(
        &json(Images, &format!(r#"{{"data":[{{"b64_json":"AA"}}],"usage":{usage}}}"#)),
        &wanted,
    );
    let stream = format!(
        "event: image_generation.partial_image\ndata: {{\"type\":\"image_generation.partial_image\",\
         \"b64_json\":\"AA\"}}\n\nevent: image_generation.completed\ndata: {{\"type\":\
         \"image_generation.completed\",\"usage\":{usage}}}\n\n"
    );
    reported(&events(Images, &stream), &wanted);
    let by_piece = json(Images, r#"{"data":[{"url":"a"},{"url":"b"}]}"#);
    assert_eq!((by_piece.usage, by_piece.basis), (classes(&[(Class::Image, 2)]), Basis::Estimated));
    reported(&json(Container, r#"{"id":"cntr_1"}"#), &[(Class::CodeSession, 1)]);
    reported(&json(Free, r#"{"usage":{"prompt_tokens":8}}"#), &[]);
}

#[test]
fn recordings_are_metered_by_tokens_or_by_their_length() {
    let tokens = r#"{"type":"tokens","input_tokens":30,"output_tokens":7,
        "input_token_details":{"text_tokens":4,"audio_tokens":26}}"#
        .replace('\n', " ");
    let wanted = [(Class::Input, 4), (Class::InputAudio, 26), (Class::Output, 7)];
    reported(&json(Transcription, &format!(r#"{{"text":"a","usage":{tokens}}}"#)), &wanted);
    let stream = format!(
        "data: {{\"type\":\"transcript.text.delta\",\"delta\":\"a\"}}\n\n\
         data: {{\"type\":\"transcript.text.done\",\"text\":\"a\",\"usage\":{tokens}}}\n\n"
    );
    reported(&events(Transcription, &stream), &wanted);
    let millis = [(Class::AudioMillis, 9_200)];
    let duration = r#"{"text":"a","usage":{"type":"duration","seconds":9.2}}"#;
    reported(&json(Transcription, duration), &millis);
    reported(&json(Transcription, r#"{"text":"a","duration":"9.2"}"#), &millis);
    let asked =
        Asked { model: Some("whisper-1".to_owned()), body_bytes: 160_000, ..Asked::default() };
    let bare = metered(&facts(Transcription, "text/plain"), b"what was said", &asked, true);
    assert_eq!(bare.usage, classes(&[(Class::AudioMillis, 10_000)]));
    assert_eq!(bare.basis, Basis::Estimated);
}

#[test]
fn spoken_text_is_metered_by_its_events_or_by_what_was_to_be_said() {
    let stream = "data: {\"type\":\"speech.audio.delta\",\"audio\":\"AAAA\"}\n\ndata: {\"type\":\
                  \"speech.audio.done\",\"usage\":{\"input_tokens\":5,\"output_tokens\":60}}\n\n";
    reported(&events(Speech, stream), &[(Class::Input, 5), (Class::OutputAudio, 60)]);
    let mut asked = Asked {
        model: Some("tts-1-hd".to_owned()),
        characters: 300,
        input_estimate: 70,
        ..Asked::default()
    };
    let sound = metered(&facts(Speech, "audio/mpeg"), b"\xff\xf3{\"usage\":1}", &asked, true);
    assert_eq!(sound.usage, classes(&[(Class::Characters, 300)]));
    asked.model = Some("gpt-4o-mini-tts".to_owned());
    let sound = metered(&facts(Speech, "audio/mpeg"), b"\xff\xf3", &asked, true);
    assert_eq!(sound.usage, classes(&[(Class::Input, 70), (Class::OutputAudio, 400)]));
}

/// A server's frame.
fn frame(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).expect("a short text").to_be_bytes();
    [&[0x81, 126][..], &length, text.as_bytes()].concat()
}

#[test]
fn a_realtime_session_sums_its_responses() {
    let done = r#"{"type":"response.done","response":{"usage":{"input_tokens":100,"output_tokens":40,
        "input_token_details":{"text_tokens":40,"audio_tokens":60,"cached_tokens":30,
        "cached_tokens_details":{"text_tokens":10,"audio_tokens":20}},
        "output_token_details":{"text_tokens":10,"audio_tokens":30}}}}"#;
    let began = r#"{"type":"session.created","session":{"model":"gpt-realtime-x"}}"#;
    let heard = r#"{"type":"conversation.item.input_audio_transcription.completed",
        "usage":{"type":"duration","seconds":3}}"#;
    let body = [began, done, heard, done].map(frame).concat();
    let metered = metered(&facts(Realtime, ""), &body, &Asked::default(), true);
    let wanted = [
        (Class::Input, 60),
        (Class::InputAudio, 80),
        (Class::CacheRead, 20),
        (Class::CacheReadAudio, 40),
        (Class::Output, 20),
        (Class::OutputAudio, 60),
    ];
    reported(&metered, &wanted);
    assert_eq!(metered.model.as_deref(), Some("gpt-realtime-x"));
    assert_eq!(metered.beside, classes(&[(Class::AudioMillis, 3_000)]));
    let spoken = frame(r#"{"type":"response.output_text.delta","delta":"one more word"}"#);
    let cut = [body, spoken].concat();
    let cut = super::tests::metered(&facts(Realtime, ""), &cut, &Asked::default(), false);
    assert_eq!((cut.usage.get(Class::Output), cut.basis), (23, Basis::Estimated));
}

#[test]
fn the_results_of_a_batch_are_summed_line_by_line() {
    let lines = concat!(
        r#"{"custom_id":"a","response":{"status_code":200,"body":{"model":"m","usage":{"prompt_tokens":5,"completion_tokens":2}}}}"#,
        "\n",
        r#"{"custom_id":"b","response":{"status_code":200,"body":{"model":"m","usage":{"input_tokens":7,"output_tokens":1}}}}"#,
        "\n",
        r#"{"custom_id":"c","error":{"code":"x"}}"#,
    );
    let facts = facts(Metering::BatchResults, "application/octet-stream");
    let metered = metered(&facts, lines.as_bytes(), &Asked::default(), true);
    reported(&metered, &[(Class::Input, 12), (Class::Output, 3)]);
    assert_eq!(metered.service_tier, ServiceTier::Batch);
}

/// The results of a batch, in Anthropic's words, told apart above these totals of input.
fn results(lines: &[u8], bands: &[u64], size: usize) -> Metered {
    let facts = AnswerFacts {
        provider: Provider::Anthropic,
        ..facts(Metering::BatchResults, "application/x-jsonl")
    };
    let mut meter = AnswerMeter::new(&facts).in_bands(bands.into());
    lines.chunks(size).for_each(|piece| meter.feed(piece));
    meter.end(&Asked::default(), true)
}

fn succeeded(model: &str, geo: &str, input: u64, output: u64) -> String {
    format!(
        "{{\"custom_id\":\"{{\",\"result\":{{\"type\":\"succeeded\",\"message\":{{\"model\":\"{model}\",\
         \"content\":[{{\"text\":\"{{\\\"usage\\\":7}}\"}}],\"usage\":{{\"input_tokens\":{input},\
         \"output_tokens\":{output},\"inference_geo\":\"{geo}\"}}}}}}}}\n"
    )
}

#[test]
fn the_results_of_a_batch_are_told_apart_by_what_prices_them() {
    let lines = [
        succeeded("m-1", "global", 100, 10),
        succeeded("m-2", "global", 40, 4),
        "\r\n".to_owned(),
        succeeded("m-1", "us", 50, 5),
        succeeded("m-1", "global", 1_001, 1),
        r#"{"custom_id":"e","result":{"type":"errored","error":{"model":"m-9"}}}"#.to_owned()
            + "\n",
        succeeded("m-1", "global", 1_000, 3),
        succeeded("m-1", "global", 5_000, 2).trim_end().to_owned(),
    ]
    .concat();
    let whole = results(lines.as_bytes(), &[1_000, 2_000], usize::MAX);
    for size in [1, 2, 3, 11, 64] {
        assert_eq!(results(lines.as_bytes(), &[1_000, 2_000], size), whole, "pieces of {size}");
    }
    let parts: Vec<_> = whole
        .parts
        .iter()
        .map(|part| {
            let usage = (part.usage.get(Class::Input), part.usage.get(Class::Output));
            (part.model.as_deref().unwrap_or(""), part.geo, usage, part.input_max)
        })
        .collect();
    let wanted = [
        ("m-1", Geo::Global, (1_100, 13), 1_000),
        ("m-2", Geo::Global, (40, 4), 40),
        ("m-1", Geo::Us, (50, 5), 50),
        ("m-1", Geo::Global, (1_001, 1), 1_001),
        ("m-1", Geo::Global, (5_000, 2), 5_000),
    ];
    assert_eq!(parts, wanted);
    reported(&whole, &[(Class::Input, 7_191), (Class::Output, 25)]);
}

#[test]
fn a_line_that_cannot_be_read_is_taken_for_text_and_says_so() {
    let deep = "[".repeat(200) + &"x".repeat(2_000) + "\n";
    let lines = succeeded("m", "", 5, 1) + &deep + &succeeded("m", "", 7, 2);
    let whole = results(lines.as_bytes(), &[], usize::MAX);
    assert_eq!(results(lines.as_bytes(), &[], 1), whole);
    assert_eq!(whole.basis, Basis::Unmetered);
    let guessed = deep.len() as u64 / 4;
    assert_eq!(whole.usage.get(Class::Input), 12);
    assert_eq!(whole.usage.get(Class::Output), 3 + guessed);
}

#[test]
fn however_many_models_and_lines_there_are_the_sums_stay_few_and_whole() {
    let lines: String = (0..500).map(|n| succeeded(&format!("m-{n}"), "", 1_000_000, 1)).collect();
    let whole = results(lines.as_bytes(), &[], 1_000);
    assert_eq!(whole.parts.len(), crate::meter::PARTS_MAX);
    let sum: u64 = whole.parts.iter().map(|part| part.usage.get(Class::Input)).sum();
    assert_eq!((sum, whole.usage.get(Class::Input)), (500_000_000, 500_000_000));
}

#[test]
fn a_batch_that_was_made_is_pending_and_one_that_was_refused_is_not() {
    let made = json(Metering::Batch, r#"{"id":"msgbatch_1","usage":{"input_tokens":9}}"#);
    assert!(made.pending && made.usage.is_none());
    let facts = AnswerFacts {
        status: StatusCode::BAD_REQUEST,
        ..facts(Metering::Batch, "application/json")
    };
    assert!(!metered(&facts, b"{}", &Asked::default(), true).pending);
}

#[test]
fn refusals_cost_nothing_but_those_of_azures_filter() {
    let filtered = br#"{"error":{"code":"content_filter","innererror":{"code":"x"}}}"#;
    let asked = Asked { input_estimate: 123, ..Asked::default() };
    for (provider, status, input) in [
        (Provider::Azure, 400, 123),
        (Provider::Azure, 429, 0),
        (Provider::OpenAi, 400, 0),
        (Provider::OpenAi, 500, 0),
    ] {
        let facts = AnswerFacts {
            provider,
            status: StatusCode::from_u16(status).expect("a status"),
            ..facts(Chat, "application/json")
        };
        let metered = metered(&facts, filtered, &asked, true);
        assert_eq!(metered.usage.get(Class::Input), input, "{provider} {status}");
        assert_eq!(metered.charged_although_refused, input > 0);
    }
    let other = AnswerFacts {
        provider: Provider::Azure,
        status: StatusCode::BAD_REQUEST,
        ..facts(Chat, "application/json")
    };
    reported(&metered(&other, br#"{"error":{"code":"bad"}}"#, &asked, true), &[]);
}

#[test]
fn a_stream_without_usage_is_counted() {
    let body = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hello \"}}]}\n\n\
                data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"world\"}}]}\n\n\
                data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n\
                data: [DONE]\n\n";
    let asked = Asked { input_estimate: 9, ..Asked::default() };
    let metered = metered(&facts(Chat, "text/event-stream"), body.as_bytes(), &asked, true);
    assert_eq!(metered.usage, classes(&[(Class::Input, 9), (Class::Output, 2)]));
    assert_eq!(metered.basis, Basis::Estimated);
    assert!(metered.finish_marker && !metered.usage_seen);
}

#[test]
fn a_chat_has_finished_when_all_of_its_choices_have() {
    let mut meter = AnswerMeter::new(&facts(Chat, "text/event-stream"));
    let chunk = |index: u32, reason: &str| {
        format!("data: {{\"choices\":[{{\"finish_reason\":{reason},\"index\":{index}}}]}}\n\n")
    };
    meter.feed(chunk(0, "null").as_bytes());
    meter.feed(chunk(1, "null").as_bytes());
    meter.feed(chunk(0, "\"stop\"").as_bytes());
    assert!(!meter.progress().finish_marker);
    meter.feed(chunk(1, "\"length\"").as_bytes());
    assert!(meter.progress().finish_marker && !meter.progress().usage_seen);
}

#[test]
fn what_cannot_be_read_is_unmetered_and_bounded() {
    let asked = Asked { input_estimate: 11, ..Asked::default() };
    let coded =
        |coding| AnswerFacts { content_encoding: Some(coding), ..facts(Chat, "application/json") };
    for (facts, body) in [
        (coded("gzip"), "this is no gzip at all"),
        (coded("what"), r#"{"usage":{"prompt_tokens":1,"completion_tokens":1}}"#),
        (coded("gzip, br"), r#"{"usage":{"prompt_tokens":1,"completion_tokens":1}}"#),
        (facts(Chat, "text/html"), "<html>a login page</html>"),
        (facts(Chat, "application/json"), r#"{"choices":[},"usage":{"prompt_tokens":1}}"#),
        (facts(Chat, "application/json"), r#"{"choices":["#),
    ] {
        let metered = metered(&facts, body.as_bytes(), &asked, true);
        assert_eq!(metered.basis, Basis::Unmetered, "{body}");
        assert_eq!(metered.usage.get(Class::Input), 11);
        assert!(metered.usage.output_total() <= body.len() as u64);
    }
}

#[test]
fn an_answer_that_fails_before_it_says_anything_costs_nothing() {
    let failed = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded\"}}\n\n";
    let asked = Asked { input_estimate: 11, ..Asked::default() };
    for metering in [Chat, Messages, Responses] {
        let facts = facts(metering, "text/event-stream");
        reported(&metered(&facts, failed.as_bytes(), &asked, true), &[]);
    }
}

#[test]
fn huge_and_deep_fields_take_no_memory() {
    let deep = "[".repeat(120) + &"]".repeat(120);
    let huge = "x".repeat(300_000);
    let body = format!(
        r#"{{"{huge}":"{huge}","deep":{deep},"model":"{huge}","usage":{{"{huge}":1,
        "prompt_tokens":3,"completion_tokens":4}}}}"#
    );
    let mut meter = AnswerMeter::new(&facts(Chat, "application/json"));
    for piece in body.as_bytes().chunks(1000) {
        meter.feed(piece);
        assert!(meter.memory_bytes() <= 4096, "{} bytes", meter.memory_bytes());
    }
    let metered = meter.end(&Asked::default(), true);
    reported(&metered, &[(Class::Input, 3), (Class::Output, 4)]);
    assert_eq!(metered.model, None);
}

#[test]
fn output_grows_with_what_the_user_is_given() {
    let mut meter = AnswerMeter::new(&facts(Chat, "text/event-stream"));
    let chunk =
        b"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\" one more word\"}}]}\n\n";
    let mut units = 0;
    for _ in 0..400 {
        meter.feed(chunk);
        let now = meter.progress().output_units;
        assert!(now + 40 >= units);
        units = now;
    }
    assert!((1100..=1200).contains(&units), "{units}");
}

proptest! {
    #[test]
    fn any_bytes_in_any_split_are_read_without_a_panic_and_alike(
        body in prop::collection::vec(any::<u8>(), 0..300),
        valid in prop::sample::select(vec!["", "data: ", "{\"usage\":{\"prompt_tokens\":", "\n\n"]),
        metering in prop::sample::select(vec![
            Chat, Responses, Messages, Images, Transcription, Speech, Realtime, Metering::BatchResults,
        ]),
        kind in prop::sample::select(vec!["", "application/json", "text/event-stream"]),
        proper in any::<bool>(),
    ) {
        let body = [valid.as_bytes(), &body].concat();
        let metered = metered(&facts(metering, kind), &body, &Asked::default(), proper);
        prop_assert!(metered.usage.input_total() < 1 << 60 || metered.usage_seen);
    }
}
