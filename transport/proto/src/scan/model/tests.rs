use proptest::prelude::*;
use serde_json::Value;

use super::super::json::JsonError;
use super::super::json::tests::split_at;
use super::*;

fn scan(splits: &[&[u8]]) -> Result<(Option<String>, Option<bool>), ScanError> {
    let mut scan = ModelScan::new(Dialect::OpenAi);
    for split in splits {
        scan.feed(split)?;
    }
    let model = scan.finish()?;
    assert_eq!(scan.model(), model.as_deref());
    Ok((model, scan.stream()))
}

fn model_of(text: &str) -> Result<Option<String>, ScanError> {
    let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
    let slowly = scan(&bytes);
    assert_eq!(slowly, scan(&[text.as_bytes()]), "{text:?} read differently in single bytes");
    slowly.map(|(model, _)| model)
}

#[test]
fn the_model_is_found_wherever_and_however_it_is_written() {
    for text in [
        r#"{"model":"gpt-6","messages":[]}"#,
        r#"{"messages":[{"role":"user","content":"{\"model\":\"no\"}"}],"model":"gpt-6"}"#,
        r#"  { "metadata" : { "model" : "no" } , "model" : "gpt-6" }  "#,
        r#"{"mod\u0065l":"gpt-6"}"#,
        r#"{"\u006d\u006f\u0064\u0065\u006c":"\u0067pt-6"}"#,
        r#"{"tools":[{"model":1},["model"]],"models":2,"mode":3,"":4,"model":"gpt-6"}"#,
        r#"{"stream":"model","model":"gpt-6"}"#,
    ] {
        assert_eq!(model_of(text), Ok(Some("gpt-6".to_owned())), "{text}");
    }
    assert_eq!(model_of(r#"{"model":"é\ud83d\ude00\""}"#), Ok(Some("é😀\"".to_owned())));
    assert_eq!(model_of(r#"{"model":""}"#), Ok(Some(String::new())));
    assert_eq!(model_of(r#"{"input":"x"}"#), Ok(None));
    assert_eq!(model_of("{}"), Ok(None));
}

#[test]
fn the_model_is_known_as_soon_as_its_string_ends() {
    let mut scan = ModelScan::new(Dialect::OpenAi);
    scan.feed(br#"{"model":"gpt-"#).expect("json so far");
    assert_eq!(scan.model(), None);
    scan.feed(br#"6""#).expect("json so far");
    assert_eq!(scan.model(), Some("gpt-6"));
    assert_eq!(scan.finish(), Err(ScanError::Json(JsonError::Truncated)));
}

#[test]
fn each_attack_has_its_name() {
    for (text, wanted) in [
        (r#"{"model":"a","model":"b"}"#, ScanError::DuplicateModel),
        (r#"{"model":"a","x":1,"mod\u0065l":"a"}"#, ScanError::DuplicateModel),
        (r#"{"model":"a","Model":"b"}"#, ScanError::AmbiguousModel),
        (r#"{"MODEL":"b"}"#, ScanError::AmbiguousModel),
        (r#"{"model":null}"#, ScanError::ModelNotText),
        (r#"{"model":1}"#, ScanError::ModelNotText),
        (r#"{"model":true}"#, ScanError::ModelNotText),
        (r#"{"model":["a"]}"#, ScanError::ModelNotText),
        (r#"{"model":{"model":"a"}}"#, ScanError::ModelNotText),
        (r#"{"model":"a\ud800"}"#, ScanError::ModelNotText),
        ("[]", ScanError::NotAnObject),
        ("\"model\"", ScanError::NotAnObject),
        ("12", ScanError::NotAnObject),
        ("null", ScanError::NotAnObject),
        ("", ScanError::Json(JsonError::Truncated)),
        (r#"{"model":"a"} {"model":"b"}"#, ScanError::Json(JsonError::TrailingData)),
        (r#"{"model":"a"}}"#, ScanError::Json(JsonError::TrailingData)),
        ("\u{feff}{}", ScanError::Json(JsonError::ByteOrderMark)),
    ] {
        assert_eq!(model_of(text), Err(wanted), "{text}");
    }
    let deep = format!(r#"{{"model":"a","x":{}1{}}}"#, "[".repeat(128), "]".repeat(128));
    assert_eq!(model_of(&deep), Err(ScanError::Json(JsonError::TooDeep)));
}

#[test]
fn the_longest_model_passes_and_one_byte_more_does_not() {
    let named = |len: usize| format!(r#"{{"model":"{}"}}"#, "m".repeat(len));
    assert_eq!(model_of(&named(MAX_MODEL_BYTES)), Ok(Some("m".repeat(MAX_MODEL_BYTES))));
    assert_eq!(model_of(&named(MAX_MODEL_BYTES + 1)), Err(ScanError::ModelTooLong));
    // Two faults in one piece: the first is named.
    let long = "m".repeat(MAX_MODEL_BYTES + 1);
    let twice = format!("{{\"model\":\"{long}\u{1}\"}}");
    assert_eq!(model_of(&twice), Err(ScanError::ModelTooLong));
}

#[test]
fn stream_is_reported_where_it_is_a_boolean() {
    for (text, wanted) in [
        (r#"{"stream":true}"#, Some(true)),
        (r#"{"str\u0065am":false,"model":"m"}"#, Some(false)),
        (r#"{"stream":"true"}"#, None),
        (r#"{"stream":null}"#, None),
        (r#"{"x":{"stream":true}}"#, None),
        (r#"{"stream_options":true}"#, None),
        (r#"{"stream":false,"stream":true}"#, Some(true)),
    ] {
        assert_eq!(scan(&[text.as_bytes()]).expect("json").1, wanted, "{text}");
    }
}

#[test]
fn an_error_stays() {
    let mut scan = ModelScan::new(Dialect::OpenAi);
    assert_eq!(scan.feed(b"["), Err(ScanError::NotAnObject));
    assert_eq!(scan.feed(b"{}"), Err(ScanError::NotAnObject));
    assert_eq!(scan.finish(), Err(ScanError::NotAnObject));
}

#[test]
fn a_large_image_before_the_model_is_read_past() {
    let image = "iVBORw0KGgo+/A".repeat(200_000);
    let text = format!(r#"{{"messages":[{{"content":"{image}"}}],"model":"m","stream":true}}"#);
    let splits: Vec<&[u8]> = text.as_bytes().chunks(16 * 1024).collect();
    assert_eq!(scan(&splits), Ok((Some("m".to_owned()), Some(true))));
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map("model|stream|[a-z\\\\\"é]{0,6}", inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

#[test]
fn later_answers_are_refused_and_their_absence_is_not() {
    for (body, verdict) in [
        (r#"{"model":"m","background":true}"#, Err(ScanError::BilledLater)),
        (r#"{"model":"m","background":1}"#, Err(ScanError::BilledLater)),
        (r#"{"model":"m","background":"true"}"#, Err(ScanError::BilledLater)),
        (r#"{"model":"m","Background":true}"#, Err(ScanError::BilledLater)),
        (r#"{"background":false,"model":"m"}"#, Ok(Some("m".to_owned()))),
        (r#"{"background":null,"model":"m"}"#, Ok(Some("m".to_owned()))),
        (r#"{"x":{"background":true},"model":"m"}"#, Ok(Some("m".to_owned()))),
    ] {
        assert_eq!(scan(&[body.as_bytes()]).map(|(model, _)| model), verdict, "{body}");
    }
}

#[test]
fn later_answers_pass_where_somebody_bills_them_if_they_are_asked_for_once_and_plainly() {
    for (body, passes) in [
        (r#"{"model":"m","background":true}"#, true),
        (r#"{"background":false,"model":"m"}"#, true),
        (r#"{"background":null,"model":"m"}"#, true),
        (r#"{"back\u0067round":true}"#, true),
        (r#"{"background":1}"#, false),
        (r#"{"background":"true"}"#, false),
        (r#"{"background":{"x":true}}"#, false),
        (r#"{"Background":true}"#, false),
        (r#"{"background":true,"background":false}"#, false),
        (r#"{"background":true,"Background":true}"#, false),
    ] {
        let mut scan = ModelScan::new(Dialect::OpenAi);
        scan.takes_later();
        let fed = scan.feed(body.as_bytes()).and_then(|()| scan.finish());
        let wanted = if passes { Ok(()) } else { Err(ScanError::BilledLater) };
        assert_eq!(fed.map(drop), wanted, "{body}");
    }
}

#[test]
fn store_is_reported_where_it_is_a_boolean() {
    for (text, wanted) in [
        (r#"{"store":true}"#, Some(true)),
        (r#"{"st\u006fre":false,"model":"m"}"#, Some(false)),
        (r#"{"store":"false"}"#, None),
        (r#"{"store":null}"#, None),
        (r#"{"x":{"store":false}}"#, None),
        (r#"{"store":false,"store":true}"#, Some(true)),
    ] {
        let mut scan = ModelScan::new(Dialect::OpenAi);
        scan.feed(text.as_bytes()).expect("json");
        assert_eq!(scan.store(), wanted, "{text}");
    }
}

#[test]
fn a_body_that_may_be_left_out_is_left_out_whole_or_not_at_all() {
    let ended = |text: &str| {
        let mut scan = ModelScan::new(Dialect::OpenAi).optional();
        scan.feed(text.as_bytes()).and_then(|()| scan.finish())
    };
    assert_eq!(ended(""), Ok(None));
    assert_eq!(ended("{}"), Ok(None));
    assert_eq!(ended(" "), Err(ScanError::Json(JsonError::Truncated)));
    assert_eq!(ended("{"), Err(ScanError::Json(JsonError::Truncated)));
    assert_eq!(
        ModelScan::new(Dialect::OpenAi).finish(),
        Err(ScanError::Json(JsonError::Truncated))
    );
}

proptest! {
    #[test]
    fn generated_json_is_read_as_serde_reads_it(
        body in json(),
        pretty in any::<bool>(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let bytes = if pretty { serde_json::to_vec_pretty(&body) } else { serde_json::to_vec(&body) };
        let bytes = bytes.expect("a value can be written");
        let got = scan(&split_at(&bytes, &cuts));
        let want = match &body {
            Value::Object(map) => match map.get("model") {
                None => Ok(None),
                Some(Value::String(model)) => Ok(Some(model.clone())),
                Some(_) => Err(ScanError::ModelNotText),
            },
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                Err(ScanError::NotAnObject)
            }
        };
        prop_assert_eq!(got.clone().map(|(model, _)| model), want);
        if let Ok((_, stream)) = got {
            prop_assert_eq!(stream, body.get("stream").and_then(Value::as_bool));
        }
    }

    #[test]
    fn what_the_scan_accepts_is_what_serde_reads(
        pieces in prop::collection::vec(prop_oneof![
            Just("\"model\""), Just("\"mod\\u0065l\""), Just(":"), Just(","), Just("\"m\""),
            Just("{"), Just("}"), Just("["), Just("]"), Just("1"), Just("true"), Just("\"x\":"),
            Just("\"model\":\"m\""),
        ], 0..12),
    ) {
        let body = format!("{{{}}}", pieces.concat());
        if let Ok((model, _)) = scan(&[body.as_bytes()]) {
            let value: Value = serde_json::from_str(&body).expect("the scan took it for JSON");
            prop_assert_eq!(model.as_deref(), value.get("model").and_then(Value::as_str));
        }
    }

    #[test]
    fn any_bytes_in_any_split_are_judged_alike(
        bytes in prop::collection::vec(any::<u8>(), 0..80),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let mut body = br#"{"model":"#.to_vec();
        body.extend(bytes);
        prop_assert_eq!(scan(&split_at(&body, &cuts)), scan(&[&body]));
    }
}
