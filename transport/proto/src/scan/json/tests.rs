use proptest::prelude::*;

use super::*;

/// Every token as text, strings joined: the form in which two runs are compared.
fn tokens(splits: &[&[u8]]) -> Result<Vec<String>, JsonError> {
    let mut out: Vec<String> = Vec::new();
    let mut text = Vec::new();
    let mut tokenizer = Tokenizer::new();
    let mut on = |depth: usize, token: Token<'_>| {
        match token {
            Token::Text(Piece::Raw(bytes)) => text.extend_from_slice(bytes),
            Token::Text(Piece::Escaped(character)) => {
                text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
            Token::Text(Piece::LoneSurrogate(unit)) => {
                text.extend_from_slice(format!("<{unit:x}>").as_bytes());
            }
            Token::StringEnd => {
                let whole = String::from_utf8(std::mem::take(&mut text)).expect("utf-8");
                out.push(format!("{depth} {whole:?}"));
            }
            Token::Number(number) => out.push(format!("{depth} {number}")),
            Token::Bool(value) => out.push(format!("{depth} {value}")),
            Token::ObjectBegin
            | Token::ObjectEnd
            | Token::ArrayBegin
            | Token::ArrayEnd
            | Token::KeyBegin
            | Token::StringBegin
            | Token::Null => out.push(format!("{depth} {token:?}")),
        }
        Ok::<(), JsonError>(())
    };
    for split in splits {
        tokenizer.feed(split, &mut on)?;
    }
    tokenizer.finish(&mut on)?;
    Ok(out)
}

fn whole(text: &str) -> Result<Vec<String>, JsonError> {
    tokens(&[text.as_bytes()])
}

fn byte_by_byte(text: &[u8]) -> Result<Vec<String>, JsonError> {
    let bytes: Vec<&[u8]> = text.chunks(1).collect();
    tokens(&bytes)
}

