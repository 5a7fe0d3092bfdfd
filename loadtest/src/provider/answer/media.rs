//! Images and audio: base64 in JSON, events with usage at the end, and plain binary without any.

use super::{Answer, CREATED_SECS, Piece, Turn, cost, data, event, quoted};
use crate::provider::text;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::iter::{once, once_with};

/// Bytes of an image, or of a chunk of speech, where the control names none.
const BYTES_DEFAULT: u32 = 512;

/// Which of the two image endpoints is asked; their events differ in name.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ImageKind {
    Generation,
    Edit,
}

impl ImageKind {
    const fn name(self) -> &'static str {
        match self {
            Self::Generation => "image_generation",
            Self::Edit => "image_edit",
        }
    }
}

fn image(turn: &Turn, index: u64) -> String {
    let length = turn.text.delta_bytes.unwrap_or(BYTES_DEFAULT) as usize;
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    bytes.extend(text::bytes(turn.text.seed.wrapping_add(index), length));
    STANDARD.encode(bytes)
}

/// One image in one document.
pub(crate) fn image_whole(turn: &Turn) -> Answer {
    let mut document = json!({
        "created": CREATED_SECS, "background": "opaque", "output_format": "png",
        "quality": "low", "size": "1024x1024", "data": [{ "b64_json": image(turn, 0) }],
    });
    if !turn.no_usage {
        document["usage"] = cost::image(turn);
    }
    Answer::json(200, document.to_string()).billed(turn)
}

/// Partial images, then the whole one with its usage.
pub(crate) fn image_streamed(turn: &Turn, kind: ImageKind) -> Answer {
    const PARTIALS: u64 = 2;
    let common = json!({
        "created_at": CREATED_SECS, "size": "1024x1024", "quality": "low",
        "background": "opaque", "output_format": "png",
    });
    let make = move |turn: &Turn, what: &str, index: u64| {
        let name = format!("{}.{what}", kind.name());
        let mut document = common.clone();
        document["type"] = Value::from(name.as_str());
        document["b64_json"] = Value::from(image(turn, index));
        (name, document)
    };
    let (partial, last) = (turn.clone(), turn.clone());
    let finish = make.clone();
    let answer = Answer::events(
        (0..PARTIALS)
            .map(move |index| {
                let (name, mut document) = make(&partial, "partial_image", index + 1);
                document["partial_image_index"] = Value::from(index);
                Piece::paced(event(&name, &document.to_string()))
            })
            .chain(once_with(move || {
                let (name, mut document) = finish(&last, "completed", 0);
                if !last.no_usage {
                    document["usage"] = cost::image(&last);
                }
                Piece::paced(event(&name, &document.to_string()))
            })),
    );
    Answer { bill: Some((turn.usage, 0)), ..answer }
}

/// A transcript or translation in the format asked for.
pub(crate) fn transcript(turn: &Turn, format: Option<&str>) -> Answer {
    let words = turn.text.whole();
    if matches!(format, Some("text" | "srt" | "vtt")) {
        let mut answer = Answer::json(200, format!("{words}\n"));
        answer.content_type = "text/plain; charset=utf-8";
        return answer.billed(turn);
    }
    let mut document = json!({ "text": words });
    if format == Some("verbose_json") {
        document["language"] = Value::from("english");
        document["duration"] = Value::from(2.0);
        document["segments"] = json!([]);
    }
    if !turn.no_usage {
        document["usage"] = cost::transcript(turn);
    }
    Answer::json(200, document.to_string()).billed(turn)
}

/// A transcript as a stream of events.
pub(crate) fn transcript_streamed(turn: &Turn) -> Answer {
    let deltas = turn.text.pieces().map(|text| {
        Piece::paced(data(&format!(
            r#"{{"type":"transcript.text.delta","delta":{}}}"#,
            quoted(&text)
        )))
    });
    let last = turn.clone();
    Answer::events(deltas.chain(once_with(move || {
        let mut document = json!({ "type": "transcript.text.done", "text": last.text.whole() });
        if !last.no_usage {
            document["usage"] = cost::transcript(&last);
        }
        Piece::now(data(&document.to_string()))
    })))
    .billed(turn)
}

fn speech_chunks(turn: &Turn) -> impl Iterator<Item = Vec<u8>> + Send + Sync + use<> {
    let length = turn.text.delta_bytes.unwrap_or(BYTES_DEFAULT) as usize;
    let seed = turn.text.seed;
    (0..turn.text.deltas).map(move |index| text::bytes(seed.wrapping_add(u64::from(index)), length))
}

/// Binary audio in chunks; nothing tells its usage.
pub(crate) fn speech(turn: &Turn) -> Answer {
    Answer {
        status: 200,
        content_type: "audio/mpeg",
        streamed: true,
        pieces: Box::new(speech_chunks(turn).map(Piece::paced)),
        headers: &[],
        bill: Some((turn.usage, 0)),
        wait: std::time::Duration::ZERO,
    }
}

/// Audio in base64 events, with its usage at the end.
pub(crate) fn speech_streamed(turn: &Turn) -> Answer {
    let deltas = speech_chunks(turn).map(|bytes| {
        let document =
            format!(r#"{{"type":"speech.audio.delta","audio":"{}"}}"#, STANDARD.encode(bytes));
        Piece::paced(data(&document))
    });
    let mut done = json!({ "type": "speech.audio.done" });
    if !turn.no_usage {
        done["usage"] = cost::speech(turn);
    }
    Answer::events(deltas.chain(once(Piece::now(data(&done.to_string()))))).billed(turn)
}
