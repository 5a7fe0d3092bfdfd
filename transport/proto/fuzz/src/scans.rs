//! Body scans: any split reads alike, and what passes reads the same to another parser.

use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use serde_json::Value;
use weft_proto::decode::{DECODED_BYTES_MAX, DecodeError, Decoder};
use weft_proto::objects::{Found, Reference};
use weft_proto::provider::Dialect;
use weft_proto::scan::answer::FOUND_MAX;
use weft_proto::scan::multipart::{MultipartScan, parse_boundary};
use weft_proto::scan::{AnswerScan, MAX_MODEL_BYTES, ModelScan, REFERENCES_MAX, ScanError};
use weft_proto::sse::{Part, Splitter};
use weft_proto::tables::routes::Tap;

type Outcome = Result<(Option<String>, Option<bool>, Vec<Reference>), ScanError>;

/// The first byte chooses the dialect and the size of the pieces; the rest is the body.
pub fn json_model(input: &[u8]) {
    let Some((&step, body)) = input.split_first() else {
        return;
    };
    let dialect = if step & 0x80 == 0 { Dialect::OpenAi } else { Dialect::Anthropic };
    let whole = json(dialect, [body]);
    let split = json(dialect, body.chunks(usize::from(step & 0x7f).max(1)));
    assert_eq!(split, whole, "a split changed the result");
    let Ok((model, stream, references)) = whole else { return };
    assert!(references.len() <= REFERENCES_MAX);
    assert!(model.as_ref().is_none_or(|model| model.len() <= MAX_MODEL_BYTES));
    // A lone surrogate is valid JSON that serde cannot hold; the scan may be more lenient there.
    let Ok(value) = serde_json::from_slice::<Value>(body) else {
        return;
    };
    let map = value.as_object().expect("the scan passes objects alone");
    assert_eq!(model.as_deref(), map.get("model").map(|model| model.as_str().expect("a string")));
    assert_eq!(stream, map.get("stream").and_then(Value::as_bool));
}

fn json<'b>(dialect: Dialect, pieces: impl IntoIterator<Item = &'b [u8]>) -> Outcome {
    let mut scan = ModelScan::new(dialect);
    let mut references = Vec::new();
    for piece in pieces {
        scan.feed(piece)?;
        references.extend(scan.take_references());
    }
    Ok((scan.finish()?, scan.stream(), references))
}

/// The first byte chooses the size of the pieces; the first line is the content type, and the
/// rest is the body.
pub fn multipart(input: &[u8]) {
    let Some((&step, rest)) = input.split_first() else {
        return;
    };
    let line = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    let (content_type, body) = rest.split_at(line);
    let body = body.get(1..).unwrap_or_default();
    let Ok(content_type) = std::str::from_utf8(content_type) else {
        return;
    };
    let whole = form(content_type, [body]);
    let split = form(content_type, body.chunks(usize::from(step).max(1)));
    assert_eq!(split, whole, "a split changed the result");
    let Ok((model, _, references)) = whole else { return };
    assert!(references.len() <= REFERENCES_MAX);
    let Some(model) = model else { return };
    assert!(model.len() <= MAX_MODEL_BYTES);
    let found = body.windows(model.len().max(1)).any(|window| window == model.as_bytes());
    assert!(found || model.is_empty(), "the model is not in the body");
}

fn form<'b>(content_type: &str, pieces: impl IntoIterator<Item = &'b [u8]>) -> Outcome {
    let mut scan = MultipartScan::new(&parse_boundary(content_type)?);
    let mut references = Vec::new();
    for piece in pieces {
        scan.feed(piece)?;
        references.extend(scan.take_references());
    }
    Ok((scan.finish()?, scan.stream(), references))
}

/// The codings by a number; the last is none.
const CODINGS: [&str; 5] = ["gzip", "deflate", "br", "zstd", "identity"];

