//! Meters: any split reads alike, memory stays small, and classes are what they say.

use http::{Method, StatusCode};
use weft_proto::meter::{AnswerFacts, AnswerMeter, Asked, Metered, RequestMeter};
use weft_proto::provider::Provider;
use weft_proto::tables::routes::{self, Metering};
use weft_proto::usage::Basis;

const METERINGS: [Metering; 13] = [
    Metering::Free,
    Metering::Chat,
    Metering::Responses,
    Metering::StoredResponse,
    Metering::Messages,
    Metering::Embeddings,
    Metering::Images,
    Metering::Transcription,
    Metering::Speech,
    Metering::Realtime,
    Metering::Container,
    Metering::Batch,
    Metering::BatchResults,
];

/// The content types by a number.
const KINDS: [&str; 5] = ["", "application/json", "text/event-stream", "text/plain", "audio/mpeg"];

/// The content codings by a number; the first is none.
const CODINGS: [&str; 5] = ["identity", "gzip", "deflate", "br", "zstd"];

/// The first byte chooses the size of the pieces, the second the shape, the third what the head
/// says; the rest is the answer.
pub fn meter_answer(input: &[u8]) {
    let [step, shape, head, body @ ..] = input else {
        return;
    };
    let metering = METERINGS[usize::from(*shape) % METERINGS.len()];
    let (head, proper) = (usize::from(*head), shape & 0x80 == 0);
    let status = match (metering, head / 25 % 3) {
        (Metering::Realtime, 0) => StatusCode::SWITCHING_PROTOCOLS,
        (_, 1) => StatusCode::BAD_REQUEST,
        _ => StatusCode::OK,
    };
    let coding = CODINGS[head / 5 % 5];
    let facts = AnswerFacts {
        provider: Provider::ALL[usize::from(*step) % 4],
        metering,
        status,
        content_type: Some(KINDS[head % 5]),
        content_encoding: Some(coding),
    };
    let asked = Asked { input_estimate: 7, ..Asked::default() };
    let whole = answer(&facts, &asked, proper, [body]);
    let split = answer(&facts, &asked, proper, body.chunks(usize::from(*step).max(1)));
    // A broken coding may break off at another place; all else is alike.
    if coding == "identity" {
        assert_eq!(split, whole, "a split changed what was metered");
    }
    if metering == Metering::Free {
        assert!(whole.usage.is_none() && whole.basis == Basis::Reported);
    }
    assert!(whole.model.is_none_or(|model| model.len() <= 256));
}

fn answer<'b>(
    facts: &AnswerFacts<'_>,
    asked: &Asked,
    proper: bool,
    pieces: impl IntoIterator<Item = &'b [u8]>,
) -> Metered {
    let mut meter = AnswerMeter::new(facts);
    let mut seen = false;
    for piece in pieces {
        meter.feed(piece);
        let progress = meter.progress();
        assert!(progress.usage_seen || !seen, "a usage was forgotten");
        seen = progress.usage_seen;
    }
    meter.end(asked, proper)
}

/// The routes by a number.
const PATHS: [(Provider, &str); 5] = [
    (Provider::OpenAi, "/v1/chat/completions"),
    (Provider::OpenAi, "/v1/responses"),
    (Provider::Anthropic, "/v1/messages"),
    (Provider::OpenAi, "/v1/audio/speech"),
    (Provider::OpenAi, "/v1/embeddings"),
];

/// The first byte chooses the size of the pieces, the second the route; the rest is the request.
pub fn meter_request(input: &[u8]) {
    let [step, route, body @ ..] = input else {
        return;
    };
    let (provider, path) = PATHS[usize::from(*route) % PATHS.len()];
    let matched = routes::find(provider, &Method::POST, path).expect("a route");
    let read = |size: usize| {
        let mut meter = RequestMeter::new(&matched, None, None);
        body.chunks(size).for_each(|piece| meter.feed(piece));
        meter.finish();
        meter.asked().clone()
    };
    let whole = read(body.len().max(1));
    assert_eq!(read(usize::from(*step).max(1)), whole, "a split changed what is asked");
    assert!(whole.text_bytes <= 2 * body.len() as u64 + 64);
}
