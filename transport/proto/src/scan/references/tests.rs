use proptest::prelude::*;
use serde_json::Value;

use super::super::ModelScan;
use super::super::json::tests::split_at;
use super::*;
use crate::objects::ObjectKind::{Container, Conversation, File, Item, Response};

fn scan(dialect: Dialect, splits: &[&[u8]]) -> Result<Vec<Reference>, ScanError> {
    let mut scan = ModelScan::new(dialect);
    let mut found = Vec::new();
    for split in splits {
        scan.feed(split)?;
        found.extend(scan.take_references());
    }
    scan.finish()?;
    assert!(scan.take_references().is_empty(), "found at the very end");
    Ok(found)
}

fn read(dialect: Dialect, text: &str) -> Result<Vec<(ObjectKind, String)>, ScanError> {
    let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
    let slowly = scan(dialect, &bytes);
    assert_eq!(slowly, scan(dialect, &[text.as_bytes()]), "{text} differs in single bytes");
    let named = |reference: Reference| {
        (reference.kind.expect("every key tells its kind"), reference.id.to_string())
    };
    slowly.map(|found| found.into_iter().map(named).collect())
}

fn openai(text: &str) -> Result<Vec<(ObjectKind, String)>, ScanError> {
    read(Dialect::OpenAi, text)
}

fn one(kind: ObjectKind, id: &str) -> Result<Vec<(ObjectKind, String)>, ScanError> {
    Ok(vec![(kind, id.to_owned())])
}

fn none() -> Result<Vec<(ObjectKind, String)>, ScanError> {
    Ok(Vec::new())
}

