//! What the hub itself answers, in the caller's own dialect.
//!
//! A refusal never repeats what a body held, never names an account or its owner, and carries
//! `retry-after` only where a retry can help. What no retry can help carries
//! `x-should-retry: false`, or the SDKs would try it twice more.

use axum::body::Body;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde_json::json;
use std::time::Duration;
use weft_proto::ids::ExchangeId;
use weft_proto::provider::Dialect;

/// The header that names the exchange to its user.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("weft-request-id");

/// OpenAI's `type` and `code` for an account without credit.
const INSUFFICIENT_QUOTA: &str = "insufficient_quota";

const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// One refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    status: StatusCode,
    /// A short name: the cause in metrics and logs, and the `code` in OpenAI's shape.
    cause: &'static str,
    message: String,
    retry_after: Option<Duration>,
}

impl Refusal {
    fn new(status: StatusCode, cause: &'static str, message: impl Into<String>) -> Self {
        Self { status, cause, message: message.into(), retry_after: None }
    }

    fn after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// 400: the request breaks a rule of HTTP, of the dialect or of the hub.
    #[must_use]
    pub fn malformed(cause: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, cause, message)
    }

    /// 401: no key, or one that is not valid.
    #[must_use]
    pub fn unauthorised(cause: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, cause, message)
    }

    /// 403: the key may not do this.
    #[must_use]
    pub fn forbidden(cause: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, cause, message)
    }

    /// 402: the balance does not carry the request, and waiting does not help.
    #[must_use]
    pub fn no_credit(cause: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYMENT_REQUIRED, cause, message)
    }

    /// 402: only requests that still run hold what this one needs.
    #[must_use]
    pub fn credit_held(message: impl Into<String>, wait: Duration) -> Self {
        Self::new(StatusCode::PAYMENT_REQUIRED, "credit_held", message).after(wait)
    }

    /// 404: no such path or model.
    #[must_use]
    pub fn not_found(cause: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, cause, message)
    }

    /// 405: the path takes another method.
    #[must_use]
    pub fn method() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "this path takes another method",
        )
    }

    /// 408: the body came too slowly.
    #[must_use]
    pub fn upload_idle() -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "body_idle",
            "no byte of the request's body came for too long",
        )
    }

    /// 413: the body is longer than `max` bytes.
    #[must_use]
    pub fn too_large(max: u64) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_large",
            format!("the request's body is longer than {max} bytes"),
        )
    }

    /// 415: the body cannot be read for the gate.
    #[must_use]
    pub fn media_type(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message)
    }

    /// 426: the path is spoken over a WebSocket by clients that also take plain HTTP, and this is
    /// the one answer that makes them do so.
    #[must_use]
    pub fn websocket(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UPGRADE_REQUIRED, "websocket", message)
    }

    /// 431: the head breaks a limit.
    #[must_use]
    pub fn head_too_large(message: impl Into<String>) -> Self {
        Self::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_large", message)
    }

    /// 429: a limit of the caller's own is full.
    #[must_use]
    pub fn limited(cause: &'static str, message: impl Into<String>, wait: Duration) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, cause, message).after(wait)
    }

    /// 502: the provider could not be reached, or broke off before it answered.
    #[must_use]
    pub fn upstream(cause: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_GATEWAY, cause, message)
    }

    /// 503: no agent, or all are busy, or the hub is.
    #[must_use]
    pub fn unavailable(cause: &'static str, message: impl Into<String>, wait: Duration) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, cause, message).after(wait)
    }

    /// 504: a deadline passed.
    #[must_use]
    pub fn deadline() -> Self {
        Self::new(
            StatusCode::GATEWAY_TIMEOUT,
            "deadline",
            "the provider did not begin to answer in time",
        )
    }

    /// 505: HTTP/1.0, in which a cut answer without a length looks whole.
    #[must_use]
    pub fn http_version() -> Self {
        Self::new(
            StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            "http_version",
            "HTTP/1.0 cannot tell a cut answer from a whole one: use HTTP/1.1 or HTTP/2",
        )
    }

    /// The short name of the cause.
    #[must_use]
    pub const fn cause(&self) -> &'static str {
        self.cause
    }

    /// The status that the user is sent.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// The whole answer.
    #[must_use]
    pub fn response(&self, dialect: Dialect, exchange: Option<ExchangeId>) -> Response<Body> {
        let mut response = Response::new(Body::from(self.body(dialect, exchange)));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(id) = exchange.and_then(|id| HeaderValue::try_from(id.to_string()).ok()) {
            headers.insert(REQUEST_ID, id);
        }
        match self.retry_after {
            // Whole seconds, rounded up: zero would mean at once.
            Some(wait) => {
                let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
                headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
            }
            None if !self.is_retriable() => {
                headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
            }
            None => {}
        }
        response
    }

    /// The error event for a stream that has begun.
    #[must_use]
    pub fn event(&self, dialect: Dialect, exchange: ExchangeId) -> Bytes {
        let body = self.body(dialect, Some(exchange));
        match dialect {
            Dialect::OpenAi => format!("data: {body}\n\n").into(),
            Dialect::Anthropic => format!("event: error\ndata: {body}\n\n").into(),
        }
    }

    fn is_retriable(&self) -> bool {
        (self.status.is_server_error() && self.status != StatusCode::HTTP_VERSION_NOT_SUPPORTED)
            || self.status == StatusCode::REQUEST_TIMEOUT
            || self.status == StatusCode::TOO_MANY_REQUESTS
    }

    fn body(&self, dialect: Dialect, exchange: Option<ExchangeId>) -> String {
        let kind = self.kind(dialect);
        // The one code that OpenAI's clients know for it; the cause stays in metrics and logs.
        let code = match self.status {
            StatusCode::PAYMENT_REQUIRED => INSUFFICIENT_QUOTA,
            _ => self.cause,
        };
        let body = match dialect {
            Dialect::OpenAi => json!({"error": {
                "message": self.message, "type": kind, "param": null, "code": code,
            }}),
            Dialect::Anthropic => json!({
                "type": "error",
                "error": {"type": kind, "message": self.message},
                "request_id": exchange.map(|id| id.to_string()),
            }),
        };
        body.to_string()
    }

    /// The `type` that the dialect's SDKs know for the status.
    const fn kind(&self, dialect: Dialect) -> &'static str {
        let status = self.status.as_u16();
        match dialect {
            Dialect::OpenAi => match status {
                401 => "authentication_error",
                402 => INSUFFICIENT_QUOTA,
                403 => "permission_error",
                404 => "not_found_error",
                429 => "rate_limit_error",
                500.. => "server_error",
                _ => "invalid_request_error",
            },
            Dialect::Anthropic => match status {
                401 => "authentication_error",
                402 => "billing_error",
                403 => "permission_error",
                404 => "not_found_error",
                413 => "request_too_large",
                429 => "rate_limit_error",
                503 => "overloaded_error",
                504 => "timeout_error",
                500.. => "api_error",
                _ => "invalid_request_error",
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_that_no_retry_can_help_says_so_and_another_says_when() {
        let never = Refusal::forbidden("model_not_allowed", "no").response(Dialect::OpenAi, None);
        assert_eq!(never.headers()["x-should-retry"], "false");
        assert!(!never.headers().contains_key(RETRY_AFTER));
        let later = Refusal::unavailable("busy", "later", Duration::from_millis(1_200))
            .response(Dialect::Anthropic, None);
        assert_eq!(later.headers()[RETRY_AFTER], "2");
        assert!(!later.headers().contains_key("x-should-retry"));
    }

    #[test]
    fn an_empty_balance_is_told_in_each_dialect_and_a_full_one_says_when() {
        let refusal = Refusal::no_credit("insufficient_credit", "no credit");
        assert_eq!(refusal.cause(), "insufficient_credit");
        let openai: serde_json::Value =
            serde_json::from_str(&refusal.body(Dialect::OpenAi, None)).unwrap();
        assert_eq!(openai["error"]["type"], "insufficient_quota");
        assert_eq!(openai["error"]["code"], "insufficient_quota");
        let anthropic: serde_json::Value =
            serde_json::from_str(&refusal.body(Dialect::Anthropic, None)).unwrap();
        assert_eq!(anthropic["error"]["type"], "billing_error");
        for dialect in [Dialect::OpenAi, Dialect::Anthropic] {
            let response = refusal.response(dialect, None);
            assert_eq!(response.status(), StatusCode::PAYMENT_REQUIRED);
            assert_eq!(response.headers()["x-should-retry"], "false");
            assert!(!response.headers().contains_key(RETRY_AFTER));
            let held = Refusal::credit_held("held", Duration::from_secs(3)).response(dialect, None);
            assert_eq!(held.headers()[RETRY_AFTER], "3");
            assert!(!held.headers().contains_key("x-should-retry"));
        }
    }

    #[test]
    fn an_error_event_is_one_whole_event_of_the_dialect() {
        let clock = weft_proto::time::SystemClock;
        let id = ExchangeId::generate(&clock, &weft_proto::entropy::OsEntropy);
        let refusal = Refusal::upstream("upstream_truncated", "line one\nline two");
        for dialect in [Dialect::OpenAi, Dialect::Anthropic] {
            let event = String::from_utf8(refusal.event(dialect, id).to_vec()).unwrap();
            assert!(event.ends_with("\n\n") && event.matches("\n\n").count() == 1);
            let data = event.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
            let data: serde_json::Value = serde_json::from_str(data).unwrap();
            assert_eq!(data["error"]["message"], "line one\nline two");
        }
    }
}
