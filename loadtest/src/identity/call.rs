//! One exchange as its user lives it: the request sent as drawn, and all that came back.

use super::draw::{Exchange, Leaving};
use super::upload::{Gate, Sent, Upload};
use crate::mesh::caller::{Body, CallError, Caller};
use crate::mesh::{Connection, Version};
use crate::provider::CONTROL_HEADER;
use crate::provider::script::{Seen, Ticket, When};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use sha2::{Digest, Sha256};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;

/// No step of an exchange may take longer.
pub(super) const STEP_MAX: Duration = Duration::from_secs(60);

/// How long a kept connection may take until it can be used again.
const READY_MAX: Duration = Duration::from_secs(2);

/// What a user saw of one exchange.
#[derive(Debug)]
pub(super) struct Told {
    /// The head of the answer; nothing where none came.
    pub(super) head: Option<(StatusCode, HeaderMap)>,
    /// Bytes of its body.
    pub(super) bytes: u64,
    /// Their digest in hex.
    pub(super) sha256: String,
    /// The bytes themselves, where the answer was not to end properly.
    pub(super) kept: Vec<u8>,
    /// What followed.
    pub(super) trailers: Option<HeaderMap>,
    /// Why it did not end properly, where it did not.
    pub(super) broken: Option<String>,
    /// What was sent.
    pub(super) sent: Sent,
    /// Whether `100 Continue` came.
    pub(super) continued: bool,
}

/// The connections of one worker: kept where an exchange ended properly, opened anew otherwise.
pub(super) struct Lines<'a> {
    caller: &'a Caller,
    h1: Option<Connection>,
    h2: &'a Mutex<Option<Connection>>,
}

impl<'a> Lines<'a> {
    /// None open yet; that of HTTP/2 is shared with other workers.
    pub(super) const fn new(caller: &'a Caller, h2: &'a Mutex<Option<Connection>>) -> Self {
        Self { caller, h1: None, h2 }
    }

    /// Plays `exchange`, whose script `ticket` stands for.
    ///
    /// # Errors
    /// [`CallError`] where no connection is to be had: no answer is not an error.
    pub(super) async fn play(
        &mut self,
        exchange: &Exchange,
        ticket: &mut Ticket,
        key: &str,
    ) -> Result<Told, CallError> {
        let (request, sent, continued) = request(exchange, ticket, key)?;
        let begun = self.begin(exchange.caller, request).await?;
        let mut told = Told {
            head: None,
            bytes: 0,
            sha256: String::new(),
            kept: Vec::new(),
            trailers: None,
            broken: None,
            sent: Sent::default(),
            continued: false,
        };
        told.follow(exchange, ticket, begun).await;
        told.sent = sent.lock().unwrap_or_else(PoisonError::into_inner).clone();
        told.continued = *continued.borrow();
        let closes = told.head.as_ref().is_none_or(|(_, headers)| {
            headers.get("connection").is_some_and(|value| value.as_bytes() == b"close")
        });
        let whole = told.broken.is_none() && told.sent.bytes == exchange.request.length;
        // What was answered ahead of its request may be closed without a word.
        let early = matches!(exchange.answer.when, When::AtOnce | When::Unread);
        if !whole || early || closes || exchange.request.leaving.is_some() {
            self.h1 = None;
        }
        Ok(told)
    }

    async fn begin(
        &mut self,
        version: Version,
        request: Request<Body>,
    ) -> Result<
        impl Future<Output = hyper::Result<http::Response<Incoming>>> + Send + use<>,
        CallError,
    > {
        use futures_util::future::Either;
        match version {
            Version::H1 => {
                let kept = match &mut self.h1 {
                    Some(line) => timeout(READY_MAX, line.ready()).await.is_ok_and(|it| it.is_ok()),
                    None => false,
                };
                if !kept {
                    self.h1 = Some(self.caller.connect(Version::H1).await?);
                }
                match &mut self.h1 {
                    Some(line) => Ok(Either::Left(line.start(request)?)),
                    None => Err(std::io::Error::other("no connection").into()),
                }
            }
            Version::H2 => {
                let closed =
                    |line: &Option<Connection>| line.as_ref().is_none_or(Connection::is_closed);
                if closed(&self.shared()) {
                    let line = self.caller.connect(Version::H2).await?;
                    let mut shared = self.shared();
                    if closed(&shared) {
                        *shared = Some(line);
                    }
                }
                match &mut *self.shared() {
                    Some(line) => Ok(Either::Right(line.start(request)?)),
                    None => Err(std::io::Error::other("no connection").into()),
                }
            }
        }
    }

