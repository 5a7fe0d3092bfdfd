//! A script played: the request read and hashed, the answer sent and hashed.
//!
//! Both sides report to the script's slot as they go, and whichever way they end: what is dropped
//! before its end says so.

use super::super::body::BrokenOff;
use super::super::credential;
use super::super::listen::Abort;
use super::super::record::hex;
use super::super::serve::{EARLY_LINGER, OutBody, Server};
use super::{End, Ended, Flow, Framing, KEPT_BYTES_MAX, Script, Seen, SeenHead, Slot, When};
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Version};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use sha2::{Digest, Sha256};
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::sync::watch;

/// Answers a request as its script says.
pub(in super::super) async fn play(
    server: &Server,
    slot: Arc<Slot>,
    head: Parts,
    body: Incoming,
    abort: Arc<Abort>,
) -> Response<OutBody> {
    let Some(script) = begun(&slot, &head) else {
        let mut twice = Response::new(empty());
        *twice.status_mut() = StatusCode::LOOP_DETECTED;
        return twice;
    };
    let answering = Answering::new(&slot, script.end);
    let upload = Upload::new(&slot);
    match script.when {
        When::Read => {
            if !upload.read(body).await {
                return Response::new(empty());
            }
        }
        When::Never => {
            upload.read(body).await;
            std::future::pending::<()>().await;
        }
        When::AtOnce | When::Duplex => {
            drop(server.tracker.spawn(async move { upload.read(body).await }));
        }
        When::Unread => {
            let stop = server.stop.clone();
            drop(server.tracker.spawn(async move {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => {}
                    () = tokio::time::sleep(EARLY_LINGER) => {}
                }
                drop((body, upload));
            }));
        }
    }
    answer(script, (&head.method, head.version), slot, answering, abort)
}

/// Takes the script, and notes the request's head.
fn begun(slot: &Slot, head: &Parts) -> Option<Script> {
    let script = slot.script.lock().unwrap_or_else(PoisonError::into_inner).take();
    let target = head.uri.path_and_query().map_or("", |target| target.as_str());
    slot.seen.send_modify(|seen| {
        seen.calls += 1;
        if script.is_some() {
            seen.head = Some(SeenHead {
                version: head.version,
                method: head.method.clone(),
                target: target.to_owned(),
                headers: credential::masked(&head.headers),
            });
        }
    });
    script
}

fn empty() -> OutBody {
    Empty::new().map_err(|never| match never {}).boxed()
}

fn answer(
    script: Script,
    (method, version): (&Method, Version),
    slot: Arc<Slot>,
    mut answering: Answering,
    abort: Arc<Abort>,
) -> Response<OutBody> {
    let Script { when, status, mut fields, pieces, coding, flush, framing, .. } = script;
    if when == When::Unread && version < Version::HTTP_2 {
        // Nothing else can come over a connection whose request is left unread.
        fields.append(CONNECTION, HeaderValue::from_static("close"));
    }
    let mut response = Response::new(empty());
    *response.status_mut() = status;
    *response.headers_mut() = fields;
    let bodiless = *method == Method::HEAD
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED;
    if bodiless {
        answering.end(Ended::Complete);
        return response;
    }
    let (pieces, length) = match framing {
        Framing::Chunked => (pieces, None),
        Framing::Length => {
            let all = Flow::all_of(pieces, coding, flush).unwrap_or_default();
            let length = all.iter().map(|piece| piece.len() as u64).sum::<u64>();
            response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
            slot.seen.send_modify(|seen| seen.declared = Some(length));
            (Box::new(all.into_iter()) as super::Pieces, Some(length))
        }
    };
    // What was coded to learn its length is not coded again.
    let coding = if length.is_some() { super::Coding::Identity } else { coding };
    let mut gate: Option<Gate> = None;
    if when == When::Duplex {
        let seen = slot.seen.subscribe();
        gate = Some(Box::pin(uploaded(seen)));
    }
    let over = length == Some(0) && script.end == End::Proper && when != When::Duplex;
    if over {
        // Nobody asks for the end of a body that is known to be empty.
        answering.end(Ended::Complete);
    }
    let body = ScriptBody {
        flow: Flow::new(pieces, (coding, flush), (script.split, script.breath), script.seed),
        length,
        left: script.end.after(),
        end: script.end,
        trailers: script.trailers,
        gate,
        over,
        answering,
        abort,
    };
    *response.body_mut() = body.boxed();
    response
}

type Gate = Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

async fn uploaded(mut seen: watch::Receiver<Seen>) {
    // An error means that nobody reads the request any more: there is nothing to wait for.
    drop(seen.wait_for(|seen| seen.body_whole.is_some()).await);
}

/// The request's body on its way in.
struct Upload {
    slot: Arc<Slot>,
    digest: Sha256,
    whole: bool,
}

