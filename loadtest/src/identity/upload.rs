//! A user's body on its way out: drawn frames, hashed as they go, held back until `100 Continue`,
//! given up where the user leaves.

use crate::provider::script::{Breath, Coding, Flow, Pieces, Split};
use bytes::Bytes;
use http_body::{Body, Frame};
use sha2::{Digest, Sha256};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

/// Something that is waited for before more is sent.
pub(super) type Gate = Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

/// What was handed to the connection.
#[derive(Debug, Clone, Default)]
pub(super) struct Sent {
    /// Bytes.
    pub(super) bytes: u64,
    /// Their digest in hex, once all of them are.
    pub(super) sha256: Option<String>,
}

/// The body.
pub(super) struct Upload {
    flow: Flow,
    length: u64,
    digest: Sha256,
    bytes: u64,
    sent: Arc<Mutex<Sent>>,
    /// Before the first byte.
    first: Option<Gate>,
    /// The user leaves after so many bytes, and when this has come.
    leaves: Option<(u64, Gate)>,
}

impl Upload {
    /// The body of `pieces`, `length` bytes of them.
    pub(super) fn new(
        pieces: Pieces,
        length: u64,
        split: (Split, Breath),
        seed: u64,
    ) -> (Self, Arc<Mutex<Sent>>) {
        let sent = Arc::new(Mutex::new(Sent::default()));
        let upload = Self {
            flow: Flow::new(pieces, (Coding::Identity, false), split, seed),
            length,
            digest: Sha256::new(),
            bytes: 0,
            sent: Arc::clone(&sent),
            first: None,
            leaves: None,
        };
        (upload, sent)
    }

    /// Sends nothing before `gate`.
    pub(super) fn behind(mut self, gate: Gate) -> Self {
        self.first = Some(gate);
        self
    }

    /// Gives up after `bytes`, once `gate` has come.
    pub(super) fn leaving(mut self, bytes: u64, gate: Gate) -> Self {
        self.leaves = Some((bytes, gate));
        self
    }

    fn note(&mut self, frame: &[u8]) {
        self.digest.update(frame);
        self.bytes += frame.len() as u64;
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.bytes = self.bytes;
        if self.bytes == self.length {
            sent.sha256 = Some(super::content::hex(&self.digest.clone().finalize()));
        }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        if let Some(first) = &mut this.first {
            ready!(first.as_mut().poll(cx));
            this.first = None;
        }
        if let Some((after, gate)) = &mut this.leaves
            && this.bytes >= *after
        {
            ready!(gate.as_mut().poll(cx));
            return Poll::Ready(Some(Err(io::Error::other("the user leaves, as drawn"))));
        }
        let Some(frame) = ready!(this.flow.poll_next(cx)) else { return Poll::Ready(None) };
        let mut frame = frame?;
        if let Some((after, _)) = &this.leaves {
            let room = usize::try_from(*after - this.bytes).unwrap_or(usize::MAX);
            frame.truncate(room);
        }
        this.note(&frame);
        Poll::Ready(Some(Ok(Frame::data(frame))))
    }
}
