//! One shared connection of HTTP/3.
//!
//! The library neither resets a stream that is dropped while it is written, nor may it be asked to
//! stop one that is being read. So a body of some length is sent by a task that resets its stream
//! when it is told to give up, and reading is given up by dropping, which QUIC tells the other end.

use super::{Lane, Reply, ReplyBody, Unsent};
use crate::users::body::Load;
use crate::users::fault::Fault;
use bytes::{Buf, Bytes};
use h3::client::{RequestStream, SendRequest};
use h3::error::Code;
use h3_quinn::{BidiStream, OpenStreams};
use http::Request;
use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Bytes of an answer's head that are taken.
const HEAD_BYTES_MAX: u64 = 128 * 1_024;
/// A body of at most so many bytes is handed over at once.
const AT_ONCE_BYTES_MAX: u64 = 16 * 1_024;

type Sender = SendRequest<OpenStreams, Bytes>;
type Upload = RequestStream<h3_quinn::SendStream<Bytes>, Bytes>;
type Download = RequestStream<h3_quinn::RecvStream, Bytes>;

/// A connection that is opened when it is first needed, and again when it has gone.
#[derive(Default)]
pub(super) struct Shared(Mutex<Option<Open>>);

struct Open {
    sender: Sender,
    gone: Rc<Cell<bool>>,
}

impl Shared {
    /// Who sends on it.
    ///
    /// # Errors
    /// [`Unsent`].
    pub(super) async fn sender(&self, lane: &Lane) -> Result<Sender, Unsent> {
        let mut held = self.0.lock().await;
        if let Some(open) = held.as_ref().filter(|open| !open.gone.get()) {
            return Ok(open.sender.clone());
        }
        let began = Instant::now();
        let (endpoint, connection) = lane.dial().quic().await?;
        let begun = h3::client::builder()
            .max_field_section_size(HEAD_BYTES_MAX)
            .build(h3_quinn::Connection::new(connection))
            .await;
        let (mut driver, sender) = begun.map_err(|error| Unsent::Protocol(error.to_string()))?;
        let gone = Rc::new(Cell::new(false));
        let told = Rc::clone(&gone);
        lane.drive(async move {
            drop(poll_fn(|context| driver.poll_close(context)).await);
            told.set(true);
        });
        lane.keep(endpoint);
        lane.note_opened(began);
        *held = Some(Open { sender: sender.clone(), gone });
        Ok(sender)
    }

    /// Sends `request` on it.
    ///
    /// # Errors
    /// [`Fault`].
    pub(super) async fn send(&self, lane: &Lane, request: Request<Load>) -> Result<Reply, Fault> {
        let (head, load) = request.into_parts();
        let fault = |error: &h3::error::StreamError| Fault::of_h3(error, false);
        let sender = self.sender(lane).await;
        let mut sender = sender.map_err(|unsent| Fault::of_unsent(&unsent))?;
        let bare = || Request::from_parts(head.clone(), ());
        let stream: RequestStream<BidiStream<Bytes>, Bytes> =
            match sender.send_request(bare()).await {
                Ok(stream) => stream,
                Err(_) => {
                    // The head did not go out: the connection has gone, and another is opened.
                    self.0.lock().await.take();
                    let again = self.sender(lane).await;
                    let mut again = again.map_err(|unsent| Fault::of_unsent(&unsent))?;
                    again.send_request(bare()).await.map_err(|error| fault(&error))?
                }
            };
        let (mut upload, mut download) = stream.split();
        let mut giving_up = None;
        if load.left() <= AT_ONCE_BYTES_MAX {
            // An answer may come, and the stream be stopped, before the request is whole.
            drop(whole(&mut upload, load).await);
        } else {
            let token = CancellationToken::new();
            giving_up = Some(token.clone().drop_guard());
            lane.drive(upload_unless(upload, load, token));
        }
        let head = download.recv_response().await.map_err(|error| fault(&error))?;
        let receiving = Receiving { download, _giving_up: giving_up };
        Ok(Reply { status: head.status(), body: ReplyBody::Three(Box::new(receiving)) })
    }
}

async fn whole(upload: &mut Upload, mut load: Load) -> Result<(), h3::error::StreamError> {
    while let Some(piece) = load.piece() {
        upload.send_data(piece).await?;
    }
    upload.finish().await
}

async fn upload_unless(mut upload: Upload, load: Load, given_up: CancellationToken) {
    let is_given_up = tokio::select! {
        biased;
        () = given_up.cancelled() => true,
        _ = whole(&mut upload, load) => false,
    };
    if is_given_up {
        upload.stop_stream(Code::H3_REQUEST_CANCELLED);
    }
}

/// An answer on its way in. Dropped, it is given up, and so is what is left of its request.
pub(super) struct Receiving {
    download: Download,
    _giving_up: Option<DropGuard>,
}

impl std::fmt::Debug for Receiving {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receiving").finish_non_exhaustive()
    }
}

impl Receiving {
    /// The next bytes; nothing at the proper end.
    ///
    /// # Errors
    /// [`Fault`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        loop {
            let data = self.download.recv_data().await;
            match data.map_err(|error| Fault::of_h3(&error, true))? {
                // Of one piece of memory, in this library: nothing is copied.
                Some(mut data) if data.has_remaining() => {
                    return Ok(Some(data.copy_to_bytes(data.remaining())));
                }
                Some(_) => {}
                None => return Ok(None),
            }
        }
    }
}
