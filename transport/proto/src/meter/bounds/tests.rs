//! Figures that cannot be, and figures that an honest provider tells.

use super::*;
use crate::meter::{AnswerFacts, AnswerMeter, Metered, RequestMeter};
use crate::provider::Provider;
use crate::tables::routes;
use crate::usage::Basis;
use http::{Method, StatusCode};
use proptest::prelude::*;

/// What a request asks for.
fn asked(provider: Provider, path: &str, body: &str) -> Asked {
    let matched = routes::find(provider, &Method::POST, path).expect("a route");
    let mut meter = RequestMeter::new(&matched, Some("application/json"), None);
    meter.feed(body.as_bytes());
    meter.finish();
    meter.asked().clone()
}

/// The answer of a chat with this usage.
fn chat(asked: &Asked, usage: &str) -> Metered {
    let facts = AnswerFacts {
        provider: Provider::OpenAi,
        metering: Metering::Chat,
        status: StatusCode::OK,
        content_type: Some("application/json"),
        content_encoding: None,
    };
    let mut meter = AnswerMeter::new(&facts);
    let body = format!(
        r#"{{"model":"m","choices":[{{"index":0,"finish_reason":"stop","message":{{"content":
        "hello"}}}}],"usage":{usage}}}"#
    );
    meter.feed(body.as_bytes());
    meter.end(asked, true)
}

const PLAIN: &str =
    r#"{"model":"m","max_tokens":10,"n":2,"messages":[{"role":"user","content":"hi"}]}"#;

#[test]
fn nobody_writes_more_than_was_asked_for_nor_reads_more_than_was_sent() {
    let asked = asked(Provider::OpenAi, "/v1/chat/completions", PLAIN);
    assert!(asked.whole && !asked.elsewhere && !asked.provider_tools && !asked.several);
    let told = chat(&asked, r#"{"prompt_tokens":90000000,"completion_tokens":7000000}"#);
    let (read, written) = (told.usage.get(Class::Input), told.usage.get(Class::Output));
    assert_eq!(read, PLAIN.len() as u64 + ADDED_TOKENS);
    assert_eq!(written, 2 * (10 + OVER_TOKENS));
    assert_eq!((told.basis, told.basis.name()), (Basis::Bounded, "bounded"));
    assert_eq!(Basis::from_number(told.basis as u8), Some(Basis::Bounded));
    // In whatever classes it is hidden.
    let told = chat(
        &asked,
        r#"{"prompt_tokens":9000000,"completion_tokens":700000,"prompt_tokens_details":
        {"cached_tokens":8000000,"audio_tokens":500000},"completion_tokens_details":
        {"reasoning_tokens":600000,"audio_tokens":90000}}"#,
    );
    assert_eq!(told.usage.input_total(), PLAIN.len() as u64 + ADDED_TOKENS);
    assert_eq!(told.usage.output_total(), 2 * (10 + OVER_TOKENS));
    assert_eq!(told.basis, Basis::Bounded);
}

