use proptest::prelude::*;

use super::super::json::tests::split_at;
use super::*;

const B: &str = "----WebKitFormBoundary7MA4";

fn scan_with(
    boundary: &str,
    splits: &[&[u8]],
) -> Result<(Option<String>, Option<bool>), ScanError> {
    let boundary = parse_boundary(&format!("multipart/form-data; boundary={boundary}"))?;
    let mut scan = MultipartScan::new(&boundary);
    for split in splits {
        scan.feed(split)?;
    }
    let model = scan.finish()?;
    assert_eq!(scan.model(), model.as_deref());
    Ok((model, scan.stream()))
}

fn model_of(body: &[u8]) -> Result<Option<String>, ScanError> {
    let bytes: Vec<&[u8]> = body.chunks(1).collect();
    let slowly = scan_with(B, &bytes);
    assert_eq!(slowly, scan_with(B, &[body]), "read differently in single bytes");
    slowly.map(|(model, _)| model)
}

fn part(head: &str, body: &str) -> String {
    format!("--{B}\r\n{head}\r\n\r\n{body}\r\n")
}

fn field(name: &str, body: &str) -> String {
    part(&format!("Content-Disposition: form-data; name=\"{name}\""), body)
}

fn form(parts: &[String]) -> Vec<u8> {
    format!("{}--{B}--\r\n", parts.concat()).into_bytes()
}

const FILE: &str = "Content-Disposition: form-data; name=\"file\"; filename=\"a;b=\\\"c\\\".wav\"\r\nContent-Type: audio/wav";

#[test]
fn the_model_is_found_before_and_after_the_file() {
    let file = part(FILE, "RIFF\r\r\n\r\n--\n-----\r\n--x \0 name=\"model\"");
    let model = field("model", "whisper-1");
    for parts in [[file.clone(), model.clone()], [model, file.clone()]] {
        assert_eq!(model_of(&form(&parts)), Ok(Some("whisper-1".to_owned())));
    }
    assert_eq!(model_of(&form(&[file])), Ok(None));
    assert_eq!(model_of(&form(&[])), Ok(None));
}

#[test]
fn header_names_and_parameters_are_read_in_every_plain_form() {
    for head in [
        "content-disposition: form-data; name=model",
        "CONTENT-DISPOSITION:Form-Data;NAME=\"model\"",
        "Content-Disposition: form-data ; x=y; name = \"model\" ;",
        "Content-Type: text/plain; charset=UTF-8\r\nContent-Disposition: form-data; name=\"model\"",
        "Content-Transfer-Encoding: 8bit\r\nContent-Disposition: form-data; name=\"model\"",
    ] {
        assert_eq!(model_of(&form(&[part(head, "m")])), Ok(Some("m".to_owned())), "{head}");
    }
}

#[test]
fn a_value_may_hold_anything_but_the_boundary() {
    for value in ["", "a\r\nb", "\r", "\n", "\r\r\n-", "--", "\r\n----", "\r\n-x", "é"] {
        assert_eq!(
            model_of(&form(&[field("model", value)])),
            Ok(Some(value.to_owned())),
            "{value:?}"
        );
    }
}