impl Upload {
    fn new(slot: &Arc<Slot>) -> Self {
        Self { slot: Arc::clone(slot), digest: Sha256::new(), whole: false }
    }

    /// Reads it to its end, and says whether that was a proper one.
    async fn read(mut self, mut body: Incoming) -> bool {
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return false };
            match frame.into_data() {
                Ok(data) => {
                    self.digest.update(&data);
                    self.slot.seen.send_if_modified(|seen| {
                        seen.body_bytes += data.len() as u64;
                        false
                    });
                }
                Err(frame) => {
                    let trailers = frame.into_trailers().ok();
                    self.slot.seen.send_modify(|seen| seen.body_trailers = trailers);
                }
            }
        }
        self.whole = true;
        true
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let digest = hex(&self.digest.clone().finalize());
        self.slot.seen.send_modify(|seen| {
            seen.body_sha256 = Some(digest);
            seen.body_whole = Some(self.whole);
        });
    }
}

/// The answer as its sender sees it.
struct Answering {
    slot: Arc<Slot>,
    digest: Sha256,
    kept: Option<Vec<u8>>,
    bytes: u64,
    ended: Option<Ended>,
}

impl Answering {
    fn new(slot: &Arc<Slot>, end: End) -> Self {
        let kept = (end != End::Proper).then(Vec::new);
        Self { slot: Arc::clone(slot), digest: Sha256::new(), kept, bytes: 0, ended: None }
    }

    fn sent(&mut self, bytes: &[u8]) {
        self.digest.update(bytes);
        self.bytes += bytes.len() as u64;
        if let Some(kept) = &mut self.kept {
            let room = KEPT_BYTES_MAX - kept.len();
            kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
        let sent = self.bytes;
        self.slot.seen.send_modify(|seen| seen.answer_bytes = sent);
    }

    fn end(&mut self, ended: Ended) {
        self.ended.get_or_insert(ended);
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        let digest = hex(&self.digest.clone().finalize());
        let kept = self.kept.take().unwrap_or_default();
        let ended = self.ended.unwrap_or(Ended::Gone);
        self.slot.seen.send_modify(|seen| {
            seen.answer_sha256 = Some(digest);
            seen.answer_kept = kept;
            seen.ended = Some(ended);
        });
    }
}

/// The answer's body on its way out.
struct ScriptBody {
    flow: Flow,
    length: Option<u64>,
    /// Bytes until the improper end.
    left: Option<u64>,
    end: End,
    trailers: Option<HeaderMap>,
    /// Waited for after the first frame.
    gate: Option<Gate>,
    /// Nothing comes any more.
    over: bool,
    answering: Answering,
    abort: Arc<Abort>,
}

impl ScriptBody {
    fn improper(&mut self) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        match self.end {
            End::Proper => Poll::Ready(None),
            End::Cut(_) => {
                self.answering.end(Ended::AsScripted);
                self.over = true;
                Poll::Ready(Some(Err(BrokenOff)))
            }
            End::Short(_) => {
                self.answering.end(Ended::AsScripted);
                self.over = true;
                Poll::Ready(None)
            }
            End::Reset(_) => {
                self.answering.end(Ended::AsScripted);
                self.abort.reset();
                Poll::Pending
            }
            End::Silence(_) => Poll::Pending,
        }
    }

    fn frame(&mut self, mut bytes: Bytes) -> Frame<Bytes> {
        if let Some(left) = &mut self.left {
            bytes.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= bytes.len() as u64;
        }
        self.answering.sent(&bytes);
        // A body whose length is reached is not asked again.
        if self.left.is_none() && self.length == Some(self.answering.bytes) {
            self.answering.end(Ended::Complete);
        }
        Frame::data(bytes)
    }
}

impl Body for ScriptBody {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let this = self.get_mut();
        if this.over {
            this.answering.end(Ended::Complete);
            return Poll::Ready(None);
        }
        if this.left == Some(0) {
            return this.improper();
        }
        if this.answering.bytes > 0
            && let Some(gate) = &mut this.gate
        {
            ready!(gate.as_mut().poll(cx));
            this.gate = None;
        }
        match ready!(this.flow.poll_next(cx)) {
            Some(Ok(bytes)) => Poll::Ready(Some(Ok(this.frame(bytes)))),
            Some(Err(_)) => Poll::Ready(Some(Err(BrokenOff))),
            None if this.left.is_some() => {
                this.left = Some(0);
                this.improper()
            }
            None => {
                if let Some(gate) = &mut this.gate {
                    ready!(gate.as_mut().poll(cx));
                    this.gate = None;
                }
                this.over = true;
                this.answering.end(Ended::Complete);
                Poll::Ready(this.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.over && self.end == End::Proper && self.length == Some(0)
    }
}
