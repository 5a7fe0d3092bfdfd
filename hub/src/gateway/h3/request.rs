//! One request over HTTP/3, from its head to the acknowledged end of its answer.
//!
//! All of it is one task: whatever ends the task drops the handler and both halves of the stream,
//! which resets what was not finished. The user's leaving is waited for beside the work, so it is
//! seen while the provider is silent, while the body is not read, and while nothing can be written.
//!
//! Invariants: an answer ends properly only after its body did, and with as many bytes as its head
//! says. It never looks into a body.

use super::quic::{Conn, Stream, Watch};
use super::upload::{Broken, Reader, announced, upload};
use crate::config::Limits;
use crate::gateway::Gateway;
use crate::gateway::connection::{CountedBody, Requests};
use crate::lifecycle::Tasks;
use axum::body::Body;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use h3::error::{Code, StreamError};
use h3::frame::FrameStream;
use h3::server::{RequestResolver, RequestStream};
use h3::stream::BufRecvStream;
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, HeaderName, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body as _;
use std::fmt;
use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use weft_proto::time::Timestamp;

/// How long the end of an answer may take to be acknowledged before its stream is forgotten.
const ACKNOWLEDGED_MAX: Duration = Duration::from_secs(5);

/// What belongs to one connection of HTTP/1.1: no message of HTTP/3 has it (RFC 9114 section 4.2).
const OF_CONNECTIONS: [HeaderName; 5] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    TRANSFER_ENCODING,
    UPGRADE,
];

/// The writing half of a request.
type Writer = RequestStream<super::quic::SendHalf, Bytes>;

/// Who answers requests: the gateway, or a test.
pub(super) trait Answers: fmt::Debug + Send + Sync {
    /// Answers one request; dropped when the user goes away.
    fn answer(&self, request: Request<Body>, peer: IpAddr) -> BoxFuture<'_, Response<Body>>;

    /// A request was refused before anybody could answer it.
    fn refused(&self, cause: &'static str);

    /// Now, for the answer's head.
    fn now(&self) -> Timestamp;
}

impl Answers for Gateway {
    fn answer(&self, request: Request<Body>, peer: IpAddr) -> BoxFuture<'_, Response<Body>> {
        Box::pin(Self::answer(self, request, peer))
    }

    fn refused(&self, cause: &'static str) {
        self.0.metrics.refused(cause);
    }

    fn now(&self) -> Timestamp {
        self.0.clock.now()
    }
}

/// What the requests of one connection share.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    pub(super) answers: Arc<dyn Answers>,
    pub(super) tasks: Tasks,
    pub(super) requests: Requests,
    /// The limits with which the connection began.
    pub(super) limits: Arc<Limits>,
    pub(super) peer: IpAddr,
}