#[test]
fn every_key_is_found_wherever_it_stands() {
    for (text, wanted) in [
        (r#"{"previous_response_id":"resp_1"}"#, one(Response, "resp_1")),
        (r#"{"conversation":"conv_1"}"#, one(Conversation, "conv_1")),
        (r#"{"conversation":{"id":"conv_1"}}"#, one(Conversation, "conv_1")),
        (r#"{"container_id":"cntr_1"}"#, one(Container, "cntr_1")),
        (r#"{"file_id":"file-1"}"#, one(File, "file-1")),
        (
            r#"{"tools":[{"type":"code_interpreter","container":"cntr_1"}]}"#,
            one(Container, "cntr_1"),
        ),
        (r#"{"tools":[{"container":{"id":"cntr_1","type":"x"}}]}"#, one(Container, "cntr_1")),
        (r#"{"tools":[{"container":{"type":"auto","file_ids":["file-1"]}}]}"#, one(File, "file-1")),
        (
            r#"{"tools":[{"environment":{"type":"container_reference","container_id":"cntr_1"}}]}"#,
            one(Container, "cntr_1"),
        ),
        (
            r#"{"input":[{"role":"user","content":[{"type":"input_file","file_id":"file-1"}]}]}"#,
            one(File, "file-1"),
        ),
        (
            r#"{"messages":[{"content":[{"type":"file","file":{"file_id":"file-1"}}]}]}"#,
            one(File, "file-1"),
        ),
        (r#"{"images":[{"file_id":"file-1"}]}"#, one(File, "file-1")),
        (
            r#"{"input":[{"type":"code_interpreter_call","container_id":"cntr_1"}]}"#,
            one(Container, "cntr_1"),
        ),
        (r#"{"messages":[{"role":"assistant","audio":{"id":"audio_1"}}]}"#, one(Item, "audio_1")),
        (r#"{"\u0066ile_id":"file\u002d1"}"#, one(File, "file-1")),
        (r#"{"a":[[[{"b":{"file_id":"file-1"}}]]]}"#, one(File, "file-1")),
        (
            r#"{"file_ids":["file-1","file-2"],"file_id":"file-3"}"#,
            Ok(["file-1", "file-2", "file-3"].map(|id| (File, id.to_owned())).to_vec()),
        ),
    ] {
        assert_eq!(openai(text), wanted, "{text}");
    }
}

#[test]
fn what_names_nothing_is_let_by() {
    for text in [
        r#"{"previous_response_id":null,"conversation":null,"file_id":null,"file_ids":null}"#,
        r#"{"container":null,"vector_store_ids":null,"vector_store_id":null}"#,
        r#"{"conversation":{"id":null},"file_ids":[]}"#,
        r#"{"tools":[{"type":"code_interpreter","container":{"type":"auto"}}]}"#,
        r#"{"prompt":"a cat","tools":[{"prompt":["x"]},{"prompt":{"text":"x"}}]}"#,
        r#"{"prompt":null,"x":{"prompt":{"id":null}}}"#,
        r#"{"skills":[{"type":"anthropic","skill_id":"pptx"}],"skill_id":7}"#,
        r#"{"input":"Hello","voice":"alloy","audio":{"voice":"ash"}}"#,
        r#"{"input":"file_id","x":["file_id","conversation"],"id":"resp_1"}"#,
        r#"{"input":[{"type":"message","role":"user","content":"x"}]}"#,
        r#"{"filed_id":"x","file_idx":"x","container_":"x"}"#,
        r#"{"audio":{"id":"a b"},"messages":[{"audio":null},{"audio":{"id":null}}]}"#,
    ] {
        assert_eq!(openai(text), none(), "{text}");
    }
}

#[test]
fn a_users_own_json_may_use_any_key() {
    let schema = r#"{"type":"object","properties":{"file_id":{"type":"string"},"conversation":
        {"type":"string"},"container":1,"Container":2,"prompt":{"id":"x"},"file_ids":{},"file_ids":{}},
        "vector_store_ids":["vs_1"],"skill_id":"skill_1"}"#;
    for stem in [
        r#"{"metadata":@,"client_metadata":@}"#,
        r#"{"response_format":{"json_schema":{"schema":@}}}"#,
        r#"{"text":{"format":{"schema":@}}}"#,
        r#"{"functions":[{"parameters":@}]}"#,
        r#"{"tools":[{"parameters":@}]}"#,
        r#"{"tools":[{"type":"function","function":{"parameters":@}}]}"#,
        r#"{"tools":[{"input_schema":@,"filters":@,"headers":@,"output_schema":@}]}"#,
        r#"{"tools":[{"type":"namespace","tools":[{"parameters":@}]}]}"#,
        r#"{"input":[{"type":"tool_search_call","arguments":@}]}"#,
        r#"{"input":[{"type":"mcp_list_tools","tools":[{"input_schema":@}]}]}"#,
        r#"{"items":[{"tools":[{"tools":[{"parameters":@}]}]}]}"#,
    ] {
        let text = stem.replace('@', schema);
        assert_eq!(openai(&text), none(), "{text}");
        // The same keys count again right after the zone.
        let after = text.replacen('{', r#"{"file_id":"file-1","#, 1);
        assert_eq!(openai(&after), one(File, "file-1"), "{after}");
    }
    for stem in [
        r#"{"messages":[{"content":[{"type":"tool_use","input":@}]}]}"#,
        r#"{"tools":[{"input_schema":@,"input_examples":[@],"configs":@}]}"#,
        r#"{"output_config":{"format":@},"output_format":@,"metadata":@}"#,
    ] {
        let text = stem.replace('@', schema);
        assert_eq!(read(Dialect::Anthropic, &text), none(), "{text}");
    }
}

#[test]
fn a_zone_is_one_place_and_not_a_name() {
    for text in [
        r#"{"x":{"metadata":{"file_id":"file-1"}}}"#,
        r#"{"tools":{"parameters":{"file_id":"file-1"}}}"#,
        r#"{"tools":[{"x":{"parameters":{"file_id":"file-1"}}}]}"#,
        r#"{"text":{"formats":{"file_id":"file-1"}}}"#,
        r#"{"messages":[{"content":[{"input":{"file_id":"file-1"}}]}]}"#,
        r#"{"tools":[{"input_schemas":{"file_id":"file-1"}}]}"#,
    ] {
        assert_eq!(openai(text), one(File, "file-1"), "{text}");
    }
    let anthropic = |text| read(Dialect::Anthropic, text);
    for text in [
        r#"{"response_format":{"file_id":"file-1"}}"#,
        r#"{"messages":[{"content":[{"type":"document","source":{"file_id":"file-1"}}]}]}"#,
        r#"{"messages":[{"content":[{"content":{"content":[{"file_id":"file-1"}]}}]}]}"#,
        r#"{"messages":[{"content":[{"content":[{"input":{"file_id":"file-1"}}]}]}]}"#,
    ] {
        assert_eq!(anthropic(text), one(File, "file-1"), "{text}");
    }
    assert_eq!(anthropic(r#"{"container":"container_1"}"#), one(Container, "container_1"));
    assert_eq!(
        anthropic(r#"{"container":{"id":"container_1","skills":[{"skill_id":"xlsx"}]}}"#),
        one(Container, "container_1")
    );
}

#[test]
fn an_item_is_a_reference_unless_it_brings_its_content() {
    for (item, wanted) in [
        (r#"{"type":"item_reference","id":"msg_1"}"#, one(Item, "msg_1")),
        (r#"{"id":"msg_1"}"#, one(Item, "msg_1")),
        (r#"{"id":"msg_1","type":null}"#, one(Item, "msg_1")),
        (r#"{"id":"rs_1","type":"reasoning","summary":[]}"#, one(Item, "rs_1")),
        (
            r#"{"id":"rs_1","type":"reasoning","encrypted_content":null,"summary":[]}"#,
            one(Item, "rs_1"),
        ),
        (r#"{"id":"rs_1","type":"reasoning","encrypted_content":""}"#, one(Item, "rs_1")),
        (r#"{"type":"reasoning","encrypted_content":"gAAA","id":"rs_1"}"#, none()),
        (r#"{"id":"rs_1","type":"reasoning","encrypted_content":"gAAA"}"#, none()),
        (r#"{"id":"cmp_1","type":"compaction","encrypted_content":"gAAA"}"#, none()),
        (r#"{"id":"ig_1","type":"image_generation_call"}"#, one(Item, "ig_1")),
        (r#"{"id":"ig_1","type":"image_generation_call","result":null}"#, one(Item, "ig_1")),
        (r#"{"id":"ig_1","type":"image_generation_call","result":"iVBO"}"#, none()),
        (r#"{"id":"ig_1","type":"image_generation_call","result":""}"#, one(Item, "ig_1")),
        (r#"{"id":"ig_1","type":"image_generation_call","result":[]}"#, one(Item, "ig_1")),
        // Content of another type is nobody's: the provider looks the item up all the same.
        (r#"{"id":"msg_1","type":"item_reference","encrypted_content":"x"}"#, one(Item, "msg_1")),
        (r#"{"encrypted_content":"x","id":"msg_1"}"#, one(Item, "msg_1")),
        (r#"{"id":"msg_1","encrypted_content":"x","type":null}"#, one(Item, "msg_1")),
        (
            r#"{"id":"ig_1","encrypted_content":"x","type":"image_generation_call"}"#,
            one(Item, "ig_1"),
        ),
        (r#"{"id":"msg_1","type":"item_reference","content":"x"}"#, one(Item, "msg_1")),
        (
            r#"{"id":"ig_1","type":"image_generation_call","result":"x","result":null}"#,
            Err(ScanError::DuplicateReference),
        ),
        (
            r#"{"id":"ig_1","type":"image_generation_call","result":"x","Result":null}"#,
            Err(ScanError::AmbiguousReference),
        ),
        (r#"{"id":"ws_1","type":"web_search_call","status":"completed"}"#, one(Item, "ws_1")),
        (r#"{"id":"ws_1","type":"web_search_call","action":{"type":"search"}}"#, none()),
        (r#"{"id":"msg_1","type":"message","role":"assistant","content":[]}"#, none()),
        (r#"{"content":[],"type":"message","role":"assistant","id":"msg_1"}"#, none()),
        (r#"{"id":"msg_1","type":"message","role":"assistant"}"#, one(Item, "msg_1")),
        (r#"{"id":"msg_1","type":"message","content":null}"#, one(Item, "msg_1")),
        (r#"{"id":"fc_1","type":"function_call","call_id":"c","arguments":"{}"}"#, none()),
        (r#"{"id":"fc_1","type":"function_call","output":"x"}"#, one(Item, "fc_1")),
        (r#"{"id":"o_1","type":"function_call_output","output":"x"}"#, none()),
        (r#"{"id":"ct_1","type":"custom_tool_call","input":"x"}"#, none()),
        (r#"{"id":"sh_1","type":"shell_call","action":{"commands":[]}}"#, none()),
        (r#"{"id":"cu_1","type":"computer_call","actions":[]}"#, none()),
        (r#"{"id":"a_1","type":"mcp_approval_response","approve":true}"#, none()),
        (
            r#"{"id":"l_1","type":"mcp_list_tools","tools":[{"input_schema":{"file_id":"f"}}]}"#,
            none(),
        ),
        (r#"{"id":"ci_1","type":"code_interpreter_call","code":"x","outputs":null}"#, none()),
        (r#"{"id":"ci_1","type":"code_interpreter_call","code":null}"#, one(Item, "ci_1")),
        // A type that only begins or ends like a known one.
        (r#"{"id":"m_1","type":"messages","content":[]}"#, one(Item, "m_1")),
        (r#"{"id":"m_1","type":"Message","content":[]}"#, one(Item, "m_1")),
        // An id of the caller's own making matters only where it is looked up.
        (r#"{"id":"not an id","type":"message","content":"x"}"#, none()),
        (r#"{"id":"not an id","type":"item_reference"}"#, Err(ScanError::BadReference)),
        (r#"{"id":7,"type":"message","content":"x"}"#, Err(ScanError::ReferenceNotText)),
        (r#"{"id":null,"type":"item_reference"}"#, none()),
        (r#"{"id":"a","id":"b"}"#, Err(ScanError::DuplicateReference)),
        (r#"{"type":"message","type":"x","id":"b"}"#, Err(ScanError::DuplicateReference)),
        (r#"{"ID":"a"}"#, Err(ScanError::AmbiguousReference)),
        (r#"{"id":"a","Type":"message"}"#, Err(ScanError::AmbiguousReference)),
        (
            r#"{"id":"m","type":"message","content":[{"file_id":"file-1","id":"x"}]}"#,
            one(File, "file-1"),
        ),
    ] {
        for text in [format!(r#"{{"input":[{item}]}}"#), format!(r#"{{"items":["x",{item}]}}"#)] {
            assert_eq!(openai(&text), wanted, "{text}");
        }
        if wanted.is_ok() {
            // The next item starts afresh.
            let two = format!(r#"{{"input":[{item},{{"id":"msg_2"}}]}}"#);
            let mut both = wanted.clone().expect("references");
            both.push((Item, "msg_2".to_owned()));
            assert_eq!(openai(&two), Ok(both), "{two}");
        }
        // Anywhere else an `id` is no item's.
        let elsewhere = openai(&format!(r#"{{"output":[{item}],"input":{{"x":[{item}]}}}}"#));
        let only_files = elsewhere.map(|found| found.iter().all(|(kind, _)| *kind == File));
        assert_eq!(only_files, Ok(true), "{item}");
    }
    let anthropic = read(Dialect::Anthropic, r#"{"input":[{"id":"msg_1"}]}"#);
    assert_eq!(anthropic, none());
}

#[test]
fn each_attack_has_its_name() {
    for (text, wanted) in [
        (r#"{"conversation":"a","conversation":"b"}"#, ScanError::DuplicateReference),
        (r#"{"conversation":null,"c\u006fnversation":"b"}"#, ScanError::DuplicateReference),
        (r#"{"x":[{"file_id":"a","y":1,"file_id":"a"}]}"#, ScanError::DuplicateReference),
        (r#"{"conversation":{"id":"a","id":"b"}}"#, ScanError::DuplicateReference),
        (r#"{"Conversation":"a"}"#, ScanError::AmbiguousReference),
        (r#"{"x":{"FILE_ID":"a"}}"#, ScanError::AmbiguousReference),
        (r#"{"container":{"Id":"a"}}"#, ScanError::AmbiguousReference),
        (r#"{"Input":[{"id":"msg_1"}]}"#, ScanError::AmbiguousReference),
        (r#"{"Messages":[{"audio":{"id":"audio_1"}}]}"#, ScanError::AmbiguousReference),
        (r#"{"messages":[{"audio":{"id":"a","id":"b"}}]}"#, ScanError::DuplicateReference),
        (r#"{"messages":[{"audio":{"id":["audio_1"]}}]}"#, ScanError::ReferenceNotText),
        (r#"{"previous_response_id":7}"#, ScanError::ReferenceNotText),
        (r#"{"previous_response_id":true}"#, ScanError::ReferenceNotText),
        (r#"{"previous_response_id":["resp_1"]}"#, ScanError::ReferenceNotText),
        (r#"{"previous_response_id":{"id":"resp_1"}}"#, ScanError::ReferenceNotText),
        (r#"{"conversation":["conv_1"]}"#, ScanError::ReferenceNotText),
        (r#"{"conversation":{"id":7}}"#, ScanError::ReferenceNotText),
        (r#"{"conversation":{"id":["a"]}}"#, ScanError::ReferenceNotText),
        (r#"{"file_ids":"file-1"}"#, ScanError::ReferenceNotText),
        (r#"{"file_ids":["file-1",null]}"#, ScanError::ReferenceNotText),
        (r#"{"file_ids":[["file-1"]]}"#, ScanError::ReferenceNotText),
        (r#"{"file_ids":[{"file_id":"file-1"}]}"#, ScanError::ReferenceNotText),
        (r#"{"file_id":""}"#, ScanError::BadReference),
        (r#"{"file_id":"a/b"}"#, ScanError::BadReference),
        (r#"{"file_id":"a\u0000"}"#, ScanError::BadReference),
        (r#"{"file_id":"a\ud800"}"#, ScanError::BadReference),
        (r#"{"file_id":" file-1"}"#, ScanError::BadReference),
        (r#"{"file_id":"é"}"#, ScanError::BadReference),
        (r#"{"vector_store_id":"vs_1"}"#, ScanError::StoredObject),
        (
            r#"{"tools":[{"type":"file_search","vector_store_ids":["vs_1"]}]}"#,
            ScanError::StoredObject,
        ),
        (r#"{"vector_store_ids":{}}"#, ScanError::StoredObject),
        (r#"{"prompt":{"version":"1","id":"pmpt_1"}}"#, ScanError::OwnerState),
        (r#"{"prompt":{"id":{"x":1}}}"#, ScanError::OwnerState),
        (r#"{"data_sources":[{"type":"azure_search"}]}"#, ScanError::OwnerState),
        (r#"{"container":{"skills":[{"skill_id":"skill_01A"}]}}"#, ScanError::OwnerState),
        (r#"{"input":"Hello","voice":{"id":"voice_1"}}"#, ScanError::OwnerState),
        (r#"{"input":"Hello","voice":"voice_1"}"#, ScanError::OwnerState),
        (r#"{"audio":{"format":"wav","voice":{"id":"voice_1"}}}"#, ScanError::OwnerState),
        // Letters that fold to `s` and `k`.
        ("{\"previou\u{17f}_re\u{17f}ponse_id\":\"resp_1\"}", ScanError::AmbiguousReference),
        ("{\"\\u212a\":1,\"file_id\u{17f}\":[\"file-1\"]}", ScanError::AmbiguousReference),
        ("{\"bac\u{212a}ground\":true}", ScanError::BilledLater),
    ] {
        assert_eq!(openai(text), Err(wanted), "{text}");
    }
    let long = |len: usize| format!(r#"{{"file_id":"{}"}}"#, "f".repeat(len));
    assert_eq!(openai(&long(MAX_OBJECT_ID_BYTES)), one(File, &"f".repeat(MAX_OBJECT_ID_BYTES)));
    assert_eq!(openai(&long(MAX_OBJECT_ID_BYTES + 1)), Err(ScanError::BadReference));
    assert_eq!(openai(&long(100_000)), Err(ScanError::BadReference));
}

#[test]
fn the_most_references_pass_and_one_more_does_not() {
    let many = |count: usize| {
        let ids = vec!["\"file-1\""; count].join(",");
        let mut scan = ModelScan::new(Dialect::OpenAi);
        let fed = scan.feed(format!(r#"{{"file_ids":[{ids}]}}"#).as_bytes());
        fed.map(|()| scan.take_references().len())
    };
    assert_eq!(many(REFERENCES_MAX), Ok(REFERENCES_MAX));
    assert_eq!(many(REFERENCES_MAX + 1), Err(ScanError::TooManyReferences));
    // What has been taken counts too.
    let mut scan = ModelScan::new(Dialect::OpenAi);
    scan.feed(br#"{"x":["#).expect("json");
    for _ in 0..REFERENCES_MAX {
        scan.feed(br#"{"file_id":"a"},"#).expect("json");
        assert_eq!(scan.take_references().len(), 1);
    }
    assert_eq!(scan.feed(br#"{"file_id":"a"},"#), Err(ScanError::TooManyReferences));
}

#[test]
fn a_reference_is_told_as_soon_as_its_string_ends() {
    let mut scan = ModelScan::new(Dialect::OpenAi);
    scan.feed(br#"{"previous_response_id":"resp_"#).expect("json so far");
    assert!(scan.take_references().is_empty());
    scan.feed(br#"1""#).expect("json so far");
    assert_eq!(scan.take_references().len(), 1);
}

/// What a value under a key for ids names.
fn named(kind: ObjectKind, value: &Value, found: &mut Vec<(ObjectKind, String)>) -> Result<(), ()> {
    match value {
        Value::Null => Ok(()),
        Value::String(text) => {
            found.push((kind, ObjectId::parse(text).map_err(drop)?.to_string()));
            Ok(())
        }
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => Err(()),
    }
}

/// The same question, asked of a tree; without the zones and the items of an input.
fn of_tree(value: &Value, found: &mut Vec<(ObjectKind, String)>) -> Result<(), ()> {
    let map = match value {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return Ok(()),
        Value::Array(elements) => {
            return elements.iter().try_for_each(|element| of_tree(element, found));
        }
        Value::Object(map) => map,
    };
    map.iter().try_for_each(|(key, value)| of_member(key, value, found))
}

fn of_member(key: &str, value: &Value, found: &mut Vec<(ObjectKind, String)>) -> Result<(), ()> {
    let holder = if key == "container" { Container } else { Conversation };
    match (key, value) {
        ("file_id", _) => named(File, value, found),
        ("previous_response_id", _) => named(Response, value, found),
        ("file_ids", Value::Null) => Ok(()),
        ("file_ids", Value::Array(ids)) => ids
            .iter()
            .try_for_each(|id| if id.is_null() { Err(()) } else { named(File, id, found) }),
        ("file_ids", _) => Err(()),
        ("conversation" | "container", Value::Object(inner)) => {
            inner.iter().try_for_each(|(key, value)| match key.as_str() {
                "id" => named(holder, value, found),
                other => of_member(other, value, found),
            })
        }
        ("conversation" | "container", _) => named(holder, value, found),
        _ => of_tree(value, found),
    }
}

fn tree() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u8>().prop_map(Value::from),
        "[a-z_]{1,8}".prop_map(Value::from),
        "[a-zé /]{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        let key = "file_id|file_ids|conversation|container|previous_response_id|id|x|input_|é";
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(key, inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn generated_json_names_what_its_tree_names(
        body in prop::collection::btree_map("[a-c]|conversation|file_ids|container", tree(), 0..5),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let body = Value::Object(body.into_iter().collect());
        let text = serde_json::to_vec(&body).expect("a value can be written");
        let got = scan(Dialect::OpenAi, &split_at(&text, &cuts));
        let mut want = Vec::new();
        match of_tree(&body, &mut want) {
            Err(()) => prop_assert!(got.is_err(), "{body} gave {got:?}"),
            Ok(()) => {
                let got = got.expect("a body that the tree accepts");
                let got: Vec<_> =
                    got.into_iter().map(|it| (it.kind.expect("a kind"), it.id.to_string())).collect();
                prop_assert_eq!(got, want);
            }
        }
    }

    #[test]
    fn any_split_of_nearly_json_gives_what_the_whole_gives(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "\"file_id\":", "\"conversation\":", "\"input\":[", "{\"id\":", "\"a\"", "\"type\":",
            "\"message\"", "\"content\":", "\"metadata\":", "{", "}", "[", "]", ",", "null", "7",
            "\"f\\u0069le_id\":", "\"prompt\":", "\"container\":", "\"tools\":", "\"file_ids\":",
        ]), 0..16),
        anthropic in any::<bool>(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let dialect = if anthropic { Dialect::Anthropic } else { Dialect::OpenAi };
        let text = format!("{{{}}}", pieces.concat());
        let whole = scan(dialect, &[text.as_bytes()]);
        prop_assert_eq!(scan(dialect, &split_at(text.as_bytes(), &cuts)), whole);
    }
}
