//! The answer on its way to the hub: head, then each read as one write, then the end.
//!
//! FIN goes out only when the provider's answer ended properly. Nothing is gathered and nothing
//! waits for a timer. An answer that begins before its request was whole ends in a trailer for the
//! hub alone: how much of the request the provider took.

use super::record::Record;
use super::{Ended, Served};
use bytes::Bytes;
use http::StatusCode;
use http::header::{HeaderMap, TRAILER};
use http_body::Body;
use http_body_util::BodyExt;
use weft_proto::codes::AbortCode;
use weft_proto::meter::TAKEN;
use weft_proto::tables::headers::response_headers;
use weft_proto::wire::head::AnswerHead;
use weft_transport::exchange::AnswerWriter;
use weft_transport::stream::StreamError;

/// Headers of an answer about the account that may reach the hub: they name a request, or say when
/// to come back. All others may name the key's owner.
const FAULT_HEADERS: [&str; 5] =
    ["x-request-id", "request-id", "apim-request-id", "retry-after", "retry-after-ms"];

/// Streams an answer to its end.
pub(super) async fn answer<B>(
    status: StatusCode,
    headers: &HeaderMap,
    body: B,
    answer: &mut AnswerWriter,
    record: &Record,
) -> Result<Served, Ended>
where
    B: Body<Data = Bytes>,
    B::Error: std::fmt::Display,
{
    let early = record.taken().is_some();
    let head = AnswerHead {
        status,
        headers: response_headers(headers),
        account_fault: false,
        framed: headers.contains_key(TRAILER) || early,
    };
    answer.head(&head).await.map_err(|error| not_written(&error))?;
    let mut body = std::pin::pin!(body);
    let mut answer_bytes = 0;
    let mut trailers = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            tracing::debug!(%error, "a provider's answer broke off");
            Ended::new(AbortCode::UpstreamTruncated, "the provider's answer broke off")
        })?;
        match frame.into_data() {
            Ok(data) if data.is_empty() => {}
            Ok(data) => {
                answer_bytes += data.len() as u64;
                record.came(data.clone());
                answer.send(data).await.map_err(|error| not_written(&error))?;
                record.passed_on();
            }
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    let mut trailers = trailers.map(|trailers| response_headers(&trailers));
    if let Some(taken) = record.taken().filter(|_| early) {
        trailers.get_or_insert_default().insert(TAKEN, taken.encode());
    }
    answer.finish(trailers.as_ref()).await.map_err(|error| not_written(&error))?;
    Ok(Served { status: status.as_u16(), answer_bytes })
}

/// Sends the head of an answer about the account, and nothing of its body.
pub(super) async fn fault(
    status: StatusCode,
    headers: &HeaderMap,
    answer: &mut AnswerWriter,
) -> Result<Served, Ended> {
    let mut kept = HeaderMap::new();
    for name in FAULT_HEADERS {
        if let Some(value) = headers.get(name) {
            kept.insert(name, value.clone());
        }
    }
    let head = AnswerHead { status, headers: kept, account_fault: true, framed: false };
    answer.head(&head).await.map_err(|error| not_written(&error))?;
    answer.finish(None).await.map_err(|error| not_written(&error))?;
    Ok(Served { status: status.as_u16(), answer_bytes: 0 })
}

pub(super) fn not_written(error: &StreamError) -> Ended {
    match error {
        StreamError::Malformed(_) => {
            Ended::new(AbortCode::UpstreamTruncated, "the provider's head fits no limit")
        }
        StreamError::Aborted(_) | StreamError::TunnelLost(_) | StreamError::TimedOut => {
            super::stopped_because(error)
        }
    }
}