#[test]
fn each_attack_has_its_name() {
    let model = field("model", "a");
    let head = |head: &str| form(&[part(head, "a")]);
    let bad_head = ScanError::Form(FormError::PartHead);
    for (body, wanted) in [
        (form(&[model.clone(), field("x", "y"), model.clone()]), ScanError::DuplicateModel),
        (form(&[field("Model", "a")]), ScanError::AmbiguousModel),
        (form(&[field("%6dodel", "a")]), ScanError::AmbiguousModel),
        (form(&[field("mod\\el", "a")]), ScanError::AmbiguousModel),
        (form(&[field(" model", "a")]), ScanError::AmbiguousModel),
        (
            head("Content-Disposition: form-data; name=\"model\"; filename=\"f\""),
            ScanError::ModelNotText,
        ),
        (
            head(
                "Content-Disposition: form-data; name=\"model\"\r\nContent-Type: text/plain; charset=utf-16",
            ),
            ScanError::ModelNotText,
        ),
        (
            head(
                "Content-Disposition: form-data; name=\"model\"\r\nContent-Type: application/json",
            ),
            ScanError::ModelNotText,
        ),
        (
            head(
                "Content-Disposition: form-data; name=\"model\"\r\nContent-Transfer-Encoding: base64",
            ),
            ScanError::Form(FormError::TransferEncoding),
        ),
        (head("Content-Disposition: form-data; name=\"x\"; name=\"model\""), bad_head),
        (head("Content-Disposition: form-data; name*=utf-8''model"), bad_head),
        (head("Content-Disposition: form-data; filename=\"f\""), bad_head),
        (head("Content-Disposition: form-data"), bad_head),
        (head("Content-Disposition: attachment; name=\"model\""), bad_head),
        (head("Content-Disposition: form-data; name=\"model"), bad_head),
        (head("Content-Disposition: form-data; name=mo del"), bad_head),
        (head("Content-Disposition: form-data; name=\"a\"x; name=\"model\""), bad_head),
        (
            head(
                "Content-Disposition: form-data; name=x\r\nContent-Disposition: form-data; name=model",
            ),
            bad_head,
        ),
        (head("Content-Disposition: form-data;\r\n name=\"model\""), bad_head),
        (
            head(
                "Content-Disposition: form-data; name=x\nContent-Disposition: form-data; name=model",
            ),
            bad_head,
        ),
        (head("Content-Disposition : form-data; name=\"model\""), bad_head),
        (head("Content-Type: text/plain"), bad_head),
        (form(&[format!("--{B}\r\n\r\nbody\r\n")]), bad_head),
        (head(&format!("--{B}: x\r\nContent-Disposition: form-data; name=x")), bad_head),
        (
            form(&[field(
                "x",
                &format!("--{B}\r\nContent-Disposition: form-data; name=model\r\n\r\nb"),
            )]),
            ScanError::Form(FormError::LooseBoundary),
        ),
        (form(&[field("x", &format!("y\n--{B}--"))]), ScanError::Form(FormError::LooseBoundary)),
        (form(&[field("x", &format!("y\r--{B}--"))]), ScanError::Form(FormError::LooseBoundary)),
        (form(&[field("x", &format!("y\r\n--{B}z"))]), ScanError::Form(FormError::AfterBoundary)),
        (
            form(&[field("x", &format!("y\r\n--{B} \r\n"))]),
            ScanError::Form(FormError::AfterBoundary),
        ),
        ([b"\r\n", &form(&[])[..]].concat(), ScanError::Form(FormError::Preamble)),
        (b"{\"model\":\"a\"}".to_vec(), ScanError::Form(FormError::Preamble)),
        ([&form(&[])[..], b"x"].concat(), ScanError::Form(FormError::Epilogue)),
        ([&form(&[])[..], &form(&[])[..]].concat(), ScanError::Form(FormError::Epilogue)),
        (model.clone().into_bytes(), ScanError::Form(FormError::Truncated)),
        (b"".to_vec(), ScanError::Form(FormError::Truncated)),
        (format!("{model}--{B}").into_bytes(), ScanError::Form(FormError::Truncated)),
        (format!("{model}--{B}--\r").into_bytes(), ScanError::Form(FormError::Truncated)),
    ] {
        assert_eq!(model_of(&body), Err(wanted), "{:?}", String::from_utf8_lossy(&body));
    }
    let not_utf8 = [&form(&[field("model", "\u{1}")])[..]].concat();
    let not_utf8: Vec<u8> = not_utf8.iter().map(|b| if *b == 1 { 0xff } else { *b }).collect();
    assert_eq!(model_of(&not_utf8), Err(ScanError::ModelNotText));
}

