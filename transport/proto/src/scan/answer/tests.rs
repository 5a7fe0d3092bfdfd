use http::HeaderValue;
use http::header::CONTENT_ENCODING;
use proptest::prelude::*;

use super::super::json::tests::split_at;
use super::*;
use crate::decode::tests::encode;
use crate::objects::ObjectKind::{Batch, Container, Conversation, File, Item, Response, Upload};

const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream; charset=utf-8";

fn headers(content_type: &'static str, coding: &'static str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if coding != "identity" {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
    }
    headers
}

fn scan(tap: Tap, content_type: &'static str) -> AnswerScan {
    AnswerScan::new(tap, &headers(content_type, "identity")).expect("a scan")
}

/// Everything told, the newest word on each object in the place of the first.
fn told(mut scan: AnswerScan, splits: &[&[u8]]) -> (Vec<Found>, bool) {
    let mut told: Vec<Found> = Vec::new();
    for split in splits {
        scan.feed(split);
        for found in scan.take_found() {
            let known = |it: &&mut Found| it.kind == found.kind && it.id == found.id;
            match told.iter_mut().find(known) {
                Some(known) => *known = found,
                None => told.push(found),
            }
        }
    }
    (told, scan.is_blind())
}

/// A finding as text: kind, id, parent and size.
fn text(found: &[Found]) -> Vec<String> {
    let word = |found: &Found| {
        let parent = found.parent.as_ref().map(|parent| format!(" of {parent}"));
        let bytes = found.bytes.map(|bytes| format!(" {bytes} B"));
        let (parent, bytes) = (parent.unwrap_or_default(), bytes.unwrap_or_default());
        format!("{} {}{parent}{bytes}", found.kind, found.id)
    };
    found.iter().map(word).collect()
}

fn read(tap: Tap, content_type: &'static str, body: &str) -> Vec<String> {
    let bytes: Vec<&[u8]> = body.as_bytes().chunks(1).collect();
    let slowly = told(scan(tap, content_type), &bytes);
    let whole = told(scan(tap, content_type), &[body.as_bytes()]);
    assert_eq!(slowly, whole, "{body} differs in single bytes");
    assert!(!whole.1, "blind on {body}");
    text(&whole.0)
}

#[test]
fn every_object_tells_its_own_id() {
    for (tap, body, wanted) in [
        (
            Tap::File,
            r#"{"id":"file-abc","object":"file","bytes":120000,"purpose":"user_data"}"#,
            &["file file-abc 120000 B"][..],
        ),
        (
            Tap::File,
            r#"{"type":"file","size_bytes":7,"id":"file_011C","filename":"a.pdf"}"#,
            &["file file_011C 7 B"],
        ),
        (Tap::File, r#"{"id":"file-abc","bytes":1e99}"#, &["file file-abc"]),
        (
            Tap::Upload,
            r#"{"id":"upload_1","object":"upload","bytes":9,"file":null}"#,
            &["upload upload_1 9 B"],
        ),
        (
            Tap::Upload,
            r#"{"id":"upload_1","file":{"id":"file-1","object":"file","bytes":9}}"#,
            &["upload upload_1", "file file-1 9 B"],
        ),
        (Tap::Conversation, r#"{"id":"conv_1","metadata":{"id":"no"}}"#, &["conversation conv_1"]),
        (Tap::Container, "\n\n {\"id\":\"cntr_1\"}", &["container cntr_1"]),
        (
            Tap::Batch,
            r#"{"id":"batch_1","input_file_id":"file-0","output_file_id":"file-1","error_file_id":null}"#,
            &["batch batch_1", "file file-1 of batch_1"],
        ),
        (
            Tap::ContainerFiles,
            r#"{"id":"cfile_1","bytes":5,"container_id":"cntr_1","path":"/mnt/data/a"}"#,
            &["file cfile_1 of cntr_1 5 B"],
        ),
        (
            Tap::ContainerFiles,
            r#"{"object":"list","data":[{"id":"cfile_1","bytes":5},{"id":"cfile_2"}],"first_id":"x"}"#,
            &["file cfile_1 5 B", "file cfile_2"],
        ),
        (
            Tap::Items,
            r#"{"object":"list","data":[{"type":"message","id":"msg_1","content":[]},{"id":"fc_1"}],
                "first_id":"msg_1","has_more":false}"#,
            &["item msg_1", "item fc_1"],
        ),
    ] {
        assert_eq!(read(tap, JSON, body), wanted, "{body}");
    }
}

const RESPONSE: &str = r#"{"id":"resp_1","object":"response","conversation":{"id":"conv_9"},
  "previous_response_id":"resp_0","metadata":{"id":"no","file_id":"no"},
  "output":[
    {"id":"rs_1","type":"reasoning","summary":[]},
    {"id":"ci_1","type":"code_interpreter_call","container_id":"cntr_1","outputs":[]},
    {"id":"sh_1","type":"shell_call","environment":{"type":"container_reference","container_id":"cntr_2"}},
    {"id":"msg_1","type":"message","role":"assistant","content":[
      {"type":"output_text","text":"{\"id\":\"no\"}","annotations":[
        {"type":"container_file_citation","container_id":"cntr_1","file_id":"cfile_1","start_index":0},
        {"type":"file_citation","file_id":"file-1"}]}]},
    {"id":"fc_1","type":"function_call","arguments":"{\"file_id\":\"no\"}","call_id":"call_1"}],
  "tools":[{"type":"function","parameters":{"properties":{"id":"no","file_id":{"container_id":"no"}}}},
           {"type":"code_interpreter","container":{"type":"auto","id":"no"}}],
  "text":{"format":{"schema":{"output":[{"id":"no"}]}}},
  "usage":{"input_tokens":1}}"#;

