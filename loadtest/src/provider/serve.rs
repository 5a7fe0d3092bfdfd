//! One request from its head to the head of its answer.
//!
//! The order is a real provider's: what can be refused by the head is refused first, then the body
//! is read, then the model's name and the control decide. A request is recorded from its head on.

use super::config::{BODY_KEPT_MAX, ProviderConfig};
use super::control::{Control, ControlError, Fault, in_model};
use super::decide::Decision;
use super::listen::Abort;
use super::objects::Objects;
use super::record::{Ending, Live, Phase, Record, Recorder, hex};
use super::refusal::Refusal;
use super::respond::respond;
use super::route::{Endpoint, Route, parameter};
use super::script::{self, Scripts};
use super::{credential, query, websocket};
use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use sha2::{Digest, Sha256};
use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The header that carries a control.
pub const CONTROL_HEADER: &str = "x-weft-sim";
/// The query parameter that carries a control.
pub const CONTROL_PARAMETER: &str = "weft-sim";
/// How long an upload that was answered early is left alone, unread, before it is dropped; an
/// answer would be lost in the reset that a drop at once brings.
pub(super) const EARLY_LINGER: Duration = Duration::from_secs(2);

/// A body on its way to the connection.
pub(crate) type OutBody = BoxBody<Bytes, super::body::BrokenOff>;

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) config: ProviderConfig,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) objects: Objects,
    pub(crate) scripts: Arc<Scripts>,
    pub(crate) tracker: TaskTracker,
    pub(crate) stop: CancellationToken,
}

/// A request whose body has been read.
pub(crate) struct Received {
    pub(crate) head: Parts,
    pub(crate) kept: Vec<u8>,
    pub(crate) length: u64,
    pub(crate) digest: [u8; 32],
}

/// The client went away while its body was read.
struct Gone;

impl Server {
    /// Answers one request. The future waits forever where a fault asks for silence.
    ///
    /// # Cancel safety
    /// Dropping the future ends the record as the client's leaving.
    pub(crate) async fn serve(
        &self,
        request: Request<Incoming>,
        connection: u64,
        abort: Arc<Abort>,
    ) -> Result<Response<OutBody>, Infallible> {
        if request.uri().path().starts_with(query::PREFIX) {
            return Ok(query::answer(&self.recorder, &request));
        }
        let (head, body) = request.into_parts();
        if let Some(slot) = self.scripts.asked(&head) {
            return Ok(script::play(self, slot, head, body, abort).await);
        }
        let mut live = self.recorder.begin(opening(&head, connection));
        let route = Route::of(&head);
        if route.endpoint == Some(Endpoint::Realtime) && websocket::asked(&head) {
            return Ok(self.realtime(head, route, live, abort));
        }
        let early = self.control(&head, None);
        if let Ok(Control { fault: Some(Fault::Early), .. }) = early {
            self.hold(body);
            let decision = Decision {
                route: route.refined(None, None),
                control: Control::default(),
                model: None,
                answer: Err(Refusal::TooLarge),
                bill: None,
            };
            return Ok(respond(&head, decision, live, abort));
        }
        let Ok(received) = receive(head, body, &live).await else {
            drop(live);
            return Ok(Response::new(Full::default().map_err(|never| match never {}).boxed()));
        };
        let decision = self.decide(&received, route);
        live.edit(|record| {
            record.provider = Some(decision.route.provider.name());
            record.model.clone_from(&decision.model);
        });
        // Even a sleep of nothing waits for the timer's next tick.
        let wait = decision.answer.as_ref().map_or(Duration::ZERO, |answer| answer.wait);
        let wait = wait.max(decision.control.first);
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        match decision.control.fault {
            Some(Fault::StallHead) => {
                live.phase(Phase::Stall);
                pending::<()>().await;
            }
            Some(Fault::ResetHead) => {
                live.end(Ending::Fault);
                abort.reset();
                pending::<()>().await;
            }
            Some(Fault::CloseHead) => {
                live.end(Ending::Fault);
                abort.close();
                pending::<()>().await;
            }
            Some(_) | None => {}
        }
        Ok(respond(&received.head, decision, live, abort))
    }

    /// A WebSocket, or the refusal that its head earns.
    fn realtime(
        &self,
        head: Parts,
        route: Route,
        live: Live,
        abort: Arc<Abort>,
    ) -> Response<OutBody> {
        let control = self.control(&head, None).unwrap_or_default();
        match self.admitted(&head, &route, &control) {
            Ok(()) => self.switch(head, &route, control, live, abort),
            Err(refusal) => {
                let answer = Err(refusal);
                let decision = Decision { route, control, model: None, answer, bill: None };
                respond(&head, decision, live, abort)
            }
        }
    }

    /// The control for a request: the process's, then the model's, the query's, the header's.
    pub(crate) fn control(
        &self,
        head: &Parts,
        model: Option<&str>,
    ) -> Result<Control, ControlError> {
        let mut control = self.config.defaults.clone();
        if let Some(text) = model.and_then(in_model) {
            control = control.overlaid(text)?;
        }
        if let Some(text) = parameter(head.uri.query(), CONTROL_PARAMETER) {
            control = control.overlaid(&text)?;
        }
        for value in head.headers.get_all(CONTROL_HEADER) {
            control = control.overlaid(&String::from_utf8_lossy(value.as_bytes()))?;
        }
        Ok(control)
    }

    /// Keeps an upload open without reading it, for a while.
    fn hold(&self, body: Incoming) {
        let stop = self.stop.clone();
        drop(self.tracker.spawn(async move {
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = tokio::time::sleep(EARLY_LINGER) => {}
            }
            drop(body);
        }));
    }
}

/// A record with what the head tells.
fn opening(head: &Parts, connection: u64) -> Record {
    let target = head.uri.path_and_query().map_or("", |target| target.as_str());
    Record {
        seq: 0,
        connection,
        version: format!("{:?}", head.version),
        method: head.method.to_string(),
        target: credential::recorded_target(target),
        provider: None,
        model: None,
        headers: credential::recorded(&head.headers),
        body_bytes: 0,
        body_sha256: None,
        status: None,
        request_id: None,
        answer_bytes: 0,
        answer_sha256: None,
        events: 0,
        usage: None,
        client_close: None,
        phase: Phase::Upload,
        ending: None,
        head_us: 0,
        body_end_us: None,
        answered_us: None,
        first_byte_us: None,
        gone_us: None,
        ended_us: None,
    }
}

/// Reads and hashes the whole body; keeps its first [`BODY_KEPT_MAX`] bytes.
async fn receive(head: Parts, mut body: Incoming, live: &Live) -> Result<Received, Gone> {
    let mut hasher = Sha256::new();
    let (mut kept, mut length) = (Vec::new(), 0_u64);
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return Err(Gone) };
        let Some(bytes) = frame.data_ref() else {
            continue;
        };
        hasher.update(bytes);
        length += bytes.len() as u64;
        let room = BODY_KEPT_MAX - kept.len();
        kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
        live.edit(|record| record.body_bytes = length);
    }
    let digest: [u8; 32] = hasher.finalize().into();
    live.body_end(hex(&digest));
    Ok(Received { head, kept, length, digest })
}