#[test]
fn what_can_have_been_is_believed_as_it_is_told() {
    let asked = asked(Provider::OpenAi, "/v1/chat/completions", PLAIN);
    let told = chat(&asked, r#"{"prompt_tokens":900,"completion_tokens":20}"#);
    assert_eq!((told.usage.input_total(), told.usage.output_total()), (900, 20));
    assert_eq!(told.basis, Basis::Reported);
    // Of a request that nobody has read nothing is known that bounds it.
    let told = chat(&Asked::default(), r#"{"prompt_tokens":1000000,"completion_tokens":400000}"#);
    assert_eq!((told.usage.input_total(), told.usage.output_total()), (1_000_000, 400_000));
    assert_eq!(told.basis, Basis::Reported);
}

#[test]
fn what_the_request_leaves_open_is_bounded_by_the_largest_context_alone() {
    let open = [
        (Provider::OpenAi, "/v1/responses", r#"{"previous_response_id":"resp_1","input":"a"}"#),
        (Provider::OpenAi, "/v1/responses", r#"{"conversation":{"id":"conv_1"},"input":"a"}"#),
        (Provider::OpenAi, "/v1/responses", r#"{"prompt":{"id":"pmpt_1"}}"#),
        (
            Provider::OpenAi,
            "/v1/responses",
            r#"{"input":[{"type":"item_reference","id":"msg_1"}]}"#,
        ),
        (
            Provider::OpenAi,
            "/v1/responses",
            r#"{"input":[{"content":[{"type":"input_image","image_url":"https://x"}]}]}"#,
        ),
        (
            Provider::OpenAi,
            "/v1/chat/completions",
            r#"{"messages":[{"content":[{"type":"file","file":{"file_id":"file-1"}}]}]}"#,
        ),
        (
            Provider::Anthropic,
            "/v1/messages",
            r#"{"messages":[{"content":[{"type":"image","source":{"type":"url","url":"x"}}]}]}"#,
        ),
        (Provider::Anthropic, "/v1/messages", r#"{"container":"c_1","messages":[]}"#),
        (Provider::Azure, "/openai/v1/chat/completions", r#"{"data_sources":[{}],"messages":[]}"#),
    ];
    for (provider, path, body) in open {
        let asked = asked(provider, path, body);
        assert!(asked.whole, "{body}");
        let most = Most::of(Metering::Responses, &asked).expect("a bound");
        assert_eq!(most.read, CONTEXT_TOKENS_MAX, "{body}");
    }
    // Tools of the provider's own read it all again.
    for body in [
        r#"{"tools":[{"type":"web_search"}],"input":"a"}"#,
        r#"{"tools":[{"type":"mcp","server_url":"x"}],"input":"a"}"#,
        r#"{"model":"o9-deep-research","input":"a"}"#,
    ] {
        let asked = asked(Provider::OpenAi, "/v1/responses", body);
        let most = Most::of(Metering::Responses, &asked).expect("a bound");
        assert_eq!((most.read, most.searches), (CONTEXT_TOKENS_MAX * ROUNDS_MAX, CALLS_MAX));
    }
    // One of the user's own is text, and null names nothing.
    let body = r#"{"tools":[{"type":"function","name":"f"}],"conversation":null,"input":"a"}"#;
    let asked = asked(Provider::OpenAi, "/v1/responses", body);
    let most = Most::of(Metering::Responses, &asked).expect("a bound");
    assert_eq!((most.read, most.searches), (body.len() as u64 + ADDED_TOKENS, 0));
}

#[test]
fn a_body_that_was_not_read_to_its_end_bounds_nothing_by_what_it_said_so_far() {
    let path = "/v1/chat/completions";
    let half = &PLAIN[..PLAIN.len() - 9];
    for (body, coding) in [(half, None), (PLAIN, Some("gzip"))] {
        let matched = routes::find(Provider::OpenAi, &Method::POST, path).expect("a route");
        let mut meter = RequestMeter::new(&matched, None, coding);
        meter.feed(body.as_bytes());
        meter.finish();
        assert!(!meter.asked().whole);
        let most = Most::of(Metering::Chat, meter.asked()).expect("a bound");
        assert_eq!(most.read, CONTEXT_TOKENS_MAX * ROUNDS_MAX);
        assert_eq!(most.written, ANSWER_TOKENS_MAX * ROUNDS_MAX);
    }
    let several = asked(Provider::DeepSeek, "/beta/completions", r#"{"prompt":["a","b"]}"#);
    assert!(several.several && several.whole);
}

#[test]
fn tools_that_were_not_offered_were_not_called_and_turns_that_were_not_asked_for_not_taken() {
    let mut plain = asked(Provider::Anthropic, "/v1/messages", PLAIN);
    let usage = Usage::NONE.with(Class::WebSearch, 9).with(Class::CodeSession, 1);
    let turns = Usage::NONE.with(Class::Input, 500_000);
    let (held, beside) = within(Metering::Messages, &plain, &usage, &turns);
    assert!(held.is_none() && beside.is_none());
    plain.hosted_tools = true;
    assert_eq!(within(Metering::Messages, &plain, &usage, &turns), (usage, turns));
    // A model that searches once by itself.
    plain.hosted_tools = false;
    let one = Usage::NONE.with(Class::WebSearch, 1);
    assert_eq!(within(Metering::Chat, &plain, &one, &Usage::NONE).0, one);
}

#[test]
fn images_are_no_more_than_were_asked_for_where_the_request_says() {
    let made = Usage::NONE.with(Class::Image, 9);
    let of = |asked: &Asked| within(Metering::Images, asked, &made, &Usage::NONE).0;
    let path = "/v1/images/generations";
    let two = asked(Provider::OpenAi, path, r#"{"prompt":"a","n":2}"#);
    assert_eq!(of(&two).get(Class::Image), 2);
    let one = asked(Provider::OpenAi, path, r#"{"prompt":"a"}"#);
    assert_eq!(of(&one).get(Class::Image), 1);
    // The fields of a form are not all read.
    let form = Asked { whole: true, attachments: 1, ..Asked::default() };
    assert_eq!(of(&form), made);
}

#[test]
fn what_is_counted_here_is_held_to_the_bound_and_accuses_nobody() {
    let asked = asked(Provider::OpenAi, "/v1/chat/completions", PLAIN);
    let facts = AnswerFacts {
        provider: Provider::OpenAi,
        metering: Metering::Chat,
        status: StatusCode::OK,
        content_type: None,
        content_encoding: Some("unheard-of"),
    };
    let mut meter = AnswerMeter::new(&facts);
    meter.feed(&[b'x'; 100_000]);
    let unreadable = meter.end(&asked, true);
    assert_eq!(unreadable.usage.get(Class::Output), 2 * (10 + OVER_TOKENS));
    assert_eq!(unreadable.basis, Basis::Unmetered);
}

proptest! {
    #[test]
    fn no_figures_whatever_pass_the_bounds_and_none_become_more(
        units in prop::collection::vec(0_u64..1 << 40, crate::usage::CLASSES),
        output_max in prop::option::of(0_u64..1 << 34),
        choices in 0_u64..1_000,
        body_bytes in 0_u64..1 << 34,
        flags in prop::collection::vec(any::<bool>(), 5),
    ) {
        let usage: Usage = Class::ALL.into_iter().zip(units).collect();
        let asked = Asked {
            output_max, choices, body_bytes,
            whole: flags[0], elsewhere: flags[1], hosted_tools: flags[2], several: flags[3],
            attachments: u64::from(flags[4]), ..Asked::default()
        };
        for metering in [Metering::Chat, Metering::Images, Metering::Speech, Metering::Realtime,
            Metering::Transcription, Metering::Embeddings, Metering::StoredResponse] {
            let most = Most::of(metering, &asked).expect("a bound");
            let (held, _) = within(metering, &asked, &usage, &Usage::NONE);
            prop_assert!(held.input_total() <= most.read);
            prop_assert!(held.output_total() <= most.written);
            for class in Class::ALL {
                prop_assert!(held.get(class) <= usage.get(class));
            }
            prop_assert_eq!(within(metering, &asked, &held, &Usage::NONE).0, held, "once is enough");
        }
    }
}
