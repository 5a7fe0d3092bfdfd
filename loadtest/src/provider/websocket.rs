//! The realtime endpoint: a WebSocket that greets, echoes, and ends as it is told.
//!
//! Every data frame is sent back as it came, bit by bit but for the mask, so that what a client
//! compressed it can expand again. A text message of the form `{"type": "sim.…"}` is a command:
//!
//! | type | with | does |
//! |---|---|---|
//! | `sim.close` | `code`, `reason` | closes |
//! | `sim.half_close` | | ends its own direction without a close frame, and reads on |
//! | `sim.die` | `reset` | writes 500 bytes of a frame and, after a further frame of the client's, is gone: by a reset, or by an end |
//! | `sim.ping` | `text` | pings |
//! | `sim.send` | `bytes`, `fragments` | sends a binary message of its own |
//! | `sim.after_end` | `bytes` | when the client ends its direction: a message, then a close |
//!
//! `response.create` is answered as a model would, with its cost in `response.done`.
//!
//! The query parameter `sim-deflate` makes it agree to `permessage-deflate` where that is offered.
//! A record holds the digests of the raw bytes, both ways, and the client's close.

mod answer;
pub mod frame;

use super::bill;
use super::control::Control;
use super::head::{fields, request_id};
use super::listen::Abort;
use super::record::{Ending, Live, hex};
use super::route::{Route, parameter};
use super::serve::{OutBody, Server};
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use frame::{Frame, opcode};
use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf, ReadHalf, WriteHalf};
use weft_proto::usage::Usage;
use weft_proto::websocket::handshake;

/// What RFC 6455 appends to a key before it is hashed.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The query parameter that makes it agree to compression.
const DEFLATE_PARAMETER: &str = "sim-deflate";

/// Longest message of its own that is sent, in bytes.
const SEND_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The accept that answers `key`.
#[must_use]
pub fn accept(key: &str) -> String {
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, format!("{key}{GUID}").as_bytes());
    STANDARD.encode(hash.as_ref())
}

/// A command to the endpoint.
#[derive(Debug, Deserialize)]
#[serde(tag = "type")]
enum Command {
    #[serde(rename = "sim.close")]
    Close {
        code: u16,
        #[serde(default)]
        reason: String,
    },
    #[serde(rename = "sim.half_close")]
    HalfClose,
    #[serde(rename = "sim.die")]
    Die {
        #[serde(default)]
        reset: bool,
    },
    #[serde(rename = "sim.ping")]
    Ping { text: String },
    #[serde(rename = "sim.send")]
    Send { bytes: usize, fragments: usize },
    #[serde(rename = "sim.after_end")]
    AfterEnd { bytes: usize },
    #[serde(rename = "response.create")]
    Respond,
}

/// Whether a request asks for a WebSocket in due form.
pub(super) fn asked(head: &Parts) -> bool {
    handshake::check(&head.headers).is_ok()
}

impl Server {
    /// Switches: the 101 now, what follows in a task of its own.
    pub(super) fn switch(
        &self,
        mut head: Parts,
        route: &Route,
        control: Control,
        live: Live,
        abort: Arc<Abort>,
    ) -> Response<OutBody> {
        let request_id = request_id(route.provider, live.seq());
        let model = parameter(head.uri.query(), "model")
            .or_else(|| parameter(head.uri.query(), "deployment"))
            .unwrap_or_default()
            .into_owned();
        let mut response = Response::new(Full::default().map_err(|never| match never {}).boxed());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        *headers = fields(route.provider, &request_id);
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        shake(&head, headers);
        live.edit(|record| {
            record.provider = Some(route.provider.name());
            record.model = Some(model.clone());
        });
        live.answered(StatusCode::SWITCHING_PROTOCOLS.as_u16(), &request_id);
        let Some(upgrade) = head.extensions.remove::<OnUpgrade>() else {
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            return response;
        };
        let stop = self.stop.clone();
        drop(self.tracker.spawn(async move {
            let Ok(upgraded) = upgrade.await else { return };
            let session = Session::new(upgraded, live, abort, &control);
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = session.run(&model) => {}
            }
        }));
        response
    }
}