#[test]
fn the_limits_are_exact() {
    let named = |len: usize| form(&[field("model", &"m".repeat(len))]);
    assert_eq!(model_of(&named(MAX_MODEL_BYTES)), Ok(Some("m".repeat(MAX_MODEL_BYTES))));
    assert_eq!(model_of(&named(MAX_MODEL_BYTES + 1)), Err(ScanError::ModelTooLong));
    let broken = format!("{}\r\n", "m".repeat(MAX_MODEL_BYTES));
    assert_eq!(model_of(&form(&[field("model", &broken)])), Err(ScanError::ModelTooLong));
    let head = "x: ".len() + "\r\n".len() + "content-disposition: form-data; name=y\r\n\r\n".len();
    let padded = |len: usize| {
        let pad = "p".repeat(len - head);
        form(&[part(&format!("x: {pad}\r\ncontent-disposition: form-data; name=y"), "")])
    };
    assert_eq!(model_of(&padded(MAX_PART_HEAD_BYTES)), Ok(None));
    assert_eq!(
        model_of(&padded(MAX_PART_HEAD_BYTES + 1)),
        Err(ScanError::Form(FormError::PartHeadTooLarge))
    );
    let parts = |count: usize| form(&vec![field("x", ""); count]);
    assert_eq!(model_of(&parts(MAX_PARTS)), Ok(None));
    assert_eq!(model_of(&parts(MAX_PARTS + 1)), Err(ScanError::Form(FormError::TooManyParts)));
}

#[test]
fn stream_is_reported_where_it_is_true_or_false() {
    for (value, wanted) in [("true", Some(true)), ("false", Some(false)), ("1", None), ("", None)] {
        let body = form(&[field("stream", value)]);
        assert_eq!(scan_with(B, &[&body]).expect("a form").1, wanted, "{value}");
    }
    let long = form(&[field("stream", &"x".repeat(10_000))]);
    assert_eq!(scan_with(B, &[&long]).expect("a form").1, None);
}

#[test]
fn boundaries_are_read_strictly() {
    for (value, wanted) in [
        ("multipart/form-data; boundary=abc", "abc"),
        ("Multipart/Form-Data;BOUNDARY=\"a b:c\"", "a b:c"),
        ("multipart/form-data; charset=utf-8; boundary=a=b ; ", "a=b"),
    ] {
        assert_eq!(parse_boundary(value).map(|b| b.as_str().to_owned()), Ok(wanted.to_owned()));
    }
    let long = format!("multipart/form-data; boundary={}", "b".repeat(MAX_BOUNDARY_BYTES + 1));
    for value in [
        "",
        "multipart/form-data",
        "multipart/form-data;",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=\"\"",
        "multipart/form-data; boundary=\"a",
        "multipart/form-data; boundary=a; boundary=b",
        "multipart/form-data; boundary*=utf-8''a",
        "multipart/form-data; boundary=\"a \"",
        "multipart/form-data; boundary=a b",
        "multipart/form-data; boundary=\"a\\b\"",
        "multipart/form-data; boundary=é",
        "multipart/form-data; boundary",
        "multipart/mixed; boundary=a",
        "text/plain; boundary=a",
        "multipart/form-data; boundary=\"a;boundary=b\"",
        long.as_str(),
    ] {
        assert_eq!(parse_boundary(value), Err(FormError::Boundary), "{value}");
    }
}

