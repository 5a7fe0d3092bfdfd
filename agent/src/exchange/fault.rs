//! Is an answer about the user's request, or about the key's owner?
//!
//! 401, 402 and 403 are told by their status. A 429 is the user's own affair (a rate) unless its
//! error object names quota or billing; for that one status, and to tell a forbidden model from a
//! forbidden account, the beginning of the body is read before it goes on. Such bodies are small;
//! the read has a limit in bytes and in time, and every other answer streams untouched.

use super::Ended;
use crate::limits::AccountFault;
use bytes::{Bytes, BytesMut};
use flate2::read::{GzDecoder, ZlibDecoder};
use http::StatusCode;
use http::header::{CONTENT_ENCODING, HeaderMap};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::Deserialize;
use std::collections::VecDeque;
use std::io::Read;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use weft_proto::codes::AbortCode;
use weft_proto::provider::Provider;

/// Bytes of an error body that are read before it is judged; also the limit of its decoded form.
const PEEK_BYTES_MAX: usize = 16 * 1024;
/// Working buffer of the brotli decoder, in bytes.
const BROTLI_BUFFER_BYTES: usize = 4 * 1024;
/// Time for that read.
const PEEK_MAX: Duration = Duration::from_secs(3);

/// Error codes that speak of the account's quota or billing, at OpenAI and those who write its
/// dialect.
const QUOTA_CODES: [&str; 4] =
    ["insufficient_quota", "billing_not_active", "billing_hard_limit_reached", "access_terminated"];
/// Error codes of a 403 that speak of one model.
const MODEL_CODES: [&str; 3] = ["model_not_found", "unsupported_model", "model_not_allowed"];

/// The verdict on an answer.
#[derive(Debug)]
pub(super) enum Judged {
    /// It is about the account: its body ends here.
    Fault(AccountFault),
    /// It goes on to the user.
    Passes(Peeked),
}

/// A body of which the beginning may have been read.
#[derive(Debug)]
pub(super) struct Peeked {
    read: VecDeque<Frame<Bytes>>,
    rest: Incoming,
}

/// Judges an answer by its head and, where needed, the beginning of its body.
///
/// # Errors
/// `UPSTREAM_TRUNCATED` where the body broke off while it was judged.
pub(super) async fn judge(
    provider: Provider,
    status: StatusCode,
    headers: &HeaderMap,
    body: Incoming,
) -> Result<Judged, Ended> {
    let whole = Peeked { read: VecDeque::new(), rest: body };
    match status {
        StatusCode::UNAUTHORIZED => Ok(Judged::Fault(AccountFault::Unauthorized)),
        StatusCode::PAYMENT_REQUIRED => Ok(Judged::Fault(AccountFault::NoCredit)),
        StatusCode::FORBIDDEN => {
            let (_, text) = peek(whole, headers).await?;
            let fault = match text.as_deref().and_then(ErrorObject::parse) {
                Some(error) if error.is_one_of(&MODEL_CODES) || error.names_a_model() => {
                    AccountFault::ModelForbidden
                }
                Some(_) | None => AccountFault::Forbidden,
            };
            Ok(Judged::Fault(fault))
        }
        StatusCode::TOO_MANY_REQUESTS => {
            let (peeked, text) = peek(whole, headers).await?;
            let quota = text
                .as_deref()
                .and_then(ErrorObject::parse)
                .is_some_and(|error| error.is_one_of(&QUOTA_CODES));
            if quota {
                return Ok(Judged::Fault(AccountFault::QuotaExhausted));
            }
            tracing::debug!(%provider, "a provider's rate limit answered");
            Ok(Judged::Passes(peeked))
        }
        _ => Ok(Judged::Passes(whole)),
    }
}

/// Reads the beginning of a body and keeps it for sending on; the text is decoded where it is
/// compressed, and absent where it cannot be.
async fn peek(mut body: Peeked, headers: &HeaderMap) -> Result<(Peeked, Option<Vec<u8>>), Ended> {
    let mut bytes = BytesMut::new();
    let reading = async {
        while bytes.len() < PEEK_BYTES_MAX {
            let Some(frame) = body.rest.frame().await else {
                break;
            };
            let frame = frame.map_err(|_| {
                Ended::new(AbortCode::UpstreamTruncated, "the provider's answer broke off")
            })?;
            if let Some(data) = frame.data_ref() {
                let room = PEEK_BYTES_MAX - bytes.len();
                bytes.extend_from_slice(&data[..data.len().min(room)]);
            }
            body.read.push_back(frame);
        }
        Ok(())
    };
    if let Ok(read) = tokio::time::timeout(PEEK_MAX, reading).await {
        read?;
    }
    Ok((body, decoded(&bytes, headers)))
}