/// The parts of the answer that depend on what was asked.
fn shake(head: &Parts, headers: &mut HeaderMap) {
    let text = |name| head.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    if let Some(key) = text(SEC_WEBSOCKET_KEY)
        && let Ok(accept) = HeaderValue::try_from(accept(key.trim()))
    {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    let mut offered = text(SEC_WEBSOCKET_PROTOCOL).into_iter().flat_map(|line| line.split(','));
    if let Some(first) = offered.next().and_then(|name| HeaderValue::try_from(name.trim()).ok()) {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, first);
    }
    let offers = text(SEC_WEBSOCKET_EXTENSIONS).is_some_and(|line| line.contains("permessage"));
    if offers && parameter(head.uri.query(), DEFLATE_PARAMETER).is_some() {
        let agreed = HeaderValue::from_static("permessage-deflate");
        headers.insert(SEC_WEBSOCKET_EXTENSIONS, agreed);
    }
}

/// Why a session is over.
enum End {
    /// As it should.
    Said,
    /// The client went away.
    Gone,
    /// Broken off, as told.
    Broken,
}

struct Session {
    from: Hashed<ReadHalf<TokioIo<Upgraded>>>,
    to: WriteHalf<TokioIo<Upgraded>>,
    live: Live,
    abort: Arc<Abort>,
    after_end: Option<usize>,
    /// What each response costs, and whether that is told.
    usage: Usage,
    told: bool,
    responses: u64,
}

impl Session {
    fn new(upgraded: Upgraded, live: Live, abort: Arc<Abort>, control: &Control) -> Self {
        let (from, to) = tokio::io::split(TokioIo::new(upgraded));
        let from = Hashed { inner: from, hash: Sha256::new(), bytes: 0 };
        let (usage, told) = (bill::realtime(control.usage), !control.no_usage);
        Self { from, to, live, abort, after_end: None, usage, told, responses: 0 }
    }

    async fn run(mut self, model: &str) {
        let end = self.converse(model).await.unwrap_or(End::Gone);
        let (digest, bytes) = (self.from.hash.clone().finalize(), self.from.bytes);
        self.live.edit(|record| record.body_bytes = bytes);
        self.live.body_end(hex(&digest));
        match end {
            End::Said => self.live.end(Ending::Complete),
            End::Gone => self.live.end(Ending::ClientGone),
            End::Broken => self.live.end(Ending::Fault),
        }
    }

    async fn converse(&mut self, model: &str) -> io::Result<End> {
        let created = json!({
            "type": "session.created", "event_id": "event_1",
            "session": {"id": "sess_1", "object": "realtime.session", "model": model},
        });
        self.text(&created.to_string()).await?;
        loop {
            let Some(frame) = Frame::read(&mut self.from).await? else {
                return self.client_ended().await;
            };
            let bytes = self.from.bytes;
            self.live.edit(|record| record.body_bytes = bytes);
            match frame.opcode() {
                opcode::CLOSE => {
                    self.live.edit(|record| record.client_close = frame.closes());
                    self.frame(&frame).await?;
                    self.to.shutdown().await?;
                    self.until_end().await;
                    return Ok(End::Said);
                }
                opcode::PING => {
                    self.frame(&Frame::whole(opcode::PONG, frame.payload)).await?;
                }
                opcode::PONG => {}
                _ => {
                    if let Some(end) = self.data(frame).await? {
                        return Ok(end);
                    }
                }
            }
        }
    }