proptest! {
    #[test]
    fn any_split_of_a_form_gives_the_result_of_the_whole(
        names in prop::collection::vec("model|stream|Model|[a-z]{1,4}", 0..4),
        values in prop::collection::vec(prop_oneof!["[ -~]{0,12}", "(\r|\n|-|--x|x){0,8}"], 4),
        tail in prop_oneof![Just(""), Just("x"), Just("\r\n--x"), Just("--x\r\n")],
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let mut body = String::new();
        for (name, value) in names.iter().zip(&values) {
            body += &format!("--x\r\nContent-Disposition: form-data; name={name}\r\n\r\n{value}\r\n");
        }
        body += "--x--\r\n";
        body += tail;
        let bytes = body.as_bytes();
        let whole = scan_with("x", &[bytes]);
        prop_assert_eq!(&scan_with("x", &split_at(bytes, &cuts)), &whole);
        if let Ok((model, _)) = whole {
            let want = names.iter().position(|name| name == "model").map(|at| values[at].clone());
            prop_assert_eq!(model, want);
        }
    }

    #[test]
    fn any_bytes_are_judged_without_a_panic(
        pieces in prop::collection::vec(prop::sample::select(vec![
            &b"--x"[..], b"\r\n", b"--", b"\r", b"\n", b"-",
            b"Content-Disposition: form-data; name=model", b"\r\n\r\n", b"\xff",
            b"; filename=\"\\", b"\"", b":", b"v",
        ]), 0..24),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let body = [b"--x\r\n", pieces.concat().as_slice()].concat();
        prop_assert_eq!(scan_with("x", &split_at(&body, &cuts)), scan_with("x", &[&body]));
    }

    #[test]
    fn any_content_type_is_judged_without_a_panic(text in ".{0,80}") {
        drop(parse_boundary(&text));
        drop(parse_boundary(&format!("multipart/form-data; {text}")));
    }
}

#[test]
fn fields_that_name_objects_are_found_by_the_end_of_their_name() {
    use crate::objects::ObjectKind::{Container, File};
    let found = |parts: &[String]| {
        let boundary = parse_boundary(&format!("multipart/form-data; boundary={B}"))?;
        let mut scan = MultipartScan::new(&boundary);
        let mut found = Vec::new();
        for byte in form(parts).chunks(1) {
            scan.feed(byte)?;
            found.extend(scan.take_references());
        }
        scan.finish()?;
        Ok(found.into_iter().map(|it| (it.kind.expect("a kind"), it.id.to_string())).collect())
    };
    type Wanted = Result<Vec<(crate::objects::ObjectKind, String)>, ScanError>;
    let one = |kind, id: &str| -> Wanted { Ok(vec![(kind, id.to_owned())]) };
    let none: Wanted = Ok(Vec::new());
    for (name, value, wanted) in [
        ("file_id", "file-1", one(File, "file-1")),
        ("image[file_id]", "file-1", one(File, "file-1")),
        ("images[0][file_id]", "file-1", one(File, "file-1")),
        ("file_ids[]", "file-1", one(File, "file-1")),
        ("container", "cntr_1", one(Container, "cntr_1")),
        ("metadata[file_id]", "anything at all", none.clone()),
        ("file", "file-1", none.clone()),
        ("file_id[name]", "x y", none.clone()),
        ("file_id", "a b", Err(ScanError::BadReference)),
        ("file_id", "", Err(ScanError::BadReference)),
        ("file_id", &"f".repeat(100_000), Err(ScanError::BadReference)),
        ("File_Id", "file-1", Err(ScanError::AmbiguousReference)),
        ("file%5fid", "file-1", Err(ScanError::AmbiguousReference)),
        (" file_id", "file-1", Err(ScanError::AmbiguousReference)),
        ("x[file_ID]", "file-1", Err(ScanError::AmbiguousReference)),
        ("vector_store_id", "vs_1", Err(ScanError::StoredObject)),
    ] {
        assert_eq!(found(&[field("x", "y"), field(name, value)]), wanted, "{name}={value:.20}");
    }
    let as_file = "Content-Disposition: form-data; name=file_id; filename=f";
    assert_eq!(found(&[part(as_file, "file-1")]), Err(ScanError::ReferenceNotText));
    let as_json = "Content-Disposition: form-data; name=file_id\r\nContent-Type: application/json";
    assert_eq!(found(&[part(as_json, "\"file-1\"")]), Err(ScanError::ReferenceNotText));
    let two = [field("file_id", "file-1"), field("file_id", "file-2")];
    assert_eq!(found(&two).map(|found: Vec<_>| found.len()), Ok(2));
    let most = vec![field("file_ids[]", "f"); REFERENCES_MAX];
    assert_eq!(found(&most).map(|found: Vec<_>| found.len()), Ok(REFERENCES_MAX));
    let more = vec![field("file_ids[]", "f"); REFERENCES_MAX + 1];
    assert_eq!(found(&more), Err(ScanError::TooManyReferences));
}