const RESPONSE_FOUND: [&str; 10] = [
    "response resp_1",
    "item rs_1 of resp_1",
    "item ci_1 of resp_1",
    "container cntr_1",
    "item sh_1 of resp_1",
    "container cntr_2",
    "item msg_1 of resp_1",
    "file cfile_1 of cntr_1",
    "file file-1",
    "item fc_1 of resp_1",
];

#[test]
fn a_response_tells_its_items_and_not_what_it_echoes() {
    assert_eq!(read(Tap::Response, JSON, RESPONSE), RESPONSE_FOUND);
}

#[test]
fn a_streamed_response_tells_its_ids_as_they_come() {
    let stream = concat!(
        ": keep-alive\n\n",
        "event: response.created\n",
        "data: {\"type\":\"response.created\",\"response\":{\"id\":\"resp_1\",\"output\":[],",
        "\"tools\":[{\"parameters\":{\"item\":{\"id\":\"no\"}}}]},\"id\":\"no\"}\n\n",
        "event: response.output_item.added\r\n",
        "data: {\"type\":\"x\",\"item\":{\"id\":\"msg_1\",\"type\":\"message\",\"content\":[]}}\r\n\r\n",
        "data: {\"type\":\"response.output_text.delta\",\"item_id\":\"msg_1\",\"delta\":\"\\\"id\\\"\"}\n\n",
        "data: {\"annotation\":{\"container_id\":\"cntr_1\",\"file_id\":\"cfile_1\"}}\n\n",
        "data: {\"part\":{\"annotations\":[{\"file_id\":\"cfile_2\"}]}}\n\n",
        "data: {\"item\":{\"id\":\"ci_1\",\n",
        "data: \"container_id\":\"cntr_2\"}}\n\n",
        "data: this is {\"no\": json\n\n",
        "data: {\"response\":{\"id\":\"resp_1\",\"output\":[{\"id\":\"msg_1\"},{\"id\":\"rs_1\",",
        "\"content\":[{\"annotations\":[{\"file_id\":\"cfile_3\"}]}]}]}}\n\n",
        "data: [DONE]\n\n",
        "data: {\"item\":{\"id\":\"fc_1\"}}",
    );
    assert_eq!(
        read(Tap::Response, EVENTS, stream),
        [
            "response resp_1",
            "item msg_1 of resp_1",
            "container cntr_1",
            "file cfile_1 of cntr_1",
            "file cfile_2",
            "item ci_1 of resp_1",
            "container cntr_2",
            "item rs_1 of resp_1",
            "file cfile_3",
            "item fc_1 of resp_1",
        ]
    );
}

#[test]
fn a_message_tells_its_container_and_what_tools_have_made() {
    let whole = r#"{"id":"msg_01","type":"message","container":{"id":"container_1","expires_at":"x"},
      "content":[
        {"type":"tool_use","id":"toolu_1","input":{"file_id":"no","content":{"file_id":"no"}}},
        {"type":"code_execution_tool_result","tool_use_id":"srvtoolu_1",
         "content":{"type":"code_execution_result","stdout":"{\"file_id\":\"no\"}",
                    "content":[{"type":"code_execution_output","file_id":"file_011"}]}},
        {"type":"bash_code_execution_tool_result","content":[[{"x":{"file_id":"file_012"}}]]}],
      "file_id":"no"}"#;
    assert_eq!(
        read(Tap::Messages, JSON, whole),
        ["container container_1", "file file_011", "file file_012"]
    );
    let stream = concat!(
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_01\",",
        "\"container\":{\"id\":\"container_1\"},\"content\":[]}}\n\n",
        "event: ping\ndata: {\"type\": \"ping\"}\n\n",
        "event: content_block_start\ndata: {\"content_block\":{\"type\":\"code_execution_tool_result\",",
        "\"content\":{\"content\":[{\"file_id\":\"file_011\"}]}}}      \n\n",
        "event: message_delta\ndata: {\"delta\":{\"stop_reason\":\"end_turn\",",
        "\"container\":{\"id\":\"container_2\"}}}\n\n",
    );
    assert_eq!(
        read(Tap::Messages, EVENTS, stream),
        ["container container_1", "file file_011", "container container_2"]
    );
    let null = r#"{"id":"msg_01","container":null,"content":[{"type":"text","text":"x"}]}"#;
    assert_eq!(read(Tap::Messages, JSON, null), Vec::<String>::new());
}