/// Why an answer did not end properly.
#[derive(Debug, thiserror::Error)]
enum Unanswered {
    /// The exchange broke off.
    #[error("the answer broke off")]
    Body(#[source] axum::Error),
    /// The body has another length than its head says.
    #[error("the answer has another length than its head says")]
    Length,
    /// It could not be written.
    #[error("the answer cannot be written")]
    Stream(#[from] StreamError),
}

impl Shared {
    /// The task that serves the request of `stream`.
    pub(super) fn serve(
        self,
        connection: &h3::server::Connection<Conn, Bytes>,
        stream: Stream,
    ) -> impl Future<Output = ()> + Send + use<> {
        let watch = stream.watch();
        let stopped = stream.stopped();
        let resolver = connection.create_resolver(FrameStream::new(BufRecvStream::new(stream)));
        self.exchange(resolver, watch, stopped)
    }

    async fn exchange(
        self,
        resolver: RequestResolver<Conn, Bytes>,
        watch: Watch,
        stopped: impl Future + Send,
    ) {
        let mut stopped = pin!(stopped);
        let head = tokio::time::timeout(self.limits.head, resolver.resolve_request());
        let resolved = tokio::select! {
            biased;
            _ = &mut stopped => return,
            resolved = head => resolved,
        };
        let (request, stream) = match resolved {
            Ok(Ok(resolved)) => resolved,
            Ok(Err(StreamError::HeaderTooBig { .. })) => {
                // `h3` has answered it with a 431, whose end has to arrive.
                self.answers.refused("head_too_large");
                drop(tokio::time::timeout(ACKNOWLEDGED_MAX, stopped).await);
                return;
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, "a head over HTTP/3 cannot be read");
                return;
            }
            Err(_) => {
                tracing::debug!("a head over HTTP/3 came too slowly");
                return;
            }
        };
        // From here on, a handler that is dropped resets.
        watch.ending().with(Code::H3_INTERNAL_ERROR);
        let (writer, mut reader) = stream.split();
        let length = match announced(request.headers()) {
            Ok(length) if is_plain(request.headers()) => length,
            Ok(_) | Err(_) => {
                tracing::debug!("a head over HTTP/3 is malformed");
                watch.ending().with(Code::H3_MESSAGE_ERROR);
                return;
            }
        };
        {
            let running = self.requests.begin();
            let (body, pump) = upload(length);
            let bodiless = request.method() == Method::HEAD;
            let request = request.map(|()| Body::new(body));
            let mut answering = pin!(async {
                let answer = self.answers.answer(request, self.peer).await;
                let answer = CountedBody::of(answer, running, &self.tasks);
                send(writer, answer, bodiless, self.date()).await
            });
            let mut pumping = pin!(pump.run(&mut reader, &watch));
            let broken = tokio::select! {
                biased;
                _ = &mut stopped => Some(Broken::Left),
                broken = &mut pumping => Some(broken),
                answered = &mut answering => match answered {
                    Ok(()) => None,
                    Err(error) => {
                        let error: &dyn std::error::Error = &error;
                        tracing::debug!(error, "an answer over HTTP/3 is reset");
                        return;
                    }
                },
            };
            if let Some(broken) = broken {
                let error: &dyn std::error::Error = &broken;
                tracing::debug!(error, "a request over HTTP/3 is over before its answer");
                // Before what is dropped here asks for it.
                if let Some(code) = broken.code() {
                    watch.ending().with(code);
                }
                return;
            }
        }
        acknowledged(reader, &watch, stopped).await;
    }

    /// Now, as a `date` header says it.
    fn date(&self) -> Option<HeaderValue> {
        let micros = i64::try_from(self.answers.now().as_micros()).ok()?;
        let now = jiff::Timestamp::from_microsecond(micros).ok()?;
        let text = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&now);
        HeaderValue::try_from(text.ok()?).ok()
    }
}

/// Waits until an answer has arrived: until then its connection must not be closed. What is left of
/// the request is not wanted any more, which is no error.
async fn acknowledged(reader: Reader, watch: &Watch, stopped: impl Future) {
    watch.ending().with(Code::H3_NO_ERROR);
    drop(reader);
    drop(tokio::time::timeout(ACKNOWLEDGED_MAX, stopped).await);
}

/// Whether `headers` are those of a message of HTTP/3.
fn is_plain(headers: &HeaderMap) -> bool {
    OF_CONNECTIONS.iter().all(|name| !headers.contains_key(name))
        && headers.get_all(TE).iter().all(|te| te == "trailers")
}

async fn send(
    mut writer: Writer,
    answer: Response<CountedBody>,
    bodiless: bool,
    date: Option<HeaderValue>,
) -> Result<(), Unanswered> {
    let (mut head, body) = answer.into_parts();
    let mut body = pin!(body);
    let headers = &mut head.headers;
    for name in &OF_CONNECTIONS {
        headers.remove(name);
    }
    if let Some(date) = date {
        headers.entry(DATE).or_insert(date);
    }
    if let Some(length) = body.size_hint().exact().filter(|_| !body.is_end_stream()) {
        headers.entry(CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
    }
    let promised = announced(headers).ok().flatten();
    let mut left = promised.filter(|_| !bodiless && head.status != StatusCode::NOT_MODIFIED);
    writer.send_response(Response::from_parts(head, ())).await?;
    while let Some(frame) = poll_fn(|context| body.as_mut().poll_frame(context)).await {
        match frame.map_err(Unanswered::Body)?.into_data() {
            Ok(bytes) => {
                if let Some(left) = &mut left {
                    let rest = left.checked_sub(bytes.len() as u64);
                    *left = rest.ok_or(Unanswered::Length)?;
                }
                if !bytes.is_empty() {
                    writer.send_data(bytes).await?;
                }
            }
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    writer.send_trailers(trailers).await?;
                }
            }
        }
    }
    if left.is_some_and(|left| left > 0) {
        return Err(Unanswered::Length);
    }
    Ok(writer.finish().await?)
}
