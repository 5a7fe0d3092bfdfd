//! One user: sends its request in pieces, takes the answer, and goes away when its plan says so.

use super::plan::{Leaves, RequestPlan, Upload};
use super::seen::{Seen, UserEnd, UserSaw};
use super::trace::Trace;
use super::upstream::MARKER;
use axum::body::Body;
use bytes::Bytes;
use futures_util::stream::try_unfold;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;
use weft_hub::gateway::Gateway;
use weft_proto::provider::Provider;

const REQUEST_ID: HeaderName = HeaderName::from_static("weft-request-id");
const API_KEY: HeaderName = HeaderName::from_static("api-key");
const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// The connection of a user broke while it was sending.
#[derive(Debug, thiserror::Error)]
#[error("the user's connection broke")]
struct Broke;

/// A user at work.
#[derive(Debug)]
pub(super) struct User {
    pub(super) plan: RequestPlan,
    pub(super) life: usize,
    pub(super) key: String,
    pub(super) seen: Seen,
    pub(super) trace: Trace,
}

/// Notes that the user's task was dropped, unless the user ended by itself before.
struct Ending<'a>(&'a User);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.end(UserEnd::Torn);
    }
}

impl User {
    /// Runs the exchange to its end.
    pub(super) async fn run(self, gateway: Gateway) {
        let saw = UserSaw {
            plan: self.plan.clone(),
            life: self.life,
            exchange: None,
            status: None,
            from_provider: false,
            body: Vec::new(),
            sent_whole: false,
            end: UserEnd::Running,
        };
        self.seen.open().users.insert(self.plan.marker, saw);
        self.event(format_args!("asks {} {}", self.plan.provider, self.plan.upload.bytes));
        let ending = Ending(&self);
        let leaves = async {
            match self.plan.leaves {
                Leaves::After(after) => tokio::time::sleep(after).await,
                Leaves::Never | Leaves::AtBytes(_) | Leaves::InUpload(_) | Leaves::Sleeps(_) => {
                    std::future::pending().await
                }
            }
        };
        let end = tokio::select! {
            biased;
            () = leaves => UserEnd::Left,
            end = self.exchange(gateway) => end,
        };
        self.end(end);
        drop(ending);
    }

    async fn exchange(&self, gateway: Gateway) -> UserEnd {
        let peer = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
        let response = gateway.answer(self.request(), peer).await;
        let (head, mut body) = response.into_parts();
        self.note(|saw| {
            let id = head.headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
            saw.exchange = id.and_then(|id| id.parse().ok());
            saw.status = Some(head.status.as_u16());
            saw.from_provider = head.headers.contains_key(MARKER);
        });
        self.event(format_args!("head {}", head.status.as_u16()));
        let length = head.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        let length = length.and_then(|length| length.parse::<usize>().ok());
        let mut slept = false;
        if length == Some(0) {
            return UserEnd::Clean;
        }
        loop {
            let frame = match body.frame().await {
                None => return UserEnd::Clean,
                Some(Err(_)) => return UserEnd::Cut,
                Some(Ok(frame)) => frame,
            };
            let Ok(data) = frame.into_data() else { continue };
            self.event(format_args!("got {}", data.len()));
            let total = self.note(|saw| {
                saw.body.extend_from_slice(&data);
                saw.body.len()
            });
            if length == Some(total) {
                // As HTTP does: what has its declared length has ended, and is not asked again.
                return UserEnd::Clean;
            }
            match self.plan.leaves {
                Leaves::AtBytes(bytes) if total >= bytes => return UserEnd::Left,
                Leaves::Sleeps(time) if !slept => {
                    slept = true;
                    tokio::time::sleep(time).await;
                }
                Leaves::Never
                | Leaves::After(_)
                | Leaves::AtBytes(_)
                | Leaves::InUpload(_)
                | Leaves::Sleeps(_) => {}
            }
        }
    }

    fn request(&self) -> Request<Body> {
        let path = match self.plan.provider {
            Provider::OpenAi => "/openai/v1/chat/completions".to_owned(),
            Provider::Azure => format!(
                "/azure/openai/deployments/{}/chat/completions?api-version=2024-10-21",
                self.plan.model()
            ),
            Provider::Anthropic => "/v1/messages".to_owned(),
            Provider::DeepSeek => "/deepseek/chat/completions".to_owned(),
        };
        let mut headers = HeaderMap::new();
        let (credential, key) = match self.plan.provider {
            Provider::OpenAi | Provider::DeepSeek => {
                (AUTHORIZATION, format!("Bearer {}", self.key))
            }
            Provider::Azure => (API_KEY, self.key.clone()),
            Provider::Anthropic => (X_API_KEY, self.key.clone()),
        };
        // A key is letters and digits: a header can always carry it.
        headers.extend(HeaderValue::try_from(key).ok().map(|key| (credential, key)));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(MARKER, HeaderValue::from(self.plan.marker));
        let body = self.plan.body();
        if self.plan.upload.declared {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        }
        let mut request = Request::new(self.upload(body));
        *request.method_mut() = http::Method::POST;
        // Every path above is a valid one.
        *request.uri_mut() = path.parse().unwrap_or_default();
        *request.headers_mut() = headers;
        request
    }

    /// The body in pieces. Ends in an error where the plan lets the connection break.
    fn upload(&self, body: Bytes) -> Body {
        let Upload { chunk, pause, .. } = self.plan.upload;
        let breaks_at = match self.plan.leaves {
            Leaves::InUpload(bytes) => bytes,
            Leaves::Never | Leaves::After(_) | Leaves::AtBytes(_) | Leaves::Sleeps(_) => usize::MAX,
        };
        let (seen, marker, whole) = (self.seen.clone(), self.plan.marker, body.len());
        let stream = try_unfold((body, 0), move |(mut rest, sent)| {
            let seen = seen.clone();
            async move {
                if sent >= breaks_at {
                    return Err(Broke);
                }
                if rest.is_empty() {
                    return Ok(None);
                }
                if sent > 0 && pause > Duration::ZERO {
                    tokio::time::sleep(pause).await;
                }
                let piece = rest.split_to(chunk.min(rest.len()).min(breaks_at - sent).max(1));
                let sent = sent + piece.len();
                if sent == whole
                    && let Some(saw) = seen.open().users.get_mut(&marker)
                {
                    saw.sent_whole = true;
                }
                Ok(Some((Frame::data(piece), (rest, sent))))
            }
        });
        Body::new(StreamBody::new(Box::pin(stream)))
    }

    fn end(&self, end: UserEnd) {
        let total = self.note(|saw| {
            if saw.end != UserEnd::Running {
                return None;
            }
            saw.end = end;
            Some(saw.body.len())
        });
        // Tasks of a process that dies are dropped in no order that a seed could fix.
        let crashed = self.seen.open().lives.get(self.life).is_some_and(|life| life.crashed);
        if let Some(total) = total.filter(|_| !crashed) {
            self.event(format_args!("ends {end:?} {total}"));
        }
    }

    fn note<T: Default>(&self, note: impl FnOnce(&mut UserSaw) -> T) -> T {
        self.seen.open().users.get_mut(&self.plan.marker).map(note).unwrap_or_default()
    }

    fn event(&self, what: std::fmt::Arguments<'_>) {
        self.trace.event(&format!("user-{}", self.plan.marker), what);
    }
}
