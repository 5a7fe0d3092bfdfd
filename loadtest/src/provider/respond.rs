//! The head of an answer, and the way its body is delivered.
//!
//! From here on the body owns the request's record.

use super::answer::{Answer, data, event};
use super::body::{Break, DIGEST_TRAILER, Delivery, SimBody};
use super::control::{Control, Fault};
use super::decide::Decision;
use super::listen::Abort;
use super::record::Live;
use super::refusal::{self, About, Refusal};
use super::route::{Endpoint, Route};
use super::serve::OutBody;
use super::{credential, head as heads};
use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE,
    TRAILER,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response, StatusCode, Version};
use http_body_util::BodyExt;
use std::sync::Arc;
use weft_proto::provider::Provider;

/// The response for what was decided.
pub(crate) fn respond(
    head: &Parts,
    decision: Decision,
    mut live: Live,
    abort: Arc<Abort>,
) -> Response<OutBody> {
    let Decision { route, control, model, answer, bill } = decision;
    let provider = route.provider;
    let request_id = heads::request_id(provider, live.seq());
    let about = About {
        provider,
        dialect: route.dialect(),
        model: model.as_deref().unwrap_or("the requested model"),
        key: credential::presented(provider, &head.headers),
        request_id: &request_id,
        method: head.method.as_str(),
        target: head.uri.path(),
    };
    let one_connection = head.version < Version::HTTP_2;
    let mut fields = heads::fields(provider, &request_id);
    if matches!(answer, Err(Refusal::TooLarge)) && one_connection {
        fields.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if let Some((usage, deltas)) = bill {
        live.bill(usage, deltas);
    }
    let (answer, fault) = worded(answer, &route, &control, about);
    fields.insert(CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    if answer.is_events() {
        fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    }
    for (name, value) in answer.headers {
        fields.insert(*name, HeaderValue::from_static(value));
    }
    let by_length = control.fault == Some(Fault::CutLength);
    let gzip = control.gzip && !by_length && accepts_gzip(&head.headers);
    if gzip {
        fields.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    let trailers = control.trailers && !by_length;
    if trailers {
        fields.insert(TRAILER, HeaderValue::from(DIGEST_TRAILER));
    }
    let close_delimited = control.close_delimited && one_connection;
    let unmeasured = answer.streamed
        || gzip
        || trailers
        || close_delimited
        || control.split
        || control.fault == Some(Fault::Cut);
    let pieces = if by_length || !unmeasured {
        let pieces: Vec<_> = answer.pieces.collect();
        let length: usize = pieces.iter().map(|piece| piece.bytes.len()).sum();
        fields.insert(CONTENT_LENGTH, HeaderValue::from(length));
        Box::new(pieces.into_iter())
    } else {
        answer.pieces
    };
    live.edit(|record| record.provider = Some(provider.name()));
    live.answered(answer.status, &request_id);
    let delivery = Delivery { pace: control.pace, split: control.split, gzip, trailers, fault };
    let mut response = Response::new(SimBody::new(pieces, delivery, live, abort).boxed());
    *response.status_mut() =
        StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    *response.headers_mut() = fields;
    if close_delimited {
        *response.version_mut() = Version::HTTP_10;
    }
    response
}

/// The answer, or the refusal as one, with what breaks inside it.
fn worded(
    answer: Result<Answer, Refusal>,
    route: &Route,
    control: &Control,
    about: About<'_>,
) -> (Answer, Option<(Break, u32)>) {
    match answer {
        Ok(answer) => {
            let event = || error_event(route, &refusal::body(&Refusal::Overloaded, about));
            (answer, Break::of(control, event))
        }
        Err(refusal) => {
            let body = refusal::body(&refusal, about).to_string();
            let mut answer = Answer::json(refusal.status(), body);
            answer.headers = refusal.headers();
            (answer, None)
        }
    }
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    headers
        .get_all(ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|coding| matches!(coding.trim(), "gzip" | "*"))
}

/// An error in the middle of a stream, as the endpoint words it.
fn error_event(route: &Route, document: &serde_json::Value) -> Bytes {
    let text = document.to_string();
    match (&route.endpoint, route.provider) {
        (Some(Endpoint::Messages), _) => event("error", &text),
        (Some(Endpoint::Responses), _) => {
            let error = &document["error"];
            let flat = serde_json::json!({
                "type": "error", "sequence_number": 4, "param": null,
                "code": error["code"], "message": error["message"],
            });
            event("error", &flat.to_string())
        }
        (_, Provider::OpenAi | Provider::Azure | Provider::DeepSeek | Provider::Anthropic) => {
            data(&text)
        }
    }
    .into()
}