fn decoded(bytes: &[u8], headers: &HeaderMap) -> Option<Vec<u8>> {
    let limit = PEEK_BYTES_MAX as u64;
    let mut text = Vec::new();
    let coding = headers.get(CONTENT_ENCODING).map_or(&b"identity"[..], |value| value.as_bytes());
    if coding.eq_ignore_ascii_case(b"identity") {
        text.extend_from_slice(bytes);
    } else if coding.eq_ignore_ascii_case(b"gzip") {
        GzDecoder::new(bytes).take(limit).read_to_end(&mut text).ok()?;
    } else if coding.eq_ignore_ascii_case(b"deflate") {
        ZlibDecoder::new(bytes).take(limit).read_to_end(&mut text).ok()?;
    } else if coding.eq_ignore_ascii_case(b"br") {
        let mut decoder = brotli_decompressor::Decompressor::new(bytes, BROTLI_BUFFER_BYTES);
        (&mut decoder).take(limit).read_to_end(&mut text).ok()?;
    } else {
        return None;
    }
    Some(text)
}

/// `{"error":{"type","code","param"}}`, as every dialect writes it.
#[derive(Debug, Deserialize)]
struct ErrorObject {
    #[serde(default, rename = "type")]
    kind: Option<serde_json::Value>,
    #[serde(default)]
    code: Option<serde_json::Value>,
    #[serde(default)]
    param: Option<serde_json::Value>,
}

#[derive(Debug, Deserialize)]
struct ErrorBody {
    error: ErrorObject,
}

impl ErrorObject {
    fn parse(text: &[u8]) -> Option<Self> {
        serde_json::from_slice::<ErrorBody>(text).ok().map(|body| body.error)
    }

    fn is_one_of(&self, codes: &[&str]) -> bool {
        [&self.kind, &self.code]
            .into_iter()
            .filter_map(|value| value.as_ref()?.as_str())
            .any(|text| codes.contains(&text))
    }

    fn names_a_model(&self) -> bool {
        self.param.as_ref().and_then(serde_json::Value::as_str) == Some("model")
    }
}

impl Body for Peeked {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.read.pop_front() {
            Some(frame) => Poll::Ready(Some(Ok(frame))),
            None => Pin::new(&mut self.rest).poll_frame(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use std::io::Write;

    const QUOTA: &[u8] = br#"{"error":{"message":"m","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}"#;

    /// `hello` in brotli: one stored block.
    const BROTLI_HELLO: &[u8] = b"\x0b\x02\x80hello\x03";

    fn encoding(coding: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(CONTENT_ENCODING, HeaderValue::from_static(coding))])
    }

    #[test]
    fn quota_is_told_from_rate_by_the_error_object_alone() {
        let is_quota = |text: &[u8]| {
            ErrorObject::parse(text).is_some_and(|error| error.is_one_of(&QUOTA_CODES))
        };
        assert!(is_quota(QUOTA));
        assert!(!is_quota(br#"{"error":{"type":"tokens","code":"rate_limit_exceeded"}}"#));
        assert!(!is_quota(br#"{"error":{"message":"insufficient_quota","code":429}}"#));
        assert!(!is_quota(br#"{"type":"error","error":{"type":"rate_limit_error"}}"#));
        assert!(!is_quota(b"not json"));
    }

    #[test]
    fn compressed_error_bodies_are_read_and_unknown_codings_are_not() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(QUOTA).expect("gzip");
        let gzip = gzip.finish().expect("gzip");
        assert_eq!(decoded(&gzip, &encoding("gzip")).as_deref(), Some(QUOTA));
        assert_eq!(decoded(BROTLI_HELLO, &encoding("br")).as_deref(), Some(&b"hello"[..]));
        assert_eq!(decoded(QUOTA, &HeaderMap::new()).as_deref(), Some(QUOTA));
        assert_eq!(decoded(&gzip, &encoding("zstd")), None);
        assert_eq!(decoded(b"junk", &encoding("gzip")), None);
    }

    #[test]
    fn a_bomb_is_decoded_only_up_to_the_limit() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(&vec![0; 8 << 20]).expect("gzip");
        let bomb = gzip.finish().expect("gzip");
        let text = decoded(&bomb, &encoding("gzip")).expect("decodes");
        assert_eq!(text.len(), PEEK_BYTES_MAX);
    }
}