#[test]
fn tokens_come_with_their_depth() {
    assert_eq!(
        whole(r#" {"a":[1,-2.5e+3,"x\ny"],"b":{"c":null},"d":true} "#).expect("json"),
        [
            "0 ObjectBegin",
            "1 KeyBegin",
            "1 \"a\"",
            "1 ArrayBegin",
            "2 1",
            "2 -2.5e+3",
            "2 StringBegin",
            "2 \"x\\ny\"",
            "1 ArrayEnd",
            "1 KeyBegin",
            "1 \"b\"",
            "1 ObjectBegin",
            "2 KeyBegin",
            "2 \"c\"",
            "2 Null",
            "1 ObjectEnd",
            "1 KeyBegin",
            "1 \"d\"",
            "1 true",
            "0 ObjectEnd",
        ]
    );
}

#[test]
fn a_number_at_the_very_end_is_reported_by_finish() {
    assert_eq!(whole("-0.5").expect("json"), ["0 -0.5"]);
    assert_eq!(whole("7 ").expect("json"), ["0 7"]);
}

#[test]
fn surrogate_pairs_join_and_halves_are_told() {
    assert_eq!(whole(r#""\ud83d\ude00""#).expect("json")[1], "0 \"😀\"");
    assert_eq!(whole(r#""\uD83D""#).expect("json")[1], "0 \"<d83d>\"");
    assert_eq!(whole(r#""\ud83dx\ude00\n""#).expect("json")[1], "0 \"<d83d>x<de00>\\n\"");
    assert_eq!(whole(r#""\ud83d\ud83d\ude00""#).expect("json")[1], "0 \"<d83d>😀\"");
    assert_eq!(whole(r#""\ud83d\t""#).expect("json")[1], "0 \"<d83d>\\t\"");
}

#[test]
fn each_fault_has_its_name() {
    for (text, wanted) in [
        ("", JsonError::Truncated),
        ("  ", JsonError::Truncated),
        ("{", JsonError::Truncated),
        ("{\"a\":1", JsonError::Truncated),
        ("\"abc", JsonError::Truncated),
        ("\"abc\\", JsonError::Truncated),
        ("tru", JsonError::Truncated),
        ("[1", JsonError::Truncated),
        ("{}x", JsonError::TrailingData),
        ("{}{}", JsonError::TrailingData),
        ("1 2", JsonError::TrailingData),
        ("\u{feff}{}", JsonError::ByteOrderMark),
        ("{,}", JsonError::Unexpected),
        ("{\"a\":1,}", JsonError::Unexpected),
        ("[1,]", JsonError::Unexpected),
        ("[,1]", JsonError::Unexpected),
        ("[1}", JsonError::Unexpected),
        ("{\"a\"]", JsonError::Unexpected),
        ("{\"a\",1}", JsonError::Unexpected),
        ("{\"a\":1 \"b\":2}", JsonError::Unexpected),
        ("{a:1}", JsonError::Unexpected),
        ("{'a':1}", JsonError::Unexpected),
        ("[1 2]", JsonError::Unexpected),
        ("truE", JsonError::Unexpected),
        ("nul1", JsonError::Unexpected),
        ("[NaN]", JsonError::Unexpected),
        ("// x", JsonError::Unexpected),
        ("[]\u{a0}", JsonError::TrailingData),
        ("01", JsonError::BadNumber),
        ("-", JsonError::BadNumber),
        ("[1.]", JsonError::BadNumber),
        ("[.5]", JsonError::Unexpected),
        ("[1e]", JsonError::BadNumber),
        ("[1e+]", JsonError::BadNumber),
        ("[1-2]", JsonError::BadNumber),
        ("[1.5.5]", JsonError::BadNumber),
        ("[1e5e5]", JsonError::BadNumber),
        ("[+1]", JsonError::Unexpected),
        ("\"\\x\"", JsonError::BadEscape),
        ("\"\\u12g4\"", JsonError::BadEscape),
        ("\"\\u12\"", JsonError::BadEscape),
        ("\"a\nb\"", JsonError::ControlCharacter),
        ("\"a\0b\"", JsonError::ControlCharacter),
    ] {
        assert_eq!(whole(text), Err(wanted), "{text:?}");
        assert_eq!(byte_by_byte(text.as_bytes()), Err(wanted), "{text:?} in single bytes");
    }
}

#[test]
fn strings_must_be_utf8_across_any_split() {
    for bytes in [
        &b"\"\xff\""[..],
        b"\"\xc0\xaf\"",
        b"\"\xe2\x82\"",
        b"\"\xe2\x82\\n\"",
        b"\"\xed\xa0\x80\"",
        b"\"\xf5\x80\x80\x80\"",
        b"\"\x80\"",
    ] {
        assert_eq!(tokens(&[bytes]), Err(JsonError::NotUtf8), "{bytes:?}");
        assert_eq!(byte_by_byte(bytes), Err(JsonError::NotUtf8), "{bytes:?} in single bytes");
    }
    assert_eq!(byte_by_byte("\"€😀é\"".as_bytes()).expect("json")[1], "0 \"€😀é\"");
}

#[test]
fn the_first_of_two_faults_is_named_whatever_the_split() {
    for (bytes, wanted) in [
        (&b"\"a\xff\x01\""[..], JsonError::NotUtf8),
        (b"\"a\x01\xff\"", JsonError::ControlCharacter),
        (b"\"\xe2\x82\x01\xff\"", JsonError::ControlCharacter),
    ] {
        assert_eq!(tokens(&[bytes]), Err(wanted), "{bytes:?}");
        assert_eq!(byte_by_byte(bytes), Err(wanted), "{bytes:?} in single bytes");
    }
}

#[test]
fn the_limits_are_exact() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(whole(&nested(MAX_DEPTH)).is_ok());
    assert_eq!(whole(&nested(MAX_DEPTH + 1)), Err(JsonError::TooDeep));
    let mixed = format!("{}1{}", "{\"a\":[".repeat(64), "]}".repeat(64));
    assert!(whole(&mixed).is_ok());
    let digits = "1".repeat(MAX_NUMBER_BYTES);
    assert!(whole(&digits).is_ok());
    assert_eq!(byte_by_byte(format!("{digits}1").as_bytes()), Err(JsonError::NumberTooLong));
}

#[test]
fn tokens_show_nothing_of_their_text() {
    let shown = format!(
        "{:?} {:?} {:?}",
        Token::Number("12345"),
        Token::Text(Piece::Raw(b"private")),
        Piece::Escaped('p')
    );
    assert!(!shown.contains("12345") && !shown.contains("private") && !shown.contains("'p'"));
}

/// Cuts `bytes` at the given places.
pub(crate) fn split_at<'b>(bytes: &'b [u8], cuts: &[prop::sample::Index]) -> Vec<&'b [u8]> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    places.sort_unstable();
    places.push(bytes.len());
    let mut start = 0;
    places
        .into_iter()
        .map(|end| {
            let piece = &bytes[start..end];
            start = end;
            piece
        })
        .collect()
}

/// Text that is JSON, or nearly.
fn nearly_json() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just("{"),
        Just("}"),
        Just("["),
        Just("]"),
        Just(":"),
        Just(","),
        Just("\""),
        Just("\\"),
        Just("\"a\""),
        Just("\"a\":"),
        Just("\\ud83d"),
        Just("\\ude00"),
        Just("1"),
        Just("-0.5e3"),
        Just("true"),
        Just("null"),
        Just(" "),
        Just("é😀"),
        Just("{\"model\":\"m\"}"),
        Just("e"),
    ];
    prop_oneof![
        prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat().into_bytes()),
        prop::collection::vec(any::<u8>(), 0..64),
    ]
}

proptest! {
    #[test]
    fn any_split_gives_the_tokens_of_the_whole(
        bytes in nearly_json(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let want = tokens(&[&bytes]);
        prop_assert_eq!(&tokens(&split_at(&bytes, &cuts)), &want);
        prop_assert_eq!(&byte_by_byte(&bytes), &want);
    }

    #[test]
    fn what_is_accepted_is_json_to_serde_and_the_other_way_round(bytes in nearly_json()) {
        let ours = tokens(&[&bytes]);
        // A check of grammar alone: without its recursion limit, numbers or lone surrogates.
        let theirs = serde_json::from_slice::<serde::de::IgnoredAny>(&bytes);
        let lone = ours.as_ref().is_ok_and(|tokens| tokens.iter().any(|token| token.contains('<')));
        if !lone && std::str::from_utf8(&bytes).is_ok() {
            prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{:?} {:?}", ours, theirs);
        }
    }
}