    fn shared(&self) -> std::sync::MutexGuard<'a, Option<Connection>> {
        self.h2.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Told {
    async fn follow(
        &mut self,
        exchange: &Exchange,
        ticket: &mut Ticket,
        answer: impl Future<Output = hyper::Result<http::Response<Incoming>>>,
    ) {
        let leaving = exchange.request.leaving;
        let answer = async {
            match leaving {
                // The provider has it all and is silent; now the user goes.
                Some(Leaving::Waiting) => {
                    let has_it = |seen: &Seen| seen.body_whole.is_some();
                    let mut answer = std::pin::pin!(answer);
                    tokio::select! {
                        biased;
                        answer = &mut answer => Some(answer),
                        _ = ticket.when(has_it) => None,
                    }
                }
                Some(Leaving::Uploading(_) | Leaving::Reached(_) | Leaving::Reading(_)) | None => {
                    Some(answer.await)
                }
            }
        };
        let answer = match timeout(STEP_MAX, answer).await {
            Ok(Some(Ok(answer))) => answer,
            Ok(Some(Err(error))) => {
                self.broken = Some(format!("no answer: {error:?}"));
                return;
            }
            Ok(None) => {
                self.broken = Some("left while the provider was silent".to_owned());
                return;
            }
            Err(_) => {
                self.broken = Some(format!("no answer within {} s", STEP_MAX.as_secs()));
                return;
            }
        };
        let (head, body) = answer.into_parts();
        self.head = Some((head.status, head.headers));
        let most = match leaving {
            Some(Leaving::Reading(bytes)) => Some(bytes),
            Some(Leaving::Uploading(_) | Leaving::Reached(_) | Leaving::Waiting) | None => None,
        };
        let keeps = exchange.answer.end != crate::provider::script::End::Proper;
        self.read(body, most, keeps).await;
    }

    async fn read(&mut self, mut body: Incoming, most: Option<u64>, keeps: bool) {
        let mut digest = Sha256::new();
        loop {
            if most.is_some_and(|most| self.bytes >= most) {
                self.broken = Some("left in the middle of the answer".to_owned());
                break;
            }
            let frame = match timeout(STEP_MAX, body.frame()).await {
                Ok(Some(Ok(frame))) => frame,
                Ok(Some(Err(error))) => {
                    self.broken = Some(format!("broken off: {error:?}"));
                    break;
                }
                Ok(None) => break,
                Err(_) => {
                    self.broken = Some(format!("silent for {} s", STEP_MAX.as_secs()));
                    break;
                }
            };
            match frame.into_data() {
                Ok(data) => {
                    digest.update(&data);
                    self.bytes += data.len() as u64;
                    if keeps {
                        self.kept.extend_from_slice(&data);
                    }
                }
                Err(frame) => self.trailers = frame.into_trailers().ok(),
            }
        }
        self.sha256 = super::content::hex(&digest.finalize());
    }
}

type Begun = (Request<Body>, Arc<Mutex<Sent>>, watch::Receiver<bool>);

/// The request as drawn, with the user's key and the script's name.
fn request(exchange: &Exchange, ticket: &Ticket, key: &str) -> Result<Begun, CallError> {
    let drawn = &exchange.request;
    let (mut upload, sent) =
        Upload::new(drawn.content.pieces(), drawn.length, drawn.split, exchange.upload_seed());
    let (go, continued) = watch::channel(false);
    if drawn.expects {
        upload = upload.behind(gate(&continued));
    }
    match drawn.leaving {
        Some(Leaving::Uploading(bytes)) => {
            upload = upload.leaving(bytes, Box::pin(std::future::ready(())));
        }
        Some(Leaving::Reached(bytes)) => upload = upload.leaving(bytes, reached(ticket)),
        Some(Leaving::Waiting | Leaving::Reading(_)) | None => {}
    }
    let mut request = Request::new(upload.map_err(Into::into).boxed());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = drawn.target.parse()?;
    *request.headers_mut() = headers(exchange, ticket, key);
    if drawn.expects {
        hyper::ext::on_informational(&mut request, move |answer| {
            if answer.status() == StatusCode::CONTINUE {
                go.send_replace(true);
            }
        });
    }
    Ok((request, sent, continued))
}

/// The headers that the user sends, its key among them.
pub(super) fn headers(exchange: &Exchange, ticket: &Ticket, key: &str) -> HeaderMap {
    let drawn = &exchange.request;
    let mut headers = drawn.fields.clone();
    headers.extend(exchange.asked.credentials(key));
    if let Ok(control) = HeaderValue::try_from(ticket.control()) {
        headers.insert(CONTROL_HEADER, control);
    }
    if drawn.declared {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(drawn.length));
    }
    headers
}

fn gate(continued: &watch::Receiver<bool>) -> Gate {
    let mut continued = continued.clone();
    Box::pin(async move {
        // Its sender lives in the request, as long as the body does.
        drop(continued.wait_for(|go| *go).await);
    })
}

fn reached(ticket: &Ticket) -> Gate {
    let mut seen = ticket.watch();
    Box::pin(async move {
        drop(seen.wait_for(|seen| seen.head.is_some()).await);
    })
}