/// The first byte chooses the size of the pieces, the second the shape, the third the form and the
/// coding; the rest is the answer.
pub fn answer(input: &[u8]) {
    let [step, shape, form, body @ ..] = input else {
        return;
    };
    let tap = Tap::ALL[usize::from(*shape) % Tap::ALL.len()];
    let form = usize::from(*form);
    let streamed = form % 2 == 1;
    let content_type = if streamed { "text/event-stream" } else { "application/json" };
    let coding = CODINGS[form / 2 % CODINGS.len()];
    let whole = watch(tap, content_type, coding, [body]);
    let pieces = body.chunks(usize::from(*step).max(1));
    let split = watch(tap, content_type, coding, pieces);
    // A broken coding may break off at another place; all else is alike.
    if coding == "identity" {
        assert_eq!(split, whole, "a split changed what was told");
    }
    for (found, _) in whole.into_iter().chain(split) {
        assert!(found.len() <= FOUND_MAX);
    }
}

/// What is told in all, the newest word on each object, and whether the scan has gone blind.
fn watch<'b>(
    tap: Tap,
    content_type: &'static str,
    coding: &'static str,
    pieces: impl IntoIterator<Item = &'b [u8]>,
) -> Option<(Vec<Found>, bool)> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
    let mut scan = AnswerScan::new(tap, &headers)?;
    let mut told: Vec<Found> = Vec::new();
    for piece in pieces {
        scan.feed(piece);
        for found in scan.take_found() {
            let known = told.iter_mut().find(|it| it.kind == found.kind && it.id == found.id);
            match known {
                Some(known) => *known = found,
                None => told.push(found),
            }
        }
    }
    Some((told, scan.is_blind()))
}

/// The first byte chooses the size of the pieces, the second the coding; the rest is the body.
pub fn decode(input: &[u8]) {
    let [step, choice, body @ ..] = input else {
        return;
    };
    let coding = CODINGS[usize::from(*choice) % CODINGS.len()];
    let whole = decoded(coding, [body]);
    let split = decoded(coding, body.chunks(usize::from(*step).max(1)));
    if whole.2.is_ok() {
        assert_eq!(split, whole, "a split changed what was decoded");
    }
}

fn decoded<'b>(
    coding: &str,
    pieces: impl IntoIterator<Item = &'b [u8]>,
) -> (u64, u64, Result<(), DecodeError>) {
    let mut decoder = Decoder::for_coding(coding).expect("a known coding");
    let (mut count, mut hash) = (0, 0u64);
    for piece in pieces {
        let fed = decoder.feed(piece, |plain| {
            count += plain.len() as u64;
            for byte in plain {
                hash = hash.wrapping_mul(31).wrapping_add(u64::from(*byte));
            }
        });
        if fed.is_err() {
            assert_eq!(decoder.feed(b"x", |_| panic!("more after an error")), fed);
            return (count, hash, fed);
        }
        assert!(coding == "identity" || count <= DECODED_BYTES_MAX);
    }
    (count, hash, Ok(()))
}

/// The first byte chooses the size of the pieces; the rest is the stream.
pub fn sse(input: &[u8]) {
    let Some((&step, stream)) = input.split_first() else {
        return;
    };
    let whole = events([stream]);
    let split = events(stream.chunks(usize::from(step).max(1)));
    assert_eq!(split, whole, "a split changed the events");
}

/// The names and the data of the events, the last one unfinished.
fn events<'b>(pieces: impl IntoIterator<Item = &'b [u8]>) -> Vec<(Option<String>, Vec<u8>)> {
    let mut splitter = Splitter::new();
    let mut events = vec![(None, Vec::new())];
    for piece in pieces {
        splitter.feed(piece, |part| {
            let last = events.last_mut().expect("one event at least");
            match part {
                Part::Name(name) => last.0 = Some(name.to_owned()),
                Part::Data(data) => last.1.extend_from_slice(data),
                Part::End => events.push((None, Vec::new())),
            }
        });
    }
    events
}
