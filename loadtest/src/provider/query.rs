//! `/_sim/…`: what a test in another process asks the simulated provider about.
//!
//! These requests are neither recorded nor simulated.

use super::record::Recorder;
use super::route::parameter;
use super::serve::OutBody;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use serde_json::{Value, json};

/// The path under which no provider is simulated.
pub(crate) const PREFIX: &str = "/_sim/";

/// Answers `GET /_sim/requests?after=N`, `GET /_sim/stats` and `POST /_sim/reset`.
pub(crate) fn answer(recorder: &Recorder, request: &Request<Incoming>) -> Response<OutBody> {
    let tail = request.uri().path().strip_prefix(PREFIX).unwrap_or_default();
    let (status, document) = match (request.method(), tail) {
        (&Method::GET, "requests") => match after(request) {
            Some(seq) => (StatusCode::OK, json!({ "requests": recorder.after(seq) })),
            None => (StatusCode::BAD_REQUEST, json!({ "error": "after: want a number" })),
        },
        (&Method::GET, "stats") => (StatusCode::OK, json!(recorder.stats())),
        (&Method::POST, "reset") => {
            recorder.reset();
            (StatusCode::OK, json!({}))
        }
        (_, _) => (StatusCode::NOT_FOUND, Value::Null),
    };
    let body = Full::new(Bytes::from(document.to_string()));
    let mut response = Response::new(body.map_err(|never| match never {}).boxed());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn after(request: &Request<Incoming>) -> Option<u64> {
    match parameter(request.uri().query(), "after") {
        Some(text) => text.parse().ok(),
        None => Some(0),
    }
}
