//! Body scans: any split reads alike, and what passes reads the same to another parser.

use serde_json::Value;
use weft_proto::scan::multipart::{MultipartScan, parse_boundary};
use weft_proto::scan::{MAX_MODEL_BYTES, ModelScan, ScanError};

type Outcome = Result<(Option<String>, Option<bool>), ScanError>;

/// The first byte chooses the size of the pieces; the rest is the body.
pub fn json_model(input: &[u8]) {
    let Some((&step, body)) = input.split_first() else {
        return;
    };
    let whole = json([body]);
    assert_eq!(json(body.chunks(usize::from(step).max(1))), whole, "a split changed the result");
    let Ok((model, stream)) = whole else { return };
    assert!(model.as_ref().is_none_or(|model| model.len() <= MAX_MODEL_BYTES));
    // A lone surrogate is valid JSON that serde cannot hold; the scan may be more lenient there.
    let Ok(value) = serde_json::from_slice::<Value>(body) else {
        return;
    };
    let map = value.as_object().expect("the scan passes objects alone");
    assert_eq!(model.as_deref(), map.get("model").map(|model| model.as_str().expect("a string")));
    assert_eq!(stream, map.get("stream").and_then(Value::as_bool));
}

fn json<'b>(pieces: impl IntoIterator<Item = &'b [u8]>) -> Outcome {
    let mut scan = ModelScan::new();
    for piece in pieces {
        scan.feed(piece)?;
    }
    Ok((scan.finish()?, scan.stream()))
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
    let Ok((Some(model), _)) = whole else { return };
    assert!(model.len() <= MAX_MODEL_BYTES);
    let found = body.windows(model.len().max(1)).any(|window| window == model.as_bytes());
    assert!(found || model.is_empty(), "the model is not in the body");
}

fn form<'b>(content_type: &str, pieces: impl IntoIterator<Item = &'b [u8]>) -> Outcome {
    let mut scan = MultipartScan::new(&parse_boundary(content_type)?);
    for piece in pieces {
        scan.feed(piece)?;
    }
    Ok((scan.finish()?, scan.stream()))
}
