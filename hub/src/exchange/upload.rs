//! The gate: a user's body on its way to an agent, never ahead of its own verdict.
//!
//! Each read is scanned before it is forwarded, so that the newest read is always held back until
//! the gate has passed what it holds: a body that turns out to be malformed, or to name a second
//! model, never becomes a whole request at the provider. What was read first is kept, up to
//! [`REPLAY_BYTES_MAX`], for another attempt.

use super::refusal::Refusal;
use axum::body::Body;
use bytes::Bytes;
use http_body_util::BodyExt;
use std::pin::pin;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use weft_proto::codes::AbortCode;
use weft_proto::limits::REPLAY_BYTES_MAX;
use weft_proto::scan::{BodyScan, ScanError};
use weft_transport::exchange::RequestWriter;

/// Why a body goes no further.
#[derive(Debug)]
pub(super) enum Stopped {
    /// The gate refuses it.
    Refused(Refusal),
    /// The user's connection broke, or broke the rules of HTTP.
    Broken,
}

/// How forwarding a body to one agent ended.
#[derive(Debug)]
pub(super) enum Forwarded {
    /// The agent has all of it.
    Whole,
    /// The agent wants no more of it, and says by its answer or a reset why.
    Unwanted,
    /// It goes no further.
    Stopped(Stopped),
}

/// A body under the gate.
#[derive(Debug)]
pub(super) struct Upload {
    body: Body,
    scan: BodyScan,
    idle_max: Duration,
    bytes_max: u64,
    bytes: u64,
    kept: Vec<Bytes>,
    kept_bytes: usize,
    replay_whole: bool,
    ended: bool,
}

impl Upload {
    pub(super) const fn new(
        body: Body,
        scan: BodyScan,
        idle_max: Duration,
        bytes_max: u64,
    ) -> Self {
        Self {
            body,
            scan,
            idle_max,
            bytes_max,
            bytes: 0,
            kept: Vec::new(),
            kept_bytes: 0,
            replay_whole: true,
            ended: false,
        }
    }

    /// Reads until the model is known, the body has ended, or the replay buffer is full: what can
    /// be known before an account is chosen.
    pub(super) async fn peek(&mut self) -> Result<(), Stopped> {
        let opaque = matches!(self.scan, BodyScan::Opaque);
        while !opaque && self.scan.model().is_none() && self.kept_bytes < REPLAY_BYTES_MAX {
            match self.read().await? {
                Some(bytes) => self.keep(bytes),
                None => break,
            }
        }
        Ok(())
    }

    /// The model that the body has named so far.
    pub(super) fn model(&self) -> Option<&str> {
        self.scan.model()
    }

    /// Bytes taken from the user so far.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether all that was forwarded is still at hand.
    pub(super) const fn replay_whole(&self) -> bool {
        self.replay_whole
    }

    /// Forwards the body to one agent: what was kept, then each further read when the gate has
    /// passed it. Comes back with the upload, for another attempt; at once when `recalled`.
    pub(super) async fn forward(
        mut self,
        mut writer: RequestWriter,
        recalled: CancellationToken,
    ) -> (Self, Forwarded) {
        let forwarded = tokio::select! {
            biased;
            () = recalled.cancelled() => Forwarded::Unwanted,
            forwarded = self.forward_to(&mut writer) => forwarded,
        };
        match &forwarded {
            Forwarded::Whole | Forwarded::Unwanted => {}
            // The reset must be out before anybody can mistake the silence for an end.
            Forwarded::Stopped(Stopped::Refused(_)) => writer.abort(AbortCode::Gate),
            Forwarded::Stopped(Stopped::Broken) => writer.abort(AbortCode::UserAbort),
        }
        (self, forwarded)
    }

    async fn forward_to(&mut self, writer: &mut RequestWriter) -> Forwarded {
        for index in 0..self.kept.len() {
            if writer.send(self.kept[index].clone()).await.is_err() {
                return Forwarded::Unwanted;
            }
        }
        let mut stopped = pin!(writer.stopped());
        while !self.ended {
            let read = tokio::select! {
                biased;
                _ = &mut stopped => return Forwarded::Unwanted,
                read = self.read() => read,
            };
            let bytes = match read {
                Ok(Some(bytes)) => bytes,
                Ok(None) => break,
                Err(stopped) => return Forwarded::Stopped(stopped),
            };
            self.keep(bytes.clone());
            if writer.send(bytes).await.is_err() {
                return Forwarded::Unwanted;
            }
        }
        if writer.finish().is_ok() { Forwarded::Whole } else { Forwarded::Unwanted }
    }

    /// One read, passed by the gate; `None` at the body's end. Cancel safe: what a read returns is
    /// scanned and handed on without a wait between.
    async fn read(&mut self) -> Result<Option<Bytes>, Stopped> {
        loop {
            if self.ended {
                return Ok(None);
            }
            let frame = tokio::time::timeout(self.idle_max, self.body.frame())
                .await
                .map_err(|_| Stopped::Refused(Refusal::upload_idle()))?;
            let Some(frame) = frame else {
                self.ended = true;
                self.scan.finish().map_err(refused)?;
                return Ok(None);
            };
            // Trailers of a request are not carried; no SDK sends any.
            let Ok(bytes) = frame.map_err(|_| Stopped::Broken)?.into_data() else {
                continue;
            };
            self.bytes += bytes.len() as u64;
            if self.bytes > self.bytes_max {
                return Err(Stopped::Refused(Refusal::too_large(self.bytes_max)));
            }
            self.scan.feed(&bytes).map_err(refused)?;
            if !bytes.is_empty() {
                return Ok(Some(bytes));
            }
        }
    }

    /// Keeps a read for another attempt, while there is room for all of them; what one read brings
    /// over the limit is still kept. A body that is not kept whole is of no more use here.
    fn keep(&mut self, bytes: Bytes) {
        if self.replay_whole && self.kept_bytes < REPLAY_BYTES_MAX {
            self.kept_bytes += bytes.len();
            self.kept.push(bytes);
        } else {
            self.replay_whole = false;
            self.kept = Vec::new();
        }
    }
}

/// What the caller hears of a body that the gate refuses: what is wrong, never what it held.
fn refused(error: ScanError) -> Stopped {
    let message = match std::error::Error::source(&error) {
        Some(detail) => format!("{error}: {detail}"),
        None => error.to_string(),
    };
    Stopped::Refused(match error {
        ScanError::StoredObject => Refusal::forbidden("stored_object", message),
        ScanError::BilledLater => Refusal::forbidden("billed_later", message),
        ScanError::ContentType => Refusal::media_type(message),
        ScanError::Json(_)
        | ScanError::NotAnObject
        | ScanError::DuplicateModel
        | ScanError::AmbiguousModel
        | ScanError::ModelNotText
        | ScanError::ModelTooLong
        | ScanError::Form(_) => Refusal::malformed("request_body", message),
    })
}