#[test]
fn a_chat_tells_its_audio_and_nothing_else() {
    let whole = r#"{"id":"chatcmpl-1","choices":[{"message":{"audio":{"id":"audio_1","data":"UklGR"},
      "tool_calls":[{"id":"call_1","function":{"arguments":"{}"}}]}}],"audio":{"id":"no"}}"#;
    assert_eq!(read(Tap::Chat, JSON, whole), ["item audio_1"]);
    let stream = concat!(
        "data: {\"id\":\"chatcmpl-1\",\"choices\":[{\"delta\":{\"audio\":{\"id\":\"audio_1\"}}}]}\n\n",
        "data: {\"id\":\"chatcmpl-1\",\"choices\":[{\"delta\":{\"audio\":{\"data\":\"UklGR\"}}}]}\n\n",
        "data: {\"choices\":[],\"usage\":{\"id\":\"no\"}}\n\ndata: [DONE]\n\n",
    );
    assert_eq!(read(Tap::Chat, EVENTS, stream), ["item audio_1"]);
}

#[test]
fn what_the_request_was_about_is_the_parent_of_the_parts() {
    let parent = ObjectId::parse("conv_1").expect("an id");
    let mut items = scan(Tap::Items, JSON).under(parent.clone());
    items.feed(br#"{"data":[{"id":"msg_1","container_id":"cntr_1"}]}"#);
    assert_eq!(text(&items.take_found()), ["item msg_1 of conv_1", "container cntr_1"]);
    // What the answer says of itself goes first.
    let mut response = scan(Tap::Response, JSON).under(parent);
    response.feed(br#"{"id":"resp_1","output":[{"id":"msg_1"}]}"#);
    assert_eq!(text(&response.take_found()), ["response resp_1", "item msg_1 of resp_1"]);
}

#[test]
fn an_id_is_told_with_the_read_that_ends_it_and_its_size_when_that_is_known() {
    let mut file = scan(Tap::File, JSON);
    file.feed(br#"{"id":"file-1"#);
    assert_eq!(file.take_found(), []);
    file.feed(br#"23","by"#);
    assert_eq!(text(&file.take_found()), ["file file-123"]);
    file.feed(br#"tes":12"#);
    assert_eq!(file.take_found(), []);
    file.feed(b"3}");
    assert_eq!(text(&file.take_found()), ["file file-123 123 B"]);
    assert_eq!(file.take_found(), []);
    assert!(!file.is_blind());
}

#[test]
fn an_answer_is_over_with_its_value_and_events_never_are() {
    let mut file = scan(Tap::File, "application/json");
    for (piece, over) in [("\n", false), ("{\"id\":\"file-1\"", false), ("}", true), ("\n", true)] {
        file.feed(piece.as_bytes());
        assert_eq!(file.is_over(), over, "{piece:?}");
    }
    let mut events = scan(Tap::Response, "text/event-stream");
    events.feed(b"data: {}\n\n");
    assert!(!events.is_over());
}

#[test]
fn ids_that_no_request_could_name_are_passed_over() {
    let long = format!(r#"{{"id":"{}"}}"#, "x".repeat(129));
    for body in [
        r#"{"id":""}"#,
        r#"{"id":"a b"}"#,
        r#"{"id":7}"#,
        r#"{"id":null}"#,
        r#"{"id":["x"]}"#,
        &long,
    ] {
        assert_eq!(read(Tap::File, JSON, body), Vec::<String>::new(), "{body}");
    }
    assert_eq!(read(Tap::File, JSON, r#"{"\u0069d":"file\u002d1"}"#), ["file file-1"]);
}

#[test]
fn an_answer_that_cannot_hold_ids_has_no_scan() {
    for tap in Tap::ALL {
        for content_type in ["text/plain", "application/octet-stream", "audio/mpeg", "text/html"] {
            assert!(AnswerScan::new(tap, &headers(content_type, "identity")).is_none());
        }
        assert!(AnswerScan::new(tap, &HeaderMap::new()).is_none());
        let events = AnswerScan::new(tap, &headers(EVENTS, "identity"));
        assert_eq!(
            events.is_some(),
            matches!(tap, Tap::Chat | Tap::Response | Tap::Messages),
            "{tap:?}"
        );
        assert!(AnswerScan::new(tap, &headers("application/problem+json", "identity")).is_some());
    }
}

#[test]
fn what_cannot_be_read_makes_blind_and_what_was_told_stays() {
    let mut broken = scan(Tap::Response, JSON);
    broken.feed(br#"{"id":"resp_1",}"#);
    assert!(broken.is_blind());
    assert_eq!(text(&broken.take_found()), ["response resp_1"]);
    broken.feed(br#"{"id":"resp_2"}"#);
    assert_eq!(broken.take_found(), []);

    let unknown = AnswerScan::new(Tap::File, &headers(JSON, "compress")).expect("a blind scan");
    assert!(unknown.is_blind());
    let mut garbage = AnswerScan::new(Tap::File, &headers(JSON, "gzip")).expect("a scan");
    garbage.feed(br#"{"id":"file-1"}"#);
    assert!(garbage.is_blind());
    assert_eq!(garbage.take_found(), []);
}

#[test]
fn too_many_objects_make_blind() {
    let list = |count: usize| {
        let ids: Vec<_> = (0..count).map(|at| format!(r#"{{"id":"msg_{at}"}}"#)).collect();
        let mut items = scan(Tap::Items, JSON);
        items.feed(format!(r#"{{"data":[{}]}}"#, ids.join(",")).as_bytes());
        (items.take_found().len(), items.is_blind())
    };
    assert_eq!(list(FOUND_MAX), (FOUND_MAX, false));
    assert_eq!(list(FOUND_MAX + 1), (FOUND_MAX, true));
    assert_eq!(list(FOUND_MAX + 500), (FOUND_MAX, true));
    // The same ones again and again are no more than once.
    let mut events = scan(Tap::Response, EVENTS);
    for _ in 0..10_000 {
        events.feed(b"data: {\"item\":{\"id\":\"msg_1\"}}\n\n");
    }
    assert_eq!((events.take_found().len(), events.is_blind()), (1, false));
}

#[test]
fn a_scan_can_go_to_another_thread() {
    fn is_send<T: Send>() {}
    is_send::<AnswerScan>();
}

#[test]
fn every_kind_of_object_is_made_known_by_some_answer() {
    let all = [
        (Tap::File, r#"{"id":"x"}"#, File),
        (Tap::Upload, r#"{"id":"x"}"#, Upload),
        (Tap::Response, r#"{"id":"x"}"#, Response),
        (Tap::Conversation, r#"{"id":"x"}"#, Conversation),
        (Tap::Container, r#"{"id":"x"}"#, Container),
        (Tap::Items, r#"{"data":[{"id":"x"}]}"#, Item),
        (Tap::Batch, r#"{"id":"x"}"#, Batch),
    ];
    for (tap, body, kind) in all {
        assert_eq!(read(tap, JSON, body), [format!("{kind} x")]);
    }
    assert_eq!(all.map(|(_, _, kind)| kind).len(), ObjectKind::ALL.len());
}

proptest! {
    #[test]
    fn any_split_and_any_coding_tell_what_the_whole_tells(
        streamed in any::<bool>(),
        coding in prop::sample::select(vec!["identity", "gzip", "deflate", "br", "zstd"]),
        flushes in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let (content_type, body) = if streamed {
            let line = RESPONSE.replace('\n', " ");
            (EVENTS, format!(": x\n\nevent: y\ndata: {{\"response\":{line}}}\n\ndata: [DONE]\n\n"))
        } else {
            (JSON, RESPONSE.to_owned())
        };
        let coded = encode(coding, &split_at(body.as_bytes(), &flushes));
        let scan = AnswerScan::new(Tap::Response, &headers(content_type, coding)).expect("a scan");
        let (found, blind) = told(scan, &split_at(&coded, &cuts));
        prop_assert!(!blind);
        prop_assert_eq!(text(&found), RESPONSE_FOUND);
    }

    #[test]
    fn any_bytes_are_watched_without_a_panic_and_alike_in_any_split(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "{\"id\":", "\"a\"", "\"output\":[", "]", "}", ",", "data: ", "\n\n", "\r", "{", "\"x\":",
            "\"data\":[", "\"bytes\":7", "\"item\":", "\"container_id\":\"c\"", "null", "\u{1}",
        ]), 0..20),
        tap in prop::sample::select(Tap::ALL.to_vec()),
        streamed in any::<bool>(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let content_type = if streamed { EVENTS } else { JSON };
        let body = pieces.concat();
        let all = headers(content_type, "identity");
        if let (Some(one), Some(two)) = (AnswerScan::new(tap, &all), AnswerScan::new(tap, &all)) {
            let whole = told(one, &[body.as_bytes()]);
            prop_assert_eq!(told(two, &split_at(body.as_bytes(), &cuts)), whole);
        }
    }
}