    /// Obeys a command, or echoes.
    async fn data(&mut self, frame: Frame) -> io::Result<Option<End>> {
        let Ok(command) = serde_json::from_slice(&frame.payload) else {
            self.frame(&frame).await?;
            return Ok(None);
        };
        match command {
            Command::Close { code, reason } => {
                self.frame(&Frame::close(code, &reason)).await?;
                return self.wait_for_close().await.map(Some);
            }
            Command::HalfClose => {
                self.to.shutdown().await?;
                self.until_end().await;
                return Ok(Some(End::Said));
            }
            Command::Die { reset } => {
                let half = &Frame::whole(opcode::BINARY, vec![7; 1_000]).bytes(None)[..500];
                self.raw(half).await?;
                // Not before the client has it, and says so: what dies too soon was never sent.
                Frame::read(&mut self.from).await?;
                if reset {
                    self.abort.reset();
                }
                return Ok(Some(End::Broken));
            }
            Command::Ping { text } => self.frame(&Frame::whole(opcode::PING, text)).await?,
            Command::Send { bytes, fragments } => {
                self.message(bytes.min(SEND_BYTES_MAX), fragments).await?;
            }
            Command::Respond => {
                self.responses += 1;
                self.live.charge(&self.usage);
                for event in answer::events(self.responses, &self.usage, self.told) {
                    self.text(&event).await?;
                }
            }
            Command::AfterEnd { bytes } => self.after_end = Some(bytes.min(SEND_BYTES_MAX)),
        }
        Ok(None)
    }

    /// A binary message in so many fragments: byte by byte the low byte of its own index.
    async fn message(&mut self, bytes: usize, fragments: usize) -> io::Result<()> {
        let payload: Vec<u8> = (0..bytes).map(|index| index.to_le_bytes()[0]).collect();
        let pieces: Vec<_> = payload.chunks(bytes.div_ceil(fragments.max(1)).max(1)).collect();
        for (index, piece) in pieces.iter().enumerate() {
            let fin = if index + 1 == pieces.len() { 0x80 } else { 0 };
            let opcode = if index == 0 { opcode::BINARY } else { opcode::CONTINUATION };
            self.frame(&Frame { first: fin | opcode, payload: piece.to_vec() }).await?;
        }
        Ok(())
    }

    async fn client_ended(&mut self) -> io::Result<End> {
        let Some(bytes) = self.after_end else { return Ok(End::Gone) };
        self.message(bytes, 1).await?;
        self.frame(&Frame::close(1000, "")).await?;
        self.to.shutdown().await?;
        Ok(End::Said)
    }

    /// Behind a close of its own: the client's answer.
    async fn wait_for_close(&mut self) -> io::Result<End> {
        while let Some(frame) = Frame::read(&mut self.from).await? {
            if frame.opcode() == opcode::CLOSE {
                self.live.edit(|record| record.client_close = frame.closes());
                self.to.shutdown().await?;
                return Ok(End::Said);
            }
        }
        Ok(End::Gone)
    }

    /// Reads on until the client has ended its direction.
    async fn until_end(&mut self) {
        while let Ok(Some(frame)) = Frame::read(&mut self.from).await {
            if frame.opcode() == opcode::CLOSE {
                self.live.edit(|record| record.client_close = frame.closes());
            }
        }
    }

    async fn text(&mut self, text: &str) -> io::Result<()> {
        self.frame(&Frame::whole(opcode::TEXT, text)).await
    }

    async fn frame(&mut self, frame: &Frame) -> io::Result<()> {
        self.raw(&frame.bytes(None)).await
    }

    async fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.to.write_all(bytes).await?;
        self.to.flush().await?;
        self.live.sent(bytes, true);
        Ok(())
    }
}

/// Counts and hashes what is read.
struct Hashed<R> {
    inner: R,
    hash: Sha256,
    bytes: u64,
}

impl<R: AsyncRead + Unpin> AsyncRead for Hashed<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(context, buffer))?;
        let read = &buffer.filled()[before..];
        self.hash.update(read);
        self.bytes += read.len() as u64;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accept_is_the_standards_own_example() {
        assert_eq!(accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
